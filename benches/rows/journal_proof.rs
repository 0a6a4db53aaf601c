//! The proof of one entry in a log of ten million, from cold caches.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use journal::{
    EntryKind, LogKey, bundle,
    checkpoint::Checkpoint,
    entry::Entry,
    identity, log,
    tile::TILE_WIDTH,
    tree::{Hash, fold_peaks, leaf_hash, node_hash, peaks},
};
use kernel::AgentId;
use store::{Cause, Clock, Db, PoolConfig, SslMode, copy::Rows};

use crate::{
    database::{Database, Psql, SETTINGS},
    process::{Place, forget_peak, own_peak},
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
/// Of so many entries one has the reads of its proof counted.
const COUNTED_EVERY: usize = 10;
/// Tiles that a proof may read.
const TILES: u64 = 5;
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

/// What Postgres counted of the tables of leaves and tiles since they were made: how often one of their keys was searched,
/// which is how each tile is found; at how many pages of them and their indexes it looked; and how often it read one of
/// the tables from its beginning.
const COUNTED: &str = "
    SELECT concat_ws(' ',
        (SELECT sum(idx_scan) FROM pg_stat_user_indexes
          WHERE schemaname = 'journal' AND indexrelname IN ('tiles_pkey', 'leaves_pkey')),
        (SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
                  + coalesce(toast_blks_read + toast_blks_hit + tidx_blks_read + tidx_blks_hit, 0))
           FROM pg_statio_user_tables WHERE schemaname = 'journal' AND relname IN ('tiles', 'leaves')),
        (SELECT sum(seq_scan) FROM pg_stat_user_tables
          WHERE schemaname = 'journal' AND relname IN ('tiles', 'leaves')))";

/// A connection says what it counted when it ends.
const CONNECTED: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'chancery_app'";

/// What of the log was read.
#[derive(Clone, Copy)]
struct Reads {
    tiles: u64,
    pages: u64,
    whole_tables: u64,
}

impl Reads {
    async fn so_far(database: &mut Database) -> Result<Self> {
        while database.ask(CONNECTED)? != "0" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let answer = database.ask(COUNTED)?;
        let counts: Vec<u64> = answer
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [tiles, pages, whole_tables] = counts[..] else {
            anyhow::bail!("Postgres counted `{answer}`");
        };
        Ok(Self {
            tiles,
            pages,
            whole_tables,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            tiles: self.tiles.saturating_sub(before.tiles),
            pages: self.pages.saturating_sub(before.pages),
            whole_tables: self.whole_tables.saturating_sub(before.whole_tables),
        }
    }
}

/// What a proof of each of these entries reads. A connection each, for it counts when it ends; and with plans for any
/// values, made beforehand: planning for these values looks at the ends of keys.
async fn reads<'a>(place: &Place, cids: impl Iterator<Item = &'a String>) -> Result<Vec<Reads>> {
    let mut database = Database::ready(place)?;
    let url = format!(
        "{}&options[plan_cache_mode]=force_generic_plan",
        database.url()
    );
    let before = Reads::so_far(&mut database).await?;
    planned(&url).await?.close().await;
    let mut last = Reads::so_far(&mut database).await?;
    let plans = last.since(before);
    let mut reads = Vec::new();
    for cid in cids {
        let db = planned(&url).await?;
        bundle::prove(&db, cid).await?;
        db.close().await;
        let now = Reads::so_far(&mut database).await?;
        reads.push(now.since(last).since(plans));
        last = now;
    }
    database.stop()?;
    Ok(reads)
}

/// What the system keeps of files is forgotten.
fn forget() -> Result<()> {
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    fs::write("/proc/sys/vm/drop_caches", "3").context("cold caches need root")
}

async fn connect(url: &str) -> Result<Db> {
    let config = PoolConfig {
        sslmode: SslMode::Disable,
        max_connections: 1,
        min_idle: 1,
        ..PoolConfig::default()
    };
    Ok(Db::connect(url, &config, Clock::System).await?)
}

/// A connection that has its plans, and no row of the log: what it asked for is beyond all.
async fn planned(url: &str) -> Result<Db> {
    let db = connect(url).await?;
    let nothing = log::tile(&db, 0, SIZE, 256).await.is_err()
        && log::tile(&db, 0, SIZE, 1).await.is_err()
        && log::tile(&db, 1, SIZE, 1).await.is_err()
        && bundle::prove(&db, "none").await.is_err();
    ensure!(nothing, "there is something beyond the log");
    Ok(db)
}

/// Fills the database of a place; gives the CIDs to be asked for.
async fn filled(place: &Place) -> Result<Vec<String>> {
    let database = Database::ready(place)?;
    let db = connect(&database.url()).await?;
    let began = Instant::now();
    let cids = generate(&db).await?;
    println!(
        "  {SIZE} leaves after {:.0} s",
        began.elapsed().as_secs_f64()
    );
    db.close().await;
    // As autovacuum leaves it while a log grows to this size.
    let mut psql = Psql::open(place, Some(&database.url_of("postgres", "chancery")))?;
    psql.run("VACUUM (ANALYZE) journal.tiles, journal.leaves, journal.entries")?;
    psql.close()?;
    database.stop()?;
    Ok(cids)
}

/// What was measured.
struct Measured {
    /// Milliseconds of each proof from cold caches.
    runs: Vec<f64>,
    /// Peak of memory in MB meanwhile.
    memory: f64,
    /// What proofs read, of entries all over the log.
    reads: Vec<Reads>,
}

async fn runs() -> Result<Measured> {
    let place = Place::new()?;
    fs::write(place.file("chancery.toml"), SETTINGS)?;
    let cids = filled(&place).await?;
    // Only what a proof needs counts from here on.
    forget_peak()?;
    let mut runs = Vec::new();
    for run in 0..RUNS {
        forget()?;
        let database = Database::ready(&place)?;
        let db = planned(&database.url()).await?;
        let which = usize::try_from(run * 131 + 17)? % cids.len();
        let at = Instant::now();
        let file = bundle::prove(&db, &cids[which]).await?;
        runs.push(at.elapsed().as_secs_f64() * 1_000.0);
        let verified = bundle::verify(&file, None)?;
        ensure!(verified.size == SIZE, "another log");
        db.close().await;
        database.stop()?;
    }
    Ok(Measured {
        runs,
        memory: own_peak()?,
        reads: reads(&place, cids.iter().step_by(COUNTED_EVERY)).await?,
    })
}

/// `journal_proof_ms`.
pub fn measure() -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(runs())?;
    let most = |count: fn(&Reads) -> u64| measured.reads.iter().map(count).max().unwrap_or(0);
    let (proofs, tiles, pages) = (
        measured.reads.len(),
        most(|reads| reads.tiles),
        most(|reads| reads.pages),
    );
    ensure!(
        (1..=TILES).contains(&tiles),
        "a proof reads {tiles} tiles at most"
    );
    ensure!(
        most(|reads| reads.whole_tables) == 0,
        "a proof reads a table from its beginning"
    );
    let memory = measured.memory;
    ensure!(memory <= 200.0, "{memory:.0} MB");
    Ok(vec![Figure {
        name: PROOF,
        unit: "ms",
        goal: Some(5.0),
        at_least: false,
        peer: None,
        told: format!(
            "The proof file of one entry (`journal::bundle::prove`) in a log of {SIZE} leaves, generated straight into \
             its tables: all leaves with the hashes of entries of about 400 bytes, all tiles, a signed checkpoint, and \
             every {ENTRY_EVERY}th entry; vacuumed, as autovacuum leaves tables that grow. Before each proof Postgres is stopped and the system forgets what it keeps of \
             files (`drop_caches`); then a connection is opened and its statements are prepared by asking for what is \
             beyond the log, which reads the catalogue and the right edge of the indexes, and no row of the log, of its head \
             or of its key. Each file is verified. Peak resident memory of the process that proves and verifies: \
             {memory:.0} MB. The private Postgres with shared_buffers 512 MB.\n\n\
             What a proof reads of the log was counted by Postgres itself afterwards (`pg_stat_user_indexes`, \
             `pg_statio_user_tables`), for {proofs} entries all over it: {tiles} tiles at most, each found by one search of \
             a key, and {pages} pages at most of the tables of leaves and tiles and their indexes. A full tile is one row \
             with its hashes. Of the right edge, where tiles are not full, the leaves are read in their table, and the \
             roots of the tiles below in the index of tiles, without their rows."
        ),
        runs: measured.runs,
    }])
}
