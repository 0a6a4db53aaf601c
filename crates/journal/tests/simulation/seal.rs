//! Sealers: one after the other, two at once, with a stale lease, killed at each of their writes.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use journal::{Error, Sealed};
use kernel::Kind;
use store::{lease, lease::Lease};
use tokio::task::JoinHandle;

use super::{
    dice::Dice,
    world::{Run, Verdict, World},
    write,
};

/// As the sealer has them.
const LEASE: &str = "journal.seal";
const TTL: Duration = Duration::from_secs(10);

/// How a write fails.
const CODES: [&str; 4] = ["53100", "40001", "40P01", "dies"];

/// A seal by whoever believes that he leads.
pub async fn step(world: &mut World, dice: &mut Dice) -> Verdict {
    match dice.roll(100) {
        0..8 => race(world, dice).await?,
        8..14 => stale(world, dice).await?,
        14..20 if world.crashes => crash(world, dice).await?,
        _ => {
            let number = if dice.chance(65) {
                world.leader
            } else {
                dice.index(world.processes.len())
            };
            once(world, number, dice).await?;
        }
    }
    world.observe().await
}

/// How it is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The n-th write fails, with this SQLSTATE or because the connection dies.
    Fails(i64, &'static str),
    /// It is killed at the n-th write.
    Killed(i64),
    /// It is killed in its commit; whether that is done, the server decides.
    Commits {
        undone: bool,
    },
    /// It is dropped at the n-th write, and the process goes on.
    Dropped(i64),
}

impl Fault {
    fn any(dice: &mut Dice) -> Self {
        let at = dice.between(1, 5);
        match dice.roll(16) {
            0 | 1 => Self::Fails(at, CODES[dice.index(CODES.len())]),
            2 => Self::Killed(at),
            3 => Self::Commits {
                undone: dice.chance(50),
            },
            4 => Self::Dropped(at),
            _ => Self::None,
        }
    }

    async fn arm(self, world: &mut World, number: usize) {
        let who = world.processes[number].name.clone();
        let (at, code) = match self {
            Self::None => return,
            Self::Fails(at, code) => (at, code),
            Self::Killed(at) | Self::Dropped(at) => (at, "waits"),
            Self::Commits { .. } => (1, "commits"),
        };
        world.database.fail(&who, at, code).await;
        if !matches!(self, Self::Fails(..)) {
            world.database.hold().await;
        }
    }
}

async fn once(world: &mut World, number: usize, dice: &mut Dice) -> Verdict {
    let fault = Fault::any(dice);
    let process = &world.processes[number];
    let (db, holder, sealer) = (
        process.db.clone(),
        process.holder,
        Arc::clone(&process.sealer),
    );
    let direct = dice.chance(60);
    let lease = if direct {
        let lease = lease::acquire(&db, LEASE, holder, TTL).await;
        lease.map_err(|error| format!("lease: {error}"))?
    } else {
        None
    };
    fault.arm(world, number).await;
    let work = async move {
        match lease {
            // As a worker does.
            _ if !direct => sealer.round(&db, holder).await.map(|_| None),
            Some(lease) => sealer.seal_once(&db, &lease).await.map(Some),
            None => Ok(None),
        }
    };
    world.say(format!("process {number} seals; {fault:?}"));
    let waits = !matches!(fault, Fault::None | Fault::Fails(..));
    let run = world.run(waits, work).await;
    match run {
        Run::Waits(task) => stopped(world, number, fault, task).await,
        Run::Ended(ended) => {
            if fault != Fault::None {
                world.database.heal().await;
            }
            world.observe().await?;
            if let Ok(Some(_)) = &ended {
                world.leader = number;
            }
            judge(world, ended, fault, direct)
        }
    }
}

/// It waits where it was told to; now it is killed there, or dropped.
async fn stopped<T: Send + 'static>(
    world: &mut World,
    number: usize,
    fault: Fault,
    task: JoinHandle<T>,
) -> Verdict {
    task.abort();
    let _ = task.await;
    let before = world.oracle.size();
    match fault {
        Fault::Killed(_) => {
            world.restart(number).await;
            world.note("a sealer killed at a statement");
        }
        Fault::Commits { undone: true } => world.restart(number).await,
        Fault::Commits { undone: false } => world.vanish(number).await,
        _ => {
            world.database.release().await;
            world.note("a seal dropped, the process goes on");
        }
    }
    world.database.heal().await;
    world.observe().await?;
    if let Fault::Commits { .. } = fault {
        world.note(if world.oracle.size() > before {
            "a sealer killed in its commit, done"
        } else {
            "a sealer killed in its commit, undone"
        });
    } else if world.oracle.size() > before {
        return Err("a seal that did not come to its commit is there".to_owned());
    }
    Ok(())
}

fn judge(
    world: &mut World,
    ended: Result<Option<Sealed>, Error>,
    fault: Fault,
    direct: bool,
) -> Verdict {
    match ended {
        Ok(Some(Sealed::Batch { size, .. })) => {
            world.note("a batch sealed");
            if size != world.oracle.size() {
                let seen = world.oracle.size();
                return Err(format!("it says {size} are sealed, readers see {seen}"));
            }
            Ok(())
        }
        Ok(Some(Sealed::Nothing)) => {
            world.note("nothing to seal");
            all_sealed(world)
        }
        Ok(None) => {
            if direct {
                world.note("another one leads");
            }
            Ok(())
        }
        Err(error) => match (fault, error.kind()) {
            (Fault::Fails(_, "dies"), Kind::Unavailable) => {
                world.note("a sealer's connection died");
                Ok(())
            }
            (Fault::Fails(..), Kind::Unavailable) => {
                world.note("a seal failed");
                Ok(())
            }
            // Another one took the lease while this one's clock stood still.
            (_, Kind::Conflict) if !direct => {
                world.note("a stale lease");
                Ok(())
            }
            _ => Err(format!("a seal, with {fault:?}: {error:?}")),
        },
    }
}

pub fn all_sealed(world: &World) -> Verdict {
    match world.oracle.unsealed.first() {
        None => Ok(()),
        Some(cid) => Err(format!(
            "a sealer says that everything is sealed, but {cid} and {} more are not",
            world.oracle.unsealed.len() - 1
        )),
    }
}

/// Something to seal.
async fn fresh(world: &mut World, number: usize, dice: &mut Dice) -> Verdict {
    let id = world.next_id();
    let open = world.processes[number].begin(id).await;
    let mut open = open.map_err(|error| format!("begin: {error}"))?;
    write::some(world, &mut open, dice).await?;
    write::commit(world, open).await
}

pub async fn private(world: &World, number: usize) -> Result<Lease, String> {
    let process = &world.processes[number];
    let name = format!("private to {}", process.holder);
    let lease = lease::acquire(&process.db, &name, process.holder, TTL).await;
    let lease = lease.map_err(|error| format!("lease: {error}"))?;
    lease.ok_or_else(|| "a private lease is taken".to_owned())
}

/// Two processes that both believe that they lead, as if leases did not hold: each has one of its own. The first
/// is stopped at some write; the second sees the same head and more entries.
async fn race(world: &mut World, dice: &mut Dice) -> Verdict {
    let first = dice.index(world.processes.len());
    fresh(world, first, dice).await?;
    let second = (first + 1 + dice.index(world.processes.len() - 1)) % world.processes.len();
    let mut leases = Vec::new();
    for number in [first, second] {
        leases.push(private(world, number).await?);
    }
    world.say(format!("processes {first} and {second} seal"));
    let fault = match dice.roll(5) {
        0 => Fault::Commits { undone: true },
        at => Fault::Killed(at.cast_signed()),
    };
    fault.arm(world, first).await;
    let seal = |world: &World, number: usize, lease: Lease| {
        let process = &world.processes[number];
        let (db, sealer) = (process.db.clone(), Arc::clone(&process.sealer));
        async move { sealer.seal_once(&db, &lease).await }
    };
    let two = leases.pop().expect("two");
    let one = leases.pop().expect("two");
    let run = world.run(true, seal(world, first, one)).await;
    fresh(world, second, dice).await?;
    let two = tokio::spawn(seal(world, second, two));
    let who = world.processes[second].name.clone();
    while !two.is_finished() && !world.database.is_any_blocked(&who).await {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    world.database.heal().await;
    let one = match run {
        Run::Ended(ended) => ended,
        Run::Waits(task) => task.await.expect("no panic"),
    };
    let two = two.await.expect("no panic");
    world.observe().await?;
    let mut done = 0;
    for sealed in [one, two] {
        match sealed {
            Ok(_) => done += 1,
            Err(error) if error.kind() == Kind::Unavailable => {}
            Err(error) => return Err(format!("one of two sealers: {error:?}")),
        }
    }
    match done {
        2 => world.note("two sealers, both done"),
        1 => world.note("two sealers, one lost"),
        _ => return Err("both of two sealers lost".to_owned()),
    }
    Ok(())
}

/// A lease that ended while its holder did not know, for its clock stood still.
async fn stale(world: &mut World, dice: &mut Dice) -> Verdict {
    let number = dice.index(world.processes.len());
    let process = &world.processes[number];
    let held = lease::acquire(&process.db, LEASE, process.holder, TTL).await;
    let Some(held) = held.map_err(|error| format!("lease: {error}"))? else {
        return Ok(());
    };
    world.pass(TimeDelta::hours(12));
    world.processes[number].clock.advance(TimeDelta::hours(-12));
    let other = (number + 1) % world.processes.len();
    let process = &world.processes[other];
    let lease = lease::acquire(&process.db, LEASE, process.holder, TTL).await;
    if lease.map_err(|error| format!("lease: {error}"))?.is_none() {
        return Err("a lease that ended hours ago is not free".to_owned());
    }
    fresh(world, other, dice).await?;
    let process = &world.processes[number];
    let sealed = process.sealer.seal_once(&process.db, &held).await;
    world.processes[number].clock.advance(TimeDelta::hours(12));
    match sealed {
        Err(error) if error.kind() == Kind::Conflict => {}
        sealed => return Err(format!("a seal by a stale lease: {sealed:?}")),
    }
    world.note("a stale lease");
    let before = world.oracle.size();
    world.observe().await?;
    if world.oracle.size() > before {
        return Err("a seal by a stale lease is there".to_owned());
    }
    Ok(())
}

/// Postgres is killed with -9 while a seal is under way.
async fn crash(world: &mut World, dice: &mut Dice) -> Verdict {
    let number = dice.index(world.processes.len());
    fresh(world, number, dice).await?;
    let fault = match dice.roll(5) {
        0 => Fault::Commits { undone: true },
        at => Fault::Killed(at.cast_signed()),
    };
    let lease = private(world, number).await?;
    fault.arm(world, number).await;
    let process = &world.processes[number];
    let (db, sealer) = (process.db.clone(), Arc::clone(&process.sealer));
    world.say(format!(
        "process {number} seals and Postgres is killed; {fault:?}"
    ));
    let run = world
        .run(true, async move { sealer.seal_once(&db, &lease).await })
        .await;
    world.database.crash().await;
    if let Run::Waits(task) = run {
        let ended = task.await.expect("no panic");
        if ended.is_ok() {
            return Err(format!("a seal in a server that was killed: {ended:?}"));
        }
    }
    // What was open is gone, in all processes; they themselves go on.
    for process in &mut world.processes {
        process.abandon().await;
    }
    world.database.heal().await;
    world.note("Postgres killed");
    Ok(())
}
