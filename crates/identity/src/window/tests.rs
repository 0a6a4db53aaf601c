use chain::{Said, contracts::topics};
use kernel::U256;
use proptest::prelude::*;

use super::*;

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        Just(Address::ZERO),
        any::<[u8; 20]>().prop_map(Address::from)
    ]
}

fn bytes() -> impl Strategy<Value = kernel::Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(kernel::Bytes::from)
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Said::Noted),
        (address(), any::<bool>())
            .prop_map(|(owner, confirmed)| Said::Founded { owner, confirmed }),
        (address(), address()).prop_map(|(from, to)| Said::OwnerMoved { from, to }),
        address().prop_map(|from| Said::Burned { from }),
        (prop::option::of(address()), any::<bool>())
            .prop_map(|(wallet, confirmed)| Said::WalletSet { wallet, confirmed }),
        (bytes(), any::<bool>()).prop_map(|(uri, confirmed)| Said::UriSet { uri, confirmed }),
        (bytes(), bytes()).prop_map(|(key, value)| Said::MetadataSet { key, value }),
        (0_u8..3, bytes(), address()).prop_map(|(status, reason, speaker)| Said::StatusSet {
            status,
            reason,
            speaker
        }),
        Just(Said::Heartbeat),
        prop::option::of(address()).prop_map(|approved| Said::Approved { approved }),
    ]
}

proptest! {
    #[test]
    fn words_are_read_as_they_were_written(said in prop::collection::vec(said(), 0..4), index: u32, address in 0_usize..1_000_000) {
        let mut arena = Arena::default();
        let transaction = arena.put(&record::transaction(300, &B256::repeat_byte(7)));
        let (record, places) = LogRecord::write(transaction, index, address, &said);
        let link = arena.put(&record);
        arena.put(b"what follows");
        let read = LogRecord::read(&mut Reader::new(arena.get(link)));
        prop_assert_eq!((read.index, read.address, read.transaction), (index, address, transaction));
        let uris = said.iter().filter_map(|said| match said {
            Said::UriSet { uri, .. } => Some(uri.as_ref()),
            _ => None,
        });
        let found = places.iter().map(|place| Reader::new(arena.get(link.plus(*place))).bytes());
        prop_assert_eq!(found.collect::<Vec<_>>(), uris.collect::<Vec<_>>());
        prop_assert_eq!(read.said, said);
    }

    #[test]
    fn token_ids_are_read_as_they_were_written(id: [u8; 32], registry in 0_usize..300) {
        let id = U256::from_be_bytes(id);
        let token = TokenRecord::read(&TokenRecord::write(registry, id));
        prop_assert_eq!((token.next, token.registry, token.id), (None, registry, id));
    }
}

fn log(block: u64, index: u32, topics: Vec<B256>, data: Vec<u8>) -> Log {
    Log {
        chain: 1,
        block_number: block,
        block_hash: B256::repeat_byte(u8::try_from(block).expect("few")),
        block_time: None,
        tx_hash: B256::repeat_byte(9),
        tx_index: 0,
        log_index: index,
        address: Address::repeat_byte(0x11),
        topics,
        data: data.into(),
    }
}

fn block(number: u64, time: Option<i64>) -> Block {
    Block {
        number,
        hash: B256::repeat_byte(u8::try_from(number).expect("few")),
        parent: None,
        time,
    }
}

fn token(id: u64) -> (AgentId, Token) {
    let token = Token {
        chain: 1,
        registry: Address::repeat_byte(0x11),
        id: U256::from(id),
    };
    (AgentId::of_token(&token), token)
}

fn mint(id: u64) -> Vec<B256> {
    let owner = Address::repeat_byte(0xaa);
    vec![
        topics::TRANSFER,
        B256::ZERO,
        owner.into_word(),
        U256::from(id).into(),
    ]
}

#[test]
fn logs_are_told_by_agent_in_chain_order_over_steps() {
    let now = DateTime::from_timestamp(77, 0).expect("a time");
    let mut window = Window::new(1, SeenTopics::ALL, 4);
    assert!(window.is_empty());
    let uri = vec![topics::URI_UPDATED, U256::from(1).into(), B256::ZERO];
    let first = [
        (log(5, 0, mint(1), vec![]), Some(token(1))),
        (log(5, 1, mint(2), vec![]), Some(token(2))),
        (log(6, 3, uri, vec![1, 2, 3]), Some(token(1))),
        (log(6, 4, vec![topics::HEARTBEAT], vec![]), None),
    ];
    let blocks = [block(5, Some(50)), block(6, None)];
    let malformed = window.add(9, now, &blocks, &first).expect("whole");
    assert_eq!(malformed.len(), 1);
    assert_eq!((malformed[0].0, malformed[0].1.what), (2, "URIUpdated"));
    let second = [(log(10, 0, mint(1), vec![]), Some(token(1)))];
    let malformed = window.add(12, now, &[block(10, Some(60))], &second);
    assert_eq!(malformed.expect("whole"), []);
    let homeless = window.add(14, now, &[block(13, None)], &second);
    assert!(
        homeless
            .expect_err("no block 10")
            .to_string()
            .contains("block 10")
    );

    assert_eq!((window.len(), window.agents()), (5, 2));
    assert_eq!((window.chain(), window.after(), window.to()), (1, 4, 12));
    let order = window.by_id();
    assert!(window.agent(order[0]) < window.agent(order[1]));
    let place = *order
        .iter()
        .find(|place| window.agent(**place) == token(1).0)
        .expect("there");
    assert_eq!(window.token(place), token(1).1);
    let told: Vec<_> = window
        .told(place)
        .map(|told| {
            (
                told.block,
                told.index,
                told.time / 1_000_000,
                told.said.len(),
            )
        })
        .collect();
    // A log that cannot be read says nothing, but its block's time counts.
    assert_eq!(told, [(5, 0, 50, 2), (6, 3, 77, 0), (10, 0, 60, 2)]);
    let last = window.told(place).last().expect("three");
    assert_eq!(last.block_hash, B256::repeat_byte(10));
    assert_eq!(last.tx_hash, B256::repeat_byte(9));
    assert_eq!(last.address, Address::repeat_byte(0x11));
}

#[test]
fn a_record_larger_than_a_piece_is_kept_whole() {
    let mut arena = Arena::default();
    let small = arena.put(b"12345abc");
    let large = arena.put(&vec![7; 3 << 20]);
    let next = arena.put(b"next!");
    arena.set(small, next);
    assert_eq!(arena.get(large)[..3 << 20], vec![7; 3 << 20]);
    assert_eq!(&arena.get(small)[..5], &next.bytes());
    assert_eq!(&arena.get(next)[..5], b"next!");
    assert!(arena.bytes() >= (3 << 20) + 13);
}
