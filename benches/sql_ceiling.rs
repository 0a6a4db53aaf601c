//! The ceiling of a backfill: the workload's logs from memory into a fresh database, by the same SQL as a
//! backfill over RPC: ground, projection, journal, seal and indexes, each timed.
//!
//! `DATABASE_URL` names a server with fsync on; each run makes a database of its own there and drops it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a measurement may stop"
)]

#[path = "rows/workload.rs"]
mod workload;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chain::{Block, Log, Registries, SeenTopics};
use identity::{Feed, Window};
use indexer::{Anchor, Chain, Origin};
use kernel::{AgentId, B256, Token};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{Cause, Clock, Db, PoolConfig, SslMode, copy::Rows};
use uuid::Uuid;

/// Blocks 0 to 9,900 with 20 events each.
const EVENTS: u64 = 198_020;
const SEED: u64 = 8004;
/// Logs of one step of the ground.
const STEP: usize = 10_000;

type Named = (Log, Option<(AgentId, Token)>);

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Result<()> {
    let events = std::env::args().nth(1).map_or(Ok(EVENTS), |n| n.parse())?;
    let workload = workload::workload(events, SEED);
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let name = format!("ceiling_{}", std::process::id());
    let mut admin = PgConnection::connect(&url).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut admin)
        .await?;
    let (server, query) = url.split_once('?').unwrap_or((&url, ""));
    let (server, _) = server.rsplit_once('/').context("a database in the URL")?;
    let done = measure(&format!("{server}/{name}?{query}"), &workload).await;
    if std::env::var_os("CEILING_KEEP").is_some() {
        return done;
    }
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)")))
        .execute(&mut admin)
        .await?;
    done
}

async fn measure(url: &str, workload: &workload::Workload) -> Result<()> {
    let logs = &workload.recording.logs;
    store::migrate::up(url, "ceiling_app").await?;
    let config = PoolConfig {
        sslmode: SslMode::Disable,
        ..PoolConfig::default()
    };
    let db = Db::connect(url, &config, Clock::System).await?;
    let chain = open(&db, logs).await?;
    let count = logs.len();
    let mut admin = PgConnection::connect(url).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut admin).await?;
    let began = Instant::now();
    let (cpu, theirs) = (cpu("self")?, cluster_cpu(&mut admin).await?);
    let mut stage = Stage(began);

    let deferred = if std::env::var_os("CEILING_ALL_INDEXES").is_some() {
        0
    } else {
        store::deferred::begin(&db).await?
    };
    let mut window = Window::new(chain.id, chain.topics, -1);
    let mut adding = 0.0;
    let mut rest = &logs[..];
    while !rest.is_empty() {
        let mut end = STEP.min(rest.len());
        while end < rest.len() && rest[end].block_number == rest[end - 1].block_number {
            end += 1;
        }
        let (step, later) = rest.split_at(end);
        rest = later;
        let before = Instant::now();
        let (blocks, named) = ground_of(step, &chain.contracts);
        let now = db.clock().now();
        let to = blocks.last().context("a block")?.number.cast_signed();
        window.add(to, now, &blocks, &named)?;
        adding += before.elapsed().as_secs_f64();
        ground(&db, &chain, &blocks, &named).await?;
    }
    println!(
        "  of the next, naming and adding {adding:.2} s, {} bytes a log",
        window.bytes() / count
    );
    let window = std::sync::Arc::new(window);
    stage.end("ground");
    let mut tx = db.begin(Cause::Job("bench")).await?;
    sqlx::query(
        "UPDATE chain.chains SET ground_number = $1, head_number = $1, settled_number = $1",
    )
    .bind(window.to())
    .execute(tx.conn())
    .await?;
    let mut second = db.begin(Cause::Job("bench")).await?;
    let (report, built) = tokio::join!(
        identity::project_window(&mut tx, Some(&mut second), &window, Feed::Skipped),
        store::deferred::build(&db, "chain.")
    );
    let (report, of_ground) = (report?, built?);
    second.commit().await?;
    tx.commit().await?;
    stage.end("project");
    drop(window);
    let (sealed, built) = tokio::join!(seal(&db), store::deferred::build(&db, ""));
    sealed?;
    ensure!(
        built? + of_ground == deferred,
        "not all {deferred} indexes were built"
    );
    stage.end("seal and indexes");
    let wall = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let rate = count as f64 / wall;
    println!(
        "{rate:.0} events/s: {count} events, {} entries, {wall:.2} s, {:.2} CPU-s of ours, {:.2} of Postgres', peak {} MB",
        report.entries,
        self::cpu("self")? - cpu,
        cluster_cpu(&mut admin).await? - theirs,
        peak()? / 1_000
    );
    check(&mut admin, workload).await?;
    Ok(())
}

struct Stage(Instant);

impl Stage {
    fn end(&mut self, name: &str) {
        println!("  {name} {:.2} s", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

async fn open(db: &Db, logs: &[Log]) -> Result<Chain> {
    let first = &logs[0];
    let chain = Chain {
        id: first.chain,
        name: "workload".to_owned(),
        origin: Origin::Rpc,
        anchor: Anchor {
            number: first.block_number,
            hash: first.block_hash,
        },
        start: 0,
        topics: SeenTopics {
            metadata_update: false,
            ..SeenTopics::ALL
        },
        contracts: Registries {
            identity: vec![first.address],
            status: vec![],
        },
    };
    indexer::open(db, &chain).await?;
    Ok(chain)
}

fn ground_of(logs: &[Log], contracts: &Registries) -> (Vec<Block>, Vec<Named>) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut named = Vec::with_capacity(logs.len());
    let mut agents = std::collections::HashMap::new();
    for log in logs {
        if blocks
            .last()
            .is_none_or(|block| block.number != log.block_number)
        {
            blocks.push(Block {
                number: log.block_number,
                hash: log.block_hash,
                parent: None,
                time: log.block_time,
            });
        }
        let token = chain::subject(log, contracts);
        let agent = token.map(|token| {
            let agent = agents
                .entry(token)
                .or_insert_with(|| AgentId::of_token(&token));
            (*agent, token)
        });
        named.push((log.clone(), agent));
    }
    (blocks, named)
}

async fn ground(db: &Db, chain: &Chain, blocks: &[Block], logs: &[Named]) -> Result<()> {
    let id = chain.id.cast_signed();
    let mut tx = db.begin(Cause::Job("bench")).await?;
    let mut rows = Rows::new(4);
    for block in blocks {
        let time = chrono::DateTime::from_timestamp(block.time.context("a time")?, 0);
        rows.row()
            .bigint(id)
            .bigint(block.number.cast_signed())
            .bytea(block.hash.as_slice())
            .time(time.context("in range")?);
    }
    rows.copy(&mut tx, "COPY chain.blocks FROM STDIN (FORMAT binary)")
        .await?;
    let mut rows = Rows::new(12);
    for (log, named) in logs {
        rows.row()
            .bigint(id)
            .bigint(log.block_number.cast_signed())
            .integer(log.log_index.cast_signed())
            .integer(log.tx_index.cast_signed())
            .bytea(log.tx_hash.as_slice())
            .bytea(log.address.as_slice());
        for topic in 0..4 {
            rows.maybe(log.topics.get(topic).map(B256::as_slice), Rows::bytea);
        }
        rows.bytea(&log.data);
        rows.maybe(named.map(|(agent, _)| -> Uuid { agent.0 }), Rows::uuid);
    }
    rows.copy(&mut tx, "COPY chain.logs FROM STDIN (FORMAT binary)")
        .await?;
    tx.commit().await?;
    Ok(())
}

async fn seal(db: &Db) -> Result<()> {
    let sealer = journal::Sealer::new(journal::LogKey::from_seed(&[7; 32]), None)?;
    let holder = Uuid::from_u128(1);
    while sealer.round(db, holder).await? == store::Outcome::Busy {}
    Ok(())
}

/// Fast and wrong would be no figure.
async fn check(admin: &mut PgConnection, workload: &workload::Workload) -> Result<()> {
    let state: String = sqlx::query_scalar(
        "SELECT encode(sha256(convert_to(string_agg(concat_ws('|', token_id, encode(owner, 'hex'), uri),
                                                    E'\\n' ORDER BY token_id), 'UTF8')), 'hex')
           FROM identity.v_tokens",
    )
    .fetch_one(&mut *admin)
    .await?;
    ensure!(state == workload.state, "owners or URIs are wrong");
    for (what, expected) in [
        ("identity.agents", workload.agents),
        ("identity.uris", workload.uris),
        ("store.jobs", workload.agents),
        ("journal.leaves", workload.agents),
    ] {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut *admin).await?;
        ensure!(
            usize::try_from(count)? == expected,
            "{count} rows of {what}"
        );
    }
    Ok(())
}

/// User and system time of a process so far, in seconds.
fn cpu(process: &str) -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let fields = stat(process)?;
    let ticks = fields
        .iter()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>());
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

/// The same of the whole cluster that a connection leads to.
async fn cluster_cpu(admin: &mut PgConnection) -> Result<f64> {
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(admin)
        .await?;
    let postmaster = stat(&backend.to_string())?.swap_remove(1);
    let mut all = cpu(&postmaster)?;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let process = name.to_str().context("a name")?;
        // Another process may end while we look.
        if stat(process).is_ok_and(|fields| fields[1] == postmaster) {
            all += cpu(process).unwrap_or_default();
        }
    }
    Ok(all)
}

/// The fields of `/proc/PROCESS/stat` from the state on.
fn stat(process: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no stat")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// Peak resident memory, in kilobytes.
fn peak() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line
        .context("no VmHWM")?
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()?)
}
