//! Readers: proofs between any two moments, tiles of any width, pages from any cursor.

use journal::{
    Error, bundle,
    checkpoint::Checkpoint,
    feed, log,
    note::Note,
    proof::{verify_consistency, verify_inclusion},
    said,
};
use kernel::{Kind, Limit, Span};

use super::{
    dice::Dice,
    process::ORIGIN,
    world::{Verdict, World},
};

fn told(error: impl std::fmt::Display) -> String {
    format!("reading: {error}")
}

/// A few looks at what is sealed.
pub async fn step(world: &mut World, dice: &mut Dice) -> Verdict {
    if world.oracle.size() == 0 {
        return Ok(());
    }
    for _ in 0..3 {
        match dice.roll(7) {
            0 => between_heads(world, dice).await?,
            1 => between_any(world, dice).await?,
            2 => inclusion(world, dice).await?,
            3 => tile(world, dice).await?,
            4 => entries(world, dice).await?,
            5 => page(world, dice).await?,
            _ => proof_file(world, dice).await?,
        }
    }
    Ok(())
}

/// A size that some checkpoint had.
fn a_head(world: &World, dice: &mut Dice) -> u64 {
    let sizes: Vec<u64> = world.oracle.heads.keys().copied().collect();
    *dice.pick(&sizes)
}

async fn between_heads(world: &mut World, dice: &mut Dice) -> Verdict {
    let (one, other) = (a_head(world, dice), a_head(world, dice));
    consistent(world, one.min(other), one.max(other)).await
}

async fn between_any(world: &mut World, dice: &mut Dice) -> Verdict {
    let size = world.oracle.size();
    let (one, other) = (dice.roll(size + 1), dice.roll(size + 1));
    consistent(world, one.min(other), one.max(other)).await?;
    let beyond = log::consistency(&world.reader(), one, size + 1).await;
    match beyond {
        Err(error) if error.kind() == Kind::Invalid => Ok(()),
        proof => Err(format!("a proof of what is not sealed: {proof:?}")),
    }
}

async fn consistent(world: &mut World, old: u64, new: u64) -> Verdict {
    let proof = log::consistency(&world.reader(), old, new).await;
    let proof = proof.map_err(told)?;
    let (before, after) = (world.oracle.root(old), world.oracle.root(new));
    verify_consistency(old, new, &proof, &before, &after)
        .map_err(|error| format!("from {old} to {new}: {error}"))
}

async fn inclusion(world: &mut World, dice: &mut Dice) -> Verdict {
    let size = 1 + dice.roll(world.oracle.size());
    let index = dice.roll(size);
    let db = world.reader();
    let proof = log::inclusion(&db, index, size).await.map_err(told)?;
    let (leaf, root) = (world.oracle.leaf(index), world.oracle.root(size));
    verify_inclusion(&leaf, index, size, &proof, &root)
        .map_err(|error| format!("leaf {index} in {size}: {error}"))?;
    if log::root(&db, size).await.map_err(told)? != root {
        return Err(format!("the root of {size} is another one"));
    }
    Ok(())
}

/// How many hashes or entries there are from `first` on, at most 256.
fn width(dice: &mut Dice, there: u64) -> u16 {
    let most = there.min(256);
    let width = if dice.chance(30) {
        most
    } else {
        1 + dice.roll(most)
    };
    u16::try_from(width).expect("small")
}

async fn tile(world: &mut World, dice: &mut Dice) -> Verdict {
    let size = world.oracle.size();
    let level = if size >= 256 { dice.roll(2) } else { 0 };
    let there = size >> (8 * level);
    let level = u8::try_from(level).expect("small");
    let index = dice.roll(there.div_ceil(256));
    let width = width(dice, there - index * 256);
    let db = world.reader();
    let tile = log::tile(&db, level, index, width).await.map_err(told)?;
    if tile != world.oracle.tile(level, index, width) {
        return Err(format!(
            "tile {level}/{index} of width {width} is another one"
        ));
    }
    let rest = there - (there - 1) / 256 * 256;
    if rest < 256 {
        let wider = u16::try_from(rest + 1).expect("small");
        not_there(log::tile(&db, level, (there - 1) / 256, wider).await)?;
    }
    not_there(log::tile(&db, level, there / 256 + 1, 1).await)
}

fn not_there<T>(answer: journal::Result<T>) -> Verdict {
    match answer {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(format!("what is not there: {error}")),
        Ok(_) => Err("more is there than there is".to_owned()),
    }
}

async fn entries(world: &mut World, dice: &mut Dice) -> Verdict {
    let size = world.oracle.size();
    let index = dice.roll(size.div_ceil(256));
    let width = width(dice, size - index * 256);
    let bundle = log::entry_bundle(&world.reader(), index, width).await;
    if bundle.map_err(told)? != world.oracle.bundle(index, width) {
        return Err(format!("bundle {index} of width {width} is another one"));
    }
    Ok(())
}

/// The change feed from anywhere.
async fn page(world: &mut World, dice: &mut Dice) -> Verdict {
    let size = world.oracle.size();
    let from = dice.roll(size + 1);
    let limit = u32::try_from(1 + dice.roll(50)).expect("small");
    let limit = Limit::new(limit).expect("in range");
    let span = Span {
        after: from,
        until: size,
        limit,
        newest: false,
    };
    let page = feed::read(&world.reader(), &feed::Wanted::default(), &span).await;
    let page = page.map_err(told)?;
    let first = usize::try_from(from).expect("small");
    let known = world.oracle.order[first..].iter().take(limit.get());
    let seen = page.items.iter().map(|told| &told.cid);
    if !seen.eq(known.map(|(cid, _)| cid)) {
        return Err(format!("the feed after {from} is another one"));
    }
    Ok(())
}

/// A proof file of any entry; of one that is not sealed there is none.
async fn proof_file(world: &mut World, dice: &mut Dice) -> Verdict {
    let db = world.reader();
    if let Some(cid) = world.oracle.unsealed.first() {
        match bundle::prove(&db, cid).await {
            Err(Error::NotSealed(_)) => {}
            proof => return Err(format!("a proof of what is not sealed: {proof:?}")),
        }
    }
    let index = dice.roll(world.oracle.size());
    let cid = world.oracle.order[usize::try_from(index).expect("small")]
        .0
        .clone();
    let file = bundle::prove(&db, &cid).await.map_err(told)?;
    let vkey = world.processes[0].sealer.vkey().to_string();
    let verified = bundle::verify(&file, Some(&vkey)).map_err(|error| error.to_string())?;
    let root = world.oracle.root(verified.size);
    if (&verified.cid, verified.index, verified.root) != (&cid, index, root) {
        return Err(format!("the proof file of {cid} proves {verified:?}"));
    }
    Ok(())
}

/// Everything that a stranger can ask, once: every earlier checkpoint against every later one.
pub async fn end(world: &mut World, dice: &mut Dice) -> Verdict {
    let heads: Vec<_> = world.oracle.heads.values().cloned().collect();
    let vkey = world.processes[0].sealer.vkey().clone();
    for head in &heads {
        let note = Note::parse(&head.note).map_err(|error| error.to_string())?;
        let signed = note.verify(std::slice::from_ref(&vkey));
        signed.map_err(|error| error.to_string())?;
        let text = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        if (text.origin.as_str(), text.size, text.root) != (ORIGIN, head.size, head.root) {
            return Err(format!("{text:?} is signed for {head:?}"));
        }
    }
    // All neighbours, from which all others follow, and many others all the same.
    for pair in heads.windows(2) {
        consistent(world, pair[0].size, pair[1].size).await?;
    }
    for _ in 0..heads.len().min(20) {
        between_heads(world, dice).await?;
        inclusion(world, dice).await?;
        tile(world, dice).await?;
        entries(world, dice).await?;
    }
    let agents = world.oracle.agents();
    let net = said::net(&world.reader(), &agents).await.map_err(told)?;
    for agent in agents {
        let said = net.get(&agent).map_or(&[][..], Vec::as_slice);
        let said = said
            .iter()
            .map(|said| (said.change.clone(), said.cid.clone()));
        if !said.eq(world.oracle.net(agent).iter().cloned()) {
            return Err(format!("the journal says other things of {agent}"));
        }
    }
    Ok(())
}
