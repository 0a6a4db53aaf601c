//! The second start of `chancery up`: how long until it serves.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    process::{Place, Running, free_address, get},
    report::Figure,
};

/// The row that this measurement fills.
pub const READY: &str = "restart_ready_s";

const RUNS: usize = 7;
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts it once with the demo's agents, stops it cleanly, and measures every start after that.
pub fn measure() -> Result<Vec<Figure>> {
    let place = Place::new()?;
    let address = free_address()?;
    let flags = ["up", "--demo", "--listen", &address, "-o", "jsonl"];
    let mut command = place.chancery(&flags);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut first = Running::start(&mut command)?;
    let mut line = String::new();
    BufReader::new(first.stdout()?).read_line(&mut line)?;
    ensure!(line.contains("\"url\""), "the first start failed");
    ensure!(first.stop()?.success(), "the first stop failed");

    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let mut command = place.chancery(&flags);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let running = Running::start(&mut command)?;
        while get(&address, "/readyz").as_deref() != Some("200") {
            ensure!(began.elapsed() < PATIENCE, "it does not get ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("  ready after {seconds:.2} s");
        runs.push(seconds);
        ensure!(running.stop()?.success(), "a stop failed");
    }
    Ok(vec![Figure {
        name: READY,
        unit: "s",
        goal: Some(5.0),
        at_least: false,
        peer: None,
        told: "The second and every later `chancery up --demo` on the same data directory, after a clean stop: private \
               Postgres, dev chain, API and workers, from starting the process until `GET /readyz` answers 200. The \
               first start, which makes the cluster, the contracts and the demo's agents, is not measured."
            .to_owned(),
        runs,
    }])
}
