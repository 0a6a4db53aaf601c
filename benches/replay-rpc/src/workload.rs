//! The standard chain of agents, the same one for the same seed, and the state that it ends in.
//!
//! A cycle of ten events: `[Transfer (mint), Registered] | MetadataSet | MetadataSet | URIUpdated |
//! [Transfer (mint), Registered] | MetadataSet | URIUpdated | Transfer`; brackets and bars are
//! transactions. The mints of cycle `c` make the agents `2c + 1` and `2c + 2`, everything else goes to
//! an agent that is there already. Other indexers were measured on 9,901 blocks with twenty events
//! each, the genesis among them: 198,020 events, 39,604 agents.
//!
//! On a fork a third of the events that are no mint are missing, and every other value is another
//! one. What a block holds follows from the seed and from the salts of the blocks up to it, which
//! stand in their headers as the proposer: so a branch can be gone on with whenever it is canonical.

mod abi;
mod agents;
mod truth;

use alloy_primitives::{Address, B256, Bytes, Log, U256, address, keccak256};

use crate::model::{Block, Draft, Fork, Spec, Tx};

use agents::Agents;
pub use truth::{Counts, Truth};

/// The registry that all events come from.
pub const REGISTRY: Address = address!("8004a169fb4a3325136eb29fa0ceb6d2e539a432");
/// A token that has nothing to do with agents.
const NOISE: Address = address!("00000000000000000000000000000000000a015e");
const FIRST_TIME: u64 = 1_760_000_000;
const BLOCK_SECONDS: u64 = 12;
const KEYS: [&str; 4] = ["agentName", "category", "endpoint", "version"];

/// What chain it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Another seed, another chain.
    pub seed: u64,
    /// EIP-155.
    pub chain_id: u64,
    /// Events in a block that has any.
    pub events: u64,
    /// Only blocks of which the number is a multiple of this have events.
    pub every: u64,
    /// Transactions in each block that have nothing to do with agents; each logs one event.
    pub noise: u64,
    /// The form of headers.
    pub fork: Fork,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            seed: 8004,
            chain_id: 987_654,
            events: 20,
            every: 1,
            noise: 0,
            fork: Fork::Prague,
        }
    }
}

impl Params {
    /// What its blocks have in common.
    pub fn spec(&self) -> Spec {
        Spec {
            chain_id: self.chain_id,
            fork: self.fork,
        }
    }
}

/// The chain's contract, as it stands after some blocks.
#[derive(Debug)]
pub struct Workload {
    params: Params,
    agents: Agents,
    /// Number of the next block.
    next: u64,
    /// Number of the next event; missing ones count.
    event: u64,
    topics: Topics,
}

#[derive(Debug)]
struct Topics {
    registered: B256,
    transfer: B256,
    metadata_set: B256,
    uri_updated: B256,
    keys: [B256; 4],
}

/// One block in the making.
struct Making {
    random: SplitMix,
    salt: u64,
    txs: Vec<Tx>,
}

impl Workload {
    /// Before the genesis.
    pub fn new(params: Params) -> Self {
        Self {
            params,
            agents: Agents::default(),
            next: 0,
            event: 0,
            topics: Topics {
                registered: keccak256("Registered(uint256,string,address)"),
                transfer: keccak256("Transfer(address,address,uint256)"),
                metadata_set: keccak256("MetadataSet(uint256,string,string,bytes)"),
                uri_updated: keccak256("URIUpdated(uint256,string,address)"),
                keys: KEYS.map(keccak256),
            },
        }
    }

    /// After blocks with these salts, the genesis' first.
    pub fn after(params: Params, salts: impl IntoIterator<Item = u64>) -> Self {
        let mut workload = Self::new(params);
        for salt in salts {
            workload.draft(salt);
        }
        workload
    }

    /// The salt of a block that a workload made.
    pub fn salt(block: &Block) -> u64 {
        let mut salt = [0; 8];
        salt.copy_from_slice(&block.header.beneficiary[12..]);
        u64::from_be_bytes(salt)
    }

    /// Its chain's parameters.
    pub fn params(&self) -> Params {
        self.params
    }

    /// What happens in the next block; the main chain's salt is 0.
    pub fn draft(&mut self, salt: u64) -> Draft {
        let number = self.next;
        self.next += 1;
        let seed = crate::mix(self.params.seed ^ crate::mix(number)) ^ crate::mix(salt);
        let mut block = Making {
            random: SplitMix(seed),
            salt,
            txs: Vec::new(),
        };
        if number.is_multiple_of(self.params.every.max(1)) {
            for _ in 0..self.params.events {
                self.event(&mut block);
            }
        }
        for place in 0..self.params.noise {
            let tx = self.noise(&mut block, number * self.params.noise + place);
            block.txs.push(tx);
        }
        let mut proposer = Address::ZERO;
        proposer[12..].copy_from_slice(&salt.to_be_bytes());
        Draft {
            timestamp: FIRST_TIME + BLOCK_SECONDS * number,
            proposer,
            txs: block.txs,
            state: None,
        }
    }

    /// The state of all agents, and what made it.
    pub fn truth(&self) -> Truth {
        self.agents.truth(self.next.saturating_sub(1))
    }

    fn event(&mut self, block: &mut Making) {
        let event = self.event;
        self.event += 1;
        let step = event % 10;
        let is_mint = matches!(step, 0 | 1 | 5 | 6);
        if block.salt != 0 && !is_mint && block.random.below(3) == 0 {
            return;
        }
        let (sender, log) = match step {
            0 | 5 => self.mint(block),
            1 | 6 => self.registered(),
            2 | 3 | 7 => self.metadata_set(block),
            4 | 8 => self.uri_updated(block),
            _ => self.transfer(block),
        };
        // A registration's second event belongs to the transaction of its first; a block that ends
        // between them leaves it one of its own.
        match block.txs.last_mut() {
            Some(tx) if matches!(step, 1 | 6) => {
                tx.gas += GAS_PER_LOG;
                tx.logs.push(log);
            }
            _ => {
                let nonce = event ^ block.salt << 40;
                block.txs.push(Tx::call(sender, nonce, REGISTRY, vec![log]));
            }
        }
    }

    fn mint(&mut self, block: &mut Making) -> (Address, Log) {
        let owner = block.random.address();
        let uri = self.uri(self.agents.len() + 1, block.salt);
        let id = self.agents.mint(owner, uri);
        let topics = vec![
            self.topics.transfer,
            B256::ZERO,
            owner.into_word(),
            word(id),
        ];
        (owner, log(topics, Vec::new()))
    }

    fn registered(&mut self) -> (Address, Log) {
        let (id, owner, uri) = self.agents.registered();
        let topics = vec![self.topics.registered, word(id), owner.into_word()];
        (owner, log(topics, abi::encode(&[uri.as_bytes()])))
    }

    fn metadata_set(&mut self, block: &mut Making) -> (Address, Log) {
        let id = self.any(block);
        let key = block.random.below(KEYS.len());
        let value = block.random.word();
        let owner = self.agents.set_metadata(id, key, value);
        let topics = vec![self.topics.metadata_set, word(id), self.topics.keys[key]];
        let data = abi::encode(&[KEYS[key].as_bytes(), value.as_slice()]);
        (owner, log(topics, data))
    }

    fn uri_updated(&mut self, block: &mut Making) -> (Address, Log) {
        let id = self.any(block);
        let uri = self.uri(id, block.salt);
        let data = abi::encode(&[uri.as_bytes()]);
        let owner = self.agents.set_uri(id, uri);
        let topics = vec![self.topics.uri_updated, word(id), owner.into_word()];
        (owner, log(topics, data))
    }

    fn transfer(&mut self, block: &mut Making) -> (Address, Log) {
        let id = self.any(block);
        let to = block.random.address();
        let from = self.agents.transfer(id, to);
        let topics = vec![
            self.topics.transfer,
            from.into_word(),
            to.into_word(),
            word(id),
        ];
        (from, log(topics, Vec::new()))
    }

    fn noise(&self, block: &mut Making, number: u64) -> Tx {
        let (from, to) = (block.random.address(), block.random.address());
        let topics = vec![self.topics.transfer, from.into_word(), to.into_word()];
        let data = Bytes::from(U256::from(number).to_be_bytes_vec());
        let log = Log::new_unchecked(NOISE, topics, data);
        Tx::call(from, number ^ block.salt << 40, NOISE, vec![log])
    }

    /// An agent that is there already.
    fn any(&self, block: &mut Making) -> usize {
        1 + block.random.below(self.agents.len())
    }

    /// By turns on the web and in IPFS; no two are the same.
    fn uri(&self, id: usize, salt: u64) -> String {
        let number = self.event - 1;
        if number.is_multiple_of(2) {
            let name = [number.to_be_bytes(), salt.to_be_bytes()].concat();
            format!("ipfs://{}", kernel::cid_of_raw(&name))
        } else {
            format!("https://agents.example/{id}/{number}.{salt}/agent.json")
        }
    }
}

const GAS_PER_LOG: u64 = 30_000;

fn log(topics: Vec<B256>, data: Vec<u8>) -> Log {
    Log::new_unchecked(REGISTRY, topics, Bytes::from(data))
}

fn word(id: usize) -> B256 {
    U256::from(id).into()
}

/// Sebastiano Vigna's splitmix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        let given = crate::mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        given
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
