//! The cluster's folder: `<data-dir>/postgres`, owned by the user that the server runs as.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::PathBuf,
};

use super::{Binaries, Config, Error, roles};
use crate::{
    child::{Account, are_root},
    data_dir::{DataDir, private_dir},
};

/// The files of one cluster.
#[derive(Debug)]
pub struct Folder {
    /// `<data-dir>/postgres`.
    pub root: PathBuf,
    /// The cluster itself.
    pub data: PathBuf,
    /// The server's log; it lies outside, where only we can write.
    pub log: PathBuf,
    /// The user that it runs as, where it is not ours.
    pub account: Option<Account>,
}

impl Folder {
    /// Makes the outer folder and gives it to its user.
    pub fn prepare(data_dir: &DataDir, config: &Config) -> Result<Self, Error> {
        let root = data_dir.join("postgres");
        private_dir(&root)?;
        let data = root.join("data");
        let account = account(config, fs::metadata(&data).ok().map(|meta| meta.uid()))?;
        if let Some(account) = &account {
            chown(&root, Some(account.uid), Some(account.gid))
                .map_err(|error| Error::io(&root, error))?;
            data_dir.admit(account)?;
        }
        Ok(Self {
            data,
            log: data_dir.join("postgres.log"),
            account,
            root,
        })
    }

    /// The major version that wrote the cluster; `None` where there is none yet.
    pub fn version(&self) -> Result<Option<u32>, Error> {
        let file = self.data.join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&file, error)),
        }
    }

    /// Makes the cluster beside its place and moves it there, so that a killed initdb leaves nothing
    /// that looks like one.
    pub async fn init(&self, binaries: &Binaries) -> Result<(), Error> {
        tracing::info!(
            "making a private Postgres {} in {}",
            binaries.version,
            self.data.display()
        );
        let new = self.root.join("data.new");
        if new.exists() {
            fs::remove_dir_all(&new).map_err(|error| Error::io(&new, error))?;
        }
        let mut command = std::process::Command::new(binaries.directory.join("initdb"));
        command
            .arg("-D")
            .arg(&new)
            .args([
                "-U",
                roles::SUPERUSER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
            ])
            .current_dir(&self.root);
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        let output = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Error::io(&binaries.directory.join("initdb"), error))?;
        if !output.status.success() {
            return Err(Error::Init(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        // The socket's folder is private, so whoever can reach the socket is who we think.
        let hba = new.join("pg_hba.conf");
        fs::write(&hba, "local all all trust\n").map_err(|error| Error::io(&hba, error))?;
        fs::rename(&new, &self.data).map_err(|error| Error::io(&self.data, error))
    }

    /// Makes a folder that only the server's user can enter, and checks that it is so.
    pub fn private(&self, path: &std::path::Path) -> Result<(), Error> {
        private_dir(path)?;
        let at = |error| Error::io(path, error);
        let us = nix::unistd::geteuid().as_raw();
        let meta = fs::symlink_metadata(path).map_err(at)?;
        let user = self.account.as_ref().map_or(us, |account| account.uid);
        if !meta.is_dir() || ![us, user].contains(&meta.uid()) {
            return Err(Error::Socket(path.to_path_buf()));
        }
        if let Some(account) = &self.account {
            chown(path, Some(account.uid), Some(account.gid)).map_err(at)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(at)
    }
}

/// The user that Postgres runs as: ours, unless we are root; then the owner of the data, the
/// configured user, `postgres`, or `nobody`.
pub fn account(config: &Config, data_owner: Option<u32>) -> Result<Option<Account>, Error> {
    if !are_root() {
        return Ok(None);
    }
    if let Some(account) = data_owner
        .filter(|uid| *uid != 0)
        .and_then(Account::numbered)
    {
        return Ok(Some(account));
    }
    if let Some(name) = &config.user {
        return Account::named(name)
            .map(Some)
            .ok_or_else(|| Error::NoUser(name.clone()));
    }
    let usual = ["postgres", "nobody"].into_iter().find_map(Account::named);
    usual
        .map(Some)
        .ok_or_else(|| Error::NoUser("postgres".to_owned()))
}
