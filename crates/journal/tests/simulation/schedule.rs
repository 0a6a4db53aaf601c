//! What happens in a world, step by step, and in the end.

use chrono::TimeDelta;
use journal::Sealed;

use super::{
    dice::Dice,
    follow, read, seal,
    world::{Verdict, World},
    write,
};

/// Steps of a world.
pub const STEPS: u64 = 50;

pub async fn step(world: &mut World, number: u64, dice: &mut Dice) -> Verdict {
    world.say(format!("-- step {number}"));
    match dice.roll(100) {
        0..33 => write::step(world, dice).await,
        33..52 => write::end(world, dice).await,
        52..80 => seal::step(world, dice).await,
        80..86 => follow::step(world, dice).await,
        86..91 => read::step(world, dice).await,
        91..96 => {
            world.time(dice);
            Ok(())
        }
        96..98 => {
            world.cut(dice).await;
            write::resolve(world).await
        }
        _ => {
            let number = dice.index(world.processes.len());
            world.restart(number).await;
            world.note("a process restarted");
            write::resolve(world).await
        }
    }
}

/// All goes well again: what is open ends, what is committed is sealed, and everything is looked at.
pub async fn end(world: &mut World, dice: &mut Dice) -> Verdict {
    world.say("-- the end");
    world.database.heal().await;
    // Longer than a clock was wrong.
    world.pass(TimeDelta::hours(30));
    while world
        .processes
        .iter()
        .any(|process| !(process.open.is_empty() && process.blocked.is_empty()))
    {
        for number in 0..world.processes.len() {
            while let Some(open) = world.processes[number].open.pop() {
                if dice.chance(70) {
                    write::commit(world, open).await?;
                } else {
                    let undone = open.tx.rollback().await;
                    undone.map_err(|error| format!("rollback: {error}"))?;
                }
            }
        }
        write::resolve(world).await?;
    }
    // Each by what it knows; a new process would look at everything again.
    for number in 0..world.processes.len() {
        drain(world, number).await?;
        seal::all_sealed(world)?;
    }
    read::end(world, dice).await?;
    follow::end(world).await?;
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) - count(DISTINCT size) + count(*) - count(DISTINCT coalesce(prev_size, 0))
           FROM journal.checkpoints",
    )
    .fetch_one(&world.database.pool)
    .await
    .expect("a count");
    if twice != 0 {
        return Err("the log forks".to_owned());
    }
    Ok(())
}

async fn drain(world: &mut World, number: usize) -> Verdict {
    let lease = seal::private(world, number).await?;
    loop {
        let process = &world.processes[number];
        let sealed = process.sealer.seal_once(&process.db, &lease).await;
        let sealed = sealed.map_err(|error| format!("the last seal: {error:?}"))?;
        world.observe().await?;
        if sealed == Sealed::Nothing {
            return Ok(());
        }
    }
}
