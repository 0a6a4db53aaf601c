//! One change as clients get it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use identity::{head::HeadChange, subject::Called, watch::Alert};
use journal::feed::Told;
use kernel::Address;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::feed::{Cursor, Filter, Level};

/// A journal entry, or a change at the head.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = FeedItem)]
pub struct Item {
    /// Its place in the feed.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    cursor: Cursor,
    /// `settled` or `head`.
    #[schema(value_type = String)]
    level: Level,
    /// Of what is settled `agent`, `retracted`, `incident` or `act`; at the head `changed` or `undone`.
    kind: &'static str,
    /// When it was appended, or seen.
    time: DateTime<Utc>,
    /// Whom it is about; null in incidents and acts.
    #[schema(required)]
    agent: Option<Agent>,
    /// What changed, or what is retracted or undone.
    changes: Vec<Change>,
    /// Settled: the entry's CID.
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    /// Settled: its leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_index: Option<u64>,
    /// Settled: how far it is published: `sealed`, `stored`, `pinned` or `anchored`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Settled, and only where it is so: `unavailable`. The entry's body was archived and nobody gives it now, or a
    /// disk altered it; `changes` is empty then. It is at `/v1/entries/{cid}` once it is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'static str>,
    /// Settled and retracted: the CIDs of the entries that said the changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    said: Vec<String>,
    /// At the head, where it concerns whoever watches: `new_agent`, `transfer`, `approval`, `wallet`, `uri`, `document`,
    /// `metadata`, `endpoint`, `key`, `claim`, `status` or `retracted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'static str>,
    /// Whose it is for filters, lower case.
    #[serde(skip)]
    owners: [Option<String>; 2],
}

/// Whom a change is about, as it is called now.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = FeedAgent)]
pub struct Agent {
    /// Row id.
    pub id: Uuid,
    /// DID.
    #[schema(required)]
    pub did: Option<String>,
    /// Name; null where the agent is gone.
    #[schema(required)]
    pub name: Option<String>,
    /// Owner, EIP-55.
    #[schema(required)]
    pub owner_address: Option<String>,
}

/// What a fact set.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = FeedChange)]
pub struct Change {
    /// Column.
    pub column: String,
    /// Its value.
    pub value: Value,
    /// The fact.
    pub cause: String,
    /// Settled: the fact's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
}

impl Item {
    /// An entry.
    pub fn settled(told: Told, called: &HashMap<Uuid, Called>) -> Self {
        let place = told.place();
        let id = told.agent.map(|agent| agent.0);
        let owner = id.and_then(|id| called.get(&id)?.owner.clone());
        let body = told.entry.is_none().then_some("unavailable");
        let (changes, said) = told
            .entry
            .map_or_else(Default::default, |entry| (entry.changes, entry.said));
        let changes = changes.into_iter().map(|change| Change {
            column: change.column,
            value: change.value,
            cause: change.cause,
            time: Some(change.time),
        });
        Self {
            cursor: Cursor {
                level: Level::Settled,
                place,
            },
            level: Level::Settled,
            kind: told.kind.as_str(),
            time: told.appended_at,
            agent: id.map(|id| Agent::new(id, called)),
            changes: changes.collect(),
            cid: Some(told.cid),
            leaf_index: Some(told.leaf_index),
            state: Some(told.state.as_str()),
            body,
            said,
            alert: None,
            owners: [owner, None],
        }
    }

    /// A change at the head.
    pub fn head(change: HeadChange, called: &HashMap<Uuid, Called>) -> Self {
        let alert = Alert::of(&change).map(Alert::as_str);
        Self {
            cursor: Cursor {
                level: Level::Head,
                place: change.position,
            },
            level: Level::Head,
            kind: if change.undone { "undone" } else { "changed" },
            time: change.at,
            agent: Some(Agent::new(change.agent_id, called)),
            changes: vec![Change {
                column: change.what,
                value: change.value,
                cause: change.cause,
                time: None,
            }],
            cid: None,
            leaf_index: None,
            state: None,
            body: None,
            said: Vec::new(),
            alert,
            owners: [change.owner, change.former_owner],
        }
    }

    /// Its place in the feed.
    pub fn place(&self) -> u64 {
        self.cursor.place
    }

    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn time(&self) -> DateTime<Utc> {
        self.time
    }

    pub fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether it is told without what it says.
    pub fn lacks_body(&self) -> bool {
        self.body.is_some()
    }

    pub fn cid(&self) -> Option<&str> {
        self.cid.as_deref()
    }

    /// Whether it is what a filter of its feed wants: the same that reading with the filter gives.
    pub fn passes(&self, filter: &Filter) -> bool {
        let of = |agent: Option<Uuid>| {
            agent.is_none_or(|id| self.agent.as_ref().is_some_and(|agent| agent.id == id))
        };
        let owned = |address: &str| self.owners.iter().flatten().any(|owner| owner == address);
        match filter {
            Filter::Settled { agent, owner, kind } => {
                of(*agent)
                    && owner.is_none_or(|owner| owned(&format!("{owner:#x}")))
                    && kind.is_none_or(|kind| kind.as_str() == self.kind)
            }
            Filter::Head(wanted) => {
                let columns = self.changes.iter().map(|change| &change.column);
                of(wanted.agent)
                    && wanted.owner.as_deref().is_none_or(owned)
                    && wanted
                        .column
                        .iter()
                        .all(|column| columns.clone().any(|one| one == column))
                    && wanted
                        .undone
                        .is_none_or(|undone| undone == (self.kind == "undone"))
                    && wanted.watch.as_ref().is_none_or(|targets| {
                        let owners = self.owners.iter().flatten().map(String::as_str);
                        let id = self.agent.as_ref().map(|agent| agent.id);
                        self.alert.is_some() && id.is_some_and(|id| targets.meet(id, owners))
                    })
            }
        }
    }
}

impl Agent {
    fn new(id: Uuid, called: &HashMap<Uuid, Called>) -> Self {
        let called = called.get(&id);
        let owner = called.and_then(|called| called.owner.clone());
        Self {
            id,
            did: called.map(|called| called.did.clone()),
            name: called.and_then(|called| called.name.clone()),
            owner_address: owner.map(|owner| {
                owner
                    .parse::<Address>()
                    .map_or(owner, |address| address.to_string())
            }),
        }
    }
}

fn as_text<S: serde::Serializer>(cursor: &Cursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}
