//! Several providers of one chain, each as bad as a case wants it, on loopback.

#[path = "../../crates/chain/tests/kit/server.rs"]
mod server;

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use chain::{At, LogFilter, Rpc, RpcError};
use indexer::{ChainConfig, Config, Error, Opinion, Providers};
use kernel::{B256, Kind};
use serde_json::{Value, json};
use server::{Answer, Server, error, gzip, honest, result};

/// A chain as one provider sees it: its head, and from which height on it has blocks of its own.
#[derive(Debug, Clone, Copy)]
struct View {
    chain: u64,
    head: u64,
    fork: Option<(u64, u8)>,
    finalized: Option<u64>,
}

const VIEW: View = View {
    chain: 7,
    head: 100,
    fork: None,
    finalized: None,
};

impl View {
    fn hash(self, number: u64) -> B256 {
        let mut hash = B256::left_padding_from(&number.to_be_bytes());
        hash[0] = match self.fork {
            Some((from, branch)) if number >= from => branch,
            _ => 1,
        };
        hash
    }

    fn block(self, number: u64) -> Value {
        if number > self.head {
            return Value::Null;
        }
        self.made_up(number)
    }

    fn made_up(self, number: u64) -> Value {
        json!({
            "number": format!("{number:#x}"), "hash": self.hash(number),
            "parentHash": self.hash(number.wrapping_sub(1)), "timestamp": "0x1",
            "receiptsRoot": B256::ZERO, "stateRoot": B256::ZERO, "logsBloom": "0x",
        })
    }

    /// Answers one call.
    fn tell(self, call: &Value) -> Value {
        match call["method"].as_str() {
            Some("eth_chainId") => result(call, format!("{:#x}", self.chain)),
            Some("eth_getBlockByNumber") => match call["params"][0].as_str() {
                Some("latest") => result(call, self.block(self.head)),
                Some("finalized") => {
                    let block = self.finalized.map(|number| self.made_up(number));
                    result(call, block.unwrap_or_default())
                }
                number => result(call, self.block(number_of(number))),
            },
            Some("eth_getLogs") => result(call, json!([])),
            Some("eth_getBalance") => result(call, format!("{:#x}", self.head)),
            _ => error(call, -32601, "method not found"),
        }
    }

    /// As a whole server.
    async fn serve(self) -> Server {
        Server::start(move |body| honest(body, |call| self.tell(call))).await
    }
}

fn number_of(text: Option<&str>) -> u64 {
    let digits = text
        .and_then(|text| text.strip_prefix("0x"))
        .expect("a number");
    u64::from_str_radix(digits, 16).expect("hex")
}

/// Serves what the shared view says at that time.
async fn changing(view: &Arc<Mutex<View>>) -> Server {
    let view = view.clone();
    Server::start(move |body| {
        let view = *view.lock().expect("no panic");
        honest(body, |call| view.tell(call))
    })
    .await
}

/// A way of not answering.
type Spoil = Box<dyn Fn() -> Answer + Send + Sync>;

/// Tells its chain, and spoils every other answer.
async fn spoiled(spoil: impl Fn() -> Answer + Send + Sync + 'static) -> Server {
    Server::start(move |body| {
        if body["method"] == "eth_chainId" {
            Answer::Json(VIEW.tell(body))
        } else {
            spoil()
        }
    })
    .await
}

fn urls(servers: &[&Server]) -> ChainConfig {
    ChainConfig {
        rpc: servers.iter().map(|server| server.url.clone()).collect(),
        ..ChainConfig::default()
    }
}

fn config() -> Config {
    Config {
        range_blocks: 1_000,
        provider_timeout_seconds: 1,
        ..Config::default()
    }
}

async fn connect(servers: &[&Server]) -> Providers {
    Providers::connect(&config(), &urls(servers))
        .await
        .expect("connected")
}

async fn balance(rpc: Rpc) -> Result<u64, RpcError> {
    let wei = rpc.balance(kernel::Address::ZERO, At::Latest).await?;
    Ok(wei.to())
}

/// The number of requests for `method` that a server saw.
fn asked(server: &Server, method: &str) -> usize {
    server.batches(method).len()
}

#[tokio::test]
async fn a_provider_of_another_chain_is_refused_by_name() {
    let other = View { chain: 8, ..VIEW };
    let (ours, theirs) = (VIEW.serve().await, other.serve().await);
    let named = ChainConfig {
        chain: Some("7".to_owned()),
        ..urls(&[&theirs])
    };
    for chain in [urls(&[&ours, &theirs]), named] {
        let error = Providers::connect(&config(), &chain)
            .await
            .expect_err("two chains");
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("serves chain") && text.contains("127.0.0.1"),
            "{text}"
        );
        assert!(!text.contains("/key"), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_told() {
    let server = VIEW.serve().await;
    let quorum = |quorum| ChainConfig {
        quorum: Some(quorum),
        ..urls(&[&server])
    };
    let strange = ChainConfig {
        rpc: vec!["ftp://node.example/".to_owned()],
        ..ChainConfig::default()
    };
    for chain in [ChainConfig::default(), quorum(0), quorum(2), strange] {
        let error = Providers::connect(&config(), &chain)
            .await
            .expect_err("wrong");
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
}

#[tokio::test]
async fn one_that_does_not_answer_at_first_is_used_later() {
    let up = Arc::new(AtomicUsize::new(0));
    let seen = up.clone();
    let late = Server::start(move |body| {
        if seen.load(SeqCst) == 0 {
            Answer::Raw(vec![])
        } else {
            honest(body, |call| VIEW.tell(call))
        }
    })
    .await;
    let error = Providers::connect(&config(), &urls(&[&late]))
        .await
        .expect_err("nobody");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");

    let good = VIEW.serve().await;
    let providers = connect(&[&late, &good]).await;
    assert_eq!(providers.chain(), 7);
    assert_eq!(providers.ask(balance).await.expect("answered").value, 100);
    up.store(1, SeqCst);
    let knows_both = || {
        let states = providers.states();
        states
            .iter()
            .all(|state| state.opinion == Opinion::Agrees { head: 100 })
    };
    while !knows_both() {
        providers.head().await.expect("head");
    }
    assert!(asked(&late, "eth_getBlockByNumber") > 0);
}

#[tokio::test]
async fn where_one_fails_another_answers_and_the_first_one_rests() {
    let bomb = gzip(&vec![b' '; 80_000_000]);
    let ways: Vec<(&str, Spoil)> = vec![
        (
            "429",
            Box::new(|| Answer::Http(429, "retry-after: 60\r\n", vec![])),
        ),
        (
            "503",
            Box::new(|| Answer::Http(503, "", b"<html>".to_vec())),
        ),
        ("dropped", Box::new(|| Answer::Raw(vec![]))),
        (
            "cut short",
            Box::new(|| Answer::Http(200, "", b"{\"jsonrpc\":\"2.0\",".to_vec())),
        ),
        (
            "a web page",
            Box::new(|| Answer::Http(200, "", b"<html>".to_vec())),
        ),
        (
            "silence",
            Box::new(|| Answer::Silence(b"HTTP/1.1 200 OK\r\n")),
        ),
        (
            "null",
            Box::new(|| Answer::Json(json!({ "id": 2, "result": null }))),
        ),
        (
            "bomb",
            Box::new(move || Answer::Http(200, "content-encoding: gzip\r\n", bomb.clone())),
        ),
    ];
    for (way, spoil) in ways {
        let (bad, good) = (spoiled(spoil).await, VIEW.serve().await);
        let providers = connect(&[&bad, &good]).await;
        for _ in 0..20 {
            let told = providers.ask(balance).await.expect(way);
            assert_eq!(
                (told.value, providers.place(told.by)),
                (100, place(&good)),
                "{way}"
            );
        }
        assert!(asked(&bad, "eth_getBalance") <= 2, "{way}");
        let states = providers.states();
        assert!(states[0].error_rate >= states[1].error_rate, "{way}");
    }
}

fn place(server: &Server) -> String {
    server.url.trim_end_matches("/key").to_owned()
}

#[tokio::test]
async fn what_lies_in_the_question_is_no_fault_of_a_provider() {
    for (code, message) in [
        (-32601, "method not found"),
        (4444, "pruned history unavailable"),
        (-32000, "header not found"),
    ] {
        let poor = Server::start(move |body| {
            honest(body, |call| {
                if call["method"] == "eth_getBalance" {
                    error(call, code, message)
                } else {
                    VIEW.tell(call)
                }
            })
        })
        .await;
        let providers = connect(&[&poor]).await;
        let alone = providers.ask(balance).await.expect_err(message);
        assert!(alone.to_string().contains(message), "{alone}");
        let good = VIEW.serve().await;
        let providers = connect(&[&poor, &good]).await;
        for _ in 0..5 {
            assert!(providers.ask(balance).await.is_ok(), "{message}");
        }
        assert!(
            providers.states().iter().all(|state| state.rests.is_zero()),
            "{message}"
        );
    }
    // A contract's refusal would be the same everywhere.
    let refusing = || {
        Server::start(|body| {
            honest(body, |call| match call["method"].as_str() {
                Some("eth_getBalance") => error(call, 3, "execution reverted"),
                _ => VIEW.tell(call),
            })
        })
    };
    let (one, other) = (refusing().await, refusing().await);
    let providers = connect(&[&one, &other]).await;
    assert!(providers.ask(balance).await.is_err());
    assert_eq!(
        asked(&one, "eth_getBalance") + asked(&other, "eth_getBalance"),
        1
    );
}

#[tokio::test]
async fn an_outage_meets_one_question_at_a_time() {
    let failures = Arc::new(AtomicUsize::new(0));
    let seen = failures.clone();
    let server = Server::start(move |body| {
        if body["method"] == "eth_getBalance" && seen.fetch_add(1, SeqCst) < 11 {
            Answer::Http(503, "", vec![])
        } else {
            honest(body, |call| VIEW.tell(call))
        }
    })
    .await;
    let providers = connect(&[&server]).await;
    let many = (0..8).map(|_| providers.ask(balance));
    for told in futures::future::join_all(many).await {
        assert_eq!(told.expect("in the end").value, 100);
    }
    // Eight failed together, three alone; then all were answered.
    assert!(failures.load(SeqCst) <= 8 + 3 + 8, "{failures:?}");
}

#[tokio::test]
async fn a_provider_that_wants_a_long_pause_is_left_alone() {
    let server = spoiled(|| Answer::Http(429, "retry-after: 120\r\n", vec![])).await;
    let providers = connect(&[&server]).await;
    for _ in 0..5 {
        let error = providers.ask(balance).await.expect_err("limited");
        assert_eq!(error.kind(), Kind::Limited, "{error}");
    }
    assert_eq!(asked(&server, "eth_getBalance"), 1);
    assert!(!providers.states()[0].rests.is_zero());
}

#[tokio::test]
async fn a_provider_that_changes_its_chain_is_not_believed() {
    let view = Arc::new(Mutex::new(VIEW));
    let (turned, good) = (
        changing(&view).await,
        View { head: 101, ..VIEW }.serve().await,
    );
    let (alone, both) = (connect(&[&turned]).await, connect(&[&turned, &good]).await);
    assert_eq!(alone.ask(balance).await.expect("fine").value, 100);
    // A restart of its server, as it were: nothing for a moment, then another chain.
    for providers in [&alone, &both] {
        let told = providers.ask_each(|_| async { Err::<(), _>(down()) }).await;
        assert!(told.iter().all(|(_, told)| told.is_err()));
    }
    *view.lock().expect("no panic") = View {
        chain: 8,
        head: 555,
        ..VIEW
    };
    let error = alone.ask(balance).await.expect_err("another chain");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    for _ in 0..5 {
        assert_eq!(both.ask(balance).await.expect("the other one").value, 101);
    }
    assert_eq!(both.head().await.expect("head").number, 101);
    assert_eq!(asked(&turned, "eth_getBalance"), 1);
}

fn down() -> RpcError {
    RpcError::Unavailable {
        message: "down".to_owned(),
    }
}

#[tokio::test]
async fn a_second_opinion_is_another_providers() {
    let (one, other) = (VIEW.serve().await, View { head: 101, ..VIEW }.serve().await);
    let providers = connect(&[&one, &other]).await;
    let first = providers.ask(balance).await.expect("told");
    let second = providers
        .ask_other(&[first.by], balance)
        .await
        .expect("told");
    assert_ne!((first.by, first.value), (second.by, second.value));
    let alone = connect(&[&one]).await;
    let first = alone.ask(balance).await.expect("told");
    assert!(alone.ask_other(&[first.by], balance).await.is_none());
}

/// The head that providers of these views agree about, and their opinions.
async fn head(views: &[View], quorum: Option<usize>) -> (Result<(u64, B256), Error>, Vec<Opinion>) {
    let mut servers = Vec::new();
    for view in views {
        servers.push(view.serve().await);
    }
    let servers: Vec<&Server> = servers.iter().collect();
    let chain = ChainConfig {
        quorum,
        ..urls(&servers)
    };
    let providers = Providers::connect(&config(), &chain)
        .await
        .expect("connected");
    let head = providers.head().await.map(|head| (head.number, head.hash));
    let opinions = providers.states().into_iter().map(|state| state.opinion);
    (head, opinions.collect())
}

#[tokio::test]
async fn the_head_is_the_newest_block_that_a_quorum_knows() {
    type Case<'a> = (&'a [View], Option<usize>, Option<u64>);
    let at = |head| View { head, ..VIEW };
    let forked = |head, from| View {
        head,
        fork: Some((from, 9)),
        ..VIEW
    };
    let cases: &[Case<'_>] = &[
        (&[at(100)], None, Some(100)),
        (&[at(100), at(98)], None, Some(98)),
        (&[at(100), at(98)], Some(1), Some(100)),
        (&[at(100), at(98), at(97)], None, Some(98)),
        (&[at(100), at(98), at(97)], Some(3), Some(97)),
        (&[at(100), forked(120, 90), at(99)], None, Some(99)),
        (&[at(100), forked(120, 90), at(99), at(99)], None, Some(99)),
        // Both have block 96, and after it their own.
        (&[at(100), forked(100, 97)], None, Some(93)),
        (&[at(100), forked(100, 3)], None, None),
    ];
    for (views, quorum, expected) in cases {
        let (head, _) = head(views, *quorum).await;
        match (head, expected) {
            (Ok((number, hash)), Some(expected)) => {
                assert_eq!((number, hash), (*expected, VIEW.hash(number)), "{views:?}");
            }
            (Err(error), None) => assert_eq!(error.kind(), Kind::Unavailable, "{error}"),
            (head, _) => panic!("{views:?}: {head:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_final_is_the_newest_that_a_quorum_says() {
    type Case<'a> = (&'a [Option<u64>], Option<usize>, Option<u64>);
    let cases: &[Case<'_>] = &[
        (&[Some(90)], None, Some(90)),
        (&[None], None, None),
        (&[None, None], None, None),
        (&[Some(90), Some(99), Some(95)], None, Some(95)),
        (&[Some(90), Some(99), Some(95)], Some(3), Some(90)),
        (&[Some(90), None, Some(95)], None, Some(90)),
        (&[None, Some(90), None], Some(2), Some(90)),
        // What lies above the head is not final, and what is no height not read.
        (&[Some(101)], None, None),
        (&[Some(i64::MAX.unsigned_abs())], None, None),
        (&[Some(101), Some(90), Some(95)], None, Some(90)),
        (&[Some(u64::MAX), Some(90), Some(95)], None, Some(90)),
    ];
    for (said, quorum, expected) in cases {
        let mut servers = Vec::new();
        for finalized in *said {
            let view = View {
                finalized: *finalized,
                ..VIEW
            };
            servers.push(view.serve().await);
        }
        let servers: Vec<&Server> = servers.iter().collect();
        let chain = ChainConfig {
            quorum: *quorum,
            ..urls(&servers)
        };
        let providers = Providers::connect(&config(), &chain)
            .await
            .expect("connected");
        let finalized = providers.finalized(100).await.expect("asked");
        assert_eq!(finalized, *expected, "{said:?}");
    }
}

#[tokio::test]
async fn one_that_hangs_holds_up_neither_the_head_nor_what_is_final() {
    let silent = spoiled(|| Answer::Silence(b"HTTP/1.1 200 OK\r\n")).await;
    let view = View {
        finalized: Some(90),
        ..VIEW
    };
    let (one, other) = (view.serve().await, view.serve().await);
    let patient = Config {
        provider_timeout_seconds: 3_600,
        ..config()
    };
    let chain = urls(&[&silent, &one, &other]);
    let providers = Providers::connect(&patient, &chain)
        .await
        .expect("connected");
    assert_eq!(providers.head().await.expect("head").number, 100);
    assert_eq!(providers.finalized(100).await.expect("asked"), Some(90));
    let states = providers.states();
    assert_eq!(states[0].opinion, Opinion::Silent);
    assert!(states[0].last_error.is_some());
    assert!(states[1].last_error.is_none() && states[2].last_error.is_none());
}

#[tokio::test]
async fn who_greets_again_keeps_to_what_was_asked_of_us_before() {
    let limiting = || Server::start(|_| Answer::Http(429, "retry-after: 120\r\n", vec![]));
    for count in [1, 2] {
        let servers = [limiting().await, limiting().await];
        let servers: Vec<&Server> = servers.iter().take(count).collect();
        let providers = Providers::new(&config(), &urls(&servers)).expect("a configuration");
        for _ in 0..5 {
            let error = providers.greet().await.expect_err("limited");
            assert_eq!(error.kind(), Kind::Limited, "{error}");
        }
        for server in servers {
            assert_eq!(asked(server, "eth_chainId"), 1);
        }
        assert!(providers.node().is_err());
    }
}

#[tokio::test]
async fn a_block_that_one_node_of_a_provider_lacks_is_asked_for_again() {
    let times = AtomicUsize::new(0);
    let balancer = Server::start(move |body| {
        honest(body, |call| {
            let lacks = call["method"] == "eth_getBalance" && times.fetch_add(1, SeqCst) < 2;
            if lacks {
                error(call, -32000, "header not found")
            } else {
                VIEW.tell(call)
            }
        })
    })
    .await;
    let providers = connect(&[&balancer]).await;
    assert_eq!(providers.ask(balance).await.expect("then").value, 100);
    assert!(providers.states()[0].rests.is_zero());
    assert_eq!(providers.canonical(7).await.expect("known").number, 7);
    let beyond = providers.canonical(101).await.expect_err("not there");
    assert_eq!(beyond.kind(), Kind::Unavailable, "{beyond}");
}

#[tokio::test]
async fn who_is_behind_and_who_disagrees_is_told() {
    let views = [
        VIEW,
        View { head: 98, ..VIEW },
        VIEW,
        View {
            head: 120,
            fork: Some((90, 9)),
            ..VIEW
        },
        VIEW,
    ];
    let (head, opinions) = head(&views, None).await;
    assert_eq!(head.expect("head").0, 100);
    let agrees = Opinion::Agrees { head: 100 };
    let has = views[3].hash(100);
    let behind = Opinion::Behind { head: 98, by: 2 };
    let disagrees = Opinion::Disagrees {
        head: 120,
        at: 100,
        has,
    };
    assert_eq!(
        opinions,
        [agrees.clone(), behind, agrees.clone(), disagrees, agrees]
    );
}

/// Behind its address stand nodes on two branches: in the first `times` answers every other block is of the one that
/// was left.
async fn of_two_minds(times: usize) -> Server {
    let left = View {
        fork: Some((0, 9)),
        ..VIEW
    };
    let answers = AtomicUsize::new(0);
    Server::start(move |body| {
        if body["method"] == "eth_chainId" {
            return Answer::Json(VIEW.tell(body));
        }
        let mixed = answers.fetch_add(1, SeqCst) < times;
        honest(body, |call| {
            let number = call["params"][0].as_str();
            if mixed && number_of(number) % 2 == 1 {
                left.tell(call)
            } else {
                VIEW.tell(call)
            }
        })
    })
    .await
}

#[tokio::test]
async fn headers_that_do_not_link_are_asked_for_elsewhere_or_again() {
    let headers = |rpc: Rpc| async move { rpc.headers(10..=20).await };
    let good = VIEW.serve().await;
    let cases = [(usize::MAX, Some(&good)), (3, None)];
    for (times, other) in cases {
        let mixed = of_two_minds(times).await;
        let servers: Vec<&Server> = std::iter::once(&mixed).chain(other).collect();
        let providers = connect(&servers).await;
        // So many that both are asked.
        let asking = (0..16).map(|_| providers.ask(headers));
        for told in futures::future::join_all(asking).await {
            let told = told.expect("linked in the end").value;
            assert!(told.iter().all(|one| one.hash == VIEW.hash(one.number)));
        }
        let said = providers.states()[0].last_error.clone();
        assert!(
            said.is_some_and(|said| said.contains("contradicts itself")),
            "{times}"
        );
    }
}

#[tokio::test]
async fn too_few_providers_are_no_quorum() {
    let (good, dead) = (VIEW.serve().await, spoiled(|| Answer::Raw(vec![])).await);
    let chain = ChainConfig {
        quorum: Some(2),
        ..urls(&[&good, &dead])
    };
    let providers = Providers::connect(&config(), &chain)
        .await
        .expect("connected");
    let error = providers.head().await.expect_err("one of two");
    assert!(matches!(error, Error::Disagree { .. }), "{error}");
    let most = connect(&[&good, &dead]).await;
    assert_eq!(
        most.head().await.expect("most of those that answer").number,
        100
    );
}

#[tokio::test]
async fn a_head_that_goes_back_is_followed_back_only_where_its_block_is_gone() {
    // One address, behind which stand nodes with other heads; blocks are known all the same.
    // The first answer is asked for again, because no header here hashes to its hash.
    let flips = AtomicUsize::new(1);
    let balancer = Server::start(move |body| {
        honest(body, |call| {
            if call["params"][0] == "latest" {
                let head = 100 - 2 * u64::try_from(flips.fetch_add(1, SeqCst) % 2).expect("small");
                result(call, VIEW.block(head))
            } else {
                VIEW.tell(call)
            }
        })
    })
    .await;
    let providers = connect(&[&balancer]).await;
    for _ in 0..4 {
        assert_eq!(providers.head().await.expect("head").number, 100);
    }

    let view = Arc::new(Mutex::new(VIEW));
    let node = changing(&view).await;
    let providers = connect(&[&node]).await;
    assert_eq!(providers.head().await.expect("head").number, 100);
    let shorter = View {
        head: 98,
        fork: Some((95, 3)),
        ..VIEW
    };
    *view.lock().expect("no panic") = shorter;
    let head = providers.head().await.expect("head");
    assert_eq!((head.number, head.hash), (98, shorter.hash(98)));
}

/// Answers logs of at most `most` blocks, and says `refusal` of wider ranges.
async fn narrow(most: u64, refusal: impl Fn(u64) -> String + Send + Sync + 'static) -> Server {
    Server::start(move |body| {
        honest(body, |call| {
            if call["method"] != "eth_getLogs" {
                return VIEW.tell(call);
            }
            let from = number_of(call["params"][0]["fromBlock"].as_str());
            let to = number_of(call["params"][0]["toBlock"].as_str());
            if to - from + 1 > most {
                error(call, -32005, &refusal(from))
            } else {
                VIEW.tell(call)
            }
        })
    })
    .await
}

/// Reads logs of 10,000 blocks, and gives the last block of each answer.
async fn read(providers: &Providers) -> Vec<u64> {
    let (mut from, mut ends) = (0, Vec::new());
    while from < 10_000 {
        let told = providers
            .logs(from, 9_999, &LogFilter::default())
            .await
            .expect("logs");
        ends.push(told.value.0);
        from = told.value.0 + 1;
    }
    ends
}

#[tokio::test]
async fn a_hint_is_obeyed_at_once_and_remembered() {
    let server = narrow(500, |from| {
        let to = from + 499;
        format!("query returned more than 10000 results. Try with this block range [{from:#x}, {to:#x}].")
    })
    .await;
    let providers = connect(&[&server]).await;
    let ends = read(&providers).await;
    assert_eq!(ends[..3], [499, 999, 1_499]);
    // One refusal at first, and one when a little more was tried after many answers.
    assert_eq!(asked(&server, "eth_getLogs"), ends.len() + 2);
    assert_eq!(providers.states()[0].range_blocks, 500);
}

#[tokio::test]
async fn without_a_hint_ranges_are_halved_and_grow_no_further_than_what_was_refused() {
    let server = narrow(300, |_| "block range is too large".to_owned()).await;
    let providers = connect(&[&server]).await;
    let ends = read(&providers).await;
    assert_eq!(ends[0], 249);
    let refused = asked(&server, "eth_getLogs") - ends.len();
    assert!(
        refused <= 4,
        "{refused} refusals for {} answers",
        ends.len()
    );
}

#[tokio::test]
async fn each_provider_has_its_own_width_and_a_refused_block_is_told() {
    let strict = narrow(0, |_| "query exceeds max results 20000".to_owned()).await;
    let alone = connect(&[&strict]).await;
    let error = alone
        .logs(5, 9, &LogFilter::default())
        .await
        .expect_err("not even one");
    assert!(
        error
            .to_string()
            .contains("refuses the logs of block 5 alone"),
        "{error}"
    );
    assert!(!error.kind().is_transient(), "{error}");

    let good = VIEW.serve().await;
    let both = connect(&[&strict, &good]).await;
    assert_eq!(read(&both).await.last(), Some(&9_999));
    let widths: Vec<u64> = both
        .states()
        .iter()
        .map(|state| state.range_blocks)
        .collect();
    assert!(widths[1] >= 1_000, "{widths:?}");
}

#[tokio::test]
async fn providers_may_have_limits_of_their_own() {
    let (one, other) = (VIEW.serve().await, VIEW.serve().await);
    let own = indexer::ProviderConfig {
        url: other.url.clone(),
        at_once: Some(1),
        calls_per_second: NonZeroU32::new(1_000),
    };
    let chain = ChainConfig {
        providers: vec![own],
        ..urls(&[&one])
    };
    let providers = Providers::connect(&config(), &chain)
        .await
        .expect("connected");
    let many = (0..40).map(|_| providers.ask(balance));
    assert!(
        futures::future::join_all(many)
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert!(other.connections.load(SeqCst) <= 1);
}
