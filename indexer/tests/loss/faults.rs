//! Providers that fail in every way at once, and nodes behind one address that stand at other heads and on
//! other branches: in the end every agent is what the chain says.

use indexer::{Prove, Settling};
use replay_rpc::node::{Batch, Faults, Finality, Lose, Refusing, Stale};
use sqlx::PgPool;

use crate::index::Index;

/// Nodes that are behind, and after a reorg on the branch that was left.
const STALE: Stale = Stale {
    every: 3,
    blocks: 4,
    on_left_branch: true,
};

/// One that fails and loses.
fn failing() -> Faults {
    Faults {
        limit_every: 31,
        retry_after_s: None,
        fail_every: 17,
        drop_every: 19,
        hang_every: 151,
        cut_every: 23,
        bomb_every: 53,
        bomb_mb: 64,
        batch: Batch::Shuffled,
        max_range: 40,
        max_logs: 300,
        refusing: Refusing::Infura,
        no_log_time: true,
        lose: Lose::All,
        lose_one_in: 60,
        shuffle_logs: true,
        null_receipts_one_in: 15,
        stale: Some(STALE),
        ..Faults::default()
    }
}

/// One that lies, and keeps little.
fn lying() -> Faults {
    Faults {
        seed: 2,
        fail_every: 13,
        batch: Batch::Refused,
        max_range: 25,
        refusing: Refusing::Geth,
        pruned_below: 100,
        forge_one_in: 60,
        alter_one_in: 100,
        wrong_hash_one_in: 300,
        removed_one_in: 500,
        emptied_one_in: 40,
        no_bloom_one_in: 50,
        ..Faults::default()
    }
}

/// One that only fails now and then.
fn fair() -> Faults {
    Faults {
        seed: 3,
        drop_every: 11,
        limit_every: 29,
        retry_after_s: None,
        max_batch: 30,
        ..Faults::default()
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn providers_that_fail_in_every_way_at_once_cost_time_and_nothing_else(
    pool: PgPool,
) -> anyhow::Result<()> {
    let faults = [failing(), lying(), fair()];
    for (place, prove) in [Prove::Behind, Prove::First].into_iter().enumerate() {
        let mut index = Index::new(&pool, place, 450, prove, &faults).await?;
        index.settle_proven().await?;
        for depth in [1, 6, 3] {
            index.network().fork(depth, depth + 1);
            index.settle_proven().await?;
            index.network().mine(2);
            index.settle_proven().await?;
        }
        let stats = index.stats(0);
        for fault in ["limit", "fail", "drop", "cut"] {
            assert!(stats.fault(fault) > 0, "{fault}: {:?}", stats.faults);
        }
    }
    Ok(())
}

/// `removed` belongs to subscriptions: whoever says it of logs that were asked for is not believed, and another one
/// is asked.
#[sqlx::test(migrations = "../migrations")]
async fn logs_that_are_told_as_removed_are_their_providers_failure(
    pool: PgPool,
) -> anyhow::Result<()> {
    let telling = Faults {
        removed_one_in: 1,
        ..Faults::default()
    };
    // Asked second.
    let slower = Faults {
        latency_ms: 100,
        ..Faults::default()
    };
    let mut index = Index::new(&pool, 0, 450, Prove::Behind, &[telling, slower]).await?;
    index.settle_proven().await?;
    assert!(!index.stats(0).removed.is_empty(), "it was asked");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn one_address_with_nodes_at_other_heads_and_on_other_branches_is_followed(
    pool: PgPool,
) -> anyhow::Result<()> {
    let balanced = Faults {
        stale: Some(STALE),
        ..Faults::default()
    };
    let mut index = Index::new(&pool, 0, 100, Prove::Behind, &[balanced]).await?;
    index.settle().await?;
    for depth in [1, 2, 6, 30] {
        index.network().fork(depth, depth + 2);
        index.settle().await?;
        index.network().mine(3);
        index.settle().await?;
    }
    Ok(())
}

/// The head and what is final are two questions: between them the branch may change, and what is final then was
/// never final on the branch that was left.
#[sqlx::test(migrations = "../migrations")]
async fn a_reorg_between_two_questions_settles_nothing_of_the_branch_that_was_left(
    pool: PgPool,
) -> anyhow::Result<()> {
    let finality = Finality {
        safe: 4,
        finalized: 8,
    };
    for count in 1..=6_u8 {
        let (place, settling) = (usize::from(count), Settling::Finalized(20));
        let mut index = Index::settling(
            &pool,
            place,
            40,
            Prove::Behind,
            &[Faults::default()],
            settling,
        )
        .await?;
        index
            .network()
            .change(|chain| chain.finality = Some(finality));
        index.settle().await?;
        index.network().mine(3);
        index.before_request(u64::from(count), |network| network.fork(6, 20));
        index.settle().await?;
    }
    Ok(())
}
