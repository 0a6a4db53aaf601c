//! An office with agents that have keys, and their beats: signed beforehand, and sent over HTTP.
#![expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]

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
use store::Clock;

use crate::{
    database::{Database, Psql, SETTINGS},
    process::{Place, Running},
};

pub const AGENTS: usize = 100_000;
/// Beats of one request.
pub const BATCH: usize = 250;
pub const CONNECTIONS: usize = 16;
/// Beats per second of all agents together, where they are steady: one in 29 s of each.
pub const STEADY: f64 = 3_400.0;
pub const PATIENCE: Duration = Duration::from_mins(5);

/// An office with agents that have keys.
pub struct Office {
    pub serving: Option<Running>,
    pub address: String,
    pub psql: Psql,
    pub database: Database,
    pub place: Place,
    keys: Vec<SigningKey>,
    /// The time of the last beats.
    pub last: DateTime<Utc>,
}

impl Office {
    pub fn open() -> Result<Self> {
        let place = Place::new()?;
        std::fs::write(place.file("chancery.toml"), SETTINGS)?;
        let database = Database::ready(&place)?;
        let psql = Psql::open(&place, Some(&database.url_of("postgres", "chancery")))?;
        let mut office = Self {
            serving: None,
            address: String::new(),
            psql,
            database,
            place,
            keys: Vec::new(),
            last: DateTime::UNIX_EPOCH,
        };
        office.serve()?;
        office.register()?;
        Ok(office)
    }

    /// Starts it, at an address of its own each time.
    pub fn serve(&mut self) -> Result<()> {
        let served = self.place.serve(&self.database.url(), "api,work")?;
        self.address = served.address;
        self.serving = Some(served.running);
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

    pub fn until(&mut self, question: &str, answer: &str) -> Result<()> {
        let began = Instant::now();
        while self.psql.ask(question)? != answer {
            ensure!(began.elapsed() < PATIENCE, "{question} is never {answer}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// A time for beats of everybody: an agent's are a second apart.
    pub fn later(&mut self) -> DateTime<Utc> {
        self.last = Clock::System.now().max(self.last + TimeDelta::seconds(1));
        self.last
    }

    /// A beat as it is sent.
    pub fn beat(&self, agent: usize, timestamp: &str) -> String {
        let signature = STANDARD.encode(self.keys[agent].sign(timestamp.as_bytes()).to_bytes());
        format!(
            "{{\"agent\":\"did:vexel:bench-{agent}\",\"timestamp\":\"{timestamp}\",\
             \"signature\":\"ed25519:{signature}\"}}"
        )
    }

    /// The request of this number with a beat of each of its agents; after the last agent comes the first one again.
    pub fn request(&self, number: usize, at: DateTime<Utc>) -> String {
        let first = number * BATCH % AGENTS;
        let timestamp = written(at);
        let beats = (first..first + BATCH).map(|agent| self.beat(agent, &timestamp));
        let body = format!("{{\"items\":[{}]}}", beats.collect::<Vec<_>>().join(","));
        format!(
            "POST /v1/heartbeats HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Requests with a beat of everybody, signed beforehand, and their time.
    pub fn everybody(&mut self) -> (DateTime<Utc>, Vec<String>) {
        let at = self.later();
        let requests = (0..AGENTS / BATCH).map(|number| self.request(number, at));
        (at, requests.collect())
    }

    /// Sends requests over some connections at once, steadily or as fast as can be; gives the seconds until the last
    /// answer. Every beat must count.
    pub fn send(&self, requests: &[String], is_steady: bool) -> Result<f64> {
        let began = Instant::now();
        let since = is_steady.then_some(began);
        thread::scope(|scope| {
            let parts: Vec<_> = (0..CONNECTIONS)
                .map(|first| scope.spawn(move || self.talk(requests, first, since, |_| ())))
                .collect();
            parts.into_iter().try_for_each(|part| match part.join() {
                Ok(outcome) => outcome,
                Err(_) => anyhow::bail!("a connection's thread ended"),
            })
        })?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// Sends the `first` request and every so many-th after it over one connection, each when it is due, and tells which
    /// were answered.
    pub fn talk(
        &self,
        requests: &[String],
        first: usize,
        since: Option<Instant>,
        mut answered: impl FnMut(usize),
    ) -> Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        let own = requests.iter().enumerate().skip(first);
        for (number, request) in own.step_by(CONNECTIONS) {
            if let Some(since) = since {
                thread::sleep((since + due(number)).saturating_duration_since(Instant::now()));
            }
            stream.write_all(request.as_bytes())?;
            let answer = answer(&mut stream)?;
            let accepted = format!("\"accepted\":{BATCH}}}");
            let shown: String = answer.chars().take(600).collect();
            ensure!(
                answer.ends_with(&accepted),
                "not every beat counts: {shown}"
            );
            answered(number);
        }
        Ok(())
    }
}

/// When a steady request is due.
pub fn due(number: usize) -> Duration {
    Duration::from_secs_f64((number * BATCH) as f64 / STEADY)
}

pub fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
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
