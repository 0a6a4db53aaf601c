//! Answers have the members that a real client's have.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use alloy_primitives::U256;
use replay_rpc::{
    model::{B256, Draft, World},
    node::{Chain, Faults, Network},
};
use serde_json::{Value, json};

use crate::kit::{CONTRACT, SPEC, ask, draft, said};

struct Anvil {
    child: Child,
    address: SocketAddr,
}

impl Anvil {
    fn start() -> Self {
        let (os, machine) = match (cfg!(target_os = "macos"), cfg!(target_arch = "aarch64")) {
            (true, _) => ("darwin", "arm64"),
            (false, true) => ("linux", "arm64"),
            (false, false) => ("linux", "amd64"),
        };
        let binary = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../contracts/node_modules/@foundry-rs")
            .join(format!("anvil-{os}-{machine}/bin/anvil"));
        let mut child = Command::new(binary)
            .args(["--port", "0", "--hardfork", "prague", "--no-mining"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil: run `npm ci` in contracts/");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil says where it listens");
        // Nobody reads on, and a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: address.parse().expect("an address"),
        }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Mines a block in which a contract that is code alone logs one word under one topic.
fn log_on_anvil(anvil: &Anvil) {
    // PUSH1 2a, PUSH1 0, MSTORE, PUSH1 topic, PUSH1 32, PUSH1 0, LOG1, STOP
    let code = "0x602a600052600760206000a100";
    ask(anvil.address, "anvil_setCode", &json!([CONTRACT, code]));
    let from = ask(anvil.address, "eth_accounts", &json!([]))[0].clone();
    let call = json!([{"from": from, "to": CONTRACT}]);
    ask(anvil.address, "eth_sendTransaction", &call);
    ask(anvil.address, "evm_mine", &json!([]));
}

fn keys(value: &Value) -> BTreeSet<String> {
    let object = value.as_object().unwrap_or_else(|| panic!("{value}"));
    object.keys().cloned().collect()
}

#[test]
fn answers_have_the_members_of_a_real_clients() {
    let anvil = Anvil::start();
    log_on_anvil(&anvil);
    let mut world = World::default();
    world.store(CONTRACT, B256::ZERO, U256::from(1));
    let mut chain = Chain::new(SPEC, Draft::default());
    let mut block = draft(1, 0);
    block.state = Some(Arc::new(world));
    chain.extend(block);
    let ours = Network::new(chain).provider(Faults::default()).unwrap();

    // What a pointer leads to has the same members on both sides; these may be more on one of them.
    let one_sided = [
        "blockTimestamp", // of a transaction and a receipt: anvil alone
        "blobGasPrice",   // anvil: null outside of blob transactions
        "blobGasUsed",
        "totalDifficulty",
        "root",
        "authorizationList",
        "blobVersionedHashes",
        "maxFeePerBlobGas",
    ];
    let cases = [
        ("eth_getBlockByNumber", json!(["0x1", false]), ""),
        (
            "eth_getBlockByNumber",
            json!(["0x1", true]),
            "/transactions/0",
        ),
        ("eth_getBlockReceipts", json!(["0x1"]), "/0"),
        ("eth_getBlockReceipts", json!(["0x1"]), "/0/logs/0"),
        (
            "eth_getLogs",
            json!([{"fromBlock": "0x1", "toBlock": "0x1"}]),
            "/0",
        ),
        ("eth_getProof", json!([CONTRACT, [B256::ZERO], "0x1"]), ""),
        (
            "eth_getProof",
            json!([CONTRACT, [B256::ZERO], "0x1"]),
            "/storageProof/0",
        ),
    ];
    for (method, params, pointer) in cases {
        let of = |address| {
            let answer = ask(address, method, &params);
            let part = answer
                .pointer(pointer)
                .unwrap_or_else(|| panic!("{method}{pointer}: {answer}"));
            keys(part)
        };
        let (theirs, ours) = (of(anvil.address), of(ours.address()));
        let differs: Vec<_> = theirs
            .symmetric_difference(&ours)
            .filter(|name| !one_sided.contains(&name.as_str()))
            .collect();
        assert!(differs.is_empty(), "{method}{pointer}: {differs:?}");
    }
}

#[test]
fn the_check_of_roots_holds_for_a_real_clients_block() {
    let anvil = Anvil::start();
    log_on_anvil(&anvil);
    crate::consensus::check_block(anvil.address, 1);
}

#[test]
fn both_refuse_the_same_things_with_the_same_codes() {
    let anvil = Anvil::start();
    let ours = crate::kit::network(0).provider(Faults::default()).unwrap();
    let unknown = json!([{"blockHash": B256::repeat_byte(9)}]);
    for (method, params) in [("eth_getLogs", unknown), ("eth_noSuch", json!([]))] {
        let code = |address| said(address, method, &params)["error"]["code"].clone();
        assert_eq!(code(anvil.address), code(ours.address()), "{method}");
    }
}
