//! Chancery's own backfill of the standard workload, and what must be in its database then.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    contender::{Contender, Run, fresh},
    database::{Database, Psql},
    node::{Node, REGISTRY},
    process::{Place, beside},
};

/// MD5 of the lines of [`crate::node::Truth::as_is`].
pub const STATE: &str = r#"
    SELECT md5(string_agg(concat_ws('|', token_id, '0x' || encode(owner, 'hex'),
               coalesce('0x' || encode(wallet, 'hex'), ''), coalesce(uri, ''),
               coalesce((SELECT string_agg(key || '=' || value, ',' ORDER BY key COLLATE "C")
                           FROM jsonb_each_text(onchain) AS set(key, value)), '')),
               E'\n' ORDER BY token_id))
      FROM identity.v_tokens"#;

/// Agents whose current URI nobody will fetch.
const UNFETCHED: &str = "
    SELECT count(*) FROM identity.v_tokens t
     WHERE uri_hash IS NOT NULL
       AND NOT EXISTS (SELECT FROM store.jobs j WHERE j.kind = 'fetch' AND j.key = encode(t.uri_hash, 'hex'))";

/// Agents of whom the journal says nothing.
const SILENT: &str = "
    SELECT count(*) FROM agents a WHERE NOT EXISTS (SELECT FROM journal.said s WHERE s.agent_id = a.id)";

/// Indexes that can be used, and constraints that hold.
const GUARDS: &str = "(SELECT count(*) FROM pg_index WHERE indisvalid)
                    + (SELECT count(*) FROM pg_constraint WHERE convalidated)";

/// Whether every entry of the journal has its place under a signed checkpoint.
const SEALED: &str =
    "(SELECT max(size) FROM journal.checkpoints) = (SELECT count(*) FROM journal.entries)";

/// Proofs before rows.
pub const PROVE_FIRST: (&str, &str) = ("CHANCERY__INDEXER__PROVE", "first");

/// Blocks that are proven, or final on top.
const PROVEN: &str = "
    SELECT coalesce(sum(to_block - from_block + 1) FILTER (WHERE level IN ('proven', 'finalized')), 0)
      FROM chain.v_ranges";

/// One backfill in a fresh, migrated database, in the default configuration but for `settings`, which are
/// variables.
pub fn backfill(
    place: &Place,
    database: &Database,
    node: &Node,
    settings: &[(&str, &str)],
) -> Result<Run> {
    let owner = migrated(place, database)?;
    let url = database.url_of("chancery_app", "run");
    let mut psql = Psql::open(place, Some(&owner))?;
    let guards = psql.ask(&format!("SELECT {GUARDS}"))?;
    psql.close()?;

    let head = node.head()?;
    let truth = node.truth(head)?;
    // A database that begins anew has a journal that begins anew: a data directory that has seen another refuses it.
    let data = "run";
    if place.file(data).exists() {
        fs::remove_dir_all(place.file(data))?;
    }
    let mut command = place.chancery_in(data, &["serve", "--roles", "index,work"]);
    command
        .env("CHANCERY__DATABASE__URL", &url)
        .env("CHANCERY__DATABASE__MIGRATE_URL", &owner)
        .env("CHANCERY__INDEXER__CHAINS", node.as_chain())
        .env("CHANCERY__CONTENT__FETCH", "false")
        .envs(settings.iter().copied());
    let done = format!(
        "SELECT CASE WHEN head_number = {head} AND settled_number = {head} AND {GUARDS} >= {guards}
                     THEN {SEALED} ELSE false END FROM chain.chains"
    );
    let mut checks = vec![
        (STATE, truth.as_is.clone()),
        ("SELECT count(*) FROM agents", truth.agents.to_string()),
        (
            "SELECT count(*) FROM chain.logs",
            truth.events().to_string(),
        ),
        (UNFETCHED, "0".to_owned()),
        (SILENT, "0".to_owned()),
    ];
    if settings.contains(&PROVE_FIRST) {
        checks.push((PROVEN, (head + 1).to_string()));
    }
    let checks: Vec<_> = checks
        .into_iter()
        .map(|(question, right)| (question.to_owned(), right))
        .collect();
    Contender {
        command,
        url: &owner,
        done: &done,
        checks: &checks,
        log: place.file("chancery.log"),
    }
    .run(place, database)
}

/// The database `run`, fresh and migrated; its URL for the owner.
fn migrated(place: &Place, database: &Database) -> Result<String> {
    let owner = fresh(place, database, "run", "template0")?;
    let mut migrate = place.chancery(&["migrate", "up"]);
    let output = migrate.env("CHANCERY__DATABASE__URL", &owner).output()?;
    ensure!(output.status.success(), "migrate up failed");
    Ok(owner)
}

/// Seconds that the same steps take from memory (`benches/sql_ceiling.rs`), checked as a backfill is.
pub fn ceiling(place: &Place, database: &Database, node: &Node) -> Result<f64> {
    let owner = migrated(place, database)?;
    let url = database.url_of("chancery_app", "run");
    let output = Command::new(beside("sql-ceiling")?)
        .args([&node.url(), REGISTRY, &url])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "sql-ceiling failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (seconds, _) = said.split_once(" s ").context("no seconds")?;
    let mut psql = Psql::open(place, Some(&owner))?;
    let state = psql.ask(STATE)?;
    ensure!(state == node.truth(node.head()?)?.as_is, "a wrong state");
    psql.close()?;
    Ok(seconds.parse()?)
}
