//! A transaction: what it is, and what came of it.

use alloy_consensus::{
    Signed, TxEip1559, TxEip2930, TxEnvelope, TxLegacy, TxType,
    transaction::{SignableTransaction, TxHashRef},
};
use alloy_primitives::{Address, B256, Bytes, Log, Signature, TxKind, U256, keccak256};

/// The envelope that a transaction comes in; its receipt has the same type byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Type 0.
    Legacy,
    /// Type 1, EIP-2930.
    AccessList,
    /// Type 2, EIP-1559.
    #[default]
    DynamicFee,
}

impl Kind {
    /// The EIP-2718 type.
    pub fn tx_type(self) -> TxType {
        match self {
            Self::Legacy => TxType::Legacy,
            Self::AccessList => TxType::Eip2930,
            Self::DynamicFee => TxType::Eip1559,
        }
    }
}

/// One transaction with its outcome. Equal values have the same hash, in whatever block they stand,
/// as a transaction that is included again after a reorg has; another nonce makes another hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tx {
    /// Its envelope.
    pub kind: Kind,
    /// The sender's nonce.
    pub nonce: u64,
    /// The sender, as nodes say it. The signature is well-formed, but not his.
    pub from: Address,
    /// The callee; none creates a contract.
    pub to: Option<Address>,
    /// Call data.
    pub input: Bytes,
    /// Whether it succeeded. A failed one has no logs.
    pub success: bool,
    /// Gas used.
    pub gas: u64,
    /// What it logged.
    pub logs: Vec<Log>,
}

impl Tx {
    /// A call of `to` that succeeds and logs `logs`.
    pub fn call(from: Address, nonce: u64, to: Address, logs: Vec<Log>) -> Self {
        Self {
            kind: Kind::default(),
            nonce,
            from,
            to: Some(to),
            input: Bytes::new(),
            success: true,
            gas: 21_000 + 30_000 * logs.len() as u64,
            logs,
        }
    }

    /// The signed transaction, as it stands in the block's body.
    pub(super) fn envelope(&self, chain: u64) -> TxEnvelope {
        let gas_limit = self.gas + self.gas / 4;
        let to = self.to.map_or(TxKind::Create, TxKind::Call);
        let (nonce, value, input) = (self.nonce, U256::ZERO, self.input.clone());
        let signature = self.signature();
        let access_list = alloy_eips::eip2930::AccessList::default();
        match self.kind {
            Kind::Legacy => signed(
                TxLegacy {
                    chain_id: Some(chain),
                    nonce,
                    gas_price: MAX_FEE,
                    gas_limit,
                    to,
                    value,
                    input,
                },
                signature,
            ),
            Kind::AccessList => signed(
                TxEip2930 {
                    chain_id: chain,
                    nonce,
                    gas_price: MAX_FEE,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                },
                signature,
            ),
            Kind::DynamicFee => signed(
                TxEip1559 {
                    chain_id: chain,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: MAX_FEE,
                    max_priority_fee_per_gas: TIP,
                    to,
                    value,
                    access_list,
                    input,
                },
                signature,
            ),
        }
    }

    /// Numbers that could be a signature: both not zero, r below the curve's order, s in its lower half.
    fn signature(&self) -> Signature {
        let mut seed = [0; 28];
        seed[..20].copy_from_slice(self.from.as_slice());
        seed[20..].copy_from_slice(&self.nonce.to_be_bytes());
        let word = keccak256(seed);
        let small = |word: B256| (U256::from_be_bytes(word.0) >> 2) | U256::from(1);
        Signature::new(small(word), small(keccak256(word)), word[0] & 1 == 1)
    }
}

/// What everybody is ready to pay for gas, in wei.
pub(super) const MAX_FEE: u128 = 2_000_000_000;
/// What everybody adds for the proposer, in wei.
pub(super) const TIP: u128 = 1_000_000;

fn signed<T>(tx: T, signature: Signature) -> TxEnvelope
where
    T: SignableTransaction<Signature>,
    Signed<T>: Into<TxEnvelope> + TxHashRef,
{
    tx.into_signed(signature).into()
}
