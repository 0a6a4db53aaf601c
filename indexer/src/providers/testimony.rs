//! What one provider alone says of the logs of some blocks: for chains whose headers prove nothing, where the best
//! that there is are two who say the same.

use std::collections::BTreeMap;

use chain::{Header, Log, LogFilter, Rpc, RpcError};
use kernel::Kind;
use tokio::time::timeout;

use super::{EACH_WITHIN, Id, Providers, Told};
use crate::Result;

impl Providers {
    /// Whether there is anybody who could say the same as somebody else.
    pub fn are_several(&self) -> bool {
        self.pool.slots.len() > 1
    }

    /// All logs of these blocks, which are ascending and without a gap, in chain order with their blocks' times, as
    /// somebody tells them who was not `heard` and who has the same blocks; `None` where nobody else does. A second
    /// testimony is not waited for long: what one told can be agreed on later.
    pub async fn testimony(
        &self,
        blocks: &[Header],
        filter: &LogFilter,
        heard: &[Id],
    ) -> Result<Option<Told<Vec<Log>>>> {
        if heard.len() == self.pool.slots.len() {
            return Ok(None);
        }
        let told = self.ask_where(
            |id| !heard.contains(&id),
            |id, rpc| self.testify(id, rpc, blocks, filter),
        );
        if heard.is_empty() {
            return told.await.map(Some);
        }
        match timeout(EACH_WITHIN, told).await {
            Ok(Ok(told)) => Ok(Some(told)),
            Ok(Err(error)) => {
                tracing::debug!(chain = self.chain(), "no further testimony: {error}");
                Ok(None)
            }
            Err(_late) => Ok(None),
        }
    }

    async fn testify(
        &self,
        id: Id,
        rpc: Rpc,
        blocks: &[Header],
        filter: &LogFilter,
    ) -> Result<Vec<Log>, RpcError> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return Ok(Vec::new());
        };
        let own = rpc.headers(first.number..=last.number).await?;
        let differ = |(own, other): &(&Header, &Header)| own.block() != other.block();
        if let Some((own, _)) = own.iter().zip(blocks).find(differ) {
            // Another branch: it knows nothing of this one.
            return Err(RpcError::BeyondHead {
                message: format!("it has another block {}", own.number),
            });
        }
        let mut logs = Vec::new();
        let mut at = first.number;
        while at <= last.number {
            let (end, mut part) = self
                .logs_of(id, rpc.clone(), at..=last.number, filter)
                .await?;
            logs.append(&mut part);
            at = end + 1;
        }
        let known: BTreeMap<u64, &Header> = own.iter().map(|own| (own.number, own)).collect();
        for log in &mut logs {
            let block = known.get(&log.block_number);
            let time = block.map(|block| block.time);
            if block.is_none_or(|block| block.hash != log.block_hash)
                || log.block_time.is_some_and(|told| Some(told) != time)
            {
                return Err(RpcError::Other {
                    kind: Kind::Unavailable,
                    code: None,
                    message: format!(
                        "eth_getLogs: a log of another block {} than its own",
                        log.block_number
                    ),
                });
            }
            log.block_time = time;
        }
        Ok(logs)
    }
}
