//! From what is stored to facts in their order.

use chain::{
    Log, Said, decode_token,
    vexel::{Vexel, vexel},
};
use kernel::{Address, B256, clean_text, hex_0x, push_hex_0x, sha256};

use super::load::{ActRow, ChainInfo, Logs, Version, Versions};
use crate::{
    fact::{
        ChainFact, ChainWord, DocumentVersion, Fact, Place, RuntimeStatus, UriRef, VexelSaid,
        VexelWord, What, Who,
    },
    fold::State,
    statement::facts::StatementRow,
    vexel::{account as account_of, founds},
    window::Window,
};

/// A text is shown in the journal up to this many bytes, else its digest.
const SHOWN: usize = 512;

/// The facts of the logs, in order; one that could not be read says nothing.
///
/// `after` is the time of the last log before them: a block's time never goes back. `did` is the agent's own.
pub fn chain_facts(logs: &Logs, info: &ChainInfo, after: i64, did: &str) -> Vec<Fact> {
    let mut facts = Vec::with_capacity(logs.logs.len() + 2);
    let mut latest = after;
    let mut times = Vec::with_capacity(logs.times.len());
    for time in &logs.times {
        latest = latest.max(*time);
        times.push(latest);
    }
    for (index, said) in decode_token(&logs.logs, info.topics) {
        if let Ok(said) = said {
            facts.extend(At::of(&logs.logs[index]).fact(times[index], &said));
        }
    }
    if info.vexel {
        let before = facts.len();
        for (log, time) in logs.logs.iter().zip(times) {
            if let Some(Ok(said)) = vexel(log) {
                facts.extend(At::of(log).vexel_fact(time, &said, did));
            }
        }
        if facts.len() > before {
            facts.sort_by_key(|fact| fact.place);
        }
    }
    facts
}

/// The same for an agent's logs of a window, and the last block that holds one.
pub fn window_facts(window: &Window, place: u32, after: i64) -> (Vec<Fact>, Option<i64>) {
    let mut facts = Vec::new();
    let mut latest = after;
    let mut last = None;
    for told in window.told(place) {
        latest = latest.max(told.time);
        last = Some(told.block);
        let at = At {
            chain: window.chain(),
            block: told.block,
            block_hash: &told.block_hash,
            index: told.index,
            tx_hash: told.tx_hash,
            address: told.address,
        };
        facts.extend(told.said.iter().filter_map(|said| at.fact(latest, said)));
    }
    (facts, last)
}

/// Where a log stands, and who emitted it.
struct At<'a> {
    chain: u64,
    block: i64,
    block_hash: &'a B256,
    index: u32,
    tx_hash: B256,
    address: Address,
}

impl<'a> At<'a> {
    fn of(log: &'a Log) -> Self {
        Self {
            chain: log.chain,
            block: log.block_number.cast_signed(),
            block_hash: &log.block_hash,
            index: log.log_index,
            tx_hash: log.tx_hash,
            address: log.address,
        }
    }
}

impl At<'_> {
    /// The fact that one of the log's words is; `time` in microseconds.
    fn fact(&self, time: i64, said: &Said) -> Option<Fact> {
        let (word, confirmed) = word(said)?;
        Some(self.chain_fact(time, self.speaker(said), word, confirmed))
    }

    /// The same of a log of VEXEL's.
    fn vexel_fact(&self, time: i64, said: &Vexel, did: &str) -> Option<Fact> {
        let who = match said {
            Vexel::Registered { owner, .. } => Who::Account(*owner),
            _ => Who::Contract(self.address),
        };
        let said = vexel_word(said, did, self.chain)?;
        let contract = self.address;
        Some(self.chain_fact(
            time,
            who,
            ChainWord::Vexel(VexelWord { contract, said }),
            true,
        ))
    }

    fn chain_fact(&self, time: i64, who: Who, said: ChainWord, confirmed: bool) -> Fact {
        Fact {
            place: Place {
                time,
                off_chain: false,
                major: self.block,
                minor: i32::try_from(self.index).unwrap_or(i32::MAX),
                after: 0,
            },
            cause: self.cause(),
            who,
            what: What::Chain(ChainFact {
                tx_hash: self.tx_hash,
                confirmed,
                said,
            }),
        }
    }

    /// `eip155:<chain>/<block hash>/<log index>`.
    fn cause(&self) -> String {
        let mut cause = String::with_capacity(96);
        cause.push_str("eip155:");
        cause.push_str(&self.chain.to_string());
        cause.push('/');
        push_hex_0x(&mut cause, &self.block_hash.0);
        cause.push('/');
        cause.push_str(&self.index.to_string());
        cause
    }

    /// Whose doing a log was, as far as it tells.
    fn speaker(&self, said: &Said) -> Who {
        match said {
            Said::Founded { owner, .. } => Who::Account(*owner),
            Said::OwnerMoved { from, .. } | Said::Burned { from } => Who::Account(*from),
            Said::StatusSet { speaker, .. } => Who::Account(*speaker),
            _ => Who::Contract(self.address),
        }
    }
}

fn word(said: &Said) -> Option<(ChainWord, bool)> {
    let word = match said {
        Said::Founded { owner, .. } => ChainWord::Founded { owner: *owner },
        Said::OwnerMoved { to, .. } => ChainWord::OwnerMoved { to: *to },
        Said::Burned { .. } => ChainWord::Burned,
        Said::WalletSet { wallet, .. } => ChainWord::WalletSet(*wallet),
        Said::Approved { approved } => ChainWord::Approved(*approved),
        Said::UriSet { uri, .. } => ChainWord::UriSet(uri_ref(uri), uri.clone()),
        Said::MetadataSet { key, value } => ChainWord::MetadataSet {
            key: short(key),
            value: hex_0x(value),
        },
        Said::StatusSet { status, reason, .. } => ChainWord::StatusSet {
            status: RuntimeStatus::from_code(*status)?,
            reason: clean_text(reason).value,
        },
        Said::Heartbeat => ChainWord::Heartbeat,
        Said::Noted => return None,
    };
    Some((word, said.confirmed()))
}

fn vexel_word(said: &Vexel, did: &str, chain: u64) -> Option<VexelSaid> {
    let text = |bytes: &[u8]| clean_text(bytes).value;
    Some(match said {
        Vexel::Enrolled { account, .. } => VexelSaid::Enrolled {
            account: *account,
            is_named: account_of(did) == Some(*account),
        },
        Vexel::Beat { .. } => VexelSaid::Beat,
        Vexel::Inactive { .. } => VexelSaid::Inactive,
        Vexel::Deactivated { account, .. } => VexelSaid::Deactivated { account: *account },
        Vexel::Threshold { .. } => VexelSaid::Threshold,
        // What was said before a key or a token founds the agent is nobody's founding, and no stranger founds it.
        Vexel::Registered { owner, .. } if !founds(did, *owner, chain) => return None,
        Vexel::Registered {
            owner,
            name,
            description,
            ..
        } => VexelSaid::Registered {
            owner: *owner,
            name: text(name),
            description: text(description),
        },
        Vexel::Updated {
            name, ipfs_hash, ..
        } => VexelSaid::Updated {
            name: text(name),
            ipfs_hash: text(ipfs_hash),
        },
        Vexel::Status { status, .. } => VexelSaid::Status(RuntimeStatus::from_code(*status)),
        Vexel::Capability { name, value, .. } => VexelSaid::Capability {
            name: text(name),
            value: text(value),
        },
        Vexel::Of { .. } | Vexel::Ownership { .. } => return None,
    })
}

/// A URI as the fold knows it.
pub fn uri_ref(uri: &[u8]) -> UriRef {
    UriRef {
        hash: sha256(uri),
        empty: uri.is_empty(),
        shown: short(uri),
    }
}

fn short(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= SHOWN && !text.contains('\0') => text.to_owned(),
        _ => format!("sha256:{}", hex::encode(sha256(bytes))),
    }
}

/// The URI that is current in a fact.
pub fn named_uri(fact: &Fact) -> Option<(&UriRef, &kernel::Bytes)> {
    match &fact.what {
        What::Chain(ChainFact {
            said: ChainWord::UriSet(uri, raw),
            ..
        }) => Some((uri, raw)),
        _ => None,
    }
}

/// The facts of the documents at the URIs that `state` and `facts` name.
///
/// At the log that set a URI stands the newest version judged by then, else the first judged; later
/// ones stand at their own time, and the fold takes them only while that URI is current.
pub fn document_facts(
    state: &State,
    facts: &[Fact],
    versions: &Versions,
    chain: Option<u64>,
) -> Vec<Fact> {
    let mut out = Vec::new();
    if let Some(named) = &state.token.uri {
        let found = versions.get(&named.uri.hash).map_or(&[][..], Vec::as_slice);
        let in_force = state
            .document
            .as_ref()
            .filter(|document| document.uri == named.uri.hash);
        match in_force {
            None => at_log(&named.uri, named.place, found, chain, &mut out),
            Some(document) => {
                let later = found
                    .iter()
                    .filter(|version| version.number > document.version);
                out.extend(later.map(|version| on_its_own(&named.uri, version, chain)));
            }
        }
    }
    for fact in facts {
        if let Some((uri, _)) = named_uri(fact) {
            let found = versions.get(&uri.hash).map_or(&[][..], Vec::as_slice);
            at_log(uri, fact.place, found, chain, &mut out);
        }
    }
    out
}

fn at_log(uri: &UriRef, log: Place, found: &[Version], chain: Option<u64>, out: &mut Vec<Fact>) {
    // What was judged at the very time of the log was judged after it: the chain is ahead.
    let by_then = found
        .iter()
        .rposition(|version| version.time(chain) < log.time);
    let Some(standing) = by_then.or((!found.is_empty()).then_some(0)) else {
        return;
    };
    let version = &found[standing];
    out.push(Fact {
        place: Place { after: 1, ..log },
        cause: String::new(),
        who: Who::Named("document".to_owned()),
        what: What::Document(document(uri, version, true)),
    });
    out.extend(
        found[standing + 1..]
            .iter()
            .map(|version| on_its_own(uri, version, chain)),
    );
}

fn on_its_own(uri: &UriRef, version: &Version, chain: Option<u64>) -> Fact {
    Fact {
        place: Place {
            time: version.time(chain),
            off_chain: true,
            major: version.serial,
            minor: 0,
            after: 0,
        },
        cause: String::new(),
        who: Who::Named("document".to_owned()),
        what: What::Document(document(uri, version, false)),
    }
}

fn document(uri: &UriRef, version: &Version, standing: bool) -> DocumentVersion {
    DocumentVersion {
        uri: uri.hash,
        version: version.number,
        standing,
        fields: if standing {
            version.whole.clone()
        } else {
            version.says.clone()
        },
        sha256: version.sha256,
        cid: version.cid.clone(),
        raw: version.raw.clone(),
    }
}

/// The facts of acts: each stands at its own time, but not before the founding that it names.
pub fn act_facts(acts: &[ActRow], state: &State, facts: &[Fact]) -> Vec<Fact> {
    acts.iter()
        .map(|row| {
            let founded = row
                .act
                .founding
                .as_ref()
                .and_then(|named| founding_time(named, facts));
            // Without a token a row's created_at is only what an INSERT said.
            let is_of_state =
                row.act.founding.is_some() && row.act.founding == state.token.founding;
            let known = state.created_at.map(|time| time.timestamp_micros());
            let floor = founded.or(known.filter(|_| is_of_state));
            Fact {
                place: Place {
                    time: row.at.max(floor.unwrap_or(i64::MIN)),
                    off_chain: true,
                    major: row.serial,
                    minor: 0,
                    after: 0,
                },
                cause: format!("act:{}", row.serial),
                who: Who::Named(row.who.clone()),
                what: What::Act(row.act.clone()),
            }
        })
        .collect()
}

/// The facts of statements: each stands at its own time, but not before the founding and the transfer
/// that it names.
pub fn statement_facts(rows: &[StatementRow], state: &State, facts: &[Fact]) -> Vec<Fact> {
    rows.iter()
        .map(|row| {
            let founding = row.fact.founding.as_ref();
            let founded = founding.and_then(|named| founding_time(named, facts));
            let is_of_state = founding.is_some() && founding == state.token.founding.as_ref();
            let known = state.created_at.map(|time| time.timestamp_micros());
            let moved = row.fact.transfer.as_ref();
            let moved = moved.and_then(|named| transfer_time(named, facts));
            let floor = founded.or(known.filter(|_| is_of_state)).max(moved);
            Fact {
                place: Place {
                    time: row.at.max(floor.unwrap_or(i64::MIN)),
                    off_chain: true,
                    major: row.serial,
                    minor: 0,
                    after: 0,
                },
                cause: format!("statement:{}", row.serial),
                who: row.who.clone(),
                what: What::Statement(row.fact.clone()),
            }
        })
        .collect()
}

/// Time of the log that made somebody the owner, by its transaction and him.
fn transfer_time(named: &str, facts: &[Fact]) -> Option<i64> {
    facts.iter().rev().find_map(|fact| match &fact.what {
        What::Chain(ChainFact {
            tx_hash,
            said: ChainWord::Founded { owner } | ChainWord::OwnerMoved { to: owner },
            ..
        }) if named == format!("{tx_hash:#x}/{owner:#x}") => Some(fact.place.time),
        _ => None,
    })
}

/// Time of the mint that a founding names, by transaction and first owner.
fn founding_time(named: &str, facts: &[Fact]) -> Option<i64> {
    facts.iter().find_map(|fact| match &fact.what {
        What::Chain(ChainFact {
            tx_hash,
            said: ChainWord::Founded { owner },
            ..
        }) if named == format!("{tx_hash:#x}/{owner:#x}") => Some(fact.place.time),
        _ => None,
    })
}
