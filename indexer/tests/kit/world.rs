//! A database that indexes a script.

use chain::SeenTopics;
use chrono::{DateTime, TimeDelta, Utc};
use identity::document::{Fetched, State, Verification};
use indexer::{Anchor, Applied, Chain, Extend, Origin, Proof, Sorted, Step};
use kernel::{AgentId, Principal, sha256};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool, Row};
use store::{Cause, Clock, Db, Outcome};

use super::script::Script;

/// Seconds of a time that the machine's clock has passed long ago.
pub fn start() -> i64 {
    1_750_000_000
}

pub struct World {
    pub db: Db,
    pub pool: PgPool,
    pub clock: Clock,
    pub origin: Origin,
    /// How many blocks below the last one are not settled yet.
    pub depth: i64,
}

impl World {
    pub fn new(pool: PgPool) -> Self {
        let clock = Clock::manual(time(start()));
        Self {
            db: Db::from_pool(pool.clone(), clock.clone()),
            pool,
            clock,
            origin: Origin::Started,
            depth: 0,
        }
    }

    /// Somebody's chain: below `depth` it is settled, and may not be rewound.
    pub fn rpc(pool: PgPool, depth: i64) -> Self {
        Self {
            origin: Origin::Rpc,
            depth,
            ..Self::new(pool)
        }
    }

    pub async fn open(&self, script: &Script) -> indexer::Result<()> {
        let genesis = &script.blocks[0].0;
        let chain = Chain {
            id: script.id,
            name: "scripted".to_owned(),
            origin: self.origin,
            anchor: Anchor {
                number: genesis.number,
                hash: genesis.hash,
            },
            start: 1,
            topics: SeenTopics::ALL,
            contracts: script.contracts(),
        };
        indexer::open(&self.db, &chain).await
    }

    /// The step that brings the chain to block `to`, or to its end.
    pub fn step(&self, script: &Script, above: i64, to: i64) -> Step {
        let of = |number: i64| &script.blocks[usize::try_from(number).expect("a block")];
        let range = || (above + 1..=to).map(of);
        Step::Extend(Box::new(Extend {
            to: of(to).0.clone(),
            blocks: range()
                .filter(|(_, logs)| !logs.is_empty())
                .map(|(b, _)| b.clone())
                .collect(),
            logs: Sorted::new(
                range().flat_map(|(_, logs)| logs.clone()).collect(),
                &script.contracts(),
            ),
            movable: Vec::new(),
            settled: (to - self.depth).max(0),
            head: script.tip(),
            finalized: None,
            proof: Proof::REPORTED,
            tellers: std::collections::BTreeSet::new(),
            receipts: Vec::new(),
            entering: None,
        }))
    }

    /// Applies one step up to block `to`.
    pub async fn extend(&self, script: &Script, to: i64) -> indexer::Result<Applied> {
        let cursor = indexer::standing(&self.db, script.id).await?.ground;
        let step = self.step(script, cursor.number, to);
        indexer::apply(&self.db, script.id, &script.contracts(), cursor, step, None).await
    }

    /// Opens the chain and follows it to its end, block by block.
    pub async fn follow(&self, script: &Script) -> indexer::Result<()> {
        self.open(script).await?;
        let cursor = indexer::standing(&self.db, script.id).await?.ground;
        for to in cursor.number + 1..=script.tip() {
            self.extend(script, to).await?;
        }
        Ok(())
    }

    pub async fn rewind(&self, script: &Script, to: i64) -> indexer::Result<Applied> {
        let cursor = indexer::standing(&self.db, script.id).await?.ground;
        let step = Step::Rewind { to };
        indexer::apply(&self.db, script.id, &script.contracts(), cursor, step, None).await
    }

    /// Puts the clock to `seconds`, never back.
    pub fn at(&self, seconds: i64) {
        self.clock
            .advance((time(seconds) - self.clock.now()).max(TimeDelta::zero()));
    }

    /// Judges what is at a URI: JSON, or nothing.
    pub async fn judge(&self, uri: &str, document: &Value) -> identity::Result<()> {
        let mut tx = self.db.begin(Cause::Job("test")).await?;
        identity::document::judge(&mut tx, &sha256(uri.as_bytes()), &fetched(document)).await?;
        Ok(tx.commit().await?)
    }

    /// Sweeps until nothing is dirty any more, or somebody holds what is.
    pub async fn sweep(&self) {
        while identity::dirty::sweep(&self.db).await.expect("a sweep") == Outcome::Busy {}
    }

    pub async fn act(
        &self,
        agent: AgentId,
        status: identity::fact::RuntimeStatus,
    ) -> identity::Result<()> {
        let mut tx = self.db.begin(Cause::Request(Principal::Operator)).await?;
        identity::act::set_status(&mut tx, agent, status, Some("an order")).await?;
        Ok(tx.commit().await?)
    }

    /// Plain SQL of a person.
    pub async fn sql(&self, text: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
            .execute(&self.pool)
            .await
            .map(drop)
    }

    /// The first column of the rows of a query, as text.
    pub async fn list(&self, query: &str) -> Vec<String> {
        list(&self.pool, query).await
    }

    /// The first column of the first row.
    pub async fn one(&self, query: &str) -> String {
        self.list(query)
            .await
            .into_iter()
            .next()
            .unwrap_or_default()
    }

    /// The status history of an agent: `PREVIOUS>NEW`.
    pub async fn history(&self, agent: AgentId) -> Vec<String> {
        self.list(&format!(
            "SELECT coalesce(previous_status::text, '') || '>' || new_status
               FROM identity.agent_status_history WHERE agent_id = '{agent}' ORDER BY changed_at, seq"
        ))
        .await
    }

    /// What the journal says of an agent: `column=value`.
    pub async fn said(&self, agent: AgentId) -> Vec<String> {
        let mut said = journal::said::net(&self.db, &[agent])
            .await
            .expect("readable");
        let said = said.remove(&agent).unwrap_or_default();
        said.iter()
            .map(|said| format!("{}={}", said.change.column, said.change.value))
            .collect()
    }

    pub async fn entries(&self) -> usize {
        self.one("SELECT count(*) FROM journal.entries")
            .await
            .parse()
            .expect("a number")
    }
}

pub async fn list(pool: &PgPool, query: &str) -> Vec<String> {
    let cast = format!("SELECT q.*::text FROM ({query}) AS q(v)").replace("q.*::text", "q.v::text");
    sqlx::query(AssertSqlSafe(cast))
        .fetch_all(pool)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
        .iter()
        .map(|row| row.get::<Option<String>, _>(0).unwrap_or_default())
        .collect()
}

pub fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

fn fetched(document: &Value) -> Fetched {
    let bytes = (!document.is_null()).then(|| document.to_string().into_bytes());
    Fetched {
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
    }
}
