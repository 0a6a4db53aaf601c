use sqlx::{AssertSqlSafe, PgPool};

use super::*;
use crate::testing::{begin, db, say, seal_all, sealer};

const BIT: &str = "set_byte(it, 8, get_byte(it, 8) # 4)";

/// Changes bytes as a disk does: behind the triggers.
async fn damage(pool: &PgPool, table: &str, column: &str, row: &str) {
    let mut tx = pool.begin().await.unwrap();
    let flip = format!(
        "UPDATE journal.{table} SET {column} = {} WHERE {row}",
        BIT.replace("it", column)
    );
    for statement in ["SET LOCAL session_replication_role = replica", &flip] {
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx);
        done.await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn digest(pool: &PgPool) -> String {
    let all = "SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM (
                   SELECT e::text FROM journal.entries e UNION ALL SELECT l::text FROM journal.leaves l
                   UNION ALL SELECT t::text FROM journal.tiles t) AS t";
    sqlx::query_scalar(all).fetch_one(pool).await.unwrap()
}

/// The row whose bytes flip, which bundle shows it, and what is found.
fn cases() -> Vec<(&'static str, &'static str, &'static str, u64, Damage)> {
    let body = |n| match n {
        300 => "seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 300)",
        _ => "seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 590)",
    };
    let tile = Damage::Tile { level: 0, index: 1 };
    vec![
        ("entries", "body", body(300), 1, Damage::Body(300)),
        ("entries", "body", body(590), 2, Damage::Body(590)),
        (
            "leaves",
            "leaf_hash",
            "leaf_index = 300",
            1,
            Damage::Leaf(300),
        ),
        (
            "leaves",
            "leaf_hash",
            "leaf_index = 590",
            2,
            Damage::Leaf(590),
        ),
        // The partial tile of a level is part of every look.
        (
            "leaves",
            "leaf_hash",
            "leaf_index = 590",
            0,
            Damage::Leaf(590),
        ),
        ("tiles", "hashes", "level = 0 AND n = 1", 1, tile),
        ("tiles", "root", "level = 0 AND n = 1", 1, tile),
        ("tiles", "root", "level = 0 AND n = 1", 0, tile),
    ]
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_flipped_bit_is_found_and_put_right(pool: PgPool) {
    let (db, sealer) = (db(pool.clone()), sealer());
    let key = sealer.vkey();
    assert_eq!(examine(&db, key, 0).await.unwrap(), None);
    say(&db, 0..600, "a").await;
    seal_all(&db, &sealer).await;
    for bundle in 0..4 {
        assert_eq!(examine(&db, key, bundle).await.unwrap(), None);
    }
    let sound = digest(&pool).await;
    for (table, column, row, bundle, want) in cases() {
        let case = format!("{table}.{column} where {row}");
        let body = match want {
            Damage::Body(leaf) => {
                let entry = crate::follow::sealed(&db, leaf, 1).await.unwrap();
                entry[0].body.clone()
            }
            _ => Vec::new(),
        };
        damage(&pool, table, column, row).await;
        let found = examine(&db, key, bundle)
            .await
            .unwrap()
            .expect("it is seen");
        assert_eq!(found.damage, Some(want), "{case}: {}", found.why);
        let mut tx = begin(&db).await;
        let healed = match want {
            Damage::Body(leaf) => {
                assert!(!heal_body(&mut tx, leaf, b"other").await.unwrap());
                heal_body(&mut tx, leaf, &body).await
            }
            Damage::Leaf(leaf) => heal_leaf(&mut tx, leaf).await,
            Damage::Tile { level, index } => heal_tile(&mut tx, level, index).await,
            Damage::Archived(_) => Ok(false),
        };
        assert!(healed.unwrap(), "{case}");
        tx.commit().await.unwrap();
        assert_eq!(examine(&db, key, bundle).await.unwrap(), None, "{case}");
        assert_eq!(digest(&pool).await, sound, "{case}");
    }
}

/// Found, put right, and not found any more.
async fn heals(db: &Db, bundle: u64, want: Damage, body: &[u8]) {
    let key = sealer();
    let found = examine(db, key.vkey(), bundle).await.unwrap().unwrap();
    assert_eq!(found.damage, Some(want), "{}", found.why);
    let mut tx = begin(db).await;
    let healed = match want {
        Damage::Body(leaf) => heal_body(&mut tx, leaf, body).await,
        Damage::Leaf(leaf) => heal_leaf(&mut tx, leaf).await,
        Damage::Tile { level, index } => heal_tile(&mut tx, level, index).await,
        Damage::Archived(_) => Ok(false),
    };
    assert!(healed.unwrap(), "{}", found.why);
    tx.commit().await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_archived_body_that_nobody_gives_is_named_and_hides_nothing(pool: PgPool) {
    let sealer = sealer();
    let all = db(pool.clone());
    say(&all, 0..600, "a").await;
    seal_all(&all, &sealer).await;
    let entries = crate::follow::sealed(&all, 0, 1_000).await.unwrap();
    let run = async |sql: &'static str| sqlx::query(sql).execute(&pool).await.unwrap();
    run("INSERT INTO journal.publications (size, state, reference, at) VALUES (600, 'stored', 'b', now())").await;
    run("SELECT journal.archive(10, 'stored')").await;
    let gone = entries[4].cid.clone();
    let kept: Vec<_> = entries[..10]
        .iter()
        .filter(|entry| entry.cid != gone)
        .cloned()
        .collect();
    let db = all.with_archive(store::Archive::new(move |cid, _| {
        let found = kept
            .iter()
            .find(|entry| entry.cid == cid)
            .map(|entry| entry.body.clone());
        async move { found.ok_or_else(|| "nowhere".to_owned()) }
    }));
    let key = sealer.vkey();
    let named = Some(Damage::Archived(gone.parse().unwrap()));
    for (bundle, want) in [(0, named), (1, None), (2, None)] {
        let found = examine(&db, key, bundle).await.unwrap();
        assert_eq!(found.and_then(|found| found.damage), want);
    }
    let twenty = "seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 20)";
    damage(&pool, "entries", "body", twenty).await;
    heals(&db, 0, Damage::Body(20), &entries[20].body).await;
    damage(&pool, "leaves", "leaf_hash", "leaf_index = 30").await;
    heals(&db, 0, Damage::Leaf(30), &[]).await;
    for column in ["root", "hashes"] {
        damage(&pool, "tiles", column, "level = 0 AND n = 0").await;
        let tile = Damage::Tile { level: 0, index: 0 };
        heals(&db, 0, tile, &[]).await;
    }
    let found = examine(&db, key, 0).await.unwrap().unwrap();
    assert_eq!(found.damage, named);
    assert!(found.why.contains(&gone), "{}", found.why);
    // Nor does one whose name is damaged.
    let mut tx = pool.begin().await.unwrap();
    for statement in [
        "SET LOCAL session_replication_role = replica",
        "UPDATE journal.entries SET cid = 'bafy' WHERE seq =
             (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 4)",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let found = examine(&db, key, 0).await.unwrap().unwrap();
    assert_eq!(found.damage, None, "{}", found.why);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_right_stays_and_lies_are_refused(pool: PgPool) {
    let (db, sealer) = (db(pool.clone()), sealer());
    say(&db, 0..600, "a").await;
    seal_all(&db, &sealer).await;
    let sound = digest(&pool).await;
    let mut tx = begin(&db).await;
    assert!(!heal_body(&mut tx, 300, b"other").await.unwrap());
    for leaf in [0, 300, 599, 600] {
        assert!(!heal_leaf(&mut tx, leaf).await.unwrap());
    }
    for (level, index) in [(0, 0), (0, 1), (0, 2), (1, 0), (7, 0)] {
        assert!(!heal_tile(&mut tx, level, index).await.unwrap());
    }
    tx.commit().await.unwrap();
    for statement in [
        "leaves SET leaf_hash = sha256('x') WHERE leaf_index = 300",
        "leaves SET leaf_hash = sha256('x') WHERE leaf_index = 599",
        "leaves SET leaf_index = 700 WHERE leaf_index = 599",
        "tiles SET n = 7 WHERE n = 1",
        "tiles SET root = sha256('x')",
        "tiles SET hashes = decode(repeat('00', 8192), 'hex')",
        "tiles SET hashes = decode(repeat('00', 8192), 'hex'),
                   root = journal.tile_root(decode(repeat('00', 8192), 'hex'))",
    ] {
        let statement = format!("UPDATE journal.{statement}");
        let refused = sqlx::query(AssertSqlSafe(statement.clone())).execute(&pool);
        let refused = store::Error::from(refused.await.expect_err(&statement));
        assert!(matches!(&refused, store::Error::Refused(_)), "{refused}");
    }
    // A leaf and the tile above it at once: neither can speak for the other.
    damage(&pool, "leaves", "leaf_hash", "leaf_index = 300").await;
    damage(
        &pool,
        "entries",
        "body",
        "seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 300)",
    )
    .await;
    damage(&pool, "tiles", "hashes", "level = 0 AND n = 1").await;
    let mut tx = begin(&db).await;
    assert!(!heal_leaf(&mut tx, 300).await.unwrap());
    assert!(!heal_tile(&mut tx, 0, 1).await.unwrap());
    assert!(digest(&pool).await != sound);
}

#[sqlx::test(migrations = "../../migrations")]
async fn sql_says_the_cid_of_an_entry(pool: PgPool) {
    let db = db(pool.clone());
    say(&db, 0..20, "a").await;
    let wrong = "SELECT count(*) FROM journal.entries WHERE journal.cid_of(body) <> cid";
    let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(&pool).await.unwrap();
    assert_eq!(wrong, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_tile_that_the_log_has_not_yet_gives_no_leaf_its_hash(pool: PgPool) {
    let db = db(pool.clone());
    say(&db, 0..5, "a").await;
    seal_all(&db, &sealer()).await;
    let run = async |sql: &'static str| sqlx::query(sql).execute(&pool).await.unwrap();
    run("INSERT INTO journal.publications (size, state, reference, at) VALUES (5, 'stored', 'b', now())").await;
    run("SELECT journal.archive(3, 'stored')").await;
    // Whoever may insert makes up a whole tile, sound in itself, over leaves that do not exist.
    run("INSERT INTO journal.tiles (level, n, hashes, root)
         SELECT 0, 0, made, journal.tile_root(made)
           FROM (SELECT decode(repeat('66', 8192), 'hex') AS made) AS up")
    .await;
    let mut tx = begin(&db).await;
    assert!(!heal_leaf(&mut tx, 2).await.unwrap());
    tx.commit().await.unwrap();
    let leaves =
        "SELECT count(*) FROM journal.leaves WHERE leaf_hash = decode(repeat('66', 32), 'hex')";
    let forged: i64 = sqlx::query_scalar(leaves).fetch_one(&pool).await.unwrap();
    assert_eq!(forged, 0);
}
