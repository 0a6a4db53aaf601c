//! DID resolution by the HTTP(S) binding of DID Resolution v1.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kit::{Answer, Instance, recording};

const KEY: &str = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
const PKH: &str = "did:pkh:eip155:1:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const KEPT: &str = "did:nft:eip155:77_erc721:0x00000000000000000000000000000000000000aa_0";
const BURNED: &str = "did:nft:eip155:77_erc721:0x00000000000000000000000000000000000000aa_1";

async fn instance(pool: &PgPool) -> Instance {
    let instance = Instance::new(pool).await;
    let dir = tempfile::tempdir().unwrap();
    instance.replay(&recording(dir.path())).await;
    instance.judge().await;
    instance
}

async fn resolve(instance: &Instance, did: &str) -> Answer {
    instance.get(&format!("/1.0/identifiers/{did}")).await
}

fn error(answer: &Answer) -> Value {
    let result = answer.json();
    assert_eq!(result["didDocument"], Value::Null);
    assert_eq!(result["didDocumentMetadata"], json!({}));
    result["didResolutionMetadata"]["error"]["type"].clone()
}

#[sqlx::test]
async fn statuses_are_those_of_the_binding(pool: PgPool) {
    let instance = instance(&pool).await;
    for did in [KEY, PKH, KEPT, &KEPT.replace("aa_0", "AA_0")] {
        let answer = resolve(&instance, did).await;
        assert_eq!(answer.status, StatusCode::OK, "{did}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/did-resolution");
        let result = answer.json();
        assert_eq!(result["didDocument"]["id"], *did);
        assert_eq!(
            result["didResolutionMetadata"]["contentType"],
            "application/did"
        );
    }
    let unknown = KEPT.replace("aa_0", "aa_9");
    let stranger = "did:web:stranger.example";
    for (did, status, name) in [
        ("not-a-did", 400, "INVALID_DID"),
        ("did:example", 400, "INVALID_DID"),
        ("did:key:nothing", 400, "INVALID_DID"),
        ("did:key:%00", 400, "INVALID_DID"),
        ("%ff", 400, "INVALID_DID"),
        ("did%3Akey%3A%00", 400, "INVALID_DID"),
        ("did:nft:x", 400, "INVALID_DID"),
        ("did:web:127.0.0.1", 400, "INVALID_DID"),
        (&format!("{KEY}?a=1&a=2"), 400, "INVALID_DID_URL"),
        (
            &format!("{KEPT}?versionTime=yesterday"),
            400,
            "INVALID_OPTIONS",
        ),
        (&unknown, 404, "NOT_FOUND"),
        ("did:vexel:nobody", 404, "NOT_FOUND"),
        ("did:web:a.example:agents:nobody", 404, "NOT_FOUND"),
        (
            &format!("{KEPT}?versionTime=2001-01-01T00:00:00Z"),
            404,
            "NOT_FOUND",
        ),
        ("did:unsupported:x", 501, "METHOD_NOT_SUPPORTED"),
        (stranger, 501, "FEATURE_NOT_SUPPORTED"),
        (
            &format!("{KEPT}?versionId=999"),
            501,
            "FEATURE_NOT_SUPPORTED",
        ),
    ] {
        let answer = instance
            .get_as(&format!("/1.0/identifiers/{did}"), "host", "a.example")
            .await;
        assert_eq!(answer.status.as_u16(), status, "{did}: {}", answer.text());
        let wanted = format!("https://www.w3.org/ns/did#{name}");
        assert_eq!(error(&answer), wanted, "{did}");
    }
    let gone = resolve(&instance, BURNED).await;
    assert_eq!(gone.status, StatusCode::GONE);
    let gone = gone.json();
    assert_eq!(gone["didDocument"], Value::Null);
    assert_eq!(gone["didDocumentMetadata"]["deactivated"], true);
}

#[sqlx::test]
async fn the_document_says_what_the_registry_knows(pool: PgPool) {
    let instance = instance(&pool).await;
    let result = resolve(&instance, KEPT).await.json();
    let document = &result["didDocument"];
    let owner = "did:pkh:eip155:77:0x0000000000000000000000000000000000000B0b";
    assert_eq!(document["controller"], owner);
    assert_eq!(document["service"][0]["type"], "MCP");
    assert_eq!(
        document["service"][0]["serviceEndpoint"],
        "https://a.example/mcp"
    );
    let caip = "eip155:77:0x00000000000000000000000000000000000000aa/0";
    assert_eq!(document["alsoKnownAs"], json!([caip]));
    let metadata = &result["didDocumentMetadata"];
    assert_eq!(metadata["canonicalId"], KEPT);
    assert_eq!(metadata["versionId"], "1");
    assert_eq!(metadata["created"], "2023-11-14T22:13:21Z");
    let same = resolve(
        &instance,
        &format!("{}?versionId=1", KEPT.replace(':', "%3A")),
    )
    .await;
    assert_eq!(same.json()["didDocument"], *document);
}

#[sqlx::test]
async fn accept_chooses_the_form(pool: PgPool) {
    let instance = instance(&pool).await;
    let path = format!("/1.0/identifiers/{KEPT}");
    for (accept, kind) in [
        ("*/*", "application/did-resolution"),
        ("application/json", "application/did-resolution"),
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/did-resolution",
        ),
        (
            "application/did-resolution,application/did",
            "application/did-resolution",
        ),
        ("application/did", "application/did"),
        ("application/did+ld+json", "application/did"),
        (
            "application/did-url-dereferencing",
            "application/did-url-dereferencing",
        ),
    ] {
        let answer = instance.get_as(&path, "accept", accept).await;
        assert_eq!(answer.status, StatusCode::OK, "{accept}");
        assert_eq!(answer.header("content-type"), kind, "{accept}");
        let json = answer.json();
        let id = match kind {
            "application/did" => &json["id"],
            "application/did-resolution" => &json["didDocument"]["id"],
            _ => &json["contentStream"]["id"],
        };
        assert_eq!(id, KEPT, "{accept}");
    }
    let refused = instance.get_as(&path, "accept", "image/png").await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(
        error(&refused),
        "https://www.w3.org/ns/did#REPRESENTATION_NOT_SUPPORTED"
    );
    let legacy = "application/ld+json;profile=\"https://w3id.org/did-resolution\"";
    let answer = instance
        .get_as("/1.0/identifiers/did:x:y", "accept", legacy)
        .await;
    assert_eq!(
        answer.json()["didResolutionMetadata"]["error"],
        "methodNotSupported"
    );
}

#[sqlx::test]
async fn did_urls_lead_into_the_document(pool: PgPool) {
    let instance = instance(&pool).await;
    let service = resolve(&instance, &format!("{KEPT}%23service-1")).await;
    assert_eq!(
        service.header("content-type"),
        "application/did-url-dereferencing"
    );
    assert_eq!(
        service.json()["content"]["serviceEndpoint"],
        "https://a.example/mcp"
    );
    let path = format!("/1.0/identifiers/{KEPT}?service=service-1&relativeRef=%2Ftools");
    let redirect = instance.get_as(&path, "accept", "text/uri-list").await;
    assert_eq!(redirect.status, StatusCode::SEE_OTHER);
    assert_eq!(redirect.header("location"), "https://a.example/tools");
    let nothing = resolve(&instance, &format!("{KEPT}%23nothing")).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn our_agents_have_a_did_web(pool: PgPool) {
    let instance = instance(&pool).await;
    let did = "did:web:registry.example%3A8443:agents:77%3A0";
    let host = "registry.example:8443";
    let resolved = instance
        .get_as(&format!("/1.0/identifiers/{did}"), "host", host)
        .await;
    assert_eq!(resolved.status, StatusCode::OK, "{}", resolved.text());
    let document = instance.get_as("/agents/77:0/did.json", "host", host).await;
    assert_eq!(document.status, StatusCode::OK, "{}", document.text());
    assert_eq!(document.json(), resolved.json()["didDocument"]);
    assert_eq!(document.json()["id"], did);
    let elsewhere = instance
        .get_as(&format!("/1.0/identifiers/{did}"), "host", "b.example")
        .await;
    assert_eq!(elsewhere.status, StatusCode::NOT_IMPLEMENTED);
    let address = instance
        .get_as("/agents/77:0/did.json", "host", "127.0.0.1:8004")
        .await;
    assert_eq!(address.status, StatusCode::NOT_FOUND);
    let gone = instance.get_as("/agents/77:1/did.json", "host", host).await;
    assert_eq!(gone.status, StatusCode::GONE);
}
