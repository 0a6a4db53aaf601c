//! The indexer on a real geth whose head moves through the Engine API: sibling blocks, switches of the
//! canonical chain and back, blocks that stay readable by hash after they were taken.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

mod kit;

use std::collections::BTreeMap;

use chain::{At, LogFilter};
use indexer::{Error, Settling, State};
use kit::{
    deeds::{Dice, deeds},
    equal,
    geth::{Block, Geth, Left},
    index::Index,
};
use sqlx::PgPool;
use store::Outcome;

/// What is not settled yet on somebody's chain.
const DEPTH: u64 = 64;

/// What happens in each block, at the most.
const DEEDS: u64 = 3;

/// A block on the head, with what is drawn for it, which becomes no head.
async fn sibling(geth: &Geth, dice: &mut Dice, left: Left) -> Block {
    let wanted = deeds(&geth.chain, DEEDS, dice).await;
    geth.build(&wanted, left).await
}

/// Blocks on the head with what is drawn for them, each the head in its turn; gives the last one.
async fn grow(geth: &Geth, blocks: u64, dice: &mut Dice, left: Left) -> Block {
    for _ in 0..blocks {
        let block = sibling(geth, dice, left).await;
        geth.choose(block).await;
    }
    geth.head().await
}

/// Fails unless the rows are the contracts' state.
async fn assert_state(index: &Index, geth: &Geth, when: &str) {
    assert_eq!(index.agents().await, geth.chain.agents().await, "{when}");
}

/// What must be the same again after a switch there and back. That some block named a URI is known
/// for good.
async fn digests(index: &Index) -> BTreeMap<String, String> {
    let mut digests = equal::digests(&index.db).await;
    digests.remove("identity.uris");
    digests
}

/// Two chains that part at the head: their last blocks. The second one is the head; its blocks may
/// hold again what the first one's held, as in life.
async fn two_chains(geth: &Geth, depth: u64, dice: &mut Dice) -> (Block, Block) {
    let first = sibling(geth, dice, Left::Dropped).await;
    let second = sibling(geth, dice, Left::Dropped).await;
    geth.choose(first).await;
    let first = grow(geth, depth - 1, dice, Left::Dropped).await;
    geth.choose(second).await;
    (first, grow(geth, depth - 1, dice, Left::Included).await)
}

async fn switched(pool: PgPool, settling: Settling, depths: &[u64]) {
    let geth = Geth::start().await;
    let chain = &geth.chain;
    let mut dice = Dice::new(1);
    let mut index = Index::open(&pool, chain, settling).await;
    for depth in depths {
        let when = |what: &str| format!("switch of {depth}: {what}");
        grow(&geth, 2, &mut dice, Left::Included).await;
        index.catch_up().await;
        assert_state(&index, &geth, &when("before")).await;

        let (second, first) = two_chains(&geth, *depth, &mut dice).await;
        index.catch_up().await;
        assert_state(&index, &geth, &when("on the first chain")).await;
        let before = digests(&index).await;

        geth.choose(second).await;
        // What was taken is still there for whoever asks by hash.
        let orphan = chain.rpc.block(At::Hash(first.hash)).await.unwrap();
        assert_eq!(orphan.unwrap().number, first.number);
        let all = LogFilter::default();
        chain.rpc.logs_of_block(first.hash, &all).await.unwrap();
        assert_eq!(index.round().await.unwrap(), Outcome::Busy);
        // A restart in the middle of the repair.
        index = Index::open(&pool, chain, settling).await;
        index.catch_up().await;
        assert_state(&index, &geth, &when("on the second chain")).await;
        index
            .assert_fresh(chain, &when("on the second chain"))
            .await;

        geth.choose(first).await;
        index.catch_up().await;
        assert_state(&index, &geth, &when("back on the first chain")).await;
        assert_eq!(digests(&index).await, before, "{}", when("back"));

        // Nobody looks while the head goes there, on, back and there again.
        drop(index);
        geth.choose(second).await;
        grow(&geth, 1, &mut dice, Left::Included).await;
        geth.choose(first).await;
        geth.choose(second).await;
        index = Index::open(&pool, chain, settling).await;
        index.catch_up().await;
        assert_state(&index, &geth, &when("when nobody looked")).await;
    }
    index.assert_fresh(chain, "at the end").await;
}

#[sqlx::test(migrations = "./migrations")]
async fn somebodys_chain_is_switched_to_siblings_and_back(pool: PgPool) {
    switched(pool, Settling::Depth(DEPTH), &[1, 3, 12, 33]).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn what_was_journaled_at_once_is_retracted_by_a_switch(pool: PgPool) {
    switched(pool, Settling::Depth(0), &[1, 12]).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn a_new_chain_may_be_shorter_than_the_old_one(pool: PgPool) {
    let geth = Geth::start().await;
    let mut dice = Dice::new(2);
    let mut index = Index::open(&pool, &geth.chain, Settling::Depth(DEPTH)).await;
    grow(&geth, 2, &mut dice, Left::Dropped).await;
    let short = sibling(&geth, &mut dice, Left::Dropped).await;
    let long = grow(&geth, 9, &mut dice, Left::Dropped).await;
    index.catch_up().await;
    assert_eq!(index.head().await.unsigned_abs(), long.number);

    geth.choose(short).await;
    index.catch_up().await;
    assert_eq!(index.head().await.unsigned_abs(), short.number);
    assert_state(&index, &geth, "on the shorter chain").await;
    index
        .assert_fresh(&geth.chain, "on the shorter chain")
        .await;
}

#[sqlx::test(migrations = "./migrations")]
async fn a_backfill_is_not_led_astray_by_switches(pool: PgPool) {
    let geth = Geth::start().await;
    let mut dice = Dice::new(3);
    grow(&geth, 8, &mut dice, Left::Dropped).await;
    let (mut other, mut now) = two_chains(&geth, 24, &mut dice).await;
    let config = indexer::Config {
        range_blocks: 1,
        ..indexer::Config::default()
    };
    let mut index = Index::open_with(&pool, &geth.chain, Settling::Depth(DEPTH), &config).await;
    // After each step the chain is the other one, until the index has passed where they part.
    let mut rounds = 0;
    while index.head().await.unsigned_abs() < now.number.min(other.number) {
        index.round().await.unwrap();
        rounds += 1;
        if rounds % 3 != 0 && rounds < 60 {
            (other, now) = (now, other);
            geth.choose(now).await;
        }
        assert!(rounds < 200, "it never arrives");
    }
    index.catch_up().await;
    assert_state(&index, &geth, "at the end").await;
    index.assert_fresh(&geth.chain, "at the end").await;
}

#[sqlx::test(migrations = "./migrations")]
async fn what_consensus_finalized_is_settled_and_no_switch_below_it_is_followed(pool: PgPool) {
    let geth = Geth::start().await;
    let mut dice = Dice::new(4);
    let settling = Settling::Finalized(DEPTH);
    let mut index = Index::open(&pool, &geth.chain, settling).await;
    let old = grow(&geth, 3, &mut dice, Left::Dropped).await;
    let other = sibling(&geth, &mut dice, Left::Dropped).await;
    let final_one = grow(&geth, 4, &mut dice, Left::Dropped).await;
    let last = grow(&geth, 5, &mut dice, Left::Dropped).await;
    index.catch_up().await;
    let settled = "SELECT settled_number FROM chain.v_chains";
    assert_eq!(index.list(settled).await, ["0"], "nothing is final yet");

    geth.finalize(final_one).await;
    let last = geth.block(&[]).await.number.max(last.number);
    index.catch_up().await;
    assert_eq!(index.list(settled).await, [final_one.number.to_string()]);
    let said = journal::said::digest_set(&index.db).await.unwrap();
    assert_ne!(said.changes, 0, "what is settled is journaled");

    // Consensus breaks its word.
    let rows = index.agents().await;
    geth.finalize_nothing().await;
    geth.choose(other).await;
    grow(&geth, last - old.number, &mut dice, Left::Included).await;
    let error = index.round().await.unwrap_err();
    assert!(matches!(error, Error::DeepReorg { .. }), "{error}");
    let named = format!("below settled block {}", final_one.number);
    assert!(error.to_string().contains(&named), "{error}");
    assert_eq!(index.status().state, State::Halted);
    assert_eq!(index.agents().await, rows);
    assert_eq!(journal::said::digest_set(&index.db).await.unwrap(), said);
}
