//! Whether headers are what their hashes commit to.
//!
//! Everything that a block proves of its logs begins with its header, so a node whose header does not hash to its
//! hash is no better than one that does not answer. But some chains make their headers in ways of their own
//! (Avalanche adds fields, zkSync has no such header): those are read all the same, and nothing is proven of them.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::{Header, RpcError};

/// Nobody told a header yet.
const UNSEEN: u8 = 0;
/// Somebody told one that does not hash, and nobody one that does.
const DOUBTED: u8 = 1;
/// All who were asked told such ones: the chain is believed to have no others.
const EXCUSED: u8 = 2;
/// Somebody told one that hashes: whoever tells one that does not is wrong, from now on.
const HASHED: u8 = 3;

/// What is known of the headers of one chain, shared by all who serve it.
#[derive(Debug, Default)]
pub struct Hashing(AtomicU8);

impl Hashing {
    /// Believes that this chain's headers do not hash as Ethereum's do, if nobody told one that does. Whether that is
    /// new; for when all others were asked.
    pub fn excuse(&self) -> bool {
        let was = self.0.compare_exchange(DOUBTED, EXCUSED, Relaxed, Relaxed);
        was.is_ok()
    }

    /// Refuses a header that does not hash, unless the chain has no others.
    pub(super) fn judge(&self, header: &Header) -> Result<(), RpcError> {
        // The first block of some chains is of an older form than all others (Celo, Arbitrum), and holds no logs.
        if header.number == 0 {
            return Ok(());
        }
        if header.verified().is_some() {
            self.0.store(HASHED, Relaxed);
            return Ok(());
        }
        let before = self.0.compare_exchange(UNSEEN, DOUBTED, Relaxed, Relaxed);
        let number = header.number;
        match before {
            Ok(_) | Err(DOUBTED) => Err(RpcError::Unhashed { number }),
            Err(EXCUSED) => Ok(()),
            Err(_) => Err(RpcError::unexpected(format!(
                "the header of block {number} does not hash to its hash, which others of this chain do"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A header as a node tells it; `hashes` says whether it has its own hash.
    fn header(number: u64, hashes: bool) -> Header {
        let told = json!({
            "number": format!("{number:#x}"), "parentHash": kernel::B256::ZERO, "timestamp": "0x1",
            "hash": kernel::B256::ZERO, "receiptsRoot": kernel::B256::ZERO, "stateRoot": kernel::B256::ZERO,
            "logsBloom": format!("0x{}", "00".repeat(256)), "sha3Uncles": kernel::B256::ZERO,
            "miner": kernel::Address::ZERO, "transactionsRoot": kernel::B256::ZERO, "difficulty": "0x0",
            "gasLimit": "0x1", "gasUsed": "0x0", "extraData": "0x", "mixHash": kernel::B256::ZERO,
            "nonce": "0x0000000000000000",
        });
        let mut header: Header = serde_json::from_value(told).expect("a header");
        if hashes {
            header.hash = header.own_hash().expect("complete");
        }
        header
    }

    #[test]
    fn one_that_hashes_makes_others_wrong_and_none_that_does_excuses_all() {
        let [good, bad] = [header(7, true), header(7, false)];
        let hashing = Hashing::default();
        assert!(!hashing.excuse(), "nobody was asked");
        for _ in 0..2 {
            let doubted = hashing.judge(&bad);
            assert_eq!(doubted, Err(RpcError::Unhashed { number: 7 }));
        }
        assert!(hashing.excuse());
        assert!(!hashing.excuse(), "only once");
        assert_eq!(hashing.judge(&bad), Ok(()));
        assert_eq!(hashing.judge(&good), Ok(()));
        let wrong = hashing.judge(&bad);
        assert!(matches!(wrong, Err(RpcError::Other { .. })), "{wrong:?}");
        assert!(!hashing.excuse(), "never again");
        assert_eq!(hashing.judge(&header(0, false)), Ok(()));
    }
}
