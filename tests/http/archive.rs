//! Archived entries: their bodies have left the database, and everything reads as before.

use ::journal::{Entry, NewEntry, Owed, bundle, read, settle, tile::decode_bundle};
use axum::http::StatusCode;
use kernel::{AgentId, Limit};
use publish::layout;
use sqlx::PgPool;
use store::{Archive, Cause, Outcome};

use super::kit::{Instance, TOKEN};

async fn published(pool: &PgPool) -> (Instance, i64) {
    let instance = Instance::with_mainnet(pool).await;
    let size = publish(&instance).await;
    (instance, size)
}

/// Seals all, and stores it as blocks; gives how many entries there are.
async fn publish(instance: &Instance) -> i64 {
    instance.seal().await;
    let app = &instance.app;
    while publish::mirror(&app.db, &app.content, app.process)
        .await
        .unwrap()
        == Outcome::Busy
    {}
    let size = ::journal::log::head(&app.db).await.unwrap().unwrap().size;
    i64::try_from(size).unwrap()
}

async fn archive(pool: &PgPool, below: i64, state: &str) -> Result<i64, String> {
    let archived = sqlx::query_scalar::<_, i64>("SELECT journal.archive($1, $2)")
        .bind(below)
        .bind(state)
        .fetch_one(pool)
        .await;
    archived.map_err(|error| store::Error::from(error).to_string())
}

async fn in_rows(pool: &PgPool) -> i64 {
    let count = "SELECT count(*) FROM journal.entries WHERE body IS NOT NULL";
    sqlx::query_scalar(count).fetch_one(pool).await.unwrap()
}

#[sqlx::test]
async fn entries_read_as_before_once_their_bodies_are_archived(pool: PgPool) {
    let (instance, size) = published(&pool).await;
    let agent = instance.items("/v1/agents/1:1/entries").await;
    let entry = format!("/v1/entries/{}", agent[0]["cid"].as_str().unwrap());
    let places = [
        entry.clone(),
        format!("{entry}/proof"),
        format!("/audit/tile/entries/000.p/{size}"),
        "/v1/agents/1:1/entries".to_owned(),
        "/v1/entries".to_owned(),
        "/v1/sync/digest".to_owned(),
    ];
    // Digests are the operator's.
    let bearer = format!("Bearer {TOKEN}");
    let ask = async |place: &str| instance.get_as(place, "authorization", &bearer).await;
    let mut before = Vec::new();
    for place in &places {
        let answer = ask(place).await;
        assert_eq!(answer.status, StatusCode::OK, "{place}");
        before.push(answer.body);
    }
    assert_eq!(archive(&pool, size, "stored").await, Ok(size));
    assert_eq!(in_rows(&pool).await, 0);
    assert_eq!(
        archive(&pool, size, "stored").await,
        Ok(0),
        "nothing is left"
    );
    for (place, before) in places.iter().zip(&before) {
        let answer = ask(place).await;
        assert_eq!(&answer.body, before, "{place}: {}", answer.text());
    }
    let proof = std::str::from_utf8(&before[1]).unwrap();
    bundle::verify(proof, None).unwrap();
    for body in decode_bundle(&before[2]).unwrap() {
        Entry::parse(body).unwrap();
    }
    // A follower that begins now reads all of them.
    let app = &instance.app;
    let (builder, key) = (layout::Builder::default(), &app.name_key);
    while builder
        .round(&app.db, &app.content, key, app.process)
        .await
        .unwrap()
        == Outcome::Busy
    {}
    assert!(layout::find(&app.db).await.unwrap().is_some());
}

/// What is retracted later is read from the archive, in the middle of a transaction.
#[sqlx::test]
async fn what_archived_entries_said_can_be_retracted(pool: PgPool) {
    let (instance, size) = published(&pool).await;
    archive(&pool, size, "stored").await.unwrap();
    let id = instance.get("/v1/agents/1:1").await.json()["id"].clone();
    let agent = AgentId(id.as_str().unwrap().parse().unwrap());
    let app = &instance.app;
    let mut tx = app.db.begin(Cause::Job("test")).await.unwrap();
    let owed = [Owed {
        agent,
        changes: &[],
    }];
    let entries = settle(&mut tx, &owed).await.unwrap().entries;
    assert_eq!(entries.len(), 1);
    ::journal::append(&mut tx, entries).await.unwrap();
    tx.commit().await.unwrap();
    let page = read::by_agent(&app.db, agent, None, Limit::default())
        .await
        .unwrap();
    let (retraction, first) = (&page.items[0], page.items.last().unwrap());
    assert_eq!(retraction.entry.said.len(), retraction.entry.changes.len());
    assert!(retraction.entry.changes.contains(&first.entry.changes[0]));
}

/// An agent of whom something is to be taken back that nobody gives now waits, and nobody else with it.
#[sqlx::test]
async fn an_archived_body_that_nobody_gives_holds_up_its_agent_alone(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let app = &instance.app;
    let agents = instance.items("/v1/agents?limit=2").await;
    let id = |at: usize| AgentId(agents[at]["id"].as_str().unwrap().parse().unwrap());
    let (waits, other) = (id(0), id(1));
    let owed_by_nobody = ::journal::Change {
        column: "name".to_owned(),
        value: "x".into(),
        cause: "act:1".to_owned(),
        time: chrono::DateTime::UNIX_EPOCH,
    };
    let said = NewEntry::agent(waits, vec![owed_by_nobody.clone()]);
    let mut tx = app.db.begin(Cause::Job("test")).await.unwrap();
    ::journal::append(&mut tx, vec![said]).await.unwrap();
    tx.commit().await.unwrap();
    let size = publish(&instance).await;
    archive(&pool, size, "stored").await.unwrap();
    let edit = sqlx::query("UPDATE identity.agents SET category = 'new' WHERE id = $1");
    edit.bind(other.0).execute(&pool).await.unwrap();
    let all =
        "INSERT INTO identity.dirty (agent_id, refold) SELECT id, true FROM identity.subjects";
    sqlx::query(all).execute(&pool).await.unwrap();
    let nobody = Archive::new(|_, _| async { Err("nobody has it".to_owned()) });
    let db = app.db.clone().with_archive(nobody);
    let last = loop {
        match identity::dirty::sweep(&db).await {
            Ok(Outcome::Busy) => {}
            last => break last,
        }
    };
    assert!(matches!(last, Err(identity::Error::PutOff(1))), "{last:?}");
    let new = "SELECT agent_id FROM journal.entries WHERE body IS NOT NULL";
    let new: Vec<uuid::Uuid> = sqlx::query_scalar(new).fetch_all(&pool).await.unwrap();
    assert_eq!(new, [other.0]);

    // It is there again.
    while identity::dirty::sweep(&app.db).await.unwrap() == Outcome::Busy {}
    let page = read::by_agent(&app.db, waits, None, Limit::default());
    let newest = page.await.unwrap().items.remove(0).entry;
    assert_eq!(newest.changes, [owed_by_nobody]);
    assert_eq!(newest.said.len(), 1);
}

#[sqlx::test]
async fn only_what_is_published_is_archived_and_by_the_owner_alone(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    let all = in_rows(&pool).await;
    let refused = |result: Result<i64, String>, why: &str| {
        let error = result.expect_err(why);
        assert!(error.contains(why), "{error}");
    };
    refused(archive(&pool, 1, "pinned").await, "the first 0 are pinned");
    refused(archive(&pool, 1, "sealed").await, "stored or pinned");
    instance.seal().await;
    refused(archive(&pool, 1, "stored").await, "the first 0 are stored");
    let early = sqlx::query("UPDATE journal.entries SET body = NULL")
        .execute(&pool)
        .await;
    let early = early.map(|done| done.rows_affected().cast_signed());
    let early = early.map_err(|error| store::Error::from(error).to_string());
    refused(early, "not stored as a block yet");
    let app = &instance.app;
    while publish::mirror(&app.db, &app.content, app.process)
        .await
        .unwrap()
        == Outcome::Busy
    {}
    refused(
        archive(&pool, 1, "pinned").await,
        "asks for our own blockstore alone",
    );
    refused(
        archive(&pool, all + 1, "stored").await,
        "cannot be archived",
    );
    assert_eq!(in_rows(&pool).await, all, "a refusal archives nothing");
    assert_eq!(archive(&pool, 5, "stored").await, Ok(5));
    assert_eq!(in_rows(&pool).await, all - 5);
    let first = "seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 0)";
    for (statement, why) in [
        (
            "UPDATE journal.entries SET body = 'x' WHERE".to_owned(),
            "do not hash to its leaf",
        ),
        (
            "UPDATE journal.entries SET kind = 'act' WHERE".to_owned(),
            "insert-only",
        ),
        (
            "UPDATE journal.entries SET body = NULL, cid = 'x' WHERE".to_owned(),
            "insert-only",
        ),
        (
            "DELETE FROM journal.entries WHERE".to_owned(),
            "insert-only",
        ),
    ] {
        let whole = sqlx::AssertSqlSafe(format!("{statement} {first}"));
        let error = sqlx::raw_sql(whole).execute(&pool).await;
        let error = store::Error::from(error.expect_err("refused")).to_string();
        assert!(error.contains(why), "{statement}: {error}");
    }
    // What hashes to the leaf may come back.
    let cid: String =
        sqlx::query_scalar("SELECT cid FROM journal.entries WHERE body IS NULL LIMIT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    let body = app.content.block(&cid.parse().unwrap()).await.unwrap();
    sqlx::query("UPDATE journal.entries SET body = $1 WHERE cid = $2")
        .bind(&body[..])
        .bind(&cid)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(in_rows(&pool).await, all - 4);
    let may = "SELECT has_function_privilege('public', 'journal.archive(bigint, text)', 'EXECUTE')";
    let may: bool = sqlx::query_scalar(may).fetch_one(&pool).await.unwrap();
    assert!(!may);
}

#[sqlx::test]
async fn an_archived_entry_that_no_blockstore_has_is_not_there_now(pool: PgPool) {
    let (instance, size) = published(&pool).await;
    archive(&pool, size, "stored").await.unwrap();
    let cid = instance.items("/v1/entries").await[0]["cid"].clone();
    let packs = std::fs::read_dir(instance.app.content.blocks().dir()).unwrap();
    for pack in packs.map(|pack| pack.unwrap().path()) {
        if pack.extension().is_some_and(|kind| kind == "pack") {
            let mut bytes = std::fs::read(&pack).unwrap();
            for byte in &mut bytes {
                *byte ^= 1;
            }
            std::fs::write(&pack, bytes).unwrap();
        }
    }
    let answer = instance
        .get(&format!("/v1/entries/{}", cid.as_str().unwrap()))
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().contains("archived"), "{}", answer.text());

    // The feed goes on, and says of which ones it does not know what they say.
    let archived = usize::try_from(size).unwrap();
    let app = &instance.app;
    let mut tx = app.db.begin(Cause::Job("test")).await.unwrap();
    let entry = NewEntry::act(vec![::journal::Change {
        column: "x".to_owned(),
        value: 1.into(),
        cause: "act:1".to_owned(),
        time: chrono::DateTime::UNIX_EPOCH,
    }]);
    ::journal::append(&mut tx, vec![entry]).await.unwrap();
    tx.commit().await.unwrap();
    instance.seal().await;
    let items = instance.items("/v1/changes?limit=200").await;
    assert_eq!(items.len(), archived + 1);
    for (leaf, item) in items.iter().enumerate() {
        let is_there = leaf == archived;
        let says = item["changes"].as_array().unwrap();
        assert_eq!(
            (item["leaf_index"].as_u64(), says.is_empty()),
            (Some(leaf as u64), !is_there)
        );
        assert_eq!(item["body"] == "unavailable", !is_there);
        assert_eq!(
            item["agent"].is_null(),
            is_there,
            "whom it is about is known"
        );
    }
    let agents = instance.items("/v1/changes?kind=agent&agent=1:1").await;
    assert_eq!(agents[0]["body"], "unavailable");
    let atom = instance.get("/v1/changes.atom?limit=200").await;
    assert!(atom.text().contains("its body is not to be had now"));
}
