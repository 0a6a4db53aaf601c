//! How often somebody may ask.

use std::net::SocketAddr;

use access::{
    message_signature,
    origin::Origin,
    outgoing::{Outgoing, Stamp},
};
use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, StatusCode, header},
};
use chancery::config::Flag;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    kit::{Answer, Instance, TOKEN},
    statements::{bring, by_key, by_owner, did, key, prepared, registered},
};

async fn with(pool: &PgPool) -> Instance {
    let keys = [
        Flag::new("access.per_minute", 3),
        Flag::new("access.per_hour", 5),
    ];
    Instance::with(pool, &keys).await
}

/// A request from an address, with these headers.
async fn from(instance: &Instance, address: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer = SocketAddr::new(address.parse().unwrap(), 4711);
    request.extensions_mut().insert(ConnectInfo(peer));
    instance.ask(request).await
}

#[sqlx::test]
async fn an_address_asks_so_often_and_is_told(pool: PgPool) {
    let instance = with(&pool).await;
    let ask = async |address: &str| from(&instance, address, "/v1/agents", &[]).await;
    for left in [2, 1, 0] {
        let answer = ask("192.0.2.1").await;
        assert_eq!(answer.status, StatusCode::OK);
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, "\"minute\";q=3;w=60, \"hour\";q=5;w=3600");
        let limit = answer.header("ratelimit");
        assert!(
            limit.starts_with(&format!("\"minute\";r={left};t=")),
            "{limit}"
        );
    }
    let refused = ask("192.0.2.1").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let problem = refused.json();
    assert_eq!(
        problem["type"],
        "https://iana.org/assignments/http-problem-types#quota-exceeded"
    );
    assert_eq!(problem["violated-policies"], json!(["minute"]));
    assert_eq!(problem["code"], "limited");
    let seconds: u64 = refused.header(header::RETRY_AFTER).parse().unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").starts_with("\"minute\";r=0;t="));
    assert_eq!(
        ask("192.0.2.2").await.status,
        StatusCode::OK,
        "another address"
    );
    // 64 bits of IPv6 are one caller.
    for i in 1..=3 {
        assert_eq!(ask(&format!("2001:db8::{i}")).await.status, StatusCode::OK);
    }
    assert_eq!(
        ask("2001:db8::ffff").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(ask("2001:db8:0:1::1").await.status, StatusCode::OK);
    // What machines watch, and what verifiers read whole, is not counted.
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/audit/vkey",
        "/",
        "/openapi.json",
    ] {
        let answer = from(&instance, "192.0.2.1", path, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("ratelimit"), "", "{path}");
    }
    instance
        .app
        .audit_log
        .flush(&instance.app.db)
        .await
        .unwrap();
    let path = "/v1/audit-logs?event_type=rate_limit_exceeded";
    let events = instance.send("GET", path, TOKEN, &Value::Null).await.json();
    let events = events["items"].as_array().unwrap();
    assert_eq!(events.len(), 2, "one of each bucket");
    assert_eq!(events[1]["ip_address"], "192.0.2.1");
    assert_eq!(events[1]["action"], "GET /v1/agents");
    // The page of an agent asks the database, so it counts.
    let page = async |address: &str| from(&instance, address, "/agents/1:1", &[]).await;
    assert_eq!(
        page("192.0.2.1").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    let counted = page("192.0.2.3").await;
    assert_eq!(counted.status, StatusCode::NOT_FOUND);
    assert!(counted.header("ratelimit").starts_with("\"minute\";r=2;t="));
}

#[sqlx::test]
async fn the_operator_and_this_machine_are_not_counted(pool: PgPool) {
    let instance = with(&pool).await;
    let bearer = format!("Bearer {TOKEN}");
    let token = [("authorization", bearer.as_str())];
    let callers: [(&str, &[(&str, &str)]); 4] = [
        ("127.0.0.1", &[]),
        ("::1", &[]),
        ("::ffff:127.0.0.1", &[]),
        ("192.0.2.1", &token),
    ];
    for _ in 0..10 {
        for (address, headers) in callers {
            let answer = from(&instance, address, "/v1/agents", headers).await;
            assert_eq!(answer.status, StatusCode::OK, "{address}");
            assert_eq!(answer.header("ratelimit"), "");
        }
    }
    // A wrong token is counted, so that nobody tries many.
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let headers = [("authorization", "Bearer wrong")];
        statuses.push(
            from(&instance, "192.0.2.2", "/v1/agents", &headers)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [401, 401, 401, 429]);
    // Also where nothing else is: to prove who one is costs everywhere.
    let headers = [("authorization", "Bearer wrong")];
    let refused = from(&instance, "192.0.2.2", "/livez", &headers).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let answer = from(&instance, "192.0.2.2", "/livez", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[sqlx::test]
async fn behind_a_proxy_it_is_the_caller_who_counts(pool: PgPool) {
    let instance = with(&pool).await;
    let ask = async |peer: &str, forwarded: &str| {
        let headers = [("x-forwarded-for", forwarded)];
        from(&instance, peer, "/v1/agents", &headers)
            .await
            .status
            .as_u16()
    };
    for wanted in [200, 200, 200, 429] {
        assert_eq!(ask("127.0.0.1", "198.51.100.1").await, wanted);
    }
    assert_eq!(
        ask("127.0.0.1", "198.51.100.2").await,
        200,
        "another caller"
    );
    assert_eq!(
        ask("127.0.0.1", "127.0.0.1, 198.51.100.1").await,
        429,
        "his own word is none"
    );
    // Nor does he make the proxy's unreadable.
    let forwarded = HeaderValue::from_bytes(b"\xff, 198.51.100.1").unwrap();
    let request = Request::get("/v1/agents").header("x-forwarded-for", forwarded);
    let mut request = request.body(Body::empty()).unwrap();
    let proxy = SocketAddr::from(([127, 0, 0, 1], 4711));
    request.extensions_mut().insert(ConnectInfo(proxy));
    let answer = instance.ask(request).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    // A stranger is no proxy.
    for wanted in [200, 200, 200, 429] {
        assert_eq!(
            ask("192.0.2.9", &format!("203.0.113.{wanted}")).await,
            wanted
        );
    }
}

#[sqlx::test]
async fn a_proxy_that_is_not_believed_is_one_caller(pool: PgPool) {
    let keys = [
        Flag::new("access.per_minute", 3),
        Flag::new("access.trusted_proxies", json!([])),
    ];
    let instance = Instance::with(&pool, &keys).await;
    for (place, wanted) in [200, 200, 200, 429].into_iter().enumerate() {
        let chosen = format!("198.51.100.{place}");
        let headers = [("x-forwarded-for", chosen.as_str())];
        let answer = from(&instance, "127.0.0.1", "/v1/agents", &headers).await;
        assert_eq!(answer.status.as_u16(), wanted, "{chosen}");
    }
}

#[sqlx::test]
async fn a_proxy_that_does_not_say_who_asks_passes_nobody_on_uncounted(pool: PgPool) {
    let instance = with(&pool).await;
    let ask = async |headers: &[(&str, &str)]| {
        let answer = from(&instance, "127.0.0.1", "/v1/agents", headers).await;
        answer.status.as_u16()
    };
    // Whatever says that somebody else asked, all of them together have what one caller has.
    let passed_on = [
        ("via", "1.1 proxy"),
        ("forwarded", "for=192.0.2.1"),
        ("x-real-ip", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "unknown"),
        ("host", "office.example"),
        ("host", "127.0.0.1.evil.example"),
        ("host", ""),
    ];
    for (place, header) in passed_on.into_iter().enumerate() {
        let wanted = if place < 3 { 200 } else { 429 };
        assert_eq!(ask(&[header]).await, wanted, "{header:?}");
    }
    // Programs of this machine call it by its own names.
    for host in [
        "localhost:8004",
        "LOCALHOST",
        "127.0.0.1:8004",
        "127.9.9.9",
        "[::1]:8004",
        "office.localhost:8004",
    ] {
        assert_eq!(ask(&[("host", host)]).await, 200, "{host}");
    }
}

#[sqlx::test]
async fn an_office_that_others_reach_counts_this_machine_too(pool: PgPool) {
    let keys = [
        Flag::new("access.origins", json!(["https://office.example"])),
        Flag::new("access.per_minute", 3),
    ];
    let instance = Instance::with(&pool, &keys).await;
    let wish = json!({"name": "ci", "rate_limit_per_minute": 9});
    let key = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let ask = async |headers: &[(&str, &str)]| {
        let answer = from(&instance, "127.0.0.1", "/v1/agents", headers).await;
        answer.status.as_u16()
    };
    for wanted in [200, 200, 200, 429] {
        assert_eq!(ask(&[("host", "127.0.0.1:8004")]).await, wanted);
    }
    // Who may ask as often as he likes says who he is.
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(ask(&[("authorization", bearer.as_str())]).await, 200);
    let secret = key["key"].as_str().unwrap();
    for _ in 0..9 {
        assert_eq!(ask(&[("x-api-key", secret)]).await, 200);
    }
    assert_eq!(ask(&[("x-api-key", secret)]).await, 429);
}

#[sqlx::test]
async fn what_is_said_of_an_agent_counts_for_whoever_signed_it(pool: PgPool) {
    let instance = with(&pool).await;
    for seed in [1, 2] {
        registered(&instance, seed).await;
    }
    let update = async |seed: u8, name: &str| {
        let content = json!({ "summary": name });
        prepared(&instance, "update", &did(seed), content).await
    };
    let say = async |seed: u8, statement: &Value, signature: Value| {
        let path = format!("/v1/agents/{}/statements", did(seed));
        let body = json!({ "statement": statement, "signatures": [signature] });
        bring(&instance, &path, &body, None).await
    };
    let first = update(1, "first").await;
    let answer = say(1, &first, by_key(1, &first)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let limit = answer.header("ratelimit");
    assert!(limit.starts_with("\"minute\";r=2;t="), "{limit}");
    // What was signed is everybody's to read: that somebody brings it again costs the agent nothing, nor does what
    // strangers sign.
    for _ in 0..5 {
        let again = say(1, &first, by_key(1, &first)).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text());
        let strange = say(1, &first, by_key(2, &first)).await;
        assert_ne!(strange.status, StatusCode::TOO_MANY_REQUESTS);
    }
    for name in ["second", "third"] {
        let next = update(1, name).await;
        let answer = say(1, &next, by_key(1, &next)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let fourth = update(1, "fourth").await;
    let refused = say(1, &fourth, by_key(1, &fourth)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["violated-policies"], json!(["minute"]));
    assert_ne!(refused.header(header::RETRY_AFTER), "");
    assert!(refused.header("ratelimit").starts_with("\"minute\";r=0;t="));
    let path = format!("/v1/agents/{}/statements", did(1));
    assert_eq!(
        instance.items(&path).await.len(),
        4,
        "it is registered, too"
    );
    // The owner speaks for himself, and other agents for themselves.
    let answer = say(1, &fourth, by_owner(1, &fourth)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let other = update(2, "other").await;
    let answer = say(2, &other, by_key(2, &other)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let app = &instance.app;
    app.audit_log.flush(&app.db).await.unwrap();
    let path = "/v1/audit-logs?event_type=rate_limit_exceeded";
    let events = instance.send("GET", path, TOKEN, &Value::Null).await.json();
    let events = events["items"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["client_id"], did(1));
    assert_eq!(events[0]["action"], "POST /v1/agents/{agent}/statements");
}

#[sqlx::test]
async fn who_signs_the_request_with_what_it_says_is_counted_once(pool: PgPool) {
    let instance = with(&pool).await;
    registered(&instance, 1).await;
    let path = format!("/v1/agents/{}/statements", did(1));
    let office = Origin::parse("http://localhost:8004").unwrap();
    let say = async |name: &str| {
        let statement = prepared(&instance, "update", &did(1), json!({ "summary": name })).await;
        let signature = by_key(1, &statement);
        let body = json!({ "statement": statement, "signatures": [signature] }).to_string();
        let outgoing = Outgoing {
            origin: &office,
            method: "POST",
            path: &path,
            query: None,
            body: body.as_bytes(),
        };
        let stamp = Stamp::new(instance.app.db.clock().now()).unwrap();
        let signed = message_signature::sign(&key(1), &outgoing, &stamp).unwrap();
        let mut request = Request::post(&path)
            .header(header::HOST, office.authority())
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in signed {
            request = request.header(name, value);
        }
        instance.ask(request.body(Body::from(body)).unwrap()).await
    };
    for (name, left) in [("first", 2), ("second", 1), ("third", 0)] {
        let answer = say(name).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let limit = answer.header("ratelimit");
        let wanted = format!("\"minute\";r={left};t=");
        assert!(limit.starts_with(&wanted), "{name}: {limit}");
    }
    let refused = say("fourth").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}

#[sqlx::test]
async fn what_the_operator_brings_is_not_counted(pool: PgPool) {
    let instance = with(&pool).await;
    registered(&instance, 1).await;
    let path = format!("/v1/agents/{}/statements", did(1));
    let update = async |name: &str| {
        let statement = prepared(&instance, "update", &did(1), json!({ "summary": name })).await;
        let signature = by_key(1, &statement);
        json!({ "statement": statement, "signatures": [signature] })
    };
    for name in ["first", "second", "third", "fourth"] {
        let body = update(name).await;
        let answer = instance.send("POST", &path, TOKEN, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.header("ratelimit"), "");
    }
    let own = bring(&instance, &path, &update("own").await, None).await;
    assert_eq!(own.status, StatusCode::OK, "{}", own.text());
    let limit = own.header("ratelimit");
    assert!(limit.starts_with("\"minute\";r=2;t="), "{limit}");
}

#[sqlx::test]
async fn a_key_has_quotas_of_its_own(pool: PgPool) {
    let instance = with(&pool).await;
    let wish = json!({"name": "ci", "rate_limit_per_minute": 6, "rate_limit_per_hour": 6});
    let mine = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let wish = json!({"name": "more", "principal": "0x52908400098527886e0f7030069857d2e4169ee7", "scopes": ["keys:write"]});
    let account = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let wish = json!({"name": "of an account"});
    let token = account["key"].as_str().unwrap();
    let theirs = instance.send("POST", "/v1/keys", token, &wish).await.json();
    let ask = async |address: &str, key: &Value| {
        let headers = [("x-api-key", key["key"].as_str().unwrap())];
        let answer = from(&instance, address, "/v1/agents", &headers).await;
        (
            answer.status.as_u16(),
            answer.header("ratelimit-policy").to_owned(),
        )
    };
    // The operator's key: its quotas alone, from wherever.
    for i in 0..6 {
        let (status, policy) = ask(&format!("192.0.2.{i}"), &mine).await;
        assert_eq!(
            (status, policy.as_str()),
            (200, "\"minute\";q=6;w=60, \"hour\";q=6;w=3600")
        );
    }
    assert_eq!(ask("127.0.0.1", &mine).await.0, 429, "also on this machine");
    // An account makes as many keys as it likes, so its address counts, too.
    for wanted in [200, 200, 200, 429] {
        assert_eq!(ask("198.51.100.1", &theirs).await.0, wanted);
    }
}

#[sqlx::test]
async fn who_rotates_again_and_again_holds_two_keys_and_no_more(pool: PgPool) {
    let instance = with(&pool).await;
    let wish = json!({"name": "ci", "principal": "nobody", "scopes": ["keys:write"]});
    let first = instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    // Whoever has the key asks with it.
    let post = async |path: &str, key: &Value, wish: Value| {
        let token = key["key"].as_str().unwrap();
        let answer = instance.send("POST", path, token, &wish).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    let turn = async |key: &Value| {
        let path = format!("/v1/keys/{}/rotate", key["key_id"].as_str().unwrap());
        let longest = json!({"overlap_seconds": 30 * 24 * 60 * 60});
        post(&path, key, longest).await
    };
    let child = post("/v1/keys", &first, json!({"name": "child"})).await;
    let second = turn(&first).await;
    assert_eq!(second["ended"], Value::Null);
    let third = turn(&second).await;
    assert_eq!(third["ended"], first["key_id"]);
    for (key, wanted) in [(&first, 401), (&second, 200), (&third, 200), (&child, 200)] {
        let headers = [("x-api-key", key["key"].as_str().unwrap())];
        let answer = from(&instance, "192.0.2.1", "/v1/agents", &headers).await;
        assert_eq!(answer.status.as_u16(), wanted, "{key}");
    }
    // It is over, not revoked, and the audit log says why.
    let path = format!("/v1/keys/{}", first["key_id"].as_str().unwrap());
    let over = instance
        .send("GET", &path, TOKEN, &Value::Null)
        .await
        .json();
    assert_eq!(
        (&over["active"], &over["revoked_at"]),
        (&json!(true), &Value::Null)
    );
    let path = "/v1/audit-logs?event_type=api_key_updated";
    let events = instance.send("GET", path, TOKEN, &Value::Null).await.json();
    let told: Vec<(&Value, &Value)> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (&event["resource_id"], &event["extra_metadata"]))
        .collect();
    let wanted = [
        (&first, json!({"ended_by_rotating": second["key_id"]})),
        (&second, json!({"successor": third["key_id"]})),
        (&first, json!({"successor": second["key_id"]})),
    ];
    let wanted: Vec<(&Value, &Value)> = wanted
        .iter()
        .map(|(key, more)| (&key["key_id"], more))
        .collect();
    assert_eq!(told, wanted);
}

#[sqlx::test]
async fn a_rotated_key_and_its_successors_share_one_quota(pool: PgPool) {
    let instance = with(&pool).await;
    let wish = json!({
        "name": "ci", "principal": "nobody", "scopes": ["keys:write"],
        "rate_limit_per_minute": 4, "rate_limit_per_hour": 4,
    });
    let make = async || instance.send("POST", "/v1/keys", TOKEN, &wish).await.json();
    let turn = async |key: &Value| {
        let path = format!("/v1/keys/{}/rotate", key["key_id"].as_str().unwrap());
        let at_once = json!({"overlap_seconds": 0});
        let token = key["key"].as_str().unwrap();
        instance.send("POST", &path, token, &at_once).await
    };
    let ask = async |key: &Value| {
        let headers = [("x-api-key", key["key"].as_str().unwrap())];
        let answer = from(&instance, "192.0.2.1", "/v1/agents", &headers).await;
        answer.status.as_u16()
    };
    // Whatever ended between the two, the third goes on where the first was.
    let first = make().await;
    assert_eq!(ask(&first).await, 200);
    let second = turn(&first).await.json();
    let third = turn(&second).await.json();
    assert_eq!(ask(&third).await, 200);
    assert_eq!(ask(&third).await, 429);
    assert_eq!(turn(&third).await.status, StatusCode::TOO_MANY_REQUESTS);
    let other = make().await;
    assert_eq!(ask(&other).await, 200, "another line");
}
