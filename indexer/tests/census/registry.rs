//! A registry of which logs and storage are written by the test.

use std::sync::Arc;

use alloy_primitives::Log;
use chain::{contracts::topics, layout};
use kernel::{Address, B256, U256, keccak256};
use replay_rpc::{
    model::{Draft, Fork, Spec, Tx, World},
    node::{Chain, Network},
};

pub const CHAIN: u64 = 777;
pub const REGISTRY: Address = Address::repeat_byte(0x80);

/// Makes blocks.
pub struct MadeUp {
    drafts: Vec<Draft>,
    agents: usize,
    world: Option<State>,
}

/// The registry's storage.
#[derive(Clone, Default)]
pub struct State(World);

impl State {
    pub fn count(&mut self, agents: usize) {
        self.0.store(REGISTRY, layout::LAST_ID, U256::from(agents));
    }

    pub fn own(&mut self, agent: usize, owner: Address) {
        let slot = layout::owner(U256::from(agent));
        self.0.store(REGISTRY, slot, owner.into_word().into());
    }

    /// A `string` or `bytes`, as Solidity keeps it.
    fn text(&mut self, slot: B256, text: &[u8]) {
        if text.len() < 32 {
            let mut word = [0; 32];
            word[..text.len()].copy_from_slice(text);
            word[31] = u8::try_from(text.len() * 2).expect("short");
            self.0.store(REGISTRY, slot, U256::from_be_bytes(word));
            return;
        }
        self.0.store(REGISTRY, slot, U256::from(text.len() * 2 + 1));
        let first = U256::from_be_bytes(keccak256(slot).0);
        for (place, chunk) in text.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            let slot = B256::from(first.wrapping_add(U256::from(place)));
            self.0.store(REGISTRY, slot, U256::from_be_bytes(word));
        }
    }
}

impl MadeUp {
    pub fn new() -> Self {
        let mut state = State::default();
        state.0.account(REGISTRY).code = vec![0].into();
        Self {
            drafts: Vec::new(),
            agents: 0,
            world: Some(state),
        }
        .begun()
    }

    /// Of a chain whose node serves no state.
    pub fn without_state() -> Self {
        Self {
            drafts: Vec::new(),
            agents: 0,
            world: None,
        }
        .begun()
    }

    fn begun(mut self) -> Self {
        let genesis = self.empty();
        self.drafts.push(genesis);
        self
    }

    /// A block of registrations.
    pub fn register(&mut self, agents: usize, uri: impl Fn(usize) -> String) {
        let txs = (self.agents..self.agents + agents).map(|id| {
            let owner = owner(id);
            let uri = uri(id);
            if let Some(state) = &mut self.world {
                let token = U256::from(id);
                state.own(id, owner);
                state.text(layout::uri(token), uri.as_bytes());
                state.text(layout::wallet(token), owner.as_slice());
            }
            Tx::call(owner, 0, REGISTRY, registered(id, owner, &uri))
        });
        let txs = txs.collect();
        self.agents += agents;
        if let Some(state) = &mut self.world {
            state.count(self.agents);
        }
        let draft = Draft {
            txs,
            ..self.empty()
        };
        self.drafts.push(draft);
    }

    /// A block in which the state changes and no log says so.
    pub fn silently(&mut self, change: impl FnOnce(&mut State)) {
        change(self.world.as_mut().expect("state"));
        let draft = self.empty();
        self.drafts.push(draft);
    }

    /// A block in which nothing happens.
    pub fn empty(&self) -> Draft {
        Draft {
            timestamp: 1_700_000_000,
            state: self.world.as_ref().map(|state| Arc::new(state.0.clone())),
            ..Draft::default()
        }
    }

    /// All blocks so far.
    pub fn network(&self) -> Network {
        let spec = Spec {
            chain_id: CHAIN,
            fork: Fork::Prague,
        };
        let mut drafts = self.drafts.iter().cloned().zip(1_700_000_000..);
        let mut next = || {
            let (draft, timestamp) = drafts.next()?;
            Some(Draft { timestamp, ..draft })
        };
        let mut chain = Chain::new(spec, next().expect("a genesis"));
        while let Some(draft) = next() {
            chain.extend(draft);
        }
        Network::new(chain)
    }
}

fn owner(id: usize) -> Address {
    Address::from_word(keccak256(id.to_be_bytes()))
}

/// The four logs of a registration.
fn registered(id: usize, owner: Address, uri: &str) -> Vec<Log> {
    let id = B256::from(U256::from(id));
    let log = |topics, data: Vec<u8>| Log::new_unchecked(REGISTRY, topics, data.into());
    let key = b"agentWallet";
    vec![
        log(
            vec![topics::TRANSFER, B256::ZERO, owner.into_word(), id],
            vec![],
        ),
        log(vec![topics::METADATA_UPDATE], id.to_vec()),
        log(
            vec![topics::REGISTERED, id, owner.into_word()],
            encoded(&[uri.as_bytes()]),
        ),
        log(
            vec![topics::METADATA_SET, id, keccak256(key)],
            encoded(&[key, owner.as_slice()]),
        ),
    ]
}

/// ABI encoding of dynamic values.
fn encoded(values: &[&[u8]]) -> Vec<u8> {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for value in values {
        head.extend(B256::from(U256::from(values.len() * 32 + tail.len())));
        tail.extend(B256::from(U256::from(value.len())));
        tail.extend_from_slice(value);
        tail.resize(tail.len().next_multiple_of(32), 0);
    }
    head.extend(tail);
    head
}
