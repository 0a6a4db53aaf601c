//! Writes need the token, and leave their trace.

use std::path::Path;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use chancery::config::Flag;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kit::{Answer, Instance, TOKEN};

async fn upload(instance: &Instance, token: &str, bytes: Vec<u8>) -> Answer {
    let request = Request::post("/v1/ipfs")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(bytes))
        .unwrap();
    instance.ask(request).await
}

#[sqlx::test]
async fn nobody_writes_without_the_token(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    for token in ["", "a wrong token of the tests"] {
        for (method, path, body) in [
            ("PUT", "/v1/agents/1:1/status", json!({"status": "SLEEP"})),
            ("POST", "/v1/transactions", json!({"chain": 1, "raw": "0x"})),
            ("POST", "/v1/ipfs", json!("x")),
        ] {
            let answer = instance.send(method, path, token, &body).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer");
        }
    }
    assert_eq!(
        instance.get("/v1/agents/1:1").await.json()["runtime_status"],
        "ACTIVE"
    );
}

/// Nothing seals here until the test does.
#[sqlx::test]
async fn writes_wait_while_the_journal_is_full_and_nothing_else_does(pool: PgPool) {
    let instance = Instance::with(&pool, &[Flag::new("journal.max_queued", 50)]).await;
    let wish = json!({ "name": "made while there was room" });
    // By another process, so that this one asks for room only once there is none.
    let elsewhere = Instance::new(&pool).await;
    let key = elsewhere.send("POST", "/v1/keys", TOKEN, &wish).await;
    let key = key.json();
    let key = format!("/v1/keys/{}", key["key_id"].as_str().unwrap());
    let rotate = format!("{key}/rotate");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/erc8004");
    instance.replay(&corpus.join("mainnet-logs.json")).await;
    let status = |status| json!({ "status": status });
    for (method, path, body) in [
        ("PUT", "/v1/agents/1:1/status", status("SLEEP")),
        ("POST", "/v1/transactions", json!({"chain": 1, "raw": "0x"})),
        ("POST", "/v1/ipfs", json!("x")),
        ("POST", "/v1/keys", wish),
        ("POST", rotate.as_str(), json!({})),
        ("DELETE", key.as_str(), Value::Null),
    ] {
        let answer = instance.send(method, path, TOKEN, &body).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert_eq!(answer.header(header::RETRY_AFTER), "5");
        assert_eq!(answer.json()["code"], "limited");
        assert!(answer.text().contains("wait"), "{}", answer.text());
    }
    for path in ["/v1/agents/1:1", "/v1/changes", "/readyz", "/metrics"] {
        assert_eq!(instance.get(path).await.status, StatusCode::OK, "{path}");
    }
    let agent = instance.get("/v1/agents/1:1").await.json();
    assert_eq!(agent["runtime_status"], "ACTIVE", "nothing was written");
    let keys = instance.send("GET", "/v1/keys", TOKEN, &Value::Null).await;
    let keys = keys.json()["items"].as_array().unwrap().clone();
    assert_eq!((keys.len(), &keys[0]["active"]), (1, &json!(true)));
    instance.seal().await;
    let path = "/v1/agents/1:1/status";
    let answer = instance.send("PUT", path, TOKEN, &status("SLEEP")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = instance.send("DELETE", &key, TOKEN, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[sqlx::test]
async fn a_status_is_set_once(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let before = instance.get("/v1/agents/1:1").await;
    let wish = json!({"status": "sleep", "reason": "night"});
    let answer = instance
        .send("PUT", "/v1/agents/1:1/status", TOKEN, &wish)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let agent = answer.json();
    assert_eq!(agent["runtime_status"], "SLEEP");
    assert_eq!(agent["entry"]["state"], "queued");
    let cid = agent["entry"]["cid"].as_str().unwrap();
    let entry = instance.get(&format!("/v1/entries/{cid}")).await.json();
    assert_eq!(entry["entry"]["changes"][0][0], "runtime_status");
    assert_eq!(entry["entry"]["changes"][0][1], "SLEEP");
    let history = instance.items("/v1/agents/1:1/history").await;
    assert_eq!(history.len(), 2);
    assert_eq!(history[0]["reason"], "night");
    assert_eq!(history[0]["who"], "operator");
    let tag = before.header(header::ETAG);
    let changed = instance
        .get_as("/v1/agents/1:1", "if-none-match", tag)
        .await;
    assert_eq!(changed.status, StatusCode::OK);

    let again = instance
        .send("PUT", "/v1/agents/1:1/status", TOKEN, &wish)
        .await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json()["entry"], Value::Null);
    assert_eq!(instance.items("/v1/agents/1:1/history").await.len(), 2);
    let nobody = instance
        .send("PUT", "/v1/agents/1:99999999/status", TOKEN, &wish)
        .await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    // A change that was just made is the newest one at the head.
    instance.order().await;
    let newest = "/v1/changes?level=head&after=newest&limit=1";
    let changes = &instance.items(newest).await[0]["changes"];
    assert_eq!(changes[0]["column"], "runtime_status");
}

#[sqlx::test]
async fn stored_bytes_come_back_verified(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    for (bytes, kind) in [
        (b"{\"a\": 1}".to_vec(), "application/json"),
        (
            b"<script>alert(1)</script>".to_vec(),
            "application/octet-stream",
        ),
    ] {
        let added = upload(&instance, TOKEN, bytes.clone()).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.text());
        let added = added.json();
        let cid = added["cid"].as_str().unwrap();
        assert_eq!(cid, kernel::cid_of_raw(&bytes).to_string());
        assert_eq!(added["size"], bytes.len());
        assert_eq!(added["pins"][0]["state"], "stored");
        let file = instance.get(&format!("/ipfs/{cid}")).await;
        assert_eq!(file.body, bytes);
        assert_eq!(file.header(header::CONTENT_TYPE), kind);
        assert_eq!(file.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert!(
            file.header(header::CONTENT_SECURITY_POLICY)
                .contains("sandbox")
        );
        assert_eq!(file.header(header::ETAG), format!("\"{cid}\""));
        let below = instance.get(&format!("/ipfs/{cid}/a")).await;
        assert_eq!(below.status, StatusCode::NOT_FOUND);
        let kept = instance.get(&format!("/v1/ipfs/{cid}")).await.json();
        assert_eq!(kept["local"], true);
    }
    let unknown =
        instance.get("/v1/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy");
    assert_eq!(unknown.await.json()["local"], false);
    assert_eq!(
        upload(&instance, TOKEN, Vec::new()).await.status,
        StatusCode::BAD_REQUEST
    );
    let large = upload(&instance, TOKEN, vec![0; (1 << 20) + 1]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(large.json()["code"], "too_large");
}
