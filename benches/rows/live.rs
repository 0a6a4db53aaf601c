//! Chancery at the head of a chain: how long a block takes to become rows, what it asks meanwhile,
//! how long a reorg takes, how long a dead leader's chain stands still, and how long a start takes.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    chancery,
    database::{Database, Psql},
    node::Node,
    process::{Place, Running, free_address, get},
    report::Figure,
};

/// Rows that these measurements fill.
pub const WS_LATENCY: &str = "live_ws_latency_ms";
/// Rows that these measurements fill.
pub const POLL_LATENCY: &str = "live_poll_latency_ms";
/// Rows that these measurements fill.
pub const REORG: &str = "reorg_repair_ms";
/// Rows that these measurements fill.
pub const TAKEOVER: &str = "takeover_s";
/// Rows that these measurements fill.
pub const RESTART: &str = "restart_s";

const BLOCKS: usize = 40;
const REORGS: usize = 10;
const REORG_DEPTH: u64 = 6;
const TAKEOVERS: usize = 5;
const RESTARTS: usize = 7;
const PATIENCE: Duration = Duration::from_mins(1);

/// What the workload begins with, so that a reorg has something to undo.
const HISTORY: &[&str] = &["--blocks", "1000"];

/// Fields go in this order: processes first, then what they stand on.
struct Live {
    serving: Option<Running>,
    psql: Psql,
    node: Node,
    /// The chain's configuration.
    chain: String,
    database: Database,
    place: Place,
}

impl Live {
    /// Chancery in its default configuration, at the head of a node's chain.
    fn start(chain: fn(&Node) -> String) -> Result<Self> {
        let place = Place::new()?;
        let database = Database::ready(&place)?;
        let psql = Psql::open(&place, Some(&database.url()))?;
        let node = Node::start(HISTORY)?;
        let chain = chain(&node);
        let mut live = Self {
            serving: None,
            psql,
            node,
            chain,
            database,
            place,
        };
        live.serving = Some(live.serve()?);
        live.until_head()?;
        Ok(live)
    }

    /// A process that would lead, with a data directory of its own; it is ready.
    fn serve(&self) -> Result<Running> {
        let address = free_address()?;
        let data = address.replace(':', "-");
        let args = ["serve", "--roles", "api,index", "--listen", &address];
        let mut command = self.place.chancery_in(&data, &args);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.place.file("log"))?;
        command
            .env("CHANCERY__DATABASE__URL", self.database.url())
            .env("CHANCERY__INDEXER__CHAINS", &self.chain)
            .stdout(std::process::Stdio::null())
            .stderr(log);
        let serving = Running::start(&mut command)?;
        let began = Instant::now();
        while get(&address, "/readyz").as_deref() != Some("200") {
            let said = || std::fs::read_to_string(self.place.file("log")).unwrap_or_default();
            ensure!(
                began.elapsed() < PATIENCE,
                "it does not get ready:\n{}",
                said()
            );
            sleep(Duration::from_millis(5));
        }
        Ok(serving)
    }

    /// Waits until the node's head is what the rows stand at.
    fn until_head(&mut self) -> Result<()> {
        let head = self
            .node
            .call("eth_getBlockByNumber", &json!(["latest", false]))?;
        let hash = head["hash"].as_str().unwrap_or_default().to_owned();
        let began = Instant::now();
        let question =
            "SELECT coalesce(max('0x' || encode(head_hash, 'hex')), '0x') FROM chain.chains";
        while self.psql.ask(question)? != hash {
            if began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(self.place.file("log"))?;
                anyhow::bail!("block {hash} does not come:\n{said}");
            }
            sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Milliseconds from the node's answer to `method` until the rows stand at its new head.
    fn time(&mut self, method: &str, number: u64) -> Result<f64> {
        self.node.call(method, &json!([number]))?;
        let began = Instant::now();
        self.until_head()?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    /// Milliseconds of each of some blocks that come when nobody waits for them.
    fn blocks(&mut self) -> Result<Vec<f64>> {
        let mut runs = Vec::new();
        for place in 0..BLOCKS as u64 {
            // In no step with anything that polls.
            sleep(Duration::from_millis(300 + place * 137 % 500));
            runs.push(self.time("lab_mine", 1)?);
        }
        self.check()?;
        Ok(runs)
    }

    /// RPC calls in a second in which nothing happens.
    fn idle_calls(&self) -> Result<f64> {
        const SECONDS: u32 = 10;
        self.node.call("lab_reset", &json!([]))?;
        sleep(Duration::from_secs(SECONDS.into()));
        let calls = self.node.calls()?;
        Ok(calls / f64::from(SECONDS))
    }

    /// Fast and wrong would be no figure.
    fn check(&mut self) -> Result<()> {
        let state = self.psql.ask(chancery::STATE)?;
        let right = self.node.truth(self.node.head()?)?.as_is;
        ensure!(state == right, "the state is {state}, not {right}");
        Ok(())
    }
}

/// By WebSocket.
pub fn ws() -> Result<Vec<Figure>> {
    let mut live = Live::start(Node::as_ws_chain)?;
    let runs = live.blocks()?;
    let idle = live.idle_calls()?;
    Ok(vec![Figure {
        name: WS_LATENCY,
        unit: "ms",
        goal: Some(250.0),
        at_least: false,
        peer: None,
        told: format!(
            "From the node's answer to `lab_mine`, which makes a block of 20 events, until Postgres shows the chain's \
             head at that block, which its rows are committed with; looked at every 2 ms. `chancery serve` in its \
             default configuration follows the replay server's `newHeads` by WebSocket. {} blocks, at moments that \
             follow no interval; afterwards every agent's state is compared with the truth. Idle it makes \
             {idle:.1} calls/s.\n\n{PEERS}",
            runs.len()
        ),
        runs,
    }])
}

/// By HTTP.
pub fn poll() -> Result<Vec<Figure>> {
    let mut live = Live::start(Node::as_chain)?;
    let runs = live.blocks()?;
    let idle = live.idle_calls()?;
    ensure!(idle <= 2.0, "{idle:.1} calls/s when idle are more than 2");
    Ok(vec![Figure {
        name: POLL_LATENCY,
        unit: "ms",
        goal: Some(600.0),
        at_least: false,
        peer: None,
        told: format!(
            "As `{WS_LATENCY}`, over HTTP alone: the head is polled. Idle it makes {idle:.1} calls/s; more than 2 would \
             be an error.\n\n{PEERS}"
        ),
        runs,
    }])
}

/// A reorg of depth 6.
pub fn reorg() -> Result<Vec<Figure>> {
    let mut live = Live::start(Node::as_ws_chain)?;
    let mut runs = Vec::new();
    for _ in 0..REORGS {
        runs.push(live.time("lab_reorg", REORG_DEPTH)?);
        live.check()?;
        live.time("lab_mine", 1)?;
    }
    Ok(vec![Figure {
        name: REORG,
        unit: "ms",
        goal: Some(1_000.0),
        at_least: false,
        peer: None,
        told: format!(
            "From the node's answer to `lab_reorg({REORG_DEPTH})`, which replaces the last {REORG_DEPTH} blocks of 20 \
             events by others at once, until Postgres shows the chain's head at the new tip; {REORGS} times, with the \
             state of every agent compared after each.\n\nPeers, elsewhere: Ponder 1.0.0 1.8 s, 0.17.7 1.7 s, SQD 1.8 s \
             after the next block; Envio and rindexer did not repair it."
        ),
        runs,
    }])
}

/// A leader that is killed.
pub fn takeover() -> Result<Vec<Figure>> {
    let mut live = Live::start(Node::as_ws_chain)?;
    let mut runs = Vec::new();
    for _ in 0..TAKEOVERS {
        let standby = live.serve()?;
        let Some(leader) = live.serving.replace(standby) else {
            anyhow::bail!("nobody leads");
        };
        let began = Instant::now();
        leader.kill()?;
        live.time("lab_mine", 1)?;
        let seconds = began.elapsed().as_secs_f64();
        println!("  after {seconds:.2} s");
        runs.push(seconds);
    }
    live.check()?;
    Ok(vec![Figure {
        name: TAKEOVER,
        unit: "s",
        goal: Some(5.0),
        at_least: false,
        peer: None,
        told: "Two `chancery serve` on one database; the one that leads is killed with -9, and at once the node makes a \
               block. From the kill until Postgres shows the chain's head at that block, which the other one wrote."
            .to_owned(),
        runs,
    }])
}

/// A start where everything is indexed but what came meanwhile.
pub fn restart() -> Result<Vec<Figure>> {
    let mut live = Live::start(Node::as_ws_chain)?;
    let mut runs = Vec::new();
    for _ in 0..RESTARTS {
        let Some(running) = live.serving.take() else {
            anyhow::bail!("nobody runs");
        };
        ensure!(running.stop()?.success(), "a stop failed");
        live.node.call("lab_mine", &json!([1]))?;
        let began = Instant::now();
        live.serving = Some(live.serve()?);
        live.until_head()?;
        let seconds = began.elapsed().as_secs_f64();
        println!("  after {seconds:.2} s");
        runs.push(seconds);
    }
    live.check()?;
    Ok(vec![Figure {
        name: RESTART,
        unit: "s",
        goal: Some(1.0),
        at_least: false,
        peer: None,
        told: "`chancery serve` is stopped with SIGTERM while its database goes on, and the node makes a block. From the \
               next start of the process until Postgres shows the chain's head at that block: it has found its chain \
               again, leads it, has proven the block, and follows."
            .to_owned(),
        runs,
    }])
}

const PEERS: &str =
    "Peers, elsewhere: rindexer 130-250 ms, Ponder 600 ms, Envio 600-1,000 ms, SQD 4,600 ms.";
