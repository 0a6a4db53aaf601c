//! Checkpoints in a contract: said once they are settled, said again where a reorganisation took them,
//! sent once whatever dies in between, and a log that is no continuation of them goes no further.

use std::{
    fs,
    num::NonZeroU32,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use chain::{LogFilter, Rpc, Sender, SenderConfig, deploy};
use chrono::{TimeDelta, Utc};
use journal::{Change, LogKey, NewEntry, Sealer, publication, publication::State as Published};
use kernel::{Address, AgentId};
use publish::anchor::{Anchor, State, Terms, standing};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};
use store::{Cause, Clock, Db, Outcome};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};
use uuid::Uuid;

use crate::{
    instance::Place,
    kit::{anvil::Chain, equal, http, index::list, left::Left, until},
};

/// anvil's ninth well-known account.
const KEEPER: &str = "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97";

/// anvil's first one, who has nothing to do with anchors.
const PAYER: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

const PATIENCE: Duration = Duration::from_mins(1);

const HOLDER: Uuid = Uuid::from_u128(7);

fn terms() -> Terms {
    Terms {
        interval: TimeDelta::minutes(10),
        heartbeat: Some(TimeDelta::days(1)),
        daily_budget_gwei: None,
        settled_depth: Some(3),
        patience: TimeDelta::minutes(5),
    }
}

/// A journal in this database, whose entries the test says and seals.
struct Journal {
    db: Db,
    clock: Clock,
    sealer: Sealer,
}

impl Journal {
    fn on(pool: &PgPool) -> Self {
        let clock = Clock::manual(Clock::System.now());
        Self {
            db: Db::from_pool(pool.clone(), clock.clone()),
            clock,
            sealer: Sealer::new(LogKey::from_seed(&[7; 32]), Some("example.com/log")).unwrap(),
        }
    }

    /// Says and seals an entry for each of these agents; gives the last one's CID.
    async fn say(&self, names: &[&str]) -> String {
        let entries = names.iter().map(|name| {
            let change = Change {
                column: "name".to_owned(),
                value: (*name).into(),
                cause: "test".to_owned(),
                time: chrono::DateTime::<Utc>::UNIX_EPOCH,
            };
            NewEntry::agent(AgentId::of_did(&format!("did:test:{name}")), vec![change])
        });
        let mut tx = self.db.begin(Cause::Job("test")).await.unwrap();
        let said = journal::append(&mut tx, entries.collect()).await.unwrap();
        tx.commit().await.unwrap();
        while self.sealer.round(&self.db, HOLDER).await.unwrap() == Outcome::Busy {}
        said.last().unwrap().cid.clone()
    }

    fn anchor(&self, rpc: &Rpc, contract: Address, terms: Terms) -> Anchor {
        let vkey = self.sealer.vkey().to_string();
        Anchor::new(sender(rpc), contract, &vkey, terms)
    }

    async fn state(&self) -> State {
        standing(&self.db).await.unwrap().unwrap().state
    }

    async fn state_of(&self, cid: &str) -> Published {
        journal::read::get(&self.db, cid).await.unwrap().state
    }

    /// The newest size that is said to be anchored.
    async fn anchored(&self) -> Option<u64> {
        let latest = publication::latest(&self.db, Published::Anchored).await;
        latest.unwrap().map(|anchored| anchored.size)
    }

    /// The size in the only transaction that is on its way or done, of those that were written down.
    async fn written(&self) -> Vec<String> {
        let all = "SELECT size || ' ' || state FROM publish.anchors ORDER BY id";
        list(self.db.pool(), all).await
    }
}

fn sender(rpc: &Rpc) -> Sender {
    let config = SenderConfig {
        answer_within: Duration::from_secs(30),
        poll: Duration::from_millis(10),
        replace_after: NonZeroU32::MAX,
        most_replacements: 0,
        gas_margin: 20,
        most_fee: None,
    };
    Sender::new(rpc.clone(), KEEPER.parse().unwrap(), config)
}

/// Rounds until nothing can be done now; gives the last state.
async fn rounds(journal: &Journal, anchor: &Anchor) -> State {
    while anchor.round(&journal.db, HOLDER).await.unwrap() == Outcome::Busy {}
    journal.state().await
}

/// Rounds until the transaction is in a block: anvil serves receipts a moment after it counts.
async fn mined(journal: &Journal, anchor: &Anchor) {
    until("the anchor is mined", PATIENCE, || async {
        (rounds(journal, anchor).await == State::Mined).then_some(())
    })
    .await;
}

/// The sizes that the contract told of, in order.
async fn told(rpc: &Rpc, contract: Address) -> Vec<u64> {
    let filter = LogFilter {
        addresses: vec![contract],
        ..LogFilter::default()
    };
    let head = rpc.block(chain::At::Latest).await.unwrap().unwrap();
    let logs = rpc.logs(0..=head.number, &filter).await.unwrap();
    let size = |data: &[u8]| u64::from_be_bytes(data[24..32].try_into().unwrap());
    logs.iter().map(|log| size(&log.data)).collect()
}

async fn contract(chain: &Chain) -> Address {
    deploy::audit_anchor(&sender(&chain.rpc))
        .await
        .unwrap()
        .address
}

#[sqlx::test(migrations = "./migrations")]
async fn an_anchor_is_said_once_its_block_is_settled_and_the_next_waits(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    assert_eq!(rounds(&journal, &anchor).await, State::Empty);
    let first = journal.say(&["a", "b", "c"]).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.mine(2).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Mined);
    assert_eq!(journal.anchored().await, None);
    assert_eq!(journal.state_of(&first).await, Published::Sealed);
    chain.mine(1).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
    assert_eq!(journal.state_of(&first).await, Published::Anchored);

    // Two checkpoints share the next anchor.
    journal.say(&["d"]).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Waiting);
    let last = journal.say(&["e", "f"]).await;
    journal.clock.advance(TimeDelta::minutes(11));
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
    assert_eq!(journal.state_of(&last).await, Published::Anchored);
    assert_eq!(told(&chain.rpc, contract).await, [3, 6]);

    // A day later the same head again, once.
    journal.clock.advance(TimeDelta::days(2));
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
    assert_eq!(told(&chain.rpc, contract).await, [3, 6, 6]);
    let standing = standing(&journal.db).await.unwrap().unwrap();
    assert_eq!(standing.head.unwrap().size, 6);
    assert_eq!(standing.open, None);
}

#[sqlx::test(migrations = "./migrations")]
async fn an_anchor_that_a_reorganisation_took_is_sent_again(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    let entry = journal.say(&["a"]).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.mine(1).await;
    chain.reorg(2, &[]).await;
    assert_eq!(told(&chain.rpc, contract).await, Vec::<u64>::new());
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    assert_eq!(journal.anchored().await, None, "it was never said");
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
    assert_eq!(journal.state_of(&entry).await, Published::Anchored);
    assert_eq!(told(&chain.rpc, contract).await, [1]);
}

#[sqlx::test(migrations = "./migrations")]
async fn an_anchor_whose_nonce_another_transaction_took_is_begun_anew(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    journal.say(&["a"]).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.reorg(1, &[]).await;
    let other = chain::Call::new(chain.people[0], kernel::Bytes::new());
    sender(&chain.rpc).send(other).await.unwrap();
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    journal.clock.advance(TimeDelta::minutes(6));
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    assert_eq!(journal.written().await, ["1 lost", "1 open"]);
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
    assert_eq!(told(&chain.rpc, contract).await, [1]);
}

/// As the first of two nodes shows it that lags behind the other one.
#[sqlx::test(migrations = "./migrations")]
async fn an_anchor_is_not_lost_where_a_node_counts_fewer_transactions(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    let other = || chain::Call::new(chain.people[0], kernel::Bytes::new());
    journal.say(&["a"]).await;
    sender(&chain.rpc).send(other()).await.unwrap();
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.reorg(2, &[]).await;
    journal.clock.advance(TimeDelta::minutes(6));
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    assert_eq!(journal.written().await, ["1 open"]);
    sender(&chain.rpc).send(other()).await.unwrap();
    mined(&journal, &anchor).await;
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
    assert_eq!(journal.written().await, ["1 anchored"]);
    assert_eq!(told(&chain.rpc, contract).await, [1]);
}

#[sqlx::test(migrations = "./migrations")]
async fn an_anchor_is_begun_anew_where_the_chain_stays_without_what_came_before(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    let other = chain::Call::new(chain.people[0], kernel::Bytes::new());
    journal.say(&["a"]).await;
    sender(&chain.rpc).send(other).await.unwrap();
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.reorg(2, &[]).await;
    journal.clock.advance(TimeDelta::hours(1));
    mined(&journal, &anchor).await;
    assert_eq!(journal.written().await, ["1 lost", "1 open"]);
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
}

#[sqlx::test(migrations = "./migrations")]
async fn depth_counts_where_a_node_refuses_to_say_what_is_final(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let url = before(chain.url(), |request| {
        if !request.to_string().contains("\"finalized\"") {
            return Deed::PassOn;
        }
        let error = json!({ "code": -32602, "message": "invalid params: unknown block tag" });
        Deed::Say(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
    });
    let rpc = connect(&url.await).await;
    let terms = Terms {
        settled_depth: None,
        ..terms()
    };
    let anchor = journal.anchor(&rpc, contract, terms);
    journal.say(&["a"]).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.mine(63).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Mined);
    chain.mine(1).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_transaction_that_nobody_mines_is_replaced_by_one_that_pays_more(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    journal.say(&["a"]).await;
    let _: Value = chain.rpc.ask("evm_setAutomine", [false]).await.unwrap();
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    journal.clock.advance(TimeDelta::minutes(6));
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    let versions = "SELECT cardinality(hashes) FROM publish.anchors";
    assert_eq!(list(&pool, versions).await, ["2"]);
    chain.mine(4).await;
    until("it is anchored", PATIENCE, || async {
        (rounds(&journal, &anchor).await == State::Current).then_some(())
    })
    .await;
    assert_eq!(told(&chain.rpc, contract).await, [1]);
    let newest = list(&pool, "SELECT hashes[2] FROM publish.anchors").await;
    let said = publication::latest(&journal.db, Published::Anchored).await;
    assert_eq!(said.unwrap().unwrap().reference, newest[0]);
}

/// What is done with a request to a node.
enum Deed {
    PassOn,
    /// It is never answered; the node gets it or not.
    Hang {
        passes_on: bool,
    },
    /// It is answered in the node's place.
    Say(Value),
}

/// Something in front of a node that does what it is told to.
async fn before(node: &str, deed: impl Fn(&Value) -> Deed + Send + Sync + 'static) -> String {
    let node = http::address(node);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let deed = Arc::new(deed);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let deed = Arc::clone(&deed);
            tokio::spawn(async move {
                let mut request = Vec::new();
                let body = loop {
                    let text = String::from_utf8_lossy(&request).into_owned();
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let head = head.to_lowercase();
                        let length = head
                            .lines()
                            .find_map(|line| line.strip_prefix("content-length:"));
                        if body.len() >= length.unwrap().trim().parse().unwrap() {
                            break body.to_owned();
                        }
                    }
                    if client.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                };
                let pass_on = async || http::post(node, "", body.as_bytes()).await.unwrap();
                let answer = match deed(&serde_json::from_str(&body).unwrap()) {
                    Deed::PassOn => pass_on().await,
                    Deed::Say(answer) => answer.to_string().into_bytes(),
                    Deed::Hang { passes_on } => {
                        if passes_on {
                            pass_on().await;
                        }
                        std::future::pending().await
                    }
                };
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                let _ = client
                    .write_all(&[head.into_bytes(), answer].concat())
                    .await;
            });
        }
    });
    url
}

async fn connect(url: &str) -> Rpc {
    Rpc::connect(url.parse().unwrap(), chain::Limits::default())
        .await
        .unwrap()
}

/// A node behind which whoever sends a transaction dies: it never answers that, and tells when it was asked.
async fn deadly(node: &str, passes_on: bool) -> (String, Arc<Notify>) {
    let asked = Arc::new(Notify::new());
    let tell = Arc::clone(&asked);
    let url = before(node, move |request| {
        if !request.to_string().contains("eth_sendRawTransaction") {
            return Deed::PassOn;
        }
        tell.notify_one();
        Deed::Hang { passes_on }
    });
    (url.await, asked)
}

#[sqlx::test(migrations = "./migrations")]
async fn whoever_dies_while_sending_sends_no_second_anchor(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let mut sizes = Vec::new();
    for passes_on in [false, true] {
        sizes.push(sizes.len() as u64 + 1);
        journal
            .say(&[if passes_on { "after" } else { "before" }])
            .await;
        journal.clock.advance(TimeDelta::minutes(11));
        let (url, asked) = deadly(chain.url(), passes_on).await;
        let dying = journal.anchor(&connect(&url).await, contract, terms());
        tokio::select! {
            outcome = dying.round(&journal.db, HOLDER) => panic!("it should hang: {outcome:?}"),
            () = asked.notified() => {}
        }
        // What is left is what the next process has.
        let anchor = journal.anchor(&chain.rpc, contract, terms());
        mined(&journal, &anchor).await;
        chain.mine(3).await;
        assert_eq!(rounds(&journal, &anchor).await, State::Current);
        assert_eq!(told(&chain.rpc, contract).await, sizes, "{passes_on}");
        assert_eq!(journal.anchored().await, sizes.last().copied());
    }
    assert_eq!(journal.written().await, ["1 anchored", "2 anchored"]);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_spent_budget_is_told_and_goes_on_a_day_later(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    journal.say(&["a"]).await;
    let poor = Terms {
        daily_budget_gwei: Some(1),
        ..terms()
    };
    let anchor = journal.anchor(&chain.rpc, contract, poor);
    assert_eq!(rounds(&journal, &anchor).await, State::BudgetSpent);
    let why = standing(&journal.db).await.unwrap().unwrap().why.unwrap();
    assert!(
        why.contains("journal.anchor.daily_budget_gwei = 1;"),
        "{why}"
    );
    assert_eq!(journal.written().await, Vec::<String>::new());

    // What is on its way counts with the most that it may cost, then with what it did cost.
    let rich = journal.anchor(&chain.rpc, contract, terms());
    assert_eq!(rounds(&journal, &rich).await, State::Sent);
    let reserved = standing(&journal.db).await.unwrap().unwrap().spent_gwei;
    mined(&journal, &rich).await;
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &rich).await, State::Current);
    let spent = standing(&journal.db).await.unwrap().unwrap().spent_gwei;
    assert!(0 < spent && spent < reserved, "{spent} of {reserved}");

    // A dear day.
    let dear = "UPDATE publish.anchors SET cost_gwei = 1000000000";
    sqlx::query(dear).execute(&pool).await.unwrap();
    let as_much = Terms {
        daily_budget_gwei: Some(1_000_000_000),
        ..terms()
    };
    let anchor = journal.anchor(&chain.rpc, contract, as_much);
    journal.say(&["b"]).await;
    journal.clock.advance(TimeDelta::minutes(11));
    assert_eq!(rounds(&journal, &anchor).await, State::BudgetSpent);
    journal.clock.advance(TimeDelta::days(1));
    let state = rounds(&journal, &anchor).await;
    let why = standing(&journal.db).await.unwrap().unwrap().why;
    assert_eq!((state, why), (State::Sent, None));
}

/// Takes the journal back to an older dump of `size` entries, as a restored database is.
async fn restored(pool: &PgPool, size: i64) {
    let mut conn = pool.acquire().await.unwrap();
    for statement in [
        "SET session_replication_role = replica".to_owned(),
        format!("DELETE FROM journal.publications WHERE size > {size}"),
        format!("DELETE FROM journal.checkpoints WHERE size > {size}"),
        format!(
            "DELETE FROM journal.entries WHERE seq IN
                (SELECT entry_seq FROM journal.leaves WHERE leaf_index >= {size})"
        ),
        format!("DELETE FROM journal.leaves WHERE leaf_index >= {size}"),
        format!("DELETE FROM publish.anchors WHERE size > {size}"),
        "SET session_replication_role = DEFAULT".to_owned(),
    ] {
        let done = sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut *conn)
            .await;
        done.unwrap();
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn a_log_that_is_shorter_than_its_anchor_or_another_one_goes_no_further(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    journal.say(&["a", "b", "c"]).await;
    journal.say(&["d", "e"]).await;
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);

    restored(&pool, 3).await;
    let journal = Journal::on(&pool);
    let error = anchor.round(&journal.db, HOLDER).await.unwrap_err();
    assert!(error.is_refusal() && error.kind() == kernel::Kind::Conflict);
    let text = error.to_string();
    for part in [
        "5 entries",
        "only 3",
        "Restore the newest database",
        "journal.key_file",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(journal.state().await, State::Refused);

    // It went on from there, and is as long again.
    journal.say(&["x", "y", "z"]).await;
    let error = anchor.check(&journal.db).await.unwrap_err();
    assert!(error.is_refusal());
    assert!(
        error
            .to_string()
            .contains("another root of the first 5 entries"),
        "{error}"
    );
    assert_eq!(told(&chain.rpc, contract).await, [5]);
}

/// A node that hangs up until it is opened. It has threads of its own: tests stand still while they wait for processes.
struct Gate {
    url: String,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn before(node: &str) -> Self {
        let node = http::address(node);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Relaxed) {
                    continue;
                }
                let node = std::net::TcpStream::connect(node).unwrap();
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), node.try_clone().unwrap()),
                    (node, client),
                ] {
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        Self { url, open }
    }
}

/// The database and the data directory were restored together, so only the anchor knows that there was more; and its
/// node does not answer at start.
#[sqlx::test(migrations = "./migrations")]
async fn nothing_is_sealed_until_the_anchor_was_read(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let gate = Gate::before(&chain.rpc.place());
    let place = Place::new("data");
    fs::create_dir_all(place.dir()).unwrap();
    let key = LogKey::load_or_create(&place.dir().join("journal.key")).unwrap();
    let journal = Journal {
        sealer: Sealer::new(key, None).unwrap(),
        ..Journal::on(&pool)
    };
    journal.say(&["a"]).await;
    journal.say(&["b"]).await;
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;

    let keeper = place.dir().join("keeper");
    fs::write(&keeper, format!("0x{KEEPER}")).unwrap();
    fs::set_permissions(&keeper, fs::Permissions::from_mode(0o600)).unwrap();
    let config = place.dir().with_file_name("chancery.toml");
    let text = format!(
        "[database]\nurl = \"{}\"\n[journal.anchor]\nrpc = \"{}\"\ncontract = \"{contract}\"\n\
         key_file = \"keeper\"\n",
        pool.connect_options().to_url_lossy(),
        gate.url
    );
    fs::write(&config, text).unwrap();
    let heads = || list(&pool, "SELECT size FROM journal.checkpoints ORDER BY size");
    for (restored_to, ends) in [(None, false), (Some(1), true)] {
        gate.open.store(false, Relaxed);
        if let Some(size) = restored_to {
            restored(&pool, size).await;
            let _ = fs::remove_file(place.dir().join("journal.checkpoint"));
            let _ = fs::remove_dir_all(place.dir().join("blocks"));
        }
        let before = heads().await;
        let log = fs::read_to_string(place.dir().with_file_name("stderr")).unwrap_or_default();
        let served = place.serve_as("api,work", &["--config", config.to_str().unwrap()]);
        let name = if ends { "late" } else { "early" };
        let insert = format!(
            "INSERT INTO identity.agents (did, name) VALUES ('did:vexel:{name}', '{name}')"
        );
        sqlx::query(sqlx::AssertSqlSafe(insert))
            .execute(&pool)
            .await
            .unwrap();
        let queued = "SELECT FROM journal.entries e WHERE NOT EXISTS
                          (SELECT FROM journal.leaves WHERE entry_seq = e.seq)";
        // It had time to seal: the node was asked again after a pause.
        until("it waits", PATIENCE, || async {
            let waits = list(&pool, &format!("SELECT count(*) FROM ({queued}) AS q")).await;
            let asked = served.log()[log.len()..]
                .matches("anchoring failed")
                .count();
            (waits != ["0"] && asked >= 2).then_some(())
        })
        .await;
        assert_eq!(heads().await, before);
        let json = |path: &str| serde_json::from_str::<Value>(&served.get(path).1).unwrap();
        let anchoring = json("/audit/anchor");
        assert_eq!(anchoring["state"], "failing", "not what was said before");
        assert_eq!(anchoring["why"], json("/readyz")["unsealed"]);
        assert!(
            anchoring["why"]
                .as_str()
                .unwrap()
                .contains("nothing is sealed")
        );
        assert!(
            served
                .get("/metrics")
                .1
                .contains("chancery_anchor_unread 1")
        );
        gate.open.store(true, Relaxed);
        if ends {
            let log = served.log();
            assert_eq!(served.end().code(), Some(5), "{log}");
            assert_eq!(heads().await, before, "nothing was signed");
        } else {
            until("it is sealed", PATIENCE, || async {
                (heads().await.len() > before.len()).then_some(())
            })
            .await;
            assert!(json("/readyz")["unsealed"].is_null());
            assert!(
                served
                    .get("/metrics")
                    .1
                    .contains("chancery_anchor_unread 0")
            );
            assert!(served.stop(nix::sys::signal::Signal::SIGTERM).success());
        }
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn an_anchor_that_the_database_does_not_know_any_more_is_made_again(pool: PgPool) {
    let chain = Chain::start().await;
    let contract = contract(&chain).await;
    let journal = Journal::on(&pool);
    let entry = journal.say(&["a"]).await;
    let anchor = journal.anchor(&chain.rpc, contract, terms());
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    sqlx::query("DELETE FROM publish.anchors")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(rounds(&journal, &anchor).await, State::Sent);
    mined(&journal, &anchor).await;
    chain.mine(3).await;
    assert_eq!(rounds(&journal, &anchor).await, State::Current);
    assert_eq!(journal.state_of(&entry).await, Published::Anchored);
    assert_eq!(told(&chain.rpc, contract).await, [1, 1]);
}

#[tokio::test]
async fn up_anchors_on_its_dev_chain_survives_kills_and_refuses_an_older_database() {
    let place = Place::that_anchors("data");
    let left = Left::on(place.dir());
    let up = place.up();
    let db = equal::of_instance(place.dir()).await;
    let act = "INSERT INTO agents (did, name) VALUES ('did:vexel:one', 'One')";
    place.sql(act).unwrap();
    // Killed in the moment in which a transaction is on its way, or was.
    until("an anchor is written down", PATIENCE, || async {
        let some = list(db.pool(), "SELECT 1 FROM publish.anchors LIMIT 1").await;
        (!some.is_empty()).then_some(())
    })
    .await;
    db.close().await;
    up.stop(nix::sys::signal::Signal::SIGKILL);

    let up = place.up();
    let db = equal::of_instance(place.dir()).await;
    let anchored = |least: u64| {
        let db = &db;
        async move {
            let said = publication::latest(db, Published::Anchored).await.ok()??;
            (said.size >= least).then_some(said.size)
        }
    };
    let size = until("it is anchored", PATIENCE, || anchored(1)).await;
    let older: i64 = size.try_into().unwrap();
    place
        .sql("INSERT INTO agents (did, name) VALUES ('did:vexel:two', 'Two')")
        .unwrap();
    until("it is anchored again", PATIENCE, || anchored(size + 1)).await;

    let standing = standing(&db).await.unwrap().unwrap();
    let rpc = up.ready["rpc"].as_str().unwrap();
    let node = Rpc::connect(rpc.parse().unwrap(), chain::Limits::default())
        .await
        .unwrap();
    let done = "SELECT size FROM publish.anchors WHERE state = 'anchored' ORDER BY id";
    let told: Vec<String> = told(&node, standing.contract)
        .await
        .iter()
        .map(u64::to_string)
        .collect();
    assert_eq!(told, list(db.pool(), done).await, "each was sent once");

    let (status, body) = up.get("/audit/anchor");
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &shown["state"]),
        (200, &"current".into()),
        "{body}"
    );
    let output = place.run(&["audit", "anchor", "--rpc", rpc, "-o", "json"]);
    let verified: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verified["verified"], true, "{verified}");
    let log = format!("{}/audit", up.ready["url"].as_str().unwrap());
    let named = |name: &str| verified[name].as_str().unwrap().to_owned();
    let verify = |keeper: &str| {
        let args = [
            "audit", "verify", &log, "--rpc", rpc, "-o", "json", "--keeper", keeper,
        ];
        place.run(&[&args[..], &["--contract", &named("contract")]].concat())
    };
    let output = verify(&named("keeper"));
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(whole["anchored"]["size"], verified["anchored"]["size"]);
    assert_eq!(
        verify(&named("contract")).status.code(),
        Some(3),
        "another keeper"
    );
    let output = place.run(&["audit", "anchor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("current") && text.contains(&standing.contract.to_string()),
        "{text}"
    );
    let (_, metrics) = up.get("/metrics");
    assert!(
        metrics.contains("chancery_anchor_state{state=\"current\"} 1"),
        "{metrics}"
    );

    db.close().await;
    assert!(up.stop(nix::sys::signal::Signal::SIGTERM).success());
    place.sql(&older_dump(older)).unwrap();
    let output = place.run(&["up", "--listen", "127.0.0.1:0"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(
        text.contains("it was restored from an older dump"),
        "{text}"
    );
    assert_eq!(place.processes(), Vec::<String>::new());
    drop(left);
}

/// Somebody anchored another log under our log's name, by the same account.
#[sqlx::test(migrations = "./migrations")]
async fn an_anchor_with_another_root_names_the_fork(pool: PgPool) {
    let chain = Chain::start().await;
    let place = Place::new("data");
    fs::create_dir_all(place.dir()).unwrap();
    let key = LogKey::load_or_create(&place.dir().join("journal.key")).unwrap();
    let journal = Journal {
        sealer: Sealer::new(key, None).unwrap(),
        ..Journal::on(&pool)
    };
    journal.say(&["a", "b", "c"]).await;
    let config = place.dir().with_file_name("chancery.toml");
    let url = pool.connect_options().to_url_lossy();
    fs::write(&config, format!("[database]\nurl = \"{url}\"\n")).unwrap();
    let served = place.serve(&["--config", config.to_str().unwrap()]);
    let (url, node) = (served.ready["url"].as_str().unwrap(), chain.rpc.place());
    let log = format!("{url}/audit");
    let sender = sender(&chain.rpc);
    let keeper = sender.address().to_string();
    let vkey = journal.sealer.vkey().to_string();
    let id = publish::anchor::journal_id(&vkey);
    let root = |size| journal::log::root(&journal.db, size);
    for (size, root, code, whys) in [
        // What is right, then a root and a size that are not this log's.
        (2, root(2).await.unwrap().into(), 0, ["", ""]),
        (
            2,
            [7; 32].into(),
            6,
            ["holds the root 0707", "does not begin with the 2"],
        ),
        (
            9,
            [7; 32].into(),
            6,
            [
                "holds 9 entries, and this log has only 3",
                "holds 9 entries",
            ],
        ),
    ] {
        let other = deploy::audit_anchor(&sender).await.unwrap().address;
        let data = chain::anchor::anchor(id, size, root, Vec::new());
        let receipt = sender.send(chain::Call::new(other, data)).await.unwrap();
        assert!(receipt.success);
        let other = other.to_string();
        let at = ["--rpc", &node, "--contract", &other, "--keeper", &keeper];
        let verbs = [&["verify", &log, "--vkey", vkey.trim()][..], &["anchor"]];
        for (verb, why) in verbs.into_iter().zip(whys) {
            let output = place.run(&[&["--url", url, "audit"], verb, &at[..]].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{verb:?}: {said}");
            assert!(said.contains(why), "{verb:?}: {said}");
        }
    }
    assert!(served.stop(nix::sys::signal::Signal::SIGTERM).success());
}

#[test]
fn whoever_pays_deploys_the_contract() {
    let place = Place::new("data");
    let up = place.up();
    let rpc = up.ready["rpc"].as_str().unwrap();
    let key = place.dir().join("payer");
    fs::write(&key, PAYER).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let deploy = [
        "audit",
        "deploy",
        "--rpc",
        rpc,
        "--key",
        key.to_str().unwrap(),
    ];
    let blocks = || up.rpc("eth_blockNumber", &serde_json::json!([]));
    let before = blocks();
    let output = place.run(&[&deploy[..], &["--dry-run"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("of the chain's coin at most"), "{text}");
    assert_eq!(blocks(), before, "a dry run sends nothing");

    let output = place.run(&[&deploy[..], &["-o", "json"]].concat());
    let deployed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let contract = deployed["contract"].as_str().unwrap();
    let keeper = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let look = [
        "audit",
        "anchor",
        "--rpc",
        rpc,
        "--keeper",
        keeper,
        "--contract",
    ];
    let output = place.run(&[&look[..], &[contract]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("holds no head of this journal"), "{said}");
    let output = place.run(&[&look[..], &[keeper]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no AuditAnchor at"), "{said}");
}

/// What the owner of the schema does to take the journal back to `size` entries.
fn older_dump(size: i64) -> String {
    let tables = ["publications", "checkpoints", "entries", "leaves"];
    let triggers = |word: &str| {
        let all =
            tables.map(|table| format!("ALTER TABLE journal.{table} {word} TRIGGER insert_only;"));
        all.concat()
    };
    format!(
        "{} DELETE FROM journal.publications WHERE size > {size};
         DELETE FROM journal.checkpoints WHERE size > {size};
         DELETE FROM journal.entries WHERE seq IN
             (SELECT entry_seq FROM journal.leaves WHERE leaf_index >= {size});
         DELETE FROM journal.leaves WHERE leaf_index >= {size}; {}",
        triggers("DISABLE"),
        triggers("ENABLE")
    )
}
