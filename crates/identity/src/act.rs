//! What an operator does through a door: the same facts that plain SQL leaves behind.

use std::collections::BTreeMap;

use kernel::AgentId;
use serde_json::{Value, json};
use store::{Cause, Tx};
use uuid::Uuid;

use crate::{
    Error, Result,
    fact::{ADMIN_STATUSES, LOADS, RuntimeStatus},
    project::{Feed, Mode, Report, lock, project},
};

/// Whether there is any act at all.
pub(crate) async fn any(tx: &mut Tx) -> Result<bool> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM identity.acts) AS "any!""#);
    Ok(any.fetch_one(tx.conn()).await?)
}

/// Of which of `agents` acts speak.
pub(crate) async fn among(tx: &mut Tx, agents: &[Uuid]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "SELECT DISTINCT agent_id FROM identity.acts WHERE agent_id = ANY($1)",
        agents
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Sets `runtime_status`. Errors with a conflict where the status is final, or somebody holds the
/// agent's row at the moment.
pub async fn set_status(
    tx: &mut Tx,
    agent: AgentId,
    status: RuntimeStatus,
    reason: Option<&str>,
) -> Result<Report> {
    let row = sqlx::query!(
        "SELECT status_final, did FROM identity.agents WHERE id = $1",
        agent.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| Error::NotFound(agent.to_string()))?;
    if row.status_final {
        return Err(Error::Conflict(format!(
            "{} ended for good: only a new {} lifts TERMINATED",
            row.did,
            match row.did.as_str() {
                did if did.starts_with("did:nft:") => "mint of its token",
                did if did.starts_with("did:key:") => "registration by its key",
                _ => "INSERT of its row",
            }
        )));
    }
    let changes = BTreeMap::from([("runtime_status".to_owned(), json!(status.as_str()))]);
    update(tx, agent, &changes, reason).await
}

/// Columns that an act may set; of a token's agent its chain sets the others.
const COLUMNS: [&str; 13] = [
    "name",
    "description",
    "runtime_status",
    "admin_status",
    "load",
    "endpoint_url",
    "avatar_url",
    "category",
    "summary",
    "version",
    "metadata",
    "codebase_hash",
    "trust_score",
];

/// Records an act that sets columns, and projects it at once.
pub async fn update(
    tx: &mut Tx,
    agent: AgentId,
    changes: &BTreeMap<String, Value>,
    reason: Option<&str>,
) -> Result<Report> {
    changes
        .iter()
        .try_for_each(|(column, value)| check(column, value))?;
    let who = match tx.cause() {
        Cause::Request(principal) => principal.to_string(),
        other => other.to_string(),
    };
    let now = tx.now();
    // First the lock, then the serial: acts of one agent are committed in the order of their serials.
    lock(tx, &[agent.0]).await?;
    // The newest block of the agent's chain may be ahead of our clock: an act made now comes after it.
    let recorded = sqlx::query!(
        "INSERT INTO identity.acts (agent_id, kind, at, who, changes, reason, founding)
         SELECT s.id, 'update', greatest($2, (SELECT c.head_time FROM chain.v_chains c
                                               WHERE c.chain_id = s.chain_id)),
                $3, $4, $5, (SELECT founding FROM identity.tokens WHERE agent_id = $1)
           FROM identity.subjects s WHERE s.id = $1",
        agent.0,
        now,
        who,
        json!(changes),
        reason,
    )
    .execute(tx.conn())
    .await?;
    if recorded.rows_affected() == 0 {
        return Err(Error::NotFound(agent.to_string()));
    }
    let report = project(tx, &[agent], Mode::Forward, Feed::Told).await?;
    if !report.busy.is_empty() {
        return Err(Error::Conflict(
            "somebody is changing this agent at the moment: try again".to_owned(),
        ));
    }
    Ok(report)
}

/// What the row would refuse is refused before it becomes a fact.
fn check(column: &str, value: &Value) -> Result<()> {
    let one_of = |words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));
    let fits = match column {
        "runtime_status" => value
            .as_str()
            .is_some_and(|word| RuntimeStatus::parse(word).is_some()),
        "admin_status" => one_of(&ADMIN_STATUSES),
        "load" => one_of(&LOADS),
        "metadata" => value.is_object(),
        "trust_score" => {
            value.is_null()
                || value
                    .as_f64()
                    .is_some_and(|score| (0.0..=1.0).contains(&score))
        }
        "name" => value
            .as_str()
            .is_some_and(|name| name.chars().count() <= 255),
        _ => value.is_string() || value.is_null(),
    };
    if !COLUMNS.contains(&column) {
        return Err(Error::Invalid(format!("{column} is not set by an act")));
    }
    if !fits || value.to_string().contains("\\u0000") {
        return Err(Error::Invalid(format!("{value} is no value of {column}")));
    }
    Ok(())
}
