//! A recorded file as a source: what it ends with is settled.

use std::path::Path;

use crate::{
    Error, Result,
    chain_row::{Anchor, Chain, Origin},
    sorted::Sorted,
    source::{Cursor, Extend, Proof, Source, Step},
    trail::Trail,
};
use chain::{Block, Recording, Registries, preset};

/// A recorded chain, played step by step.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    contracts: Registries,
    step_logs: usize,
}

impl Replay {
    /// Reads and checks the file; contracts of which none are `named` are those that it holds events of.
    pub fn open(path: &Path, step_logs: usize, named: Registries) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            Error::Invalid(format!(
                "the replay file {} cannot be read: {error}",
                path.display()
            ))
        })?;
        let recording = Recording::parse(&bytes)
            .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))?;
        if recording.logs.is_empty() {
            return Err(Error::Invalid(format!("{} holds no logs", path.display())));
        }
        let contracts = Registries {
            identity: if named.identity.is_empty() {
                recording.registries()
            } else {
                named.identity
            },
            status: if named.status.is_empty() {
                recording.status_contracts()
            } else {
                named.status
            },
            vexel: named.vexel,
        };
        if contracts.identity.is_empty() {
            return Err(Error::Invalid(
                "the replay file holds no event of an identity registry: name one with --registry"
                    .to_owned(),
            ));
        }
        Ok(Self {
            recording,
            contracts,
            step_logs: step_logs.max(1),
        })
    }

    /// The chain that the file records.
    pub fn chain(&self) -> Result<Chain> {
        let recording = &self.recording;
        let first = recording
            .blocks
            .first()
            .ok_or_else(|| Error::Invalid("the replay file holds no block".to_owned()))?;
        Ok(Chain {
            id: recording.chain,
            name: preset::by_id(recording.chain).map_or_else(
                || format!("chain {}", recording.chain),
                |preset| preset.name.to_owned(),
            ),
            origin: Origin::Replay,
            anchor: Anchor {
                number: first.number,
                hash: first.hash,
            },
            start: first.number,
            topics: recording.seen_topics(),
            contracts: self.contracts.clone(),
        })
    }

    fn extend(&self, cursor: Cursor) -> Option<Extend> {
        let blocks = &self.recording.blocks;
        let from = blocks.partition_point(|block| number(block) <= cursor.number);
        let first = blocks.get(from)?;
        let start = self
            .recording
            .logs
            .partition_point(|log| log.block_number < first.number);
        let mut taken = from;
        let mut end = start;
        while let Some(block) = blocks.get(taken) {
            let rest = &self.recording.logs[end..];
            let in_block = rest.partition_point(|log| log.block_number <= block.number);
            if end > start && end + in_block - start > self.step_logs {
                break;
            }
            end += in_block;
            taken += 1;
        }
        let to = blocks[taken - 1].clone();
        let logs = self.recording.logs[start..end].to_vec();
        let held = |block: &&Block| {
            logs.binary_search_by_key(&block.number, |log| log.block_number)
                .is_ok()
        };
        Some(Extend {
            settled: number(&to),
            head: blocks.last().map_or(0, number),
            blocks: blocks[from..taken].iter().filter(held).cloned().collect(),
            to,
            logs: Sorted::new(logs, &self.contracts),
            movable: Vec::new(),
            finalized: None,
            proof: Proof::REPORTED,
            tellers: std::collections::BTreeSet::new(),
            receipts: Vec::new(),
            entering: None,
        })
    }
}

fn number(block: &Block) -> i64 {
    block.number.cast_signed()
}

impl Source for Replay {
    async fn next(&mut self, cursor: Cursor, _: Trail<'_>) -> Result<Option<Step>> {
        let blocks = &self.recording.blocks;
        let stored = blocks
            .binary_search_by_key(&cursor.number, number)
            .ok()
            .map(|at| &blocks[at]);
        if let (Some(block), Some(hash)) = (stored, cursor.hash)
            && block.hash != hash
        {
            return Err(Error::OtherChain {
                chain: self.recording.chain,
                number: block.number,
                stored: format!("{hash:#x}"),
                found: format!("{:#x}", block.hash),
                place: "the replay file".to_owned(),
            });
        }
        Ok(self.extend(cursor).map(|step| Step::Extend(Box::new(step))))
    }
}
