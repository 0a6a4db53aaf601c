//! A chain whose head is not settled: rows follow the head, the journal what is settled.

use identity::fact::RuntimeStatus;
use sqlx::PgPool;

use crate::kit::{ACTIVE, ALICE, BOB, SLEEP, Script, World, start};

#[sqlx::test(migrations = "../migrations")]
async fn rows_are_ahead_of_the_journal_and_a_reorg_between_says_nothing(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::rpc(pool, 3), Script::new(1));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    script.block(start() + 2, |b| b.status(1, SLEEP, "a"));
    script.block(start() + 3, |b| b.status(1, ACTIVE, "b"));
    world.follow(&script).await?;
    assert_eq!(
        world.history(agent).await,
        [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>ACTIVE"]
    );
    assert_eq!(world.entries().await, 0);
    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(world.history(agent).await, [">ACTIVE"]);
    assert_eq!(
        world.entries().await,
        0,
        "nothing was said, nothing is taken back"
    );
    for time in 4..=7 {
        script.block(start() + time, |b| {
            if time == 4 {
                b.transfer(1, ALICE, BOB)
            } else {
                b
            }
        });
    }
    world.follow(&script).await?;
    // Block 2 of the new branch is settled by now.
    let said = world.said(agent).await;
    assert!(
        said.contains(&format!("owner_address=\"{BOB:#x}\"")),
        "{said:?}"
    );
    assert!(
        !said.contains(&"runtime_status=\"SLEEP\"".to_owned()),
        "{said:?}"
    );
    world.assert_fresh(&[&script]).await;

    let deep = world
        .rewind(&script, 1)
        .await
        .expect_err("below what is settled");
    assert!(
        matches!(
            deep,
            indexer::Error::DeepReorg {
                settled: 2,
                common: 1,
                ..
            }
        ),
        "{deep}"
    );
    assert!(deep.halts());
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn each_change_is_told_once_to_the_feed_while_the_journal_waits(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::rpc(pool, 4), Script::new(1));
    let agent = script.agent(1);
    for time in 1..=9 {
        script.block(start() + time, |b| match time {
            1 => b.register(1, ALICE, "ipfs://a"),
            2 => b.metadata(1, "k", b"1"),
            4 => b.status(1, SLEEP, "x"),
            6 => b.uri(1, "ipfs://b"),
            _ => b,
        });
        world.follow(&script).await?;
        if time == 5 {
            world.at(start() + 100);
            world.act(agent, RuntimeStatus::Terminated).await?;
            world
                .judge(
                    "ipfs://a",
                    &serde_json::json!({ "name": "A", "active": false }),
                )
                .await?;
            world.sweep().await;
        }
        world.assert_fresh(&[&script]).await;
    }
    let feed = world.list(
        "SELECT what || count(*) FROM identity.head_changes WHERE NOT undone
          GROUP BY what, cause HAVING count(*) > 1",
    );
    assert!(feed.await.is_empty());
    assert_eq!(
        world
            .one("SELECT count(*) FROM journal.entries WHERE kind = 'retracted'")
            .await,
        "0"
    );
    let said = world.said(agent).await;
    assert!(
        said.contains(&"runtime_status=\"TERMINATED\"".to_owned()),
        "{said:?}"
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn an_act_about_an_unsettled_mint_is_said_when_that_is_settled(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::rpc(pool, 2), Script::new(1));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.tx("mint").register(1, ALICE, ""));
    world.at(start() + 10);
    world.follow(&script).await?;
    world.act(agent, RuntimeStatus::Sleep).await?;
    assert_eq!(world.history(agent).await, [">ACTIVE", "ACTIVE>SLEEP"]);
    assert_eq!(
        world.entries().await,
        0,
        "it rests on a block that may still move"
    );
    script.block(start() + 2, |b| b);
    world.follow(&script).await?;
    assert_eq!(world.entries().await, 0);
    world.assert_fresh(&[&script]).await;
    script.block(start() + 3, |b| b);
    world.follow(&script).await?;
    assert!(
        world
            .said(agent)
            .await
            .contains(&"runtime_status=\"SLEEP\"".to_owned())
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}
