//! Ed25519: keys in all the forms in which Zynd and DukeNET write them, and signatures.
//!
//! Verification is strict (RFC 8032 with canonical `s` and no small-order parts): a signature that
//! one library takes and another refuses proves nothing to a stranger.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{
    Code, Error,
    methods::key::{KeyType, PublicKey},
};

/// In front of keys and signatures on Zynd's wire.
const PREFIX: &str = "ed25519:";

/// Reads a public key: `did:key:z…`, `z…`, `ed25519:<base64>`, standard base64 with padding, or 64
/// hex digits. What is no Ed25519 key, or a weak one, is refused.
pub fn parse(text: &str) -> Result<PublicKey, Error> {
    let multibase = text.strip_prefix("did:key:").unwrap_or(text);
    // Base64 of 32 bytes may begin with z, too; it ends with padding, which base58 has not.
    if multibase.starts_with('z') && !multibase.ends_with('=') {
        let key = PublicKey::from_multibase(multibase)?;
        return match key.key_type() {
            KeyType::Ed25519 => Ok(key),
            other => Err(Error::new(
                Code::InvalidPublicKeyType,
                format!("an Ed25519 key is needed, this is one on {}", other.curve()),
            )),
        };
    }
    PublicKey::new(KeyType::Ed25519, &bytes_of(text, "public key", 32)?)
}

/// `ed25519:<base64>`, as Zynd writes keys.
pub fn wire(key: &PublicKey) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key.to_bytes()))
}

/// Reads a signature: `ed25519:<base64>`, standard base64 with padding, or 128 hex digits.
pub fn parse_signature(text: &str) -> Result<[u8; 64], Error> {
    let bytes = bytes_of(text, "signature", 64)?;
    bytes.try_into().map_err(|_| wrong("signature", 64))
}

/// `ed25519:<base64>` of a signature.
pub fn signature_wire(signature: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(signature))
}

/// Whether `key` signed these bytes. A key of another type signed nothing.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    key.ed25519().is_some_and(|key| {
        key.verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    })
}

fn bytes_of(text: &str, what: &str, length: usize) -> Result<Vec<u8>, Error> {
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    let is_hex = text.len() == 2 * length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = if is_hex {
        hex::decode(text).ok()
    } else {
        STANDARD.decode(text).ok()
    };
    bytes
        .filter(|bytes| bytes.len() == length)
        .ok_or_else(|| wrong(what, length))
}

fn wrong(what: &str, length: usize) -> Error {
    let detail = format!(
        "a {what} is ed25519:<base64 of {length} bytes> or {} hex digits",
        2 * length
    );
    Error::new(Code::InvalidPublicKeyLength, detail)
}

/// A private key. It is never shown, and forgotten where it is dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a seed (RFC 8032, the 32 private bytes).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let bytes = self.0.verifying_key().to_bytes();
        // A key that is made of a seed is never weak.
        match PublicKey::new(KeyType::Ed25519, &bytes) {
            Ok(key) => key,
            Err(_) => unreachable!("a public key of a seed has no small order"),
        }
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The seed, for a child's derivation and for the key's own file.
    pub(crate) fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public())
    }
}

/// A key file, as Zynd's programs write and read it.
#[derive(Serialize, Deserialize)]
pub struct KeyFile {
    /// Standard base64 of 32 bytes.
    public_key: String,
    /// Standard base64 of seed and public key, 64 bytes.
    private_key: String,
    /// Where the key was derived from another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    derived_from: Option<DerivedFrom>,
}

/// Whose child a key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedFrom {
    /// The developer's public key.
    pub developer_public_key: String,
    /// Which child.
    pub index: u32,
}

impl KeyFile {
    /// The file of a key.
    pub fn of(key: &SecretKey, derived_from: Option<DerivedFrom>) -> Self {
        let public = key.public().to_bytes();
        Self {
            public_key: STANDARD.encode(&public),
            private_key: STANDARD.encode([&key.seed()[..], &public].concat()),
            derived_from,
        }
    }

    /// Reads a key file: this form, or the seed alone as 64 hex digits. A file whose halves do not
    /// belong together is refused: what it signs would be nobody's.
    pub fn parse(text: &str) -> Result<SecretKey, Error> {
        let no_key = |detail: &str| Error::new(Code::InvalidPublicKey, detail);
        let trimmed = text.trim();
        let hex_digits = trimmed.strip_prefix("0x").unwrap_or(trimmed);
        let mut seed = [0; 32];
        if hex_digits.len() == 64 && hex::decode_to_slice(hex_digits, &mut seed).is_ok() {
            return Ok(SecretKey::from_seed(&seed));
        }
        let file: Self = serde_json::from_str(trimmed).map_err(|_| {
            no_key("expected {\"public_key\", \"private_key\"} or the seed as 64 hex digits")
        })?;
        let private = STANDARD.decode(&file.private_key).unwrap_or_default();
        let seed = private
            .first_chunk::<32>()
            .filter(|_| matches!(private.len(), 32 | 64))
            .ok_or_else(|| no_key("private_key is not base64 of 64 bytes"))?;
        let key = SecretKey::from_seed(seed);
        let public = key.public().to_bytes();
        let named = STANDARD.decode(file.public_key.trim_start_matches(PREFIX));
        if named.ok().as_ref() != Some(&public) || !public.ends_with(&private[32..]) {
            return Err(no_key("public_key and private_key do not belong together"));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 8032, section 7.1, test 3.
    const SEED: &str = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
    const PUBLIC: &str = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    const SIGNATURE: &str = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";

    fn secret() -> SecretKey {
        KeyFile::parse(SEED).expect("a seed")
    }

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        let key = secret();
        assert_eq!(hex::encode(key.public().to_bytes()), PUBLIC);
        let signature = key.sign(&[0xaf, 0x82]);
        assert_eq!(hex::encode(signature), SIGNATURE);
        assert!(verify(&key.public(), &[0xaf, 0x82], &signature));
        assert!(!verify(&key.public(), &[0xaf, 0x83], &signature));
        assert!(!format!("{key:?}").contains(SEED));
    }

    #[test]
    fn a_key_is_read_in_every_form() {
        let key = secret().public();
        for text in [
            key.did(),
            key.to_multibase(),
            wire(&key),
            wire(&key)[8..].to_owned(),
            PUBLIC.to_owned(),
            PUBLIC.to_uppercase(),
        ] {
            assert_eq!(parse(&text).expect("a key"), key, "{text}");
        }
        for wrong in [
            "",
            "ed25519:",
            "did:key:",
            "0x",
            &PUBLIC[2..],
            "ed25519:AA==",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let weak = "00".repeat(31) + "80";
        assert!(parse(&weak).is_err(), "small order");
        assert!(parse(&("01".to_owned() + &"00".repeat(31))).is_err(), "one");
        let other = "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme";
        let error = parse(other).expect_err("secp256k1");
        assert_eq!(error.code, Code::InvalidPublicKeyType);
    }

    /// `s` and `s` + the group's order verify alike in lax libraries.
    #[test]
    fn a_signature_has_one_form() {
        let key = secret();
        let mut signature = key.sign(b"x");
        let order: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert!(!verify(&key.public(), b"x", &signature));
        assert!(!verify(&key.public(), b"x", &[0; 64]));
    }

    #[test]
    fn key_files_come_back_and_halves_must_fit() {
        let key = secret();
        let file = serde_json::to_string(&KeyFile::of(&key, None)).expect("json");
        assert_eq!(KeyFile::parse(&file).expect("read").public(), key.public());
        let other = SecretKey::from_seed(&[7; 32]);
        let mixed = KeyFile {
            public_key: STANDARD.encode(other.public().to_bytes()),
            ..KeyFile::of(&key, None)
        };
        let mixed = serde_json::to_string(&mixed).expect("json");
        assert!(KeyFile::parse(&mixed).is_err());
        for wrong in [
            "",
            "{}",
            "0x12",
            "[]",
            r#"{"public_key":"","private_key":""}"#,
        ] {
            assert!(KeyFile::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,200}") {
            let _ = (parse(&text), parse_signature(&text), KeyFile::parse(&text));
        }

        #[test]
        fn what_is_written_is_read(seed: [u8; 32]) {
            let key = SecretKey::from_seed(&seed).public();
            prop_assert_eq!(parse(&wire(&key)), Ok(key.clone()));
            prop_assert_eq!(parse(&wire(&key)[PREFIX.len()..]), Ok(key.clone()));
            prop_assert_eq!(parse(&key.did()), Ok(key));
        }
    }
}
