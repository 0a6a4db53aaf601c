//! What each chain is doing, for `/v1/sync` and `sync status`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indexer::{ChainConfig, Config, Estimate, Providers, State, Status, Verifier};
use serde::Serialize;

/// One chain of this process.
#[derive(Debug, Clone, Serialize)]
pub struct ChainState {
    /// Where it comes from, for people.
    pub place: String,
    /// EIP-155 id, once its nodes or a person said it.
    pub chain: Option<u64>,
    /// What it is doing, also where it could not be opened.
    pub state: State,
    /// Why it is retrying or halted.
    pub error: Option<String>,
    /// How its follower does, once it was opened.
    pub status: Option<Status>,
    /// What its first backfill was expected to take, where this process began it.
    pub estimate: Option<Estimate>,
    /// Whom it is read from.
    #[serde(skip)]
    pub providers: Option<Providers>,
}

/// All chains of this process, in the order of their start.
#[derive(Clone, Default)]
pub struct Board {
    slots: Arc<Mutex<Vec<Slot>>>,
}

/// One chain's place on the board.
#[derive(Clone)]
pub struct Slot {
    place: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    status: Option<Arc<Mutex<Status>>>,
    error: Option<String>,
    estimate: Option<Estimate>,
    providers: Option<Providers>,
    verifier: Option<Arc<Verifier>>,
    /// What nobody can prove of what is stored.
    unproven: Option<String>,
    /// Whether the error will not heal by itself.
    wrong: bool,
    /// Whether it waits for the chain to reach its first block.
    early: bool,
    /// The chain that its nodes turned out to serve, and where they are.
    claim: Option<(u64, String)>,
}

impl Board {
    /// Every chain as it is now.
    pub fn list(&self) -> Vec<ChainState> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().map(Slot::state).collect()
    }

    /// A chain that is about to be opened.
    pub fn add(&self, place: String) -> Slot {
        let slot = Slot {
            place,
            inner: Arc::default(),
        };
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(slot.clone());
        slot
    }

    /// A place's nodes serve this chain: it is that place's alone from now on, because two would lead it at once.
    pub fn claim(&self, slot: &Slot, chain: u64, place: String) -> Result<(), indexer::Error> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let others = slots
            .iter()
            .filter(|other| !Arc::ptr_eq(&other.inner, &slot.inner));
        for other in others {
            if let Some((_, other)) = other.lock().claim.clone().filter(|(id, _)| *id == chain) {
                return Err(indexer::Error::Twice {
                    chain,
                    place,
                    other,
                });
            }
        }
        slot.lock().claim = Some((chain, place));
        Ok(())
    }

    /// Who proves what is stored of a chain again; `None` where this process does not read it from nodes.
    pub fn verifier(&self, chain: u64) -> Option<Arc<Verifier>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.iter().find(|slot| slot.chain() == Some(chain))?;
        slot.lock().verifier.clone()
    }
}

impl Slot {
    /// It could not be opened. Says whether that is news.
    pub fn fail(&self, error: &indexer::Error) -> bool {
        let mut inner = self.lock();
        inner.wrong = !error.kind().is_transient();
        let text = error.to_string();
        // The head that it names moves on each time.
        let early = matches!(error, indexer::Error::AboveHead { .. });
        let news = inner.error.as_ref() != Some(&text) && !(early && inner.early);
        inner.early = early;
        inner.error = Some(text);
        news
    }

    /// How long to wait until it is tried again.
    pub fn pause(&self) -> Duration {
        if self.lock().wrong {
            super::AFTER_WRONG
        } else {
            super::AFTER_ERROR
        }
    }

    /// It is followed from now on.
    pub fn follow(&self, status: Arc<Mutex<Status>>) {
        let mut inner = self.lock();
        inner.status = Some(status);
        inner.error = None;
        inner.wrong = false;
        inner.early = false;
    }

    /// Whom it is read from: always the same, however often it is opened, because they know who rests
    /// until when.
    pub fn providers(
        &self,
        config: &Config,
        chain: &ChainConfig,
    ) -> Result<Providers, indexer::Error> {
        let mut inner = self.lock();
        if let Some(known) = &inner.providers {
            return Ok(known.clone());
        }
        let providers = Providers::new(config, chain)?;
        inner.providers = Some(providers.clone());
        Ok(providers)
    }

    /// It can be verified.
    pub fn verified_by(&self, verifier: Arc<Verifier>) {
        self.lock().verifier = Some(verifier);
    }

    /// What nobody can prove of what is stored; `None`: all of that is proven, or may be.
    pub fn unproven(&self, why: Option<String>) {
        self.lock().unproven = why;
    }

    /// What its backfill is expected to take.
    pub fn expect(&self, estimate: Estimate) {
        self.lock().estimate = Some(estimate);
    }

    /// Its id, once it was opened.
    pub fn chain(&self) -> Option<u64> {
        self.state().status.map(|status| status.chain)
    }

    /// Logs that this process has stored of it.
    pub fn logs(&self) -> u64 {
        self.state().status.map_or(0, |status| status.logs)
    }

    /// Whether it stopped until a person does something, or a provider proves what none did.
    pub fn is_halted(&self) -> bool {
        self.state().state == State::Halted
    }

    fn state(&self) -> ChainState {
        let inner = self.lock();
        let status = inner.status.as_ref();
        let status = status.map(|status| {
            let status = status.lock().unwrap_or_else(PoisonError::into_inner);
            status.clone()
        });
        let following = status.as_ref().map_or(State::Starting, |its| its.state);
        let claimed = inner.claim.as_ref().map(|(chain, _)| *chain);
        let told = status.as_ref().and_then(|its| its.error.clone());
        ChainState {
            place: self.place.clone(),
            chain: status.as_ref().map(|its| its.chain).or(claimed),
            state: match &inner.error {
                None => following,
                Some(_) if inner.wrong => State::Halted,
                Some(_) => State::Retrying,
            },
            error: inner
                .error
                .clone()
                .or(told)
                .or_else(|| inner.unproven.clone()),
            status,
            estimate: inner.estimate.clone(),
            providers: inner.providers.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_places_alone() {
        let board = Board::default();
        let (one, two) = (board.add("one".to_owned()), board.add("two".to_owned()));
        let claim = |slot, chain, place: &str| board.claim(slot, chain, place.to_owned());
        assert!(claim(&one, 7, "http://one").is_ok());
        assert!(claim(&one, 7, "http://one").is_ok(), "opened again");
        let error = claim(&two, 7, "http://two").expect_err("two would lead");
        assert!(!error.kind().is_transient());
        let text = error.to_string();
        assert!(
            text.contains("http://one") && text.contains("http://two"),
            "{text}"
        );
        assert!(claim(&two, 8, "http://two").is_ok());
    }

    #[test]
    fn who_waits_for_its_first_block_says_so_once() {
        let slot = Board::default().add("one".to_owned());
        let early = |head| indexer::Error::AboveHead {
            chain: 7,
            start: 9,
            head,
            place: "http://one".to_owned(),
        };
        assert!(slot.fail(&early(1)));
        assert!(!slot.fail(&early(2)));
        assert!(slot.fail(&indexer::Error::Led(7)));
        assert!(slot.fail(&early(3)));
    }
}
