//! What can be wrong with a provider. Everything is off by default, and everything is a function of
//! the seed, the log or block, and the number of the request: the same run has the same faults.
//!
//! "One in n" picks by hash, so that a picked log is picked each time; "every n" counts requests.
//! Zero is never.

use serde::{Deserialize, Serialize};

/// Faults of one provider, changed as a whole by [`super::Provider::set_faults`] or by fields with
/// `lab_fault`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct Faults {
    /// Another seed picks other logs and blocks.
    pub seed: u64,

    /// Milliseconds that every answer waits; no thread waits with it.
    pub latency_ms: u64,
    /// Calls a second, a batch counted by its calls; above that 429.
    pub rps: u32,
    /// Every n-th request gets 429.
    pub limit_every: u64,
    /// Seconds in `Retry-After` of a 429; none: no such header.
    pub retry_after_s: Option<u64>,
    /// Every n-th request gets 503, with a body of HTML labelled JSON.
    pub fail_every: u64,
    /// Every n-th request's socket is closed without an answer.
    pub drop_every: u64,
    /// Every n-th request gets no byte for `hang_ms`, then a closed socket.
    pub hang_every: u64,
    /// Milliseconds that a hang lasts.
    pub hang_ms: u64,
    /// Every n-th answer is cut in the middle, with a `Content-Length` that fits.
    pub cut_every: u64,
    /// Every n-th answer is `bomb_mb` megabytes of nothing in a few kilobytes of gzip.
    pub bomb_every: u64,
    /// Size of a bomb, in megabytes.
    pub bomb_mb: u32,
    /// Only requests in which one of these methods is called have the faults above; empty: all.
    pub only: Vec<String>,

    /// Another chain's id.
    pub chain_id: Option<u64>,
    /// How batches go wrong.
    pub batch: Batch,
    /// Calls that a batch may have, as geth's `--rpc.batch-request-limit`; 0: as many as you like.
    pub max_batch: usize,
    /// Blocks below are pruned: code 4444.
    pub pruned_below: u64,
    /// Blocks below the head of which state is kept, as geth's 128; 0: all.
    pub state_window: u64,
    /// The state of contracts is not served at all.
    pub no_state: bool,
    /// `eth_getBlockReceipts` is not served at all.
    pub no_block_receipts: bool,
    /// Most blocks that eth_getLogs takes at once.
    pub max_range: u64,
    /// Most logs that eth_getLogs answers with.
    pub max_logs: usize,
    /// In whose words a range is refused.
    pub refusing: Refusing,
    /// Beyond the head eth_getLogs answers what there is, instead of refusing as geth does.
    pub clip_range: bool,
    /// Logs lack `blockTimestamp`, as from geth before 1.16.
    pub no_log_time: bool,

    /// Which queries lose logs.
    pub lose: Lose,
    /// Logs lost, one in n; with [`Lose::Blocks`] blocks.
    pub lose_one_in: u64,
    /// Receipts have the same lies: logs lost, altered, or of another hash. They do not fit their root then.
    pub lie_in_receipts: bool,
    /// Blocks of which log queries give one log too many, one in n.
    pub forge_one_in: u64,
    /// Logs with other data, one in n.
    pub alter_one_in: u64,
    /// Logs with another block's hash, one in n.
    pub wrong_hash_one_in: u64,
    /// Logs that say `removed: true`, one in n.
    pub removed_one_in: u64,
    /// Log queries answer in another order.
    pub shuffle_logs: bool,
    /// Blocks whose receipts are null, one in n.
    pub null_receipts_one_in: u64,
    /// Blocks that have neither receipts nor logs, one in n, as anvil's `--transaction-block-keeper`.
    pub emptied_one_in: u64,
    /// Headers are served with an empty bloom, one in n: their hash does not fit them.
    pub no_bloom_one_in: u64,

    /// A back-end that is behind.
    pub stale: Option<Stale>,
    /// Subscribers are told nothing.
    pub mute: bool,
    /// WebSockets are refused.
    pub no_ws: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 1,
            latency_ms: 0,
            rps: 0,
            limit_every: 0,
            retry_after_s: Some(1),
            fail_every: 0,
            drop_every: 0,
            hang_every: 0,
            hang_ms: 90_000,
            cut_every: 0,
            bomb_every: 0,
            bomb_mb: 1024,
            only: Vec::new(),
            chain_id: None,
            batch: Batch::Fine,
            max_batch: 1000,
            pruned_below: 0,
            state_window: 0,
            no_state: false,
            no_block_receipts: false,
            max_range: 0,
            max_logs: 0,
            refusing: Refusing::Alchemy,
            clip_range: false,
            no_log_time: false,
            lose: Lose::Never,
            lose_one_in: 0,
            lie_in_receipts: false,
            forge_one_in: 0,
            alter_one_in: 0,
            wrong_hash_one_in: 0,
            removed_one_in: 0,
            shuffle_logs: false,
            null_receipts_one_in: 0,
            emptied_one_in: 0,
            no_bloom_one_in: 0,
            stale: None,
            mute: false,
            no_ws: false,
        }
    }
}

/// Which queries lose logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lose {
    /// None.
    #[default]
    Never,
    /// Queries of more than one block: a node with a broken log index.
    Wide,
    /// All log queries, also by block hash.
    All,
    /// All log queries lose all logs of a lost block.
    Blocks,
}

/// In whose words a range is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusing {
    /// -32602 with a range that should work.
    #[default]
    Alchemy,
    /// -32005 with a range in message and data.
    Infura,
    /// -32602 "exceed maximum block range N", as geth 1.17; too many logs as reth says it.
    Geth,
}

/// How batches go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// They do not.
    #[default]
    Fine,
    /// Answers come in another order.
    Shuffled,
    /// The first answer's id stands on the second too.
    DuplicateIds,
    /// The last answer is not there.
    Short,
    /// Refused as a whole.
    Refused,
}

/// A load balancer with a back-end that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stale {
    /// It is asked at every n-th request.
    pub every: u64,
    /// How many blocks it is behind.
    pub blocks: u64,
    /// After a reorg it still stands on the branch that was left, at its tip minus `blocks`.
    #[serde(default)]
    pub on_left_branch: bool,
}

/// Whether the `count`-th (from 1) has a fault that every `n`-th has.
pub(super) fn every(n: u64, count: u64) -> bool {
    n != 0 && count.is_multiple_of(n)
}

/// Whether one in `n` means this one.
pub(super) fn one_in(n: u64, seed: u64, what: What, hash: &[u8], index: u64) -> bool {
    if n == 0 {
        return false;
    }
    let mut state =
        seed ^ (what as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index.rotate_left(48);
    for part in hash.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        state = crate::mix(state ^ u64::from_le_bytes(word));
    }
    state.is_multiple_of(n)
}

/// What is picked: each kind of lie picks for itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Lose = 1,
    Forge,
    Alter,
    WrongHash,
    Removed,
    NullReceipts,
    Emptied,
    NoBloom,
    Order,
}
