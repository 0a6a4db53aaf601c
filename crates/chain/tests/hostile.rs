//! What providers do to us, on loopback: each case was seen with a real one or is the plain attack.

#[path = "kit/server.rs"]
mod server;

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use chain::{At, Header, Limits, LogFilter, Rpc, RpcError};
use kernel::{Address, B256, Kind};
use serde_json::{Value, json};
use server::{Answer, Server, calls, error, gzip, honest, result};

/// A node that tells its chain, and answers everything else with `answer`.
async fn node(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> (Server, Rpc) {
    node_within(answer, Limits::default()).await
}

async fn node_within(
    answer: impl Fn(&Value) -> Answer + Send + Sync + 'static,
    limits: Limits,
) -> (Server, Rpc) {
    let server = Server::start(move |body| {
        if body["method"] == "eth_chainId" {
            Answer::Json(result(body, json!("0x1")))
        } else {
            answer(body)
        }
    })
    .await;
    let url = server.url.parse().expect("url");
    let rpc = Rpc::connect(url, limits).await.expect("a node");
    (server, rpc)
}

fn hash(number: u64) -> B256 {
    B256::with_last_byte(u8::try_from(number % 256).expect("small"))
}

fn block(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"), "hash": hash(number), "parentHash": hash(number + 255),
        "timestamp": "0x5", "receiptsRoot": B256::ZERO, "stateRoot": B256::ZERO,
        "logsBloom": format!("0x{}", "00".repeat(256)), "transactions": [hash(1)], "strange": [{}],
    })
}

/// The block that a call asks for by number.
fn asked_block(call: &Value) -> Value {
    let number = call["params"][0].as_str().expect("a number");
    let number = u64::from_str_radix(&number[2..], 16).expect("hex");
    result(call, block(number))
}

fn log(number: u64) -> Value {
    json!({
        "address": Address::ZERO, "topics": [hash(1)], "data": "0x01", "blockHash": hash(number),
        "blockNumber": format!("{number:#x}"), "transactionHash": hash(2),
        "transactionIndex": "0x0", "logIndex": "0x0", "removed": false, "unknown": null,
    })
}

async fn logs(rpc: &Rpc) -> Result<usize, RpcError> {
    let logs = rpc.logs(0..=9, &LogFilter::default()).await;
    logs.map(|logs| logs.len())
}

/// The numbers of the headers that came.
async fn headers(rpc: &Rpc, last: u64) -> Result<Vec<u64>, RpcError> {
    let headers = rpc.headers(0..=last).await?;
    Ok(headers.iter().map(|header| header.number).collect())
}

fn all(last: u64) -> Vec<u64> {
    (0..=last).collect()
}

#[tokio::test]
async fn an_honest_answer_is_read_and_counted() {
    let (server, rpc) =
        node(|body| honest(body, |call| result(call, json!([log(3), log(4)])))).await;
    for _ in 0..3 {
        assert_eq!(logs(&rpc).await, Ok(2));
    }
    assert_eq!(server.connections.load(SeqCst), 1, "it is kept alive");
    let counters = rpc.counters();
    assert_eq!((counters.requests, counters.calls), (4, 4));
    assert!(counters.bytes > 1_000 && counters.latency > Duration::ZERO);
    assert!(counters.errors.is_empty());
}

#[tokio::test]
async fn several_questions_are_under_way_at_once() {
    // The server answers nobody before all three have asked.
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(3));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut first = true;
        while let Ok((mut socket, _)) = listener.accept().await {
            let barrier = (!std::mem::take(&mut first)).then(|| barrier.clone());
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                let read = socket.read(&mut buffer).await.expect("a request");
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let id = text
                    .split("\"id\":")
                    .nth(1)
                    .and_then(|rest| rest.split(',').next());
                let body = format!(r#"{{"id":{},"result":"0x1"}}"#, id.expect("an id"));
                if let Some(barrier) = barrier {
                    barrier.wait().await;
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all((head + &body).as_bytes()).await;
            });
        }
    });
    let rpc = Rpc::connect(url.parse().expect("url"), Limits::default())
        .await
        .expect("a node");
    let (one, two, three) = tokio::join!(rpc.chain_id(), rpc.chain_id(), rpc.chain_id());
    assert_eq!((one, two, three), (Ok(1), Ok(1), Ok(1)));
}

#[tokio::test]
async fn no_more_is_asked_at_once_than_a_node_may_bear() {
    let limits = Limits {
        at_once: 2,
        ..Limits::default()
    };
    let (server, rpc) = node_within(|body| honest(body, asked_block), limits).await;
    let many = (0..20).map(|_| async { headers(&rpc, 9).await.map(drop) });
    assert!(futures::future::try_join_all(many).await.is_ok());
    assert!(server.connections.load(SeqCst) <= 2);
    assert_eq!(rpc.waiting(), 0);
}

#[tokio::test]
async fn who_waits_for_a_turn_is_counted_until_it_comes_or_he_leaves() {
    let limits = Limits {
        at_once: 1,
        ..Limits::default()
    };
    let silent = |body: &Value| {
        if body["method"] == "eth_chainId" {
            honest(body, asked_block)
        } else {
            Answer::Silence(b"HTTP/1.1 200 OK\r\n")
        }
    };
    let (_server, rpc) = node_within(silent, limits).await;
    let mut asking: Vec<_> = (0..3).map(|_| Box::pin(headers(&rpc, 0))).collect();
    for asking in &mut asking {
        assert!(futures::poll!(asking).is_pending());
    }
    assert_eq!(rpc.waiting(), 2, "one of three has its turn");
    drop(asking);
    assert_eq!(rpc.waiting(), 0);
}

#[tokio::test]
async fn every_way_of_not_answering_has_its_name() {
    type Case = (&'static str, fn(&Value) -> Answer, &'static str, Kind);
    let cases: &[Case] = &[
        (
            "429",
            |_| Answer::Http(429, "retry-after: 7\r\n", vec![]),
            "limited",
            Kind::Limited,
        ),
        (
            "503 web page",
            |_| Answer::Http(503, "", b"<html>".to_vec()),
            "unavailable",
            Kind::Unavailable,
        ),
        (
            "503 web page that is called JSON",
            |_| {
                Answer::Http(
                    503,
                    "content-type: application/json\r\n",
                    b"<html>".to_vec(),
                )
            },
            "unavailable",
            Kind::Unavailable,
        ),
        (
            "502 without a body",
            |_| Answer::Http(502, "", vec![]),
            "unavailable",
            Kind::Unavailable,
        ),
        (
            "403",
            |_| Answer::Http(403, "", b"no".to_vec()),
            "other",
            Kind::Denied,
        ),
        (
            "a redirect",
            |_| Answer::Http(302, "location: /x\r\n", vec![]),
            "no_rpc",
            Kind::Invalid,
        ),
        (
            "200 web page that is called JSON",
            |_| {
                Answer::Http(
                    200,
                    "content-type: application/json\r\n",
                    b"<html>".to_vec(),
                )
            },
            "no_rpc",
            Kind::Invalid,
        ),
        (
            "truncated JSON",
            |body| {
                let mut bytes = result(body, json!([log(1)])).to_string().into_bytes();
                bytes.truncate(bytes.len() - 10);
                Answer::Http(200, "", bytes)
            },
            "unavailable",
            Kind::Unavailable,
        ),
        (
            "fewer bytes than announced",
            |_| Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"jsonrpc\"".to_vec()),
            "unavailable",
            Kind::Unavailable,
        ),
        (
            "a dropped socket",
            |_| Answer::Raw(vec![]),
            "unavailable",
            Kind::Unavailable,
        ),
        (
            "no HTTP",
            |_| Answer::Raw(b"hello\r\n\r\n".to_vec()),
            "unavailable",
            Kind::Unavailable,
        ),
        (
            "null",
            |body| Answer::Json(result(body, Value::Null)),
            "other",
            Kind::Unavailable,
        ),
        (
            "another type",
            |body| Answer::Json(result(body, json!({}))),
            "other",
            Kind::Unavailable,
        ),
        (
            "five topics",
            |body| {
                let mut log = log(1);
                log["topics"] = json!(vec![hash(1); 5]);
                Answer::Json(result(body, json!([log])))
            },
            "other",
            Kind::Unavailable,
        ),
        (
            "removed logs",
            |body| {
                let mut log = log(1);
                log["removed"] = json!(true);
                Answer::Json(result(body, json!([log])))
            },
            "other",
            Kind::Unavailable,
        ),
        (
            "another's answer",
            |_| Answer::Json(json!({ "jsonrpc": "2.0", "id": 999_999, "result": [] })),
            "other",
            Kind::Unavailable,
        ),
        (
            "no result",
            |body| Answer::Json(json!({ "id": body["id"] })),
            "no_rpc",
            Kind::Invalid,
        ),
        (
            "an array",
            |_| Answer::Json(json!([])),
            "no_rpc",
            Kind::Invalid,
        ),
        (
            "an error without an id",
            |_| {
                Answer::Json(
                    json!({ "id": null, "error": { "code": -32000, "message": "header not found" } }),
                )
            },
            "beyond_head",
            Kind::Unavailable,
        ),
        (
            "pruned history",
            |body| Answer::Json(error(body, 4444, "pruned history unavailable")),
            "pruned",
            Kind::NotFound,
        ),
        (
            "-32005 for a range",
            |body| {
                Answer::Json(error(
                    body,
                    -32005,
                    "query returned more than 10000 results",
                ))
            },
            "range",
            Kind::Invalid,
        ),
        (
            "-32005 for a limit",
            |body| Answer::Json(error(body, -32005, "daily request count exceeded")),
            "limited",
            Kind::Limited,
        ),
    ];
    for (what, answer, name, kind) in cases {
        let (_server, rpc) = node(answer).await;
        let error = logs(&rpc).await.expect_err(what);
        assert_eq!(
            (error.name(), error.kind()),
            (*name, *kind),
            "{what}: {error:?}"
        );
        assert!(!error.to_string().contains("/key"), "{what}: {error}");
        assert_eq!(rpc.counters().errors[name], 1, "{what}");
    }
}

#[tokio::test]
async fn a_limit_tells_how_long_to_wait() {
    let (_server, rpc) = node(|_| Answer::Http(429, "retry-after: 7\r\n", b"{}".to_vec())).await;
    let error = logs(&rpc).await.expect_err("limited");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_node_that_hangs_is_given_up() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{";
    let limits = Limits {
        timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    for start in [b"", HEAD] {
        let (_server, rpc) = node_within(|_| Answer::Silence(start), limits).await;
        let error = logs(&rpc).await.expect_err("silence");
        assert!(matches!(error, RpcError::Unavailable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_is_measured_after_it_was_unpacked() {
    let limits = Limits {
        max_bytes: 100_000,
        ..Limits::default()
    };
    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < limits.max_bytes);
    let answer = move |_: &Value| Answer::Http(200, "content-encoding: gzip\r\n", bomb.clone());
    let (_server, rpc) = node_within(answer, limits).await;
    let error = logs(&rpc).await.expect_err("a bomb");
    assert!(
        matches!(error, RpcError::RangeTooLarge { hint: None, .. }),
        "{error:?}"
    );
    let error = rpc.block(At::Latest).await.expect_err("a bomb");
    assert_eq!(error.kind(), Kind::Unavailable);

    let long = |body: &Value| Answer::Json(result(body, json!("x".repeat(100_000))));
    let (_server, rpc) = node_within(long, limits).await;
    let error = logs(&rpc).await.expect_err("too long");
    assert!(
        matches!(error, RpcError::RangeTooLarge { hint: None, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_compressed_is_read_where_it_was_asked_for() {
    let compressed = |body: &Value| {
        let bytes = result(body, json!([log(1)])).to_string();
        Answer::Http(200, "content-encoding: gzip\r\n", gzip(bytes.as_bytes()))
    };
    let (_server, rpc) = node(compressed).await;
    assert_eq!(logs(&rpc).await, Ok(1));
    let limits = Limits {
        compressed: false,
        ..Limits::default()
    };
    let (_server, rpc) = node_within(compressed, limits).await;
    assert_eq!(
        logs(&rpc).await.expect_err("not asked for").kind(),
        Kind::Unavailable
    );
}

#[tokio::test]
async fn the_items_of_a_batch_may_come_in_any_order() {
    let (server, rpc) = node(|body| {
        let items: Vec<Value> = calls(body).into_iter().rev().map(asked_block).collect();
        Answer::Json(items.into())
    })
    .await;
    assert_eq!(headers(&rpc, 250).await, Ok(all(250)));
    assert_eq!(server.batches("eth_getBlockByNumber"), [100, 100, 51]);
}

#[tokio::test]
async fn headers_that_do_not_link_contradict_themselves() {
    for wrong in [1, 9, 100, 250] {
        let (_server, rpc) = node(move |body| {
            honest(body, |call| {
                let mut told = asked_block(call);
                if told["result"]["number"] == format!("{wrong:#x}") {
                    told["result"]["parentHash"] = json!(B256::repeat_byte(0xee));
                }
                told
            })
        })
        .await;
        let error = headers(&rpc, 250).await.expect_err("unlinked");
        assert_eq!(
            (error.name(), error.kind()),
            ("contradictory", Kind::Unavailable)
        );
        assert_eq!(rpc.counters().errors["contradictory"], 1, "block {wrong}");
        assert_eq!(headers(&rpc, wrong - 1).await, Ok(all(wrong - 1)));
    }
}

#[tokio::test]
async fn a_batch_with_wrong_items_is_refused() {
    type Spoil = fn(&mut Vec<Value>);
    let cases: &[(&str, Spoil)] = &[
        ("duplicate", |items| items[3]["id"] = items[4]["id"].clone()),
        ("foreign", |items| items[3]["id"] = json!(999_999)),
        ("without an id", |items| items[3]["id"] = Value::Null),
        ("missing", |items| drop(items.remove(3))),
        ("one more", |items| items.push(items[3].clone())),
        ("very many more", |items| {
            items.extend(vec![json!({}); 10_000]);
        }),
        ("another block", |items| items[3]["result"] = block(77)),
        ("no block", |items| items[3]["result"] = json!("0x")),
        ("nothing", |items| {
            drop(items[3].as_object_mut().expect("an item").remove("result"));
        }),
    ];
    for (what, spoil) in cases {
        let (_server, rpc) = node(|body| {
            let mut items: Vec<Value> = calls(body).into_iter().map(asked_block).collect();
            spoil(&mut items);
            Answer::Json(items.into())
        })
        .await;
        let error = headers(&rpc, 9).await.expect_err(what);
        assert_eq!(error.kind(), Kind::Unavailable, "{what}: {error:?}");
        assert_eq!(rpc.batch_size(), 100, "{what}: its size was fine");
    }
}

#[tokio::test]
async fn a_refused_batch_is_halved_and_the_size_is_remembered() {
    type Refusal = fn() -> Answer;
    let refusals: &[(&str, Refusal)] = &[
        ("geth", || {
            Answer::Json(
                json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "batch too large" } }),
            )
        }),
        ("anvil", || {
            Answer::Json(
                json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "Invalid request" } }),
            )
        }),
        ("in an array", || {
            Answer::Json(
                json!([{ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "no" } }]),
            )
        }),
        ("status 413", || Answer::Http(413, "", b"<html>".to_vec())),
        ("status 400", || {
            Answer::Http(400, "", b"batch limit".to_vec())
        }),
        ("busy with a word of it", || {
            Answer::Http(500, "", b"batch size limit".to_vec())
        }),
        ("longer than we read", || {
            Answer::Http(200, "", vec![b' '; 50_000])
        }),
    ];
    let limits = Limits {
        max_bytes: 40_000,
        ..Limits::default()
    };
    for (what, refusal) in refusals {
        let answer = |body: &Value| {
            if calls(body).len() > 30 {
                refusal()
            } else {
                honest(body, asked_block)
            }
        };
        let (server, rpc) = node_within(answer, limits).await;
        assert_eq!(headers(&rpc, 59).await, Ok(all(59)), "{what}");
        assert_eq!(
            server.batches("eth_getBlockByNumber"),
            [60, 30, 30],
            "{what}"
        );
        assert_eq!(headers(&rpc, 59).await, Ok(all(59)), "{what}");
        assert_eq!(
            server.batches("eth_getBlockByNumber")[3..],
            [30, 30],
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_node_without_batches_is_asked_one_by_one() {
    let (server, rpc) = node(|body| match body {
        Value::Array(_) => Answer::Json(json!({ "error": "unsupported" })),
        call => Answer::Json(asked_block(call)),
    })
    .await;
    assert_eq!(headers(&rpc, 9).await, Ok(all(9)));
    assert_eq!(rpc.batch_size(), 1);
    assert_eq!(server.batches("eth_getBlockByNumber")[..4], [10, 5, 2, 1]);
}

#[tokio::test]
async fn items_that_did_not_fit_are_asked_again() {
    // geth: the answers so far are too many bytes, so every later item is refused.
    let (server, rpc) = node(|body| {
        let calls = calls(body).into_iter().enumerate();
        let answer = |(at, call): (usize, &Value)| {
            if at < 40 {
                asked_block(call)
            } else {
                error(call, -32003, "response too large")
            }
        };
        Answer::Json(calls.map(answer).collect())
    })
    .await;
    assert_eq!(headers(&rpc, 99).await, Ok(all(99)));
    assert_eq!(server.batches("eth_getBlockByNumber"), [100, 60, 20]);

    // Nothing ever fits: that ends, with the node's own words.
    let (_server, rpc) =
        node(|body| honest(body, |call| error(call, -32003, "response too large"))).await;
    let error = headers(&rpc, 9).await.expect_err("nothing fits");
    assert!(error.to_string().contains("response too large"), "{error}");
}

#[tokio::test]
async fn errors_of_items_are_those_of_single_calls() {
    for (code, message, name) in [
        (4444, "pruned history unavailable", "pruned"),
        (
            -32601,
            "the method eth_getBlockReceipts does not exist/is not available",
            "no_method",
        ),
        (-32005, "rate limit exceeded", "limited"),
        (-32603, "internal error", "unavailable"),
    ] {
        let (_server, rpc) = node(move |body| {
            let first = calls(body)[0]["id"].clone();
            honest(body, |call| {
                if call["id"] == first {
                    result(call, Value::Null)
                } else {
                    error(call, code, message)
                }
            })
        })
        .await;
        let error = rpc
            .block_receipts(&[hash(1), hash(2)])
            .await
            .expect_err(message);
        assert_eq!(error.name(), name, "{error:?}");
    }
}

#[tokio::test]
async fn a_batch_over_a_nodes_rate_is_smaller_the_next_time() {
    let (_server, rpc) = node(|body| {
        let items = calls(body).into_iter().enumerate().map(|(at, call)| {
            if at < 30 {
                asked_block(call)
            } else {
                error(call, 429, "exceeded its compute units per second capacity")
            }
        });
        Answer::Json(items.collect())
    })
    .await;
    for size in [50, 25] {
        let error = headers(&rpc, 99).await.expect_err("limited");
        assert_eq!((error.kind(), rpc.batch_size()), (Kind::Limited, size));
    }
    assert_eq!(headers(&rpc, 99).await, Ok(all(99)));
}

#[tokio::test]
async fn a_limit_on_a_whole_batch_does_not_shrink_it() {
    for answer in [
        || Answer::Http(429, "retry-after: 3\r\n", vec![]),
        || {
            Answer::Json(
                json!({ "id": null, "error": { "code": -32005, "message": "rate limit" } }),
            )
        },
        || Answer::Http(503, "", vec![]),
    ] {
        let (_server, rpc) = node(move |_| answer()).await;
        let error = headers(&rpc, 9).await.expect_err("not now");
        assert!(error.kind().is_transient(), "{error:?}");
        assert_eq!(rpc.batch_size(), 100);
    }
}

#[tokio::test]
async fn blocks_that_are_not_there_are_told_apart_from_nonsense() {
    let (_server, rpc) = node(|body| honest(body, |call| result(call, Value::Null))).await;
    assert_eq!(rpc.block(At::Number(7)).await, Ok(None));
    assert_eq!(
        rpc.headers_by_hash(&[hash(1), hash(2)]).await,
        Ok(vec![None, None])
    );
    let receipts = rpc
        .block_receipts(&[hash(1), hash(2)])
        .await
        .expect("receipts");
    assert!(receipts.iter().all(Option::is_none));
    let error = headers(&rpc, 1).await.expect_err("unknown");
    assert!(matches!(error, RpcError::BeyondHead { .. }), "{error:?}");
    for error in [
        rpc.code(Address::ZERO, At::Latest).await.expect_err("null"),
        rpc.storage(&[(Address::ZERO, hash(1))], At::Latest)
            .await
            .expect_err("null"),
    ] {
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("knows nothing"), "{error}");
    }
}

#[tokio::test]
async fn another_block_than_was_asked_for_is_refused() {
    let (_server, rpc) = node(|body| honest(body, |call| result(call, block(7)))).await;
    assert!(rpc.block(At::Number(7)).await.is_ok());
    assert!(rpc.block(At::Hash(hash(7))).await.is_ok());
    for at in [At::Number(8), At::Hash(hash(8))] {
        assert_eq!(
            rpc.block(at).await.expect_err("another").kind(),
            Kind::Unavailable
        );
    }
    assert!(rpc.headers_by_hash(&[hash(8), hash(7)]).await.is_err());
}

#[test]
fn a_header_that_lacks_what_the_hash_needs_is_read_but_not_believed() {
    let header: Header = serde_json::from_value(block(7)).expect("a header");
    assert_eq!((header.number, header.parent), (7, hash(262)));
    assert!(header.verified().is_none());
}
