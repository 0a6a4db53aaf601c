//! An Ethereum node as a source.
//!
//! A fork is found by comparing hashes of blocks, never by `removed` logs or filters, which nodes lose
//! (`indexing.md` §9b). Logs of blocks that may still move are checked against their headers.

use std::collections::BTreeMap;

use chain::{At, Block, Header, Log, LogFilter, Registries, Rpc, RpcError};
use kernel::B256;

use crate::{
    Error, Result,
    config::Config,
    source::{BlockReceipts, Cursor, Extend, Source, Step},
};

/// Above this many blocks behind the head, receipts are not kept: it is a backfill.
const RECEIPTS_WITHIN: i64 = 256;

/// A range of fewer blocks is one of the live following, not of a backfill.
const LIVE_RANGE: u64 = 256;

/// A node and what is read of its chain.
pub struct RpcSource {
    rpc: Rpc,
    filter: LogFilter,
    range: u64,
    most: u64,
    /// Depth that counts as settled, where it is configured or the node has no `finalized`.
    depth: u64,
    /// Whether the node's `finalized` counts.
    ask_finalized: bool,
    keep_receipts: bool,
}

/// How settledness is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// The node's `finalized` tag, else this depth.
    Finalized(u64),
    /// Always this depth; 0 on a chain that we started.
    Depth(u64),
}

impl RpcSource {
    /// Reads logs of `contracts` from `rpc`.
    pub fn new(rpc: Rpc, contracts: &Registries, settling: Settling, config: &Config) -> Self {
        let addresses = contracts
            .identity
            .iter()
            .chain(&contracts.status)
            .copied()
            .collect();
        let (depth, ask_finalized) = match settling {
            Settling::Finalized(depth) => (depth, true),
            Settling::Depth(depth) => (depth, false),
        };
        Self {
            rpc,
            filter: LogFilter {
                addresses,
                ..LogFilter::default()
            },
            range: config.range_blocks.max(1),
            most: config.range_blocks.max(1) * 8,
            depth,
            ask_finalized,
            keep_receipts: config.keep_receipts,
        }
    }

    fn error(&self, error: RpcError) -> Error {
        Error::Rpc {
            chain: self.rpc.chain(),
            place: self.rpc.place(),
            error,
        }
    }

    async fn header(&self, at: At) -> Result<Option<Header>> {
        self.rpc.block(at).await.map_err(|error| self.error(error))
    }

    async fn head(&self) -> Result<Header> {
        let head = self.header(At::Latest).await?;
        let none = || RpcError::BeyondHead {
            message: "the node has no latest block".to_owned(),
        };
        head.ok_or_else(|| self.error(none()))
    }

    /// The newest known block that is still canonical.
    async fn fork(&self, trail: &[(i64, B256)]) -> Result<i64> {
        // The trail is sparse: going back to an older known block than needed is right, only longer.
        for (number, hash) in trail {
            let found = self.header(At::Number(number.unsigned_abs())).await?;
            if found.is_some_and(|header| header.hash == *hash) {
                return Ok(*number);
            }
        }
        let (number, hash) = trail.last().copied().unwrap_or_default();
        let found = self.header(At::Number(number.unsigned_abs())).await?;
        Err(Error::OtherChain {
            chain: self.rpc.chain(),
            number: number.unsigned_abs(),
            stored: format!("{hash:#x}"),
            found: found.map_or_else(
                || "no block".to_owned(),
                |header| format!("{:#x}", header.hash),
            ),
            place: self.rpc.place(),
        })
    }

    async fn settled(&self, head: u64) -> Result<u64> {
        if self.ask_finalized {
            // A node that cannot say is a node without the tag.
            match self.rpc.block(At::Finalized).await {
                Ok(Some(header)) => return Ok(header.number),
                Err(error) if error.kind() == kernel::Kind::Unavailable => {
                    return Err(self.error(error));
                }
                Ok(None) | Err(_) => {}
            }
        }
        Ok(head.saturating_sub(self.depth))
    }

    /// Logs of a range that the provider accepts; the range is halved until it does.
    async fn logs(&mut self, from: u64, head: u64) -> Result<(u64, Vec<Log>)> {
        loop {
            let to = head.min(from.saturating_add(self.range - 1));
            match self.rpc.logs(from..=to, &self.filter).await {
                Ok(logs) => {
                    self.range = (self.range * 2).min(self.most);
                    return Ok((to, logs));
                }
                Err(RpcError::RangeTooLarge { hint, .. }) if self.range > 1 => {
                    let hinted = hint.map(|(start, end)| end.saturating_sub(start) + 1);
                    self.range = hinted
                        .filter(|n| (1..self.range).contains(n))
                        .unwrap_or(self.range / 2);
                    self.most = self.range;
                }
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    /// The blocks that hold logs, which must be those that the logs name, and the headers of those
    /// that had to be asked for.
    async fn blocks(
        &self,
        logs: &[Log],
        from: u64,
        to: u64,
        settled: u64,
    ) -> Result<(Vec<Block>, Vec<Header>)> {
        let mut held: BTreeMap<u64, B256> = BTreeMap::new();
        for log in logs {
            let moved = Error::Moved {
                chain: self.rpc.chain(),
                from,
                to,
            };
            if held
                .insert(log.block_number, log.block_hash)
                .is_some_and(|h| h != log.block_hash)
                || !(from..=to).contains(&log.block_number)
            {
                return Err(moved);
            }
        }
        let mut blocks = Vec::with_capacity(held.len());
        let mut headers = Vec::new();
        for (number, hash) in held {
            let time = logs
                .iter()
                .find(|log| log.block_number == number)
                .and_then(|log| log.block_time);
            // A settled block cannot move, and its logs tell its time: nothing to ask for.
            if time.is_some()
                && number <= settled
                && !(self.keep_receipts && to - from < LIVE_RANGE)
            {
                blocks.push(Block {
                    number,
                    hash,
                    parent: None,
                    time,
                });
                continue;
            }
            match self.header(At::Number(number)).await? {
                Some(header) if header.hash == hash => {
                    blocks.push(header.block());
                    headers.push(header);
                }
                _ => {
                    return Err(Error::Moved {
                        chain: self.rpc.chain(),
                        from,
                        to,
                    });
                }
            }
        }
        Ok((blocks, headers))
    }

    async fn receipts(&self, headers: &[Header]) -> Result<Vec<BlockReceipts>> {
        let hashes: Vec<B256> = headers.iter().map(|header| header.hash).collect();
        let receipts = match self.rpc.block_receipts(&hashes).await {
            Ok(receipts) => receipts,
            // Not every provider serves them; proofs say what is missing.
            Err(RpcError::NoMethod { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(self.error(error)),
        };
        let mut out = Vec::with_capacity(headers.len());
        for (header, receipts) in headers.iter().zip(receipts) {
            let Some(receipts) = receipts else { continue };
            let json = serde_json::to_value(header)
                .and_then(|header| Ok((header, serde_json::from_str(receipts.get())?)));
            let (header_json, receipts) =
                json.map_err(|error| Error::Invalid(format!("receipts: {error}")))?;
            out.push(BlockReceipts {
                number: header.number,
                hash: header.hash,
                header: header_json,
                receipts,
            });
        }
        Ok(out)
    }
}

impl Source for RpcSource {
    async fn next(&mut self, cursor: Cursor, trail: &[(i64, B256)]) -> Result<Option<Step>> {
        let head = self.head().await?;
        if let (Ok(number), Some(hash)) = (u64::try_from(cursor.number), cursor.hash) {
            let stored = if number == head.number {
                Some(head.clone())
            } else {
                self.header(At::Number(number)).await?
            };
            if stored.is_none_or(|header| header.hash != hash) {
                return Ok(Some(Step::Rewind {
                    to: self.fork(trail).await?,
                }));
            }
        }
        let from = (cursor.number + 1).max(0).unsigned_abs();
        if from > head.number {
            return Ok(None);
        }
        let settled = self.settled(head.number).await?;
        let (to, logs) = self.logs(from, head.number).await?;
        let (blocks, headers) = self.blocks(&logs, from, to, settled).await?;
        // Read after the logs: had the chain moved meanwhile below `to`, this is another block.
        let end = if to == head.number {
            Some(head.clone())
        } else {
            self.header(At::Number(to)).await?
        };
        let again = self.header(At::Number(to)).await?;
        let (Some(end), Some(again)) = (end, again) else {
            return Err(Error::Moved {
                chain: self.rpc.chain(),
                from,
                to,
            });
        };
        if end.hash != again.hash {
            return Err(Error::Moved {
                chain: self.rpc.chain(),
                from,
                to,
            });
        }
        let behind = head.number.saturating_sub(to).cast_signed();
        let receipts = if self.keep_receipts && behind < RECEIPTS_WITHIN {
            self.receipts(&headers).await?
        } else {
            Vec::new()
        };
        let mut logs = logs;
        logs.sort_by_key(Log::position);
        Ok(Some(Step::Extend(Extend {
            to: end.block(),
            blocks,
            logs,
            settled: settled.min(to).cast_signed(),
            head: head.number.cast_signed(),
            receipts,
        })))
    }
}
