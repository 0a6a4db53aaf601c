//! `/openapi.json` against what is really answered.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;
use sqlx::PgPool;

use super::kit::{Instance, TOKEN};

/// Where `value` is not as `schema` says; only the keywords that our document uses.
fn differences(schema: &Value, value: &Value, document: &Value, at: &str) -> Vec<String> {
    if let Some(target) = schema["$ref"].as_str() {
        let schema = document
            .pointer(target.trim_start_matches('#'))
            .expect(target);
        return differences(schema, value, document, at);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let known: Vec<Value> = parts.iter().map(|part| flat(part, document)).collect();
        let has = |name: &str| {
            known
                .iter()
                .any(|part| part["properties"].get(name).is_some())
        };
        let mut found: Vec<String> = known
            .iter()
            .flat_map(|part| members(part, value, document, at))
            .collect();
        let given = value.as_object().expect("an object").keys();
        found.extend(
            given
                .filter(|name| !has(name))
                .map(|name| format!("{at}: `{name}` is not described")),
        );
        return found;
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &Value| differences(choice, value, document, at).is_empty();
        return if choices.iter().any(fits) {
            vec![]
        } else {
            vec![format!("{at}: {value} fits no choice")]
        };
    }
    if let Some(kind) = wrong_type(schema, value) {
        return vec![format!("{at}: {value} is no {kind}")];
    }
    let mut found = members(schema, value, document, at);
    if let (Some(known), Some(given)) = (schema["properties"].as_object(), value.as_object()) {
        let new = given.keys().filter(|name| !known.contains_key(*name));
        found.extend(new.map(|name| format!("{at}: `{name}` is not described")));
    }
    if let Some(items) = value.as_array().filter(|_| schema["items"].is_object()) {
        found.extend(
            items
                .iter()
                .flat_map(|item| differences(&schema["items"], item, document, &format!("{at}[]"))),
        );
    }
    found
}

/// A part of `allOf` with its own parts merged.
fn flat(schema: &Value, document: &Value) -> Value {
    let schema = match schema["$ref"].as_str() {
        Some(target) => document
            .pointer(target.trim_start_matches('#'))
            .expect(target),
        None => schema,
    };
    let Some(parts) = schema["allOf"].as_array() else {
        return schema.clone();
    };
    let mut merged = serde_json::json!({"properties": {}, "required": []});
    for part in parts.iter().map(|part| flat(part, document)) {
        for (name, property) in part["properties"].as_object().expect("properties") {
            merged["properties"][name] = property.clone();
        }
        let required = part["required"].as_array().cloned().unwrap_or_default();
        merged["required"]
            .as_array_mut()
            .expect("a list")
            .extend(required);
    }
    merged
}

fn members(schema: &Value, value: &Value, document: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(member) = value.get(name) {
            found.extend(differences(
                property,
                member,
                document,
                &format!("{at}.{name}"),
            ));
        }
    }
    found
}

fn wrong_type<'a>(schema: &'a Value, value: &Value) -> Option<&'a Value> {
    let fits = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let kinds = &schema["type"];
    let right = match kinds {
        Value::String(kind) => fits(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| fits(kind.as_str().unwrap())),
        _ => true,
    };
    (!right).then_some(kinds)
}

#[sqlx::test]
async fn answers_are_as_described(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.judge().await;
    instance.order().await;
    instance.seal().await;
    let document = instance.get("/openapi.json").await.json();
    let cid = instance.items("/v1/entries?limit=1").await[0]["cid"]
        .as_str()
        .unwrap()
        .to_owned();
    let all = instance.items("/v1/agents?limit=200").await;
    let agent = all
        .iter()
        .find(|agent| agent["metadata_state"] == "fetched" && agent["owner_address"].is_string())
        .unwrap();
    let (id, tx) = (
        agent["id"].as_str().unwrap(),
        agent["last_tx"].as_str().unwrap(),
    );
    let operator = format!("Bearer {TOKEN}");
    for (route, path) in [
        ("/v1/agents", "/v1/agents?limit=200".to_owned()),
        (
            "/v1/owners/{address}/agents",
            format!(
                "/v1/owners/{}/agents",
                agent["owner_address"].as_str().unwrap()
            ),
        ),
        ("/v1/agents/{agent}", format!("/v1/agents/{id}")),
        (
            "/v1/agents/{agent}/history",
            format!("/v1/agents/{id}/history"),
        ),
        (
            "/v1/agents/{agent}/capabilities",
            format!("/v1/agents/{id}/capabilities"),
        ),
        (
            "/v1/agents/{agent}/metadata",
            format!("/v1/agents/{id}/metadata"),
        ),
        (
            "/v1/agents/{agent}/events",
            format!("/v1/agents/{id}/events"),
        ),
        (
            "/v1/agents/{agent}/entries",
            format!("/v1/agents/{id}/entries"),
        ),
        ("/v1/entries", "/v1/entries".to_owned()),
        ("/v1/entries/{cid}", format!("/v1/entries/{cid}")),
        ("/v1/changes", "/v1/changes".to_owned()),
        ("/v1/changes", "/v1/changes?level=head".to_owned()),
        ("/v1/sync", "/v1/sync".to_owned()),
        ("/v1/sync/digest", "/v1/sync/digest".to_owned()),
        ("/v1/sync/ranges", "/v1/sync/ranges?chain=1".to_owned()),
        (
            "/v1/transactions/{chain}/{tx}",
            format!("/v1/transactions/1/{tx}"),
        ),
        ("/v1/ipfs/{cid}", format!("/v1/ipfs/{cid}")),
        ("/readyz", "/readyz".to_owned()),
    ] {
        let answer = instance.get_as(&path, "authorization", &operator).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let place = &document["paths"][route]["get"]["responses"]["200"]["content"]["application/json"]
            ["schema"];
        assert!(place.is_object(), "{route} has a schema");
        assert_eq!(
            differences(place, &answer.json(), &document, route),
            [] as [String; 0]
        );
    }
    let problem = instance.get("/v1/agents/nobody").await.json();
    let schema = &document["components"]["schemas"]["Problem"];
    assert_eq!(
        differences(schema, &problem, &document, "Problem"),
        [] as [String; 0]
    );
}

#[sqlx::test]
async fn every_route_is_described(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let document = instance.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    for route in [
        "/v1/agents",
        "/v1/agents/{agent}",
        "/v1/agents/{agent}/history",
        "/v1/agents/{agent}/capabilities",
        "/v1/agents/{agent}/metadata",
        "/v1/agents/{agent}/events",
        "/v1/agents/{agent}/entries",
        "/v1/agents/{agent}/proof",
        "/v1/agents/{agent}/status",
        "/v1/agents/{agent}/admin_status",
        "/v1/agents/{agent}/load",
        "/v1/agents/{agent}/statements",
        "/v1/statements/prepare",
        "/v1/agents/{agent}/status-changes",
        "/v1/agents/{agent}/heartbeat",
        "/v1/agents/{agent}/ws",
        "/v1/heartbeat",
        "/v1/heartbeats",
        "/v1/vexel/events",
        "/v1/watches",
        "/v1/watches/{name}",
        "/v1/owners/{address}/agents",
        "/v1/entries",
        "/v1/entries/{cid}",
        "/v1/entries/{cid}/proof",
        "/v1/changes",
        "/v1/changes.atom",
        "/v1/sync",
        "/v1/sync/digest",
        "/v1/sync/ranges",
        "/v1/sync/verify",
        "/v1/registration-files/check",
        "/v1/transactions/prepare",
        "/v1/transactions/wallet-consent",
        "/v1/transactions",
        "/v1/transactions/{chain}/{tx}",
        "/v1/ipfs",
        "/v1/sessions",
        "/v1/sessions/current",
        "/v1/sessions/nonce",
        "/v1/keys",
        "/v1/keys/{key}",
        "/v1/keys/{key}/rotate",
        "/v1/keys/{key}/usage",
        "/v1/audit-logs",
        "/v1/ipfs/{cid}",
        "/ipfs/{cid}",
        "/ipfs/{cid}/{path}",
        "/ipns",
        "/ipns/{name}",
        "/ipns/{name}/{path}",
        "/1.0/identifiers/{did}",
        "/audit/anchor",
        "/audit/checkpoint",
        "/audit/vkey",
        "/audit/tile/{path}",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        assert!(paths.contains_key(route), "{route}");
    }
    for (path, methods) in paths {
        for (method, route) in methods.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(
                route["summary"].is_string() || route["description"].is_string(),
                "{what}"
            );
            let answers = route["responses"].as_object().unwrap();
            let fine = |status: &String| ["101", "200", "201"].contains(&status.as_str());
            assert!(answers.keys().any(fine), "{what}");
            if path.contains('{') {
                assert!(
                    answers.keys().any(|status| status.starts_with('4')),
                    "{what} names its problems"
                );
            }
        }
    }
}

#[sqlx::test]
async fn what_is_described_holds_together(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let document = instance.get("/openapi.json").await.json();
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let what = format!("{method} {path}");
            let id = route["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{what}: {id} is another's");
            let mut named = BTreeSet::new();
            for parameter in route["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let place = parameter["in"].as_str().unwrap();
                assert!(named.insert((place, name)), "{what}: {name} twice");
                let is_in_path = path.contains(&format!("{{{name}}}"));
                assert_eq!(place == "path", is_in_path, "{what}: {name}");
            }
            for (status, answer) in route["responses"].as_object().unwrap() {
                assert!(answer["description"].is_string(), "{what}: {status}");
                if let Some(plain) = answer["content"].get("application/json") {
                    let is_problem = plain["schema"]["$ref"] == "#/components/schemas/Problem";
                    assert!(!is_problem, "{what}: {status} has a type of its own");
                }
            }
            for status in ["401", "429", "503", "504"] {
                assert!(route["responses"][status].is_object(), "{what}: {status}");
            }
        }
    }
    for name in references(&document) {
        assert!(document.pointer(&name).is_some(), "{name} is nowhere");
    }
}

#[sqlx::test]
async fn every_way_to_prove_who_asks_is_described(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let document = instance.get("/openapi.json").await.json();
    let schemes = document["components"]["securitySchemes"].as_object();
    let schemes = schemes.unwrap();
    for (name, kind, place, header) in [
        ("token", "http", None, None),
        ("key", "apiKey", Some("header"), Some("X-API-Key")),
        (
            "session",
            "apiKey",
            Some("cookie"),
            Some("chancery_session"),
        ),
        (
            "session-half",
            "apiKey",
            Some("header"),
            Some("chancery-session"),
        ),
        (
            "signature-input",
            "apiKey",
            Some("header"),
            Some("Signature-Input"),
        ),
        ("signature", "apiKey", Some("header"), Some("Signature")),
        ("wallet", "apiKey", Some("header"), Some("Authorization")),
    ] {
        let scheme = &schemes[name];
        assert_eq!(scheme["type"], kind, "{name}");
        assert_eq!(scheme["in"].as_str(), place, "{name}");
        assert_eq!(scheme["name"].as_str(), header, "{name}");
        assert!(scheme["description"].is_string(), "{name}");
    }
    let mut used = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for route in methods.as_object().unwrap().values() {
            for way in route["security"].as_array().into_iter().flatten() {
                let way = way.as_object().unwrap();
                // Neither is anything without the other.
                for [one, other] in [
                    ["signature", "signature-input"],
                    ["session", "session-half"],
                ] {
                    assert_eq!(way.contains_key(one), way.contains_key(other), "{way:?}");
                }
                used.extend(way.keys());
            }
        }
    }
    assert_eq!(
        used,
        schemes.keys().collect::<BTreeSet<_>>(),
        "all are used"
    );
}

/// Where the references of the document point.
fn references(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            let own = own.map(|target| target.trim_start_matches('#').to_owned());
            own.into_iter()
                .chain(members.values().flat_map(references))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => BTreeSet::new(),
    }
}
