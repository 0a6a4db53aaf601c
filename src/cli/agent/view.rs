//! The parts of the API's answers that people are shown.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::{
    client::Client,
    exit::Failure,
    show::{clean, cut, fields, time},
};

/// A value that is shown beside a label of six characters.
const VALUE: usize = 72;

/// An agent.
#[expect(clippy::struct_field_names, reason = "the API's names")]
#[derive(Debug, Clone, Deserialize)]
pub struct Agent {
    pub id: String,
    pub did: String,
    pub name: String,
    pub name_source: String,
    pub description: Option<String>,
    pub owner_address: Option<String>,
    pub agent_wallet: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub runtime_status: String,
    pub liveness: String,
    pub admin_status: String,
    pub load: String,
    pub endpoint_url: Option<String>,
    pub ipfs_metadata_hash: Option<String>,
    pub chain: Option<u64>,
    pub registry: Option<String>,
    pub agent_id: Option<String>,
    pub complete: bool,
    pub burned: bool,
    pub agent_uri: Option<String>,
    pub metadata_state: Option<String>,
    pub metadata_verification: Option<String>,
    pub level: Option<String>,
    pub last_block: Option<u64>,
    pub last_tx: Option<String>,
    pub last_log: Option<u64>,
}

/// A change of status.
#[derive(Debug, Clone, Deserialize)]
pub struct Change {
    pub previous_status: Option<String>,
    pub new_status: String,
    pub changed_at: DateTime<Utc>,
    pub reason: Option<String>,
    pub who: String,
}

/// A journal entry, and how far it is published.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Entry {
    pub cid: String,
    pub state: String,
}

impl Agent {
    /// Reads an answer of the API.
    pub fn read(client: &Client<'_>, value: &Value) -> Result<Self, Failure> {
        Self::deserialize(value).map_err(|_| client.stranger())
    }

    /// `<chain>:<agentId>`, or the DID of an agent without a token.
    pub fn short(&self) -> String {
        match (self.chain, &self.agent_id) {
            (Some(chain), Some(id)) => format!("{chain}:{}", clean(id)),
            _ => clean(&self.did),
        }
    }

    /// Whether its registration file was read, and the row rests on it: on the one with the CID `file`, where that
    /// is known.
    pub fn is_judged(&self, file: Option<&str>) -> bool {
        match self.metadata_state.as_deref() {
            Some("pending") => false,
            Some("fetched") => {
                let rests = self.ipfs_metadata_hash.as_deref();
                self.name_source != "none" && file.is_none_or(|file| rests == Some(file))
            }
            _ => true,
        }
    }

    /// What became of its registration file, in a word or two.
    pub fn file(&self) -> String {
        let state = self.metadata_state.as_deref().unwrap_or("none");
        match (state, self.metadata_verification.as_deref()) {
            ("fetched", Some(verification)) => clean(verification),
            (state, _) => clean(state),
        }
    }

    /// Everything that people want to see at once.
    pub fn fields(&self) -> String {
        let text = |value: &Option<String>| value.as_deref().map(clean);
        let mut state = vec![clean(&self.runtime_status)];
        let usual = [
            (&self.liveness, "unknown"),
            (&self.admin_status, "ACTIVE"),
            (&self.load, "AVAILABLE"),
        ];
        let unusual = usual.iter().filter(|(value, usual)| value != usual);
        state.extend(unusual.map(|(value, _)| clean(value)));
        state.extend(self.burned.then(|| "burned".to_owned()));
        state.extend(
            (!self.complete).then(|| "incomplete: its registration was not seen".to_owned()),
        );
        let state = state.join(", ");
        let document = document(
            self.metadata_state.as_deref(),
            self.metadata_verification.as_deref(),
        );
        let proof = self.level.as_ref().map(|level| {
            let place = match (self.last_block, self.last_log) {
                (Some(block), Some(log)) => format!(", block {block}, log {log}"),
                _ => String::new(),
            };
            format!("{level}{place}")
        });
        fields(&[
            ("agent", Some(self.short())),
            ("name", Some(cut(&self.name, VALUE))),
            (
                "about",
                self.description.as_deref().map(|about| cut(about, VALUE)),
            ),
            ("status", Some(state)),
            ("owner", text(&self.owner_address)),
            ("wallet", text(&self.agent_wallet)),
            ("DID", Some(clean(&self.did))),
            ("UUID", Some(clean(&self.id))),
            ("URI", self.agent_uri.as_deref().map(uri)),
            ("file", document),
            ("CID", text(&self.ipfs_metadata_hash)),
            (
                "calls",
                self.endpoint_url.as_deref().map(|url| cut(url, VALUE)),
            ),
            ("proof", proof.as_deref().map(clean)),
            ("tx", text(&self.last_tx)),
            ("since", Some(format!("{} UTC", time(self.created_at)))),
            ("change", Some(format!("{} UTC", time(self.updated_at)))),
        ])
    }
}

/// What became of a registration file.
pub fn document(state: Option<&str>, verification: Option<&str>) -> Option<String> {
    let words: Vec<&str> = [state, verification].into_iter().flatten().collect();
    (!words.is_empty()).then(|| clean(&words.join(", ")))
}

/// A URI: whole where it fits, else its beginning and its length.
pub fn uri(uri: &str) -> String {
    let length = uri.chars().count();
    if length <= VALUE {
        return clean(uri);
    }
    let tail = format!(" ({length} characters)");
    format!("{}{tail}", cut(uri, VALUE - tail.chars().count()))
}
