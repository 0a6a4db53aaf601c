//! Transactions of wallet owners: prepared here, signed elsewhere, relayed here, and looked after.
//! Keys never come to us.

mod action;
mod consent;
mod outcome;

use axum::{extract::State, http::HeaderMap, response::Response};
use chain::{Rpc, sender};
use kernel::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Code, Json, Problem, Shared, paging, schema};
use action::Action;

/// Added to the estimated gas, in percent: state may change before the block.
const GAS_MARGIN: u32 = 20;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(prepare))
        .routes(routes!(relay))
        .routes(routes!(outcome::show))
        .routes(routes!(consent::ask))
}

/// What somebody wants to do on a chain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransactionWish {
    /// Who will sign.
    #[schema(value_type = String)]
    from: Address,
    /// EIP-155 chain id; absent: the agent's chain, or the only one that has a node.
    chain: Option<u64>,
    /// What is to be done.
    action: Action,
}

/// A transaction that lacks only its signature.
#[derive(Serialize, ToSchema)]
struct UnsignedTransaction {
    /// EIP-155 chain id.
    chain: u64,
    /// What a wallet takes as it is.
    #[schema(value_type = schema::Prepared)]
    transaction: sender::Prepared,
}

/// Fills in everything but the signature. Nothing is stored, so no token is needed; what would
/// revert is refused with the contract's reason.
#[utoipa::path(
    post, path = "/v1/transactions/prepare", tag = "transactions", request_body = TransactionWish,
    responses(
        (status = OK, body = UnsignedTransaction),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "It would revert, or the chain has no node or contract here"),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ),
)]
async fn prepare(
    State(app): State<Shared>,
    headers: HeaderMap,
    Json(wish): Json<TransactionWish>,
) -> Result<Response, Problem> {
    let target = wish.action.target(&app.db).await?;
    let of_agent = target.as_ref().map(|target| target.chain);
    if let (Some(asked), Some(agents)) = (wish.chain, of_agent)
        && asked != agents
    {
        let detail = format!("the agent lives on chain {agents}, not on {asked}");
        return Err(Problem::new(Code::Invalid, detail));
    }
    let rpc = node(&app, wish.chain.or(of_agent)).await?;
    let contracts = indexer::stored_contracts(&app.db, rpc.chain()).await?;
    let call = wish.action.call(wish.from, target.as_ref(), &contracts)?;
    let transaction = sender::prepare(&rpc, wish.from, &call, GAS_MARGIN).await?;
    Ok(paging::json(
        &headers,
        &UnsignedTransaction {
            chain: rpc.chain(),
            transaction,
        },
    ))
}

/// A signed transaction.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignedTransaction {
    /// EIP-155 chain id.
    chain: u64,
    /// Its bytes, `0x`-hex.
    #[schema(value_type = String)]
    raw: Bytes,
}

/// A transaction that a node has.
#[derive(Serialize, ToSchema)]
struct Relayed {
    /// EIP-155 chain id.
    chain: u64,
    /// Its hash.
    #[schema(value_type = String)]
    tx: B256,
    /// Who signed it, EIP-55.
    from: String,
    /// Its nonce.
    nonce: u64,
}

/// Hands a signed transaction to the chain's node. The same one again is the same transaction.
#[utoipa::path(
    post, path = "/v1/transactions", tag = "transactions", request_body = SignedTransaction,
    responses(
        (status = OK, body = Relayed),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = CONFLICT, body = Problem),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ),
)]
async fn relay(
    State(app): State<Shared>,
    headers: HeaderMap,
    Json(signed): Json<SignedTransaction>,
) -> Result<Response, Problem> {
    let rpc = node(&app, Some(signed.chain)).await?;
    let relayed = sender::relay(&rpc, &signed.raw).await?;
    let (tx, from) = (relayed.hash, relayed.from.to_string());
    Ok(paging::json(
        &headers,
        &Relayed {
            chain: signed.chain,
            tx,
            from,
            nonce: relayed.nonce,
        },
    ))
}

async fn node(app: &Shared, chain: Option<u64>) -> Result<Rpc, Problem> {
    let found = app.nodes.find(chain, &app.config.indexer).await;
    found.ok_or_else(|| {
        let detail = match chain {
            Some(chain) => format!("there is no node for chain {chain} here"),
            None => "say which chain: there is no node here, or more than one".to_owned(),
        };
        Problem::new(Code::Conflict, detail)
    })
}
