//! What anchoring a checkpoint costs: gas of real transactions on the dev chain of `chancery up`.

use std::{
    io::{BufRead, BufReader},
    num::NonZeroU32,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use chain::{Call, Limits, Rpc, Sender, SenderConfig, anchor, deploy};
use journal::{
    proof::consistency_ranges,
    tree::{Hash, Node, fold_peaks, leaf_hash, node_hash, peaks},
};
use kernel::{Address, B256};
use serde_json::Value;

use crate::{
    process::{Place, Running},
    report::Figure,
};

/// The row that this measurement fills.
pub const GAS: &str = "anchor_gas";

/// The log when it is anchored first, and how it grows between two anchors.
const ENTRIES: u64 = 1_000_000;
const GROWTH: [u64; 7] = [1, 100, 4_096, 777, 10_000, 25_000, 50_001];

/// anvil's second account.
const KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// A Merkle tree with every hash in memory.
struct Tree(Vec<Vec<Hash>>);

impl Tree {
    fn of(entries: u64) -> Self {
        let mut level: Vec<Hash> = (0..entries).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut levels = Vec::new();
        while !level.is_empty() {
            let (pairs, _) = level.as_chunks::<2>();
            let above = pairs
                .iter()
                .map(|[left, right]| node_hash(left, right))
                .collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        Self(levels)
    }

    fn hash(&self, range: std::ops::Range<u64>) -> Result<Hash> {
        let of = |node: Node| {
            let level = self.0.get(usize::from(node.level));
            let hash = level.and_then(|level| level.get(usize::try_from(node.index).ok()?));
            hash.copied().context("a node beyond the tree")
        };
        Ok(fold_peaks(
            &peaks(range)
                .into_iter()
                .map(of)
                .collect::<Result<Vec<_>>>()?,
        ))
    }

    fn proof(&self, from: u64, to: u64) -> Result<Vec<B256>> {
        let ranges = consistency_ranges(from, to).context("a log that shrinks")?;
        ranges
            .into_iter()
            .map(|range| Ok(self.hash(range)?.into()))
            .collect()
    }
}

/// Anchors a log of a million entries, then each of its later heads, and the last one once more.
pub fn measure() -> Result<Vec<Figure>> {
    let place = Place::new()?;
    let mut command = place.chancery(&["up", "--listen", "127.0.0.1:0", "-o", "jsonl"]);
    command.env("CHANCERY__JOURNAL__ANCHOR__DEV_CHAIN", "false");
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::start(&mut command)?;
    let mut line = String::new();
    BufReader::new(running.stdout()?).read_line(&mut line)?;
    let ready: Value = serde_json::from_str(&line).context("chancery up failed")?;
    let rpc = ready["rpc"].as_str().context("no dev chain")?.to_owned();
    let runtime = tokio::runtime::Runtime::new()?;
    let spent = runtime.block_on(anchored(&rpc))?;
    ensure!(running.stop()?.success(), "it does not stop");
    let [first, anchors @ .., again] = spent.as_slice() else {
        anyhow::bail!("nothing was anchored");
    };
    let hashes: Vec<String> = anchors
        .iter()
        .map(|(_, hashes)| hashes.to_string())
        .collect();
    Ok(vec![Figure {
        name: GAS,
        unit: "gas",
        goal: Some(65_000.0),
        at_least: false,
        peer: None,
        told: format!(
            "Gas of one anchor of a log of {ENTRIES} entries that grew, as `AuditAnchor.sol` checks its consistency \
             proof (RFC 9162) and stores the head; the transactions' own receipts on anvil say it. Hashes of the proofs: \
             {}. The first anchor, which stores two new words, used {} gas; the same head again (a heartbeat) {}.",
            hashes.join(", "),
            first.0,
            again.0
        ),
        runs: anchors.iter().map(|(gas, _)| f64::from(*gas)).collect(),
    }])
}

/// Gas and hashes of the proof of each anchor.
async fn anchored(url: &str) -> Result<Vec<(u32, usize)>> {
    let rpc = Rpc::connect(url.parse()?, Limits::default()).await?;
    let config = SenderConfig {
        answer_within: Duration::from_secs(10),
        poll: Duration::from_millis(10),
        replace_after: NonZeroU32::MAX,
        most_replacements: 0,
        gas_margin: 20,
        most_fee: None,
    };
    let sender = Sender::new(rpc, KEY.parse()?, config);
    let contract: Address = deploy::audit_anchor(&sender).await?.address;
    let tree = Tree::of(ENTRIES + GROWTH.iter().sum::<u64>());
    let journal = B256::repeat_byte(1);
    let (mut size, mut spent) = (0, Vec::new());
    for growth in [ENTRIES].into_iter().chain(GROWTH).chain([0]) {
        let proof = if size == 0 || growth == 0 {
            Vec::new()
        } else {
            tree.proof(size, size + growth)?
        };
        size += growth;
        let hashes = proof.len();
        let data = anchor::anchor(journal, size, tree.hash(0..size)?.into(), proof);
        let receipt = sender.send(Call::new(contract, data)).await?;
        spent.push((u32::try_from(receipt.gas_used)?, hashes));
    }
    Ok(spent)
}
