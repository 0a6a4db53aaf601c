//! The providers of one chain: who is asked, and who is asked instead.
//!
//! A provider that fails rests, longer each time, and is then asked one question at a time until it
//! answers one; meanwhile others are asked. Where all of them rest, whoever asks waits a while. So a
//! provider's bad minute costs little, and no storm of repeats meets one that comes back.

mod asking;
mod health;
mod logs;
mod measure;
mod quorum;
mod slot;
mod testimony;
mod width;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use chain::{Hashing, Header, Limits, Rpc, RpcError};
use futures::{StreamExt, stream::FuturesUnordered};
use kernel::Kind;
use tokio::{
    sync::{Mutex, Notify},
    time::timeout_at,
};
use url::{Host, Url};

use self::slot::Slot;
pub use self::{measure::ProviderState, quorum::Opinion};
use crate::{ChainConfig, Config, Error, ProviderConfig, Result};

/// Where all are asked, the answers of those that take longer are not waited for.
const EACH_WITHIN: Duration = Duration::from_secs(3);

/// Once enough have answered, the others have this long.
const REST_WITHIN: Duration = Duration::from_secs(1);

/// One of the providers of a chain, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(usize);

/// An answer and who gave it.
#[derive(Debug, Clone)]
pub struct Told<T> {
    /// The answer.
    pub value: T,
    /// Who gave it.
    pub by: Id,
}

/// All providers of a chain. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Providers {
    pool: Arc<Pool>,
    /// Whether the one that was asked most is asked last.
    others_first: bool,
}

#[derive(Debug)]
struct Pool {
    slots: Vec<Slot>,
    /// What all of them serve: what the configuration says, else the first one that answered.
    chain: OnceLock<u64>,
    quorum: Option<usize>,
    hashing: Arc<Hashing>,
    /// The head that was told last.
    last: Mutex<Option<Header>>,
    /// Somebody's question ended.
    changed: Notify,
}

impl Providers {
    /// All that a chain's configuration names. Nobody is asked yet.
    pub fn new(config: &Config, chain: &ChainConfig) -> Result<Self> {
        let hashing = Arc::<Hashing>::default();
        chain.check()?;
        let slots = chain.nodes()?.into_iter().map(|(url, provider)| {
            let limits = limits(config, &provider, &url);
            Slot::new(url, limits, config.range_blocks, Arc::clone(&hashing))
        });
        let slots: Vec<Slot> = slots.collect();
        Ok(Self {
            pool: Arc::new(Pool {
                slots,
                chain: chain.id().map(OnceLock::from).unwrap_or_default(),
                quorum: chain.quorum,
                hashing,
                last: Mutex::default(),
                changed: Notify::new(),
            }),
            others_first: false,
        })
    }

    /// [`Self::new`], then [`Self::greet`].
    pub async fn connect(config: &Config, chain: &ChainConfig) -> Result<Self> {
        let providers = Self::new(config, chain)?;
        providers.greet().await?;
        Ok(providers)
    }

    /// Asks everybody who does not rest for its chain. One that serves another chain than the
    /// configuration says, or without a word there than the first that answers, is an error; one that
    /// does not answer is tried again later. At least one must answer.
    pub async fn greet(&self) -> Result<()> {
        let hello = |rpc: Rpc| async move { Ok(rpc.chain()) };
        let told = match self.awake()[..] {
            // A person waits for what it says, however late.
            [only] if self.pool.slots.len() == 1 => vec![(only, self.ask_one(only, hello).await)],
            _ => self.ask_each(hello).await,
        };
        let answered = told.iter().any(|(_, told)| told.is_ok());
        let mut failed = None;
        for (id, told) in told {
            let Err(error) = told else { continue };
            let other_chain = error.kind() == Kind::Conflict;
            let error = self.error(id, error);
            if other_chain {
                return Err(error);
            }
            failed = failed.or(Some(error));
        }
        match failed {
            Some(error) if answered => {
                tracing::warn!("{error}: others are asked meanwhile");
                Ok(())
            }
            None if answered => Ok(()),
            Some(error) => Err(error),
            None => Err(self.none_left(None, &|_| true)),
        }
    }

    /// The same, but whoever told the logs of most blocks so far is asked last: for second opinions on all of it.
    #[must_use]
    pub fn others_first(&self) -> Self {
        Self {
            others_first: true,
            ..self.clone()
        }
    }

    /// EIP-155 id of the chain.
    pub fn chain(&self) -> u64 {
        self.pool.chain.get().copied().unwrap_or_default()
    }

    /// A provider's address without secrets.
    pub fn place(&self, id: Id) -> String {
        self.slot(id).place.clone()
    }

    /// All addresses without secrets, for people.
    pub fn places(&self) -> String {
        let places: Vec<&str> = self.pool.slots.iter().map(|slot| &*slot.place).collect();
        places.join(", ")
    }

    /// A connection to the provider that does best now, for what is no question to a chain (sending
    /// transactions, deploying).
    pub fn node(&self) -> Result<Rpc> {
        let mut ids: Vec<Id> = self.ids().collect();
        ids.sort_by(|one, other| self.rank(*one).total_cmp(&self.rank(*other)));
        let connected = ids.into_iter().find_map(|id| self.slot(id).rpc());
        connected.ok_or_else(|| self.none_left(None, &|_| true))
    }

    /// Asks the provider that does best; where it fails, another. An answer of the chain itself (a
    /// revert, a range that is too large for all) is passed on.
    pub async fn ask<T, F>(&self, question: impl Fn(Rpc) -> F) -> Result<Told<T>>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        self.ask_where(|_| true, |_, rpc| question(rpc)).await
    }

    /// Asks a provider who is none of `not`; `None` where there is none, or none answers.
    pub async fn ask_other<T, F>(&self, not: &[Id], question: impl Fn(Rpc) -> F) -> Option<Told<T>>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        if not.len() >= self.pool.slots.len() {
            return None;
        }
        self.ask_where(|id| !not.contains(&id), |_, rpc| question(rpc))
            .await
            .ok()
    }

    /// Asks all that do not rest, at the same time, and gives the answers in the order of the
    /// configuration. Those that take too long count as failed.
    pub async fn ask_each<T, F>(
        &self,
        question: impl Fn(Rpc) -> F,
    ) -> Vec<(Id, Result<T, RpcError>)>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let told = self.each_once(&question).await;
        let unhashed = |told: &Result<T, _>| matches!(told, Err(RpcError::Unhashed { .. }));
        // Nobody has a header that hashes: then the chain has none.
        if told.iter().any(|(_, told)| unhashed(told)) && self.pool.hashing.excuse() {
            return self.each_once(&question).await;
        }
        told
    }

    async fn each_once<T, F>(&self, question: &impl Fn(Rpc) -> F) -> Vec<(Id, Result<T, RpcError>)>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let began = Instant::now();
        let mut waiting = self.awake();
        let most = self.majority(waiting.len());
        let ask = |id: &Id| {
            let id = *id;
            async move { (id, self.ask_one(id, question).await) }
        };
        let mut answers: FuturesUnordered<_> = waiting.iter().map(ask).collect();
        let (mut told, mut good) = (Vec::new(), 0);
        let mut until = began + EACH_WITHIN;
        while let Ok(Some((id, answer))) = timeout_at(until.into(), answers.next()).await {
            waiting.retain(|other| *other != id);
            good += usize::from(answer.is_ok());
            told.push((id, answer));
            if good >= most {
                until = until.min(Instant::now() + REST_WITHIN);
            }
        }
        for id in waiting {
            let late = RpcError::Unavailable {
                message: "no answer in time".to_owned(),
            };
            // Who waits for its turn with us is not late.
            if self.slot(id).rpc().is_none_or(|rpc| rpc.waiting() == 0) {
                self.slot(id).note(Some(&late), began);
            }
            told.push((id, Err(late)));
        }
        told.sort_by_key(|(id, _)| id.0);
        told
    }

    fn awake(&self) -> Vec<Id> {
        let now = Instant::now();
        let is_awake = |id: &Id| self.slot(*id).readiness(now).is_ok();
        self.ids().filter(is_awake).collect()
    }

    /// How many of `count` are enough.
    fn majority(&self, count: usize) -> usize {
        self.pool.quorum.unwrap_or(count / 2 + 1)
    }

    async fn ask_one<T, F>(&self, id: Id, question: impl FnOnce(Rpc) -> F) -> Result<T, RpcError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let pool = &self.pool;
        self.slot(id)
            .ask(&pool.chain, &pool.changed, question)
            .await
    }

    /// Puts down that what a provider told is not so, as others show: it is asked last for a while.
    pub fn refute(&self, id: Id, message: String) {
        let (slot, chain) = (self.slot(id), self.chain());
        let place = &slot.place;
        tracing::warn!(
            chain,
            place,
            "chain {chain}: {place} is asked last for a while: {message}"
        );
        slot.refuted(RpcError::False { message });
    }

    /// What asking it costs; infinite where it rests.
    fn rank(&self, id: Id) -> f64 {
        let slot = self.slot(id);
        let Ok(cost) = slot.readiness(Instant::now()) else {
            return f64::INFINITY;
        };
        // Far above any latency, so that these come last, in the same order.
        let doubtful = if slot.is_doubtful(Instant::now()) {
            1e6
        } else {
            0.0
        };
        let busiest = if self.others_first && self.busiest() == Some(id) {
            1e4
        } else {
            0.0
        };
        let unknown = if slot.rpc().is_none() { 1e3 } else { 0.0 };
        cost + doubtful + busiest + unknown
    }

    fn busiest(&self) -> Option<Id> {
        self.ids().max_by_key(|id| self.slot(*id).told())
    }

    fn none_left(&self, failed: Option<(Id, RpcError)>, allowed: &impl Fn(Id) -> bool) -> Error {
        let last = |id: Id| Some((id, self.slot(id).health().last_error()?.clone()));
        let last = || self.ids().filter(|id| allowed(*id)).find_map(last);
        match failed.or_else(last) {
            Some((id, error)) => self.error(id, error),
            None => Error::Disagree {
                chain: self.chain(),
                what: "nobody is left to be asked".to_owned(),
            },
        }
    }

    fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.pool.slots.len()).map(Id)
    }

    fn slot(&self, id: Id) -> &Slot {
        &self.pool.slots[id.0]
    }

    fn error(&self, id: Id, error: RpcError) -> Error {
        Error::Rpc {
            chain: self.chain(),
            place: self.place(id),
            error,
        }
    }
}

/// What a provider may cost us, and what we may cost it.
fn limits(config: &Config, provider: &ProviderConfig, url: &Url) -> Limits {
    let defaults = Limits::default();
    let per_second = provider
        .calls_per_second
        .or(config.provider_calls_per_second);
    // A batch of more calls than a second allows would keep others waiting for seconds.
    let batch = per_second.map_or(defaults.batch, |rate| {
        let rate = usize::try_from(rate.get()).unwrap_or(usize::MAX);
        defaults.batch.min(rate)
    });
    Limits {
        timeout: Duration::from_secs(config.provider_timeout_seconds.max(1)),
        at_once: provider.at_once.unwrap_or(config.provider_at_once),
        per_second,
        batch,
        compressed: !is_loopback(url),
        ..defaults
    }
}

/// Whether what is sent there does not leave the machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}
