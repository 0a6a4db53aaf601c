//! What a backfill will take, from a few samples of its chain: before the first one, somebody may want to
//! know.

use std::time::{Duration, Instant};

use chain::{Log, Rpc, RpcError, Sieve};
use serde::Serialize;

use crate::{
    Error, Result,
    rpc::{GOAL, MOST},
};

/// Ranges that are sampled, one in the middle of each part of the chain.
const SAMPLES: u64 = 8;

/// Blocks of a sampled range, unless the provider takes fewer.
const WIDTH: u64 = 1_000;

/// Headers that are sampled of each range.
const HEADERS: u64 = 4;

/// Blocks of which receipts are sampled.
const RECEIPTS: usize = 3;

/// Bytes of the database for each log: its own row with two indexes, the rows, history, identifiers and
/// journal entries that follow (measured, `docs/operations.md`).
const DISK_PER_LOG: u64 = 1_800;

/// Logs that we store in a second on two cores, where nobody has to be waited for (`docs/benchmarks.md`).
const STORED_PER_S: f64 = 60_000.0;

/// Calls in one request.
const BATCH: f64 = 100.0;

/// What a part of the work takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// JSON-RPC calls; a provider counts each item of a batch.
    pub calls: u64,
    /// Bytes of the answers, unpacked.
    pub bytes: u64,
    /// Time, if nothing else happens.
    pub seconds: u64,
}

/// What a backfill will take. Chains are not the same everywhere: these are orders of magnitude.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// First block.
    pub from: u64,
    /// Last block.
    pub to: u64,
    /// Logs of ours in them.
    pub logs: u64,
    /// Reading and storing them.
    pub read: Cost,
    /// Proving every block: its header, and the receipts of those that may hold logs of ours.
    pub prove: Cost,
    /// Bytes of the database.
    pub disk_bytes: u64,
    /// Blocks that this was learned from.
    pub sampled_blocks: u64,
    /// Logs in them.
    pub sampled_logs: u64,
}

/// What was seen of a chain.
#[derive(Debug, Default)]
struct Sampled {
    blocks: u64,
    logs: u64,
    touched: u64,
    bytes: u64,
    /// The quickest answer: what a call takes by itself.
    quickest: Option<Duration>,
    took: Duration,
    ranges: u32,
    /// The widest range that the provider takes, where it refused one.
    most: Option<u64>,
    headers: u64,
    hits: u64,
    header_bytes: u64,
    headers_took: Duration,
    receipts: u64,
    receipt_bytes: u64,
    receipts_took: Duration,
}

/// Samples the blocks `from..=to` of a node's chain. Receipts that it does not serve are left out.
pub async fn estimate(rpc: &Rpc, sieve: &Sieve, from: u64, to: u64) -> Result<Estimate> {
    let blocks = (to + 1).saturating_sub(from);
    let mut sampled = Sampled::default();
    let mut touched: Vec<Log> = Vec::new();
    for n in 0..SAMPLES.min(blocks) {
        let middle = from + (blocks / SAMPLES.min(blocks)) * n + blocks / SAMPLES / 2;
        let logs = sampled.range(rpc, sieve, middle.min(to), to).await;
        let logs = logs.map_err(|error| failed(rpc, error))?;
        let headers = sampled.headers(rpc, sieve, middle.min(to), to).await;
        headers.map_err(|error| failed(rpc, error))?;
        touched.extend(logs.into_iter().next_back());
    }
    for log in touched.iter().take(RECEIPTS) {
        match sampled.receipts(rpc, log).await {
            Ok(()) => {}
            Err(RpcError::NoMethod { .. } | RpcError::Pruned { .. }) => break,
            Err(error) => return Err(failed(rpc, error)),
        }
    }
    Ok(sampled.whole(from, to))
}

fn failed(rpc: &Rpc, error: RpcError) -> Error {
    Error::Rpc {
        chain: rpc.chain(),
        place: rpc.place(),
        error,
    }
}

impl Sampled {
    /// Reads the logs of a range that begins at `from`; narrower where the provider wants it so.
    async fn range(
        &mut self,
        rpc: &Rpc,
        sieve: &Sieve,
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>, RpcError> {
        loop {
            let width = self.most.unwrap_or(WIDTH).min(WIDTH);
            let end = to.min(from.saturating_add(width - 1));
            let (began, bytes) = (Instant::now(), rpc.counters().bytes);
            match rpc.logs(from..=end, sieve.filter()).await {
                Ok(logs) => {
                    let took = began.elapsed();
                    self.took += took;
                    self.quickest = Some(self.quickest.map_or(took, |least| least.min(took)));
                    self.ranges += 1;
                    self.bytes += rpc.counters().bytes - bytes;
                    self.blocks += end - from + 1;
                    self.logs += logs.len() as u64;
                    let new = |two: &[Log]| two[0].block_number != two[1].block_number;
                    let changes = logs.windows(2).filter(|two| new(two)).count() as u64;
                    self.touched += changes + u64::from(!logs.is_empty());
                    return Ok(logs);
                }
                Err(RpcError::RangeTooLarge { hint, .. }) if end > from => {
                    let hinted = hint.map(|(first, last)| last.saturating_sub(first) + 1);
                    let asked = end - from + 1;
                    let fits = |width: &u64| (1..asked).contains(width);
                    self.most = Some(hinted.filter(fits).unwrap_or(asked / 2).max(1));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn headers(
        &mut self,
        rpc: &Rpc,
        sieve: &Sieve,
        from: u64,
        to: u64,
    ) -> Result<(), RpcError> {
        let (began, bytes) = (Instant::now(), rpc.counters().bytes);
        let headers = rpc.headers(from..=to.min(from + HEADERS - 1)).await?;
        self.headers_took += began.elapsed();
        self.header_bytes += rpc.counters().bytes - bytes;
        self.headers += headers.len() as u64;
        let may_hold = headers
            .iter()
            .filter(|header| sieve.may_hold(&header.logs_bloom));
        self.hits += may_hold.count() as u64;
        Ok(())
    }

    async fn receipts(&mut self, rpc: &Rpc, log: &Log) -> Result<(), RpcError> {
        let (began, bytes) = (Instant::now(), rpc.counters().bytes);
        rpc.block_receipts(&[log.block_hash]).await?;
        self.receipts_took += began.elapsed();
        self.receipt_bytes += rpc.counters().bytes - bytes;
        self.receipts += 1;
        Ok(())
    }

    /// What that means for all blocks.
    fn whole(&self, from: u64, to: u64) -> Estimate {
        let blocks = figure((to + 1).saturating_sub(from));
        let of = |count: u64, all: u64| figure(count) / figure(all.max(1));
        let per_block = |count: u64| of(count, self.blocks);
        let logs = per_block(self.logs) * blocks;
        // A backfill widens its ranges until they hold enough logs.
        let wide = (figure(GOAL) / per_block(self.logs).max(1e-9)).max(1.0);
        let width = self.most.map_or(wide, |most| wide.min(figure(most)));
        let calls = (blocks / width).ceil();
        // Frames of empty answers are many in samples and few in a backfill.
        let bytes = of(self.bytes, self.logs.max(u64::from(self.ranges))) * logs;
        let quickest = self.quickest.unwrap_or_default().as_secs_f64();
        let beyond = self.took.as_secs_f64() - quickest * f64::from(self.ranges);
        let per_byte = beyond.max(0.0) / figure(self.bytes.max(1));
        let asking = (calls * quickest + bytes * per_byte) / figure(MOST as u64);
        let seconds = asking.max(logs / STORED_PER_S);
        let hits = per_block(self.touched).max(of(self.hits, self.headers)) * blocks;
        let batch = self.headers_took.as_secs_f64() / f64::from(self.ranges.max(1));
        let receipt = self.receipts_took.as_secs_f64() / figure(self.receipts.max(1));
        let proof_bytes = of(self.header_bytes, self.headers) * blocks
            + of(self.receipt_bytes, self.receipts) * hits;
        Estimate {
            from,
            to,
            logs: count(logs),
            read: Cost {
                calls: count(calls),
                bytes: count(bytes),
                seconds: count(seconds.ceil()),
            },
            prove: Cost {
                calls: count(blocks + hits),
                bytes: count(proof_bytes),
                seconds: count((blocks / BATCH * batch + hits * receipt).ceil()),
            },
            disk_bytes: count(logs).saturating_mul(DISK_PER_LOG),
            sampled_blocks: self.blocks,
            sampled_logs: self.logs,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an order of magnitude")]
fn figure(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` keeps what is too large or negative inside the range"
)]
fn count(figure: f64) -> u64 {
    figure.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled() -> Sampled {
        Sampled {
            blocks: 8_000,
            logs: 800,
            touched: 400,
            bytes: 800_000,
            quickest: Some(Duration::from_millis(50)),
            took: Duration::from_millis(8 * 50 + 400),
            ranges: 8,
            most: None,
            headers: 32,
            hits: 16,
            header_bytes: 64_000,
            headers_took: Duration::from_millis(400),
            receipts: 2,
            receipt_bytes: 1_000_000,
            receipts_took: Duration::from_millis(300),
        }
    }

    #[test]
    fn samples_are_stretched_over_the_chain() {
        let estimate = sampled().whole(1_000, 1_000_999);
        assert_eq!(estimate.logs, 100_000);
        // 50,000 blocks hold 5,000 logs: 20 ranges of 50 ms, and 100 MB at 0.5 us, six at once.
        let read = Cost {
            calls: 20,
            bytes: 100_000_000,
            seconds: 9,
        };
        assert_eq!(estimate.read, read);
        // Every second block may hold something by its bloom; 2 kB a header, 500 kB a block's receipts.
        assert_eq!(estimate.prove.calls, 1_500_000);
        assert_eq!(estimate.prove.bytes, 2_000_000_000 + 250_000_000_000);
        assert_eq!(estimate.disk_bytes, 180_000_000);
    }

    #[test]
    fn a_provider_of_narrow_ranges_is_asked_more_often() {
        let narrow = Sampled {
            most: Some(100),
            ..sampled()
        };
        assert_eq!(narrow.whole(1_000, 1_000_999).read.calls, 10_000);
    }

    #[test]
    fn an_empty_chain_costs_its_headers() {
        let empty = Sampled {
            blocks: 10,
            ranges: 1,
            headers: 4,
            header_bytes: 8_000,
            ..Sampled::default()
        };
        let estimate = empty.whole(0, 9);
        assert_eq!((estimate.logs, estimate.disk_bytes), (0, 0));
        assert_eq!((estimate.read.calls, estimate.prove.calls), (1, 10));
    }
}
