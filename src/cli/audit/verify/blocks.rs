//! A log as blocks of IPFS: manifests name its files by CID, and each names the one before. Every block is hashed,
//! whoever gives it.

use std::{collections::HashMap, path::Path};

use content::block;
use journal::tile::{TILE_WIDTH, TilePath};
use kernel::Cid;
use net::Service;
use publish::Manifest;

use super::{car::Car, not_verified};
use crate::cli::exit::Failure;

/// Who gives blocks.
enum Giver {
    /// A file.
    Car(Car),
    /// A gateway of IPFS.
    Gateway(Service),
}

/// The files of a log, by their CIDs.
pub struct Blocks {
    giver: Giver,
    name: String,
    /// The newest manifest's signed head.
    pub note: Vec<u8>,
    files: HashMap<TilePath, Cid>,
    /// Entries by their leaves, where their bundle is no block of its own.
    entries: HashMap<u64, Cid>,
}

impl Blocks {
    /// The log of a CAR. The newest manifest among its roots is the log's.
    pub async fn in_car(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let (roots, car) =
            Car::open(path).map_err(|why| not_verified(&format!("{name}: {why}")))?;
        let giver = Giver::Car(car);
        let mut newest: Option<(u64, Cid)> = None;
        for root in roots {
            let size = manifest(&giver, &root).await?.size;
            newest = newest.max(Some((size, root)));
        }
        let Some((_, root)) = newest else {
            return Err(not_verified(&format!("{name}: it names no manifest")));
        };
        Self::below(giver, name, root).await
    }

    /// The log whose newest manifest is `root`, from a gateway.
    pub async fn at_gateway(root: Cid, url: &str, service: Service) -> Result<Self, Failure> {
        Self::below(Giver::Gateway(service), url.to_owned(), root).await
    }

    /// Follows manifests back to the first one, as far as there are any.
    async fn below(giver: Giver, name: String, root: Cid) -> Result<Self, Failure> {
        let newest = manifest(&giver, &root).await?;
        let note = needed(&giver, &newest.checkpoint).await?;
        let (size, mut files) = (newest.size, HashMap::new());
        let mut entries = HashMap::new();
        let mut at = newest;
        loop {
            for (path, cid) in &at.tiles {
                let path: TilePath = path.parse().map_err(|error| not_verified(&error))?;
                if is_of(path, size) {
                    files.entry(path).or_insert(*cid);
                }
            }
            giver.check_entries(&at)?;
            // A bundle is in the newest manifest that has one of its leaves, or in none.
            for (leaf, cid) in (at.from..at.size).zip(&at.entries) {
                if !files.contains_key(&bundle_of(leaf, size)) {
                    entries.insert(leaf, *cid);
                }
            }
            let Some(prev) = at.prev.as_deref().filter(|_| at.from > 0) else {
                break;
            };
            let prev = content::parse_cid(prev).map_err(|error| not_verified(&error))?;
            // Part of a log may be all that there is; what is missing of it shows.
            let Some(bytes) = block(&giver, &prev).await? else {
                break;
            };
            let before = read_manifest(&prev, &bytes)?;
            if before.size != at.from {
                let why = format!(
                    "the manifest {prev} is of {} entries, and the next one goes on from {}",
                    before.size, at.from
                );
                return Err(not_verified(&why));
            }
            at = before;
        }
        Ok(Self {
            giver,
            name,
            note,
            files,
            entries,
        })
    }

    /// Where they are, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many blocks are worth asking for at once.
    pub fn ahead(&self) -> usize {
        match self.giver {
            Giver::Car(_) => 1,
            Giver::Gateway(_) => 8,
        }
    }

    /// A file of the log.
    pub async fn file(&self, path: TilePath) -> Result<Option<Vec<u8>>, Failure> {
        match (self.files.get(&path), path) {
            (Some(cid), _) => block(&self.giver, cid).await,
            (None, TilePath::Entries { index, width }) => self.joined(index, width).await,
            (None, TilePath::Hashes { .. }) => Ok(None),
        }
    }

    /// A bundle of its entries, each behind its length (c2sp.org/tlog-tiles).
    async fn joined(&self, index: u64, width: u16) -> Result<Option<Vec<u8>>, Failure> {
        let mut bundle = Vec::new();
        for leaf in (index * TILE_WIDTH..).take(usize::from(width)) {
            let Some(cid) = self.entries.get(&leaf) else {
                return Ok(None);
            };
            let Some(entry) = block(&self.giver, cid).await? else {
                return Ok(None);
            };
            let length = u16::try_from(entry.len()).map_err(|_| {
                not_verified(&format!("the block {cid} is no entry: it is too long"))
            })?;
            bundle.extend(length.to_be_bytes());
            bundle.extend(entry);
        }
        Ok(Some(bundle))
    }
}

impl Giver {
    /// A CAR has each entry as a block of its own, too. A gateway is not asked for all of them.
    fn check_entries(&self, manifest: &Manifest) -> Result<(), Failure> {
        let Self::Car(car) = self else {
            return Ok(());
        };
        let missing = manifest.entries.iter().find(|cid| !car.has(cid));
        missing.map_or(Ok(()), |cid| {
            Err(not_verified(&format!(
                "the block {cid} of an entry is missing"
            )))
        })
    }
}

/// The bundle that has the leaf in a log of this size.
fn bundle_of(leaf: u64, size: u64) -> TilePath {
    let index = leaf / TILE_WIDTH;
    let width = size.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH);
    TilePath::Entries {
        index,
        width: u16::try_from(width).unwrap_or(u16::MAX),
    }
}

/// Whether a log of this size has this very file, with this width.
fn is_of(path: TilePath, size: u64) -> bool {
    let (level, index) = match path {
        TilePath::Hashes { level, index, .. } => (level, index),
        TilePath::Entries { index, .. } => (0, index),
    };
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    match index.checked_mul(TILE_WIDTH) {
        Some(first) if first < hashes => {
            u64::from(path.width()) == (hashes - first).min(TILE_WIDTH)
        }
        _ => false,
    }
}

async fn manifest(giver: &Giver, cid: &Cid) -> Result<Manifest, Failure> {
    let bytes = needed(giver, cid).await?;
    read_manifest(cid, &bytes)
}

fn read_manifest(cid: &Cid, bytes: &[u8]) -> Result<Manifest, Failure> {
    let manifest: Manifest = kernel::from_dag_cbor(bytes)
        .map_err(|error| not_verified(&format!("{cid} is no manifest of a log: {error}")))?;
    if manifest.v != 1 || manifest.from > manifest.size {
        return Err(not_verified(&format!(
            "the manifest {cid} is not of the form 1"
        )));
    }
    Ok(manifest)
}

async fn needed(giver: &Giver, cid: &Cid) -> Result<Vec<u8>, Failure> {
    let found = block(giver, cid).await?;
    found.ok_or_else(|| not_verified(&format!("the block {cid} is missing")))
}

/// The block's bytes, which hash to its CID; `None` where it is not there.
async fn block(giver: &Giver, cid: &Cid) -> Result<Option<Vec<u8>>, Failure> {
    let found = match giver {
        Giver::Car(car) => car
            .block(cid)
            .map_err(|error| not_verified(&format!("the block {cid}: {error}")))?,
        Giver::Gateway(service) => ask(service, cid).await?,
    };
    let Some(bytes) = found else { return Ok(None) };
    match block::is_valid(cid, &bytes) {
        Ok(true) => Ok(Some(bytes)),
        Ok(false) => Err(not_verified(&format!(
            "the {} bytes of the block {cid} do not hash to it",
            bytes.len()
        ))),
        Err(error) => Err(not_verified(&error)),
    }
}

async fn ask(service: &Service, cid: &Cid) -> Result<Option<Vec<u8>>, Failure> {
    let call = service
        .get(&format!("ipfs/{cid}"))
        .query("format", "raw")
        .accept("application/vnd.ipld.raw");
    let reply = call.max_bytes(block::MAX_BLOCK).send().await;
    let failed = |error: net::Error| Failure::Of(error.kind(), format!("{cid}: {error}"));
    let reply = reply.map_err(failed)?;
    match reply.status {
        200 => Ok(Some(reply.bytes)),
        404 | 410 => Ok(None),
        status => Err(failed(net::Error::Status(status))),
    }
}
