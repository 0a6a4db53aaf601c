//! Canonical DAG-CBOR and the CIDs of blocks.
//!
//! The encoding is that of the IPLD DAG-CBOR specification: shortest integers, map keys sorted by
//! length and then bytes, no floats unless 64 bit, no indefinite lengths. Decoding refuses anything
//! else, so `encode(decode(bytes)) == bytes` for all bytes that decode.

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use serde::{Serialize, de::DeserializeOwned};

/// Multicodec of a raw block.
const RAW: u64 = 0x55;
/// Multicodec of a DAG-CBOR block.
const DAG_CBOR: u64 = 0x71;

/// Bytes that are not canonical DAG-CBOR, or a value that it cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not canonical DAG-CBOR: {0}")]
pub struct CborError(String);

/// Encodes `value` canonically.
pub fn to_dag_cbor<T: Serialize>(value: &T) -> Result<Vec<u8>, CborError> {
    serde_ipld_dagcbor::to_vec(value).map_err(|error| CborError(error.to_string()))
}

/// Decodes `bytes`, refusing every form but the canonical one.
pub fn from_dag_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    serde_ipld_dagcbor::from_slice(bytes).map_err(|error| CborError(error.to_string()))
}

/// `CIDv1` (dag-cbor, sha2-256) of an encoded block.
pub fn cid_of_dag_cbor(bytes: &[u8]) -> Cid {
    Cid::new_v1(DAG_CBOR, Code::Sha2_256.digest(bytes))
}

/// `CIDv1` (raw, sha2-256) of a block of bytes.
pub fn cid_of_raw(bytes: &[u8]) -> Cid {
    Cid::new_v1(RAW, Code::Sha2_256.digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CIDs of entry and tile of Tessera's golden log, computed by another implementation.
    #[test]
    fn raw_cids_equal_those_of_other_implementations() {
        assert_eq!(
            cid_of_raw(b"one").to_string(),
            "bafkreidwslb22nkaxoadyaqlhlxgntmiq4jdenhkbrxhcq6avxlt75br5u"
        );
    }

    #[test]
    fn other_forms_than_the_canonical_one_are_refused() {
        // 1 as a two-byte integer; {"b":1,"a":1}; an indefinite-length array.
        for wrong in [
            &[0x18, 0x01][..],
            &[0xa2, 0x61, 0x62, 1, 0x61, 0x61, 1],
            &[0x9f, 0x01, 0xff],
        ] {
            assert!(
                from_dag_cbor::<serde_json::Value>(wrong).is_err(),
                "{wrong:02x?}"
            );
        }
    }
}
