use alloy::trie::{HashBuilder, Nibbles};
use proptest::prelude::*;

use super::*;

/// A trie with these values and all nodes on the paths to `asked`, as another implementation makes it.
fn trie(values: &BTreeMap<[u8; 4], Vec<u8>>, asked: &[[u8; 4]]) -> (B256, Vec<Bytes>) {
    let retained = asked.iter().map(Nibbles::unpack).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(retained);
    for (key, value) in values {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node).collect())
}

fn values() -> impl Strategy<Value = BTreeMap<[u8; 4], Vec<u8>>> {
    // Few different nibbles, so that paths are shared.
    let key = prop::array::uniform4(prop_oneof![Just(0_u8), Just(1), Just(0x10), any::<u8>()]);
    prop::collection::btree_map(key, prop::collection::vec(any::<u8>(), 1..70), 0..40)
}

proptest! {
    #[test]
    fn values_and_their_absence_are_read(values in values(), absent in any::<[u8; 4]>(), flip in any::<(u16, u16)>()) {
        let mut asked: Vec<[u8; 4]> = values.keys().copied().collect();
        asked.push(absent);
        let (root, nodes) = trie(&values, &asked);
        let pool = Nodes::new(&nodes);
        for key in &asked {
            prop_assert_eq!(pool.get(root, key), Ok(values.get(key).map(Vec::as_slice)));
        }
        let mut used: Vec<Bytes> = pool.used();
        let mut all: Vec<Bytes> = if values.is_empty() { Vec::new() } else { nodes.clone() };
        all.retain(|node| node.len() >= 32 || keccak256(node) == root);
        used.sort();
        all.sort();
        all.dedup();
        prop_assert_eq!(used, all);

        // A node that is altered is not found, so that no other value can be.
        let mut altered = nodes;
        if let Some(node) = altered.get_mut(usize::from(flip.0) % values.len().max(1)) {
            let mut bytes = node.to_vec();
            let at = usize::from(flip.1) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
            *node = bytes.into();
        }
        let pool = Nodes::new(&altered);
        for key in &asked {
            if let Ok(read) = pool.get(root, key) {
                prop_assert_eq!(read, values.get(key).map(Vec::as_slice));
            }
        }
    }

    #[test]
    fn hostile_nodes_are_survived(nodes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4), key in prop::collection::vec(any::<u8>(), 0..6)) {
        let nodes: Vec<Bytes> = nodes.into_iter().map(Bytes::from).collect();
        let _ = Nodes::new(&nodes).get(keccak256(&nodes[0]), &key);
    }
}

#[test]
fn malformed_nodes_are_told() {
    // RLP by hand: an empty list; a list of one; an extension without a path; a path of no kind; a short reference.
    for (node, words) in [
        (&[0xc0][..], "neither 2 nor 17"),
        (&[0xc1, 0x01], "neither 2 nor 17"),
        (&[0x01], "no list"),
        (&[0xc2, 0x00, 0x01], "leads nowhere"),
        (&[0xc2, 0x40, 0x01], "path is none"),
        (&[0xc3, 0x11, 0x81, 0xff], "no hash"),
        (&[0xc2, 0x01], "no list"),
    ] {
        let nodes = [Bytes::copy_from_slice(node)];
        let error = Nodes::new(&nodes)
            .get(keccak256(node), &[0x11])
            .expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
    let missing = Nodes::new(&[]).get(B256::repeat_byte(1), &[1]);
    assert_eq!(missing, Err(TrieError::Missing(B256::repeat_byte(1))));
    assert_eq!(Nodes::new(&[]).get(EMPTY_ROOT_HASH, &[1]), Ok(None));
}
