//! A made-up chain of agents, the same one for the same seed: 20 events in each block, in a cycle of
//! ten, as the peers were measured on it.
//!
//! `[Transfer (mint), Registered] | MetadataSet | MetadataSet | URIUpdated | [Transfer (mint),
//! Registered] | MetadataSet | URIUpdated | Transfer`; brackets and bars are transactions. The two
//! mints of cycle `c` make the agents `2c + 1` and `2c + 2`, everything else goes to an agent that is
//! there already. Every URI is another one, so every one of them asks for a document.

use std::fmt::Write as _;

use chain::{Log, Recording, contracts::topics};
use kernel::{Address, B256, U256, cid_of_raw, keccak256, sha256};

const CHAIN: u64 = 987_654;
const REGISTRY: &str = "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432";
const FIRST_BLOCK: u64 = 1;
const FIRST_TIME: i64 = 1_760_000_000;
const BLOCK_SECONDS: i64 = 12;
const EVENTS_PER_BLOCK: u64 = 20;
const KEYS: [&str; 4] = ["agentName", "category", "endpoint", "version"];

/// The recording, and what an index of it must end in.
pub struct Workload {
    /// The file's bytes.
    pub file: Vec<u8>,
    /// How many agents it makes.
    pub agents: usize,
    /// How many different URIs it names.
    pub uris: usize,
    /// SHA-256 of the lines `id|owner|uri`, by id, in hex.
    pub state: String,
}

/// Makes `events` events.
pub fn workload(events: u64, seed: u64) -> Workload {
    let mut chain = Writer::new(seed);
    for event in 0..events {
        chain.event(event);
    }
    let mut lines = String::new();
    for (id, agent) in (1..).zip(&chain.agents) {
        let line = if id == 1 { "" } else { "\n" };
        let _ = write!(lines, "{line}{id}|{:x}|{}", agent.owner, agent.uri);
    }
    let recording = Recording {
        chain: CHAIN,
        blocks: Vec::new(),
        logs: chain.logs,
        topics: None,
    };
    Workload {
        file: recording.to_json().expect("a recording is JSON"),
        agents: chain.agents.len(),
        uris: chain.uris,
        state: hex::encode(sha256(lines.as_bytes())),
    }
}

struct Agent {
    owner: Address,
    uri: String,
}

struct Writer {
    random: SplitMix,
    registry: Address,
    logs: Vec<Log>,
    agents: Vec<Agent>,
    uris: usize,
    block_hash: B256,
    tx_hash: B256,
    tx_index: u32,
}

impl Writer {
    fn new(seed: u64) -> Self {
        Self {
            random: SplitMix(seed),
            registry: REGISTRY.parse().expect("an address"),
            logs: Vec::new(),
            agents: Vec::new(),
            uris: 0,
            block_hash: B256::ZERO,
            tx_hash: B256::ZERO,
            tx_index: 0,
        }
    }

    fn event(&mut self, event: u64) {
        let step = event % 10;
        if event.is_multiple_of(EVENTS_PER_BLOCK) {
            self.block_hash = self.random.word();
        }
        // A registration's second event belongs to the transaction of its first.
        if step != 1 && step != 6 {
            self.tx_index = match event % EVENTS_PER_BLOCK {
                0 => 0,
                _ => self.tx_index + 1,
            };
            self.tx_hash = self.random.word();
        }
        let (topics, data) = match step {
            0 | 5 => self.mint(),
            1 | 6 => self.registered(),
            2 | 3 | 7 => self.metadata_set(),
            4 | 8 => self.uri_updated(),
            _ => self.transfer(),
        };
        let block = event / EVENTS_PER_BLOCK;
        self.logs.push(Log {
            chain: CHAIN,
            block_number: FIRST_BLOCK + block,
            block_hash: self.block_hash,
            block_time: Some(FIRST_TIME + BLOCK_SECONDS * block.cast_signed()),
            tx_hash: self.tx_hash,
            tx_index: self.tx_index,
            log_index: u32::try_from(event % EVENTS_PER_BLOCK).expect("small"),
            address: self.registry,
            topics,
            data: data.into(),
        });
    }

    fn mint(&mut self) -> (Vec<B256>, Vec<u8>) {
        let owner = self.random.address();
        let uri = self.uri(self.agents.len());
        self.agents.push(Agent { owner, uri });
        let id = self.agents.len();
        let topics = vec![topics::TRANSFER, B256::ZERO, owner.into_word(), word_of(id)];
        (topics, Vec::new())
    }

    fn registered(&mut self) -> (Vec<B256>, Vec<u8>) {
        let id = self.agents.len();
        let agent = &self.agents[id - 1];
        let topics = vec![topics::REGISTERED, word_of(id), agent.owner.into_word()];
        (topics, encode(&[agent.uri.as_bytes()]))
    }

    fn metadata_set(&mut self) -> (Vec<B256>, Vec<u8>) {
        let id = self.any();
        let key = KEYS[self.random.below(KEYS.len())];
        let value = self.random.word();
        let topics = vec![topics::METADATA_SET, word_of(id + 1), keccak256(key)];
        (topics, encode(&[key.as_bytes(), value.as_slice()]))
    }

    fn uri_updated(&mut self) -> (Vec<B256>, Vec<u8>) {
        let id = self.any();
        self.agents[id].uri = self.uri(id);
        let agent = &self.agents[id];
        let topics = vec![
            topics::URI_UPDATED,
            word_of(id + 1),
            agent.owner.into_word(),
        ];
        (topics, encode(&[agent.uri.as_bytes()]))
    }

    fn transfer(&mut self) -> (Vec<B256>, Vec<u8>) {
        let id = self.any();
        let to = self.random.address();
        let from = std::mem::replace(&mut self.agents[id].owner, to);
        let topics = vec![
            topics::TRANSFER,
            from.into_word(),
            to.into_word(),
            word_of(id + 1),
        ];
        (topics, Vec::new())
    }

    /// Place of an agent that is there already.
    fn any(&mut self) -> usize {
        self.random.below(self.agents.len())
    }

    /// By turns on the web and in IPFS.
    fn uri(&mut self, place: usize) -> String {
        self.uris += 1;
        let number = self.uris;
        if number.is_multiple_of(2) {
            format!("ipfs://{}", cid_of_raw(&number.to_be_bytes()))
        } else {
            format!("https://agents.example/{}/{number}/agent.json", place + 1)
        }
    }
}

fn word_of(id: usize) -> B256 {
    U256::from(id).into()
}

/// ABI encoding of a list of `string` and `bytes`.
fn encode(values: &[&[u8]]) -> Vec<u8> {
    let (mut heads, mut tails) = (Vec::new(), Vec::new());
    for value in values {
        heads.extend_from_slice(word_of(values.len() * 32 + tails.len()).as_slice());
        tails.extend_from_slice(word_of(value.len()).as_slice());
        tails.extend_from_slice(value);
        tails.resize(tails.len().next_multiple_of(32), 0);
    }
    heads.extend(tails);
    heads
}

/// Sebastiano Vigna's splitmix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn word(&mut self) -> B256 {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_be_bytes());
        }
        bytes.into()
    }

    fn address(&mut self) -> Address {
        Address::from_word(self.word())
    }
}
