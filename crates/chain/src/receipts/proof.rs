//! One receipt's path in the trie of its block's receipts.

use alloy::{
    rlp::encode_fixed_size,
    trie::{HashBuilder, Nibbles, proof::ProofRetainer, proof::verify_proof, root},
};
use kernel::{B256, Bytes, Kind};

/// What shows that a receipt stands in a block, to somebody who has the block's header only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptProof {
    /// Place of the transaction in its block.
    pub tx_index: usize,
    /// The receipt's consensus encoding: EIP-2718 type, then RLP.
    pub receipt: Bytes,
    /// RLP of the trie's nodes from the root down to the receipt.
    pub nodes: Vec<Bytes>,
}

/// The nodes do not lead from the root to the receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the receipt is not proven: {0}")]
pub struct ProofError(String);

impl ProofError {
    /// Always [`Kind::Invalid`].
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl ReceiptProof {
    /// Of one of the receipts, which are all of a block.
    pub(super) fn of(encoded: &[Vec<u8>], tx_index: usize) -> Option<Self> {
        let mut builder =
            HashBuilder::default().with_proof_retainer(ProofRetainer::from_iter([key(tx_index)]));
        for place in 0..encoded.len() {
            // Keys must rise, and RLP of 0 sorts behind that of 127.
            let index = root::adjust_index_for_rlp(place, encoded.len());
            builder.add_leaf(key(index), &encoded[index]);
        }
        builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted();
        Some(Self {
            tx_index,
            receipt: encoded.get(tx_index)?.clone().into(),
            nodes: nodes.into_iter().map(|(_, node)| node).collect(),
        })
    }

    /// Whether the receipt stands at its place under a header's `receiptsRoot`.
    pub fn verify(&self, receipts_root: B256) -> Result<(), ProofError> {
        let receipt = Some(self.receipt.to_vec());
        verify_proof(receipts_root, key(self.tx_index), receipt, &self.nodes)
            .map_err(|error| ProofError(error.to_string()))
    }
}

fn key(tx_index: usize) -> Nibbles {
    Nibbles::unpack(encode_fixed_size(&tx_index))
}
