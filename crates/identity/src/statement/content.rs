//! What the content of each action says: read strictly, bounded, and turned into the columns that the
//! fold sets.

use std::collections::BTreeMap;

use did::{ed25519, methods::key::PublicKey};
use kernel::{Address, Token};
use serde_json::{Map, Value, json};

use super::Action;
use crate::{Error, Result, fact::RuntimeStatus};

/// A content that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// Columns and capabilities, of a registration or an update.
    Profile(BTreeMap<String, Value>),
    /// Runtime status and load.
    Status {
        status: Option<RuntimeStatus>,
        load: Option<String>,
        reason: Option<String>,
    },
    /// The new key.
    Rotate(PublicKey),
    /// The new owner; none: the key alone speaks from now on.
    Transfer(Option<Owner>),
    /// The end.
    Deregister { reason: Option<String> },
    /// The token whose agent is linked.
    Claim(Token),
}

/// An account, and the chain that it lives on where that matters: a contract wallet of another chain
/// may be somebody else's at the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// EIP-155 id.
    pub chain: Option<u64>,
    /// The account.
    pub address: Address,
}

impl Owner {
    /// Reads `eip155:<chain>:<address>` (CAIP-10) or an address, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let (chain, address) = match text.strip_prefix("eip155:") {
            Some(rest) => {
                let (chain, address) = rest.split_once(':')?;
                let number: u64 = chain.parse().ok()?;
                (number.to_string() == chain).then_some(())?;
                (Some(number), address)
            }
            None => (None, text),
        };
        let address = address
            .starts_with("0x")
            .then(|| address.parse().ok())
            .flatten()?;
        Some(Self { chain, address })
    }
}

/// Text columns of a profile, and how many characters each holds.
const TEXTS: [(&str, usize); 8] = [
    ("name", 255),
    ("description", 4_000),
    ("endpoint_url", 2_048),
    ("avatar_url", 2_048),
    ("category", 50),
    ("summary", 200),
    ("version", 64),
    ("codebase_hash", 128),
];
/// Seconds between heartbeats that an agent may promise: a year.
const MOST_TTL: i64 = 31_536_000;
const MOST_CAPABILITIES: usize = 64;
const LONGEST_REASON: usize = 1_000;

impl Content {
    /// Reads the content of `action`.
    pub fn read(action: Action, value: Value) -> Result<Self> {
        let Value::Object(mut map) = value else {
            return Err(wrong("it is an object"));
        };
        let read = match action {
            Action::Register | Action::Update => Self::profile(&mut map)?,
            Action::Status => Self::status(&mut map)?,
            Action::Rotate => {
                let key = text(&mut map, "key")?.ok_or_else(|| wrong("key: it is missing"))?;
                Self::Rotate(ed25519::parse(&key).map_err(|why| wrong(&format!("key: {why}")))?)
            }
            Action::Transfer => Self::transfer(&mut map)?,
            Action::Deregister => Self::Deregister {
                reason: reason(&mut map)?,
            },
            Action::Claim => {
                let token =
                    text(&mut map, "token")?.ok_or_else(|| wrong("token: it is missing"))?;
                let token = token.parse::<Token>().or_else(|_| Token::from_did(&token));
                Self::Claim(token.map_err(|why| wrong(&format!("token: {why}")))?)
            }
        };
        if let Some(unknown) = map.keys().next() {
            let what = action.as_str();
            return Err(wrong(&format!("{unknown}: {what} says no such thing")));
        }
        if let (Action::Register, Self::Profile(columns)) = (action, &read)
            && !columns.get("name").is_some_and(Value::is_string)
        {
            return Err(wrong("name: an agent has one"));
        }
        if matches!(&read, Self::Profile(columns) if columns.is_empty()) {
            return Err(wrong("it says nothing"));
        }
        Ok(read)
    }

    fn profile(map: &mut Map<String, Value>) -> Result<Self> {
        let mut columns = BTreeMap::new();
        for (column, most) in TEXTS {
            let Some(value) = map.remove(column) else {
                continue;
            };
            let fits = match &value {
                Value::String(text) => !text.is_empty() && text.chars().count() <= most,
                Value::Null => column != "name",
                _ => false,
            };
            if !fits {
                let why = format!("{column}: it is a text of 1 to {most} characters");
                return Err(wrong(&why));
            }
            columns.insert(column.to_owned(), value);
        }
        if let Some(value) = map.remove("ttl") {
            let fits = value.is_null() || matches!(value.as_i64(), Some(1..=MOST_TTL));
            if !fits {
                return Err(wrong(&format!("ttl: it is 1 to {MOST_TTL} seconds")));
            }
            columns.insert("ttl".to_owned(), value);
        }
        if let Some(value) = map.remove("metadata") {
            if !value.is_object() {
                return Err(wrong("metadata: it is an object"));
            }
            columns.insert("metadata".to_owned(), value);
        }
        if let Some(value) = map.remove("capabilities") {
            let fits = value.as_object().is_some_and(|named| {
                named.len() <= MOST_CAPABILITIES
                    && named
                        .keys()
                        .all(|name| !name.is_empty() && name.chars().count() <= 255)
            });
            if !fits {
                let why = format!(
                    "capabilities: it is an object of at most {MOST_CAPABILITIES} names of 1 to 255 characters"
                );
                return Err(wrong(&why));
            }
            columns.insert("capabilities".to_owned(), value);
        }
        Ok(Self::Profile(columns))
    }

    fn status(map: &mut Map<String, Value>) -> Result<Self> {
        let status = match text(map, "status")? {
            None => None,
            Some(word) => Some(
                RuntimeStatus::parse(&word)
                    .filter(|status| status.as_str() == word)
                    .ok_or_else(|| wrong("status: it is ACTIVE, SLEEP or TERMINATED"))?,
            ),
        };
        let load = text(map, "load")?;
        if load
            .as_deref()
            .is_some_and(|load| !["AVAILABLE", "BUSY"].contains(&load))
        {
            return Err(wrong("load: it is AVAILABLE or BUSY"));
        }
        if status.is_none() && load.is_none() {
            return Err(wrong("status or load: one of them is said"));
        }
        let reason = reason(map)?;
        Ok(Self::Status {
            status,
            load,
            reason,
        })
    }

    fn transfer(map: &mut Map<String, Value>) -> Result<Self> {
        let owner = match map.remove("owner") {
            Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Owner::parse(&text).ok_or_else(|| {
                wrong("owner: it is an address, eip155:<chain>:<address>, or null")
            })?),
            _ => return Err(wrong("owner: it is missing")),
        };
        if owner.is_some_and(|owner| owner.address.is_zero()) {
            return Err(wrong(
                "owner: nobody has the key of the zero address; for no owner say null",
            ));
        }
        Ok(Self::Transfer(owner))
    }

    /// What the fold sets, by column; `reason` beside it where there is one.
    pub fn changes(&self) -> BTreeMap<String, Value> {
        let some = |pairs: Vec<(&str, Option<Value>)>| {
            pairs
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect()
        };
        match self {
            Self::Profile(columns) => columns.clone(),
            Self::Status {
                status,
                load,
                reason,
            } => some(vec![
                (
                    "runtime_status",
                    status.map(|status| json!(status.as_str())),
                ),
                ("load", load.as_ref().map(|load| json!(load))),
                ("reason", reason.as_ref().map(|reason| json!(reason))),
            ]),
            Self::Rotate(key) => key_columns(key),
            Self::Transfer(owner) => owner_columns(*owner),
            Self::Deregister { reason } => some(vec![(
                "reason",
                reason.as_ref().map(|reason| json!(reason)),
            )]),
            Self::Claim(token) => some(vec![("token", Some(json!(token.to_string())))]),
        }
    }
}

/// Columns that follow from an agent's key.
pub(crate) fn key_columns(key: &PublicKey) -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("did".to_owned(), json!(key.did())),
        ("public_key".to_owned(), json!(ed25519::wire(key))),
    ])
}

/// Columns that follow from an owner; the chain is kept beside, for the next one who signs as him.
pub(crate) fn owner_columns(owner: Option<Owner>) -> BTreeMap<String, Value> {
    let address = owner.map(|owner| format!("{:#x}", owner.address));
    let mut columns = BTreeMap::from([("owner_address".to_owned(), json!(address))]);
    if let Some(chain) = owner.and_then(|owner| owner.chain) {
        columns.insert("owner_chain".to_owned(), json!(chain.to_string()));
    }
    columns
}

fn text(map: &mut Map<String, Value>, name: &str) -> Result<Option<String>> {
    match map.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(&format!("{name}: it is a text"))),
    }
}

fn reason(map: &mut Map<String, Value>) -> Result<Option<String>> {
    let reason = text(map, "reason")?;
    if reason
        .as_ref()
        .is_some_and(|text| text.is_empty() || text.chars().count() > LONGEST_REASON)
    {
        let why = format!("reason: it is a text of 1 to {LONGEST_REASON} characters");
        return Err(wrong(&why));
    }
    Ok(reason)
}

fn wrong(why: &str) -> Error {
    Error::Invalid(format!("content: {why}"))
}
