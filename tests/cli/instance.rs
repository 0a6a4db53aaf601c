//! A running `chancery up` on a directory of its own, driven as a person would.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};
use serde_json::Value;

/// Where an instance lives, before, between and after its runs.
pub struct Place {
    temp: tempfile::TempDir,
    dir: PathBuf,
    user: Option<User>,
    anchors: bool,
}

/// One run.
pub struct Instance {
    child: Child,
    /// What it printed when it was ready.
    pub ready: Value,
    log: PathBuf,
}

impl Place {
    /// An empty place whose data directory has this name below it.
    pub fn new(below: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        // The user that Postgres runs as must pass through.
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = temp.path().canonicalize().unwrap().join(below);
        Self {
            temp,
            dir,
            user: None,
            anchors: false,
        }
    }

    /// The same, whose journal is anchored on its dev chain, as it is without tests.
    pub fn that_anchors(below: &str) -> Self {
        Self {
            anchors: true,
            ..Self::new(below)
        }
    }

    /// Whether its journal is anchored.
    pub fn anchors(&self) -> bool {
        self.anchors
    }

    /// A place of an ordinary user; where we are none ourselves, it is nobody's.
    pub fn of_an_ordinary_user() -> Self {
        let mut place = Self::new("data");
        if geteuid().is_root() {
            let nobody = User::from_name("nobody").unwrap().expect("a user nobody");
            fs::create_dir(&place.dir).unwrap();
            chown(
                &place.dir,
                Some(nobody.uid.as_raw()),
                Some(nobody.gid.as_raw()),
            )
            .unwrap();
            place.user = Some(nobody);
        }
        place
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `chancery` on this directory, with nothing of our own environment that could mislead it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.user {
            None => Command::new(env!("CARGO_BIN_EXE_chancery")),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args([
                        format!("--reuid={}", user.uid),
                        format!("--regid={}", user.gid),
                    ])
                    .args(["--clear-groups", "--"])
                    .arg(self.reachable(Path::new(env!("CARGO_BIN_EXE_chancery"))))
                    .env("CHANCERY__DEVCHAIN__ANVIL", self.reachable(&anvil()))
                    .env("HOME", "/nonexistent")
                    .current_dir("/");
                command
            }
        };
        command
            .env_remove("DATABASE_URL")
            .env_remove("CHANCERY_URL")
            // A chain that grows by itself would disturb tests that count its blocks.
            .env(
                "CHANCERY__JOURNAL__ANCHOR__DEV_CHAIN",
                self.anchors.to_string(),
            )
            .arg("--data-dir")
            .arg(&self.dir);
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The one value that SQL gives, through `chancery psql`.
    pub fn sql(&self, statement: &str) -> Result<String, String> {
        let output = self.run(&[
            "psql",
            "--",
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
        ]);
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Starts `up` and waits until it says that it is ready.
    pub fn up(&self) -> Instance {
        self.up_with(&[])
    }

    /// The same with further flags.
    pub fn up_with(&self, flags: &[&str]) -> Instance {
        self.start(&["up"], flags)
    }

    /// Starts `serve` that answers and reads chains, and waits until it says that it is ready.
    pub fn serve(&self, flags: &[&str]) -> Instance {
        self.serve_as("api,index", flags)
    }

    /// Starts `serve` with these roles, of which one is `api`.
    pub fn serve_as(&self, roles: &str, flags: &[&str]) -> Instance {
        self.start(&["serve", "--roles", roles], flags)
    }

    fn start(&self, command: &[&str], flags: &[&str]) -> Instance {
        let log = self.temp.path().join("stderr");
        let stderr = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut child = self
            .command(command)
            .args(["--listen", "127.0.0.1:0", "-o", "jsonl"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line.is_empty() {
            let status = child.wait().unwrap();
            panic!(
                "{command:?} ended ({status}):\n{}",
                fs::read_to_string(&log).unwrap()
            );
        }
        Instance {
            child,
            ready: serde_json::from_str(&line).unwrap(),
            log,
        }
    }

    /// Command lines of all processes that name this place.
    pub fn processes(&self) -> Vec<String> {
        let output = Command::new("ps")
            .args(["-axww", "-o", "pid=,command="])
            .output()
            .unwrap();
        let dir = self.dir.to_string_lossy().into_owned();
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        listed
            .lines()
            .filter(|line| line.contains(&dir))
            .map(str::to_owned)
            .collect()
    }

    /// The process id in the first line of a file.
    pub fn pid(&self, file: &str) -> i32 {
        let text = fs::read_to_string(self.dir.join(file)).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    }

    /// A copy of a program where the ordinary user finds it, wherever the checkout lies.
    fn reachable(&self, program: &Path) -> PathBuf {
        let copy = self.temp.path().join(program.file_name().unwrap());
        if !copy.exists() && fs::hard_link(program, &copy).is_err() {
            fs::copy(program, &copy).unwrap();
        }
        copy
    }
}

impl Instance {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// GET on its API: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.request(&format!("GET {path} HTTP/1.0\r\n\r\n"));
        (status, body)
    }

    /// POST of JSON to its API, by nobody: status and the JSON of the answer.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}",
            body.len()
        );
        let (status, _, answer) = self.request(&format!("{head}\r\n\r\n{body}"));
        (status, serde_json::from_str(&answer).unwrap())
    }

    /// A raw request to its API: status, head and body.
    pub fn request(&self, request: &str) -> (u16, String, String) {
        http(self.ready["url"].as_str().unwrap(), request)
    }

    /// Whether its dev chain takes connections.
    pub fn chain_listens(&self) -> bool {
        TcpStream::connect(
            self.ready["rpc"]
                .as_str()
                .unwrap()
                .strip_prefix("http://")
                .unwrap(),
        )
        .is_ok()
    }

    /// Whether the demo of its place has done everything that it does, and every block of that is read here.
    pub fn has_read_the_demo(&self, place: &Place) -> bool {
        let is_done = place.dir().join("demo-done").exists();
        let newest = self.rpc("eth_blockNumber", &Value::Array(Vec::new()));
        let newest = newest.as_str().unwrap().trim_start_matches("0x");
        let newest = i64::from_str_radix(newest, 16).unwrap();
        let sync: Value = serde_json::from_str(&self.get("/v1/sync").1).unwrap();
        is_done && sync["chains"][0]["head"].as_i64() >= Some(newest)
    }

    /// A call of the dev chain.
    pub fn rpc(&self, method: &str, params: &Value) -> Value {
        let body =
            serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let body = body.to_string();
        let request = format!(
            "POST / HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (_, _, answer) = http(self.ready["rpc"].as_str().unwrap(), &request);
        serde_json::from_str::<Value>(&answer).unwrap()["result"].clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A failed test leaves nothing running: SIGTERM, because SIGKILL would orphan the children.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

fn http(url: &str, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn anvil() -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["doctor", "-o", "json", "--data-dir"])
        .arg(std::env::temp_dir().join("chancery-doctor"))
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let anvil = checks
        .iter()
        .find(|check| check["name"] == "anvil")
        .unwrap();
    PathBuf::from(anvil["detail"].as_str().unwrap())
}
