//! Drawn histories with lies, reorganisations, kills and new names in between: in the end those who are kept are what an
//! index of everything by an honest provider has of them, and everybody who must be is kept.

use std::collections::BTreeMap;

use indexer::{Prove, Watch};
use kernel::Address;
use replay_rpc::node::{Faults, Lose};
use sqlx::PgPool;
use store::Outcome;

use crate::{
    index::{Index, beside, watch},
    kit::{ALICE, BOB, CAROL},
    net::Net,
};

const PEOPLE: [Address; 3] = [ALICE, BOB, CAROL];

/// Less than what is settled.
const DEEPEST: u64 = 6;

/// Numbers that look drawn and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn person(&mut self) -> Address {
        PEOPLE[usize::try_from(self.below(3)).expect("few")]
    }
}

/// Owners by token; nobody: burned.
type Owners = BTreeMap<u64, Option<Address>>;

/// A chain and who owned what after each of its blocks.
struct World {
    net: Net,
    after: Vec<Owners>,
    dice: Dice,
}

impl World {
    fn new(seed: u64) -> anyhow::Result<Self> {
        Ok(Self {
            net: Net::new(Faults::default())?,
            after: vec![Owners::new()],
            dice: Dice(seed),
        })
    }

    /// What happens in a block: at most one thing with each token.
    fn deeds(dice: &mut Dice, owners: &mut Owners) -> Vec<Deed> {
        let mut deeds: Vec<Deed> = Vec::new();
        for _ in 0..dice.below(4) {
            let new = owners.len() as u64 + 1;
            let id = 1 + dice.below(new);
            if deeds.iter().any(|deed| deed.id == id) {
                continue;
            }
            let (owner, kind) = match owners.get(&id) {
                None => (dice.person(), 0),
                Some(Some(owner)) => (*owner, 1 + dice.below(6)),
                Some(None) => continue,
            };
            let to = dice.person();
            match kind {
                0 => owners.insert(id, Some(owner)),
                1 | 2 => owners.insert(id, Some(to)),
                3 if dice.below(4) == 0 => {
                    deeds.push(Deed {
                        id,
                        kind: 7,
                        owner,
                        to,
                    });
                    owners.insert(id, None);
                    continue;
                }
                _ => None,
            };
            deeds.push(Deed {
                id,
                kind,
                owner,
                to,
            });
        }
        deeds
    }

    fn block(&mut self) {
        let mut owners = self.after.last().expect("a genesis").clone();
        let deeds = Self::deeds(&mut self.dice, &mut owners);
        self.net.block(|block| written(block, &deeds));
        self.after.push(owners);
    }

    fn empty(&mut self, count: u64) {
        self.net.empty(count);
        let last = self.after.last().expect("a genesis").clone();
        self.after.extend((0..count).map(|_| last.clone()));
    }

    fn reorg(&mut self) {
        let depth = 1 + self.dice.below(DEEPEST.min(self.net.height()));
        self.after
            .truncate(self.after.len() - usize::try_from(depth).expect("few"));
        let mut owners = self.after.last().expect("a genesis").clone();
        let deeds = Self::deeds(&mut self.dice, &mut owners);
        self.net.reorg(depth, |block| written(block, &deeds), depth);
        self.after.extend((0..=depth).map(|_| owners.clone()));
    }
}

/// Something that is done with a token.
struct Deed {
    id: u64,
    kind: u64,
    owner: Address,
    to: Address,
}

fn written<'w>(block: &'w mut crate::kit::Writer, deeds: &[Deed]) -> &'w mut crate::kit::Writer {
    for Deed {
        id,
        kind,
        owner,
        to,
    } in deeds
    {
        match kind {
            0 => block.register(*id, *owner, &format!("https://{id}.example/a.json")),
            1 | 2 => block.transfer(*id, *owner, *to),
            3 | 4 => block.uri(*id, &format!("ipfs://{id}-{owner}")),
            5 => block.metadata(*id, "model", to.as_slice()),
            7 => block.burn(*id, *owner),
            _ => block.status(*id, 1, "resting"),
        };
    }
    block
}

fn lies(dice: &mut Dice) -> Faults {
    Faults {
        seed: dice.below(1_000),
        lose: [Lose::Wide, Lose::All, Lose::Blocks][usize::try_from(dice.below(3)).expect("few")],
        lose_one_in: 2 + dice.below(6),
        forge_one_in: dice.below(2) * 9,
        alter_one_in: dice.below(2) * 7,
        max_range: dice.below(2) * 30,
        ..Faults::default()
    }
}

/// What fails for a moment is tried again.
fn tried(outcome: indexer::Result<Outcome>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if !error.kind().is_transient() => Err(error.into()),
        _ => Ok(()),
    }
}

async fn drawn(pool: &PgPool, seed: u64) -> anyhow::Result<()> {
    let mut world = World::new(seed)?;
    for _ in 0..30 {
        world.block();
        let pause = world.dice.below(4);
        world.empty(pause);
    }
    let far = 290 * world.dice.below(2);
    world.empty(far + 8);
    let place = usize::try_from(seed)?;
    let (theirs, pool) = (
        beside(pool, 100 + place).await?,
        beside(pool, 200 + place).await?,
    );
    let mut who: Watch = watch(&[ALICE], &[]);
    let prove = if world.dice.below(4) == 0 {
        Prove::First
    } else {
        Prove::Behind
    };
    let mut ours = Index::open(&pool, &world.net, Some(who.clone()), prove).await?;
    for _ in 0..40 {
        match world.dice.below(10) {
            0 => world.reorg(),
            1 => {
                let faults = lies(&mut world.dice);
                world.net.set_faults(faults);
            }
            2 => world.net.set_faults(Faults::default()),
            3 => {
                if world.dice.below(3) == 0 {
                    let known = world.after.last().expect("one").len() as u64 + 1;
                    let named = watch(&[], &[1 + world.dice.below(known)]);
                    who.tokens.extend(named.tokens);
                }
                if world.dice.below(8) == 0 {
                    who.owners.insert(BOB);
                }
                ours = Index::open(&pool, &world.net, Some(who.clone()), prove).await?;
            }
            4 | 5 => tried(ours.round().await)?,
            6 => tried(ours.prove_once().await)?,
            _ => world.block(),
        }
    }
    // What a lie brought in between is read again.
    for _ in 0..20 {
        match ours.prove().await {
            Err(error) if error.kind().is_transient() => {}
            done => {
                done?;
                break;
            }
        }
    }
    let mut all = Index::open(&theirs, &world.net, None, Prove::Behind).await?;
    all.follow().await?;
    let scope = ours.scope(&all).await;
    let when = format!("seed {seed}");
    for owner in &who.owners {
        for id in all.given(*owner).await {
            assert!(scope.contains(&id), "{when}: {id} is not kept");
        }
    }
    assert!(
        ours.levels().await == ["proven"],
        "{when}: {:?}",
        ours.levels().await
    );
    ours.assert_part_of(&all, &scope, &when).await
}

#[sqlx::test(migrations = "../migrations")]
async fn whatever_happens_those_who_are_kept_are_what_they_are_in_an_index_of_everything(
    pool: PgPool,
) -> anyhow::Result<()> {
    for seed in 1..=12 {
        drawn(&pool, seed).await?;
    }
    Ok(())
}
