//! Proving behind the backfill: ranges that were only reported are read again as headers and receipts, from
//! the head down, and what was told wrongly is put right.

mod verify;

use std::collections::{BTreeSet, VecDeque};

use chain::{FindingKind, Log, Registries, Sieve, examine::compare};
use identity::{Feed, Mode};
use kernel::{AgentId, B256};
use store::{Cause, Db, Outcome, Tx};
use uuid::Uuid;

pub use self::verify::Verifier;
use crate::{
    Error, Result,
    apply::tell_malformed,
    census, chain_row,
    evidence::{Evidence, Witness},
    ground,
    incident::{self, Incident},
    lead::Leadership,
    level::Level,
    range::{self, Range},
    scope::{self, Watched},
    sorted::Sorted,
    stage::{self, Stage},
};

/// Blocks that are proven at once.
const BLOCKS: i64 = 512;

/// What proving a part of a chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The part, and what is proven of it now.
    pub range: Range,
    /// Logs that were stored otherwise than the blocks have them; now they are as these have them.
    pub incidents: Vec<Incident>,
    /// How many of them were not known before, and are journaled now.
    pub new: usize,
}

/// Proves what a chain's backfill only reported.
pub struct Prover {
    db: Db,
    chain: u64,
    contracts: Registries,
    witness: Witness,
    leadership: Leadership,
    /// Parts that nobody could prove, first and last block each, in the order in which they are tried again: when
    /// nothing else is left to be proven.
    postponed: VecDeque<(i64, i64)>,
    /// Set where the chain's headers prove nothing, and nobody else can be asked: nothing more can be proven.
    hopeless: bool,
}

/// Blocks that are to be proven.
struct Part {
    from: i64,
    to: i64,
    /// The last block's hash, as what is proven above says it.
    top: Option<B256>,
}

impl Prover {
    /// A prover of an opened chain; `holder` names this process.
    pub fn new(db: Db, chain: u64, contracts: Registries, witness: Witness, holder: Uuid) -> Self {
        Self {
            leadership: Leadership::new(db.clone(), chain, holder),
            db,
            chain,
            contracts,
            witness,
            postponed: VecDeque::new(),
            hopeless: false,
        }
    }

    /// Blocks of parts that nobody could prove.
    pub fn postponed(&self) -> i64 {
        self.postponed.iter().map(|(from, to)| to - from + 1).sum()
    }

    /// Proves the highest part that is not. Errors with [`Error::Unproven`] where nobody can: the next round goes on
    /// below it.
    pub async fn round(&mut self) -> Result<Outcome> {
        if self.hopeless {
            return Ok(Outcome::Idle);
        }
        match self.leadership.take().await {
            Err(Error::Led(_)) => return Ok(Outcome::Idle),
            other => other?,
        }
        let standing = chain_row::standing(&self.db, self.chain).await?;
        // A backfill and its indexes come first: people wait for those.
        if !standing.is_level() || !store::deferred::missing(&self.db).await?.is_empty() {
            return Ok(Outcome::Idle);
        }
        let Some(part) = self.next_part(standing.head).await? else {
            return Ok(Outcome::Idle);
        };
        let (first, last) = (part.from.unsigned_abs(), part.to.unsigned_abs());
        let asking = self.witness.gather(first, last);
        let gathered = stage::timed(self.chain, Stage::Prove, asking).await;
        if let Err(Error::Unproven { block, .. }) = &gathered {
            let block = block.cast_signed();
            self.postponed.push_back((block, block));
        }
        let evidence = gathered?;
        let proof = evidence.proof;
        if proof.top.is_none() && !self.witness.may_agree() {
            self.hopeless = true;
            return Ok(Outcome::Idle);
        }
        if part
            .top
            .zip(proof.top)
            .is_some_and(|(stored, told)| stored != told)
        {
            return Err(self.moved(&part));
        }
        if proof.level == Level::Reported {
            self.postponed.push_back((part.from, part.to));
            let why = if proof.top.is_some() {
                format!("nobody tells logs that blooms of blocks {first}..={last} speak of")
            } else {
                format!(
                    "headers of this chain prove no logs, and nobody else tells those of blocks {first}..={last}"
                )
            };
            return Err(Error::Unproven {
                chain: self.chain,
                block: last,
                place: self.witness.places(),
                why,
            });
        }
        self.put_right(part.from, part.to, evidence, &self.witness.places())
            .await?;
        Ok(Outcome::Busy)
    }

    /// The highest part that is not proven and was not postponed, else what was postponed first.
    async fn next_part(&mut self, head: i64) -> Result<Option<Part>> {
        let mut to = head;
        // The postponed part directly above.
        let mut above_it: Option<Part> = None;
        loop {
            let Some((range, above)) = range::unproven(&self.db, self.chain, to).await? else {
                break;
            };
            let top = match (above, above_it.take().filter(|_| range.to == to)) {
                (Some(hash), _) => Some(hash),
                (None, Some(postponed)) => self.parent(&postponed).await?,
                (None, None) => ground::tip(&self.db, self.chain, range.to).await?,
            };
            let from = range.from.max(range.to - BLOCKS + 1);
            let mut part = Part {
                from,
                to: range.to,
                top,
            };
            let in_part = |(_, last): &&(i64, i64)| (from..=range.to).contains(last);
            let Some((first, last)) = self
                .postponed
                .iter()
                .filter(in_part)
                .max_by_key(|(_, last)| *last)
            else {
                return Ok(Some(part));
            };
            if *last < range.to {
                part.from = last + 1;
                return Ok(Some(part));
            }
            part.from = (*first).max(range.from);
            to = part.from - 1;
            above_it = Some(part);
        }
        // All that is left: it begins anew, so that what was proven meanwhile is not asked for.
        if self.postponed.pop_front().is_none() {
            return Ok(None);
        }
        Box::pin(self.next_part(head)).await
    }

    /// The hash of the block below a part that was postponed, as its linked headers say it.
    async fn parent(&self, part: &Part) -> Result<Option<B256>> {
        let (first, last) = (part.from.unsigned_abs(), part.to.unsigned_abs());
        let headers = self.witness.headers(first, last).await?;
        if headers.iter().any(|header| header.verified().is_none()) {
            // Headers of this chain prove nothing, and nothing is held against them.
            return Ok(None);
        }
        let linked = headers.iter().rev().try_fold(part.top, |expected, header| {
            let fits = expected.is_none_or(|hash| hash == header.hash);
            fits.then_some(Some(header.parent))
        });
        linked.ok_or_else(|| self.moved(part))
    }

    fn moved(&self, part: &Part) -> Error {
        Error::Moved {
            chain: self.chain,
            from: part.from.unsigned_abs(),
            to: part.to.unsigned_abs(),
        }
    }

    /// Holds stored logs against evidence, and makes them what it says, in one transaction. Evidence that says
    /// something else must be better than what was said of each of the blocks before; as good is enough where headers
    /// vouch for it.
    async fn put_right(
        &self,
        from: i64,
        to: i64,
        mut evidence: Evidence,
        provider: &str,
    ) -> Result<Proven> {
        let mut tx = self.db.begin(Cause::Job("prove")).await?;
        let standing = chain_row::lock_any(&mut tx, self.chain).await?;
        if standing.head < to {
            // A reorg came between.
            return Err(Error::Moved {
                chain: self.chain,
                from: from.unsigned_abs(),
                to: to.unsigned_abs(),
            });
        }
        let stored = ground::read_range(&mut tx, self.chain, from, to).await?;
        let revealed = self.keep_watched(&mut tx, &mut evidence, provider).await?;
        let mut incidents = incidents(&stored, &evidence, self.witness.sieve(), provider);
        let (lowest, before) = range::span(&mut tx, self.chain, from, to).await?;
        let proof = evidence.proof;
        let first = incidents.iter().chain(&revealed).next();
        let is_no_better = proof.level < before || proof.level == before && before < Level::Bloom;
        if let (Some(first), true) = (first, is_no_better) {
            return Err(Error::Unproven {
                chain: self.chain,
                block: first.block_number,
                place: provider.to_owned(),
                why: format!(
                    "its logs are others, but it proves no more than `{}` of what was `{}` before",
                    proof.level.as_str(),
                    before.as_str()
                ),
            });
        }
        if !incidents.is_empty() {
            self.heal(&mut tx, &stored, &evidence, &incidents).await?;
        }
        incidents.extend(revealed);
        self.name_tellers(&mut tx, from, to, &mut incidents).await?;
        let new = incident::record(&mut tx, self.chain, &incidents).await?;
        let range = Range {
            from,
            to,
            proof,
            tellers: BTreeSet::new(),
        };
        if lowest < proof.level && before <= proof.level {
            range::put(&mut tx, self.chain, range.clone()).await?;
        }
        if let Some(lease) = self.leadership.lease() {
            lease.fence(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(Proven {
            range,
            incidents,
            new,
        })
    }

    /// Names who told the logs of the blocks in question, where that is known.
    async fn name_tellers(
        &self,
        tx: &mut Tx,
        from: i64,
        to: i64,
        incidents: &mut [Incident],
    ) -> Result<()> {
        if incidents.is_empty() {
            return Ok(());
        }
        let told = range::tellers(tx, self.chain, from, to).await?;
        for incident in incidents {
            let block = incident.block_number.cast_signed();
            let by = told
                .iter()
                .find(|(from, to, _)| (*from..=*to).contains(&block));
            if let Some((_, _, tellers)) = by {
                incident.provider = tellers.join(", ");
            }
        }
        Ok(())
    }

    /// Of a chain that is kept for some alone, takes out of evidence what is not kept. A Transfer of a watched owner
    /// whose token is not in the scope was lost: the token enters, and its logs are fetched by who follows the chain.
    async fn keep_watched(
        &self,
        tx: &mut Tx,
        evidence: &mut Evidence,
        provider: &str,
    ) -> Result<Vec<Incident>> {
        let Some(watched) = Watched::read(tx.conn(), self.chain).await? else {
            return Ok(Vec::new());
        };
        let (mut revealed, mut lost) = (BTreeSet::new(), Vec::new());
        for (token, log) in watched.transfers(&evidence.logs, &self.contracts) {
            if !watched.tokens.contains_key(&token) {
                revealed.insert(token);
                lost.push(Incident {
                    block_number: log.block_number,
                    block_hash: log.block_hash,
                    log_index: log.log_index,
                    kind: FindingKind::Lost,
                    provider: provider.to_owned(),
                });
            }
        }
        evidence
            .logs
            .retain(|log| watched.keeps(log, &self.contracts));
        scope::put_tokens(tx, self.chain, revealed, false).await?;
        Ok(lost)
    }

    /// Puts the true logs of the blocks in question in the place of those that were told, and projects
    /// everybody whom they speak of anew.
    async fn heal(
        &self,
        tx: &mut Tx,
        stored: &[Log],
        evidence: &Evidence,
        incidents: &[Incident],
    ) -> Result<()> {
        let wrong: BTreeSet<u64> = incidents.iter().map(|one| one.block_number).collect();
        let of_wrong = |logs: &[Log]| -> Vec<Log> {
            logs.iter()
                .filter(|log| wrong.contains(&log.block_number))
                .cloned()
                .collect()
        };
        let before = Sorted::new(of_wrong(stored), &self.contracts);
        let after = Sorted::new(of_wrong(&evidence.logs), &self.contracts);
        self.tell_unread(tx, &before, &after).await?;
        let numbers: Vec<i64> = wrong.iter().map(|number| number.cast_signed()).collect();
        ground::forget_blocks(tx, self.chain, &numbers).await?;
        identity::operator::forget_blocks(tx, self.chain, &numbers).await?;
        let mut named = Vec::new();
        for number in &numbers {
            named.extend(identity::vexel::subjects(tx, self.chain, number - 1, *number).await?);
        }
        identity::vexel::forget_blocks(tx, self.chain, &numbers).await?;
        let wrong_blocks = evidence
            .holding()
            .filter(|header| wrong.contains(&header.number));
        let blocks: Vec<chain::Block> = wrong_blocks.map(chain::Header::block).collect();
        ground::put_blocks(tx, self.chain, &blocks).await?;
        ground::put_logs(tx, self.chain, &after.logs).await?;
        identity::operator::record(tx, self.chain, &after.operators).await?;
        named.extend(identity::vexel::record(tx, self.chain, &after.vexel).await?);
        identity::subject::put(tx, &after.tokens).await?;
        let tokens = before.tokens.iter().chain(&after.tokens);
        let agents: BTreeSet<Uuid> = tokens.map(|(agent, _)| agent.0).collect();
        let agents: Vec<Uuid> = agents.into_iter().collect();
        census::again(tx, self.chain, &agents).await?;
        let agents: Vec<AgentId> = agents.into_iter().chain(named).map(AgentId).collect();
        identity::project(tx, &agents, Mode::Refold, Feed::Told).await?;
        Ok(())
    }

    /// Tells of logs that cannot be read and were not known before, as the step would have that stored them.
    async fn tell_unread(&self, tx: &mut Tx, before: &Sorted, after: &Sorted) -> Result<()> {
        let told = before.unread().into_iter();
        let told: BTreeSet<_> = told
            .map(|(place, _)| before.logs[place].0.position())
            .collect();
        let mut unread = after.unread();
        unread.retain(|(place, _)| !told.contains(&after.logs[*place].0.position()));
        tell_malformed(tx, self.chain, after, &unread).await
    }
}

/// What was stored otherwise than the blocks have it.
fn incidents(stored: &[Log], evidence: &Evidence, sieve: &Sieve, provider: &str) -> Vec<Incident> {
    let mut incidents = Vec::new();
    for header in &evidence.headers {
        let of_block = |logs: &'_ [Log]| -> std::ops::Range<usize> {
            let start = logs.partition_point(|log| log.block_number < header.number);
            let end = logs.partition_point(|log| log.block_number <= header.number);
            start..end
        };
        let (told, truth) = (
            &stored[of_block(stored)],
            &evidence.logs[of_block(&evidence.logs)],
        );
        let findings = compare(told, truth, header, sieve);
        incidents.extend(findings.into_iter().map(|finding| Incident {
            block_number: header.number,
            block_hash: header.hash,
            log_index: finding.log_index,
            kind: finding.kind,
            provider: provider.to_owned(),
        }));
    }
    incidents
}
