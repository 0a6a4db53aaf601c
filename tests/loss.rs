//! A provider in front of a real node that loses, invents, alters, misplaces and shuffles logs: the rows are the
//! contracts' state nevertheless, each lie is an incident, and what nobody can prove stops the chain.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

mod kit;

#[path = "loss/client.rs"]
mod client;
#[path = "loss/pruned.rs"]
mod pruned;

use client::Client;
use indexer::{Config, Error, Prove, Settling, State};
use kit::{
    deeds::{Dice, deeds},
    equal::Second,
    index::Index,
    proxy::{Answers, Lie, Lies, Proxy, Told},
};
use sqlx::PgPool;

/// What is not settled yet.
const SETTLING: Settling = Settling::Depth(8);

/// Blocks with something in them.
const FULL: u64 = 40;

/// Above them, so that reading them is a backfill.
const EMPTY: u64 = 300;

/// Small ranges, so that there are several.
fn config(prove: Prove) -> Config {
    Config {
        range_blocks: 16,
        prove,
        ..Config::default()
    }
}

async fn history(client: &Client) {
    let mut dice = Dice::new(19);
    for _ in 0..FULL {
        let wanted = deeds(client.chain(), 4, &mut dice).await;
        client.block(&wanted).await;
    }
    client.mine(EMPTY).await;
}

/// An index that hears of `client`'s chain only by a provider with these lies.
async fn behind(pool: &PgPool, client: &Client, prove: Prove, lies: Lies) -> (Index, Proxy) {
    let proxy = Proxy::before(client.url(), lies).await;
    let urls = vec![proxy.url.clone()];
    let config = config(prove);
    let index = Index::open_through(pool, client.chain(), SETTLING, &config, urls).await;
    (index, proxy)
}

/// The list of incidents, and of entries of the journal, of one kind.
async fn incidents(index: &Index, kind: &str) -> Told {
    let query = format!(
        "SELECT block_number || ' ' || log_index FROM chain.incidents WHERE kind = '{kind}'"
    );
    let lines = index.list(&query).await;
    // An entry's words stand in its CBOR as they are. Others tell of altered logs that nobody can read.
    let entries = format!(
        "SELECT count(*) FROM journal.entries
          WHERE kind = 'incident' AND position('{kind}'::bytea IN body) > 0"
    );
    let all = index.list("SELECT count(*) FROM chain.incidents").await;
    assert_eq!(index.list(&entries).await, all, "each is an entry");
    let numbers = lines.iter().map(|line| {
        let (block, log) = line.split_once(' ').unwrap();
        (block.parse().unwrap(), log.parse().unwrap())
    });
    numbers.collect()
}

async fn levels(index: &Index) -> Vec<String> {
    index
        .list("SELECT DISTINCT level FROM chain.v_ranges ORDER BY 1")
        .await
}

async fn is_complete(index: &Index) -> bool {
    let chains = indexer::view::chains(&index.db).await.unwrap();
    chains[0].complete
}

/// The backfill believes the provider; what it proves behind puts everything right, and says so.
async fn found_and_healed(pool: &PgPool, client: &Client, cases: &[(Lies, &str)]) {
    for (number, (lies, kind)) in cases.iter().enumerate() {
        let database = Second::named(&format!("case{number}"), pool).await;
        let (mut index, proxy) = behind(&database.pool, client, Prove::Behind, *lies).await;
        index.catch_up().await;
        let told = proxy.told();
        assert!(told.len() > 2, "{lies:?}: {told:?}");
        assert!(
            !is_complete(&index).await,
            "{lies:?}: it only heard of them"
        );

        index.prove().await.unwrap();
        assert_eq!(incidents(&index, kind).await, told, "{lies:?}");
        let rows = index.agents().await;
        assert_eq!(rows, client.chain().agents().await, "{lies:?}");
        assert_eq!(levels(&index).await, ["proven"], "{lies:?}");
        assert!(is_complete(&index).await, "{lies:?}");
        index
            .assert_fresh(client.chain(), &format!("{lies:?}"))
            .await;

        index.prove().await.unwrap();
        assert_eq!(incidents(&index, kind).await, told, "{lies:?}: only once");
        database.drop(pool).await;
    }
}

const fn lies(lie: Lie, one_in: u64, answers: Answers) -> Lies {
    Lies {
        lie,
        one_in,
        answers,
    }
}

const LOSSES: [(Lies, &str); 3] = [
    (lies(Lie::Lose, 20, Answers::Ranges), "lost_log"),
    (lies(Lie::Lose, 20, Answers::Logs), "lost_log"),
    (lies(Lie::LoseBlock, 8, Answers::Logs), "lost_log"),
];

const FORGERIES: [(Lies, &str); 2] = [
    (lies(Lie::Forge, 20, Answers::Logs), "extra_log"),
    (lies(Lie::Alter, 20, Answers::Logs), "altered_log"),
];

#[sqlx::test(migrations = "./migrations")]
async fn what_is_lost_in_front_of_anvil_is_found_and_healed(pool: PgPool) {
    let client = Client::anvil().await;
    history(&client).await;
    found_and_healed(&pool, &client, &LOSSES).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn what_is_lost_in_front_of_geth_is_found_and_healed(pool: PgPool) {
    let client = Client::geth().await;
    history(&client).await;
    found_and_healed(&pool, &client, &LOSSES).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn what_is_forged_in_front_of_anvil_is_found_and_undone(pool: PgPool) {
    let client = Client::anvil().await;
    history(&client).await;
    found_and_healed(&pool, &client, &FORGERIES).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn what_is_forged_in_front_of_geth_is_found_and_undone(pool: PgPool) {
    let client = Client::geth().await;
    history(&client).await;
    found_and_healed(&pool, &client, &FORGERIES).await;
}

/// Each log says where it belongs: an answer in another order is a true one.
async fn put_in_order(pool: &PgPool, client: &Client) {
    let database = Second::named("case1", pool).await;
    let mixed = lies(Lie::Reorder, 3, Answers::Logs);
    let (mut index, proxy) = behind(&database.pool, client, Prove::Behind, mixed).await;
    index.catch_up().await;
    assert!(proxy.told().len() > 2, "{:?}", proxy.told());
    assert_eq!(index.agents().await, client.chain().agents().await);
    index.prove().await.unwrap();
    assert!(is_complete(&index).await);
    let incidents = index.list("SELECT count(*) FROM chain.incidents").await;
    assert_eq!(incidents, ["0"]);
    index.assert_fresh(client.chain(), "in another order").await;
    database.drop(pool).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn what_comes_in_another_order_is_put_in_order(pool: PgPool) {
    let client = Client::anvil().await;
    history(&client).await;
    put_in_order(&pool, &client).await;
    let client = Client::geth().await;
    history(&client).await;
    put_in_order(&pool, &client).await;
}

/// Where ranges are proven before they are stored, a lie has no one to believe it.
async fn proven_first(pool: &PgPool, client: &Client) {
    for (number, lie) in [Lie::Lose, Lie::Forge, Lie::Alter, Lie::Misplace]
        .into_iter()
        .enumerate()
    {
        let database = Second::named(&format!("case{number}"), pool).await;
        let all = lies(lie, 3, Answers::Logs);
        let (mut index, _proxy) = behind(&database.pool, client, Prove::First, all).await;
        index.catch_up().await;
        assert_eq!(
            index.agents().await,
            client.chain().agents().await,
            "{lie:?}"
        );
        assert_eq!(levels(&index).await, ["proven"], "{lie:?}");
        assert_eq!(
            index.list("SELECT count(*) FROM chain.incidents").await,
            ["0"]
        );
        database.drop(pool).await;
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn what_is_proven_first_is_never_wrong(pool: PgPool) {
    let client = Client::anvil().await;
    history(&client).await;
    proven_first(&pool, &client).await;
    let client = Client::geth().await;
    history(&client).await;
    proven_first(&pool, &client).await;
}

/// Receipts lie as well: the blocks cannot be proven, and nothing of them is called complete.
async fn nobody_proves(pool: &PgPool, client: &Client) {
    let database = Second::named("case1", pool).await;
    let hiding = lies(Lie::Lose, 10, Answers::Receipts);
    let (mut index, proxy) = behind(&database.pool, client, Prove::First, hiding).await;
    let mut last = String::new();
    for _ in 0..3 {
        let error = loop {
            if let Err(error) = index.round().await {
                break error;
            }
        };
        assert!(matches!(error, Error::Unproven { .. }), "{error}");
        last = error.to_string();
    }
    let status = index.status();
    assert_eq!(status.state, State::Halted);
    assert_eq!(status.error.as_deref(), Some(last.as_str()));
    let (block, _) = *proxy.told().first().unwrap();
    assert!(last.contains(&format!("block {block} ")), "{last}");
    assert!(last.contains(&proxy.url), "{last}");
    let head = index.head().await;
    assert!(
        head < i64::try_from(block).unwrap(),
        "it stops before it, at {head}"
    );

    // Somebody else proves it.
    let urls = vec![proxy.url.clone(), client.url().to_owned()];
    let config = config(Prove::First);
    let chain = client.chain();
    let mut index = Index::open_through(&database.pool, chain, SETTLING, &config, urls).await;
    index.catch_up().await;
    assert_eq!(index.agents().await, chain.agents().await);
    assert_eq!(levels(&index).await, ["proven"]);
    database.drop(pool).await;
}

/// The same behind a backfill, which believed it: what was read stays what it is, a report.
async fn nobody_proves_behind(pool: &PgPool, client: &Client) {
    let database = Second::named("case2", pool).await;
    let hiding = lies(Lie::Lose, 10, Answers::Receipts);
    let (mut index, proxy) = behind(&database.pool, client, Prove::Behind, hiding).await;
    index.catch_up().await;
    let error = index.prove().await.unwrap_err();
    assert!(matches!(error, Error::Unproven { .. }), "{error}");
    assert!(error.to_string().contains(&proxy.url), "{error}");
    assert!(!is_complete(&index).await);
    assert!(levels(&index).await.contains(&"reported".to_owned()));

    proxy.repent();
    index.prove().await.unwrap();
    assert_eq!(index.agents().await, client.chain().agents().await);
    assert_eq!(incidents(&index, "lost_log").await, proxy.told());
    assert!(is_complete(&index).await);
    index.assert_fresh(client.chain(), "when it repented").await;
    database.drop(pool).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn what_receipts_hide_too_is_never_called_complete(pool: PgPool) {
    let client = Client::anvil().await;
    history(&client).await;
    nobody_proves(&pool, &client).await;
    nobody_proves_behind(&pool, &client).await;
    let client = Client::geth().await;
    history(&client).await;
    nobody_proves(&pool, &client).await;
    nobody_proves_behind(&pool, &client).await;
}
