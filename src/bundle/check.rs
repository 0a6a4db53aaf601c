//! Checking a bundle: pure, and with nothing but the file and what its reader trusts.

mod anchor;
mod journal;
mod onchain;

use identity::statement::Spoken;
use kernel::{AgentId, Token, sha256};
use serde::Serialize;
use uuid::Uuid;

pub(super) use self::onchain::{LONGEST_URI, walk};

use super::{
    basis::{Basis, Known},
    file::{self, File, Wrong, wrong},
    parts::{self, Document, Row, Subject},
};

/// More fields than a record has.
const MOST_FIELDS: usize = 64;
/// More than can be missing.
const MOST_MISSING: usize = 32;

/// What a bundle showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The agent's UUID.
    pub agent: AgentId,
    /// `eip155:<chain>:<registry>/<agentId>`, where it is a token.
    pub token: Option<String>,
    /// Bytes of the file.
    pub size: usize,
    /// What was shown, in the order in which one thing follows from the other.
    pub steps: Vec<Step>,
    /// Blocks whose hashes must be trusted.
    pub blocks: Vec<Block>,
    /// A status contract that must be trusted: that the log is not the registry's own.
    pub contract: Option<kernel::Address>,
    /// Statements in the entries, whose keys' signatures were verified. What a contract signed, and by what right
    /// somebody speaks of whom nothing is shown, must be trusted.
    pub statements: Vec<Spoken>,
    /// The log's key, which must be trusted.
    pub log: Option<Signed>,
    /// The transaction that anchored the log, which must be trusted.
    pub anchor: Option<Anchored>,
    /// The record.
    pub fields: Vec<Field>,
    /// What is not in the file.
    pub missing: Vec<Missing>,
}

/// One thing that was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The part that shows it.
    pub part: &'static str,
    /// What it shows.
    pub says: String,
}

/// A block whose header is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Block {
    /// EIP-155 id of the chain that it is said to be of.
    pub chain: u64,
    /// Height.
    pub number: u64,
    /// The header's hash.
    pub hash: kernel::B256,
}

/// Who signed the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The log's name.
    pub origin: String,
    /// Entries of the log at the checkpoint.
    pub size: u64,
    /// Root of the tree over them.
    pub root: kernel::B256,
    /// The newest leaf in the file.
    pub newest: u64,
    /// The key.
    pub vkey: String,
    /// Whether the reader gave that key. If not, it is the file's own word.
    pub trusted: bool,
    /// CID of the manifest on IPFS; the file's own word.
    pub manifest: Option<String>,
}

/// What is said to be anchored on chain: a beginning of the log, up to the file's newest entry at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Anchored {
    /// EIP-155 id of the chain.
    pub chain: u64,
    /// The `AuditAnchor` contract.
    pub contract: kernel::Address,
    /// The account that keeps the head.
    pub keeper: kernel::Address,
    /// The journal's name in the contract, which follows from the log's key.
    pub journal: kernel::B256,
    /// The transaction.
    pub tx: kernel::B256,
    /// Entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: kernel::B256,
}

/// A column of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value as text.
    pub value: Option<String>,
    /// What shows it; empty: the instance's own word.
    pub rests_on: Vec<Basis>,
    /// Whether the entry says what the agent's key, or its owner's, signed.
    pub signed: bool,
}

/// What is not in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What.
    pub what: String,
    /// Why, by the file's own word.
    pub why: String,
}

/// Checks a bundle. `vkey` is the log's key, where the reader knows it.
pub fn check(bytes: &[u8], vkey: Option<&str>) -> Result<Report, Wrong> {
    let file = File::parse(bytes)?;
    let (known, mut report) = shown(&file, vkey)?;
    report.size = bytes.len();
    report.fields = record(&file, &known, &report)?;
    report.missing = missing(&file, &report)?;
    Ok(report)
}

/// What the parts before the record show.
pub(super) fn shown(file: &File, vkey: Option<&str>) -> Result<(Known, Report), Wrong> {
    let (agent, token) = subject(file)?;
    let mut report = Report {
        agent,
        token: token.map(|token| token.to_string()),
        size: 0,
        steps: Vec::new(),
        blocks: Vec::new(),
        contract: None,
        statements: Vec::new(),
        log: None,
        anchor: None,
        fields: Vec::new(),
        missing: Vec::new(),
    };
    let mut known = Known {
        token,
        ..Known::default()
    };
    onchain::check(file, &mut known, &mut report)?;
    journal::check(file, vkey, &mut known, &mut report)?;
    anchor::check(file, &mut report)?;
    if report.steps.is_empty() {
        return Err(wrong(file::FRAME)(
            &"it proves nothing: it has neither receipt, nor state, nor entries",
        ));
    }
    document(file, &mut known, &mut report)?;
    Ok((known, report))
}

fn subject(file: &File) -> Result<(AgentId, Option<Token>), Wrong> {
    let wrong = wrong(file::SUBJECT);
    let subject: Subject = file.get(file::SUBJECT)?.ok_or(wrong(&"it is not there"))?;
    let id = Uuid::parse_str(&subject.agent).ok();
    let id = id.filter(|id| id.to_string() == subject.agent);
    let id = AgentId(id.ok_or(wrong(&"`agent` is no UUID"))?);
    let Some(text) = subject.token else {
        return Ok((id, None));
    };
    let token: Token = text.parse().map_err(|error| wrong(&error))?;
    if token.to_string() != text || AgentId::of_token(&token) != id {
        return Err(wrong(&"the token is not that agent's"));
    }
    Ok((id, Some(token)))
}

fn document(file: &File, known: &mut Known, report: &mut Report) -> Result<(), Wrong> {
    let Some(Document { bytes }) = file.get(file::DOCUMENT)? else {
        return Ok(());
    };
    let (size, digest) = (bytes.len(), hex::encode(sha256(&bytes)));
    if !known.take_document(bytes) {
        let why = format_args!("no entry in the file commits to its bytes (sha2-256 {digest})");
        return Err(wrong(file::DOCUMENT)(&why));
    }
    report.steps.push(Step {
        part: file::DOCUMENT,
        says: format!("the {size} bytes of the registration file are those that the journal names"),
    });
    Ok(())
}

/// The record, each field resting on exactly what the file says that it rests on.
fn record(file: &File, known: &Known, report: &Report) -> Result<Vec<Field>, Wrong> {
    let wrong = wrong(file::ROW);
    let row: Row = file.get(file::ROW)?.ok_or(wrong(&"it is not there"))?;
    if row.fields.len() > MOST_FIELDS {
        return Err(wrong(&"it has too many fields"));
    }
    let mut fields: Vec<Field> = Vec::new();
    for parts::RowField(name, value, told) in row.fields {
        if fields.last().is_some_and(|before| before.name >= name) {
            return Err(wrong(&"its fields are not in their order"));
        }
        let rests_on = known.rests_on(&name, value.as_deref());
        if !rests_on.iter().map(|basis| basis.as_str()).eq(&told) {
            return Err(wrong(&format_args!(
                "`{name}` is said to rest on {}, and rests on {}",
                listed(told.iter().map(String::as_str)),
                listed(rests_on.iter().map(|basis| basis.as_str()))
            )));
        }
        if let Some((block, other)) = known.contradiction(&name, value.as_deref()) {
            let why = format_args!("`{name}` is not what block {block} says: {other}");
            return Err(wrong(&why));
        }
        let signed = rests_on.contains(&Basis::Journal) && known.signed.contains(&name);
        fields.push(Field {
            name,
            value,
            rests_on,
            signed,
        });
    }
    let id = fields.iter().find(|field| field.name == "id");
    let id = id.and_then(|field| field.value.as_deref());
    if id != Some(report.agent.to_string().as_str()) {
        return Err(wrong(&"it is another agent's"));
    }
    Ok(fields)
}

pub(super) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

/// What the file lacks, whether it says so or not.
fn missing(file: &File, report: &Report) -> Result<Vec<Missing>, Wrong> {
    let told: parts::Missing = file.get(file::MISSING)?.unwrap_or_default();
    if told.parts.len() > MOST_MISSING {
        return Err(wrong(file::MISSING)(&"it lists too much"));
    }
    let told = told.parts.into_iter();
    let mut missing: Vec<Missing> = told
        .map(|parts::Left(what, why)| Missing { what, why })
        .collect();
    let has = |name| file.parts().iter().any(|(known, _)| *known == name);
    let log = report.log.as_ref();
    for (what, there) in [
        (file::RECEIPT, has(file::RECEIPT)),
        (file::STATE, has(file::STATE)),
        (file::JOURNAL, has(file::JOURNAL)),
        (file::DOCUMENT, has(file::DOCUMENT)),
        ("manifest", log.is_some_and(|log| log.manifest.is_some())),
        (file::ANCHOR, has(file::ANCHOR)),
    ] {
        if !there && missing.iter().all(|one| one.what != what) {
            missing.push(Missing {
                what: what.to_owned(),
                why: "the file does not say why".to_owned(),
            });
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests;
