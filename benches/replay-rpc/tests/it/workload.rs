//! The standard workload: what it holds, and that its oracle agrees with a reader of its logs.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use replay_rpc::{
    node::{Faults, Network},
    workload::{Params, REGISTRY, Workload},
};
use serde_json::{Value, json};

use crate::kit::ask;

/// What somebody makes of the logs who takes each at its word.
#[derive(Default)]
struct Agent {
    owner: Address,
    uri: String,
    metadata: Option<(String, String)>,
}

fn read(logs: &[Value]) -> BTreeMap<u64, Agent> {
    let mut agents: BTreeMap<u64, Agent> = BTreeMap::new();
    for log in logs {
        let topic =
            |place: usize| -> B256 { log["topics"][place].as_str().unwrap().parse().unwrap() };
        let number = |place| U256::from_be_bytes(topic(place).0).to::<u64>();
        let data = hex::decode(log["data"].as_str().unwrap()).unwrap();
        let part = |place: usize| -> Vec<u8> {
            let word = |at: usize| U256::from_be_slice(&data[at..at + 32]).to::<usize>();
            let at = word(32 * place);
            data[at + 32..at + 32 + word(at)].to_vec()
        };
        let text = |place| String::from_utf8(part(place)).unwrap();
        let what = topic(0);
        if what == keccak256("Transfer(address,address,uint256)") {
            let agent = agents.entry(number(3)).or_default();
            assert_eq!(Address::from_word(topic(1)), agent.owner, "the owner sends");
            agent.owner = Address::from_word(topic(2));
        } else if what == keccak256("Registered(uint256,string,address)") {
            agents.get_mut(&number(1)).unwrap().uri = text(0);
        } else if what == keccak256("URIUpdated(uint256,string,address)") {
            let agent = agents.get_mut(&number(1)).unwrap();
            assert_eq!(Address::from_word(topic(2)), agent.owner);
            agent.uri = text(0);
        } else {
            assert_eq!(what, keccak256("MetadataSet(uint256,string,string,bytes)"));
            assert_eq!(topic(2), keccak256(text(0)));
            let set = (text(0), hex::encode_prefixed(part(1)));
            agents.get_mut(&number(1)).unwrap().metadata = Some(set);
        }
    }
    agents
}

fn as_said(agents: &BTreeMap<u64, Agent>) -> String {
    let line = |(id, agent): (&u64, &Agent)| {
        let (key, value) = agent.metadata.clone().unwrap_or_default();
        format!("{id}|{:#x}|{}|{key}|{value}\n", agent.owner, agent.uri)
    };
    agents.iter().map(line).collect()
}

fn logs(network: &Network) -> Vec<Value> {
    let provider = network.provider(Faults::default()).unwrap();
    let all = json!([{"fromBlock": "0x0", "toBlock": "latest", "address": REGISTRY}]);
    ask(provider.address(), "eth_getLogs", &all)
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn the_oracle_agrees_with_a_reader_of_the_logs() {
    for params in [
        Params::default(),
        Params {
            events: 7,
            every: 3,
            noise: 2,
            ..Params::default()
        },
    ] {
        let network = Network::of_workload(params, 99);
        let workload = Workload::after(params, (0..100).map(|_| 0));
        let agents = read(&logs(&network));
        assert_eq!(as_said(&agents), workload.lines(true), "{params:?}");
        let truth = network.truth(99).unwrap();
        assert_eq!(truth, workload.truth());
        assert_eq!(truth.agents, agents.len() as u64);
        assert_eq!(truth.events.all(), logs(&network).len() as u64);
    }
}

#[test]
fn the_oracle_follows_forks_and_forgets_what_was_left() {
    let network = Network::of_workload(Params::default(), 30);
    let before = network.truth(30).unwrap();
    let main = network.chain().head().hash;
    for (depth, count) in [(6, 6), (1, 3), (12, 4)] {
        network.fork(depth, count);
        let head = network.chain().head().number();
        let agents = read(&logs(&network));
        let salts: Vec<u64> = network
            .chain()
            .canonical()
            .iter()
            .map(|block| Workload::salt(block))
            .collect();
        let workload = Workload::after(Params::default(), salts);
        assert_eq!(as_said(&agents), workload.lines(true));
        assert_eq!(network.truth(head), Some(workload.truth()));
    }
    network.change(|chain| chain.switch_to(main));
    assert_eq!(network.truth(30), Some(before));
    network.mine(2);
    let straight = Network::of_workload(Params::default(), 32);
    assert_eq!(network.chain().head().hash, straight.chain().head().hash);
}

#[test]
fn a_fork_lacks_some_events_but_no_registration() {
    let network = Network::of_workload(Params::default(), 30);
    let before = network.truth(30).unwrap();
    network.fork(10, 10);
    let after = network.truth(30).unwrap();
    assert_eq!(before.agents, after.agents);
    assert_eq!(before.events.registered, after.events.registered);
    let missing = before.events.all() - after.events.all();
    // 10 blocks with 12 such events each: a third of them, more or less.
    assert!((20..60).contains(&missing), "{missing}");
}

#[test]
fn the_standard_workload_is_the_one_that_peers_were_measured_on() {
    let network = Network::of_workload(Params::default(), 9);
    let chain = network.chain();
    assert_eq!(chain.block(9).unwrap().txs.len(), 16);
    assert_eq!(chain.block(9).unwrap().logs().count(), 20);
    assert_eq!(chain.spec().chain_id, 987_654);
    let times: Vec<u64> = (0..2)
        .map(|number| chain.block(number).unwrap().header.timestamp)
        .collect();
    assert_eq!(times[1] - times[0], 12);
    let truth = network.truth(9).unwrap();
    let events = (
        truth.events.registered,
        truth.events.transfer,
        truth.events.metadata_set,
        truth.events.uri_updated,
    );
    assert_eq!(events, (40, 60, 60, 40));
}

#[test]
fn chains_are_the_same_for_the_same_parameters_only() {
    let head = |params| Network::of_workload(params, 5).chain().head().hash;
    let one = head(Params::default());
    assert_eq!(one, head(Params::default()));
    for other in [
        Params {
            seed: 1,
            ..Params::default()
        },
        Params {
            chain_id: 1,
            ..Params::default()
        },
        Params {
            events: 19,
            ..Params::default()
        },
        Params {
            every: 5,
            ..Params::default()
        },
        Params {
            noise: 1,
            ..Params::default()
        },
    ] {
        assert_ne!(one, head(other), "{other:?}");
    }
}

#[test]
fn the_experimenter_moves_the_chain_over_rpc() {
    let network = Network::of_workload(Params::default(), 20);
    let provider = network
        .provider(Faults {
            latency_ms: 0,
            fail_every: 1,
            ..Faults::default()
        })
        .unwrap();
    let lab = |method: &str, params: Value| ask(provider.address(), method, &params);
    assert_eq!(lab("lab_mine", json!([3])), 23);
    let head = network.chain().head().hash;
    assert_eq!(lab("lab_reorg", json!([6])), 23);
    assert_ne!(head, network.chain().head().hash);
    assert_eq!(lab("lab_switchTo", json!([head])), true);
    assert_eq!(lab("lab_setHead", json!([10])), 10);
    assert_eq!(lab("lab_truth", json!([]))["block"], 10);
    assert_eq!(lab("lab_truth", json!([5]))["agents"], 24);
    assert_eq!(
        lab("lab_stats", json!([]))["methods"]["lab_truth"]["calls"],
        2
    );
    assert_eq!(lab("lab_reset", json!([])), true);
    assert_eq!(
        lab("lab_stats", json!([]))["methods"],
        json!({"lab_reset": {"calls": 1, "bytes": 38, "refused": 0}})
    );
}
