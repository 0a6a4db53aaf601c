//! An owner who watches: what a chain does to his agents, and what a reorganisation takes back, is told as it happens.

use content::Content;
use identity::{
    head::{self, Wanted},
    watch::{self, Alert, Target},
};
use indexer::Settling;
use kernel::{Limit, Span};
use net::Fetcher;
use sqlx::PgPool;
use store::{Cause, Outcome};

use crate::kit::{anvil::Chain, index::Index};

/// What is told behind a place of the feed: which alert, to what. Gives the place behind it.
async fn told(index: &Index, name: &str, after: u64) -> (Vec<String>, u64) {
    while head::order(&index.db).await.unwrap() == Outcome::Busy {}
    let targets = watch::targets(&index.db, "operator", name).await.unwrap();
    let wanted = Wanted {
        watch: Some(targets),
        ..Wanted::default()
    };
    let until = head::end(&index.db).await.unwrap();
    let span = Span {
        after,
        until,
        limit: Limit::new(200).unwrap(),
        newest: false,
    };
    let found = head::read(&index.db, &wanted, &span).await.unwrap();
    let words = found.items.iter().map(|change| {
        let alert = Alert::of(change).expect("only alerts").as_str();
        let value = change.value.as_str().unwrap_or("none");
        format!("{alert} {} {value}", change.what)
    });
    (words.collect(), until)
}

#[sqlx::test(migrations = "./migrations")]
async fn an_owner_watches_a_reorganisation_take_a_transfer_back(pool: PgPool) {
    let chain = Chain::start().await;
    let [alice, bob] = [chain.people[1], chain.people[2]];
    let mut index = Index::open(&pool, &chain, Settling::Depth(64)).await;
    index.catch_up().await;
    let mut tx = index.db.begin(Cause::Job("test")).await.unwrap();
    for (name, owner) in [("alice", alice), ("bob", bob)] {
        let given = owner.to_string();
        watch::add(&mut tx, "operator", name, Target::Owner(owner), &given)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();

    chain
        .send(chain.register(alice, "data:application/json,{\"name\":\"Watched\"}"))
        .await;
    index.catch_up().await;
    let (words, seen) = told(&index, "alice", 0).await;
    let owned = format!("new_agent owner_address {alice:#x}");
    assert!(words.contains(&owned), "{words:?}");
    assert!(
        words.contains(&"status runtime_status ACTIVE".to_owned()),
        "{words:?}"
    );

    let transfer = chain.transfer(alice, bob, 0);
    chain.send(transfer).await;
    index.catch_up().await;
    let moved = format!("owner_address {bob:#x}");
    let (words, sold) = told(&index, "alice", seen).await;
    assert!(words.contains(&format!("transfer {moved}")), "{words:?}");
    assert!(
        words
            .iter()
            .any(|word| word.starts_with("wallet agent_wallet")),
        "{words:?}"
    );
    let (words, _) = told(&index, "bob", seen).await;
    assert!(words.contains(&format!("transfer {moved}")), "{words:?}");

    // The block with the sale is replaced by one without it.
    chain.reorg(1, &[]).await;
    while index.round().await.unwrap() == Outcome::Busy {}
    for name in ["alice", "bob"] {
        let (words, _) = told(&index, name, sold).await;
        assert!(
            words.contains(&format!("retracted {moved}")),
            "{name}: {words:?}"
        );
    }
    let owners = index
        .list("SELECT owner_address FROM identity.agents")
        .await;
    assert_eq!(owners, [format!("{alice:#x}")]);

    // And what she does next is told as before.
    let (_, back) = told(&index, "alice", 0).await;
    chain.send(chain.says(alice, 0, 1, "resting")).await;
    chain
        .send(chain.uri(
            alice,
            0,
            "ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        ))
        .await;
    index.catch_up().await;
    let (words, _) = told(&index, "alice", back).await;
    assert!(
        words.contains(&"status runtime_status SLEEP".to_owned()),
        "{words:?}"
    );
    assert!(
        words
            .iter()
            .any(|word| word.starts_with("uri agent_uri ipfs://")),
        "{words:?}"
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn whoever_watches_hears_of_what_happened_while_the_node_was_away(pool: PgPool) {
    let chain = Chain::start().await;
    let [alice, bob] = [chain.people[1], chain.people[2]];
    let mut index = Index::open(&pool, &chain, Settling::Depth(64)).await;
    index.catch_up().await;
    let mut tx = index.db.begin(Cause::Job("test")).await.unwrap();
    let given = alice.to_string();
    watch::add(&mut tx, "operator", "alice", Target::Owner(alice), &given)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let file = "data:application/json,{\"name\":\"Watched\"}";
    chain.send(chain.register(alice, file)).await;
    chain.send(chain.transfer(alice, bob, 0)).await;
    index.catch_up().await;
    let (_, sold) = told(&index, "alice", 0).await;

    // The sale is taken back, and comes again after other things; then the chain goes on for longer than a live step.
    chain.reorg(1, &[]).await;
    chain.send(chain.says(alice, 0, 1, "resting")).await;
    let moved = "ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    chain.send(chain.uri(alice, 0, moved)).await;
    chain.send(chain.transfer(alice, bob, 0)).await;
    chain.send(chain.register(alice, file)).await;
    chain.mine(400).await;
    index.catch_up().await;
    let (words, _) = told(&index, "alice", sold).await;
    let place = |wanted: &str| {
        let place = words.iter().position(|word| word == wanted);
        place.unwrap_or_else(|| panic!("{wanted} in {words:?}"))
    };
    let retracted = place(&format!("retracted owner_address {bob:#x}"));
    let order = [
        "status runtime_status SLEEP".to_owned(),
        format!("uri agent_uri {moved}"),
        format!("transfer owner_address {bob:#x}"),
    ];
    let order = order.map(|wanted| place(&wanted));
    assert!(
        retracted < order[0] && order.is_sorted(),
        "{order:?} of {words:?}"
    );
    place(&format!("new_agent owner_address {alice:#x}"));
}

#[sqlx::test(migrations = "./migrations")]
async fn whoever_watches_hears_that_a_file_cannot_be_had(pool: PgPool) {
    let chain = Chain::start().await;
    let alice = chain.people[1];
    let dir = tempfile::tempdir().unwrap();
    let fetcher = Fetcher::new(&net::Config::default()).unwrap();
    let (content, _) = Content::open(&content::Config::default(), dir.path(), fetcher).unwrap();
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    index.catch_up().await;
    let mut tx = index.db.begin(Cause::Job("test")).await.unwrap();
    let given = alice.to_string();
    watch::add(&mut tx, "operator", "mine", Target::Owner(alice), &given)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    // Two names of one port that nobody listens at, and a scheme that nobody serves.
    chain
        .send(chain.register(alice, "gopher://nowhere.example/file"))
        .await;
    chain
        .send(chain.register(chain.people[2], "gopher://nowhere.example/other"))
        .await;
    index.catch_up().await;
    let (_, seen) = told(&index, "mine", 0).await;
    index.judge(&content).await;
    let (words, _) = told(&index, "mine", seen).await;
    assert_eq!(words, ["metadata metadata_state unsupported"]);
    index.sweep().await;
    index.catch_up().await;
    let (words, _) = told(&index, "mine", seen).await;
    assert_eq!(
        words.len(),
        1,
        "a projection takes nothing of it back: {words:?}"
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn whoever_watches_hears_that_a_file_is_there_again(pool: PgPool) {
    let chain = Chain::start().await;
    let alice = chain.people[1];
    let dir = tempfile::tempdir().unwrap();
    let fetcher = Fetcher::new(&net::Config::default()).unwrap();
    let (content, _) = Content::open(&content::Config::default(), dir.path(), fetcher).unwrap();
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    index.catch_up().await;
    let mut tx = index.db.begin(Cause::Job("test")).await.unwrap();
    let given = alice.to_string();
    watch::add(&mut tx, "operator", "mine", Target::Owner(alice), &given)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    // Nobody has the file: there is no gateway to ask.
    let file = br#"{"name":"Late"}"#;
    let uri = format!("ipfs://{}", kernel::cid_of_raw(file));
    chain.send(chain.register(alice, &uri)).await;
    index.catch_up().await;
    let (_, seen) = told(&index, "mine", 0).await;
    let due = "UPDATE store.jobs SET run_at = 'epoch'";
    for _ in 0..2 {
        index.judge(&content).await;
        index.sql(due).await;
    }
    let unavailable = "metadata metadata_state unavailable";
    let (words, tried) = told(&index, "mine", seen).await;
    assert_eq!(words, [unavailable], "once, however often it is tried");
    // Whoever names it now is told at once, and not only when it is tried again.
    chain.send(chain.register(alice, &uri)).await;
    index.catch_up().await;
    let (words, named) = told(&index, "mine", tried).await;
    let told_now = words.iter().filter(|word| *word == unavailable).count();
    assert_eq!(told_now, 1, "{words:?}");

    content.add(file).await.unwrap();
    index.judge(&content).await;
    let (words, _) = told(&index, "mine", named).await;
    let there = words
        .iter()
        .filter(|word| word.starts_with("metadata metadata_state"));
    let there: Vec<&String> = there.collect();
    assert_eq!(there.len(), 2, "of both agents: {words:?}");
    assert!(
        there.iter().all(|word| !word.ends_with("unavailable")),
        "{words:?}"
    );
}
