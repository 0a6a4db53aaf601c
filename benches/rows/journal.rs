//! The journal itself: entries appended and sealed, from an append to the published checkpoint, proofs.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use journal::{Change, LogKey, NewEntry, Sealer, append, log};
use kernel::AgentId;
use store::{Cause, Db, Pace, Worker};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    database::{Database, SETTINGS, connect},
    process::{Place, ROOT, forget_peak, own_peak},
    report::{Figure, Peer},
};

pub const ENTRIES_PER_S: &str = "journal_entries_per_s";
pub const P50: &str = "journal_checkpoint_p50_ms";
pub const P99: &str = "journal_checkpoint_p99_ms";
pub const LONE: &str = "journal_lone_ms";

const RUNS: usize = 3;
/// How long it is appended as fast as can be.
const BULK: Duration = Duration::from_mins(1);
/// Transactions that append at once, and entries of each.
const WRITERS: u64 = 2;
const AT_ONCE: u64 = 2_048;
/// Agents of each writer: their entries form chains.
const AGENTS: u64 = 50_000;

/// How long it is appended steadily: 50 entries in a transaction, every 10 ms.
const STEADY: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(10);
const PER_TICK: u64 = 50;
/// How often the newest checkpoint is looked at.
const LOOK: Duration = Duration::from_millis(2);

const LONE_RUNS: u64 = 20;

/// What the process that appends and seals may have resident, in MB.
const MEMORY: f64 = 200.0;

/// The rest of an entry of about 400 bytes.
const TEXT: usize = 120;

const WAYS: &str = "The private Postgres as `chancery up` starts it with shared_buffers 512 MB and max_wal_size 4 GB \
    (fsync on), a fresh database, the sealer as `chancery serve --roles work` runs it (every 250 ms), writers and \
    sealer in one process, everything on the same two cores";

/// A fresh journal, and who seals it.
struct Log {
    place: Place,
    database: Database,
    db: Db,
    stop: CancellationToken,
    wake: Arc<Notify>,
    sealing: JoinHandle<()>,
}

impl Log {
    async fn begin() -> Result<Self> {
        let place = Place::new()?;
        std::fs::write(place.file("chancery.toml"), SETTINGS)?;
        let database = Database::ready(&place)?;
        let db = connect(&database.url()).await?;
        let (stop, wake) = (CancellationToken::new(), Arc::<Notify>::default());
        let sealer = Sealer::new(LogKey::from_seed(&[7; 32]), None)?;
        let every = Pace {
            period: Duration::from_millis(250),
            after_error: Duration::from_secs(2),
        };
        let worker = Worker::new("seal", every, wake.clone());
        let sealing = {
            let (db, stop) = (db.clone(), stop.clone());
            tokio::spawn(async move {
                let (sealer, db) = (&sealer, &db);
                let round = || sealer.round(db, Uuid::from_u128(1));
                worker.run(stop, round).await;
            })
        };
        Ok(Self {
            place,
            database,
            db,
            stop,
            wake,
            sealing,
        })
    }

    async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.sealing.await?;
        self.db.close().await;
        self.database.stop()?;
        drop(self.place);
        Ok(())
    }
}

/// So many entries of about 400 bytes, from the n-th of a writer on, in the order of agents' ids, as the projection
/// appends them.
fn entries(writer: u64, from: u64, count: u64) -> Vec<NewEntry> {
    let one = |n: u64| {
        let agent = AgentId::of_did(&format!("did:bench:{writer}:{}", n % AGENTS));
        let change = Change {
            column: "description".to_owned(),
            value: format!("{n:>TEXT$}").into(),
            cause: format!("act:{}", (writer << 40) | n),
            time: chrono::DateTime::UNIX_EPOCH,
        };
        NewEntry::agent(agent, vec![change])
    };
    let mut entries: Vec<_> = (from..from + count).map(one).collect();
    entries.sort_by_key(|entry| entry.agent);
    entries
}

async fn write(db: &Db, entries: Vec<NewEntry>) -> Result<()> {
    let mut tx = db.begin(Cause::Job("bench")).await?;
    append(&mut tx, entries).await?;
    tx.commit().await?;
    Ok(())
}

/// Appends until told to stop; how many.
async fn writer(db: Db, number: u64, stop: Arc<AtomicBool>, wake: Arc<Notify>) -> Result<u64> {
    let mut done = 0;
    while !stop.load(Ordering::Acquire) {
        write(&db, entries(number, done, AT_ONCE)).await?;
        wake.notify_one();
        done += AT_ONCE;
    }
    Ok(done)
}

async fn size(db: &Db) -> Result<u64> {
    Ok(log::head(db).await?.map_or(0, |head| head.size))
}

async fn until_size(db: &Db, wanted: u64) -> Result<()> {
    while size(db).await? < wanted {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Entries a second until all are under a checkpoint, their bytes, and the peak of memory in MB.
async fn bulk_run() -> Result<(f64, String, f64)> {
    forget_peak()?;
    let mut log = Log::begin().await?;
    let stop = Arc::<AtomicBool>::default();
    let began = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            tokio::spawn(writer(
                log.db.clone(),
                number,
                stop.clone(),
                log.wake.clone(),
            ))
        })
        .collect();
    tokio::time::sleep(BULK).await;
    stop.store(true, Ordering::Release);
    let mut all = 0;
    for writer in writers {
        all += writer.await??;
    }
    let appended = began.elapsed().as_secs_f64();
    log.wake.notify_one();
    until_size(&log.db, all).await?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(size(&log.db).await? == all, "an entry was sealed twice");
    let bytes = "SELECT avg(octet_length(body))::int FROM journal.entries";
    let bytes = log.database.ask(bytes)?;
    log.end().await?;
    let peak = own_peak()?;
    println!(
        "  {all} entries of {bytes} bytes, appended after {appended:.1} s, sealed after {seconds:.1} s; {peak:.0} MB"
    );
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = all as f64 / seconds;
    Ok((rate, bytes, peak))
}

/// What Tessera does in the same way, on the same disk: entries/s, p50 and p99 in ms.
fn tessera(mode: &str, seconds: u64, rate: u64) -> Result<[f64; 3]> {
    let folder = format!("{ROOT}/benches/peers");
    let built = Command::new(format!("{folder}/install"))
        .arg("tessera")
        .status()?;
    ensure!(built.success(), "benches/peers/install tessera failed");
    let place = Place::new()?;
    let output = Command::new(format!("{folder}/tessera/tessera"))
        .arg(place.file("log"))
        .args([mode, &seconds.to_string(), &rate.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "tessera: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("  tessera {mode}: {}", said.trim());
    let numbers: Vec<f64> = said
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    numbers
        .try_into()
        .ok()
        .context("tessera says three numbers")
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What the runs had resident at most, held against the goal.
fn memory(peaks: &[f64]) -> String {
    let most = peaks.iter().copied().fold(0.0, f64::max);
    let word = if most < MEMORY { "met" } else { "**missed**" };
    let runs: Vec<String> = peaks.iter().map(|peak| format!("{peak:.0}")).collect();
    format!(
        "Peak resident memory (VmHWM) of the process that appends and seals, in which the writers make their entries and \
         the measurement keeps its own: {} MB; goal < {MEMORY:.0} MB, {word}.",
        runs.join(", ")
    )
}

/// `journal_entries_per_s`.
pub fn bulk() -> Result<Vec<Figure>> {
    let (mut runs, mut default, mut tuned) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes, mut peaks) = (String::new(), Vec::new());
    for _ in 0..RUNS {
        let (run, size, peak) = runtime()?.block_on(bulk_run())?;
        runs.push(run);
        peaks.push(peak);
        bytes = size;
        default.push(tessera("default", 15, 0)?[0]);
        tuned.push(tessera("tuned", 15, 0)?[0]);
    }
    let (default, tuned) = (median(default), median(tuned));
    Ok(vec![Figure {
        name: ENTRIES_PER_S,
        unit: "entries/s",
        goal: Some(25_000.0),
        at_least: true,
        peer: Some(Peer {
            name: "Tessera 1.0.4, POSIX, tuned",
            value: tuned,
        }),
        told: format!(
            "Entries of {bytes} bytes on average, appended for 60 s by {WRITERS} writers with {AT_ONCE} entries in a \
             transaction, each linked to the one before of its agent ({AGENTS} agents each), and sealed meanwhile; \
             divided by the time until the last of them is under a signed checkpoint. {WAYS}.\n\n\
             {}\n\n\
             Peers, by turns with it on the same machine: Tessera 1.0.4's POSIX log in one process, entries of 400 \
             bytes, 15 s: {default:.0} entries/s as it comes (2,048 callers), {tuned:.0} tuned (1,024 or 100 ms, 8,192 \
             callers). It keeps bytes in files; an entry of the journal is a row with five indexes, written in the \
             transaction of what it tells of.",
            memory(&peaks)
        ),
        runs,
    }])
}

/// From before each transaction began until its entries are under a published checkpoint, in ms and sorted; and the
/// peak of memory in MB.
async fn steady_run() -> Result<(Vec<f64>, f64)> {
    forget_peak()?;
    let log = Log::begin().await?;
    // Chains are begun, and plans made.
    write(&log.db, entries(0, 0, AT_ONCE)).await?;
    until_size(&log.db, AT_ONCE).await?;
    let (sender, mut written) = tokio::sync::mpsc::unbounded_channel();
    let writer = {
        let db = log.db.apart(1);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            let began = Instant::now();
            let mut done = AT_ONCE;
            while began.elapsed() < STEADY {
                // From when it was due: a stall counts for all that had to wait for its end.
                let at = ticks.tick().await.into_std();
                write(&db, entries(0, done, PER_TICK)).await?;
                done += PER_TICK;
                sender.send((done, at))?;
            }
            anyhow::Ok(())
        })
    };
    let watching = log.db.apart(1);
    let mut latencies = Vec::new();
    let mut sealed = 0;
    while let Some((wanted, at)) = written.recv().await {
        while sealed < wanted {
            tokio::time::sleep(LOOK).await;
            sealed = size(&watching).await?;
        }
        latencies.push(at.elapsed().as_secs_f64() * 1_000.0);
    }
    writer.await??;
    log.end().await?;
    let peak = own_peak()?;
    println!("  {peak:.0} MB");
    let (wanted, made) = (STEADY.as_millis() / TICK.as_millis(), latencies.len());
    ensure!(
        made as u128 * 100 >= wanted * 98,
        "only {made} of {wanted} transactions"
    );
    latencies.sort_by(f64::total_cmp);
    Ok((latencies, peak))
}

fn part(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// `journal_checkpoint_p50_ms`, `journal_checkpoint_p99_ms`.
pub fn steady() -> Result<Vec<Figure>> {
    let mut ours: [Vec<f64>; 2] = Default::default();
    let mut theirs: [Vec<f64>; 4] = Default::default();
    let mut peaks = Vec::new();
    // A peer that takes less than it is offered waits the longer: its times are to be read beside this.
    let mut slowest = f64::INFINITY;
    for _ in 0..RUNS {
        let (latencies, peak) = runtime()?.block_on(steady_run())?;
        peaks.push(peak);
        ours[0].push(part(&latencies, 50));
        ours[1].push(part(&latencies, 99));
        for (way, theirs) in ["tuned", "quick"].into_iter().zip(theirs.chunks_mut(2)) {
            let [rate, p50, p99] = tessera(way, 15, 5_000)?;
            slowest = slowest.min(rate);
            theirs[0].push(p50);
            theirs[1].push(p99);
        }
    }
    let [p50, p99, quick50, quick99] = theirs.map(median);
    let told = format!(
        "5,000 entries/s for 30 s: 50 in a transaction, every 10 ms. From before a transaction begins until the newest \
         checkpoint covers its entries, looked at every 2 ms. The sealer is not woken, as where another process \
         appends; in the process that does it is, and does not wait for its 250 ms. {WAYS}.\n\n\
         {}\n\n\
         Peers, by turns with it on the same machine at the same rate, of which they took {slowest:.0} entries/s or more, \
         from an Add to the checkpoint, p50 and p99: \
         Tessera 1.0.4 tuned (1,024 or 100 ms, a checkpoint every second) {p50:.0} and {p99:.0} ms; for quickness (256 \
         or 5 ms, a checkpoint every 100 ms) {quick50:.0} and {quick99:.0} ms.",
        memory(&peaks)
    );
    let [runs50, runs99] = ours;
    let figure = |name, goal, peer, runs| Figure {
        name,
        unit: "ms",
        goal: Some(goal),
        at_least: false,
        peer: Some(Peer {
            name: "Tessera 1.0.4, POSIX, tuned",
            value: peer,
        }),
        told: told.clone(),
        runs,
    };
    Ok(vec![
        figure(P50, 300.0, p50, runs50),
        figure(P99, 1_000.0, p99, runs99),
    ])
}

async fn lone_runs() -> Result<Vec<f64>> {
    let log = Log::begin().await?;
    write(&log.db, entries(0, 0, 1)).await?;
    until_size(&log.db, 1).await?;
    let mut runs = Vec::new();
    for run in 0..LONE_RUNS {
        // At moments that follow no interval.
        tokio::time::sleep(Duration::from_millis(300 + run * 37 % 250)).await;
        let at = Instant::now();
        write(&log.db, entries(0, run + 1, 1)).await?;
        until_size(&log.db, run + 2).await?;
        runs.push(at.elapsed().as_secs_f64() * 1_000.0);
    }
    log.end().await?;
    Ok(runs)
}

/// `journal_lone_ms`.
pub fn lone() -> Result<Vec<Figure>> {
    let runs = runtime()?.block_on(lone_runs())?;
    Ok(vec![Figure {
        name: LONE,
        unit: "ms",
        goal: Some(400.0),
        at_least: false,
        peer: None,
        told: format!(
            "One entry in a journal where nothing else happens, from before its transaction begins until a checkpoint \
             covers it. The sealer is not woken, as where another process appends. {WAYS}."
        ),
        runs,
    }])
}
