//! One agent after the other, asked for by name of an instance that has a million of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use did::zynd;
use kernel::AgentId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use uuid::Uuid;

use crate::{
    database::{Database, Psql, SETTINGS_OF_MILLION},
    million::{AGENTS, Million, REGISTRY},
    process::{Place, Served},
    report::{Figure, Peer},
};

pub const PER_S: &str = "agent_get_per_s";
pub const P99: &str = "agent_get_p99_ms";

/// Every so many-th agent has a key alone.
const KEYS_EVERY: usize = 5;
/// Connections that are kept open, each with one request at a time.
const CONNECTIONS: u64 = 48;
const WARM_UP: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(10);
const RUNS: u32 = 5;

/// Even draws (SplitMix64, Steele and others 2014), the same in every run.
struct Draws(u64);

impl Draws {
    #[expect(clippy::cast_possible_truncation, reason = "it is below a usize")]
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// A name of any kind that an agent has, percent-encoded, and the id that it finds.
fn name(draws: &mut Draws, among: &Million) -> (String, Uuid) {
    let n = 1 + draws.below(AGENTS);
    let Some(key) = among.key(n) else {
        let caip = format!("eip155:1:{REGISTRY}/{n}");
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, caip.as_bytes());
        let name = match draws.below(4) {
            0 => id.to_string(),
            1 => format!("did:nft:eip155:1_erc721:{REGISTRY}_{n}"),
            2 => caip.replace('/', "%2F"),
            _ => format!("1:{n}"),
        };
        return (name, id);
    };
    let did = key.did();
    let AgentId(id) = AgentId::of_did(&did);
    let [agdns, zns] = zynd::agent_ids(key);
    let name = match draws.below(5) {
        0 => id.to_string(),
        1 => did,
        2 => zynd::key_hash(key),
        3 => agdns,
        _ => zns,
    };
    (name, id)
}

/// Asks until `until`; gives how long each answer took.
async fn client(
    address: String,
    among: Arc<Million>,
    seed: u64,
    until: Instant,
) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (mut draws, mut took, mut buffer) = (Draws(seed), Vec::new(), Vec::new());
    while Instant::now() < until {
        let (name, id) = name(&mut draws, &among);
        let request = format!("GET /v1/agents/{name} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let answer = answer(&mut stream, &mut buffer).await?;
        took.push(began.elapsed());
        ensure!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!("\"id\":\"{id}\"")),
            "{name}: {answer}"
        );
    }
    Ok(took)
}

/// One whole answer, head and body.
async fn answer<'b>(stream: &mut TcpStream, buffer: &'b mut Vec<u8>) -> Result<&'b str> {
    buffer.clear();
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "it hung up");
        let text = std::str::from_utf8(buffer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.context("no length")?.parse()? {
            break;
        }
    }
    Ok(std::str::from_utf8(buffer)?)
}

/// So many connections for so long: answers per second, and what 99 of 100 stay below, in ms.
async fn load(
    address: &str,
    among: &Arc<Million>,
    seed: u64,
    window: Duration,
) -> Result<(f64, f64)> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for n in 0..CONNECTIONS {
        let seed = seed << 32 | n;
        let (address, among) = (address.to_owned(), Arc::clone(among));
        clients.spawn(client(address, among, seed, began + window));
    }
    let mut took = Vec::new();
    while let Some(one) = clients.join_next().await {
        took.extend(one??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).context("no answers")?;
    #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
    let per_s = took.len() as f64 / seconds;
    Ok((per_s, p99.as_secs_f64() * 1e3))
}

/// Makes the agents, starts the API, and asks.
pub fn measure() -> Result<Vec<Figure>> {
    let place = Place::new()?;
    std::fs::write(place.file("chancery.toml"), SETTINGS_OF_MILLION)?;
    let database = Database::ready(&place)?;
    let mut psql = Psql::open(&place, Some(&database.url_of("postgres", "chancery")))?;
    let among = Arc::new(Million::make(&mut psql, KEYS_EVERY)?);
    // What was written is not to be brought to disk by whoever reads.
    psql.run("CHECKPOINT")?;
    psql.close()?;
    let Served {
        running,
        address,
        ready,
    } = place.serve(&database.url(), "api")?;

    let asking = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    asking.block_on(load(&address, &among, 0, WARM_UP))?;
    let (mut rates, mut slowest) = (Vec::new(), Vec::new());
    let (cpu, postgres) = (running.cpu()?, database.cpu()?);
    for run in 0..RUNS {
        let seed = 1 + u64::from(run);
        let (per_s, p99) = asking.block_on(load(&address, &among, seed, WINDOW))?;
        println!("  {per_s:.0} answers/s, p99 {p99:.2} ms");
        rates.push(per_s);
        slowest.push(p99);
    }
    let seconds = WINDOW.as_secs_f64() * f64::from(RUNS);
    let (cpu, postgres) = (
        (running.cpu()? - cpu) / seconds,
        (database.cpu()? - postgres) / seconds,
    );
    let peak = running.peak_memory()? / 1_000_000;
    ensure!(running.stop()?.success(), "a stop failed");
    database.stop()?;

    let told = format!(
        "`GET /v1/agents/{{name}}` of an instance with {AGENTS} agents (four fifths tokens, one fifth keys; \
         `benches/rows/agents.sql`), drawn evenly over all agents, and evenly over the kinds of names that each has \
         (UUID and DID; CAIP and the short one of tokens; hash, agdns and zns of keys), by {CONNECTIONS} connections \
         that are kept open, {} s a run after {} s to warm up; every answer is checked. \
         `chancery serve --roles api`, Postgres (shared_buffers 4 GB, fsync on) and the clients share the two cores: \
         chancery used {cpu:.2} of a core, Postgres {postgres:.2}. Nothing is cached: what is asked for while Postgres \
         reads is read together next. It was ready {ready:.2} s after its start; peak memory {peak} MB.",
        WINDOW.as_secs(),
        WARM_UP.as_secs(),
    );
    let peer = |value| {
        Some(Peer {
            name: "Zynd AgentDNS with 100,000 agents and 16 connections, measured elsewhere",
            value,
        })
    };
    Ok(vec![
        Figure {
            name: PER_S,
            unit: "answers/s",
            goal: Some(12_000.0),
            at_least: true,
            peer: peer(5_688.0),
            told: told.clone(),
            runs: rates,
        },
        Figure {
            name: P99,
            unit: "ms",
            goal: Some(8.0),
            at_least: false,
            peer: peer(15.0),
            told,
            runs: slowest,
        },
    ])
}
