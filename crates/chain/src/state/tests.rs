use std::{collections::BTreeMap, sync::LazyLock};

use alloy::trie::{HashBuilder, proof::ProofRetainer};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const REGISTRY: Address = Address::repeat_byte(0x80);

/// A trie of hashed keys, and the paths to some of them.
fn trie(leaves: &[(B256, Vec<u8>)], targets: &[B256]) -> (B256, Vec<Vec<Bytes>>) {
    let sorted: BTreeMap<B256, &Vec<u8>> = leaves
        .iter()
        .map(|(key, value)| (keccak256(key), value))
        .collect();
    let path = |key: &B256| Nibbles::unpack(keccak256(key));
    let mut builder =
        HashBuilder::default().with_proof_retainer(targets.iter().map(path).collect());
    for (key, value) in sorted {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes();
    let paths = targets.iter().map(|key| {
        nodes
            .matching_nodes_sorted(&path(key))
            .into_iter()
            .map(|(_, node)| node)
            .collect()
    });
    (root, paths.collect())
}

/// State with a registry that holds `storage`, among other accounts, and what `eth_getProof` says.
fn answer(storage: &[(B256, U256)], asked: &[B256]) -> (B256, Value) {
    let slots: Vec<(B256, Vec<u8>)> = storage
        .iter()
        .map(|(slot, value)| (*slot, rlp::encode(value)))
        .collect();
    let (storage_root, paths) = trie(&slots, asked);
    let account = TrieAccount {
        nonce: 1,
        balance: U256::from(12),
        storage_root,
        code_hash: B256::repeat_byte(0xc),
    };
    let leaf = |address: Address, account: &TrieAccount| (address, rlp::encode(account));
    let accounts: Vec<(Address, Vec<u8>)> = (0..50)
        .map(|n| leaf(Address::repeat_byte(n), &TrieAccount::default()))
        .chain([leaf(REGISTRY, &account)])
        .collect();
    let (state_root, account_path) = account_trie(&accounts, REGISTRY);
    let told: Vec<Value> = asked
        .iter()
        .zip(paths)
        .map(|(slot, path)| {
            let value = storage.iter().find(|(known, _)| known == slot);
            let value = value.map_or(U256::ZERO, |(_, value)| *value);
            json!({ "key": slot, "value": format!("{value:#x}"), "proof": path })
        })
        .collect();
    let answer = json!({
        "address": REGISTRY, "accountProof": account_path, "balance": "0xc", "nonce": "0x1",
        "codeHash": account.code_hash, "storageHash": storage_root, "storageProof": told,
    });
    (state_root, answer)
}

fn account_trie(accounts: &[(Address, Vec<u8>)], target: Address) -> (B256, Vec<Bytes>) {
    let path = Nibbles::unpack(keccak256(target));
    let sorted: BTreeMap<B256, &Vec<u8>> = accounts
        .iter()
        .map(|(key, value)| (keccak256(key), value))
        .collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::from_iter([path]));
    for (key, value) in sorted {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node).collect())
}

fn verified(told: &Value, root: B256, asked: &[B256]) -> Result<Account, StateError> {
    StateProof::parse(&told.to_string())?.verify(root, REGISTRY, asked)
}

fn slot(n: u64) -> B256 {
    U256::from(n).into()
}

fn filled() -> Vec<(B256, U256)> {
    (0..100)
        .map(|n| (slot(n), U256::from(n + 1) << (n % 250)))
        .collect()
}

#[test]
fn words_are_read_and_their_absence_too() {
    let storage = filled();
    let asked = [slot(3), slot(99), slot(1000), slot(3)];
    let (root, told) = answer(&storage, &asked);
    let account = verified(&told, root, &asked).expect("proven");
    assert_eq!(
        account,
        Account {
            exists: true,
            code_hash: B256::repeat_byte(0xc),
            words: vec![
                storage[3].1.into(),
                storage[99].1.into(),
                B256::ZERO,
                storage[3].1.into()
            ],
        }
    );
}

#[test]
fn keys_are_told_in_several_forms() {
    let asked = [slot(0x1f)];
    for form in [
        "0x1f",
        "0x01f",
        "0x000000000000000000000000000000000000000000000000000000000000001f",
    ] {
        let (root, mut told) = answer(&filled(), &asked);
        told["storageProof"][0]["key"] = json!(form);
        verified(&told, root, &asked).expect(form);
    }
}

#[test]
fn an_account_without_storage_holds_nothing() {
    // anvil's words for no path; geth's; and none at all.
    for path in [json!(["0x80"]), json!([]), Value::Null] {
        let asked = [slot(1)];
        let (root, mut told) = answer(&[], &asked);
        told["storageProof"][0]["proof"] = path;
        assert_eq!(
            verified(&told, root, &asked).expect("proven").words,
            [B256::ZERO]
        );
    }
    let (root, mut told) = answer(&[], &[]);
    told["storageProof"] = Value::Null;
    assert_eq!(
        verified(&told, root, &[slot(1)]).expect("proven").words,
        [B256::ZERO]
    );
}

/// anvil does so with a slot that was set to zero.
#[test]
fn a_zero_that_stands_in_the_trie_is_zero() {
    let asked = [slot(200)];
    let mut storage = filled();
    storage.push((slot(200), U256::ZERO));
    let (root, told) = answer(&storage, &asked);
    assert_eq!(
        verified(&told, root, &asked).expect("proven").words,
        [B256::ZERO]
    );
}

#[test]
fn an_account_that_is_not_there_is_shown() {
    let accounts: Vec<(Address, Vec<u8>)> = (0..50)
        .map(|n| (Address::repeat_byte(n), rlp::encode(TrieAccount::default())))
        .collect();
    let (root, path) = account_trie(&accounts, REGISTRY);
    for (code, storage) in [(B256::ZERO, B256::ZERO), (KECCAK256_EMPTY, EMPTY_ROOT_HASH)] {
        let told = json!({
            "accountProof": path, "balance": "0x0", "nonce": "0x0", "codeHash": code,
            "storageHash": storage, "storageProof": [{ "key": "0x1", "value": "0x0", "proof": [] }],
        });
        let account = verified(&told, root, &[slot(1)]).expect("proven");
        assert_eq!(
            account,
            Account {
                exists: false,
                code_hash: KECCAK256_EMPTY,
                words: vec![B256::ZERO]
            }
        );
    }
    // The registry exists, and the node says it does not.
    let (root, mut told) = answer(&filled(), &[]);
    for (name, value) in [
        ("balance", json!("0x0")),
        ("nonce", json!("0x0")),
        ("codeHash", json!(B256::ZERO)),
        ("storageHash", json!(B256::ZERO)),
    ] {
        told[name] = value;
    }
    let error = verified(&told, root, &[]).expect_err("a lie");
    assert!(matches!(error, StateError::Account(_)), "{error}");
}

#[test]
fn lies_are_refused() {
    let asked = [slot(3), slot(4)];
    let nodes = |count: usize| vec![Bytes::from(vec![1]); count];
    for (pointer, value, words) in [
        ("/balance", json!("0xd"), "the account is not proven"),
        ("/nonce", json!("0x2"), "the account is not proven"),
        ("/codeHash", json!(B256::ZERO), "the account is not proven"),
        (
            "/storageHash",
            json!(EMPTY_ROOT_HASH),
            "the account is not proven",
        ),
        ("/accountProof", json!([]), "the account is not proven"),
        (
            "/accountProof/0",
            json!("0x80"),
            "the account is not proven",
        ),
        ("/accountProof", json!(nodes(66)), "a path is too long"),
        ("/storageProof/0/value", json!("0x0"), "03 is not proven"),
        ("/storageProof/0/value", json!("0x7"), "03 is not proven"),
        ("/storageProof/0/proof", json!([]), "03 is not proven"),
        ("/storageProof/0/proof", json!(["0x80"]), "03 is not proven"),
        (
            "/storageProof/0/proof",
            json!(nodes(66)),
            "a path is too long",
        ),
        (
            "/storageProof/0/proof",
            json!([Bytes::from(vec![0; 601])]),
            "a path is too long",
        ),
        (
            "/storageProof/0/key",
            json!("0x4"),
            "does not speak of slot",
        ),
        (
            "/storageProof/0/key",
            json!("0x7"),
            "does not speak of slot",
        ),
        ("/storageProof", json!([]), "does not speak of slot"),
        ("/storageProof/0", json!(null), "no proof of state"),
        ("/storageHash", json!("0x12"), "no proof of state"),
    ] {
        let (root, mut told) = answer(&filled(), &asked);
        *told.pointer_mut(pointer).expect(pointer) = value;
        let error = verified(&told, root, &asked).expect_err(pointer);
        assert!(error.to_string().contains(words), "{pointer}: {error}");
        assert_eq!(error.kind(), Kind::Unavailable);
    }
    let (root, told) = answer(&filled(), &asked);
    let proof = StateProof::parse(&told.to_string()).expect("a proof");
    assert!(proof.verify(root, Address::ZERO, &asked).is_err());
    assert!(proof.verify(B256::ZERO, REGISTRY, &asked).is_err());
    assert!(StateProof::parse("null").is_err());
}

static PROOF: LazyLock<(B256, StateProof)> = LazyLock::new(|| {
    let (root, told) = answer(&filled(), &[slot(3)]);
    let proof = StateProof::parse(&told.to_string()).expect("a proof");
    proof.verify(root, REGISTRY, &[slot(3)]).expect("proven");
    (root, proof)
});

proptest! {
    #[test]
    fn a_flipped_bit_proves_nothing(
        node in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        account in any::<bool>(),
    ) {
        let (root, proof) = &*PROOF;
        let mut proof = proof.clone();
        let nodes = if account { &mut proof.account_nodes } else { &mut proof.slots[0].nodes };
        let node = node.get_mut(nodes);
        let mut bytes = node.to_vec();
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        *node = bytes.into();
        prop_assert!(proof.verify(*root, REGISTRY, &[slot(3)]).is_err());
    }
}
