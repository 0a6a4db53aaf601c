//! `fold(facts) -> rows`: the one place where an agent's rows come from.
//!
//! Pure and incremental: a [`State`] takes facts in the order of their [`Place`]s; what a run of facts
//! changed is collected in a [`Delta`]. Folding the same facts in one run or in many gives the same
//! state and the same changes.

mod act;
mod capability;
mod columns;
mod document;
mod statement;
mod status;
mod vexel;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use journal::Change;
use kernel::{Address, hex_0x};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    capability::Capability,
    columns::{Columns, Source},
    status::{DimensionRow, HistoryRow, Life},
};
use crate::{
    fact::{ChainFact, ChainWord, Fact, Place, RuntimeStatus, UriRef, What},
    registration::ClaimedName,
};

/// What is as it was at first is left out of a saved state: most of a token's state is.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Where a value of the chain was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(i64, i32)", from = "(i64, i32)")]
pub struct At {
    /// Block number.
    pub block: i64,
    /// Log index.
    pub log: i32,
}

impl From<At> for (i64, i32) {
    fn from(at: At) -> Self {
        (at.block, at.log)
    }
}

impl From<(i64, i32)> for At {
    fn from((block, log): (i64, i32)) -> Self {
        Self { block, log }
    }
}

/// The chain's words on a token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenState {
    /// Owner, and where he became it.
    #[serde(skip_serializing_if = "is_default")]
    pub owner: Option<(Address, At)>,
    /// Approved for this token.
    #[serde(skip_serializing_if = "is_default")]
    pub approved: Option<Address>,
    /// Agent wallet and where it was set, cleared ones included.
    #[serde(skip_serializing_if = "is_default")]
    pub wallet: Option<(Option<Address>, At)>,
    /// Current URI.
    #[serde(skip_serializing_if = "is_default")]
    pub uri: Option<UriState>,
    /// On-chain metadata, values in hex.
    #[serde(skip_serializing_if = "is_default")]
    pub onchain: BTreeMap<String, String>,
    /// `<tx hash>/<first owner>` of the mint in force.
    #[serde(skip_serializing_if = "is_default")]
    pub founding: Option<String>,
    /// `<tx hash>/<owner>` of the last transfer, where there was one since the mint.
    #[serde(skip_serializing_if = "is_default")]
    pub moved: Option<String>,
    /// How many mints there were.
    #[serde(skip_serializing_if = "is_default")]
    pub foundings: u32,
    /// Whether it is burned.
    #[serde(skip_serializing_if = "is_default")]
    pub burned: bool,
    /// Whether owner, wallet or URI rest on an event that a better one could contradict.
    #[serde(skip_serializing_if = "is_default")]
    pub claimed: Claimed,
    /// The first log.
    #[serde(skip_serializing_if = "is_default")]
    pub first: Option<At>,
    /// The last log and its transaction.
    #[serde(skip_serializing_if = "is_default")]
    pub last: Option<(At, kernel::B256)>,
}

impl TokenState {
    /// `<tx hash>/<owner>` of the log that made the owner: the mint, or the last transfer.
    pub fn transfer(&self) -> Option<&String> {
        self.moved.as_ref().or(self.founding.as_ref())
    }
}

/// The current URI.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UriState {
    /// Which one.
    pub uri: UriRef,
    /// Where the log stands that set it: there its document stands too.
    pub place: Place,
    /// That log.
    pub cause: String,
}

/// Which values are only claimed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claimed {
    #[serde(skip_serializing_if = "is_default")]
    owner: bool,
    #[serde(skip_serializing_if = "is_default")]
    wallet: bool,
    #[serde(skip_serializing_if = "is_default")]
    uri: bool,
}

impl Claimed {
    /// Whether any is.
    pub fn any(self) -> bool {
        self.owner || self.wallet || self.uri
    }
}

/// The document in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentState {
    /// The URI that it was found at: not the current one while that is pending.
    #[serde(with = "crate::fact::hex_digest")]
    pub uri: [u8; 32],
    /// Its version.
    pub version: i32,
    /// CID of its bytes, where it fits VEXEL's column.
    pub cid: Option<String>,
    /// The document itself, where it is JSON.
    pub raw: Option<Value>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Cause of the change that brought it.
    pub cause: String,
}

/// An agent as its facts so far make it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each was told by facts of its own; none excludes another"
)]
pub struct State {
    /// Place of the last fact.
    #[serde(skip_serializing_if = "is_default")]
    pub end: Option<Place>,
    /// Time of the last log: a later block never stands before an earlier one.
    #[serde(skip_serializing_if = "is_default")]
    pub chain_time: i64,
    /// Whether any fact told of it: an agent without facts has no rows.
    #[serde(skip_serializing_if = "is_default")]
    pub exists: bool,
    /// Whether its rows were deleted by the owner role.
    #[serde(skip_serializing_if = "is_default")]
    pub deleted: bool,
    /// Whether a fact that is not of the chain was folded, asleep or not.
    #[serde(skip_serializing_if = "is_default")]
    pub off_chain: bool,
    /// Whether a statement was folded, asleep or not.
    #[serde(skip_serializing_if = "is_default")]
    pub stated: bool,
    /// Whether a key founded it.
    #[serde(skip_serializing_if = "is_default")]
    pub keyed: bool,
    /// The token's side; unused for agents without a token.
    pub token: TokenState,
    /// DIDs that an agent without a token had before.
    #[serde(skip_serializing_if = "is_default")]
    pub former: BTreeSet<String>,
    /// Columns of `agents` that documents and acts set.
    #[serde(skip_serializing_if = "is_default")]
    pub columns: Columns,
    /// The document in force.
    #[serde(skip_serializing_if = "is_default")]
    pub document: Option<DocumentState>,
    /// Names that it claims.
    #[serde(skip_serializing_if = "is_default")]
    pub claimed: BTreeSet<ClaimedName>,
    /// Capabilities by name, with what file and acts say of them.
    #[serde(skip_serializing_if = "is_default")]
    pub capabilities: BTreeMap<String, Capability>,
    /// What contracts of VEXEL's said that later words of theirs depend on.
    #[serde(skip_serializing_if = "is_default")]
    pub vexel: vexel::VexelState,
    /// Status dimensions and the counts of their histories.
    #[serde(skip_serializing_if = "is_default")]
    pub status: status::StatusState,
    /// Time of the founding.
    #[serde(
        skip_serializing_if = "is_default",
        with = "chrono::serde::ts_microseconds_option"
    )]
    pub created_at: Option<DateTime<Utc>>,
    /// Time of the last effective fact.
    #[serde(
        skip_serializing_if = "is_default",
        with = "chrono::serde::ts_microseconds_option"
    )]
    pub updated_at: Option<DateTime<Utc>>,
    /// Time of the last change to ACTIVE.
    #[serde(
        skip_serializing_if = "is_default",
        with = "chrono::serde::ts_microseconds_option"
    )]
    pub last_active_at: Option<DateTime<Utc>>,
    /// Time of the last heartbeat on chain.
    #[serde(
        skip_serializing_if = "is_default",
        with = "chrono::serde::ts_microseconds_option"
    )]
    pub last_heartbeat: Option<DateTime<Utc>>,
}

/// What a run of facts changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    /// What the journal owes, in fold order.
    pub changes: Vec<Change>,
    /// New rows of `agent_status_history`.
    pub history: Vec<HistoryRow>,
    /// New rows of `status_changes`.
    pub dimensions: Vec<DimensionRow>,
    /// Whether capabilities may differ from before the run.
    pub capabilities: bool,
    /// Whether the document in force may differ from before the run.
    pub document: bool,
    /// Whether names may have to be written.
    pub names: bool,
    /// Words of VEXEL's contracts, and whether they speak for the agent.
    pub heard: Vec<(At, bool)>,
    /// What it says of the agent's life.
    pub life: Life,
}

impl State {
    /// The owner's address in lower case: a token's is what the chain says.
    pub fn owner(&self, of_token: bool) -> Option<String> {
        if of_token {
            self.token.owner.map(|(owner, _)| format!("{owner:#x}"))
        } else {
            self.columns.text("owner_address").map(str::to_lowercase)
        }
    }

    /// Takes `facts`, which must stand after [`State::end`] and in order.
    pub fn fold<'a>(&mut self, facts: impl IntoIterator<Item = &'a Fact>) -> Delta {
        let mut delta = Delta::default();
        for fact in facts {
            self.apply(fact, &mut delta);
        }
        delta
    }

    fn apply(&mut self, fact: &Fact, delta: &mut Delta) {
        self.end = Some(fact.place);
        let mut run = Run { fact, delta };
        match &fact.what {
            What::Chain(chain) => self.apply_chain(chain, &mut run),
            What::Document(version) => self.apply_document(version, &mut run),
            What::Act(act) => {
                self.off_chain = true;
                self.apply_act(act, &mut run);
            }
            What::Statement(said) => {
                self.off_chain = true;
                self.stated = true;
                self.apply_statement(said, &mut run);
            }
        }
    }

    fn apply_chain(&mut self, chain: &ChainFact, run: &mut Run<'_>) {
        let at = run.at();
        self.chain_time = run.fact.place.time;
        if let ChainWord::Vexel(word) = &chain.said {
            // What anybody can say brings nobody into being, and is no word on a token.
            return self.apply_vexel(word, chain.tx_hash, run);
        }
        if !self.exists {
            self.first_seen(&chain.said, run);
        }
        self.token.first.get_or_insert(at);
        self.token.last = Some((at, chain.tx_hash));
        match &chain.said {
            ChainWord::Founded { owner } => self.found(*owner, chain, run),
            ChainWord::OwnerMoved { to } => {
                self.token.owner = Some((*to, at));
                self.token.moved = Some(format!("{:#x}/{to:#x}", chain.tx_hash));
                self.token.approved = None;
                self.token.claimed.owner = !chain.confirmed;
                run.change(self, "owner_address", json!(hex_0x(to.as_slice())));
            }
            ChainWord::Burned => {
                self.token.owner = None;
                self.token.approved = None;
                self.token.burned = true;
                run.change(self, "owner_address", Value::Null);
                self.end_for_good("Token burned", run);
            }
            ChainWord::WalletSet(wallet) => {
                self.token.wallet = Some((*wallet, at));
                self.token.claimed.wallet = !chain.confirmed;
                run.change(
                    self,
                    "agent_wallet",
                    json!(wallet.map(|wallet| hex_0x(wallet.as_slice()))),
                );
            }
            ChainWord::Approved(approved) => {
                self.token.approved = *approved;
                run.change(
                    self,
                    "approved",
                    json!(approved.map(|address| hex_0x(address.as_slice()))),
                );
            }
            ChainWord::UriSet(uri, _) => {
                self.token.uri = Some(UriState {
                    uri: uri.clone(),
                    place: run.fact.place,
                    cause: run.fact.cause.clone(),
                });
                self.token.claimed.uri = !chain.confirmed;
                run.change(self, "agent_uri", json!(uri.shown));
                if uri.empty {
                    self.clear_document(run);
                }
            }
            ChainWord::MetadataSet { key, value } => {
                self.token.onchain.insert(key.clone(), value.clone());
                let value = columns::journal_value(Value::String(value.clone()));
                run.change(self, format!("onchain:{key}"), value);
            }
            ChainWord::StatusSet { status, reason } => {
                self.set_status(*status, status::Class::Strong, Some(reason.clone()), run);
            }
            ChainWord::Heartbeat => self.beat(run),
            ChainWord::Vexel(_) => {}
        }
    }

    /// A mint resets every column, but the counts of history go on.
    fn found(&mut self, owner: Address, chain: &ChainFact, run: &mut Run<'_>) {
        let at = run.at();
        let before = std::mem::take(self);
        self.end = before.end;
        self.chain_time = before.chain_time;
        self.off_chain = before.off_chain;
        self.stated = before.stated;
        self.deleted = before.deleted;
        self.status = before.status.reset(&mut run.delta.life);
        self.vexel = before.vexel.waiting();
        self.token = TokenState {
            owner: Some((owner, at)),
            founding: Some(format!("{:#x}/{owner:#x}", chain.tx_hash)),
            foundings: before.token.foundings + 1,
            claimed: Claimed {
                owner: !chain.confirmed,
                ..Claimed::default()
            },
            first: before.token.first.or(Some(at)),
            last: Some((at, chain.tx_hash)),
            ..TokenState::default()
        };
        run.delta.capabilities = true;
        run.delta.document = true;
        run.change(self, "owner_address", json!(hex_0x(owner.as_slice())));
        self.begin(run, "Agent registered");
    }

    /// Known only from a later word than its mint: it has a row and a status, and is not complete.
    /// A word that says the status itself is the first one of its history.
    fn first_seen(&mut self, said: &ChainWord, run: &mut Run<'_>) {
        match said {
            ChainWord::Founded { .. } => {}
            ChainWord::StatusSet { .. } | ChainWord::Burned => {
                self.exists = true;
                self.created_at = Some(run.time());
                run.delta.names = true;
            }
            _ => self.begin(run, "First seen"),
        }
    }

    /// The first word of a life: times and the first status.
    fn begin(&mut self, run: &mut Run<'_>, reason: &str) {
        self.exists = true;
        self.created_at = Some(run.time());
        run.delta.names = true;
        self.reset_status(RuntimeStatus::Active, reason, run);
        self.judge_vexel(run);
    }
}

/// One fact on its way through the fold.
struct Run<'a> {
    fact: &'a Fact,
    delta: &'a mut Delta,
}

impl Run<'_> {
    fn time(&self) -> DateTime<Utc> {
        self.fact.place.time()
    }

    /// Where a log stands; only meaningful for chain facts.
    fn at(&self) -> At {
        At {
            block: self.fact.place.major,
            log: self.fact.place.minor,
        }
    }

    fn change(&mut self, state: &mut State, column: impl Into<String>, value: Value) {
        self.change_for(state, &self.fact.cause, column, value);
    }

    fn change_for(
        &mut self,
        state: &mut State,
        cause: &str,
        column: impl Into<String>,
        value: Value,
    ) {
        state.updated_at = Some(self.time());
        self.delta.changes.push(Change {
            column: column.into(),
            value,
            cause: cause.to_owned(),
            time: self.time(),
        });
    }
}
