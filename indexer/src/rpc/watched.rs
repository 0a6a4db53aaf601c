//! Reading a chain that is kept for some alone: a provider is asked for the logs of watched owners and tokens by
//! their topics, one range after the other, because each may reveal tokens that the next ones are asked for.

use std::collections::{BTreeMap, BTreeSet};

use chain::{Log, LogFilter, Registries, contracts::topics};
use futures::{StreamExt, TryStreamExt, stream};
use kernel::{B256, Token};
use store::Db;

use super::piece::{self, Piece};
use crate::{
    Error, Result,
    evidence::Witness,
    providers::Providers,
    scope::{Watch, Watched, is_minted, questions},
    source::{Cursor, Enter},
};

/// Questions that are under way at once.
const AT_ONCE: usize = 4;

/// Logs that one range should hold.
const GOAL: u64 = 5_000;

/// Most blocks of a range: so far reading goes back where something fails.
const MOST: u64 = 100_000;

/// Most blocks of a range of which every header is asked for.
const PROVEN_BLOCKS: u64 = 512;

/// Whom to read for, and what of that is known.
pub struct Watching {
    db: Db,
    watch: Watch,
    contracts: Registries,
    /// The first block to index.
    start: u64,
    /// Blocks of the next range.
    width: u64,
    /// The scope as it is stored.
    known: Watched,
}

/// What logs of a range come to.
pub enum Found {
    /// Those that are kept, and the tokens that enter with them.
    Kept(Vec<Log>, Vec<Token>),
    /// Tokens that a watched owner gave or got, and that are older: their past comes first.
    Older(BTreeSet<Token>),
}

impl Watching {
    /// Begins with ranges of `width` blocks.
    pub fn new(db: Db, watch: Watch, contracts: Registries, start: u64, width: u64) -> Self {
        Self {
            db,
            watch,
            contracts,
            start,
            width: width.clamp(1, MOST),
            known: Watched::default(),
        }
    }

    /// Who and what is to enter before anything else is read: owners and tokens that were named lately, tokens that
    /// those owners ever gave or got up to block `settled`, and tokens that a proof revealed.
    pub async fn due(
        &mut self,
        providers: &Providers,
        cursor: Cursor,
        settled: u64,
    ) -> Result<Option<Enter>> {
        let chain = providers.chain();
        let mut conn = self.db.pool().acquire().await?;
        self.known = Watched::read(&mut conn, chain).await?.ok_or_else(|| {
            Error::Invalid(format!("chain {chain} was not opened for some alone"))
        })?;
        drop(conn);
        let new = self.watch.owners.difference(&self.known.owners);
        let new = Watched {
            owners: new.copied().collect(),
            ..Watched::default()
        };
        let named = self.watch.tokens.iter().filter(|one| one.chain == chain);
        let pending = self.known.tokens.keys();
        let mut tokens: BTreeSet<Token> = named.chain(pending).copied().collect();
        let to = settled.max(cursor.number.max(0).unsigned_abs());
        let mut kept = Vec::new();
        if !new.owners.is_empty() && to >= self.start {
            let asked = questions(&self.contracts, &new.owners, []);
            let logs = self.told(providers, asked, self.start, to).await?;
            tokens.extend(
                new.transfers(&logs, &self.contracts)
                    .map(|(token, _)| token),
            );
            let stands = |log: &Log| log.block_number.cast_signed() <= cursor.number;
            kept = logs;
            kept.retain(|log| stands(log) && new.keeps(log, &self.contracts));
        }
        tokens.retain(|token| self.known.tokens.get(token) != Some(&true));
        if new.owners.is_empty() && tokens.is_empty() {
            return Ok(None);
        }
        let enter = Enter {
            owners: new.owners.into_iter().collect(),
            tokens: tokens.into_iter().collect(),
            logs: kept,
            ..Enter::default()
        };
        self.past(providers, cursor, enter).await.map(Some)
    }

    /// Adds all logs of the entering tokens up to the cursor.
    pub async fn past(
        &self,
        providers: &Providers,
        cursor: Cursor,
        mut enter: Enter,
    ) -> Result<Enter> {
        let to = cursor.number.max(0).unsigned_abs();
        if cursor.number < 0 || to < self.start {
            return Ok(enter);
        }
        let asked = questions(&self.contracts, [], &enter.tokens);
        let mut logs = self.told(providers, asked, self.start, to).await?;
        logs.append(&mut enter.logs);
        let mut scope = self.with(enter.tokens.iter().copied());
        scope.owners.extend(&enter.owners);
        let piece = self.whole(providers, &scope, logs, self.start, to).await?;
        if cursor.hash.is_some_and(|hash| hash != piece.to.hash) {
            return Err(moved(providers, self.start, to));
        }
        enter.logs = piece.logs;
        enter.blocks = piece.blocks;
        Ok(enter)
    }

    /// The next range, of blocks up to `last`: what is kept of it, as it is told or, with a witness, proven.
    pub async fn range(
        &mut self,
        providers: &Providers,
        witness: Option<&Witness>,
        from: u64,
        last: u64,
    ) -> Result<(Piece, Found)> {
        let most = witness.map_or(MOST, |_| PROVEN_BLOCKS);
        let to = last.min(from.saturating_add(self.width.min(most) - 1));
        let mut piece = match witness {
            Some(witness) => piece::proven(witness, from, to).await?,
            None => self.told_range(providers, from, to).await?,
        };
        let blocks = to - from + 1;
        let fitting = blocks.saturating_mul(GOAL) / (piece.logs.len() as u64).max(1);
        self.width = fitting.clamp(1, blocks.saturating_mul(2)).min(most);
        let found = self.sort_out(std::mem::take(&mut piece.logs));
        if let Found::Kept(logs, _) = &found {
            piece.blocks.retain(|block| holds(logs, block.number));
        }
        Ok((piece, found))
    }

    /// What of all logs of a range is kept. Those of tokens that are not in the scope must be among them where a
    /// watched owner gave or got one.
    pub fn sort_out(&self, mut logs: Vec<Log>) -> Found {
        let entering = self.entering(&logs);
        let (minted, older): (BTreeSet<Token>, BTreeSet<Token>) = entering
            .into_iter()
            .partition(|token| is_minted(*token, &logs, &self.contracts));
        if !older.is_empty() {
            return Found::Older(older);
        }
        let scope = self.with(minted.iter().copied());
        logs.retain(|log| scope.keeps(log, &self.contracts));
        Found::Kept(logs, minted.into_iter().collect())
    }

    /// Tokens that watched owners gave or got, and that are not in the scope.
    fn entering(&self, logs: &[Log]) -> BTreeSet<Token> {
        let given = self.known.transfers(logs, &self.contracts);
        given
            .map(|(token, _)| token)
            .filter(|token| !self.known.tokens.contains_key(token))
            .collect()
    }

    /// The scope as it is, with some tokens more.
    fn with(&self, tokens: impl IntoIterator<Item = Token>) -> Watched {
        let mut scope = self.known.clone();
        scope
            .tokens
            .extend(tokens.into_iter().map(|token| (token, true)));
        scope
    }

    async fn told_range(&self, providers: &Providers, from: u64, to: u64) -> Result<Piece> {
        let known = &self.known;
        let asked = questions(&self.contracts, &known.owners, known.tokens.keys());
        let mut logs = self.told(providers, asked, from, to).await?;
        let entering = self.entering(&logs);
        let asked = questions(&self.contracts, [], &entering);
        logs.extend(self.told(providers, asked, from, to).await?);
        let scope = self.with(entering);
        self.whole(providers, &scope, logs, from, to).await
    }

    /// Puts told logs in order, and adds the one event that cannot be asked for by token: `MetadataUpdate` says
    /// whether a URI was written as it is told, and stands beside what tells one.
    async fn whole(
        &self,
        providers: &Providers,
        scope: &Watched,
        logs: Vec<Log>,
        from: u64,
        to: u64,
    ) -> Result<Piece> {
        let tells = [Some(topics::REGISTERED), Some(topics::URI_UPDATED)];
        let telling = logs.iter().filter(|log| tells.contains(&log.topic0()));
        let telling: BTreeSet<B256> = telling.map(|log| log.block_hash).collect();
        let filter = LogFilter {
            addresses: self.contracts.identity.clone(),
            topics: [vec![topics::METADATA_UPDATE], vec![], vec![], vec![]],
        };
        let asking = telling.into_iter().map(|hash| {
            let filter = &filter;
            async move {
                let told =
                    providers.ask(|rpc| async move { rpc.logs_of_block(hash, filter).await });
                let mut logs = told.await?.value;
                logs.retain(|log| log.block_hash == hash);
                Ok::<_, Error>(logs)
            }
        });
        let updates: Vec<Vec<Log>> = stream::iter(asking)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let mut whole: BTreeMap<(u64, u32), Log> = BTreeMap::new();
        for log in logs.into_iter().chain(updates.into_iter().flatten()) {
            if scope.keeps(&log, &self.contracts) {
                whole.entry(log.position()).or_insert(log);
            }
        }
        piece::of_logs(providers, whole.into_values().collect(), from, to).await
    }

    /// The answers to all questions, in no order.
    async fn told(
        &self,
        providers: &Providers,
        questions: Vec<LogFilter>,
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>> {
        let asking = questions.into_iter().map(|filter| async move {
            let (mut at, mut logs) = (from, Vec::new());
            while at <= to {
                let (end, mut part) = providers.logs(at, to, &filter).await?.value;
                logs.append(&mut part);
                at = end + 1;
            }
            Ok::<_, Error>(logs)
        });
        let answers: Vec<Vec<Log>> = stream::iter(asking)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let mut logs: Vec<Log> = answers.into_iter().flatten().collect();
        logs.sort_by_key(Log::position);
        Ok(logs)
    }
}

/// Whether one of these logs, which are in chain order, is of this block.
pub fn holds(logs: &[Log], block: u64) -> bool {
    let found = logs.binary_search_by_key(&block, |log| log.block_number);
    found.is_ok()
}

fn moved(providers: &Providers, from: u64, to: u64) -> Error {
    let chain = providers.chain();
    Error::Moved { chain, from, to }
}
