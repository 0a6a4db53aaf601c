//! The facade: everything that is done with content goes through [`Content`].

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use kernel::{Bytes, Cid};
use net::Fetcher;

use crate::{
    Blockstore, Config, Error, File, Kubo, Layout, Limits, OpenReport, Result, build,
    error::Says,
    lookup::{self, Failure, Lookup},
    source::Source,
};

/// The most blocks of one DAG that are pinned or checked as a whole.
pub(crate) const MAX_DAG: usize = 100_000;

/// Who gave a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giver {
    /// Our own blockstore.
    Ours,
    /// Kubo: it had it, or somebody in its network did.
    Kubo,
    /// A gateway.
    Gateway,
}

/// The blockstore, Kubo and the gateways. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Content {
    store: Blockstore,
    kubo: Option<Kubo>,
    /// In the order in which they are asked.
    sources: Arc<[Source]>,
    pub(crate) fetcher: Fetcher,
    limits: Limits,
    gateway_timeout: Duration,
}

impl Content {
    /// Opens the blockstore below `data_dir` (blocking: it reads all packs) and prepares the
    /// clients; nothing is asked yet. `fetcher` is the way to strangers' addresses.
    ///
    /// Errors with [`Error::InUse`] where another process has the blockstore open, and with
    /// [`Error::Config`] or [`Error::Net`] for what cannot be meant.
    pub fn open(config: &Config, data_dir: &Path, fetcher: Fetcher) -> Result<(Self, OpenReport)> {
        config.check()?;
        let mut sources = Vec::new();
        let mut kubo = None;
        if let Some(url) = &config.kubo_url {
            let client = Kubo::new(url, config.kubo_token.clone(), config.kubo_timeout())?;
            sources.push(Source::kubo(client.clone(), config.kubo_timeout()));
            kubo = Some(client);
        }
        for url in &config.gateways {
            sources.push(Source::gateway(url, &fetcher, config.gateway_timeout())?);
        }
        let (store, report) = Blockstore::open(&data_dir.join(&config.blocks))?;
        let content = Self {
            store,
            kubo,
            sources: sources.into(),
            fetcher,
            limits: config.limits(),
            gateway_timeout: config.gateway_timeout(),
        };
        Ok((content, report))
    }

    /// Our own blocks.
    pub fn blocks(&self) -> &Blockstore {
        &self.store
    }

    /// Kubo, where one is configured.
    pub fn kubo(&self) -> Option<&Kubo> {
        self.kubo.as_ref()
    }

    /// Stores a file in our own blockstore, durably, in [`Layout::OURS`]: up to 1 MiB its CID is
    /// the raw sha2-256 of its bytes.
    pub async fn add(&self, bytes: &[u8]) -> Result<Cid> {
        let dag = build(bytes, Layout::OURS);
        self.store.put_many(&dag.blocks).await?;
        Ok(dag.root)
    }

    /// The file at `path` below `root` from our own blocks alone. Errors with
    /// [`Error::Missing`] where some are not there.
    pub async fn local(&self, root: &Cid, path: &[String]) -> Result<File> {
        let found = self.lookup(root, path).local().await;
        found
            .map_err(|failure| failure.into_error(*root))?
            .ok_or(Error::Missing(*root))
    }

    /// The same, but Kubo and the gateways are asked too; what they gave is stored.
    pub async fn find(&self, root: &Cid, path: &[String]) -> Result<File> {
        let found = self.find_via(root, path, None).await?;
        found.map_err(|failure| failure.into_error(*root))
    }

    /// Looks everywhere, at last at `extra`. The outer error is our own disk's.
    pub(crate) async fn find_via(
        &self,
        root: &Cid,
        path: &[String],
        extra: Option<&str>,
    ) -> Result<Result<File, Failure>> {
        let mut lookup = self.lookup(root, path);
        match lookup.local().await {
            Ok(Some(file)) => return Ok(Ok(file)),
            Ok(None) => {}
            Err(failure) => return Ok(Err(failure)),
        }
        let extra = extra.map(|url| Source::public(url, &self.fetcher, self.gateway_timeout));
        let sources: Vec<&Source> = self.sources.iter().chain(extra.as_ref()).collect();
        let file = match lookup.ask(&sources).await {
            Ok(file) => file,
            Err(failure) => return Ok(Err(failure)),
        };
        let known = lookup.known;
        let blocks: Vec<(Cid, Bytes)> = file
            .blocks
            .iter()
            .filter_map(|cid| Some((*cid, known.get(cid)?.clone())))
            .collect();
        self.store.put_many(&blocks).await?;
        Ok(Ok(file))
    }

    /// One block, verified: our own, else what Kubo or a gateway gives, which is stored. Errors with
    /// [`Error::Missing`] where everybody says that he has it not, a search that ended without it being said of three
    /// attempts; where one could not be asked or is not asked for a while, with his error.
    pub async fn block(&self, cid: &Cid) -> Result<Bytes> {
        Ok(self.given(cid).await?.0)
    }

    /// The same, and who gave it.
    pub async fn given(&self, cid: &Cid) -> Result<(Bytes, Giver)> {
        match self.store.get(cid).await {
            Ok(Some(bytes)) => return Ok((bytes, Giver::Ours)),
            Ok(None) => {}
            Err(error @ Error::Corrupt { .. }) => tracing::warn!(%error, "blockstore: {error}"),
            Err(error) => return Err(error),
        }
        let (bytes, giver) = self.block_from_sources(cid).await?;
        self.store.put_many(&[(*cid, bytes.clone())]).await?;
        Ok((bytes, giver))
    }

    /// Gets back what our own blocks miss of a DAG. Errors as [`Content::block`] does.
    pub(crate) async fn heal(&self, root: &Cid) -> Result<()> {
        loop {
            let missing = lookup::missing(&self.store, root, MAX_DAG).await?;
            if missing.is_empty() {
                return Ok(());
            }
            for cid in &missing {
                let (block, _) = self.block_from_sources(cid).await?;
                self.store.put_many(&[(*cid, block)]).await?;
            }
        }
    }

    async fn block_from_sources(&self, cid: &Cid) -> Result<(Bytes, Giver)> {
        let mut unknown = None;
        for source in &*self.sources {
            if source.is_shut() {
                unknown = Some(Error::Shut(source.name().to_owned()));
                continue;
            }
            match source.block(cid).await {
                Ok(bytes) => {
                    source.praise();
                    return Ok((bytes, source.giver()));
                }
                Err(error) => {
                    let name = source.name();
                    tracing::debug!(%cid, source = name, %error, "{name} gives no {cid}: {error}");
                    if matches!(error, Error::Mismatch { .. }) {
                        source.strike();
                    }
                    let has_not = match error.says() {
                        Says::NotThere => true,
                        Says::SearchEnded => source.searched_in_vain(cid),
                        Says::Nothing => false,
                    };
                    if !has_not {
                        unknown = Some(error);
                    }
                }
            }
        }
        Err(unknown.unwrap_or(Error::Missing(*cid)))
    }

    fn lookup<'a>(&'a self, root: &'a Cid, path: &'a [String]) -> Lookup<'a> {
        Lookup {
            root,
            path,
            limits: self.limits,
            store: &self.store,
            known: HashMap::new(),
        }
    }
}
