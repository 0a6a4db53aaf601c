//! What a registry keeps, read from its slots or, where it keeps things elsewhere, by calls.

use std::collections::BTreeMap;

use chain::{
    At, Rpc, RpcError,
    layout::{self, LongText},
    registry,
    state::StateProof,
};
use futures::{StreamExt, TryStreamExt, stream};
use kernel::{Address, B256, Kind, U256};

use super::{
    Layout, StateLevel,
    compare::{Held, Ours, Text, Theirs, differences},
};

/// Slots of one `eth_getProof`: an answer has some 5 kB for each.
const SLOTS_PER_PROOF: usize = 64;
/// Slots of long texts that are held at once, 32 bytes each.
const SLOTS_AT_ONCE: usize = 8_192;
/// Texts that are longer are taken for nonsense: writing one would cost many whole blocks' gas.
const LONGEST: usize = 1 << 20;
/// Agents that are called about at once.
const CALLS_AT_ONCE: usize = 8;

/// What is asked of a registry's state at one block.
#[derive(Debug)]
pub struct Question<'a> {
    /// The registry.
    pub registry: Address,
    /// The block.
    pub block: B256,
    /// Whether proofs are wanted, which cost a hundred times the bytes.
    pub prove: bool,
    /// Whose values.
    pub agents: &'a [Ours],
    /// Some agents, to find out where this implementation keeps things.
    pub samples: &'a [Ours],
    /// The highest number that we know.
    pub highest: Option<U256>,
    /// What was found out about an implementation before.
    pub known: Option<(B256, Layout)>,
}

/// What a registry's state says.
#[derive(Debug)]
pub struct Reading {
    /// How many agents there are, where the registry keeps that number where we look for it.
    pub counted: Option<U256>,
    /// How far that is shown.
    pub count_level: StateLevel,
    /// Whether there is an agent above the highest that we know.
    pub beyond: bool,
    /// The values, in the order of the agents asked for.
    pub theirs: Vec<Theirs>,
    /// How far the values are shown.
    pub level: StateLevel,
    /// How far those are shown that differ from ours, which were read a second time.
    pub second: StateLevel,
    /// The registry's implementation and where it keeps things.
    pub found: (B256, Layout),
}

/// Reads all of it from one node. [`RpcError::NoMethod`]: it does not serve the state of contracts; another
/// node may.
pub async fn read(rpc: &Rpc, question: &Question<'_>) -> Result<Reading, RpcError> {
    let header = rpc.block(At::Hash(question.block)).await?;
    let Some(header) = header else {
        return Err(RpcError::BeyondHead {
            message: format!("block {} is not known", question.block),
        });
    };
    let root = header.verified().map(|header| header.state_root);
    let mut state = State {
        rpc,
        registry: question.registry,
        at: At::Hash(question.block),
        root,
    };
    reading(&mut state, question).await.map_err(lacking)
}

/// Whether it is no use to ask this node again, though it is well.
fn is_unserved(error: &RpcError) -> bool {
    let unwell = matches!(error, RpcError::NotAnRpc { .. });
    matches!(error.kind(), Kind::Invalid | Kind::Denied) && !unwell
}

/// However a node refuses to serve state: it lacks that, and serves everything else as before.
fn lacking(error: RpcError) -> RpcError {
    match error {
        error @ RpcError::NoMethod { .. } => error,
        error if is_unserved(&error) => RpcError::NoMethod {
            method: "eth_getStorageAt",
            message: error.to_string(),
        },
        error => error,
    }
}

async fn reading(state: &mut State<'_>, question: &Question<'_>) -> Result<Reading, RpcError> {
    let slots = [layout::LAST_ID, layout::IMPLEMENTATION];
    let (counted, found) = match state.words(&slots).await {
        Ok(words) => {
            let layout = match question.known {
                Some((code, layout)) if code == words[1] => layout,
                _ => state.find_layout(question.samples).await?,
            };
            (Some(words[0].into()), (words[1], layout))
        }
        // Whoever serves no storage may serve calls.
        Err(error) if is_unserved(&error) => (None, (B256::ZERO, Layout::Calls)),
        Err(error) => return Err(error),
    };
    let counted = counted.filter(|_| found.1 == Layout::Slots);
    let count_level = match counted {
        Some(_) => state.level(),
        None => StateLevel::Unavailable,
    };
    let beyond = match (found.1, question.highest) {
        (Layout::Calls, Some(highest)) => {
            let next = highest.saturating_add(U256::from(1));
            registry::owner_of(state.rpc, state.registry, next, state.at)
                .await?
                .is_some()
        }
        _ => false,
    };
    if !question.prove {
        state.root = None;
    }
    let (theirs, level) = match found.1 {
        Layout::Slots => (state.by_slots(question.agents).await?, state.level()),
        Layout::Calls => (state.by_calls(question.agents).await?, StateLevel::Reported),
    };
    Ok(Reading {
        counted,
        count_level,
        beyond,
        theirs,
        level,
        second: level,
        found,
    })
}

/// One registry at one block.
struct State<'a> {
    rpc: &'a Rpc,
    registry: Address,
    at: At,
    /// What proofs are held against; `None`: the node is believed.
    root: Option<B256>,
}

impl State<'_> {
    fn level(&self) -> StateLevel {
        match self.root {
            Some(_) => StateLevel::Proven,
            None => StateLevel::Reported,
        }
    }

    /// The words in these slots: proven where the node proves, else as it says.
    async fn words(&mut self, slots: &[B256]) -> Result<Vec<B256>, RpcError> {
        if let Some(root) = self.root {
            match self.proven(slots, root).await? {
                Some(words) => return Ok(words),
                None => self.root = None,
            }
        }
        let slots: Vec<_> = slots.iter().map(|slot| (self.registry, *slot)).collect();
        self.rpc.storage(&slots, self.at).await
    }

    /// `None`: the node does not serve proofs, or what it serves proves nothing, as on chains whose
    /// state is no Ethereum trie.
    async fn proven(&self, slots: &[B256], root: B256) -> Result<Option<Vec<B256>>, RpcError> {
        let mut words = Vec::with_capacity(slots.len());
        for slots in slots.chunks(SLOTS_PER_PROOF) {
            let raw = match self.rpc.proof(self.registry, slots, self.at).await {
                Ok(raw) => raw,
                Err(error) if is_unserved(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            let account = StateProof::parse(raw.get())
                .and_then(|proof| proof.verify(root, self.registry, slots));
            match account {
                Ok(account) => words.extend(account.words),
                Err(error) => {
                    let place = self.rpc.place();
                    tracing::warn!(place, %error, "{place} proves nothing of the state: {error}");
                    return Ok(None);
                }
            }
        }
        Ok(Some(words))
    }

    /// Whether the known slots hold what the contract answers about some agents. Where calls are not
    /// served, slots that know one of them as we do are the right ones.
    async fn find_layout(&mut self, samples: &[Ours]) -> Result<Layout, RpcError> {
        let by_slots = self.by_slots(samples).await?;
        let mut known = samples.iter().zip(&by_slots);
        match self.by_calls(samples).await {
            Ok(by_calls) if by_calls == by_slots => Ok(Layout::Slots),
            Ok(_) => Ok(Layout::Calls),
            Err(error) if !is_unserved(&error) => Err(error),
            Err(_) if known.any(|(ours, theirs)| differences(ours, theirs).is_empty()) => {
                Ok(Layout::Slots)
            }
            Err(error) => Err(error),
        }
    }

    async fn by_calls(&self, agents: &[Ours]) -> Result<Vec<Theirs>, RpcError> {
        // A list, because a stream with a closure over references is not `Send` for every lifetime.
        let calls: Vec<_> = agents.iter().map(|agent| self.call(agent)).collect();
        stream::iter(calls)
            .buffered(CALLS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn call(&self, ours: &Ours) -> Result<Theirs, RpcError> {
        let (rpc, at, token) = (self.rpc, self.at, ours.token);
        let owner = registry::owner_of(rpc, self.registry, token, at).await?;
        let wallet = registry::agent_wallet(rpc, self.registry, token, at).await?;
        let uri = registry::token_uri(rpc, self.registry, token, at).await?;
        let mut metadata = BTreeMap::new();
        for key in ours.metadata.keys() {
            let value = registry::metadata(rpc, self.registry, token, key, at).await?;
            metadata.insert(key.clone(), Held::Is(Text::of(&value)));
        }
        Ok(Theirs {
            owner: Held::Is(owner.unwrap_or_default()),
            wallet: Held::Is(wallet.unwrap_or_default()),
            uri: Held::Is(Text::of(&uri.unwrap_or_default())),
            metadata,
        })
    }

    async fn by_slots(&mut self, agents: &[Ours]) -> Result<Vec<Theirs>, RpcError> {
        let slots: Vec<B256> = agents.iter().flat_map(slots_of).collect();
        let words = self.words(&slots).await?;
        let mut texts = Texts::default();
        let mut rest = slots.into_iter().zip(words);
        let mut next = || rest.next().unwrap_or_default();
        let mut owners = Vec::with_capacity(agents.len());
        for agent in agents {
            owners.push(owner(next().1));
            for _ in 0..2 + agent.metadata.len() {
                let (slot, word) = next();
                texts.add(slot, word);
            }
        }
        let mut read = texts.read(self).await?.into_iter();
        let mut next = || read.next().unwrap_or(Value::Nonsense(B256::ZERO));
        Ok(agents
            .iter()
            .zip(owners)
            .map(|(agent, owner)| Theirs {
                owner,
                wallet: next().wallet(),
                uri: next().text(),
                metadata: agent
                    .metadata
                    .keys()
                    .map(|key| (key.clone(), next().text()))
                    .collect(),
            })
            .collect())
    }
}

/// The first slots of all values of an agent: owner, wallet, URI, metadata.
fn slots_of(ours: &Ours) -> Vec<B256> {
    let token = ours.token;
    let metadata = ours.metadata.keys();
    [
        layout::owner(token),
        layout::wallet(token),
        layout::uri(token),
    ]
    .into_iter()
    .chain(metadata.map(|key| layout::metadata(token, key.as_bytes())))
    .collect()
}

fn owner(word: B256) -> Held<Address> {
    layout::address(word).map_or(Held::Nonsense(word), Held::Is)
}

/// A text as read.
enum Value {
    /// Up to 31 bytes as they are: a wallet is one.
    Short(kernel::Bytes),
    /// More.
    Long(Text),
    /// No text.
    Nonsense(B256),
}

impl Value {
    fn text(self) -> Held<Text> {
        match self {
            Self::Short(bytes) => Held::Is(Text::of(&bytes)),
            Self::Long(text) => Held::Is(text),
            Self::Nonsense(word) => Held::Nonsense(word),
        }
    }

    fn wallet(self) -> Held<Address> {
        match self {
            Self::Short(bytes) => layout::wallet_of(&bytes).map_or_else(
                || Held::Nonsense(B256::right_padding_from(&bytes)),
                Held::Is,
            ),
            Self::Long(text) => Held::Nonsense(text.digest().into()),
            Self::Nonsense(word) => Held::Nonsense(word),
        }
    }
}

/// Texts whose first words are known, in order.
#[derive(Default)]
struct Texts(Vec<Start>);

enum Start {
    Whole(Value),
    Long(LongText),
}

impl Texts {
    fn add(&mut self, slot: B256, word: B256) {
        self.0.push(match layout::Text::read(slot, word, LONGEST) {
            Some(layout::Text::Short(bytes)) => Start::Whole(Value::Short(bytes)),
            Some(layout::Text::Long(long)) => Start::Long(long),
            None => Start::Whole(Value::Nonsense(word)),
        });
    }

    /// Reads the long ones, some at a time, and keeps their digests.
    async fn read(self, state: &mut State<'_>) -> Result<Vec<Value>, RpcError> {
        let mut out = Vec::with_capacity(self.0.len());
        let mut waiting: Vec<(usize, LongText)> = Vec::new();
        let mut slots: Vec<B256> = Vec::new();
        for (place, start) in self.0.into_iter().enumerate() {
            out.push(match start {
                Start::Whole(value) => value,
                Start::Long(long) => {
                    slots.extend(long.slots());
                    waiting.push((place, long));
                    Value::Nonsense(B256::ZERO)
                }
            });
            if slots.len() >= SLOTS_AT_ONCE {
                fill(state, &mut slots, &mut waiting, &mut out).await?;
            }
        }
        fill(state, &mut slots, &mut waiting, &mut out).await?;
        Ok(out)
    }
}

async fn fill(
    state: &mut State<'_>,
    slots: &mut Vec<B256>,
    waiting: &mut Vec<(usize, LongText)>,
    out: &mut [Value],
) -> Result<(), RpcError> {
    if slots.is_empty() {
        return Ok(());
    }
    let words = state.words(slots).await?;
    slots.clear();
    let mut words = words.as_slice();
    for (place, long) in waiting.drain(..) {
        let (own, rest) = words.split_at(long.slots().count().min(words.len()));
        words = rest;
        if let Some(bytes) = long.join(own) {
            out[place] = Value::Long(Text::of(&bytes));
        }
    }
    Ok(())
}
