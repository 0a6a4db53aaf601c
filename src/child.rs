//! Child processes that must live as long as we do: started in their own process group, restarted
//! when they die, stopped by a signal, recognised when an earlier instance left them behind.

mod account;
mod orphan;

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{process, sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use account::{Account, are_root};
pub use orphan::stop_orphan;

/// A log above this size is put aside when the child starts.
const LOG_LIMIT: u64 = 16 << 20;

/// How a child is run and stopped.
#[derive(Debug, Clone)]
pub struct Spec {
    /// For people.
    pub name: &'static str,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it runs.
    pub directory: PathBuf,
    /// The user that it runs as, where it is not ours.
    pub account: Option<Account>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where its process id is kept, where it does not keep it itself.
    pub pid_file: Option<PathBuf>,
    /// The polite signal, and how long it may take.
    pub stop: (Signal, Duration),
    /// The signal that ends it at once.
    pub kill: Signal,
}

impl Spec {
    /// Starts it once.
    pub fn spawn(&self) -> io::Result<process::Child> {
        let log = self.open_log()?;
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.args)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C at the terminal reaches us alone: we stop our children in order.
            .process_group(0);
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        let child = process::Command::from(command).kill_on_drop(true).spawn()?;
        if let (Some(file), Some(pid)) = (&self.pid_file, child.id()) {
            std::fs::write(file, pid.to_string())?;
        }
        Ok(child)
    }

    /// The last lines that its log got since it had `before` bytes, for error messages.
    pub fn log_tail(&self, before: u64) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let before = usize::try_from(before).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes.get(before..).unwrap_or(&bytes));
        let lines: Vec<_> = text.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Keeps a started child alive until [`Supervised::stop`].
    pub fn supervise(self, child: process::Child) -> Supervised {
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let restarted = Arc::new(Notify::new());
        let name = self.name;
        let watch = self.watch(child, stop.clone(), kill.clone(), Arc::clone(&restarted));
        let task = tokio::spawn(watch);
        Supervised {
            restarted,
            name,
            stop,
            kill,
            task,
        }
    }

    async fn watch(
        self,
        mut child: process::Child,
        stop: CancellationToken,
        kill: CancellationToken,
        restarted: Arc<Notify>,
    ) {
        let mut pause = Duration::from_millis(100);
        loop {
            let began = tokio::time::Instant::now();
            tokio::select! {
                () = stop.cancelled() => return self.end(child, &kill).await,
                status = child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(child = self.name, status, "{} died ({status}), starting it again", self.name);
                }
            }
            if began.elapsed() > Duration::from_mins(1) {
                pause = Duration::from_millis(100);
            }
            // What it left behind (shared memory, a port) may need a moment.
            child = loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
                }
                match self.spawn() {
                    Ok(child) => {
                        restarted.notify_one();
                        break child;
                    }
                    Err(error) => {
                        tracing::error!(child = self.name, %error, "{} does not start: {error}", self.name);
                    }
                }
            };
        }
    }

    async fn end(&self, mut child: process::Child, kill: &CancellationToken) {
        signal(&child, self.stop.0);
        tokio::select! {
            _ = child.wait() => return,
            () = kill.cancelled() => {}
            () = tokio::time::sleep(self.stop.1) => {
                tracing::warn!(child = self.name, "{} does not stop, killing it", self.name);
            }
        }
        signal(&child, self.kill);
        if tokio::time::timeout(Duration::from_secs(5), child.wait())
            .await
            .is_err()
        {
            signal(&child, Signal::SIGKILL);
            let _ = child.wait().await;
        }
    }

    fn open_log(&self) -> io::Result<File> {
        if std::fs::metadata(&self.log).is_ok_and(|meta| meta.len() > LOG_LIMIT) {
            std::fs::rename(&self.log, self.log.with_extension("log.old"))?;
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
    }
}

fn signal(child: &process::Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may be gone already, which is what we want.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// A child that is kept alive.
#[derive(Debug)]
pub struct Supervised {
    restarted: Arc<Notify>,
    name: &'static str,
    stop: CancellationToken,
    kill: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervised {
    /// Woken after each start again.
    pub fn restarted(&self) -> Arc<Notify> {
        Arc::clone(&self.restarted)
    }

    /// Stops it politely and waits until it is gone.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(child = self.name, %error, "the watch over {} failed", self.name);
        }
    }

    /// What makes a running [`Supervised::stop`] impatient.
    pub fn killer(&self) -> CancellationToken {
        self.kill.clone()
    }
}
