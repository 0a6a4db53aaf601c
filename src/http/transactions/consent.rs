//! What a new wallet signs to become an agent's wallet.

use axum::{extract::State, http::HeaderMap, response::Response};
use chain::{At, registry, registry::WalletConsent};
use kernel::U256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    action::{Target, account},
    node,
};
use crate::http::{Code, Json, Problem, Shared, paging};

/// How long a consent holds. The registry takes none that ends more than 300 s after its block, and the clocks of
/// nodes differ.
const HOLDS_SECONDS: i64 = 280;

/// Which agent, which wallet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WalletToAsk {
    /// Any identifier of the agent.
    agent: String,
    /// The new wallet. Mixed case must be that of EIP-55.
    wallet: String,
}

/// What is to be signed.
#[derive(Serialize, ToSchema)]
pub struct WalletConsentAsked {
    /// EIP-155 chain id.
    chain: u64,
    /// The consent's end, in seconds of Unix time, some minutes ahead.
    deadline: u64,
    /// EIP-712, as `eth_signTypedData_v4` takes it.
    #[schema(value_type = Object)]
    typed_data: Value,
}

/// What the new wallet of an agent signs (EIP-712): its consent, which `set_wallet` takes along. Nothing is stored, so no
/// token is needed.
#[utoipa::path(
    post, path = "/v1/transactions/wallet-consent", tag = "transactions", request_body = WalletToAsk,
    responses(
        (status = OK, body = WalletConsentAsked),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The agent has no token, or its chain no node here"),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ),
)]
pub async fn ask(
    State(app): State<Shared>,
    headers: HeaderMap,
    Json(question): Json<WalletToAsk>,
) -> Result<Response, Problem> {
    let wallet = account(&question.wallet)?;
    let target = Target::find(&app.db, &question.agent).await?;
    let rpc = node(&app, Some(target.chain)).await?;
    // The owner of this very moment: the registry compares with its own.
    let owner = registry::owner_of(&rpc, target.registry, target.id, At::Latest).await?;
    let gone = || Problem::new(Code::Conflict, "the registry knows no such token any more");
    let owner = owner.ok_or_else(gone)?;
    // A chain of our own may run ahead of our clock, or stand still until somebody sends.
    let newest = rpc.block(At::Latest).await?.map_or(0, |block| block.time);
    let now = app.db.clock().now().timestamp().max(newest);
    let deadline = u64::try_from(now + HOLDS_SECONDS).unwrap_or_default();
    let consent = WalletConsent {
        chain: target.chain,
        registry: target.registry,
        id: target.id,
        wallet,
        owner,
        deadline: U256::from(deadline),
    };
    let asked = WalletConsentAsked {
        chain: target.chain,
        deadline,
        typed_data: consent.typed_data(),
    };
    Ok(paging::json(&headers, &asked))
}
