//! Requests that an Ed25519 key signed (RFC 9421, HTTP Message Signatures): the part of it that agents need.
//!
//! Who signs names himself with `keyid="did:key:z6Mk..."`, covers method, address, path, query and, where there is a
//! body, its digest (RFC 9530), and says from when to when it counts and with which nonce. So a signature is worth
//! something for one request, at one office, once.

mod fields;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use did::{ed25519::SecretKey, methods::key::PublicKey};
use ed25519_dalek::Signature;
use kernel::sha256;

use crate::{
    Error, Result, freshness,
    origin::Origin,
    outgoing::{Outgoing, Stamp},
};
use fields::Input;

/// The longest time for which a signature is believed.
pub const LONGEST: TimeDelta = TimeDelta::seconds(300);
/// A nonce has so many characters.
const NONCE: std::ops::RangeInclusive<usize> = 8..=64;
/// No header of ours that belongs to a signature is longer.
const LONGEST_FIELD: usize = 4096;

/// What of a request is signed.
pub struct Message<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Where it was sent to.
    pub origin: &'a Origin,
    /// The path, as it was sent.
    pub path: &'a str,
    /// The query without its `?`, if there is one.
    pub query: Option<&'a str>,
    /// All values of a header, by its name in lower case, in their order.
    pub headers: &'a dyn Fn(&str) -> Vec<String>,
}

/// A signature that was read and is not verified yet.
#[derive(Debug)]
pub struct MessageSignature {
    input: Input,
    signature: Signature,
}

/// Who signed, and what keeps others from sending it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// `did:key:z6Mk...`
    pub did: String,
    /// Used once.
    pub nonce: String,
    /// Until when it is believed.
    pub expires_at: DateTime<Utc>,
}

/// Signs a request with a key: the headers that it is sent with, by their names.
pub fn sign(
    key: &SecretKey,
    request: &Outgoing<'_>,
    stamp: &Stamp,
) -> Result<Vec<(&'static str, String)>> {
    let digest = format!("sha-256=:{}:", STANDARD.encode(sha256(request.body)));
    let has_body = !request.body.is_empty();
    let covered = if has_body {
        r#"("@method" "@target-uri" "content-digest")"#
    } else {
        r#"("@method" "@target-uri")"#
    };
    let input = format!(
        r#"sig1={covered};created={};expires={};keyid="{}";nonce="{}""#,
        stamp.issued.timestamp(),
        stamp.expires.timestamp(),
        key.public().did(),
        hex::encode(stamp.nonce),
    );
    let draft = MessageSignature {
        input: Input::parse(&input)?,
        signature: Signature::from_bytes(&[0; 64]),
    };
    let values = |name: &str| -> Vec<String> {
        let is_digest = name == "content-digest";
        is_digest.then(|| digest.clone()).into_iter().collect()
    };
    let base = draft.base(&Message {
        method: request.method,
        origin: request.origin,
        path: request.path,
        query: request.query,
        headers: &values,
    })?;
    let signature = STANDARD.encode(key.sign(base.as_bytes()));
    let mut headers = vec![
        ("signature-input", input),
        ("signature", format!("sig1=:{signature}:")),
    ];
    if has_body {
        headers.push(("content-digest", digest));
    }
    Ok(headers)
}

impl MessageSignature {
    /// Reads the headers `Signature-Input` and `Signature`, which must hold one signature each, of the same label.
    pub fn parse(input: &str, signature: &str) -> Result<Self> {
        if input.len() > LONGEST_FIELD || signature.len() > LONGEST_FIELD {
            return Err(refused(
                "Signature-Input and Signature have at most 4096 characters",
            ));
        }
        let input = Input::parse(input)?;
        let wrong = || refused("Signature is `label=:base64:`, with the label of Signature-Input");
        let value = signature
            .trim()
            .strip_prefix(&input.label)
            .and_then(|rest| rest.strip_prefix("=:"))
            .and_then(|rest| rest.strip_suffix(':'))
            .ok_or_else(wrong)?;
        let bytes = STANDARD.decode(value).map_err(|_| wrong())?;
        let signature = Signature::from_slice(&bytes)
            .map_err(|_| refused("an Ed25519 signature has 64 bytes"))?;
        Ok(Self { input, signature })
    }

    /// The bytes that were signed (RFC 9421, section 2.5).
    pub fn base(&self, message: &Message<'_>) -> Result<String> {
        let mut lines = Vec::with_capacity(self.input.components.len() + 1);
        for name in &self.input.components {
            lines.push(format!("\"{name}\": {}", message.component(name)?));
        }
        lines.push(format!("\"@signature-params\": {}", self.input.text()));
        Ok(lines.join("\n"))
    }

    /// Whether this key made it, for this message.
    pub fn is_by(&self, key: &PublicKey, message: &Message<'_>) -> Result<bool> {
        let base = self.base(message)?;
        let key = key.ed25519();
        Ok(key.is_some_and(|key| key.verify_strict(base.as_bytes(), &self.signature).is_ok()))
    }

    /// Who signed this request. Errors with [`Error::Unproven`], which says what a signature here needs. The nonce is
    /// the caller's to put down.
    pub fn verify(&self, message: &Message<'_>, body: &[u8], now: DateTime<Utc>) -> Result<Signer> {
        let input = &self.input;
        if input.text_of("alg").is_some_and(|alg| alg != "ed25519") {
            return Err(refused("the algorithm is ed25519"));
        }
        let did = input
            .text_of("keyid")
            .ok_or_else(|| refused("keyid is missing"))?;
        let key = key(did)?;
        let needs = |name: &'static str| {
            refused(format!("the signature lacks {name}=<seconds since 1970>"))
        };
        let created = freshness::time(input.number("created").ok_or_else(|| needs("created"))?)?;
        let expires_at = freshness::time(input.number("expires").ok_or_else(|| needs("expires"))?)?;
        freshness::check(created, expires_at, now, LONGEST)?;
        let nonce = input.text_of("nonce").unwrap_or_default();
        if !NONCE.contains(&nonce.len()) {
            return Err(refused(
                "the signature lacks nonce=\"...\" of 8 to 64 characters",
            ));
        }
        self.covers_what_it_must(message, body)?;
        if !self.is_by(&key, message)? {
            return Err(refused("the signature is not this key's for this request"));
        }
        Ok(Signer {
            did: key.did(),
            nonce: nonce.to_owned(),
            expires_at,
        })
    }

    fn covers_what_it_must(&self, message: &Message<'_>, body: &[u8]) -> Result<()> {
        let covers = |name: &str| self.input.components.iter().any(|covered| covered == name);
        let place = covers("@target-uri")
            || (covers("@authority")
                && (covers("@request-target")
                    || (covers("@path") && (message.query.is_none() || covers("@query")))));
        if !covers("@method") || !place {
            return Err(refused(
                "the signature must cover @method, and either @target-uri or @authority, @path and @query",
            ));
        }
        let is_digest_covered = covers("content-digest");
        // Where a digest is covered nobody took the body away.
        if body.is_empty() && !is_digest_covered {
            return Ok(());
        }
        if !is_digest_covered {
            return Err(refused(
                "the signature must cover content-digest, for there is a body",
            ));
        }
        let given = (message.headers)("content-digest").join(", ");
        let wanted = format!("sha-256=:{}:", STANDARD.encode(sha256(body)));
        if !given.split(',').any(|one| one.trim() == wanted) {
            return Err(refused(
                "content-digest is not the body's: expected sha-256=:<base64>:",
            ));
        }
        Ok(())
    }
}

impl Message<'_> {
    /// A component's value (RFC 9421, section 2).
    fn component(&self, name: &str) -> Result<String> {
        let path = if self.path.is_empty() { "/" } else { self.path };
        let query = self.query.map(|query| format!("?{query}"));
        Ok(match name {
            "@method" => self.method.to_owned(),
            "@authority" => self.origin.authority().to_owned(),
            "@scheme" => self.origin.scheme().to_owned(),
            "@path" => path.to_owned(),
            "@query" => query.unwrap_or_else(|| "?".to_owned()),
            "@request-target" => format!("{path}{}", query.unwrap_or_default()),
            "@target-uri" => format!("{}{path}{}", self.origin.text(), query.unwrap_or_default()),
            name if name.starts_with('@') => {
                return Err(refused(format!("`{name}` cannot be covered here")));
            }
            name => {
                let values = (self.headers)(name);
                if values.is_empty() {
                    return Err(refused(format!(
                        "the header `{name}` is covered, and is not there"
                    )));
                }
                let values: Vec<&str> = values.iter().map(|value| value.trim()).collect();
                values.join(", ")
            }
        })
    }
}

/// The key that a `keyid` names: a did:key, also with its fragment.
fn key(keyid: &str) -> Result<PublicKey> {
    let wrong = || refused("keyid is did:key:z6Mk..., an Ed25519 key");
    let multibase = keyid.strip_prefix("did:key:").ok_or_else(wrong)?;
    let multibase = match multibase.split_once('#') {
        Some((key, fragment)) if key == fragment => key,
        Some(_) => return Err(wrong()),
        None => multibase,
    };
    let key = PublicKey::from_multibase(multibase).map_err(|_| wrong())?;
    if key.ed25519().is_none() {
        return Err(wrong());
    }
    Ok(key)
}

fn refused(why: impl Into<String>) -> Error {
    Error::Unproven(why.into())
}

#[cfg(test)]
mod tests;
