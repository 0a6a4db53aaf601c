//! Running the release binary as a person would, and looking at it from outside.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::tree;

/// The binary that is measured.
pub fn binary() -> Result<PathBuf> {
    beside("chancery")
}

/// A binary that the same build made beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// How long an instance may take to get ready.
const PATIENCE: Duration = Duration::from_mins(1);

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
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let (process, nth) = (std::process::id(), MADE.fetch_add(1, Relaxed));
        let dir = PathBuf::from(format!("/var/tmp/chancery-bench.{process}.{nth}"));
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
        self.chancery_in("data", args)
    }

    /// The same with a data directory of its own, for one of several processes.
    pub fn chancery_in(&self, data: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for name in ["DATABASE_URL", "CHANCERY_URL", "CHANCERY_TOKEN"] {
            command.env_remove(name);
        }
        command
            .env("CHANCERY__LOG__FORMAT", "json")
            .arg("--data-dir")
            .arg(self.file(data))
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

    /// Starts `chancery serve` in these roles on the database behind a URL, and waits until `GET /readyz` answers 200.
    pub fn serve(&self, url: &str, roles: &str) -> Result<Served> {
        let address = free_address()?;
        let mut command = self.chancery(&["serve", "--roles", roles, "--listen", &address]);
        command
            .env("CHANCERY__DATABASE__URL", url)
            .env("CHANCERY__LOG__LEVEL", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let began = Instant::now();
        let running = Running::start(&mut command)?;
        while get(&address, "/readyz").as_deref() != Some("200") {
            ensure!(began.elapsed() < PATIENCE, "it does not get ready");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Served {
            running,
            address,
            ready: began.elapsed().as_secs_f64(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// An instance that answers.
pub struct Served {
    /// Its process.
    pub running: Running,
    /// Where it listens.
    pub address: String,
    /// Seconds from its start until it was ready.
    pub ready: f64,
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

    /// Its standard input, once.
    pub fn stdin(&mut self) -> Result<ChildStdin> {
        self.child.stdin.take().context("stdin is piped")
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Peak resident memory so far, in bytes, as the system counts it.
    pub fn peak_memory(&self) -> Result<u64> {
        peak_memory(&self.id().to_string())
    }

    /// Processor time so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        Ok(tree::used(self.id())?.cpu)
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Asks it to end and waits.
    pub fn stop(self) -> Result<ExitStatus> {
        self.terminate();
        self.wait()
    }

    /// Kills it, as a crash would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
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

/// Peak resident memory of this process, in MB, since [`forget_peak`].
pub fn own_peak() -> Result<f64> {
    let kib = u32::try_from(peak_memory("self")? / 1024)?;
    Ok(f64::from(kib) / 1024.0)
}

/// The system forgets the peak of this process: from here on it counts anew, from what is resident now.
pub fn forget_peak() -> Result<()> {
    Ok(fs::write("/proc/self/clear_refs", "5")?)
}

/// `VmHWM` of a process, by its id or as `self`, in bytes.
fn peak_memory(process: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    let kib: u64 = kib.context("no VmHWM")?.trim().parse()?;
    Ok(kib * 1024)
}

/// An address of loopback that nobody listens at now.
pub fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
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
