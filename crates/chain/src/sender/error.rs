//! Why a transaction did not happen, or may not have.

use alloy::eips::eip2718::Eip2718Error;
use kernel::{Address, B256, Kind};

use crate::{revert::Revert, rpc::RpcError};

/// A transaction that was not sent, not mined, or not successful.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The node refused or did not answer; a contract that would revert is here, too.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The node has this very transaction: nothing is wrong.
    #[error("the node has this transaction already")]
    AlreadyKnown,
    /// Another transaction of the account was mined with this nonce.
    #[error("nonce {nonce} is used already")]
    NonceTooLow {
        /// The nonce.
        nonce: u64,
    },
    /// Another transaction with this nonce waits, and pays as much.
    #[error("a transaction with the same nonce waits, and pays as much")]
    Underpriced,
    /// The account cannot pay.
    #[error("the account cannot pay for it: {0}")]
    Funds(String),
    /// The chain asks for more than the operator allows.
    #[error("it would cost up to {asked} wei per gas, and at most {most} are allowed")]
    TooExpensive {
        /// Wei per gas.
        asked: u128,
        /// Wei per gas.
        most: u128,
    },
    /// It was mined and reverted.
    #[error("transaction {tx} reverted: {reason}")]
    Reverted {
        /// The transaction.
        tx: B256,
        /// Why, as far as the same call tells afterwards.
        reason: Revert,
    },
    /// It waits still; one of these may be mined yet.
    #[error("not mined in time, also with higher fees: {hashes:?}")]
    Stuck {
        /// All versions.
        hashes: Vec<B256>,
    },
    /// Another transaction of the account took its nonce: it will never be mined.
    #[error("another transaction of the account took nonce {nonce}")]
    Superseded {
        /// The nonce.
        nonce: u64,
        /// All versions.
        hashes: Vec<B256>,
    },
    /// The key is not the account's.
    #[error("the key is that of {signer}, but the transaction is one of {from}")]
    WrongSigner {
        /// Whose key it is.
        signer: Address,
        /// Whose transaction it is.
        from: Address,
    },
    /// The transaction is for another chain than the node serves.
    #[error("the transaction is for chain {transaction:?}, the node serves {node}")]
    WrongChain {
        /// `None`: for any chain (before EIP-155), which is refused.
        transaction: Option<u64>,
        /// The node's chain.
        node: u64,
    },
    /// Bytes that are no signed transaction.
    #[error("these bytes are no signed transaction: {0}")]
    NoTransaction(#[from] Eip2718Error),
    /// A signature that fits nobody.
    #[error("the signature is invalid")]
    Signature,
    /// A committed artifact that is none.
    #[error("a contract's artifact is broken: {0}")]
    Artifact(serde_json::Error),
}

impl SendError {
    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Rpc(error) => error.kind(),
            Self::Stuck { .. } | Self::TooExpensive { .. } => Kind::Unavailable,
            Self::AlreadyKnown
            | Self::NonceTooLow { .. }
            | Self::Underpriced
            | Self::Funds(_)
            | Self::Reverted { .. }
            | Self::Superseded { .. } => Kind::Conflict,
            Self::WrongSigner { .. }
            | Self::WrongChain { .. }
            | Self::NoTransaction(_)
            | Self::Signature => Kind::Invalid,
            Self::Artifact(_) => Kind::Internal,
        }
    }

    /// What a node's pool says to a transaction, by its message: the codes are -32000 for all.
    pub(super) fn of_pool(error: RpcError, nonce: u64) -> Self {
        let text = error.to_string().to_lowercase();
        let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        if says(&[
            "already known",
            "already imported",
            "known transaction",
            "already in pool",
        ]) {
            Self::AlreadyKnown
        } else if says(&[
            "nonce too low",
            "nonce is too low",
            "oldnonce",
            "nonce already used",
        ]) {
            Self::NonceTooLow { nonce }
        } else if says(&[
            "replacement transaction underpriced",
            "underpriced to replace",
        ]) {
            Self::Underpriced
        } else if says(&["insufficient funds", "insufficient balance"]) {
            Self::Funds(error.to_string())
        } else {
            Self::Rpc(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_understood_by_their_words() {
        let of = |message: &str| {
            let error = RpcError::Other {
                kind: Kind::Invalid,
                code: None,
                message: message.to_owned(),
            };
            SendError::of_pool(error, 7)
        };
        assert!(matches!(of("already known"), SendError::AlreadyKnown));
        assert!(matches!(
            of("transaction already imported"),
            SendError::AlreadyKnown
        ));
        let low = of("nonce too low: next nonce 8, tx nonce 7");
        assert!(matches!(low, SendError::NonceTooLow { nonce: 7 }));
        assert!(matches!(
            of("replacement transaction underpriced"),
            SendError::Underpriced
        ));
        let funds = of("insufficient funds for gas * price + value: balance 0");
        assert!(matches!(funds, SendError::Funds(_)));
        assert!(matches!(of("intrinsic gas too low"), SendError::Rpc(_)));
    }
}
