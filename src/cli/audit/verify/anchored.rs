//! Whether a log begins with what a contract holds of it.

use chain::{At, anchor};
use journal::{checkpoint::Checkpoint, vkey::VerifierKey};
use kernel::Address;
use publish::anchor::journal_id;
use serde_json::{Value, json};

use super::{Args, log, not_verified, source::Source};
use crate::cli::{
    exit::Failure,
    trusted::{self, node_failed},
};

/// What a contract holds, which the log begins with.
pub struct Anchored {
    chain: u64,
    contract: Address,
    keeper: Address,
    size: u64,
}

/// Asks the node of `--rpc`; `None` where none was named.
pub async fn verify(
    source: &Source,
    args: &Args,
    head: &Checkpoint,
    key: &VerifierKey,
) -> Result<Option<Anchored>, Failure> {
    let (Some(url), Some(contract), Some(keeper)) = (&args.rpc, args.contract, args.keeper) else {
        return Ok(None);
    };
    let rpc = trusted::node(url).await?;
    let journal = journal_id(&key.to_string());
    let anchored = anchor::head(&rpc, contract, keeper, journal, At::Latest)
        .await
        .map_err(|error| node_failed(&error))?;
    let (chain, size) = (rpc.chain(), anchored.size);
    let held_by = format!("the contract {contract} on chain {chain}");
    if size == 0 {
        return Err(Failure::not_found(format!(
            "{held_by} holds no head of this log by {keeper}"
        )));
    }
    if size > head.size {
        return Err(not_verified(&format!(
            "{held_by} holds {size} entries, and this log has only {}",
            head.size
        )));
    }
    let root = log::root_of(source, head, size).await?;
    if root != anchored.root.0 {
        return Err(not_verified(&format!(
            "{held_by} holds the root {} of {size} entries, but this log's is {}",
            hex::encode(anchored.root),
            hex::encode(root)
        )));
    }
    Ok(Some(Anchored {
        chain,
        contract,
        keeper,
        size,
    }))
}

impl Anchored {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "chain": self.chain, "contract": self.contract.to_string(), "keeper": self.keeper.to_string(),
            "size": self.size,
        })
    }

    /// For people.
    pub fn human(&self) -> String {
        format!(
            "the first {} entries, by {} in {} on chain {}",
            self.size, self.keeper, self.contract, self.chain
        )
    }
}
