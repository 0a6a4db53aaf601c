//! How large the file is that shows an agent's record: `chancery prove` for every agent of the demo.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    process::{Place, Running},
    report::Figure,
};

/// The row that this measurement fills.
pub const BYTES: &str = "proof_bundle_bytes";

/// The most that a bundle is to have.
const MOST: f64 = 20_480.0;

/// Until the demo is done, settled, sealed and anchored.
const PATIENCE: Duration = Duration::from_mins(2);

/// Proves every agent of the demo, anchor included.
pub fn measure() -> Result<Vec<Figure>> {
    let place = Place::new()?;
    let mut command = place.chancery(&["up", "--demo", "--listen", "127.0.0.1:0", "-o", "jsonl"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::start(&mut command)?;
    let mut line = String::new();
    BufReader::new(running.stdout()?).read_line(&mut line)?;
    ensure!(!line.is_empty(), "chancery up failed");
    let deadline = Instant::now() + PATIENCE;
    let agents = loop {
        let agents = agents(&place)?;
        let pending = agents
            .iter()
            .any(|agent| agent["metadata_state"] == "pending");
        if place.file("data/demo-done").exists() && !pending {
            break agents;
        }
        ensure!(
            Instant::now() < deadline,
            "the demo does not come to its end"
        );
        thread::sleep(Duration::from_millis(100));
    };
    let mut runs = Vec::new();
    for agent in &agents {
        let id = agent["id"].as_str().context("an agent without id")?;
        runs.push(f64::from(bytes(&place, id, deadline)?));
    }
    ensure!(running.stop()?.success(), "it does not stop");
    let largest = runs.iter().copied().fold(0.0, f64::max);
    ensure!(largest <= MOST, "a bundle has {largest} bytes");
    Ok(vec![Figure {
        name: BYTES,
        unit: "bytes",
        goal: Some(MOST),
        at_least: false,
        peer: None,
        told: format!(
            "Bytes of the file that `chancery prove` writes, for each of the {} agents of the demo: block header, receipt, \
             storage proofs, journal entries, inclusion proofs, checkpoint, anchor, registration file. \
             `chancery prove` checks each as `chancery verify` does before it writes it.",
            runs.len()
        ),
        runs,
    }])
}

fn agents(place: &Place) -> Result<Vec<Value>> {
    let output = place
        .chancery(&["agent", "list", "--all", "-o", "jsonl"])
        .output()?;
    ensure!(output.status.success(), "agent list failed");
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// The size of the agent's bundle, once nothing of it is missing that is still to come.
fn bytes(place: &Place, id: &str, deadline: Instant) -> Result<u32> {
    loop {
        let output = place.chancery(&["prove", id]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let to_come = [
            "not sealed",
            "without anchor",
            "without journal",
            "without manifest",
        ];
        if output.status.success() && !to_come.iter().any(|words| said.contains(words)) {
            return Ok(output.stdout.len().try_into()?);
        }
        if Instant::now() > deadline {
            bail!("chancery prove {id}: {said}");
        }
        thread::sleep(Duration::from_millis(100));
    }
}
