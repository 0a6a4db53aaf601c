//! Chains whose headers prove nothing of their logs, or whose receipts may be of another kind: what two providers
//! tell alike is all that there is, and what was learned of the receipts outlives a process.

use indexer::{Error, Level, Prove, State};
use replay_rpc::node::{Faults, Lose};
use sqlx::PgPool;

use super::{index::Index, losing};

/// zkSync Era: its gateway makes roots and blooms up.
const OPAQUE: u64 = 324;

/// Celo: its receipts are presumably of Ethereum's kind.
const ASSUMED: u64 = 42_220;

const BLOCKS: u64 = 300;

/// Two providers of a chain whose headers hash to nothing: their blooms are empty.
fn unhashed() -> [Faults; 2] {
    let unhashed = Faults {
        no_bloom_one_in: 1,
        ..Faults::default()
    };
    [unhashed.clone(), unhashed]
}

#[sqlx::test(migrations = "../migrations")]
async fn where_headers_prove_nothing_two_who_tell_the_same_agree(
    pool: PgPool,
) -> anyhow::Result<()> {
    let two = [Faults::default(), Faults::default()];
    for (place, (chain, faults)) in [(OPAQUE, two), (31_337, unhashed())]
        .into_iter()
        .enumerate()
    {
        for (nth, prove) in [Prove::Behind, Prove::First].into_iter().enumerate() {
            let place = 2 * place + nth;
            let mut index = Index::of_chain(&pool, place, (chain, BLOCKS), prove, &faults).await?;
            index.follow().await?;
            index.network().mine(5);
            index.follow().await?;
            index.prove().await?;
            assert_eq!(index.state().await, index.truth(), "{chain} {prove:?}");
            assert_eq!(index.levels().await, ["agreed"], "{chain} {prove:?}");
            let view = index.view().await;
            assert!(view.complete, "{chain} {prove:?}: {view:?}");
            assert_eq!(index.verify(0, 200).await?.incidents, []);
        }
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_could_not_be_agreed_on_for_a_while_is_agreed_on_later(
    pool: PgPool,
) -> anyhow::Result<()> {
    let faults = unhashed();
    let mut index = Index::new(&pool, 0, 700, Prove::Behind, &faults).await?;
    index.follow().await?;
    // The second one loses logs for a while.
    let lossy = Faults {
        no_bloom_one_in: 1,
        ..losing(Lose::All, 2)
    };
    index.set_faults(1, lossy);
    let error = index.prove().await.expect_err("they contradict each other");
    assert!(matches!(error, Error::Unproven { .. }), "{error}");
    // Blocks below it are tried meanwhile.
    index.prove().await.expect_err("and there, too");
    index.set_faults(1, faults[1].clone());
    for _ in 0..20 {
        if index.prove().await.is_ok() {
            break;
        }
    }
    assert_eq!(index.levels().await, ["agreed"]);
    assert!(index.view().await.complete);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn one_alone_does_not_take_back_what_another_one_alone_told(
    pool: PgPool,
) -> anyhow::Result<()> {
    let faults = [Faults::default()];
    let mut index = Index::of_chain(&pool, 0, (OPAQUE, BLOCKS), Prove::Behind, &faults).await?;
    index.follow().await?;
    index.set_faults(
        0,
        Faults {
            lie_in_receipts: true,
            ..losing(Lose::All, 10)
        },
    );
    let refused = index.verify(0, 200).await.map(|proven| proven.incidents);
    assert!(
        matches!(refused, Err(Error::Unproven { .. })),
        "{refused:?}"
    );
    assert_eq!(index.state().await, index.truth());
    assert_eq!(index.count("chain.incidents").await, 0);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_one_alone_tells_of_such_a_chain_is_reported_and_never_complete(
    pool: PgPool,
) -> anyhow::Result<()> {
    let faults = [Faults::default()];
    let mut index = Index::of_chain(&pool, 0, (OPAQUE, BLOCKS), Prove::Behind, &faults).await?;
    index.follow().await?;
    index.prove().await?;
    assert_eq!(index.state().await, index.truth());
    assert_eq!(index.levels().await, ["reported"]);
    assert!(!index.view().await.complete);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_one_of_three_lost_is_told_by_the_two_others(pool: PgPool) -> anyhow::Result<()> {
    // The quickest loses logs.
    let slow = Faults {
        latency_ms: 250,
        ..Faults::default()
    };
    let faults = [losing(Lose::All, 100), slow.clone(), slow];
    let mut index = Index::of_chain(&pool, 0, (OPAQUE, BLOCKS), Prove::Behind, &faults).await?;
    index.follow().await?;
    index.prove().await?;
    assert_eq!(index.state().await, index.truth());
    assert_eq!(index.levels().await, ["agreed"]);
    assert!(index.view().await.incidents > 0);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn where_two_contradict_each_other_and_nobody_decides_the_chain_stops(
    pool: PgPool,
) -> anyhow::Result<()> {
    let faults = [losing(Lose::Wide, 300), Faults::default()];
    let mut index = Index::of_chain(&pool, 0, (OPAQUE, BLOCKS), Prove::Behind, &faults).await?;
    let error = index.follow().await.expect_err("nobody knows who is right");
    for _ in 0..2 {
        index.follow().await.expect_err("still not");
    }
    assert_eq!(index.status().state, State::Halted);
    let Error::Unproven { why, .. } = error else {
        anyhow::bail!("{error}")
    };
    assert!(why.contains("which are not the same"), "{why}");
    assert!(!index.view().await.complete);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn false_receipts_are_known_as_such_by_a_process_that_starts_on_a_proven_chain(
    pool: PgPool,
) -> anyhow::Result<()> {
    let honest = [Faults::default()];
    let mut index = Index::of_chain(&pool, 0, (ASSUMED, BLOCKS), Prove::Behind, &honest).await?;
    index.follow().await?;
    index.prove().await?;
    assert_eq!(index.levels().await, ["proven"]);
    let altering = Faults {
        alter_one_in: 20,
        lie_in_receipts: true,
        ..Faults::default()
    };
    let mut believed = 0;
    for block in 100..120 {
        // One that knows of no other block, so that receipts of this one may be of any kind.
        let forgetful = index.stranger(altering.clone()).await?;
        let told = forgetful.gather(block, block).await;
        if told.is_ok_and(|told| told.proof.level == Level::Bloom) {
            believed += 1;
            forgetful.recall(&index.db).await?;
            let told = forgetful.gather(block, block).await;
            let refused = told.map(|told| told.proof);
            let is_refused = matches!(refused, Err(Error::Unproven { .. }));
            assert!(is_refused, "block {block}: {refused:?}");
        }
    }
    assert!(believed > 0, "no altered receipts fit their bloom");
    Ok(())
}
