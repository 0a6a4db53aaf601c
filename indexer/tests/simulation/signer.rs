//! Who signs: keys and wallets say things of agents, mostly what they may, and keys beat.

use chrono::SecondsFormat;
use did::ed25519;
use identity::{
    heartbeat::{Beat, Form, Heard, check, transit},
    statement::Action,
};
use kernel::{Address, Kind, Token};
use serde_json::{Value, json};
use sqlx::Row;
use store::Outcome;

use super::{
    dice::Dice,
    kit::{self, By},
    vexel::usual_owner,
    words::{SIGNERS, WALLETS},
    world::{Verdict, World},
};

/// What somebody signs.
struct Wish {
    action: Action,
    agent: String,
    content: Value,
    by: Vec<By>,
    /// False: whoever signs it may not say it.
    may: bool,
}

/// An agent as its row shows it.
struct Known {
    did: String,
    /// The wallet of its owner, if it is one of ours.
    owner: Option<By>,
    /// Its key.
    key: Option<u8>,
    /// It ended for good.
    ended: bool,
}

impl Known {
    fn is_token(&self) -> bool {
        self.did.starts_with("did:nft:")
    }
}

fn wallet(number: usize) -> By {
    By::Wallet(u8::try_from(number + 1).expect("small"))
}

async fn known(world: &World) -> Vec<Known> {
    let rows =
        sqlx::query("SELECT did, owner_address, status_final FROM identity.agents ORDER BY id");
    let rows = rows.fetch_all(&world.database.pool).await.expect("agents");
    let known = rows.iter().map(|row| {
        let (did, owner): (String, Option<String>) = (row.get(0), row.get(1));
        let is_his = |account: Address| owner.as_ref() == Some(&format!("{account:#x}"));
        Known {
            key: SIGNERS.into_iter().find(|seed| kit::did(*seed) == did),
            owner: WALLETS.into_iter().position(is_his).map(wallet),
            ended: row.get(2),
            did,
        }
    });
    known.collect()
}

/// Some statements, each about what the ones before left. `alone`: nobody else does anything meanwhile.
pub async fn sign(world: &mut World, dice: &mut Dice, alone: bool) -> Verdict {
    for _ in 0..=dice.roll(3) {
        let known = known(world).await;
        let without: Vec<&Known> = known.iter().filter(|agent| !agent.is_token()).collect();
        let agent = match dice.roll(10) {
            0 | 1 => None,
            2..=6 if !without.is_empty() => Some(*dice.pick(&without)),
            _ if !known.is_empty() => Some(dice.pick(&known)),
            _ => None,
        };
        let wish = agent.and_then(|agent| about(agent, &known, dice));
        let wish = wish.unwrap_or_else(|| registration(*dice.pick(&SIGNERS), dice));
        let may = wish.may || !alone;
        if say(world, wish).await? && !may {
            return Err("a word counted of somebody who may not say it".to_owned());
        }
    }
    Ok(())
}

/// Mostly with the owner that is usual for the key, sometimes without.
fn registration(seed: u8, dice: &mut Dice) -> Wish {
    let mut by = vec![By::Key(seed)];
    if dice.chance(75) {
        let usual = usual_owner(u64::from(seed));
        let number = WALLETS.iter().position(|account| *account == usual);
        by.push(wallet(number.expect("a wallet")));
    }
    let n = dice.roll(3);
    Wish {
        action: Action::Register,
        agent: kit::did(seed),
        content: json!({ "name": format!("signed {n}"), "capabilities": { "c0": n } }),
        by,
        may: true,
    }
}

/// Something about an agent, by whom it belongs to; or by somebody else.
fn about(agent: &Known, all: &[Known], dice: &mut Dice) -> Option<Wish> {
    let key = agent.key.map(By::Key);
    let speakers: Vec<By> = key.into_iter().chain(agent.owner).collect();
    if speakers.is_empty() {
        return None;
    }
    if let (true, Some(seed)) = (agent.ended, agent.key) {
        return Some(registration(seed, dice));
    }
    let n = dice.roll(3);
    let speaker = *dice.pick(&speakers);
    let (action, content, by) = match (dice.roll(13), agent.key) {
        (0..=2, _) => {
            let mut content = json!({
                "description": format!("signed {n}"),
                "capabilities": { "c1": n, "c2": null },
            });
            if dice.chance(40) {
                content["ttl"] = json!(60);
            }
            (Action::Update, content, vec![speaker])
        }
        (3 | 4, Some(seed)) => {
            let new = *dice.pick(&SIGNERS);
            let content = json!({ "key": kit::did(new) });
            let by = vec![By::Key(seed), By::Key(new)];
            return (new != seed).then(|| Wish {
                action: Action::Rotate,
                agent: agent.did.clone(),
                content,
                by,
                may: true,
            });
        }
        (5 | 6, Some(seed)) => {
            let of_wallets = |one: &&Known| one.is_token() && one.owner.is_some();
            let tokens: Vec<&Known> = all.iter().filter(of_wallets).collect();
            let token = (!tokens.is_empty()).then(|| *dice.pick(&tokens))?;
            return Some(claim(seed, token.owner?, &token.did));
        }
        (7 | 8, _) if !agent.is_token() => {
            let to = usize::try_from(n).expect("small");
            let to = dice.chance(80).then(|| format!("{:#x}", WALLETS[to]));
            let by = agent.owner.or(key)?;
            (Action::Transfer, json!({ "owner": to }), vec![by])
        }
        (9, _) => (
            Action::Deregister,
            json!({ "reason": "enough" }),
            vec![speaker],
        ),
        _ => {
            let status = *dice.pick(&["ACTIVE", "SLEEP", "TERMINATED"]);
            let content = json!({ "status": status, "load": "BUSY" });
            (Action::Status, content, vec![speaker])
        }
    };
    // A wallet that is not the owner's.
    let other = usize::try_from(dice.roll(3)).expect("small");
    let is_owner =
        matches!((agent.owner, wallet(other)), (Some(By::Wallet(a)), By::Wallet(b)) if a == b);
    let may = is_owner || !dice.chance(15);
    Some(Wish {
        action,
        agent: agent.did.clone(),
        content,
        by: if may { by } else { vec![wallet(other)] },
        may,
    })
}

/// A key's agent and a token are one.
fn claim(seed: u8, owner: By, token: &str) -> Wish {
    Wish {
        action: Action::Claim,
        agent: kit::did(seed),
        content: json!({ "token": token }),
        by: vec![By::Key(seed), owner],
        may: true,
    }
}

/// A key that no agent had yet, or one that has an agent, says that a token of `owner` is the same agent. Gives whether
/// that counted.
pub async fn claims(
    world: &mut World,
    seed: u8,
    token: &Token,
    owner: usize,
) -> Result<bool, String> {
    let named = registration(seed, &mut Dice::new(u64::from(seed)));
    // It may be registered already.
    say(world, named).await?;
    let wish = claim(seed, wallet(owner), &token.did());
    say(world, wish).await
}

/// Records what somebody signed. False: it was refused.
async fn say(world: &mut World, wish: Wish) -> Result<bool, String> {
    let Wish {
        action,
        agent,
        content,
        by,
        may,
    } = wish;
    world.note(format!("  {} {agent} {content}", action.as_str()));
    let office = kit::World {
        db: world.db.clone(),
        clock: world.clock.clone(),
        ..kit::World::new(world.database.pool.clone())
    };
    match kit::say(&office, action, &agent, content, &by).await {
        Ok(_) => {
            world.tally.note(match action {
                _ if agent.starts_with("did:nft:") => "an owner's word on his token",
                Action::Register => "an agent that its key registers",
                Action::Update => "an update by statement",
                Action::Status => "a status by statement",
                Action::Rotate => "a rotated key",
                Action::Transfer => "an agent handed over by statement",
                Action::Deregister => "a deregistration by statement",
                Action::Claim => "a claim",
            });
            Ok(true)
        }
        Err(error) if error.kind() == Kind::Internal => Err(format!("a statement: {error}")),
        Err(error) => {
            world.note(format!("    {error}"));
            if !may && error.kind() == Kind::Denied {
                world.tally.note("a word of somebody who may not say it");
            }
            Ok(false)
        }
    }
}

/// Keys beat over HTTP, now or after a while; then those are told who came and went.
pub async fn beat(world: &mut World, dice: &mut Dice) -> Verdict {
    world.pass(*dice.pick(&[1, 40, 400])).await;
    let now = world.clock.now();
    let timestamp = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut heard = Vec::new();
    for seed in SIGNERS {
        if dice.chance(50) {
            let signature = kit::key(seed).sign(timestamp.as_bytes());
            let beat = Beat {
                agent: kit::did(seed),
                signature: ed25519::signature_wire(&signature),
                timestamp: timestamp.clone(),
                form: Form::Zynd,
            };
            heard.push(Heard::read(beat, now));
        }
    }
    let failed = |error: identity::Error| format!("beats: {error}");
    let checked = check(&world.db, "office.example", heard).await;
    let answers = checked.map_err(failed)?.keep(&world.db).await;
    let answers = answers.map_err(failed)?;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    world.tally.more("a beat over HTTP", taken);
    tell(world).await.map_err(failed)?;
    if dice.chance(50) {
        // Longer than a beat lasts.
        world.pass(400).await;
        tell(world).await.map_err(failed)?;
    }
    Ok(())
}

async fn tell(world: &World) -> identity::Result<()> {
    while transit(&world.db).await? == Outcome::Busy {}
    Ok(())
}
