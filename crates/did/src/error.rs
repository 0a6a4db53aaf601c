//! Why a DID could not be resolved.

use kernel::Kind;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// An error of DID Resolution: a code that other resolvers know, and a sentence for people.
///
/// It serialises as the problem object (RFC 9457) that DID Resolution v1 puts into
/// `didResolutionMetadata.error`: `type`, `title`, `detail`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// The code.
    pub code: Code,
    /// What is wrong with this very DID, in a sentence.
    pub detail: String,
}

/// The error codes of DID Resolution v1 and, for keys, of did:key v0.9 (there in camel case).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The DID breaks the syntax of DID Core or of its method.
    InvalidDid,
    /// The DID is right, what follows it (path, query, fragment) is not.
    InvalidDidUrl,
    /// An option of the resolution is unknown or contradicts another one.
    InvalidOptions,
    /// Nothing is known under this DID, or the DID URL points at nothing in its document.
    NotFound,
    /// The asked media type cannot be produced.
    RepresentationNotSupported,
    /// Nobody here answers for this method.
    MethodNotSupported,
    /// The method is known, this part of it is not.
    FeatureNotSupported,
    /// The document that a method returned breaks DID Core.
    InvalidDidDocument,
    /// The verification method is not of the relationship that was asked for (Controlled
    /// Identifiers v1.0).
    InvalidRelationshipForVerificationMethod,
    /// The key's bytes are no acceptable key: off the curve, not canonical, or of small order.
    InvalidPublicKey,
    /// The key has not the length that its type demands.
    InvalidPublicKeyLength,
    /// The asked key format does not fit the key's type.
    InvalidPublicKeyType,
    /// The key's type, or the asked key format, is not one that we speak.
    UnsupportedPublicKeyType,
    /// Our own fault, or that of something that we depend on.
    InternalError,
}

impl Error {
    /// An error with this code; `detail` is a sentence without a full stop.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        self.code.kind()
    }
}

impl Code {
    /// The class of this failure.
    pub fn kind(self) -> Kind {
        match self {
            Self::NotFound => Kind::NotFound,
            Self::InvalidDidDocument | Self::InternalError => Kind::Internal,
            _ => Kind::Invalid,
        }
    }

    /// The code as the specifications spell it: `NOT_FOUND`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidDid => "INVALID_DID",
            Self::InvalidDidUrl => "INVALID_DID_URL",
            Self::InvalidOptions => "INVALID_OPTIONS",
            Self::NotFound => "NOT_FOUND",
            Self::RepresentationNotSupported => "REPRESENTATION_NOT_SUPPORTED",
            Self::MethodNotSupported => "METHOD_NOT_SUPPORTED",
            Self::FeatureNotSupported => "FEATURE_NOT_SUPPORTED",
            Self::InvalidDidDocument => "INVALID_DID_DOCUMENT",
            Self::InvalidRelationshipForVerificationMethod => {
                "INVALID_RELATIONSHIP_FOR_VERIFICATION_METHOD"
            }
            Self::InvalidPublicKey => "INVALID_PUBLIC_KEY",
            Self::InvalidPublicKeyLength => "INVALID_PUBLIC_KEY_LENGTH",
            Self::InvalidPublicKeyType => "INVALID_PUBLIC_KEY_TYPE",
            Self::UnsupportedPublicKeyType => "UNSUPPORTED_PUBLIC_KEY_TYPE",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The problem type of DID Resolution v1: `https://www.w3.org/ns/did#NOT_FOUND`.
    pub fn type_uri(self) -> String {
        let space = match self {
            Self::InvalidRelationshipForVerificationMethod => "https://w3id.org/security#",
            _ => "https://www.w3.org/ns/did#",
        };
        format!("{space}{}", self.name())
    }

    /// The camel-case spelling that resolvers used before 2025 (`notFound`), for clients that ask
    /// for the legacy result.
    pub fn legacy_name(self) -> String {
        let mut words = self.name().split('_');
        let first = words.next().unwrap_or_default().to_ascii_lowercase();
        words.fold(first, |mut name, word| {
            let (head, tail) = word.split_at(1);
            name.push_str(head);
            name.push_str(&tail.to_ascii_lowercase());
            name
        })
    }

    /// The same for every failure with this code.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidDid => "the DID is not valid",
            Self::InvalidDidUrl => "the DID URL is not valid",
            Self::InvalidOptions => "the options are not valid",
            Self::NotFound => "nothing is known under this DID or DID URL",
            Self::RepresentationNotSupported => "the asked representation is not supported",
            Self::MethodNotSupported => "the DID method is not supported",
            Self::FeatureNotSupported => "this part of the DID method is not supported",
            Self::InvalidDidDocument => "the DID document is not valid",
            Self::InvalidRelationshipForVerificationMethod => {
                "the verification method is not of the asked relationship"
            }
            Self::InvalidPublicKey => "the public key is not valid",
            Self::InvalidPublicKeyLength => "the public key has the wrong length",
            Self::InvalidPublicKeyType => "the key format does not fit the key",
            Self::UnsupportedPublicKeyType => "the type of the public key is not supported",
            Self::InternalError => "the resolution failed",
        }
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("type", &self.code.type_uri())?;
        map.serialize_entry("title", self.code.title())?;
        map.serialize_entry("detail", &self.detail)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_problem_object() {
        let error = Error::new(Code::NotFound, "no agent 22");
        assert_eq!(
            serde_json::to_string(&error).expect("json"),
            r#"{"type":"https://www.w3.org/ns/did#NOT_FOUND","title":"nothing is known under this DID or DID URL","detail":"no agent 22"}"#
        );
        assert_eq!(error.kind(), Kind::NotFound);
    }

    #[test]
    fn legacy_names_are_camel_case() {
        assert_eq!(Code::InvalidDid.legacy_name(), "invalidDid");
        assert_eq!(Code::NotFound.legacy_name(), "notFound");
        assert_eq!(Code::MethodNotSupported.legacy_name(), "methodNotSupported");
        assert_eq!(
            Code::InvalidPublicKeyLength.legacy_name(),
            "invalidPublicKeyLength"
        );
    }
}
