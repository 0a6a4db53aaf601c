//! Secrets that stand for whoever has them, API keys and the tokens of sessions: each trick on each route that asks for
//! a proof.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use chancery::http;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{Cell, Trick, Way, cell, is_refused, named, proven};
use crate::{
    access::path_of,
    kit::{Answer, Instance, TOKEN},
    proofs::{HOST, Wallet, nonce, sign_in},
};

async fn send(instance: &Instance, method: &str, path: &str, secret: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {secret}"));
    let body = if method == "GET" { "" } else { "{}" };
    instance.ask(request.body(Body::from(body)).unwrap()).await
}

/// Plays all tricks of a way with what `secret` gives for each, on one route.
async fn play(
    instance: &Instance,
    way: Way,
    (method, route): (&str, &str),
    good: &str,
    secret: impl Fn(Trick) -> String,
) {
    let (path, route) = (path_of(route), format!("{way:?} on {method} {route}"));
    let answer = send(instance, method, &path, good).await;
    let is_believed = answer.status != StatusCode::UNAUTHORIZED;
    assert!(is_believed, "{route}: {}", answer.text());
    for trick in Trick::ALL {
        let Cell::Refused(code) = cell(way, trick) else {
            continue;
        };
        let secret = secret(trick);
        let answer = send(instance, method, &path, &secret).await;
        let what = format!("{trick:?}, {route}");
        is_refused(instance, &what, &answer, code, &[secret]);
    }
}

/// A key of the operator's making: its id, and what its holder sends.
async fn made(instance: &Instance, wish: &Value) -> (String, String) {
    let answer = instance.send("POST", "/v1/keys", TOKEN, wish).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let key = answer.json();
    let text = |field: &str| key[field].as_str().unwrap().to_owned();
    (text("key_id"), text("key"))
}

#[sqlx::test]
async fn no_trick_makes_an_api_key(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let wish = |scopes: &[&str]| {
        json!({
            "name": "tried", "principal": "nobody", "scopes": scopes,
            "rate_limit_per_minute": 10_000, "rate_limit_per_hour": 10_000,
        })
    };
    let scopes = http::scopes();
    let (over_id, over) = made(&instance, &wish(&scopes)).await;
    sqlx::query(
        "UPDATE access.api_keys SET expires_at = now() - interval '1 minute' WHERE key_id = $1",
    )
    .bind(&over_id)
    .execute(&pool)
    .await
    .unwrap();
    let (former_id, former) = made(&instance, &wish(&scopes)).await;
    let path = format!("/v1/keys/{former_id}/rotate");
    let at_once = json!({ "overlap_seconds": 0 });
    let rotated = instance.send("POST", &path, TOKEN, &at_once).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.text());
    let (_, bare) = made(&instance, &wish(&[])).await;
    let (_, good) = made(&instance, &wish(&scopes)).await;
    for grant in proven() {
        let secret = |trick: Trick| match trick {
            Trick::Expired => over.clone(),
            Trick::RotatedKey => former.clone(),
            Trick::ScopeMissing => bare.clone(),
            Trick::CutKey | Trick::PaddedKey => named(Some(trick), &good),
            other => panic!("nothing plays {other:?}"),
        };
        let route = (grant.method, grant.route);
        play(&instance, Way::ApiKey, route, &good, secret).await;
    }
}

#[sqlx::test]
async fn no_trick_makes_a_session(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let open = async || {
        let signed = Wallet::new(21).message(&nonce(&instance).await, |text| text);
        let opened = sign_in(&instance, &[], &signed).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.text());
        opened.json()["token"].as_str().unwrap().to_owned()
    };
    let over = open().await;
    sqlx::query("UPDATE access.sessions SET expires_at = now() - interval '1 minute'")
        .execute(&pool)
        .await
        .unwrap();
    let ended = open().await;
    let closed = send(&instance, "DELETE", "/v1/sessions/current", &ended).await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.text());
    for grant in proven() {
        // One of the routes ends it.
        let good = open().await;
        let secret = |trick: Trick| match trick {
            Trick::Expired => over.clone(),
            Trick::Replay => ended.clone(),
            Trick::CutKey | Trick::PaddedKey => named(Some(trick), &good),
            other => panic!("nothing plays {other:?}"),
        };
        let route = (grant.method, grant.route);
        play(&instance, Way::Session, route, &good, secret).await;
    }
}
