//! Bits that flip in Postgres and on the disk: found in the background, put right, and told.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use ::journal::{
    Change, Entry, NewEntry, follow,
    publication::{self, State},
    scrub::heal_body,
};
use axum::http::{StatusCode, Uri};
use chrono::DateTime;
use content::Content;
use kernel::{AgentId, Cid, from_dag_cbor};
use publish::{Manifest, Scrubber, layout};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use store::{Cause, Db, Outcome};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use uuid::Uuid;

use super::{kit::Instance, publishing::gateway};

/// Sealed, and stored as blocks.
async fn published(pool: &PgPool) -> Instance {
    let instance = Instance::with_mainnet(pool).await;
    instance.seal().await;
    publish(&instance).await;
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
    flip_in(instance.app.content.blocks().dir(), bytes);
}

fn flip_in(dir: &Path, bytes: &[u8]) {
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

/// Appends and seals an entry of each of 300 agents, and publishes it.
async fn many_published(pool: &PgPool) -> Instance {
    let instance = Instance::new(pool).await;
    let app = &instance.app;
    let entry = |number: u32| {
        let change = Change {
            column: "name".to_owned(),
            value: number.to_string().into(),
            cause: format!("act:{number}"),
            time: DateTime::UNIX_EPOCH,
        };
        NewEntry::agent(AgentId::of_did(&format!("did:x:{number}")), vec![change])
    };
    for part in [0..290, 290..300] {
        let mut tx = app.db.begin(Cause::Job("test")).await.unwrap();
        let entries = part.map(entry).collect();
        ::journal::append(&mut tx, entries).await.unwrap();
        tx.commit().await.unwrap();
        instance.seal().await;
        publish(&instance).await;
    }
    instance
}

async fn publish(instance: &Instance) {
    let app = &instance.app;
    while publish::mirror(&app.db, &app.content, app.process)
        .await
        .unwrap()
        == Outcome::Busy
    {}
}

/// The instance's content with another blockstore, which is empty.
fn empty(instance: &Instance) -> (Content, TempDir) {
    opened(instance, &instance.app.config.content)
}

/// The same with a gateway there.
fn with_gateway(instance: &Instance, address: SocketAddr) -> (Content, TempDir) {
    let config = content::Config {
        gateways: vec![format!("http://{address}")],
        ..instance.app.config.content.clone()
    };
    opened(instance, &config)
}

fn opened(instance: &Instance, config: &content::Config) -> (Content, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let fetcher = net::Fetcher::new(&instance.app.config.net).unwrap();
    let (content, _) = Content::open(config, dir.path(), fetcher).unwrap();
    (content, dir)
}

/// A Kubo that gives the blocks of `content`; its URL.
async fn kubo(content: Content) -> String {
    let answer = move |uri: Uri| {
        let content = content.clone();
        async move {
            let mut pairs = uri.query().unwrap_or_default().split('&');
            let cid = pairs.find_map(|pair| pair.strip_prefix("arg="));
            let cid: Cid = cid
                .unwrap_or_default()
                .parse()
                .map_err(|_| StatusCode::NOT_FOUND)?;
            let block = content.blocks().get(&cid).await.unwrap();
            let block = block.ok_or(StatusCode::NOT_FOUND)?;
            Ok::<_, StatusCode>(block.to_vec())
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/api/v0/block/get", axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The newest manifest, and its CID.
async fn manifest(instance: &Instance) -> (Manifest, Cid) {
    let app = &instance.app;
    let newest = publication::latest(&app.db, State::Stored).await.unwrap();
    let root: Cid = newest.unwrap().reference.parse().unwrap();
    let bytes = app.content.blocks().get(&root).await.unwrap().unwrap();
    (from_dag_cbor(&bytes).unwrap(), root)
}

#[sqlx::test]
async fn what_was_published_and_is_not_there_is_put_again(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let (other, _dir) = empty(&instance);
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let round = scrubber.round(&app.db, &other, app.process);
    round.await.unwrap();
    let all = publication::after(&app.db, State::Stored, 0, 10)
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    for stored in all {
        let root = stored.reference.parse().unwrap();
        let bytes = other
            .blocks()
            .get(&root)
            .await
            .unwrap()
            .expect("a manifest");
        let manifest: Manifest = from_dag_cbor(&bytes).unwrap();
        let links = manifest.entries.iter().chain(manifest.tiles.values());
        for cid in links.chain([&manifest.checkpoint]) {
            assert!(other.blocks().get(cid).await.unwrap().is_some(), "{cid}");
        }
    }
    // No disk is known to have changed anything: the data directory may be new.
    assert_eq!(incidents(&pool).await, Vec::<Value>::new());
}

#[sqlx::test]
async fn what_a_read_found_changed_is_told_though_it_is_right_again(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let entry = follow::sealed(&app.db, 3, 1).await.unwrap().remove(0);
    let cid: Cid = entry.cid.parse().unwrap();
    flip_block(&instance, &entry.body);
    assert!(app.content.blocks().get(&cid).await.is_err());
    let again = [(cid, entry.body)];
    app.content.blocks().put_many(&again).await.unwrap();
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    for _ in 0..2 {
        scrub(&instance, &scrubber).await;
        let told = incidents(&pool).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["from"], "another copy");
    }
}

#[sqlx::test]
async fn a_tile_and_a_manifest_on_a_bad_disk_are_made_again_from_the_journal(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let (manifest, root) = manifest(&instance).await;
    let lost: Vec<Cid> = manifest
        .tiles
        .into_values()
        .chain([root, manifest.checkpoint])
        .collect();
    for cid in &lost {
        let bytes = app.content.blocks().get(cid).await.unwrap().unwrap();
        flip_block(&instance, &bytes);
    }
    scrub(&instance, &scrubber).await;
    let told = incidents(&pool).await;
    assert_eq!(told.len(), lost.len(), "{told:?}");
    assert!(
        told.iter().all(|told| told["from"] == "the journal"),
        "{told:?}"
    );
    for cid in &lost {
        assert!(
            app.content.blocks().get(cid).await.unwrap().is_some(),
            "{cid}"
        );
        let named = told
            .iter()
            .any(|told| told["what"].as_str().unwrap().contains(&cid.to_string()));
        assert!(named, "{cid}: {told:?}");
    }
    scrub(&instance, &scrubber).await;
    assert_eq!(incidents(&pool).await.len(), lost.len());
}

#[sqlx::test]
async fn a_block_of_the_layout_on_a_bad_disk_is_made_again_from_the_journal(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let builder = layout::Builder::default();
    let grow = || builder.round(&app.db, &app.content, &app.name_key, app.process);
    while grow().await.unwrap() == Outcome::Busy {}
    let root = layout::find(&app.db).await.unwrap().unwrap().root;
    let agent = AgentId::of_did("did:x:7").to_string();
    let path = ["dukenet", "agents", &agent, "registration"].map(str::to_owned);
    let file = app.content.local(&root, &path).await.unwrap();
    // The registration itself, and the directory that leads to all of them.
    for lost in [kernel::cid_of_raw(&file.bytes), root] {
        let bytes = app.content.blocks().get(&lost).await.unwrap().unwrap();
        flip_block(&instance, &bytes);
    }
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    scrub(&instance, &scrubber).await;
    let again = app.content.local(&root, &path).await.unwrap();
    assert_eq!(again.bytes, file.bytes);
    let told = incidents(&pool).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().all(|told| told["from"] == "the journal"),
        "{told:?}"
    );
}

#[sqlx::test]
async fn who_does_not_publish_makes_again_too_what_its_disk_changed(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let (manifest, root) = manifest(&instance).await;
    let tile = *manifest.tiles.values().next().unwrap();
    for lost in [tile, root, manifest.checkpoint] {
        let bytes = app.content.blocks().get(&lost).await.unwrap().unwrap();
        flip_block(&instance, &bytes);
        // Another process has the lease.
        let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
        let round = scrubber.round(&app.db, &app.content, Uuid::from_u128(77));
        round.await.unwrap();
        assert!(app.content.blocks().get(&lost).await.unwrap().is_some());
    }
    let told = incidents(&pool).await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.iter().all(|told| told["from"] == "the journal"),
        "{told:?}"
    );
}

#[sqlx::test]
async fn an_archived_entry_that_nobody_has_is_told_once_and_stops_nothing(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let entries = follow::sealed(&app.db, 0, 1_000).await.unwrap();
    sqlx::query("SELECT journal.archive(100, 'stored')")
        .execute(&pool)
        .await
        .unwrap();
    flip_block(&instance, &entries[5].body);
    flip_body(&pool, 200).await;
    flip_body(&pool, 280).await;
    // Each time another process, with nothing in mind.
    for _ in 0..3 {
        let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
        scrub(&instance, &scrubber).await;
    }
    let told = incidents(&pool).await;
    let about = |words: &str| {
        let about = told
            .iter()
            .filter(|told| told["what"].as_str().unwrap().contains(words));
        about.map(|told| told["healed"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        about(&format!("the block {}", entries[5].cid)),
        [json!(false)]
    );
    assert_eq!(
        about(&format!("the entry {}", entries[5].cid)),
        [json!(false)]
    );
    assert_eq!(about("leaf 200"), [json!(true)]);
    assert_eq!(about("leaf 280"), [json!(true)]);
    assert_eq!(told.len(), 4, "{told:?}");
}

#[sqlx::test]
async fn what_the_database_refuses_for_now_is_not_called_damage(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let impatient = (*pool.connect_options()).clone();
    let impatient = impatient.options([("lock_timeout", "20ms")]);
    let impatient = PgPoolOptions::new().connect_with(impatient).await.unwrap();
    let db = Db::from_pool(impatient, app.db.clock().clone());
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE journal.leaves IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    for _ in 0..2 {
        let round = scrubber.round(&db, &app.content, app.process);
        let error = round.await.expect_err("the leaves are locked");
        assert!(error.to_string().contains("lock timeout"), "{error}");
    }
    lock.rollback().await.unwrap();
    assert_eq!(incidents(&pool).await, Vec::<Value>::new());
    scrubber
        .round(&db, &app.content, app.process)
        .await
        .unwrap();
}

#[sqlx::test]
async fn what_another_process_puts_right_meanwhile_is_not_called_lost(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let body = follow::sealed(&app.db, 7, 1).await.unwrap().remove(0).body;
    flip_body(&pool, 7).await;
    // Whoever is asked for the block puts the row right, and has no block.
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (other, _dir) = with_gateway(&instance, gateway.local_addr().unwrap());
    let db = app.db.clone();
    let answering = tokio::spawn(async move {
        let (mut socket, _) = gateway.accept().await.unwrap();
        let asked = socket.read(&mut [0; 4_096]).await.unwrap();
        assert!(asked > 0);
        let mut tx = db.begin(Cause::Job("test")).await.unwrap();
        assert!(heal_body(&mut tx, 7, &body).await.unwrap());
        tx.commit().await.unwrap();
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        socket.write_all(answer).await.unwrap();
    });
    // It does not publish, so it looks at the journal alone.
    let holder = Uuid::from_u128(77);
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    scrubber.round(&app.db, &other, holder).await.unwrap();
    answering.await.unwrap();
    assert_eq!(incidents(&pool).await, Vec::<Value>::new());
}

/// A gateway that says of everything that it is not there, and how often it was asked.
async fn gateway_without_anything() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            if socket
                .read(&mut [0; 4_096])
                .await
                .is_ok_and(|read| read > 0)
            {
                count.fetch_add(1, SeqCst);
                let answer =
                    "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (address, asked)
}

#[sqlx::test]
async fn of_many_lost_blocks_a_round_asks_for_some_alone(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let (address, asked) = gateway_without_anything().await;
    let (other, _dir) = with_gateway(&instance, address);
    let blocks: Vec<(Cid, Vec<u8>)> = (0..100_u8)
        .map(|n| (kernel::cid_of_raw(&[n; 50]), vec![n; 50]))
        .collect();
    other.blocks().put_many(&blocks).await.unwrap();
    for (_, bytes) in &blocks {
        flip_in(other.blocks().dir(), bytes);
    }
    let holder = Uuid::from_u128(77);
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let mut rounds = 0;
    loop {
        let before = asked.load(SeqCst);
        scrubber.round(&app.db, &other, holder).await.unwrap();
        let now = asked.load(SeqCst);
        assert!(now - before < 40, "{} questions in a round", now - before);
        rounds += 1;
        if incidents(&pool).await.len() == blocks.len() {
            break;
        }
        assert!(rounds < 20, "{now} questions");
    }
}

#[sqlx::test]
async fn what_a_source_that_is_down_may_have_is_not_called_lost(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let entries = follow::sealed(&app.db, 0, 1_000).await.unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let (other, _dir) = with_gateway(&instance, nobody);
    sqlx::query("SELECT journal.archive(100, 'stored')")
        .execute(&pool)
        .await
        .unwrap();
    flip_body(&pool, 280).await;
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let db = app.db.clone().with_archive(store::Archive::default());
    for _ in 0..2 {
        scrubber.round(&db, &other, app.process).await.unwrap();
        assert_eq!(incidents(&pool).await, Vec::<Value>::new());
    }
    // Once it says that it has it not, or has it, more is known: here our own blocks are back.
    for entry in &entries {
        let block = (entry.cid.parse().unwrap(), entry.body.clone());
        other.blocks().put_many(&[block]).await.unwrap();
    }
    scrubber.round(&db, &other, app.process).await.unwrap();
    let told = incidents(&pool).await;
    assert_eq!(
        (told.len(), &told[0]["healed"]),
        (1, &json!(true)),
        "{told:?}"
    );
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

/// Its own blockstore is empty, as behind a lost disk: who else keeps the journal's blocks gives them back.
#[sqlx::test]
async fn a_bit_in_a_row_is_put_right_by_a_gateway_that_has_the_block(pool: PgPool) {
    let instance = published(&pool).await;
    let app = &instance.app;
    let (url, asked) = gateway(app.content.clone()).await;
    let address = url.trim_start_matches("http://").parse().unwrap();
    let (other, _dir) = with_gateway(&instance, address);
    let entries = follow::sealed(&app.db, 0, 1_000).await.unwrap();
    flip_body(&pool, 7).await;
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let round = scrubber.round(&app.db, &other, Uuid::from_u128(77));
    round.await.unwrap();
    let told = incidents(&pool).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["healed"], &told[0]["from"]),
        (&json!(true), &json!("a gateway"))
    );
    assert!(asked.lock().unwrap().contains(&entries[7].cid));
    assert_eq!(follow::sealed(&app.db, 0, 1_000).await.unwrap(), entries);
}

/// Neither is there another copy of the row, nor does the journal have the block, which is no entry.
#[sqlx::test]
async fn a_bit_in_a_row_or_in_a_pack_that_kubo_put_right_is_said_to_be_from_kubo(pool: PgPool) {
    let instance = published(&pool).await;
    let app = &instance.app;
    let config = content::Config {
        kubo_url: Some(kubo(app.content.clone()).await),
        ..app.config.content.clone()
    };
    let (other, _dir) = opened(&instance, &config);
    let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
    let holder = Uuid::from_u128(77);
    let entries = follow::sealed(&app.db, 0, 1_000).await.unwrap();
    flip_body(&pool, 7).await;
    scrubber.round(&app.db, &other, holder).await.unwrap();
    assert_eq!(follow::sealed(&app.db, 0, 1_000).await.unwrap(), entries);

    let (_, root) = manifest(&instance).await;
    let bytes = app.content.blocks().get(&root).await.unwrap().unwrap();
    let block = [(root, bytes.clone())];
    other.blocks().put_many(&block).await.unwrap();
    flip_in(other.blocks().dir(), &bytes);
    scrubber.round(&app.db, &other, holder).await.unwrap();
    assert_eq!(other.blocks().get(&root).await.unwrap().unwrap(), bytes);
    let told = incidents(&pool).await;
    let things = ["leaf 7".to_owned(), root.to_string()];
    assert_eq!(told.len(), things.len(), "{told:?}");
    for (told, thing) in told.iter().zip(&things) {
        assert_eq!(
            (&told["healed"], &told["from"]),
            (&json!(true), &json!("Kubo"))
        );
        assert!(told["what"].as_str().unwrap().contains(thing), "{told}");
    }
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
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(
        told[2..].iter().all(|told| told["healed"] == true),
        "{told:?}"
    );
    assert_eq!(follow::sealed(&app.db, 0, 1_000).await.unwrap(), entries);
    let listed = "SELECT count(*) FROM publish.damages";
    let listed: i64 = sqlx::query_scalar(listed).fetch_one(&pool).await.unwrap();
    assert_eq!(listed, 0);
    // Lost once more, it is told once more.
    flip_body(&pool, 5).await;
    flip_block(&instance, &entries[5].body);
    scrub(&instance, &scrubber).await;
    let told = incidents(&pool).await;
    assert_eq!(told.len(), 6, "{told:?}");
}

#[sqlx::test]
async fn what_two_processes_lost_is_told_of_both(pool: PgPool) {
    let instance = many_published(&pool).await;
    let app = &instance.app;
    let block = (kernel::cid_of_raw(&[7; 50]), vec![7; 50]);
    let (other, _dir) = empty(&instance);
    for (content, holder) in [(&app.content, app.process), (&other, Uuid::from_u128(77))] {
        let put = content.blocks().put_many(std::slice::from_ref(&block));
        put.await.unwrap();
        flip_in(content.blocks().dir(), &block.1);
        let scrubber = Scrubber::new(app.sealer.vkey().clone(), 100);
        for _ in 0..2 {
            scrubber.round(&app.db, content, holder).await.unwrap();
        }
    }
    let told = incidents(&pool).await;
    assert_eq!(told.len(), 2, "{told:?}");
}
