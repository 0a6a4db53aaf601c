//! The DukeNET layout under the journal's name, read without Kubo. `tests/kubo.rs` reads it with one.

use ::journal::{Change, NewEntry};
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta};
use content::Content;
use kernel::AgentId;
use publish::layout::{self, Builder, Layout};
use serde_json::{Value, json};
use sqlx::PgPool;
use store::{Cause, Clock, Db, Outcome};

use super::kit::Instance;

/// Brings everything that is sealed into the layout, with the blocks of `content`.
async fn grow(instance: &Instance, content: &Content) -> Layout {
    let (app, builder) = (&instance.app, Builder::default());
    while builder
        .round(&app.db, content, &app.name_key, app.process)
        .await
        .unwrap()
        == Outcome::Busy
    {}
    layout::find(&app.db).await.unwrap().unwrap()
}

/// Appends and seals the first entries of these agents.
async fn say(instance: &Instance, agents: std::ops::Range<u32>) {
    let entries = agents.map(|number| {
        let change = Change {
            column: "name".to_owned(),
            value: json!(number.to_string()),
            cause: format!("act:{number}"),
            time: DateTime::UNIX_EPOCH,
        };
        NewEntry::agent(AgentId::of_did(&format!("did:x:{number}")), vec![change])
    });
    let mut tx = instance.app.db.begin(Cause::Job("test")).await.unwrap();
    ::journal::append(&mut tx, entries.collect()).await.unwrap();
    tx.commit().await.unwrap();
    instance.seal().await;
}

#[sqlx::test]
async fn a_registration_is_found_under_the_journals_name(pool: PgPool) {
    let instance = Instance::with_mainnet(&pool).await;
    instance.seal().await;
    let name = instance.app.name_key.name().unwrap().to_string();
    for early in ["/ipns", &format!("/ipns/{name}")] {
        assert_eq!(instance.get(early).await.status, StatusCode::NOT_FOUND);
    }
    let published = grow(&instance, &instance.app.content).await;
    let named = instance.get("/ipns").await.json();
    assert_eq!(named["name"], name);
    assert_eq!(named["root"], published.root.to_string());
    assert_eq!(instance.get(&format!("/ipns/{name}")).await.json(), named);

    let agent = instance.get("/v1/agents/1:1").await.json();
    let id = agent["id"].as_str().unwrap();
    let place = format!("dukenet/agents/{id}/registration");
    let found = instance.get(&format!("/ipns/{name}/{place}")).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text());
    assert_eq!(found.header("cache-control"), "public, max-age=60");
    let by_cid = instance
        .get(&format!("/ipfs/{}/{place}", published.root))
        .await;
    assert_eq!(by_cid.body, found.body);
    let registration = found.json();
    assert_eq!(registration["agent"], id);
    assert_eq!(registration["public_key"], Value::Null);
    assert_eq!(registration["signature"], Value::Null);
    let said = &registration["initial_metadata"];
    assert!(said["owner_address"].is_string(), "{registration}");
    assert_eq!(said["runtime_status"], "ACTIVE");
    let first = instance.items("/v1/agents/1:1/entries").await;
    let first = first.last().unwrap();
    assert_eq!(registration["entry"], first["cid"]);
    assert_eq!(registration["leaf"], first["leaf_index"]);
    assert_eq!(registration["timestamp"], first["entry"]["changes"][0][3]);

    for nothing in [
        format!("/ipns/{name}/dukenet/agents/nobody/registration"),
        format!("/ipns/{name}/dukenet/tasks"),
        format!("/ipfs/{}/x", published.root),
        "/ipns/k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w".to_owned(),
    ] {
        let answer = instance.get(&nothing).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nothing}");
    }
    for wrong in ["/ipns/x", "/ipns/%00", &format!("/ipns/{name}?format=car")] {
        let answer = instance.get(wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let record = instance
        .get(&format!("/ipns/{name}?format=ipns-record"))
        .await;
    let kind = "application/vnd.ipfs.ipns-record";
    assert_eq!(record.header("content-type"), kind);
    assert_eq!(record.body, published.record);
    let path = format!("/ipns/{name}");
    let accepted = instance.get_as(&path, "accept", kind).await;
    assert_eq!(accepted.body, published.record);
}

#[sqlx::test]
async fn one_more_agent_among_many_costs_its_path_alone(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let content = &instance.app.content;
    say(&instance, 0..5_000).await;
    let all = grow(&instance, content).await;
    let before = content.blocks().len();
    say(&instance, 5_000..5_001).await;
    let more = grow(&instance, content).await;
    // File, own directory, three levels of the trie, the two directories above it.
    assert!(content.blocks().len() - before <= 7);
    assert_ne!(more.root, all.root);
    assert_eq!((all.size, more.size), (5_000, 5_001), "their sequences");
    // What registers nobody changes nothing.
    let mut tx = instance.app.db.begin(Cause::Job("test")).await.unwrap();
    let particulars = Change {
        column: "what".to_owned(),
        value: json!("nothing"),
        cause: "test".to_owned(),
        time: DateTime::UNIX_EPOCH,
    };
    let incident = NewEntry::incident(vec![particulars]);
    ::journal::append(&mut tx, vec![incident]).await.unwrap();
    tx.commit().await.unwrap();
    instance.seal().await;
    assert_eq!(grow(&instance, content).await, more);
}

#[sqlx::test]
async fn the_layout_follows_from_the_log_also_where_its_blocks_are_lost(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let app = &instance.app;
    let other = tempfile::tempdir().unwrap();
    let fetcher = net::Fetcher::new(&app.config.net).unwrap();
    let (empty, _) = Content::open(&app.config.content, other.path(), fetcher).unwrap();
    say(&instance, 0..300).await;
    grow(&instance, &app.content).await;
    say(&instance, 300..600).await;
    let lost = grow(&instance, &empty).await;
    let path = |number: u32| {
        let id = AgentId::of_did(&format!("did:x:{number}")).to_string();
        [
            "dukenet".to_owned(),
            "agents".to_owned(),
            id,
            "registration".to_owned(),
        ]
    };
    for number in [0, 299, 300, 599] {
        let file = empty.local(&lost.root, &path(number)).await.unwrap();
        let registration: Value = serde_json::from_slice(&file.bytes).unwrap();
        assert_eq!(registration["initial_metadata"]["name"], number.to_string());
    }
    // In portions, with all blocks at hand, it is the same.
    sqlx::query("DELETE FROM publish.layout")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("DELETE FROM store.cursors WHERE name = 'journal/layout'")
        .execute(&pool)
        .await
        .unwrap();
    let again = grow(&instance, &app.content).await;
    assert_eq!((again.root, again.size), (lost.root, lost.size));
}

#[sqlx::test]
async fn a_root_of_an_earlier_version_that_nobody_has_is_replaced(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let app = &instance.app;
    say(&instance, 0..20).await;
    let ours = grow(&instance, &app.content).await;
    let gone = kernel::cid_of_raw(b"as an earlier version made it").to_string();
    sqlx::query("UPDATE publish.layout SET root = $1, agents_root = $1")
        .bind(&gone)
        .execute(&pool)
        .await
        .unwrap();
    let again = grow(&instance, &app.content).await;
    assert_eq!((again.root, again.size), (ours.root, ours.size));
    // Readers take the record that is valid for longer.
    assert!(again.valid_until > ours.valid_until);
    assert_ne!(again.record, ours.record);
}

#[sqlx::test]
async fn a_record_is_signed_again_before_it_ends(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let app = &instance.app;
    say(&instance, 0..1).await;
    let first = grow(&instance, &app.content).await;
    let tell = async |hours: i64| {
        let at = first.valid_until - TimeDelta::hours(48) + TimeDelta::hours(hours);
        let db = Db::from_pool(pool.clone(), Clock::manual(at));
        while layout::tell(&db, &app.content, &app.name_key, app.process)
            .await
            .unwrap()
            == Outcome::Busy
        {}
        layout::find(&db).await.unwrap().unwrap()
    };
    assert_eq!(tell(23).await, first);
    let second = tell(25).await;
    assert_eq!(second.valid_until, first.valid_until + TimeDelta::hours(25));
    assert_eq!((second.root, second.size), (first.root, first.size));
    assert_ne!(second.record, first.record);
}
