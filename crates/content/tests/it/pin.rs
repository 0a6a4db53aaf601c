//! Pins against a Kubo that can be down, deaf or forgetful.

use std::{
    collections::HashSet,
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, TimeDelta};
use content::{Config, Content, Layout, build, car, pin};
use kernel::{Cid, Limit};
use net::Fetcher;
use sqlx::PgPool;
use store::{Cause, Clock, Db, Outcome};
use tempfile::TempDir;

use crate::server::{Request, Server, answer};

/// A Kubo that keeps what it is given.
#[derive(Default)]
struct Fake {
    pins: Mutex<HashSet<Cid>>,
    /// Answers nothing but errors.
    down: AtomicBool,
    /// Says in a 200 answer that roots could not be pinned.
    refuses: AtomicBool,
    /// Bytes of the largest request.
    largest: AtomicUsize,
}

impl Fake {
    fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let fail = |message: &str| {
            let text = format!(r#"{{"Message":"{message}","Code":0,"Type":"error"}}"#);
            answer(500, "", text.as_bytes())
        };
        if self.down.load(Ordering::SeqCst) {
            return fail("shutting down");
        }
        let (command, query) = request.target.split_once('?').expect("a timeout");
        assert!(query.starts_with("timeout="), "{query}");
        let arg = || {
            query
                .split("arg=")
                .nth(1)?
                .split('&')
                .next()?
                .parse::<Cid>()
                .ok()
        };
        self.largest.fetch_max(request.body.len(), Ordering::SeqCst);
        let mut pins = self.pins.lock().expect("no panic");
        match command.trim_start_matches("/api/v0/") {
            "version" => answer(200, "", br#"{"Version":"0.42.0"}"#),
            "dag/import" if query.contains("pin-roots=false") => {
                roots(&request.body);
                answer(200, "", b"")
            }
            "dag/import" => {
                let mut lines = String::new();
                for root in roots(&request.body) {
                    let error = if self.refuses.load(Ordering::SeqCst) {
                        "not complete"
                    } else {
                        ""
                    };
                    if error.is_empty() {
                        pins.insert(root);
                    }
                    writeln!(
                        lines,
                        "{{\"Root\":{{\"Cid\":{{\"/\":\"{root}\"}},\"PinErrorMsg\":\"{error}\"}}}}"
                    )
                    .expect("to memory");
                }
                answer(200, "", lines.as_bytes())
            }
            "pin/ls" => match arg().filter(|cid| pins.contains(cid)) {
                Some(cid) => {
                    let text = format!(r#"{{"Keys":{{"{cid}":{{"Type":"recursive"}}}}}}"#);
                    answer(200, "", text.as_bytes())
                }
                None => fail("path 'x' is not pinned"),
            },
            "pin/add" => fail("context deadline exceeded"),
            other => panic!("{other}"),
        }
    }
}

/// The roots of the CAR in a multipart body; every block of it is verified.
fn roots(body: &[u8]) -> Vec<Cid> {
    let start = body
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a part")
        + 4;
    let end = body
        .windows(4)
        .rposition(|window| window == b"\r\n--")
        .expect("a boundary");
    let mut reader = car::Reader::new(&body[start..end], "the client").expect("a CAR");
    assert!(reader.all(|block| block.is_ok()));
    reader.roots().to_vec()
}

struct Test {
    db: Db,
    clock: Clock,
    content: Content,
    fake: Arc<Fake>,
    server: Server,
    dir: TempDir,
}

async fn test(pool: PgPool) -> Test {
    let fake = Arc::new(Fake::default());
    let shared = Arc::clone(&fake);
    let server = Server::start(move |request| shared.answer(request)).await;
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config {
        kubo_url: Some(server.url.clone()),
        ..Config::default()
    };
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    let db = Db::from_pool(pool, clock.clone());
    Test {
        db,
        clock,
        content: open(&config, &dir),
        fake,
        server,
        dir,
    }
}

fn open(config: &Config, dir: &TempDir) -> Content {
    let fetcher = Fetcher::new(&net::Config::default()).expect("valid");
    Content::open(config, dir.path(), fetcher).expect("opens").0
}

impl Test {
    async fn want(&self, cids: &[Cid]) {
        let mut tx = self.db.begin(Cause::Job("test")).await.expect("begins");
        pin::want(&mut tx, &self.content, cids)
            .await
            .expect("wanted");
        tx.commit().await.expect("commits");
    }

    async fn state(&self, cid: &Cid) -> Vec<(String, String)> {
        let pins = pin::find(&self.db, cid).await.expect("found");
        pins.into_iter().map(|pin| (pin.store, pin.state)).collect()
    }

    async fn pin_due(&self) -> Outcome {
        let (db, content) = (self.db.clone(), self.content.clone());
        let round = tokio::spawn(async move { pin::pin_due(&db, &content, 100).await });
        round.await.expect("no panic").expect("a round")
    }
}

fn at(store: &str, state: &str) -> (String, String) {
    (store.to_owned(), state.to_owned())
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_wanted_is_pinned_once_and_confirmed(pool: PgPool) {
    let test = test(pool).await;
    let large = build(&vec![7; 3 << 20], Layout::OURS);
    test.content
        .blocks()
        .put_many(&large.blocks)
        .await
        .expect("stored");
    let small = test.content.add(b"small").await.expect("stored");
    test.want(&[small, large.root, small]).await;
    for cid in [&small, &large.root] {
        assert_eq!(
            test.state(cid).await,
            [at("kubo", "queued"), at("local", "stored")]
        );
    }
    assert_eq!(test.pin_due().await, Outcome::Idle);
    for cid in [&small, &large.root] {
        assert_eq!(
            test.state(cid).await,
            [at("kubo", "pinned"), at("local", "stored")]
        );
    }
    assert_eq!(test.server.count("dag/import"), 1, "both in one CAR");
    test.want(&[small]).await;
    let asked = test.server.count("");
    assert_eq!(test.pin_due().await, Outcome::Idle);
    assert_eq!(test.server.count(""), asked, "nothing is due");
    let page = pin::list(&test.db, None, Limit::new(3).expect("a limit"))
        .await
        .expect("a page");
    assert_eq!(page.items.len(), 3);
    let rest = pin::list(&test.db, page.next_cursor.as_deref(), Limit::default()).await;
    assert_eq!(rest.expect("a page").items.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn nothing_is_lost_while_kubo_is_down(pool: PgPool) {
    let test = test(pool).await;
    let cid = test.content.add(b"x").await.expect("stored");
    test.want(&[cid]).await;
    test.fake.down.store(true, Ordering::SeqCst);
    for attempt in 1..4 {
        test.pin_due().await;
        let pins = pin::find(&test.db, &cid).await.expect("found");
        assert_eq!(
            (pins[0].state.as_str(), pins[0].attempts),
            ("failed", attempt)
        );
        assert!(
            pins[0]
                .last_error
                .as_ref()
                .is_some_and(|error| error.contains("shutting down"))
        );
        let asked = test.server.count("");
        test.pin_due().await;
        assert_eq!(test.server.count(""), asked, "it is not due again at once");
        test.clock.advance(TimeDelta::hours(1));
    }
    test.fake.down.store(false, Ordering::SeqCst);
    test.pin_due().await;
    assert_eq!(
        test.state(&cid).await,
        [at("kubo", "pinned"), at("local", "stored")]
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_refusal_inside_a_200_answer_is_a_failure(pool: PgPool) {
    let test = test(pool).await;
    let cid = test.content.add(b"x").await.expect("stored");
    test.want(&[cid]).await;
    test.fake.refuses.store(true, Ordering::SeqCst);
    test.pin_due().await;
    assert_eq!(test.state(&cid).await[0], at("kubo", "failed"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_dag_that_is_not_complete_here_is_left_to_kubo_and_its_failure_is_told(pool: PgPool) {
    let test = test(pool).await;
    let large = build(&vec![7; 3 << 20], Layout::OURS);
    let root = large.blocks.last().expect("a root").clone();
    test.content
        .blocks()
        .put_many(&[root])
        .await
        .expect("stored");
    let never = kernel::cid_of_raw(b"never stored");
    test.want(&[large.root, never]).await;
    test.pin_due().await;
    assert_eq!(
        test.state(&never).await,
        [at("kubo", "queued"), at("local", "lost")],
        "another process may have it"
    );
    test.clock.advance(TimeDelta::minutes(11));
    test.pin_due().await;
    assert_eq!(
        test.state(&large.root).await,
        [at("kubo", "failed"), at("local", "stored")]
    );
    assert_eq!(
        test.state(&never).await,
        [at("kubo", "failed"), at("local", "lost")]
    );
    assert_eq!(test.server.count("pin/add"), 3);
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_has_the_blocks_pins_them_and_others_leave_it_to_him(pool: PgPool) {
    let mut test = test(pool).await;
    let cid = test.content.add(b"x").await.expect("stored");
    test.want(&[cid]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config {
        kubo_url: Some(test.server.url.clone()),
        ..Config::default()
    };
    let owner = std::mem::replace(&mut test.content, open(&config, &dir));
    let asked = test.server.count("");
    assert_eq!(test.pin_due().await, Outcome::Idle);
    assert_eq!(test.server.count(""), asked);
    // The owner is gone for days: Kubo is asked again and again, and never so seldom that he would wait for long.
    for attempt in 1..20 {
        test.clock.advance(TimeDelta::minutes(25));
        test.pin_due().await;
        let pins = pin::find(&test.db, &cid).await.expect("found");
        assert_eq!(pins[0].attempts, attempt);
    }
    test.clock.advance(TimeDelta::minutes(15));
    drop(std::mem::replace(&mut test.content, owner));
    test.pin_due().await;
    assert_eq!(test.state(&cid).await[0], at("kubo", "pinned"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_what_nobody_has_one_is_tried_at_a_time(pool: PgPool) {
    let test = test(pool).await;
    let nowhere = [b"a", b"b", b"c"].map(|bytes| kernel::cid_of_raw(bytes));
    test.want(&nowhere).await;
    test.clock.advance(TimeDelta::minutes(11));
    let cid = test.content.add(b"here").await.expect("stored");
    test.want(&[cid]).await;
    test.pin_due().await;
    assert_eq!(test.state(&cid).await[0], at("kubo", "pinned"));
    assert_eq!(test.server.count("pin/add"), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_here_is_pinned_though_very_many_are_longer_due_that_nobody_has(pool: PgPool) {
    let test = test(pool).await;
    let nowhere: Vec<Cid> = (0..5_000_u32)
        .map(|number| kernel::cid_of_raw(&number.to_be_bytes()))
        .collect();
    test.want(&nowhere).await;
    test.clock.advance(TimeDelta::minutes(1));
    let cid = test.content.add(b"here").await.expect("stored");
    test.want(&[cid]).await;
    test.pin_due().await;
    assert_eq!(test.state(&cid).await[0], at("kubo", "pinned"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_larger_than_a_car_goes_in_several(pool: PgPool) {
    let test = test(pool).await;
    let bytes: Vec<u8> = (0..20_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let small = test.content.add(b"small").await.expect("stored");
    let large = test.content.add(&bytes).await.expect("stored");
    test.want(&[small, large]).await;
    test.pin_due().await;
    for cid in [&small, &large] {
        assert_eq!(test.state(cid).await[0], at("kubo", "pinned"));
    }
    assert!(test.server.count("pin-roots=false") >= 1);
    let largest = test.fake.largest.load(Ordering::SeqCst);
    assert!(largest < 11 << 20, "{largest}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn without_kubo_the_blockstore_is_all(pool: PgPool) {
    let mut test = test(pool).await;
    let dir = tempfile::tempdir().expect("a directory");
    test.content = open(&Config::default(), &dir);
    let cid = test.content.add(b"x").await.expect("stored");
    test.want(&[cid]).await;
    assert_eq!(test.state(&cid).await, [at("local", "stored")]);
    assert_eq!(test.pin_due().await, Outcome::Idle);
    let jobs = sqlx::query_scalar!("SELECT count(*) FROM store.jobs").fetch_one(test.db.pool());
    assert_eq!(jobs.await.expect("counted"), Some(0));
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_kept_before_there_was_a_kubo_is_pinned_when_one_comes(pool: PgPool) {
    let mut test = test(pool).await;
    let dir = tempfile::tempdir().expect("a directory");
    let with_kubo = std::mem::replace(&mut test.content, open(&Config::default(), &dir));
    let cid = with_kubo.add(b"x").await.expect("stored");
    test.content.add(b"x").await.expect("stored");
    test.want(&[cid]).await;
    let outcome = pin::catch_up(&test.db, &test.content, 1)
        .await
        .expect("a round");
    assert_eq!(
        (outcome, test.state(&cid).await),
        (Outcome::Idle, vec![at("local", "stored")])
    );
    test.content = with_kubo;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        outcomes.push(
            pin::catch_up(&test.db, &test.content, 1)
                .await
                .expect("a round"),
        );
    }
    assert_eq!(outcomes, [Outcome::Busy, Outcome::Idle]);
    test.pin_due().await;
    assert_eq!(
        test.state(&cid).await,
        [at("kubo", "pinned"), at("local", "stored")]
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_pin_that_kubo_lost_is_noticed_and_made_again(pool: PgPool) {
    let test = test(pool).await;
    let cid = test.content.add(b"x").await.expect("stored");
    test.want(&[cid]).await;
    test.pin_due().await;
    test.fake.pins.lock().expect("no panic").clear();
    test.clock.advance(TimeDelta::days(1));
    let before = test.clock.now() - TimeDelta::hours(12);
    let outcome = pin::recheck(&test.db, &test.content, before, 10)
        .await
        .expect("a round");
    assert_eq!(outcome, Outcome::Idle);
    assert_eq!(
        test.state(&cid).await,
        [at("kubo", "lost"), at("local", "stored")]
    );
    test.pin_due().await;
    assert_eq!(test.state(&cid).await[0], at("kubo", "pinned"));
    let asked = test.server.count("");
    pin::recheck(&test.db, &test.content, before, 10)
        .await
        .expect("a round");
    assert_eq!(test.server.count(""), asked, "confirmed a moment ago");
}

#[sqlx::test(migrations = "../../migrations")]
async fn our_own_copy_is_read_again_and_its_loss_is_told(pool: PgPool) {
    let mut test = test(pool).await;
    let dir = tempfile::tempdir().expect("a directory");
    test.content = open(&Config::default(), &dir);
    drop(std::mem::replace(&mut test.dir, dir));
    let block = b"a block of some length";
    let cid = test.content.add(block).await.expect("stored");
    test.want(&[cid]).await;
    test.clock.advance(TimeDelta::days(1));
    let pack = test.dir.path().join("blocks/blocks-000001.pack");
    let mut bytes = std::fs::read(&pack).expect("a pack");
    let mut windows = bytes.windows(block.len());
    let start = windows.position(|part| part == block).expect("its bytes");
    bytes[start + 9] ^= 1;
    std::fs::write(&pack, bytes).expect("writable");
    pin::recheck(&test.db, &test.content, test.clock.now(), 10)
        .await
        .expect("a round");
    assert_eq!(test.state(&cid).await, [at("local", "lost")]);
    test.content.add(block).await.expect("stored again");
    test.want(&[cid]).await;
    assert_eq!(test.state(&cid).await, [at("local", "stored")]);
}
