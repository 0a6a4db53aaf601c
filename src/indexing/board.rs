//! What each chain is doing, for `/v1/sync` and `sync status`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indexer::Status;
use serde::Serialize;

/// One chain of this process.
#[derive(Debug, Clone, Serialize)]
pub struct ChainState {
    /// Where it comes from, for people.
    pub place: String,
    /// Its follower's state, once it was opened.
    pub status: Option<Status>,
    /// Why it is not opened.
    pub error: Option<String>,
}

/// All chains of this process, in the order of their start.
#[derive(Debug, Clone, Default)]
pub struct Board {
    slots: Arc<Mutex<Vec<Slot>>>,
}

/// One chain's place on the board.
#[derive(Debug, Clone)]
pub struct Slot {
    place: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    status: Option<Arc<Mutex<Status>>>,
    error: Option<String>,
    /// Whether the error will not heal by itself.
    wrong: bool,
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
}

impl Slot {
    /// It could not be opened. Says whether that is news.
    pub fn fail(&self, error: &indexer::Error) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.wrong = !error.kind().is_transient();
        let text = error.to_string();
        let news = inner.error.as_ref() != Some(&text);
        inner.error = Some(text);
        news
    }

    /// How long to wait until it is tried again.
    pub fn pause(&self) -> Duration {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.wrong {
            super::AFTER_WRONG
        } else {
            super::AFTER_ERROR
        }
    }

    /// It is followed from now on.
    pub fn follow(&self, status: Arc<Mutex<Status>>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner {
            status: Some(status),
            ..Inner::default()
        };
    }

    /// Its id, once it was opened.
    pub fn chain(&self) -> Option<u64> {
        self.state().status.map(|status| status.chain)
    }

    /// Logs that this process has stored of it.
    pub fn logs(&self) -> u64 {
        self.state().status.map_or(0, |status| status.logs)
    }

    fn state(&self) -> ChainState {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |status: &Arc<Mutex<Status>>| {
            status
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        ChainState {
            place: self.place.clone(),
            status: inner.status.as_ref().map(read),
            error: inner.error.clone(),
        }
    }
}
