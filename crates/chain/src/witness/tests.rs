use alloy::{consensus, trie::EMPTY_ROOT_HASH};
use proptest::prelude::*;

use super::*;
use crate::receipts::{ReceiptFormat, testing};

fn header(receipts_root: B256) -> Vec<u8> {
    let header = consensus::Header {
        number: testing::NUMBER,
        timestamp: testing::TIME.unsigned_abs(),
        receipts_root,
        state_root: B256::repeat_byte(9),
        base_fee_per_gas: Some(7),
        ..consensus::Header::default()
    };
    rlp::encode(header)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_log_of_a_block_is_shown(txs in testing::blocks(200)) {
        let receipts = testing::parsed(&testing::answer(&txs));
        let root = receipts.root(ReceiptFormat::Ethereum).expect("a root");
        let rlp = header(root);
        let sealed = Sealed::read(&rlp).expect("a header");
        prop_assert_eq!((sealed.number, sealed.hash), (testing::NUMBER, keccak256(&rlp)));
        let mut shown = Vec::new();
        for tx in 0..receipts.len() {
            let proof = receipts.proof(ReceiptFormat::Ethereum, tx).expect("a path");
            let nodes = Nodes::new(&proof.nodes);
            let place = u32::try_from(tx).expect("few");
            for log in sealed.logs(testing::CHAIN, place, &nodes).expect("shown") {
                shown.push((log.tx_index, log.address, log.topics, log.data));
            }
            // The node of another receipt leads nowhere else.
            let other = sealed.logs(testing::CHAIN, place + 1000, &nodes);
            prop_assert!(other.is_err());
        }
        let told = receipts.logs().iter();
        let told: Vec<_> = told.map(|log| (log.tx_index, log.address, log.topics.clone(), log.data.clone())).collect();
        prop_assert_eq!(shown, told);
    }

    #[test]
    fn hostile_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = Sealed::read(&bytes);
        let _ = emitted(&bytes);
    }
}

#[test]
fn what_is_no_header_or_account_is_told() {
    let header = header(EMPTY_ROOT_HASH);
    for wrong in [&[][..], &[0xc0], &header[1..], &header[..header.len() - 1]] {
        assert!(Sealed::read(wrong).is_err());
    }
    let sealed = Sealed::read(&header).expect("a header");
    let nodes = Nodes::new(&[]);
    let none = sealed.logs(1, 0, &nodes).expect_err("no receipts");
    assert_eq!(none, WitnessError::Absent("the receipt"));
    let missing = sealed.storage(Address::ZERO, &nodes).expect_err("no nodes");
    assert!(
        missing
            .to_string()
            .starts_with("the account: the node 0x0909"),
        "{missing}"
    );
}
