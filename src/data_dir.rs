//! The data directory: one folder, one instance, and what that instance must find again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use kernel::Kind;
use uuid::Uuid;

use crate::{
    child::Account,
    config::{Config, Environment},
};

/// The file of [`DataDir::checkpoint`].
const CHECKPOINT: &str = "journal.checkpoint";

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody said where it is and there is no home.
    #[error("there is no home directory to keep data in: choose one with --data-dir")]
    Nowhere,
    /// Another process has it.
    #[error(
        "the data directory {} is in use by {}: stop that one, or choose another with --data-dir",
        path.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds the lock.
        holder: Option<u32>,
    },
    /// It belongs to somebody else.
    #[error("the data directory {} belongs to another user: {source}", path.display())]
    Denied {
        /// The file or folder that was refused.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The user that a child runs as cannot enter it.
    #[error(
        "user {user}, as which Postgres runs because it refuses root, cannot enter {}: choose another \
         --data-dir (such as /var/lib/chancery), or allow it with chmod o+x {}",
        path.display(),
        path.display()
    )]
    Unreachable {
        /// The folder that stops it.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// The operating system refused something else.
    #[error("the data directory: {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Nowhere | Self::Unreachable { .. } => Kind::Invalid,
            Self::InUse { .. } => Kind::Conflict,
            Self::Denied { .. } => Kind::Denied,
            Self::Io { .. } => Kind::Internal,
        }
    }

    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// Held by the one process that runs on a data directory; the system drops it with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl DataDir {
    /// Where the configuration says it is, made or not.
    pub fn locate(config: &Config, environment: &Environment) -> Result<PathBuf, Error> {
        config
            .data_dir
            .clone()
            .or_else(|| environment.default_data_dir())
            .ok_or(Error::Nowhere)
    }

    /// Opens the configured directory and makes it, for its owner alone, where it is missing.
    pub fn open(config: &Config, environment: &Environment) -> Result<Self, Error> {
        let path = Self::locate(config, environment)?;
        private_dir(&path)?;
        let path = path.canonicalize().map_err(Error::at(&path))?;
        Ok(Self { path })
    }

    /// The folder's path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether users other than its owner can look into it.
    pub fn is_open_to_others(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|meta| meta.permissions().mode() & 0o006 != 0)
    }

    /// Takes the directory for this process.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(Error::at(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path)
                    .ok()
                    .and_then(|pid| pid.trim().parse().ok());
                return Err(Error::InUse {
                    path: self.path.clone(),
                    holder,
                });
            }
            Err(TryLockError::Error(source)) => return Err(Error::at(&path)(source)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Error::at(&path))?;
        Ok(Lock { _file: file })
    }

    /// The operator's token: 32 random bytes in hex, made at the first start.
    pub fn token(&self) -> Result<String, Error> {
        if let Some(token) = self.kept("token")? {
            return Ok(token);
        }
        let path = self.join("token");
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::at(&path)(io::Error::other(error.to_string())))?;
        let token = hex::encode(bytes);
        self.write("token", &token)?;
        Ok(token)
    }

    /// The id of the one process that holds the lock, over restarts: made of an id that is kept here, `new` at the first
    /// start, and of the place. A folder of the same name on another machine is another one, and so is a copy elsewhere.
    pub fn process(&self, new: Uuid) -> Result<Uuid, Error> {
        let kept = self.kept("process")?.and_then(|id| id.parse().ok());
        let id = if let Some(id) = kept {
            id
        } else {
            self.write("process", &new.to_string())?;
            new
        };
        let place = self.path.to_string_lossy();
        Ok(Uuid::new_v5(&id, place.as_bytes()))
    }

    /// The URL that the running instance answers at.
    pub fn address(&self) -> Option<String> {
        fs::read_to_string(self.join("address"))
            .ok()
            .map(|address| address.trim().to_owned())
    }

    /// Tells the command line where we answer.
    pub fn set_address(&self, url: &str) -> Result<(), Error> {
        self.write("address", url)
    }

    /// Says that nobody answers any more.
    pub fn clear_address(&self) {
        // Its absence is a courtesy; a stale address leads to "nobody answers at ...".
        let _ = fs::remove_file(self.join("address"));
    }

    /// The newest head of the journal that was shown, a signed note; `None` before the first.
    pub fn checkpoint(&self) -> Result<Option<String>, Error> {
        let path = self.join(CHECKPOINT);
        match fs::read_to_string(&path) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::at(&path)(error)),
        }
    }

    /// Keeps a newer one, which is on the disk when this returns.
    pub fn set_checkpoint(&self, note: &str) -> Result<(), Error> {
        self.write(CHECKPOINT, note.strip_suffix('\n').unwrap_or(note))
    }

    /// Lets the user that a child runs as pass through to the child's own folder.
    pub fn admit(&self, account: &Account) -> Result<(), Error> {
        let at = Error::at;
        std::os::unix::fs::chown(&self.path, None, Some(account.gid)).map_err(at(&self.path))?;
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o710))
            .map_err(at(&self.path))?;
        for folder in self.path.ancestors() {
            let meta = fs::metadata(folder).map_err(at(folder))?;
            let bit = if meta.uid() == account.uid {
                0o100
            } else if meta.gid() == account.gid {
                0o010
            } else {
                0o001
            };
            if meta.permissions().mode() & bit == 0 {
                return Err(Error::Unreachable {
                    path: folder.to_path_buf(),
                    user: account.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// The text of a small file; `None` where it is missing or empty.
    fn kept(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::at(&path)(error)),
        }
    }

    /// Writes a small private file whole or not at all.
    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let (path, part) = (self.join(name), self.join(&format!("{name}.part")));
        let _ = fs::remove_file(&part);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&part).map_err(Error::at(&part))?;
        writeln!(file, "{text}")
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&part, &path))
            .map_err(Error::at(&path))
    }
}

/// Makes a folder for its owner alone, and those above it as usual; one that exists stays as it is.
pub fn private_dir(path: &Path) -> Result<(), Error> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(Error::at(above))?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, DataDir) {
        let temp = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: Some(temp.path().join("a/b")),
            ..Config::default()
        };
        let dir = DataDir::open(&config, &Environment::default()).unwrap();
        (temp, dir)
    }

    #[test]
    fn it_is_made_private_and_its_token_stays() {
        let (_temp, dir) = dir();
        let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("."), 0o700);
        let token = dir.token().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(mode("token"), 0o600);
        assert_eq!(dir.token().unwrap(), token);
    }

    #[test]
    fn the_same_path_elsewhere_is_another_process() {
        let (temp, dir) = dir();
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let first = dir.process(one).unwrap();
        assert_eq!(dir.process(other).unwrap(), first, "after a restart");
        let copy = temp.path().join("copy");
        fs::create_dir(&copy).unwrap();
        fs::copy(dir.join("process"), copy.join("process")).unwrap();
        let copy = DataDir { path: copy };
        assert_ne!(copy.process(other).unwrap(), first);
        // Another machine has a folder of this name, too.
        fs::remove_file(dir.join("process")).unwrap();
        assert_ne!(dir.process(other).unwrap(), first);
    }

    #[test]
    fn the_second_lock_names_the_first_process() {
        let (_temp, dir) = dir();
        let lock = dir.lock().unwrap();
        let error = dir.lock().unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        dir.lock().unwrap();
    }
}
