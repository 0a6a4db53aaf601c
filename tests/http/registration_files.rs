//! Registration files before they are registered.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::kit::{Answer, Instance};

async fn check(instance: &Instance, question: &Value) -> Answer {
    let path = "/v1/registration-files/check";
    instance.send("POST", path, "", question).await
}

#[sqlx::test]
async fn a_file_is_judged_as_the_indexer_judges_it(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let text = r#"{"type":"https://eips.ethereum.org/EIPS/eip-8004#registration-v1","name":"Ada"}"#;
    let answer = check(&instance, &json!({ "text": text })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let said = answer.json();
    assert_eq!(said["state"], "nonconformant");
    let warnings = said["warnings"].as_array().unwrap();
    let of = |code: &str| warnings.iter().find(|warning| warning["code"] == code);
    let description = of("missing-description").expect("a warning");
    assert_eq!(description["level"], "violation");
    assert_eq!(of("missing-image").expect("a note")["level"], "note");
    assert_eq!(said["size"], text.len());
    assert_eq!(said["cid"], kernel::cid_of_raw(text.as_bytes()).to_string());
    let uri = said["data_uri"].as_str().unwrap();
    let back = content::data_uri::decode(uri.as_bytes()).unwrap();
    assert_eq!(back.bytes, text.as_bytes());
    assert_eq!(said["already"], json!([]));

    let malformed = check(&instance, &json!({ "text": "{\"a\":1,\"a\":2}" }))
        .await
        .json();
    assert_eq!(malformed["state"], "malformed");
    assert_eq!(malformed["warnings"][0]["level"], "malformed");
}

#[sqlx::test]
async fn what_an_owner_has_already_is_found(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    let all = instance.items("/v1/agents?limit=200").await;
    let agent = all
        .iter()
        .find(|agent| agent["name_source"] == "document" && agent["owner_address"].is_string())
        .unwrap();
    let name = agent["name"].as_str().unwrap();
    let same = json!({ "name": name.to_uppercase() }).to_string();
    let ask = |text: &str, owner: &Value, chain: u64| json!({ "text": text, "owner": owner, "chain": chain });
    let found = check(&instance, &ask(&same, &agent["owner_address"], 1))
        .await
        .json();
    let already = found["already"].as_array().unwrap();
    let one = already.iter().find(|one| one["agent"]["id"] == agent["id"]);
    assert_eq!(one.expect("itself")["same"], json!(["name"]));

    let other = json!({ "name": "nobody is called so" }).to_string();
    let stranger = json!("0x00000000000000000000000000000000000000aa");
    for question in [
        ask(&other, &agent["owner_address"], 1),
        ask(&same, &stranger, 1),
        ask(&same, &agent["owner_address"], 8453),
    ] {
        let said = check(&instance, &question).await.json();
        assert_eq!(said["already"], json!([]), "{question}");
    }

    // What has ended may be registered anew.
    let path = format!("/v1/agents/{}/status", agent["id"].as_str().unwrap());
    let ended = json!({ "status": "TERMINATED" });
    let answer = instance.send("PUT", &path, super::kit::TOKEN, &ended).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let said = check(&instance, &ask(&same, &agent["owner_address"], 1))
        .await
        .json();
    let still = said["already"].as_array().unwrap();
    assert!(
        still.iter().all(|one| one["agent"]["id"] != agent["id"]),
        "{still:?}"
    );
}

/// The very bytes again are found by their hash, wherever they lie.
#[sqlx::test]
async fn the_same_file_is_the_same_file(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    let all = instance.items("/v1/agents?limit=200").await;
    let is_embedded = |agent: &&Value| {
        let uri = agent["agent_uri"].as_str().unwrap_or_default();
        uri.starts_with("data:application/json;base64,") && agent["owner_address"].is_string()
    };
    let agent = all.iter().find(is_embedded).unwrap();
    let uri = agent["agent_uri"].as_str().unwrap();
    let file = content::data_uri::decode(uri.as_bytes()).unwrap().bytes;
    let text = String::from_utf8(file).unwrap();
    let said = check(
        &instance,
        &json!({ "text": text, "owner": agent["owner_address"] }),
    )
    .await
    .json();
    let already = said["already"].as_array().unwrap();
    let one = already
        .iter()
        .find(|one| one["agent"]["id"] == agent["id"])
        .expect("itself");
    assert!(
        one["same"].as_array().unwrap().contains(&json!("file")),
        "{one}"
    );
}

/// So is what the same URI leads to, whatever it is.
#[sqlx::test]
async fn the_same_uri_is_the_same_file(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let all = instance.items("/v1/agents?limit=200").await;
    let is_hosted = |agent: &&Value| {
        let uri = agent["agent_uri"].as_str().unwrap_or_default();
        uri.starts_with("https://") && agent["owner_address"].is_string()
    };
    let agent = all.iter().find(is_hosted).unwrap();
    let ask = |uri: &str| json!({ "text": "", "uri": uri, "owner": agent["owner_address"] });
    let uri = agent["agent_uri"].as_str().unwrap();
    let said = check(&instance, &ask(uri)).await.json();
    let already = said["already"].as_array().unwrap();
    let one = already
        .iter()
        .find(|one| one["agent"]["id"] == agent["id"])
        .expect("itself");
    assert_eq!(one["same"], json!(["file"]));
    for other in [&format!("{uri}x"), ""] {
        let said = check(&instance, &ask(other)).await.json();
        assert_eq!(said["already"], json!([]), "{other}");
    }
}

#[sqlx::test]
async fn what_is_no_question_is_refused(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    for (question, status) in [
        (json!({}), StatusCode::BAD_REQUEST),
        (json!({ "text": 7 }), StatusCode::BAD_REQUEST),
        (
            json!({ "text": "{}", "owner": "0x12" }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "text": "{}", "chain": u64::MAX }),
            StatusCode::BAD_REQUEST,
        ),
        (json!({ "text": "{}", "more": 1 }), StatusCode::BAD_REQUEST),
        (json!({ "text": "", "uri": 1 }), StatusCode::BAD_REQUEST),
        (
            json!({ "text": "", "uri": "x".repeat(64 * 1024 + 1) }),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            json!({ "text": "x".repeat(256 * 1024 + 1) }),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let answer = check(&instance, &question).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // The most that fits is not stored in a URI.
    let largest = json!({ "text": "x".repeat(100 * 1024) });
    let said = check(&instance, &largest).await.json();
    assert_eq!(said["data_uri"], Value::Null);
}
