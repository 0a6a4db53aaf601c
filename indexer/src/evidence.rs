//! What blocks themselves prove of their logs (docs/decisions/0010).
//!
//! Headers are hashed and linked. A block whose bloom excludes our contracts has no log of ours; of every
//! other one the receipts are asked for, and where their root is the header's, their logs are the truth.

mod alike;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chain::{
    At, BlockReceipts as Receipts, Header, Log, LogFilter, ReceiptFormat, Rpc, RpcError, Sieve,
    examine::{self, examine},
};
use kernel::B256;
use store::Db;

use crate::{
    Error, Result,
    level::Level,
    providers::{Id, Providers},
    source::{BlockReceipts, Proof},
};

/// Blocks of which receipts are asked for at once: their answers are held in memory together.
const RECEIPTS_AT_ONCE: usize = 64;

/// Headers of a range, and the logs that its blocks hold.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Every header of the range, ascending.
    pub headers: Vec<Header>,
    /// All logs of ours, in chain order.
    pub logs: Vec<Log>,
    /// What that proves.
    pub proof: Proof,
    /// Headers and receipts of blocks that hold logs of ours.
    pub receipts: Vec<BlockReceipts>,
}

impl Evidence {
    /// Headers of the blocks that hold logs of ours, ascending.
    pub fn holding(&self) -> impl Iterator<Item = &Header> {
        self.headers.iter().filter(|header| {
            let found = self
                .logs
                .binary_search_by_key(&header.number, |log| log.block_number);
            found.is_ok()
        })
    }
}

/// Asks providers for evidence.
#[derive(Debug, Clone)]
pub struct Witness {
    providers: Providers,
    sieve: Arc<Sieve>,
    format: ReceiptFormat,
    /// Whether receipts of this chain had the header's root once: then others with another one are false.
    matched: Arc<AtomicBool>,
}

/// What holds for blocks with these headers, whose hashes count where they are linked.
fn proof(headers: &[Header], level: Level, is_linked: bool) -> Proof {
    let linked = |hash: Option<B256>| hash.filter(|_| is_linked);
    Proof {
        level,
        below: linked(headers.first().map(|first| first.parent)),
        top: linked(headers.last().map(|last| last.hash)),
    }
}

/// The logs of one block.
struct BlockLogs {
    logs: Vec<Log>,
    level: Level,
    kept: Option<BlockReceipts>,
}

impl Witness {
    /// Evidence about logs that match `filter`.
    pub fn new(providers: Providers, filter: LogFilter) -> Self {
        Self {
            format: ReceiptFormat::of_chain(providers.chain()),
            providers,
            sieve: Arc::new(Sieve::new(filter)),
            matched: Arc::default(),
        }
    }

    /// Remembers from what is stored whether receipts of this chain had the header's root once: where a log lies in a
    /// proven block, its receipts had.
    pub async fn recall(&self, db: &Db) -> Result<()> {
        if self.format != ReceiptFormat::Assumed {
            return Ok(());
        }
        let matched = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT FROM chain.ranges r
                    WHERE r.chain_id = $1 AND r.level = 'proven'
                      AND EXISTS (SELECT FROM chain.logs l
                                   WHERE l.chain_id = r.chain_id
                                     AND l.block_number BETWEEN r.from_block AND r.to_block)) AS "matched!""#,
            self.providers.chain().cast_signed(),
        )
        .fetch_one(db.pool())
        .await?;
        self.matched.fetch_or(matched, Ordering::Relaxed);
        Ok(())
    }

    /// What is asked for.
    pub fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    /// Who is asked, for people.
    pub fn places(&self) -> String {
        self.providers.places()
    }

    /// Whether there are two who could say the same, where headers prove nothing.
    pub fn may_agree(&self) -> bool {
        self.providers.are_several()
    }

    /// Headers of a range of blocks, both ends included, linked.
    pub async fn headers(&self, from: u64, to: u64) -> Result<Vec<Header>> {
        let headers = self
            .providers
            .ask(move |rpc| async move { rpc.headers(from..=to).await });
        Ok(headers.await?.value)
    }

    /// The hash of a block, as the first provider that answers tells it.
    pub async fn hash(&self, number: u64) -> Result<Option<B256>> {
        let told = self
            .providers
            .ask(move |rpc| async move { rpc.block(At::Number(number)).await })
            .await?;
        Ok(told.value.map(|header| header.hash))
    }

    /// Evidence about a range of blocks, both ends included. Where no provider can prove a block, the
    /// error names it.
    pub async fn gather(&self, from: u64, to: u64) -> Result<Evidence> {
        let headers = self
            .providers
            .ask(move |rpc| async move { rpc.headers(from..=to).await })
            .await?;
        self.examine(headers.value).await
    }

    /// Evidence about blocks whose headers are at hand, ascending and linked.
    pub async fn examine(&self, headers: Vec<Header>) -> Result<Evidence> {
        let hashed = headers.iter().all(|header| header.verified().is_some());
        if (!hashed || !self.format.has_bloom()) && self.providers.are_several() {
            return self.alike(headers).await;
        }
        let mut level = if hashed {
            Level::Proven
        } else {
            Level::Reported
        };
        let (mut logs, mut receipts, mut hits) = (Vec::new(), Vec::new(), Vec::new());
        for header in &headers {
            let verdict = examine(header, &[], None, &self.sieve, self.format);
            // Without headers that hash, a bloom is no better than its teller's word.
            if hashed && verdict.truth.is_some() {
                level = level.min(verdict.level.into());
            } else {
                hits.push(header);
            }
        }
        for hits in hits.chunks(RECEIPTS_AT_ONCE) {
            for block in self.logs_of(hits).await? {
                level = level.min(block.level);
                logs.extend(block.logs);
                receipts.extend(block.kept);
            }
        }
        // Where blooms are made up, headers may hash and say nothing of logs all the same.
        let is_linked = hashed && self.format.has_bloom();
        Ok(Evidence {
            proof: proof(&headers, level, is_linked),
            logs,
            receipts,
            headers,
        })
    }

    /// The logs of blocks that may hold some.
    async fn logs_of(&self, blocks: &[&Header]) -> Result<Vec<BlockLogs>> {
        let hashes: Arc<[B256]> = blocks.iter().map(|header| header.hash).collect();
        let told = self
            .providers
            .ask(move |rpc| {
                let hashes = Arc::clone(&hashes);
                async move { rpc.block_receipts(&hashes).await }
            })
            .await;
        let told = match told {
            Err(Error::Rpc {
                error: RpcError::NoMethod { .. },
                ..
            }) => return self.by_bloom(blocks).await,
            told => told?,
        };
        let mut out = Vec::with_capacity(blocks.len());
        for (header, raw) in blocks.iter().zip(told.value) {
            let raw = raw.as_deref().map_or("null", |raw| raw.get());
            out.push(match self.judge(header, raw) {
                Ok(block) => block,
                Err(why) => self.second_opinion(header, told.by, why).await?,
            });
        }
        Ok(out)
    }

    /// What receipts say of their block; `Err` says why they are not this block's.
    fn judge(&self, header: &Header, raw: &str) -> Result<BlockLogs, String> {
        let receipts = Receipts::parse(self.providers.chain(), raw)
            .map_err(|error| error.to_string())?
            .ok_or("it has no receipts of this block")?;
        let mut verdict = examine(header, &[], Some(&receipts), &self.sieve, self.format);
        if verdict.evidence == examine::Evidence::Unequal
            && self.format == ReceiptFormat::Assumed
            && !self.matched.load(Ordering::Relaxed)
        {
            let format = ReceiptFormat::Unknown;
            verdict = examine(header, &[], Some(&receipts), &self.sieve, format);
        }
        if verdict.evidence == examine::Evidence::Root && !receipts.is_empty() {
            self.matched.store(true, Ordering::Relaxed);
        }
        let unequal = verdict.evidence == examine::Evidence::Unequal;
        let Some(logs) = verdict.truth.filter(|_| !unequal) else {
            return Err("its receipts are not those that the header commits to".to_owned());
        };
        let hashed = header.verified().is_some();
        let kept = (!logs.is_empty()).then(|| BlockReceipts {
            number: header.number,
            hash: header.hash,
            header: serde_json::to_string(header).unwrap_or_default(),
            receipts: raw.to_owned(),
        });
        Ok(BlockLogs {
            logs,
            level: if hashed {
                verdict.level.into()
            } else {
                Level::Reported
            },
            kept,
        })
    }

    /// Other providers' receipts, one after the other, where the first one's are not the block's. Those whose receipts
    /// are false are asked last for a while, once somebody's prove the block.
    async fn second_opinion(&self, header: &Header, not: Id, why: String) -> Result<BlockLogs> {
        let hash = header.hash;
        let question = |rpc: Rpc| async move { rpc.block_receipts(&[hash]).await };
        let mut wrong = vec![(not, why)];
        let block = loop {
            let ids: Vec<Id> = wrong.iter().map(|(id, _)| *id).collect();
            let Some(told) = self.providers.ask_other(&ids, question).await else {
                let (not, why) = wrong.swap_remove(0);
                return Err(self.unproven(header, not, why));
            };
            let raw = told.value.into_iter().next().flatten();
            let raw = raw.as_deref().map_or("null", |raw| raw.get());
            match self.judge(header, raw) {
                Ok(block) => break block,
                Err(why) => wrong.push((told.by, why)),
            }
        };
        if block.level == Level::Proven {
            let number = header.number;
            for (id, why) in wrong {
                let message = format!("{why}: another one proves block {number}");
                self.providers.refute(id, message);
            }
        }
        Ok(block)
    }

    /// Where no provider serves receipts: the blocks' logs as told, held against their blooms.
    async fn by_bloom(&self, blocks: &[&Header]) -> Result<Vec<BlockLogs>> {
        let mut out = Vec::with_capacity(blocks.len());
        for header in blocks {
            out.push(self.told(header).await?);
        }
        Ok(out)
    }

    /// A block's logs as told. Where they do not fit its bloom, or are none though it says that there may be some,
    /// others are asked, and whoever tells some that fit is believed. Where two tell of none, the bloom erred, as blooms
    /// do, unless both are wrong.
    async fn told(&self, header: &Header) -> Result<BlockLogs> {
        let hash = header.hash;
        let question = |rpc: Rpc| async move { rpc.logs_of_block(hash, self.sieve.filter()).await };
        let mut told = self.providers.ask(question).await?;
        let (mut heard, mut wrong, mut none) = (Vec::new(), None, Vec::new());
        loop {
            heard.push(told.by);
            match self.weigh(header, std::mem::take(&mut told.value)) {
                (Ok(block), false) => return Ok(block),
                (Ok(block), true) => none.push(block),
                (Err(why), _) => wrong = wrong.or(Some((told.by, why))),
            }
            match self.providers.ask_other(&heard, question).await {
                Some(other) => told = other,
                None => break,
            }
        }
        let alike = none.len();
        match (none.pop(), wrong) {
            (Some(block), _) if alike > 1 => Ok(BlockLogs {
                level: Level::Agreed,
                ..block
            }),
            (Some(block), None) => Ok(block),
            (_, Some((by, why))) => Err(self.unproven(header, by, why.to_owned())),
            (None, None) => Err(self.moved(std::slice::from_ref(header))),
        }
    }

    /// What logs are worth that were told of a block, or why they are not its logs; and whether there are none
    /// though its bloom says that there may be some.
    fn weigh(&self, header: &Header, logs: Vec<Log>) -> (Result<BlockLogs, &'static str>, bool) {
        let verdict = examine(header, &logs, None, &self.sieve, self.format);
        if let Some(finding) = verdict.findings.first() {
            return (Err(finding.why), false);
        }
        let level = match header.verified() {
            Some(_) => verdict.level.into(),
            None => Level::Reported,
        };
        let kept = None;
        (Ok(BlockLogs { logs, level, kept }), verdict.suspicious)
    }

    fn moved(&self, headers: &[Header]) -> Error {
        let number = |header: Option<&Header>| header.map_or(0, |header| header.number);
        Error::Moved {
            chain: self.providers.chain(),
            from: number(headers.first()),
            to: number(headers.last()),
        }
    }

    fn unproven(&self, header: &Header, by: Id, why: String) -> Error {
        Error::Unproven {
            chain: self.providers.chain(),
            block: header.number,
            place: self.providers.place(by),
            why,
        }
    }
}
