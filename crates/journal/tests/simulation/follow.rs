//! Followers: each has one cursor, several processes, and writes down what it was given.

use std::time::Duration;

use journal::follow::{self, SealedEntry};
use kernel::Kind;
use store::{Db, Tx};

use super::{
    dice::Dice,
    process::Open,
    world::{Run, Verdict, World},
};

pub const FOLLOWERS: [&str; 2] = ["publish", "peers"];

fn told(error: impl std::fmt::Display) -> String {
    format!("following: {error}")
}

/// The next entries for a follower, from where it stands.
async fn next(db: &Db, follower: &str, limit: i64) -> journal::Result<Vec<SealedEntry>> {
    follow::sealed(db, follow::position(db, follower).await?, limit).await
}

/// Moves it behind what it was given.
async fn advance(tx: &mut Tx, follower: &str, done: &[SealedEntry]) -> journal::Result<()> {
    let (Some(first), Some(last)) = (done.first(), done.last()) else {
        return Ok(());
    };
    follow::advance_to(tx, follower, first.leaf_index, last.leaf_index + 1).await
}

/// What a follower does with entries, in the transaction that moves its cursor.
async fn work(tx: &mut Tx, follower: &str, entries: &[SealedEntry]) -> journal::Result<()> {
    let indexes: Vec<i64> = entries
        .iter()
        .map(|entry| entry.leaf_index.cast_signed())
        .collect();
    let cids: Vec<&str> = entries.iter().map(|entry| entry.cid.as_str()).collect();
    sqlx::query("INSERT INTO sim.followed SELECT $1, * FROM unnest($2::bigint[], $3::text[])")
        .bind(follower)
        .bind(indexes)
        .bind(cids)
        .execute(tx.conn())
        .await?;
    advance(tx, follower, entries).await
}

async fn mark(open: &mut Open) -> Verdict {
    let mark = sqlx::query("INSERT INTO sim.commits VALUES ($1)").bind(open.id);
    let marked = mark.execute(open.tx.conn()).await;
    marked.map(drop).map_err(|error| format!("mark: {error}"))
}

pub async fn step(world: &mut World, dice: &mut Dice) -> Verdict {
    let follower = *dice.pick(&FOLLOWERS);
    let number = dice.index(world.processes.len());
    let limit = dice.between(1, 400);
    let db = world.processes[number].db.clone();
    let entries = next(&db, follower, limit).await.map_err(told)?;
    if entries.is_empty() {
        return Ok(());
    }
    let known = &world.oracle.order[usize::try_from(entries[0].leaf_index).expect("small")..];
    let same = entries
        .iter()
        .zip(known)
        .all(|(entry, (cid, body))| (&entry.cid, &entry.body) == (cid, body));
    if !same {
        return Err("a follower is given other entries than a reader".to_owned());
    }
    if dice.chance(15) {
        return race(world, number, follower, entries).await;
    }
    let id = world.next_id();
    let open = world.processes[number].begin(id).await;
    let mut open = open.map_err(|error| format!("begin: {error}"))?;
    work(&mut open.tx, follower, &entries).await.map_err(told)?;
    world.say(format!("{follower} is given {} entries", entries.len()));
    match dice.roll(10) {
        0 => {
            let undone = open.tx.rollback().await;
            undone.map_err(|error| error.to_string())?;
            world.note("a follower undone");
        }
        1 => {
            mark(&mut open).await?;
            let who = world.processes[number].name.clone();
            world.database.hold().await;
            world.database.fail(&who, 1, "commits").await;
            if let Run::Waits(task) = world.run(true, open.tx.commit()).await {
                task.abort();
                let _ = task.await;
            }
            if dice.chance(50) {
                world.restart(number).await;
            } else {
                world.vanish(number).await;
            }
            world.database.heal().await;
            world.note("a follower killed in its commit");
        }
        _ => {
            let done = open.tx.commit().await;
            done.map_err(|error| error.to_string())?;
            world.note("a follower went on");
        }
    }
    Ok(())
}

/// Two processes were given the same entries.
async fn race(
    world: &mut World,
    first: usize,
    follower: &'static str,
    entries: Vec<SealedEntry>,
) -> Verdict {
    let second = (first + 1) % world.processes.len();
    let (one, two) = (world.next_id(), world.next_id());
    let one = world.processes[first].begin(one).await;
    let mut one = one.map_err(|error| format!("begin: {error}"))?;
    let two = world.processes[second].begin(two).await;
    let mut two = two.map_err(|error| format!("begin: {error}"))?;
    work(&mut one.tx, follower, &entries).await.map_err(told)?;
    let pid = two.pid;
    let behind = tokio::spawn(async move {
        work(&mut two.tx, follower, &entries).await?;
        Ok::<_, journal::Error>(two.tx.commit().await?)
    });
    while !behind.is_finished() && !world.database.is_blocked(pid).await {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    one.tx.commit().await.map_err(|error| error.to_string())?;
    match behind.await.expect("no panic") {
        Err(error) if error.kind() == Kind::Conflict => {
            world.note("two processes of one follower");
            Ok(())
        }
        done => Err(format!("two processes did the same work: {done:?}")),
    }
}

/// In the end everything was done once, in order.
pub async fn end(world: &mut World) -> Verdict {
    let db = world.reader();
    for follower in FOLLOWERS {
        let limit = world.oracle.size().cast_signed().max(1);
        for round in 0.. {
            let entries = next(&db, follower, limit).await.map_err(told)?;
            if entries.is_empty() {
                break;
            }
            if round > 0 {
                return Err(format!("{follower} is given everything, and then more"));
            }
            let id = world.next_id();
            let open = world.processes[0].begin(id).await;
            let mut open = open.map_err(|error| format!("begin: {error}"))?;
            work(&mut open.tx, follower, &entries).await.map_err(told)?;
            open.tx.commit().await.map_err(|error| error.to_string())?;
        }
        let done = sqlx::query_scalar(
            "SELECT cid FROM sim.followed WHERE follower = $1 ORDER BY leaf_index",
        );
        let done: Vec<String> = done
            .bind(follower)
            .fetch_all(&world.database.pool)
            .await
            .expect("rows");
        let order = world.oracle.order.iter().map(|(cid, _)| cid);
        if !done.iter().eq(order) {
            let (did, all) = (done.len(), world.oracle.size());
            return Err(format!("{follower} did {did} things for {all} entries"));
        }
    }
    Ok(())
}
