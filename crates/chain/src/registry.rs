//! Calls of the registries: calldata to send, and reads of their state.

use alloy::{
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct, eip712_domain},
};
use kernel::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use crate::{
    abi,
    contracts::{AgentStatus, AgentWalletSet, IdentityRegistry as R},
    rpc::{At, Call, Rpc, RpcError},
    sender::SendError,
};

pub use crate::contracts::IdentityRegistry::MetadataEntry;

/// Registers an agent without a registration file, for whoever sends it.
pub fn register() -> Bytes {
    R::register_0Call {}.abi_encode().into()
}

/// Registers an agent with the URI of its registration file.
pub fn register_with_uri(uri: &str) -> Bytes {
    R::register_1Call {
        agentURI: uri.to_owned(),
    }
    .abi_encode()
    .into()
}

/// Registers an agent with a URI and metadata; the key `agentWallet` is reserved and reverts.
pub fn register_with_metadata(uri: &str, metadata: Vec<MetadataEntry>) -> Bytes {
    R::register_2Call {
        agentURI: uri.to_owned(),
        metadata,
    }
    .abi_encode()
    .into()
}

/// Names another registration file.
pub fn set_agent_uri(id: U256, uri: &str) -> Bytes {
    R::setAgentURICall {
        agentId: id,
        newURI: uri.to_owned(),
    }
    .abi_encode()
    .into()
}

/// Sets a metadata value; empty removes it.
pub fn set_metadata(id: U256, key: &str, value: Bytes) -> Bytes {
    R::setMetadataCall {
        agentId: id,
        metadataKey: key.to_owned(),
        metadataValue: value,
    }
    .abi_encode()
    .into()
}

/// Hands the agent over. A contract that does not take ERC-721 tokens makes it revert, instead of
/// the agent being lost in it.
pub fn transfer(from: Address, to: Address, id: U256) -> Bytes {
    R::safeTransferFromCall {
        from,
        to,
        tokenId: id,
    }
    .abi_encode()
    .into()
}

/// Names the agent's wallet, with the wallet's signature of a [`WalletConsent`].
pub fn set_agent_wallet(id: U256, wallet: Address, deadline: U256, signature: Bytes) -> Bytes {
    R::setAgentWalletCall {
        agentId: id,
        newWallet: wallet,
        deadline,
        signature,
    }
    .abi_encode()
    .into()
}

/// Takes the agent's wallet away.
pub fn unset_agent_wallet(id: U256) -> Bytes {
    R::unsetAgentWalletCall { agentId: id }.abi_encode().into()
}

/// Says an agent's runtime status (0 ACTIVE, 1 SLEEP, 2 TERMINATED) to an `AgentStatus` contract.
pub fn set_status(registry: Address, id: U256, status: u8, reason: &str) -> Bytes {
    AgentStatus::setStatusCall {
        registry,
        agentId: id,
        status,
        reason: reason.to_owned(),
    }
    .abi_encode()
    .into()
}

/// Says to an `AgentStatus` contract that an agent is alive.
pub fn heartbeat(registry: Address, id: U256) -> Bytes {
    AgentStatus::heartbeatCall {
        registry,
        agentId: id,
    }
    .abi_encode()
    .into()
}

/// What a new wallet signs to become an agent's wallet (EIP-712). `owner` is the agent's owner at
/// that moment; `deadline` is in seconds, at most five minutes ahead of the block that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletConsent {
    /// EIP-155 chain id.
    pub chain: u64,
    /// The identity registry.
    pub registry: Address,
    /// The agent.
    pub id: U256,
    /// The new wallet, which signs.
    pub wallet: Address,
    /// Whose agent it is.
    pub owner: Address,
    /// The consent's end.
    pub deadline: U256,
}

impl WalletConsent {
    /// The hash that is signed.
    pub fn digest(&self) -> B256 {
        let domain = eip712_domain! {
            name: DOMAIN,
            version: VERSION,
            chain_id: self.chain,
            verifying_contract: self.registry,
        };
        let consent = AgentWalletSet {
            agentId: self.id,
            newWallet: self.wallet,
            owner: self.owner,
            deadline: self.deadline,
        };
        consent.eip712_signing_hash(&domain)
    }

    /// The wallet's signature of it.
    pub fn sign(&self, wallet: &PrivateKeySigner) -> Result<Bytes, SendError> {
        let signature = wallet.sign_hash_sync(&self.digest());
        let signature = signature.map_err(|_| SendError::Signature)?;
        Ok(signature.as_bytes().to_vec().into())
    }

    /// What wallets show and sign: EIP-712's JSON, as `eth_signTypedData_v4` takes it.
    pub fn typed_data(&self) -> Value {
        let field = |(name, kind): (&str, &str)| json!({ "name": name, "type": kind });
        let fields = |list: &[(&str, &str)]| list.iter().copied().map(field).collect::<Vec<_>>();
        json!({
            "types": {
                "EIP712Domain": fields(&[
                    ("name", "string"), ("version", "string"), ("chainId", "uint256"),
                    ("verifyingContract", "address"),
                ]),
                "AgentWalletSet": fields(&[
                    ("agentId", "uint256"), ("newWallet", "address"), ("owner", "address"),
                    ("deadline", "uint256"),
                ]),
            },
            "primaryType": "AgentWalletSet",
            "domain": {
                "name": DOMAIN, "version": VERSION, "chainId": self.chain,
                "verifyingContract": self.registry.to_string(),
            },
            "message": {
                "agentId": self.id.to_string(), "newWallet": self.wallet.to_string(),
                "owner": self.owner.to_string(), "deadline": self.deadline.to_string(),
            },
        })
    }
}

/// The registry's EIP-712 domain.
const DOMAIN: &str = "ERC8004IdentityRegistry";
const VERSION: &str = "1";

/// Who owns an agent; `None`: there is none with that id.
pub async fn owner_of(
    rpc: &Rpc,
    registry: Address,
    id: U256,
    at: At,
) -> Result<Option<Address>, RpcError> {
    let call = R::ownerOfCall { tokenId: id }.abi_encode();
    let answer = known_token(rpc.call(&Call::new(registry, call.into()), at).await)?;
    answer.map(|bytes| read_address(&bytes)).transpose()
}

/// The agent's URI as raw bytes; `None`: there is no agent with that id.
pub async fn token_uri(
    rpc: &Rpc,
    registry: Address,
    id: U256,
    at: At,
) -> Result<Option<Bytes>, RpcError> {
    let call = R::tokenURICall { tokenId: id }.abi_encode();
    let answer = known_token(rpc.call(&Call::new(registry, call.into()), at).await)?;
    answer
        .map(|bytes| abi::dynamic(&bytes, 0).map_err(no_registry))
        .transpose()
}

/// The agent's wallet; `None`: it has none, or there is no agent with that id.
pub async fn agent_wallet(
    rpc: &Rpc,
    registry: Address,
    id: U256,
    at: At,
) -> Result<Option<Address>, RpcError> {
    let call = R::getAgentWalletCall { agentId: id }.abi_encode();
    let answer = rpc.call(&Call::new(registry, call.into()), at).await?;
    let wallet = read_address(&answer)?;
    Ok((!wallet.is_zero()).then_some(wallet))
}

/// A metadata value, by a key that is UTF-8; empty where none was set.
pub async fn metadata(
    rpc: &Rpc,
    registry: Address,
    id: U256,
    key: &str,
    at: At,
) -> Result<Bytes, RpcError> {
    let call = R::getMetadataCall {
        agentId: id,
        metadataKey: key.to_owned(),
    }
    .abi_encode();
    let answer = rpc.call(&Call::new(registry, call.into()), at).await?;
    abi::dynamic(&answer, 0).map_err(no_registry)
}

/// An unknown token is an answer, other refusals are not.
fn known_token(answer: Result<Bytes, RpcError>) -> Result<Option<Bytes>, RpcError> {
    match answer {
        Err(RpcError::Revert { reason }) if reason.is_unknown_token() => Ok(None),
        other => other.map(Some),
    }
}

fn read_address(answer: &[u8]) -> Result<Address, RpcError> {
    abi::word(answer, 0)
        .and_then(abi::address)
        .map_err(no_registry)
}

/// Most often an address without code, whose calls return nothing.
fn no_registry(why: &'static str) -> RpcError {
    RpcError::Other {
        kind: kernel::Kind::Invalid,
        code: None,
        message: format!("there is no identity registry at that address: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// keccak256 of the type's text, as the contract has it.
    #[test]
    fn the_consents_type_is_the_contracts() {
        let text =
            "AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)";
        let consent = AgentWalletSet {
            agentId: U256::ZERO,
            newWallet: Address::ZERO,
            owner: Address::ZERO,
            deadline: U256::ZERO,
        };
        assert_eq!(consent.eip712_type_hash(), kernel::keccak256(text));
    }

    /// What wallets are shown has the fields that are hashed, in their order.
    #[test]
    fn wallets_are_shown_what_they_sign() {
        let consent = WalletConsent {
            chain: 31337,
            registry: Address::repeat_byte(1),
            id: U256::MAX,
            wallet: Address::repeat_byte(0xab),
            owner: Address::repeat_byte(0xcd),
            deadline: U256::from(1_800_000_000_u64),
        };
        let shown = consent.typed_data();
        let kind = shown["primaryType"].as_str().expect("a name");
        let fields = shown["types"][kind].as_array().expect("its fields");
        let text = |field: &Value| {
            let (kind, name) = (field["type"].as_str(), field["name"].as_str());
            format!("{} {}", kind.expect("a type"), name.expect("a name"))
        };
        let listed: Vec<String> = fields.iter().map(text).collect();
        let encoded = format!("{kind}({})", listed.join(","));
        assert_eq!(encoded, AgentWalletSet::eip712_encode_type());
        assert_eq!(shown["message"]["agentId"], U256::MAX.to_string());
        assert_eq!(shown["message"]["newWallet"], consent.wallet.to_string());
        assert_eq!(shown["domain"]["chainId"], 31337);
    }

    #[test]
    fn each_overload_of_register_has_its_selector() {
        let selectors = [
            register()[..4].to_vec(),
            register_with_uri("")[..4].to_vec(),
            register_with_metadata("", vec![])[..4].to_vec(),
        ];
        assert_eq!(
            selectors,
            [
                [0x1a, 0xa3, 0xa0, 0x08],
                [0xf2, 0xc2, 0x98, 0xbe],
                [0x8e, 0xa4, 0x22, 0x86]
            ]
        );
    }
}
