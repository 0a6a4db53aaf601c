//! A real geth with a chain of its own, whose head the test moves as a consensus client would: through
//! the Engine API, so that its reorganisations are those of a live chain.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chain::{At, Limits, Prepared, PrivateKeySigner, Rpc, SendError, sender};
use kernel::{Address, B256, Bytes, U256, keccak256, sha256};
use serde_json::{Value, json};
use store::Clock;

use super::{
    anvil::{Chain, Wanted},
    http, until,
};

/// The first block's time; each block is twelve seconds younger than its child.
const GENESIS_TIME: u64 = 1_750_000_000;

/// Room for all that a test puts in one block.
const GAS_LIMIT: &str = "0x3938700";

const GAS: u64 = 0x20_0000;

/// What the first transaction of a block pays its builder, per gas; each one after it pays a little
/// less, which is the order in which geth takes them.
const TIP: u128 = 10_000_000_000;

const PATIENCE: Duration = Duration::from_secs(20);

const SECRET: [u8; 32] = [0x42; 32];

/// A block that geth has, on its canonical chain or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// geth, which ends with the value.
pub struct Geth {
    child: Child,
    /// Where it answers, by HTTP and by WebSocket.
    pub url: String,
    engine: SocketAddr,
    /// What is on its chain; its people are not known to geth, we sign for them.
    pub chain: Chain,
    keys: BTreeMap<Address, PrivateKeySigner>,
    /// What consensus calls final.
    finalized: Mutex<B256>,
    /// Makes each payload another one.
    salt: Mutex<u64>,
    _dir: tempfile::TempDir,
}

/// What to do with transactions that wait although nobody asked for them: a reorganisation leaves
/// those of the blocks that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// They come again, in a block of their new chain.
    Included,
    /// Their senders do nothing instead: they never come again.
    Dropped,
}

impl Geth {
    /// Starts it, with our contracts on its chain.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let keys: BTreeMap<_, _> = (1..=6)
            .map(|n| PrivateKeySigner::from_slice(&[n; 32]).expect("a key"))
            .map(|key| (key.address(), key))
            .collect();
        initialize(dir.path(), keys.keys());
        let (child, url, engine) = spawn(dir.path());
        let rpc = Rpc::connect(url.parse().expect("a URL"), Limits::default());
        let rpc = rpc.await.expect("geth answers");
        let people = keys.keys().copied().collect();
        let mut geth = Self {
            child,
            url,
            engine,
            chain: Chain::without_contracts(rpc, people),
            keys,
            finalized: Mutex::default(),
            salt: Mutex::default(),
            _dir: dir,
        };
        (geth.chain.registry, geth.chain.status) = geth.deployed().await;
        geth
    }

    async fn deployed(&self) -> (Address, Address) {
        let key = &self.keys[&self.chain.people[0]];
        until("our contracts", PATIENCE, || async {
            let deployed = tokio::select! {
                deployed = self.chain.deployed(key.clone()) => deployed,
                () = self.mine_for_ever() => unreachable!("it never ends"),
            };
            // While its head moves, geth shows a receipt a moment before the state that goes with it,
            // and the next contract does not find the one before.
            deployed.ok()
        })
        .await
    }

    /// The head.
    pub async fn head(&self) -> Block {
        let head = self.chain.rpc.block(At::Latest).await;
        let head = head.expect("answered").expect("a head");
        Block {
            number: head.number,
            hash: head.hash,
        }
    }

    /// Builds a block on the head that holds these, in this order before others, and makes it known;
    /// it becomes no head. So siblings are built before one of them is chosen.
    pub async fn build(&self, wanted: &[Wanted], left: Left) -> Block {
        let parent = self.header().await;
        let hashes = self.submit(wanted, left).await;
        let payload = until("a block with what was asked for", PATIENCE, || async {
            let built = self.payload(&parent).await;
            let payload = &built["executionPayload"];
            let raw: Vec<Bytes> =
                serde_json::from_value(payload["transactions"].clone()).expect("transactions");
            let held: Vec<_> = raw.iter().map(keccak256).collect();
            let all = hashes.iter().all(|hash| held.contains(hash));
            let alone = held.iter().all(|hash| hashes.contains(hash));
            (all && (alone || left == Left::Included)).then_some(built)
        })
        .await;
        let known = json!([
            payload["executionPayload"],
            [],
            B256::ZERO,
            payload["executionRequests"]
        ]);
        let status = self.ask("engine_newPayloadV4", known).await;
        assert_eq!(status["status"], "VALID", "{status}");
        let of = |field: &str| payload["executionPayload"][field].clone();
        Block {
            number: number(&of("blockNumber")),
            hash: serde_json::from_value(of("blockHash")).expect("a hash"),
        }
    }

    /// The same, and makes it the head; what was asked for must have succeeded.
    pub async fn block(&self, wanted: &[Wanted]) -> Block {
        let block = self.build(wanted, Left::Dropped).await;
        self.choose(block).await;
        let receipts = self
            .chain
            .rpc
            .ask("eth_getBlockReceipts", json!([block.hash]));
        let receipts: Value = receipts.await.expect("answered");
        for receipt in receipts.as_array().expect("a list") {
            assert_eq!(receipt["status"], "0x1", "{receipt}");
        }
        block
    }

    /// Empty blocks, each the head in its turn.
    pub async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.block(&[]).await;
        }
    }

    /// Makes a known block the head: where it is on another chain, that is a reorganisation.
    pub async fn choose(&self, head: Block) {
        let status = self.fork_choice(head.hash, Value::Null).await;
        assert_eq!(status["payloadStatus"]["status"], "VALID", "{status}");
        assert_eq!(self.head().await, head);
    }

    /// Says that consensus finalized this canonical block.
    pub async fn finalize(&self, block: Block) {
        *self
            .finalized
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = block.hash;
        self.choose(self.head().await).await;
    }

    /// Consensus takes back what it called final, which it should never do.
    pub async fn finalize_nothing(&self) {
        *self
            .finalized
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = B256::ZERO;
        self.choose(self.head().await).await;
    }

    async fn mine_for_ever(&self) {
        loop {
            let block = self.build(&[], Left::Included).await;
            self.choose(block).await;
        }
    }

    async fn header(&self) -> Value {
        let latest = json!(["latest", false]);
        let header = self.chain.rpc.ask("eth_getBlockByNumber", latest).await;
        header.expect("answered")
    }

    /// What geth builds now on the head.
    async fn payload(&self, parent: &Value) -> Value {
        let salt = {
            let mut salt = self.salt.lock().unwrap_or_else(PoisonError::into_inner);
            *salt += 1;
            *salt
        };
        let attributes = json!({
            "timestamp": format!("{:#x}", number(&parent["timestamp"]) + 12),
            "prevRandao": B256::from(U256::from(salt)),
            "suggestedFeeRecipient": Address::ZERO,
            "withdrawals": [],
            "parentBeaconBlockRoot": B256::ZERO,
        });
        let hash = serde_json::from_value(parent["hash"].clone()).expect("a hash");
        let status = self.fork_choice(hash, attributes).await;
        let id = &status["payloadId"];
        assert!(id.is_string(), "{status}");
        self.ask("engine_getPayloadV5", json!([id])).await
    }

    async fn fork_choice(&self, head: B256, attributes: Value) -> Value {
        let finalized = *self
            .finalized
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let state = json!({
            "headBlockHash": head,
            "safeBlockHash": finalized,
            "finalizedBlockHash": finalized,
        });
        self.ask("engine_forkchoiceUpdatedV3", json!([state, attributes]))
            .await
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let bearer = format!("authorization: Bearer {}\r\n", token());
        http::ask(self.engine, &bearer, method, params).await
    }

    /// Puts transactions in the pool; gives their hashes. What waits already under their nonces is
    /// replaced.
    async fn submit(&self, wanted: &[Wanted], left: Left) -> Vec<B256> {
        let mut wanted = wanted.to_vec();
        if left == Left::Dropped {
            wanted.extend(self.nothing_instead(&wanted).await);
        }
        let mut tip = TIP;
        loop {
            if let Some(hashes) = self.submit_for(&wanted, tip).await {
                return hashes;
            }
            tip *= 2;
        }
    }

    /// The same at this price; nothing where something that waits already pays too much for that.
    async fn submit_for(&self, wanted: &[Wanted], tip: u128) -> Option<Vec<B256>> {
        let rpc = &self.chain.rpc;
        let mut nonces = BTreeMap::new();
        let mut hashes = Vec::new();
        for (place, (from, to, data)) in wanted.iter().enumerate() {
            let mined = rpc.nonce(*from, At::Latest).await.expect("answered");
            let nonce = nonces.entry(*from).or_insert(mined);
            let tip = tip - 1_000_000 * place as u128;
            let prepared = Prepared {
                chain_id: rpc.chain(),
                from: *from,
                nonce: *nonce,
                to: Some(*to),
                data: data.clone(),
                gas: GAS,
                max_fee_per_gas: tip + TIP,
                max_priority_fee_per_gas: tip,
                value: U256::ZERO,
            };
            *nonce += 1;
            let (hash, raw) = prepared.sign(&self.keys[from]).expect("signed");
            match sender::relay(rpc, &raw).await {
                Ok(_) => hashes.push(hash),
                Err(SendError::Underpriced) => return None,
                Err(error) => panic!("{error}"),
            }
        }
        Some(hashes)
    }

    /// For each transaction that waits in a place that `wanted` does not take, one that does nothing.
    async fn nothing_instead(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let mut out = Vec::new();
        for account in self.keys.keys() {
            let content = self.chain.rpc.ask("txpool_contentFrom", json!([account]));
            let content: Value = content.await.expect("answered");
            let waiting = ["pending", "queued"]
                .map(|kind| content[kind].as_object().map_or(0, serde_json::Map::len));
            let taken = wanted.iter().filter(|(from, _, _)| from == account).count();
            for _ in taken..waiting.iter().sum() {
                out.push((*account, *account, Bytes::new()));
            }
        }
        out
    }
}

impl Drop for Geth {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(hex: &Value) -> u64 {
    let hex = hex.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(hex.expect("a quantity"), 16).expect("a quantity")
}

/// geth's own development genesis without its developer, from our time on, with money for `people`.
fn initialize<'a>(dir: &Path, people: impl Iterator<Item = &'a Address>) {
    let dump = Command::new(binary())
        .args(["--dev", "dumpgenesis"])
        .output();
    let mut genesis: Value = serde_json::from_slice(&dump.expect("geth").stdout).expect("JSON");
    genesis["timestamp"] = json!(format!("{GENESIS_TIME:#x}"));
    genesis["gasLimit"] = json!(GAS_LIMIT);
    for account in people {
        genesis["alloc"][hex::encode(account)] = json!({ "balance": "0xd3c21bcecceda1000000" });
    }
    let file = dir.join("genesis.json");
    fs::write(&file, genesis.to_string()).expect("written");
    fs::write(dir.join("jwt"), hex::encode(SECRET)).expect("written");
    let output = Command::new(binary())
        .arg("init")
        .arg("--datadir")
        .args([&dir.join("data"), &file])
        .output()
        .expect("geth");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Starts it on free ports; gives the addresses of its two doors.
fn spawn(dir: &Path) -> (Child, String, SocketAddr) {
    let log = dir.join("log");
    let mut child = Command::new(binary())
        .args([
            "--http",
            "--http.port=0",
            "--http.api=eth,net,web3,debug,txpool",
        ])
        .args([
            "--ws",
            "--ws.port=0",
            "--authrpc.port=0",
            "--port=0",
            "--ipcdisable",
        ])
        .args([
            "--nodiscover",
            "--maxpeers=0",
            "--nat=none",
            "--syncmode=full",
            "--cache=64",
        ])
        .arg("--datadir")
        .arg(dir.join("data"))
        .arg("--authrpc.jwtsecret")
        .arg(dir.join("jwt"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("geth");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let (mut open, mut engine) = (None, None);
    let mut seen = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        seen += &line;
        seen.push('\n');
        let endpoint = || {
            line.split_once("endpoint=")?
                .1
                .split(' ')
                .next()?
                .parse()
                .ok()
        };
        if line.contains("HTTP server started") {
            let door = if line.contains("auth=true") {
                &mut engine
            } else {
                &mut open
            };
            *door = endpoint();
        }
        if open.is_some() && engine.is_some() {
            break;
        }
    }
    let (Some(open), Some(engine)) = (open, engine) else {
        let _ = child.kill();
        panic!("geth does not say where it listens:\n{seen}");
    };
    // Somebody has to read on: a full pipe would stop it.
    let mut log = File::create(log).expect("a file");
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut log, format!("{line}\n").as_bytes());
        }
    });
    let open: SocketAddr = open;
    (child, format!("http://{open}"), engine)
}

/// What proves to geth that we share its secret (JWT, HS256).
fn token() -> String {
    let now = Clock::System.now().timestamp();
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({ "alg": "HS256", "typ": "JWT" })),
        part(json!({ "iat": now }))
    );
    let padded = |with: u8| {
        let mut block = [with; 64];
        for (byte, secret) in block.iter_mut().zip(SECRET) {
            *byte ^= secret;
        }
        block
    };
    let inner = sha256(&[&padded(0x36), signed.as_bytes()].concat());
    let mac = sha256(&[padded(0x5c).as_slice(), &inner].concat());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
}

/// `CHANCERY_GETH`, else the one that `scripts/setup --tests` builds. This is never passed over.
#[expect(
    clippy::disallowed_methods,
    reason = "a test finds its binary by the environment"
)]
fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("CHANCERY_GETH") {
        return binary.into();
    }
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/setup");
    let output = Command::new(setup)
        .arg("--print-geth")
        .output()
        .expect("scripts/setup");
    let binary = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(
        output.status.success() && binary.exists(),
        "this test needs geth: run `scripts/setup --tests`, which builds it ({}), or set CHANCERY_GETH",
        binary.display()
    );
    binary
}
