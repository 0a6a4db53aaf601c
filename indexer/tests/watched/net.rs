//! A made-up chain of two contracts, served by a provider of true headers and receipts.

use alloy_primitives::{Address, Bytes};
use replay_rpc::{
    model::{Draft, Tx},
    node::{Chain, Faults, Network, Provider},
    workload::Params,
};

use crate::kit::{Script, Writer};

/// Seconds between blocks.
const BLOCK_SECONDS: i64 = 12;

pub struct Net {
    network: Network,
    provider: Provider,
    /// Of the same chain, never wrong.
    honest: Provider,
    /// Drafts so far: no two blocks are the same.
    made: u64,
}

impl Net {
    pub fn new(faults: Faults) -> anyhow::Result<Self> {
        let network = Network::new(Chain::new(Params::default().spec(), Draft::default()));
        let provider = network.provider(faults)?;
        Ok(Self {
            honest: network.provider(Faults::default())?,
            network,
            provider,
            made: 0,
        })
    }

    pub fn id() -> u64 {
        Params::default().chain_id
    }

    pub fn url(&self) -> String {
        self.provider.url()
    }

    pub fn honest_url(&self) -> String {
        self.honest.url()
    }

    pub fn height(&self) -> u64 {
        self.network.chain().head().number()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.provider.set_faults(faults);
    }

    /// How many logs were lost in answers.
    pub fn lost(&self) -> usize {
        self.provider.stats().lost.len()
    }

    /// How often logs were asked for.
    pub fn questions(&self) -> u64 {
        self.provider.stats().of("eth_getLogs").calls
    }

    pub fn genesis(&self) -> kernel::B256 {
        self.network.chain().canonical()[0].hash
    }

    /// Adds a block.
    pub fn block(&mut self, write: impl FnOnce(&mut Writer) -> &mut Writer) {
        let time = self.network.chain().head().header.timestamp;
        let draft = self.draft(time, write);
        self.network.change(|chain| chain.extend(draft));
    }

    /// Adds blocks with nothing in them.
    pub fn empty(&mut self, count: u64) {
        for _ in 0..count {
            self.block(|block| block);
        }
    }

    /// Replaces the newest `depth` blocks by one with something in it and `count` empty ones.
    pub fn reorg(
        &mut self,
        depth: u64,
        write: impl FnOnce(&mut Writer) -> &mut Writer,
        count: u64,
    ) {
        let fork = self.network.chain().head().number() - depth;
        let time = self.network.chain().canonical()[usize::try_from(fork).expect("few")]
            .header
            .timestamp;
        let mut drafts = vec![self.draft(time, write)];
        for _ in 0..count {
            let time = drafts.last().expect("one").timestamp;
            drafts.push(self.draft(time, |block| block));
        }
        self.network.change(|chain| chain.reorg(depth, drafts));
    }

    fn draft(&mut self, after: u64, write: impl FnOnce(&mut Writer) -> &mut Writer) -> Draft {
        self.made += 1;
        let mut script = Script::new(self.made);
        let time = after.cast_signed() + BLOCK_SECONDS;
        script.block(time, write);
        let (_, logs) = script.blocks.pop().expect("the block");
        let mut txs: Vec<(kernel::B256, Tx)> = Vec::new();
        for log in logs {
            let inner = alloy_primitives::Log::new_unchecked(
                log.address,
                log.topics,
                Bytes::from(log.data.to_vec()),
            );
            if let Some((_, tx)) = txs.last_mut().filter(|(hash, _)| *hash == log.tx_hash) {
                tx.logs.push(inner);
            } else {
                let nonce = self.made << 16 | txs.len() as u64;
                let tx = Tx::call(Address::repeat_byte(9), nonce, log.address, vec![inner]);
                txs.push((log.tx_hash, tx));
            }
        }
        let mut proposer = Address::ZERO;
        proposer[12..].copy_from_slice(&self.made.to_be_bytes());
        Draft {
            timestamp: time.unsigned_abs(),
            proposer,
            txs: txs.into_iter().map(|(_, tx)| tx).collect(),
            state: None,
        }
    }
}
