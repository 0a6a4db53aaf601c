//! Where blocks of others come from: Kubo and trustless gateways. Whatever they give is hashed
//! before it is believed; who gives wrong bytes three times in a row is not asked for an hour.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kernel::{Bytes, Cid};
use net::{Fetcher, Get, Service};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    Error, Giver, Kubo, Limits, Result,
    block::{self, DAG_PB, MAX_BLOCK},
    car, layout,
};

/// Wrong answers in a row after which a source is left alone.
const STRIKES: u32 = 3;
/// For how long.
const SHUT_FOR: Duration = Duration::from_hours(1);

/// Searches for a block in vain after which a source is taken to have it not.
const SEARCHES: u32 = 3;
/// For so many blocks it is remembered how often they were searched for.
const SEARCHED: usize = 4_096;

/// Media type of a raw block.
const RAW_BLOCK: &str = "application/vnd.ipld.raw";
/// Media type of a CAR.
const CAR: &str = "application/vnd.ipld.car";

/// Somebody who may have blocks.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    via: Via,
    /// How long it may take for a whole file.
    pub(crate) timeout: Duration,
    strikes: Mutex<Strikes>,
    /// How often blocks were searched for in vain.
    searches: Mutex<HashMap<Cid, u32>>,
}

#[derive(Debug)]
enum Via {
    Kubo(Kubo),
    /// A gateway at an address that the operator trusts.
    Service(Service),
    /// A gateway on the public internet: its address is guarded.
    Public(Fetcher, String),
}

#[derive(Debug, Default)]
struct Strikes {
    in_a_row: u32,
    shut_until: Option<Instant>,
}

impl Source {
    pub(crate) fn kubo(kubo: Kubo, timeout: Duration) -> Self {
        Self::new(kubo.name(), Via::Kubo(kubo), timeout)
    }

    /// A gateway that the operator configured: `https://host` is guarded, `http://host:port` not.
    pub(crate) fn gateway(url: &str, fetcher: &Fetcher, timeout: Duration) -> Result<Self> {
        let service = Service::new(url, None, timeout, MAX_BLOCK)?;
        if url.to_ascii_lowercase().starts_with("https:") {
            return Ok(Self::public(url, fetcher, timeout));
        }
        Ok(Self::new(service.name(), Via::Service(service), timeout))
    }

    /// A gateway that a stranger named.
    pub(crate) fn public(url: &str, fetcher: &Fetcher, timeout: Duration) -> Self {
        let base = url.trim_end_matches('/').to_owned();
        let name = base.split("://").last().unwrap_or_default().to_owned();
        Self::new(name, Via::Public(fetcher.clone(), base), timeout)
    }

    fn new(name: String, via: Via, timeout: Duration) -> Self {
        Self {
            name,
            via,
            timeout,
            strikes: Mutex::default(),
            searches: Mutex::default(),
        }
    }

    /// For messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Which sort it is.
    pub(crate) fn giver(&self) -> Giver {
        match self.via {
            Via::Kubo(_) => Giver::Kubo,
            Via::Service(_) | Via::Public(..) => Giver::Gateway,
        }
    }

    /// One block, verified.
    pub(crate) async fn block(&self, cid: &Cid) -> Result<Bytes> {
        let bytes = match &self.via {
            Via::Kubo(kubo) => return kubo.block(cid).await,
            _ => {
                self.get(&format!("ipfs/{cid}"), "raw", RAW_BLOCK, MAX_BLOCK)
                    .await?
            }
        };
        if block::is_valid(cid, &bytes)? {
            return Ok(bytes.into());
        }
        // A gateway that knows no blocks sent the file itself. Where the file is short, its block
        // can be made again from it.
        if cid.codec() == DAG_PB {
            let wrapped = layout::wrapped(&bytes);
            if block::is_valid(cid, &wrapped)? {
                return Ok(wrapped.into());
            }
        }
        Err(Error::Mismatch {
            cid: *cid,
            from: self.name.clone(),
        })
    }

    /// Asks a gateway for all blocks of a file at once and keeps those that verify. What is
    /// missing afterwards is asked for one by one, so only wrong bytes are an error.
    pub(crate) async fn prefetch(
        &self,
        root: &Cid,
        path: &[String],
        known: &mut HashMap<Cid, Bytes>,
        limits: Limits,
    ) -> Result<()> {
        if matches!(self.via, Via::Kubo(_)) || root.codec() != DAG_PB {
            return Ok(());
        }
        let mut at = format!("ipfs/{root}");
        for name in path {
            at.push('/');
            at.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
        }
        // Nodes and CIDs take some space of their own.
        let most = limits.max_bytes + limits.max_bytes / 8 + 64 * 1024;
        let Ok(bytes) = self.get(&at, "car", CAR, most).await else {
            return Ok(());
        };
        let Ok(reader) = car::Reader::new(&bytes, &self.name) else {
            return Ok(());
        };
        for block in reader.take(limits.max_blocks) {
            match block {
                Ok((cid, bytes)) => known.insert(cid, bytes),
                Err(error @ Error::Mismatch { .. }) => return Err(error),
                Err(_) => return Ok(()),
            };
        }
        Ok(())
    }

    async fn get(
        &self,
        path: &str,
        format: &str,
        accept: &'static str,
        max_bytes: usize,
    ) -> Result<Vec<u8>> {
        match &self.via {
            Via::Kubo(_) => Err(Error::Unsupported("a path at Kubo's RPC".to_owned())),
            Via::Service(service) => {
                let call = service
                    .get(path)
                    .query("format", format)
                    .query("dag-scope", "entity");
                let reply = call.accept(accept).max_bytes(max_bytes).send().await?;
                if reply.status == 200 {
                    Ok(reply.bytes)
                } else {
                    Err(net::Error::Status(reply.status).into())
                }
            }
            Via::Public(fetcher, base) => {
                let url = format!("{base}/{path}?format={format}&dag-scope=entity");
                let get = Get {
                    accept: Some(accept),
                    max_bytes: Some(max_bytes),
                };
                Ok(fetcher.get(&url, get).await?.bytes)
            }
        }
    }

    /// Whether it is left alone for now.
    pub(crate) fn is_shut(&self) -> bool {
        self.strikes()
            .shut_until
            .is_some_and(|until| Instant::now() < until)
    }

    /// It gave wrong bytes.
    pub(crate) fn strike(&self) {
        let mut strikes = self.strikes();
        strikes.in_a_row += 1;
        if strikes.in_a_row >= STRIKES {
            strikes.in_a_row = 0;
            strikes.shut_until = Instant::now().checked_add(SHUT_FOR);
            tracing::warn!(source = %self.name, "{} gave wrong bytes {STRIKES} times and is not asked for an hour", self.name);
        }
    }

    /// It gave what was asked for.
    pub(crate) fn praise(&self) {
        self.strikes().in_a_row = 0;
    }

    /// It searched its network for this block in vain; whether it did so often enough to be believed. One attempt says
    /// little: a node that was just started knows nobody yet.
    pub(crate) fn searched_in_vain(&self, cid: &Cid) -> bool {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        if searches.len() >= SEARCHED && !searches.contains_key(cid) {
            searches.clear();
        }
        let times = searches.entry(*cid).or_default();
        *times = times.saturating_add(1);
        *times >= SEARCHES
    }

    fn strikes(&self) -> std::sync::MutexGuard<'_, Strikes> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
