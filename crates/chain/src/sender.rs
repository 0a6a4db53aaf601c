//! The one way in which a transaction leaves this house.
//!
//! [`Sender`] sends for an account whose key we hold (deploying on our own chain, anchoring a
//! checkpoint); [`prepare`], [`Prepared::sign`] and [`relay`] are the same way in three steps, for
//! keys that somebody else holds. Who must survive a crash writes a transaction down before it leaves:
//! [`Sender::draft`], [`Sender::hand`].

mod drafted;
mod error;
mod prepared;
mod waiting;

use std::{future::Future, num::NonZeroU32, sync::Arc, time::Duration};

use alloy::signers::local::PrivateKeySigner;
use kernel::{Address, B256};
use tokio::sync::Mutex;

pub use self::{
    error::SendError,
    prepared::{Prepared, Relayed, prepare, relay},
};
use crate::{
    revert::Revert,
    rpc::{At, Call, Fees, Receipt, Rpc, RpcError},
};

/// How a [`Sender`] waits and pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderConfig {
    /// The node has so long for each answer.
    pub answer_within: Duration,
    /// Between two looks for a receipt.
    pub poll: Duration,
    /// After so many looks without a receipt, the transaction is replaced by one that pays more.
    pub replace_after: NonZeroU32,
    /// After so many replacements it is given up (it may still be mined).
    pub most_replacements: u32,
    /// Added to the estimated gas, in percent: state may change before the block.
    pub gas_margin: u32,
    /// The most wei per gas that a transaction may offer.
    pub most_fee: Option<u128>,
}

/// Sends transactions of one account on one chain. Clones share the account's nonce; two senders
/// of one account would disturb each other, so there is one per account and process.
#[derive(Debug, Clone)]
pub struct Sender {
    rpc: Rpc,
    signer: PrivateKeySigner,
    config: SenderConfig,
    /// The first nonce that we have not used, held while a transaction goes out.
    next: Arc<Mutex<u64>>,
}

/// A transaction that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What was signed last.
    pub prepared: Prepared,
    /// Every version that was handed to the node, the newest last: any of them may be mined.
    pub hashes: Vec<B256>,
}

/// How often a nonce that turned out to be taken is chosen anew.
const NONCE_ATTEMPTS: u32 = 4;

impl Sender {
    /// A sender of `signer`'s account.
    pub fn new(rpc: Rpc, signer: PrivateKeySigner, config: SenderConfig) -> Self {
        Self {
            rpc,
            signer,
            config,
            next: Arc::default(),
        }
    }

    /// The account that sends and pays.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The node that is asked.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Sends, waits until it is mined (one block deep: a reorg may still undo it) and succeeded.
    pub async fn send(&self, call: Call) -> Result<Receipt, SendError> {
        let sent = self.submit(call).await?;
        self.wait(sent).await
    }

    /// Fills in nonce, gas and fees, signs, and hands it to the node. A call that would revert now
    /// is refused with the contract's reason, and costs nothing.
    pub async fn submit(&self, call: Call) -> Result<Sent, SendError> {
        let call = prepare(&self.rpc, self.address(), &call, self.config.gas_margin);
        let mut prepared = self.in_time(call).await?;
        self.check_fees(prepared.fees())?;
        let mut next = self.next.lock().await;
        for _ in 0..NONCE_ATTEMPTS {
            let pending = self
                .in_time(self.rpc.nonce(self.address(), At::Pending))
                .await?;
            prepared.nonce = pending.max(*next);
            match self.hand_over(&prepared).await {
                Ok(hash) => {
                    *next = prepared.nonce + 1;
                    return Ok(Sent {
                        prepared,
                        hashes: vec![hash],
                    });
                }
                // The account was used elsewhere, or something waits there that the node did not
                // count as pending.
                Err(SendError::NonceTooLow { .. } | SendError::Underpriced) => {
                    *next = prepared.nonce + 1;
                }
                Err(error) => return Err(error),
            }
        }
        Err(SendError::NonceTooLow {
            nonce: prepared.nonce,
        })
    }

    /// Signs and hands over; a node that has it already is content, and so are we. Where the answer
    /// got lost, the transaction counts as sent: sending another one could do the thing twice, and
    /// waiting finds out, or sends this one again.
    async fn hand_over(&self, prepared: &Prepared) -> Result<B256, SendError> {
        let (hash, raw) = prepared.sign(&self.signer)?;
        match self.in_time(self.rpc.send_raw(&raw)).await {
            Ok(_) | Err(RpcError::Unavailable { .. }) => Ok(hash),
            Err(error) => match SendError::of_pool(error, prepared.nonce) {
                SendError::AlreadyKnown => Ok(hash),
                error => Err(error),
            },
        }
    }

    /// A node that is silent must not hold the account's nonce for ever.
    async fn in_time<T, E: From<RpcError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(self.config.answer_within, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(RpcError::Unavailable {
                message: "no answer in time".to_owned(),
            }
            .into()),
        }
    }

    fn check_fees(&self, fees: Fees) -> Result<(), SendError> {
        match self.config.most_fee {
            Some(most) if fees.max_fee > most => Err(SendError::TooExpensive {
                asked: fees.max_fee,
                most,
            }),
            _ => Ok(()),
        }
    }

    /// Why a mined transaction reverted: the same call again, on the state after its block (where
    /// what came before it in the block shows), else on the state before.
    async fn reason(&self, prepared: &Prepared, receipt: &Receipt) -> SendError {
        let call = prepared.call();
        for number in [receipt.block_number, receipt.block_number.saturating_sub(1)] {
            let again = self.rpc.call(&call, At::Number(number));
            if let Err(RpcError::Revert { reason }) = self.in_time(again).await {
                return SendError::Reverted {
                    tx: receipt.tx,
                    reason,
                };
            }
        }
        SendError::Reverted {
            tx: receipt.tx,
            reason: Revert::default(),
        }
    }
}
