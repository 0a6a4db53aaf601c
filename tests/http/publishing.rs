//! Several processes on one database, each with a blockstore of its own: one publishes at a time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ::journal::{
    Change, NewEntry,
    publication::{self, State},
};
use axum::http::{StatusCode, Uri};
use chancery::{
    config::Flag,
    serve::{self, Role},
};
use chrono::{DateTime, TimeDelta};
use content::Content;
use kernel::{AgentId, Cid, Kind, from_dag_cbor};
use publish::{
    Manifest,
    layout::{self, Builder, Layout},
};
use serde_json::json;
use sqlx::PgPool;
use store::{Cause, Clock, Db, Outcome, lease};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::kit::Instance;

/// One process of the role `work`.
struct Process {
    instance: Arc<Instance>,
    db: Db,
    content: Content,
    builder: Builder,
    id: Uuid,
    _dir: tempfile::TempDir,
}

impl Process {
    fn new(instance: &Arc<Instance>, pool: &PgPool, clock: &Clock, number: u128) -> Arc<Self> {
        Self::with(instance, pool, clock, number, Vec::new())
    }

    fn with(
        instance: &Arc<Instance>,
        pool: &PgPool,
        clock: &Clock,
        number: u128,
        gateways: Vec<String>,
    ) -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        let config = content::Config {
            gateways,
            ..content::Config::default()
        };
        let fetcher = net::Fetcher::new(&instance.app.config.net).unwrap();
        let (content, _) = Content::open(&config, dir.path(), fetcher).unwrap();
        Arc::new(Self {
            instance: Arc::clone(instance),
            db: Db::from_pool(pool.clone(), clock.clone()),
            content,
            builder: Builder::default(),
            id: Uuid::from_u128(number),
            _dir: dir,
        })
    }

    async fn mirror(&self) -> publish::Result<Outcome> {
        publish::mirror(&self.db, &self.content, self.id).await
    }

    async fn grow(&self) -> publish::Result<Outcome> {
        let key = &self.instance.app.name_key;
        self.builder
            .round(&self.db, &self.content, key, self.id)
            .await
    }

    /// Publishes all there is; how many rounds had something to do.
    async fn publish(&self) -> usize {
        let mut rounds = 0;
        while self.mirror().await.unwrap() == Outcome::Busy {
            rounds += 1;
        }
        while self.grow().await.unwrap() == Outcome::Busy {
            rounds += 1;
        }
        rounds
    }

    async fn layout(&self) -> Layout {
        layout::find(&self.db).await.unwrap().unwrap()
    }

    /// Whether our own blocks lead from the layout to this agent's registration.
    async fn has(&self, number: u32) -> bool {
        let id = AgentId::of_did(&format!("did:x:{number}")).to_string();
        let path = ["dukenet", "agents", &id, "registration"].map(str::to_owned);
        let root = self.layout().await.root;
        self.content.local(&root, &path).await.is_ok()
    }
}

/// Appends and seals the first entries of these agents.
async fn say(instance: &Instance, agents: std::ops::Range<u32>) {
    let entries = agents.map(|number| {
        let change = Change {
            column: "name".to_owned(),
            value: number.to_string().into(),
            cause: format!("act:{number}"),
            time: DateTime::UNIX_EPOCH,
        };
        NewEntry::agent(AgentId::of_did(&format!("did:x:{number}")), vec![change])
    });
    let mut tx = instance.app.db.begin(Cause::Job("test")).await.unwrap();
    ::journal::append(&mut tx, entries.collect()).await.unwrap();
    tx.commit().await.unwrap();
    instance.seal().await;
}

fn clock() -> Clock {
    Clock::manual(Clock::System.now())
}

/// Waits until somebody waits for a lock in this database.
async fn until_blocked(pool: &PgPool) {
    let blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(blocked)
        .fetch_one(pool)
        .await
        .unwrap()
    {
        tokio::task::yield_now().await;
    }
}

#[sqlx::test]
async fn of_two_processes_one_publishes_until_it_is_gone(pool: PgPool) {
    let instance = Arc::new(Instance::new(&pool).await);
    let clock = clock();
    let one = Process::new(&instance, &pool, &clock, 1);
    let two = Process::new(&instance, &pool, &clock, 2);
    say(&instance, 0..3).await;
    assert!(one.publish().await > 0);
    say(&instance, 3..300).await;
    assert_eq!(two.publish().await, 0);
    assert_eq!(two.content.blocks().len(), 0);
    assert!(one.publish().await > 0);
    let before = one.layout().await;

    say(&instance, 300..310).await;
    clock.advance(TimeDelta::minutes(2));
    assert!(two.publish().await > 0);
    say(&instance, 310..311).await;
    assert_eq!(
        one.publish().await,
        0,
        "it comes back and finds another one"
    );
    assert!(two.publish().await > 0);
    assert!(two.layout().await.size > before.size);
    for number in [0, 299, 300, 310] {
        assert!(two.has(number).await, "{number}");
    }

    // Each manifest goes on where the one before it ends, whoever has it.
    let (mut end, mut prev) = (0, None);
    for stored in publication::after(&one.db, State::Stored, 0, 100)
        .await
        .unwrap()
    {
        let cid: Cid = stored.reference.parse().unwrap();
        let here = one.content.blocks().get(&cid).await.unwrap();
        let bytes = match here {
            Some(bytes) => bytes,
            None => two.content.blocks().get(&cid).await.unwrap().unwrap(),
        };
        let manifest: Manifest = from_dag_cbor(&bytes).unwrap();
        assert_eq!((manifest.from, &manifest.prev), (end, &prev));
        assert_eq!(manifest.entries.len() as u64, manifest.size - manifest.from);
        (end, prev) = (manifest.size, Some(stored.reference));
    }
    assert_eq!(end, 311);
}

/// Each in turn is held up in the middle of a round, until the other one has taken over.
#[sqlx::test]
async fn a_process_that_was_displaced_writes_nothing(pool: PgPool) {
    let instance = Arc::new(Instance::new(&pool).await);
    let clock = clock();
    let one = Process::new(&instance, &pool, &clock, 1);
    let two = Process::new(&instance, &pool, &clock, 2);
    say(&instance, 0..3).await;

    let mut held = pool.begin().await.unwrap();
    let lock = "LOCK TABLE journal.publications IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *held).await.unwrap();
    let late = tokio::spawn({
        let one = Arc::clone(&one);
        async move { one.mirror().await }
    });
    until_blocked(&pool).await;
    clock.advance(TimeDelta::minutes(2));
    assert_eq!(two.grow().await.unwrap(), Outcome::Idle);
    assert!(two.has(2).await);
    held.rollback().await.unwrap();
    let error = late.await.unwrap().expect_err("it was displaced");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    let stored = publication::latest(&one.db, State::Stored).await.unwrap();
    assert_eq!(stored, None);

    say(&instance, 3..5).await;
    let before = two.layout().await;
    let mut held = pool.begin().await.unwrap();
    let lock = "LOCK TABLE publish.layout IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *held).await.unwrap();
    let late = tokio::spawn({
        let two = Arc::clone(&two);
        async move { two.grow().await }
    });
    until_blocked(&pool).await;
    clock.advance(TimeDelta::minutes(2));
    assert_eq!(one.mirror().await.unwrap(), Outcome::Busy);
    held.rollback().await.unwrap();
    let error = late.await.unwrap().expect_err("it was displaced");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(two.layout().await, before);
}

#[sqlx::test]
async fn a_layout_stands_until_its_lost_blocks_are_made_again(pool: PgPool) {
    let instance = Arc::new(Instance::new(&pool).await);
    let clock = clock();
    let one = Process::new(&instance, &pool, &clock, 1);
    say(&instance, 0..17_000).await;
    one.publish().await;
    let before = one.layout().await;
    say(&instance, 17_000..17_001).await;
    let two = Process::new(&instance, &pool, &clock, 2);
    clock.advance(TimeDelta::minutes(2));
    // It finds out; then come 16,384 entries, then the rest.
    for round in 0..3 {
        assert_eq!(two.grow().await.unwrap(), Outcome::Busy, "{round}");
        assert_eq!(two.layout().await, before, "{round}");
    }
    for number in [0, 4_095, 4_096, 16_383, 16_384, 16_999] {
        assert!(two.has(number).await, "{number}");
    }
    assert_eq!(two.grow().await.unwrap(), Outcome::Idle);
    let after = two.layout().await;
    assert_eq!((before.size, after.size), (17_000, 17_001));
    assert!(two.has(17_000).await);
}

#[sqlx::test]
async fn a_layout_that_only_a_dead_process_had_is_made_again_without_news(pool: PgPool) {
    let instance = Arc::new(Instance::new(&pool).await);
    let clock = clock();
    let one = Process::new(&instance, &pool, &clock, 1);
    say(&instance, 0..3).await;
    one.publish().await;
    let before = one.layout().await;
    let two = Process::new(&instance, &pool, &clock, 2);
    clock.advance(TimeDelta::minutes(2));
    assert!(!two.has(1).await);
    two.publish().await;
    assert!(two.has(1).await);
    assert_eq!(two.layout().await, before);
}

#[sqlx::test]
async fn what_a_source_that_is_down_may_have_is_not_made_again(pool: PgPool) {
    let instance = Arc::new(Instance::new(&pool).await);
    let clock = clock();
    let one = Process::new(&instance, &pool, &clock, 1);
    say(&instance, 0..3).await;
    one.publish().await;
    let before = one.layout().await;
    say(&instance, 3..4).await;
    let nobody = vec!["http://127.0.0.1:1".to_owned()];
    let two = Process::with(&instance, &pool, &clock, 2, nobody);
    clock.advance(TimeDelta::minutes(2));
    for _ in 0..2 {
        let error = two.grow().await.expect_err("nobody answers");
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert_eq!(two.layout().await, before);
    }
}

#[sqlx::test]
async fn who_stops_leaves_what_it_led_to_others_at_once(pool: PgPool) {
    let instance = Arc::new(Instance::new(&pool).await);
    say(&instance, 0..3).await;
    let app = &instance.app;
    let running = serve::start(app, &[Role::Work], None, &[], None);
    let held = "SELECT count(*) FROM store.leases WHERE until > now()";
    let held = async || -> i64 { sqlx::query_scalar(held).fetch_one(&pool).await.unwrap() };
    while publication::latest(&app.db, State::Stored)
        .await
        .unwrap()
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    assert!(held().await > 0);
    running.stop().await;
    assert_eq!(held().await, 0);
}

/// A worker asks a Kubo that never answers: nobody waits for it.
#[sqlx::test]
async fn who_waits_for_kubo_when_it_stops_leads_nothing_any_more(pool: PgPool) {
    let kubo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", kubo.local_addr().unwrap());
    let flags = [
        Flag::new("content.kubo_url", url.as_str()),
        Flag::new("content.kubo_timeout_seconds", json!(600)),
    ];
    let instance = Instance::with(&pool, &flags).await;
    let app = &instance.app;
    let cid = app.content.add(b"a file of ours").await.unwrap();
    let mut tx = app.db.begin(Cause::Job("test")).await.unwrap();
    content::pin::want(&mut tx, &app.content, &[cid])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let lease = async |holder| {
        let lease = lease::acquire(&app.db, "led", holder, Duration::from_hours(1));
        lease.await.unwrap()
    };
    let (own, other) = (app.process, Uuid::from_u128(1));
    assert!(lease(own).await.is_some() && lease(other).await.is_none());
    let running = serve::start(app, &[], None, &[], None);
    let (asked, _) = kubo.accept().await.unwrap();
    let stops = tokio::spawn(running.stop());
    while lease(other).await.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!stops.is_finished());
    drop((kubo, asked));
    stops.await.unwrap();
    assert!(lease(own).await.is_none(), "another one leads");
}

/// Our blocks as a gateway gives them, and what it was asked for.
pub async fn gateway(content: Content) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let answer = move |uri: Uri| {
        let name = uri.path().trim_start_matches("/ipfs/").to_owned();
        log.lock().unwrap().push(name.clone());
        let (content, is_raw) = (content.clone(), uri.to_string().contains("format=raw"));
        async move {
            let cid: Cid = name.parse().map_err(|_| StatusCode::NOT_FOUND)?;
            let block = content.blocks().get(&cid).await.unwrap();
            let block = block.filter(|_| is_raw).ok_or(StatusCode::NOT_FOUND)?;
            Ok::<_, StatusCode>(block.to_vec())
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(axum::routing::any(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[sqlx::test]
async fn what_another_process_published_is_read_where_that_is_known_to_be(pool: PgPool) {
    let instance = Arc::new(Instance::new(&pool).await);
    say(&instance, 0..3).await;
    let one = Process::new(&instance, &pool, &clock(), 1);
    one.publish().await;
    let stranger = one.content.add(b"of a stranger").await.unwrap();
    let file = one.content.add(b"a file of ours").await.unwrap();
    let (url, asked) = gateway(one.content.clone()).await;
    let key = instance.app.data_dir.path().join("journal.key");
    let flags = [
        Flag::new("content.gateways", json!([url])),
        Flag::new("journal.key_file", key.to_str().unwrap()),
    ];
    let two = Instance::with(&pool, &flags).await;
    let name = two.app.name_key.name().unwrap();
    let id = AgentId::of_did("did:x:1");
    let path = format!("/ipns/{name}/dukenet/agents/{id}/registration");
    let answer = two.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json()["agent"], id.to_string());

    for (cid, is_found) in [(stranger, false), (file, false), (file, true)] {
        let before = asked.lock().unwrap().len();
        if is_found {
            let pin = "INSERT INTO content.pins (cid, store, state, updated_at) VALUES ($1, 'kubo', 'pinned', now())";
            let pin = sqlx::query(pin).bind(cid.to_string());
            pin.execute(&pool).await.unwrap();
        }
        let answer = two.get(&format!("/ipfs/{cid}")).await;
        assert_eq!(
            answer.status == StatusCode::OK,
            is_found,
            "{}",
            answer.text()
        );
        assert_eq!(asked.lock().unwrap().len() > before, is_found);
    }
}
