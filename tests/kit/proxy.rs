//! A provider in front of a real node that does not tell the truth about logs: it loses, invents, alters
//! and misplaces them, and keeps a list of what it did.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use kernel::keccak256;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::http;

/// What is done to a log, or to the logs of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It is left out.
    Lose,
    /// All of its block's are left out.
    LoseBlock,
    /// It comes a second time, at a place of its own in the block, where nothing is.
    Forge,
    /// It says something else.
    Alter,
    /// Its block's come in another order.
    Reorder,
    /// It lies in a block that does not exist.
    Misplace,
}

/// Which answers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answers {
    /// Those about ranges of blocks.
    Ranges,
    /// Those about logs, also of one block.
    Logs,
    /// Those about receipts too: nothing in them gives the others away but the header.
    Receipts,
}

/// How a provider lies.
#[derive(Debug, Clone, Copy)]
pub struct Lies {
    /// What it does.
    pub lie: Lie,
    /// To one of so many, always the same ones.
    pub one_in: u64,
    /// In which answers.
    pub answers: Answers,
}

/// Block and log index of the logs that are lied about: one for each that is left out, invented or altered.
pub type Told = BTreeSet<(u64, u64)>;

/// The provider, which ends with the value.
pub struct Proxy {
    /// Where it answers.
    pub url: String,
    lies: Arc<Mutex<Option<Lies>>>,
    told: Arc<Mutex<Told>>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// A provider that tells what the node at `node` tells, but for its lies.
    pub async fn before(node: &str, lies: Lies) -> Self {
        let node = http::address(node);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (lies, told) = (
            Arc::new(Mutex::new(Some(lies))),
            Arc::<Mutex<Told>>::default(),
        );
        let mut serving = JoinSet::new();
        let liar = Liar {
            node,
            lies: Arc::clone(&lies),
            told: Arc::clone(&told),
        };
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let liar = liar.clone();
                open.spawn(async move {
                    // A client that went away needs no answer.
                    let _ = liar.serve(client).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            url,
            lies,
            told,
            _serving: serving,
        }
    }

    /// What it lied about so far.
    pub fn told(&self) -> Told {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// It tells the truth from now on.
    pub fn repent(&self) {
        *self.lies.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[derive(Clone)]
struct Liar {
    node: SocketAddr,
    lies: Arc<Mutex<Option<Lies>>>,
    told: Arc<Mutex<Told>>,
}

impl Liar {
    /// One request; the connection ends with its answer.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        let end = loop {
            if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        if head.contains("upgrade: websocket") {
            let mut node = TcpStream::connect(self.node).await?;
            node.write_all(&request).await?;
            copy_bidirectional(&mut client, &mut node).await?;
            return Ok(());
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        while request.len() < end + length {
            if client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let asked = &request[end..];
        let answer = self.lie(asked, http::post(self.node, "", asked).await?);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        client.write_all(head.as_bytes()).await?;
        client.write_all(&answer).await?;
        client.shutdown().await
    }

    fn lie(&self, asked: &[u8], answer: Vec<u8>) -> Vec<u8> {
        let lies = *self.lies.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = (
            serde_json::from_slice(asked),
            serde_json::from_slice(&answer),
        );
        let (Some(lies), (Ok(asked), Ok(mut answers))) = (lies, parsed) else {
            return answer;
        };
        let asked: Vec<Value> = match asked {
            Value::Array(all) => all,
            one => vec![one],
        };
        let of = |answer: &Value| asked.iter().find(|asked| asked["id"] == answer["id"]);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut answers {
            Value::Array(all) => {
                for one in all {
                    if let Some(asked) = of(one) {
                        lies.answer(asked, &mut one["result"], &mut told);
                    }
                }
            }
            one => lies.answer(&asked[0], &mut one["result"], &mut told),
        }
        answers.to_string().into_bytes()
    }
}

impl Lies {
    /// Lies in one answer, where it is one of those that lie.
    fn answer(self, asked: &Value, result: &mut Value, told: &mut Told) {
        match asked["method"].as_str() {
            Some("eth_getLogs") => {
                let filter = &asked["params"][0];
                let wide =
                    filter["blockHash"].is_null() && filter["fromBlock"] != filter["toBlock"];
                if wide || self.answers > Answers::Ranges {
                    self.logs(result, told);
                }
            }
            Some("eth_getBlockReceipts") if self.answers == Answers::Receipts => {
                for receipt in result.as_array_mut().into_iter().flatten() {
                    self.logs(&mut receipt["logs"], told);
                }
            }
            Some("eth_getTransactionReceipt") if self.answers == Answers::Receipts => {
                self.logs(&mut result["logs"], told);
            }
            _ => {}
        }
    }

    /// Whether it is one of those that are lied about: those at the same places each time, and in each run, which the
    /// times in hashes are not.
    fn chosen(self, name: &str) -> bool {
        let hash = keccak256(name.as_bytes());
        let drawn = hash[..8]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        drawn % self.one_in == 0
    }

    fn chosen_log(self, log: &Value) -> bool {
        self.chosen(&format!("{} {}", log["blockNumber"], log["logIndex"]))
    }

    fn chosen_block(self, log: &Value) -> bool {
        self.chosen(&log["blockNumber"].to_string())
    }

    fn logs(self, logs: &mut Value, told: &mut Told) {
        let Some(logs) = logs.as_array_mut() else {
            return;
        };
        match self.lie {
            Lie::Lose => logs.retain(|log| !(self.chosen_log(log) && told_of(log, told))),
            Lie::LoseBlock => logs.retain(|log| !(self.chosen_block(log) && told_of(log, told))),
            Lie::Forge => {
                let chosen = |log: &&Value| self.chosen_log(log);
                let mut forged: Vec<Value> = logs.iter().filter(chosen).cloned().collect();
                for log in &mut forged {
                    log["logIndex"] = json!(format!("{:#x}", quantity(&log["logIndex"]) + 0x1000));
                    told_of(log, told);
                }
                logs.append(&mut forged);
            }
            Lie::Alter => {
                for log in logs.iter_mut().filter(|log| self.chosen_log(log)) {
                    alter(log);
                    told_of(log, told);
                }
            }
            Lie::Reorder => self.reorder(logs, told),
            Lie::Misplace => {
                for log in logs.iter_mut().filter(|log| self.chosen_log(log)) {
                    log["blockHash"] = json!(keccak256(log["blockHash"].to_string().as_bytes()));
                    told_of(log, told);
                }
            }
        }
    }

    /// The logs of a chosen block, last one first.
    fn reorder(self, logs: &mut [Value], told: &mut Told) {
        for block in logs.chunk_by_mut(|one, next| one["blockHash"] == next["blockHash"]) {
            if block.len() > 1 && self.chosen_block(&block[0]) {
                block.reverse();
                for log in block {
                    told_of(log, told);
                }
            }
        }
    }
}

/// Puts it on the list; says yes.
fn told_of(log: &Value, told: &mut Told) -> bool {
    told.insert((quantity(&log["blockNumber"]), quantity(&log["logIndex"])));
    true
}

/// Another last digit: of its data where it has some, else of what it speaks of.
fn alter(log: &mut Value) {
    let topics = log["topics"].as_array().map_or(0, Vec::len);
    let field = if log["data"] == "0x" {
        &mut log["topics"][topics - 1]
    } else {
        &mut log["data"]
    };
    let mut text = field.as_str().unwrap_or_default().to_owned();
    let last = text.pop();
    text.push(if last == Some('0') { '1' } else { '0' });
    *field = json!(text);
}

fn quantity(hex: &Value) -> u64 {
    let digits = hex.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(digits.unwrap_or_default(), 16).unwrap_or_default()
}
