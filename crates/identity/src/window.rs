//! A window: what the logs of some settled blocks say, kept in memory between the commit of the ground and one
//! big projection ([`crate::project_window`]).
//!
//! A backfill stores ground in its own steps and lets the projection trail. Reading the logs back would cost as
//! much as fetching them, so their words stay here, in about a hundred bytes each: an agent's logs are a linked
//! list of records through one [`Arena`], in chain order.

mod arena;
mod record;

use std::collections::HashMap;

use chain::{Block, Log, Malformed, Said, SeenTopics, decode_token};
use chrono::{DateTime, Utc};
use kernel::{Address, AgentId, B256, Token};
use uuid::Uuid;

use crate::{Error, Result};

use self::{
    arena::{Arena, Link},
    record::{LogRecord, Reader, TokenRecord},
};

/// What the logs of a range of blocks of one chain say, by agent.
#[derive(Debug)]
pub struct Window {
    chain: u64,
    topics: SeenTopics,
    /// The blocks are above this one.
    after: i64,
    /// And end with this one.
    to: i64,
    arena: Arena,
    blocks: Vec<BlockRow>,
    /// Contracts that speak, and registries: few.
    addresses: Vec<Address>,
    agents: Vec<Listed>,
    places: HashMap<Uuid, u32>,
    /// In the order of steps; of one agent in chain order.
    uris: Vec<UriRow>,
    logs: usize,
}

/// A URI that an agent was given.
#[derive(Debug)]
struct UriRow {
    agent: u32,
    block: u32,
    log: u32,
    /// Its bytes in the arena, behind their number.
    at: Link,
}

/// A block that holds logs.
#[derive(Debug)]
struct BlockRow {
    number: i64,
    hash: B256,
    /// Microseconds.
    time: i64,
}

/// An agent of the window and its list of records.
#[derive(Debug)]
struct Listed {
    id: Uuid,
    first: Link,
    last: Link,
}

/// One log as the fold sees it: where it stands, and the words that it says.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Its block.
    pub block: i64,
    /// The block's hash.
    pub block_hash: B256,
    /// The block's time in microseconds.
    pub time: i64,
    /// Its transaction.
    pub tx_hash: B256,
    /// Its place in the block.
    pub index: u32,
    /// Who emitted it.
    pub address: Address,
    /// Its words; one that could not be read says none.
    pub said: Vec<Said>,
}

/// The room that a map takes for each of its slots beside the slot itself.
const MAP_OVERHEAD: usize = 1;

impl Window {
    /// An empty window of the blocks of `chain` above `after`. `topics` are those that the chain's source holds.
    pub fn new(chain: u64, topics: SeenTopics, after: i64) -> Self {
        Self {
            chain,
            topics,
            after,
            to: after,
            arena: Arena::default(),
            blocks: Vec::new(),
            addresses: Vec::new(),
            agents: Vec::new(),
            places: HashMap::new(),
            uris: Vec::new(),
            logs: 0,
        }
    }

    /// Adds a step of the ground that ends with block `to`: its blocks that hold logs, ascending, and all their
    /// logs in chain order, each with the agent that it speaks of. A block without a time has that of `now`, as
    /// its row has. A step holds whole blocks, so that a log and its neighbours are read together.
    ///
    /// Gives the logs of agents that could not be read, by their place in `logs`. Errors where a log's block is
    /// not among the blocks.
    pub fn add(
        &mut self,
        to: i64,
        now: DateTime<Utc>,
        blocks: &[Block],
        logs: &[(Log, Option<(AgentId, Token)>)],
    ) -> Result<Vec<(usize, Malformed)>> {
        let of_blocks = blocks_of(blocks, logs)?;
        let first_block = self.blocks.len();
        let transactions = self.put_transactions(&of_blocks, logs);
        self.blocks
            .extend(blocks.iter().map(|block| BlockRow::of(block, now)));
        self.to = self.to.max(to);
        self.logs += logs.len();
        let mut order: Vec<(u32, usize)> = Vec::with_capacity(logs.len());
        for (place, (_, named)) in logs.iter().enumerate() {
            if let Some((agent, token)) = named {
                order.push((self.place(*agent, token), place));
            }
        }
        order.sort_unstable();
        let mut malformed = Vec::new();
        for group in order.chunk_by(|one, other| one.0 == other.0) {
            let of_agent: Vec<&Log> = group.iter().map(|(_, place)| &logs[*place].0).collect();
            let mut words = decode_token(&of_agent, self.topics).into_iter().peekable();
            for (nth, (agent, place)) in group.iter().enumerate() {
                let mut said = Vec::new();
                while let Some((_, word)) = words.next_if(|(index, _)| *index == nth) {
                    match word {
                        Ok(word) => said.push(word),
                        Err(why) => malformed.push((*place, why)),
                    }
                }
                let block = first_block + of_blocks[*place];
                self.push(*agent, block, &logs[*place].0, transactions[*place], &said);
            }
        }
        malformed.sort_unstable_by_key(|(place, _)| *place);
        Ok(malformed)
    }

    /// How many logs were added.
    pub fn len(&self) -> usize {
        self.logs
    }

    /// Whether no log was added.
    pub fn is_empty(&self) -> bool {
        self.logs == 0
    }

    /// How many agents they speak of.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// The chain.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// The window's blocks are above this one.
    pub fn after(&self) -> i64 {
        self.after
    }

    /// The last block that was added.
    pub fn to(&self) -> i64 {
        self.to
    }

    /// Bytes that the window takes, with what it holds in reserve.
    pub fn bytes(&self) -> usize {
        self.arena.bytes()
            + self.blocks.capacity() * size_of::<BlockRow>()
            + self.addresses.capacity() * size_of::<Address>()
            + self.agents.capacity() * size_of::<Listed>()
            + self.uris.capacity() * size_of::<UriRow>()
            // The map fills seven of eight slots.
            + self.places.capacity() * 8 / 7 * (size_of::<(Uuid, u32)>() + MAP_OVERHEAD)
    }

    /// Topics that its words were read with.
    pub(crate) fn topics(&self) -> SeenTopics {
        self.topics
    }

    /// The agents' places, in the order of their ids.
    pub(crate) fn by_id(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(self.agents.len()).collect();
        order.sort_unstable_by_key(|place| self.listed(*place).id);
        order
    }

    /// The agent at a place.
    pub(crate) fn agent(&self, place: u32) -> AgentId {
        AgentId(self.listed(place).id)
    }

    /// The token of the agent at a place.
    pub(crate) fn token(&self, place: u32) -> Token {
        let token = TokenRecord::read(self.arena.get(self.listed(place).first));
        Token {
            chain: self.chain,
            registry: self.addresses[token.registry],
            id: token.id,
        }
    }

    /// The logs of the agent at a place, in chain order.
    pub(crate) fn told(&self, place: u32) -> impl Iterator<Item = Told> {
        self.records(place).map(|at| {
            let log = LogRecord::read(&mut Reader::new(self.arena.get(at)));
            let (block, tx_hash) = self.transaction(&log);
            Told {
                block: block.number,
                block_hash: block.hash,
                time: block.time,
                tx_hash,
                index: log.index,
                address: self.addresses[log.address],
                said: log.said,
            }
        })
    }

    /// The URIs that agents were given: the agent's place, block and log index, and the URI. Those of one agent
    /// are in chain order.
    pub(crate) fn uris(&self) -> impl Iterator<Item = (u32, i64, u32, &[u8])> {
        self.uris.iter().map(|row| {
            let uri = Reader::new(self.arena.get(row.at)).bytes();
            (
                row.agent,
                self.blocks[row.block as usize].number,
                row.log,
                uri,
            )
        })
    }

    /// Where the records of the logs of the agent at a place are.
    fn records(&self, place: u32) -> impl Iterator<Item = Link> {
        let first = TokenRecord::read(self.arena.get(self.listed(place).first)).next;
        std::iter::successors(first, |at| LogRecord::next(self.arena.get(*at)))
    }

    /// Block and hash of a log's transaction.
    fn transaction(&self, log: &LogRecord) -> (&BlockRow, B256) {
        let mut reader = Reader::new(self.arena.get(log.transaction));
        let block = &self.blocks[reader.number()];
        (block, reader.array().into())
    }

    fn listed(&self, place: u32) -> &Listed {
        &self.agents[place as usize]
    }

    /// Where each log's transaction is; logs of one transaction share it. `of_blocks` are the logs' blocks, which
    /// are added after the present ones.
    fn put_transactions(
        &mut self,
        of_blocks: &[usize],
        logs: &[(Log, Option<(AgentId, Token)>)],
    ) -> Vec<Link> {
        let mut links = Vec::with_capacity(logs.len());
        let mut last: Option<(usize, B256, Link)> = None;
        for (block, (log, _)) in of_blocks.iter().zip(logs) {
            let link = match last {
                Some((of, hash, link)) if (of, hash) == (*block, log.tx_hash) => link,
                _ => {
                    let place = self.blocks.len() + block;
                    self.arena.put(&record::transaction(place, &log.tx_hash))
                }
            };
            last = Some((*block, log.tx_hash, link));
            links.push(link);
        }
        links
    }

    /// The place of an agent, which is new where it was not named before.
    fn place(&mut self, agent: AgentId, token: &Token) -> u32 {
        if let Some(place) = self.places.get(&agent.0) {
            return *place;
        }
        let registry = self.address(token.registry);
        let first = self.arena.put(&TokenRecord::write(registry, token.id));
        let place = u32::try_from(self.agents.len()).unwrap_or(u32::MAX);
        self.agents.push(Listed {
            id: agent.0,
            first,
            last: first,
        });
        self.places.insert(agent.0, place);
        place
    }

    fn address(&mut self, address: Address) -> usize {
        let known = self.addresses.iter().position(|known| *known == address);
        known.unwrap_or_else(|| {
            self.addresses.push(address);
            self.addresses.len() - 1
        })
    }

    fn push(&mut self, agent: u32, block: usize, log: &Log, transaction: Link, said: &[Said]) {
        let address = self.address(log.address);
        let (record, uris) = LogRecord::write(transaction, log.log_index, address, said);
        let link = self.arena.put(&record);
        self.uris.extend(uris.into_iter().map(|offset| UriRow {
            agent,
            block: u32::try_from(block).unwrap_or(u32::MAX),
            log: log.log_index,
            at: link.plus(offset),
        }));
        let listed = &mut self.agents[agent as usize];
        self.arena.set(listed.last, link);
        listed.last = link;
    }
}

/// The place of each log's block.
fn blocks_of(blocks: &[Block], logs: &[(Log, Option<(AgentId, Token)>)]) -> Result<Vec<usize>> {
    let mut place = 0;
    let mut places = Vec::with_capacity(logs.len());
    for (log, _) in logs {
        let later = blocks[place..]
            .iter()
            .position(|block| block.number == log.block_number);
        place += later.ok_or_else(|| {
            Error::Invalid(format!(
                "block {} of a log is not among the step's, or not in order",
                log.block_number
            ))
        })?;
        places.push(place);
    }
    Ok(places)
}

impl BlockRow {
    fn of(block: &Block, now: DateTime<Utc>) -> Self {
        let time = block
            .time
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .unwrap_or(now);
        Self {
            number: block.number.cast_signed(),
            hash: block.hash,
            time: time.timestamp_micros(),
        }
    }
}

#[cfg(test)]
mod tests;
