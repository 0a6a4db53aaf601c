//! What must be true, computed from what was acknowledged and from what a reader saw first. Nothing here uses the
//! code under test but for the shapes of its values: trees are hashed by RFC 6962's definition, entries are built
//! field by field.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use ipld_core::ipld::Ipld;
use journal::{Change, EntryKind, follow::SealedEntry, log::Head};
use kernel::{AgentId, cid_of_dag_cbor, sha256, sha256_pair};
use serde_json::Value;

pub type Hash = [u8; 32];

/// Entries of one agent form a chain; those of none form one, too.
pub type Chain = Option<AgentId>;

pub fn agent(number: u64) -> AgentId {
    AgentId::of_did(&format!("did:sim:{number}"))
}

/// An entry that somebody appended.
#[derive(Debug, Clone)]
pub struct Written {
    pub cid: String,
    pub kind: EntryKind,
    pub chain: Chain,
    pub time: DateTime<Utc>,
    pub changes: Vec<Change>,
    pub said: Vec<String>,
}

impl Written {
    /// What its bytes say when it follows `prev`.
    fn told(&self, prev: Option<&String>) -> Ipld {
        let text = |text: &str| Ipld::String(text.to_owned());
        let maybe = |value: Option<String>| value.map_or(Ipld::Null, Ipld::String);
        let changes = self.changes.iter().map(|change| {
            Ipld::List(vec![
                text(&change.column),
                ipld(&change.value),
                text(&change.cause),
                text(&written(change.time)),
            ])
        });
        let kind = match self.kind {
            EntryKind::Agent => "agent",
            EntryKind::Retracted => "retracted",
            EntryKind::Incident => "incident",
            EntryKind::Act => "act",
        };
        let mut fields = BTreeMap::from([
            ("v".to_owned(), Ipld::Integer(1)),
            ("kind".to_owned(), text(kind)),
            (
                "agent".to_owned(),
                maybe(self.chain.map(|agent| agent.to_string())),
            ),
            ("time".to_owned(), text(&written(self.time))),
            ("prev".to_owned(), maybe(prev.cloned())),
            ("changes".to_owned(), Ipld::List(changes.collect())),
        ]);
        if self.kind == EntryKind::Retracted {
            let said = self.said.iter().map(|cid| text(cid)).collect();
            fields.insert("said".to_owned(), Ipld::List(said));
        }
        Ipld::Map(fields)
    }
}

fn written(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub fn ipld(value: &Value) -> Ipld {
    match value {
        Value::Null => Ipld::Null,
        Value::Bool(yes) => Ipld::Bool(*yes),
        Value::Number(number) => {
            let positive = number.as_u64().map(i128::from);
            Ipld::Integer(positive.or(number.as_i64().map(i128::from)).expect("whole"))
        }
        Value::String(text) => Ipld::String(text.clone()),
        Value::Array(items) => Ipld::List(items.iter().map(ipld).collect()),
        Value::Object(fields) => Ipld::Map(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), ipld(value)))
                .collect(),
        ),
    }
}

/// What the journal must say.
#[derive(Default)]
pub struct Oracle {
    chains: HashMap<Chain, Vec<String>>,
    /// Every committed entry, and what its bytes say.
    committed: HashMap<String, Ipld>,
    /// Committed, and not seen under a checkpoint yet.
    pub unsealed: BTreeSet<String>,
    /// What each agent's entries say, net of retractions, in order, with who said it.
    net: BTreeMap<AgentId, Vec<(Change, String)>>,
    /// Entries in the order of their leaves.
    pub order: Vec<(String, Vec<u8>)>,
    /// The highest number that is sealed.
    last_seq: i64,
    tree: Tree,
    pub heads: BTreeMap<u64, Head>,
}

/// What one thing said twice is: the time is not in it.
fn same(one: &Change, other: &Change) -> bool {
    (&one.column, &one.value, &one.cause) == (&other.column, &other.value, &other.cause)
}

impl Oracle {
    /// A transaction with these entries was committed.
    pub fn commit(&mut self, entries: &[Written]) {
        for entry in entries {
            let chain = self.chains.entry(entry.chain).or_default();
            let told = entry.told(chain.last());
            chain.push(entry.cid.clone());
            self.committed.insert(entry.cid.clone(), told);
            self.unsealed.insert(entry.cid.clone());
            let Some(agent) = entry.chain else { continue };
            let net = self.net.entry(agent).or_default();
            for change in &entry.changes {
                net.retain(|(said, _)| !same(said, change));
                if entry.kind == EntryKind::Agent {
                    net.push((change.clone(), entry.cid.clone()));
                }
            }
        }
    }

    pub fn net(&self, agent: AgentId) -> &[(Change, String)] {
        self.net.get(&agent).map_or(&[], Vec::as_slice)
    }

    /// Of whom something was ever said.
    pub fn agents(&self) -> Vec<AgentId> {
        self.net.keys().copied().collect()
    }

    pub fn size(&self) -> u64 {
        self.order.len() as u64
    }

    /// Entries that a reader sees next. Gives those that were numbered before one that was sealed before them.
    pub fn seen(&mut self, entries: Vec<SealedEntry>) -> Result<Vec<String>, String> {
        let mut late = Vec::new();
        for entry in entries {
            let SealedEntry {
                leaf_index,
                cid,
                body,
                seq,
            } = entry;
            if leaf_index != self.size() {
                return Err(format!("leaf {leaf_index} follows leaf {}", self.size()));
            }
            if !self.unsealed.remove(&cid) {
                let known = self.committed.contains_key(&cid);
                let what = if known {
                    "sealed before"
                } else {
                    "committed by nobody"
                };
                return Err(format!("leaf {leaf_index} is {cid}, which was {what}"));
            }
            if cid_of_dag_cbor(&body).to_string() != cid {
                return Err(format!("the bytes of {cid} are others"));
            }
            let told: Ipld = serde_ipld_dagcbor::from_slice(&body).map_err(|e| e.to_string())?;
            if told != self.committed[&cid] {
                return Err(format!(
                    "{cid} says {told:?}, not {:?}",
                    self.committed[&cid]
                ));
            }
            self.tree.push(sha256_pair(0, &body, &[]));
            if seq < self.last_seq {
                late.push(cid.clone());
            }
            self.last_seq = self.last_seq.max(seq);
            self.order.push((cid, body));
        }
        Ok(late)
    }

    /// A checkpoint that a reader sees, again or for the first time.
    pub fn head(&mut self, head: Head) -> Result<(), String> {
        if let Some(known) = self.heads.get(&head.size) {
            return if *known == head {
                Ok(())
            } else {
                Err(format!("two heads of one size: {known:?} and {head:?}"))
            };
        }
        let size = head.size;
        if size > self.size() || head.root != self.root(size) {
            return Err(format!(
                "the head of size {size} has another root than its entries"
            ));
        }
        if let Some((_, last)) = self.heads.last_key_value()
            && (last.size >= size || last.signed_at >= head.signed_at)
        {
            return Err(format!("{head:?} does not come after {last:?}"));
        }
        self.heads.insert(size, head);
        Ok(())
    }

    pub fn root(&mut self, size: u64) -> Hash {
        self.tree.root(0, size)
    }

    pub fn leaf(&self, index: u64) -> Hash {
        self.tree.leaves[usize::try_from(index).expect("small")]
    }

    /// The hashes of a tile.
    pub fn tile(&mut self, level: u8, index: u64, width: u16) -> Vec<u8> {
        let span = 256_u64.pow(u32::from(level));
        let first = index * 256;
        let nodes = (first..first + u64::from(width)).map(|n| (n * span, (n + 1) * span));
        nodes
            .flat_map(|(from, to)| self.tree.root(from, to))
            .collect()
    }

    /// The entries of a bundle, as c2sp.org/tlog-tiles writes them.
    pub fn bundle(&self, index: u64, width: u16) -> Vec<u8> {
        let first = usize::try_from(index * 256).expect("small");
        let bodies = self.order[first..first + usize::from(width)].iter();
        let written = bodies.flat_map(|(_, body)| {
            let length = u16::try_from(body.len()).expect("short").to_be_bytes();
            length.into_iter().chain(body.iter().copied())
        });
        written.collect()
    }
}

/// RFC 6962 §2.1, remembering what never changes.
#[derive(Default)]
struct Tree {
    leaves: Vec<Hash>,
    perfect: HashMap<(u64, u64), Hash>,
}

impl Tree {
    fn push(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
    }

    /// The hash over the leaves `from..to`.
    fn root(&mut self, from: u64, to: u64) -> Hash {
        let count = to - from;
        match count {
            0 => return sha256(b""),
            1 => return self.leaves[usize::try_from(from).expect("small")],
            _ => {}
        }
        if let Some(known) = self.perfect.get(&(from, to)) {
            return *known;
        }
        let mut half = 1;
        while half * 2 < count {
            half *= 2;
        }
        let (left, right) = (self.root(from, from + half), self.root(from + half, to));
        let hash = sha256_pair(1, &left, &right);
        if count.is_power_of_two() {
            self.perfect.insert((from, to), hash);
        }
        hash
    }
}
