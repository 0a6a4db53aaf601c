//! A Kubo of a test's own: the real one, which knows nobody.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Kubo with a repository of its own, which it finds again.
pub struct Kubo {
    binary: PathBuf,
    /// Its repository.
    pub repo: tempfile::TempDir,
    port: u16,
    /// Where it serves what it keeps.
    pub gateway: String,
    daemon: Option<Child>,
}

impl Kubo {
    /// Makes a repository of a node that knows nobody, and starts it.
    pub fn start() -> Self {
        let repo = tempfile::tempdir().unwrap();
        let mut kubo = Self {
            binary: binary(),
            repo,
            port: 0,
            gateway: String::new(),
            daemon: None,
        };
        kubo.run(&["init", "--profile=test"]);
        kubo.configure(&[
            ("/AutoConf", json!({ "Enabled": false })),
            ("/Bootstrap", json!([])),
            ("/Addresses/Swarm", json!([])),
            ("/DNS/Resolvers", json!({})),
            ("/Routing/DelegatedRouters", json!([])),
            ("/Ipns/DelegatedPublishers", json!([])),
            ("/Addresses/Gateway", json!("/ip4/127.0.0.1/tcp/0")),
        ]);
        kubo.resume();
        kubo
    }

    /// Sets keys in its configuration.
    fn configure(&self, keys: &[(&str, Value)]) {
        let file = self.repo.path().join("config");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for (key, value) in keys {
            let (section, name) = key.rsplit_once('/').unwrap();
            config.pointer_mut(section).unwrap()[name] = value.clone();
        }
        fs::write(file, config.to_string()).unwrap();
    }

    /// Starts the daemon, where it was before.
    pub fn resume(&mut self) {
        let address = format!("/ip4/127.0.0.1/tcp/{}", self.port);
        self.configure(&[("/Addresses/API", json!(address))]);
        let mut daemon = self
            .command(&["daemon", "--offline"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = daemon.stdout.take().unwrap();
        self.daemon = Some(daemon);
        let mut lines = BufReader::new(stdout).lines();
        let mut ready = false;
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("RPC API server listening on ") {
                self.port = port_of(address);
            }
            if let Some(address) = line.strip_prefix("Gateway server listening on ") {
                self.gateway = format!("http://127.0.0.1:{}", port_of(address));
            }
            if line.contains("Daemon is ready") {
                ready = true;
                break;
            }
        }
        assert!(ready && self.port != 0, "Kubo does not start");
        // Its output is read on, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
    }

    /// Kills it, whatever it does.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Stops it politely; what it keeps, it keeps.
    pub fn stop(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
        nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
        daemon.wait().unwrap();
    }

    /// Where it takes commands.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("IPFS_PATH", self.repo.path())
            .env("IPFS_TELEMETRY", "off")
            .stdin(Stdio::null());
        command
    }

    /// Runs `ipfs` to its end; gives what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ipfs {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same where it may fail.
    pub fn try_run(&self, arguments: &[&str]) -> Option<String> {
        let output = self.command(arguments).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(printed)
    }

    /// Whether `ipfs pin ls` lists it as pinned with all below.
    pub fn lists(&self, cid: &str) -> bool {
        self.run(&["pin", "ls", "--type=recursive", "--quiet"])
            .lines()
            .any(|line| line == cid)
    }
}

impl Drop for Kubo {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// The port in `/ip4/127.0.0.1/tcp/<port>`.
fn port_of(address: &str) -> u16 {
    address.rsplit('/').next().unwrap().trim().parse().unwrap()
}

/// `CHANCERY_KUBO`, else the one that `scripts/setup --tests` builds. This is never passed over.
#[expect(
    clippy::disallowed_methods,
    reason = "a test finds its binary by the environment"
)]
fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("CHANCERY_KUBO") {
        return binary.into();
    }
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/setup");
    let output = Command::new(setup).arg("--print-kubo").output().unwrap();
    let binary = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    assert!(
        output.status.success() && binary.exists(),
        "this test needs Kubo: run `scripts/setup --tests`, which builds it ({}), or set CHANCERY_KUBO",
        binary.display()
    );
    binary
}
