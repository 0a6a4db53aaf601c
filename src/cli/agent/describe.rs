//! What is registered: a registration file made from flags, taken from a file, or a URI that leads
//! to one.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use content::{Layout, Uri, build, classify, data_uri};
use identity::registration::{self, Warning};
use serde::Serialize;

use crate::cli::{exit::Failure, show::clean};

/// OASF as the standard's services name it, for skills and domains.
const OASF: &str = "https://github.com/agntcy/oasf/";
const OASF_VERSION: &str = "0.8.0";

/// What a registration file says.
#[derive(Debug, Clone, clap::Args)]
pub struct Described {
    /// The agent's name
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new(), required_unless_present_any = ["file", "uri"], requires = "description")]
    name: Option<String>,
    /// What it does
    #[arg(long, value_name = "TEXT", requires = "name")]
    description: Option<String>,
    /// A picture of it
    #[arg(long, value_name = "URL", requires = "name")]
    image: Option<String>,
    /// Where it can be reached, such as A2A=https://example.com/.well-known/agent-card.json
    #[arg(long = "service", value_name = "NAME=URL", value_parser = service, requires = "name")]
    services: Vec<(String, String)>,
    /// A skill (OASF)
    #[arg(long = "skill", value_name = "NAME", requires = "name")]
    skills: Vec<String>,
    /// A domain (OASF)
    #[arg(long = "domain", value_name = "NAME", requires = "name")]
    domains: Vec<String>,
    /// How it can be trusted: reputation, crypto-economic, tee-attestation
    #[arg(long = "trust", value_name = "MODEL", requires = "name")]
    trust: Vec<String>,
    /// Whether it is active
    #[arg(long, value_name = "BOOL", requires = "name")]
    active: Option<bool>,
    /// A registration file instead of these, taken as it is
    #[arg(long, value_name = "FILE", conflicts_with_all = FLAGS)]
    file: Option<PathBuf>,
    /// The URI of a registration file that is there already
    #[arg(long, conflicts_with_all = FLAGS, conflicts_with_all = ["file", "way"])]
    uri: Option<String>,
}

/// What makes a registration file here.
const FLAGS: [&str; 8] = [
    "name",
    "description",
    "image",
    "services",
    "skills",
    "domains",
    "trust",
    "active",
];

/// What shall be registered.
pub enum Draft {
    /// A registration file, and what is wrong with it.
    File(Vec<u8>, Vec<Warning>),
    /// The URI of one.
    Uri(String),
}

impl Draft {
    /// Says what is wrong with the file, to whoever sits there.
    pub fn warn(&self) {
        let Self::File(_, warnings) = self else {
            return;
        };
        for warning in warnings {
            let at = if warning.pointer.is_empty() {
                "the file"
            } else {
                &warning.pointer
            };
            let message = clean(&warning.message);
            eprintln!("warning: {at}: {message} ({})", warning.code);
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    r#type: &'static str,
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    services: Vec<Service<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    supported_trust: &'a [String],
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    skills: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    domains: &'a [String],
}

impl Described {
    /// Builds or reads it, and looks at it as the indexer will.
    pub fn draft(&self) -> Result<Draft, Failure> {
        if let Some(uri) = &self.uri {
            return check_uri(uri).map(|()| Draft::Uri(uri.clone()));
        }
        let bytes = match &self.file {
            Some(file) => std::fs::read(file).map_err(|error| {
                Failure::invalid(format!("cannot read {}: {error}", file.display()))
            })?,
            None => self.build()?,
        };
        let parsed = registration::parse(&bytes);
        if parsed.state == registration::State::Malformed {
            let why: Vec<&str> = parsed.warnings.iter().map(|w| w.message.as_str()).collect();
            let file = self.file.as_deref().unwrap_or(Path::new("the file"));
            let why = format!(
                "{} is no registration file: {}",
                file.display(),
                why.join("; ")
            );
            return Err(Failure::invalid(why));
        }
        Ok(Draft::File(bytes, parsed.warnings))
    }

    fn build(&self) -> Result<Vec<u8>, Failure> {
        let mut services: Vec<Service<'_>> = self
            .services
            .iter()
            .map(|(name, endpoint)| Service {
                name,
                endpoint,
                version: None,
                skills: &[],
                domains: &[],
            })
            .collect();
        if !self.skills.is_empty() || !self.domains.is_empty() {
            services.push(Service {
                name: "OASF",
                endpoint: OASF,
                version: Some(OASF_VERSION),
                skills: &self.skills,
                domains: &self.domains,
            });
        }
        let file = File {
            r#type: registration::TYPE,
            name: self.name.as_deref().unwrap_or_default(),
            description: self.description.as_deref().unwrap_or_default(),
            image: self.image.as_deref(),
            services,
            active: self.active,
            supported_trust: &self.trust,
        };
        serde_json::to_vec(&file).map_err(|error| Failure::invalid(error.to_string()))
    }
}

/// A file as the URI that holds it.
pub fn as_data(bytes: &[u8]) -> Result<String, Failure> {
    if bytes.len() > data_uri::MAX_BYTES {
        return Err(Failure::invalid(format!(
            "the file has {} bytes, and a data: URI holds {}: use --as ipfs",
            bytes.len(),
            data_uri::MAX_BYTES
        )));
    }
    let encoded = STANDARD.encode(bytes);
    Ok(format!("data:application/json;base64,{encoded}"))
}

/// The CID that a file gets.
pub fn cid(bytes: &[u8]) -> String {
    build(bytes, Layout::OURS).root.to_string()
}

/// Refuses what no reader could follow.
fn check_uri(uri: &str) -> Result<(), Failure> {
    let wrong = |why: &str| Err(Failure::invalid(format!("--uri: {why}")));
    match classify(uri.as_bytes()) {
        Uri::Empty => wrong("it is empty"),
        Uri::Malformed { why } => wrong(&why),
        Uri::TooLarge { limit } => wrong(&format!("it is longer than {limit} bytes")),
        Uri::Unsupported { what, .. } => wrong(&format!("{what} is read by nobody")),
        _ => Ok(()),
    }
}

fn service(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.trim().is_empty() && !url.trim().is_empty() => {
            Ok((name.trim().to_owned(), url.trim().to_owned()))
        }
        _ => Err("expected NAME=URL".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Described {
        Described {
            name: Some("Ada".to_owned()),
            description: Some("Files reports.".to_owned()),
            image: None,
            services: vec![("A2A".to_owned(), "https://example.com/a?b=c".to_owned())],
            skills: vec!["files/reports".to_owned()],
            domains: Vec::new(),
            trust: vec!["reputation".to_owned()],
            active: Some(true),
            file: None,
            uri: None,
        }
    }

    #[test]
    fn flags_make_a_file_that_is_read_back() {
        let Ok(Draft::File(bytes, warnings)) = described().draft() else {
            panic!("a file");
        };
        let codes: Vec<String> = warnings.iter().map(|w| w.code.to_string()).collect();
        assert_eq!(codes, ["missing-image"]);
        let parsed = registration::parse(&bytes);
        assert_eq!(parsed.state, registration::State::Fetched);
        let file = parsed.file;
        assert_eq!(file.name.as_deref(), Some("Ada"));
        assert_eq!(file.active, Some(true));
        assert_eq!(file.supported_trust, ["reputation"]);
        assert_eq!(
            file.services[0].endpoint.as_deref(),
            Some("https://example.com/a?b=c")
        );
        assert_eq!(file.services[1].skills, ["files/reports"]);
        let uri = as_data(&bytes).expect("short");
        let back = data_uri::decode(uri.as_bytes()).expect("a data URI");
        assert_eq!(back.bytes, bytes);
        assert!(as_data(&vec![b'x'; 70_000]).is_err());
    }

    #[test]
    fn uris_that_lead_nowhere_are_refused() {
        for uri in ["", " ", "ipfs://x", "gopher://x", "hello"] {
            let draft = Described {
                uri: Some(uri.to_owned()),
                ..described()
            }
            .draft();
            assert!(draft.is_err(), "{uri}");
        }
        let uri = "https://example.com/agent.json".to_owned();
        let draft = Described {
            uri: Some(uri),
            ..described()
        }
        .draft();
        assert!(matches!(draft, Ok(Draft::Uri(_))));
    }

    #[test]
    fn a_service_is_a_name_and_a_url() {
        let read = service("MCP = https://x/?a=b").expect("a service");
        assert_eq!(read, ("MCP".to_owned(), "https://x/?a=b".to_owned()));
        assert!(service("MCP").is_err() && service("=https://x").is_err());
    }
}
