//! L3: Postgres schema = crate. L4: only the store begins and commits. L5: one insert into the journal.

use std::collections::BTreeMap;

use crate::{
    catches, hold, production,
    source::{Function, Source, read, root},
};

const SCHEMAS: &[&str] = &[
    "store", "journal", "chain", "content", "identity", "publish", "access",
];

/// Views that other rooms may read. Whatever else another room needs has to become one of them.
const PUBLISHED: &[(&str, &[&str])] = &[
    ("chain.v_chains", &["identity", "did", "trust"]),
    ("chain.v_contracts", &["identity", "did", "trust"]),
    ("chain.v_blocks", &["identity", "did", "trust"]),
    ("chain.v_logs", &["identity", "did", "trust"]),
    ("chain.v_ranges", &["identity", "did", "trust"]),
    ("journal.v_entries", &[]),
    ("identity.v_claims", &[]),
    ("identity.v_operators", &[]),
    ("identity.v_tokens", &["indexer"]),
];

/// Rows that follow from facts; only these may hang on an agent and go with it.
const PROJECTED: &[&str] = &[
    "identity.capability_vectors",
    "identity.agent_status_history",
    "identity.status_changes",
    "identity.ipfs_metadata",
    "identity.agent_identifiers",
];

/// Files whose SQL cannot be checked at compile time.
const UNCHECKED: &[(&str, &str)] = &[
    (
        "crates/store/src/migrate.rs",
        "runs before the schema is there, and names roles",
    ),
    (
        "src/postgres/roles.rs",
        "makes the roles and the database of the private cluster",
    ),
    (
        "src/http/health.rs",
        "an empty SELECT, which asks whether anybody answers",
    ),
];

/// The schema that a crate writes.
fn own_schema(krate: &str) -> Option<&str> {
    match krate {
        "indexer" => Some("chain"),
        "chain" => None, // Ethereum words, no database.
        other => SCHEMAS.iter().find(|schema| **schema == other).copied(),
    }
}

/// Words of SQL: names keep their dots, everything else falls apart.
fn words(sql: &str) -> Vec<&str> {
    sql.split(|c: char| !(c.is_alphanumeric() || "_.{}%".contains(c)))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Tables that a statement writes.
fn written(sql: &str) -> Vec<&str> {
    let words = words(sql);
    let mut found: Vec<&str> = Vec::new();
    for (i, pair) in words.windows(2).enumerate() {
        let before = i.checked_sub(1).map_or("", |i| words[i]);
        match pair {
            ["INSERT" | "MERGE", "INTO"] | ["DELETE", "FROM"] => {
                found.extend(words.get(i + 2).copied());
            }
            ["TRUNCATE", "TABLE"] => found.extend(words.get(i + 2).copied()),
            // A message may speak of these in capitals; a statement names a table.
            ["TRUNCATE" | "COPY", name] if name.contains('.') => found.push(name),
            ["UPDATE", name]
                if !["FOR", "KEY", "DO", "OR", "BEFORE", "AFTER"].contains(&before) =>
            {
                let sets = words[i + 2..].iter().take(3).any(|word| *word == "SET");
                if sets || name.contains('.') {
                    found.push(name);
                }
            }
            _ => {}
        }
    }
    found
}

/// Tables and views of known schemas that a statement names.
fn named(sql: &str) -> Vec<&str> {
    let words = words(sql);
    let is_sql = words
        .iter()
        .any(|w| ["SELECT", "FROM", "INSERT", "UPDATE", "DELETE", "JOIN"].contains(w));
    let relation = |name: &&str| {
        name.split_once('.')
            .is_some_and(|(schema, rest)| SCHEMAS.contains(&schema) && !rest.contains('.'))
    };
    if is_sql {
        words.into_iter().filter(relation).collect()
    } else {
        Vec::new()
    }
}

/// A room may read a published view; the top floor, which composes rooms, every one.
fn may_read(krate: &str, name: &str) -> bool {
    PUBLISHED
        .iter()
        .any(|(view, readers)| *view == name && (krate == "chancery" || readers.contains(&krate)))
}

fn sql_stays_in_its_schema(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let krate = source.krate();
        let own = own_schema(krate);
        let is_own = |name: &str| {
            name.split_once('.')
                .is_some_and(|(schema, _)| Some(schema) == own)
        };
        for literal in &source.literals {
            let place = source.place(literal.at);
            for table in written(&literal.text)
                .into_iter()
                .filter(|table| !is_own(table))
            {
                broken.push(format!("{place}: `{krate}` writes {table}"));
            }
            // Who migrates gives the rights, and reads nothing by that.
            let gives_rights = matches!(words(&literal.text).first(), Some(&("GRANT" | "REVOKE")));
            for name in named(&literal.text) {
                if !gives_rights
                    && !is_own(name)
                    && !may_read(krate, name)
                    && !written(&literal.text).contains(&name)
                {
                    broken.push(format!(
                        "{place}: `{krate}` reads {name}, which is no view published to it"
                    ));
                }
            }
        }
    }
    broken
}

#[test]
fn l3_a_crate_writes_its_own_schema_and_reads_published_views() {
    hold("L3", sql_stays_in_its_schema(&production()));
}

#[test]
fn l3_sees_foreign_tables_and_unnamed_schemas() {
    let source = |path: &str, sql: &str| {
        sql_stays_in_its_schema(&[Source::new(path, &format!("fn f() {{ query(\"{sql}\") }}"))])
    };
    catches(
        &source(
            "crates/identity/src/a.rs",
            "INSERT INTO chain.logs (a) VALUES ($1)",
        ),
        "writes chain.logs",
    );
    catches(
        &source(
            "crates/identity/src/a.rs",
            "UPDATE journal.entries SET seq = 1",
        ),
        "writes journal.entries",
    );
    catches(
        &source("crates/identity/src/a.rs", "DELETE FROM agents"),
        "writes agents",
    );
    catches(
        &source("src/http/a.rs", "UPDATE identity.agents AS a SET name = ''"),
        "writes identity.agents",
    );
    catches(
        &source("crates/identity/src/a.rs", "SELECT 1 FROM chain.logs"),
        "reads chain.logs",
    );
    catches(
        &source("crates/content/src/a.rs", "SELECT 1 FROM chain.v_logs"),
        "reads chain.v_logs",
    );
    catches(
        &source(
            "crates/chain/src/a.rs",
            "INSERT INTO chain.logs DEFAULT VALUES",
        ),
        "writes chain.logs",
    );
    for (path, fine) in [
        (
            "crates/identity/src/a.rs",
            "SELECT 1 FROM identity.agents JOIN chain.v_logs l ON true FOR UPDATE",
        ),
        (
            "indexer/src/a.rs",
            "INSERT INTO chain.logs (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
        ),
        ("src/http/a.rs", "SELECT 1 FROM identity.v_tokens"),
        ("src/http/a.rs", "chain.rpc"),
    ] {
        assert_eq!(source(path, fine), Vec::<String>::new(), "{fine}");
    }
}

/// A migration: its path, the schema that it belongs to, and its SQL without comments.
struct Migration {
    path: String,
    schema: String,
    sql: String,
}

impl Migration {
    fn new(path: &str, text: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = name.split(['_', '.']).skip(1).collect::<Vec<_>>().join("_");
        let schema = SCHEMAS
            .iter()
            .find(|schema| name.starts_with(*schema))
            .unwrap_or(&"identity");
        let lines = text
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default());
        Self {
            path: path.to_owned(),
            schema: (*schema).to_owned(),
            sql: lines.collect::<Vec<_>>().join("\n"),
        }
    }
}

fn migrations() -> Vec<Migration> {
    let folder = std::fs::read_dir(root().join("migrations")).expect("migrations/");
    let mut names: Vec<String> = folder
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name.ends_with(".up.sql"));
    names.sort();
    names
        .iter()
        .map(|name| Migration::new(name, &read(&format!("migrations/{name}"))))
        .collect()
}

fn migrations_stay_in_their_schema(migrations: &[Migration]) -> Vec<String> {
    let mut broken = Vec::new();
    for Migration { path, schema, sql } in migrations {
        let is_own = |name: &str| name.split_once('.').is_some_and(|(of, _)| of == schema);
        let words = words(sql);
        let mut table = "";
        for (i, pair) in words.windows(3).enumerate() {
            let (before, name) = (i.checked_sub(1).map_or("", |i| words[i]), pair[2]);
            match pair {
                [
                    "CREATE",
                    "TABLE" | "VIEW" | "FUNCTION" | "TYPE" | "SEQUENCE",
                    _,
                ] => {
                    table = name;
                    if !is_own(name) {
                        broken.push(format!("{path}: makes {name}"));
                    }
                }
                ["REFERENCES", to, _] => {
                    let hangs_on_agent = *to == "identity.agents";
                    if hangs_on_agent && !PROJECTED.contains(&table) {
                        broken.push(format!(
                            "{path}: {table} is no projected row, and references {to}"
                        ));
                    } else if !hangs_on_agent && !is_own(to) {
                        broken.push(format!("{path}: {table} references {to}"));
                    }
                }
                ["FROM" | "JOIN", relation, _] if before != "DISTINCT" => {
                    let foreign = SCHEMAS
                        .iter()
                        .any(|s| s != schema && relation.starts_with(&format!("{s}.")));
                    if foreign && !may_read(schema, relation) {
                        broken.push(format!("{path}: reads {relation}"));
                    }
                }
                _ => {}
            }
        }
        for name in written(sql)
            .into_iter()
            .filter(|name| !is_own(name) && name.contains('.'))
        {
            broken.push(format!("{path}: writes {name}"));
        }
    }
    broken
}

#[test]
fn l3_migrations_stay_in_their_schema_and_facts_hang_on_no_agent() {
    hold("L3", migrations_stay_in_their_schema(&migrations()));
    let check =
        |sql: &str| migrations_stay_in_their_schema(&[Migration::new("0005_identity.up.sql", sql)]);
    let fact = "CREATE TABLE identity.acts (agent_id uuid REFERENCES identity.agents (id));";
    catches(&check(fact), "identity.acts is no projected row");
    catches(
        &check("CREATE TABLE chain.x (id int primary key);"),
        "makes chain.x",
    );
    catches(
        &check("CREATE VIEW identity.a AS SELECT 1 FROM chain.logs l;"),
        "reads chain.logs",
    );
    let foreign = "CREATE TABLE identity.b (n bigint REFERENCES chain.blocks (number));";
    catches(&check(foreign), "references chain.blocks");
}

#[test]
fn l3_the_published_views_are_those_that_exist() {
    let mut made: Vec<String> = Vec::new();
    for migration in migrations() {
        let words = words(&migration.sql);
        let views = words
            .windows(3)
            .filter(|w| w[..2] == ["CREATE", "VIEW"])
            .map(|w| w[2].to_owned());
        made.extend(views.filter(|view| view.contains(".v_")));
    }
    made.sort();
    let mut listed: Vec<&str> = PUBLISHED.iter().map(|(view, _)| *view).collect();
    listed.sort_unstable();
    assert_eq!(
        made, listed,
        "published views are listed in this file, with their readers"
    );
}

/// SQL that a person has to trust, because the compiler did not check it.
fn sql_is_checked(sources: &[Source]) -> Vec<String> {
    let unchecked = [
        "sqlx::query(",
        "sqlx::query_as(",
        "sqlx::query_scalar(",
        "sqlx::raw_sql(",
    ];
    let mut broken = Vec::new();
    for source in sources
        .iter()
        .filter(|s| !UNCHECKED.iter().any(|(path, _)| *path == s.path))
    {
        for at in unchecked.iter().flat_map(|call| source.words(call)) {
            broken.push(format!(
                "{}: write `query!`, which the compiler checks",
                source.place(at)
            ));
        }
        let says_so = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .any(|line| line.contains("COPY") || line.contains("QueryBuilder"));
        for at in ["QueryBuilder", "copy_in_raw"]
            .iter()
            .flat_map(|word| source.words(word))
        {
            if !says_so {
                broken.push(format!(
                    "{}: the file's first lines do not say why",
                    source.place(at)
                ));
            }
        }
    }
    broken
}

#[test]
fn l7_sql_is_checked_when_it_is_compiled() {
    hold("L7", sql_is_checked(&production()));
    let source = Source::new(
        "crates/store/src/a.rs",
        "fn f() { sqlx::query(\"SELECT 1\"); }",
    );
    catches(&sql_is_checked(&[source]), "query!");
    let source = Source::new(
        "crates/store/src/a.rs",
        "//! Agents.\nfn f() { QueryBuilder::new(); }",
    );
    catches(&sql_is_checked(&[source]), "do not say why");
}

fn the_store_alone_begins_and_commits(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| source.krate() != "store") {
        for word in [
            "Transaction<",
            ".begin()",
            "begin_with(",
            "Acquire",
            "Connection::begin",
        ] {
            for at in source.words(word) {
                broken.push(format!(
                    "{}: `{word}`: begin with `Db::begin`, which asks for a cause",
                    source.place(at)
                ));
            }
        }
        for literal in &source.literals {
            let first = words(&literal.text).first().copied().unwrap_or_default();
            let control = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"].contains(&first)
                || literal.text.starts_with("START TRANSACTION");
            if control {
                broken.push(format!("{}: `{first}`", source.place(literal.at)));
            }
        }
        broken.extend(writes_go_through_a_tx(source));
    }
    broken
}

/// The innermost function around an offset.
fn around(functions: &[Function], at: usize) -> Option<&Function> {
    functions
        .iter()
        .filter(|f| f.at < at && at < f.end)
        .max_by_key(|f| f.at)
}

/// Who writes has a `Tx`, and so an author and a time.
fn writes_go_through_a_tx(source: &Source) -> Vec<String> {
    let functions = source.functions();
    let mut broken = Vec::new();
    for literal in source
        .literals
        .iter()
        .filter(|l| !written(&l.text).is_empty())
    {
        let Some(function) = around(&functions, literal.at) else {
            continue;
        };
        let body = &source.code[function.at..function.end];
        if !body.contains("Tx") && !body.contains(".begin(") {
            broken.push(format!(
                "{}: `{}` writes without a Tx",
                source.place(literal.at),
                function.name
            ));
        }
        if body.contains(".execute(db.pool())") {
            broken.push(format!(
                "{}: `{}` writes past its Tx",
                source.place(literal.at),
                function.name
            ));
        }
    }
    broken
}

#[test]
fn l4_only_the_store_begins_and_commits() {
    hold("L4", the_store_alone_begins_and_commits(&production()));
    let check = |text: &str| {
        the_store_alone_begins_and_commits(&[Source::new("crates/did/src/a.rs", text)])
    };
    catches(
        &check("async fn f(p: &PgPool) { p.begin().await; }"),
        ".begin()",
    );
    catches(
        &check("fn f(t: sqlx::Transaction<'_, Postgres>) {}"),
        "Transaction<",
    );
    catches(&check("fn f() { query!(\"COMMIT\") }"), "COMMIT");
    let past = "fn f(db: &Db) { query!(\"UPDATE did.a SET b = 1\").execute(db.pool()) }";
    assert_eq!(check(past).len(), 2, "{:?}", check(past));
    let fine = "async fn f(db: &Db) { let mut tx = db.begin(cause).await?; query!(\"UPDATE did.a SET b = 1\"); tx.commit().await }";
    hold("L4", check(fine));
}

fn one_insert_into_the_journal(sources: &[Source]) -> Vec<String> {
    let home = "crates/journal/src/append.rs";
    let places: Vec<(String, bool)> = sources
        .iter()
        .flat_map(|source| source.literals.iter().map(move |literal| (source, literal)))
        .filter(|(_, literal)| written(&literal.text).contains(&"journal.entries"))
        .map(|(source, literal)| (source.place(literal.at), source.path == home))
        .collect();
    let strangers = places.iter().filter(|(_, at_home)| !at_home);
    let mut broken: Vec<String> = strangers
        .map(|(place, _)| format!("{place}: only {home} appends"))
        .collect();
    if places.iter().filter(|(_, at_home)| *at_home).count() != 1 {
        broken.push(format!(
            "{home} should write journal.entries in exactly one place"
        ));
    }
    broken
}

#[test]
fn l5_append_is_the_only_insert_into_the_journal() {
    hold("L5", one_insert_into_the_journal(&production()));
    let append = "fn f() { \"INSERT INTO journal.entries (cid) VALUES ($1)\" }";
    let home = || Source::new("crates/journal/src/append.rs", append);
    let other = Source::new("crates/journal/src/seal.rs", append);
    catches(&one_insert_into_the_journal(&[home(), other]), "seal.rs:1");
    catches(&one_insert_into_the_journal(&[]), "exactly one place");
    hold("L5", one_insert_into_the_journal(&[home()]));
}

/// Tables of the journal's migrations that the insert-only trigger does not guard.
fn unguarded(migrations: &[Migration]) -> Vec<String> {
    let mut tables: BTreeMap<String, bool> = BTreeMap::new();
    for migration in migrations.iter().filter(|m| m.schema == "journal") {
        let words = words(&migration.sql);
        for table in words
            .windows(3)
            .filter(|w| w[..2] == ["CREATE", "TABLE"])
            .map(|w| w[2])
        {
            let name = table.trim_start_matches("journal.");
            let listed = migration
                .sql
                .contains("CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE")
                && migration.sql.contains(&format!("'{name}'"));
            tables.insert(table.to_owned(), listed);
        }
    }
    tables
        .into_iter()
        .filter(|(_, guarded)| !guarded)
        .map(|(table, _)| format!("{table} can be changed"))
        .collect()
}

#[test]
fn l5_every_table_of_the_journal_is_insert_only() {
    hold("L5", unguarded(&migrations()));
    let open = Migration::new(
        "0002_journal.up.sql",
        "CREATE TABLE journal.notes (id int primary key);",
    );
    catches(&unguarded(&[open]), "journal.notes");
}
