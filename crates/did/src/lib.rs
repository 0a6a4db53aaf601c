//! Decentralised identifiers: their syntax, their documents, and the methods that need nothing but
//! the DID itself or facts that the caller already holds.
//!
//! Everything here is pure. Who finds the facts of an agent, and which method answers for which
//! DID, is decided above (`src/resolver.rs` holds the one match over methods). Sources: DID Core
//! v1.1 and DID Resolution v1 (both Candidate Recommendations of 2026), and each method's own
//! specification, named in its file.

mod agent;
mod dereference;
mod document;
pub mod ed25519;
mod error;
pub mod methods;
mod resolution;
mod syntax;
pub mod zynd;

pub use agent::{AgentFacts, AgentService};
pub use dereference::{Content, dereference, service_urls};
pub use document::{
    Document, Jwk, Material, Relationship, Service, VerificationMethod, VerificationRelationship,
    context,
};
pub use error::{Code, Error};
pub use resolution::{CONTENT_TYPE, DocumentMetadata, Resolution, ResolutionMetadata};
pub use syntax::{Did, DidUrl, MAX_LENGTH};
