//! What the rows must say: of a token what its contract's storage holds, of everything else what the last
//! one said who may. Written from the model (`model.md` §2 to §4), not from the code.

mod heard;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kernel::{AgentId, B256, Token, U256, sha256};
use serde_json::Value;

use self::heard::{Heart, Notes};
use super::{
    contract::Told,
    facts::{Act, Facts, File, Said},
    ledger::{Block, Ledger},
    vexel::Heard,
    words::{FOUNDED, KEYS, founded, shown},
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
    /// Agents of keys and of tokens that are one by what both sides signed.
    pub links: BTreeSet<(AgentId, AgentId)>,
    /// Of each token, the mint and the transfer that are in force.
    origins: BTreeMap<AgentId, (Option<String>, Option<String>)>,
    /// What happened to some agent.
    pub notes: Notes,
}

/// Time in microseconds; off-chain after logs; block or serial; log; document after its log.
type Place = (i64, bool, i64, i64, u8);

/// Something that stands in an agent's life.
enum Event<'a> {
    /// With the name of the mint or transfer that it is: transaction and owner.
    Told(&'a Told, String),
    /// By VEXEL's contracts, in a transaction.
    Heard(&'a Heard, B256),
    /// The file that stands at the log that named its URI.
    Found(i32, Option<&'a File>),
    /// A later version, with the one before; it speaks while its URI's naming is in force.
    Changed(i32, Option<&'a File>, Option<&'a File>, usize),
    Act(&'a Act),
    Said(&'a Said),
}

type Events<'a> = Vec<(Place, Event<'a>)>;

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
                let did = format!("did:nft:eip155:{}_erc721:{address:#x}_{id}", ledger.id);
                let mut events = timeline(ledger.id, blocks, (registry, id), agent, facts);
                events.extend(heard(blocks, &[&did]));
                let mut life = Life::default();
                life.live(events);
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
                let mut shown = life.agent(did, &short);
                shown.owner.clone_from(&row.owner);
                let origin = (life.founding.clone(), life.transfer().cloned());
                self.origins.insert(agent, origin);
                self.notes.append(&mut life.notes);
                self.agents.insert(agent, shown);
                self.tokens.insert(agent, row);
            }
        }
    }

    /// Agents without a token: of keys, of plain SQL, and of VEXEL's registry on `ledger` up to a block.
    pub fn add_others(&mut self, ledger: &Ledger, up_to: u64, facts: &Facts) {
        let at = usize::try_from(up_to).expect("a height");
        let blocks = &ledger.blocks[..=at];
        let registers = |said: &Said| said.action == "register";
        for (agent, said) in &facts.statements {
            if said.iter().any(registers) {
                let dids = said.iter().filter_map(|said| said.changes.get("did"));
                let dids: Vec<&str> = dids.filter_map(Value::as_str).collect();
                self.add_other(AgentId(*agent), &dids, blocks, facts);
            }
        }
        for agent in &facts.inserted {
            let insert = facts.acts[agent].iter().find(|act| act.kind == "insert");
            let did = insert.and_then(|act| act.changes.get("did")?.as_str());
            let did = did.expect("an INSERT says the whole row");
            self.add_other(AgentId(*agent), &[did], blocks, facts);
        }
        for did in (0..FOUNDED).map(founded) {
            self.add_other(AgentId::of_did(&did), &[&did], blocks, facts);
        }
        for claim in &facts.claims {
            let (key, token) = (AgentId(claim.key), AgentId(claim.token));
            let lives = self.agents.get(&key).is_some_and(|agent| {
                let mut since = facts.statements[&claim.key].iter();
                let is_over = since.any(|said| registers(said) && said.serial > claim.statement);
                agent.shown && !agent.is_final && !is_over
            });
            let holds = self.tokens.get(&token).is_some_and(|row| {
                let (founding, transfer) = &self.origins[&token];
                row.owner.as_ref() == Some(&claim.owner)
                    && founding.as_ref() == Some(&claim.founding)
                    && (claim.transfer.is_none() || claim.transfer == *transfer)
            });
            if lives && holds {
                self.links.insert((key, token));
            }
        }
    }

    /// One of them, by all DIDs that it ever had.
    fn add_other(&mut self, agent: AgentId, dids: &[&str], blocks: &[Arc<Block>], facts: &Facts) {
        let mut events = heard(blocks, dids);
        events.extend(off_chain(facts, agent, &BTreeMap::new(), &BTreeMap::new()));
        let mut life = Life::default();
        life.live(events);
        let did = life.text("did").unwrap_or_else(|| dids[0].to_owned());
        let owner = life.text("owner_address");
        let mut shown = life.agent(did.clone(), &did);
        if shown.shown {
            shown.owner = owner;
        }
        self.notes.append(&mut life.notes);
        self.agents.insert(agent, shown);
    }
}

/// Everything about one token, in the order in which it counts.
fn timeline<'a>(
    chain: u64,
    blocks: &'a [Arc<Block>],
    token: (usize, u64),
    agent: AgentId,
    facts: &'a Facts,
) -> Events<'a> {
    let mut events: Events<'a> = Vec::new();
    let (mut mints, mut moves) = (BTreeMap::new(), BTreeMap::new());
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
                let mut name = String::new();
                if let Told::Minted(owner) | Told::Moved(owner) = &happened.told {
                    name = format!("{:#x}/{owner:#x}", tx.hash);
                    moves.insert(name.clone(), time);
                    if matches!(happened.told, Told::Minted(_)) {
                        mints.insert(name.clone(), time);
                    }
                }
                events.push((place, Event::Told(&happened.told, name)));
                if let Told::Uri(uri) = &happened.told {
                    namings += 1;
                    found(chain, place, namings, uri, facts, &mut events);
                }
            }
            first_log += tx.logs.len();
        }
    }
    events.extend(off_chain(facts, agent, &mints, &moves));
    events
}

/// What was done and signed about an agent: not before the mint and the transfer that it names, which have their times.
fn off_chain<'a>(
    facts: &'a Facts,
    agent: AgentId,
    mints: &BTreeMap<String, i64>,
    moves: &BTreeMap<String, i64>,
) -> Events<'a> {
    let mut events = Vec::new();
    let time = |times: &BTreeMap<String, i64>, named: Option<&String>| {
        let time = named.and_then(|named| times.get(named));
        time.copied().unwrap_or(i64::MIN)
    };
    for act in facts.acts.get(&agent.0).map_or(&[][..], Vec::as_slice) {
        let at = act.at.max(time(mints, act.founding.as_ref()));
        events.push(((at, true, act.serial, 0, 0), Event::Act(act)));
    }
    for said in facts
        .statements
        .get(&agent.0)
        .map_or(&[][..], Vec::as_slice)
    {
        let at = said.at.max(time(mints, said.founding.as_ref()));
        let at = at.max(time(moves, said.transfer.as_ref()));
        events.push(((at, true, said.serial, 0, 0), Event::Said(said)));
    }
    events
}

/// What VEXEL's contracts say of some DIDs.
fn heard<'a>(blocks: &'a [Arc<Block>], dids: &[&str]) -> Events<'a> {
    let mut events = Vec::new();
    for block in blocks {
        let mut first_log = 0;
        for tx in &block.txs {
            let ours = |heard: &&Heard| dids.contains(&heard.did.as_str());
            for heard in tx.heard.iter().filter(ours) {
                let log = i64::try_from(first_log + heard.log).expect("few");
                let number = block.number.cast_signed();
                let place = (block.time * 1_000_000, false, number, log, 0);
                events.push((place, Event::Heard(heard, tx.hash)));
            }
            first_log += tx.logs.len();
        }
    }
    events
}

/// At the log stands the newest version judged by then, else the first; later ones at their own time.
fn found<'a>(
    chain: u64,
    log: Place,
    naming: usize,
    uri: &[u8],
    facts: &'a Facts,
    events: &mut Events<'a>,
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
    /// The last transfer since the mint.
    moved: Option<String>,
    burned: bool,
    mints: u32,
    /// Whether a key founded it.
    keyed: bool,
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
    liveness: Option<String>,
    load: Option<String>,
    heart: Heart,
    history: Vec<(Option<String>, String, i64)>,
    notes: Notes,
}

impl Life {
    fn live(&mut self, mut events: Events<'_>) {
        events.sort_by_key(|(place, _)| *place);
        for (place, event) in events {
            match event {
                Event::Told(told, name) => self.told(told, name, place),
                Event::Heard(heard, tx) => self.hear(heard, tx, place),
                Event::Found(number, file) => self.found(number, file, place),
                Event::Changed(number, before, after, naming) => {
                    let is_based = !self.pending && self.version == Some(number - 1);
                    if naming == self.naming && self.named.is_some() && is_based {
                        self.changed(number, before, after, place);
                    }
                }
                Event::Act(act) => self.act(act, place),
                Event::Said(said) => self.said(said, place),
            }
        }
    }

    /// A new life of the same agent: its history goes on.
    fn reborn(&mut self) -> Self {
        Self {
            exists: true,
            deleted: self.deleted,
            mints: self.mints,
            naming: self.naming,
            status: self.status.take(),
            heart: std::mem::take(&mut self.heart).waiting(),
            history: std::mem::take(&mut self.history),
            notes: std::mem::take(&mut self.notes),
            ..Self::default()
        }
    }

    /// The mint or transfer that made the owner.
    fn transfer(&self) -> Option<&String> {
        self.moved.as_ref().or(self.founding.as_ref())
    }

    fn told(&mut self, told: &Told, name: String, place: Place) {
        match told {
            Told::Minted(owner) => {
                *self = Self {
                    founding: Some(name),
                    mints: self.mints + 1,
                    ..self.reborn()
                };
                self.set_status("ACTIVE", place);
                self.judge([Some(*owner), None]);
            }
            Told::Moved(_) => self.moved = Some(name),
            Told::Burned => {
                self.burned = true;
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
            Told::Beat => self.liveness = Some("active".to_owned()),
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

    /// Whether what names this mint, or none, is about the life that is lived.
    fn is_about_now(&self, founding: Option<&String>) -> bool {
        match founding {
            Some(named) => self.founding.as_ref() == Some(named),
            None => self.mints <= 1,
        }
    }

    fn act(&mut self, act: &Act, place: Place) {
        let is_about_now = self.is_about_now(act.founding.as_ref());
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
                let is_insert = kind == "insert";
                if is_insert {
                    *self = Self {
                        exists: true,
                        heart: std::mem::take(&mut self.heart).waiting(),
                        notes: std::mem::take(&mut self.notes),
                        ..Self::default()
                    };
                }
                for (column, value) in &act.changes {
                    self.set(column, value, is_insert, place);
                }
                if is_insert {
                    self.judge([None, None]);
                }
            }
        }
    }

    /// What an owner or a key signed: an owner's word counts while he is the owner by the transfer that he named.
    fn said(&mut self, said: &Said, place: Place) {
        let founds = said.action == "register";
        let owned =
            said.transfer.is_none() || (!self.burned && said.transfer.as_ref() == self.transfer());
        let is_about_now = self.is_about_now(said.founding.as_ref());
        if !is_about_now || !owned || !(self.exists || founds) {
            self.notes.insert("a statement that sleeps");
            return;
        }
        if founds {
            if self.exists {
                self.notes.insert("an agent that begins anew with its key");
            }
            *self = Self {
                keyed: true,
                ..self.reborn()
            };
        }
        for (column, value) in &said.changes {
            match column.as_str() {
                "capabilities" => {
                    for (name, value) in value.as_object().expect("names") {
                        let value = Some(value.clone()).filter(|value| !value.is_null());
                        self.acted.insert(name.clone(), (value, place));
                    }
                }
                "runtime_status" | "load" => self.set(column, value, false, place),
                "owner_chain" | "reason" | "token" => {}
                _ => {
                    self.columns.insert(column.to_owned(), value.clone());
                }
            }
        }
        match said.action.as_str() {
            "register" => {
                self.set_status("ACTIVE", place);
                self.judge([None, None]);
            }
            "deregister" if self.keyed || !self.is_final => {
                self.is_final |= self.keyed;
                self.set_status("TERMINATED", place);
            }
            _ => {}
        }
    }

    fn set(&mut self, column: &str, value: &Value, is_insert: bool, place: Place) {
        match column {
            "runtime_status" if is_insert || !self.is_final => {
                self.set_status(value.as_str().expect("a status"), place);
            }
            "runtime_status" => {}
            "liveness" if !is_insert => {
                let word = value.as_str().expect("a word");
                self.notes.insert(if word == "active" {
                    "an agent that counts as alive by its beats"
                } else {
                    "an agent whose next beat is overdue"
                });
                self.liveness = Some(word.to_owned());
            }
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
            liveness: self
                .liveness
                .clone()
                .unwrap_or_else(|| "unknown".to_owned()),
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
