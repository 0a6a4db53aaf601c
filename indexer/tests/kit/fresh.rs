//! "Equal to a fresh index" (`model.md` §5): a second database gets the facts that are not of the
//! chain, then the canonical chain, and must say the same.

use std::sync::Arc;

use chain::SeenTopics;
use identity::Window;
use sqlx::{AssertSqlSafe, Executor, PgPool, postgres::PgPoolOptions};

use super::{
    script::Script,
    world::{World, list},
};

/// Tables that must be equal, without the columns that only tell of our own work.
const TABLES: [(&str, &str); 18] = [
    ("identity.agents", "'{}'"),
    ("identity.tokens", "'{}'"),
    ("identity.capability_vectors", "'{}'"),
    ("identity.agent_status_history", "'{}'"),
    ("identity.status_changes", "'{}'"),
    ("identity.ipfs_metadata", "'{}'"),
    ("identity.agent_identifiers", "'{}'"),
    ("identity.uri_agents", "'{}'"),
    ("identity.acts", "'{}'"),
    ("identity.statements", "'{}'"),
    ("identity.keys", "'{}'"),
    ("identity.claims", "'{}'"),
    ("identity.did_logs", "'{}'"),
    ("identity.documents", "'{}'"),
    (
        "identity.uris",
        "'{last_error,attempts,checked_at,next_attempt_at,state,verification}'",
    ),
    ("identity.operators", "'{}'"),
    ("chain.blocks", "'{}'"),
    ("chain.logs", "'{}'"),
];

/// How a chain is indexed anew.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// In steps of so many blocks.
    Steps(i64),
    /// What is settled in windows of `steps` steps of `blocks` blocks, the rest in such steps.
    Windows { steps: i64, blocks: i64 },
}

/// A second database, used again for each comparison.
pub struct Fresh {
    name: String,
    pool: PgPool,
}

impl Fresh {
    pub async fn new(world: &World) -> Self {
        let options = world.pool.connect_options();
        // Postgres cuts names off after 63 bytes.
        let name = options.get_database().expect("a database");
        let name = format!(
            "fresh_{}",
            hex::encode(&kernel::sha256(name.as_bytes())[..16])
        );
        for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
            let statement = AssertSqlSafe(format!("{statement} \"{name}\""));
            world
                .pool
                .execute(statement)
                .await
                .expect("a second database");
        }
        let options = options.as_ref().clone().database(&name);
        let pool = PgPoolOptions::new()
            .max_connections(3)
            .connect_with(options)
            .await;
        let pool = pool.expect("the second database");
        sqlx::migrate!("../migrations")
            .run(&pool)
            .await
            .expect("migrated");
        Self { name, pool }
    }

    pub async fn drop(self, world: &World) {
        self.pool.close().await;
        let statement = AssertSqlSafe(format!("DROP DATABASE \"{}\"", self.name));
        world.pool.execute(statement).await.expect("dropped");
    }

    /// Indexes everything anew, as `way` says; gives the first difference.
    pub async fn differs(&self, world: &World, scripts: &[&Script], way: Way) -> Option<String> {
        Self::empty(&self.pool).await;
        for (table, filter, without) in [
            // Which chain an agent without a token follows is found anew.
            ("subjects", "kind <> 'token'", "{chain_id}"),
            ("uris", "true", "{}"),
            ("documents", "true", "{}"),
            ("acts", "true", "{}"),
            ("statements", "true", "{}"),
            ("keys", "true", "{}"),
            ("claims", "true", "{}"),
        ] {
            let rows = list(
                &world.pool,
                &format!(
                    "SELECT coalesce(jsonb_agg(to_jsonb(t) - '{without}'::text[]), '[]')
                       FROM identity.{table} t WHERE {filter}"
                ),
            )
            .await;
            let insert = AssertSqlSafe(format!(
                "INSERT INTO identity.{table}
                 SELECT * FROM json_populate_recordset(NULL::identity.{table}, $1::json)"
            ));
            sqlx::query(insert)
                .bind(rows[0].as_str())
                .execute(&self.pool)
                .await
                .expect(table);
        }
        let other = World {
            origin: world.origin,
            depth: world.depth,
            ..World::new(self.pool.clone())
        };
        for script in scripts {
            other.open(script).await.expect("opened");
            let (mut to, blocks) = match way {
                Way::Steps(blocks) => (0, blocks),
                Way::Windows { steps, blocks } => {
                    (other.windows(script, steps, blocks).await, blocks)
                }
            };
            while to < script.tip() {
                to = (to + blocks).min(script.tip());
                other.extend(script, to).await.expect("a fresh step");
            }
        }
        let dirty = "INSERT INTO identity.dirty (agent_id) SELECT id FROM identity.subjects";
        self.pool.execute(dirty).await.expect("dirty");
        other.sweep().await;
        self.difference(world, &other).await
    }

    async fn difference(&self, world: &World, other: &World) -> Option<String> {
        for (table, without) in TABLES {
            let query = format!(
                "SELECT v FROM (SELECT (to_jsonb(t) - {without}::text[])::text
                                   FROM {table} t) AS x(v) ORDER BY v COLLATE \"C\""
            );
            let (ours, theirs) = (
                list(&world.pool, &query).await,
                list(&self.pool, &query).await,
            );
            if ours != theirs {
                let only = |one: &[String], two: &[String]| {
                    let rows: Vec<_> = one
                        .iter()
                        .filter(|row| !two.contains(row))
                        .cloned()
                        .collect();
                    rows.join("\n    ")
                };
                return Some(format!(
                    "{table}\n  grown:\n    {}\n  fresh:\n    {}",
                    only(&ours, &theirs),
                    only(&theirs, &ours)
                ));
            }
        }
        let ours = journal::said::digest_set(&world.db)
            .await
            .expect("a digest");
        let theirs = journal::said::digest_set(&other.db)
            .await
            .expect("a digest");
        if ours == theirs {
            return None;
        }
        let mut out = String::from("journal");
        for agent in list(&world.pool, "SELECT id FROM identity.subjects").await {
            let agent = kernel::AgentId(agent.parse().expect("an id"));
            let (ours, theirs) = (world.said(agent).await, other.said(agent).await);
            if ours != theirs {
                let both = [
                    format!("{agent}\n  grown: {ours:?}"),
                    format!("fresh: {theirs:?}"),
                ];
                out = [out, both.join("\n  ")].join("\n  ");
            }
        }
        Some(out)
    }

    /// Empties a database, the journal included.
    pub async fn empty(pool: &PgPool) {
        // Not TRUNCATE: with so few rows, most of its time goes into making new files.
        let statements = list(
            pool,
            "SELECT string_agg(CASE c.relkind
                        WHEN 'r' THEN format('DELETE FROM %I.%I', n.nspname, c.relname)
                        ELSE format('SELECT setval(''%I.%I'', 1, false)', n.nspname, c.relname) END, '; ')
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'S') AND n.nspname IN ('identity', 'chain', 'journal', 'store')",
        )
        .await;
        // No trigger fires for a replica: not even those that refuse this.
        let empty = format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {}; COMMIT",
            statements[0]
        );
        sqlx::raw_sql(AssertSqlSafe(empty))
            .execute(pool)
            .await
            .expect("emptied");
    }
}

impl World {
    /// Windows over all that is settled; gives its last block.
    async fn windows(&self, script: &Script, steps: i64, blocks: i64) -> i64 {
        let (end, mut to) = ((script.tip() - self.depth).max(0), 0);
        while to < end {
            let mut window = Window::new(script.id, SeenTopics::ALL, to);
            for _ in 0..steps {
                to = (to + blocks).min(end);
                self.ground(script, &mut window, to).await;
            }
            self.flush(script, &Arc::new(window))
                .await
                .expect("a fresh window");
        }
        to
    }

    /// Panics where a fresh index of `scripts` differs, in one step or in small ones.
    pub async fn assert_fresh(&self, scripts: &[&Script]) {
        let fresh = Fresh::new(self).await;
        let windows = |steps, blocks| Way::Windows { steps, blocks };
        let ways = [
            Way::Steps(1_000_000),
            Way::Steps(1),
            windows(1, 1_000_000),
            windows(2, 1),
        ];
        for way in ways {
            if let Some(difference) = fresh.differs(self, scripts, way).await {
                panic!("not equal to a fresh index ({way:?}): {difference}");
            }
        }
        fresh.drop(self).await;
    }
}
