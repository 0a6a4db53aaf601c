//! Asking an Ethereum node over HTTP.
//!
//! Thin on purpose: one question, one answer, typed; or many questions in batches of the size that
//! the node takes. Repeats, spreading over providers and splitting ranges belong to the caller, who
//! learns from [`RpcError`] exactly what happened. The framing is ours, because what is read here is
//! hostile: `net` bounds bytes and time, and no id, order or count is taken on trust
//! (`docs/decisions/0008-json-rpc-is-ours.md`).

mod answer;
mod error;
mod exchange;
mod hashing;
mod header;
mod heads;
mod meter;
mod pace;
mod question;
mod range;
mod told;
mod wire;
mod words;

use std::{
    fmt,
    num::NonZeroU32,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use kernel::{Address, B256, Bytes, U256};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use url::Url;

use self::{answer::WireReceipt, meter::Meter, pace::Pace};
pub use self::{
    answer::{Fees, Receipt},
    error::RpcError,
    hashing::Hashing,
    header::Header,
    heads::{Heads, NewHead, heads},
    meter::Counters,
    question::{At, Call, LogFilter},
};
use crate::{
    log::{Log, WireLog},
    quantity::Quantity,
};

/// What a node may cost us, and what we may cost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one HTTP request, its answer included.
    pub timeout: Duration,
    /// The most that is read of one answer, in bytes after decompression.
    pub max_bytes: usize,
    /// Calls in one batch, to begin with; a node that refuses gets fewer. 1: no batches.
    pub batch: usize,
    /// Whether answers may come compressed, which does not pay on one's own machine.
    pub compressed: bool,
    /// HTTP requests that are under way at once; others wait for their turn.
    pub at_once: usize,
    /// Calls that begin within a second, each item of a batch counted, as providers count.
    pub per_second: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            // 60,000 logs are 34 MB; whoever wants more asks for a smaller range.
            max_bytes: 48 * 1024 * 1024,
            batch: 100,
            compressed: true,
            at_once: 8,
            per_second: None,
        }
    }
}

/// One node, which serves one chain. Clones share its connections, counters and what was learned of
/// its limits; many questions may be under way at once.
#[derive(Clone)]
pub struct Rpc {
    node: Arc<Node>,
    chain: u64,
    /// What its headers are held to.
    hashing: Option<Arc<Hashing>>,
}

struct Node {
    service: net::Service,
    url: Url,
    /// Calls in one batch that the node takes, as far as we know.
    batch: AtomicUsize,
    next_id: AtomicU64,
    meter: Meter,
    pace: Pace,
}

impl Rpc {
    /// Asks the node at `url` for its chain; an address that is no node is told here.
    pub async fn connect(url: Url, limits: Limits) -> Result<Self, RpcError> {
        let service = net::Service::endpoint(
            &url,
            net::Limits {
                timeout: limits.timeout,
                max_bytes: limits.max_bytes,
                compressed: limits.compressed,
            },
        );
        let service = service.map_err(|error| error::from_net("connect", &error, &url))?;
        let node = Node {
            service,
            url,
            batch: AtomicUsize::new(limits.batch.max(1)),
            next_id: AtomicU64::new(1),
            meter: Meter::default(),
            pace: Pace::new(limits.at_once, limits.per_second),
        };
        let mut rpc = Self {
            node: Arc::new(node),
            chain: 0,
            hashing: None,
        };
        rpc.chain = rpc.chain_id().await?;
        Ok(rpc)
    }

    /// The same node, whose headers must hash as the chain's others do.
    #[must_use]
    pub fn held_to(self, hashing: Arc<Hashing>) -> Self {
        Self {
            hashing: Some(hashing),
            ..self
        }
    }

    /// The chain that the node served when it was connected to.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// The node's address without user, password, path and query, which often are secrets.
    pub fn place(&self) -> String {
        error::place(self.url())
    }

    /// What the node was asked so far, and how it went.
    pub fn counters(&self) -> Counters {
        self.meter().read()
    }

    /// The most calls that one batch holds, which shrinks where the node refuses.
    pub fn batch_size(&self) -> usize {
        self.node.batch.load(Relaxed)
    }

    /// How many requests wait on our side, because the node is to get no more at once or in a second.
    pub fn waiting(&self) -> usize {
        self.pace().waiting()
    }

    /// The chain that the node serves now.
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        Ok(self.ask::<Quantity<_>>("eth_chainId", json!([])).await?.0)
    }

    /// The header of a block; `None`: the node does not know it (yet).
    pub async fn block(&self, at: At) -> Result<Option<Header>, RpcError> {
        let method = match at {
            At::Hash(_) => "eth_getBlockByHash",
            _ => "eth_getBlockByNumber",
        };
        let header: Option<Header> = match self.ask(method, (at.json(), false)).await {
            Ok(header) => header,
            // "finalized block not found": geth before the first one is final.
            Err(error) if error.is_unknown_block() => None,
            Err(error) => return Err(error),
        };
        let as_asked = header.as_ref().is_none_or(|header| match at {
            At::Number(number) => header.number == number,
            At::Hash(hash) => header.hash == hash,
            _ => true,
        });
        if !as_asked {
            return Err(self.another_block());
        }
        self.judge(&header)?;
        Ok(header)
    }

    /// The headers of a range of blocks, both ends included, in order, each the parent of the next. The chain may
    /// change between two batches: then it is [`RpcError::Contradictory`], and another try is worth it.
    pub async fn headers(&self, range: RangeInclusive<u64>) -> Result<Vec<Header>, RpcError> {
        let questions: Vec<_> = range
            .clone()
            .map(|number| (At::Number(number).json(), false))
            .collect();
        let found: Vec<Option<Header>> = self.ask_all("eth_getBlockByNumber", &questions).await?;
        let mut headers = Vec::with_capacity(found.len());
        for (number, header) in range.zip(found) {
            let header = header.ok_or_else(|| {
                self.failed(RpcError::BeyondHead {
                    message: format!("block {number} is not known"),
                })
            })?;
            if header.number != number {
                return Err(self.another_block());
            }
            headers.push(header);
        }
        self.judge(&headers)?;
        told::check_linked(&headers).map_err(|error| self.failed(error))?;
        Ok(headers)
    }

    /// The headers of these very blocks, canonical or not; `None`: unknown.
    pub async fn headers_by_hash(&self, hashes: &[B256]) -> Result<Vec<Option<Header>>, RpcError> {
        let questions: Vec<_> = hashes.iter().map(|hash| (hash, false)).collect();
        let headers: Vec<Option<Header>> = self.ask_all("eth_getBlockByHash", &questions).await?;
        let strange = |(hash, header): (&B256, &Option<Header>)| {
            header.as_ref().is_some_and(|header| header.hash != *hash)
        };
        if hashes.iter().zip(&headers).any(strange) {
            return Err(self.another_block());
        }
        self.judge(headers.iter().flatten())?;
        Ok(headers)
    }

    /// Whether these headers are worth anything.
    fn judge<'a>(&self, headers: impl IntoIterator<Item = &'a Header>) -> Result<(), RpcError> {
        let Some(hashing) = &self.hashing else {
            return Ok(());
        };
        let mut headers = headers.into_iter();
        headers
            .try_for_each(|header| hashing.judge(header))
            .map_err(|error| self.failed(error))
    }

    fn another_block(&self) -> RpcError {
        self.failed(RpcError::unexpected(
            "the node gave another block than was asked for",
        ))
    }

    /// All logs of a range of blocks, both ends included, in chain order, each once; logs that contradict each other or
    /// were not asked for are an error of the node. Whether none is missing, the caller must find out: nodes clip ranges
    /// beyond their head silently.
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
        let mut logs = self.get_logs(query).await?;
        told::put_in_order(&mut logs, &range, filter).map_err(|error| self.failed(error))?;
        Ok(logs)
    }

    /// All logs of one very block, in chain order; a block that the node does not know is an error.
    pub async fn logs_of_block(
        &self,
        hash: B256,
        filter: &LogFilter,
    ) -> Result<Vec<Log>, RpcError> {
        let mut query = filter.json();
        query["blockHash"] = json!(hash);
        let mut logs = self.get_logs(query).await?;
        logs.sort_by_key(Log::position);
        logs.dedup();
        Ok(logs)
    }

    async fn get_logs(&self, query: Value) -> Result<Vec<Log>, RpcError> {
        let logs: Vec<WireLog> = self.ask("eth_getLogs", [query]).await?;
        if logs.iter().any(|log| log.removed) {
            let removed = RpcError::unexpected("eth_getLogs answered with removed logs");
            return Err(self.failed(removed));
        }
        Ok(logs
            .into_iter()
            .map(|log| log.into_log(self.chain))
            .collect())
    }

    /// The receipts of whole blocks as the node gives them, for proofs; `None`: unknown block.
    pub async fn block_receipts(
        &self,
        hashes: &[B256],
    ) -> Result<Vec<Option<Box<RawValue>>>, RpcError> {
        let questions: Vec<_> = hashes.iter().map(|hash| [hash]).collect();
        self.ask_all("eth_getBlockReceipts", &questions).await
    }

    /// The words that contracts keep in these slots.
    pub async fn storage(&self, slots: &[(Address, B256)], at: At) -> Result<Vec<B256>, RpcError> {
        let at = at.reference();
        let questions: Vec<_> = slots.iter().map(|(of, slot)| (of, slot, &at)).collect();
        let words: Vec<Quantity<U256>> = self.ask_all("eth_getStorageAt", &questions).await?;
        Ok(words.into_iter().map(|word| word.0.into()).collect())
    }

    /// What the node proves of an account and these slots of it (EIP-1186), as it gives it.
    pub async fn proof(
        &self,
        account: Address,
        slots: &[B256],
        at: At,
    ) -> Result<Box<RawValue>, RpcError> {
        self.ask("eth_getProof", (account, slots, at.reference()))
            .await
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

    /// What a call would return that may use so much gas, for contracts that nobody vouches for.
    pub async fn call_within(&self, call: &Call, gas: u64, at: At) -> Result<Bytes, RpcError> {
        let mut limited = call.json();
        limited["gas"] = json!(format!("{gas:#x}"));
        self.ask("eth_call", json!([limited, at.reference()])).await
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
        let receipt: Option<WireReceipt> = self.ask("eth_getTransactionReceipt", [tx]).await?;
        Ok(receipt.and_then(|receipt| receipt.into_receipt(self.chain)))
    }

    /// Any method: for what has no function of its own.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<T, RpcError> {
        let answer = self.exchange(method, params).await;
        answer.map_err(|error| self.failed(error))
    }

    /// Any method, many times: the answers in the order of the questions, or the first error.
    pub async fn ask_all<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &[impl Serialize],
    ) -> Result<Vec<T>, RpcError> {
        let answers = self.exchange_all(method, params).await;
        answers.map_err(|error| self.failed(error))
    }

    /// Counts a failure that is known only from what others answer; those of our own questions are counted already.
    pub fn failed(&self, error: RpcError) -> RpcError {
        self.meter().failed(error)
    }

    fn url(&self) -> &Url {
        &self.node.url
    }

    fn service(&self) -> &net::Service {
        &self.node.service
    }

    fn pace(&self) -> &Pace {
        &self.node.pace
    }

    fn meter(&self) -> &Meter {
        &self.node.meter
    }

    /// The first of `count` new ids.
    fn ids(&self, count: usize) -> u64 {
        self.node.next_id.fetch_add(count as u64, Relaxed)
    }

    /// Remembers that a batch of `refused` calls was too many.
    fn halve_batch(&self, refused: usize) {
        self.node.batch.fetch_min((refused / 2).max(1), Relaxed);
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rpc({}, chain {})", self.place(), self.chain)
    }
}
