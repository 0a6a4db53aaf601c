//! An entry: one record of the journal, a canonical DAG-CBOR map.
//!
//! ```text
//! { v: 1,
//!   kind: "agent" | "retracted" | "incident" | "act",
//!   agent: the agent's id as text; null (never absent) in incidents and acts,
//!   time: when it was appended, RFC 3339, UTC, six decimals ("2026-01-02T03:04:05.000006Z"),
//!   changes: [[column, value, cause, the change's own time], ...] in fold order, no floats,
//!   prev: CID of the previous entry of the same agent as text (not a link: a recursive pin would
//!         walk it); null in the first one,
//!   said: only in `retracted`: the CIDs of the entries that said the changes, one for each }
//! ```
//!
//! Its id is its CID (CIDv1, dag-cbor, sha2-256). It carries no signature: the checkpoint over the tree
//! that it is a leaf of is signed, and an author's own signature is evidence inside of it. One value has
//! one encoding; parsing refuses every other one, unknown fields, kinds and versions.

use chrono::{DateTime, Datelike as _, NaiveDateTime, Timelike as _, Utc};
use kernel::{AgentId, Cid, cid_of_dag_cbor, from_dag_cbor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{cbor, change::Change, draft};

/// The version of the encoding.
pub(crate) const VERSION: u64 = 1;

/// Most bytes of an entry: bundles give the length in 16 bits (c2sp.org/tlog-tiles).
pub const MAX_BYTES: usize = 65_535;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Changes of one agent in one step.
    Agent,
    /// Changes that were said and are not owed any more, after a reorg or a late fact.
    Retracted,
    /// Something that should not have happened, with its particulars.
    Incident,
    /// An operator's act that changes no agent.
    Act,
}

impl EntryKind {
    /// The word in the entry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Retracted => "retracted",
            Self::Incident => "incident",
            Self::Act => "act",
        }
    }

    /// Reads [`EntryKind::as_str`] back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Agent, Self::Retracted, Self::Incident, Self::Act]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// Whether entries of this kind speak of an agent, and so say or retract its changes.
    pub fn has_agent(self) -> bool {
        matches!(self, Self::Agent | Self::Retracted)
    }
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub kind: EntryKind,
    /// Whom it is about.
    pub agent: Option<AgentId>,
    /// When it was appended.
    pub time: DateTime<Utc>,
    /// What changed, in fold order; the particulars of an incident or act.
    pub changes: Vec<Change>,
    /// In a retraction, who said each of `changes`; empty otherwise.
    pub said: Vec<String>,
    /// The previous entry of the same chain.
    pub prev: Option<String>,
}

/// Bytes that are no entry, or a change that no entry can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not the canonical form.
    #[error("not a journal entry: {0}")]
    Form(String),
    /// A number that encoders disagree about.
    #[error(
        "column {column}: {value} is a float, which an entry cannot hold: use text or an integer"
    )]
    Float {
        /// The column that holds it.
        column: String,
        /// The number.
        value: String,
    },
    /// Nested without end.
    #[error("column {column}: the value is nested too deeply")]
    TooDeep {
        /// The column that holds it.
        column: String,
    },
    /// One change does not fit into an entry.
    #[error(
        "column {column}: the change takes {size} bytes, but an entry holds {MAX_BYTES}: \
         store the payload and say its CID or digest"
    )]
    TooLarge {
        /// The column.
        column: String,
        /// Bytes of the smallest entry that would hold it.
        size: usize,
    },
    /// Kind, agent, changes and sayers do not fit together.
    #[error("an entry of kind `{kind}` {problem}")]
    Shape {
        /// The kind's word.
        kind: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A time outside the years 0 to 9999.
    #[error("{0} has no RFC 3339 form")]
    Time(DateTime<Utc>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    v: u64,
    kind: String,
    agent: Option<String>,
    time: String,
    changes: Vec<(String, Value, String, String)>,
    prev: Option<String>,
    said: Option<Vec<String>>,
}

impl Entry {
    /// The canonical bytes. They may be more than [`MAX_BYTES`]; `append` splits before.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        draft::encode(self)
    }

    /// Reads an entry; refuses every form but the canonical one.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let form = |text: &str| EntryError::Form(text.to_owned());
        if bytes.len() > MAX_BYTES {
            return Err(form("it is longer than 65,535 bytes"));
        }
        let read: Read =
            from_dag_cbor(bytes).map_err(|error| EntryError::Form(error.to_string()))?;
        if read.v != VERSION {
            return Err(EntryError::Form(format!(
                "version {} is not known here",
                read.v
            )));
        }
        let kind = EntryKind::parse(&read.kind)
            .ok_or_else(|| EntryError::Form(format!("kind `{}` is not known here", read.kind)))?;
        let agent = match read.agent {
            None => None,
            Some(text) => Some(AgentId(
                Uuid::parse_str(&text).map_err(|_| form("`agent` is no UUID"))?,
            )),
        };
        let mut changes = Vec::with_capacity(read.changes.len());
        for (column, value, cause, time) in read.changes {
            changes.push(Change {
                column,
                value,
                cause,
                time: parse_time(&time)?,
            });
        }
        let entry = Self {
            kind,
            agent,
            time: parse_time(&read.time)?,
            changes,
            said: read.said.unwrap_or_default(),
            prev: read.prev,
        };
        // What the typed form does not carry (upper-case UUIDs, absent for null, ...) shows here.
        if entry.encode()? != bytes {
            return Err(form("it is not in the canonical form"));
        }
        Ok(entry)
    }

    /// The id of the entry with these bytes.
    pub fn cid_of(bytes: &[u8]) -> Cid {
        cid_of_dag_cbor(bytes)
    }

    pub(crate) fn check(&self) -> Result<(), EntryError> {
        let wrong = |problem| {
            Err(EntryError::Shape {
                kind: self.kind.as_str(),
                problem,
            })
        };
        if self.kind.has_agent() != self.agent.is_some() {
            return wrong(if self.agent.is_none() {
                "must name its agent"
            } else {
                "speaks of no agent"
            });
        }
        if self.changes.is_empty() {
            return wrong("must hold at least one change");
        }
        if self.kind == EntryKind::Retracted {
            if self.said.len() != self.changes.len() {
                return wrong("must name, for each change, the entry that said it");
            }
        } else if !self.said.is_empty() {
            return wrong("retracts nothing, so it names no entries that said it");
        }
        if self.said.iter().chain(&self.prev).any(|cid| !is_cid(cid)) {
            return wrong("names an entry by something that is no CID");
        }
        self.changes.iter().try_for_each(Change::check)
    }
}

/// Whether `text` is what `append` writes as an entry's id, not only some CID.
fn is_cid(text: &str) -> bool {
    Cid::try_from(text).is_ok_and(|cid| cid.to_string() == text)
}

/// RFC 3339, UTC, fixed width.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// A time in its text form, which is a text in an entry. Written digit by digit: an entry holds one for each
/// change.
pub(crate) fn push_time(out: &mut Vec<u8>, time: DateTime<Utc>) -> Result<(), EntryError> {
    let naive = time.naive_utc();
    let year = u32::try_from(naive.year()).ok();
    let year = year
        .filter(|year| *year <= 9_999)
        .ok_or(EntryError::Time(time))?;
    let nanos = naive.nanosecond();
    // Chrono's leap second is a second of two thousand million nanoseconds.
    let (second, nanos) = match nanos.checked_sub(1_000_000_000) {
        Some(nanos) => (naive.second() + 1, nanos),
        None => (naive.second(), nanos),
    };
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |end: usize, digits: usize, mut number: u32| {
        for place in text[end - digits..end].iter_mut().rev() {
            *place = b"0123456789"[(number % 10) as usize];
            number /= 10;
        }
    };
    put(4, 4, year);
    put(7, 2, naive.month());
    put(10, 2, naive.day());
    put(13, 2, naive.hour());
    put(16, 2, naive.minute());
    put(19, 2, second);
    put(26, 6, nanos / 1_000);
    cbor::ascii(out, &text);
    Ok(())
}

/// The text of a time.
fn time_text(time: DateTime<Utc>) -> Result<String, EntryError> {
    let mut out = Vec::new();
    push_time(&mut out, time)?;
    // Behind the head of a text of this length.
    Ok(out[2..].iter().copied().map(char::from).collect())
}

fn parse_time(text: &str) -> Result<DateTime<Utc>, EntryError> {
    NaiveDateTime::parse_from_str(text, TIME)
        .ok()
        .map(|time| time.and_utc())
        .filter(|time| time_text(*time).as_deref() == Ok(text))
        .ok_or_else(|| EntryError::Form(format!("`{text}` is no time of the form {TIME}")))
}

#[cfg(test)]
mod tests;
