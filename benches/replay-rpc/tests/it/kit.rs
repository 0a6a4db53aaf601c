//! Small chains, and a client that sees everything.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use replay_rpc::{
    model::{Address, B256, Bytes, Draft, Fork, Kind, Log, Spec, Tx, keccak256},
    node::{Chain, Network},
};
use serde_json::{Value, json};

pub const SPEC: Spec = Spec {
    chain_id: 31_337,
    fork: Fork::Prague,
};

pub const CONTRACT: Address = Address::repeat_byte(0xc0);

/// A log of the contract with two topics and some data.
pub fn log(number: u64) -> Log {
    let topics = vec![
        keccak256("Said(uint256)"),
        B256::left_padding_from(&number.to_be_bytes()),
    ];
    Log::new_unchecked(CONTRACT, topics, Bytes::from(number.to_be_bytes().to_vec()))
}

/// A block with a transaction of each kind, one of them failed and one that creates; three logs.
pub fn draft(number: u64, fork: u8) -> Draft {
    let sender = Address::repeat_byte(fork + 1);
    let nonce = number * 4;
    let logs = |from: u64, count: u64| (from..from + count).map(|n| log(number * 10 + n)).collect();
    let mut txs = vec![
        Tx::call(sender, nonce, CONTRACT, logs(0, 2)),
        Tx::call(sender, nonce + 1, CONTRACT, Vec::new()),
        Tx::call(sender, nonce + 2, CONTRACT, logs(2, 1)),
        Tx::call(sender, nonce + 3, CONTRACT, Vec::new()),
    ];
    txs[1].success = false;
    txs[1].kind = Kind::AccessList;
    txs[2].kind = Kind::Legacy;
    txs[2].input = Bytes::from(vec![1, 2, 3]);
    txs[3].to = None;
    Draft {
        timestamp: 1_760_000_000 + 12 * number,
        proposer: Address::repeat_byte(fork),
        txs,
        state: None,
    }
}

/// A chain with `blocks` blocks after an empty genesis.
pub fn chain(blocks: u64) -> Chain {
    let genesis = Draft {
        timestamp: 1_760_000_000,
        ..Draft::default()
    };
    let mut chain = Chain::new(SPEC, genesis);
    for number in 1..=blocks {
        chain.extend(draft(number, 0));
    }
    chain
}

pub fn network(blocks: u64) -> Network {
    Network::new(chain(blocks))
}

/// What came over the socket.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// Posts a body; nothing where the socket was closed without an answer.
pub fn post(address: SocketAddr, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    exchange(&mut stream, body)
}

/// Posts a body on a connection that is there.
pub fn exchange(stream: &mut TcpStream, body: &str) -> Option<Answer> {
    let length = body.len();
    // In one piece: a second small one would wait for the first one's receipt.
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .expect("a length");
    let length = length.1.parse().expect("a number");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a whole body");
    let status = head
        .split(' ')
        .nth(1)
        .expect("a status")
        .parse()
        .expect("a number");
    Some(Answer { status, head, body })
}

/// A call's whole answer.
pub fn said(address: SocketAddr, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let answer = post(address, &body.to_string()).expect("an answer");
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// A call's result.
#[track_caller]
pub fn ask(address: SocketAddr, method: &str, params: &Value) -> Value {
    let said = said(address, method, params);
    assert_eq!(said["id"], 7);
    assert!(said.get("error").is_none(), "{method} {params}: {said}");
    said["result"].clone()
}

/// A call's refusal: code and message.
#[track_caller]
pub fn refused(address: SocketAddr, method: &str, params: &Value) -> (i64, String) {
    let said = said(address, method, params);
    let error = &said["error"];
    let code = error["code"]
        .as_i64()
        .unwrap_or_else(|| panic!("{method}: {said}"));
    (
        code,
        error["message"].as_str().unwrap_or_default().to_owned(),
    )
}
