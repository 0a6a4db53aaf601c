//! Providers that lose, forge and alter logs: whatever they tell, the rows are the chain's, and each lie is
//! an incident. Real headers, receipts and roots; the provider is a process of its own sockets.

mod agreed;
mod faults;
mod index;

use index::Index;
use indexer::{Error, Prove, State};
use replay_rpc::node::{Faults, Lose};
use sqlx::PgPool;

/// Blocks of the backfill.
const BLOCKS: u64 = 450;

fn losing(lose: Lose, one_in: u64) -> Faults {
    Faults {
        lose,
        lose_one_in: one_in,
        ..Faults::default()
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_a_backfill_lost_is_found_behind_it_and_put_right(pool: PgPool) -> anyhow::Result<()> {
    for (place, faults) in [
        losing(Lose::Wide, 100),
        losing(Lose::All, 100),
        losing(Lose::Blocks, 50),
    ]
    .into_iter()
    .enumerate()
    {
        let mut index = Index::new(&pool, place, BLOCKS, Prove::Behind, &[faults]).await?;
        index.follow().await?;
        // What was read ahead and not stored was not lost.
        let stored = index.reported_to().await;
        let lost = index.stats(0).lost;
        let lost = lost.iter().filter(|log| log.block <= stored).count();
        assert!(lost > 5, "{lost} logs were lost");
        index.prove().await?;
        assert_eq!(index.state().await, index.truth(), "case {place}");
        let incidents = index.count("chain.incidents WHERE kind = 'lost_log'").await;
        assert_eq!(incidents, i64::try_from(lost)?, "case {place}");
        let told = index.count("journal.entries WHERE kind = 'incident'").await;
        assert_eq!(told, incidents, "each is an entry");
        assert_eq!(index.levels().await, ["proven"], "case {place}");
        index.prove().await?;
        assert_eq!(index.count("chain.incidents").await, incidents, "only once");
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn an_incident_names_who_told_wrongly(pool: PgPool) -> anyhow::Result<()> {
    let slow = Faults {
        latency_ms: 250,
        ..Faults::default()
    };
    let faults = [slow.clone(), losing(Lose::All, 50), slow];
    let mut index = Index::new(&pool, 0, BLOCKS, Prove::Behind, &faults).await?;
    index.follow().await?;
    let told = "chain.ranges WHERE tellers <> '{}'";
    assert!(index.count(told).await > 0);
    index.prove().await?;
    let places = index.states().into_iter().map(|state| state.place);
    let places: Vec<String> = places.collect();
    let all = index.count("chain.incidents").await;
    assert!(all > 0, "nothing was lost");
    let liar = &places[1];
    let named = format!("chain.incidents WHERE provider LIKE '%{liar}%'");
    assert_eq!(index.count(&named).await, all);
    let alone = format!("chain.incidents WHERE provider = '{liar}'");
    assert!(index.count(&alone).await > 0, "others are named, too");
    let journaled = format!(
        "journal.entries WHERE kind = 'incident' AND position('{liar}'::bytea in body) > 0"
    );
    assert_eq!(index.count(&journaled).await, all);
    assert_eq!(index.count(told).await, 0, "what is proven has no teller");
    assert_eq!(index.count("chain.ranges").await, 1, "and is one range");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn forged_altered_and_reordered_logs_are_refused(pool: PgPool) -> anyhow::Result<()> {
    let forging = Faults {
        forge_one_in: 60,
        ..Faults::default()
    };
    let altering = Faults {
        alter_one_in: 200,
        ..Faults::default()
    };
    for (place, faults, kind) in [(0, forging, "extra_log"), (1, altering, "altered_log")] {
        let mut index = Index::new(&pool, place, BLOCKS, Prove::Behind, &[faults]).await?;
        index.follow().await?;
        let (stored, stats) = (index.reported_to().await, index.stats(0));
        index.prove().await?;
        assert_eq!(index.state().await, index.truth(), "{kind}");
        let of = format!("chain.incidents WHERE kind = '{kind}'");
        let lies = stats.forged.iter().chain(&stats.altered);
        let lies = lies.filter(|log| log.block <= stored).count();
        assert!(lies > 2, "{lies} lies");
        assert_eq!(index.count(&of).await, i64::try_from(lies)?, "{kind}");
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn proven_at_once_nothing_is_lost_in_the_first_place(pool: PgPool) -> anyhow::Result<()> {
    let faults = losing(Lose::All, 20);
    let mut index = Index::new(&pool, 0, BLOCKS, Prove::First, &[faults]).await?;
    index.follow().await?;
    assert_eq!(index.state().await, index.truth());
    assert_eq!(index.count("chain.incidents").await, 0);
    assert_eq!(index.levels().await, ["proven"]);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_verified_again_is_proven_by_another_provider(pool: PgPool) -> anyhow::Result<()> {
    let two = [losing(Lose::Wide, 100), losing(Lose::Wide, 100)];
    let mut index = Index::new(&pool, 0, BLOCKS, Prove::Behind, &two).await?;
    index.follow().await?;
    let asked = |index: &Index, method| [0, 1].map(|place| index.stats(place).of(method).calls);
    let told = asked(&index, "eth_getLogs");
    let usual = usize::from(told[1] > told[0]);
    let before = asked(&index, "eth_getBlockReceipts");
    let proven = index.verify(0, 200).await?;
    assert!(!proven.incidents.is_empty(), "logs were lost");
    assert_eq!(proven.new, proven.incidents.len());
    let after = asked(&index, "eth_getBlockReceipts");
    assert_eq!(after[usual], before[usual], "by whom it is read");
    assert!(after[1 - usual] > before[1 - usual]);
    let again = index.verify(0, 200).await?;
    assert_eq!(again.incidents, [], "they were put right");
    index.prove().await?;
    assert_eq!(index.state().await, index.truth());
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn behind_a_backfill_everything_around_what_nobody_can_prove_is_proven(
    pool: PgPool,
) -> anyhow::Result<()> {
    let hiding = Faults {
        null_receipts_one_in: 150,
        ..Faults::default()
    };
    let mut index = Index::new(&pool, 0, BLOCKS, Prove::Behind, &[hiding]).await?;
    index.follow().await?;
    // Each error tells of one block; then they are tried again, in turn.
    for _ in 0..20 {
        let error = index.prove().await.expect_err("some have no receipts");
        assert!(matches!(error, Error::Unproven { .. }), "{error}");
    }
    let reported = "chain.ranges WHERE level = 'reported'";
    assert!(index.count(reported).await > 1);
    let wide = index
        .count(&format!("{reported} AND to_block > from_block"))
        .await;
    assert_eq!(wide, 0, "no more than those blocks");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_nobody_can_prove_stops_the_chain_until_somebody_can(
    pool: PgPool,
) -> anyhow::Result<()> {
    let hiding = Faults {
        lie_in_receipts: true,
        ..losing(Lose::All, 50)
    };
    let mut index = Index::new(&pool, 0, 40, Prove::Behind, std::slice::from_ref(&hiding)).await?;
    let error = index
        .follow()
        .await
        .expect_err("nothing proves these blocks");
    assert!(matches!(error, Error::Unproven { .. }), "{error}");
    for _ in 0..2 {
        index.follow().await.expect_err("still not");
    }
    assert_eq!(index.status().state, State::Halted);

    // With a second provider that is honest the same chain heals by itself.
    let mut index = Index::new(&pool, 1, 40, Prove::Behind, &[hiding, Faults::default()]).await?;
    index.follow().await?;
    assert_eq!(index.state().await, index.truth());
    assert_eq!(index.levels().await, ["proven"]);
    Ok(())
}

/// The quickest of three makes blocks look empty: headers without blooms, blocks without receipts.
fn emptying() -> [Faults; 3] {
    let emptying = Faults {
        no_bloom_one_in: 1,
        emptied_one_in: 1,
        ..Faults::default()
    };
    let slow = Faults {
        latency_ms: 20,
        ..Faults::default()
    };
    [emptying, slow.clone(), slow]
}

#[sqlx::test(migrations = "../migrations")]
async fn headers_that_do_not_hash_are_not_taken_from_who_is_quickest(
    pool: PgPool,
) -> anyhow::Result<()> {
    for (place, prove) in [Prove::Behind, Prove::First, Prove::Off]
        .into_iter()
        .enumerate()
    {
        let mut index = Index::new(&pool, place, 200, prove, &emptying()).await?;
        index.follow().await?;
        for _ in 0..4 {
            index.network().mine(5);
            index.follow().await?;
            assert_eq!(index.state().await, index.truth(), "{prove:?}");
        }
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_chain_whose_headers_nobody_can_hash_is_reported(pool: PgPool) -> anyhow::Result<()> {
    let of_its_own = Faults {
        no_bloom_one_in: 1,
        ..Faults::default()
    };
    let mut index = Index::new(&pool, 0, 100, Prove::Behind, &[of_its_own]).await?;
    index.follow().await?;
    index.network().mine(5);
    index.follow().await?;
    index.prove().await?;
    assert_eq!(index.state().await, index.truth());
    assert_eq!(index.levels().await, ["reported"]);
    assert!(!index.view().await.complete);
    Ok(())
}

/// Its node serves no receipts of whole blocks, and loses the logs of some.
fn without_receipts(lose: Lose) -> Faults {
    Faults {
        no_block_receipts: true,
        ..losing(lose, 20)
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn without_receipts_a_block_that_lost_its_logs_is_only_reported(
    pool: PgPool,
) -> anyhow::Result<()> {
    for (place, prove) in [Prove::First, Prove::Behind].into_iter().enumerate() {
        let faults = [without_receipts(Lose::Blocks)];
        let mut index = Index::new(&pool, place, 200, prove, &faults).await?;
        index.follow().await?;
        let proven = index.prove().await;
        proven.expect_err("nobody tells what the blooms speak of");
        let lost = index.stats(0).lost;
        assert!(lost.len() > 20, "{} logs were lost", lost.len());
        for log in lost {
            let level = index.level_of(log.block).await;
            assert_eq!(level, "reported", "block {}", log.block);
        }
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn without_receipts_another_provider_tells_the_logs_that_one_lost(
    pool: PgPool,
) -> anyhow::Result<()> {
    // Each loses other blocks, and tells logs in any order.
    let faults = [1, 2].map(|seed| Faults {
        seed,
        lose_one_in: 40,
        shuffle_logs: true,
        ..without_receipts(Lose::Blocks)
    });
    let mut index = Index::new(&pool, 0, 200, Prove::First, &faults).await?;
    index.follow().await?;
    let lost = [0, 1].map(|provider| index.stats(provider).lost.len());
    assert!(lost.iter().sum::<usize>() > 0);
    assert_eq!(index.state().await, index.truth());
    assert_eq!(index.levels().await, ["bloom"]);
    Ok(())
}

/// The quickest of three tells every log of a block under the same wrong hash: nothing in one answer contradicts that.
#[sqlx::test(migrations = "../migrations")]
async fn who_tells_blocks_that_others_do_not_have_is_asked_last(
    pool: PgPool,
) -> anyhow::Result<()> {
    let slow = Faults {
        latency_ms: 250,
        ..Faults::default()
    };
    let lying = Faults {
        wrong_hash_one_in: 1,
        ..Faults::default()
    };
    for (place, no_log_time) in [false, true].into_iter().enumerate() {
        let lying = Faults {
            no_log_time,
            ..lying.clone()
        };
        let faults = [lying, slow.clone(), slow.clone()];
        let mut index = Index::new(&pool, place, BLOCKS, Prove::Off, &faults).await?;
        index.settle().await?;
        let asked = [0, 1, 2].map(|place| index.stats(place).of("eth_getLogs").calls);
        assert!(asked[0] < asked[1] + asked[2], "{asked:?}");
        assert!(asked[0] > 0, "it is the quickest by far: {asked:?}");
        let provider = &index.states()[0];
        assert!(provider.doubtful, "{provider:?}");
        assert!(
            provider.counters.errors.contains_key("false"),
            "{provider:?}"
        );
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn who_has_false_receipts_or_none_is_asked_last(pool: PgPool) -> anyhow::Result<()> {
    let slow = Faults {
        latency_ms: 250,
        ..Faults::default()
    };
    let hiding = [
        Faults {
            null_receipts_one_in: 1,
            ..Faults::default()
        },
        Faults {
            emptied_one_in: 1,
            ..Faults::default()
        },
    ];
    for (place, hiding) in hiding.into_iter().enumerate() {
        let faults = [hiding, slow.clone()];
        let mut index = Index::new(&pool, place, BLOCKS, Prove::First, &faults).await?;
        index.settle().await?;
        assert_eq!(index.levels().await, ["proven"]);
        let asked = [0, 1].map(|place| index.stats(place).of("eth_getBlockReceipts").calls);
        assert!(asked[0] > 0 && asked[0] < asked[1], "{asked:?}");
        let provider = &index.states()[0];
        assert!(provider.doubtful, "{provider:?}");
        assert!(
            provider.counters.errors.contains_key("false"),
            "{provider:?}"
        );
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn who_contradicts_himself_does_not_hold_up_a_chain(pool: PgPool) -> anyhow::Result<()> {
    let slow = Faults {
        latency_ms: 20,
        ..Faults::default()
    };
    let contradicting = Faults {
        wrong_hash_one_in: 3,
        ..Faults::default()
    };
    let faults = [contradicting, slow.clone(), slow];
    let mut index = Index::new(&pool, 0, 450, Prove::Off, &faults).await?;
    index.follow().await?;
    assert_eq!(index.state().await, index.truth());
    Ok(())
}
