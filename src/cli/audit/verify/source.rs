//! Where a log lies: a directory or a URL, with the files of c2sp.org/tlog-tiles; a CAR or a gateway of IPFS, with its
//! blocks. Nothing of what they hold is believed.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use journal::{
    audit::{MAX_FILE, narrow},
    tile::TilePath,
};
use kernel::Cid;
use net::Service;

use super::blocks::Blocks;
use crate::cli::exit::Failure;

/// One file may take so long.
const PATIENCE: Duration = Duration::from_mins(1);
/// A file that is not given now is asked for so often.
const ATTEMPTS: u32 = 3;
/// The longest that a server may keep us waiting between two of them.
const MOST_PAUSE: Duration = Duration::from_secs(30);
/// No checkpoint is longer (c2sp.org/signed-note).
const MOST_NOTE: usize = 1_000_000;
/// Files that are asked for before those ahead of them are verified.
const AHEAD: usize = 8;

/// A log as files.
pub enum Source {
    /// On a disk.
    Dir(PathBuf),
    /// Behind a URL.
    Web {
        /// As it was given.
        url: String,
        /// Who is asked.
        service: Service,
    },
    /// As blocks.
    Blocks(Blocks),
}

/// The log that is meant; `None` where it is a file of another kind. Blocks of a CID are asked of `gateway`.
pub async fn find(
    what: &Path,
    gateway: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<Option<Source>> {
    let text = what.to_str().unwrap_or_default();
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Some(Source::web(text)?));
    }
    if what.is_dir() {
        return Ok(Some(Source::Dir(what.to_path_buf())));
    }
    if what.is_file() && what.extension().is_some_and(|name| name == "car") {
        return Ok(Some(Source::Blocks(Blocks::in_car(what).await?)));
    }
    let Some(cid) = cid(what) else {
        return Ok(None);
    };
    let url = gateway()?;
    let service = Service::new(&url, None, PATIENCE, MAX_FILE)
        .map_err(|error| Failure::invalid(format!("--gateway: {error}")))?;
    let blocks = Blocks::at_gateway(cid, &url, service).await?;
    Ok(Some(Source::Blocks(blocks)))
}

/// The CID that is meant, unless there is a file of that name.
pub fn cid(what: &Path) -> Option<Cid> {
    let cid = content::parse_cid(what.to_str()?).ok()?;
    (!what.exists()).then_some(cid)
}

impl Source {
    /// The log at a URL.
    pub fn web(url: &str) -> Result<Self, Failure> {
        let service = Service::new(url, None, PATIENCE, MAX_FILE)
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self::Web { url, service })
    }

    /// How many files are worth asking for at once.
    pub fn ahead(&self) -> usize {
        match self {
            Self::Dir(_) => 1,
            Self::Web { .. } => AHEAD,
            Self::Blocks(blocks) => blocks.ahead(),
        }
    }

    /// Where it is, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Dir(dir) => dir.display().to_string(),
            Self::Web { url, .. } => url.clone(),
            Self::Blocks(blocks) => blocks.name().to_owned(),
        }
    }

    /// The signed head; NotFound where there is none, so that here is no log.
    pub async fn checkpoint(&self) -> Result<String, Failure> {
        let found = self.text("checkpoint").await?;
        found.ok_or_else(|| {
            let why = format!("{} holds no log: there is no `checkpoint`", self.name());
            match self {
                Self::Dir(_) => Failure::invalid(why),
                Self::Web { .. } | Self::Blocks(_) => Failure::not_found(why),
            }
        })
    }

    /// The key that stands beside the log, which nobody vouches for.
    pub async fn vkey(&self) -> Result<Option<String>, Failure> {
        let found = self.text("vkey").await?;
        Ok(found.map(|text| text.trim().to_owned()))
    }

    async fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(bytes) = self.get(name, MOST_NOTE).await? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes);
        Ok(Some(text.map_err(|_| {
            Failure::Unverified(format!("NOT verified: {name} is not UTF-8"))
        })?))
    }

    /// A file of the log, cut from the wider one where only that is kept; `None` where it has none.
    pub async fn file(&self, path: TilePath) -> Result<Option<Vec<u8>>, Failure> {
        let most = match path {
            TilePath::Hashes { .. } => 32 * 256,
            TilePath::Entries { .. } => MAX_FILE,
        };
        if let Self::Blocks(blocks) = self {
            return blocks.file(path).await;
        }
        let exact = self.get(&path.to_string(), most).await?;
        if exact.is_some() || path == path.full() {
            return Ok(exact);
        }
        let full = self.get(&path.full().to_string(), most).await?;
        // A full file that is too short for this is given as it is: it shows.
        Ok(full.map(|full| match narrow(path, &full) {
            Some(part) => part.to_vec(),
            None => full,
        }))
    }

    async fn get(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Dir(dir) => read(&dir.join(name), most),
            Self::Blocks(blocks) => Ok((name == "checkpoint").then(|| blocks.note.clone())),
            Self::Web { url, service } => {
                let mut attempt = 1;
                loop {
                    let error = match ask(service, name, most).await {
                        Ok(answer) => return Ok(answer),
                        Err(error) => error,
                    };
                    let at = format!("{url}/{name}: {error}");
                    if matches!(error, net::Error::TooLarge { .. }) {
                        return Err(Failure::Unverified(format!("NOT verified: {at}")));
                    }
                    if attempt == ATTEMPTS || !error.kind().is_transient() {
                        return Err(Failure::Of(error.kind(), at));
                    }
                    attempt += 1;
                    let pause = match error {
                        net::Error::Limited {
                            retry_after: Some(pause),
                        } => pause.min(MOST_PAUSE),
                        _ => Duration::from_secs(1),
                    };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

async fn ask(service: &Service, name: &str, most: usize) -> net::Result<Option<Vec<u8>>> {
    let reply = service.get(name).max_bytes(most).send().await?;
    match reply.status {
        200 => Ok(Some(reply.bytes)),
        404 | 410 => Ok(None),
        429 => Err(net::Error::Limited {
            retry_after: reply.retry_after,
        }),
        status => Err(net::Error::Status(status)),
    }
}

/// A file's bytes; one that is no plain file is none of a log's.
fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, Failure> {
    let bytes = || {
        // Opening a pipe would wait for whoever writes to it.
        if !path.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        let limit = most as u64 + 1;
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            return Err(io::Error::other(format!("it has more than {most} bytes")));
        }
        Ok(bytes)
    };
    match bytes() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::Unverified(format!(
            "NOT verified: {}: {error}",
            path.display()
        ))),
    }
}
