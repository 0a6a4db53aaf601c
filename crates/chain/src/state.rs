//! What a contract's storage holds, proven against a header's `stateRoot` (EIP-1186).
//!
//! The header must be trusted already. Nothing of the node's answer is believed: it brings the
//! trie's nodes, and these say what stands where.

#[cfg(test)]
mod tests;

use alloy::{
    primitives::KECCAK256_EMPTY,
    rlp,
    trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, proof::verify_proof},
};
use kernel::{Address, B256, Bytes, Kind, U256, keccak256};
use serde::Deserialize;

use crate::quantity::{self, Quantity};

/// A path has 64 nibbles, and so at most as many nodes, and a leaf.
const MOST_NODES: usize = 65;
/// A branch with 16 hashes has 532 bytes; nothing in a state's trie is larger.
const MOST_NODE_BYTES: usize = 600;

/// The answer of `eth_getProof`, of which nothing is shown yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateProof {
    account: TrieAccount,
    account_nodes: Vec<Bytes>,
    slots: Vec<SlotProof>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SlotProof {
    slot: U256,
    value: U256,
    nodes: Vec<Bytes>,
}

/// What the state holds of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whether there is such an account at all.
    pub exists: bool,
    /// keccak256 of its code; that of nothing where it has none.
    pub code_hash: B256,
    /// The words in the slots that were asked for, in their order; zero where nothing stands.
    pub words: Vec<B256>,
}

/// Why an answer proves nothing. It says nothing of the chain: another source may do better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// No answer to `eth_getProof`, or one larger than a proof can be.
    #[error("this is no proof of state: {0}")]
    Malformed(String),
    /// The answer lacks a slot that was asked for.
    #[error("the proof does not speak of slot {0}")]
    SlotMissing(B256),
    /// The nodes do not lead from the state's root to the account.
    #[error("the account is not proven: {0}")]
    Account(String),
    /// The nodes do not lead from the account's storage to the slot's value.
    #[error("slot {slot} is not proven: {why}")]
    Slot {
        /// The slot.
        slot: B256,
        /// Where the path breaks.
        why: String,
    },
}

impl StateError {
    /// Always [`Kind::Unavailable`]: the source's fault, ask again or elsewhere.
    pub fn kind(&self) -> Kind {
        Kind::Unavailable
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProof {
    account_proof: Vec<Bytes>,
    #[serde(with = "quantity")]
    balance: U256,
    code_hash: B256,
    #[serde(with = "quantity")]
    nonce: u64,
    storage_hash: B256,
    storage_proof: Option<Vec<WireSlot>>,
}

#[derive(Deserialize)]
struct WireSlot {
    /// Geth repeats the key as it was asked for, others fill it up or cut it.
    key: Quantity<U256>,
    #[serde(with = "quantity")]
    value: U256,
    proof: Option<Vec<Bytes>>,
}

impl StateProof {
    /// Reads the answer of `eth_getProof`.
    pub fn parse(json: &str) -> Result<Self, StateError> {
        let wire: WireProof =
            serde_json::from_str(json).map_err(|error| StateError::Malformed(error.to_string()))?;
        let slots = wire.storage_proof.unwrap_or_default();
        let proof = Self {
            account: TrieAccount {
                nonce: wire.nonce,
                balance: wire.balance,
                // Of an absent account some nodes tell zeros, others the hashes of nothing.
                storage_root: or_if_zero(wire.storage_hash, EMPTY_ROOT_HASH),
                code_hash: or_if_zero(wire.code_hash, KECCAK256_EMPTY),
            },
            account_nodes: wire.account_proof,
            slots: slots
                .into_iter()
                .map(|slot| SlotProof {
                    slot: slot.key.0,
                    value: slot.value,
                    nodes: slot.proof.unwrap_or_default(),
                })
                .collect(),
        };
        let paths = proof.slots.iter().map(|slot| &slot.nodes[..]);
        if paths.chain([&proof.account_nodes[..]]).all(is_small) {
            Ok(proof)
        } else {
            Err(StateError::Malformed("a path is too long".to_owned()))
        }
    }

    /// What stands in the slots of the account at `address`, under a header's `stateRoot`. A slot
    /// that holds nothing and an account that is not there are shown as well.
    pub fn verify(
        &self,
        state_root: B256,
        address: Address,
        slots: &[B256],
    ) -> Result<Account, StateError> {
        let exists = self.verify_account(state_root, address)?;
        let words = slots
            .iter()
            .map(|slot| self.verify_slot(*slot))
            .collect::<Result<_, _>>()?;
        Ok(Account {
            exists,
            code_hash: self.account.code_hash,
            words,
        })
    }

    /// All nodes that the answer brought, to be given on; see [`crate::trie`].
    pub fn into_nodes(self) -> Vec<Bytes> {
        let slots = self.slots.into_iter().flat_map(|slot| slot.nodes);
        self.account_nodes.into_iter().chain(slots).collect()
    }

    fn verify_account(&self, state_root: B256, address: Address) -> Result<bool, StateError> {
        let path = Nibbles::unpack(keccak256(address));
        let presence = verify_proof(
            state_root,
            path,
            Some(rlp::encode(self.account)),
            &self.account_nodes,
        );
        match presence {
            Ok(()) => Ok(true),
            Err(_) if self.account == TrieAccount::default() => {
                verify_proof(state_root, path, None, &self.account_nodes)
                    .map(|()| false)
                    .map_err(|error| StateError::Account(error.to_string()))
            }
            Err(error) => Err(StateError::Account(error.to_string())),
        }
    }

    fn verify_slot(&self, slot: B256) -> Result<B256, StateError> {
        let root = self.account.storage_root;
        let asked = U256::from_be_bytes(slot.0);
        let told = self.slots.iter().find(|told| told.slot == asked);
        let Some(told) = told else {
            // An account without storage needs no path, and some nodes give none.
            return if root == EMPTY_ROOT_HASH {
                Ok(B256::ZERO)
            } else {
                Err(StateError::SlotMissing(slot))
            };
        };
        let path = Nibbles::unpack(keccak256(slot));
        let stands = verify_proof(root, path, Some(rlp::encode(told.value)), &told.nodes);
        // Zero is kept by leaving it out; anvil keeps a zero that was written as well.
        let proven = match stands {
            Err(_) if told.value.is_zero() => verify_proof(root, path, None, &told.nodes),
            stands => stands,
        };
        proven
            .map(|()| B256::from(told.value))
            .map_err(|error| StateError::Slot {
                slot,
                why: error.to_string(),
            })
    }
}

fn or_if_zero(hash: B256, otherwise: B256) -> B256 {
    if hash.is_zero() { otherwise } else { hash }
}

fn is_small(nodes: &[Bytes]) -> bool {
    nodes.len() <= MOST_NODES && nodes.iter().all(|node| node.len() <= MOST_NODE_BYTES)
}
