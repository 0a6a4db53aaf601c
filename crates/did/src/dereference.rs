//! DID URL dereferencing (DID Resolution v1, section 5): what part of a document, or which service
//! URLs, a DID URL points at. Pure: the document is already there.
//!
//! That section is marked "at risk" in the Candidate Recommendation; only what its algorithm and
//! the official test suite agree on is here. `versionId` and `versionTime` choose the document and
//! are the resolver's business.

use serde_json::Value;
use url::Url;

use crate::{
    Code, DidUrl, Document, Error, Relationship, Service, VerificationMethod,
    VerificationRelationship,
};

/// The things that a DID URL can lead to.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The document; reduced to the services that were asked for, where some were.
    Document(Box<Document>),
    /// One verification method (a fragment).
    Method(VerificationMethod),
    /// One service (a fragment).
    Service(Service),
}

impl Content {
    /// The content as JSON.
    pub fn to_json(&self) -> Value {
        let json = match self {
            Self::Document(document) => serde_json::to_value(document),
            Self::Method(method) => serde_json::to_value(method),
            Self::Service(service) => serde_json::to_value(service),
        };
        // Only strings, lists and maps with text keys are in it: this cannot fail.
        json.unwrap_or_default()
    }
}

/// What `url` points at in the document of its DID.
pub fn dereference(url: &DidUrl, document: &Document) -> Result<Content, Error> {
    refuse_path(url)?;
    if names_services(url) {
        let service = selected(url, document)?.into_iter().cloned().collect();
        return Ok(Content::Document(Box::new(Document {
            service,
            ..document.clone()
        })));
    }
    let Some(fragment) = url.fragment() else {
        return Ok(Content::Document(Box::new(document.clone())));
    };
    let id = format!("{}#{fragment}", document.id);
    if let Some(method) = document.method(&id) {
        check_relationship(url, document, &id)?;
        return Ok(Content::Method(method.clone()));
    }
    match document.service.iter().find(|service| service.id == id) {
        Some(service) => Ok(Content::Service(service.clone())),
        None => Err(Error::new(
            Code::NotFound,
            format!("the document has no `#{fragment}`"),
        )),
    }
}

/// The URLs of the services that `url` asks for (media type `text/uri-list`): a relative reference
/// is resolved against each, and a fragment is handed on. Services whose endpoint is a map have
/// none.
pub fn service_urls(url: &DidUrl, document: &Document) -> Result<Vec<Url>, Error> {
    refuse_path(url)?;
    if !names_services(url) {
        let detail = "URLs are given for `?service=` and `?serviceType=` only";
        return Err(Error::new(Code::RepresentationNotSupported, detail));
    }
    let mut urls = Vec::new();
    for service in selected(url, document)? {
        let Some(Ok(endpoint)) = service.service_endpoint.as_str().map(Url::parse) else {
            continue;
        };
        urls.push(with_reference(&endpoint, url)?);
    }
    if urls.is_empty() {
        return Err(Error::new(Code::NotFound, "no such service has a URL"));
    }
    Ok(urls)
}

fn refuse_path(url: &DidUrl) -> Result<(), Error> {
    if url.path().is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Code::NotFound,
        "no method here gives a meaning to the path of a DID URL",
    ))
}

fn names_services(url: &DidUrl) -> bool {
    url.parameter("service").is_some() || url.parameter("serviceType").is_some()
}

fn selected<'a>(url: &DidUrl, document: &'a Document) -> Result<Vec<&'a Service>, Error> {
    let id = url
        .parameter("service")
        .map(|name| match name.strip_prefix('#') {
            Some(fragment) => format!("{}#{fragment}", document.id),
            None if name.starts_with("did:") => name.to_owned(),
            None => format!("{}#{name}", document.id),
        });
    let service_type = url.parameter("serviceType");
    let services: Vec<&Service> = document
        .service
        .iter()
        .filter(|service| id.as_ref().is_none_or(|id| service.id == *id))
        .filter(|service| service_type.is_none_or(|wanted| service.service_type == wanted))
        .collect();
    if services.is_empty() {
        return Err(Error::new(
            Code::NotFound,
            "the document has no such service",
        ));
    }
    Ok(services)
}

/// RFC 3986, section 5; a reference that leaves the endpoint's origin is refused.
fn with_reference(endpoint: &Url, url: &DidUrl) -> Result<Url, Error> {
    let wrong = |detail: &str| Error::new(Code::InvalidDidUrl, detail);
    let mut target = match url.parameter("relativeRef") {
        None => endpoint.clone(),
        Some(reference) => endpoint
            .join(reference)
            .map_err(|_| wrong("the relativeRef cannot be resolved against the endpoint"))?,
    };
    if (target.scheme(), target.authority()) != (endpoint.scheme(), endpoint.authority()) {
        return Err(wrong("the relativeRef leads away from the endpoint"));
    }
    if let Some(fragment) = url.fragment() {
        if target.fragment().is_some() {
            return Err(wrong("the endpoint and the DID URL both have a fragment"));
        }
        target.set_fragment(Some(fragment));
    }
    Ok(target)
}

fn check_relationship(url: &DidUrl, document: &Document, id: &str) -> Result<(), Error> {
    let Some(name) = url.parameter("verificationRelationship") else {
        return Ok(());
    };
    let Some(relationship) = VerificationRelationship::parse(name) else {
        return Err(Error::new(
            Code::InvalidOptions,
            format!("there is no relationship `{name}`"),
        ));
    };
    let methods = document.relationship(relationship);
    if methods
        .iter()
        .map(Relationship::id)
        .any(|known| known == id)
    {
        return Ok(());
    }
    let detail = format!("`{id}` is not in `{name}`");
    Err(Error::new(
        Code::InvalidRelationshipForVerificationMethod,
        detail,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Did, methods::key};

    const DID: &str = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";

    fn document() -> Document {
        let did = Did::parse(DID).expect("a DID");
        let resolution = key::resolve(&did, key::Options::STANDARD).expect("a result");
        let mut document = resolution.document.expect("a document");
        let service = |name: &str, service_type: &str, endpoint| Service {
            id: format!("{DID}#{name}"),
            service_type: service_type.to_owned(),
            service_endpoint: endpoint,
            version: None,
        };
        document.service = vec![
            service("files", "Files", json!("https://files.example/a/b")),
            service("mcp", "MCP", json!("https://a.example/mcp#top")),
            service("name", "ENS", json!({"value": "a.eth"})),
        ];
        document
    }

    fn at(rest: &str) -> DidUrl {
        DidUrl::parse(&format!("{DID}{rest}")).expect("a DID URL")
    }

    fn code(rest: &str) -> Option<Code> {
        dereference(&at(rest), &document())
            .err()
            .map(|error| error.code)
    }

    fn urls(rest: &str) -> Result<Vec<String>, Code> {
        let urls = service_urls(&at(rest), &document()).map_err(|error| error.code)?;
        Ok(urls.into_iter().map(String::from).collect())
    }

    #[test]
    fn a_fragment_leads_to_a_key_or_a_service() {
        let key = &DID["did:key:".len()..];
        let method = dereference(&at(&format!("#{key}")), &document()).expect("a method");
        assert_eq!(method.to_json()["publicKeyMultibase"], *key);
        // The derived key is embedded in keyAgreement, and nothing else.
        let derived = "#z6LSj72tK8brWgZja8NLRwPigth2T9QRiG1uH9oKZuKjdh9p";
        assert_eq!(
            code(&format!("?verificationRelationship=keyAgreement{derived}")),
            None
        );
        let wrong = code(&format!(
            "?verificationRelationship=authentication{derived}"
        ));
        assert_eq!(wrong, Some(Code::InvalidRelationshipForVerificationMethod));
        assert_eq!(
            code(&format!("?verificationRelationship=x{derived}")),
            Some(Code::InvalidOptions)
        );
        let service = dereference(&at("#files"), &document()).expect("a service");
        assert_eq!(
            service.to_json()["serviceEndpoint"],
            "https://files.example/a/b"
        );
        assert_eq!(code("#nothing"), Some(Code::NotFound));
        assert_eq!(code("/path"), Some(Code::NotFound));
        assert_eq!(code(""), None);
    }

    #[test]
    fn services_reduce_the_document() {
        let reduced = dereference(&at("?serviceType=MCP"), &document())
            .expect("a document")
            .to_json();
        assert_eq!(reduced["service"].as_array().map(Vec::len), Some(1));
        assert_eq!(code("?service=files&serviceType=MCP"), Some(Code::NotFound));
    }

    #[test]
    fn services_lead_to_urls() {
        assert_eq!(
            urls("?service=files&relativeRef=c%3Fd#e"),
            Ok(vec!["https://files.example/a/c?d#e".to_owned()])
        );
        assert_eq!(
            urls("?service=files&relativeRef=%2Fc"),
            Ok(vec!["https://files.example/c".to_owned()])
        );
        assert_eq!(
            urls("?service=mcp"),
            Ok(vec!["https://a.example/mcp#top".to_owned()])
        );
        assert_eq!(urls("?service=mcp#x"), Err(Code::InvalidDidUrl));
        assert_eq!(
            urls("?service=files&relativeRef=%2F%2Fevil.example%2F"),
            Err(Code::InvalidDidUrl)
        );
        assert_eq!(
            urls("?service=files&relativeRef=https%3A%2F%2Fevil.example%2F"),
            Err(Code::InvalidDidUrl)
        );
        assert_eq!(urls("?service=name"), Err(Code::NotFound));
        assert_eq!(urls("#files"), Err(Code::RepresentationNotSupported));
    }
}
