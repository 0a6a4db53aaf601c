//! The DID document (DID Core v1.1, Controlled Identifiers v1.0) as typed values that serialise in
//! one order.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// The JSON-LD contexts that our documents name.
pub mod context {
    /// DID Core v1.1, which also defines `Multikey` and `JsonWebKey`.
    pub const DID_V1_1: &str = "https://www.w3.org/ns/did/v1.1";
    /// `Ed25519VerificationKey2020`.
    pub const ED25519_2020: &str = "https://w3id.org/security/suites/ed25519-2020/v1";
    /// `X25519KeyAgreementKey2020`.
    pub const X25519_2020: &str = "https://w3id.org/security/suites/x25519-2020/v1";
    /// `EcdsaSecp256k1RecoveryMethod2020` and `blockchainAccountId`.
    pub const SECP256K1_RECOVERY_2020: &str =
        "https://w3id.org/security/suites/secp256k1recovery-2020/v2";
}

/// A DID document. Empty lists are left out of its JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// JSON-LD contexts; [`context::DID_V1_1`] first.
    #[serde(rename = "@context")]
    pub context: Vec<String>,
    /// The DID that was asked for.
    pub id: String,
    /// Who may change the document; one is written as a string, several as a list.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_many")]
    pub controller: Vec<String>,
    /// Other URIs of the same subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_known_as: Vec<String>,
    /// The keys and accounts of the subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verification_method: Vec<VerificationMethod>,
    /// What may log in as the subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authentication: Vec<Relationship>,
    /// What may sign statements of the subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assertion_method: Vec<Relationship>,
    /// What may invoke capabilities of the subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capability_invocation: Vec<Relationship>,
    /// What may delegate capabilities of the subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capability_delegation: Vec<Relationship>,
    /// What messages to the subject are encrypted with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_agreement: Vec<Relationship>,
    /// Where the subject can be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service: Vec<Service>,
}

/// A key or an account, under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationMethod {
    /// A DID URL.
    pub id: String,
    /// The DID that controls it.
    pub controller: String,
    /// The key itself; it decides the method's `type`.
    pub material: Material,
}

/// What a verification method verifies with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// `Multikey`: multibase of the multicodec key.
    Multikey(String),
    /// `JsonWebKey`.
    JsonWebKey(Jwk),
    /// `EcdsaSecp256k1RecoveryMethod2020`: an account by its CAIP-10 id.
    EcdsaSecp256k1RecoveryMethod2020(String),
    /// `Ed25519VerificationKey2020`: multibase of the multicodec key.
    Ed25519VerificationKey2020(String),
    /// `X25519KeyAgreementKey2020`: multibase of the multicodec key.
    X25519KeyAgreementKey2020(String),
}

/// A public key as JSON Web Key (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    /// Key type: `OKP` or `EC`.
    pub kty: &'static str,
    /// Curve: `Ed25519`, `X25519`, `secp256k1`, `P-256`, `P-384`.
    pub crv: &'static str,
    /// The key, or the x coordinate of its point, in base64url.
    pub x: String,
    /// The y coordinate of an elliptic curve point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

/// How a relationship names a verification method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Relationship {
    /// By the id of one that stands in `verificationMethod`.
    Reference(String),
    /// By itself: it serves this relationship only.
    Embedded(VerificationMethod),
}

/// The five relationships of DID Core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerificationRelationship {
    /// `authentication`
    Authentication,
    /// `assertionMethod`
    AssertionMethod,
    /// `capabilityInvocation`
    CapabilityInvocation,
    /// `capabilityDelegation`
    CapabilityDelegation,
    /// `keyAgreement`
    KeyAgreement,
}

/// A service of the subject.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// A DID URL.
    pub id: String,
    /// What sort of service it is.
    #[serde(rename = "type")]
    pub service_type: String,
    /// A URI, or a map.
    pub service_endpoint: Value,
    /// The service's version, where its owner names one (a property of ours: DID Core lets
    /// services have more than it defines).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Document {
    /// A document that says nothing but its id.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            context: vec![context::DID_V1_1.to_owned()],
            id: id.into(),
            controller: Vec::new(),
            also_known_as: Vec::new(),
            verification_method: Vec::new(),
            authentication: Vec::new(),
            assertion_method: Vec::new(),
            capability_invocation: Vec::new(),
            capability_delegation: Vec::new(),
            key_agreement: Vec::new(),
            service: Vec::new(),
        }
    }

    /// Names a context once, behind those that are there.
    pub fn add_context(&mut self, uri: &str) {
        if !self.context.iter().any(|known| known == uri) {
            self.context.push(uri.to_owned());
        }
    }

    /// The verification methods of one relationship.
    pub fn relationship(&self, relationship: VerificationRelationship) -> &[Relationship] {
        match relationship {
            VerificationRelationship::Authentication => &self.authentication,
            VerificationRelationship::AssertionMethod => &self.assertion_method,
            VerificationRelationship::CapabilityInvocation => &self.capability_invocation,
            VerificationRelationship::CapabilityDelegation => &self.capability_delegation,
            VerificationRelationship::KeyAgreement => &self.key_agreement,
        }
    }

    /// The verification method with this absolute id, wherever it stands.
    pub fn method(&self, id: &str) -> Option<&VerificationMethod> {
        let embedded = VerificationRelationship::ALL
            .into_iter()
            .flat_map(|relationship| self.relationship(relationship))
            .filter_map(Relationship::embedded);
        self.verification_method
            .iter()
            .chain(embedded)
            .find(|method| method.id == id)
    }
}

impl VerificationRelationship {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::Authentication,
        Self::AssertionMethod,
        Self::CapabilityInvocation,
        Self::CapabilityDelegation,
        Self::KeyAgreement,
    ];

    /// The relationship with this name in a document.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|relationship| relationship.name() == name)
    }

    /// Its name in a document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::AssertionMethod => "assertionMethod",
            Self::CapabilityInvocation => "capabilityInvocation",
            Self::CapabilityDelegation => "capabilityDelegation",
            Self::KeyAgreement => "keyAgreement",
        }
    }
}

impl Relationship {
    /// The id of the verification method.
    pub fn id(&self) -> &str {
        match self {
            Self::Reference(id) => id,
            Self::Embedded(method) => &method.id,
        }
    }

    fn embedded(&self) -> Option<&VerificationMethod> {
        match self {
            Self::Reference(_) => None,
            Self::Embedded(method) => Some(method),
        }
    }
}

impl Material {
    /// The `type` of a verification method with this material.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Multikey(_) => "Multikey",
            Self::JsonWebKey(_) => "JsonWebKey",
            Self::EcdsaSecp256k1RecoveryMethod2020(_) => "EcdsaSecp256k1RecoveryMethod2020",
            Self::Ed25519VerificationKey2020(_) => "Ed25519VerificationKey2020",
            Self::X25519KeyAgreementKey2020(_) => "X25519KeyAgreementKey2020",
        }
    }

    /// The context that defines the type, where DID Core's own does not.
    pub fn context(&self) -> Option<&'static str> {
        match self {
            Self::Multikey(_) | Self::JsonWebKey(_) => None,
            Self::EcdsaSecp256k1RecoveryMethod2020(_) => Some(context::SECP256K1_RECOVERY_2020),
            Self::Ed25519VerificationKey2020(_) => Some(context::ED25519_2020),
            Self::X25519KeyAgreementKey2020(_) => Some(context::X25519_2020),
        }
    }
}

impl Serialize for VerificationMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("type", self.material.type_name())?;
        map.serialize_entry("controller", &self.controller)?;
        match &self.material {
            Material::JsonWebKey(jwk) => map.serialize_entry("publicKeyJwk", jwk)?,
            Material::EcdsaSecp256k1RecoveryMethod2020(account) => {
                map.serialize_entry("blockchainAccountId", account)?;
            }
            Material::Multikey(key)
            | Material::Ed25519VerificationKey2020(key)
            | Material::X25519KeyAgreementKey2020(key) => {
                map.serialize_entry("publicKeyMultibase", key)?;
            }
        }
        map.end()
    }
}

fn one_or_many<S: Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match values {
        [one] => serializer.serialize_str(one),
        many => many.serialize(serializer),
    }
}
