//! Secrets that this office gives away: keys, tokens, nonces. Each is chance, and none is kept as it is.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::sha256;

use crate::{Error, Result};

/// What every API key begins with; scanners of secrets look for it.
pub const API_KEY: &str = "ains_";

/// What every session's token begins with.
pub const SESSION: &str = "ases_";

/// No secret of ours is longer; what is, need not be hashed.
const LONGEST: usize = 128;

/// An API key: `ains_` and 44 characters of base64url, 264 bits of chance.
pub fn api_key() -> Result<String> {
    Ok(format!(
        "{API_KEY}{}",
        URL_SAFE_NO_PAD.encode(chance::<33>()?)
    ))
}

/// The name of an API key, which is no secret: `key_` and 32 hex digits.
pub fn key_id() -> Result<String> {
    Ok(format!("key_{}", hex::encode(chance::<16>()?)))
}

/// A session's token: `ases_` and 44 characters.
pub fn session() -> Result<String> {
    Ok(format!(
        "{SESSION}{}",
        URL_SAFE_NO_PAD.encode(chance::<33>()?)
    ))
}

/// A nonce for somebody else to sign: 32 hex digits.
pub fn nonce() -> Result<String> {
    Ok(hex::encode(chance::<16>()?))
}

/// 16 bytes that make a digest of something unlike any other's, so that nobody finds it by guessing.
pub fn salt() -> Result<[u8; 16]> {
    chance()
}

/// What makes a signature of ours count once.
pub fn once() -> Result<[u8; 16]> {
    chance()
}

/// What is kept of a secret: SHA-256, hex. So much chance needs no slow hash. `None`: it is too long to be ours.
pub fn digest(secret: &str) -> Option<String> {
    (secret.len() <= LONGEST).then(|| hex::encode(sha256(secret.as_bytes())))
}

fn chance<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Chance(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_seeds_form_and_is_not_given_twice() {
        let key = api_key().unwrap();
        let token = key.strip_prefix("ains_").unwrap();
        assert_eq!(token.len(), 44);
        assert_eq!(URL_SAFE_NO_PAD.decode(token).unwrap().len(), 33);
        assert_ne!(api_key().unwrap(), key);
        let id = key_id().unwrap();
        assert_eq!(id.strip_prefix("key_").map(str::len), Some(32));
    }

    #[test]
    fn the_digest_is_sha_256_of_the_whole_key() {
        assert_eq!(
            digest("abc").unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest(&"x".repeat(1000)), None);
    }
}
