//! A chain as a list of blocks with real, ABI-encoded logs.

use chain::{Block, Log, Registries, contracts::topics, vexel::topics as vexel};
use kernel::{Address, AgentId, B256, Token, U256, keccak256, sha256};

pub const REGISTRY: Address = Address::repeat_byte(0x11);
pub const STATUS: Address = Address::repeat_byte(0x22);
pub const VEXEL: Address = Address::repeat_byte(0x33);
pub const NOBODY: Address = Address::ZERO;
pub const ALICE: Address = Address::repeat_byte(0xaa);
pub const BOB: Address = Address::repeat_byte(0xbb);
pub const CAROL: Address = Address::repeat_byte(0xcc);
pub const ACTIVE: u8 = 0;
pub const SLEEP: u8 = 1;
pub const TERMINATED: u8 = 2;

/// A canonical chain; number 0 is its genesis.
#[derive(Clone)]
pub struct Script {
    pub id: u64,
    pub registries: Vec<Address>,
    pub blocks: Vec<(Block, Vec<Log>)>,
}

impl Script {
    pub fn new(id: u64) -> Self {
        let genesis = Block {
            number: 0,
            hash: B256::from(sha256(&id.to_be_bytes())),
            parent: None,
            time: Some(0),
        };
        Self {
            id,
            registries: vec![REGISTRY],
            blocks: vec![(genesis, Vec::new())],
        }
    }

    pub fn contracts(&self) -> Registries {
        Registries {
            identity: self.registries.clone(),
            status: vec![STATUS],
            vexel: vec![VEXEL],
        }
    }

    pub fn tip(&self) -> i64 {
        i64::try_from(self.blocks.len()).expect("few") - 1
    }

    /// The id of the agent of a token of the first registry.
    pub fn agent(&self, token: u64) -> AgentId {
        self.agent_at(REGISTRY, token)
    }

    pub fn agent_at(&self, registry: Address, token: u64) -> AgentId {
        AgentId::of_token(&Token {
            chain: self.id,
            registry,
            id: U256::from(token),
        })
    }

    /// Forgets the blocks above `to`: what is written next is another chain.
    pub fn fork(&mut self, to: i64) {
        self.blocks
            .truncate(usize::try_from(to).expect("a block") + 1);
    }

    /// Adds a block at `time` (seconds).
    pub fn block(
        &mut self,
        time: i64,
        write: impl FnOnce(&mut Writer) -> &mut Writer,
    ) -> &mut Self {
        let parent = self.blocks.last().expect("genesis").0.clone();
        let number = parent.number + 1;
        let mut writer = Writer {
            chain: self.id,
            registry: REGISTRY,
            seed: parent.hash,
            named: None,
            logs: vec![],
            txs: 0,
        };
        write(&mut writer);
        let mut content = parent.hash.to_vec();
        content.extend(time.to_be_bytes());
        for log in &writer.logs {
            content.extend(log.tx_hash);
            log.topics.iter().for_each(|topic| content.extend(topic));
            content.extend_from_slice(&log.data);
        }
        let hash = B256::from(sha256(&content));
        let block = Block {
            number,
            hash,
            parent: Some(parent.hash),
            time: Some(time),
        };
        for log in &mut writer.logs {
            log.block_number = number;
            log.block_hash = hash;
        }
        self.blocks.push((block, writer.logs));
        self
    }
}

/// Writes the logs of one block.
pub struct Writer {
    chain: u64,
    registry: Address,
    seed: B256,
    named: Option<B256>,
    logs: Vec<Log>,
    txs: u32,
}

impl Writer {
    /// The next logs are of another registry.
    pub fn registry(&mut self, registry: Address) -> &mut Self {
        self.registry = registry;
        self
    }

    /// The next logs are of the transaction of this name, which is the same in every fork.
    pub fn tx(&mut self, name: &str) -> &mut Self {
        self.named = Some(B256::from(sha256(name.as_bytes())));
        self
    }

    pub fn mint(&mut self, token: u64, to: Address) -> &mut Self {
        self.transfer(token, NOBODY, to)
    }

    pub fn burn(&mut self, token: u64, from: Address) -> &mut Self {
        self.transfer(token, from, NOBODY)
    }

    pub fn transfer(&mut self, token: u64, from: Address, to: Address) -> &mut Self {
        let topics = vec![
            topics::TRANSFER,
            from.into_word(),
            to.into_word(),
            word(token),
        ];
        self.log(self.registry, topics, vec![])
    }

    /// The owner lets somebody act for him, until the next transfer.
    pub fn approve(&mut self, token: u64, owner: Address, to: Address) -> &mut Self {
        let topics = vec![
            topics::APPROVAL,
            owner.into_word(),
            to.into_word(),
            word(token),
        ];
        self.log(self.registry, topics, vec![])
    }

    /// A whole registration: mint, the URI where there is one, `Registered`, the wallet.
    pub fn register(&mut self, token: u64, owner: Address, uri: &str) -> &mut Self {
        let outer = self.named;
        if outer.is_none() {
            self.tx(&format!("{:#x}/{}", self.seed, self.logs.len()));
        }
        self.mint(token, owner);
        if !uri.is_empty() {
            self.log(
                self.registry,
                vec![topics::METADATA_UPDATE],
                word(token).to_vec(),
            );
        }
        self.registered(token, owner, uri);
        self.metadata(token, "agentWallet", owner.as_slice());
        self.named = outer;
        self
    }

    pub fn registered(&mut self, token: u64, owner: Address, uri: &str) -> &mut Self {
        let topics = vec![topics::REGISTERED, word(token), owner.into_word()];
        self.log(self.registry, topics, encoded(&[uri.as_bytes()]))
    }

    pub fn uri(&mut self, token: u64, uri: &str) -> &mut Self {
        let topics = vec![topics::URI_UPDATED, word(token), ALICE.into_word()];
        self.log(self.registry, topics, encoded(&[uri.as_bytes()]))
    }

    pub fn metadata(&mut self, token: u64, key: &str, value: &[u8]) -> &mut Self {
        let topics = vec![topics::METADATA_SET, word(token), keccak256(key.as_bytes())];
        self.log(self.registry, topics, encoded(&[key.as_bytes(), value]))
    }

    pub fn status(&mut self, token: u64, code: u8, reason: &str) -> &mut Self {
        let topics = vec![topics::STATUS_SET, self.registry.into_word(), word(token)];
        let mut data = word(u64::from(code)).to_vec();
        data.extend(word(96));
        data.extend(ALICE.into_word());
        data.extend(word(u64::try_from(reason.len()).expect("short")));
        data.extend(reason.as_bytes());
        data.resize(data.len().next_multiple_of(32), 0);
        self.log(STATUS, topics, data)
    }

    pub fn heartbeat(&mut self, token: u64) -> &mut Self {
        let topics = vec![topics::HEARTBEAT, self.registry.into_word(), word(token)];
        self.log(STATUS, topics, vec![])
    }

    /// VEXEL's `AgentHeartbeat`: an address is registered for a DID.
    pub fn enrol(&mut self, did: &str, account: Address) -> &mut Self {
        let topics = vec![
            vexel::REGISTERED,
            keccak256(did.as_bytes()),
            account.into_word(),
        ];
        self.log(VEXEL, topics, word(86_400).to_vec())
    }

    /// `HeartbeatRecorded`.
    pub fn beat(&mut self, did: &str) -> &mut Self {
        let topics = vec![vexel::RECORDED, keccak256(did.as_bytes())];
        self.log(VEXEL, topics, word(0).to_vec())
    }

    /// `InactivityDetected`.
    pub fn inactive(&mut self, did: &str) -> &mut Self {
        let topics = vec![vexel::INACTIVE, keccak256(did.as_bytes())];
        self.log(VEXEL, topics, [word(0), word(1)].concat())
    }

    /// `AgentDeactivated`.
    pub fn deactivate(&mut self, did: &str, account: Address) -> &mut Self {
        let topics = vec![
            vexel::DEACTIVATED,
            keccak256(did.as_bytes()),
            account.into_word(),
        ];
        self.log(VEXEL, topics, vec![])
    }

    /// VEXEL's `AgentRegistry`: an agent is registered under its DID.
    pub fn register_did(&mut self, did: &str, owner: Address, name: &str) -> &mut Self {
        let topics = vec![vexel::DID_REGISTERED, owner.into_word(), keccak256(b"Qm")];
        let data = encoded(&[did.as_bytes(), name.as_bytes(), b"of VEXEL"]);
        self.log(VEXEL, topics, data)
    }

    /// `AgentUpdated`.
    pub fn update_did(&mut self, did: &str, name: &str, ipfs_hash: &str) -> &mut Self {
        let data = encoded(&[did.as_bytes(), name.as_bytes(), ipfs_hash.as_bytes()]);
        self.log(VEXEL, vec![vexel::DID_UPDATED], data)
    }

    /// `AgentStatusChanged`.
    pub fn status_of_did(&mut self, did: &str, code: u8) -> &mut Self {
        let mut data = [word(96), word(0), word(u64::from(code))].concat();
        data.extend(word(u64::try_from(did.len()).expect("short")));
        data.extend(did.as_bytes());
        data.resize(data.len().next_multiple_of(32), 0);
        self.log(VEXEL, vec![vexel::DID_STATUS], data)
    }

    /// `CapabilityAdded`.
    pub fn capability_of_did(&mut self, did: &str, name: &str, value: &str) -> &mut Self {
        let data = encoded(&[did.as_bytes(), name.as_bytes(), value.as_bytes()]);
        self.log(VEXEL, vec![vexel::DID_CAPABILITY], data)
    }

    /// An event of the set that names agents by address alone.
    pub fn status_of_address(&mut self, account: Address, code: u8) -> &mut Self {
        let topics = vec![vexel::ADDRESS_STATUS, account.into_word()];
        self.log(VEXEL, topics, [word(0), word(u64::from(code))].concat())
    }

    /// A `URIUpdated` whose data is none.
    pub fn malformed(&mut self, token: u64) -> &mut Self {
        let topics = vec![topics::URI_UPDATED, word(token), ALICE.into_word()];
        self.log(self.registry, topics, vec![1, 2, 3])
    }

    /// ERC-20's `Transfer`, which names no token.
    pub fn nameless(&mut self) -> &mut Self {
        let topics = vec![topics::TRANSFER, ALICE.into_word(), BOB.into_word()];
        self.log(self.registry, topics, vec![])
    }

    fn log(&mut self, address: Address, topics: Vec<B256>, data: Vec<u8>) -> &mut Self {
        let index = u32::try_from(self.logs.len()).expect("few");
        let tx_hash = self.named.unwrap_or_else(|| {
            self.txs += 1;
            B256::from(sha256(format!("{:#x}/{index}", self.seed).as_bytes()))
        });
        self.logs.push(Log {
            chain: self.chain,
            block_number: 0,
            block_hash: B256::ZERO,
            block_time: None,
            tx_hash,
            tx_index: index,
            log_index: index,
            address,
            topics,
            data: data.into(),
        });
        self
    }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

/// ABI encoding of dynamic values.
fn encoded(values: &[&[u8]]) -> Vec<u8> {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for value in values {
        head.extend(word(
            u64::try_from(values.len() * 32 + tail.len()).expect("small"),
        ));
        tail.extend(word(u64::try_from(value.len()).expect("small")));
        tail.extend_from_slice(value);
        tail.resize(tail.len().next_multiple_of(32), 0);
    }
    head.extend(tail);
    head
}
