//! One after the other, the best first, and again after a pause: how a question finds its answer.

use std::time::{Duration, Instant};

use chain::{Rpc, RpcError};

use super::{
    Id, Providers, Told,
    health::{is_a_lack, is_the_providers},
};
use crate::Result;

/// Whoever asks waits no longer than this for a provider that rests.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whoever is told that a block is not there yet asks again after these pauses, in milliseconds: we ask
/// for none that was not told us before, but behind one address stand nodes with other heads.
const NOT_YET: [u64; 4] = [20, 80, 300, 1_000];

/// What became of a round of asking one after the other.
enum Round<T> {
    Answered(Told<T>),
    /// Nobody can answer this question.
    No(Id, RpcError),
    /// Those that were asked failed; the error is missing where nobody could be asked.
    Failed(Option<(Id, RpcError)>),
}

impl Providers {
    /// Asks one of those that are `allowed`, and others after it; waits where all rest.
    pub(super) async fn ask_where<T, F>(
        &self,
        allowed: impl Fn(Id) -> bool,
        question: impl Fn(Id, Rpc) -> F,
    ) -> Result<Told<T>>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let mut deadline = None;
        let mut not_yet = NOT_YET.into_iter();
        loop {
            let changed = self.pool.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let failed = match self.round(&allowed, &question).await {
                Round::Answered(told) => return Ok(told),
                // Nobody has a header that hashes: then the chain has none.
                Round::No(_, RpcError::Unhashed { .. }) => {
                    self.pool.hashing.excuse();
                    continue;
                }
                Round::No(id, error) => {
                    let pause = not_yet
                        .next()
                        .filter(|_| matches!(error, RpcError::BeyondHead { .. }));
                    let Some(pause) = pause else {
                        return Err(self.error(id, error));
                    };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    continue;
                }
                Round::Failed(failed) => failed,
            };
            let now = Instant::now();
            let until = *deadline.get_or_insert(now + PATIENCE);
            let next = match self.next_turn(&allowed, now, until) {
                Some(next) => next,
                // It failed, and has rested already while others were asked.
                None if failed.is_some() => now,
                None => return Err(self.none_left(failed, &allowed)),
            };
            if next > until || now >= until {
                // Those that could have told a header that hashes do not answer.
                if self.pool.hashing.excuse() {
                    continue;
                }
                return Err(self.none_left(failed, &allowed));
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    /// Asks each once, the best first, until one answers.
    async fn round<T, F>(
        &self,
        allowed: &impl Fn(Id) -> bool,
        question: &impl Fn(Id, Rpc) -> F,
    ) -> Round<T>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let mut left: Vec<Id> = self.ids().filter(|id| allowed(*id)).collect();
        let (mut failed, mut said_no) = (None, None);
        while let Some(id) = self.best(&left) {
            left.retain(|other| *other != id);
            match self.ask_one(id, |rpc| question(id, rpc)).await {
                Ok(value) => return Round::Answered(Told { value, by: id }),
                Err(error @ RpcError::Revert { .. }) => return Round::No(id, error),
                Err(error) if is_the_providers(&error) => failed = failed.or(Some((id, error))),
                Err(error) => said_no = said_no.or(Some((id, error))),
            }
        }
        match said_no {
            // Who lacks it cannot speak for those that failed just now, or rest.
            Some((id, error)) if is_a_lack(&error) && (failed.is_some() || self.rests(allowed)) => {
                Round::Failed(failed.or(Some((id, error))))
            }
            Some((id, error)) => Round::No(id, error),
            None => Round::Failed(failed),
        }
    }

    fn best(&self, left: &[Id]) -> Option<Id> {
        let cost = |id: &Id| (*id, self.rank(*id));
        let awake = left.iter().map(cost).filter(|(_, cost)| cost.is_finite());
        awake
            .min_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(id, _)| id)
    }

    fn rests(&self, allowed: &impl Fn(Id) -> bool) -> bool {
        let now = Instant::now();
        let mut ids = self.ids().filter(|id| allowed(*id));
        ids.any(|id| self.slot(id).readiness(now).is_err())
    }

    /// When the first of those that rest may be asked again; `latest` where that depends on a question
    /// that is under way. `None`: none rests.
    fn next_turn(
        &self,
        allowed: &impl Fn(Id) -> bool,
        now: Instant,
        latest: Instant,
    ) -> Option<Instant> {
        let turns = self
            .ids()
            .filter(|id| allowed(*id))
            .filter_map(|id| self.slot(id).readiness(now).err());
        turns.map(|turn| turn.unwrap_or(latest)).min()
    }
}
