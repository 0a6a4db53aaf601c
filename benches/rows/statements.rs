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
    process::{Place, Served},
    report::{Figure, Peer},
};

/// The rows that this measurement fills.
pub const PER_S: &str = "signed_registrations_per_s";
/// See above.
pub const AT_MILLION: &str = "signed_registrations_at_million";
/// See above.
pub const READY: &str = "ready_at_million_s";

/// Runs of each instance, in turns.
const RUNS: usize = 5;
/// Runs that warm up: until then pages come from the disk, or are written whole because the last checkpoint is before
/// them. Where a million agents are, these are many pages.
const WARMING: [usize; 2] = [1, 6];
/// What one Postgres has in memory ([`SETTINGS_OF_MILLION`]), and what it keeps of that.
const SHARED_KIB: u64 = 4_600 << 10;
/// Clients that each wait for one answer at a time.
const CLIENTS: usize = 256;
/// Registrations of one run.
const EACH: usize = 20_000;
/// Registrations directly before those of a run that counts, so that what follows them is under way.
const LEAD_IN: usize = 10_000;
/// Starts with a million agents.
const STARTS: usize = 5;

/// Brings registrations that are signed before to two instances, of which one has a million agents, in turns: a machine
/// that becomes slower or faster within minutes does so for both.
pub fn measure() -> Result<Vec<Figure>> {
    let huge_pages = HugePages::reserve(2 * SHARED_KIB);
    let memory = match &huge_pages {
        Some(_) => "shared_buffers 4 GB, for which huge pages were reserved",
        None => "shared_buffers 4 GB, for which no huge pages could be reserved",
    };
    let (place, at_million) = (Place::new()?, Place::new()?);
    for place in [&place, &at_million] {
        std::fs::write(place.file("chancery.toml"), SETTINGS_OF_MILLION)?;
    }
    let mut million = Database::ready(&at_million)?;
    load(&at_million, &mut million)?;
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let served = at_million.serve(&million.url(), "api,work")?;
        println!("  ready after {:.2} s", served.ready);
        ready.push(served.ready);
        ensure!(served.running.stop()?.success(), "a stop failed");
    }
    let mut zero = Instance::serve(&place, Database::ready(&place)?, 0)?;
    let mut million = Instance::serve(&at_million, million, 1)?;
    zero.warm_up(WARMING[0])?;
    let warming = million.warm_up(WARMING[1])?;
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        // Each of them goes first in turn.
        for nth in 0..2 {
            zero.database.until_published()?;
            million.database.until_published()?;
            if (run + nth) % 2 == 0 {
                empty.push(zero.run()?);
            } else {
                full.push(million.run()?);
            }
        }
    }
    zero.stop()?;
    million.stop()?;
    let told = |rates: &[f64]| {
        let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        rates.join(", ")
    };
    let ratios = empty.iter().zip(&full).map(|(empty, full)| full / empty);
    Ok(vec![
        Figure {
            name: AT_MILLION,
            unit: "of the rate at zero",
            goal: Some(0.8),
            at_least: true,
            peer: None,
            told: format!(
                "The same at an instance of {AGENTS} agents with keys, with everything that a registration writes of each: \
                 names, key, statement, history, state, feed, audit log, and an entry of the journal that is sealed and \
                 published (`benches/rows/million.rs`). {} registrations/s, each in turn with a run of \
                 `signed_registrations_per_s` and divided by it: {}. Before all of them, directly after a start and a \
                 checkpoint, {} others warm up: {} registrations/s.",
                told(&full),
                told(&empty),
                WARMING[1] * EACH,
                told(&warming),
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
                 committed with fsync. At an instance to which {} registrations came before, to warm it up, and those of \
                 the runs before; directly behind {LEAD_IN} others. `chancery serve --roles api,work`, Postgres ({memory}, \
                 max_wal_size 16 GB) and the clients on the same two cores, beside the instance of \
                 `signed_registrations_at_million`, which waits. Zynd's figure: its own registrations, 16 connections, \
                 Postgres's defaults, fsync on; at 100,000 agents it is 112.",
                WARMING[0] * EACH,
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

/// Makes a million agents, and one registration that they are like.
fn load(place: &Place, database: &mut Database) -> Result<()> {
    let began = Instant::now();
    let served = place.serve(&database.url(), "api,work")?;
    let one = registration(0, &origin(&served.address)?);
    bring(&served.address, vec![one])?;
    ensure!(served.running.stop()?.success(), "a stop failed");
    let mut psql = Psql::open(place, Some(&database.url_of("postgres", "chancery")))?;
    // All of them have keys: whatever a registration writes is there a million times.
    Million::make(&mut psql, 1)?.register(place, database, &mut psql)?;
    psql.run("CHECKPOINT")?;
    psql.close()?;
    println!("  {AGENTS} after {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// An instance that answers.
struct Instance {
    served: Served,
    database: Database,
    origin: String,
    /// The number of the next key that registers here.
    next: usize,
}

impl Instance {
    fn serve(place: &Place, database: Database, next: usize) -> Result<Self> {
        let served = place.serve(&database.url(), "api,work")?;
        Ok(Self {
            origin: origin(&served.address)?,
            served,
            database,
            next,
        })
    }

    /// Registrations of so many new keys.
    fn sign(&mut self, count: usize) -> Vec<String> {
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        numbers
            .map(|number| registration(number, &self.origin))
            .collect()
    }

    /// Brings registrations; gives how many came in a second.
    fn bring(&self, requests: Vec<String>) -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count of thousands")]
        let count = requests.len() as f64;
        let rate = count / bring(&self.served.address, requests)?;
        println!("  {rate:.0} registrations/s");
        Ok(rate)
    }

    fn warm_up(&mut self, runs: usize) -> Result<Vec<f64>> {
        let mut rates = Vec::new();
        for _ in 0..runs {
            let signed = self.sign(EACH);
            rates.push(self.bring(signed)?);
        }
        Ok(rates)
    }

    /// A run that counts.
    fn run(&mut self) -> Result<f64> {
        let (lead_in, counted) = (self.sign(LEAD_IN), self.sign(EACH));
        self.bring(lead_in)?;
        self.bring(counted)
    }

    fn stop(self) -> Result<()> {
        ensure!(self.served.running.stop()?.success(), "a stop failed");
        self.database.stop()
    }
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
