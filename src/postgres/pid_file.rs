//! `postmaster.pid`: what it says of a running server, and what a killed one left.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{Error, folder::Folder};
use crate::child::stop_orphan;

/// The lines of `postmaster.pid` that we use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// The server's process.
    pub pid: i32,
    /// The folder of its socket.
    pub socket: PathBuf,
    /// Whether it takes connections.
    pub ready: bool,
}

impl PidFile {
    /// Reads it, if it is there and whole.
    pub fn read(path: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(path).ok()?)
    }

    /// Lines: pid, data directory, start time, port, socket folder, address, shared memory, state.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        Some(Self {
            pid: lines.first()?.parse().ok()?,
            socket: PathBuf::from(lines.get(4)?),
            ready: lines.get(7).is_some_and(|state| *state == "ready"),
        })
    }
}

/// Stops a server that a killed instance left running on this folder, and removes the lock files of
/// one that is dead: its number may belong to a stranger by now, and Postgres would refuse to start.
/// The caller holds the data directory's lock, so no living instance is disturbed.
pub async fn clear(folder: &Folder) -> Result<(), Error> {
    let path = folder.data.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(());
    };
    let Some(pid) = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
    else {
        return Ok(());
    };
    let signals = [
        (Signal::SIGINT, Duration::from_mins(1)),
        (Signal::SIGQUIT, Duration::from_secs(10)),
    ];
    if !stop_orphan(pid, &folder.data.to_string_lossy(), &signals).await {
        return Err(Error::Orphan(pid));
    }
    let mut stale = vec![path];
    if let Some(left) = PidFile::parse(&text) {
        stale.push(left.socket.join(format!(".s.PGSQL.{}.lock", super::PORT)));
    }
    for file in stale {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&file, error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read() {
        let text =
            "4242\n/d/postgres/data\n1763690000\n5432\n/d/postgres/run\n\n  1234  5\nready   \n";
        let expected = PidFile {
            pid: 4242,
            socket: "/d/postgres/run".into(),
            ready: true,
        };
        assert_eq!(PidFile::parse(text), Some(expected));
        assert!(
            !PidFile::parse(&text.replace("ready", "starting"))
                .unwrap()
                .ready
        );
        assert_eq!(PidFile::parse("4242\n/d\n"), None, "half written");
    }
}
