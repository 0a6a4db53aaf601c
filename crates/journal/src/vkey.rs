//! Verifier keys (c2sp.org/signed-note): `<name>+<key id, 8 hex>+<base64 of type byte and public key>`.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use kernel::sha256;

/// Signature type of Ed25519.
const ED25519: u8 = 0x01;

/// Who may sign a log's checkpoints: a name and an Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

/// A text that is no verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VkeyError {
    /// A name that a note cannot carry.
    #[error(
        "`{0}` cannot name a key: it must not be empty nor contain spaces, `+` or control characters"
    )]
    Name(String),
    /// Not of the form of the specification.
    #[error("`{0}` is no verifier key: expected <name>+<8 hex digits>+<base64>")]
    Form(String),
    /// Another algorithm.
    #[error("the key `{0}` is not of the type Ed25519 (1), the only one that signs here")]
    Type(String),
    /// A point that no honest key generation gives, under which many signatures verify.
    #[error("`{0}` is a weak or invalid Ed25519 public key")]
    Weak(String),
}

impl VerifierKey {
    /// The key under this name. Weak keys (of small order) are refused.
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, VkeyError> {
        if !is_name(name) {
            return Err(VkeyError::Name(name.to_owned()));
        }
        if key.is_weak() {
            return Err(VkeyError::Weak(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, &typed(&key)),
            key,
        })
    }

    /// The name; of a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of `SHA-256(name || 0x0A || type || public key)`.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether `signature` is this key's over `text`, by the strict rules (no malleable `S`, no points of
    /// small order), so that all verifiers agree.
    pub fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode(typed(&self.key));
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.id))
    }
}

impl FromStr for VerifierKey {
    type Err = VkeyError;

    fn from_str(text: &str) -> Result<Self, VkeyError> {
        let form = || VkeyError::Form(text.to_owned());
        // Base64 may hold a `+`, so the first two separate.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form());
        };
        let bytes = STANDARD.decode(key).map_err(|_| form())?;
        let Some((ED25519, key)) = bytes.split_first().map(|(kind, key)| (*kind, key)) else {
            return Err(VkeyError::Type(text.to_owned()));
        };
        let key: &[u8; 32] = key.try_into().map_err(|_| form())?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| VkeyError::Weak(text.to_owned()))?;
        let vkey = Self::new(name, key)?;
        // The key id must be the key's, in lower case, as every implementation writes it.
        if vkey.to_string() == text {
            Ok(vkey)
        } else {
            Err(form())
        }
    }
}

fn typed(key: &VerifyingKey) -> Vec<u8> {
    [&[ED25519][..], key.as_bytes()].concat()
}

fn key_id(name: &str, typed_key: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", typed_key].concat());
    [a, b, c, d]
}

/// A key's name: not empty, no Unicode space, no `+`, no control character.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_keys_are_read_and_written_back() {
        for text in [
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
            "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        ] {
            let key: VerifierKey = text.parse().expect("a verifier key");
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn other_forms_and_weak_keys_are_refused() {
        let zeros = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for wrong in [
            "",
            "a+b",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/fo o+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
            "example.com/foo+530d903a+",
            &format!("x+00000000+{zeros}"),
        ] {
            assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
        }
        let weak = VerifyingKey::from_bytes(&[0; 32]).expect("a point of small order");
        assert_eq!(
            VerifierKey::new("x", weak),
            Err(VkeyError::Weak("x".to_owned()))
        );
    }
}
