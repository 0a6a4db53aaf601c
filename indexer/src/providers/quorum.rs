//! Who knows the newest block: the quorum head.

use std::{cmp::Ordering, fmt};

use chain::{At, Header, Rpc, RpcError};
use futures::future::join_all;
use kernel::B256;

use super::{Id, Providers};
use crate::{Error, Result};

/// So many blocks below the newest are looked through for one that a quorum knows.
const DEEPEST: u64 = 64;

/// Where a provider stands to the block that the quorum knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Opinion {
    /// It was not heard yet, or does not answer.
    #[default]
    Silent,
    /// It knows the block, and perhaps newer ones.
    Agrees {
        /// Its own newest block.
        head: u64,
    },
    /// It has not got so far.
    Behind {
        /// Its own newest block.
        head: u64,
        /// By so many blocks.
        by: u64,
    },
    /// It has another block at that height.
    Disagrees {
        /// Its own newest block.
        head: u64,
        /// The height.
        at: u64,
        /// The block that it has there.
        has: B256,
    },
}

impl Opinion {
    /// Whether others are asked first, also where they are slower.
    pub fn is_doubtful(&self) -> bool {
        match self {
            Self::Silent | Self::Agrees { .. } => false,
            Self::Behind { by, .. } => *by > DEEPEST,
            Self::Disagrees { .. } => true,
        }
    }

    /// One word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Agrees { .. } => "agrees",
            Self::Behind { .. } => "behind",
            Self::Disagrees { .. } => "disagrees",
        }
    }

    /// Its own newest block, where it is known.
    pub fn head(&self) -> Option<u64> {
        match self {
            Self::Silent => None,
            Self::Agrees { head } | Self::Behind { head, .. } | Self::Disagrees { head, .. } => {
                Some(*head)
            }
        }
    }

    /// Whether a person wants to know of the change. Being a few blocks behind is everyday life.
    pub fn is_worse_than(&self, before: &Self) -> bool {
        self.is_doubtful() && !before.is_doubtful()
    }
}

impl fmt::Display for Opinion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it does not answer"),
            Self::Agrees { head } => write!(f, "its newest block is {head}"),
            Self::Behind { head, by } => write!(f, "its newest block is {head}, {by} behind"),
            Self::Disagrees { head, at, has } => {
                write!(
                    f,
                    "its newest block is {head}, and block {at} is {has} there"
                )
            }
        }
    }
}

/// What a provider has at some height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    pub by: Id,
    /// `None`: it has not got so far, or does not say.
    pub has: Option<Header>,
}

/// The block that at least `quorum` of them have.
fn elected(votes: &[Vote], quorum: usize) -> Option<&Header> {
    let known = || votes.iter().filter_map(|vote| vote.has.as_ref());
    known().find(|header| known().filter(|other| other.hash == header.hash).count() >= quorum)
}

impl Providers {
    /// The newest block that a quorum of the providers that answer knows. It may lie below one that was
    /// told before, where the provider that had that one does not answer or disowns it; whoever follows
    /// the chain goes back only where a block of his own was replaced.
    pub async fn head(&self) -> Result<Header> {
        let heads = self.heads().await?;
        let quorum = self.majority(heads.len());
        let head = self.agreed(&heads, quorum).await?;
        let head = self.not_below_the_last(head).await;
        *self.pool.last.lock().await = Some(head.clone());
        Ok(head)
    }

    /// The canonical block of a height at or below the head. A provider that has none there is not that far
    /// yet: another one is asked.
    pub async fn canonical(&self, number: u64) -> Result<Header> {
        let question = |rpc: Rpc| async move {
            let header = rpc.block(At::Number(number)).await?;
            header.ok_or_else(|| RpcError::BeyondHead {
                message: format!("it has no block {number}, though the chain is longer"),
            })
        };
        Ok(self.ask(question).await?.value)
    }

    /// The block of a height that most of those that have one there have, and who. The others are asked last for a
    /// while; one alone outvotes nobody.
    pub async fn elect(&self, number: u64) -> Option<(Header, Vec<Id>)> {
        let told = self.ask_each(move |rpc| async move { rpc.block(At::Number(number)).await });
        let votes: Vec<Vote> = told
            .await
            .into_iter()
            .filter_map(|(by, has)| Some((by, has.ok().flatten()?)))
            .map(|(by, has)| Vote { by, has: Some(has) })
            .collect();
        let elected = elected(&votes, votes.len() / 2 + 1)?;
        let mut by = Vec::new();
        for vote in &votes {
            match &vote.has {
                Some(has) if has.hash != elected.hash => {
                    let (is, has) = (elected.hash, has.hash);
                    self.refute(
                        vote.by,
                        format!("it has block {number} as {has}, and most have it as {is}"),
                    );
                }
                _ => by.push(vote.by),
            }
        }
        Some((elected.clone(), by))
    }

    /// What consensus calls final: the newest block that a quorum of those that say something says is;
    /// `None` where nobody does. Nothing above `head` is final: who says so is not counted.
    pub async fn finalized(&self, head: u64) -> Result<Option<u64>> {
        let question = |rpc: Rpc| async move { rpc.block(At::Finalized).await };
        let mut told: Vec<Option<Header>> = Vec::new();
        if self.pool.slots.len() > 1 {
            let each = self.ask_each(question).await;
            told.extend(each.into_iter().filter_map(|(_, told)| told.ok()));
        }
        if told.is_empty() {
            match self.ask(question).await {
                Ok(one) => told.push(one.value),
                Err(error) if error.kind().is_transient() => return Err(error),
                // Who cannot say has no such block.
                Err(_) => {}
            }
        }
        let heights = told.into_iter().flatten().map(|one| one.number);
        let mut finalized: Vec<u64> = heights.filter(|height| *height <= head).collect();
        finalized.sort_unstable_by(|one, other| other.cmp(one));
        let quorum = self.majority(finalized.len()).min(finalized.len());
        Ok(finalized.get(quorum.saturating_sub(1)).copied())
    }

    /// The newest block of each provider that answers; at least one.
    async fn heads(&self) -> Result<Vec<(Id, Header)>> {
        let latest = |rpc: Rpc| async move {
            let head = rpc.block(At::Latest).await?;
            head.ok_or_else(|| RpcError::BeyondHead {
                message: "the node has no latest block".to_owned(),
            })
        };
        if self.pool.slots.len() > 1 {
            let told = self.ask_each(latest).await;
            let heads: Vec<_> = told
                .into_iter()
                .filter_map(|(by, head)| Some((by, head.ok()?)))
                .collect();
            for id in self.ids() {
                if heads.iter().all(|(by, _)| *by != id) {
                    self.slot(id).stands(Opinion::Silent);
                }
            }
            if !heads.is_empty() {
                return Ok(heads);
            }
        }
        // Alone, or nobody answers just now: waiting and asking again is the ordinary way.
        let told = self.ask(latest).await?;
        Ok(vec![(told.by, told.value)])
    }

    async fn agreed(&self, heads: &[(Id, Header)], quorum: usize) -> Result<Header> {
        let mut heights: Vec<u64> = heads.iter().map(|(_, head)| head.number).collect();
        heights.sort_unstable_by(|one, other| other.cmp(one));
        let Some(newest) = heights.get(quorum.saturating_sub(1)).copied() else {
            return Err(Error::Disagree {
                chain: self.chain(),
                what: format!(
                    "{quorum} providers are to agree, and {} answer",
                    heads.len()
                ),
            });
        };
        let (mut height, mut step) = (newest, 1);
        loop {
            let votes = self.votes(heads, height).await;
            if let Some(head) = elected(&votes, quorum) {
                self.judge(heads, &votes, head);
                return Ok(head.clone());
            }
            if height == 0 || newest - height >= DEEPEST {
                return Err(self.split(heads, newest));
            }
            height = height
                .saturating_sub(step)
                .max(newest.saturating_sub(DEEPEST));
            step *= 2;
        }
    }

    /// What each of them has at `height`; who has just that as its head need not be asked again.
    async fn votes(&self, heads: &[(Id, Header)], height: u64) -> Vec<Vote> {
        let vote = |(by, head): &(Id, Header)| {
            let (by, head) = (*by, head.clone());
            async move {
                let has = match head.number.cmp(&height) {
                    Ordering::Equal => Some(head),
                    Ordering::Less => None,
                    Ordering::Greater => {
                        let block = |rpc: Rpc| async move { rpc.block(At::Number(height)).await };
                        self.ask_one(by, block).await.ok().flatten()
                    }
                };
                Vote { by, has }
            }
        };
        join_all(heads.iter().map(vote)).await
    }

    fn judge(&self, heads: &[(Id, Header)], votes: &[Vote], agreed: &Header) {
        for ((by, own), vote) in heads.iter().zip(votes) {
            let head = own.number;
            self.slot(*by).stands(match &vote.has {
                Some(has) if has.hash == agreed.hash => Opinion::Agrees { head },
                Some(has) => Opinion::Disagrees {
                    head,
                    at: agreed.number,
                    has: has.hash,
                },
                None if head < agreed.number => Opinion::Behind {
                    head,
                    by: agreed.number - head,
                },
                None => Opinion::Silent,
            });
        }
    }

    fn split(&self, heads: &[(Id, Header)], newest: u64) -> Error {
        let mut what = format!(
            "of blocks {} to {newest} none is known to enough of them",
            newest.saturating_sub(DEEPEST)
        );
        for (by, head) in heads {
            self.slot(*by).suspect();
            what = format!(
                "{what}; {} has block {} as {}",
                self.place(*by),
                head.number,
                head.hash
            );
        }
        Error::Disagree {
            chain: self.chain(),
            what,
        }
    }

    /// Behind a load balancer stand nodes with other heads. Where somebody still has the block that was
    /// the head, it still is.
    async fn not_below_the_last(&self, head: Header) -> Header {
        let last = self.pool.last.lock().await.clone();
        let Some(last) = last.filter(|last| last.number > head.number) else {
            return head;
        };
        let number = last.number;
        let told = self.ask_each(move |rpc| async move { rpc.block(At::Number(number)).await });
        let found: Vec<Header> = told
            .await
            .into_iter()
            .filter_map(|(_, found)| found.ok().flatten())
            .collect();
        let is_known = found.iter().any(|found| found.hash == last.hash);
        let was_replaced = found.iter().any(|found| found.hash != last.hash);
        if is_known && !was_replaced {
            last
        } else {
            head
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vote(by: usize, hash: u8) -> Vote {
        let header = json!({
            "number": "0x7", "hash": B256::repeat_byte(hash), "parentHash": B256::ZERO,
            "timestamp": "0x1", "receiptsRoot": B256::ZERO, "stateRoot": B256::ZERO, "logsBloom": "0x",
        });
        Vote {
            by: Id(by),
            has: (hash > 0).then(|| serde_json::from_value(header).expect("a header")),
        }
    }

    #[test]
    fn a_block_is_elected_by_a_quorum_alone() {
        type Case = (&'static [u8], usize, Option<u8>);
        let cases: &[Case] = &[
            (&[1], 1, Some(1)),
            (&[1, 2], 2, None),
            (&[1, 2, 2], 2, Some(2)),
            (&[0, 1, 1], 2, Some(1)),
            (&[0, 0, 1], 2, None),
            (&[0], 1, None),
            (&[], 1, None),
        ];
        for (hashes, quorum, expected) in cases {
            let votes: Vec<Vote> = (0..)
                .zip(*hashes)
                .map(|(by, hash)| vote(by, *hash))
                .collect();
            let elected = elected(&votes, *quorum).map(|header| header.hash);
            assert_eq!(elected, expected.map(B256::repeat_byte), "{hashes:?}");
        }
    }

    #[test]
    fn a_few_blocks_behind_is_everyday_life() {
        let behind = |by| Opinion::Behind { head: 100, by };
        let agrees = Opinion::Agrees { head: 100 };
        assert!(!behind(3).is_worse_than(&agrees));
        assert!(behind(100).is_worse_than(&agrees));
        assert!(
            !behind(100).is_worse_than(&behind(99)),
            "it was told before"
        );
    }
}
