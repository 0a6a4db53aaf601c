//! Our rows held against the state of real contracts: equal whatever happens, and caught where a rule of
//! ours is wrong.

use chain::registry;
use indexer::{Census, Settling, census::StateLevel, view};
use kernel::{Bytes, U256};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use store::Outcome;
use uuid::Uuid;

use crate::{
    kit::{
        anvil::{Chain, Wanted},
        calls::{Arg, call},
        index::Index,
    },
    state::minter,
};

fn census(index: &Index) -> Census {
    let (id, contracts) = (index.row.id, index.row.contracts.clone());
    Census::new(
        index.db.clone(),
        id,
        contracts,
        index.providers.clone(),
        Uuid::from_u128(1),
    )
}

/// Rounds until nothing is due.
async fn rounds(census: &mut Census) {
    while census.round().await.expect("a round") == Outcome::Busy {}
}

/// What differs: agent, what, rule.
async fn mismatches(index: &Index) -> Vec<(Option<String>, String, String)> {
    let id = index.row.id;
    let mut found = view::mismatches(&index.db, id, 100).await.expect("rows");
    found.reverse();
    found
        .into_iter()
        .map(|one| (one.token, one.what, one.rule))
        .collect()
}

async fn holds(index: &Index) -> bool {
    let all = view::census(&index.db).await.expect("rows");
    !all.is_empty() && all.iter().all(|one| one.holds)
}

/// Writes into derived rows, as a wrong rule would.
async fn spoil(pool: &PgPool, sql: &str) {
    let cause = "SELECT set_config('chancery.cause', 'job:test', true)";
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {cause}; {sql}; COMMIT")))
        .execute(pool)
        .await
        .expect("written");
}

/// All three cases in which events are not state (`onERC721Received` in the middle of a registration).
async fn reentrant(chain: &Chain) -> Vec<Wanted> {
    let minter = minter(chain).await;
    let (alice, bob) = (chain.people[1], chain.people[2]);
    let of = |signature, arguments: &[Arg<'_>]| (alice, minter, call(signature, arguments));
    vec![
        of(
            "registerAndForward(string,address)",
            &[Arg::Text("ipfs://forwarded"), Arg::Account(bob)],
        ),
        of("registerWithEarlyURI(string)", &[Arg::Text("ipfs://early")]),
        of(
            "registerOverEarlyURI(string,string)",
            &[Arg::Text("ipfs://early"), Arg::Text("ipfs://late")],
        ),
    ]
}

/// How many agents wait to be compared again.
async fn waiting(index: &Index) -> usize {
    let waiting = "SELECT agent_id FROM chain.census_again";
    index.list(waiting).await.len()
}

#[sqlx::test(migrations = "./migrations")]
async fn rows_of_agents_whose_events_lie_are_the_contracts_state(pool: PgPool) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let [alice, bob] = [chain.people[1], chain.people[2]];
    let long = format!("data:application/json,{}", "x".repeat(2_000));
    for uri in ["", "ipfs://short", &"x".repeat(31), &"x".repeat(32), &long] {
        chain.send(chain.register(alice, uri)).await;
    }
    for transaction in reentrant(&chain).await {
        chain.send(transaction).await;
    }
    let at = |id, key: &str, value: Vec<u8>| {
        let data = registry::set_metadata(U256::from(id), key, value.into());
        (alice, chain.registry, data)
    };
    chain.send(at(0, "region", b"eu".to_vec())).await;
    chain.send(at(0, "", vec![0xff; 100])).await;
    chain.send(at(1, "region", Vec::new())).await;
    chain.send(chain.transfer(alice, bob, 3)).await;
    chain.send(chain.wallet(alice, 2, bob).await).await;
    index.catch_up().await;

    let mut census = census(&index);
    let reports = census.take().await.expect("taken");
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    assert_eq!((report.agents, &report.mismatches), (8, &vec![]));
    assert_eq!(
        (report.count_level, report.level, report.more),
        (StateLevel::Proven, StateLevel::Proven, false)
    );
    assert!(holds(&index).await);
    assert_eq!(census.round().await.expect("a round"), Outcome::Idle);

    // From now on only those whom something happens to.
    chain.send(chain.uri(bob, 5, "ipfs://by-bob")).await;
    index.catch_up().await;
    let reports = census.take().await.expect("taken");
    assert_eq!((reports[0].agents, reports[0].mismatches.len()), (1, 0));
    let reports = census.take().await.expect("taken");
    assert_eq!(reports[0].agents, 0, "nobody a second time");
}

#[sqlx::test(migrations = "./migrations")]
async fn a_rule_that_believes_the_wrong_event_is_caught(pool: PgPool) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    // As if the source had no Transfer and MetadataUpdate: Registered is believed.
    let weaker = "UPDATE chain.chains SET has_transfer = false, has_metadata_update = false";
    index.sql(weaker).await;
    for transaction in reentrant(&chain).await {
        chain.send(transaction).await;
    }
    index.catch_up().await;
    assert_ne!(index.agents().await, chain.agents().await);

    let mut census = census(&index);
    let reports = census.take().await.expect("taken");
    let found: Vec<String> = reports[0]
        .mismatches
        .iter()
        .map(ToString::to_string)
        .collect();
    let (minter, bob) = (index.agents().await[0].owner, chain.people[2]);
    let minter = minter.expect("an owner");
    assert_eq!(
        found,
        [
            format!(
                "agent 0: owner is {minter} here and {bob} there \
                 (rule: owner = Registered's, without a Transfer)"
            ),
            format!(
                "agent 0: wallet is {minter} here and none there (rule: wallet = last \
                 MetadataSet(agentWallet) that follows no Registered)"
            ),
            "agent 1: uri is  here and ipfs://early there \
             (rule: URI = Registered's, without MetadataUpdate)"
                .to_owned(),
        ]
    );
    assert!(
        reports[0]
            .mismatches
            .iter()
            .all(|one| one.made.by.is_some())
    );
    assert!(!holds(&index).await);

    // Kept, and told once, however often they are seen.
    for _ in 0..2 {
        assert_eq!(mismatches(&index).await.len(), 3);
        let incidents = "SELECT cid FROM journal.v_entries WHERE kind = 'incident'";
        assert_eq!(index.list(incidents).await.len(), 1);
        let reports = census.take().await.expect("taken");
        assert_eq!(reports[0].mismatches.len(), 3);
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn rows_that_were_spoilt_are_named_with_their_rule_and_forgiven_when_they_are_right(
    pool: PgPool,
) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let (alice, bob) = (chain.people[1], chain.people[2]);
    for _ in 0..4 {
        chain.send(chain.register(alice, "ipfs://one")).await;
    }
    chain.send(chain.transfer(alice, bob, 1)).await;
    let region = registry::set_metadata(U256::from(0), "region", Bytes::from_static(b"eu"));
    chain.send((alice, chain.registry, region)).await;
    index.catch_up().await;
    let mut census = census(&index);
    rounds(&mut census).await;
    assert!(holds(&index).await);

    spoil(
        &pool,
        "UPDATE identity.tokens SET owner = wallet WHERE token_id = 0;
         UPDATE identity.tokens SET owner = NULL, uri_hash = sha256('other') WHERE token_id = 1;
         UPDATE identity.tokens SET wallet = owner WHERE token_id = 1;
         UPDATE identity.tokens SET onchain = '{\"region\": \"0x75\"}' WHERE token_id = 0;
         DELETE FROM identity.tokens WHERE token_id = 2",
    )
    .await;
    spoil(&pool, "INSERT INTO chain.census_again (chain_id, agent_id) SELECT chain_id, agent_id FROM identity.tokens").await;
    rounds(&mut census).await;
    let expected = [
        (
            Some("0"),
            "metadata:region",
            "metadata = last MetadataSet of its key",
        ),
        (Some("1"), "owner", "owner = last Transfer"),
        (
            Some("1"),
            "uri",
            "URI = Registered's, directly after MetadataUpdate",
        ),
        (None, "agents", "agents = mints"),
    ];
    let mut found = mismatches(&index).await;
    found.sort_by_key(|(token, what, _)| (token.is_none(), token.clone(), what.clone()));
    let found: Vec<_> = found
        .iter()
        .map(|(token, what, rule)| (token.as_deref(), what.as_str(), rule.as_str()))
        .collect();
    assert_eq!(found, expected);
    let counted = index
        .list("SELECT ours || ' of ' || theirs FROM chain.mismatches WHERE agent_id IS NULL")
        .await;
    assert_eq!(counted, ["3 of 4, among them 2"]);

    // What the projection writes anew is right again.
    index
        .sql("INSERT INTO identity.dirty (agent_id, refold) SELECT id, true FROM identity.subjects")
        .await;
    index.sweep().await;
    chain.mine(1).await;
    index.catch_up().await;
    let reports = census.take().await.expect("taken");
    assert_eq!(reports[0].mismatches, []);
    assert!(holds(&index).await);
    assert_eq!(mismatches(&index).await, []);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_row_that_waits_for_its_projection_is_no_mismatch(pool: PgPool) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let (alice, bob) = (chain.people[1], chain.people[2]);
    chain.send(chain.register(alice, "ipfs://one")).await;
    index.catch_up().await;
    let mut census = census(&index);
    rounds(&mut census).await;

    // A person holds the row, so the step leaves the agent to the sweep.
    let mut person = pool.begin().await.expect("begun");
    sqlx::query("SELECT 1 FROM identity.agents FOR UPDATE")
        .execute(&mut *person)
        .await
        .expect("held");
    chain.send(chain.transfer(alice, bob, 0)).await;
    index.catch_up().await;
    assert_ne!(index.agents().await, chain.agents().await);
    let report = &census.take().await.expect("taken")[0];
    assert_eq!((report.mismatches.len(), report.more), (0, true));

    person.rollback().await.expect("let go");
    index.sweep().await;
    rounds(&mut census).await;
    assert!(holds(&index).await);
    assert_eq!(waiting(&index).await, 0);
}

#[sqlx::test(migrations = "./migrations")]
async fn what_a_reorg_touches_is_compared_again(pool: PgPool) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let (alice, bob) = (chain.people[1], chain.people[2]);
    for _ in 0..3 {
        chain.send(chain.register(alice, "ipfs://one")).await;
    }
    index.catch_up().await;
    let mut census = census(&index);
    rounds(&mut census).await;
    chain.send(chain.transfer(alice, bob, 0)).await;
    chain.send(chain.register(bob, "ipfs://four")).await;
    index.catch_up().await;
    rounds(&mut census).await;

    let again = [(chain.uri(alice, 1, "ipfs://two"), 0)];
    chain.reorg(2, &again).await;
    index.catch_up().await;
    assert_eq!(index.agents().await, chain.agents().await);
    let report = &census.take().await.expect("taken")[0];
    // Agent 0 has its owner back, agent 1 another URI; agent 3 is no more.
    assert_eq!((report.agents, report.mismatches.len()), (2, 0));
    assert!(holds(&index).await);
    assert_eq!(waiting(&index).await, 0);
}

#[sqlx::test(migrations = "./migrations")]
async fn an_implementation_that_keeps_its_values_elsewhere_is_called(pool: PgPool) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let alice = chain.people[1];
    chain.send(chain.register(alice, "ipfs://one")).await;
    index.catch_up().await;
    // Whatever it is asked, it answers with the words 0x20, 3, "abc".
    let code = "0x60206000526003602052626162636 0e81b60405260606000f3".replace(' ', "");
    let _: Value = chain
        .rpc
        .ask("anvil_setCode", json!([chain.registry, code]))
        .await
        .expect("set");
    chain.mine(1).await;
    index.catch_up().await;

    let mut census = census(&index);
    let report = &census.take().await.expect("taken")[0];
    assert_eq!(
        (report.count_level, report.level),
        (StateLevel::Unavailable, StateLevel::Reported)
    );
    let found = mismatches(&index).await;
    let whats: Vec<&str> = found.iter().map(|(_, what, _)| what.as_str()).collect();
    assert_eq!(whats, ["owner", "wallet", "uri", "agents"]);
    let layout = index.list("SELECT layout || theirs FROM chain.census JOIN chain.mismatches USING (chain_id) WHERE what = 'uri'").await;
    assert_eq!(layout, ["callsabc"]);
}
