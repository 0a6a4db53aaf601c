//! Signed heartbeats, over HTTP and over a WebSocket: how many are verified and recorded, how soon they are seen, what a
//! `kill -9` loses, and what a steady stream of them costs Postgres. The load runs on the same machine.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and rates far below 2^52"
)]

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use store::Clock;

use crate::{
    database::Psql,
    office::{AGENTS, BATCH, CONNECTIONS, Office, PATIENCE, STEADY, due, written},
    report::Figure,
    socket,
};

/// The rows that this measurement fills.
pub const PER_S: &str = "heartbeats_per_s";
/// See above.
pub const SOCKET_PER_S: &str = "heartbeats_socket_per_s";
/// See above.
pub const SEEN: &str = "heartbeats_seen_ms";
/// See above.
pub const LOST: &str = "heartbeats_lost_s";
/// See above.
pub const LOST_BY_POSTGRES: &str = "heartbeats_lost_by_postgres_s";
/// See above.
pub const POSTGRES: &str = "heartbeats_postgres_core";

const RUNS: usize = 3;
const STEADY_TIME: Duration = Duration::from_mins(2);
/// Steady beats are dated when they are due, and so they are signed before.
const SIGNING: Duration = Duration::from_secs(20);
/// How long beats come before somebody is killed.
const UNTIL_KILLED: Duration = Duration::from_secs(2);

/// All rows, on one database.
pub fn measure() -> Result<Vec<Figure>> {
    let mut office = Office::open()?;
    // The first beats make everybody alive, which is told once.
    let (_, first) = office.everybody();
    office.send(&first, false)?;
    office.until(
        "SELECT count(*) FROM identity.heartbeats WHERE NOT alive",
        "0",
    )?;
    let (mut rates, mut seen, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (at, requests) = office.everybody();
        let rate = AGENTS as f64 / office.send(&requests, false)?;
        let seen_ms = sight(&office, at)?;
        println!("  {rate:.0} beats/s, seen after {seen_ms:.0} ms");
        rates.push(rate);
        seen.push(seen_ms);
    }
    for _ in 0..RUNS {
        let rate = AGENTS as f64 / over_socket(&mut office)?;
        println!("  {rate:.0} beats/s over one socket");
        sockets.push(rate);
    }
    let steady = steady(&mut office)?;
    let lost = server_killed(&mut office)?;
    let lost_by_postgres = postgres_killed(&mut office)?;
    println!("  lost with the server {lost:.3} s, with Postgres {lost_by_postgres:.3} s");
    Ok(vec![
        beats_per_s(
            PER_S,
            Some(10_000.0),
            rates,
            &format!("over HTTP in requests of {BATCH} beats on {CONNECTIONS} connections"),
        ),
        beats_per_s(
            SOCKET_PER_S,
            None,
            sockets,
            "over one WebSocket, one message each, without waiting for answers",
        ),
        at_most(
            SEEN,
            "ms",
            2_000.0,
            seen,
            "From the last answer of such a run over HTTP until `GET /v1/agents/{agent}` shows the beat.".to_owned(),
        ),
        at_most(
            LOST,
            "s",
            1.0,
            vec![lost],
            "The server is killed with -9 while everybody beats over HTTP as fast as can be. How long before the kill the \
             first of the beats was answered that are not there afterwards; 0: none is missing."
                .to_owned(),
        ),
        at_most(
            LOST_BY_POSTGRES,
            "s",
            1.0,
            vec![lost_by_postgres],
            "As `heartbeats_lost_s`, where all processes of Postgres are killed with -9, and looked at when it has \
             recovered: a beat is answered before its commit is on disk."
                .to_owned(),
        ),
        at_most(
            POSTGRES,
            "cores",
            0.3,
            vec![steady],
            format!(
                "Processor time of the whole Postgres cluster per second while {AGENTS} agents beat {STEADY} times per \
                 second in all, each {:.1} s after its last beat, for {} s, over HTTP in requests of {BATCH}.",
                AGENTS as f64 / STEADY,
                STEADY_TIME.as_secs(),
            ),
        ),
    ])
}

fn beats_per_s(name: &'static str, goal: Option<f64>, runs: Vec<f64>, how: &str) -> Figure {
    Figure {
        name,
        unit: "beats/s",
        goal,
        at_least: true,
        peer: None,
        told: format!(
            "{AGENTS} agents beat once each, {how}; each beat is signed with its agent's key (signed before the \
             measurement), verified, and answered once its transaction is committed. Server, Postgres and load share the \
             machine."
        ),
        runs,
    }
}

fn at_most(
    name: &'static str,
    unit: &'static str,
    goal: f64,
    runs: Vec<f64>,
    told: String,
) -> Figure {
    Figure {
        name,
        unit,
        goal: Some(goal),
        at_least: false,
        peer: None,
        told,
        runs,
    }
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

/// Seconds until a beat of everybody is answered, all over one socket.
fn over_socket(office: &mut Office) -> Result<f64> {
    let timestamp = written(office.later());
    let frames = (0..AGENTS).map(|agent| socket::frame(&office.beat(agent, &timestamp)));
    let frames = frames.collect::<Result<Vec<_>>>()?.concat();
    let (mut input, mut output) = socket::open(&office.address, "/v1/heartbeat")?;
    let began = Instant::now();
    thread::scope(|scope| -> Result<()> {
        scope.spawn(move || output.write_all(&frames));
        let answers = (0..AGENTS).try_for_each(|_| -> Result<()> {
            let told = socket::text(&mut input)?;
            ensure!(
                told.contains("\"accepted\":true"),
                "not every beat counts: {told}"
            );
            Ok(())
        });
        // Whoever writes still is told.
        input.get_ref().shutdown(Shutdown::Both)?;
        answers
    })?;
    Ok(began.elapsed().as_secs_f64())
}

/// Cores of Postgres under a steady stream.
fn steady(office: &mut Office) -> Result<f64> {
    let beats = (STEADY * STEADY_TIME.as_secs_f64()) as usize;
    let start = office.later() + SIGNING;
    let requests = (0..beats / BATCH).map(|number| office.request(number, start + due(number)));
    let requests: Vec<String> = requests.collect();
    office.last = start + STEADY_TIME;
    thread::sleep((start - Clock::System.now()).to_std().unwrap_or_default());
    let before = office.database.cpu()?;
    let seconds = office.send(&requests, true)?;
    let cores = (office.database.cpu()? - before) / seconds;
    println!(
        "  {:.0} beats/s cost Postgres {cores:.3} cores",
        beats as f64 / seconds
    );
    ensure!(
        seconds < STEADY_TIME.as_secs_f64() * 1.02,
        "the beats of {STEADY_TIME:?} took {seconds:.0} s"
    );
    Ok(cores)
}

/// Seconds' worth of answered beats that are gone when the server was killed.
fn server_killed(office: &mut Office) -> Result<f64> {
    let (at, requests) = office.everybody();
    let serving = office.serving.take().context("it runs")?;
    let flood = Flood::until(office, &requests, || serving.kill())?;
    flood.lost(office, at)
}

/// The same, when Postgres was.
fn postgres_killed(office: &mut Office) -> Result<f64> {
    office.serve()?;
    let (at, requests) = office.everybody();
    let flood = Flood::until(office, &requests, || office.database.kill())?;
    let url = office.database.url_of("postgres", "chancery");
    let began = Instant::now();
    office.psql = loop {
        match Psql::open(&office.place, Some(&url)) {
            Err(_) if began.elapsed() < PATIENCE => thread::sleep(Duration::from_secs(1)),
            opened => break opened?,
        }
    };
    flood.lost(office, at)
}

/// Beats that came as fast as can be when somebody was killed.
struct Flood {
    /// The requests that were answered, and when.
    answered: Vec<(usize, Instant)>,
    killed: Instant,
}

impl Flood {
    /// Sends until `kill`, and on each connection until something is not answered as it should be.
    fn until(
        office: &Office,
        requests: &[String],
        kill: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        thread::scope(|scope| -> Result<Self> {
            let parts: Vec<_> = (0..CONNECTIONS)
                .map(|first| {
                    scope.spawn(move || {
                        let mut answered = Vec::new();
                        let note = |number: usize| answered.push((number, Instant::now()));
                        let _ = office.talk(requests, first, None, note);
                        answered
                    })
                })
                .collect();
            thread::sleep(UNTIL_KILLED);
            kill()?;
            let killed = Instant::now();
            let answered = parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_default());
            let answered: Vec<_> = answered.collect();
            ensure!(
                answered.iter().any(|(_, when)| *when < killed),
                "nothing was answered before the kill"
            );
            ensure!(
                answered.len() < requests.len(),
                "all was answered before the kill"
            );
            Ok(Self { answered, killed })
        })
    }

    /// Seconds from the first answer to a request of which a beat is not there, until the kill.
    fn lost(&self, office: &mut Office, at: DateTime<Utc>) -> Result<f64> {
        let micros = at.timestamp_micros();
        let kept = office.psql.ask(&format!(
            "SELECT string_agg(request::text, ',')
               FROM (SELECT split_part(a.did, '-', 2)::int / {BATCH} AS request
                       FROM identity.heartbeats h JOIN identity.agents a ON a.id = h.agent_id
                      WHERE h.last = 'epoch'::timestamptz + {micros} * interval '1 microsecond'
                      GROUP BY 1 HAVING count(*) = {BATCH}) AS kept"
        ))?;
        let kept: HashSet<usize> = kept
            .split(',')
            .filter_map(|request| request.parse().ok())
            .collect();
        let lost = self
            .answered
            .iter()
            .filter(|(request, _)| !kept.contains(request));
        let first = lost.map(|(_, when)| *when).min();
        Ok(first.map_or(0.0, |first| {
            self.killed.saturating_duration_since(first).as_secs_f64()
        }))
    }
}
