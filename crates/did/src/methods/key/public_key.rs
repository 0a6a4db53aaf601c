//! Public keys that a did:key can name: multicodec prefix, length, and a check that the bytes are
//! a usable key.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::VerifyingKey;
use k256::elliptic_curve::sec1::ToEncodedPoint;

use crate::{Code, Error, Jwk};

/// A checked public key of one of the five types of did:key v0.9.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Inner);

#[derive(Clone, PartialEq, Eq)]
enum Inner {
    Ed25519(VerifyingKey),
    X25519([u8; 32]),
    Secp256k1(k256::PublicKey),
    P256(p256::PublicKey),
    P384(p384::PublicKey),
}

/// The types of key, with their multicodec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// 0xed, 32 bytes.
    Ed25519,
    /// 0xec, 32 bytes.
    X25519,
    /// 0xe7, 33 bytes: a compressed point.
    Secp256k1,
    /// 0x1200, 33 bytes: a compressed point.
    P256,
    /// 0x1201, 49 bytes: a compressed point.
    P384,
}

impl KeyType {
    const ALL: [Self; 5] = [
        Self::Ed25519,
        Self::X25519,
        Self::Secp256k1,
        Self::P256,
        Self::P384,
    ];

    /// The multicodec as unsigned varint.
    fn prefix(self) -> [u8; 2] {
        match self {
            Self::Ed25519 => [0xed, 0x01],
            Self::X25519 => [0xec, 0x01],
            Self::Secp256k1 => [0xe7, 0x01],
            Self::P256 => [0x80, 0x24],
            Self::P384 => [0x81, 0x24],
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Ed25519 | Self::X25519 => 32,
            Self::Secp256k1 | Self::P256 => 33,
            Self::P384 => 49,
        }
    }

    /// The curve's name in a JSON Web Key.
    pub fn curve(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::X25519 => "X25519",
            Self::Secp256k1 => "secp256k1",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }
}

/// Multicodecs of keys that exist and that we do not speak: did:key v0.9 has dropped them from its
/// table.
const NAMED_ONLY: [([u8; 2], &str); 5] = [
    ([0xea, 0x01], "BLS12-381 G1"),
    ([0xeb, 0x01], "BLS12-381 G2"),
    ([0xee, 0x01], "BLS12-381 G1G2"),
    ([0x82, 0x24], "P-521"),
    ([0x85, 0x24], "RSA"),
];

impl PublicKey {
    /// Reads `z…`: base58btc of multicodec and key.
    pub fn from_multibase(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(
                Code::InvalidDid,
                "the key is not multibase base58btc (`z…`)",
            )
        };
        let base58 = text.strip_prefix('z').ok_or_else(wrong)?;
        let bytes = bs58::decode(base58).into_vec().map_err(|_| wrong())?;
        let (prefix, key) = bytes.split_first_chunk::<2>().ok_or_else(wrong)?;
        if let Some(key_type) = KeyType::ALL
            .into_iter()
            .find(|known| known.prefix() == *prefix)
        {
            return Self::new(key_type, key);
        }
        let detail = match NAMED_ONLY.iter().find(|(known, _)| known == prefix) {
            Some((_, name)) => format!("keys of type {name} are not supported"),
            None => format!(
                "no key type has the multicodec prefix {:02x}{:02x}",
                prefix[0], prefix[1]
            ),
        };
        Err(Error::new(Code::UnsupportedPublicKeyType, detail))
    }

    /// Checks a key's bytes: the length, that it is a point of its curve in its one canonical
    /// form, and that it is not of small order (such a key verifies signatures that nobody made).
    pub fn new(key_type: KeyType, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != key_type.length() {
            let detail = format!(
                "a key of type {} has {} bytes, not {}",
                key_type.curve(),
                key_type.length(),
                bytes.len()
            );
            return Err(Error::new(Code::InvalidPublicKeyLength, detail));
        }
        let key = match key_type {
            KeyType::Ed25519 => ed25519(bytes).map(Inner::Ed25519),
            KeyType::X25519 => x25519(bytes).map(Inner::X25519),
            KeyType::Secp256k1 => k256::PublicKey::from_sec1_bytes(bytes)
                .ok()
                .map(Inner::Secp256k1),
            KeyType::P256 => p256::PublicKey::from_sec1_bytes(bytes)
                .ok()
                .map(Inner::P256),
            KeyType::P384 => p384::PublicKey::from_sec1_bytes(bytes)
                .ok()
                .map(Inner::P384),
        };
        key.map(Self).ok_or_else(|| {
            let detail = format!(
                "the bytes are no canonical, safe public key of type {}",
                key_type.curve()
            );
            Error::new(Code::InvalidPublicKey, detail)
        })
    }

    /// The type.
    pub fn key_type(&self) -> KeyType {
        match self.0 {
            Inner::Ed25519(_) => KeyType::Ed25519,
            Inner::X25519(_) => KeyType::X25519,
            Inner::Secp256k1(_) => KeyType::Secp256k1,
            Inner::P256(_) => KeyType::P256,
            Inner::P384(_) => KeyType::P384,
        }
    }

    /// The key's bytes, points compressed.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Inner::Ed25519(key) => key.to_bytes().to_vec(),
            Inner::X25519(key) => key.to_vec(),
            Inner::Secp256k1(key) => key.to_encoded_point(true).as_bytes().to_vec(),
            Inner::P256(key) => key.to_encoded_point(true).as_bytes().to_vec(),
            Inner::P384(key) => key.to_encoded_point(true).as_bytes().to_vec(),
        }
    }

    /// The key to verify Ed25519 signatures with (always with `verify_strict`).
    pub fn ed25519(&self) -> Option<&VerifyingKey> {
        match &self.0 {
            Inner::Ed25519(key) => Some(key),
            _ => None,
        }
    }

    /// `z…`: the id of a did:key, and `publicKeyMultibase` of a Multikey.
    pub fn to_multibase(&self) -> String {
        let mut bytes = self.key_type().prefix().to_vec();
        bytes.extend(self.to_bytes());
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// `did:key:z…`
    pub fn did(&self) -> String {
        format!("did:key:{}", self.to_multibase())
    }

    /// The key as JSON Web Key.
    pub fn jwk(&self) -> Jwk {
        let crv = self.key_type().curve();
        let octets = |x: &[u8]| Jwk {
            kty: "OKP",
            crv,
            x: URL_SAFE_NO_PAD.encode(x),
            y: None,
        };
        // An uncompressed point is 0x04, x, y.
        let point = |bytes: &[u8]| {
            let (x, y) = bytes[1..].split_at(bytes.len() / 2);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            Jwk {
                kty: "EC",
                crv,
                x,
                y: Some(y),
            }
        };
        match &self.0 {
            Inner::Ed25519(key) => octets(key.as_bytes()),
            Inner::X25519(key) => octets(key),
            Inner::Secp256k1(key) => point(key.to_encoded_point(false).as_bytes()),
            Inner::P256(key) => point(key.to_encoded_point(false).as_bytes()),
            Inner::P384(key) => point(key.to_encoded_point(false).as_bytes()),
        }
    }

    /// The X25519 key that belongs to an Ed25519 key by the birational map of RFC 7748.
    pub fn derived_x25519(&self) -> Option<Self> {
        let montgomery = self.ed25519()?.to_montgomery();
        Some(Self(Inner::X25519(montgomery.to_bytes())))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_multibase())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_multibase())
    }
}

fn ed25519(bytes: &[u8]) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&bytes).ok()?;
    (is_reduced(&bytes) && !key.is_weak()).then_some(key)
}

/// RFC 7748 lets a receiver mask the top bit and reduce; an identifier has one spelling only.
fn x25519(bytes: &[u8]) -> Option<[u8; 32]> {
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    (bytes[31] < 0x80 && is_reduced(&bytes) && !X25519_SMALL_ORDER.contains(&bytes))
        .then_some(bytes)
}

/// Whether the low 255 bits, little endian, are below 2^255 - 19.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let all_ones = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff);
    !(all_ones && bytes[0] >= 0xed)
}

/// The reduced u coordinates of small order on Curve25519: 0, 1, p - 1, and the two of order 8
/// (`https://cr.yp.to/ecdh.html#validate`).
const X25519_SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
];
