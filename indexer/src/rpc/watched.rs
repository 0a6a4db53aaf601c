//! Reading a chain that is kept for some alone: a provider is asked for the logs of watched owners and tokens by
//! their topics, one range after the other, because each may reveal tokens that the next ones are asked for.

use std::collections::{BTreeMap, BTreeSet};

use chain::{Log, LogFilter, Registries, contracts::topics};
use futures::{StreamExt, TryStreamExt, stream};
use kernel::{B256, Token};
use store::Db;

use super::{
    piece::{self, Answers, Piece},
    reading::{AT_ONCE, Reading},
};
use crate::{
    Error, Result,
    evidence::Witness,
    providers::{Id, Providers, Told},
    scope::{Watch, Watched, is_minted, questions},
    source::{Cursor, Enter},
};

/// Most blocks of a range: so far reading goes back where something fails.
const MOST: u64 = 100_000;

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
    /// Tokens that a watched owner gave or got, and that are older than what revealed them.
    older: BTreeSet<Token>,
    /// What was read of the past for who is due, in spite of failures.
    found: Option<Reading>,
    past: Option<(Cursor, Reading)>,
    /// `MetadataUpdate` logs by their block, in spite of failures.
    updates: BTreeMap<B256, (Vec<Log>, Id)>,
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
            older: BTreeSet::new(),
            found: None,
            past: None,
            updates: BTreeMap::new(),
        }
    }

    /// Who and what is to enter before anything else is read: owners and tokens that were named lately, tokens that
    /// those owners ever gave or got up to block `settled`, and tokens that a range or a proof revealed. After an
    /// error it goes on where it was.
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
        let owners = self.watch.owners.difference(&self.known.owners);
        let new = Watched {
            owners: owners.copied().collect(),
            ..Watched::default()
        };
        let named = self.watch.tokens.iter().filter(|one| one.chain == chain);
        let pending = self.known.tokens.keys();
        let mut tokens: BTreeSet<Token> = named.chain(pending).copied().collect();
        tokens.extend(&self.older);
        let to = settled.max(cursor.number.max(0).unsigned_abs());
        let mut kept = Answers::default();
        if !new.owners.is_empty() && to >= self.start {
            kept = self.found(providers, &new, to).await?;
            let given = new.transfers(&kept.logs, &self.contracts);
            tokens.extend(given.map(|(token, _)| token));
            let stands = |log: &Log| log.block_number.cast_signed() <= cursor.number;
            kept.logs
                .retain(|log| stands(log) && new.keeps(log, &self.contracts));
        }
        tokens.retain(|token| self.known.tokens.get(token) != Some(&true));
        if new.owners.is_empty() && tokens.is_empty() {
            return Ok(None);
        }
        let enter = Enter {
            owners: new.owners.into_iter().collect(),
            tokens: tokens.into_iter().collect(),
            ..Enter::default()
        };
        let entered = self.past(providers, cursor, enter, kept).await;
        if matches!(entered, Ok(_) | Err(Error::Moved { .. })) {
            (self.found, self.past) = (None, None);
        }
        let enter = entered?;
        self.older.clear();
        Ok(Some(enter))
    }

    /// All that watched owners who are new gave, got and allowed up to block `to`, or a little below it where
    /// reading it had begun before.
    async fn found(&mut self, providers: &Providers, new: &Watched, to: u64) -> Result<Answers> {
        let asked = questions(&self.contracts, &new.owners, []);
        let begun = self.found.take();
        let begun = begun.filter(|reading| reading.is_about(&asked, self.start));
        let reading = self.found.insert(begun.unwrap_or_else(|| {
            tracing::info!(
                chain = providers.chain(),
                owners = new.owners.len(),
                "chain {}: looking for the agents of {} owners in blocks {}..{to}",
                providers.chain(),
                new.owners.len(),
                self.start
            );
            Reading::new(asked, self.start, to)
        }));
        reading.finish(providers).await?;
        Ok(reading.answers())
    }

    /// Adds all logs of the entering tokens up to the cursor to those that are `kept` of entering owners.
    async fn past(
        &mut self,
        providers: &Providers,
        cursor: Cursor,
        mut enter: Enter,
        kept: Answers,
    ) -> Result<Enter> {
        let to = cursor.number.max(0).unsigned_abs();
        if cursor.number < 0 || to < self.start {
            return Ok(enter);
        }
        let asked = questions(&self.contracts, [], &enter.tokens);
        let begun = self
            .past
            .take()
            .filter(|(below, reading)| *below == cursor && reading.is_about(&asked, self.start));
        let begun = begun.map(|(_, reading)| reading);
        let reading = begun.unwrap_or_else(|| Reading::new(asked, self.start, to));
        let (_, reading) = self.past.insert((cursor, reading));
        reading.finish(providers).await?;
        let mut answers = reading.answers();
        answers.append(kept);
        let mut scope = self.with(enter.tokens.iter().copied());
        scope.owners.extend(&enter.owners);
        let piece = self
            .whole(providers, &scope, answers, self.start, to)
            .await?;
        if cursor.hash.is_some_and(|hash| hash != piece.to.hash) {
            let (chain, from) = (providers.chain(), self.start);
            return Err(Error::Moved { chain, from, to });
        }
        enter.logs = piece.logs;
        enter.blocks = piece.blocks;
        enter.tellers = piece.tellers;
        Ok(enter)
    }

    /// The next range, of blocks up to `last`: what is kept of it, as it is told or, with a witness, proven, and the
    /// tokens that enter with it. `None`: it revealed tokens that are due first.
    pub async fn range(
        &mut self,
        providers: &Providers,
        witness: Option<&Witness>,
        from: u64,
        last: u64,
    ) -> Result<Option<(Piece, Vec<Token>)>> {
        let most = witness.map_or(MOST, |_| piece::PROVEN_BLOCKS);
        let blocks = self.width.min(most).min(last - from + 1);
        let to = from + blocks - 1;
        // Should it fail, the next one is smaller.
        self.width = (blocks / 2).max(1);
        let mut piece = match witness {
            Some(witness) => piece::proven(witness, from, to).await?,
            None => self.told_range(providers, from, to).await?,
        };
        self.width = piece::next_width(blocks, piece.logs.len(), most);
        let Some((logs, minted)) = self.sort_out(std::mem::take(&mut piece.logs)) else {
            return Ok(None);
        };
        piece.blocks.retain(|block| holds(&logs, block.number));
        Ok(Some((Piece { logs, ..piece }, minted)))
    }

    /// What of all logs of a range is kept, and the tokens that are minted there and enter. Those of tokens that are
    /// not in the scope must be among them where a watched owner gave or got one. `None`: some of these are older, and
    /// due first.
    pub fn sort_out(&mut self, mut logs: Vec<Log>) -> Option<(Vec<Log>, Vec<Token>)> {
        let entering = self.entering(&logs);
        let (minted, older): (BTreeSet<Token>, BTreeSet<Token>) = entering
            .into_iter()
            .partition(|token| is_minted(*token, &logs, &self.contracts));
        if !older.is_empty() {
            self.older = older;
            return None;
        }
        let scope = self.with(minted.iter().copied());
        logs.retain(|log| scope.keeps(log, &self.contracts));
        Some((logs, minted.into_iter().collect()))
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

    async fn told_range(&mut self, providers: &Providers, from: u64, to: u64) -> Result<Piece> {
        let known = &self.known;
        let asked = questions(&self.contracts, &known.owners, known.tokens.keys());
        let mut answers = told(providers, asked, from, to).await?;
        let entering = self.entering(&answers.logs);
        let asked = questions(&self.contracts, [], &entering);
        answers.append(told(providers, asked, from, to).await?);
        let scope = self.with(entering);
        self.whole(providers, &scope, answers, from, to).await
    }

    /// Puts told logs in order, and adds the one event that cannot be asked for by token: `MetadataUpdate` says
    /// whether a URI was written as it is told, and stands beside what tells one.
    async fn whole(
        &mut self,
        providers: &Providers,
        scope: &Watched,
        mut answers: Answers,
        from: u64,
        to: u64,
    ) -> Result<Piece> {
        let tells = [Some(topics::REGISTERED), Some(topics::URI_UPDATED)];
        let telling = answers.logs.iter();
        let telling = telling.filter(|log| tells.contains(&log.topic0()));
        let telling: BTreeMap<B256, u64> = telling
            .map(|log| (log.block_hash, log.block_number))
            .collect();
        let missing = telling
            .keys()
            .filter(|hash| !self.updates.contains_key(*hash));
        let filter = LogFilter {
            addresses: self.contracts.identity.clone(),
            topics: [vec![topics::METADATA_UPDATE], vec![], vec![], vec![]],
        };
        let asking: Vec<_> = missing
            .map(|hash| updates(providers, *hash, &filter))
            .collect();
        let mut asking = stream::iter(asking).buffer_unordered(AT_ONCE);
        while let Some((hash, told)) = asking.try_next().await? {
            self.updates.insert(hash, told);
        }
        for (hash, number) in telling {
            if let Some((logs, by)) = self.updates.get(&hash) {
                answers.logs.extend_from_slice(logs);
                answers.by.push((number..=number, *by));
            }
        }
        let mut whole: BTreeMap<(u64, u32), Log> = BTreeMap::new();
        for log in answers.logs {
            if scope.keeps(&log, &self.contracts) {
                whole.entry(log.position()).or_insert(log);
            }
        }
        let answers = Answers {
            logs: whole.into_values().collect(),
            by: answers.by,
        };
        let piece = piece::of_logs(providers, answers, from, to).await?;
        self.updates.clear();
        Ok(piece)
    }
}

/// The answers to all questions, in chain order.
async fn told(
    providers: &Providers,
    questions: Vec<LogFilter>,
    from: u64,
    to: u64,
) -> Result<Answers> {
    let mut reading = Reading::new(questions, from, to);
    reading.finish(providers).await?;
    Ok(reading.answers())
}

/// The `MetadataUpdate` logs of a block, and who told them.
async fn updates(
    providers: &Providers,
    hash: B256,
    filter: &LogFilter,
) -> Result<(B256, (Vec<Log>, Id))> {
    let told = providers.ask(|rpc| async move { rpc.logs_of_block(hash, filter).await });
    let Told {
        value: mut logs,
        by,
    } = told.await?;
    logs.retain(|log| log.block_hash == hash);
    Ok((hash, (logs, by)))
}

/// Whether one of these logs, which are in chain order, is of this block.
pub fn holds(logs: &[Log], block: u64) -> bool {
    let found = logs.binary_search_by_key(&block, |log| log.block_number);
    found.is_ok()
}
