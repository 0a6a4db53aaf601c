//! What an operator does through a door: the same facts that plain SQL leaves behind.

use std::collections::BTreeMap;

use kernel::AgentId;
use serde_json::{Value, json};
use store::{Cause, Tx};

use crate::{
    Error, Result,
    fact::RuntimeStatus,
    project::{Mode, Report, project},
};

/// Sets `runtime_status`. Errors with a conflict where the status is final, or somebody holds the
/// agent's row at the moment.
pub async fn set_status(
    tx: &mut Tx,
    agent: AgentId,
    status: RuntimeStatus,
    reason: Option<&str>,
) -> Result<Report> {
    let row = sqlx::query!("SELECT status_final, did FROM identity.agents WHERE id = $1", agent.0)
        .fetch_optional(tx.conn())
        .await?
        .ok_or_else(|| Error::NotFound(agent.to_string()))?;
    if row.status_final {
        return Err(Error::Conflict(format!(
            "{} ended for good when its token was burned: only a new mint lifts TERMINATED",
            row.did
        )));
    }
    let changes = BTreeMap::from([("runtime_status".to_owned(), json!(status.as_str()))]);
    update(tx, agent, &changes, reason).await
}

/// Records an act that sets columns, and projects it at once.
pub async fn update(
    tx: &mut Tx,
    agent: AgentId,
    changes: &BTreeMap<String, Value>,
    reason: Option<&str>,
) -> Result<Report> {
    let who = match tx.cause() {
        Cause::Request(principal) => principal.to_string(),
        other => other.to_string(),
    };
    let now = tx.now();
    // The newest block of the agent's chain may be ahead of our clock: an act made now comes after it.
    sqlx::query!(
        "INSERT INTO identity.acts (agent_id, kind, at, who, changes, reason, founding)
         SELECT $1, 'update', greatest($2, (SELECT c.head_time FROM identity.subjects s
                                              JOIN chain.v_chains c ON c.chain_id = s.chain_id
                                             WHERE s.id = $1)),
                $3, $4, $5, (SELECT founding FROM identity.tokens WHERE agent_id = $1)",
        agent.0,
        now,
        who,
        json!(changes),
        reason,
    )
    .execute(tx.conn())
    .await?;
    let report = project(tx, &[agent], Mode::Forward).await?;
    if !report.busy.is_empty() {
        return Err(Error::Conflict(
            "somebody is changing this agent at the moment: try again".to_owned(),
        ));
    }
    crate::head::record(tx, &report.head, false).await?;
    Ok(report)
}
