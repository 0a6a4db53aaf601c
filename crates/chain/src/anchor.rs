//! `AuditAnchor`: the head of a journal, the transaction that anchors a later one, and what that one says.

use alloy::sol_types::{SolCall, SolEvent};
use kernel::{Address, B256, Bytes, Kind};

use crate::{
    contracts::AuditAnchor as C,
    rpc::{At, Call, Receipt, Rpc, RpcError},
};

/// The last head of a journal that a contract holds. Its size is 0 where nothing was anchored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnchoredHead {
    /// Entries.
    pub size: u64,
    /// Root of the tree over them (RFC 6962).
    pub root: B256,
    /// When it was anchored last, in seconds of block time.
    pub time: u64,
}

/// Reads the head of `keeper`'s journal.
///
/// Errors with the kind `Invalid` where no `AuditAnchor` is at `contract`.
pub async fn head(
    rpc: &Rpc,
    contract: Address,
    keeper: Address,
    journal: B256,
    at: At,
) -> Result<AnchoredHead, RpcError> {
    let asked = C::headCall { keeper, journal }.abi_encode();
    let answer = rpc.call(&Call::new(contract, asked.into()), at).await?;
    let head = C::headCall::abi_decode_returns(&answer).map_err(|_| RpcError::Other {
        kind: Kind::Invalid,
        code: None,
        message: format!(
            "there is no AuditAnchor at {contract} on chain {}",
            rpc.chain()
        ),
    })?;
    Ok(AnchoredHead {
        size: head.size,
        root: head.root,
        time: head.time,
    })
}

/// Anchors a head, with the consistency proof from the last one: none for the first head, and for the
/// same head again.
pub fn anchor(journal: B256, size: u64, root: B256, proof: Vec<B256>) -> Bytes {
    C::anchorCall {
        journal,
        size,
        root,
        proof,
    }
    .abi_encode()
    .into()
}

/// What `AuditAnchor` said when it took a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whose journal it is.
    pub keeper: Address,
    /// The journal's name in the contract.
    pub journal: B256,
    /// Entries.
    pub size: u64,
    /// Root of the tree over them (RFC 6962).
    pub root: B256,
}

/// The heads that `contract` took in a transaction, in their order. A reverted one has none.
pub fn taken(receipt: &Receipt, contract: Address) -> Vec<Taken> {
    let logs = receipt.logs.iter().filter(|log| log.address == contract);
    logs.filter_map(|log| {
        let topics = log.topics.iter().copied();
        let event = C::Anchored::decode_raw_log_validate(topics, &log.data).ok()?;
        Some(Taken {
            keeper: event.keeper,
            journal: event.journal,
            size: event.size,
            root: event.root,
        })
    })
    .collect()
}
