//! The ordinary user that a child runs as when we are root.

use std::{os::unix::process::CommandExt, process::Command};

use nix::unistd::{Uid, User, geteuid};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

impl Account {
    /// The user of this name.
    pub fn named(name: &str) -> Option<Self> {
        User::from_name(name).ok().flatten().map(Self::from)
    }

    /// The user with this number.
    pub fn numbered(uid: u32) -> Option<Self> {
        User::from_uid(Uid::from_raw(uid))
            .ok()
            .flatten()
            .map(Self::from)
    }

    /// Makes `command` run as this user, without further groups (the standard library drops them).
    pub fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }
    }
}

/// Whether this process is root.
pub fn are_root() -> bool {
    geteuid().is_root()
}
