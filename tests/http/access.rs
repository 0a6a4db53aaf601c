//! Who asks, and what he may.

use std::{collections::BTreeSet, fs, path::Path};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use chancery::http;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    kit::{Answer, Instance, TOKEN},
    proofs::{Wallet, nonce, sign_in},
    refusals::requests::{of_key, of_wallet},
};

/// A key of the operator's making.
async fn key(instance: &Instance, wish: &Value) -> Value {
    let answer = instance.send("POST", "/v1/keys", TOKEN, wish).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    answer.json()
}

fn secret(key: &Value) -> &str {
    key["key"].as_str().unwrap()
}

fn id(key: &Value) -> &str {
    key["key_id"].as_str().unwrap()
}

/// The route of a grant as the document writes it.
fn described(grant: &http::Grant) -> String {
    grant.route.replace("{*", "{")
}

/// A route's path, with names of nobody in it.
pub fn path_of(route: &str) -> String {
    let path = route
        .replace("{*", "{")
        .replace(
            "{did}",
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        )
        .replace("{path}", "x")
        .replace("{address}", "0x00000000000000000000000000000000000000aa")
        .replace("{chain}", "1");
    let parts = path.split('/').map(|part| {
        if part.starts_with('{') {
            "nobody"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The scopes that the document says a key needs: of a route that no key opens there are none, and of one that is
/// everybody's it says nothing.
fn described_scopes(description: &Value) -> Option<Vec<&str>> {
    let ways = description.get("security")?.as_array().unwrap();
    let keys = ways.iter().filter_map(|way| way.get("key"));
    let scopes = keys.flat_map(|scopes| scopes.as_array().unwrap());
    Some(scopes.map(|scope| scope.as_str().unwrap()).collect())
}

/// The same, by the table.
fn granted_scopes(grant: &http::Grant) -> Option<Vec<&str>> {
    let is_open = grant.who == http::Who::Everybody;
    (!is_open).then(|| grant.scope.into_iter().collect())
}

/// Whether the document names this way to prove who asks, or asks for none.
fn takes(description: &Value, scheme: &str) -> bool {
    let Some(ways) = description.get("security") else {
        return true;
    };
    let ways = ways.as_array().unwrap();
    ways.iter().any(|way| way.get(scheme).is_some())
}

/// A request to a route whose names in the path are of nobody.
async fn knock(instance: &Instance, method: &str, route: &str, token: &str) -> Answer {
    let path = path_of(route);
    instance.send(method, &path, token, &json!({})).await
}

/// The token of a session that just began.
async fn session(instance: &Instance) -> String {
    let signed = Wallet::new(31).message(&nonce(instance).await, |text| text);
    let opened = sign_in(instance, &[], &signed).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text());
    opened.json()["token"].as_str().unwrap().to_owned()
}

const REFUSED: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

#[sqlx::test]
async fn every_route_is_granted_to_whom_the_table_says(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let document = instance.get("/openapi.json").await.json();
    let scopes = http::scopes();
    let full = key(&instance, &json!({"name": "all", "scopes": scopes, "rate_limit_per_minute": 10_000, "rate_limit_per_hour": 10_000})).await;
    let bare = key(
        &instance,
        &json!({"name": "none", "rate_limit_per_minute": 10_000, "rate_limit_per_hour": 10_000}),
    )
    .await;
    let client = key(
        &instance,
        &json!({"name": "other", "principal": "nobody", "scopes": scopes, "rate_limit_per_minute": 10_000, "rate_limit_per_hour": 10_000}),
    )
    .await;
    let acting_for = async |principal: &str| {
        let wish = json!({"name": "theirs", "principal": principal, "scopes": scopes, "rate_limit_per_minute": 10_000, "rate_limit_per_hour": 10_000});
        key(&instance, &wish).await
    };
    let accounts = acting_for("0x52908400098527886e0f7030069857d2e4169ee7").await;
    let agents = acting_for("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK").await;
    let mut signed = 0;
    let mut listed: Vec<(String, String)> = http::GRANTS
        .iter()
        .map(|grant| (grant.method.to_owned(), described(grant)))
        .collect();
    for (route, methods) in document["paths"].as_object().unwrap() {
        for (method, description) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let what = format!("{method} {route}");
            let at = listed
                .iter()
                .position(|line| *line == (method.clone(), route.clone()))
                .unwrap_or_else(|| panic!("{what} is not in the table of grants"));
            listed.swap_remove(at);
            let grant = http::GRANTS
                .iter()
                .find(|grant| grant.method == method && described(grant) == *route)
                .unwrap();
            let (nobody, proven) = match grant.who {
                http::Who::Everybody => (true, true),
                // Nothing but a session ends a session.
                http::Who::Proven => (false, grant.scope.is_some()),
                http::Who::Operator => (false, false),
            };
            let is_open = grant.who == http::Who::Everybody;
            assert_eq!(
                described_scopes(description),
                granted_scopes(grant),
                "{what}"
            );
            if !is_open {
                for status in ["401", "403"] {
                    let told = description["responses"].get(status).is_some();
                    assert!(told, "{what} tells of {status}");
                }
            }
            for (who, token, may) in [
                ("nobody", "", nobody),
                ("the operator", TOKEN, true),
                (
                    "the operator's key with all scopes",
                    secret(&full),
                    is_open || grant.scope.is_some(),
                ),
                ("the operator's key without scopes", secret(&bare), is_open),
                ("a client's key with all scopes", secret(&client), proven),
                (
                    "an account's key with all scopes",
                    secret(&accounts),
                    proven,
                ),
                ("an agent's key with all scopes", secret(&agents), proven),
            ] {
                let answer = knock(&instance, &method, route, token).await;
                let is_refused = REFUSED.contains(&answer.status);
                assert_eq!(
                    is_refused,
                    !may,
                    "{what} by {who}: {} {}",
                    answer.status,
                    answer.text()
                );
                if is_refused {
                    let wanted = REFUSED[usize::from(!token.is_empty())];
                    assert_eq!(answer.status, wanted, "{what} by {who}");
                }
            }
            // Who proves himself may what is his, without scopes. One of the routes ends the session.
            signed += 1;
            let (token, path) = (session(&instance).await, path_of(route));
            for (who, scheme, answer) in [
                (
                    "an account's session",
                    "session",
                    knock(&instance, &method, route, &token).await,
                ),
                (
                    "a wallet's request",
                    "wallet",
                    of_wallet(&instance, grant.method, &path, signed).await,
                ),
                (
                    "a request of an agent's key",
                    "signature",
                    of_key(&instance, grant.method, &path, signed).await,
                ),
            ] {
                let (status, text) = (answer.status, answer.text());
                let is_operators = grant.who == http::Who::Operator;
                let is_refused = REFUSED.contains(&status);
                assert_eq!(is_refused, is_operators, "{what} by {who}: {text}");
                assert_eq!(takes(description, scheme), !is_refused, "{what}: {scheme}");
                if is_refused {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{what} by {who}");
                }
            }
            for wrong in ["a mistaken token", "ains_mistaken", &"ains_".repeat(1000)] {
                let answer = knock(&instance, &method, route, wrong).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what} by {wrong}");
                assert!(!answer.text().contains(wrong), "it is not repeated");
            }
        }
    }
    assert!(
        listed.is_empty(),
        "these grants are of no route: {listed:?}"
    );
}

/// The routes of the router that `/openapi.json` does not tell of: the page's, the demo's, and where the document and
/// its own page are. The sources say which they are.
fn undescribed() -> BTreeSet<String> {
    let mut routes: BTreeSet<String> = ["/openapi.json", "/docs", "/docs/{*rest}"]
        .map(str::to_owned)
        .into();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let named = text.split(".route(\"").skip(1);
            routes.extend(named.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    routes
}

#[sqlx::test]
async fn routes_that_are_no_api_are_read_by_everybody_and_written_by_nobody(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let scopes = http::scopes();
    let full = key(&instance, &json!({"name": "all", "scopes": scopes, "rate_limit_per_minute": 10_000, "rate_limit_per_hour": 10_000})).await;
    let document = instance.get("/openapi.json").await.json();
    let routes = undescribed();
    assert!(routes.len() > 12, "{routes:?}");
    for known in ["/", "/agents/{agent}", "/demo/{file}", "/assets/app.js"] {
        assert!(routes.contains(known), "{known} was not seen");
    }
    for (signed, route) in (1..).zip(&routes) {
        let is_described = document["paths"].get(route.replace("{*", "{")).is_some();
        assert!(!is_described, "{route} is described");
        let in_table = http::GRANTS.iter().any(|grant| grant.route == route);
        assert!(!in_table, "{route} is in the table, and not described");
        let path = path_of(route);
        let token = session(&instance).await;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            for (who, token) in [
                ("nobody", ""),
                ("the operator", TOKEN),
                ("the operator's key with all scopes", secret(&full)),
                ("an account's session", token.as_str()),
            ] {
                let answer = knock(&instance, method, route, token).await;
                let wanted = match (method, who) {
                    ("GET", _) => !REFUSED.contains(&answer.status),
                    (_, "nobody") => answer.status == StatusCode::UNAUTHORIZED,
                    // There is nothing that even he could write.
                    (_, "the operator") => answer.status == StatusCode::METHOD_NOT_ALLOWED,
                    _ => answer.status == StatusCode::FORBIDDEN,
                };
                assert!(wanted, "{method} {route} by {who}: {}", answer.status);
            }
        }
        for answer in [
            of_wallet(&instance, "GET", &path, signed).await,
            of_key(&instance, "GET", &path, signed).await,
        ] {
            let is_refused = REFUSED.contains(&answer.status);
            assert!(!is_refused, "{route}: {}", answer.text());
        }
    }
}

#[sqlx::test]
async fn a_key_does_what_its_scopes_say(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let made = key(
        &instance,
        &json!({"name": "status", "scopes": ["agents:write"]}),
    )
    .await;
    assert_eq!(secret(&made).len(), "ains_".len() + 44);
    let wish = json!({"status": "SLEEP"});
    let answer = instance
        .send("PUT", "/v1/agents/1:1/status", secret(&made), &wish)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let as_header = Request::get("/v1/keys")
        .header("x-api-key", secret(&made))
        .body(Body::empty())
        .unwrap();
    let answer = instance.ask(as_header).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("keys:read"), "{}", answer.text());
    let history = instance.items("/v1/agents/1:1/history").await;
    assert_eq!(history[0]["who"], "operator", "for whom it acts");
    // One proof at a time.
    let both = Request::get("/v1/agents")
        .header("x-api-key", secret(&made))
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(instance.ask(both).await.status, StatusCode::UNAUTHORIZED);
    instance.app.usage.flush(&instance.app.db).await.unwrap();
    let path = format!("/v1/keys/{}/usage", id(&made));
    let used = instance
        .get_as(&path, "authorization", &format!("Bearer {TOKEN}"))
        .await
        .json();
    assert_eq!(used["items"][0]["window_type"], "hour");
    assert_eq!(
        used["items"][0]["request_count"], 1,
        "what was refused is not use"
    );
    let path = format!("/v1/keys/{}", id(&made));
    let shown = instance
        .get_as(&path, "authorization", &format!("Bearer {TOKEN}"))
        .await;
    assert!(shown.json()["last_used_at"].is_string(), "{}", shown.text());
    assert!(!shown.text().contains(secret(&made)));
}

#[sqlx::test]
async fn a_key_that_is_over_is_refused_everywhere(pool: PgPool) {
    let (here, there) = (Instance::new(&pool).await, Instance::new(&pool).await);
    let wish = json!({"name": "ci", "scopes": ["keys:read"]});
    let first = key(&here, &wish).await;
    let asks = async |instance: &Instance, token: &str| {
        instance
            .send("GET", "/v1/keys", token, &Value::Null)
            .await
            .status
    };
    assert_eq!(
        asks(&there, secret(&first)).await,
        StatusCode::OK,
        "at once"
    );
    let path = format!("/v1/keys/{}/rotate", id(&first));
    let second = here.send("POST", &path, TOKEN, &json!({})).await.json();
    assert_eq!(second["replaces"], first["key_id"]);
    let again = here.send("POST", &path, TOKEN, &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text());
    for token in [secret(&first), secret(&second)] {
        assert_eq!(asks(&here, token).await, StatusCode::OK, "both hold");
    }
    let path = format!("/v1/keys/{}", id(&second));
    let revoked = here.send("DELETE", &path, TOKEN, &Value::Null).await;
    assert_eq!(revoked.json()["active"], false);
    for instance in [&here, &there] {
        let seen = async || {
            let status = asks(instance, secret(&second)).await;
            (status == StatusCode::UNAUTHORIZED).then_some(())
        };
        super::kit::until(
            "a revoked key is refused",
            std::time::Duration::from_secs(5),
            seen,
        )
        .await;
        assert_eq!(asks(instance, secret(&first)).await, StatusCode::OK);
    }
    here.app.audit_log.flush(&here.app.db).await.unwrap();
    let events = here
        .send("GET", "/v1/audit-logs", TOKEN, &Value::Null)
        .await
        .json();
    let kinds: Vec<&str> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[..3],
        ["api_key_created", "api_key_updated", "api_key_revoked"]
    );
    assert_eq!(kinds[3], "authentication");
    let failed = &events["items"][0];
    assert_eq!(failed["success"], false);
    assert_eq!(failed["action"], "GET /v1/keys");
    assert!(!events.to_string().contains(secret(&second)));
}

/// Strangers see that something was done with a key, and by whom; who is given the record and its salt sees that it is
/// the one.
#[sqlx::test]
async fn what_is_done_with_keys_stands_in_the_journal_by_a_salted_digest(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let wish = json!({"name": "a name of its own", "scopes": ["keys:read"]});
    let (first, second) = (key(&instance, &wish).await, key(&instance, &wish).await);
    let path = format!("/v1/keys/{}/rotate", id(&first));
    instance.send("POST", &path, TOKEN, &json!({})).await;
    let path = format!("/v1/keys/{}", id(&second));
    instance.send("DELETE", &path, TOKEN, &Value::Null).await;

    let log = instance.send("GET", "/v1/audit-logs", TOKEN, &Value::Null);
    let log = log.await.json();
    let records = log["items"].as_array().unwrap();
    let entries = instance.items("/v1/entries").await;
    let acts = entries.iter().filter(|entry| entry["kind"] == "act");
    let mut done = Vec::new();
    for act in acts {
        for secret in ["a name of its own", id(&first), id(&second)] {
            assert!(!act.to_string().contains(secret), "{act}");
        }
        let change = &act["entry"]["changes"][0];
        let number = change[2].as_str().unwrap().strip_prefix("audit:").unwrap();
        let number: i64 = number.parse().unwrap();
        let record = records.iter().find(|one| one["id"] == number);
        let mut record = record.unwrap().as_object().unwrap().clone();
        assert_eq!(change[0], record["event_type"]);
        assert_eq!(change[1]["principal"], "operator");
        let mut salted = hex::decode(record["salt"].as_str().unwrap()).unwrap();
        assert_eq!(salted.len(), 16);
        for apart in ["salt", "ip_address", "user_agent"] {
            record.remove(apart).unwrap();
        }
        salted.extend(Value::Object(record).to_string().into_bytes());
        let digest = hex::encode(kernel::sha256(&salted));
        assert_eq!(change[1]["digest"], digest, "{act}");
        done.push(change[0].as_str().unwrap());
    }
    let expected = [
        "api_key_revoked",
        "api_key_updated",
        "api_key_created",
        "api_key_created",
    ];
    assert_eq!(done, expected);
}

#[sqlx::test]
async fn a_revoked_key_takes_along_what_it_made(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let scopes = json!(["keys:read", "keys:write"]);
    let parent = key(&instance, &json!({"name": "parent", "scopes": scopes})).await;
    let make = async |token: &str, name: &str| {
        let wish = json!({"name": name, "scopes": scopes});
        let answer = instance.send("POST", "/v1/keys", token, &wish).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    let child = make(secret(&parent), "child").await;
    let grandchild = make(secret(&child), "grandchild").await;
    assert_eq!(parent["made_with"], Value::Null);
    assert_eq!(child["made_with"], parent["key_id"]);
    assert_eq!(grandchild["made_with"], child["key_id"]);
    // A successor that the key asked for itself is of its making, too.
    let path = format!("/v1/keys/{}/rotate", id(&child));
    let answer = instance
        .send("POST", &path, secret(&child), &json!({}))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let next = answer.json();
    assert_eq!(next["made_with"], child["key_id"]);
    let path = format!("/v1/keys/{}", id(&parent));
    let revoked = instance.send("DELETE", &path, TOKEN, &Value::Null).await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text());
    let revoked = revoked.json();
    assert_eq!(
        (&revoked["key_id"], &revoked["active"]),
        (&parent["key_id"], &json!(false))
    );
    let mut all: Vec<&str> = [&child, &grandchild, &next].map(id).into();
    all.sort_unstable();
    assert_eq!(revoked["also_revoked"], json!(all));
    for key in [&parent, &child, &grandchild, &next] {
        let answer = instance
            .send("GET", "/v1/keys", secret(key), &Value::Null)
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{key}");
    }
    let path = "/v1/audit-logs?event_type=api_key_revoked";
    let events = instance.send("GET", path, TOKEN, &Value::Null).await.json();
    let events = events["items"].as_array().unwrap();
    let of = |key: &Value| {
        let mut events = events.iter();
        let event = events.find(|event| event["resource_id"] == key["key_id"]);
        event.unwrap()["extra_metadata"].clone()
    };
    assert_eq!(of(&parent), json!({}));
    for key in [&child, &grandchild, &next] {
        assert_eq!(of(key), json!({ "revoked_with": parent["key_id"] }));
    }
    let path = "/v1/audit-logs?event_type=api_key_updated";
    let events = instance.send("GET", path, TOKEN, &Value::Null).await.json();
    assert_eq!(
        events["items"][0]["extra_metadata"],
        json!({ "successor": next["key_id"] })
    );
}

#[sqlx::test]
async fn a_key_of_the_operators_makes_so_many_and_is_told_so(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let tool = key(
        &instance,
        &json!({"name": "tool", "scopes": ["keys:write"]}),
    )
    .await;
    sqlx::query(
        "INSERT INTO access.api_keys (key_id, key_hash, client_id, name, principal, created_by, made_with)
         SELECT 'key_' || n, encode(sha256(n::text::bytea), 'hex'), 'x', 'x', 'operator', 'operator', $1
           FROM generate_series(1, 100) AS n",
    )
    .bind(id(&tool))
    .execute(instance.app.db.pool())
    .await
    .unwrap();
    let wish = json!({"name": "one more"});
    let refused = instance.send("POST", "/v1/keys", secret(&tool), &wish);
    let refused = refused.await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text());
    assert_eq!(refused.json()["code"], "conflict");
    for word in ["revoke one", "token"] {
        assert!(refused.text().contains(word), "{}", refused.text());
    }
    key(&instance, &wish).await;
    let gone = instance
        .send("DELETE", "/v1/keys/key_1", secret(&tool), &Value::Null)
        .await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text());
    let made = instance
        .send("POST", "/v1/keys", secret(&tool), &wish)
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
}

#[sqlx::test]
async fn nobody_gives_more_than_he_has(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let account = "0x52908400098527886e0f7030069857d2e4169ee7";
    let wish = json!({"name": "mine", "principal": account, "scopes": ["keys:write", "keys:read"]});
    let mine = key(&instance, &wish).await;
    let other = key(&instance, &json!({"name": "not mine"})).await;
    assert_eq!(mine["principal"], account);
    let make = async |wish: Value| {
        let answer = instance
            .send("POST", "/v1/keys", secret(&mine), &wish)
            .await;
        (answer.status, answer.text().to_owned())
    };
    let (status, _) = make(json!({"name": "child", "scopes": ["keys:read"]})).await;
    assert_eq!(status, StatusCode::OK);
    for (wish, word) in [
        (json!({"name": "x", "scopes": ["audit:read"]}), "audit:read"),
        (json!({"name": "x", "principal": "operator"}), "for you"),
        (json!({"name": "x", "principal": "nobody"}), "for you"),
        (
            json!({"name": "x", "rate_limit_per_minute": 61}),
            "operator",
        ),
        (
            json!({"name": "x", "rate_limit_per_hour": 1001}),
            "operator",
        ),
    ] {
        let (status, text) = make(wish.clone()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{wish}: {text}");
        assert!(text.contains(word), "{wish}: {text}");
    }
    let listed = instance
        .send("GET", "/v1/keys", secret(&mine), &Value::Null)
        .await
        .json();
    assert_eq!(
        listed["items"].as_array().unwrap().len(),
        2,
        "its own and its child"
    );
    no_key_gives_more_than_it_has(&instance, account, &mine).await;
    for (method, rest) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("GET", "/usage"),
    ] {
        let path = format!("/v1/keys/{}{rest}", id(&other));
        let answer = instance
            .send(method, &path, secret(&mine), &json!({}))
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    for wrong in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "x".repeat(256)}),
        json!({"name": "x", "scopes": ["all"]}),
        json!({"name": "x", "principal": "Bob"}),
        json!({"name": "x", "principal": "did:key:z6Mk"}),
        json!({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}),
        json!({"name": "x", "expires_at": "2101-01-01T00:00:00Z", "expires_in_seconds": 5}),
        json!({"name": "x", "rate_limit_per_minute": 0}),
        json!({"name": "x", "rate_limit_per_hour": 99_999_999}),
        json!({"name": "x", "client_id": "x".repeat(65)}),
        json!({"name": "x", "admin": true}),
        json!({"name": "x\u{0}"}),
    ] {
        let answer = instance.send("POST", "/v1/keys", TOKEN, &wrong).await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{wrong}: {}",
            answer.text()
        );
    }
}

#[sqlx::test]
async fn strangers_keys_end_after_ninety_days(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let wish = json!({
        "name": "mine", "principal": "0x52908400098527886e0f7030069857d2e4169ee7", "scopes": ["keys:write"],
    });
    let mine = key(&instance, &wish).await;
    assert_eq!(mine["expires_at"], Value::Null, "the operator's word");
    let make = async |wish: Value| {
        instance
            .send("POST", "/v1/keys", secret(&mine), &wish)
            .await
    };
    let days = |days: i64| days * 24 * 60 * 60;
    let longest = json!({"name": "longest", "expires_in_seconds": days(90)});
    let longest = make(longest).await;
    assert_eq!(longest.status, StatusCode::OK, "{}", longest.text());
    for wrong in [
        json!({"name": "longer", "expires_in_seconds": days(90) + 1}),
        json!({"name": "for ever", "expires_at": "9999-01-01T00:00:00Z"}),
    ] {
        let refused = make(wrong).await;
        let text = refused.text();
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{text}");
        assert_eq!(refused.json()["code"], "denied");
        assert!(text.contains("90 days"), "{text}");
    }
    let made = make(json!({"name": "usual"})).await.json();
    let time = |field: &str| {
        let time = made[field].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(time).unwrap()
    };
    let lasts = time("expires_at") - time("created_at");
    assert_eq!(lasts, chrono::TimeDelta::days(90));
}

#[sqlx::test]
async fn the_operator_makes_keys_for_contract_wallets(pool: PgPool) {
    const ADDRESS: &str = "0x52908400098527886E0F7030069857D2E4169EE7";
    let instance = Instance::new(&pool).await;
    let of = |chain: &str, address: &str| json!({"name": "x", "principal": format!("eip155:{chain}:{address}")});
    for chain in ["1", "9223372036854775807"] {
        let made = key(&instance, &of(chain, ADDRESS)).await;
        let name = format!("eip155:{chain}:{}", ADDRESS.to_lowercase());
        assert_eq!(made["principal"], name);
        assert_eq!(made["client_id"], name);
        let asks = instance.get_as("/v1/sessions/current", "x-api-key", secret(&made));
        let shown = format!("eip155:{chain}:{ADDRESS}");
        assert_eq!(asks.await.json()["id"], shown);
    }
    for (chain, address) in [
        ("0", ADDRESS),
        ("01", ADDRESS),
        ("+1", ADDRESS),
        ("9223372036854775808", ADDRESS),
        ("one", ADDRESS),
        ("", ADDRESS),
        ("1", "0x52908400098527886e0F7030069857D2E4169EE7"),
        ("1", "0x00"),
        ("1", ""),
    ] {
        let wrong = of(chain, address);
        let refused = instance.send("POST", "/v1/keys", TOKEN, &wrong).await;
        let text = refused.text();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}: {text}");
        assert!(text.contains("eip155:<chain>:<address>"), "{text}");
    }
}

/// Nor longer, or more often, whoever's it is; `large` is another one of the account's, without an end.
async fn no_key_gives_more_than_it_has(instance: &Instance, account: &str, large: &Value) {
    for principal in ["operator", account] {
        let wish = json!({
            "name": "small", "principal": principal, "scopes": large["scopes"], "expires_in_seconds": 3600,
            "rate_limit_per_minute": 30, "rate_limit_per_hour": 100,
        });
        let small = key(instance, &wish).await;
        for (wish, word) in [
            (json!({"rate_limit_per_minute": 31}), "30 requests"),
            (json!({"rate_limit_per_hour": 101}), "100 in an hour"),
            (json!({"expires_in_seconds": 7200}), "outlives"),
            (json!({"expires_at": "2101-01-01T00:00:00Z"}), "outlives"),
        ] {
            let mut wish = wish;
            wish["name"] = json!("x");
            let answer = instance.send("POST", "/v1/keys", secret(&small), &wish);
            let answer = answer.await;
            let text = answer.text();
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{wish}: {text}");
            assert!(text.contains(word), "{wish}: {text}");
        }
        let ask = async |path: &str, body: Value| {
            let answer = instance.send("POST", path, secret(&small), &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            answer.json()
        };
        let child = ask("/v1/keys", json!({"name": "child"})).await;
        let path = format!("/v1/keys/{}/rotate", id(&child));
        for made in [&child, &ask(&path, json!({})).await] {
            for field in ["expires_at", "rate_limit_per_minute", "rate_limit_per_hour"] {
                assert_eq!(made[field], small[field], "{principal}: {field}");
            }
        }
        let path = format!("/v1/keys/{}/rotate", id(large));
        let others = instance
            .send("POST", &path, secret(&small), &json!({}))
            .await;
        assert_eq!(others.status, StatusCode::FORBIDDEN, "{principal}");
    }
}

/// Which of AINS's columns an answer shows, and which it does not: a key's digest is nobody's.
const COLUMNS: [(&str, &[&str], &[&str]); 3] = [
    (
        "api_keys",
        &[
            "id",
            "key_id",
            "client_id",
            "name",
            "scopes",
            "active",
            "created_at",
            "expires_at",
            "last_used_at",
            "rate_limit_per_minute",
            "rate_limit_per_hour",
            "created_by",
            "description",
        ],
        &["key_hash"],
    ),
    (
        "rate_limit_tracker",
        &["key_id", "window_start", "window_type", "request_count"],
        &["id"],
    ),
    (
        "audit_logs",
        &[
            "id",
            "event_type",
            "client_id",
            "key_id",
            "action",
            "resource_type",
            "resource_id",
            "ip_address",
            "user_agent",
            "success",
            "error_message",
            "extra_metadata",
            "created_at",
        ],
        &[],
    ),
];

#[sqlx::test]
async fn every_column_of_the_seed_is_stored_and_returned(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let made = key(&instance, &json!({"name": "ci", "scopes": ["keys:read"]})).await;
    instance
        .send("GET", "/v1/keys", secret(&made), &Value::Null)
        .await;
    instance.app.usage.flush(&instance.app.db).await.unwrap();
    let ask = async |path: String| {
        let answer = instance.send("GET", &path, TOKEN, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()["items"][0].clone()
    };
    let shown = [
        ask("/v1/keys".to_owned()).await,
        ask(format!("/v1/keys/{}/usage?window_type=minute", id(&made))).await,
        ask("/v1/audit-logs?event_type=api_key_created".to_owned()).await,
    ];
    let listed = super::seeds::listed();
    for ((table, returned, kept), shown) in COLUMNS.into_iter().zip(shown) {
        let named: BTreeSet<&str> = returned.iter().chain(kept).copied().collect();
        let of_seed: BTreeSet<&str> = listed["ains"][table].iter().map(String::as_str).collect();
        assert_eq!(named, of_seed, "{table}");
        let stored: Vec<String> = sqlx::query_scalar(
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'access' AND table_name = $1",
        )
        .bind(table)
        .fetch_all(instance.app.db.pool())
        .await
        .unwrap();
        for column in returned.iter().chain(kept) {
            assert!(
                stored.iter().any(|name| name == column),
                "{table}.{column} is stored"
            );
        }
        for column in returned {
            assert!(
                shown.get(column).is_some(),
                "{table}.{column} is returned: {shown}"
            );
        }
        for column in kept {
            assert!(shown.get(column).is_none(), "{table}.{column} is nobody's");
        }
    }
}
