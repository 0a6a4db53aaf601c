//! How fast the workload is served, and what it costs: the node must never be the bottleneck of a
//! benchmark. `cargo run --release -p replay-rpc --example speed [blocks]`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement may stop, and is not exact"
)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use replay_rpc::{
    node::{Faults, Network, Provider},
    workload::{Params, REGISTRY},
};
use serde_json::{Value, json};

const BLOCKS: u64 = 10_000;
const BATCH: u64 = 100;

fn main() {
    let blocks = std::env::args()
        .nth(1)
        .map_or(BLOCKS, |blocks| blocks.parse().unwrap());
    let began = Instant::now();
    let network = Network::of_workload(Params::default(), blocks - 1);
    println!(
        "{blocks} blocks made in {:.2} s; {} MB resident",
        began.elapsed().as_secs_f64(),
        resident()
    );
    let provider = network.provider(Faults::default()).unwrap();
    let mut client = TcpStream::connect(provider.address()).unwrap();
    client.set_nodelay(true).unwrap();

    let logs: Vec<Value> = (0..blocks)
        .step_by(500)
        .map(|from| {
            let to = (from + 499).min(blocks - 1);
            let range = json!([{"address": REGISTRY, "fromBlock": hex(from), "toBlock": hex(to)}]);
            call(0, "eth_getLogs", &range)
        })
        .collect();
    measure("all logs, 500 blocks a call", &mut client, &logs);
    let batches = |method: &str, more: &[Value]| -> Vec<Value> {
        let batch = |from: u64| {
            let one = |number: u64| {
                let mut params = vec![json!(hex(number))];
                params.extend_from_slice(more);
                call(number, method, &json!(params))
            };
            json!(
                (from..(from + BATCH).min(blocks))
                    .map(one)
                    .collect::<Vec<_>>()
            )
        };
        (0..blocks).step_by(100).map(batch).collect()
    };
    let headers = batches("eth_getBlockByNumber", &[json!(false)]);
    measure("all headers in batches of 100", &mut client, &headers);
    let receipts = batches("eth_getBlockReceipts", &[]);
    measure("all receipts in batches of 100", &mut client, &receipts);
    let full = batches("eth_getBlockByNumber", &[json!(true)]);
    measure("all full blocks in batches of 100", &mut client, &full);
    let one = call(1, "eth_getBlockByNumber", &json!(["0x7", false]));
    measure("10,000 single headers", &mut client, &vec![one; 10_000]);
    println!("{} MB resident at the end", resident());
    in_process(&provider, &receipts);
}

fn call(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// Sends requests one after the other; the client's own CPU is not counted.
fn measure(what: &str, client: &mut TcpStream, requests: &[Value]) {
    let bodies: Vec<String> = requests.iter().map(Value::to_string).collect();
    let (began, all, mine) = (
        Instant::now(),
        cpu("/proc/self/stat"),
        cpu("/proc/thread-self/stat"),
    );
    let bytes: usize = bodies.iter().map(|body| exchange(client, body)).sum();
    let wall = began.elapsed().as_secs_f64();
    let client = cpu("/proc/thread-self/stat") - mine;
    let server = cpu("/proc/self/stat") - all - client;
    println!(
        "{what}: {} requests, {:.1} MB, {wall:.2} s, server {server:.2} CPU-s, client {client:.2}",
        bodies.len(),
        bytes as f64 / 1e6
    );
}

/// The same without sockets: what making the answers costs.
fn in_process(provider: &Provider, requests: &[Value]) {
    let bodies: Vec<String> = requests.iter().map(Value::to_string).collect();
    let before = cpu("/proc/self/stat");
    let bytes: usize = bodies
        .iter()
        .map(|body| provider.answer(body.as_bytes()).len())
        .sum();
    let spent = cpu("/proc/self/stat") - before;
    println!(
        "receipts without sockets: {:.1} MB, {spent:.2} CPU-s",
        bytes as f64 / 1e6
    );
}

/// Bytes of the answer.
fn exchange(client: &mut TcpStream, body: &str) -> usize {
    let length = body.len();
    let request = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    client.write_all(request.as_bytes()).unwrap();
    let mut buffer = vec![0; 1 << 18];
    let mut head = Vec::new();
    let (mut left, body_at) = loop {
        let read = client.read(&mut buffer).unwrap();
        assert!(read > 0, "the node hung up");
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = std::str::from_utf8(&head[..end]).unwrap();
            let field = text
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            break (field.unwrap().parse::<usize>().unwrap(), end + 4);
        }
    };
    let length = left;
    left -= head.len() - body_at;
    while left > 0 {
        let read = client.read(&mut buffer).unwrap();
        assert!(read > 0, "the node hung up");
        left -= read;
    }
    length
}

/// User and system time, in seconds.
fn cpu(file: &str) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string(file).unwrap();
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |place: usize| fields[place].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// In megabytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1000
}
