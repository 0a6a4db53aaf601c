//! What the registry knows of an agent, as far as a DID document can say it, and the document that
//! follows from it. did:nft, did:vexel and the did:web of our own agents share it.

use chrono::{DateTime, Utc};
use kernel::Address;
use serde_json::{Value, json};
use url::Url;

use crate::{
    Did, Document, DocumentMetadata, Material, Relationship, Resolution, Service,
    VerificationMethod,
    methods::{key::PublicKey, pkh},
};

/// The facts of an agent at one block, given by whoever keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// EIP-155 id of the chain that owner and wallet are accounts of; without it neither is named.
    pub chain: Option<u64>,
    /// The owner's address.
    pub owner: Option<Address>,
    /// The agent's own wallet (`agentWallet` of ERC-8004), where one is set.
    pub wallet: Option<Address>,
    /// The agent's own key, where it has one.
    pub key: Option<PublicKey>,
    /// What the registration file offers.
    pub services: Vec<AgentService>,
    /// Other names of the agent; those that are no URIs cannot stand in a document and are left
    /// out.
    pub also_known_as: Vec<String>,
    /// When it was registered.
    pub created: Option<DateTime<Utc>>,
    /// When it changed last.
    pub updated: Option<DateTime<Utc>>,
    /// Whether it is gone for good: burned, or finally deactivated.
    pub deactivated: bool,
    /// The block of the last change: the document's version.
    pub block: Option<u64>,
}

/// One service of a registration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentService {
    /// `A2A`, `MCP`, `web`, …
    pub name: String,
    /// A URL, mostly.
    pub endpoint: String,
    /// The version of the protocol.
    pub version: Option<String>,
}

/// The resolution of an agent under `did`.
pub(crate) fn resolve(did: &Did, facts: &AgentFacts, canonical_id: Option<String>) -> Resolution {
    let metadata = DocumentMetadata {
        created: facts.created,
        updated: facts.updated,
        version_id: facts.block.map(|block| block.to_string()),
        canonical_id,
        ..DocumentMetadata::default()
    };
    if facts.deactivated {
        Resolution::deactivated(metadata)
    } else {
        Resolution::of(document(did, facts), metadata)
    }
}

fn document(did: &Did, facts: &AgentFacts) -> Document {
    let mut document = Document::new(did.as_str());
    let own_name = did.as_str();
    for name in &facts.also_known_as {
        let is_news = name != own_name && !document.also_known_as.contains(name);
        if is_news && Url::parse(name).is_ok() {
            document.also_known_as.push(name.clone());
        }
    }
    if let (Some(chain), Some(owner)) = (facts.chain, facts.owner) {
        document.controller = vec![pkh::did(chain, owner)];
        pkh::add_account(&mut document, "owner", chain, owner);
    }
    if let (Some(chain), Some(wallet)) = (facts.chain, facts.wallet)
        && facts.wallet != facts.owner
    {
        pkh::add_account(&mut document, "agentWallet", chain, wallet);
    }
    if let Some(key) = &facts.key {
        add_key(&mut document, key);
    }
    document.service = facts
        .services
        .iter()
        .enumerate()
        .map(|(index, service)| Service {
            id: format!("{did}#service-{}", index + 1),
            service_type: service.name.clone(),
            service_endpoint: endpoint(&service.endpoint),
            version: service.version.clone(),
        })
        .collect();
    document
}

fn add_key(document: &mut Document, key: &PublicKey) {
    let id = format!("{}#key", document.id);
    document
        .authentication
        .push(Relationship::Reference(id.clone()));
    document
        .assertion_method
        .push(Relationship::Reference(id.clone()));
    document.verification_method.push(VerificationMethod {
        id,
        controller: document.id.clone(),
        material: Material::Multikey(key.to_multibase()),
    });
}

/// A text endpoint must be a URI (DID Core, section 5.4); what is none (an ENS name, a handle)
/// becomes a map, which may hold anything. An e-mail address gets its scheme.
fn endpoint(text: &str) -> Value {
    if Url::parse(text).is_ok() {
        return json!(text);
    }
    match Url::parse(&format!("mailto:{text}")) {
        Ok(mail) if text.contains('@') && !text.starts_with('@') => json!(mail.as_str()),
        _ => json!({ "value": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_is_no_uri_becomes_a_map() {
        assert_eq!(
            endpoint("https://a.example/mcp"),
            json!("https://a.example/mcp")
        );
        assert_eq!(endpoint("did:web:a.example"), json!("did:web:a.example"));
        assert_eq!(endpoint("me@a.example"), json!("mailto:me@a.example"));
        assert_eq!(endpoint("vitalik.eth"), json!({"value": "vitalik.eth"}));
        assert_eq!(endpoint("@handle"), json!({"value": "@handle"}));
        assert_eq!(endpoint(""), json!({"value": ""}));
    }
}
