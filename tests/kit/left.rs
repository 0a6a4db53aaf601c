//! What an instance leaves running when it is killed.

use std::{fs, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Ends the children of a killed instance, should the test fail before the next start does it.
pub struct Left {
    dir: PathBuf,
}

impl Left {
    /// Of the instance on this data directory. It must be dropped before the directory goes.
    pub fn on(dir: &std::path::Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    /// The process that this file names, if it runs on our directory.
    pub fn process(&self, file: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.dir.join(file)).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&line).contains(self.dir.to_str()?);
        ours.then(|| Pid::from_raw(pid))
    }

    /// The dev chain.
    pub fn anvil(&self) -> Option<Pid> {
        self.process("anvil/pid")
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.with_file_name("stderr")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("the instance's log ends with:\n{tail}");
        }
        for (file, signal) in [
            ("anvil/pid", Signal::SIGKILL),
            // An immediate shutdown: killed outright, it would leave its own children.
            ("postgres/data/postmaster.pid", Signal::SIGQUIT),
        ] {
            let Some(pid) = self.process(file) else {
                continue;
            };
            let _ = kill(pid, signal);
            while self.process(file).is_some() {
                std::thread::yield_now();
            }
        }
    }
}
