//! New agents of a window, chunk by chunk: one is folded while the one before is written.

use std::sync::Arc;

use store::Tx;
use tokio::task::{JoinHandle, spawn_blocking};

use super::CHUNK;
use crate::{
    Result,
    project::{
        States,
        load::{ChainInfo, Spoken, Subject, Versions},
        one::{Work, fold},
        uris,
        write::NewAgents,
    },
    window::Window,
};

/// A chunk, ready to be written.
struct Folded {
    rows: NewAgents,
    /// URIs whose documents are wanted.
    wanted: Vec<[u8; 32]>,
}

/// Agents of a window of whom no act, document or entry speaks.
pub(super) struct New<'a> {
    pub window: &'a Arc<Window>,
    pub chain: ChainInfo,
    pub places: &'a [u32],
    pub states: States,
}

impl New<'_> {
    /// Projects them; gives the number of entries appended.
    pub async fn project(&self, tx: &mut Tx, mut ahead: Option<&mut Tx>) -> Result<usize> {
        let time = tx.now();
        let (mut wanted, mut entries) = (Vec::new(), 0);
        let mut rest = self.places.chunks(CHUNK);
        let mut start =
            |rows: NewAgents| Some(fold_chunk(self.window, self.chain, rest.next()?, rows));
        let mut next = start(NewAgents::at(time, self.states));
        // While one is filled, the other one is written.
        let mut spare = NewAgents::at(time, self.states);
        while let Some(folded) = next.take() {
            let mut folded = folded.await??;
            next = start(spare);
            entries += folded.rows.write(tx, ahead.as_deref_mut()).await?;
            spare = folded.rows;
            wanted.extend(folded.wanted);
        }
        uris::want_many(tx, wanted).await?;
        Ok(entries)
    }
}

/// Folds some agents on a thread where that blocks nobody.
fn fold_chunk(
    window: &Arc<Window>,
    chain: ChainInfo,
    places: &[u32],
    rows: NewAgents,
) -> JoinHandle<Result<Folded>> {
    let (window, places) = (Arc::clone(window), places.to_vec());
    spawn_blocking(move || {
        let mut folded = Folded {
            rows,
            wanted: Vec::new(),
        };
        for place in places {
            let subject = Subject::of_token(window.agent(place), window.token(place));
            let work = Work::of_window(subject, chain, None, (&window, place), Spoken::default());
            // A fold from the first fact is never refused.
            if let Ok(one) = fold(work, &Versions::new()) {
                folded.wanted.extend(uris::wanted(&one));
                folded.rows.add(*one)?;
            }
        }
        Ok(folded)
    })
}
