//! Where the socket lies. Its path must fit into about 100 bytes on every system.

use std::path::{Path, PathBuf};

use super::{Error, folder::Folder};
use crate::config::Environment;

const LONGEST: usize = 100;

/// The private folder of the cluster's socket: in the cluster's folder, or, where that path is too
/// long, a short one named by its hash.
pub fn directory(folder: &Folder, environment: &Environment) -> Result<PathBuf, Error> {
    let near = folder.root.join("run");
    let directory = if fits(&near) {
        near
    } else {
        short(folder, environment)
    };
    folder.private(&directory)?;
    Ok(directory)
}

fn short(folder: &Folder, environment: &Environment) -> PathBuf {
    let hash = hex::encode(&kernel::sha256(folder.data.as_os_str().as_encoded_bytes())[..8]);
    let runtime = environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    // Another user cannot enter our runtime directory.
    match runtime
        .filter(|_| folder.account.is_none())
        .map(|dir| dir.join(format!("chancery-{hash}")))
    {
        Some(dir) if fits(&dir) && dir.parent().is_some_and(Path::is_dir) => dir,
        _ => PathBuf::from(format!("/tmp/chancery-{}-{hash}", nix::unistd::geteuid())),
    }
}

fn fits(directory: &Path) -> bool {
    directory.join(".s.PGSQL.5432").as_os_str().len() <= LONGEST
}
