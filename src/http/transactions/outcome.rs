//! What became of a transaction.

use std::collections::BTreeSet;

use axum::{extract::State, http::HeaderMap, response::Response};
use chain::{Receipt, Rpc};
use identity::{agent, by_tx, fact::RuntimeStatus};
use indexer::view::{self, ChainView};
use kernel::{AgentId, B256, Limit};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::{Code, Path, Problem, Shared, agents::EntryState, paging, schema};

/// What became of a transaction.
#[derive(Serialize, ToSchema)]
struct Outcome {
    /// `pending`, `mined` or `failed` (mined and reverted).
    state: &'static str,
    /// The block, once it is mined.
    #[schema(required)]
    block: Option<i64>,
    /// Whether that block is indexed.
    indexed: bool,
    /// Whether nothing takes that block back any more; null while nobody says what is final on its chain. A dev chain of
    /// our own has no consensus: what is settled there stays.
    #[schema(required)]
    finalized: Option<bool>,
    /// The agents that its logs speak of.
    agents: Vec<Short>,
    /// The journal entries that say what it changed.
    entries: Vec<EntryState>,
}

/// An agent in short.
#[derive(Serialize, ToSchema)]
struct Short {
    /// Row id.
    id: Uuid,
    /// DID.
    did: String,
    /// Name.
    name: String,
    /// ACTIVE, SLEEP or TERMINATED.
    #[schema(value_type = schema::RuntimeStatus)]
    runtime_status: RuntimeStatus,
    /// EIP-155 chain id.
    #[schema(required)]
    chain: Option<i64>,
    /// agentId, decimal.
    #[schema(required)]
    agent_id: Option<String>,
    /// Owner, EIP-55.
    #[schema(required)]
    owner_address: Option<String>,
    /// Agent URI.
    #[schema(required)]
    agent_uri: Option<String>,
    /// State of the registration file.
    #[schema(required)]
    metadata_state: Option<String>,
}

/// What became of a transaction: whether it is mined, which agents it spoke of, which entries say so.
#[utoipa::path(
    get, path = "/v1/transactions/{chain}/{tx}", tag = "transactions",
    params(
        ("chain" = u64, Path, description = "EIP-155 chain id"),
        ("tx" = String, Path, description = "The transaction's hash, `0x`-hex"),
    ),
    responses(
        (status = OK, body = Outcome),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem, description = "Neither indexed nor known to the node"),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ),
)]
pub async fn show(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path((chain, tx)): Path<(u64, B256)>,
) -> Result<Response, Problem> {
    let rpc = app.nodes.find(Some(chain), &app.config.indexer).await;
    let receipt = match &rpc {
        Some(rpc) => rpc.receipt(tx).await?,
        None => None,
    };
    let block = receipt.as_ref().map(|receipt| receipt.block_number);
    // Before what the block says is looked for: how far we are may grow in between, and a transaction would be indexed
    // that spoke of no agent.
    let read = view::chains(&app.db).await?;
    // With a node, what it does not have is not indexed either: only a recorded chain is searched.
    let mentions = match (&rpc, block) {
        (Some(_), None) => Vec::new(),
        _ => by_tx::mentions(&app.db, chain, tx, block).await?,
    };
    let mut outcome = state_of(rpc.as_ref(), receipt, mentions.first(), tx).await?;
    let kept = read
        .iter()
        .find(|kept| u64::try_from(kept.chain) == Ok(chain));
    if let (Some(kept), Some(block)) = (kept, outcome.block) {
        outcome.indexed = kept.head >= block;
        outcome.finalized = last_final(kept).map(|last| last >= block);
    }
    let agents: BTreeSet<Uuid> = mentions.iter().map(|mention| mention.agent).collect();
    for id in agents {
        outcome.agents.extend(
            agent::find(&app.db, &id.to_string())
                .await?
                .map(Short::from),
        );
        outcome.entries.extend(entries(&app, id, &mentions).await?);
    }
    Ok(paging::json(&headers, &outcome))
}

/// The last block that nothing takes back.
fn last_final(kept: &ChainView) -> Option<i64> {
    if kept.origin == "started" {
        return Some(kept.settled);
    }
    kept.finalized
}

async fn state_of(
    rpc: Option<&Rpc>,
    receipt: Option<Receipt>,
    mention: Option<&by_tx::Mention>,
    tx: B256,
) -> Result<Outcome, Problem> {
    let (state, block) = match (receipt, mention, rpc) {
        (Some(receipt), ..) => {
            let state = if receipt.success { "mined" } else { "failed" };
            (state, i64::try_from(receipt.block_number).ok())
        }
        (None, Some(mention), _) => ("mined", Some(mention.block)),
        (None, None, rpc) => {
            let known = match rpc {
                Some(rpc) => {
                    rpc.ask::<Value>("eth_getTransactionByHash", json!([tx]))
                        .await?
                }
                None => Value::Null,
            };
            if known.is_null() {
                let detail = format!("transaction {tx} is not known here");
                return Err(Problem::new(Code::NotFound, detail));
            }
            ("pending", None)
        }
    };
    Ok(Outcome {
        state,
        block,
        indexed: false,
        finalized: None,
        agents: Vec::new(),
        entries: Vec::new(),
    })
}

/// The newest entries of an agent whose changes the transaction's logs caused.
async fn entries(
    app: &Shared,
    agent: Uuid,
    mentions: &[by_tx::Mention],
) -> Result<Vec<EntryState>, Problem> {
    let some = Limit::new(50).unwrap_or_default();
    let page = journal::read::by_agent(&app.db, AgentId(agent), None, some).await?;
    let caused = |cause: &str| {
        mentions.iter().any(|mention| {
            cause
                .strip_prefix(&mention.cause)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    Ok(page
        .items
        .into_iter()
        .filter(|record| {
            record
                .entry
                .changes
                .iter()
                .any(|change| caused(&change.cause))
        })
        .map(|record| EntryState {
            cid: record.cid,
            state: record.state.as_str(),
        })
        .collect())
}

impl From<agent::Agent> for Short {
    fn from(agent: agent::Agent) -> Self {
        Self {
            id: agent.id,
            did: agent.did,
            name: agent.name,
            runtime_status: agent.runtime_status,
            chain: agent.chain,
            agent_id: agent.agent_id,
            owner_address: agent.owner_address,
            agent_uri: agent.agent_uri,
            metadata_state: agent.metadata_state,
        }
    }
}
