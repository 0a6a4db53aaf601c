//! What happens in a world, step by step, and how often. Each step throws dice of its own, so that what a
//! step does hangs on the seed and its number, not on how quickly the steps before were over.
//!
//! Which steps make the sequences of `model.md` §7:
//!
//! | sequence | steps |
//! |---|---|
//! | 1 open psql transaction while a step projects | `Psql` opens, `Grow`, `Psql` closes |
//! | 2 a document is judged while a step names its URI | `JudgeDuring` |
//! | 3 a reorg drops a status that an act overrode | `Act`, `Reorg` |
//! | 4 several statuses in one step | `Burst`, `Backfill` |
//! | 5 statements of one psql transaction, `SET name = name`, status by SQL | `Psql`, `Sql` |
//! | 6 a chain an hour ahead, then an edit | `Site::ahead`, `Sql`, `Act` |
//! | 7 a mint goes to somebody else and comes back | `Sign`, `Reorg` with lost transactions, `Restore` |
//! | 8 a claim, with a sale and a reorg of it | `Claim`; `Sign`, `Grow`, `Reorg`, `Restore` |
//! | 9 a key is rotated away, and tries to register | `Sign` with few keys (`words::SIGNERS`) |
//! | 10 `active` before or after a status; URI A, B, A | `Judge`, `Grow`, `Restore` |
//! | 11 a file of many agents changes | few URIs (`words::URIS`), `Judge` |
//! | 12 SQL INSERT of an agent, of a `did:key`; DELETE of a token's agent, then its log | `Sql` |
//! | 14 one registry address on two chains | two sites |
//! | 15 burn, reorg of the burn, burn and mint again | `traffic`, `Reorg` |
//! | 16 a chain loses its tail | `Reorg` of an `Origin::Started` chain |
//! | 17 a log retracted and included again | `Restore` |
//! | 18 a stranger speaks in VEXEL's contracts for somebody's DID | `traffic`, `vexel` |
//! | 19 a block older than a journaled act | `Site::ahead` of -30, `Act` |
//! | 20 many changes of one agent | `Backfill` |
//!
//! Any of them may have statements, claims, rotated keys and beats among its facts (`Sign`, `SignDuring`, `Claim`,
//! `Beat`). 13, where names of another registry move, is a test of its own.

use std::future::pending;

use indexer::{Origin, Prove};
use kernel::{Kind, Token, U256};
use replay_rpc::node::{Batch, Faults, Lose, Refusing, Stale};

use super::{
    contract::{Call, Id, owners},
    dice::Dice,
    engine::{Engine, Part, Round},
    person, signer,
    words::{SIGNERS, URIS, WALLETS, uri},
    world::{Verdict, World},
};

/// Steps of one seed.
pub const STEPS: u64 = 16;

#[derive(Debug, Clone, Copy)]
enum Step {
    Grow,
    Burst,
    Backfill,
    Prove,
    Reorg,
    Restore,
    ReorgDuring,
    Act,
    Sql,
    Psql,
    Sign,
    SignDuring,
    Claim,
    Beat,
    Judge,
    JudgeDuring,
    Sweep,
    Jump,
    Seal,
    Compare,
    Kill,
    Cancel,
    FailingWrite,
    Cut,
    Crash,
    Race,
    Provider,
    FromNothing,
    Twice,
    OtherChain,
    OtherGenesis,
    DeepReorg,
    Exhaust,
    OldCopy,
}

const WEIGHTS: [(u64, Step); 34] = [
    (22, Step::Grow),
    (4, Step::Burst),
    (3, Step::Backfill),
    (3, Step::Prove),
    (12, Step::Reorg),
    (5, Step::Restore),
    (5, Step::ReorgDuring),
    (6, Step::Act),
    (10, Step::Sql),
    (5, Step::Psql),
    (12, Step::Sign),
    (3, Step::SignDuring),
    (3, Step::Claim),
    (6, Step::Beat),
    (11, Step::Judge),
    (3, Step::JudgeDuring),
    (6, Step::Sweep),
    (4, Step::Jump),
    (4, Step::Seal),
    (5, Step::Compare),
    (7, Step::Kill),
    (3, Step::Cancel),
    (6, Step::FailingWrite),
    (3, Step::Cut),
    (6, Step::Crash),
    (5, Step::Race),
    (9, Step::Provider),
    (1, Step::FromNothing),
    (2, Step::Twice),
    (1, Step::OtherChain),
    (1, Step::OtherGenesis),
    (2, Step::DeepReorg),
    (1, Step::Exhaust),
    (4, Step::OldCopy),
];

/// One step.
pub async fn step(world: &mut World, number: u64, dice: &mut Dice) -> Verdict {
    let step = dice.weighted(&WEIGHTS);
    // Indexes and foreign keys are left out only where nothing is indexed yet.
    let step = if number == 0 && dice.chance(40) {
        Step::Backfill
    } else {
        step
    };
    let site = dice.index(world.sites.len());
    world.note(format!("{step:?} on {site}"));
    if world.is_unindexed().await {
        // An index cannot be built while somebody holds its table.
        person::leave(world).await?;
    }
    match step {
        Step::Grow => {
            let blocks = 1 + dice.roll(4);
            world.mine(site, blocks, true, dice).await;
            world.publish(site);
            let rounds = if dice.chance(80) { 30 } else { 1 };
            world.follow(site, 0, rounds).await.map(drop)
        }
        Step::Burst => {
            // Busy ones, and so many empty ones that something settles.
            let (busy, empty) = (dice.roll(30), dice.chance(30));
            world.mine(site, busy, true, dice).await;
            let empty = if empty { world.depth + 5 } else { 1 };
            world.mine(site, empty, false, dice).await;
            world.publish(site);
            world.follow(site, 0, 40).await.map(drop)
        }
        Step::Backfill => backfill(world, site, dice).await,
        Step::Prove => prove(world, site, dice).await,
        Step::Reorg => {
            reorg(world, site, dice).await;
            world.publish(site);
            world.follow(site, 0, 30).await.map(drop)
        }
        Step::Restore => {
            if restore(world, site, dice).await {
                world.publish(site);
            }
            world.follow(site, 0, 30).await.map(drop)
        }
        Step::ReorgDuring => reorg_during(world, site, dice).await,
        Step::Act => person::act(world, dice).await,
        Step::Sql => person::sql(world, dice).await,
        Step::Psql => person::psql(world, dice).await,
        Step::Sign => signer::sign(world, dice, true).await,
        Step::SignDuring => sign_during(world, site, dice).await,
        Step::Claim => claim(world, site, dice).await,
        Step::Beat => signer::beat(world, dice).await,
        Step::Judge => {
            world
                .judge(&uri(dice.roll(URIS)), dice.roll(super::facts::FILES))
                .await
        }
        Step::JudgeDuring => judge_during(world, site, dice).await,
        Step::Sweep => world.sweep().await,
        Step::Jump => {
            let by = *dice.pick(&[3600, -3600, 20, 5]);
            world.note(format!("  {by} s"));
            world.tally.note("a clock that jumps");
            world.pass(by).await;
            Ok(())
        }
        Step::Seal => world.seal().await,
        Step::Compare => world.compare().await,
        Step::Kill => kill(world, site, dice, true).await,
        Step::Cancel => kill(world, site, dice, false).await,
        Step::FailingWrite => failing_write(world, site, dice).await,
        Step::Cut => {
            world.mine(site, 2, true, dice).await;
            world.publish(site);
            world.database.cut().await;
            world.tally.note("connections cut");
            world.follow(site, 0, 5).await.map(drop)
        }
        Step::Crash => crash(world, site, dice).await,
        Step::Race => race(world, site, dice).await,
        Step::Provider => provider(world, site, dice).await,
        Step::FromNothing => from_nothing(world, dice).await,
        Step::Twice => twice(world, site, dice).await,
        Step::OtherChain => other_chain(world, site, dice).await,
        Step::OtherGenesis => other_genesis(world, site, dice).await,
        Step::DeepReorg => deep_reorg(world, site, dice).await,
        Step::Exhaust => exhaust(world, site, dice).await,
        Step::OldCopy => old_copy(world).await,
    }
}

/// A chain far ahead of what is indexed, read in ranges, from a node that may lie about them; killed now and
/// then while ground runs ahead of its projection, and between the two commits of that.
async fn backfill(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    if world.backfills > 1 {
        return Ok(());
    }
    world.backfills += 1;
    person::leave(world).await?;
    for _ in 0..4 {
        world.mine(site, dice.roll(8), true, dice).await;
        world.mine(site, dice.roll(10), false, dice).await;
    }
    world.mine(site, FAR + world.depth, false, dice).await;
    world.publish(site);
    lie(world, site, dice);
    for _ in 0..dice.roll(4) {
        let part = if dice.chance(30) {
            Part::Both
        } else {
            Part::Follow
        };
        let round = if dice.chance(35) {
            world.dies_in_commit(site).await
        } else {
            world.interrupted(site, part, dice).await
        };
        match round {
            Round::Failed(error) => world.failed(site, &error)?,
            Round::Done(_) => {}
            Round::Killed => died(world, site).await,
        }
    }
    world.follow(site, 0, dice.roll(20)).await?;
    if dice.chance(40) {
        person::sql(world, dice).await?;
    }
    if dice.chance(40) {
        world.tally.note("a reorg during a backfill");
        reorg(world, site, dice).await;
        world.publish(site);
        world.follow(site, 0, 20).await?;
    }
    if dice.chance(50) {
        prove(world, site, dice).await?;
    }
    world.heal(site).await;
    world.follow(site, 0, 40).await.map(drop)
}

/// A process died in a backfill: another one goes on.
async fn died(world: &mut World, site: usize) {
    if world.is_ahead(site).await {
        world.tally.note("killed while a window waits");
    }
    if world.is_unindexed().await {
        world.tally.note("killed while indexes are left out");
    }
    world.restart(site, 0).await;
    world.pass(16).await;
}

/// Further behind than this, blocks are read in ranges and believed for a while.
const FAR: u64 = 262;

/// What is told of logs from now on is not always so, and a range is not always taken.
fn lie(world: &mut World, site: usize, dice: &mut Dice) {
    let mut faults = Faults {
        seed: dice.roll(1 << 32),
        no_log_time: dice.chance(20),
        refusing: *dice.pick(&REFUSING),
        ..Faults::default()
    };
    let one_in = 2 + dice.roll(12);
    // Where nothing is proven, what is told is believed.
    let nodes = &world.sites[site].nodes;
    let kinds = match world.sites[site].setting.config.prove {
        Prove::Off => 2,
        Prove::First | Prove::Behind if nodes.len() == 1 => 10,
        Prove::First | Prove::Behind => 17,
    };
    // After these a node rests, in real time: somebody else has to answer.
    let mut honest = None;
    match dice.roll(kinds) {
        0 => faults.max_range = 1 + dice.roll(30),
        1 => faults.max_logs = usize::try_from(1 + dice.roll(10)).expect("small"),
        2 | 3 => (faults.lose, faults.lose_one_in) = (Lose::Wide, one_in),
        4 => (faults.lose, faults.lose_one_in) = (Lose::All, one_in),
        5 | 6 => (faults.lose, faults.lose_one_in) = (Lose::Blocks, one_in),
        7 => faults.forge_one_in = 1 + one_in / 4,
        8 => faults.alter_one_in = one_in,
        9 => faults.shuffle_logs = true,
        kind => {
            // The last one is asked for logs: all were greeted in turn, and it waited least.
            honest = Some(dice.index(nodes.len() - 1));
            match kind {
                10 | 11 => faults.removed_one_in = 1 + one_in / 4,
                12 | 13 => faults.wrong_hash_one_in = 1 + one_in / 4,
                _ => faults.batch = *dice.pick(&BATCHES),
            }
        }
    }
    world.note(format!("  all nodes but {honest:?}: {}", told(&faults)));
    world.sites[site].lied = true;
    for (number, node) in world.sites[site].nodes.iter().enumerate() {
        if honest != Some(number) {
            node.set_faults(faults.clone());
        }
    }
}

const REFUSING: [Refusing; 3] = [Refusing::Alchemy, Refusing::Infura, Refusing::Geth];

/// What was only reported is proven, sometimes while the chain goes on or the process ends.
async fn prove(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    for _ in 0..=dice.roll(3) {
        let part = if dice.chance(33) {
            Part::Both
        } else {
            Part::Prove
        };
        let round = if dice.chance(25) {
            world.interrupted(site, part, dice).await
        } else {
            let engine = &mut world.sites[site].engines[0];
            engine.until(part, pending()).await
        };
        match round {
            Round::Failed(error) => world.failed(site, &error)?,
            Round::Done(_) => {}
            Round::Killed => {
                world.restart(site, 0).await;
                world.pass(16).await;
            }
        }
    }
    Ok(())
}

/// Another branch, with what the old one had or without.
async fn reorg(world: &mut World, site: usize, dice: &mut Dice) {
    let floor = world.floor(site);
    let height = world.sites[site].ledger.height();
    let most = (height - floor).min(64);
    let depth = match dice.roll(6) {
        0 => most,
        1 => dice.roll(most + 1),
        _ => dice.roll(most.min(6) + 1),
    };
    let to = height - depth;
    world.note(format!("  {height} -> {to}"));
    match depth {
        0 => {}
        1 => world.tally.note("a reorg of one block"),
        2 => world.tally.note("a reorg of two"),
        _ => world.tally.note("a deeper one"),
    }
    let lost = world.sites[site].ledger.fork(to);
    // Some of what was lost comes again, in its order, often in other blocks.
    let kept: Vec<_> = lost.into_iter().filter(|_| dice.chance(60)).collect();
    for part in kept.chunks(2) {
        let now = world.now();
        let site = &mut world.sites[site];
        let parent = site.ledger.tip().time;
        site.ledger
            .mine((now + site.ahead).max(parent), part.to_vec(), |_| None);
    }
    let short = height.saturating_sub(world.sites[site].ledger.height());
    let blocks = match world.origin {
        // A developer's chain may come back shorter.
        Origin::Started if dice.chance(40) => dice.roll(2),
        _ => short + dice.roll(3),
    };
    world.mine(site, blocks, true, dice).await;
}

/// Back to a branch that was left, grown beyond the one that is left now.
async fn restore(world: &mut World, site: usize, dice: &mut Dice) -> bool {
    let floor = world.floor(site);
    let ledger = &mut world.sites[site].ledger;
    let fit: Vec<usize> = (0..ledger.branches.len())
        .filter(|branch| ledger.common(*branch) >= floor)
        .collect();
    let Some(branch) = (!fit.is_empty()).then(|| *dice.pick(&fit)) else {
        return false;
    };
    let height = ledger.height();
    ledger.restore(branch);
    let short = height.saturating_sub(ledger.height());
    world.note(format!("  back to branch {branch}"));
    world.tally.note("a reorg back to the first fork");
    world.mine(site, short + dice.roll(3), true, dice).await;
    true
}

/// The chain moves between two requests of one round.
async fn reorg_during(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let blocks = 1 + dice.roll(12);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    reorg(world, site, dice).await;
    let count = 1 + dice.roll(8);
    let node = dice.index(world.sites[site].nodes.len());
    world.note(format!("  before request {count} to node {node}"));
    let site_of = &mut world.sites[site];
    site_of.highest = site_of.highest.max(site_of.ledger.height());
    let tip = site_of.ledger.tip().hash;
    site_of.nodes[node].before_request(count, move |network| {
        network.change(|chain| chain.switch_to(tip));
    });
    let at_head = world.follow(site, 0, 30).await;
    if world.sites[site].nodes[node].forget_plans() == 0 {
        world.tally.note("a reorg between two requests");
    }
    world.publish(site);
    at_head.map(drop)
}

/// The judge and a step at once: who commits first is not told.
async fn judge_during(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let blocks = 1 + dice.roll(3);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    let (named, number) = (uri(dice.roll(URIS)), dice.roll(super::facts::FILES));
    let mut engine = world.sites[site].engines.remove(0);
    let (round, judged) = futures::join!(engine.round(), world.judge(&named, number));
    world.sites[site].engines.insert(0, engine);
    if let Round::Failed(error) = round {
        world.failed(site, &error)?;
    }
    judged
}

/// Somebody signs while a step goes on: who commits first is not told.
async fn sign_during(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let blocks = 1 + dice.roll(3);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    world.tally.note("a statement and a step at once");
    let mut engine = world.sites[site].engines.remove(0);
    let (round, signed) = futures::join!(engine.round(), signer::sign(world, dice, false));
    world.sites[site].engines.insert(0, engine);
    if let Round::Failed(error) = round {
        world.failed(site, &error)?;
    }
    signed
}

/// A key and the owner of a token sign that both are one agent; he sells the token; a reorg takes the sale back.
async fn claim(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    person::leave(world).await?;
    let at_head = world.follow(site, 0, 40).await?;
    let ledger = &world.sites[site].ledger;
    let height = ledger.height();
    let mut held = Vec::new();
    for (id, owner) in owners(&ledger.tip().state, 0) {
        held.extend(
            WALLETS
                .iter()
                .position(|one| *one == owner)
                .map(|of| (id, of)),
        );
    }
    if !at_head || held.is_empty() || world.indexed(site).await != Some(height) {
        return Ok(());
    }
    let (id, owner) = *dice.pick(&held);
    let ledger = &world.sites[site].ledger;
    let token = Token {
        chain: ledger.id,
        registry: ledger.registries[0],
        id: U256::from(id),
    };
    let seed = *dice.pick(&SIGNERS);
    if !signer::claims(world, seed, &token, owner).await? {
        return Ok(());
    }
    world.compare().await?;
    let was = world.is_claimed(&token).await;

    let sale = Call::Transfer {
        id: Id::Is(id),
        from: WALLETS[owner],
        to: WALLETS[(owner + 1) % WALLETS.len()],
        callback: Vec::new(),
    };
    let mut wish = Some((WALLETS[owner], vec![sale]));
    let now = world.now();
    let site_of = &mut world.sites[site];
    let time = (now + site_of.ahead).max(site_of.ledger.tip().time);
    site_of.ledger.mine(time, Vec::new(), |_| wish.take());
    world.publish(site);
    world.follow(site, 0, 40).await?;
    world.compare().await?;
    let is = world.is_claimed(&token).await;
    if was && !is {
        world.tally.note("a claim that a sale ends");
    }
    if world.floor(site) > height {
        return Ok(());
    }

    world.sites[site].ledger.fork(height);
    world.mine(site, 2, false, dice).await;
    world.publish(site);
    world.follow(site, 0, 40).await?;
    world.compare().await?;
    if was && !is && world.is_claimed(&token).await {
        world
            .tally
            .note("a claim that a reorg of the sale brings back");
    }
    Ok(())
}

/// A process ends wherever it waits; or its round is dropped, and it goes on.
async fn kill(world: &mut World, site: usize, dice: &mut Dice, ends: bool) -> Verdict {
    let blocks = 1 + dice.roll(6);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    for _ in 0..3 {
        match world.interrupted(site, Part::Follow, dice).await {
            Round::Killed => break,
            Round::Failed(error) => world.failed(site, &error)?,
            Round::Done(_) => {}
        }
    }
    if ends {
        if dice.chance(50) {
            world.database.cut().await;
        }
        world.restart(site, 0).await;
        // The lease of the dead one ends.
        world.pass(16).await;
    } else {
        world.tally.note("a round dropped, the process goes on");
    }
    world.follow(site, 0, 5).await.map(drop)
}

async fn failing_write(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let blocks = 1 + dice.roll(4);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    let (at, code) = (
        dice.between(1, 40),
        *dice.pick(&["40001", "40P01", "53100", "57P01", "dies"]),
    );
    world.note(format!("  write {at}: {code}"));
    world.database.fail(at, code).await;
    let followed = world.follow(site, 0, 8).await;
    if world.database.heal().await >= at {
        world.tally.note(match code {
            "40001" => "serialization failure",
            "40P01" => "deadlock",
            "53100" => "disk full",
            _ => "a connection that dies in a statement",
        });
    }
    followed.map(drop)
}

/// Postgres dies while the chain is followed, where nobody else needs it.
async fn crash(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let blocks = 1 + dice.roll(4);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    if world.crashes && world.psql.is_none() {
        let late = dice.roll(200);
        let mut engine = world.sites[site].engines.remove(0);
        let dying = async {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            world.database.crash().await;
        };
        let (round, ()) = futures::join!(engine.round(), dying);
        world.sites[site].engines.insert(0, engine);
        world.tally.note("Postgres killed");
        if let Round::Failed(error) = round {
            world.failed(site, &error)?;
        }
    }
    world.follow(site, 0, 5).await.map(drop)
}

/// Two processes at once; now and then the leader's lease ends while it works.
async fn race(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    if world.sites[site].engines.len() < 2 {
        world.stand_by(site).await;
    }
    let blocks = 1 + dice.roll(5);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    world.tally.note("two leaders, two sealers");
    for _ in 0..=dice.roll(4) {
        let mut engines: Vec<_> = world.sites[site].engines.drain(..2).collect();
        let (one, two) = engines.split_at_mut(1);
        let (late, jump) = (dice.roll(30), dice.chance(40));
        let takeover = async {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            if jump {
                world.pass(16).await;
            }
            two[0].round().await
        };
        let (one, two) = futures::join!(one[0].round(), takeover);
        world.sites[site].engines.splice(0..0, engines);
        for round in [one, two] {
            match round {
                Round::Failed(error) => raced(world, site, &error)?,
                Round::Done(_) | Round::Killed => {}
            }
        }
    }
    if dice.chance(50) {
        // The leader dies, and the one that stood by goes on.
        world.sites[site].engines.swap(0, 1);
        world.restart(site, 1).await;
        world.pass(16).await;
    }
    world.follow(site, 0, 10).await.map(drop)
}

/// Who is fenced off is told so: a conflict, which is no halt.
fn raced(world: &mut World, site: usize, error: &indexer::Error) -> Verdict {
    match error.kind() {
        Kind::Conflict if !error.halts() => {
            world.note(format!("    {error}"));
            Ok(())
        }
        _ => world.failed(site, error),
    }
}

/// Something is wrong with a node for a while; with the only one, or with one of several.
async fn provider(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let node = dice.index(world.sites[site].nodes.len());
    let mut faults = Faults {
        seed: dice.roll(1 << 32),
        retry_after_s: dice.chance(50).then_some(0),
        hang_ms: 20,
        bomb_mb: 4,
        refusing: *dice.pick(&REFUSING),
        clip_range: dice.chance(30),
        no_log_time: dice.chance(30),
        ..Faults::default()
    };
    for _ in 0..=dice.roll(2) {
        disturb(world, site, &mut faults, dice);
    }
    world.note(format!("  node {node}: {}", told(&faults)));
    world.sites[site].lied = true;
    world.sites[site].nodes[node].set_faults(faults);
    let blocks = 2 + dice.roll(12);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    world.follow(site, 0, 4).await?;
    if dice.chance(60) {
        reorg(world, site, dice).await;
        world.publish(site);
        world.follow(site, 0, 4).await?;
    }
    world.heal(site).await;
    world.follow(site, 0, 12).await.map(drop)
}

/// One more thing goes wrong. A node that fails rests, in real time: an only one fails seldom, and not in ways
/// after which it rests for seconds, as it would after headers that do not hash any more.
fn disturb(world: &mut World, site: usize, faults: &mut Faults, dice: &mut Dice) {
    let site_of = &world.sites[site];
    let is_alone = site_of.nodes.len() == 1;
    let every = if is_alone {
        6 + dice.roll(6)
    } else {
        2 + dice.roll(6)
    };
    // Where nothing is proven, what is told is believed.
    let kinds = match (site_of.setting.config.prove, is_alone) {
        (Prove::Off, _) => 8,
        (_, true) => 13,
        (_, false) => 20,
    };
    let few = 1 + dice.roll(5);
    match dice.roll(kinds) {
        0 => faults.limit_every = every,
        1 => faults.fail_every = every,
        2 => faults.drop_every = every,
        3 => faults.cut_every = every,
        4 => faults.bomb_every = every,
        5 => faults.hang_every = every,
        6 => faults.removed_one_in = few,
        7 => stale(world, site, faults, every, dice),
        8 => faults.shuffle_logs = true,
        9 => faults.null_receipts_one_in = few,
        10 => faults.emptied_one_in = few,
        11 => (faults.lose, faults.lose_one_in) = (Lose::All, few),
        12 => {
            (faults.lose, faults.lose_one_in) = (Lose::All, few);
            faults.lie_in_receipts = true;
        }
        13 => faults.no_bloom_one_in = few,
        14 => faults.wrong_hash_one_in = 1,
        _ => faults.batch = *dice.pick(&BATCHES),
    }
}

const BATCHES: [Batch; 4] = [
    Batch::Shuffled,
    Batch::DuplicateIds,
    Batch::Short,
    Batch::Refused,
];

/// A load balancer with a back-end that is behind, or on the branch that was left, if that left above what will be
/// settled meanwhile: else it would speak of another chain.
fn stale(world: &World, site: usize, faults: &mut Faults, every: u64, dice: &mut Dice) {
    let site_of = &world.sites[site];
    let left = site_of
        .ledger
        .network
        .chain()
        .left_branch()
        .first()
        .map(|first| first.number());
    let settled = (site_of.highest + 20).saturating_sub(world.depth);
    let may_leave = world.depth == 0 || left.is_none_or(|left| left > settled);
    faults.stale = Some(Stale {
        every,
        blocks: 1 + dice.roll(world.depth.clamp(1, 6)),
        on_left_branch: may_leave && dice.chance(30),
    });
}

/// A node of another chain, at the start of a process or after some failure: what it says is not believed.
async fn other_chain(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let at_start = world.sites[site].nodes.len() == 1 || dice.chance(50);
    let before = world.standing(site).await;
    let faults = Faults {
        chain_id: Some(1),
        // It is asked who it is after it failed.
        drop_every: if at_start { 0 } else { 2 },
        ..Faults::default()
    };
    let nodes = &world.sites[site].nodes;
    let count = if at_start { nodes.len() } else { 1 };
    for node in &nodes[..count] {
        node.set_faults(faults.clone());
    }
    world.mine(site, 3, true, dice).await;
    world.publish(site);
    if at_start {
        world.restart(site, 0).await;
        world.pass(16).await;
        match world.sites[site].engines[0].round().await {
            Round::Failed(error) if error.kind() == Kind::Conflict => {}
            other => return Err(format!("another chain's node was believed: {other:?}")),
        }
        if world.standing(site).await != before {
            return Err("another chain's node was followed".to_owned());
        }
        world.tally.note("another chain's id at the start");
    } else {
        world.follow(site, 0, 6).await?;
        if world.sites[site].nodes[0].stats().of("eth_chainId").calls > 0 {
            world.tally.note("another chain's id in mid-run");
        }
    }
    world.heal(site).await;
    world.follow(site, 0, 5).await.map(drop)
}

/// Another chain under the same id.
async fn other_genesis(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    world.follow(site, 0, 2).await?;
    let Some(before) = world.standing(site).await else {
        return Ok(());
    };
    let mut setting = world.sites[site].setting.clone();
    setting.anchor.hash = kernel::B256::repeat_byte(u8::try_from(dice.roll(256)).expect("a byte"));
    let mut other = world.engine(&setting).await;
    let round = other.round().await;
    other.db.close().await;
    match round {
        Round::Failed(error) if error.halts() => {}
        round => return Err(format!("another genesis was taken: {round:?}")),
    }
    if world.standing(site).await != Some(before) {
        return Err("another chain was followed".to_owned());
    }
    world.tally.note("another genesis");
    Ok(())
}

/// A reorg below what is settled: the chain halts, with everything that it has; and goes on where the old branch
/// comes back and somebody starts it again.
async fn deep_reorg(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    if world.origin == Origin::Started || !world.follow(site, 0, 40).await? {
        return Ok(());
    }
    let Some(settled) = world.standing(site).await.map(|standing| standing.settled) else {
        return Ok(());
    };
    let settled = settled.unsigned_abs();
    let height = world.sites[site].ledger.height();
    let Some(to) = settled.checked_sub(1 + dice.roll(5)) else {
        return Ok(());
    };
    world.note(format!("  {height} -> {to}, settled is {settled}"));
    world.sites[site].ledger.fork(to);
    let branch = world.sites[site].ledger.branches.len() - 1;
    world
        .mine(site, height - to + dice.roll(2), true, dice)
        .await;
    world.sites[site].ledger.publish();
    let halted = match world.sites[site].engines[0].round().await {
        Round::Failed(error @ indexer::Error::DeepReorg { .. }) => error.halts(),
        round => return Err(format!("a reorg below what is settled: {round:?}")),
    };
    if !halted || !world.follow(site, 0, 2).await? {
        return Err("it does not halt".to_owned());
    }
    if world
        .standing(site)
        .await
        .map(|standing| standing.settled.unsigned_abs())
        != Some(settled)
    {
        return Err("what was settled moved".to_owned());
    }
    world.tally.note("a reorg below what is settled");
    world.sites[site].ledger.restore(branch);
    world.sites[site].ledger.branches.pop();
    world.mine(site, 2, true, dice).await;
    world.publish(site);
    world.restart(site, 0).await;
    world.pass(16).await;
    world.follow(site, 0, 20).await.map(drop)
}

/// No connection is left for a process: it says so, and nothing is done.
async fn exhaust(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    world.mine(site, 2, true, dice).await;
    world.publish(site);
    let before = world.standing(site).await;
    let (empty, taken) = world.database.exhausted().await;
    let setting = world.sites[site].setting.clone();
    let mut poor = Engine::with_pool(empty, &world.clock, 7, &setting);
    let round = poor.round().await;
    drop(taken);
    poor.db.close().await;
    match round {
        Round::Failed(error) if error.kind().is_transient() => {}
        round => return Err(format!("without a connection: {round:?}")),
    }
    if world.standing(site).await != before {
        return Err("it went on without a connection".to_owned());
    }
    world.tally.note("no connection left");
    world.follow(site, 0, 5).await.map(drop)
}

/// A copy of the database is made, or the one that was made before comes back.
async fn old_copy(world: &mut World) -> Verdict {
    if world.psql.is_some() {
        return Ok(());
    }
    if world.database.has_copy {
        world.restore().await;
    } else {
        world.back_up().await;
    }
    Ok(())
}

/// The faults that are on.
fn told(faults: &Faults) -> String {
    let told = serde_json::to_value(faults).expect("JSON");
    let usual = serde_json::to_value(Faults::default()).expect("JSON");
    let fields = told.as_object().expect("fields");
    let changed = fields.iter().filter(|(name, value)| usual[name] != **value);
    let changed: Vec<String> = changed
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    changed.join(", ")
}

/// The database is lost with all that was only there; everything is indexed again.
async fn from_nothing(world: &mut World, dice: &mut Dice) -> Verdict {
    if world.psql.is_some() {
        return Ok(());
    }
    for site in 0..world.sites.len() {
        for engine in 0..world.sites[site].engines.len() {
            world.restart(site, engine).await;
        }
    }
    world.forget().await;
    let site = dice.index(world.sites.len());
    reorg_during(world, site, dice).await
}

/// The same step again is refused, and changes nothing.
async fn twice(world: &mut World, site: usize, dice: &mut Dice) -> Verdict {
    let blocks = 1 + dice.roll(3);
    world.mine(site, blocks, true, dice).await;
    world.publish(site);
    let chain = world.sites[site].ledger.id;
    let Ok(before) = indexer::standing(&world.db, chain).await else {
        return Ok(());
    };
    if !world.follow(site, 0, 40).await? {
        return Ok(());
    }
    let after = indexer::standing(&world.db, chain)
        .await
        .map_err(|error| error.to_string())?;
    if after.ground.number <= before.ground.number {
        return Ok(());
    }
    let digest = world.digest().await?;
    let again = world.again(site, before.ground).await;
    if !matches!(again, Err(Kind::Conflict)) {
        return Err(format!("a step applied twice: {again:?}"));
    }
    if world.digest().await? != digest {
        return Err("a step that was refused changed something".to_owned());
    }
    Ok(())
}
