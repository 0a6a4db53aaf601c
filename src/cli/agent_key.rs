//! The Ed25519 key of an agent: a file that nobody but its owner may read.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use did::ed25519::{DerivedFrom, KeyFile, SecretKey};
use kernel::{Kind, shell_path};

use super::exit::Failure;

/// No key file is longer.
const MOST_BYTES: u64 = 16 * 1024;

/// Reads a key file: `{"public_key", "private_key"}` as Zynd's programs write it, or the seed as 64 hex
/// digits.
pub fn read(path: &Path) -> Result<SecretKey, Failure> {
    let failed = |error: &io::Error| failure(path, error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let why = format!(
            "others may read {} (mode {mode:04o}): run chmod 600 {}",
            path.display(),
            shell_path(path)
        );
        return Err(Failure::Of(Kind::Denied, why));
    }
    let mut text = String::new();
    (&file)
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    KeyFile::parse(&text)
        .map_err(|why| Failure::invalid(format!("{} is no agent's key: {why}", path.display())))
}

/// The key in the file, or a new one where there is no file; whether it is new.
pub fn read_or_create(path: &Path) -> Result<(SecretKey, bool), Failure> {
    if path.exists() {
        return Ok((read(path)?, false));
    }
    let key = random()?;
    write(path, &key, None)?;
    Ok((key, true))
}

/// A new key.
pub fn random() -> Result<SecretKey, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::Of(Kind::Internal, format!("no chance: {error}")))?;
    Ok(SecretKey::from_seed(&seed))
}

/// Writes a key to a new file, for its owner alone. One that is there already is never written over.
pub fn write(path: &Path, key: &SecretKey, from: Option<DerivedFrom>) -> Result<(), Failure> {
    let failed = |error: &io::Error| failure(path, error);
    let text = serde_json::to_string_pretty(&KeyFile::of(key, from))
        .map_err(|error| Failure::Of(Kind::Internal, error.to_string()))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(&error))?;
    writeln!(file, "{text}").map_err(|error| failed(&error))?;
    file.sync_all().map_err(|error| failed(&error))
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let why = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => Failure::invalid(why),
        io::ErrorKind::AlreadyExists => Failure::Of(Kind::Conflict, why),
        io::ErrorKind::PermissionDenied => Failure::Of(Kind::Denied, why),
        _ => Failure::Of(Kind::Internal, why),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_for_its_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("agent (1).key");
        let (key, new) = read_or_create(&path).expect("made");
        assert!(new);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (again, new) = read_or_create(&path).expect("read");
        assert!(!new);
        assert_eq!(again.public(), key.public());
        let error = write(&path, &random().expect("chance"), None).expect_err("there already");
        assert!(matches!(error, Failure::Of(Kind::Conflict, _)), "{error}");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("mode");
        let error = read(&path).expect_err("others may read it");
        let remedy = format!("run chmod 600 '{}'", path.display());
        assert!(error.to_string().ends_with(&remedy), "{error}");
    }
}
