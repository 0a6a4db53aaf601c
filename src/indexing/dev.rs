//! Our contracts on the dev chain: those of an earlier start, or deployed now.

use std::{num::NonZeroU32, time::Duration};

use chain::{
    At, Limits, PrivateKeySigner, Registries, Rpc, SendError, Sender, SenderConfig, deploy,
};
use indexer::Error;

use crate::app::App;

/// anvil's first account, known to everybody: on a dev chain that only we can reach.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// The contracts that this chain has.
pub async fn contracts(app: &App, rpc: &Rpc) -> Result<Registries, Error> {
    let stored = indexer::stored_contracts(&app.db, rpc.chain()).await?;
    if are_there(rpc, &stored).await? {
        return Ok(stored);
    }
    let sender = sender(rpc)?;
    let failed = |error: SendError| {
        Error::Invalid(format!("deploying our contracts on the dev chain: {error}"))
    };
    let registry = deploy::identity_registry(&sender)
        .await
        .map_err(failed)?
        .address;
    let status = deploy::agent_status(&sender).await.map_err(failed)?.address;
    tracing::info!("deployed the identity registry at {registry} and AgentStatus at {status}");
    Ok(Registries {
        identity: vec![registry],
        status: vec![status],
        // Nobody's but his who named them.
        vexel: stored.vexel,
    })
}

/// The dev chain's node.
pub async fn connect(url: &str) -> Result<Rpc, Error> {
    let url = url
        .parse()
        .map_err(|error| Error::Invalid(format!("an rpc URL is no URL: {error}")))?;
    Rpc::connect(url, Limits::default())
        .await
        .map_err(|error| Error::Rpc {
            chain: 0,
            place: "the dev chain".to_owned(),
            error,
        })
}

/// A sender of transactions on the dev chain.
pub fn sender(rpc: &Rpc) -> Result<Sender, Error> {
    let key: PrivateKeySigner = KEY
        .parse()
        .map_err(|error| Error::Invalid(format!("the dev account's key: {error}")))?;
    Ok(Sender::new(rpc.clone(), key, patience()))
}

/// The dev chain mines at once.
fn patience() -> SenderConfig {
    SenderConfig {
        answer_within: Duration::from_secs(10),
        poll: Duration::from_millis(20),
        replace_after: NonZeroU32::MAX,
        most_replacements: 0,
        gas_margin: 20,
        most_fee: None,
    }
}

/// A dev chain that died may have lost them again.
async fn are_there(rpc: &Rpc, stored: &Registries) -> Result<bool, Error> {
    if stored.identity.is_empty() || stored.status.is_empty() {
        return Ok(false);
    }
    for address in stored.identity.iter().chain(&stored.status) {
        let code = rpc
            .code(*address, At::Latest)
            .await
            .map_err(|error| Error::Rpc {
                chain: rpc.chain(),
                place: rpc.place(),
                error,
            })?;
        if code.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
