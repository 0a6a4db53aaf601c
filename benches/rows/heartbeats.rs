//! Signed heartbeats over HTTP: how many are verified and recorded, how soon they are seen, what a `kill -9` loses, and
//! what a steady stream of them costs Postgres. The load runs on the same machine.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and rates far below 2^52"
)]

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::{
    database::{Database, Psql, SETTINGS},
    process::{Place, Running, free_address, get},
    report::Figure,
};

/// The rows that this measurement fills.
pub const PER_S: &str = "heartbeats_per_s";
/// See above.
pub const SEEN: &str = "heartbeats_seen_ms";
/// See above.
pub const LOST: &str = "heartbeats_lost_s";
/// See above.
pub const POSTGRES: &str = "heartbeats_postgres_core";

const AGENTS: usize = 100_000;
/// Beats of one request.
const BATCH: usize = 250;
const CONNECTIONS: usize = 16;
const RUNS: usize = 3;
/// One beat per 30 s of each agent.
const STEADY: f64 = 3_400.0;
const STEADY_SECONDS: u64 = 25;
const PATIENCE: Duration = Duration::from_mins(5);

/// An office with agents that have keys.
struct Office {
    serving: Option<Running>,
    address: String,
    psql: Psql,
    database: Database,
    place: Place,
    keys: Vec<SigningKey>,
}

impl Office {
    fn open() -> Result<Self> {
        let place = Place::new()?;
        std::fs::write(place.file("chancery.toml"), SETTINGS)?;
        let database = Database::ready(&place)?;
        let psql = Psql::open(&place, Some(&database.url_of("postgres", "chancery")))?;
        let mut office = Self {
            serving: None,
            address: free_address()?,
            psql,
            database,
            place,
            keys: Vec::new(),
        };
        office.serve()?;
        office.register()?;
        Ok(office)
    }

    fn serve(&mut self) -> Result<()> {
        let args = ["serve", "--roles", "api,work", "--listen", &self.address];
        let mut command = self.place.chancery(&args);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.place.file("log"))?;
        command
            .env("CHANCERY__DATABASE__URL", self.database.url())
            .stdout(std::process::Stdio::null())
            .stderr(log);
        self.serving = Some(Running::start(&mut command)?);
        let began = Instant::now();
        while get(&self.address, "/readyz").as_deref() != Some("200") {
            let said = std::fs::read_to_string(self.place.file("log")).unwrap_or_default();
            ensure!(began.elapsed() < PATIENCE, "it does not get ready:\n{said}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Agents by plain SQL, and their keys, until all are projected.
    fn register(&mut self) -> Result<()> {
        self.keys = (0..AGENTS)
            .map(|number| {
                let mut seed = [7; 32];
                seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
                SigningKey::from_bytes(&seed)
            })
            .collect();
        self.psql.run(&format!(
            "INSERT INTO identity.agents (did, name) SELECT 'did:vexel:bench-' || n, 'Agent ' || n
               FROM generate_series(0, {AGENTS} - 1) AS n"
        ))?;
        for (part, keys) in self.keys.chunks(1_000).enumerate() {
            let mut values = String::new();
            for (place, key) in keys.iter().enumerate() {
                let number = part * 1_000 + place;
                let public = hex::encode(key.verifying_key().to_bytes());
                write!(
                    values,
                    "{}('{public}', {number})",
                    if place == 0 { "" } else { "," }
                )?;
            }
            self.psql.run(&format!(
                "INSERT INTO identity.keys (public_key, agent_id, since)
                 SELECT decode(k.public, 'hex'), a.id, now() FROM (VALUES {values}) AS k(public, number)
                   JOIN identity.agents a ON a.did = 'did:vexel:bench-' || k.number"
            ))?;
        }
        self.until("SELECT count(*) FROM identity.dirty", "0")?;
        self.psql.run("VACUUM ANALYZE")
    }

    fn until(&mut self, question: &str, answer: &str) -> Result<()> {
        let began = Instant::now();
        while self.psql.ask(question)? != answer {
            ensure!(began.elapsed() < PATIENCE, "{question} is never {answer}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The machine's clock, as Postgres tells it.
    fn now(&mut self) -> Result<DateTime<Utc>> {
        let micros = self
            .psql
            .ask("SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint")?;
        DateTime::from_timestamp_micros(micros.parse()?).context("a time")
    }

    /// Requests with a beat of each of these agents at a time, signed beforehand.
    fn requests(&self, agents: std::ops::Range<usize>, at: DateTime<Utc>) -> Result<Vec<String>> {
        let timestamp = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let agents: Vec<usize> = agents.collect();
        let mut requests = Vec::new();
        for part in agents.chunks(BATCH) {
            let mut body = String::from("{\"items\":[");
            for (place, agent) in part.iter().enumerate() {
                let signature =
                    STANDARD.encode(self.keys[*agent].sign(timestamp.as_bytes()).to_bytes());
                let comma = if place == 0 { "" } else { "," };
                write!(
                    body,
                    "{comma}{{\"agent\":\"did:vexel:bench-{agent}\",\"timestamp\":\"{timestamp}\",\
                     \"signature\":\"ed25519:{signature}\"}}"
                )?;
            }
            body.push_str("]}");
            requests.push(format!(
                "POST /v1/heartbeats HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
        Ok(requests)
    }

    /// Sends requests over some connections at once, at most `per_s` beats per second; gives the seconds until the last
    /// answer. Every beat must count.
    fn send(&self, requests: &[String], per_s: Option<f64>) -> Result<f64> {
        let began = Instant::now();
        let share = requests.len().div_ceil(CONNECTIONS);
        thread::scope(|scope| {
            let parts: Vec<_> = requests
                .chunks(share)
                .map(|part| scope.spawn(move || self.talk(part, per_s, began)))
                .collect();
            parts.into_iter().try_for_each(|part| match part.join() {
                Ok(outcome) => outcome,
                Err(_) => anyhow::bail!("a connection's thread ended"),
            })
        })?;
        Ok(began.elapsed().as_secs_f64())
    }

    fn talk(&self, requests: &[String], per_s: Option<f64>, began: Instant) -> Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        for (place, request) in requests.iter().enumerate() {
            if let Some(per_s) = per_s {
                let due = (place * BATCH * CONNECTIONS) as f64 / per_s;
                thread::sleep(
                    (began + Duration::from_secs_f64(due))
                        .saturating_duration_since(Instant::now()),
                );
            }
            stream.write_all(request.as_bytes())?;
            let answer = answer(&mut stream)?;
            let accepted = format!("\"accepted\":{BATCH}}}");
            let shown: String = answer.chars().take(600).collect();
            ensure!(
                answer.ends_with(&accepted),
                "not every beat counts: {shown}"
            );
        }
        Ok(())
    }
}

/// The body of an answer with a length.
fn answer(stream: &mut TcpStream) -> Result<String> {
    let mut read = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.context(head.clone())?.trim().parse()?;
            if read.len() >= end + 4 + length {
                return Ok(String::from_utf8_lossy(&read[end + 4..]).into_owned());
            }
        }
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the connection ended");
        read.extend_from_slice(&buffer[..count]);
    }
}

/// All four rows, on one database.
pub fn measure() -> Result<Vec<Figure>> {
    let mut office = Office::open()?;
    // The first beats make everybody alive, which is told once.
    let first = office.now()?;
    let first = office.requests(0..AGENTS, first)?;
    office.send(&first, None)?;
    office.until(
        "SELECT count(*) FROM identity.heartbeats WHERE NOT alive",
        "0",
    )?;
    let (mut rates, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let at = office.now()? + TimeDelta::seconds(20);
        let requests = office.requests(0..AGENTS, at)?;
        let seconds = office.send(&requests, None)?;
        rates.push(AGENTS as f64 / seconds);
        seen.push(sight(&office, at)?);
        println!(
            "  {:.0} beats/s, seen after {:.0} ms",
            AGENTS as f64 / seconds,
            seen[seen.len() - 1]
        );
    }
    let steady = steady(&mut office)?;
    let lost = killed(&mut office)?;
    Ok(vec![
        Figure {
            name: PER_S,
            unit: "beats/s",
            goal: Some(10_000.0),
            at_least: true,
            peer: None,
            told: format!(
                "{AGENTS} agents beat once each, over HTTP in requests of {BATCH} beats on {CONNECTIONS} connections; \
                 each beat is signed with its agent's key (signed before the measurement), verified, and answered once \
                 its transaction is committed. Server, Postgres and load share the machine."
            ),
            runs: rates,
        },
        Figure {
            name: SEEN,
            unit: "ms",
            goal: Some(2_000.0),
            at_least: false,
            peer: None,
            told: "From the last answer of such a run until `GET /v1/agents/{agent}` shows the beat.".to_owned(),
            runs: seen,
        },
        Figure {
            name: LOST,
            unit: "s",
            goal: Some(1.0),
            at_least: false,
            peer: None,
            told: "Beats that were answered and are not there after a `kill -9` of the server in the middle of a run, in \
                   seconds of the run."
                .to_owned(),
            runs: vec![lost],
        },
        Figure {
            name: POSTGRES,
            unit: "cores",
            goal: Some(0.3),
            at_least: false,
            peer: None,
            told: format!(
                "Processor time of the whole Postgres cluster per second while {AGENTS} agents beat {STEADY} times per \
                 second in all, for {STEADY_SECONDS} s."
            ),
            runs: vec![steady],
        },
    ])
}

/// Milliseconds until an agent's record shows a beat.
fn sight(office: &Office, at: DateTime<Utc>) -> Result<f64> {
    let began = Instant::now();
    let shown = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let shown = shown.trim_end_matches('Z');
    loop {
        let mut stream = TcpStream::connect(&office.address)?;
        stream.write_all(b"GET /v1/agents/did:vexel:bench-77 HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.contains(shown) {
            return Ok(began.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the beat is never seen: {answer}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// Cores of Postgres under a steady stream.
fn steady(office: &mut Office) -> Result<f64> {
    let beats = (STEADY * STEADY_SECONDS as f64) as usize / BATCH * BATCH;
    let at = office.now()? + TimeDelta::seconds(30);
    let requests = office.requests(0..beats, at)?;
    let before = office.database.cpu()?;
    let seconds = office.send(&requests, Some(STEADY))?;
    let cores = (office.database.cpu()? - before) / seconds;
    println!(
        "  {:.0} beats/s cost Postgres {cores:.3} cores",
        beats as f64 / seconds
    );
    Ok(cores)
}

/// Seconds' worth of answered beats that are gone after a kill.
fn killed(office: &mut Office) -> Result<f64> {
    let at = office.now()? + TimeDelta::seconds(55);
    let requests = office.requests(0..AGENTS / 4, at)?;
    // What was answered counts; the server dies where it is, with everything behind that on its way.
    let seconds = office.send(&requests, None)?;
    let rest = office.requests(AGENTS / 4..AGENTS, at)?;
    let address = office.address.clone();
    let sender = thread::spawn(move || {
        if let Ok(mut stream) = TcpStream::connect(address) {
            for request in &rest {
                if stream.write_all(request.as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    let serving = office.serving.take().context("it runs")?;
    serving.kill()?;
    let _ = sender.join();
    let micros = at.timestamp_micros();
    let kept: usize = office
        .psql
        .ask(&format!(
            "SELECT count(*) FROM identity.heartbeats h JOIN identity.agents a ON a.id = h.agent_id
              WHERE h.last = 'epoch'::timestamptz + {micros} * interval '1 microsecond'
                AND split_part(a.did, '-', 2)::int < {}",
            AGENTS / 4
        ))?
        .parse()?;
    let answered = requests.len() * BATCH;
    Ok((answered - kept) as f64 / answered as f64 * seconds)
}
