//! Logs in ranges as wide as each provider takes them.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use chain::{Log, LogFilter, Rpc, RpcError};

use super::{Id, Providers, Told};
use crate::Result;

/// A question for logs that failed after this was too wide.
const SLOW: Duration = Duration::from_secs(5);

impl Providers {
    /// Logs from block `from` on, up to at most `to`: as far as the provider accepts a range. The answer
    /// says up to which block.
    pub async fn logs(
        &self,
        from: u64,
        to: u64,
        filter: &LogFilter,
    ) -> Result<Told<(u64, Vec<Log>)>> {
        let question = |id, rpc| self.logs_of(id, rpc, from..=to, filter);
        self.ask_where(|_| true, question).await
    }

    /// Logs of a range as far as this provider takes it in one question.
    pub(super) async fn logs_of(
        &self,
        id: Id,
        rpc: Rpc,
        range: RangeInclusive<u64>,
        filter: &LogFilter,
    ) -> Result<(u64, Vec<Log>), RpcError> {
        let (from, to) = range.into_inner();
        let slot = self.slot(id);
        loop {
            let end = to.min(from.saturating_add(slot.width().blocks() - 1));
            let asked = end - from + 1;
            let began = Instant::now();
            match rpc.logs(from..=end, filter).await {
                Ok(logs) => {
                    slot.width().answered(asked);
                    slot.note_told(asked);
                    return Ok((end, logs));
                }
                Err(RpcError::RangeTooLarge { hint, message }) => {
                    tracing::debug!(place = slot.place, from, end, ?hint, "{message}");
                    let hinted = hint.map(|(start, end)| (end - start).saturating_add(1));
                    slot.width().refused(asked, hinted);
                    if asked == 1 {
                        let message =
                            format!("it refuses the logs of block {from} alone: {message}");
                        return Err(RpcError::RangeTooLarge {
                            hint: None,
                            message,
                        });
                    }
                }
                Err(error) => {
                    if began.elapsed() > SLOW {
                        slot.width().slow(asked);
                    }
                    return Err(error);
                }
            }
        }
    }
}
