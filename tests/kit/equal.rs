//! "Equal to a fresh index" (`model.md` §5): the same rows of `identity` and `chain`, and a journal that
//! says the same.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Executor, PgPool, postgres::PgPoolOptions};
use store::{Clock, Db};

use super::{
    anvil::Chain,
    index::{Index, list},
};

/// Tables of which nothing is compared: work that is under way, and what only tells of it. Of the
/// chain's tables, `model.md` compares blocks and logs.
const ASIDE: [&str; 20] = [
    "identity.head_steps",
    "identity.dirty",
    "identity.subjects",
    "identity.ahead",
    "identity.heartbeats",
    "identity.folds",
    "identity.did_hashes",
    "identity.watches",
    "identity.requests",
    "chain.chains",
    "chain.contracts",
    "chain.tips",
    "chain.receipts",
    "chain.ranges",
    "chain.incidents",
    "chain.census",
    "chain.census_again",
    "chain.mismatches",
    "chain.watched_owners",
    "chain.watched_tokens",
];

/// Columns that tell when and how often we looked.
const FETCHING: &str = "{last_error,attempts,checked_at,next_attempt_at,state,verification}";

/// Columns that heartbeats refresh whenever they are looked through.
const HEARD: &str = "{last_heartbeat,last_active_at}";

/// Facts that no chain brings back: a fresh index gets them first, without the columns that it finds anew. Which chain an
/// agent without a token follows is such a one.
const FACTS: [(&str, &str, &str); 7] = [
    ("subjects", "kind <> 'token'", "{chain_id}"),
    ("uris", "true", "{}"),
    ("documents", "true", "{}"),
    ("acts", "true", "{}"),
    ("statements", "true", "{}"),
    ("keys", "true", "{}"),
    ("claims", "true", "{}"),
];

/// Tables that must be equal.
async fn tables(pool: &PgPool) -> Vec<String> {
    let all = list(
        pool,
        "SELECT format('%I.%I', n.nspname, c.relname)
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind = 'r' AND n.nspname IN ('identity', 'chain') ORDER BY 1",
    )
    .await;
    all.into_iter()
        .filter(|table| !ASIDE.contains(&table.as_str()))
        .collect()
}

fn rows_of(table: &str) -> String {
    let without = match table {
        "identity.uris" => FETCHING,
        "identity.agents" => HEARD,
        _ => "{}",
    };
    format!("SELECT (to_jsonb(t) - '{without}'::text[])::text AS v FROM {table} t")
}

/// A digest of each table that must be equal, and of what the journal says.
pub async fn digests(db: &Db) -> BTreeMap<String, String> {
    let mut digests = BTreeMap::new();
    for table in tables(db.pool()).await {
        let query = format!(
            "SELECT count(*) || ' rows ' || md5(coalesce(string_agg(v, E'\\n' ORDER BY v COLLATE \"C\"), ''))
               FROM ({}) AS x",
            rows_of(&table)
        );
        digests.insert(table, list(db.pool(), &query).await.remove(0));
    }
    let said = journal::said::digest_set(db).await.expect("a digest");
    let said = format!("{} changes {}", said.changes, hex::encode(said.digest));
    digests.insert("journal".to_owned(), said);
    digests
}

/// Fails with the first rows that differ.
pub async fn assert_same(grown: &Db, fresh: &Db, when: &str) {
    for table in tables(grown.pool()).await {
        let query = format!(
            "SELECT v FROM ({}) AS x ORDER BY v COLLATE \"C\"",
            rows_of(&table)
        );
        let (ours, theirs) = (
            list(grown.pool(), &query).await,
            list(fresh.pool(), &query).await,
        );
        let rows = |rows: &[String], others: &[String]| {
            let only: Vec<_> = rows
                .iter()
                .filter(|row| !others.contains(row))
                .cloned()
                .collect();
            let more = only.len().saturating_sub(8);
            format!(
                "{}{}",
                only[..only.len() - more].join("\n    "),
                if more > 0 { " ..." } else { "" }
            )
        };
        assert!(
            ours == theirs,
            "{when}: {table} is not that of a fresh index\n  grown:\n    {}\n  fresh:\n    {}",
            rows(&ours, &theirs),
            rows(&theirs, &ours)
        );
    }
    let ours = journal::said::digest_set(grown).await.expect("a digest");
    let theirs = journal::said::digest_set(fresh).await.expect("a digest");
    assert!(
        ours == theirs,
        "{when}: the journal differs{}",
        said(grown, fresh).await
    );
}

/// What two journals say differently, by agent.
async fn said(grown: &Db, fresh: &Db) -> String {
    let mut out = String::new();
    for id in list(grown.pool(), "SELECT id FROM identity.subjects ORDER BY 1").await {
        let agent = kernel::AgentId(id.parse().expect("an id"));
        let mut lines = [Vec::new(), Vec::new()];
        for (db, lines) in [grown, fresh].into_iter().zip(&mut lines) {
            let mut net = journal::said::net(db, &[agent]).await.expect("readable");
            for said in net.remove(&agent).unwrap_or_default() {
                let change = said.change;
                lines.push(format!(
                    "{}={} by {}",
                    change.column, change.value, change.cause
                ));
            }
        }
        if lines[0] != lines[1] {
            let [ours, theirs] = lines;
            let lines = format!("\n  {id}\n  grown: {ours:#?}\n  fresh: {theirs:#?}");
            out.push_str(&lines);
        }
    }
    out
}

/// Fails unless a fresh index of `chain`, made in the empty database `fresh`, equals the grown one.
pub async fn assert_fresh(grown: &Index, chain: &Chain, fresh: &PgPool, when: &str) {
    copy_facts(&grown.pool, fresh).await;
    let mut other = Index::open(fresh, chain, grown.settling).await;
    other.catch_up().await;
    let all = "INSERT INTO identity.dirty (agent_id) SELECT id FROM identity.subjects";
    fresh.execute(all).await.expect("dirty");
    other.sweep().await;
    assert_same(&grown.db, &other.db, when).await;
}

/// Copies the facts that no chain brings back.
pub async fn copy_facts(from: &PgPool, to: &PgPool) {
    for (table, filter, without) in FACTS {
        let query = format!(
            "SELECT coalesce(jsonb_agg(to_jsonb(t) - '{without}'::text[]), '[]')
               FROM identity.{table} t WHERE {filter}"
        );
        let rows = list(from, &query).await;
        let insert = AssertSqlSafe(format!(
            "INSERT INTO identity.{table}
             SELECT * FROM json_populate_recordset(NULL::identity.{table}, $1::json)"
        ));
        sqlx::query(insert)
            .bind(rows[0].as_str())
            .execute(to)
            .await
            .expect(table);
    }
}

/// A second, empty database beside the test's own.
pub struct Second {
    name: String,
    /// Its pool.
    pub pool: PgPool,
}

impl Second {
    /// Makes and migrates it.
    pub async fn beside(pool: &PgPool) -> Self {
        Self::named("fresh", pool).await
    }

    /// One of several: `name` has five letters, because a longer one of the whole would be cut.
    pub async fn named(name: &str, pool: &PgPool) -> Self {
        let options = pool.connect_options();
        let first = options.get_database().expect("a database");
        let name = format!("{name}{}", &first[5..]);
        for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
            let statement = AssertSqlSafe(format!("{statement} \"{name}\""));
            pool.execute(statement).await.expect("a second database");
        }
        let options = options.as_ref().clone().database(&name);
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await;
        let pool = pool.expect("the second database");
        sqlx::migrate!("./migrations")
            .run(&pool)
            .await
            .expect("migrated");
        Self { name, pool }
    }

    /// Takes it away again.
    pub async fn drop(self, beside: &PgPool) {
        self.pool.close().await;
        let statement = AssertSqlSafe(format!("DROP DATABASE \"{}\"", self.name));
        beside.execute(statement).await.expect("dropped");
    }
}

impl Index {
    /// Fails unless a fresh index of `chain` equals this one.
    pub async fn assert_fresh(&self, chain: &Chain, when: &str) {
        let second = Second::beside(&self.pool).await;
        assert_fresh(self, chain, &second.pool, when).await;
        second.drop(&self.pool).await;
    }
}

/// The database of a running instance, as its owner sees it.
pub async fn of_instance(data_dir: &std::path::Path) -> Db {
    let config = chancery::config::Config {
        data_dir: Some(data_dir.to_path_buf()),
        ..chancery::config::Config::default()
    };
    let environment = chancery::config::Environment::default();
    let data_dir = chancery::data_dir::DataDir::open(&config, &environment).expect("a directory");
    let url = chancery::postgres::running_url(&data_dir, chancery::postgres::OWNER);
    let url = url.expect("its Postgres runs");
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await
        .expect("connected");
    Db::from_pool(pool, Clock::System)
}
