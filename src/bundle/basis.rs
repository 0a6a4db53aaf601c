//! On what each field of a record rests.
//!
//! One rule for who writes a bundle and who reads it: a field rests on whatever is shown and says the same. What
//! nothing shown says is the instance's own word.

use std::collections::{BTreeMap, BTreeSet};

use chain::Said;
use content::{Layout, build};
use identity::registration;
use kernel::{Address, Bytes, Token, cid_of_raw, clean_json, sha256};
use serde::Serialize;
use serde_json::Value;

use super::journaled::Journaled;

/// URIs longer than this stand in a record by their digest: a `data:` URI is in the receipt and in the state already.
const LONGEST_URI: usize = 256;

/// What a field can rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A log in a receipt under the header's `receiptsRoot`.
    Log,
    /// The registry's storage under a header's `stateRoot`.
    Storage,
    /// The registration file, to whose bytes the journal commits.
    Document,
    /// An entry of the signed log.
    Journal,
}

impl Basis {
    const ALL: [Self; 4] = [Self::Log, Self::Storage, Self::Document, Self::Journal];

    /// The word in files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Storage => "storage",
            Self::Document => "document",
            Self::Journal => "journal",
        }
    }
}

/// What the chain was shown to say of a token. `None`: it was not shown.
#[derive(Debug, Default)]
pub struct Told {
    /// The block.
    pub block: u64,
    /// The owner; zero: nobody, as in the contract's storage.
    pub owner: Option<Address>,
    /// The wallet; zero: none.
    pub wallet: Option<Address>,
    /// The URI.
    pub uri: Option<Bytes>,
    /// The status that a contract was told.
    pub status: Option<&'static str>,
}

/// A field's value as a record has it, which may be none.
struct Says(Option<String>);

/// All that was shown.
#[derive(Debug, Default)]
pub struct Known {
    /// The agent's token.
    pub token: Option<Token>,
    /// By the receipt.
    pub log: Option<Told>,
    /// By the storage.
    pub storage: Option<Told>,
    /// By entries of the journal.
    pub journal: Journaled,
    /// The columns whose value there was signed by a key whose right to it was shown.
    pub signed: BTreeSet<String>,
    /// The registration file, and what it says.
    pub document: Option<(Bytes, BTreeMap<String, Value>)>,
}

impl Told {
    /// Takes what logs of one transaction said, in their order.
    pub fn of_logs(block: u64, said: impl IntoIterator<Item = Said>) -> Self {
        let mut told = Self {
            block,
            ..Self::default()
        };
        for said in said {
            told.take(said);
        }
        told
    }

    fn take(&mut self, said: Said) {
        match said {
            // A mint resets everything.
            Said::Founded { owner, .. } => {
                self.owner = Some(owner);
                self.uri = Some(Bytes::new());
            }
            Said::OwnerMoved { to, .. } => self.owner = Some(to),
            Said::Burned { .. } => self.owner = Some(Address::ZERO),
            Said::WalletSet { wallet, .. } => self.wallet = Some(wallet.unwrap_or_default()),
            Said::UriSet { uri, .. } => self.uri = Some(uri),
            Said::StatusSet { status, .. } => {
                self.status = ["ACTIVE", "SLEEP", "TERMINATED"]
                    .get(usize::from(status))
                    .copied();
            }
            Said::MetadataSet { .. } | Said::Heartbeat | Said::Approved { .. } | Said::Noted => {}
        }
    }

    /// What is said of a field. `None`: nothing.
    fn of(&self, token: &Token, field: &str) -> Option<Says> {
        Some(Says(match field {
            "id" => Some(kernel::AgentId::of_token(token).to_string()),
            "did" => Some(token.did()),
            "name" => Some(token.short()),
            "chain" => Some(token.chain.to_string()),
            "registry" => Some(token.registry.to_string()),
            "agent_id" => Some(token.id.to_string()),
            "owner_address" => shown_address(self.owner?),
            "agent_wallet" => shown_address(self.wallet?),
            "agent_uri" => shown_uri(self.uri.as_ref()?),
            "burned" => Some(self.owner?.is_zero().to_string()),
            "runtime_status" => Some(self.status?.to_owned()),
            _ => return None,
        }))
    }
}

impl Known {
    /// Whom the chain was shown to name as the token's owner.
    pub fn owner(&self) -> Option<Address> {
        let told = self.storage.as_ref().or(self.log.as_ref());
        told?.owner.filter(|owner| !owner.is_zero())
    }

    /// Takes the registration file, if something shown commits to its bytes.
    pub fn take_document(&mut self, bytes: Bytes) -> bool {
        let committed = Value::String(hex::encode(sha256(&bytes)));
        if self.journal.value("document") != Some(&committed) {
            return false;
        }
        let fields = registration::fields(&registration::parse(&bytes).file);
        let fields = fields.into_iter();
        let fields = fields.map(|(name, value)| (name, clean_json(value).value));
        self.document = Some((bytes, fields.collect()));
        true
    }

    /// What a field with this value rests on.
    pub fn rests_on(&self, field: &str, value: Option<&str>) -> Vec<Basis> {
        let says = |basis: &Basis| self.says(*basis, field, value);
        Basis::ALL.into_iter().filter(says).collect()
    }

    /// What the chain was shown to say instead of this value of a field, and by which block.
    pub fn contradiction(&self, field: &str, value: Option<&str>) -> Option<(u64, String)> {
        if !["owner_address", "agent_wallet", "agent_uri"].contains(&field) {
            return None;
        }
        let token = self.token.as_ref()?;
        let told = [&self.storage, &self.log].into_iter().flatten();
        let mut said = told.filter_map(|told| Some((told.block, told.of(token, field)?.0)));
        let (block, other) = said.find(|(_, said)| said.as_deref() != value)?;
        Some((block, other.unwrap_or_else(|| "none".to_owned())))
    }

    fn says(&self, basis: Basis, field: &str, value: Option<&str>) -> bool {
        let by_chain = |told: &Option<Told>| {
            let told = told.as_ref().zip(self.token.as_ref());
            let said = told.and_then(|(told, token)| told.of(token, field));
            said.is_some_and(|Says(said)| said.as_deref() == value)
        };
        match basis {
            Basis::Log if field == "last_block" => {
                let block = self.log.as_ref().map(|told| told.block.to_string());
                block.is_some() && block.as_deref() == value
            }
            Basis::Log => by_chain(&self.log),
            Basis::Storage => by_chain(&self.storage),
            Basis::Document => value.is_some_and(|value| self.document_says(field, value)),
            Basis::Journal => {
                let said = self.journal.value(field);
                said.is_some_and(|said| journal_text(field, said).as_deref() == value)
            }
        }
    }

    fn document_says(&self, field: &str, value: &str) -> bool {
        let Some((bytes, fields)) = &self.document else {
            return false;
        };
        if field == "ipfs_metadata_hash" {
            return cid_of_raw(bytes).to_string() == value
                || build(bytes, Layout::OURS).root.to_string() == value;
        }
        // Never `active` and the like: a row has no such columns.
        fields.get(field).and_then(Value::as_str) == Some(value)
    }
}

/// An address as a record shows it; none where it is zero.
pub fn shown_address(address: Address) -> Option<String> {
    (!address.is_zero()).then(|| address.to_string())
}

/// A URI as a record shows it; none where it is empty.
pub fn shown_uri(uri: &[u8]) -> Option<String> {
    match std::str::from_utf8(uri) {
        Ok("") => None,
        Ok(text) if text.len() <= LONGEST_URI && !text.contains('\0') => Some(text.to_owned()),
        _ => Some(format!("sha256:{}", hex::encode(sha256(uri)))),
    }
}

/// A value of the journal in the form of a record.
fn journal_text(field: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text,
        other => return Some(other.to_string()),
    };
    match field {
        "owner_address" | "agent_wallet" => text
            .parse::<Address>()
            .map_or_else(|_| Some(text.clone()), |address| Some(address.to_string())),
        "agent_uri" => shown_uri(text.as_bytes()),
        _ => Some(text.clone()),
    }
}
