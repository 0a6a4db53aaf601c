//! The key that signs checkpoints, and its file. It signs nothing else.
//!
//! The file is made at the first start, readable by its owner alone, and explains itself. All nodes
//! of one instance share it; who loses it cannot go on with the journal, only begin a new one.

use std::{
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use kernel::{Kind, sha256, shell_path};

use crate::{
    note::{Note, NoteError, SignatureLine},
    vkey::{VerifierKey, VkeyError},
};

/// What the line of the file that holds the key begins with.
const PREFIX: &str = "chancery-journal-key:ed25519:";

/// The head of a fresh file.
const HEAD: &str = "\
# The key that signs this Chancery's journal. Whoever has it can sign in this journal's name, and without
# it the journal cannot go on: keep it secret (mode 0600) and keep a copy. All nodes share this file.
# Below: the 32-byte Ed25519 seed (RFC 8032) in base64.
";

/// A key that signs checkpoints.
#[derive(Clone)]
pub struct LogKey {
    key: SigningKey,
}

/// The key's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not readable or writable.
    #[error("the journal's key file {path} cannot be used: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "the journal's key file {path} has mode {mode:04o}, so others can read it: run \
         `chmod 600 {word}`, and think about who may have read it",
        path = path.display(),
        word = shell_path(path)
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not our format.
    #[error(
        "the journal's key file {path} is malformed: it must hold one line `{PREFIX}<base64 of \
         32 bytes>`, and lines that begin with #; restore it from your copy",
        path = path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The machine gives no randomness.
    #[error("no randomness to make a key from: {0}")]
    Random(getrandom::Error),
    /// The origin cannot name a key.
    #[error("journal.origin: {0}")]
    Origin(#[from] VkeyError),
}

impl KeyError {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } | Self::Random(_) => Kind::Unavailable,
            Self::Mode { .. } | Self::Malformed { .. } | Self::Origin(_) => Kind::Invalid,
        }
    }
}

impl LogKey {
    /// The key of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            key: SigningKey::from_bytes(seed),
        }
    }

    /// The seed of another key, for `purpose`: this one signs checkpoints and nothing else. It follows from this one
    /// (HKDF-SHA256 without salt, RFC 5869), and nothing about this one follows from it.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let prk = hmac(&[0; 32], &[self.key.as_bytes()]);
        hmac(&prk, &[purpose.as_bytes(), &[1]])
    }

    /// Reads the key's file; makes it, and the directory that it is in, where there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if !path.try_exists().map_err(|source| io_error(path, source))? {
            create(path)?;
        }
        Self::load(path)
    }

    /// Reads the key's file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let io = |source| io_error(path, source);
        let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        let bytes = fs::read(path).map_err(io)?;
        let seed = std::str::from_utf8(&bytes).ok().and_then(parse);
        let seed = seed.ok_or_else(|| KeyError::Malformed {
            path: path.to_owned(),
        })?;
        Ok(Self::from_seed(&seed))
    }

    /// What verifies this key's signatures, under the name of a log.
    pub fn verifier(&self, origin: &str) -> Result<VerifierKey, KeyError> {
        Ok(VerifierKey::new(origin, self.key.verifying_key())?)
    }

    /// The name of a log that nobody named: `chancery.local/` and the first 16 hex digits of the
    /// SHA-256 of the public key.
    pub fn default_origin(&self) -> String {
        let digest = sha256(self.key.verifying_key().as_bytes());
        format!("chancery.local/{}", hex::encode(&digest[..8]))
    }

    /// Signs `text` in the name of `vkey`, which must be this key's.
    pub(crate) fn sign(&self, vkey: &VerifierKey, text: String) -> Result<Note, NoteError> {
        let signature = self.key.sign(text.as_bytes()).to_bytes().to_vec();
        let line = SignatureLine {
            name: vkey.name().to_owned(),
            id: vkey.id(),
            signature,
        };
        Note::new(text, vec![line])
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = hex::encode(self.key.verifying_key().as_bytes());
        f.debug_struct("LogKey")
            .field("public", &public)
            .finish_non_exhaustive()
    }
}

/// HMAC-SHA256 (RFC 2104) under a key of one hash.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = sha256(&[&pad(0x36)[..], &parts.concat()].concat());
    sha256(&[&pad(0x5c)[..], &inner].concat())
}

fn io_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::Io {
        path: path.to_owned(),
        source,
    }
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let seed = STANDARD.decode(lines.next()?.strip_prefix(PREFIX)?).ok()?;
    if lines.next().is_none() {
        seed.try_into().ok()
    } else {
        None
    }
}

/// Writes a fresh key beside `path` and links it there: a crash leaves no half file, and of two processes
/// that start at once the second takes the first one's key.
fn create(path: &Path) -> Result<(), KeyError> {
    let io = |source| io_error(path, source);
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(io)?;
    let mut random = [0_u8; 40];
    getrandom::fill(&mut random).map_err(KeyError::Random)?;
    let (seed, suffix) = random.split_at(32);
    let draft = directory.join(format!(".journal-key-{}", hex::encode(suffix)));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        writeln!(file, "{HEAD}{PREFIX}{}", STANDARD.encode(seed))?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }?;
        fs::File::open(directory)?.sync_all()
    })();
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("below/journal.key");
        let first = LogKey::load_or_create(&path).expect("made");
        let found = LogKey::load_or_create(&path).expect("found");
        assert_eq!(first.default_origin(), found.default_origin());
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(
            fs::read_dir(path.parent().expect("below"))
                .expect("readable")
                .count(),
            1
        );
        let other = LogKey::load_or_create(&dir.path().join("other")).expect("made");
        assert_ne!(first.default_origin(), other.default_origin());
        create(&path).expect("the loser of a race");
        assert_eq!(
            LogKey::load(&path).expect("found").default_origin(),
            first.default_origin()
        );
    }

    /// RFC 4231, test case 1; RFC 5869, test case 3.
    #[test]
    fn other_keys_follow_by_hkdf() {
        let mut short = [0; 32];
        short[..20].fill(0x0b);
        assert_eq!(
            hex::encode(hmac(&short, &[b"Hi There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        let okm = hmac(&hmac(&[0; 32], &[&[0x0b; 22]]), &[&[1]]);
        assert_eq!(
            hex::encode(okm),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
        let key = LogKey::from_seed(&[7; 32]);
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_eq!(key.derive("a"), LogKey::from_seed(&[7; 32]).derive("a"));
    }

    #[test]
    fn open_and_malformed_files_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("k");
        LogKey::load_or_create(&path).expect("made");
        let good = fs::read_to_string(&path).expect("readable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        let error = LogKey::load_or_create(&path).expect_err("open");
        let remedy = format!("`chmod 600 {}`", shell_path(&path));
        assert!(error.to_string().contains(&remedy), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        for wrong in [
            String::new(),
            good.replace("ed25519", "rsa"),
            good.replace('=', ""),
            good.repeat(2),
        ] {
            fs::write(&path, &wrong).expect("ours");
            assert!(
                matches!(LogKey::load(&path), Err(KeyError::Malformed { .. })),
                "{wrong}"
            );
        }
        assert!(matches!(
            LogKey::load(&dir.path().join("none")),
            Err(KeyError::Io { .. })
        ));
    }

    /// RFC 8032 §7.1, test 1: the seed's public key; and what we sign is verified by Cloudflare's code.
    #[test]
    fn the_key_is_plain_ed25519() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .expect("hex");
        let key = LogKey::from_seed(&seed.try_into().expect("32 bytes"));
        let vkey = key.verifier("example.com/log").expect("a name");
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex::encode(vkey.public_key()), public);
        let note = key
            .sign(&vkey, "text\n".to_owned())
            .expect("signs")
            .to_string();
        let theirs = signed_note::Note::from_bytes(note.as_bytes()).expect("a note");
        let verifier = signed_note::StandardVerifier::new(&vkey.to_string()).expect("a key");
        let verifiers = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        assert_eq!(theirs.verify(&verifiers).expect("signed").0.len(), 1);
        assert!(!format!("{key:?}").contains("9d61"));
        assert!(matches!(key.verifier("a+b"), Err(KeyError::Origin(_))));
    }
}
