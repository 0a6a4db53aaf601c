//! The proof of one entry in a log of ten million, from cold caches.

use std::{collections::BTreeSet, fs, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use journal::{
    EntryKind, LogKey, bundle,
    checkpoint::Checkpoint,
    entry::Entry,
    identity, log,
    proof::inclusion_ranges,
    tile::TILE_WIDTH,
    tree::{Hash, fold_peaks, leaf_hash, node_hash, peaks},
};
use kernel::AgentId;
use store::{Cause, Clock, Db, PoolConfig, SslMode, copy::Rows};

use crate::{
    database::{Database, Psql, SETTINGS},
    process::Place,
    report::Figure,
};

pub const PROOF: &str = "journal_proof_ms";

/// Leaves of the log.
const SIZE: u64 = 10_000_000;
/// Every so many-th leaf has its entry, too: the others only their hashes.
const ENTRY_EVERY: u64 = 5_003;
/// Leaves of one COPY.
const PIECE: usize = 65_536;
const RUNS: u64 = 15;
/// Of the log's key.
const SEED: [u8; 32] = [7; 32];

/// An entry of about 400 bytes: the n-th leaf.
fn entry(n: u64) -> Result<Vec<u8>> {
    let change = journal::Change {
        column: "description".to_owned(),
        value: format!("{n:>150}").into(),
        cause: format!("act:{n}"),
        time: chrono::DateTime::UNIX_EPOCH,
    };
    let entry = Entry {
        kind: EntryKind::Agent,
        agent: Some(AgentId::of_did(&format!("did:bench:{n}"))),
        time: chrono::DateTime::UNIX_EPOCH,
        changes: vec![change],
        said: Vec::new(),
        prev: None,
    };
    Ok(entry.encode()?)
}

/// Tiles that fill while leaves are appended, and what of each level is not full yet.
#[derive(Default)]
struct Tree {
    levels: Vec<Vec<Hash>>,
    full: Vec<(u8, u64, Vec<Hash>, Hash)>,
    counts: Vec<u64>,
}

impl Tree {
    fn push(&mut self, level: u8, hash: Hash) {
        let place = usize::from(level);
        if self.levels.len() == place {
            self.levels.push(Vec::new());
            self.counts.push(0);
        }
        self.levels[place].push(hash);
        if self.levels[place].len() as u64 == TILE_WIDTH {
            let hashes = std::mem::take(&mut self.levels[place]);
            let root = perfect(&hashes);
            self.full.push((level, self.counts[place], hashes, root));
            self.counts[place] += 1;
            self.push(level + 1, root);
        }
    }

    fn root(&self) -> Hash {
        let mut hashes = Vec::new();
        for level in self.levels.iter().rev() {
            for node in peaks(0..level.len() as u64) {
                let start = usize::try_from(node.index << node.level).unwrap_or(usize::MAX);
                hashes.push(perfect(&level[start..start + (1 << node.level)]));
            }
        }
        fold_peaks(&hashes)
    }
}

fn perfect(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .map(|pair| node_hash(&pair[0], &pair[1]))
            .collect();
    }
    row[0]
}

/// Writes the log straight into the tables, as honest seals would have left it. Gives the CIDs to be asked for.
async fn generate(db: &Db) -> Result<Vec<String>> {
    let (mut tree, mut cids) = (Tree::default(), Vec::new());
    let mut n = 0;
    while n < SIZE {
        let mut tx = db.begin(Cause::Job("bench")).await?;
        let (mut leaves, mut tiles, mut entries) = (Rows::new(3), Rows::new(4), Rows::new(7));
        for _ in 0..PIECE.min(usize::try_from(SIZE - n)?) {
            let body = entry(n)?;
            let hash = leaf_hash(&body);
            let (index, seq) = (n.cast_signed(), n.cast_signed() + 1);
            leaves.row().bigint(index).bigint(seq).bytea(&hash);
            if n.is_multiple_of(ENTRY_EVERY) {
                let cid = Entry::cid_of(&body).to_string();
                let agent = AgentId::of_did(&format!("did:bench:{n}")).0;
                entries
                    .row()
                    .bigint(seq)
                    .text(&cid)
                    .text("agent")
                    .uuid(agent);
                entries.null().time(tx.now()).bytea(&body);
                cids.push(cid);
            }
            tree.push(0, hash);
            n += 1;
        }
        for (level, index, hashes, root) in tree.full.drain(..) {
            let row = tiles
                .row()
                .smallint(level.into())
                .bigint(index.cast_signed());
            row.bytea(&hashes.concat()).bytea(&root);
        }
        let to =
            "COPY journal.leaves (leaf_index, entry_seq, leaf_hash) FROM STDIN (FORMAT binary)";
        leaves.copy(&mut tx, to).await?;
        let to = "COPY journal.tiles (level, n, hashes, root) FROM STDIN (FORMAT binary)";
        tiles.copy(&mut tx, to).await?;
        let to = "COPY journal.entries (seq, cid, kind, agent_id, prev, appended_at, body) FROM STDIN (FORMAT binary)";
        entries.copy(&mut tx, to).await?;
        tx.commit().await?;
    }
    head(db, tree.root()).await?;
    Ok(cids)
}

/// A signed note (c2sp.org/signed-note) over a text, by the key that `vkey` verifies.
fn signed(text: &str, vkey: &str) -> Result<String> {
    let mut parts = vkey.splitn(3, '+');
    let name = parts.next().context("a name")?;
    let mut signature = hex::decode(parts.next().context("a key's id")?)?;
    let key = SigningKey::from_bytes(&SEED);
    signature.extend_from_slice(&key.sign(text.as_bytes()).to_bytes());
    Ok(format!(
        "{text}\n\u{2014} {name} {}\n",
        STANDARD.encode(signature)
    ))
}

async fn head(db: &Db, root: Hash) -> Result<()> {
    let vkey = identity::verifier(&LogKey::from_seed(&SEED), None)?;
    let checkpoint = Checkpoint {
        origin: vkey.name().to_owned(),
        size: SIZE,
        root,
        extensions: Vec::new(),
    };
    let note = signed(&checkpoint.to_string(), &vkey.to_string())?;
    let mut tx = db.begin(Cause::Job("bench")).await?;
    let mut rows = Rows::new(5);
    rows.row().bigint(SIZE.cast_signed()).null().bytea(&root);
    rows.text(&note).time(tx.now());
    let to = "COPY journal.checkpoints (size, prev_size, root, note, signed_at) FROM STDIN (FORMAT binary)";
    rows.copy(&mut tx, to).await?;
    let mut rows = Rows::new(3);
    rows.row()
        .text(vkey.name())
        .text(&vkey.to_string())
        .time(tx.now());
    let to = "COPY journal.identity (origin, vkey, fixed_at) FROM STDIN (FORMAT binary)";
    rows.copy(&mut tx, to).await?;
    Ok(tx.commit().await?)
}

/// How many tiles the proof of a leaf reads.
fn tiles(index: u64) -> usize {
    let ranges = inclusion_ranges(index, SIZE).unwrap_or_default();
    let nodes = ranges.into_iter().flat_map(peaks);
    let places = nodes.map(|node| {
        let first = node.index << (node.level % 8);
        (node.level / 8, first / TILE_WIDTH)
    });
    places.collect::<BTreeSet<_>>().len()
}

/// What the system keeps of files is forgotten.
fn forget() -> Result<()> {
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    fs::write("/proc/sys/vm/drop_caches", "3").context("cold caches need root")
}

async fn connect(database: &Database) -> Result<Db> {
    let config = PoolConfig {
        sslmode: SslMode::Disable,
        max_connections: 1,
        min_idle: 1,
        ..PoolConfig::default()
    };
    Ok(Db::connect(&database.url(), &config, Clock::System).await?)
}

/// Peak resident memory of this process so far, in MB.
fn peak_memory() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    Ok(kib.context("no VmHWM")?.trim().parse::<f64>()? / 1024.0)
}

async fn runs() -> Result<(Vec<f64>, usize, f64)> {
    let place = Place::new()?;
    fs::write(place.file("chancery.toml"), SETTINGS)?;
    let database = Database::ready(&place)?;
    let db = connect(&database).await?;
    let began = Instant::now();
    let cids = generate(&db).await?;
    println!(
        "  {SIZE} leaves after {:.0} s",
        began.elapsed().as_secs_f64()
    );
    db.close().await;
    // As autovacuum leaves it while a log grows to this size.
    let mut psql = Psql::open(&place, Some(&database.url_of("postgres", "chancery")))?;
    psql.run("VACUUM (ANALYZE) journal.tiles, journal.leaves, journal.entries")?;
    psql.close()?;
    database.stop()?;
    // Only what a proof needs counts from here on: the kernel forgets the peak before.
    fs::write("/proc/self/clear_refs", "5")?;
    let (mut runs, mut most) = (Vec::new(), 0);
    for run in 0..RUNS {
        forget()?;
        let database = Database::ready(&place)?;
        let db = connect(&database).await?;
        // The connection has its plans, and no row of the log: what is asked for is beyond all.
        let nothing = log::tile(&db, 0, SIZE, 256).await.is_err()
            && log::tile(&db, 0, SIZE, 1).await.is_err()
            && log::tile(&db, 1, SIZE, 1).await.is_err()
            && bundle::prove(&db, "none").await.is_err();
        ensure!(nothing, "there is something beyond the log");
        let which = usize::try_from(run * 131 + 17)? % cids.len();
        let at = Instant::now();
        let file = bundle::prove(&db, &cids[which]).await?;
        runs.push(at.elapsed().as_secs_f64() * 1_000.0);
        let verified = bundle::verify(&file, None)?;
        ensure!(verified.size == SIZE, "another log");
        most = most.max(tiles(verified.index));
        db.close().await;
        database.stop()?;
    }
    Ok((runs, most, peak_memory()?))
}

/// `journal_proof_ms`.
pub fn measure() -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (runs, tiles, memory) = runtime.block_on(runs())?;
    ensure!(tiles <= 5, "a proof reads {tiles} tiles");
    ensure!(memory <= 200.0, "{memory:.0} MB");
    Ok(vec![Figure {
        name: PROOF,
        unit: "ms",
        goal: 5.0,
        at_least: false,
        peer: None,
        told: format!(
            "The proof file of one entry (`journal::bundle::prove`) in a log of {SIZE} leaves, generated straight into \
             its tables: all leaves with the hashes of entries of about 400 bytes, all tiles, a signed checkpoint, and \
             every {ENTRY_EVERY}th entry; vacuumed, as autovacuum leaves tables that grow. Before each proof Postgres is stopped and the system forgets what it keeps of \
             files (`drop_caches`); then a connection is opened and its statements are prepared by asking for what is \
             beyond the log, which reads the catalogue and the right edge of the indexes, and no row of the log, of its head \
             or of its key. By its ranges a proof needs {tiles} tiles at most (reckoned, not counted in the server), and each file is \
             verified. Peak resident memory of the process that \
             proves and verifies: {memory:.0} MB. The private Postgres with shared_buffers 512 MB."
        ),
        runs,
    }])
}
