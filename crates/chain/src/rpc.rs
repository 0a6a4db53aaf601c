//! Asking an Ethereum node over HTTP.
//!
//! Thin on purpose: one request, one answer, typed. Time limits, repeats, spreading over providers
//! and splitting ranges belong to the caller, who learns from [`RpcError`] exactly what happened.
//! `alloy` carries the requests; what its own retry layer thinks of an error is not used, because
//! it takes every -32005 for a rate limit (Infura's "more than 10000 results" is one).

mod answer;
mod error;
mod question;
mod range;
mod words;

use std::{fmt, ops::RangeInclusive};

use alloy::rpc::client::RpcClient;
use kernel::{Address, B256, Bytes, U256};
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};
use url::Url;

pub use self::{
    answer::{Fees, Header, Receipt},
    error::RpcError,
    question::{At, Call, LogFilter},
};
use crate::{
    log::{Log, WireLog},
    quantity::Quantity,
};

/// One node, which serves one chain.
#[derive(Clone)]
pub struct Rpc {
    client: RpcClient,
    url: Url,
    chain: u64,
}

impl Rpc {
    /// Asks the node at `url` for its chain; an address that is no node is told here.
    pub async fn connect(url: Url) -> Result<Self, RpcError> {
        let mut rpc = Self {
            client: RpcClient::new_http(url.clone()),
            url,
            chain: 0,
        };
        rpc.chain = rpc.chain_id().await?;
        Ok(rpc)
    }

    /// The chain that the node served when it was connected to.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// The node's address without user, password, path and query, which often are secrets.
    pub fn place(&self) -> String {
        error::place(&self.url)
    }

    /// The chain that the node serves now.
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        Ok(self.ask::<Quantity<_>>("eth_chainId", json!([])).await?.0)
    }

    /// The header of a block; `None`: the node does not know it (yet).
    pub async fn block(&self, at: At) -> Result<Option<Header>, RpcError> {
        let raw: Result<Option<Value>, RpcError> = match at {
            At::Hash(hash) => self.ask("eth_getBlockByHash", json!([hash, false])).await,
            other => {
                self.ask("eth_getBlockByNumber", json!([other.json(), false]))
                    .await
            }
        };
        match raw {
            Ok(Some(raw)) => Header::parse(raw).map(Some),
            Ok(None) => Ok(None),
            // "finalized block not found": geth before the first one is final.
            Err(error) if error.is_unknown_block() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All logs of a range of blocks, both ends included, in the node's order. Whether none is
    /// missing, the caller must find out: nodes clip ranges beyond their head silently.
    pub async fn logs(
        &self,
        range: RangeInclusive<u64>,
        filter: &LogFilter,
    ) -> Result<Vec<Log>, RpcError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = filter.json();
        query["fromBlock"] = At::Number(*range.start()).json();
        query["toBlock"] = At::Number(*range.end()).json();
        self.get_logs(query).await
    }

    /// All logs of one very block; a block that the node does not know is an error.
    pub async fn logs_of_block(
        &self,
        hash: B256,
        filter: &LogFilter,
    ) -> Result<Vec<Log>, RpcError> {
        let mut query = filter.json();
        query["blockHash"] = json!(hash);
        self.get_logs(query).await
    }

    async fn get_logs(&self, query: Value) -> Result<Vec<Log>, RpcError> {
        let logs: Vec<WireLog> = self.ask("eth_getLogs", json!([query])).await?;
        if logs.iter().any(|log| log.removed) {
            return Err(RpcError::unexpected(
                "eth_getLogs answered with removed logs",
            ));
        }
        Ok(logs
            .into_iter()
            .map(|log| log.into_log(self.chain))
            .collect())
    }

    /// Receipts of a whole block as the node gives them, for proofs; `None`: unknown block.
    pub async fn block_receipts_raw(&self, hash: B256) -> Result<Option<Value>, RpcError> {
        self.ask("eth_getBlockReceipts", json!([hash])).await
    }

    /// A contract's code; empty where there is none.
    pub async fn code(&self, address: Address, at: At) -> Result<Bytes, RpcError> {
        self.ask("eth_getCode", json!([address, at.reference()]))
            .await
    }

    /// An account's wei.
    pub async fn balance(&self, address: Address, at: At) -> Result<U256, RpcError> {
        let wei = self.ask::<Quantity<_>>("eth_getBalance", json!([address, at.reference()]));
        Ok(wei.await?.0)
    }

    /// What a call would return; a refusal is [`RpcError::Revert`].
    pub async fn call(&self, call: &Call, at: At) -> Result<Bytes, RpcError> {
        self.ask("eth_call", json!([call.json(), at.reference()]))
            .await
    }

    /// The gas that a call would take; a refusal is [`RpcError::Revert`].
    pub async fn estimate_gas(&self, call: &Call) -> Result<u64, RpcError> {
        Ok(self
            .ask::<Quantity<_>>("eth_estimateGas", json!([call.json()]))
            .await?
            .0)
    }

    /// The number of an account's transactions up to `at`.
    pub async fn nonce(&self, account: Address, at: At) -> Result<u64, RpcError> {
        let count = json!([account, at.reference()]);
        Ok(self
            .ask::<Quantity<_>>("eth_getTransactionCount", count)
            .await?
            .0)
    }

    /// What a transaction has to pay now (EIP-1559).
    pub async fn fees(&self) -> Result<Fees, RpcError> {
        let head = self.block(At::Latest).await?;
        let base = head.and_then(|head| head.base_fee).ok_or_else(|| {
            RpcError::unexpected("the chain has no base fee (EIP-1559), which we need to send")
        })?;
        let tip = match self
            .ask::<Quantity<_>>("eth_maxPriorityFeePerGas", json!([]))
            .await
        {
            Ok(tip) => tip.0,
            Err(RpcError::NoMethod { .. }) => Fees::USUAL_TIP,
            Err(error) => return Err(error),
        };
        Ok(Fees::over(base, tip))
    }

    /// Hands a signed transaction to the node.
    pub async fn send_raw(&self, raw: &[u8]) -> Result<B256, RpcError> {
        let raw = Bytes::copy_from_slice(raw);
        self.ask("eth_sendRawTransaction", json!([raw])).await
    }

    /// A transaction's receipt; `None`: not mined, or (anvil) not just yet.
    pub async fn receipt(&self, tx: B256) -> Result<Option<Receipt>, RpcError> {
        Receipt::parse(
            self.ask("eth_getTransactionReceipt", json!([tx])).await?,
            self.chain,
        )
    }

    /// Any method: for what has no function of its own.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        let answer: Result<Box<RawValue>, _> = self.client.request(method, params).await;
        let answer = answer.map_err(|error| RpcError::classify(method, &error, &self.url))?;
        serde_json::from_str(answer.get()).map_err(|error| {
            RpcError::unexpected(format!("{method} answered with something else: {error}"))
        })
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rpc({}, chain {})", self.place(), self.chain)
    }
}
