//! Statements: what an agent's key or its owner's wallet signed about the agent, a fact like any other
//! (`model.md` §2; docs/decisions/0016 has the bytes).
//!
//! A statement authorises itself: who brings it does not matter. It says which office it is for
//! (`origin`), so that it is worth nothing at another; its `sequence` rises with each one of its agent
//! and its `nonce` is used once by its signer, so that it counts once; and it expires.

mod author;
mod authority;
pub mod canonical;
mod content;
pub(crate) mod facts;
mod list;
mod record;
mod signed;

use std::borrow::Cow;

use chain::typed::{Domain, Field, Typed};
use chrono::{DateTime, TimeDelta, Utc};
use kernel::B256;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

pub(crate) use self::content::Content;
pub use self::{
    author::{AskedAt, Authors, COLUMN, Right, Speaker, Spoken},
    content::Owner,
    list::{Listed, last_sequence, list},
    record::{Receipt, record},
    signed::{Offered, Signed, Signer, Submission, verify},
};
use crate::{Error, Result};

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Founds the agent of a key, or lets one that was deregistered begin anew. Signed by the key; where the
    /// owner's account signs it too, the agent is his.
    Register,
    /// Sets columns and capabilities. Signed by the key or the owner.
    Update,
    /// Sets the runtime status or the load. Signed by the key or the owner.
    Status,
    /// Puts another key in the place of the key. Signed by both.
    Rotate,
    /// Gives the agent of a key to another owner. Signed by the owner; by the key where there is none.
    Transfer,
    /// Ends the agent. Signed by the key or the owner.
    Deregister,
    /// Links the agent of a key and that of a token. Signed by the key and the token's owner.
    Claim,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Register,
        Self::Update,
        Self::Status,
        Self::Rotate,
        Self::Transfer,
        Self::Deregister,
        Self::Claim,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Update => "update",
            Self::Status => "status",
            Self::Rotate => "rotate",
            Self::Transfer => "transfer",
            Self::Deregister => "deregister",
            Self::Claim => "claim",
        }
    }

    /// Reads [`Action::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// No content is longer, in bytes: a statement stands whole in its journal entry, beside signatures.
pub const MOST_CONTENT: usize = 8 * 1024;
/// No name of an agent is longer: VEXEL's `did` is VARCHAR(255).
const MOST_NAME: usize = 255;
/// A sequence is at most so far above the last one of its agent: else a single statement could take the last number that
/// there is, and nobody could say anything of that agent any more.
pub const MOST_GAP: u64 = 1 << 32;
/// A statement is good for at most so long.
pub const LONGEST: TimeDelta = TimeDelta::hours(1);
/// Clocks of signers may be so far ahead of ours.
const AHEAD: TimeDelta = TimeDelta::seconds(60);
/// In front of the bytes that keys sign: no other protocol's bytes begin so.
const PREFIX: &str = "chancery statement v1\n";

/// One statement, as its signers saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// What it does.
    pub action: Action,
    /// Whom it speaks of: a verified identifier; in a registration the key's `did:key`.
    pub agent: String,
    /// What it says, as canonical JSON (RFC 8785, no floats).
    pub content: String,
    /// Its place among the statements of its agent.
    #[serde(with = "decimal")]
    pub sequence: u64,
    /// Used once by its signer.
    pub nonce: Nonce,
    /// When it was signed, in seconds since 1970.
    pub issued: i64,
    /// Until when it may be brought.
    pub expires: i64,
    /// The journal that it is for.
    pub origin: String,
}

/// Sixteen bytes, written as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let mut bytes = [0; 16];
        match hex::decode_to_slice(text.as_bytes(), &mut bytes) {
            Ok(()) if lower => Ok(Self(bytes)),
            _ => Err(serde::de::Error::custom(
                "a nonce is 32 hex digits in lower case",
            )),
        }
    }
}

/// A number that JavaScript does not round: decimal text without sign or leading zero.
mod decimal {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde gives fields by reference"
    )]
    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let number = text.parse::<u64>().ok();
        number
            .filter(|number| number.to_string() == *text)
            .ok_or_else(|| D::Error::custom("a sequence is a decimal number, as text"))
    }
}

impl Statement {
    /// Checks the form, apart from time and signatures, and reads the content.
    pub(crate) fn check(&self) -> Result<Content> {
        let refuse = |why: String| Err(Error::Invalid(why));
        if self.agent.is_empty() || self.agent.len() > MOST_NAME {
            return refuse(format!("agent: a name has 1 to {MOST_NAME} bytes"));
        }
        // Postgres would refuse it, and with it all statements that are looked up together.
        if self.agent.contains('\0') {
            return refuse("agent: it has the character U+0000 in it".to_owned());
        }
        if self.content.len() > MOST_CONTENT {
            return refuse(format!("content: it has at most {MOST_CONTENT} bytes"));
        }
        if self.sequence == 0 || i64::try_from(self.sequence).is_err() {
            return refuse(format!("sequence: it is 1 to {}", i64::MAX));
        }
        let value = canonical::parse(&self.content)
            .map_err(|why| Error::Invalid(format!("content: {why}")))?;
        Content::read(self.action, value)
    }

    /// Checks the form, apart from time and signatures, of what is to be signed.
    pub fn check_form(&self) -> Result<()> {
        self.check_new().map(drop)
    }

    /// Checks what nobody recorded yet: a slip in the new owner's address would give the agent away. What is recorded
    /// said what it said.
    pub(crate) fn check_new(&self) -> Result<Content> {
        let content = self.check()?;
        if self.action == Action::Transfer
            && let Ok(Value::Object(fields)) = canonical::parse(&self.content)
            && let Some(owner) = fields.get("owner").and_then(Value::as_str)
        {
            let address = owner.rsplit(':').next().unwrap_or(owner);
            kernel::written_address(address)
                .map_err(|why| Error::Invalid(format!("owner: {why}")))?;
        }
        Ok(content)
    }

    /// Checks that it may be brought now.
    pub(crate) fn check_time(&self, now: DateTime<Utc>) -> Result<()> {
        let now = now.timestamp();
        let lasts = self.expires.saturating_sub(self.issued);
        let why = if lasts <= 0 {
            "expires: it is after issued".to_owned()
        } else if lasts > LONGEST.num_seconds() {
            format!(
                "expires: it is at most {} s after issued",
                LONGEST.num_seconds()
            )
        } else if self.issued > now.saturating_add(AHEAD.num_seconds()) {
            format!("issued: it is in the future; here it is {now}")
        } else if self.expires <= now {
            format!("expires: it is over; here it is {now}: sign anew")
        } else {
            return Ok(());
        };
        Err(Error::Invalid(why))
    }

    /// The bytes that a key signs: a prefix, and all fields as canonical JSON.
    pub fn key_bytes(&self) -> Vec<u8> {
        let fields = canonical::write(&self.json());
        [PREFIX.as_bytes(), fields.as_bytes()].concat()
    }

    /// Reads [`Statement::key_bytes`] back.
    pub(crate) fn from_key_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes.strip_prefix(PREFIX.as_bytes())?).ok()
    }

    /// The hash that an account on `chain` signs (EIP-712).
    pub fn digest(&self, chain: u64) -> B256 {
        self.typed().digest(&self.domain(chain))
    }

    /// What a wallet on `chain` is given to sign: the parameter of `eth_signTypedData_v4`.
    pub fn typed_data(&self, chain: u64) -> Value {
        self.typed().json(&self.domain(chain))
    }

    /// All fields by their names.
    pub fn json(&self) -> Value {
        json!({
            "action": self.action.as_str(),
            "agent": self.agent,
            "content": self.content,
            "sequence": self.sequence.to_string(),
            "nonce": hex::encode(self.nonce.0),
            "issued": self.issued,
            "expires": self.expires,
            "origin": self.origin,
        })
    }

    fn domain(&self, chain: u64) -> Domain {
        Domain::new(chain, &self.origin)
    }

    fn typed(&self) -> Typed<'_> {
        let text = |text: &'static str| Field::Text(text.into());
        Typed {
            name: "Statement",
            fields: vec![
                ("action", text(self.action.as_str())),
                ("agent", Field::Text(self.agent.as_str().into())),
                ("content", Field::Text(self.content.as_str().into())),
                ("sequence", Field::Number(self.sequence)),
                ("nonce", Field::Nonce(self.nonce.0)),
                // Times before 1970 are refused before anything is verified.
                ("issued", Field::Number(self.issued.unsigned_abs())),
                ("expires", Field::Number(self.expires.unsigned_abs())),
            ],
        }
    }
}

#[cfg(test)]
mod tests;
