//! Each fault does what it says, each time the same, and says so in the counters.

use std::net::TcpStream;

use alloy_primitives::{B256, keccak256};
use replay_rpc::node::{Batch, Faults, LogId, Lose, Provider, Refusing, Stale};
use serde_json::{Value, json};

use crate::kit::{Answer, ask, draft, exchange, network, post, refused, said};

fn provider(faults: Faults) -> Provider {
    network(50).provider(faults).unwrap()
}

/// The logs of the blocks in `from..=to`.
fn logs(provider: &Provider, from: u64, to: u64) -> Vec<Value> {
    let range = json!([{"fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}")}]);
    let logs = ask(provider.address(), "eth_getLogs", &range);
    logs.as_array().unwrap().clone()
}

fn logs_of_hash(provider: &Provider, hash: &Value) -> Vec<Value> {
    let logs = ask(
        provider.address(),
        "eth_getLogs",
        &json!([{"blockHash": hash}]),
    );
    logs.as_array().unwrap().clone()
}

fn id(log: &Value) -> LogId {
    let number = |name: &str| {
        let text = log[name].as_str().unwrap();
        u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
    };
    LogId {
        block: number("blockNumber"),
        block_hash: log["blockHash"].as_str().unwrap().parse().unwrap(),
        log_index: number("logIndex"),
    }
}

/// What the receipts say that there is.
fn true_logs(provider: &Provider) -> Vec<Value> {
    let mut all = Vec::new();
    for number in 1..=50 {
        let tag = json!([format!("{number:#x}")]);
        let receipts = ask(provider.address(), "eth_getBlockReceipts", &tag);
        for receipt in receipts.as_array().unwrap() {
            all.extend(receipt["logs"].as_array().unwrap().clone());
        }
    }
    all
}

#[test]
fn logs_are_lost_where_the_fault_says_and_nowhere_else() {
    for (lose, by_range, by_hash) in [
        (Lose::Never, false, false),
        (Lose::Wide, true, false),
        (Lose::All, true, true),
        (Lose::Blocks, true, true),
    ] {
        let provider = provider(Faults {
            lose,
            lose_one_in: 5,
            ..Faults::default()
        });
        let truth = true_logs(&provider);
        assert_eq!(truth.len(), 150, "receipts stay true");
        let wide = logs(&provider, 0, 50);
        assert_eq!(wide.len() < truth.len(), by_range, "{lose:?}");
        let mut narrow = Vec::new();
        let mut hashed = Vec::new();
        for number in 1..=50 {
            narrow.extend(logs(&provider, number, number));
            let tag = json!([format!("{number:#x}"), false]);
            let block = ask(provider.address(), "eth_getBlockByNumber", &tag);
            hashed.extend(logs_of_hash(&provider, &block["hash"]));
        }
        assert_eq!(narrow, hashed);
        assert_eq!(hashed.len() < truth.len(), by_hash, "{lose:?}");
        // The counters name exactly what was not told, and it is the same each time.
        let missing: Vec<LogId> = truth
            .iter()
            .filter(|log| !wide.contains(log))
            .map(id)
            .collect();
        let lost: Vec<LogId> = provider.stats().lost.into_iter().collect();
        assert_eq!(lost, missing, "{lose:?}");
        assert_eq!(logs(&provider, 0, 50), wide);
        if lose == Lose::Blocks {
            assert!(missing.len().is_multiple_of(3), "a block has three");
        }
    }
}

#[test]
fn the_same_seed_loses_the_same_logs_and_another_one_others() {
    let with = |seed| {
        let provider = provider(Faults {
            seed,
            lose: Lose::Wide,
            lose_one_in: 5,
            ..Faults::default()
        });
        logs(&provider, 0, 50)
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn lies_about_logs_are_counted_by_log() {
    type Counted = fn(&Provider) -> Vec<LogId>;
    let cases: [(Faults, Counted); 3] = [
        (
            Faults {
                alter_one_in: 10,
                ..Faults::default()
            },
            |provider| provider.stats().altered.into_iter().collect(),
        ),
        (
            Faults {
                wrong_hash_one_in: 10,
                ..Faults::default()
            },
            |provider| provider.stats().wrong_hash.into_iter().collect(),
        ),
        (
            Faults {
                removed_one_in: 10,
                ..Faults::default()
            },
            |provider| provider.stats().removed.into_iter().collect(),
        ),
    ];
    for (faults, counted) in cases {
        let provider = provider(faults.clone());
        let truth = true_logs(&provider);
        let told = logs(&provider, 0, 50);
        let differ: Vec<LogId> = truth
            .iter()
            .zip(&told)
            .filter(|(truth, told)| truth != told)
            .map(|(truth, _)| id(truth))
            .collect();
        assert!(
            !differ.is_empty() && differ.len() < 40,
            "{faults:?}: {differ:?}"
        );
        assert_eq!(counted(&provider), differ, "{faults:?}");
        for (truth, told) in truth.iter().zip(&told) {
            let wrong = ["data", "blockHash", "removed"]
                .iter()
                .filter(|name| truth[**name] != told[**name]);
            assert!(wrong.count() == usize::from(truth != told), "{told}");
        }
    }
}

#[test]
fn a_forged_log_comes_after_those_of_its_block() {
    let provider = provider(Faults {
        forge_one_in: 10,
        ..Faults::default()
    });
    let truth = true_logs(&provider);
    let told = logs(&provider, 0, 50);
    let forged: Vec<LogId> = told
        .iter()
        .filter(|log| !truth.contains(log))
        .map(id)
        .collect();
    assert!(!forged.is_empty());
    assert!(forged.iter().all(|forged| forged.log_index == 3));
    let counted: Vec<LogId> = provider.stats().forged.into_iter().collect();
    assert_eq!(counted, forged);
}

#[test]
fn shuffled_logs_are_the_same_in_another_order() {
    let provider = provider(Faults {
        shuffle_logs: true,
        ..Faults::default()
    });
    let (mut told, truth) = (logs(&provider, 0, 50), true_logs(&provider));
    assert_ne!(told, truth);
    assert_eq!(told, logs(&provider, 0, 50));
    told.sort_by_key(id);
    assert_eq!(told, truth);
}

#[test]
fn receipts_can_be_null_emptied_or_lose_logs() {
    let provider = provider(Faults {
        null_receipts_one_in: 4,
        ..Faults::default()
    });
    let ask_all = |provider: &Provider| -> Vec<Value> {
        let tag = |number| json!([format!("{number:#x}")]);
        (1..=50)
            .map(|number| ask(provider.address(), "eth_getBlockReceipts", &tag(number)))
            .collect()
    };
    let nulls = ask_all(&provider)
        .iter()
        .filter(|list| list.is_null())
        .count();
    assert_eq!(nulls, provider.stats().without_receipts.len());
    assert!((5..=25).contains(&nulls), "{nulls}");

    provider.reset_stats();
    provider.set_faults(Faults {
        emptied_one_in: 4,
        ..Faults::default()
    });
    let lists = ask_all(&provider);
    let empty = lists.iter().filter(|list| **list == json!([])).count();
    assert_eq!(empty, provider.stats().without_receipts.len());
    assert_eq!(logs(&provider, 0, 50).len(), 150 - 3 * empty);

    provider.set_faults(Faults {
        lose: Lose::All,
        lose_one_in: 4,
        lie_in_receipts: true,
        ..Faults::default()
    });
    assert_eq!(
        true_logs(&provider),
        logs(&provider, 0, 50),
        "the lie is the same everywhere"
    );
    assert!(true_logs(&provider).len() < 150);
}

#[test]
fn a_header_without_its_bloom_does_not_have_its_hash() {
    let provider = provider(Faults {
        no_bloom_one_in: 1,
        ..Faults::default()
    });
    let block = ask(
        provider.address(),
        "eth_getBlockByNumber",
        &json!(["0x1", false]),
    );
    let header: alloy::rpc::types::Header = serde_json::from_value(block).unwrap();
    assert_ne!(keccak256(alloy::rlp::encode(&header.inner)), header.hash);
}

#[test]
fn ranges_are_refused_in_each_providers_words() {
    let range = json!([{"fromBlock": "0x1", "toBlock": "0x32"}]);
    let cases = [
        (
            Refusing::Alchemy,
            10,
            0,
            -32602,
            "this block range should work: [0x1, 0xa]",
        ),
        (
            Refusing::Infura,
            10,
            0,
            -32005,
            "Try with this block range [0x1, 0xA].",
        ),
        (
            Refusing::Geth,
            10,
            0,
            -32602,
            "exceed maximum block range 10",
        ),
        (
            Refusing::Alchemy,
            0,
            30,
            -32602,
            "Log response size exceeded.",
        ),
        (
            Refusing::Alchemy,
            0,
            30,
            -32602,
            "this block range should work: [0x1, 0xa]",
        ),
        (
            Refusing::Infura,
            0,
            30,
            -32005,
            "query returned more than 30 results.",
        ),
        (
            Refusing::Infura,
            0,
            30,
            -32005,
            "Try with this block range [0x1, 0xA].",
        ),
        (
            Refusing::Geth,
            0,
            30,
            -32602,
            "query exceeds max results 30, retry with the range 1-10",
        ),
    ];
    for (refusing, max_range, max_logs, code, words) in cases {
        let provider = provider(Faults {
            refusing,
            max_range,
            max_logs,
            ..Faults::default()
        });
        let said = refused(provider.address(), "eth_getLogs", &range);
        assert!(said.0 == code && said.1.contains(words), "{said:?}");
        // What is advised works.
        assert_eq!(logs(&provider, 1, 10).len(), 30);
        assert_eq!(provider.stats().of("eth_getLogs").refused, 1);
    }
    let provider = provider(Faults {
        max_logs: 30,
        refusing: Refusing::Infura,
        ..Faults::default()
    });
    let said = said(provider.address(), "eth_getLogs", &range);
    assert_eq!(
        said["error"]["data"],
        json!({"from": "0x1", "to": "0xa", "limit": 30})
    );
}

#[test]
fn transport_fails_at_every_nth_request_in_its_own_way() {
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).to_string();
    let fine =
        |answer: &Answer| answer.status == 200 && answer.body.ends_with(br#""result":"0x7a69"}"#);
    let check = |faults: Faults, name: &str, wrong: &dyn Fn(Option<Answer>)| {
        let provider = provider(faults);
        for round in 1..=3 {
            for _ in 0..2 {
                assert!(fine(&post(provider.address(), &body).unwrap()), "{name}");
            }
            wrong(post(provider.address(), &body));
            assert_eq!(provider.stats().fault(name), round);
        }
    };
    let every = Faults {
        hang_ms: 1,
        bomb_mb: 2,
        ..Faults::default()
    };
    check(
        Faults {
            fail_every: 3,
            ..every.clone()
        },
        "fail",
        &|answer| {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 503);
            assert!(answer.head.contains("Content-Type: application/json"));
            assert!(answer.body.starts_with(b"<html>"));
        },
    );
    check(
        Faults {
            limit_every: 3,
            retry_after_s: Some(7),
            ..every.clone()
        },
        "limit",
        &|answer| {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 429);
            assert!(answer.head.contains("Retry-After: 7\r\n"));
        },
    );
    check(
        Faults {
            drop_every: 3,
            ..every.clone()
        },
        "drop",
        &|answer| assert!(answer.is_none()),
    );
    check(
        Faults {
            hang_every: 3,
            ..every.clone()
        },
        "hang",
        &|answer| assert!(answer.is_none()),
    );
    check(
        Faults {
            cut_every: 3,
            ..every.clone()
        },
        "cut",
        &|answer| {
            let answer = answer.unwrap();
            assert!(answer.status == 200 && serde_json::from_slice::<Value>(&answer.body).is_err());
        },
    );
    check(
        Faults {
            bomb_every: 3,
            ..every
        },
        "bomb",
        &|answer| {
            let answer = answer.unwrap();
            assert!(answer.head.contains("Content-Encoding: gzip"));
            assert!(answer.body.len() < 10_000);
        },
    );
}

#[test]
fn only_the_named_methods_fail() {
    let provider = provider(Faults {
        fail_every: 1,
        only: vec!["eth_getLogs".to_owned()],
        ..Faults::default()
    });
    assert_eq!(ask(provider.address(), "eth_chainId", &json!([])), "0x7a69");
    let call = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method});
    for body in [
        call("eth_getLogs"),
        json!([call("eth_chainId"), call("eth_getLogs")]),
    ] {
        assert_eq!(
            post(provider.address(), &body.to_string()).unwrap().status,
            503
        );
    }
    assert_eq!(
        ask(provider.address(), "lab_stats", &json!([]))["faults"]["fail"],
        2
    );
}

#[test]
fn more_calls_than_a_second_may_have_are_too_many() {
    let provider = provider(Faults {
        rps: 10,
        retry_after_s: None,
        ..Faults::default()
    });
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
    // The first of these windows may end between the requests, but not all three.
    let batch = json!(vec![call; 9]).to_string();
    let statuses: Vec<u16> = (0..6)
        .map(|_| post(provider.address(), &batch).unwrap().status)
        .collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn batches_go_wrong_in_five_ways() {
    let calls: Vec<Value> = (1..=8)
        .map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "eth_getBlockByNumber", "params": [format!("{id:#x}"), false]}))
        .collect();
    let body = json!(calls).to_string();
    let ids = |batch| {
        let provider = provider(Faults {
            batch,
            ..Faults::default()
        });
        let answer: Value =
            serde_json::from_slice(&post(provider.address(), &body).unwrap().body).unwrap();
        let list = answer
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .clone();
        for one in &list {
            let number = one["result"]["number"].as_str().unwrap().to_owned();
            let id = format!("{:#x}", one["id"].as_u64().unwrap());
            assert!(batch == Batch::DuplicateIds || number == id);
        }
        list.iter()
            .map(|one| one["id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(Batch::Fine), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(ids(Batch::DuplicateIds), [1, 1, 3, 4, 5, 6, 7, 8]);
    assert_eq!(ids(Batch::Short), [1, 2, 3, 4, 5, 6, 7]);
    let mut shuffled = ids(Batch::Shuffled);
    assert_ne!(shuffled, [1, 2, 3, 4, 5, 6, 7, 8]);
    shuffled.sort_unstable();
    assert_eq!(shuffled, [1, 2, 3, 4, 5, 6, 7, 8]);
    for faults in [
        Faults {
            batch: Batch::Refused,
            ..Faults::default()
        },
        Faults {
            max_batch: 7,
            ..Faults::default()
        },
    ] {
        let provider = provider(faults);
        let answer: Value =
            serde_json::from_slice(&post(provider.address(), &body).unwrap().body).unwrap();
        assert_eq!(answer["error"]["code"], -32600);
    }
}

#[test]
fn a_back_end_that_is_behind_answers_every_other_request() {
    let network = network(20);
    let provider = network.provider(Faults::default()).unwrap();
    network
        .change(|chain| chain.reorg(3, [draft(18, 1), draft(19, 1), draft(20, 1), draft(21, 1)]));
    let stale = |blocks, on_left_branch| {
        let stale = Some(Stale {
            every: 2,
            blocks,
            on_left_branch,
        });
        provider.set_faults(Faults {
            stale,
            ..Faults::default()
        });
    };
    let head = || {
        let block = ask(
            provider.address(),
            "eth_getBlockByNumber",
            &json!(["latest", false]),
        );
        (
            block["number"].as_str().unwrap().to_owned(),
            block["hash"].clone(),
        )
    };
    stale(5, false);
    // Which of two is the stale one depends on the requests so far.
    let mut heads = [head().0, head().0];
    heads.sort();
    assert_eq!(heads, ["0x10", "0x15"]);
    let left: B256 = network.chain().left_branch()[1].hash;
    stale(1, true);
    let heads = [head(), head()];
    assert!(
        heads.contains(&("0x13".to_owned(), json!(left))),
        "{heads:?}"
    );
    // A range beyond its head is empty there, without a word: the silent loss of load balancers.
    stale(5, false);
    let mut counts = [logs(&provider, 17, 21).len(), logs(&provider, 17, 21).len()];
    counts.sort_unstable();
    assert_eq!(counts, [0, 15]);
}

#[test]
fn history_ends_where_it_is_pruned() {
    let provider = provider(Faults {
        pruned_below: 10,
        ..Faults::default()
    });
    let pruned = (4444, "pruned history unavailable".to_owned());
    let range = |from: &str| json!([{"fromBlock": from, "toBlock": "0x14"}]);
    assert_eq!(
        refused(provider.address(), "eth_getLogs", &range("0x9")),
        pruned
    );
    assert_eq!(
        refused(provider.address(), "eth_getBlockReceipts", &json!(["0x9"])),
        pruned
    );
    assert_eq!(logs(&provider, 10, 10).len(), 3);
    let header = ask(
        provider.address(),
        "eth_getBlockByNumber",
        &json!(["0x9", false]),
    );
    assert_eq!(header["number"], "0x9", "headers are kept");
}

#[test]
fn faults_change_while_it_runs_by_their_names() {
    let provider = provider(Faults {
        latency_ms: 1,
        ..Faults::default()
    });
    let told = ask(
        provider.address(),
        "lab_fault",
        &json!([{"chain_id": 5, "lose": "wide"}]),
    );
    assert_eq!(
        (&told["chain_id"], &told["latency_ms"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(ask(provider.address(), "eth_chainId", &json!([])), "0x5");
    assert_eq!(ask(provider.address(), "net_version", &json!([])), "5");
    assert_eq!(provider.faults().lose, Lose::Wide);
    let (code, message) = refused(provider.address(), "lab_fault", &json!([{"no_such": 1}]));
    assert!(code == -32602 && message.contains("no_such"), "{message}");
}

#[test]
fn a_connection_is_kept_and_its_calls_are_counted() {
    let provider = provider(Faults::default());
    let mut stream = TcpStream::connect(provider.address()).unwrap();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber"}).to_string();
    let mut bytes = 0;
    for _ in 0..5 {
        bytes += exchange(&mut stream, &body).unwrap().body.len() as u64;
    }
    let stats = provider.stats();
    assert_eq!((stats.connections, stats.requests), (1, 5));
    assert_eq!(stats.of("eth_blockNumber").calls, 5);
    assert_eq!(stats.of("eth_blockNumber").bytes, bytes);
}
