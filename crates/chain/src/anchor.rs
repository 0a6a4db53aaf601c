//! Calls of `AuditAnchor`: the head of a journal, and the transaction that anchors a later one.

use alloy::sol_types::SolCall;
use kernel::{Address, B256, Bytes, Kind};

use crate::{
    contracts::AuditAnchor as C,
    rpc::{At, Call, Rpc, RpcError},
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
