//! Writers: transactions that append, several at once, of which some commit late, some never, some race.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta};
use ipld_core::ipld::Ipld;
use journal::{
    Appended, BATCH, Change, EntryKind, Error, First, NewEntry, Owed, append, entry::MAX_BYTES,
    settle,
};
use kernel::{AgentId, Kind};
use serde_json::{Value, json};
use store::Tx;

use super::{
    dice::Dice,
    oracle::{Chain, Written, agent},
    process::{Blocked, Open},
    world::{Run, Verdict, World},
};

/// Agents that are written about again and again.
const AGENTS: u64 = 9;
/// Transactions that a process has open at once.
const OPEN: usize = 3;

/// What is appended.
#[derive(Debug, Clone)]
enum What {
    Entries(Vec<NewEntry>),
    /// One that is more than an entry holds, by its changes together.
    Large(NewEntry),
    /// One of which a single change is more than an entry holds.
    TooLarge(NewEntry),
    First(Vec<(AgentId, Vec<Change>)>),
    Settled(AgentId, Vec<Change>),
}

impl What {
    fn touched(&self) -> BTreeSet<Chain> {
        match self {
            Self::Entries(entries) => entries.iter().map(|entry| entry.agent).collect(),
            Self::Large(entry) | Self::TooLarge(entry) => BTreeSet::from([entry.agent]),
            Self::First(agents) => agents.iter().map(|(agent, _)| Some(*agent)).collect(),
            Self::Settled(agent, _) => BTreeSet::from([Some(*agent)]),
        }
    }
}

fn change(dice: &mut Dice, value: Value) -> Change {
    Change {
        column: (*dice.pick(&["name", "owner_address", "runtime_status"])).to_owned(),
        value,
        cause: format!("act:{}", dice.roll(1_000_000_000)),
        time: DateTime::UNIX_EPOCH + TimeDelta::microseconds(dice.between(0, 1 << 50)),
    }
}

fn changes(dice: &mut Dice) -> Vec<Change> {
    let one = |dice: &mut Dice| {
        let value = match dice.roll(5) {
            0 => Value::Null,
            1 => json!({"b": [1, -7, true], "a": "ä"}),
            2 => json!(dice.between(i64::MIN / 4, i64::MAX / 4)),
            _ => json!("x".repeat(dice.index(300))),
        };
        change(dice, value)
    };
    (0..=dice.roll(3)).map(|_| one(dice)).collect()
}

fn entry(chain: Chain, dice: &mut Dice) -> NewEntry {
    let changes = changes(dice);
    match chain {
        Some(agent) => NewEntry::agent(agent, changes),
        None if dice.chance(50) => NewEntry::incident(changes),
        None => NewEntry::act(changes),
    }
}

/// Chains that are written to again and again, that of no agent included.
fn chains() -> impl Iterator<Item = Chain> {
    (0..AGENTS).map(|number| Some(agent(number))).chain([None])
}

/// Some process begins a transaction or goes on with one, and appends.
pub async fn step(world: &mut World, dice: &mut Dice) -> Verdict {
    let number = dice.index(world.processes.len());
    let process = &mut world.processes[number];
    let full = process.open.len() + process.blocked.len() >= OPEN;
    if full || (!process.open.is_empty() && dice.chance(30)) {
        if process.open.is_empty() {
            return Ok(());
        }
        let place = dice.index(process.open.len());
        let open = process.open.swap_remove(place);
        return go_on(world, number, open, dice).await;
    }
    let id = world.next_id();
    let begun = world.processes[number].begin(id).await;
    let open = begun.map_err(|error| format!("begin: {error}"))?;
    world.say(format!("process {number} begins transaction {id}"));
    let taken: Vec<Chain> = chains().filter(|chain| world.touched(*chain)).collect();
    if !taken.is_empty() && dice.chance(20) {
        let chain = *dice.pick(&taken);
        return behind(world, number, open, chain, dice).await;
    }
    go_on(world, number, open, dice).await
}

/// Appends to what no other open transaction appends to.
async fn go_on(world: &mut World, number: usize, mut open: Open, dice: &mut Dice) -> Verdict {
    let Some(what) = choose(world, &open, dice) else {
        world.processes[number].open.push(open);
        return Ok(());
    };
    let fault = if dice.chance(12) {
        let code = *dice.pick(&["53100", "40001", "40P01", "dies", "waits"]);
        let who = world.processes[number].name.clone();
        world.database.fail(&who, dice.between(1, 2), code).await;
        if code == "waits" {
            world.database.hold().await;
        }
        Some(code)
    } else {
        None
    };
    let id = open.id;
    let given = what.clone();
    let run = world.run(fault == Some("waits"), async move {
        let done = appended(&mut open, given).await;
        (open, done)
    });
    let outcome = match run.await {
        Run::Waits(task) => {
            task.abort();
            world.restart(number).await;
            world.database.heal().await;
            world.note("a writer killed at a statement");
            return Ok(());
        }
        Run::Ended(outcome) => outcome,
    };
    if fault.is_some() {
        world.database.heal().await;
    }
    let (open, done) = outcome;
    match (done, fault) {
        (Ok(()), _) => {
            world.say(format!("  {id} appends {}", told(&what)));
            match what {
                What::Large(_) => world.note("an entry that had to be split"),
                What::First(_) => world.note("first entries of agents"),
                What::Entries(entries) if entries.len() > BATCH => {
                    world.note("more than a seal takes");
                }
                _ => {}
            }
            world.processes[number].open.push(open);
            Ok(())
        }
        (Err(Failed::Said(error)), _) if matches!(what, What::TooLarge(_)) => {
            let _ = open.tx.rollback().await;
            if error.kind() != Kind::Invalid && fault.is_none() {
                return Err(format!("a change that is too large: {error}"));
            }
            world.note("a change too large for any entry");
            Ok(())
        }
        (Err(Failed::Said(error)), Some(code)) if error.kind().is_transient() => {
            let _ = open.tx.rollback().await;
            world.note(if code == "dies" {
                "a writer's connection died"
            } else {
                "an append failed"
            });
            Ok(())
        }
        (Err(Failed::Said(error)), fault) => Err(format!("append, with {fault:?}: {error:?}")),
        (Err(Failed::Wrong(what)), _) => Err(what),
    }
}

fn told(what: &What) -> String {
    match what {
        What::Entries(entries) => format!("{} entries", entries.len()),
        What::Large(entry) | What::TooLarge(entry) => {
            format!("an entry of {} changes", entry.changes.len())
        }
        What::First(agents) => format!("first entries of {} agents", agents.len()),
        What::Settled(_, owed) => format!("what {} owed changes need", owed.len()),
    }
}

fn choose(world: &mut World, open: &Open, dice: &mut Dice) -> Option<What> {
    let free: Vec<Chain> = chains().filter(|chain| !world.touched(*chain)).collect();
    let free: Vec<Chain> = free
        .into_iter()
        .chain(chains().filter(|chain| open.touched.contains(chain)))
        .collect();
    // The last takes as long as a whole world.
    let kinds = [
        (240, 0),
        (32, 1),
        (12, 2),
        (32, 3),
        (56, 4),
        (24, 5),
        (1, 6),
    ];
    Some(match dice.weighted(&kinds) {
        1 if !free.is_empty() => {
            let mut large = entry(*dice.pick(&free), dice);
            let one = |dice: &mut Dice| {
                let text = "y".repeat(16_000 + dice.index(20_000));
                change(dice, json!(text))
            };
            large.changes = (0..5 + dice.roll(5)).map(|_| one(dice)).collect();
            What::Large(large)
        }
        2 if !free.is_empty() => {
            let mut large = entry(*dice.pick(&free), dice);
            let text = "z".repeat(MAX_BYTES);
            large.changes.push(change(dice, json!(text)));
            What::TooLarge(large)
        }
        3 => {
            let agents = (0..=dice.roll(20)).map(|_| (world.next_agent(), changes(dice)));
            What::First(agents.collect())
        }
        4 => {
            // What this transaction itself said, the oracle does not know yet.
            let mut known = world.oracle.agents();
            known.retain(|agent| {
                let chain = Some(*agent);
                !open.touched.contains(&chain) && !world.touched(chain)
            });
            if known.is_empty() {
                return None;
            }
            let agent = *dice.pick(&known);
            let said = world.oracle.net(agent).iter();
            let mut owed: Vec<Change> = said
                .filter(|_| dice.chance(80))
                .map(|(change, _)| change.clone())
                .collect();
            if dice.chance(50) {
                owed.extend(changes(dice));
            }
            What::Settled(agent, owed)
        }
        5 => many(world, 100 + dice.roll(250), dice),
        6 => many(world, BATCH as u64 + dice.roll(100), dice),
        _ if !free.is_empty() => {
            let count = 1 + dice.roll(5);
            let one = |dice: &mut Dice| entry(*dice.pick(&free), dice);
            What::Entries((0..count).map(|_| one(dice)).collect())
        }
        _ => return None,
    })
}

/// Many short entries, of agents that nobody else speaks of.
fn many(world: &mut World, count: u64, dice: &mut Dice) -> What {
    let one = |world: &mut World, dice: &mut Dice| {
        let short = change(dice, json!(1));
        NewEntry::agent(world.next_agent(), vec![short])
    };
    What::Entries((0..count).map(|_| one(world, dice)).collect())
}

/// Why an append is not done.
enum Failed {
    /// The journal said so.
    Said(Error),
    /// It did, but not what it should.
    Wrong(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

async fn appended(open: &mut Open, what: What) -> Result<(), Failed> {
    let touched = what.touched();
    let tx = &mut open.tx;
    let written = match what {
        What::Entries(entries) => {
            let done = append(tx, entries.clone()).await?;
            paired(tx, entries, done)?
        }
        What::Settled(agent, changes) => {
            let owed = [Owed {
                agent,
                changes: &changes,
            }];
            let mut written = Vec::new();
            // What takes back large entries is large itself.
            let settling = settle(tx, &owed).await?;
            if let Some((_, why)) = settling.put_off.into_iter().next() {
                return Err(why.into());
            }
            for entry in settling.entries {
                let done = append(tx, vec![entry.clone()]).await?;
                written.extend(split(tx, entry, done).await?);
            }
            written
        }
        What::Large(entry) => {
            let done = append(tx, vec![entry.clone()]).await?;
            if done.len() < 2 {
                return Err(Failed::Wrong("a large entry was not split".to_owned()));
            }
            split(tx, entry, done).await?
        }
        What::TooLarge(entry) => {
            append(tx, vec![entry]).await?;
            return Err(Failed::Wrong(
                "a change that is too large was taken".to_owned(),
            ));
        }
        What::First(agents) => first(tx, agents).await?,
    };
    // Where nothing is owed, nothing is written: another one need not wait there, and goes first.
    if !written.is_empty() {
        open.touched.extend(touched);
    }
    open.written.extend(written);
    Ok(())
}

/// Entries with the CIDs that they were given.
fn paired(tx: &Tx, entries: Vec<NewEntry>, done: Vec<Appended>) -> Result<Vec<Written>, Failed> {
    if entries.len() != done.len() {
        let (given, done) = (entries.len(), done.len());
        return Err(Failed::Wrong(format!("{given} entries became {done}")));
    }
    let written = entries.into_iter().zip(done).map(|(entry, done)| Written {
        cid: done.cid,
        kind: entry.kind,
        chain: entry.agent,
        time: tx.now(),
        changes: entry.changes,
        said: entry.said,
    });
    Ok(written.collect())
}

/// The parts of an entry: how many changes each has, they say themselves; that they are those, their bytes.
async fn split(tx: &mut Tx, entry: NewEntry, done: Vec<Appended>) -> Result<Vec<Written>, Failed> {
    let (mut changes, mut said) = (entry.changes.into_iter(), entry.said.into_iter());
    let mut written = Vec::new();
    for part in done {
        let body = sqlx::query_scalar("SELECT body FROM journal.entries WHERE seq = $1");
        let body: Vec<u8> = body
            .bind(part.seq)
            .fetch_one(tx.conn())
            .await
            .map_err(Error::from)?;
        let told: Ipld =
            serde_ipld_dagcbor::from_slice(&body).map_err(|e| Failed::Wrong(e.to_string()))?;
        let Ok(Some(Ipld::List(told))) = told.take("changes") else {
            return Err(Failed::Wrong("a part without changes".to_owned()));
        };
        written.push(Written {
            cid: part.cid,
            kind: entry.kind,
            chain: entry.agent,
            time: tx.now(),
            changes: changes.by_ref().take(told.len()).collect(),
            said: said.by_ref().take(told.len()).collect(),
        });
    }
    match changes.next() {
        None => Ok(written),
        Some(_) => Err(Failed::Wrong("a change is in no part".to_owned())),
    }
}

async fn first(tx: &mut Tx, agents: Vec<(AgentId, Vec<Change>)>) -> Result<Vec<Written>, Failed> {
    let mut first = First::default();
    for (agent, changes) in &agents {
        let added = first.add(tx.now(), *agent, changes.clone());
        added.map_err(Error::from)?;
    }
    let count = first.append(tx).await?;
    let mut written = Vec::new();
    for (agent, changes) in agents {
        let cid = sqlx::query_scalar("SELECT cid FROM journal.entries WHERE agent_id = $1");
        let cid = cid.bind(agent.0).fetch_one(tx.conn());
        written.push(Written {
            cid: cid.await.map_err(Error::from)?,
            kind: EntryKind::Agent,
            chain: Some(agent),
            time: tx.now(),
            changes,
            said: Vec::new(),
        });
    }
    if count != written.len() {
        return Err(Failed::Wrong(format!("{count} first entries")));
    }
    Ok(written)
}

/// Appends to a chain that another open transaction has appended to: it has to wait.
async fn behind(
    world: &mut World,
    number: usize,
    open: Open,
    chain: Chain,
    dice: &mut Dice,
) -> Verdict {
    let entries: Vec<_> = (0..=dice.roll(2)).map(|_| entry(chain, dice)).collect();
    world.say(format!("  {} appends behind another one", open.id));
    let blocked = open.append_behind(entries, BTreeSet::from([chain]));
    world.processes[number].blocked.push(blocked);
    resolve(world).await
}

/// Looks how those went on that waited, until they wait again.
pub async fn resolve(world: &mut World) -> Verdict {
    for number in 0..world.processes.len() {
        let waiting = std::mem::take(&mut world.processes[number].blocked);
        for blocked in waiting {
            while !blocked.task.is_finished() && !world.database.is_blocked(blocked.pid).await {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            if blocked.task.is_finished() {
                resolved(world, number, blocked).await?;
            } else {
                world.note("a transaction that waited for another one");
                world.processes[number].blocked.push(blocked);
            }
        }
    }
    Ok(())
}

async fn resolved(world: &mut World, number: usize, blocked: Blocked) -> Verdict {
    let id = blocked.id;
    let (tx, done) = blocked.task.await.map_err(|panic| panic.to_string())?;
    match done {
        Ok(done) => {
            let written = paired(&tx, blocked.entries, done);
            let Ok(written) = written else {
                return Err("entries and CIDs do not pair".to_owned());
            };
            world.say(format!("  {id} went on"));
            world.note("an append went on after a rollback");
            let (pid, touched) = (blocked.pid, blocked.touched);
            world.processes[number].open.push(Open {
                id,
                tx,
                pid,
                touched,
                written,
            });
            Ok(())
        }
        Err(Error::Clash) => {
            world.note("a clash");
            let _ = tx.rollback().await;
            Ok(())
        }
        Err(error) => Err(format!("behind another one: {error:?}")),
    }
}

/// An open transaction ends.
pub async fn end(world: &mut World, dice: &mut Dice) -> Verdict {
    let with: Vec<usize> = (0..world.processes.len())
        .filter(|number| !world.processes[*number].open.is_empty())
        .collect();
    if with.is_empty() {
        return Ok(());
    }
    let number = *dice.pick(&with);
    let place = dice.index(world.processes[number].open.len());
    let open = world.processes[number].open.swap_remove(place);
    match dice.roll(100) {
        0..15 => {
            world.say(format!("transaction {} is rolled back", open.id));
            let undone = open.tx.rollback().await;
            undone.map_err(|error| format!("rollback: {error}"))?;
            world.note("a transaction rolled back");
        }
        15..25 => die(world, number, open, dice.chance(50)).await?,
        _ => commit(world, open).await?,
    }
    resolve(world).await
}

/// Says in the transaction itself that it was committed.
async fn mark(open: &mut Open) -> Result<(), String> {
    let mark = sqlx::query("INSERT INTO sim.commits VALUES ($1)").bind(open.id);
    let marked = mark.execute(open.tx.conn()).await;
    marked.map(drop).map_err(|error| format!("mark: {error}"))
}

pub async fn commit(world: &mut World, mut open: Open) -> Verdict {
    mark(&mut open).await?;
    let committed = open.tx.commit().await;
    committed.map_err(|error| format!("commit: {error}"))?;
    world.say(format!("transaction {} is committed", open.id));
    world.note("a transaction committed");
    done(world, &open.written);
    Ok(())
}

fn done(world: &mut World, written: &[Written]) {
    world.oracle.commit(written);
    let retracts = |entry: &Written| entry.kind == EntryKind::Retracted;
    if written.iter().any(retracts) {
        world.note("a retraction");
    }
}

/// Its process is killed while it commits: nobody knows whether it did.
async fn die(world: &mut World, number: usize, mut open: Open, undone: bool) -> Verdict {
    mark(&mut open).await?;
    let who = world.processes[number].name.clone();
    world.database.hold().await;
    world.database.fail(&who, 1, "commits").await;
    let (id, written) = (open.id, std::mem::take(&mut open.written));
    match world.run(true, open.tx.commit()).await {
        Run::Ended(ended) => return Err(format!("a commit that was to wait: {ended:?}")),
        Run::Waits(task) if undone => {
            task.abort();
            world.restart(number).await;
        }
        Run::Waits(task) => {
            task.abort();
            let _ = task.await;
            world.vanish(number).await;
        }
    }
    world.database.heal().await;
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM sim.commits WHERE id = $1)");
    let found = found.bind(id).fetch_one(&world.database.pool).await;
    if found.expect("an answer") {
        world.note("a writer killed in its commit, done");
        done(world, &written);
    } else {
        world.note("a writer killed in its commit, undone");
    }
    Ok(())
}

/// A few entries of agents that nobody else speaks of.
pub async fn some(world: &mut World, open: &mut Open, dice: &mut Dice) -> Verdict {
    let what = many(world, 1 + dice.roll(5), dice);
    match appended(open, what).await {
        Ok(()) => Ok(()),
        Err(Failed::Said(error)) => Err(format!("append: {error}")),
        Err(Failed::Wrong(what)) => Err(what),
    }
}
