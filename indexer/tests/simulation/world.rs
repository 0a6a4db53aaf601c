//! A world: chains with their nodes, a database, a clock, processes that index, a person at psql. What
//! happens in it is decided by `schedule`.

use std::collections::BTreeMap;

use chain::Registries;
use chrono::{DateTime, TimeDelta, Utc};
use identity::document::{Fetched, State, Verification};
use indexer::{Anchor, Config, Origin, Prove, Settling};
use journal::{LogKey, Sealer};
use kernel::{AgentId, Token, sha256};
use replay_rpc::{
    model::{Fork, Spec},
    node::{Batch, Faults, Finality, Lose, Provider},
};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use store::{Cause, Clock, Db, Outcome};
use uuid::Uuid;

use super::{
    check,
    database::Database,
    dice::Dice,
    engine::{Engine, Part, Round, Setting},
    facts::{Facts, file},
    faults::Tally,
    kit::{self, Fresh, Way},
    ledger::Ledger,
    oracle::Expected,
    words::{STATUS, VEXEL, VEXEL_CHAIN},
};

/// What one seed found.
pub type Verdict = Result<(), String>;

/// One chain of the world.
pub struct Site {
    pub ledger: Ledger,
    /// Its nodes, all with the same blocks.
    pub nodes: Vec<Provider>,
    pub setting: Setting,
    /// Whether some provider ever told what is not so.
    pub lied: bool,
    /// The leader, as far as the world knows, and those that stand by.
    pub engines: Vec<Engine>,
    /// Blocks are so many seconds ahead of the clock.
    pub ahead: i64,
    /// The highest head that was ever served: what it settled stays.
    pub highest: u64,
    /// It stopped because of a reorg below what is settled; nothing moves it any more.
    pub halted: bool,
}

pub struct World {
    pub database: Database,
    pub clock: Clock,
    pub db: Db,
    pub sites: Vec<Site>,
    /// Depth below which blocks are settled.
    pub depth: u64,
    pub origin: Origin,
    /// The open transaction of somebody at psql.
    pub psql: Option<PgConnection>,
    /// The next holder of a lease.
    holders: u128,
    sealer: Sealer,
    /// Whether Postgres itself may be killed: nobody else uses it.
    pub crashes: bool,
    /// Backfills so far: each takes a long chain.
    pub backfills: u64,
    /// Rows of agents that psql made so far.
    pub inserts: u64,
    pub tally: Tally,
    pub trace: Vec<String>,
    began: std::time::Instant,
    /// Time of the highest lease: the clock may have gone back since.
    latest: i64,
}

impl Site {
    /// Nothing is wrong with any node any more.
    pub fn heal(&self, tally: &mut Tally) {
        for node in &self.nodes {
            let (faults, stats) = (node.faults(), node.stats());
            tally.of_provider(&stats);
            let lost = stats.lost.len() as u64;
            match faults.lose {
                Lose::Never => {}
                Lose::Wide => tally.more("logs dropped from ranges", lost),
                Lose::All => tally.more("logs dropped from all queries", lost),
                Lose::Blocks => tally.more("blocks without their logs", lost),
            }
            if faults.lie_in_receipts {
                tally.more("logs dropped from receipts too", lost);
            }
            let without = stats.without_receipts.len() as u64;
            match (faults.null_receipts_one_in, faults.emptied_one_in) {
                (1.., 0) => tally.more("null receipts", without),
                (0, 1..) => tally.more("receipts of a block emptied", without),
                _ => {}
            }
            let batches = stats.fault("batch");
            match faults.batch {
                Batch::Fine => {}
                Batch::Shuffled => tally.more("a batch out of order", batches),
                Batch::DuplicateIds => tally.more("a batch with one id twice", batches),
                Batch::Short => tally.more("a batch without its last answer", batches),
                Batch::Refused => tally.more("a refused batch", batches),
            }
            let (logs, blocks) = (stats.of("eth_getLogs"), stats.of("eth_getBlockByNumber"));
            for (is_on, what, times) in [
                (faults.shuffle_logs, "logs in another order", logs.calls),
                (
                    faults.no_bloom_one_in > 0,
                    "a header without its bloom",
                    blocks.calls,
                ),
                (
                    faults.max_range > 0,
                    "a range too wide, an error object in a 200",
                    logs.refused,
                ),
                (
                    faults.max_logs > 0,
                    "more logs than it answers",
                    logs.refused,
                ),
            ] {
                if is_on {
                    tally.more(what, times);
                }
            }
            node.set_faults(Faults::default());
            node.reset_stats();
        }
    }
}

/// When worlds begin: machines' clocks have passed it.
pub const START: i64 = 1_750_000_000;

/// More rounds than any chain of a world is long.
const ROUNDS: u64 = 1_000;

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

fn key() -> LogKey {
    LogKey::from_seed(&[7; 32])
}

impl World {
    /// A world of one or two chains, made by the seed's first throws.
    pub async fn new(mut database: Database, dice: &mut Dice) -> Self {
        database.reset().await;
        database.set_clock(START).await;
        let clock = Clock::manual(time(START));
        let depth = *dice.pick(&[0, 3, 8, 64]);
        let origin = if depth == 0 {
            Origin::Started
        } else {
            Origin::Rpc
        };
        let mut world = Self {
            db: Db::from_pool(database.pool.clone(), clock.clone()),
            database,
            clock,
            sites: Vec::new(),
            depth,
            origin,
            psql: None,
            holders: 1,
            sealer: Sealer::new(key(), None).expect("a proper origin"),
            crashes: false,
            backfills: 0,
            inserts: 0,
            tally: Tally::default(),
            trace: Vec::new(),
            began: std::time::Instant::now(),
            latest: START,
        };
        let chains = if dice.chance(15) { 2 } else { 1 };
        for number in 0..chains {
            let site = world.site(VEXEL_CHAIN + number, dice).await;
            world.sites.push(site);
        }
        world.note(format!(
            "depth {depth}, {:?}, {:?}",
            world.sites[0].setting.settling,
            world
                .sites
                .iter()
                .map(|site| (site.ledger.registries.len(), site.ahead))
                .collect::<Vec<_>>()
        ));
        world
    }

    async fn site(&mut self, chain_id: u64, dice: &mut Dice) -> Site {
        let fork = *dice.pick(&[Fork::London, Fork::Shanghai, Fork::Cancun, Fork::Prague]);
        let registries = if dice.chance(25) { 2 } else { 1 };
        let spec = Spec { chain_id, fork };
        let ledger = Ledger::new(spec, registries, START - 10, dice.chance(10));
        let settling = if self.depth > 0 && dice.chance(50) {
            Settling::Finalized(64)
        } else {
            Settling::Depth(self.depth)
        };
        let finality = Finality {
            safe: self.depth / 2,
            finalized: self.depth,
        };
        ledger.network.change(|chain| {
            chain.finality = matches!(settling, Settling::Finalized(_)).then_some(finality);
        });
        let count = dice.weighted(&[(35, 1), (40, 2), (25, 3)]);
        let node = |_| ledger.network.provider(Faults::default()).expect("a port");
        let nodes: Vec<Provider> = (0..count).map(node).collect();
        let genesis = ledger.tip();
        let setting = Setting {
            chain: chain_id,
            origin: self.origin,
            settling,
            anchor: Anchor {
                number: 0,
                hash: genesis.hash,
            },
            contracts: Registries {
                identity: ledger.registries.clone(),
                status: vec![STATUS],
                vexel: vec![VEXEL],
            },
            config: Config {
                range_blocks: *dice.pick(&[1, 7, 50, 2_000]),
                keep_receipts: dice.chance(50),
                prove: *dice.pick(&[Prove::Behind, Prove::Behind, Prove::First, Prove::Off]),
                ..Config::default()
            },
            urls: nodes.iter().map(Provider::url).collect(),
        };
        let engine = self.engine(&setting).await;
        Site {
            ledger,
            nodes,
            setting,
            engines: vec![engine],
            ahead: *dice.pick(&[-2, -2, 3600, -30]),
            lied: false,
            highest: 0,
            halted: false,
        }
    }

    pub async fn engine(&mut self, setting: &Setting) -> Engine {
        self.holders += 1;
        Engine::new(&self.database, &self.clock, self.holders, setting).await
    }

    pub fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        let what = format!("{:>6} {what}", self.began.elapsed().as_millis());
        self.trace.push(what);
    }

    pub fn now(&self) -> i64 {
        self.clock.now().timestamp()
    }

    /// Moves the clock of everybody, psql's too; also back.
    pub async fn pass(&mut self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
        self.latest = self.latest.max(self.now());
        self.database.set_clock(self.now()).await;
    }

    /// Blocks at the tip of a chain, with transactions of people and some of those that forks lost.
    pub async fn mine(&mut self, site: usize, blocks: u64, busy: bool, dice: &mut Dice) {
        let mut orphaned = if busy && blocks > 0 {
            self.sites[site].ledger.orphaned()
        } else {
            Vec::new()
        };
        for _ in 0..blocks {
            if dice.chance(50) {
                self.pass(dice.between(1, 3)).await;
            }
            let now = self.now();
            let site = &mut self.sites[site];
            let parent = site.ledger.tip().time;
            // Nodes of developers give several blocks one second.
            let at = (now + site.ahead).max(parent + i64::from(!dice.chance(20)));
            let mut known = Vec::new();
            for tx in std::mem::take(&mut orphaned) {
                if known.len() < 3 && dice.chance(25) {
                    known.push(tx);
                } else {
                    orphaned.push(tx);
                }
            }
            let mut wishes = if busy { dice.roll(4) } else { 0 };
            site.ledger.mine(at, known, |state| {
                wishes = wishes.checked_sub(1)?;
                Some(super::traffic::wish(dice, state))
            });
        }
    }

    pub fn publish(&mut self, site: usize) {
        let site = &mut self.sites[site];
        site.ledger.publish();
        site.highest = site.highest.max(site.ledger.height());
    }

    /// Blocks up to here never change on this chain.
    pub fn floor(&self, site: usize) -> u64 {
        match self.origin {
            Origin::Started => 0,
            _ => self.sites[site].highest.saturating_sub(self.depth),
        }
    }

    /// Lets a chain's leader do `rounds` rounds at most; gives whether it is at the head.
    pub async fn follow(
        &mut self,
        site: usize,
        engine: usize,
        rounds: u64,
    ) -> Result<bool, String> {
        for _ in 0..rounds {
            let round = self.sites[site].engines[engine].round().await;
            match round {
                Round::Done(Outcome::Idle) => return Ok(true),
                Round::Done(Outcome::Busy) => {}
                Round::Failed(error) => self.failed(site, &error)?,
                Round::Killed => unreachable!("nobody kills it here"),
            }
        }
        Ok(false)
    }

    /// A failure must be one that heals, or the one that was provoked.
    pub fn failed(&mut self, site: usize, error: &indexer::Error) -> Verdict {
        self.note(format!("    {error}"));
        if error.halts() && !self.sites[site].halted {
            return Err(format!("it halts without a reason: {error}"));
        }
        if error.kind() == kernel::Kind::Internal {
            return Err(format!("an internal error: {error}"));
        }
        Ok(())
    }

    /// Nothing is wrong with a chain's nodes any more, and whoever follows it has forgotten what was: how long
    /// a node rests that failed is a matter of real time, and of other tests.
    pub async fn heal(&mut self, site: usize) {
        for node in &self.sites[site].nodes {
            node.forget_plans();
        }
        self.sites[site].heal(&mut self.tally);
        for engine in 0..self.sites[site].engines.len() {
            self.restart(site, engine).await;
        }
        self.pass(16).await;
    }

    /// One round of a process that is killed at some request that it makes or some statement that it writes, if
    /// it comes that far.
    pub async fn interrupted(&mut self, site: usize, part: Part, dice: &mut Dice) -> Round {
        let mut engine = self.sites[site].engines.remove(0);
        let (round, what) = if dice.chance(50) {
            let node = dice.index(self.sites[site].nodes.len());
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let count = 1 + dice.roll(15);
            self.note(format!("  killed at request {count} to node {node}"));
            let node = &self.sites[site].nodes[node];
            node.before_request(count, move |_| {
                let _ = sender.send(());
            });
            let round = engine
                .until(part, async {
                    let _ = receiver.await;
                })
                .await;
            node.forget_plans();
            (round, "killed at a request")
        } else {
            let at = dice.between(1, 50);
            self.note(format!("  killed at write {at}"));
            self.database.fail(at, "waits").await;
            let round = engine.until(part, self.database.reached()).await;
            if matches!(round, Round::Killed) {
                self.cut(dice.chance(50)).await;
            }
            self.database.heal().await;
            (round, "killed at a statement")
        };
        self.sites[site].engines.insert(0, engine);
        if matches!(round, Round::Killed) {
            self.tally.note(what);
        }
        round
    }

    /// Rounds until the process dies in a commit that moves what is projected; or until there is none.
    pub async fn dies_in_commit(&mut self, site: usize) -> Round {
        self.note("  killed at a commit");
        self.database.fail(1, "commits").await;
        let mut last = Round::Done(Outcome::Idle);
        for _ in 0..ROUNDS {
            let engine = &mut self.sites[site].engines[0];
            last = engine.until(Part::Follow, self.database.reached()).await;
            if !matches!(last, Round::Done(Outcome::Busy)) {
                break;
            }
        }
        if matches!(last, Round::Killed) {
            self.tally.note("killed at a commit");
            self.cut(true).await;
        }
        self.database.heal().await;
        if self.is_half_written(site).await {
            self.tally.note("killed between a window's two commits");
        }
        last
    }

    /// Every connection of the engine dies; with Postgres itself, where nobody else needs it.
    async fn cut(&mut self, wholly: bool) {
        if wholly && self.crashes && self.psql.is_none() {
            self.tally.note("Postgres killed");
            self.database.crash().await;
        } else {
            self.database.cut().await;
        }
    }

    pub async fn restart(&mut self, site: usize, engine: usize) {
        self.holders += 1;
        let engine = &mut self.sites[site].engines[engine];
        engine
            .restart(&self.database, &self.clock, self.holders)
            .await;
    }

    pub async fn stand_by(&mut self, site: usize) {
        let setting = self.sites[site].setting.clone();
        let engine = self.engine(&setting).await;
        self.sites[site].engines.push(engine);
    }

    /// Judges what is at a URI, if anybody ever named it.
    pub async fn judge(&mut self, uri: &[u8], number: u64) -> Verdict {
        let hash = sha256(uri);
        let known: bool = sqlx::query("SELECT EXISTS (SELECT FROM identity.uris WHERE hash = $1)")
            .bind(hash.as_slice())
            .fetch_one(&self.database.pool)
            .await
            .map_err(|error| error.to_string())?
            .get(0);
        if !known {
            return Ok(());
        }
        let bytes = file(number).map(|file| file.bytes());
        let fetched = Fetched {
            state: if bytes.is_some() {
                State::Fetched
            } else {
                State::TooLarge
            },
            verification: Verification::Unverified,
            cid: bytes
                .as_deref()
                .map(|bytes| kernel::cid_of_raw(bytes).to_string()),
            bytes,
            content_type: None,
            etag: None,
            final_url: None,
            error: None,
            retry: false,
        };
        let judged = async {
            let mut tx = self.db.begin(Cause::Job("simulation")).await?;
            identity::document::judge(&mut tx, &hash, &fetched).await?;
            Ok::<_, identity::Error>(tx.commit().await?)
        };
        judged.await.map_err(|error| format!("judge: {error}"))
    }

    pub async fn sweep(&mut self) -> Verdict {
        loop {
            match identity::dirty::sweep(&self.db).await {
                Ok(Outcome::Busy) => {}
                Ok(Outcome::Idle) => return Ok(()),
                Err(error) => return Err(format!("sweep: {error}")),
            }
        }
    }

    /// Two sealers at once: one of them leads.
    pub async fn seal(&mut self) -> Verdict {
        self.tally.note("two leaders, two sealers");
        let other = Sealer::new(key(), None).expect("a proper origin");
        loop {
            let (one, two) = futures::join!(
                self.sealer.round(&self.db, Uuid::from_u128(1)),
                other.round(&self.db, Uuid::from_u128(2)),
            );
            let done = [one, two].map(|round| match round {
                Ok(outcome) => Ok(outcome == Outcome::Idle),
                Err(error) if error.kind().is_transient() => Ok(false),
                Err(error) => Err(format!("seal: {error}")),
            });
            let [one, two] = done;
            if one? && two? {
                return Ok(());
            }
        }
    }

    /// Plain SQL of a person, in the open transaction if there is one.
    pub async fn sql(&mut self, text: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        match &mut self.psql {
            Some(open) => query.execute(open).await.map(drop),
            None => query.execute(&self.database.pool).await.map(drop),
        }
    }

    /// Where a chain stands, if it was ever opened.
    pub async fn standing(&self, site: usize) -> Option<indexer::Standing> {
        indexer::standing(&self.db, self.sites[site].ledger.id)
            .await
            .ok()
    }

    /// Whether ground is stored that is not projected yet.
    pub async fn is_ahead(&self, site: usize) -> bool {
        let standing = self.standing(site).await;
        standing.is_some_and(|standing| !standing.is_level())
    }

    /// Whether the agent of a token is linked with that of some key.
    pub async fn is_claimed(&self, token: &Token) -> bool {
        let claimed =
            sqlx::query("SELECT EXISTS (SELECT FROM identity.v_claims WHERE token_agent = $1)");
        let claimed = claimed.bind(AgentId::of_token(token).0);
        let claimed = claimed.fetch_one(&self.database.pool).await;
        claimed.expect("a word").get(0)
    }

    /// Whether indexes and foreign keys are left out for now.
    pub async fn is_unindexed(&self) -> bool {
        let missing = store::deferred::missing(&self.db).await;
        !missing.expect("names").is_empty()
    }

    /// Whether one of a window's two connections has committed, and the other not.
    async fn is_half_written(&self, site: usize) -> bool {
        let half = sqlx::query(
            "SELECT EXISTS (SELECT FROM identity.ahead JOIN chain.chains c USING (chain_id)
              WHERE chain_id = $1 AND to_block > head_number)",
        );
        let half = half.bind(self.sites[site].ledger.id.cast_signed());
        let half = half.fetch_one(&self.database.pool).await;
        half.expect("a word").get(0)
    }

    /// Where a chain's rows stand, if that block is canonical.
    pub async fn indexed(&self, site: usize) -> Option<u64> {
        let ledger = &self.sites[site].ledger;
        let row =
            sqlx::query("SELECT head_number, head_hash FROM chain.chains WHERE chain_id = $1");
        let row = row.bind(ledger.id.cast_signed());
        let row = row
            .fetch_optional(&self.database.pool)
            .await
            .expect("chains");
        let (number, hash): (i64, Option<Vec<u8>>) = row.map(|row| (row.get(0), row.get(1)))?;
        let block = ledger.blocks.get(usize::try_from(number).ok()?)?;
        (number == 0 || hash? == block.hash.as_slice()).then_some(block.number)
    }

    /// Stored logs against those of the chain, as far as anybody vouches for them. Gives whether they are
    /// the same.
    async fn ground(&self, site: usize, up_to: u64) -> Result<bool, String> {
        let (pool, ledger) = (&self.database.pool, &self.sites[site].ledger);
        let ranges = check::ranges(pool, ledger.id).await;
        for (from, to, level, below, top) in &ranges {
            let hash_of = |number: i64| {
                let block = ledger
                    .blocks
                    .get(usize::try_from(number).expect("a height"));
                block.map(|block| block.hash.to_vec())
            };
            if u64::try_from(*to).expect("a height") > up_to {
                continue;
            }
            for (number, hash) in [(from - 1, below), (*to, top)] {
                if hash.is_some() && *hash != hash_of(number) {
                    return Err(format!(
                        "{level} {from}..={to} names another block {number}"
                    ));
                }
            }
        }
        let (extra, lost) = check::ground(pool, &ledger.script(up_to)).await;
        for (log, what) in extra
            .iter()
            .map(|log| (log, "is not on"))
            .chain(lost.iter().map(|log| (log, "is missing of")))
        {
            let holds = |range: &&check::Said| (range.0..=range.1).contains(&log.0);
            let level = ranges.iter().find(holds).map(|range| range.2.as_str());
            if !self.sites[site].lied || level != Some("reported") {
                return Err(format!(
                    "a log of a block that is {level:?} {what} the chain: {log:?}"
                ));
            }
        }
        Ok(extra.is_empty() && lost.is_empty())
    }

    /// Rows against the oracle, wherever the chains are indexed to; nothing where one stands on a fork.
    pub async fn compare(&mut self) -> Verdict {
        if self.psql.is_some() {
            return Ok(());
        }
        self.sweep().await?;
        let facts = Facts::read(&self.database.pool).await;
        let mut expected = Expected::default();
        let mut heights = Vec::new();
        for site in 0..self.sites.len() {
            let Some(up_to) = self.indexed(site).await else {
                return Ok(());
            };
            if !self.ground(site, up_to).await? {
                return Ok(());
            }
            expected.add_chain(&self.sites[site].ledger, up_to, &facts);
            heights.push(up_to);
        }
        // VEXEL's contracts are on the first chain alone.
        expected.add_others(&self.sites[0].ledger, heights[0], &facts);
        if let Some(difference) = check::rows(&self.database.pool, &expected).await {
            return Err(self.explained(difference).await);
        }
        for what in expected.notes {
            self.tally.note(what);
        }
        Ok(())
    }

    /// A difference with what is stored of the agent that it names.
    async fn explained(&self, difference: String) -> String {
        let id = difference
            .split_whitespace()
            .find_map(|word| word.parse::<Uuid>().ok());
        let Some(id) = id else { return difference };
        let mut out = difference;
        for (what, query) in [
            (
                "log",
                "SELECT concat_ws(' ', block_number, log_index, encode(topic0, 'hex'), encode(topic1, 'hex')) FROM chain.logs WHERE subject = '{id}' ORDER BY block_number, log_index",
            ),
            (
                "act",
                "SELECT to_jsonb(a)::text FROM identity.acts a WHERE agent_id = '{id}' ORDER BY serial",
            ),
            (
                "statement",
                "SELECT (to_jsonb(s) - '{bytes,signature,cosignature,checked}'::text[])::text FROM identity.statements s WHERE agent_id = '{id}' ORDER BY serial",
            ),
            (
                "word",
                "SELECT concat_ws(' ', l.block_number, l.log_index, encode(l.topic0, 'hex'), d.attributed) FROM identity.did_hashes h JOIN identity.did_logs d ON d.hash = h.hash JOIN chain.logs l ON l.chain_id = d.chain_id AND l.block_number = d.block_number AND l.log_index = d.log_index WHERE h.agent_id = '{id}' ORDER BY l.block_number, l.log_index",
            ),
            (
                "fold",
                "SELECT concat_ws(' ', through_block, through_serial, convert_from(state, 'UTF8')) FROM identity.folds WHERE agent_id = '{id}'",
            ),
            (
                "dirty",
                "SELECT to_jsonb(d)::text FROM identity.dirty d WHERE agent_id = '{id}'",
            ),
            ("chain", "SELECT to_jsonb(c)::text FROM chain.chains c"),
        ] {
            let rows =
                kit::list(&self.database.pool, &query.replace("{id}", &id.to_string())).await;
            for row in rows {
                out = format!("{out}\n  {what} {row}");
            }
        }
        out
    }

    /// Leaves the database to the next world.
    pub async fn close(mut self) -> (Database, Tally) {
        for site in 0..self.sites.len() {
            self.sites[site].heal(&mut self.tally);
        }
        self.leave().await;
        (self.database, self.tally)
    }

    /// Everything heals, everybody catches up; then everything must be right.
    pub async fn end(&mut self, fresh: &Fresh, dice: &mut Dice) -> Verdict {
        self.note("the end");
        if let Some(psql) = self.psql.take() {
            use sqlx::Connection as _;
            psql.close().await.map_err(|error| error.to_string())?;
        }
        self.database.heal().await;
        let back = self.latest - self.now();
        self.pass(back + 60).await;
        for site in 0..self.sites.len() {
            self.heal(site).await;
            if !self.sites[site].halted {
                let short = self.sites[site].highest + 1;
                let missing = short.saturating_sub(self.sites[site].ledger.height());
                self.mine(site, missing.max(1), false, dice).await;
                self.publish(site);
                self.catch_up(site).await?;
                self.prove(site).await?;
            }
        }
        self.compare().await?;
        self.seal().await?;
        let journal = check::journal(&self.db, &key()).await?;
        self.incidents(&journal)?;
        let scripts: Vec<_> = self
            .sites
            .iter()
            .map(|site| site.ledger.script(site.ledger.height()))
            .collect();
        let scripts: Vec<&kit::Script> = scripts.iter().collect();
        let way = match dice.roll(3) {
            0 => Way::Steps(1_000_000),
            1 => Way::Steps(dice.between(5, 40)),
            _ => Way::Windows {
                steps: dice.between(1, 4),
                blocks: dice.between(5, 40),
            },
        };
        let grown = kit::World {
            origin: self.origin,
            depth: self.depth.cast_signed(),
            ..kit::World::new(self.database.pool.clone())
        };
        match fresh.differs(&grown, &scripts, way).await {
            None => Ok(()),
            Some(difference) => Err(format!("a fresh index by {way:?} differs: {difference}")),
        }
    }

    /// Proves everything: each log that was told wrongly is an incident then.
    async fn prove(&mut self, site: usize) -> Verdict {
        if self.sites[site].setting.config.prove == Prove::Off {
            return Ok(());
        }
        let (ledger, tip) = (&self.sites[site].ledger, self.sites[site].ledger.height());
        let (extra, lost) = check::ground(&self.database.pool, &ledger.script(tip)).await;
        if !extra.is_empty() || !lost.is_empty() {
            self.note(format!(
                "  {} logs too many, {} lost",
                extra.len(),
                lost.len()
            ));
        }
        loop {
            match self.sites[site].engines[0].prove().await {
                Round::Done(Outcome::Idle) => break,
                Round::Done(Outcome::Busy) => {}
                Round::Failed(error) => return Err(format!("proving: {error}")),
                Round::Killed => unreachable!("nobody kills it here"),
            }
        }
        let (pool, ledger) = (&self.database.pool, &self.sites[site].ledger);
        let found = check::incidents(pool, ledger.id).await;
        for (_, hash, index, log) in extra.iter().chain(&lost) {
            if !found.contains(&(hash.clone(), *index)) {
                return Err(format!(
                    "no incident tells of log {index} of block {hash}: {log}"
                ));
            }
        }
        if !self.ground(site, tip).await? {
            return Err("what was told wrongly is still there".to_owned());
        }
        let ranges = check::ranges(pool, ledger.id).await;
        let wholly = ranges.first().map(|range| range.0) == Some(1)
            && ranges.last().map(|range| range.1) == Some(tip.cast_signed())
            && ranges.windows(2).all(|two| two[0].1 + 1 == two[1].0)
            && ranges.iter().all(|range| range.2 == "proven");
        if wholly {
            Ok(())
        } else {
            Err(format!("not all is proven: {ranges:?}"))
        }
    }

    async fn catch_up(&mut self, site: usize) -> Verdict {
        for _ in 0..3 {
            if self.follow(site, 0, ROUNDS).await? {
                let (at, tip) = (self.indexed(site).await, self.sites[site].ledger.height());
                if at != Some(tip) {
                    return Err(format!("it rests at {at:?}, but the head is {tip}"));
                }
                let chain = self.sites[site].ledger.id;
                let standing = indexer::standing(&self.db, chain).await;
                let settled = standing.map_err(|error| error.to_string())?.settled;
                let must = tip.saturating_sub(self.depth).cast_signed();
                if self.is_unindexed().await {
                    return Err("indexes are missing at the head".to_owned());
                }
                return if settled == must {
                    Ok(())
                } else {
                    Err(format!(
                        "{settled} is settled at block {tip}, and not {must}"
                    ))
                };
            }
            self.pass(60).await;
        }
        Err("it does not catch up".to_owned())
    }

    /// Every broken log of the canonical chain was told.
    fn incidents(&self, journal: &check::Journal) -> Verdict {
        let mut told: BTreeMap<&str, u64> = BTreeMap::new();
        for (column, cause, _) in &journal.incidents {
            if column == "malformed_log" {
                *told.entry(cause).or_default() += 1;
            }
        }
        for site in &self.sites {
            for block in &site.ledger.blocks {
                let mut index = 0;
                for tx in &block.txs {
                    for log in &tx.logs {
                        let cause = format!("eip155:{}/{:#x}/{index}", site.ledger.id, block.hash);
                        if tx.broken > 0 && !told.contains_key(cause.as_str()) {
                            return Err(format!(
                                "nothing was told of the broken log {cause}: {log:?}"
                            ));
                        }
                        index += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

impl World {
    /// Nobody is connected to the database any more.
    async fn leave(&mut self) {
        for site in &self.sites {
            for engine in &site.engines {
                engine.db.close().await;
            }
        }
    }

    /// Everybody comes back, with nothing in memory.
    async fn come_back(&mut self) {
        self.db = Db::from_pool(self.database.pool.clone(), self.clock.clone());
        self.sealer = Sealer::new(key(), None).expect("a proper origin");
        for site in 0..self.sites.len() {
            for engine in 0..self.sites[site].engines.len() {
                self.restart(site, engine).await;
            }
        }
        self.database.set_clock(self.now()).await;
        self.pass(16).await;
    }

    pub async fn back_up(&mut self) {
        self.leave().await;
        self.database.back_up().await;
        self.come_back().await;
    }

    /// What was committed since the copy was made is lost, as by a failover to a replica that was behind.
    pub async fn restore(&mut self) {
        self.leave().await;
        self.database.restore().await;
        self.come_back().await;
        self.tally.note("an old copy of the database");
    }

    /// Loses the database, and with it what only it knew.
    pub async fn forget(&mut self) {
        self.database.reset().await;
        self.inserts = 0;
        self.sealer = Sealer::new(key(), None).expect("a proper origin");
    }

    /// Everything that is said, in one word.
    pub async fn digest(&self) -> Result<String, String> {
        let said = journal::said::digest_set(&self.db).await;
        let said = said.map_err(|error| error.to_string())?;
        let rows = kit::list(
            &self.database.pool,
            "SELECT md5(string_agg(t::text, '' ORDER BY t.id)) FROM identity.agents t
             UNION ALL SELECT md5(string_agg(t::text, '' ORDER BY t.agent_id)) FROM identity.tokens t
             UNION ALL SELECT md5(string_agg(t::text, '' ORDER BY t.id)) FROM identity.agent_status_history t
             UNION ALL SELECT md5(string_agg(t::text, '' ORDER BY t.block_number, t.log_index)) FROM chain.logs t",
        );
        Ok(format!("{} {:?}", hex::encode(said.digest), rows.await))
    }

    /// Applies again what stands between a cursor of the past and the head.
    pub async fn again(&self, site: usize, from: indexer::Cursor) -> Result<(), kernel::Kind> {
        let site = &self.sites[site];
        let script = site.ledger.script(site.ledger.height());
        let grown = kit::World {
            origin: self.origin,
            depth: self.depth.cast_signed(),
            ..kit::World::new(self.database.pool.clone())
        };
        let step = grown.step(&script, from.number, script.tip());
        let contracts = script.contracts();
        let applied = indexer::apply(&self.db, script.id, &contracts, from, step, None).await;
        applied.map(drop).map_err(|error| error.kind())
    }
}
