//! Waiting for a receipt, and replacing what got stuck.

use kernel::B256;

use super::{SendError, Sender, Sent};
use crate::rpc::{At, Receipt, RpcError};

/// Looks at the receipts for so long after our nonce was used by something that we do not know:
/// nodes (anvil, and farms of nodes) may count a transaction before they serve its receipt.
const GRACE: u32 = 20;

impl Sender {
    /// Waits until one of the versions is mined. After `replace_after` looks it is replaced by one
    /// that pays an eighth more at least. A node that does not answer meanwhile is asked again at
    /// the next look, because the transaction is out and only a receipt says what became of it.
    pub async fn wait(&self, mut sent: Sent) -> Result<Receipt, SendError> {
        let mut replacements = 0;
        let mut silence = None;
        loop {
            for _ in 0..self.config.replace_after.get() {
                match self.mined(&sent.hashes).await {
                    Ok(Some(receipt)) => return self.judged(&sent, receipt).await,
                    Ok(None) => silence = None,
                    Err(error) if error.kind().is_transient() => silence = Some(error),
                    Err(error) => return Err(error.into()),
                }
                tokio::time::sleep(self.config.poll).await;
            }
            if replacements == self.config.most_replacements {
                self.forget_nonces().await;
                return Err(match silence {
                    Some(error) => error.into(),
                    None => SendError::Stuck {
                        hashes: sent.hashes,
                    },
                });
            }
            replacements += 1;
            match self.replace(&mut sent).await {
                Ok(()) | Err(SendError::Underpriced | SendError::TooExpensive { .. }) => {}
                Err(SendError::NonceTooLow { .. }) => return self.last_look(&sent).await,
                Err(error) if error.kind().is_transient() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The same transaction once more, paying an eighth more. What a node found too cheap is the
    /// start of the next bump; what the operator finds too dear is not sent.
    async fn replace(&self, sent: &mut Sent) -> Result<(), SendError> {
        let market = self.in_time(self.rpc.fees()).await?;
        let fees = sent.prepared.fees().bumped(market);
        self.check_fees(fees)?;
        sent.prepared.set_fees(fees);
        tracing::info!(
            nonce = sent.prepared.nonce,
            ?fees,
            "replacing a stuck transaction"
        );
        let hash = self.hand_over(&sent.prepared).await?;
        if !sent.hashes.contains(&hash) {
            sent.hashes.push(hash);
        }
        Ok(())
    }

    /// The nonce is used: by one of ours, whose receipt comes, or by a stranger.
    async fn last_look(&self, sent: &Sent) -> Result<Receipt, SendError> {
        for _ in 0..GRACE {
            if let Some(receipt) = self.mined(&sent.hashes).await? {
                return self.judged(sent, receipt).await;
            }
            tokio::time::sleep(self.config.poll).await;
        }
        self.forget_nonces().await;
        let nonce = sent.prepared.nonce;
        let used = self
            .in_time(self.rpc.nonce(self.address(), At::Latest))
            .await?
            > nonce;
        Err(if used {
            SendError::Superseded {
                nonce,
                hashes: sent.hashes.clone(),
            }
        } else {
            SendError::Stuck {
                hashes: sent.hashes.clone(),
            }
        })
    }

    pub(super) async fn mined(&self, hashes: &[B256]) -> Result<Option<Receipt>, RpcError> {
        for hash in hashes.iter().rev() {
            if let Some(receipt) = self.in_time(self.rpc.receipt(*hash)).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// What we counted does not fit what the chain did: the node's count is the truth again, so
    /// that a lost transaction leaves no gap for ever.
    async fn forget_nonces(&self) {
        *self.next.lock().await = 0;
    }

    async fn judged(&self, sent: &Sent, receipt: Receipt) -> Result<Receipt, SendError> {
        if receipt.success {
            return Ok(receipt);
        }
        Err(self.reason(&sent.prepared, &receipt).await)
    }
}
