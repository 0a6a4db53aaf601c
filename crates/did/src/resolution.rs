//! The result of a resolution (DID Resolution v1, section 4): document, metadata, or an error.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{Document, Error};

/// The media type of a DID document since DID Core v1.1.
pub const CONTENT_TYPE: &str = "application/did";

/// The context of a resolution result.
const CONTEXT: &str = "https://w3id.org/did-resolution/v1";

/// What a resolver answers. Its JSON is the full resolution result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resolution {
    #[serde(rename = "@context")]
    context: &'static str,
    /// The document; none where the resolution failed or the DID is deactivated.
    #[serde(rename = "didDocument")]
    pub document: Option<Document>,
    /// About the resolution.
    #[serde(rename = "didResolutionMetadata")]
    pub resolution_metadata: ResolutionMetadata,
    /// About the document.
    #[serde(rename = "didDocumentMetadata")]
    pub document_metadata: DocumentMetadata,
}

/// `didResolutionMetadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolutionMetadata {
    /// Media type of the document; absent with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<&'static str>,
    /// Why there is no document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// `didDocumentMetadata`. Times are written in UTC without fractions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentMetadata {
    /// When the DID came to be.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub created: Option<DateTime<Utc>>,
    /// When its document changed last.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub updated: Option<DateTime<Utc>>,
    /// True once the DID is given up for good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deactivated: bool,
    /// When the document changed after the version that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub next_update: Option<DateTime<Utc>>,
    /// The version; for DIDs on a chain the block of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The version after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_version_id: Option<String>,
    /// Other spellings of the DID that the method holds to be the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub equivalent_id: Vec<String>,
    /// The one spelling that should be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical_id: Option<String>,
}

impl Resolution {
    /// A document was found.
    pub fn of(document: Document, document_metadata: DocumentMetadata) -> Self {
        Self {
            context: CONTEXT,
            document: Some(document),
            resolution_metadata: ResolutionMetadata {
                content_type: Some(CONTENT_TYPE),
                error: None,
            },
            document_metadata,
        }
    }

    /// The DID existed and is given up: no document, and its metadata says so.
    pub fn deactivated(document_metadata: DocumentMetadata) -> Self {
        Self {
            context: CONTEXT,
            document: None,
            resolution_metadata: ResolutionMetadata {
                content_type: Some(CONTENT_TYPE),
                error: None,
            },
            document_metadata: DocumentMetadata {
                deactivated: true,
                ..document_metadata
            },
        }
    }

    /// There is no document, and this is why.
    pub fn failed(error: Error) -> Self {
        Self {
            context: CONTEXT,
            document: None,
            resolution_metadata: ResolutionMetadata {
                content_type: None,
                error: Some(error),
            },
            document_metadata: DocumentMetadata::default(),
        }
    }

    /// The error, where there is one.
    pub fn error(&self) -> Option<&Error> {
        self.resolution_metadata.error.as_ref()
    }

    /// The full resolution result as a JSON value.
    pub fn to_json(&self) -> Value {
        // Only strings, lists and maps with text keys are in it: this cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl From<Result<Resolution, Error>> for Resolution {
    fn from(result: Result<Resolution, Error>) -> Self {
        result.unwrap_or_else(Self::failed)
    }
}

/// XML Schema dateTime in UTC, without fractions of a second (DID Resolution v1, section 4.3).
#[allow(
    clippy::ref_option,
    reason = "serde's serialize_with hands a reference to the field"
)]
fn seconds<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Code;

    #[test]
    fn a_result_has_three_parts() {
        let metadata = DocumentMetadata {
            created: DateTime::from_timestamp(1_608_491_867, 999_000_000),
            version_id: Some("7".to_owned()),
            ..DocumentMetadata::default()
        };
        assert_eq!(
            Resolution::of(Document::new("did:a:b"), metadata).to_json(),
            json!({
                "@context": "https://w3id.org/did-resolution/v1",
                "didDocument": {"@context": ["https://www.w3.org/ns/did/v1.1"], "id": "did:a:b"},
                "didResolutionMetadata": {"contentType": "application/did"},
                "didDocumentMetadata": {"created": "2020-12-20T19:17:47Z", "versionId": "7"},
            })
        );
    }

    #[test]
    fn a_failure_has_no_document_and_no_metadata() {
        let failed = Resolution::from(Err(Error::new(Code::InvalidDid, "no DID"))).to_json();
        assert_eq!(failed["didDocument"], Value::Null);
        assert_eq!(failed["didDocumentMetadata"], json!({}));
        assert_eq!(
            failed["didResolutionMetadata"]["error"]["type"],
            "https://www.w3.org/ns/did#INVALID_DID"
        );
    }

    #[test]
    fn a_deactivated_did_says_so() {
        let gone = Resolution::deactivated(DocumentMetadata::default()).to_json();
        assert_eq!(gone["didDocument"], Value::Null);
        assert_eq!(gone["didDocumentMetadata"], json!({"deactivated": true}));
    }
}
