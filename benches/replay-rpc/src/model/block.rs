//! From what happens in a block to the block.

use std::sync::Arc;

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EthereumReceipt, Header, ReceiptWithBloom,
    proofs::{calculate_receipt_root, calculate_transaction_root},
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B64, B256, Bloom, BloomInput, Bytes, U256, b256, keccak256};

use super::{
    state::World,
    tx::{Kind, Tx},
};

/// Which fields headers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fork {
    /// With a base fee.
    London,
    /// And withdrawals.
    Shanghai,
    /// And blob gas, and the beacon chain's root.
    Cancun,
    /// And requests.
    Prague,
}

/// What all blocks of a chain have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// EIP-155.
    pub chain_id: u64,
    /// The form of headers.
    pub fork: Fork,
}

/// The base fee of all blocks, in wei.
const BASE_FEE: u64 = 1_000_000_000;
const GAS_LIMIT: u64 = 60_000_000;
/// SHA-256 of nothing, the hash of an empty list of requests (EIP-7685).
const NO_REQUESTS: B256 = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// What happens in a block.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Who proposes it. Two blocks on one parent that say the same are one block; another proposer
    /// makes them two.
    pub proposer: Address,
    /// Its transactions, in order.
    pub txs: Vec<Tx>,
    /// The state after it. Without one its root is a made-up word, and the methods that would prove
    /// or read state are not served.
    pub state: Option<Arc<World>>,
}

/// A transaction in its block.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The transaction.
    pub tx: Tx,
    /// Its hash.
    pub hash: B256,
    /// Gas used in the block up to it, itself included.
    pub cumulative_gas: u64,
    /// Index in the block of its first log.
    pub first_log: u64,
    /// The bytes of its bloom that are not zero: place, value.
    bloom: Box<[(u8, u8)]>,
}

impl Sealed {
    /// The bloom of its receipt.
    pub fn bloom(&self) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for (place, value) in &self.bloom {
            bloom[usize::from(*place)] = *value;
        }
        bloom
    }
}

/// A block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its header, true in all its parts but the seal.
    pub header: Header,
    /// Keccak-256 of the header's RLP.
    pub hash: B256,
    /// Its chain.
    pub spec: Spec,
    /// Its transactions with their outcomes.
    pub txs: Vec<Sealed>,
    /// The state after it, where it is kept.
    pub state: Option<Arc<World>>,
    /// Length of its RLP.
    pub size: u64,
}

impl Block {
    /// Makes a block on `parent`; without one, a genesis with number 0.
    pub fn seal(spec: Spec, parent: Option<&Self>, draft: Draft) -> Self {
        let bodies: Vec<_> = draft
            .txs
            .iter()
            .map(|tx| tx.envelope(spec.chain_id))
            .collect();
        let hashes = bodies.iter().map(|body| *body.tx_hash());
        let (txs, receipts_root, logs_bloom) = execute(hashes.zip(draft.txs));
        let number = parent.map_or(0, |parent| parent.header.number + 1);
        let state_root = match &draft.state {
            Some(state) => state.root(),
            None => keccak256([b"state".as_slice(), &number.to_be_bytes()].concat()),
        };
        let since = |fork: Fork| spec.fork >= fork;
        let header = Header {
            parent_hash: parent.map_or(B256::ZERO, |parent| parent.hash),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: draft.proposer,
            state_root,
            transactions_root: calculate_transaction_root(&bodies),
            receipts_root,
            logs_bloom,
            difficulty: U256::ZERO,
            number,
            gas_limit: GAS_LIMIT,
            gas_used: txs.last().map_or(0, |last| last.cumulative_gas),
            timestamp: draft.timestamp,
            extra_data: Bytes::from_static(b"replay"),
            mix_hash: keccak256(draft.timestamp.to_be_bytes()),
            nonce: B64::ZERO,
            base_fee_per_gas: Some(BASE_FEE),
            withdrawals_root: since(Fork::Shanghai).then_some(EMPTY_ROOT_HASH),
            blob_gas_used: since(Fork::Cancun).then_some(0),
            excess_blob_gas: since(Fork::Cancun).then_some(0),
            parent_beacon_block_root: since(Fork::Cancun).then_some(B256::ZERO),
            requests_hash: since(Fork::Prague).then_some(NO_REQUESTS),
            ..Header::default()
        };
        let encoded = alloy_rlp::encode(&header);
        let body: usize = bodies.iter().map(|body| body.encode_2718_len() + 3).sum();
        Self {
            hash: keccak256(&encoded),
            size: (encoded.len() + body + 6) as u64,
            header,
            spec,
            txs,
            state: draft.state,
        }
    }

    /// Its height.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// All its logs with their transactions, in order: index in the block, transaction, log.
    pub fn logs(&self) -> impl Iterator<Item = (u64, usize, &alloy_primitives::Log)> {
        self.txs.iter().enumerate().flat_map(|(place, sealed)| {
            (sealed.first_log..)
                .zip(&sealed.tx.logs)
                .map(move |(index, log)| (index, place, log))
        })
    }

    /// What a transaction of it pays for one gas, in wei.
    pub(super) fn gas_price(&self, kind: Kind) -> u128 {
        let base = u128::from(self.header.base_fee_per_gas.unwrap_or_default());
        match kind {
            Kind::DynamicFee => (base + super::tx::TIP).min(super::tx::MAX_FEE),
            Kind::Legacy | Kind::AccessList => super::tx::MAX_FEE,
        }
    }
}

/// Transactions with what they came to, the receipts' root, and the block's bloom.
fn execute(txs: impl Iterator<Item = (B256, Tx)>) -> (Vec<Sealed>, B256, Bloom) {
    let (mut sealed, mut receipts) = (Vec::new(), Vec::new());
    let (mut gas, mut first_log, mut all) = (0, 0, Bloom::ZERO);
    for (hash, mut tx) in txs {
        gas += tx.gas;
        let logs = std::mem::take(&mut tx.logs);
        let mut bloom = Bloom::ZERO;
        for log in &logs {
            bloom.accrue(BloomInput::Raw(log.address.as_slice()));
            for topic in log.topics() {
                bloom.accrue(BloomInput::Raw(topic.as_slice()));
            }
        }
        all |= bloom;
        let places = (0..=u8::MAX).zip(bloom.iter().copied());
        sealed.push(Sealed {
            hash,
            cumulative_gas: gas,
            first_log,
            bloom: places.filter(|(_, value)| *value != 0).collect(),
            tx,
        });
        let (kind, success) = {
            let tx = &sealed[sealed.len() - 1].tx;
            (tx.kind, tx.success)
        };
        first_log += logs.len() as u64;
        let receipt = EthereumReceipt {
            tx_type: kind.tx_type(),
            success,
            cumulative_gas_used: gas,
            logs,
        };
        receipts.push(ReceiptWithBloom {
            receipt,
            logs_bloom: bloom,
        });
    }
    let root = calculate_receipt_root(&receipts);
    for (sealed, receipt) in sealed.iter_mut().zip(receipts) {
        sealed.tx.logs = receipt.receipt.logs;
    }
    (sealed, root, all)
}
