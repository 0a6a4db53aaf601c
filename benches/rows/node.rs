//! The replay server of `benches/replay-rpc` as a process, and its experimenter's methods.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::{Running, beside};

/// The registry of the workload.
pub const REGISTRY: &str = "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432";

/// A node that serves the made-up chain.
pub struct Node {
    _running: Running,
    address: String,
}

/// What an index of the chain must end in, as the node knows it without reading events.
#[derive(Deserialize)]
pub struct Truth {
    /// How many agents there are.
    pub agents: u64,
    events: Events,
    /// MD5 of the lines `id|owner|uri|key|value` of an indexer that believes every event.
    pub as_said: String,
    /// MD5 of the lines `id|owner|wallet|uri|key=value,...`, by ERC-8004's rules.
    pub as_is: String,
}

#[derive(Deserialize)]
struct Events {
    registered: u64,
    transfer: u64,
    metadata_set: u64,
    uri_updated: u64,
}

impl Truth {
    /// How many events there are.
    pub fn events(&self) -> u64 {
        let Events {
            registered,
            transfer,
            metadata_set,
            uri_updated,
        } = self.events;
        registered + transfer + metadata_set + uri_updated
    }
}

impl Node {
    /// Starts it on a free port.
    pub fn start(args: &[&str]) -> Result<Self> {
        let mut command = Command::new(beside("replay-rpc")?);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut running = Running::start(&mut command)?;
        let mut line = String::new();
        BufReader::new(running.stdout()?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("Listening on ");
        Ok(Self {
            address: address.context("the replay server failed")?.to_owned(),
            _running: running,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls a method.
    pub fn call(&self, method: &str, params: &Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let mut answer: Value = serde_json::from_str(body)?;
        ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        Ok(answer["result"].take())
    }

    /// The number of its newest block.
    pub fn head(&self) -> Result<u64> {
        let number = self.call("eth_blockNumber", &json!([]))?;
        let hex = number.as_str().unwrap_or_default();
        Ok(u64::from_str_radix(hex.trim_start_matches("0x"), 16)?)
    }

    /// All calls since the last `lab_reset`.
    pub fn calls(&self) -> Result<f64> {
        let stats = self.call("lab_stats", &json!([]))?;
        let methods = stats["methods"].as_object().context("no methods")?;
        let calls = methods.iter().filter(|(name, _)| !name.starts_with("lab_"));
        Ok(calls
            .filter_map(|(_, method)| method["calls"].as_f64())
            .sum())
    }

    /// The state at a block.
    pub fn truth(&self, block: u64) -> Result<Truth> {
        Ok(serde_json::from_value(
            self.call("lab_truth", &json!([block]))?,
        )?)
    }

    /// The chain for Chancery's configuration, over HTTP alone.
    pub fn as_chain(&self) -> String {
        self.chain("")
    }

    /// The chain for Chancery's configuration, with a WebSocket that tells of new heads.
    pub fn as_ws_chain(&self) -> String {
        self.chain(&format!(", ws = \"ws://{}\"", self.address))
    }

    fn chain(&self, more: &str) -> String {
        let url = self.url();
        format!("[{{ rpc = [\"{url}\"], registries = [\"{REGISTRY}\"], from_block = 0{more} }}]")
    }
}
