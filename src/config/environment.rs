//! What the process was given by its surroundings: variables, executable, working directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A snapshot of the surroundings, read once at start, so that the rest is a function of values.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    executable: Option<PathBuf>,
    directory: Option<PathBuf>,
}

impl Environment {
    /// Reads this process's surroundings. Variables that are not UTF-8 are passed over.
    pub fn read() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            executable: std::env::current_exe().ok(),
            directory: std::env::current_dir().ok(),
        }
    }

    /// This program as a person would call it: by its path below the working directory where it
    /// lies there, else whole.
    pub fn program(&self) -> String {
        let Some(executable) = &self.executable else {
            return "chancery".to_owned();
        };
        let here = std::env::current_dir().ok();
        let below = here.and_then(|here| executable.strip_prefix(here).ok().map(Path::to_path_buf));
        below.as_ref().unwrap_or(executable).display().to_string()
    }

    /// A variable's value; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// All variables that begin with `prefix` and are not empty, without the prefix.
    pub fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// The directories of `PATH`.
    pub fn path(&self) -> Vec<PathBuf> {
        self.get("PATH")
            .map(|path| std::env::split_paths(path).collect())
            .unwrap_or_default()
    }

    /// The first executable file of this name on `PATH`.
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        self.path()
            .into_iter()
            .map(|dir| dir.join(name))
            .find(|file| is_executable(file))
    }

    /// The folders in and above the working directory and the executable, nearest first: where a
    /// checkout's files may lie.
    pub fn checkouts(&self) -> Vec<PathBuf> {
        [&self.directory, &self.executable]
            .into_iter()
            .flatten()
            .flat_map(|start| start.ancestors().map(Path::to_path_buf))
            .collect()
    }

    /// The working directory.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Where data lives when nobody says otherwise: `$XDG_DATA_HOME/chancery`, without it
    /// `~/.local/share/chancery`, and for root `/var/lib/chancery`, because the user that Postgres
    /// runs as cannot enter root's home.
    pub fn default_data_dir(&self) -> Option<PathBuf> {
        if let Some(data) = self
            .get("XDG_DATA_HOME")
            .map(Path::new)
            .filter(|data| data.is_absolute())
        {
            return Some(data.join("chancery"));
        }
        if nix::unistd::geteuid().is_root() {
            return Some(PathBuf::from("/var/lib/chancery"));
        }
        Some(Path::new(self.get("HOME")?).join(".local/share/chancery"))
    }
}

/// Whether `file` is a file that somebody may execute.
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
impl Environment {
    /// An environment of these variables alone.
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Self {
            variables,
            ..Self::default()
        }
    }
}
