//! kill -9 in the middle of a replay or a backfill, again and again: what stands in the end is what an
//! undisturbed one gives.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "kill/backfill.rs"]
mod backfill;
#[path = "cli/instance.rs"]
mod instance;
mod kit;
#[path = "kill/network.rs"]
mod network;
#[path = "kit/recorded.rs"]
mod recorded;
#[path = "kill/standby.rs"]
mod standby;

use std::{fs, path::Path, time::Duration};

use indexer::{Follower, Replay};
use instance::Place;
use kit::{equal, index::list, left::Left, until};
use nix::sys::signal::Signal;
use sqlx::PgPool;
use store::{Clock, Db, Outcome};
use uuid::Uuid;

const EVENTS: usize = 20_000;

/// So many logs are one step: there are enough moments between steps.
const STEP_LOGS: usize = 1_000;

const PATIENCE: Duration = Duration::from_mins(1);

/// How far the replay is stored, and how far it is in the rows; `None` before it began.
async fn progress(db: &Db) -> Option<(i64, i64)> {
    let query = "SELECT ground_number, head_number FROM chain.chains";
    let found: Result<Vec<(i64, i64)>, _> = sqlx::query_as(query).fetch_all(db.pool()).await;
    found.ok()?.first().copied()
}

/// The same file, undisturbed.
async fn replay(db: &Db, file: &Path) -> anyhow::Result<()> {
    let replay = Replay::open(file, STEP_LOGS, chain::Registries::default())?;
    let chain = replay.chain()?;
    indexer::open(db, &chain).await?;
    let holder = Uuid::from_u128(1);
    let mut follower = Follower::new(db.clone(), chain.id, chain.contracts, replay, holder);
    while follower.round().await? == Outcome::Busy {}
    Ok(())
}

#[sqlx::test(migrations = "./migrations")]
async fn a_replay_that_is_killed_five_times_ends_as_an_undisturbed_one(pool: PgPool) {
    let place = Place::new("data");
    let left = Left::on(place.dir());
    let file = place.dir().with_file_name("recorded.json");
    let recording = recorded::recording(EVENTS);
    assert_eq!(recording.logs.len(), EVENTS);
    let last = recording.blocks.last().unwrap().number.cast_signed();
    fs::write(&file, recording.to_json().unwrap()).unwrap();
    let config = place.dir().with_file_name("chancery.toml");
    fs::write(&config, format!("[indexer]\nstep_logs = {STEP_LOGS}\n")).unwrap();
    let flags = [
        "--replay",
        file.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];

    let mut seen = -2;
    for kill_at in [-1, last / 5, last * 2 / 5, last * 3 / 5, last * 4 / 5] {
        let up = place.up_with(&flags);
        let db = equal::of_instance(place.dir()).await;
        let at = until("the replay comes so far", PATIENCE, || async {
            let (stored, _) = progress(&db).await?;
            (stored >= kill_at && stored > seen).then_some(stored)
        });
        seen = at.await;
        up.stop(Signal::SIGKILL);
        db.close().await;
        assert!(seen < last, "it was killed on its way, at {seen} of {last}");
        assert!(left.process("postgres/data/postmaster.pid").is_some());
    }

    let up = place.up_with(&flags);
    let db = equal::of_instance(place.dir()).await;
    let open = "SELECT (SELECT count(*) FROM identity.dirty)
                     + (SELECT count(*) FROM identity.tokens t JOIN identity.uris u ON u.hash = t.uri_hash
                         WHERE u.state = 'pending')";
    until("the replay ends", PATIENCE, || async {
        let done =
            progress(&db).await == Some((last, last)) && list(db.pool(), open).await == ["0"];
        done.then_some(())
    })
    .await;

    // The same file undisturbed, with the documents that were judged meanwhile.
    equal::copy_facts(db.pool(), &pool).await;
    let undisturbed = Db::from_pool(pool, Clock::System);
    replay(&undisturbed, &file).await.unwrap();
    equal::assert_same(&db, &undisturbed, "after five kills").await;
    let (ours, theirs) = (
        equal::digests(&db).await,
        equal::digests(&undisturbed).await,
    );
    assert_eq!(ours, theirs);
    assert!(ours["chain.logs"].starts_with("20000 rows "), "{ours:#?}");
    assert!(
        !ours["identity.documents"].starts_with("0 rows "),
        "{ours:#?}"
    );
    // The journal has not only the same set: nothing was taken back, and nothing was said twice.
    let twice = "SELECT count(*) FROM (SELECT FROM journal.said, unnest(digests) AS digest
                  WHERE sign > 0 GROUP BY digest HAVING count(*) > 1) AS x";
    let retracted = "SELECT count(*) FROM journal.entries WHERE kind = 'retracted'";
    for query in [twice, retracted] {
        assert_eq!(list(db.pool(), query).await, ["0"], "{query}");
    }
    db.close().await;
    assert!(up.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}
