//! Bits that flip in Postgres and on the disk: found in the background, put right, and told.

use std::{fs, os::unix::fs::FileExt};

use ::journal::{Entry, follow};
use publish::Scrubber;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use store::Outcome;

use super::kit::Instance;

/// Sealed, and stored as blocks.
async fn published(pool: &PgPool) -> Instance {
    let instance = Instance::with_mainnet(pool).await;
    instance.seal().await;
    let app = &instance.app;
    while publish::mirror(&app.db, &app.content, app.process)
        .await
        .unwrap()
        == Outcome::Busy
    {}
    instance
}

/// What the journal says of damages, oldest first.
async fn incidents(pool: &PgPool) -> Vec<Value> {
    let bodies = "SELECT body FROM journal.entries WHERE kind = 'incident' ORDER BY seq";
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar(bodies).fetch_all(pool).await.unwrap();
    let mut said = Vec::new();
    for body in bodies {
        let change = Entry::parse(&body).unwrap().changes.remove(0);
        assert_eq!(
            (change.column.as_str(), change.cause.as_str()),
            ("damaged", "scrub")
        );
        said.push(change.value);
    }
    said
}

/// Changes a bit of a row as a disk does: behind the triggers.
async fn flip_row(pool: &PgPool, statement: &str) {
    let mut tx = pool.begin().await.unwrap();
    for statement in ["SET LOCAL session_replication_role = replica", statement] {
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx);
        assert!(done.await.unwrap().rows_affected() <= 1);
    }
    tx.commit().await.unwrap();
}

async fn flip_body(pool: &PgPool, leaf: u64) {
    let flip = format!(
        "UPDATE journal.entries SET body = set_byte(body, 20, get_byte(body, 20) # 1)
          WHERE seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = {leaf})"
    );
    flip_row(pool, &flip).await;
}

/// Changes a bit of a block in the packs.
fn flip_block(instance: &Instance, bytes: &[u8]) {
    let dir = instance.app.content.blocks().dir();
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let whole = fs::read(&path).unwrap();
        let at = whole.windows(bytes.len()).position(|part| part == bytes);
        if let Some(at) = at {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[9] ^ 1], at as u64 + 9).unwrap();
            return;
        }
    }
    panic!("no pack holds these bytes");
}

async fn scrub(instance: &Instance, scrubber: &Scrubber) {
    let app = &instance.app;
    let round = scrubber.round(&app.db, &app.content, app.process);
    round.await.unwrap();
}

#[sqlx::test]
async fn a_bit_in_a_row_or_in_a_pack_is_put_right_and_told(pool: PgPool) {
    let instance = published(&pool).await;
    let app = &instance.app;
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    scrub(&instance, &scrubber).await;
    assert_eq!(incidents(&pool).await, Vec::<Value>::new());

    let entries = follow::sealed(&app.db, 0, 1_000).await.unwrap();
    flip_body(&pool, 7).await;
    scrub(&instance, &scrubber).await;
    let told = incidents(&pool).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["healed"], &told[0]["from"]),
        (&json!(true), &json!("its block"))
    );
    let what = told[0]["what"].as_str().unwrap();
    assert!(what.contains("the entry of leaf 7 hashes to"), "{what}");

    let flip =
        "UPDATE journal.leaves SET leaf_hash = set_byte(leaf_hash, 3, get_byte(leaf_hash, 3) # 128)
                 WHERE leaf_index = 11";
    flip_row(&pool, flip).await;
    scrub(&instance, &scrubber).await;
    let told = incidents(&pool).await;
    assert_eq!((told.len(), &told[1]["from"]), (2, &json!("its entry")));

    flip_block(&instance, &entries[13].body);
    scrub(&instance, &scrubber).await;
    let told = incidents(&pool).await;
    assert_eq!((told.len(), &told[2]["from"]), (3, &json!("the journal")));
    let cid = entries[13].cid.parse().unwrap();
    let block = app.content.blocks().get(&cid).await.unwrap().unwrap();
    assert_eq!(block, entries[13].body);

    // All is as it was; the record that was damaged lies in its pack and is no news.
    scrub(&instance, &scrubber).await;
    assert_eq!(follow::sealed(&app.db, 0, 1_000).await.unwrap(), entries);
    assert_eq!(incidents(&pool).await.len(), 3);
    instance.seal().await;
    let said = instance.items("/v1/entries").await;
    assert_eq!(
        said.iter()
            .filter(|entry| entry["kind"] == "incident")
            .count(),
        3
    );
}

#[sqlx::test]
async fn what_nobody_has_is_told_once_and_the_rest_is_put_right(pool: PgPool) {
    let instance = published(&pool).await;
    let app = &instance.app;
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let entries = follow::sealed(&app.db, 0, 1_000).await.unwrap();
    flip_body(&pool, 5).await;
    flip_block(&instance, &entries[5].body);
    for _ in 0..2 {
        scrub(&instance, &scrubber).await;
        let told = incidents(&pool).await;
        assert_eq!(told.len(), 2, "the row and the block: {told:?}");
        assert!(told.iter().all(|told| told["healed"] == false), "{told:?}");
    }
    // Somebody brings the block back.
    let block = (
        entries[5].cid.parse().unwrap(),
        kernel::Bytes::from(entries[5].body.clone()),
    );
    app.content.blocks().put_many(&[block]).await.unwrap();
    scrub(&instance, &scrubber).await;
    let told = incidents(&pool).await;
    assert_eq!((told.len(), &told[2]["healed"]), (3, &json!(true)));
    assert_eq!(follow::sealed(&app.db, 0, 1_000).await.unwrap(), entries);
}
