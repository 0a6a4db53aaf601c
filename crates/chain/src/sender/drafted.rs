//! Transactions that are written down before they leave, so that whoever dies in between goes on with
//! the same one and never sends a second.

use super::{SendError, Sender, Sent, prepare};
use crate::rpc::{At, Call, Receipt};

impl Sender {
    /// Fills in nonce, gas and fees, and signs; nothing leaves. The nonce is the first that no mined
    /// transaction has used, so that what this account left unmined is replaced, and no gap can stand
    /// before it. A call that would revert now is refused with the contract's reason.
    pub async fn draft(&self, call: Call) -> Result<Sent, SendError> {
        let prepared = prepare(&self.rpc, self.address(), &call, self.config.gas_margin);
        let mut prepared = self.in_time(prepared).await?;
        self.check_fees(prepared.fees())?;
        prepared.nonce = self.mined_nonce().await?;
        let (hash, _) = prepared.sign(&self.signer)?;
        Ok(Sent {
            prepared,
            hashes: vec![hash],
        })
    }

    /// Hands the newest version to the node. Doing it again changes nothing: signing is deterministic, and
    /// a node that has it is content.
    pub async fn hand(&self, sent: &Sent) -> Result<(), SendError> {
        self.hand_over(&sent.prepared).await.map(drop)
    }

    /// The same transaction, signed to pay an eighth more; nothing leaves.
    pub async fn dearer(&self, sent: &Sent) -> Result<Sent, SendError> {
        let market = self.in_time(self.rpc.fees()).await?;
        let fees = sent.prepared.fees().bumped(market);
        self.check_fees(fees)?;
        let mut dearer = sent.clone();
        dearer.prepared.set_fees(fees);
        dearer.hashes.push(dearer.prepared.sign(&self.signer)?.0);
        Ok(dearer)
    }

    /// The receipt of whichever version was mined, whether it succeeded or not.
    pub async fn receipt(&self, sent: &Sent) -> Result<Option<Receipt>, SendError> {
        Ok(self.mined(&sent.hashes).await?)
    }

    /// How many transactions of the account are mined: the nonce of the next one.
    pub async fn mined_nonce(&self) -> Result<u64, SendError> {
        Ok(self
            .in_time(self.rpc.nonce(self.address(), At::Latest))
            .await?)
    }
}
