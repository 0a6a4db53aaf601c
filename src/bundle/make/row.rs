//! The record's fields, each with what it rests on.

use identity::{agent::Agent, document};

use super::{
    super::{
        basis::{Known, shown_uri},
        parts::{Row, RowField},
    },
    Error,
};
use crate::app::App;

/// The fields that have a value; of owner, wallet and URI it is also told that there is none.
pub async fn of(app: &App, agent: &Agent, known: &Known) -> Result<Row, Error> {
    let uri = match &agent.agent_uri {
        Some(uri) => shown_uri(uri.as_bytes()),
        // One that is too long to keep.
        None => document::of_agent(&app.db, agent.id)
            .await?
            .map(|metadata| format!("sha256:{}", metadata.uri_sha256)),
    };
    let text = |text: &Option<String>| text.clone();
    let time = |time: &chrono::DateTime<chrono::Utc>| time.to_rfc3339();
    let token = agent.chain.is_some();
    let mut fields = vec![
        ("id", Some(agent.id.to_string())),
        ("did", Some(agent.did.clone())),
        ("name", Some(agent.name.clone())),
        ("name_source", Some(agent.name_source.clone())),
        ("description", text(&agent.description)),
        ("owner_address", text(&agent.owner_address)),
        ("agent_wallet", text(&agent.agent_wallet)),
        ("agent_uri", uri),
        ("ipfs_metadata_hash", text(&agent.ipfs_metadata_hash)),
        ("created_at", Some(time(&agent.created_at))),
        ("updated_at", Some(time(&agent.updated_at))),
        (
            "runtime_status",
            Some(agent.runtime_status.as_str().to_owned()),
        ),
        ("last_active_at", agent.last_active_at.as_ref().map(time)),
        ("liveness", Some(agent.liveness.clone())),
        ("admin_status", Some(agent.admin_status.clone())),
        ("load", Some(agent.load.clone())),
        ("last_heartbeat", agent.last_heartbeat.as_ref().map(time)),
        ("endpoint_url", text(&agent.endpoint_url)),
        ("avatar_url", text(&agent.avatar_url)),
        ("category", text(&agent.category)),
        ("summary", text(&agent.summary)),
        ("version", text(&agent.version)),
        ("public_key", text(&agent.public_key)),
        ("codebase_hash", text(&agent.codebase_hash)),
        ("ttl", agent.ttl.map(|ttl| ttl.to_string())),
        ("chain", agent.chain.map(|chain| chain.to_string())),
        ("registry", text(&agent.registry)),
        ("agent_id", text(&agent.agent_id)),
        ("complete", Some(agent.complete.to_string())),
        ("burned", token.then(|| agent.burned.to_string())),
        ("metadata_state", text(&agent.metadata_state)),
        ("metadata_verification", text(&agent.metadata_verification)),
        ("level", text(&agent.level)),
        (
            "last_block",
            agent.last_block.map(|block| block.to_string()),
        ),
        ("last_tx", text(&agent.last_tx)),
        ("last_log", agent.last_log.map(|log| log.to_string())),
    ];
    let absence = ["owner_address", "agent_wallet", "agent_uri"];
    fields.retain(|(name, value)| value.is_some() || token && absence.contains(name));
    fields.sort_unstable();
    let fields = fields.into_iter().map(|(name, value)| {
        let rests_on = known.rests_on(name, value.as_deref());
        let rests_on = rests_on.iter().map(|basis| basis.as_str().to_owned());
        RowField(name.to_owned(), value, rests_on.collect())
    });
    Ok(Row {
        fields: fields.collect(),
    })
}
