//! Private keys, which never leave the command line (`model.md` §6).
//!
//! A key file is a keystore (Web3 Secret Storage, JSON) or one line of `0x`-hex, and nobody but
//! its owner may read it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use alloy::signers::{SignerSync, local::PrivateKeySigner};
use kernel::{B256, Kind, shell_path};
use serde_json::Value;

use crate::sender::SendError;

/// No key file is longer.
const MOST_BYTES: u64 = 64 * 1024;

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not there or not readable.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "others may read {path} (mode {mode:04o}): run chmod 600 {word}",
        word = shell_path(path)
    )]
    Open {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Neither a keystore nor a key.
    #[error("{path} is no key: {why}")]
    NoKey {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The keystore was not opened.
    #[error("wrong password for {path}")]
    Password {
        /// The key file.
        path: PathBuf,
    },
}

impl KeyError {
    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Io { .. } | Self::NoKey { .. } => Kind::Invalid,
            Self::Open { .. } | Self::Password { .. } => Kind::Denied,
        }
    }
}

/// Reads a key file. `password` is called only for a keystore, at most once.
pub fn read(
    path: &Path,
    password: impl FnOnce() -> io::Result<String>,
) -> Result<PrivateKeySigner, KeyError> {
    let failed = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    let no_key = |why| KeyError::NoKey {
        path: path.to_owned(),
        why,
    };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    let read = file
        .by_ref()
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if read as u64 > MOST_BYTES {
        return Err(no_key("it is too long"));
    }
    if text.trim_start().starts_with('{') {
        check_keystore(&text).map_err(no_key)?;
        let password = password().map_err(failed)?;
        return PrivateKeySigner::decrypt_keystore(path, password).map_err(|_| {
            KeyError::Password {
                path: path.to_owned(),
            }
        });
    }
    let hex = text
        .trim()
        .strip_prefix("0x")
        .ok_or_else(|| no_key("expected 0x and 64 digits"))?;
    let mut bytes = [0; 32];
    alloy::hex::decode_to_slice(hex, &mut bytes)
        .map_err(|_| no_key("expected 0x and 64 digits"))?;
    PrivateKeySigner::from_bytes(&bytes.into())
        .map_err(|_| no_key("the number is zero or not below the curve's order"))
}

/// Signs a hash: r, s, and v as 27 or 28.
pub fn sign(signer: &PrivateKeySigner, digest: B256) -> Result<Vec<u8>, SendError> {
    let signature = signer
        .sign_hash_sync(&digest)
        .map_err(|_| SendError::Signature)?;
    Ok(signature.as_bytes().to_vec())
}

/// What `eth-keystore` does not check itself, and would panic at or run out of memory with.
fn check_keystore(text: &str) -> Result<(), &'static str> {
    let keystore: Value = serde_json::from_str(text).map_err(|_| "it is no JSON")?;
    let crypto = keystore.get("crypto").or_else(|| keystore.get("Crypto"));
    let crypto = crypto.ok_or("it is no keystore: it has no crypto")?;
    let params = &crypto["kdfparams"];
    if params["dklen"].as_u64() != Some(32) {
        return Err("kdfparams.dklen is not 32");
    }
    let iv = crypto["cipherparams"]["iv"].as_str().unwrap_or_default();
    if iv.trim_start_matches("0x").len() != 32 {
        return Err("cipherparams.iv has not 16 bytes");
    }
    if crypto["ciphertext"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches("0x")
        .len()
        != 64
    {
        return Err("ciphertext has not 32 bytes");
    }
    let number = |name: &str| params[name].as_u64().unwrap_or(1);
    let memory = number("n").saturating_mul(number("r")).saturating_mul(128);
    if memory > 1 << 30 || number("p") > 64 || number("c") > 100_000_000 {
        return Err("the key derivation asks for too much");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    /// Web3 Secret Storage's own PBKDF2 test vector, password `testpassword`.
    const KEYSTORE: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":
        "6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":
        "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
        "kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":
        "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":
        "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        (dir, path)
    }

    fn never() -> io::Result<String> {
        panic!("no password is needed")
    }

    #[test]
    fn a_key_in_hex_is_read() {
        let (_dir, path) = file(&format!("{KEY}\n"), 0o600);
        assert_eq!(
            read(&path, never).expect("a key").address().to_string(),
            ADDRESS
        );
    }

    #[test]
    fn a_keystore_asks_for_its_password() {
        let (_dir, path) = file(KEYSTORE, 0o400);
        let signer = read(&path, || Ok("testpassword".to_owned())).expect("a key");
        let key = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
        assert_eq!(alloy::hex::encode(signer.to_bytes()), key);
        let wrong = read(&path, || Ok("another".to_owned()));
        assert_eq!(wrong.expect_err("wrong").kind(), Kind::Denied);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o666] {
            let (_dir, path) = file(KEY, mode);
            let error = read(&path, never).expect_err("open");
            assert!(matches!(error, KeyError::Open { mode: m, .. } if m == mode));
            let remedy = format!("run chmod 600 {}", shell_path(&path));
            assert!(error.to_string().ends_with(&remedy), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_told() {
        let zero = format!("0x{:064}", 0);
        let short = KEYSTORE.replace("\"dklen\":32", "\"dklen\":8");
        for text in ["", "0x12", "hello", "{}", "{", &KEY[2..], &zero, &short] {
            let (_dir, path) = file(text, 0o600);
            let error = read(&path, never).expect_err(text);
            assert!(matches!(error, KeyError::NoKey { .. }), "{text}");
        }
        let missing = read(Path::new("/nonexistent"), never).expect_err("missing");
        assert_eq!(missing.kind(), Kind::NotFound);
    }
}
