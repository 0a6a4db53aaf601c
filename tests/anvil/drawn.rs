//! A hundred reorganisations by every means that anvil has, drawn by a seed: transactions are dropped,
//! replaced, put in another order or in other blocks, the head goes back, and the indexer looks whenever
//! it happens to.

use indexer::Settling;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::Outcome;

use crate::kit::{
    anvil::{Anvil, Chain, Wanted},
    deeds::{Dice, deeds},
    index::Index,
};

/// What is not settled yet: as deep as the deepest reorganisation.
const DEPTH: u64 = 64;

const REORGS: u64 = 100;

/// A fresh index is made after so many.
const CHECKED: u64 = 25;

/// Blocks with something in them, sometimes several things.
async fn grow(chain: &Chain, dice: &mut Dice) -> Vec<Wanted> {
    let mut done = Vec::new();
    for _ in 0..dice.between(1, 3) {
        let wanted = deeds(chain, dice.between(1, 3), dice).await;
        chain.block(&wanted).await;
        done.extend(wanted);
    }
    if dice.below(4) == 0 {
        chain.mine(dice.between(1, 70)).await;
    }
    done
}

/// The indexer looks, or not, or only once and is stopped.
async fn look(index: Index, pool: &PgPool, chain: &Chain, dice: &mut Dice) -> Index {
    let mut index = index;
    match dice.below(4) {
        0 => {}
        1 => {
            index.round().await.unwrap();
            index = Index::open(pool, chain, index.settling).await;
        }
        _ => index.catch_up().await,
    }
    index
}

/// Some of these in an order of their own, each in one of the new blocks.
fn reordered(of: &[Wanted], blocks: u64, dice: &mut Dice) -> Vec<(Wanted, u64)> {
    let mut rest = of.to_vec();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let one = rest.swap_remove(dice.index(rest.len()));
        if dice.below(3) > 0 {
            out.push((one, dice.below(blocks)));
        }
    }
    out
}

async fn take_back(chain: &Chain, depth: u64, done: &[Wanted], dice: &mut Dice) {
    let k = dice.below(4);
    eprintln!("{k} depth {depth} at {}", chain.height().await);
    match k {
        // The head goes back by so many blocks; others come in their place, or it stays there.
        0 => {
            let _: Value = chain
                .rpc
                .ask("anvil_rollback", json!([depth]))
                .await
                .unwrap();
        }
        1 => {
            let at: Value = chain.rpc.ask("evm_snapshot", json!([])).await.unwrap();
            grow(chain, dice).await;
            let _: bool = chain.rpc.ask("evm_revert", json!([at])).await.unwrap();
        }
        2 => chain.reorg(depth, &[]).await,
        _ => {
            let mut wanted = reordered(done, depth, dice);
            let new = deeds(chain, 3, dice).await;
            wanted.extend(new.into_iter().map(|one| (one, dice.below(depth))));
            chain.reorg(depth, &wanted).await;
        }
    }
}

async fn drawn(pool: PgPool, settling: Settling, seed: u64) {
    // A rollback needs the states of old blocks; by default anvil forgets them.
    let chain = Chain::on(Anvil::start_with(&["--prune-history=10000"])).await;
    let mut dice = Dice::new(seed);
    let deployed = u64::try_from(chain.height().await).unwrap();
    let mut index = Index::open(&pool, &chain, settling).await;
    let mut done = Vec::new();
    for number in 1..=REORGS {
        let when = format!("seed {seed}, reorganisation {number}");
        done.extend(grow(&chain, &mut dice).await);
        let kept = done.len().saturating_sub(6);
        done.drain(..kept);
        index = look(index, &pool, &chain, &mut dice).await;
        let height = u64::try_from(chain.height().await).unwrap();
        let most = DEPTH.min(height - deployed);
        let most = if dice.below(2) == 0 {
            most
        } else {
            most.min(4)
        };
        let depth = dice.between(1, most);
        take_back(&chain, depth, &done, &mut dice).await;
        eprintln!(
            "{when} now {} code {}",
            chain.height().await,
            chain
                .rpc
                .code(chain.registry, chain::At::Latest)
                .await
                .unwrap()
                .len()
        );
        index = look(index, &pool, &chain, &mut dice).await;
        // A node whose head went back may only be behind: it must show more before it is believed.
        let indexed = u64::try_from(index.head().await).unwrap_or(0);
        let height = u64::try_from(chain.height().await).unwrap();
        chain.mine(indexed.saturating_sub(height) + 1).await;
        index.catch_up().await;
        assert_eq!(index.agents().await, chain.agents().await, "{when}");
        assert_eq!(index.head().await, chain.height().await, "{when}");
        assert_eq!(index.round().await.unwrap(), Outcome::Idle, "{when}");
        if number % CHECKED == 0 {
            index.assert_fresh(&chain, &when).await;
        }
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn a_hundred_reorganisations_of_somebodys_chain_leave_its_state(pool: PgPool) {
    drawn(pool, Settling::Depth(DEPTH), 8004).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn a_hundred_reorganisations_of_our_own_chain_leave_its_state(pool: PgPool) {
    drawn(pool, Settling::Depth(0), 1056).await;
}
