//! What people do, drawn by a seed: always something that the contracts let them do on the head as it is.

use chain::registry;
use kernel::{Address, Bytes, U256};

use super::{
    anvil::{Chain, METADATA, Wanted},
    calls::{approve, operator},
};

/// Numbers that look drawn and are the same each time (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// Those of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// The next one of a range, both ends included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }

    /// A place in a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("small")
    }
}

/// A deed of one of the people, the first aside, who deploys. `agents` are those of the head, by number
/// and owner.
fn deed(chain: &Chain, agents: &[(u64, Address)], dice: &mut Dice) -> Wanted {
    let people = &chain.people[1..];
    let kind = dice.below(12);
    if agents.is_empty() || kind < 3 {
        let owner = dice.pick(people);
        if kind == 0 {
            return (owner, chain.registry, registry::register());
        }
        return chain.register(owner, &uri(dice));
    }
    let (agent, owner) = dice.pick(agents);
    let id = U256::from(agent);
    let at = |data: Bytes| -> Wanted { (owner, chain.registry, data) };
    match kind {
        3 | 4 => chain.uri(owner, agent, &uri(dice)),
        5 | 6 => chain.transfer(owner, dice.pick(people), agent),
        7 => {
            let value = Bytes::copy_from_slice(&dice.below(1000).to_be_bytes());
            at(registry::set_metadata(id, dice.pick(&METADATA), value))
        }
        8 => at(approve(another(people, owner, dice), id)),
        9 => at(operator(another(people, owner, dice), dice.below(2) == 0)),
        10 => at(registry::unset_agent_wallet(id)),
        _ => chain.says(
            owner,
            agent,
            u8::try_from(dice.below(2)).expect("small"),
            "as drawn",
        ),
    }
}

/// At most so many deeds on the head, by different people, so that none depends on another one.
pub async fn deeds(chain: &Chain, count: u64, dice: &mut Dice) -> Vec<Wanted> {
    let agents = chain.owners().await;
    let mut out: Vec<Wanted> = Vec::new();
    for _ in 0..count {
        let wanted = deed(chain, &agents, dice);
        if out.iter().all(|(from, _, _)| *from != wanted.0) {
            out.push(wanted);
        }
    }
    out
}

fn another(people: &[Address], than: Address, dice: &mut Dice) -> Address {
    let others: Vec<_> = people
        .iter()
        .filter(|person| **person != than)
        .copied()
        .collect();
    dice.pick(&others)
}

fn uri(dice: &mut Dice) -> String {
    let number = dice.below(1000);
    match dice.below(3) {
        0 => format!("ipfs://drawn-{number}"),
        1 => String::new(),
        _ => format!("data:application/json,{{\"name\":\"Drawn {number}\"}}"),
    }
}
