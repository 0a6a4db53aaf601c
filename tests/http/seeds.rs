//! The agents tables of the systems that Chancery unites: each of their columns is stored and returned, or comes with
//! the part of the house that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use did::ed25519;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::Outcome;

use super::{
    kit::{Instance, TOKEN, recording},
    statements::{bring, by_key, by_owner, did, key, prepared},
};

/// Columns by table and by seed.
pub type Listed = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// What the documents list, VEXEL's apart.
pub fn listed() -> Listed {
    toml::from_str(include_str!("../schema/seeds.toml")).unwrap()
}

#[derive(Deserialize)]
struct Vexel {
    tables: BTreeMap<String, Table>,
}

#[derive(Deserialize)]
struct Table {
    columns: BTreeMap<String, String>,
}

/// Where a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// This column of `identity.agents`, and this JSON pointer in the answer.
    Shown(&'static str, &'static str),
    /// The agent's name of this kind: `identity.agent_identifiers.value`, and `identifiers` in the answer.
    Name(&'static str),
    /// The agent's name of this kind, in the answer as others: it is the half of the value of its `key_hash`.
    OfHash(&'static str),
    /// `identity.statements.signature`, and `signatures` at `/v1/agents/{agent}/statements`.
    Signature,
    /// It comes with this part of the house.
    Later(&'static str),
}

use Place::{Later, Name, OfHash, Shown, Signature};

/// The parts that are still to come, and what they bring of these tables.
const LATER: [(&str, &str); 4] = [
    (
        "names",
        "developers, and whose agents are derived from their keys",
    ),
    ("mesh", "peers, and at which of them an agent is at home"),
    ("trust", "scores"),
    ("tasks", "tasks, and what is counted of them"),
];

const NAME: Place = Shown("name", "/name");
const OWNER: Place = Shown("owner_address", "/owner_address");
const KEY: Place = Shown("public_key", "/public_key");
const ENDPOINT: Place = Shown("endpoint_url", "/endpoint_url");
const TAGS: Place = Shown("metadata", "/metadata/tags");
const BEAT: Place = Shown("last_heartbeat", "/last_heartbeat");
const CREATED: Place = Shown("created_at", "/created_at");
const UPDATED: Place = Shown("updated_at", "/updated_at");
const DESCRIPTION: Place = Shown("description", "/description");

/// Each column of each seed.
const PLACES: [(&str, &str, Place); 58] = [
    ("zynd", "agent_id", OfHash("agdns")),
    ("zynd", "name", NAME),
    ("zynd", "owner", OWNER),
    ("zynd", "agent_url", ENDPOINT),
    ("zynd", "category", Shown("category", "/category")),
    ("zynd", "tags", TAGS),
    ("zynd", "summary", Shown("summary", "/summary")),
    ("zynd", "public_key", KEY),
    ("zynd", "home_registry", Later("mesh")),
    ("zynd", "registered_at", CREATED),
    ("zynd", "updated_at", UPDATED),
    ("zynd", "ttl", Shown("ttl", "/ttl")),
    ("zynd", "signature", Signature),
    ("zynd", "status", Shown("liveness", "/liveness")),
    ("zynd", "last_heartbeat", BEAT),
    ("zynd", "developer_id", Later("names")),
    ("zynd", "entity_index", Later("names")),
    ("zynd", "developer_proof", Later("names")),
    (
        "zynd",
        "codebase_hash",
        Shown("codebase_hash", "/codebase_hash"),
    ),
    ("vexel", "id", Shown("id", "/id")),
    ("vexel", "did", Shown("did", "/did")),
    ("vexel", "name", NAME),
    ("vexel", "description", DESCRIPTION),
    ("vexel", "owner_address", OWNER),
    (
        "vexel",
        "ipfs_metadata_hash",
        Shown("ipfs_metadata_hash", "/ipfs_metadata_hash"),
    ),
    ("vexel", "created_at", CREATED),
    ("vexel", "updated_at", UPDATED),
    (
        "vexel",
        "runtime_status",
        Shown("runtime_status", "/runtime_status"),
    ),
    (
        "vexel",
        "last_active_at",
        Shown("last_active_at", "/last_active_at"),
    ),
    ("dukenet", "agent_id", Name("key_hash")),
    ("dukenet", "public_key", KEY),
    ("dukenet", "display_name", NAME),
    ("dukenet", "description", DESCRIPTION),
    ("dukenet", "endpoint_url", ENDPOINT),
    ("dukenet", "status", Shown("admin_status", "/admin_status")),
    ("dukenet", "created_at", CREATED),
    ("dukenet", "last_heartbeat", BEAT),
    ("dukenet", "owner_address", OWNER),
    ("dukenet", "avatar_url", Shown("avatar_url", "/avatar_url")),
    ("dukenet", "trust_score", Later("trust")),
    ("dukenet", "version", Shown("version", "/version")),
    ("dukenet", "metadata", Shown("metadata", "/metadata")),
    ("ains", "id", Shown("id", "/id")),
    ("ains", "agent_id", Name("key_hash")),
    ("ains", "display_name", NAME),
    ("ains", "public_key", KEY),
    ("ains", "endpoint", ENDPOINT),
    ("ains", "signature", Signature),
    ("ains", "tags", TAGS),
    ("ains", "trust_score", Later("trust")),
    ("ains", "total_tasks_completed", Later("tasks")),
    ("ains", "total_tasks_failed", Later("tasks")),
    ("ains", "avg_completion_time_seconds", Later("tasks")),
    ("ains", "created_at", CREATED),
    ("ains", "updated_at", UPDATED),
    ("ains", "last_seen_at", BEAT),
    ("ains", "last_task_completed_at", Later("tasks")),
    ("ains", "last_assigned_at", Later("tasks")),
];

#[test]
fn each_column_of_the_seeds_has_its_place() {
    let vexel: Vexel = toml::from_str(include_str!("../schema/vexel.toml")).unwrap();
    let mut columns: BTreeSet<(String, String)> = BTreeSet::new();
    for (seed, tables) in listed() {
        let of_seed = tables["agents"].iter().cloned();
        columns.extend(of_seed.map(|column| (seed.clone(), column)));
    }
    let of_vexel = vexel.tables["agents"].columns.keys().cloned();
    columns.extend(of_vexel.map(|column| ("vexel".to_owned(), column)));
    let places = PLACES.map(|(seed, column, _)| (seed.to_owned(), column.to_owned()));
    let named: BTreeSet<(String, String)> = places.iter().cloned().collect();
    assert_eq!(named.len(), places.len(), "each once");
    assert_eq!(
        named, columns,
        "what the documents list, and what has a place"
    );
    for (part, brings) in LATER {
        let owed = PLACES.iter().any(|(_, _, place)| *place == Later(part));
        assert!(owed, "{part} brings nothing of {brings}");
    }
    for (seed, column, place) in PLACES {
        if let Later(part) = place {
            let is_known = LATER.iter().any(|(known, _)| *known == part);
            assert!(is_known, "{seed}.{column}: {part}");
        }
    }
}

/// What the agent that is asked of says when it registers.
fn content() -> Value {
    json!({
        "name": "Ada", "description": "Files reports.", "endpoint_url": "https://a.example/a2a",
        "avatar_url": "https://a.example/a.png", "category": "office", "summary": "reports",
        "version": "1.2.0", "codebase_hash": "sha256:00", "ttl": 300,
        "metadata": { "tags": ["reports"] },
    })
}

/// Registers it, has it beat, and sets all that can be set. Gives its id.
async fn kept(instance: &Instance) -> String {
    let statement = prepared(instance, "register", &did(1), content()).await;
    let signatures = [by_key(1, &statement), by_owner(1, &statement)];
    let body = json!({ "statement": statement, "signatures": signatures });
    let answer = bring(instance, "/v1/agents", &body, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let id = answer.json()["agent"].as_str().unwrap().to_owned();
    for (what, wish) in [
        ("status", json!({ "status": "SLEEP" })),
        (
            "admin_status",
            json!({ "admin_status": "SUSPENDED", "reason": "spam" }),
        ),
        ("load", json!({ "load": "BUSY" })),
    ] {
        let path = format!("/v1/agents/{id}/{what}");
        let answer = instance.send("PUT", &path, TOKEN, &wish).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let db = &instance.app.db;
    let at = db.clock().now();
    let timestamp = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let signature = ed25519::signature_wire(&key(1).sign(timestamp.as_bytes()));
    let beat = json!({ "timestamp": timestamp, "signature": signature });
    let path = format!("/v1/agents/{id}/heartbeat");
    let answer = instance.send("POST", &path, "", &beat).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    while identity::heartbeat::transit(db).await.unwrap() == Outcome::Busy {}
    while identity::heartbeat::show(db).await.unwrap() == Outcome::Busy {}
    id
}

/// A row of `identity.agents`.
async fn row(pool: &PgPool, id: &str) -> Value {
    let row = "SELECT to_jsonb(a) FROM identity.agents a WHERE id = $1::text::uuid";
    let row = sqlx::query_scalar(row).bind(id);
    row.fetch_one(pool).await.unwrap()
}

/// Whether an answer says what is stored: times in whichever form, addresses in whichever case.
fn is_same(shown: &Value, stored: &Value) -> bool {
    let (Some(one), Some(other)) = (shown.as_str(), stored.as_str()) else {
        return shown == stored;
    };
    let time = |text: &str| text.parse::<DateTime<Utc>>().ok();
    match (time(one), time(other)) {
        (Some(one), Some(other)) => one == other,
        _ if one.starts_with("0x") => one.eq_ignore_ascii_case(other),
        _ => one == other,
    }
}

#[sqlx::test]
async fn each_column_of_the_seeds_is_stored_and_returned(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    // A token, for what an agent has by its registration file alone.
    let dir = tempfile::tempdir().unwrap();
    instance.replay(&recording(dir.path())).await;
    instance.judge().await;
    let token = instance.get("/v1/agents/77:0").await.json();
    let id = kept(&instance).await;
    let path = format!("/v1/agents/{id}");
    let agent = instance.get(&path).await.json();
    let statement = instance.items(&format!("{path}/statements")).await;
    let statement = statement.last().unwrap();
    let (of_token, of_agent) = (
        row(&pool, token["id"].as_str().unwrap()).await,
        row(&pool, &id).await,
    );
    for (seed, column, place) in PLACES {
        let what = format!("{seed}.{column}");
        match place {
            Shown(stored, pointer) => {
                let is_of_file = stored == "ipfs_metadata_hash";
                let (shown, row) = if is_of_file {
                    (&token, &of_token)
                } else {
                    (&agent, &of_agent)
                };
                let shown = shown.pointer(pointer).unwrap_or(&Value::Null);
                assert!(!shown.is_null(), "{what} is shown: {pointer}");
                // What stands inside of a column stands there in the row, too.
                let inside = pointer[1..].find('/').map_or("", |at| &pointer[1 + at..]);
                let stored = row[stored].pointer(inside).unwrap_or(&Value::Null);
                assert!(is_same(shown, stored), "{what}: {shown}, and {stored}");
            }
            Name(kind) | OfHash(kind) => {
                let names = agent["identifiers"].as_array().unwrap();
                let shown = names.iter().find(|name| name["kind"] == kind);
                let shown = shown.unwrap_or_else(|| panic!("{what} is shown"));
                assert_eq!(shown["standing"], "verified", "{what}");
                let stored = "SELECT value FROM identity.agent_identifiers
                               WHERE agent_id = $1::text::uuid AND kind = $2 AND standing = 'verified'";
                let of_hash = matches!(place, OfHash(_));
                let kept = if of_hash { "key_hash" } else { kind };
                let stored = sqlx::query_scalar(stored).bind(&id).bind(kept);
                let stored: String = stored.fetch_one(&pool).await.unwrap();
                let name = if of_hash {
                    format!("{kind}:{}", &stored[..32])
                } else {
                    stored
                };
                assert_eq!(shown["value"], name, "{what}");
            }
            Signature => {
                let shown = statement["signatures"][0]["signature"].as_str().unwrap();
                let stored = "SELECT signature FROM identity.statements
                               WHERE agent_id = $1::text::uuid ORDER BY serial LIMIT 1";
                let stored: Vec<u8> = sqlx::query_scalar(stored)
                    .bind(&id)
                    .fetch_one(&pool)
                    .await
                    .unwrap();
                let shown = ed25519::parse_signature(shown).unwrap();
                assert_eq!(shown.to_vec(), stored, "{what}");
            }
            Later(_) => {}
        }
    }
    // What was set is what is shown, and no default.
    for (field, value) in content().as_object().unwrap() {
        assert_eq!(&agent[field], value, "{field}");
    }
    for (field, value) in [
        ("runtime_status", "SLEEP"),
        ("admin_status", "SUSPENDED"),
        ("load", "BUSY"),
        ("liveness", "active"),
    ] {
        assert_eq!(agent[field], value, "{field}");
    }
    assert_eq!(agent["public_key"], ed25519::wire(&key(1).public()));
}
