//! The census: our rows of a registry's agents held against the registry's own state.
//!
//! Events are not state (`erc-8004-and-1056.md` §1), and a rule of ours can be wrong. So the number of agents
//! must be the registry's counter, and owner, wallet, URI and metadata of every agent what its storage holds:
//! of all agents once at a backfill's end, then of those whom new logs speak of, at the block that the rows are
//! true at. What differs is kept (`chain.mismatches`) and journaled once, with the rule that made our value.
//!
//! The count and small numbers of agents are proven against the header's state root where a node proves;
//! large numbers are read as one node reports them, because a proof costs a hundred times the bytes.

mod agents;
mod compare;
mod keep;
mod mismatch;
mod read;
mod rule;
mod stand;

use std::fmt;

use chain::{Registries, RpcError};
use chrono::TimeDelta;
use kernel::{Address, U256};
use serde::Serialize;
use store::{Db, Outcome};
use uuid::Uuid;

use self::{
    agents::Rows,
    compare::differences,
    keep::{Compared, Kept, Place, keep},
    read::{Question, Reading},
    stand::Stand,
};
pub use self::{
    compare::{Difference, What},
    rule::Made,
    stand::{again, rewound},
};
use crate::{Error, Result, chain_row, lead::Leadership, providers::Providers};

/// Up to so many agents at once are proven.
const PROVEN: usize = 128;
/// Farther behind the head a backfill is under way, and nodes do not keep the state.
const BEHIND: i64 = 100;
/// Where a node does not serve state, it is tried again after this time.
const RETRY: TimeDelta = TimeDelta::minutes(10);
/// The count, and what differed, is looked at again after this time.
const RECHECK: TimeDelta = TimeDelta::minutes(1);
/// So often on end the state of the newest block may be gone before a node counts as keeping none.
const GIVE_UP: u32 = 3;

/// How far something of the state is shown, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateLevel {
    /// No provider serves it.
    Unavailable,
    /// One provider says so.
    Reported,
    /// A proof leads to it from the state root of a header that hashes to its hash.
    Proven,
}

impl StateLevel {
    /// The column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Reported => "reported",
            Self::Proven => "proven",
        }
    }

    /// Reads the column; a word of another version of this program claims nothing.
    pub fn parse(word: &str) -> Self {
        [Self::Reported, Self::Proven]
            .into_iter()
            .find(|level| level.as_str() == word)
            .unwrap_or(Self::Unavailable)
    }
}

/// Where an implementation of a registry keeps its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In the slots of [`chain::layout`].
    Slots,
    /// Somewhere: it has to be called.
    Calls,
}

/// A value of ours that is not the registry's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Whose, by our id and the registry's; `None`: it is the count.
    pub agent: Option<(Uuid, U256)>,
    /// Which value, and both of them.
    pub difference: Difference,
    /// What made ours.
    pub made: Made,
    /// How far theirs is shown.
    pub level: StateLevel,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { what, ours, theirs } = &self.difference;
        if let Some((_, token)) = self.agent {
            write!(f, "agent {token}: ")?;
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let (ours, theirs) = (text(ours), text(theirs));
        write!(
            f,
            "{what} is {ours} here and {theirs} there (rule: {})",
            self.made.rule
        )
    }
}

/// What there is to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The block that rows are true at.
    pub head: i64,
}

/// What one round compared at one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The registry.
    pub registry: Address,
    /// The block of both sides.
    pub block: i64,
    /// How far the registry's counter is shown.
    pub count_level: StateLevel,
    /// How many agents were compared.
    pub agents: usize,
    /// How far their values are shown.
    pub level: StateLevel,
    /// What is not equal.
    pub mismatches: Vec<Mismatch>,
    /// Whether more is to be compared at once.
    pub more: bool,
}

/// Takes the census of one chain, some agents at a time.
pub struct Census {
    db: Db,
    chain: u64,
    contracts: Registries,
    providers: Providers,
    leadership: Leadership,
    /// How often on end the state was gone.
    gone: u32,
}

impl Census {
    /// Of an opened chain; `holder` names this process.
    pub fn new(
        db: Db,
        chain: u64,
        contracts: Registries,
        providers: Providers,
        holder: Uuid,
    ) -> Self {
        Self {
            leadership: Leadership::new(db.clone(), chain, holder),
            db,
            chain,
            contracts,
            providers,
            gone: 0,
        }
    }

    /// Compares what is due, a part of it at each registry. Idle where nothing is, while a backfill is under
    /// way or its indexes are missing, and where another process leads the chain.
    pub async fn round(&mut self) -> Result<Outcome> {
        let standing = chain_row::standing(&self.db, self.chain).await?;
        if !standing.is_level() || !store::deferred::missing(&self.db).await?.is_empty() {
            return Ok(Outcome::Idle);
        }
        let Some(due) = due(&self.db, self.chain, &self.contracts).await? else {
            return Ok(Outcome::Idle);
        };
        match self.leadership.take().await {
            Err(Error::Led(_)) => return Ok(Outcome::Idle),
            other => other?,
        }
        let head = self.providers.head().await?.number.cast_signed();
        if head - due.head > BEHIND {
            return Ok(Outcome::Idle);
        }
        let reports = self.take().await?;
        let more = reports.iter().any(|report| report.more);
        Ok(if more { Outcome::Busy } else { Outcome::Idle })
    }

    /// Compares a part at each registry now, due or not. A registry whose state could not be read, or whose
    /// chain moved meanwhile, is left out.
    pub async fn take(&mut self) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for registry in self.contracts.identity.clone() {
            reports.extend(self.registry(registry).await?);
        }
        Ok(reports)
    }

    async fn registry(&mut self, registry: Address) -> Result<Option<Report>> {
        let chain = self.chain.cast_signed();
        let stand = Stand::read(&self.db, chain, registry).await?;
        let head = chain_row::standing(&self.db, self.chain).await?.head;
        let choice = agents::choose(&self.db, chain, registry, head, &stand.progress).await?;
        // Counted once in a pass over all, at its end.
        let count = choice.progress.next.is_none();
        let rows = agents::rows(self.db.pool(), chain, registry, &choice.agents, count).await?;
        // After a rewind the hash is told with the next step.
        let Some(hash) = rows
            .at
            .hash
            .filter(|_| rows.at.number >= choice.progress.through)
        else {
            return Ok(None);
        };
        let samples = match stand.known {
            Some(_) => Vec::new(),
            None => agents::samples(&self.db, chain, registry).await?,
        };
        let question = Question {
            registry,
            block: hash,
            prove: rows.agents.len() <= PROVEN,
            agents: &rows.agents,
            samples: &samples,
            highest: rows.highest,
            known: stand.known,
        };
        let reading = match self.ask(&question).await? {
            Ok(reading) => self.sure(&question, &rows, reading).await?,
            Err(why) => {
                stand::unavailable(&self.db, chain, registry, &why).await?;
                return Ok(None);
            }
        };
        let place = Place {
            chain: self.chain,
            registry,
            topics: chain_row::topics(&self.db, self.chain).await?,
        };
        let compared = Compared {
            rows: &rows,
            reading: &reading,
            chosen: &choice.agents,
            progress: &choice.progress,
            level_before: stand.level,
        };
        let Kept {
            mismatches,
            unclear,
        } = keep(&self.db, &place, hash, self.leadership.lease(), &compared).await?;
        Ok(Some(Report {
            registry,
            block: rows.at.number,
            count_level: reading.count_level,
            agents: rows.agents.len(),
            level: reading.level,
            mismatches,
            more: choice.progress.next.is_some()
                || choice.progress.through < rows.at.number
                || unclear > 0,
        }))
    }

    /// Asks the providers in turn. `Err` says why none serves the state. A state that is gone is asked for
    /// again at a newer block.
    async fn ask(&mut self, question: &Question<'_>) -> Result<Result<Reading, String>> {
        let ask = |rpc: chain::Rpc| async move { read::read(&rpc, question).await };
        let error = match self.providers.ask(ask).await {
            Ok(told) => {
                self.gone = 0;
                return Ok(Ok(told.value));
            }
            Err(error) => error,
        };
        let Error::Rpc {
            place, error: why, ..
        } = &error
        else {
            return Err(error);
        };
        let without = match why {
            RpcError::NoMethod { .. } => true,
            RpcError::Pruned { .. } => {
                self.gone += 1;
                self.gone >= GIVE_UP
            }
            _ => false,
        };
        if without {
            Ok(Err(format!("{place}: {why}")))
        } else {
            Err(error)
        }
    }

    /// Reads values that differ a second time, with proofs where there are some: a node can err once.
    async fn sure(
        &mut self,
        question: &Question<'_>,
        rows: &Rows,
        mut reading: Reading,
    ) -> Result<Reading> {
        if reading.level == StateLevel::Proven {
            return Ok(reading);
        }
        let different: Vec<usize> = rows
            .agents
            .iter()
            .zip(&reading.theirs)
            .enumerate()
            .filter(|(_, (ours, theirs))| !differences(ours, theirs).is_empty())
            .map(|(place, _)| place)
            .take(PROVEN)
            .collect();
        if different.is_empty() {
            return Ok(reading);
        }
        let agents: Vec<_> = different
            .iter()
            .map(|place| rows.agents[*place].clone())
            .collect();
        let again = Question {
            prove: true,
            agents: &agents,
            known: Some(reading.found),
            ..*question
        };
        if let Ok(second) = self.ask(&again).await? {
            for (place, theirs) in different.into_iter().zip(second.theirs) {
                reading.theirs[place] = theirs;
            }
            reading.second = second.level;
        }
        Ok(reading)
    }
}

/// Whether there is something to compare on a chain. Whoever asks must know that no backfill is under way.
pub async fn due(db: &Db, chain: u64, contracts: &Registries) -> Result<Option<Due>> {
    stand::due(db, chain.cast_signed(), contracts, RETRY, RECHECK).await
}
