//! How fast blocks become durable in our own blockstore, and how fast Kubo takes the journal's entries.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use content::{Block, Blockstore, Kubo, car};
use kernel::{Cid, cid_of_dag_cbor, to_dag_cbor};
use serde_json::{Value, json};

use crate::{
    process::{Place, ROOT, Running},
    report::{Figure, Peer},
};

/// Durable blocks per second.
pub const BLOCKS: &str = "blockstore_durable_blocks_per_s";
/// Entries per second that Kubo takes and pins.
pub const KUBO: &str = "kubo_import_entries_per_s";

/// Length of a block, in bytes: that of a usual entry.
const LENGTH: usize = 400;
/// Blocks that are written at once, as the journal's mirror does, and as many in a CAR.
const AT_ONCE: usize = 4_096;
/// Batches of a run.
const BATCHES: usize = 50;
/// Runs.
const RUNS: u32 = 5;
/// CARs of a run with Kubo, and runs of each datastore.
const CARS: usize = 8;
const KUBO_RUNS: u32 = 3;
/// What Kubo may take for one command.
const PATIENCE: Duration = Duration::from_mins(2);

/// Kubo's datastores: name, profile, and whether flatfs is to sync what it writes.
const DATASTORES: [(&str, &str, bool); 3] = [
    ("flatfs, sync=false (its default)", "test", false),
    ("flatfs, sync=true", "test", true),
    ("pebble", "test,pebbleds", false),
];

/// Fills a fresh store on disk, batch by batch, each durable before the next one begins.
pub fn durable() -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut runs = Vec::new();
    for run in 0..RUNS {
        let place = Place::new()?;
        let (store, _) = Blockstore::open(&place.file("blocks"))?;
        let batches: Vec<Vec<Block>> = (0..BATCHES)
            .map(|batch| entries(run, batch))
            .collect::<Result<_>>()?;
        settled()?;
        let start = Instant::now();
        for batch in &batches {
            let new = runtime.block_on(store.put_many(batch))?;
            ensure!(new == AT_ONCE, "{new} blocks were new");
        }
        runs.push(rate(BATCHES, start));
    }
    Ok(vec![Figure {
        name: BLOCKS,
        unit: "blocks/s",
        goal: Some(30_000.0),
        at_least: true,
        peer: Some(Peer {
            name: "Kubo 0.42.0, flatfs with sync=true, measured elsewhere",
            value: 3_400.0,
        }),
        told: format!(
            "Blocks of {LENGTH} bytes into a fresh built-in blockstore on disk, {AT_ONCE} at a time as the journal's mirror \
             writes them, {} in all. Each is hashed and compared with its CID; each batch is synced before the next one begins.",
            BATCHES * AT_ONCE
        ),
        runs,
    }])
}

/// Gives a fresh Kubo of each datastore CARs of entries under a manifest, pinned and asked for afterwards.
pub fn kubo() -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut told, mut default) = (Vec::new(), Vec::new());
    for (name, profile, sync) in DATASTORES {
        let mut runs = Vec::new();
        for run in 0..KUBO_RUNS {
            let place = Place::new()?;
            let (_daemon, url) = daemon(&place.file("ipfs"), profile, sync)?;
            let kubo = Kubo::new(&url, None, PATIENCE)?;
            let cars: Vec<(Cid, Vec<u8>)> = (0..CARS)
                .map(|batch| manifest(run, batch))
                .collect::<Result<_>>()?;
            settled()?;
            let start = Instant::now();
            for (root, car) in cars {
                runtime.block_on(kubo.import(car))?;
                ensure!(
                    runtime.block_on(kubo.is_pinned(&root))?,
                    "{root} is not pinned"
                );
            }
            runs.push(rate(CARS, start));
        }
        let text: Vec<String> = runs.iter().map(|rate| format!("{rate:.0}")).collect();
        told.push(format!("{name}: {}", text.join(", ")));
        if default.is_empty() {
            default = runs;
        }
    }
    Ok(vec![Figure {
        name: KUBO,
        unit: "entries/s",
        goal: None,
        at_least: true,
        peer: None,
        told: format!(
            "DAG-CBOR blocks of {LENGTH} bytes into a fresh, offline Kubo, {AT_ONCE} in a CAR under a manifest that links \
             them, as the journal's mirror gives them: imported, pinned, and asked whether the pin is there; {} in a run. \
             The figures above are those of Kubo's default datastore. All runs: {}.",
            CARS * AT_ONCE,
            told.join("; ")
        ),
        runs: default,
    }])
}

/// Waits until the disk has what the run before left to it, removed files included.
fn settled() -> Result<()> {
    ensure!(Command::new("sync").status()?.success(), "sync fails");
    Ok(())
}

/// Blocks that no other batch has.
fn entries(run: u32, batch: usize) -> Result<Vec<Block>> {
    (0..AT_ONCE)
        .map(|number| {
            let head = format!("{run} {batch} {number} ");
            let bytes = to_dag_cbor(&format!("{head:x<rest$}", rest = LENGTH - 3))?;
            Ok((cid_of_dag_cbor(&bytes), bytes.into()))
        })
        .collect()
}

fn manifest(run: u32, batch: usize) -> Result<(Cid, Vec<u8>)> {
    let mut blocks = entries(run, batch)?;
    let links: Vec<Cid> = blocks.iter().map(|(cid, _)| *cid).collect();
    let bytes = to_dag_cbor(&links)?;
    let root = cid_of_dag_cbor(&bytes);
    blocks.push((root, bytes.into()));
    Ok((root, car::write(&[root], &blocks)?))
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn rate(batches: usize, start: Instant) -> f64 {
    (batches * AT_ONCE) as f64 / start.elapsed().as_secs_f64()
}

/// Starts a Kubo that knows nobody, on a repository of its own; gives its RPC's URL.
fn daemon(repo: &Path, profile: &str, sync: bool) -> Result<(Running, String)> {
    let setup = Command::new(Path::new(ROOT).join("scripts/setup"))
        .arg("--print-kubo")
        .output()?;
    ensure!(
        setup.status.success(),
        "Kubo is missing: scripts/setup --tests builds it"
    );
    let binary = String::from_utf8(setup.stdout)?;
    let ipfs = |arguments: &[&str]| {
        let mut command = Command::new(binary.trim());
        command
            .args(arguments)
            .env("IPFS_PATH", repo)
            .env("IPFS_TELEMETRY", "off")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let made = ipfs(&["init", &format!("--profile={profile}")]).output()?;
    ensure!(made.status.success(), "ipfs init fails");
    let file = repo.join("config");
    let mut config: Value = serde_json::from_slice(&fs::read(&file)?)?;
    for (place, value) in [
        ("/AutoConf", json!({ "Enabled": false })),
        ("/Bootstrap", json!([])),
        ("/DNS/Resolvers", json!({})),
        ("/Addresses/Swarm", json!([])),
        ("/Addresses/API", json!("/ip4/127.0.0.1/tcp/0")),
        ("/Addresses/Gateway", json!("/ip4/127.0.0.1/tcp/0")),
        ("/Routing/DelegatedRouters", json!([])),
        ("/Ipns/DelegatedPublishers", json!([])),
    ] {
        let (section, key) = place.rsplit_once('/').context("a pointer")?;
        config.pointer_mut(section).context("a section")?[key] = value;
    }
    if sync {
        let blocks = config.pointer_mut("/Datastore/Spec/mounts/0");
        blocks.context("a mount of blocks")?["sync"] = json!(true);
    }
    fs::write(file, config.to_string())?;
    let mut command = ipfs(&["daemon", "--offline"]);
    let mut running = Running::start(command.stdout(Stdio::piped()))?;
    let mut lines = BufReader::new(running.stdout()?).lines();
    let mut url = None;
    for line in lines.by_ref() {
        let line = line?;
        if let Some(address) = line.strip_prefix("RPC API server listening on ") {
            let port = address.rsplit('/').next().unwrap_or_default();
            url = Some(format!("http://127.0.0.1:{}", port.trim()));
        } else if line.contains("Daemon is ready") {
            break;
        }
    }
    // Its output is read on, so that it never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((running, url.context("Kubo does not start")?))
}
