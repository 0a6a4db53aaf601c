//! Running the release binary as a person would, and looking at it from outside.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The binary that is measured, which the same build made beside this one.
pub fn binary() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("chancery"))
}

/// The root of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A folder on disk, with a data directory in it, that is gone afterwards.
pub struct Place {
    dir: PathBuf,
    binary: PathBuf,
}

impl Place {
    /// An empty one. `/tmp` is memory on many machines, where an fsync costs nothing.
    pub fn new() -> Result<Self> {
        let dir = PathBuf::from(format!("/var/tmp/chancery-bench.{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let place = Self {
            dir,
            binary: binary()?,
        };
        // Where we are root, the user that Postgres runs as must pass through.
        fs::set_permissions(&place.dir, fs::Permissions::from_mode(0o755))?;
        fs::write(place.file("chancery.toml"), "")?;
        Ok(place)
    }

    /// A file beside the data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// `chancery` in its default configuration on this place.
    pub fn chancery(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for name in ["DATABASE_URL", "CHANCERY_URL", "CHANCERY_TOKEN"] {
            command.env_remove(name);
        }
        command
            .env("CHANCERY__LOG__FORMAT", "json")
            .arg("--data-dir")
            .arg(self.file("data"))
            .arg("--config")
            .arg(self.file("chancery.toml"))
            .args(args)
            .current_dir(ROOT)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Result<()> {
        let output = self.chancery(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "chancery {args:?}: {said}");
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A process of ours; dropped, it is asked to end and waited for.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child })
    }

    /// Whether it runs still.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its standard output, once.
    pub fn stdout(&mut self) -> Result<ChildStdout> {
        self.child.stdout.take().context("stdout is piped")
    }

    /// Peak resident memory so far, in bytes, as the system counts it.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix("kB"));
        let kib: u64 = kib.context("no VmHWM")?.trim().parse()?;
        Ok(kib * 1024)
    }

    /// Processor time so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        cpu(self.child.id())
    }

    /// Asks it to end and waits.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.terminate();
        Ok(self.child.wait()?)
    }

    fn terminate(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_alive() {
            self.terminate();
            let _ = self.child.wait();
        }
    }
}

/// The private Postgres of a place, ready, without anything else of ours: `chancery psql` runs it as
/// `chancery up` does, for as long as psql is open.
pub struct Database {
    // Dropped first: psql ends with its input, and its postgres with it.
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    psql: Running,
    postmaster: u32,
    socket: String,
}

impl Database {
    /// Makes the cluster, migrates it, and keeps it running.
    pub fn ready(place: &Place) -> Result<Self> {
        place.run(&["migrate", "up"])?;
        let mut command = place.chancery(&[
            "psql",
            "--",
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        command
            .env("CHANCERY__LOG__LEVEL", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut psql = Running::start(&mut command)?;
        let input = psql.child.stdin.take().context("stdin is piped")?;
        let output = psql.child.stdout.take().context("stdout is piped")?;
        let mut database = Self {
            psql,
            input,
            output: BufReader::new(output),
            postmaster: 0,
            socket: String::new(),
        };
        ensure!(database.ask("SELECT 'ready'")? == "ready");
        let pid_file = place.file("data").join("postgres/data/postmaster.pid");
        let pid_file = fs::read_to_string(pid_file)?;
        let lines: Vec<&str> = pid_file.lines().map(str::trim).collect();
        let [pid, _, _, _, socket, ..] = lines[..] else {
            anyhow::bail!("a short postmaster.pid");
        };
        database.postmaster = pid.parse()?;
        socket.clone_into(&mut database.socket);
        Ok(database)
    }

    /// The one value that SQL gives.
    pub fn ask(&mut self, sql: &str) -> Result<String> {
        writeln!(self.input, "{sql};")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "psql ended at: {sql}");
        Ok(line.trim().to_owned())
    }

    /// The URL of the application's role.
    pub fn url(&self) -> String {
        let folder = self.socket.replace('/', "%2F");
        format!("postgres://chancery_app@localhost:5432/chancery?host={folder}&sslmode=disable")
    }

    /// Processor time of the whole cluster so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        let mut all = cpu(self.postmaster)?;
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // Another process may end while we look.
            let parent = stat(pid)
                .ok()
                .and_then(|fields| fields.first()?.parse().ok());
            if parent == Some(self.postmaster) {
                all += cpu(pid).unwrap_or_default();
            }
        }
        Ok(all)
    }

    /// Stops it.
    pub fn stop(self) -> Result<()> {
        drop(self.input);
        let mut psql = self.psql;
        ensure!(psql.child.wait()?.success(), "psql failed");
        Ok(())
    }
}

/// The fields of `/proc/PID/stat` after the state.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no stat")?;
    Ok(rest.split_whitespace().skip(1).map(str::to_owned).collect())
}

/// User and system time of a process and of its children that ended.
fn cpu(pid: u32) -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let fields = stat(pid)?;
    let ticks = fields
        .iter()
        .skip(10)
        .take(4)
        .map(|ticks| ticks.parse::<f64>());
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

/// The status of `GET path`, if anybody answers at `address`.
pub fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_whitespace().nth(1).map(str::to_owned)
}
