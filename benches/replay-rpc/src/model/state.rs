//! Accounts and their storage, with the tries that prove them.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles, TrieAccount, proof::ProofRetainer,
};

/// Slot to value; a value of zero is no entry.
pub type Storage = BTreeMap<B256, U256>;

/// One account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts made.
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    /// Runtime code; none for a person's account.
    pub code: Bytes,
    /// Shared with the blocks before that had the same.
    pub storage: Arc<Storage>,
}

/// All accounts at the end of a block. Cloning one and changing an account shares everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    accounts: BTreeMap<Address, Account>,
}

/// An account with its proof, or the proof that there is none.
pub(crate) struct AccountProof {
    pub account: TrieAccount,
    pub nodes: Vec<Bytes>,
    pub slots: Vec<(B256, U256, Vec<Bytes>)>,
}

impl World {
    /// An account; made where there is none.
    pub fn account(&mut self, address: Address) -> &mut Account {
        self.accounts.entry(address).or_default()
    }

    /// An account, if there is one.
    pub fn find(&self, address: Address) -> Option<&Account> {
        self.accounts.get(&address)
    }

    /// Sets a slot, as `SSTORE` does.
    pub fn store(&mut self, address: Address, slot: B256, value: U256) {
        let storage = Arc::make_mut(&mut self.account(address).storage);
        if value.is_zero() {
            storage.remove(&slot);
        } else {
            storage.insert(slot, value);
        }
    }

    /// Reads a slot, as `SLOAD` does.
    pub fn load(&self, address: Address, slot: B256) -> U256 {
        self.find(address)
            .and_then(|account| account.storage.get(&slot))
            .copied()
            .unwrap_or_default()
    }

    /// The root that the header of this state has.
    pub fn root(&self) -> B256 {
        trie(&self.leaves(), &[]).0
    }

    /// What `eth_getProof` answers.
    pub(crate) fn prove(&self, address: Address, slots: &[B256]) -> AccountProof {
        let key = keccak256(address);
        let (_, mut proofs) = trie(&self.leaves(), &[key]);
        let nodes = proofs.pop().unwrap_or_default();
        let Some(found) = self.find(address) else {
            let account = TrieAccount {
                nonce: 0,
                balance: U256::ZERO,
                storage_root: EMPTY_ROOT_HASH,
                code_hash: KECCAK_EMPTY,
            };
            let none = |slot: &B256| (*slot, U256::ZERO, Vec::new());
            return AccountProof {
                account,
                nodes,
                slots: slots.iter().map(none).collect(),
            };
        };
        let keys: Vec<B256> = slots.iter().map(keccak256).collect();
        let (_, proofs) = trie(&storage_leaves(&found.storage), &keys);
        let slots = slots.iter().zip(proofs).map(|(slot, nodes)| {
            let value = found.storage.get(slot).copied().unwrap_or_default();
            (*slot, value, nodes)
        });
        AccountProof {
            account: trie_account(found),
            nodes,
            slots: slots.collect(),
        }
    }

    fn leaves(&self) -> BTreeMap<B256, Vec<u8>> {
        let leaf = |(address, account): (&Address, &Account)| {
            let account = trie_account(account);
            (keccak256(address), alloy_rlp::encode(account))
        };
        self.accounts.iter().map(leaf).collect()
    }
}

fn trie_account(account: &Account) -> TrieAccount {
    TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: trie(&storage_leaves(&account.storage), &[]).0,
        code_hash: keccak256(&account.code),
    }
}

fn storage_leaves(storage: &Storage) -> BTreeMap<B256, Vec<u8>> {
    let leaf = |(slot, value): (&B256, &U256)| (keccak256(slot), alloy_rlp::encode(value));
    storage.iter().map(leaf).collect()
}

/// The root over hashed keys, and for each target the nodes on its way, root first.
fn trie(leaves: &BTreeMap<B256, Vec<u8>>, targets: &[B256]) -> (B256, Vec<Vec<Bytes>>) {
    let paths: Vec<Nibbles> = targets.iter().map(Nibbles::unpack).collect();
    let retainer = ProofRetainer::new(paths.clone());
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes();
    let proof = |path: &Nibbles| {
        let nodes = nodes.matching_nodes_sorted(path);
        nodes.into_iter().map(|(_, node)| node).collect()
    };
    (root, paths.iter().map(proof).collect())
}
