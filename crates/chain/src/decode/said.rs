//! The words that logs are decoded into.

use kernel::{Address, Bytes};

/// One thing that a log says of its token.
///
/// `confirmed` is false where a better event, which the source does not hold, could contradict:
/// what rests on it is `claimed`. Variants without the field are always confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The token was minted to `owner`. A mint resets everything: no URI, no metadata, no wallet
    /// (the wallet that a mint gives is said by a [`Said::WalletSet`] of the same log).
    Founded {
        /// Its first owner.
        owner: Address,
        /// Whether the mint itself was seen, and not only the registration's word.
        confirmed: bool,
    },
    /// The token changed hands (`from` and `to` may be equal).
    OwnerMoved {
        /// Whose it was.
        from: Address,
        /// Whose it is.
        to: Address,
    },
    /// The token is no more. The current registry cannot burn; a later version might.
    Burned {
        /// Whose it was.
        from: Address,
    },
    /// The agent's wallet; `None`: it has none.
    WalletSet {
        /// The address that acts and is paid in the agent's name.
        wallet: Option<Address>,
        /// Whether everything that moves a wallet was seen.
        confirmed: bool,
    },
    /// Where the registration file is, as raw bytes: invalid UTF-8 and NUL are possible.
    UriSet {
        /// The URI as the contract holds it; may be empty.
        uri: Bytes,
        /// Whether the write itself was seen, and not only the registration's word.
        confirmed: bool,
    },
    /// A metadata value other than the wallet.
    MetadataSet {
        /// Raw bytes; may be empty.
        key: Bytes,
        /// Raw bytes; empty: removed.
        value: Bytes,
    },
    /// A runtime status, said in an `AgentStatus` contract.
    StatusSet {
        /// 0 ACTIVE, 1 SLEEP, 2 TERMINATED; nothing else gets here.
        status: u8,
        /// Raw bytes; may be empty.
        reason: Bytes,
        /// Whom the contract let speak.
        speaker: Address,
    },
    /// The agent is alive; moves its liveness only.
    Heartbeat,
    /// The one address that may act for the owner until the next transfer; `None`: nobody.
    Approved {
        /// The approved address.
        approved: Option<Address>,
    },
    /// The log says nothing by itself.
    Noted,
}

impl Said {
    /// Whether no event that the source lacks could contradict.
    pub fn confirmed(&self) -> bool {
        match self {
            Self::Founded { confirmed, .. }
            | Self::WalletSet { confirmed, .. }
            | Self::UriSet { confirmed, .. } => *confirmed,
            _ => true,
        }
    }
}

/// A log that is not the encoding which its event's signature promises: kept and shown, never
/// guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
pub struct Malformed {
    /// The event that it claims to be.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Malformed {
    /// For `map_err`.
    pub(crate) fn of(what: &'static str) -> impl Fn(&'static str) -> Self {
        move |why| Self { what, why }
    }
}
