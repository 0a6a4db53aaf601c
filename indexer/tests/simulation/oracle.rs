//! What the rows must say: of a token what its contract's storage holds, of everything else what the last
//! one said who may. Written from the model (`model.md` §2 to §4), not from the code.

use std::collections::BTreeMap;

use kernel::{AgentId, Token, U256, sha256};
use serde_json::Value;

use super::{
    contract::Told,
    facts::{Act, Facts, File},
    ledger::{Block, Ledger},
    words::{KEYS, shown},
};

/// Columns of an agent, as far as the world says anything of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Agent {
    /// False: it has no row in `agents`.
    pub shown: bool,
    pub did: String,
    pub owner: Option<String>,
    pub name: String,
    pub description: Option<String>,
    pub category: Option<String>,
    pub status: String,
    pub is_final: bool,
    pub liveness: String,
    pub load: String,
    pub capabilities: BTreeMap<String, Value>,
    /// From, to, microseconds.
    pub history: Vec<(Option<String>, String, i64)>,
}

/// Columns of `identity.tokens`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenRow {
    pub owner: Option<String>,
    pub approved: Option<String>,
    pub wallet: Option<String>,
    pub uri: Option<String>,
    pub burned: bool,
    pub founding: Option<String>,
    pub version: Option<i32>,
    /// Without removed keys.
    pub onchain: BTreeMap<String, String>,
}

/// Everything that is expected, by agent.
#[derive(Debug, Default)]
pub struct Expected {
    pub agents: BTreeMap<AgentId, Agent>,
    pub tokens: BTreeMap<AgentId, TokenRow>,
}

/// Time in microseconds; off-chain after logs; block or serial; log; document after its log.
type Place = (i64, bool, i64, i64, u8);

/// Something that stands in an agent's life.
enum Event<'a> {
    Told(&'a Told, String),
    /// The file that stands at the log that named its URI.
    Found(i32, Option<&'a File>),
    /// A later version, with the one before; it speaks while its URI's naming is in force.
    Changed(i32, Option<&'a File>, Option<&'a File>, usize),
    Act(&'a Act),
}

impl Expected {
    /// Of a chain up to block `up_to`.
    pub fn add_chain(&mut self, ledger: &Ledger, up_to: u64, facts: &Facts) {
        let at = usize::try_from(up_to).expect("a height");
        let (blocks, state) = (&ledger.blocks[..=at], &ledger.blocks[at].state);
        for (registry, address) in ledger.registries.iter().enumerate() {
            for id in 0..state.count(registry) {
                let token = Token {
                    chain: ledger.id,
                    registry: *address,
                    id: U256::from(id),
                };
                let agent = AgentId::of_token(&token);
                let mut life = Life::default();
                life.live(timeline(ledger.id, blocks, (registry, id), agent, facts));
                let text = |address: Option<kernel::Address>| address.map(|a| format!("{a:#x}"));
                let onchain = KEYS.iter().filter_map(|key| {
                    let value = state.metadata(registry, id, key);
                    let hex = format!("0x{}", hex::encode(&value));
                    (!value.is_empty()).then(|| (shown(key), hex))
                });
                let uri = life.named.as_ref();
                // Storage has no word for "never set"; logs that set it do.
                let stored = state.uri(registry, id);
                assert_eq!(
                    uri.map_or(&[][..], Vec::as_slice),
                    stored,
                    "the world agrees"
                );
                let row = TokenRow {
                    owner: text(state.owner(registry, id)),
                    approved: text(state.approved(registry, id)),
                    wallet: text(state.wallet(registry, id)),
                    uri: uri.map(|uri| hex::encode(sha256(uri))),
                    burned: state.owner(registry, id).is_none(),
                    founding: life.founding.clone(),
                    version: life.version.filter(|_| !life.pending),
                    onchain: onchain.collect(),
                };
                let short = format!("{}:{id}", ledger.id);
                let did = format!("did:nft:eip155:{}_erc721:{address:#x}_{id}", ledger.id);
                let mut shown = life.agent(did, &short);
                shown.owner.clone_from(&row.owner);
                self.agents.insert(agent, shown);
                self.tokens.insert(agent, row);
            }
        }
    }

    /// Agents that plain SQL made.
    pub fn add_inserted(&mut self, facts: &Facts) {
        for agent in &facts.inserted {
            let acts = &facts.acts[agent];
            let mut events: Vec<(Place, Event<'_>)> = acts
                .iter()
                .map(|act| ((act.at, true, act.serial, 0, 0), Event::Act(act)))
                .collect();
            events.sort_by_key(|(place, _)| *place);
            let mut life = Life::default();
            life.live(events);
            let did = life.text("did").unwrap_or_default();
            let owner = life.text("owner_address");
            let mut shown = life.agent(did.clone(), &did);
            shown.owner = owner;
            self.agents.insert(AgentId(*agent), shown);
        }
    }
}

/// Everything about one token, in the order in which it counts.
fn timeline<'a>(
    chain: u64,
    blocks: &'a [std::sync::Arc<Block>],
    token: (usize, u64),
    agent: AgentId,
    facts: &'a Facts,
) -> Vec<(Place, Event<'a>)> {
    let mut events: Vec<(Place, Event<'a>)> = Vec::new();
    let mut mints: BTreeMap<String, i64> = BTreeMap::new();
    let mut namings = 0;
    for block in blocks {
        let mut first_log = 0;
        for tx in &block.txs {
            for happened in &tx.happened {
                if (happened.registry, happened.id) != token {
                    continue;
                }
                let time = block.time * 1_000_000;
                let log = i64::try_from(first_log + happened.log).expect("few");
                let number = block.number.cast_signed();
                let place = (time, false, number, log, 0);
                let mut founding = String::new();
                if let Told::Minted(owner) = &happened.told {
                    founding = format!("{:#x}/{owner:#x}", tx.hash);
                    mints.insert(founding.clone(), time);
                }
                events.push((place, Event::Told(&happened.told, founding)));
                if let Told::Uri(uri) = &happened.told {
                    namings += 1;
                    found(chain, place, namings, uri, facts, &mut events);
                }
            }
            first_log += tx.logs.len();
        }
    }
    for act in facts.acts.get(&agent.0).map_or(&[][..], Vec::as_slice) {
        let mint = act.founding.as_ref().and_then(|named| mints.get(named));
        let at = mint.map_or(act.at, |mint| act.at.max(*mint));
        events.push(((at, true, act.serial, 0, 0), Event::Act(act)));
    }
    events.sort_by_key(|(place, _)| *place);
    events
}

/// At the log stands the newest version judged by then, else the first; later ones at their own time.
fn found<'a>(
    chain: u64,
    log: Place,
    naming: usize,
    uri: &[u8],
    facts: &'a Facts,
    events: &mut Vec<(Place, Event<'a>)>,
) {
    let hash = sha256(uri).to_vec();
    let Some(versions) = facts.versions.get(&hash).filter(|_| !uri.is_empty()) else {
        return;
    };
    let by_then = versions
        .iter()
        .take_while(|version| version.time(chain) < log.0)
        .count();
    let standing = by_then.saturating_sub(1);
    let place = (log.0, log.1, log.2, log.3, 1);
    let version = &versions[standing];
    events.push((place, Event::Found(version.number, version.file.as_ref())));
    for pair in versions[standing..].windows(2) {
        let (before, version) = (&pair[0], &pair[1]);
        let place = (version.time(chain), true, version.serial, 0, 0);
        let files = (before.file.as_ref(), version.file.as_ref());
        events.push((
            place,
            Event::Changed(version.number, files.0, files.1, naming),
        ));
    }
}

/// An agent's life while it is told.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Default)]
struct Life {
    exists: bool,
    deleted: bool,
    founding: Option<String>,
    mints: u32,
    /// The URI in force, and which naming it was.
    named: Option<Vec<u8>>,
    naming: usize,
    /// The version in force; `pending` where it is that of an older URI.
    version: Option<i32>,
    pending: bool,
    columns: BTreeMap<String, Value>,
    listed: BTreeMap<String, (Value, Place)>,
    acted: BTreeMap<String, (Option<Value>, Place)>,
    status: Option<String>,
    is_final: bool,
    beating: bool,
    load: Option<String>,
    history: Vec<(Option<String>, String, i64)>,
}

impl Life {
    fn live(&mut self, events: Vec<(Place, Event<'_>)>) {
        for (place, event) in events {
            match event {
                Event::Told(told, founding) => self.told(told, founding, place),
                Event::Found(number, file) => self.found(number, file, place),
                Event::Changed(number, before, after, naming) => {
                    let is_based = !self.pending && self.version == Some(number - 1);
                    if naming == self.naming && self.named.is_some() && is_based {
                        self.changed(number, before, after, place);
                    }
                }
                Event::Act(act) => self.act(act, place),
            }
        }
    }

    fn told(&mut self, told: &Told, founding: String, place: Place) {
        match told {
            Told::Minted(_) => {
                *self = Self {
                    exists: true,
                    deleted: self.deleted,
                    founding: Some(founding),
                    mints: self.mints + 1,
                    naming: self.naming,
                    status: self.status.take(),
                    history: std::mem::take(&mut self.history),
                    ..Self::default()
                };
                self.set_status("ACTIVE", place);
            }
            Told::Burned => {
                self.is_final = true;
                self.set_status("TERMINATED", place);
            }
            Told::Uri(uri) => {
                self.naming += 1;
                self.named = Some(uri.clone());
                self.pending = true;
                if uri.is_empty() {
                    // No file: what the old one said is gone.
                    if self.version.is_some() {
                        self.empty_file();
                        self.version = None;
                    }
                    self.pending = false;
                }
            }
            Told::Status(code, _) => {
                let word = ["ACTIVE", "SLEEP", "TERMINATED"][usize::from(*code)];
                if !self.is_final {
                    self.set_status(word, place);
                }
            }
            Told::Beat => self.beating = true,
        }
    }

    fn set_status(&mut self, word: &str, place: Place) {
        if self.status.as_deref() != Some(word) {
            self.history.push((
                self.status.replace(word.to_owned()),
                word.to_owned(),
                place.0,
            ));
        }
    }

    /// The file's word on status lifts no TERMINATED.
    fn weak(&mut self, active: bool, place: Place) {
        let word = if active { "ACTIVE" } else { "SLEEP" };
        if !self.is_final && self.status.as_deref() != Some("TERMINATED") {
            self.set_status(word, place);
        }
    }

    fn empty_file(&mut self) {
        for column in ["name", "description", "category"] {
            self.columns.remove(column);
        }
        self.listed.clear();
    }

    fn found(&mut self, number: i32, file: Option<&File>, place: Place) {
        self.empty_file();
        self.version = Some(number);
        self.pending = false;
        let Some(file) = file else { return };
        for (column, value) in columns(file) {
            self.columns.insert(column.to_owned(), value);
        }
        for (name, value) in &file.capabilities {
            self.listed.insert(name.clone(), (value.clone(), place));
        }
        if let Some(active) = file.active {
            self.weak(active, place);
        }
    }

    /// A later version says what it changed, and nothing else.
    fn changed(&mut self, number: i32, before: Option<&File>, after: Option<&File>, place: Place) {
        self.version = Some(number);
        let (old, new) = (
            before.map(columns).unwrap_or_default(),
            after.map(columns).unwrap_or_default(),
        );
        for column in ["name", "description"] {
            if old.get(column) != new.get(column) {
                let value = new.get(column).cloned().unwrap_or(Value::Null);
                self.columns.insert(column.to_owned(), value);
            }
        }
        let none = BTreeMap::new();
        let (old, new) = (
            before.map_or(&none, |file| &file.capabilities),
            after.map_or(&none, |file| &file.capabilities),
        );
        for name in old.keys().chain(new.keys()) {
            match new.get(name) {
                None => drop(self.listed.remove(name)),
                Some(value) if old.get(name) != Some(value) => {
                    self.listed.insert(name.clone(), (value.clone(), place));
                }
                Some(_) => {}
            }
        }
        let active = |file: Option<&File>| file.and_then(|file| file.active);
        if let Some(is) = active(after).filter(|is| active(before) != Some(*is)) {
            self.weak(is, place);
        }
    }

    fn act(&mut self, act: &Act, place: Place) {
        let is_about_now = match &act.founding {
            Some(named) => self.founding.as_ref() == Some(named),
            None => self.mints <= 1,
        };
        if !is_about_now || (!self.exists && act.kind != "insert") {
            return;
        }
        match act.kind.as_str() {
            "delete" => self.deleted = true,
            "restore" => self.deleted = false,
            "capability" => {
                for (name, said) in &act.changes {
                    let value = said.get("value").cloned();
                    self.acted.insert(name.clone(), (value, place));
                }
            }
            kind => {
                if kind == "insert" {
                    *self = Self {
                        exists: true,
                        ..Self::default()
                    };
                }
                for (column, value) in &act.changes {
                    self.set(column, value, kind == "insert", place);
                }
            }
        }
    }

    fn set(&mut self, column: &str, value: &Value, is_insert: bool, place: Place) {
        match column {
            "runtime_status" if is_insert || !self.is_final => {
                self.set_status(value.as_str().expect("a status"), place);
            }
            "runtime_status" => {}
            "load" => self.load = value.as_str().map(str::to_owned),
            _ => {
                self.columns.insert(column.to_owned(), value.clone());
            }
        }
    }

    fn text(&self, column: &str) -> Option<String> {
        let value = self.columns.get(column)?;
        value.as_str().map(str::to_owned)
    }

    fn agent(&self, did: String, nameless: &str) -> Agent {
        if !self.exists || self.deleted {
            return Agent::default();
        }
        let mut capabilities = BTreeMap::new();
        for (name, (value, at)) in &self.listed {
            if self.acted.get(name).is_none_or(|(_, acted)| acted < at) {
                capabilities.insert(name.clone(), value.clone());
            }
        }
        for (name, (value, at)) in &self.acted {
            let later = self.listed.get(name).is_none_or(|(_, listed)| listed < at);
            if let Some(value) = value.as_ref().filter(|_| later) {
                capabilities.insert(name.clone(), value.clone());
            }
        }
        Agent {
            shown: true,
            did,
            owner: None,
            name: self
                .text("name")
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| nameless.to_owned()),
            description: self.text("description"),
            category: self.text("category"),
            status: self.status.clone().unwrap_or_default(),
            is_final: self.is_final,
            liveness: if self.beating { "active" } else { "unknown" }.to_owned(),
            load: self.load.clone().unwrap_or_else(|| "AVAILABLE".to_owned()),
            capabilities,
            history: self.history.clone(),
        }
    }
}

fn columns(file: &File) -> BTreeMap<&'static str, Value> {
    let text = |text: &Option<String>| text.clone().map(Value::String);
    [
        ("name", text(&file.name)),
        ("description", text(&file.description)),
    ]
    .into_iter()
    .filter_map(|(column, value)| Some((column, value?)))
    .collect()
}
