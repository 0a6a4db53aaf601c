//! Registrations without gas: signed by an Ed25519 key each, brought over HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use did::ed25519::{self, SecretKey};
use identity::statement::{Action, Nonce, Statement};
use kernel::sha256;
use serde_json::json;
use store::Clock;

use crate::{
    database::{Database, Psql, SETTINGS_OF_MILLION},
    huge_pages::HugePages,
    million::{AGENTS, Million},
    process::Place,
    report::{Figure, Peer},
};

/// The rows that this measurement fills.
pub const PER_S: &str = "signed_registrations_per_s";
/// See above.
pub const AT_MILLION: &str = "signed_registrations_at_million";
/// See above.
pub const READY: &str = "ready_at_million_s";

const RUNS: usize = 3;
/// Runs that warm up where a million agents are: until then pages come from the disk, or are written whole because the
/// last checkpoint is before them.
const WARMING: usize = 6;
/// What Postgres has in memory ([`SETTINGS_OF_MILLION`]), and what it keeps of that.
const SHARED_KIB: u64 = 4_600 << 10;
/// Clients that each wait for one answer at a time.
const CLIENTS: usize = 256;
/// Registrations of one run.
const EACH: usize = 20_000;
/// Starts with a million agents.
const STARTS: usize = 5;

/// Brings registrations that are signed before: in three runs to an empty instance (the second and third beside what
/// the ones before have left), and in three to one that has a million agents.
pub fn measure() -> Result<Vec<Figure>> {
    let huge_pages = HugePages::reserve(SHARED_KIB);
    let memory = match &huge_pages {
        Some(_) => "shared_buffers 4 GB, for which huge pages were reserved",
        None => "shared_buffers 4 GB, for which no huge pages could be reserved",
    };
    let place = Place::new()?;
    std::fs::write(place.file("chancery.toml"), SETTINGS_OF_MILLION)?;
    let database = Database::ready(&place)?;
    let empty = runs(&place, &database, 0, RUNS)?;
    let began = Instant::now();
    let mut psql = Psql::open(&place, Some(&database.url_of("postgres", "chancery")))?;
    // All of them have keys: whatever a registration writes is there a million times.
    Million::make(&mut psql, 1)?.register(&place, &database, &mut psql)?;
    psql.run("CHECKPOINT")?;
    psql.close()?;
    println!(
        "  {AGENTS} more after {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let served = place.serve(&database.url(), "api,work")?;
        println!("  ready after {:.2} s", served.ready);
        ready.push(served.ready);
        ensure!(served.running.stop()?.success(), "a stop failed");
    }
    let full = runs(&place, &database, RUNS, WARMING + RUNS)?;
    database.stop()?;
    let (warming, full) = full.split_at(WARMING);
    let told = |rates: &[f64]| {
        let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        rates.join(", ")
    };
    let ratios = empty.iter().zip(full).map(|(empty, full)| full / empty);
    Ok(vec![
        Figure {
            name: AT_MILLION,
            unit: "of the rate at zero",
            goal: Some(0.8),
            at_least: true,
            peer: None,
            told: format!(
                "The same again in the same database, where {AGENTS} agents with keys came between, with everything that a \
                 registration writes of each: names, key, statement, history, state, feed, audit log, and an entry of the \
                 journal that is sealed and published (`benches/rows/million.rs`). {} registrations/s, each divided by \
                 the run of the same number before. Before them, directly after a start and a checkpoint, other runs warm \
                 up: {} registrations/s.",
                told(full),
                told(warming),
            ),
            runs: ratios.collect(),
        },
        Figure {
            name: PER_S,
            unit: "registrations/s",
            goal: Some(2_500.0),
            at_least: true,
            peer: Some(Peer {
                name: "Zynd AgentDNS, empty",
                value: 1_939.0,
            }),
            told: format!(
                "`POST /v1/agents` with statements that {EACH} new Ed25519 keys signed before, by {CLIENTS} clients on \
                 connections that stay open, each waiting for its answer: verified, recorded, projected and in the journal, \
                 committed with fsync. `chancery serve --roles api,work`, Postgres ({memory}, max_wal_size 16 GB) and the \
                 clients on the same two cores. Zynd's figure: its own registrations, 16 connections, \
                 Postgres's defaults, fsync on; at 100,000 agents it is 112."
            ),
            runs: empty,
        },
        Figure {
            name: READY,
            unit: "s",
            goal: Some(2.0),
            at_least: false,
            peer: None,
            told: format!(
                "`chancery serve --roles api,work` on a running Postgres, with the {AGENTS} agents of \
                 `signed_registrations_at_million` and their journal: from the start of the process until `GET /readyz` \
                 answers 200."
            ),
            runs: ready,
        },
    ])
}

/// Registrations per second of so many runs of one process, whose keys begin behind those of `before` runs.
fn runs(place: &Place, database: &Database, before: usize, count: usize) -> Result<Vec<f64>> {
    let served = place.serve(&database.url(), "api,work")?;
    let origin = origin(&served.address)?;
    let mut rates = Vec::new();
    for run in before..before + count {
        let bodies: Vec<String> = (0..EACH)
            .map(|n| registration(run * EACH + n, &origin))
            .collect();
        let seconds = bring(&served.address, bodies)?;
        #[expect(clippy::cast_precision_loss, reason = "a count of thousands")]
        let rate = EACH as f64 / seconds;
        println!("  {rate:.0} registrations/s");
        rates.push(rate);
    }
    ensure!(served.running.stop()?.success(), "the stop failed");
    Ok(rates)
}

/// The journal's name, which its verifier key begins with.
fn origin(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /audit/vkey HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, vkey) = answer.split_once("\r\n\r\n").context("an answer")?;
    let (name, _) = vkey.split_once('+').context("a verifier key")?;
    Ok(name.trim().to_owned())
}

fn registration(number: usize, origin: &str) -> String {
    let digest = sha256(format!("bench {number}").as_bytes());
    let key = SecretKey::from_seed(&digest);
    let now = Clock::System.now().timestamp();
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&digest[..16]);
    let statement = Statement {
        action: Action::Register,
        agent: key.public().did(),
        content: format!(
            r#"{{"category":"bench","endpoint_url":"https://a{number}.example/a2a","name":"Agent {number}","summary":"registered by a measurement"}}"#
        ),
        sequence: 1,
        nonce: Nonce(nonce),
        issued: now,
        expires: now + 3_600,
        origin: origin.to_owned(),
    };
    let signature = ed25519::signature_wire(&key.sign(&statement.key_bytes()));
    let by = json!({ "by": statement.agent, "signature": signature });
    let body = json!({ "statement": statement.json(), "signatures": [by] }).to_string();
    format!(
        "POST /v1/agents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Brings all requests; gives the seconds that it took.
fn bring(address: &str, requests: Vec<String>) -> Result<f64> {
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let failed: Arc<Mutex<Option<String>>> = Arc::default();
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (requests, next, failed) = (requests.clone(), next.clone(), failed.clone());
            let address = address.to_owned();
            thread::spawn(move || {
                if let Err(error) = client(&address, &requests, &next) {
                    failed
                        .lock()
                        .expect("not poisoned")
                        .replace(error.to_string());
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client");
    }
    let seconds = began.elapsed().as_secs_f64();
    let failed = failed.lock().expect("not poisoned").take();
    ensure!(failed.is_none(), "a client failed: {failed:?}");
    Ok(seconds)
}

fn client(address: &str, requests: &[String], next: &AtomicUsize) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = requests.get(next.fetch_add(1, Relaxed)) {
        stream.write_all(request.as_bytes())?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let is_ok = line.contains(" 200 ");
        let mut length = 0;
        loop {
            let mut header = String::new();
            answers.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body)?;
        ensure!(is_ok, "{line}{}", String::from_utf8_lossy(&body));
    }
    Ok(())
}
