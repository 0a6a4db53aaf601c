//! Watches: whose changes somebody wants to hear of, under a name. What is told of them are the changes of the head
//! feed that matter to whoever owns or keeps an agent ([`Alert`]); there is no second feed.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use kernel::{Address, AgentId, Limit, Page, Token};
use serde::Serialize;
use store::{Db, Tx};
use uuid::Uuid;

use crate::{Error, Result, head::HeadChange, subject, vexel};

/// Most targets of one principal, over all its watches.
const MOST: i64 = 1_000;

/// The longest target as it is given, in bytes: DIDs end at 255.
const LONGEST: usize = 512;

/// What a watch looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All agents of an address, those to come and those that leave it included.
    Owner(Address),
    /// One agent, which need not be there yet.
    Agent(Uuid),
}

/// One target of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Watch {
    /// The watch's name.
    pub name: String,
    /// As it was given; addresses in a DID in lower case.
    pub target: String,
    /// The owner that is watched, EIP-55.
    pub owner: Option<String>,
    /// The agent that is watched: its id.
    pub agent: Option<Uuid>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// All targets of a watch, as the head feed is filtered by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Addresses in lower case.
    pub owners: Vec<String>,
    /// Agents.
    pub agents: Vec<Uuid>,
}

impl Targets {
    /// Whether a change is about one of them.
    pub fn meet<'a>(&self, agent: Uuid, mut owners: impl Iterator<Item = &'a str>) -> bool {
        self.agents.contains(&agent) || owners.any(|owner| self.owners.iter().any(|o| o == owner))
    }
}

/// Whom anybody watches: of them alone the head feed is told in bulk.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Addresses in lower case.
    owners: HashSet<String>,
    agents: HashSet<Uuid>,
}

impl Watched {
    /// All targets of all watches.
    pub async fn read(tx: &mut Tx) -> Result<Self> {
        let rows = sqlx::query!("SELECT DISTINCT owner, agent_id FROM identity.watches")
            .fetch_all(tx.conn())
            .await?;
        let mut watched = Self::default();
        for row in rows {
            watched.owners.extend(row.owner);
            watched.agents.extend(row.agent_id);
        }
        Ok(watched)
    }

    /// Whether nobody watches anybody.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.agents.is_empty()
    }

    /// Whether an agent is watched by itself.
    pub fn has_agent(&self, agent: AgentId) -> bool {
        self.agents.contains(&agent.0)
    }

    /// Whether any owner is watched.
    pub fn has_owners(&self) -> bool {
        !self.owners.is_empty()
    }

    /// Whether an address is, in any case of its letters.
    pub fn has_owner(&self, address: &str) -> bool {
        self.owners.contains(&address.to_lowercase())
    }
}

/// Why a change is worth a word to whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// An agent was registered, or seen for the first time.
    NewAgent,
    /// It changed hands, or has no owner any more.
    Transfer,
    /// Its wallet was set or cleared.
    Wallet,
    /// It names another registration file.
    Uri,
    /// The registration file at the same URI says something else.
    Document,
    /// Its endpoint moved.
    Endpoint,
    /// Which key speaks for it: its first one, or another.
    Key,
    /// An address may act for its owner until the next transfer, or may not any more.
    Approval,
    /// It was said to be the same agent as a token, by its key and that token's owner.
    Claim,
    /// Its registration file cannot be had, is not what URI or chain say, or is there again.
    Metadata,
    /// Its runtime status, its liveness, the operator's word on it, or whether it takes work. None of them is measured: each
    /// is told by somebody who acts or signs, or by a change of liveness.
    Status,
    /// What was told is taken back: a reorganisation of the chain took its ground.
    Retracted,
}

impl Alert {
    /// The columns whose changes may be alerts: [`Alert::of`] says which are.
    pub const COLUMNS: [&'static str; 13] = [
        "owner_address",
        "agent_wallet",
        "agent_uri",
        "metadata_state",
        "document",
        "endpoint_url",
        "public_key",
        "approved",
        "claim",
        "runtime_status",
        "admin_status",
        "liveness",
        "load",
    ];

    /// What a change is to whoever watches; `None` where it is no alert.
    pub fn of(change: &HeadChange) -> Option<Self> {
        let alert = match change.what.as_str() {
            "owner_address" if change.former_owner.is_none() && !change.value.is_null() => {
                Self::NewAgent
            }
            "owner_address" => Self::Transfer,
            "agent_wallet" => Self::Wallet,
            "agent_uri" => Self::Uri,
            "metadata_state" => Self::Metadata,
            "document" if is_news(change) => Self::Document,
            "endpoint_url" => Self::Endpoint,
            "public_key" => Self::Key,
            "approved" => Self::Approval,
            "claim" => Self::Claim,
            "runtime_status" | "admin_status" | "liveness" | "load" => Self::Status,
            _ => return None,
        };
        Some(if change.undone {
            Self::Retracted
        } else {
            alert
        })
    }

    /// Its spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewAgent => "new_agent",
            Self::Transfer => "transfer",
            Self::Wallet => "wallet",
            Self::Uri => "uri",
            Self::Metadata => "metadata",
            Self::Document => "document",
            Self::Endpoint => "endpoint",
            Self::Key => "key",
            Self::Approval => "approval",
            Self::Claim => "claim",
            Self::Status => "status",
            Self::Retracted => "retracted",
        }
    }
}

/// Whether a file says something else than before. The first version at a URI came with the URI, and that there is no file
/// is the state of its metadata: both are alerts of their own.
fn is_news(document: &HeadChange) -> bool {
    !document.value.is_null() && !document.cause.ends_with("/document:1")
}

/// What a text names: an address, or an agent by any identifier. A DID and the full name of a token may be of an agent
/// that is not registered yet.
pub async fn target(db: &Db, text: &str) -> Result<Target> {
    let wrong =
        |why: &str| Error::Invalid(format!("a watch's target is an address or an agent: {why}"));
    if text.is_empty() || text.len() > LONGEST {
        return Err(wrong(&format!("this one has {} bytes", text.len())));
    }
    if let Ok(owner) = text.parse() {
        return Ok(Target::Owner(owner));
    }
    if let Some(agent) = subject::find(db, text).await? {
        return Ok(Target::Agent(agent));
    }
    if let Ok(token) = text.parse::<Token>().or_else(|_| Token::from_did(text)) {
        return Ok(Target::Agent(AgentId::of_token(&token).0));
    }
    if did::Did::parse(text).is_ok() {
        return Ok(Target::Agent(AgentId::of_did(text).0));
    }
    Err(Error::NotFound(text.to_owned()))
}

/// The same; `None` where it names nobody now: what a reorganisation took has lost its short name.
pub async fn named(db: &Db, text: &str) -> Result<Option<Target>> {
    match target(db, text).await {
        Ok(target) => Ok(Some(target)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds a target to a watch, and the watch where it is its first one. What is watched already stays as it is.
pub async fn add(
    tx: &mut Tx,
    principal: &str,
    name: &str,
    target: Target,
    given: &str,
) -> Result<Watch> {
    check_name(name)?;
    let (owner, agent) = columns(target);
    let given = shown(target, given);
    // Who adds at the same time elsewhere may come a little over it.
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM identity.watches
            WHERE principal = $1
              AND (name, coalesce(owner, agent_id::text)) <> ($2, coalesce($3, $4::uuid::text))"#,
        principal,
        name,
        owner,
        agent,
    )
    .fetch_one(tx.conn())
    .await?;
    if count >= MOST {
        return Err(Error::Conflict(format!(
            "there are {MOST} watched targets, which is the most: remove some first"
        )));
    }
    let now = tx.now();
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO identity.watches AS w (principal, name, target, owner, agent_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT watches_target_unique DO UPDATE SET target = w.target
         RETURNING name, target, owner, agent_id, created_at",
        principal,
        name,
        given,
        owner,
        agent,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(row.into())
}

/// Removes a target from a watch, or the whole watch. A target goes by the text that it was watched by, else by whom the
/// text names now. Errors where there is none.
pub async fn remove(
    tx: &mut Tx,
    principal: &str,
    name: &str,
    only: Option<(Option<Target>, &str)>,
) -> Result<u64> {
    check_name(name)?;
    let target = only.and_then(|(target, _)| target);
    let (owner, agent) = target.map_or((None, None), columns);
    let given = only.map(|(target, given)| match target {
        Some(target) => shown(target, given),
        None => vexel::lower(given),
    });
    let gone = sqlx::query!(
        "DELETE FROM identity.watches
          WHERE principal = $1 AND name = $2
            AND ($5::text IS NULL OR target = $5
                 OR ((owner = $3 OR agent_id = $4)
                     AND NOT EXISTS (SELECT FROM identity.watches w
                                      WHERE w.principal = $1 AND w.name = $2 AND w.target = $5)))",
        principal,
        name,
        owner,
        agent,
        given,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    if gone == 0 {
        return Err(no_watch(name));
    }
    Ok(gone)
}

/// The targets of a principal's watches, by name, oldest first.
pub async fn list(
    db: &Db,
    principal: &str,
    name: Option<&str>,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<Watch>> {
    let after = cursor.map(read_cursor).transpose()?;
    let (after_name, after_key) = after.unzip();
    let rows = sqlx::query_as!(
        Row,
        "SELECT name, target, owner, agent_id, created_at FROM identity.watches
          WHERE principal = $1 AND ($2::text IS NULL OR name = $2)
            AND ($3::text IS NULL OR (name, coalesce(owner, agent_id::text)) > ($3, $4))
          ORDER BY name, coalesce(owner, agent_id::text) LIMIT $5",
        principal,
        name,
        after_name,
        after_key,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    let page = Page::from_lookahead(rows, limit, |row: &Row| {
        let key = row.owner.clone().or(row.agent_id.map(|id| id.to_string()));
        format!("{}~{}", row.name, key.unwrap_or_default())
    });
    Ok(page.map(Watch::from))
}

/// What a principal's watch looks at. Errors where there is none of this name.
pub async fn targets(db: &Db, principal: &str, name: &str) -> Result<Targets> {
    check_name(name)?;
    // An agent that plain SQL made has an id that its DID did not tell before.
    let rows = sqlx::query!(
        r#"SELECT w.owner, w.agent_id, a.id AS "now?" FROM identity.watches w
             LEFT JOIN identity.agents a ON a.did = w.target
            WHERE w.principal = $1 AND w.name = $2"#,
        principal,
        name,
    )
    .fetch_all(db.pool())
    .await?;
    if rows.is_empty() {
        return Err(no_watch(name));
    }
    let mut targets = Targets::default();
    for row in rows {
        targets.owners.extend(row.owner);
        targets.agents.extend(row.agent_id);
        targets.agents.extend(row.now);
    }
    Ok(targets)
}

/// A target as its row keeps it.
struct Row {
    name: String,
    target: String,
    owner: Option<String>,
    agent_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl From<Row> for Watch {
    fn from(row: Row) -> Self {
        let checksummed = |owner: String| match owner.parse::<Address>() {
            Ok(address) => address.to_string(),
            Err(_) => owner,
        };
        Self {
            name: row.name,
            target: row.target,
            owner: row.owner.map(checksummed),
            agent: row.agent_id,
            created_at: row.created_at,
        }
    }
}

/// What was given, as rows spell it: addresses in DIDs are in lower case there.
fn shown(target: Target, given: &str) -> String {
    match target {
        Target::Owner(_) => given.to_owned(),
        Target::Agent(_) => vexel::lower(given),
    }
}

fn columns(target: Target) -> (Option<String>, Option<Uuid>) {
    match target {
        Target::Owner(owner) => (Some(format!("{owner:#x}")), None),
        Target::Agent(agent) => (None, Some(agent)),
    }
}

fn no_watch(name: &str) -> Error {
    Error::NoWatch(name.to_owned())
}

fn check_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::Invalid(
        "a watch's name is 1 to 64 letters, digits, `.`, `_` or `-`".to_owned(),
    ))
}

fn read_cursor(text: &str) -> Result<(String, String)> {
    // A name has no tilde.
    let parts = text.split_once('~');
    let wrong = || Error::Invalid("this cursor is none that a page gave".to_owned());
    let (name, key) = parts.ok_or_else(wrong)?;
    Ok((name.to_owned(), key.to_owned()))
}

#[cfg(test)]
mod tests;
