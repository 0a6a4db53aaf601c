//! A registered token: the chain's own name of an agent.

use std::{fmt, str::FromStr};

use alloy_primitives::{Address, U256};
use serde::Serialize;

/// One ERC-8004 token: chain, registry and agentId.
///
/// It is printed as `eip155:<chain>:<registry, lower case>/<agentId>`, which is also the name that
/// the agent's UUID is made from (`model.md` §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Token {
    /// EIP-155 chain id.
    pub chain: u64,
    /// The identity registry's address.
    pub registry: Address,
    /// ERC-721 token id, called agentId by ERC-8004.
    pub id: U256,
}

/// A text that names no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no token name: expected eip155:<chain>:<registry>/<agentId>")]
pub struct TokenError(String);

impl Token {
    /// `did:nft:eip155:<chain>_erc721:<registry>_<agentId>` (CIP-94, a draft).
    pub fn did(&self) -> String {
        format!(
            "did:nft:eip155:{}_erc721:{:#x}_{}",
            self.chain, self.registry, self.id
        )
    }

    /// `<chain>:<agentId>`, the form shown to people; unique only within one registry of the chain.
    pub fn short(&self) -> String {
        format!("{}:{}", self.chain, self.id)
    }

    /// Reads [`Token::did`] back; hex case does not matter.
    pub fn from_did(did: &str) -> Result<Self, TokenError> {
        let wrong = || TokenError(did.to_owned());
        let rest = did.strip_prefix("did:nft:eip155:").ok_or_else(wrong)?;
        let (chain, rest) = rest.split_once("_erc721:").ok_or_else(wrong)?;
        let (registry, id) = rest.split_once('_').ok_or_else(wrong)?;
        Self::from_parts(chain, registry, id).ok_or_else(wrong)
    }

    fn from_parts(chain: &str, registry: &str, id: &str) -> Option<Self> {
        Some(Self {
            chain: decimal(chain)?.parse().ok()?,
            registry: registry
                .starts_with("0x")
                .then(|| registry.parse().ok())??,
            id: U256::from_str_radix(decimal(id)?, 10).ok()?,
        })
    }
}

/// A decimal number in its one canonical form: digits only, no leading zero.
fn decimal(text: &str) -> Option<&str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then_some(text)
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}:{:#x}/{}", self.chain, self.registry, self.id)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || TokenError(text.to_owned());
        let rest = text.strip_prefix("eip155:").ok_or_else(wrong)?;
        let (chain, rest) = rest.split_once(':').ok_or_else(wrong)?;
        let (registry, id) = rest.split_once('/').ok_or_else(wrong)?;
        Self::from_parts(chain, registry, id).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_what_it_prints() {
        let token = Token {
            chain: 1,
            registry: "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432"
                .parse()
                .expect("address"),
            id: U256::MAX,
        };
        assert_eq!(token.to_string().parse(), Ok(token));
        assert_eq!(Token::from_did(&token.did()), Ok(token));
        assert_eq!(
            Token::from_did(&token.did().replace("0x8004a1", "0x8004A1")),
            Ok(token)
        );
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let registry = "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432";
        for wrong in [
            String::new(),
            "eip155:1".to_owned(),
            format!("eip155:1:{registry}"),
            format!("eip155:01:{registry}/1"),
            format!("eip155:1:{registry}/+1"),
            format!("eip155:1:{registry}/"),
            format!("eip155:1:{}/1", &registry[2..]),
            format!("eip155:1:{registry}/{}0", U256::MAX),
        ] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
    }
}
