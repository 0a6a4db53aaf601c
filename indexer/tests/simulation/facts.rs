//! What is true besides the chains: what people did and what was found at URIs, as the tables of facts
//! hold it. The oracle takes these as given; that they are what was done is checked where it is done.

use std::collections::BTreeMap;

use kernel::sha256;
use serde_json::{Map, Value, json};
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// A registration file of the simulated world.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    pub name: Option<String>,
    pub description: Option<String>,
    pub active: Option<bool>,
    pub capabilities: BTreeMap<String, Value>,
}

/// One of a few files; 0 is none at all.
pub fn file(number: u64) -> Option<File> {
    let text = |text: &str| Some(text.to_owned());
    let capabilities = |list: &[(&str, Value)]| {
        let pair = |(name, value): &(&str, Value)| ((*name).to_owned(), value.clone());
        list.iter().map(pair).collect()
    };
    let file = match number {
        0 => return None,
        1 => File {
            name: text("one"),
            description: None,
            active: Some(true),
            capabilities: capabilities(&[("c0", json!(1)), ("c1", json!({ "a": 1 }))]),
        },
        2 => File {
            name: text("two"),
            description: text("second"),
            active: Some(false),
            capabilities: capabilities(&[("c1", json!({ "a": 2 })), ("c2", json!("x"))]),
        },
        3 => File {
            name: text("one"),
            description: text("third"),
            active: None,
            capabilities: capabilities(&[("c0", json!(1))]),
        },
        4 => File {
            name: text("one"),
            description: text("third"),
            active: Some(true),
            capabilities: BTreeMap::new(),
        },
        _ => File {
            name: None,
            description: text("nameless"),
            active: Some(false),
            capabilities: capabilities(&[("c0", json!(7))]),
        },
    };
    Some(file)
}
pub const FILES: u64 = 6;

impl File {
    pub fn bytes(&self) -> Vec<u8> {
        let mut document = Map::new();
        document.insert("type".to_owned(), json!(identity::registration::TYPE));
        for (key, value) in [("name", &self.name), ("description", &self.description)] {
            if let Some(value) = value {
                document.insert(key.to_owned(), json!(value));
            }
        }
        if let Some(active) = self.active {
            document.insert("active".to_owned(), json!(active));
        }
        if !self.capabilities.is_empty() {
            document.insert("capabilities".to_owned(), json!(self.capabilities));
        }
        Value::Object(document).to_string().into_bytes()
    }
}

/// What was found at a URI at one time.
#[derive(Debug, Clone)]
pub struct Version {
    pub number: i32,
    pub serial: i64,
    /// Microseconds by the clock.
    judged_at: i64,
    /// And by the chains that were ahead of it.
    ahead: BTreeMap<String, i64>,
    pub file: Option<File>,
}

impl Version {
    /// When it counts as judged on a chain.
    pub fn time(&self, chain: u64) -> i64 {
        let ahead = self.ahead.get(&chain.to_string());
        self.judged_at.max(ahead.copied().unwrap_or(i64::MIN))
    }
}

/// What somebody did to an agent.
#[derive(Debug, Clone)]
pub struct Act {
    pub serial: i64,
    pub kind: String,
    /// Microseconds.
    pub at: i64,
    pub changes: Map<String, Value>,
    pub founding: Option<String>,
}

/// What a key or an owner signed.
#[derive(Debug, Clone)]
pub struct Said {
    pub serial: i64,
    pub action: String,
    /// Microseconds.
    pub at: i64,
    pub changes: Map<String, Value>,
    pub founding: Option<String>,
    pub transfer: Option<String>,
}

/// A key's agent and a token's, which both sides said are one.
#[derive(Debug, Clone)]
pub struct Claim {
    pub key: Uuid,
    pub token: Uuid,
    pub statement: i64,
    pub founding: String,
    pub owner: String,
    pub transfer: Option<String>,
}

/// All facts that are not of the chains.
#[derive(Debug, Default)]
pub struct Facts {
    /// By the URI's hash, ascending.
    pub versions: BTreeMap<Vec<u8>, Vec<Version>>,
    /// By agent, by serial.
    pub acts: BTreeMap<Uuid, Vec<Act>>,
    /// Agents that plain SQL made.
    pub inserted: Vec<Uuid>,
    /// By agent, by serial.
    pub statements: BTreeMap<Uuid, Vec<Said>>,
    pub claims: Vec<Claim>,
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("changes are an object, and not {other}"),
    }
}

impl Facts {
    pub async fn read(pool: &PgPool) -> Self {
        let files: BTreeMap<[u8; 32], File> = (0..FILES)
            .filter_map(file)
            .map(|file| (sha256(&file.bytes()), file))
            .collect();
        let mut facts = Self::default();
        let rows = sqlx::query(
            "SELECT uri_hash, version, serial, (extract(epoch FROM judged_at) * 1000000)::bigint AS at,
                    chain_times, sha256
               FROM identity.documents ORDER BY uri_hash, version",
        );
        for row in rows.fetch_all(pool).await.expect("documents") {
            let sha256: Option<Vec<u8>> = row.get("sha256");
            let file = sha256.map(|digest| {
                let digest: [u8; 32] = digest.try_into().expect("32 bytes");
                files.get(&digest).expect("a file of this world").clone()
            });
            let version = Version {
                number: row.get("version"),
                serial: row.get("serial"),
                judged_at: row.get("at"),
                ahead: serde_json::from_value(row.get("chain_times")).expect("times"),
                file,
            };
            let uri: Vec<u8> = row.get("uri_hash");
            facts.versions.entry(uri).or_default().push(version);
        }
        let rows = sqlx::query(
            "SELECT serial, agent_id, kind, (extract(epoch FROM at) * 1000000)::bigint AS at, changes,
                    founding
               FROM identity.acts ORDER BY serial",
        );
        for row in rows.fetch_all(pool).await.expect("acts") {
            let agent: Uuid = row.get("agent_id");
            let kind: String = row.get("kind");
            if kind == "insert" && !facts.inserted.contains(&agent) {
                facts.inserted.push(agent);
            }
            facts.acts.entry(agent).or_default().push(Act {
                serial: row.get("serial"),
                kind,
                at: row.get("at"),
                changes: object(row.get("changes")),
                founding: row.get("founding"),
            });
        }
        facts.read_statements(pool).await;
        facts
    }

    async fn read_statements(&mut self, pool: &PgPool) {
        let rows = sqlx::query(
            "SELECT serial, agent_id, kind, (extract(epoch FROM at) * 1000000)::bigint AS at, changes,
                    founding, transfer
               FROM identity.statements ORDER BY serial",
        );
        for row in rows.fetch_all(pool).await.expect("statements") {
            let agent: Uuid = row.get("agent_id");
            self.statements.entry(agent).or_default().push(Said {
                serial: row.get("serial"),
                action: row.get("kind"),
                at: row.get("at"),
                changes: object(row.get("changes")),
                founding: row.get("founding"),
                transfer: row.get("transfer"),
            });
        }
        let rows = sqlx::query(
            "SELECT key_agent, token_agent, statement, founding, '0x' || encode(owner, 'hex') AS owner, transfer
               FROM identity.claims ORDER BY statement",
        );
        let rows = rows.fetch_all(pool).await.expect("claims");
        let claims = rows.iter().map(|row| Claim {
            key: row.get("key_agent"),
            token: row.get("token_agent"),
            statement: row.get("statement"),
            founding: row.get("founding"),
            owner: row.get("owner"),
            transfer: row.get("transfer"),
        });
        self.claims = claims.collect();
    }
}
