//! The page's files and documents; what a browser makes of them is tested in `tests/page.rs`.

use std::{fs, io::Read as _, path::Path};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use sqlx::PgPool;

use super::kit::Instance;

#[sqlx::test]
async fn the_page_needs_nobody_else(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let page = instance.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self'") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = page.text();
    for path in ["/assets/app.js", "/assets/style.css", "/assets/icon.svg"] {
        assert!(html.contains(path), "{path}");
        let asset = instance.get(path).await;
        assert_eq!(asset.status, StatusCode::OK, "{path}");
        assert!(!asset.text().contains("url(http"), "{path}");
    }
    for hidden in [" onclick", " style=", "<script>", "http-equiv", "<!--"] {
        assert!(!html.contains(hidden), "{hidden}");
    }
}

/// What strangers write is never markup: nothing in the sources could make it so.
#[test]
fn the_sources_write_no_markup() {
    let mut looked = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("web/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            looked += 1;
            for danger in [
                "innerHTML",
                "InnerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "javascript:",
            ] {
                assert!(!text.contains(danger), "{}: {danger}", path.display());
            }
        }
    }
    assert!(looked > 20, "{looked} files");
}

#[sqlx::test]
async fn what_the_page_shows_has_an_address(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    let owner = "/owners/0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let tx = format!("/transactions/1/0x{}", "ab".repeat(32));
    for path in [
        "/register",
        "/office",
        "/watches",
        owner,
        &tx,
        "/agents/1:1/edit",
    ] {
        let page = instance.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text().contains("<title>Chancery</title>"), "{path}");
    }
    assert_eq!(instance.get("/nowhere").await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn a_link_to_an_agent_says_what_it_is(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    let all = instance.items("/v1/agents?limit=200").await;
    let named = all
        .iter()
        .find(|agent| agent["description"].is_string())
        .unwrap();
    let (id, did) = (
        named["id"].as_str().unwrap(),
        named["did"].as_str().unwrap(),
    );
    let page = instance.get(&format!("/agents/{id}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let html = page.text();
    assert!(
        html.contains("property=\"og:title\"") && html.contains(did),
        "{html}"
    );
    let again = instance
        .get_as(
            &format!("/agents/{id}"),
            "if-none-match",
            page.header(header::ETAG),
        )
        .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    let nobody = instance.get("/agents/1:99999999").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert_eq!(nobody.header("content-type"), "text/html; charset=utf-8");
    assert!(nobody.text().contains("noindex"));
}

#[sqlx::test]
async fn files_are_sent_packed_to_who_takes_that(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let plain = instance.get("/assets/app.js").await;
    assert_eq!(plain.header(header::CONTENT_ENCODING), "");
    let request = Request::get("/assets/app.js").header(header::ACCEPT_ENCODING, "gzip, br");
    let packed = instance.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(packed.header(header::CONTENT_ENCODING), "gzip");
    assert_eq!(packed.header(header::VARY), "accept-encoding");
    assert_ne!(packed.header(header::ETAG), plain.header(header::ETAG));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, plain.text());
    assert!(packed.body.len() * 2 < text.len());
}
