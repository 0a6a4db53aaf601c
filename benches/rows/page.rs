//! What a first visit of the page takes on the wire.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    process::{Place, Running, free_address},
    report::Figure,
};

/// The row that this measurement fills.
pub const BYTES: &str = "page_bytes";

/// Opens the page in Chromium with an empty profile, and sums what was sent of its files.
pub fn measure() -> Result<Vec<Figure>> {
    let place = Place::new()?;
    let address = free_address()?;
    let flags = ["up", "--listen", &address, "-o", "jsonl"];
    let mut command = place.chancery(&flags);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::start(&mut command)?;
    let mut line = String::new();
    BufReader::new(running.stdout()?).read_line(&mut line)?;
    ensure!(line.contains("\"url\""), "the start failed");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/page/bytes.mjs");
    let browsed = Command::new("node")
        .arg(script)
        .env("CHANCERY_PAGE", format!("http://{address}"))
        .output()
        .context("node: run scripts/setup --tests")?;
    ensure!(
        browsed.status.success(),
        "{}",
        String::from_utf8_lossy(&browsed.stderr)
    );
    let told: serde_json::Value = serde_json::from_slice(&browsed.stdout)?;
    let bytes = told["page_bytes"].as_f64().context("no figure")?;
    println!("  {told}");
    ensure!(running.stop()?.success(), "the stop failed");
    Ok(vec![Figure {
        name: BYTES,
        unit: "bytes",
        goal: Some(100_000.0),
        at_least: false,
        peer: None,
        told: "What Chromium with an empty profile receives for the page's own files (document, script, style sheet, \
               icon) on its first visit of `/register`: bodies and headers as they are sent, gzip. What the page then \
               asks the API is not counted."
            .to_owned(),
        runs: vec![bytes],
    }])
}
