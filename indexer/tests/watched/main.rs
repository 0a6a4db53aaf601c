//! A chain that is kept for some alone: their rows are those of an index of everything, whenever and however their
//! agents enter, and there are no others.

mod index;
#[allow(dead_code, unused_imports)] // The other tests use what this one does not.
#[path = "../kit/mod.rs"]
mod kit;
mod net;
mod random;

use indexer::{Error, Prove, Scope};
use replay_rpc::node::{Faults, Lose};
use sqlx::PgPool;
use store::{Clock, Db, Outcome};

use index::{Index, beside, chain, watch};
use kit::{ALICE, BOB, CAROL, SLEEP, TERMINATED};
use net::Net;

/// Lives of some agents, most of them over long before the head. Alice's are 1, 4 (bought) and 6 (minted to Bob and
/// given to her in one block); 2 was hers and is Carol's; 3, 5 and 7 never were.
fn lives(net: &mut Net) {
    net.empty(3);
    net.block(|block| {
        block
            .register(1, ALICE, "https://one.example/a.json")
            .register(2, ALICE, "")
            .register(3, BOB, "https://three.example/a.json")
    });
    net.block(|block| {
        block
            .register(4, BOB, "ipfs://four")
            .status(4, SLEEP, "resting")
    });
    net.empty(60);
    net.block(|block| {
        block
            .metadata(1, "model", b"m")
            .metadata(3, "model", b"n")
            .uri(4, "https://four.example/b.json")
            .status(1, SLEEP, "")
    });
    net.block(|block| {
        block
            .transfer(2, ALICE, CAROL)
            .register(5, CAROL, "https://five.example")
    });
    net.empty(60);
    net.block(|block| {
        block
            .uri(2, "https://two.example/by-carol")
            .metadata(4, "early", b"e")
    });
    net.block(|block| {
        block
            .transfer(4, BOB, ALICE)
            .uri(3, "https://three.example/b.json")
    });
    net.block(|block| block.register(6, BOB, "data:,six").transfer(6, BOB, ALICE));
    net.empty(90);
    net.block(|block| block.status(2, TERMINATED, "by carol").register(7, BOB, ""));
    net.block(|block| block.malformed(1).malformed(3).nameless());
    net.empty(300);
}

/// What happens at the head while it is looked at: Alice buys 3, gives 1 away, registers 8.
fn news(net: &mut Net, part: usize) {
    match part {
        0 => net.block(|block| {
            block
                .transfer(3, BOB, ALICE)
                .uri(7, "https://seven.example")
        }),
        1 => net.block(|block| {
            block
                .uri(3, "https://three.example/c.json")
                .transfer(1, ALICE, BOB)
        }),
        2 => net.block(|block| {
            block
                .register(8, ALICE, "https://eight.example")
                .uri(1, "ipfs://bobs")
        }),
        _ => net.empty(12),
    }
}

async fn both(
    pool: &PgPool,
    net: &Net,
    watched: indexer::Watch,
    prove: Prove,
) -> anyhow::Result<(Index, Index)> {
    let other = beside(pool, 1).await?;
    Ok((
        Index::open(&other, net, None, prove).await?,
        Index::open(pool, net, Some(watched), prove).await?,
    ))
}

#[sqlx::test(migrations = "../migrations")]
async fn agents_of_a_watched_owner_are_those_of_an_index_of_everything(
    pool: PgPool,
) -> anyhow::Result<()> {
    for (place, prove) in [Prove::Behind, Prove::First].into_iter().enumerate() {
        let mut net = Net::new(Faults::default())?;
        lives(&mut net);
        let (all, ours) = (
            beside(&pool, 10 + place).await?,
            beside(&pool, 20 + place).await?,
        );
        let mut all = Index::open(&all, &net, None, prove).await?;
        let mut ours = Index::open(&ours, &net, Some(watch(&[ALICE], &[])), prove).await?;
        all.follow().await?;
        ours.follow().await?;
        let when = format!("{prove:?}, after the backfill");
        ours.assert_part_of(&all, &[1, 2, 4, 6], &when).await?;
        for part in 0..4 {
            news(&mut net, part);
            all.follow().await?;
            ours.follow().await?;
            let scope: &[u64] = match part {
                0 | 1 => &[1, 2, 3, 4, 6],
                _ => &[1, 2, 3, 4, 6, 8],
            };
            let when = format!("{prove:?}, news {part}");
            ours.assert_part_of(&all, scope, &when).await?;
        }
        ours.prove().await?;
        assert_eq!(ours.levels().await, ["proven"], "{prove:?}");
        assert_eq!(ours.count("chain.incidents").await, 0, "{prove:?}");
        let when = format!("{prove:?}, proven");
        ours.assert_part_of(&all, &[1, 2, 3, 4, 6, 8], &when)
            .await?;
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_named_agent_is_kept_whoever_owns_it(pool: PgPool) -> anyhow::Result<()> {
    let mut net = Net::new(Faults::default())?;
    lives(&mut net);
    // 9 is not there yet.
    let (mut all, mut ours) = both(&pool, &net, watch(&[], &[3, 9]), Prove::Behind).await?;
    all.follow().await?;
    ours.follow().await?;
    ours.assert_part_of(&all, &[3], "after the backfill")
        .await?;
    net.block(|block| {
        block
            .register(9, CAROL, "https://nine.example")
            .burn(3, BOB)
    });
    all.follow().await?;
    ours.follow().await?;
    ours.assert_part_of(&all, &[3, 9], "born and burned").await
}

#[sqlx::test(migrations = "../migrations")]
async fn who_is_named_at_a_later_start_enters_with_the_past(pool: PgPool) -> anyhow::Result<()> {
    let mut net = Net::new(Faults::default())?;
    lives(&mut net);
    let (mut all, mut ours) = both(&pool, &net, watch(&[], &[3]), Prove::Behind).await?;
    all.follow().await?;
    ours.prove().await?;
    assert_eq!(ours.levels().await, ["proven"]);
    for (who, scope) in [
        (watch(&[CAROL], &[]), &[2, 3, 5][..]),
        (watch(&[CAROL], &[7]), &[2, 3, 5, 7]),
        // Who was watched once stays so, also where nobody names him any more.
        (watch(&[ALICE], &[]), &[1, 2, 3, 4, 5, 6, 7]),
    ] {
        let when = format!("{who:?}");
        ours = Index::open(&pool, &net, Some(who), Prove::Behind).await?;
        ours.follow().await?;
        ours.assert_part_of(&all, scope, &when).await?;
        assert!(
            ours.levels().await.contains(&"reported".to_owned()),
            "{when}: the past of who enters was only told"
        );
        ours.prove().await?;
        assert_eq!(ours.levels().await, ["proven"], "{when}");
    }
    net.block(|block| block.register(10, CAROL, ""));
    all.follow().await?;
    ours.follow().await?;
    ours.assert_part_of(&all, &[1, 2, 3, 4, 5, 6, 7, 10], "Carol's new one")
        .await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_kill_after_every_step_loses_nothing(pool: PgPool) -> anyhow::Result<()> {
    let mut net = Net::new(Faults::default())?;
    lives(&mut net);
    let (mut all, _) = both(&pool, &net, watch(&[ALICE], &[5]), Prove::Behind).await?;
    for part in 0..4 {
        loop {
            let who = Some(watch(&[ALICE], &[5]));
            let mut ours = Index::open(&pool, &net, who, Prove::Behind).await?;
            if ours.round().await? == Outcome::Idle {
                break;
            }
        }
        news(&mut net, part);
    }
    let mut ours = Index::open(&pool, &net, Some(watch(&[ALICE], &[5])), Prove::Behind).await?;
    ours.follow().await?;
    all.follow().await?;
    ours.assert_part_of(&all, &[1, 2, 3, 4, 5, 6, 8], "after many kills")
        .await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_reorg_across_an_entry_leaves_the_chains_state(pool: PgPool) -> anyhow::Result<()> {
    let mut net = Net::new(Faults::default())?;
    lives(&mut net);
    let (mut all, mut ours) = both(&pool, &net, watch(&[ALICE], &[]), Prove::Behind).await?;
    all.follow().await?;
    ours.follow().await?;
    // Alice buys 3 and registers 8, and then she never did.
    net.block(|block| block.transfer(3, BOB, ALICE).uri(3, "ipfs://hers"));
    net.block(|block| block.register(8, ALICE, "https://eight.example"));
    all.follow().await?;
    ours.follow().await?;
    ours.assert_part_of(&all, &[1, 2, 3, 4, 6, 8], "entered")
        .await?;
    net.reorg(2, |block| block.uri(3, "ipfs://still-bobs"), 3);
    all.follow().await?;
    ours.follow().await?;
    ours.assert_part_of(&all, &[1, 2, 3, 4, 6], "taken back")
        .await?;
    // What entered once stays in the scope: 8 is Bob's on this branch.
    net.block(|block| block.register(8, BOB, "").transfer(3, BOB, ALICE));
    all.follow().await?;
    ours.follow().await?;
    ours.assert_part_of(&all, &[1, 2, 3, 4, 6, 8], "again")
        .await?;
    net.reorg(3, |block| block.transfer(1, ALICE, BOB), 4);
    all.follow().await?;
    ours.prove().await?;
    ours.assert_part_of(&all, &[1, 2, 3, 4, 6], "again taken back")
        .await?;
    assert_eq!(ours.levels().await, ["proven"]);
    assert_eq!(ours.count("chain.incidents").await, 0);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn logs_that_a_provider_loses_are_found_also_those_by_which_an_agent_would_enter(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (mut lost, mut entered_late) = (0, 0);
    for seed in 1..=6 {
        let mut net = Net::new(Faults::default())?;
        lives(&mut net);
        let place = usize::try_from(seed)?;
        let (all, ours) = (
            beside(&pool, 10 + place).await?,
            beside(&pool, 20 + place).await?,
        );
        let mut all = Index::open(&all, &net, None, Prove::Behind).await?;
        all.follow().await?;
        net.set_faults(Faults {
            seed,
            lose: if seed % 2 == 0 { Lose::All } else { Lose::Wide },
            lose_one_in: 3,
            ..Faults::default()
        });
        let mut ours = Index::open(&ours, &net, Some(watch(&[ALICE], &[])), Prove::Behind).await?;
        ours.follow().await?;
        lost += net.lost();
        entered_late += 4 - ours.tokens().await.len();
        ours.prove().await?;
        ours.assert_part_of(&all, &[1, 2, 4, 6], &format!("seed {seed}"))
            .await?;
        assert_eq!(ours.levels().await, ["proven"], "seed {seed}");
        let incidents = ours.count("chain.incidents").await;
        assert!(incidents > 0, "seed {seed}: no loss was told");
        let told = ours
            .count("journal.entries WHERE kind = 'incident' AND agent_id IS NULL")
            .await;
        assert!(told >= incidents, "seed {seed}: each is an entry");
    }
    assert!(lost > 20, "{lost} logs were lost");
    assert!(
        entered_late > 2,
        "{entered_late} agents were revealed by proofs"
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_chain_is_not_complete_while_a_revealed_agent_waits_for_its_logs(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut net = Net::new(Faults::default())?;
    lives(&mut net);
    net.set_faults(Faults {
        lose: Lose::Wide,
        lose_one_in: 1,
        ..Faults::default()
    });
    let mut ours = Index::open(&pool, &net, Some(watch(&[ALICE], &[])), Prove::Behind).await?;
    ours.follow().await?;
    assert!(ours.tokens().await.is_empty(), "everything was lost");
    while ours.prove_once().await? == Outcome::Busy {}
    let shown = indexer::view::chains(&ours.db).await?.remove(0);
    let watched = shown.watched.expect("a watched chain");
    assert_eq!((watched.owners, watched.tokens, watched.pending), (1, 4, 4));
    assert_eq!(ours.levels().await, ["proven"]);
    assert!(!shown.complete);
    net.set_faults(Faults::default());
    ours.prove().await?;
    let shown = indexer::view::chains(&ours.db).await?.remove(0);
    assert!(shown.complete);
    assert_eq!(shown.watched.map(|watched| watched.pending), Some(0));
    let census = indexer::view::census(&ours.db).await?;
    assert!(
        !indexer::view::is_synced(&shown, &census),
        "it claims no census"
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_chain_that_is_kept_with_another_scope_is_refused(pool: PgPool) -> anyhow::Result<()> {
    let net = Net::new(Faults::default())?;
    let scopes = [Scope::All, Scope::Watched];
    for (place, stored) in scopes.into_iter().enumerate() {
        let db = Db::from_pool(beside(&pool, place).await?, Clock::System);
        indexer::open_scope(&db, &chain(&net), stored).await?;
        for asked in scopes {
            let opened = indexer::open_scope(&db, &chain(&net), asked).await;
            match opened {
                Ok(()) => assert_eq!(asked, stored),
                Err(error) => {
                    assert!(matches!(error, Error::OtherScope { .. }), "{error}");
                    assert_ne!(asked, stored);
                    let text = error.to_string();
                    for word in [stored.as_str(), asked.as_str(), "data directory"] {
                        assert!(text.contains(word), "{text}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_long_chain_of_others_costs_few_questions(pool: PgPool) -> anyhow::Result<()> {
    let mut net = Net::new(Faults::default())?;
    for block in 0..400 {
        net.block(|writer| writer.register(100 + block, BOB, "https://many.example"));
    }
    net.empty(20);
    let mut ours = Index::open(&pool, &net, Some(watch(&[ALICE], &[])), Prove::Behind).await?;
    ours.follow().await?;
    assert_eq!(ours.count("chain.logs").await, 0);
    assert!(
        net.questions() < 30,
        "{} questions for logs",
        net.questions()
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_provider_of_narrow_ranges_that_often_fails_is_read_to_the_end(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut net = Net::new(Faults::default())?;
    lives(&mut net);
    let (mut all, mut ours) = both(&pool, &net, watch(&[], &[3]), Prove::Behind).await?;
    all.follow().await?;
    ours.follow().await?;
    net.set_faults(Faults {
        max_range: 10,
        drop_every: 15,
        no_log_time: true,
        shuffle_logs: true,
        ..Faults::default()
    });
    let who = watch(&[ALICE], &[3]);
    ours = Index::open(&pool, &net, Some(who), Prove::Behind).await?;
    ours.follow().await?;
    ours.assert_part_of(&all, &[1, 2, 3, 4, 6], "in the end")
        .await
}
