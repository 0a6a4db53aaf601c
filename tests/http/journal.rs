//! The journal as others verify it: checkpoint, tiles, bundles, proofs.

use ::journal::{
    Entry, bundle,
    checkpoint::Checkpoint,
    note::Note,
    tile::decode_bundle,
    tree::{Hash, leaf_hash},
    vkey::VerifierKey,
};
use axum::http::StatusCode;
use chancery::{config::Flag, working};
use kernel::sha256_pair;
use sqlx::PgPool;
use store::Outcome;

use super::kit::{Instance, TOKEN, recording};

/// RFC 6962, written down once more and without tiles.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => kernel::sha256(b""),
        [leaf] => *leaf,
        many => {
            let split = many.len().next_power_of_two() / 2;
            sha256_pair(1, &root(&many[..split]), &root(&many[split..]))
        }
    }
}

#[sqlx::test]
async fn checkpoint_tiles_and_bundles_agree(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    assert_eq!(
        instance.get("/audit/checkpoint").await.status,
        StatusCode::NOT_FOUND
    );
    instance.seal().await;
    let vkey: VerifierKey = instance
        .get("/audit/vkey")
        .await
        .text()
        .trim_end()
        .parse()
        .unwrap();
    let answer = instance.get("/audit/checkpoint").await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "public, max-age=1");
    let note = Note::parse(answer.text()).unwrap();
    note.verify(std::slice::from_ref(&vkey)).unwrap();
    let head = Checkpoint::parse(note.text()).unwrap();
    assert_eq!(head.origin, vkey.name());
    assert!(
        (92..256).contains(&head.size),
        "one partial tile: {}",
        head.size
    );

    let tile = instance
        .get(&format!("/audit/tile/0/000.p/{}", head.size))
        .await;
    assert_eq!(tile.status, StatusCode::OK);
    assert_eq!(tile.header("content-type"), "application/octet-stream");
    assert_eq!(
        tile.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    let leaves: Vec<Hash> = tile
        .body
        .chunks(32)
        .map(|hash| hash.try_into().unwrap())
        .collect();
    assert_eq!(root(&leaves), head.root);

    let bundle = instance
        .get(&format!("/audit/tile/entries/000.p/{}", head.size))
        .await;
    let entries = decode_bundle(&bundle.body).unwrap();
    let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(hashes, leaves);
    for entry in entries {
        Entry::parse(entry).unwrap();
    }

    let narrow = instance.get("/audit/tile/0/000.p/7").await;
    assert_eq!(narrow.body, tile.body[..7 * 32]);
    for path in [
        "0/000",
        "0/001.p/1",
        "1/000.p/1",
        "0/000.p/0",
        "0/0",
        "entries/000",
        "8/000",
        "64/000",
    ] {
        let answer = instance.get(&format!("/audit/tile/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let wide = instance
        .get(&format!("/audit/tile/0/000.p/{}", head.size + 1))
        .await;
    assert_eq!(wide.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn entries_are_listed_shown_and_proven(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let of_agent = instance.items("/v1/agents/1:1/entries").await;
    let entry = &of_agent[0];
    assert_eq!(entry["state"], "queued");
    assert_eq!(entry["kind"], "agent");
    let cid = entry["cid"].as_str().unwrap();
    // What is shown is the entry: its JSON encodes to the bytes that the CID names.
    let bytes = kernel::to_dag_cbor(&entry["entry"]).unwrap();
    assert_eq!(kernel::cid_of_dag_cbor(&bytes).to_string(), cid);
    let path = format!("/v1/entries/{cid}");
    let early = instance.get(&format!("{path}/proof")).await;
    assert_eq!(early.status, StatusCode::CONFLICT);
    assert_eq!(early.json()["code"], "conflict");

    instance.seal().await;
    let shown = instance.get(&path).await.json();
    assert_eq!(shown["state"], "sealed");
    assert!(shown["leaf_index"].is_u64());
    let proof = instance.get(&format!("{path}/proof")).await;
    assert!(proof.header("content-type").starts_with("text/plain"));
    let vkey = instance.get("/audit/vkey").await;
    let verified = bundle::verify(proof.text(), Some(vkey.text().trim_end())).unwrap();
    assert_eq!(verified.cid, cid);

    let mut seen = 0;
    let mut next = Some("/v1/entries?limit=40".to_owned());
    let mut last = i64::MAX;
    while let Some(path) = next {
        let page = instance.get(&path).await.json();
        for entry in page["items"].as_array().unwrap() {
            let seq = entry["seq"].as_i64().unwrap();
            assert!(seq < last, "newest first");
            last = seq;
            seen += 1;
        }
        next = page["next_cursor"]
            .as_str()
            .map(|cursor| format!("/v1/entries?limit=40&cursor={cursor}"));
    }
    let size = instance.get("/v1/sync").await.json()["journal"]["size"]
        .as_u64()
        .unwrap();
    assert_eq!(seen, size);
}

#[sqlx::test]
async fn nobody_is_swept_and_nothing_is_fetched_while_the_journal_is_full(pool: PgPool) {
    let instance = Instance::with(&pool, &[Flag::new("journal.max_queued", 1)]).await;
    let dir = tempfile::tempdir().unwrap();
    instance.replay(&recording(dir.path())).await;
    let app = &instance.app;
    let jobs = async || {
        let jobs = "SELECT (SELECT count(*) FROM identity.dirty), (SELECT count(*) FROM store.jobs WHERE kind = 'fetch')";
        sqlx::query_as::<_, (i64, i64)>(jobs)
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    sqlx::query(
        "UPDATE identity.agents SET runtime_status = 'SLEEP' WHERE runtime_status = 'ACTIVE'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let before = jobs().await;
    assert!(before.0 > 0 && before.1 > 0, "{before:?}");
    assert_eq!(working::sweep(app).await.unwrap(), Outcome::Idle);
    assert_eq!(working::fetch(app).await.unwrap(), Outcome::Idle);
    assert_eq!(jobs().await, before);
    instance.seal().await;
    assert_eq!(working::fetch(app).await.unwrap(), Outcome::Busy);
    assert_eq!(working::sweep(app).await.unwrap(), Outcome::Busy);
    let after = jobs().await;
    assert!(after.0 == 0 && after.1 < before.1, "{after:?}");
}

#[sqlx::test]
async fn so_many_bundles_are_put_together_at_once(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.seal().await;
    let path = "/v1/agents/1:1/proof";
    let places = u32::try_from(chancery::http::PROOFS_AT_ONCE).unwrap();
    let taken = instance.app.proofs.try_acquire_many(places).unwrap();
    let refused = instance.get(path).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "5");
    let bearer = format!("Bearer {TOKEN}");
    let own = instance.get_as(path, "authorization", &bearer).await;
    assert_eq!(own.status, StatusCode::OK, "strangers took none of these");
    drop(taken);
    let given = instance.get(path).await;
    assert_eq!(given.status, StatusCode::OK, "{}", given.text());
    assert_eq!(
        instance.app.proofs.available_permits(),
        chancery::http::PROOFS_AT_ONCE
    );
}
