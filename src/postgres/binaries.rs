//! Finding the installed Postgres server.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{Config, Error};
use crate::config::{Environment, is_executable};

/// One installed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder with initdb and postgres.
    pub directory: PathBuf,
    /// Major version.
    pub version: u32,
}

/// The server to use: the one of the data's version if there is data, else the first found.
pub async fn find(
    config: &Config,
    environment: &Environment,
    data: Option<u32>,
) -> Result<Binaries, Error> {
    let candidates = candidates(config, environment).await;
    let mut found = Vec::new();
    for directory in &candidates {
        if ["initdb", "postgres"]
            .iter()
            .all(|name| is_executable(&directory.join(name)))
            && let Some(version) = version(directory).await
        {
            let binaries = Binaries {
                directory: directory.clone(),
                version,
            };
            if data.is_none_or(|data| data == version) {
                return Ok(binaries);
            }
            found.push(binaries);
        }
    }
    match data {
        Some(data) if !found.is_empty() => {
            let found = found
                .iter()
                .map(|b| b.version.to_string())
                .collect::<Vec<_>>()
                .join(", ");
            Err(Error::Version { data, found })
        }
        _ => {
            let searched = candidates
                .iter()
                .map(|dir| dir.display().to_string())
                .collect::<Vec<_>>();
            Err(Error::NotInstalled {
                searched: searched.join(", "),
            })
        }
    }
}

/// psql: beside the server, or on PATH.
pub async fn find_psql(config: &Config, environment: &Environment) -> Option<PathBuf> {
    let beside = candidates(config, environment)
        .await
        .into_iter()
        .map(|dir| dir.join("psql"));
    beside.into_iter().find(|file| is_executable(file))
}

async fn candidates(config: &Config, environment: &Environment) -> Vec<PathBuf> {
    if let Some(dir) = &config.bin_dir {
        return vec![dir.clone()];
    }
    let mut dirs = environment.path();
    dirs.extend(from_pg_config(environment).await);
    dirs.extend(versioned(Path::new("/usr/lib/postgresql"), ""));
    for brew in [
        "/opt/homebrew/opt",
        "/usr/local/opt",
        "/home/linuxbrew/.linuxbrew/opt",
    ] {
        dirs.extend(versioned(Path::new(brew), "postgresql@"));
    }
    dirs.extend(["/usr/pgsql/bin", "/usr/local/pgsql/bin"].map(PathBuf::from));
    let mut seen = std::collections::HashSet::new();
    dirs.retain(|dir| seen.insert(dir.clone()));
    dirs
}

async fn from_pg_config(environment: &Environment) -> Option<PathBuf> {
    let program = environment.find_program("pg_config")?;
    let output = Command::new(program).arg("--bindir").output().await.ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// `<parent>/<prefix><version>/bin`, newest first.
fn versioned(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let number = |name: &str| name.strip_prefix(prefix)?.parse::<u32>().ok();
    let mut dirs: Vec<_> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                number(entry.file_name().to_str()?)?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    dirs.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    dirs.into_iter().map(|(_, dir)| dir).collect()
}

async fn version(directory: &Path) -> Option<u32> {
    let output = Command::new(directory.join("postgres"))
        .arg("-V")
        .output()
        .await
        .ok()?;
    major(std::str::from_utf8(&output.stdout).ok()?)
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(text: &str) -> Option<u32> {
    let word = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    word.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("nothing"), None);
    }

    #[test]
    fn newest_is_first() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["9", "17", "15", "common"] {
            std::fs::create_dir_all(temp.path().join(name).join("bin")).unwrap();
        }
        let names: Vec<_> = versioned(temp.path(), "")
            .iter()
            .map(|dir| dir.strip_prefix(temp.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["17/bin", "15/bin", "9/bin"]);
    }
}
