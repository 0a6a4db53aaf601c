//! Why a contract refused, in words.

use std::fmt;

use alloy::{
    hex,
    sol_types::{Panic, Revert as ErrorString, SolError, SolInterface},
};
use kernel::Bytes;

use crate::contracts::Refusals::{self, RefusalsErrors};

/// What a contract returned when it reverted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revert {
    /// The returned bytes, as they are.
    pub data: Bytes,
    /// What the node said of it, for nodes that pass no data on.
    pub message: String,
}

impl Revert {
    /// The error, if it is one that we know by name.
    pub fn known(&self) -> Option<RefusalsErrors> {
        RefusalsErrors::abi_decode(&self.data).ok()
    }

    /// Whether an ERC-721 said that it has no such token.
    pub fn is_unknown_token(&self) -> bool {
        self.data
            .starts_with(&Refusals::ERC721NonexistentToken::SELECTOR)
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(known) = self.known() {
            return f.write_str(&text(&known));
        }
        if let Ok(error) = ErrorString::abi_decode(&self.data) {
            return f.write_str(&error.reason);
        }
        if let Ok(panic) = Panic::abi_decode(&self.data) {
            return write!(f, "{panic}");
        }
        match (self.data.is_empty(), self.message.as_str()) {
            (false, _) => write!(f, "unknown error 0x{}", hex::encode(&self.data)),
            (true, "") => f.write_str("no reason given"),
            (true, message) => f.write_str(message),
        }
    }
}

fn text(error: &RefusalsErrors) -> String {
    use RefusalsErrors as E;
    match error {
        E::ERC721NonexistentToken(e) => format!("there is no agent {}", e.tokenId),
        E::ERC721IncorrectOwner(e) => {
            format!(
                "agent {} belongs to {}, not to {}",
                e.tokenId, e.owner, e.sender
            )
        }
        E::ERC721InsufficientApproval(e) => {
            format!("{} may not move agent {}", e.operator, e.tokenId)
        }
        E::ERC721InvalidReceiver(e) => format!("{} does not take agents", e.receiver),
        E::OwnableUnauthorizedAccount(e) => format!("{} is not the contract's owner", e.account),
        E::MayNotSpeak(e) => {
            format!(
                "{} may not speak for agent {} of {}",
                e.speaker, e.agentId, e.registry
            )
        }
        E::UnknownStatus(e) => format!("{} is no status", e.status),
        E::ReasonTooLong(e) => format!("the reason is too long: {} bytes", e.length),
        E::EmptyHead(_) => "a journal without entries has no head to anchor".to_owned(),
        E::Rollback(e) => format!("a head of {} entries is anchored already", e.anchored),
        E::Inconsistent(e) => {
            format!(
                "it does not go on from the anchored head of {} entries",
                e.anchored
            )
        }
        E::InvalidInitialization(_) => "the contract is initialized already".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Address, U256};

    use super::*;

    fn said(data: Vec<u8>) -> String {
        Revert {
            data: data.into(),
            message: "execution reverted".to_owned(),
        }
        .to_string()
    }

    #[test]
    fn reasons_are_told_in_words() {
        assert_eq!(
            said(ErrorString::from("reserved key").abi_encode()),
            "reserved key"
        );
        let unknown = Refusals::ERC721NonexistentToken {
            tokenId: U256::from(7),
        };
        assert_eq!(said(unknown.abi_encode()), "there is no agent 7");
        let speak = Refusals::ERC721InvalidOwner {
            owner: Address::ZERO,
        };
        assert!(said(speak.abi_encode()).contains("ERC721InvalidOwner"));
        assert!(said(Panic::from(0x11).abi_encode()).contains("overflow"));
        assert_eq!(said(vec![]), "execution reverted");
        assert_eq!(said(vec![1, 2, 3, 4, 5]), "unknown error 0x0102030405");
        assert_eq!(Revert::default().to_string(), "no reason given");
    }
}
