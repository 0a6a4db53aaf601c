//! Serves the standard workload, or says what an index of it must end in.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use replay_rpc::{
    node::{Faults, Finality, Lose, Network, Provider, Refusing},
    workload::{Params, Workload},
};

/// A made-up Ethereum node.
#[derive(Debug, Parser)]
#[command(name = "replay-rpc", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the workload over HTTP and WebSocket until killed.
    Serve(Serve),
    /// Print what an index of the workload must end in, as JSON.
    Truth(Tell),
}

#[derive(Debug, Args)]
struct Made {
    /// Another seed, another chain
    #[arg(long, default_value_t = Params::default().seed)]
    seed: u64,
    /// EIP-155 id
    #[arg(long, default_value_t = Params::default().chain_id)]
    chain_id: u64,
    /// Events in each block that has any
    #[arg(long, default_value_t = 20)]
    events: u64,
    /// Only each K-th block has events
    #[arg(long, value_name = "K", default_value_t = 1)]
    every: u64,
    /// Unrelated transactions in each block
    #[arg(long, value_name = "N", default_value_t = 0)]
    noise_tx: u64,
}

impl Made {
    fn params(&self) -> Params {
        Params {
            seed: self.seed,
            chain_id: self.chain_id,
            events: self.events,
            every: self.every,
            noise: self.noise_tx,
            ..Params::default()
        }
    }
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    chain: Made,
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8545")]
    listen: SocketAddr,
    /// How many blocks there are, the genesis among them
    #[arg(long, default_value_t = 10_000)]
    blocks: u64,
    /// Number of the newest block, if not the last of them; lab_mine adds the others
    #[arg(long, value_name = "H")]
    head: Option<u64>,
    /// Depth of the finalized block
    #[arg(long, default_value_t = 64)]
    final_depth: u64,
    /// Faults as JSON, as lab_fault takes them; the flags below go on top
    #[arg(long, value_name = "JSON")]
    faults: Option<String>,
    /// Milliseconds added to each answer
    #[arg(long, value_name = "MS")]
    latency_ms: Option<u64>,
    /// Calls a second, then 429
    #[arg(long)]
    rps: Option<u32>,
    /// Each N-th request gets 503
    #[arg(long, value_name = "N")]
    fail_every: Option<u64>,
    /// Each N-th request's socket is closed
    #[arg(long, value_name = "N")]
    drop_every: Option<u64>,
    /// Each N-th request hangs for 90 s
    #[arg(long, value_name = "N")]
    hang_every: Option<u64>,
    /// Blocks that eth_getLogs takes at once
    #[arg(long, value_name = "N")]
    max_range: Option<u64>,
    /// Logs that eth_getLogs answers with; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_logs: usize,
    /// In whose words a range is refused
    #[arg(long, value_enum, default_value_t = Words::Alchemy)]
    refusing: Words,
    /// Which log queries lose logs
    #[arg(long, value_enum)]
    lose: Option<Losing>,
    /// One log in N is lost
    #[arg(long, value_name = "N")]
    lose_one_in: Option<u64>,
    /// Logs without blockTimestamp
    #[arg(long)]
    no_log_ts: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Words {
    Alchemy,
    Infura,
    Geth,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Losing {
    Wide,
    All,
    Blocks,
}

#[derive(Debug, Args)]
struct Tell {
    #[command(flatten)]
    chain: Made,
    /// The last block that is indexed
    #[arg(long, default_value_t = 9_900)]
    to: u64,
    /// Print the lines behind a digest instead
    #[arg(long, value_enum)]
    lines: Option<Lines>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lines {
    AsSaid,
    AsIs,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Truth(tell) => tell.run(),
    }
}

impl Serve {
    fn run(&self) -> Result<()> {
        let head = self.head.unwrap_or(self.blocks.saturating_sub(1));
        let network = Network::of_workload(self.chain.params(), head);
        let finalized = self.final_depth;
        network.change(|chain| {
            chain.finality = Some(Finality {
                safe: finalized / 2,
                finalized,
            });
        });
        let provider = Provider::start(network, self.listen, self.faults()?)
            .with_context(|| format!("listening on {}", self.listen))?;
        println!("Listening on {}", provider.address());
        loop {
            std::thread::park();
        }
    }

    fn faults(&self) -> Result<Faults> {
        let mut faults: Faults = match &self.faults {
            Some(json) => serde_json::from_str(json).context("--faults")?,
            None => Faults::default(),
        };
        let set = |field: &mut u64, flag: Option<u64>| *field = flag.unwrap_or(*field);
        set(&mut faults.latency_ms, self.latency_ms);
        set(&mut faults.fail_every, self.fail_every);
        set(&mut faults.drop_every, self.drop_every);
        set(&mut faults.hang_every, self.hang_every);
        set(&mut faults.max_range, self.max_range);
        set(&mut faults.lose_one_in, self.lose_one_in);
        faults.rps = self.rps.unwrap_or(faults.rps);
        faults.max_logs = self.max_logs;
        faults.no_log_time |= self.no_log_ts;
        faults.refusing = match self.refusing {
            Words::Alchemy => Refusing::Alchemy,
            Words::Infura => Refusing::Infura,
            Words::Geth => Refusing::Geth,
        };
        faults.lose = match self.lose {
            Some(Losing::Wide) => Lose::Wide,
            Some(Losing::All) => Lose::All,
            Some(Losing::Blocks) => Lose::Blocks,
            None => faults.lose,
        };
        Ok(faults)
    }
}

impl Tell {
    fn run(&self) -> Result<()> {
        let salts = (0..=self.to).map(|_| 0);
        let workload = Workload::after(self.chain.params(), salts);
        match self.lines {
            Some(lines) => print!("{}", workload.lines(lines == Lines::AsSaid)),
            None => println!("{}", serde_json::to_string_pretty(&workload.truth())?),
        }
        Ok(())
    }
}
