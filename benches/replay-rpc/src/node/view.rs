//! The chain as one back-end sees it at one moment.

use std::sync::Arc;

use alloy_primitives::B256;
use serde_json::Value;

use super::{chain::Chain, faults::Stale, refusal::Refusal};
use crate::model::Block;

/// Canonical blocks up to a head; a stale back-end's may end in a branch that was left.
pub(super) struct View<'a> {
    pub chain: &'a Chain,
    trunk: &'a [Arc<Block>],
    branch: &'a [Arc<Block>],
    /// Nobody is told that this is not the newest state.
    pub is_stale: bool,
}

impl<'a> View<'a> {
    pub fn new(chain: &'a Chain, stale: Option<Stale>) -> Self {
        let (mut trunk, mut branch) = (chain.canonical(), [].as_slice());
        if let Some(stale) = stale {
            let left = chain.left_branch();
            if let (true, Some(first)) = (stale.on_left_branch, left.first()) {
                let fork = usize::try_from(first.number()).unwrap_or(usize::MAX);
                trunk = &trunk[..fork.min(trunk.len())];
                branch = left;
            }
            let mut behind = usize::try_from(stale.blocks).unwrap_or(usize::MAX);
            let off = behind.min(branch.len());
            branch = &branch[..branch.len() - off];
            behind -= off;
            // The genesis is always there.
            trunk = &trunk[..trunk.len().saturating_sub(behind).max(1)];
        }
        Self {
            chain,
            trunk,
            branch,
            is_stale: stale.is_some(),
        }
    }

    /// Number of its newest block.
    pub fn head(&self) -> u64 {
        (self.trunk.len() + self.branch.len()) as u64 - 1
    }

    pub fn block(&self, number: u64) -> Option<&'a Arc<Block>> {
        let at = usize::try_from(number).ok()?;
        match at.checked_sub(self.trunk.len()) {
            None => self.trunk.get(at),
            Some(at) => self.branch.get(at),
        }
    }

    /// A block by its hash, orphans too; what lies above its head a stale back-end does not know.
    pub fn by_hash(&self, hash: B256) -> Option<&'a Arc<Block>> {
        let block = self.chain.by_hash(hash)?;
        (!self.is_stale || block.number() <= self.head()).then_some(block)
    }

    pub fn is_canonical(&self, block: &Block) -> bool {
        self.block(block.number())
            .is_some_and(|canonical| canonical.hash == block.hash)
    }

    /// The number that a block's name means: hex, or a tag.
    pub fn number(&self, name: &str) -> Result<u64, Refusal> {
        let at_depth = |depth: Option<u64>| match depth {
            Some(depth) if depth <= self.head() => Ok(self.head() - depth),
            _ => Err(Refusal::server(&format!("{name} block not found"))),
        };
        match name {
            "latest" | "pending" => Ok(self.head()),
            "earliest" => Ok(0),
            "safe" => at_depth(self.chain.finality.map(|finality| finality.safe)),
            "finalized" => at_depth(self.chain.finality.map(|finality| finality.finalized)),
            _ => quantity(name),
        }
    }

    /// The block that a parameter means: a number, a tag, a hash, or EIP-1898's object.
    pub fn find(&self, param: &Value) -> Result<Option<&'a Arc<Block>>, Refusal> {
        match param {
            Value::Null => Ok(self.block(self.head())),
            Value::String(name) if name.len() == 66 => Ok(self.by_hash(word(name)?)),
            Value::String(name) => Ok(self.block(self.number(name)?)),
            Value::Object(fields) => match (fields.get("blockHash"), fields.get("blockNumber")) {
                (Some(Value::String(hash)), None) => {
                    let block = self.by_hash(word(hash)?);
                    let must = fields.get("requireCanonical") == Some(&Value::Bool(true));
                    if must && block.is_some_and(|block| !self.is_canonical(block)) {
                        return Err(Refusal::server("hash is not currently canonical"));
                    }
                    Ok(block)
                }
                (None, Some(Value::String(name))) => Ok(self.block(self.number(name)?)),
                _ => Err(Refusal::params("invalid argument: block number or hash")),
            },
            _ => Err(Refusal::params("invalid argument: block number or hash")),
        }
    }
}

/// A number as geth takes it: 0x, no leading zeros.
pub(super) fn quantity(text: &str) -> Result<u64, Refusal> {
    let refuse = |why: &str| Refusal::params(format!("invalid argument 0: {why}"));
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| refuse("hex string without 0x prefix"))?;
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(refuse("hex number with leading zero digits"));
    }
    u64::from_str_radix(digits, 16).map_err(|_| refuse("invalid hex string"))
}

/// 32 bytes in hex.
pub(super) fn word(text: &str) -> Result<B256, Refusal> {
    if !text.starts_with("0x") {
        return Err(Refusal::params(
            "invalid argument: hex string without 0x prefix",
        ));
    }
    text.parse()
        .map_err(|_| Refusal::params("invalid argument: hex string has length other than 64"))
}
