//! The schema: VEXEL's, as its document names it, and all of it going down and up again.
//!
//! `tests/schema/vexel.toml` is the list; `tests/schema/rows` puts a row into every table.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, Row, postgres::PgRow};
use store::migrate;

/// The schemas in the order in which migrations make them.
const SCHEMAS: [&str; 7] = [
    "store", "journal", "chain", "content", "identity", "publish", "access",
];

/// One row for every table of a schema.
const ROWS: [(&str, &str); 7] = [
    ("store", include_str!("schema/rows/store.sql")),
    ("journal", include_str!("schema/rows/journal.sql")),
    ("chain", include_str!("schema/rows/chain.sql")),
    ("content", include_str!("schema/rows/content.sql")),
    ("identity", include_str!("schema/rows/identity.sql")),
    ("publish", include_str!("schema/rows/publish.sql")),
    ("access", include_str!("schema/rows/access.sql")),
];

/// The schema that each migration makes or changes, by its number.
const MADE_BY: [&str; 47] = [
    "store", "journal", "chain", "content", "identity", "identity", "chain", "chain", "store",
    "journal", "identity", "chain", "identity", "chain", "publish", "publish", "journal",
    "journal", "identity", "journal", "journal", "publish", "publish", "journal", "identity",
    "identity", "access", "access", "identity", "identity", "access", "identity", "access",
    "identity", "access", "journal", "access", "identity", "access", "access", "identity",
    "identity", "identity", "store", "store", "identity", "identity",
];

#[derive(Deserialize)]
struct Vexel {
    enums: BTreeMap<String, Vec<String>>,
    tables: BTreeMap<String, Table>,
    triggers: BTreeMap<String, String>,
    views: BTreeMap<String, String>,
    queries: BTreeMap<String, String>,
    departures: Vec<Departure>,
}

#[derive(Deserialize)]
struct Table {
    columns: BTreeMap<String, String>,
    indexes: BTreeMap<String, String>,
    constraints: BTreeMap<String, String>,
    added: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Departure {
    what: String,
    built: String,
    reason: String,
}

impl Vexel {
    fn read() -> Self {
        toml::from_str(include_str!("schema/vexel.toml")).unwrap()
    }

    /// What the catalog must say of a thing: what the document says, or what its departure does.
    fn expected(&self, what: &str, document: &str) -> String {
        match self
            .departures
            .iter()
            .find(|departure| departure.what == what)
        {
            Some(departure) => {
                assert_ne!(departure.built, document, "{what} departs from nothing");
                assert!(
                    departure.reason.len() > 5,
                    "{what} departs without a reason"
                );
                departure.built.clone()
            }
            None => document.to_owned(),
        }
    }
}

/// A connection with the database's own search path, as a person at psql has.
async fn person(pool: &PgPool) -> PgConnection {
    PgConnection::connect_with(&pool.connect_options())
        .await
        .unwrap()
}

fn url(pool: &PgPool) -> String {
    pool.connect_options().to_url_lossy().to_string()
}

async fn up(pool: &PgPool, role: &str) {
    migrate::up(&url(pool), role).await.unwrap();
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .map(|_| ())
}

async fn rows(conn: &mut PgConnection, sql: &str) -> Vec<PgRow> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(conn)
        .await;
    rows.unwrap_or_else(|error| panic!("{error}: {sql}"))
}

/// The first column of each row.
async fn texts(conn: &mut PgConnection, sql: &str) -> Vec<String> {
    rows(conn, sql).await.iter().map(|row| row.get(0)).collect()
}

/// First and second column of each row.
async fn pairs(conn: &mut PgConnection, sql: &str) -> BTreeMap<String, String> {
    rows(conn, sql)
        .await
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

/// SQLSTATE of what must fail.
async fn refused(conn: &mut PgConnection, sql: &str) -> (String, String) {
    let error = run(conn, sql).await.expect_err(sql);
    let error = error
        .as_database_error()
        .expect("an answer of the database");
    (
        error.code().unwrap_or_default().into_owned(),
        error.message().to_owned(),
    )
}

/// A row in every table of these schemas, written as the application writes: with a cause.
async fn fill(conn: &mut PgConnection, schemas: &[&str]) {
    for (_, sql) in ROWS.iter().filter(|(schema, _)| schemas.contains(schema)) {
        let sql =
            format!("BEGIN; SELECT set_config('chancery.cause', 'job:test', true); {sql} COMMIT");
        run(conn, &sql).await.unwrap();
    }
}

/// All rows of all tables, by table.
async fn contents(conn: &mut PgConnection) -> BTreeMap<String, String> {
    let list = SCHEMAS.map(|schema| format!("'{schema}'")).join(", ");
    let tables = texts(
        conn,
        &format!(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
              WHERE table_type = 'BASE TABLE' AND table_schema IN ({list})"
        ),
    )
    .await;
    let mut contents = BTreeMap::new();
    for table in tables {
        let all = format!(
            "SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t::text), '[]')::text FROM {table} t"
        );
        contents.insert(table, texts(conn, &all).await.remove(0));
    }
    contents
}

/// Rows as JSON, with those columns only that `like` has.
fn of_columns(rows: &str, like: &str) -> String {
    type Rows = Vec<BTreeMap<String, serde_json::Value>>;
    let mut rows: Rows = serde_json::from_str(rows).unwrap();
    let like: Rows = serde_json::from_str(like).unwrap();
    for row in &mut rows {
        row.retain(|column, _| like.iter().any(|like| like.contains_key(column)));
    }
    serde_json::to_string(&rows).unwrap()
}

/// Everything that the catalog knows of our schemas, one line per thing.
async fn catalog(conn: &mut PgConnection) -> BTreeSet<String> {
    let list = SCHEMAS.map(|schema| format!("'{schema}'")).join(", ");
    let spaces = format!("(SELECT oid FROM pg_namespace WHERE nspname IN ({list}))");
    let lines = texts(
        conn,
        &format!(
            "SELECT format('column %s.%s %s %s %s', a.attrelid::regclass, a.attname,
                           format_type(a.atttypid, a.atttypmod), a.attnotnull,
                           pg_get_expr(d.adbin, d.adrelid))
               FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
               LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
              WHERE c.relnamespace IN {spaces} AND a.attnum > 0 AND NOT a.attisdropped
             UNION ALL
             SELECT format('index %s', pg_get_indexdef(indexrelid)) FROM pg_index i
               JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace IN {spaces}
             UNION ALL
             SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
              WHERE connamespace IN {spaces}
             UNION ALL
             SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t
               JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace IN {spaces} AND NOT tgisinternal
             UNION ALL
             SELECT format('view %s %s', viewname, definition) FROM pg_views WHERE schemaname IN ({list})
             UNION ALL
             SELECT format('function %s %s', oid::regprocedure, md5(prosrc)) FROM pg_proc
              WHERE pronamespace IN {spaces}
             UNION ALL
             SELECT format('enum %s %s', enumtypid::regtype, enumlabel) FROM pg_enum"
        ),
    )
    .await;
    lines.into_iter().collect()
}

#[sqlx::test]
async fn every_column_is_there_as_listed(pool: PgPool) {
    let vexel = Vexel::read();
    let mut conn = pool.acquire().await.unwrap();
    for (table, list) in &vexel.tables {
        let built = pairs(
            &mut conn,
            &format!(
                "SELECT a.attname::text, concat_ws(', ', format_type(a.atttypid, a.atttypmod),
                        CASE WHEN a.attnotnull THEN 'not null' END,
                        'default ' || pg_get_expr(d.adbin, d.adrelid))
                   FROM pg_attribute a
                   LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                  WHERE a.attrelid = 'identity.{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped"
            ),
        )
        .await;
        for (column, document) in &list.columns {
            let expected = vexel.expected(&format!("{table}.{column}"), document);
            assert_eq!(built.get(column), Some(&expected), "{table}.{column}");
        }
        let named: BTreeSet<&String> = list.columns.keys().chain(list.added.keys()).collect();
        assert_eq!(
            built.keys().collect::<BTreeSet<_>>(),
            named,
            "columns of {table}"
        );
        let nullable = |column: &&String| {
            !built[*column].contains("not null") || built[*column].contains("default")
        };
        let must_be_given: Vec<_> = list
            .added
            .keys()
            .filter(|column| !nullable(column))
            .collect();
        // These tables follow from facts: nobody inserts into them by hand.
        let derived = ["agent_status_history", "ipfs_metadata"].contains(&table.as_str());
        assert!(
            derived || must_be_given.is_empty(),
            "an INSERT of VEXEL's into {table} lacks {must_be_given:?}"
        );
    }
    let there = texts(&mut conn, "SELECT enumlabel::text FROM pg_enum WHERE enumtypid = 'identity.runtime_status'::regtype ORDER BY enumsortorder").await;
    assert_eq!(there, vexel.enums["runtime_status"]);
    assert_eq!(vexel.enums.len(), 1);
}

#[sqlx::test]
async fn every_index_constraint_and_trigger_is_there_as_listed(pool: PgPool) {
    let vexel = Vexel::read();
    let mut conn = pool.acquire().await.unwrap();
    for (table, list) in &vexel.tables {
        let indexes = pairs(
            &mut conn,
            &format!(
                "SELECT indexname::text, substring(indexdef from ' USING (.*)$') FROM pg_indexes
                  WHERE schemaname = 'identity' AND tablename = '{table}'"
            ),
        )
        .await;
        for (index, document) in &list.indexes {
            let expected = vexel.expected(&format!("{table}.{index}"), document);
            assert_eq!(
                indexes.get(index).cloned().unwrap_or_default(),
                expected,
                "{table}.{index}"
            );
        }
        let constraints = pairs(
            &mut conn,
            &format!(
                "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint
                  WHERE conrelid = 'identity.{table}'::regclass"
            ),
        )
        .await;
        for (constraint, document) in &list.constraints {
            let expected = vexel.expected(&format!("{table}.{constraint}"), document);
            assert_eq!(
                constraints.get(constraint).cloned().unwrap_or_default(),
                expected,
                "{table}.{constraint}"
            );
        }
    }
    let triggers = pairs(
        &mut conn,
        "SELECT t.tgname::text,
                format('%s %s ON %s FOR EACH %s', CASE WHEN tgtype & 2 > 0 THEN 'BEFORE' ELSE 'AFTER' END,
                       CASE WHEN tgtype & 16 > 0 THEN 'UPDATE' END, c.relname,
                       CASE WHEN tgtype & 1 > 0 THEN 'ROW' ELSE 'STATEMENT' END)
           FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT tgisinternal AND tgenabled = 'O'",
    )
    .await;
    for (trigger, document) in &vexel.triggers {
        assert_eq!(
            triggers.get(trigger),
            Some(&vexel.expected(trigger, document)),
            "{trigger}"
        );
    }
}

#[test]
fn every_departure_is_of_something_that_the_document_names() {
    let vexel = Vexel::read();
    let mut named: BTreeSet<String> = vexel.triggers.keys().cloned().collect();
    for (table, list) in &vexel.tables {
        let things = list
            .columns
            .keys()
            .chain(list.indexes.keys())
            .chain(list.constraints.keys());
        named.extend(things.map(|thing| format!("{table}.{thing}")));
    }
    for departure in &vexel.departures {
        assert!(
            named.contains(&departure.what),
            "{} is not named",
            departure.what
        );
    }
    let page = include_str!("../docs/decisions/0006-departures-from-vexel.md");
    for departure in &vexel.departures {
        let thing = departure
            .what
            .trim_end_matches("_key")
            .replace("ipfs_metadata_ipfs_hash", "ipfs_hash");
        assert!(
            page.contains(&thing),
            "docs/decisions/0006-departures-from-vexel.md does not speak of {thing}"
        );
    }
}

const AGENT: &str = "6f1c1a52-0b5e-4ad8-9c56-1d0c2f6a3b10";
const OWNER: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";

/// Agents as VEXEL's users make them: with plain SQL, without a cause.
async fn agents_of_a_person(conn: &mut PgConnection) {
    run(
        conn,
        &format!(
            "INSERT INTO agents (id, did, name, owner_address)
             VALUES ('{AGENT}', 'did:vexel:one', 'One', '0x70997970C51812dc3A010C7d01b50e0d17dc79C8');
             INSERT INTO agents (did, name, owner_address) VALUES ('did:vexel:two', 'Two', '{OWNER}');
             INSERT INTO capability_vectors (agent_id, capability_name, capability_value)
             VALUES ('{AGENT}', 'chat', '{{\"level\": 1}}'), ('{AGENT}', 'code', '{{}}');
             UPDATE agents SET runtime_status = 'SLEEP' WHERE did = 'did:vexel:two'"
        ),
    )
    .await
    .unwrap();
}

#[sqlx::test(migrations = false)]
async fn views_are_what_the_document_prints(pool: PgPool) {
    up(&pool, "chancery_test_views").await;
    let mut conn = person(&pool).await;
    agents_of_a_person(&mut conn).await;
    for (view, printed) in &Vexel::read().views {
        let all = |from: &str| format!("SELECT to_jsonb(v)::text FROM ({from}) v ORDER BY 1");
        let ours = texts(&mut conn, &all(&format!("SELECT * FROM {view}"))).await;
        let theirs = texts(&mut conn, &all(printed.trim().trim_end_matches(';'))).await;
        assert_eq!(ours, theirs, "{view}");
        assert!(!ours.is_empty(), "{view}");
    }
    let active = texts(
        &mut conn,
        "SELECT name::text || capability_count FROM active_agents",
    )
    .await;
    assert_eq!(active, ["One2"]);
    let summary = "SELECT name::text || status_change_count FROM agent_summary ORDER BY 1";
    assert_eq!(texts(&mut conn, summary).await, ["One1", "Two2"]);
}

#[sqlx::test(migrations = false)]
async fn the_four_common_queries_run_as_printed(pool: PgPool) {
    up(&pool, "chancery_test_queries").await;
    let mut conn = person(&pool).await;
    agents_of_a_person(&mut conn).await;
    let queries = Vexel::read().queries;
    let mut counts = BTreeMap::new();
    for (name, printed) in &queries {
        let query = printed
            .replace("agent-uuid-here", AGENT)
            .replace("0x...", OWNER);
        counts.insert(name.as_str(), rows(&mut conn, &query).await.len());
    }
    let expected = [
        ("agent_status_history", 1),
        ("agent_with_capabilities", 1),
        ("agents_by_owner", 2),
        ("all_active_agents", 1),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    let with = queries["agent_with_capabilities"].replace("agent-uuid-here", AGENT);
    let sql = format!(
        "SELECT json_array_length(capabilities)::text FROM ({}) q",
        with.trim().trim_end_matches(';')
    );
    assert_eq!(texts(&mut conn, &sql).await, ["2"]);
}

#[sqlx::test(migrations = false)]
async fn the_triggers_do_what_the_document_says(pool: PgPool) {
    up(&pool, "chancery_test_triggers").await;
    let mut conn = person(&pool).await;
    agents_of_a_person(&mut conn).await;
    let stamp = format!(
        "SELECT concat_ws(' ', updated_at, last_active_at) FROM agents WHERE id = '{AGENT}'"
    );
    let history = format!(
        "SELECT concat_ws(' ', previous_status, new_status) FROM agent_status_history
          WHERE agent_id = '{AGENT}' ORDER BY changed_at, seq"
    );
    let first = texts(&mut conn, &stamp).await;
    run(
        &mut conn,
        &format!("UPDATE agents SET name = name WHERE id = '{AGENT}'"),
    )
    .await
    .unwrap();
    assert_eq!(texts(&mut conn, &stamp).await, first, "nothing changed");
    run(
        &mut conn,
        &format!("UPDATE agents SET runtime_status = 'SLEEP' WHERE id = '{AGENT}'"),
    )
    .await
    .unwrap();
    assert_ne!(texts(&mut conn, &stamp).await, first, "updated_at");
    run(
        &mut conn,
        &format!("UPDATE agents SET runtime_status = 'ACTIVE' WHERE id = '{AGENT}'"),
    )
    .await
    .unwrap();
    let same =
        format!("SELECT (updated_at = last_active_at)::text FROM agents WHERE id = '{AGENT}'");
    assert_eq!(texts(&mut conn, &same).await, ["true"], "last_active_at");
    assert_eq!(
        texts(&mut conn, &history).await,
        ["ACTIVE", "ACTIVE SLEEP", "SLEEP ACTIVE"]
    );

    let capability = "SELECT concat_ws(' ', version, updated_at > created_at) FROM capability_vectors WHERE capability_name = 'chat'";
    run(&mut conn, "UPDATE capability_vectors SET capability_value = '{\"level\": 2}' WHERE capability_name = 'chat'").await.unwrap();
    assert_eq!(texts(&mut conn, capability).await, ["2 t"]);

    for owner in [
        "0x12",
        "0x52908400098527886e0f7030069857d2e4169e",
        "0x52908400098527886e0f7030069857d2e4169eg7",
        "52908400098527886e0f7030069857d2e4169ee700",
        "0y52908400098527886e0f7030069857d2e4169ee7",
        "0x52908400098527886e0f7030069857d2e4169e\n7",
    ] {
        let bad = refused(
            &mut conn,
            &format!("INSERT INTO agents (did, name, owner_address) VALUES ('did:vexel:bad', 'Bad', '{owner}')"),
        )
        .await;
        assert!(
            bad.1.contains("agents_owner_address_check"),
            "{owner}: {bad:?}"
        );
    }
    let twice = refused(
        &mut conn,
        "INSERT INTO agents (did, name) VALUES ('did:vexel:one', 'Again')",
    )
    .await;
    assert!(twice.1.contains("agents_did_key"), "{twice:?}");

    run(
        &mut conn,
        &format!("DELETE FROM agents WHERE id = '{AGENT}'"),
    )
    .await
    .unwrap();
    let left = format!(
        "SELECT count(*)::text FROM (SELECT agent_id FROM capability_vectors UNION ALL
             SELECT agent_id FROM agent_status_history) r WHERE agent_id = '{AGENT}'"
    );
    assert_eq!(texts(&mut conn, &left).await, ["0"], "the cascade");
}

#[sqlx::test(migrations = false)]
async fn each_migration_goes_down_and_up_again_with_rows_present(pool: PgPool) {
    let role = "chancery_test_down";
    up(&pool, role).await;
    let mut conn = person(&pool).await;
    fill(&mut conn, &SCHEMAS).await;
    let full = contents(&mut conn).await;
    let empty: Vec<_> = full
        .iter()
        .filter(|(_, rows)| *rows == "[]")
        .map(|(table, _)| table)
        .collect();
    assert!(
        empty.is_empty(),
        "tests/schema/rows has nothing for {empty:?}"
    );
    let first = catalog(&mut conn).await;

    let migrations = migrate::status(&url(&pool)).await.unwrap();
    assert_eq!(
        migrations.len(),
        MADE_BY.len(),
        "a new migration is named in MADE_BY"
    );
    for target in (0..MADE_BY.len()).rev() {
        let before = contents(&mut conn).await;
        let drop_journal = target < 2;
        let version = i64::try_from(target).unwrap();
        let status = migrate::down(&url(&pool), version, drop_journal)
            .await
            .unwrap();
        assert_eq!(
            status.iter().filter(|migration| migration.applied).count(),
            target
        );

        let kept: BTreeSet<&str> = MADE_BY[..target].iter().copied().collect();
        let after = contents(&mut conn).await;
        for (table, rows) in &before {
            let schema = table.split('.').next().unwrap();
            match after.get(table) {
                Some(left) => {
                    // A column that a migration took away comes back empty.
                    let stayed = of_columns(rows, left);
                    assert_eq!(of_columns(left, rows), stayed, "{table} at {target}");
                }
                // A migration may make tables in the schema of an earlier one.
                None => assert!(
                    !kept.contains(schema) || MADE_BY[target..].contains(&schema),
                    "{table} is gone at {target}"
                ),
            }
        }
        for table in after.keys() {
            assert!(
                kept.contains(table.split('.').next().unwrap()),
                "{table} stays at {target}"
            );
        }

        up(&pool, role).await;
        // A connection remembers types that were dropped.
        conn = person(&pool).await;
        assert_eq!(
            catalog(&mut conn).await,
            first,
            "down to {target} and up again"
        );
        let gone: Vec<&str> = SCHEMAS
            .into_iter()
            .filter(|schema| !kept.contains(schema))
            .collect();
        fill(&mut conn, &gone).await;
    }
}

#[sqlx::test(migrations = false)]
async fn down_to_zero_wants_the_journal_named(pool: PgPool) {
    up(&pool, "chancery_test_zero").await;
    let mut conn = person(&pool).await;
    fill(&mut conn, &SCHEMAS).await;
    let before = contents(&mut conn).await;
    for target in [0, 1] {
        let refused = migrate::down(&url(&pool), target, false).await.unwrap_err();
        assert!(refused.to_string().contains("--drop-journal"), "{refused}");
    }
    assert_eq!(contents(&mut conn).await, before);
    let status = migrate::down(&url(&pool), 0, true).await.unwrap();
    assert!(status.iter().all(|migration| !migration.applied));
    assert_eq!(contents(&mut conn).await, BTreeMap::new());
    let schemas =
        "SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' ORDER BY 1";
    assert_eq!(
        texts(&mut conn, schemas).await,
        ["information_schema", "public"]
    );
}

#[sqlx::test(migrations = false)]
async fn the_applications_role_cannot_rewrite_the_journal(pool: PgPool) {
    let role = "chancery_test_app";
    up(&pool, role).await;
    let mut conn = person(&pool).await;
    fill(&mut conn, &SCHEMAS).await;
    let tables =
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'journal'";
    let tables = texts(&mut conn, tables).await;
    assert_eq!(tables.len(), 7);
    for table in &tables {
        let column = format!(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0
                AND attidentity = '' LIMIT 1"
        );
        let column = texts(&mut conn, &column).await.remove(0);
        let attempts = [
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
        ];
        for attempt in &attempts {
            // The owner is stopped by the trigger, the application by its rights before that.
            assert_eq!(refused(&mut conn, attempt).await.0, "CH001", "{attempt}");
            run(&mut conn, &format!("SET SESSION AUTHORIZATION {role}"))
                .await
                .unwrap();
            assert_eq!(refused(&mut conn, attempt).await.0, "42501", "{attempt}");
            run(&mut conn, "RESET SESSION AUTHORIZATION").await.unwrap();
        }
    }
    run(&mut conn, &format!("SET SESSION AUTHORIZATION {role}"))
        .await
        .unwrap();
    run(
        &mut conn,
        "INSERT INTO journal.entries (cid, kind, appended_at, body) VALUES ('bafy3', 'act', now(), '\\xa0')",
    )
    .await
    .unwrap();
    for ddl in [
        "DROP TABLE journal.entries",
        "ALTER TABLE journal.entries DISABLE TRIGGER ALL",
        "CREATE TABLE journal.x ()",
    ] {
        assert_eq!(refused(&mut conn, ddl).await.0, "42501", "{ddl}");
    }
}

#[sqlx::test(migrations = false)]
async fn the_applications_role_forgets_people_and_rewrites_nothing_that_was_seen(pool: PgPool) {
    let role = "chancery_test_seen";
    up(&pool, role).await;
    let mut conn = person(&pool).await;
    fill(&mut conn, &["access"]).await;
    run(&mut conn, &format!("SET SESSION AUTHORIZATION {role}"))
        .await
        .unwrap();
    let rewrite = "UPDATE audit_logs SET success = true";
    assert_eq!(refused(&mut conn, rewrite).await.0, "42501");
    let forget = "UPDATE audit_logs SET ip_address = NULL, user_agent = NULL";
    run(&mut conn, forget).await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn keys_without_an_end_that_strangers_made_are_given_one(pool: PgPool) {
    let role = "chancery_test_ends";
    up(&pool, role).await;
    migrate::down(&url(&pool), 39, false).await.unwrap();
    let mut conn = person(&pool).await;
    let made = "INSERT INTO access.api_keys (key_id, key_hash, client_id, name, created_by)
                SELECT who, encode(sha256(who::bytea), 'hex'), who, who, who
                  FROM unnest(ARRAY['operator', 'did:key:a']) AS who";
    run(&mut conn, made).await.unwrap();
    up(&pool, role).await;
    conn = person(&pool).await;
    let ends = "SELECT key_id || CASE WHEN expires_at IS NULL THEN ' never'
                                      WHEN expires_at - now() BETWEEN '89 days' AND '90 days' THEN ' in 90 days'
                                      ELSE ' then' END
                  FROM access.api_keys ORDER BY key_id";
    assert_eq!(
        texts(&mut conn, ends).await,
        ["did:key:a in 90 days", "operator never"]
    );
}

/// A first backfill that began at version `before` does not build `name` at its end, which is taken away since.
async fn stays_away(pool: &PgPool, role: &str, before: i64, name: &str) {
    up(pool, role).await;
    migrate::down(&url(pool), before, false).await.unwrap();
    let mut conn = person(pool).await;
    let deferred = format!("SELECT name FROM store.deferred WHERE name = '{name}'");
    run(&mut conn, "SELECT store.defer_indexes()")
        .await
        .unwrap();
    assert_eq!(texts(&mut conn, &deferred).await, [name]);
    up(pool, role).await;
    conn = person(pool).await;
    assert_eq!(texts(&mut conn, &deferred).await, [""; 0]);
}

#[sqlx::test(migrations = false)]
async fn a_first_backfill_does_not_bring_the_foreign_key_of_names_back(pool: PgPool) {
    let key = "agent_identifiers_agent_id_fkey";
    stays_away(&pool, "chancery_test_names", 42, key).await;
}

#[sqlx::test(migrations = false)]
async fn a_first_backfill_does_not_bring_the_second_index_of_dids_back(pool: PgPool) {
    let index = "identity.idx_agents_did";
    stays_away(&pool, "chancery_test_dids", 44, index).await;
}

#[sqlx::test(migrations = false)]
async fn names_that_follow_from_a_hash_lose_their_rows_and_have_them_again_below(pool: PgPool) {
    let role = "chancery_test_hashes";
    up(&pool, role).await;
    let mut conn = person(&pool).await;
    agents_of_a_person(&mut conn).await;
    let insert = format!(
        "BEGIN; SELECT set_config('chancery.cause', 'job:test', true);
         INSERT INTO identity.agent_identifiers (agent_id, kind, value, standing)
         VALUES ('{AGENT}', 'key_hash', repeat('ab', 32), 'former'); COMMIT"
    );
    run(&mut conn, &insert).await.unwrap();
    let names = "SELECT value || ' ' || standing FROM identity.agent_identifiers
                  WHERE kind IN ('agdns', 'zns') ORDER BY 1";
    assert_eq!(texts(&mut conn, names).await, [""; 0]);
    migrate::down(&url(&pool), 46, false).await.unwrap();
    let half = "ab".repeat(16);
    let both = ["agdns", "zns"].map(|kind| format!("{kind}:{half} former"));
    assert_eq!(texts(&mut person(&pool).await, names).await, both);
    up(&pool, role).await;
    assert_eq!(texts(&mut person(&pool).await, names).await, [""; 0]);
}

#[sqlx::test(migrations = false)]
async fn the_applications_role_deletes_agents_only_with_a_cause(pool: PgPool) {
    let role = "chancery_test_delete";
    up(&pool, role).await;
    let mut conn = person(&pool).await;
    agents_of_a_person(&mut conn).await;
    run(&mut conn, &format!("SET SESSION AUTHORIZATION {role}"))
        .await
        .unwrap();
    let delete = format!("DELETE FROM agents WHERE id = '{AGENT}'");
    let (code, message) = refused(&mut conn, &delete).await;
    assert_eq!(code, "CH001");
    assert!(message.contains("owner role"), "{message}");
    assert_eq!(
        refused(&mut conn, "TRUNCATE identity.agents CASCADE")
            .await
            .0,
        "42501"
    );
    let caused =
        format!("BEGIN; SELECT set_config('chancery.cause', 'job:test', true); {delete}; COMMIT");
    run(&mut conn, &caused).await.unwrap();
    assert_eq!(
        texts(&mut conn, "SELECT did::text FROM agents").await,
        ["did:vexel:two"]
    );
    // A pooled connection has '' after SET LOCAL, which is no cause.
    assert_eq!(
        texts(&mut conn, "SELECT current_setting('chancery.cause', true)").await,
        [""]
    );
    assert_eq!(refused(&mut conn, "DELETE FROM agents").await.0, "CH001");
}

#[sqlx::test(migrations = false)]
async fn up_twice_changes_nothing_and_names_need_no_schema(pool: PgPool) {
    let role = "chancery_test_twice";
    up(&pool, role).await;
    let mut conn = person(&pool).await;
    let once = catalog(&mut conn).await;
    up(&pool, role).await;
    assert_eq!(catalog(&mut conn).await, once);
    run(&mut conn, "SELECT * FROM active_agents").await.unwrap();
    run(&mut conn, "SELECT * FROM logs, entries, pins, jobs LIMIT 1")
        .await
        .unwrap();
    let path = texts(&mut conn, "SHOW search_path").await.remove(0);
    assert!(path.starts_with("public, identity"), "{path}");
}
