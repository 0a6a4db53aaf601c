//! The registration file: the document that an agent's URI leads to (ERC-8004, "Agent Registration
//! File"), read from whatever bytes were found there.
//!
//! Of the files on mainnet one in five follows the standard to the letter, so reading is tolerant:
//! what can be understood is taken, and everything that had to be bent, cut or left out is said in
//! a [`Warning`] with a JSON pointer. Nothing here fails and nothing here fetches:
//! [`parse`] is a pure function of the bytes.

mod capabilities;
mod claimed;
mod fields;
mod json;
mod reader;
mod services;
mod warning;

pub use capabilities::{Capability, capabilities};
pub use claimed::ClaimedName;
pub use fields::{diff, fields};
pub use services::Service;
pub use warning::{Level, Warning, WarningCode};

use kernel::{Token, U256};
use serde::Serialize;
use serde_json::{Map, Value};

use reader::Reader;
use warning::Warnings;

/// The `type` that the standard demands.
pub const TYPE: &str = "https://eips.ethereum.org/EIPS/eip-8004#registration-v1";

/// What became of the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What the file says; empty where nothing could be read.
    pub file: RegistrationFile,
    /// What had to be bent, cut or left out, in the order of reading.
    pub warnings: Vec<Warning>,
    /// The state of the document that follows from the warnings.
    pub state: State,
}

/// How far the bytes are a registration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A registration file; its warnings are about spelling at most.
    Fetched,
    /// JSON that breaks the standard. What is valid in it was read.
    Nonconformant,
    /// No JSON, or JSON that two readers could read differently. Nothing was read.
    Malformed,
}

/// What a registration file says, in one form whatever its spelling was. Texts are trimmed and
/// never empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegistrationFile {
    /// The agent's name, at most 255 characters.
    pub name: Option<String>,
    /// What the agent does.
    pub description: Option<String>,
    /// URL of a picture.
    pub image: Option<String>,
    /// Where and how the agent can be reached.
    pub services: Vec<Service>,
    /// Whether the agent takes x402 payments.
    pub x402_support: Option<bool>,
    /// Whether the agent calls itself active.
    pub active: Option<bool>,
    /// The tokens that the file claims to describe.
    pub registrations: Vec<Registration>,
    /// `reputation`, `crypto-economic`, `tee-attestation`, …
    pub supported_trust: Vec<String>,
    /// The file's own version of the agent.
    pub version: Option<String>,
    /// A category, as the other seeds have it.
    pub category: Option<String>,
    /// A sentence, as the other seeds have it.
    pub summary: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Skills, domains and tools that the file names outside of its services.
    pub skills: Vec<String>,
    /// See [`RegistrationFile::skills`].
    pub domains: Vec<String>,
    /// See [`RegistrationFile::skills`].
    pub tools: Vec<String>,
    /// `capabilities` of VEXEL and others, by name.
    pub capabilities: Vec<(String, Value)>,
    /// All keys that mean nothing to us.
    pub other: Map<String, Value>,
    /// The whole document, fit for Postgres: no U+0000, no number that does not fit 64 bits.
    pub raw: Value,
}

/// One entry of `registrations`: a claim until the chain confirms it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registration {
    /// `eip155:<chain>:<registry>` as the file has it.
    pub agent_registry: Option<String>,
    /// The token's id; written as a decimal text, because it may not fit a number of JSON.
    #[serde(serialize_with = "decimal")]
    pub agent_id: Option<U256>,
}

impl Registration {
    /// The token that is claimed, where the entry is complete.
    pub fn token(&self) -> Option<Token> {
        format!("{}/{}", self.agent_registry.as_ref()?, self.agent_id?)
            .parse()
            .ok()
    }
}

/// Reads a document as registration file.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut warnings = Warnings::default();
    let file = match json::read(bytes, &mut warnings) {
        Some(Value::Object(map)) => read_object(map, &mut warnings),
        Some(raw) => {
            warnings.push(
                WarningCode::NotAnObject,
                "",
                "the document is no JSON object",
            );
            RegistrationFile {
                raw,
                ..RegistrationFile::default()
            }
        }
        None => RegistrationFile::default(),
    };
    let warnings = warnings.into_vec();
    let worst = warnings.iter().map(|warning| warning.code.level()).max();
    let state = match worst {
        Some(Level::Malformed) => State::Malformed,
        Some(Level::Violation) => State::Nonconformant,
        Some(Level::Note) | None => State::Fetched,
    };
    Parsed {
        file,
        warnings,
        state,
    }
}

fn read_object(map: Map<String, Value>, warnings: &mut Warnings) -> RegistrationFile {
    let raw = Value::Object(map.clone());
    if let Some((code, message)) = impostor(&map) {
        warnings.push(code, "", message);
        return RegistrationFile {
            raw,
            ..RegistrationFile::default()
        };
    }
    let mut reader = Reader::new(map, "", warnings);
    check_type(&mut reader);
    let name = reader.text("name", &[], reader::NAME);
    reader.warn_if_missing(name.as_ref(), WarningCode::MissingName, "name");
    let description = reader.text("description", &[], reader::PROSE);
    reader.warn_if_missing(
        description.as_ref(),
        WarningCode::MissingDescription,
        "description",
    );
    let image = reader.text("image", &["avatar", "avatar_url", "image_url"], reader::URL);
    reader.warn_if_missing(image.as_ref(), WarningCode::MissingImage, "image");
    RegistrationFile {
        name,
        description,
        image,
        services: services::read(&mut reader),
        x402_support: reader.flag("x402Support", &["x402support", "x402_support"]),
        active: reader.flag("active", &[]),
        registrations: read_registrations(&mut reader),
        supported_trust: reader.names("supportedTrust", &["supportedTrusts", "trustModels"]),
        version: reader.text("version", &[], reader::SHORT),
        category: reader.text("category", &[], reader::SHORT),
        summary: reader.text("summary", &[], reader::PROSE),
        tags: reader.names("tags", &[]),
        skills: reader.names("skills", &["oasf_skills"]),
        domains: reader.names("domains", &["oasf_domains"]),
        tools: reader.names("tools", &[]),
        capabilities: capabilities::read(&mut reader),
        other: reader.rest(),
        raw,
    }
}

/// JSON that is surely something else: what a server says instead of the file.
fn impostor(map: &Map<String, Value>) -> Option<(WarningCode, &'static str)> {
    let has = |key: &str| map.contains_key(key);
    if ["name", "type", "services", "endpoints"]
        .into_iter()
        .any(has)
    {
        return None;
    }
    if has("ciphertext") && ["iv", "nonce"].into_iter().any(has) {
        return Some((WarningCode::Encrypted, "the document is encrypted"));
    }
    let is_error = ["detail", "error", "errors"].into_iter().any(has)
        || has("message") && ["status", "code", "statusCode"].into_iter().any(has);
    is_error.then_some((
        WarningCode::ErrorBody,
        "the document is an error message of a server",
    ))
}

fn check_type(reader: &mut Reader<'_>) {
    match reader.text("type", &[], reader::URL) {
        None => reader.warn(WarningCode::MissingType, "type", "there is no `type`"),
        Some(exact) if exact == TYPE => {}
        Some(variant) if variant.contains("8004") => {
            let message = "`type` is not spelled as in the standard";
            reader.warn(WarningCode::TypeVariant, "type", message);
        }
        Some(_) => {
            let message = "`type` is not that of a registration file";
            reader.warn(WarningCode::UnknownType, "type", message);
        }
    }
}

fn read_registrations(reader: &mut Reader<'_>) -> Vec<Registration> {
    reader.objects("registrations", &[], |entry| {
        let registration = Registration {
            agent_registry: entry.text("agentRegistry", &["registry"], reader::SHORT),
            agent_id: entry.agent_id(),
        };
        if registration.agent_id.is_some() && registration.token().is_none() {
            let message = "an agentRegistry is `eip155:<chain>:<address>`";
            entry.warn(WarningCode::WrongShape, "agentRegistry", message);
        }
        let says_something =
            registration.agent_registry.is_some() || registration.agent_id.is_some();
        says_something.then_some(registration)
    })
}

#[expect(
    clippy::ref_option,
    reason = "serde's serialize_with hands a reference to the field"
)]
fn decimal<S: serde::Serializer>(id: &Option<U256>, serializer: S) -> Result<S::Ok, S::Error> {
    id.map(|id| id.to_string()).serialize(serializer)
}

#[cfg(test)]
mod tests;
