//! What is asked is what is answered: filters, tags, forks, state.

use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{Nibbles, proof::verify_proof};
use replay_rpc::{
    model::{Address, Draft, World},
    node::{Chain, Faults, Network},
};
use serde_json::{Value, json};

use crate::kit::{CONTRACT, SPEC, ask, chain, draft, network, refused};

#[test]
fn a_filter_selects_by_address_and_by_topics_in_their_places() {
    let provider = network(5).provider(Faults::default()).unwrap();
    let said = keccak256("Said(uint256)");
    let word = |number: u64| json!(B256::left_padding_from(&number.to_be_bytes()));
    let other = json!(Address::repeat_byte(1));
    let cases = [
        (json!({}), 15),
        (json!({"address": CONTRACT}), 15),
        (json!({"address": [other, CONTRACT]}), 15),
        (json!({"address": other}), 0),
        (json!({"address": []}), 15),
        (json!({"topics": [said]}), 15),
        (json!({"topics": [word(10)]}), 0),
        (json!({"topics": [null, word(10)]}), 1),
        (
            json!({"topics": [[said], [word(10), word(22), word(99)]]}),
            2,
        ),
        (json!({"topics": [null, null, null]}), 0),
        (json!({"topics": []}), 15),
    ];
    for (filter, expected) in cases {
        let mut filter = filter;
        filter["fromBlock"] = json!("0x0");
        filter["toBlock"] = json!("latest");
        let logs = ask(provider.address(), "eth_getLogs", &json!([filter]));
        assert_eq!(logs.as_array().unwrap().len(), expected, "{filter}");
    }
}

#[test]
fn a_range_a_hash_and_the_receipts_tell_of_the_same_logs() {
    let provider = network(3).provider(Faults::default()).unwrap();
    let address = provider.address();
    let range = ask(
        address,
        "eth_getLogs",
        &json!([{"fromBlock": "0x1", "toBlock": "0x3"}]),
    );
    let mut by_hash = Vec::new();
    let mut in_receipts = Vec::new();
    for number in 1..=3 {
        let tag = format!("{number:#x}");
        let block = ask(address, "eth_getBlockByNumber", &json!([tag, false]));
        let logs = ask(
            address,
            "eth_getLogs",
            &json!([{"blockHash": block["hash"]}]),
        );
        by_hash.extend(logs.as_array().unwrap().clone());
        let receipts = ask(
            address,
            "eth_getBlockReceipts",
            &json!([{"blockHash": block["hash"]}]),
        );
        for receipt in receipts.as_array().unwrap() {
            in_receipts.extend(receipt["logs"].as_array().unwrap().clone());
            let hash = json!([receipt["transactionHash"]]);
            assert_eq!(&ask(address, "eth_getTransactionReceipt", &hash), receipt);
            let tx = ask(address, "eth_getTransactionByHash", &hash);
            assert_eq!(tx["blockHash"], block["hash"]);
        }
    }
    assert_eq!(range, json!(by_hash));
    assert_eq!(range, json!(in_receipts));
}

#[test]
fn ranges_that_make_no_sense_are_refused_as_geth_does() {
    let provider = network(5).provider(Faults::default()).unwrap();
    let (address, hash) = (provider.address(), B256::repeat_byte(1));
    let cases = [
        (
            json!({"fromBlock": "0x0", "toBlock": "0x6"}),
            -32000,
            "invalid block range params",
        ),
        (
            json!({"fromBlock": "0x3", "toBlock": "0x2"}),
            -32000,
            "invalid block range params",
        ),
        (
            json!({"fromBlock": "0x0", "toBlock": "pending"}),
            -32000,
            "pending logs",
        ),
        (json!({"blockHash": hash}), -32000, "unknown block"),
        (
            json!({"blockHash": hash, "fromBlock": "0x1"}),
            -32602,
            "cannot specify both",
        ),
        (
            json!({"fromBlock": "5", "toBlock": "0x5"}),
            -32602,
            "0x prefix",
        ),
        (
            json!({"fromBlock": "0x05", "toBlock": "0x5"}),
            -32602,
            "leading zero",
        ),
        (
            json!({"topics": [null, null, null, null, null]}),
            -32602,
            "exceed max topics",
        ),
    ];
    for (filter, code, words) in cases {
        let said = refused(address, "eth_getLogs", &json!([filter]));
        assert!(
            said.0 == code && said.1.contains(words),
            "{filter}: {said:?}"
        );
    }
}

#[test]
fn tags_follow_the_head() {
    let network = network(40);
    let provider = network.provider(Faults::default()).unwrap();
    let number = |tag: &str| {
        ask(
            provider.address(),
            "eth_getBlockByNumber",
            &json!([tag, false]),
        )
    };
    assert_eq!(number("latest")["number"], "0x28");
    assert_eq!(number("safe")["number"], "0x8");
    assert_eq!(number("earliest")["number"], "0x0");
    let said = refused(
        provider.address(),
        "eth_getBlockByNumber",
        &json!(["finalized", false]),
    );
    assert_eq!(said, (-32000, "finalized block not found".to_owned()));
    network.change(|chain| {
        for number in 41..=70 {
            chain.extend(draft(number, 0));
        }
    });
    assert_eq!(number("finalized")["number"], "0x6");
}

#[test]
fn a_reorg_leaves_orphans_that_are_read_by_hash() {
    let network = network(6);
    let provider = network.provider(Faults::default()).unwrap();
    let address = provider.address();
    let old = ask(address, "eth_getBlockByNumber", &json!(["0x6", false]));
    let again = network.change(|chain| {
        let old = chain.head().hash;
        chain.reorg(2, [draft(5, 1), draft(6, 1), draft(7, 1)]);
        old
    });
    let new = ask(address, "eth_getBlockByNumber", &json!(["0x6", false]));
    assert_ne!(old["hash"], new["hash"]);
    assert_eq!(ask(address, "eth_blockNumber", &json!([])), "0x7");
    let orphan = ask(address, "eth_getBlockByHash", &json!([old["hash"], false]));
    assert_eq!(orphan, old);
    let logs = ask(address, "eth_getLogs", &json!([{"blockHash": old["hash"]}]));
    assert_eq!(logs.as_array().unwrap().len(), 3);
    let canonical = json!([{"blockHash": old["hash"], "requireCanonical": true}]);
    let said = refused(address, "eth_getBlockReceipts", &canonical);
    assert_eq!(said.1, "hash is not currently canonical");
    let lost = ask(
        address,
        "eth_getTransactionReceipt",
        &json!([old["transactions"][0]]),
    );
    assert!(lost.is_null(), "only the branch that was left has it");
    // Back to the first fork.
    assert!(network.change(|chain| chain.switch_to(again)));
    assert_eq!(
        ask(address, "eth_getBlockByNumber", &json!(["latest", false])),
        old
    );
}

#[test]
fn a_transaction_that_both_branches_hold_keeps_its_hash() {
    let mut chain = chain(3);
    let old = chain.head().clone();
    let mut same = draft(3, 0);
    same.proposer = Address::repeat_byte(77);
    let new = chain.reorg(1, [same]);
    assert_ne!(old.hash, new.hash);
    assert_eq!(old.txs[0].hash, new.txs[0].hash);
    let provider = Network::new(chain).provider(Faults::default()).unwrap();
    let receipt = ask(
        provider.address(),
        "eth_getTransactionReceipt",
        &json!([old.txs[0].hash]),
    );
    assert_eq!(receipt["blockHash"], json!(new.hash));
}

#[test]
fn state_is_read_and_proven_at_every_block() {
    let mut world = World::default();
    world.account(Address::repeat_byte(5)).balance = U256::from(10);
    let mut chain = Chain::new(SPEC, Draft::default());
    let slots: Vec<B256> = (0..40u8).map(B256::repeat_byte).collect();
    for number in 1..=4 {
        for (place, slot) in (0u64..).zip(&slots) {
            if place % 5 < number {
                world.store(CONTRACT, *slot, U256::from(number * 100 + place));
            }
        }
        if number == 4 {
            world.store(CONTRACT, slots[3], U256::ZERO);
        }
        chain.extend(Draft {
            timestamp: number,
            state: Some(Arc::new(world.clone())),
            ..Draft::default()
        });
    }
    let network = Network::new(chain);
    let provider = network.provider(Faults::default()).unwrap();
    for number in 1..=4u64 {
        let tag = format!("{number:#x}");
        let block = network.chain().block(number).unwrap().clone();
        let state = block.state.clone().unwrap();
        let asked = json!([CONTRACT, slots, tag]);
        let proof = ask(provider.address(), "eth_getProof", &asked);
        check_proof(&proof, block.header.state_root, &state, &slots);
        for slot in &slots {
            let asked = json!([CONTRACT, slot, tag]);
            let value = ask(provider.address(), "eth_getStorageAt", &asked);
            assert_eq!(value, json!(B256::from(state.load(CONTRACT, *slot))));
        }
    }
    // Nobody lives there, and that is proven too.
    let asked = json!([Address::repeat_byte(9), [B256::ZERO], "latest"]);
    let proof = ask(provider.address(), "eth_getProof", &asked);
    let root = network.chain().head().header.state_root;
    let nodes = nodes(&proof["accountProof"]);
    let path = Nibbles::unpack(keccak256(Address::repeat_byte(9)));
    verify_proof(root, path, None, &nodes).unwrap();
}

fn nodes(list: &Value) -> Vec<alloy_primitives::Bytes> {
    serde_json::from_value(list.clone()).unwrap()
}

fn check_proof(proof: &Value, root: B256, state: &World, slots: &[B256]) {
    let account = alloy_trie::TrieAccount {
        nonce: 0,
        balance: U256::ZERO,
        storage_root: serde_json::from_value(proof["storageHash"].clone()).unwrap(),
        code_hash: serde_json::from_value(proof["codeHash"].clone()).unwrap(),
    };
    let path = Nibbles::unpack(keccak256(CONTRACT));
    let leaf = alloy::rlp::encode(account);
    verify_proof(root, path, Some(leaf), &nodes(&proof["accountProof"])).unwrap();
    for (slot, told) in slots.iter().zip(proof["storageProof"].as_array().unwrap()) {
        let value = state.load(CONTRACT, *slot);
        assert_eq!(told["value"], json!(value));
        let leaf = (!value.is_zero()).then(|| alloy::rlp::encode(value));
        let path = Nibbles::unpack(keccak256(slot));
        verify_proof(account.storage_root, path, leaf, &nodes(&told["proof"])).unwrap();
    }
}

#[test]
fn without_state_its_methods_are_not_there() {
    let provider = network(1).provider(Faults::default()).unwrap();
    for method in ["eth_getProof", "eth_getStorageAt"] {
        let params = json!([
            CONTRACT,
            if method == "eth_getProof" {
                json!(["0x0"])
            } else {
                json!("0x0")
            },
            "latest"
        ]);
        let (code, message) = refused(provider.address(), method, &params);
        assert_eq!(code, -32601);
        assert!(message.contains("does not exist"), "{message}");
    }
    assert_eq!(
        ask(provider.address(), "eth_call", &json!([{}, "latest"])),
        "0x"
    );
}
