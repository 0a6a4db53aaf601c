use super::*;
use ipld_core::ipld::Ipld;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

fn sample() -> Entry {
    let time = DateTime::from_timestamp_micros(1_767_323_045_000_006).expect("in range");
    Entry {
        kind: EntryKind::Agent,
        agent: Some(AgentId::of_did("did:vexel:agent1")),
        time,
        changes: vec![Change {
            column: "name".to_owned(),
            value: json!({"b": 1, "a": ["x", null]}),
            cause: "log:1".to_owned(),
            time,
        }],
        said: vec![],
        prev: None,
    }
}

#[test]
fn the_bytes_are_the_documented_ones() {
    let bytes = sample().encode().expect("fits");
    // Keys by length, then bytes: v, kind, prev, time, agent, changes.
    let mut want =
        b"\xa6\x61v\x01\x64kind\x65agent\x64prev\xf6\x64time\x78\x1b2026-01-02T03:04:05.000006Z\
        \x65agent\x78\x24c3ee1a61-2ce6-5741-9a22-c703f7b0008f\x67changes\x81\x84\x64name"
            .to_vec();
    want.extend_from_slice(
        b"\xa2\x61a\x82\x61x\xf6\x61b\x01\x65log:1\x78\x1b2026-01-02T03:04:05.000006Z",
    );
    assert_eq!(bytes, want);
    assert_eq!(Entry::parse(&bytes).expect("canonical"), sample());
    // Computed with Python's hashlib and base64.
    assert_eq!(
        Entry::cid_of(&bytes).to_string(),
        "bafyreian6t5qyqd5zz2l6ogxpse5yj2nsmkccjypkisxda3gnv35ofup4e"
    );
}

/// Every form that another encoder might choose, and every field that does not belong.
#[test]
fn other_forms_are_refused() {
    let map = || -> BTreeMap<String, Ipld> {
        kernel::from_dag_cbor(&sample().encode().expect("fits")).expect("a map")
    };
    let text = |text: &str| Ipld::String(text.to_owned());
    let wrongs: Vec<(&str, Option<Ipld>)> = vec![
        ("v", Some(Ipld::Integer(2))),
        ("v", Some(text("1"))),
        ("v", None),
        ("more", Some(Ipld::Null)),
        ("said", Some(Ipld::Null)),
        ("said", Some(Ipld::List(vec![]))),
        ("prev", None),
        ("prev", Some(text("QmNot"))),
        ("prev", Some(Ipld::Link(Entry::cid_of(b"x")))),
        ("agent", None),
        ("agent", Some(Ipld::Null)),
        ("agent", Some(text("C3EE1A61-2CE6-5741-9A22-C703F7B0008F"))),
        ("agent", Some(text("c3ee1a612ce657419a22c703f7b0008f"))),
        ("kind", Some(text("rumour"))),
        ("kind", Some(text("act"))),
        ("kind", Some(text("retracted"))),
        ("kind", Some(Ipld::Bytes(b"agent".to_vec()))),
        ("time", Some(text("2026-01-02T03:04:05Z"))),
        ("time", Some(text("2026-01-02T03:04:05.000006+00:00"))),
        ("time", Some(text("2026-13-02T03:04:05.000006Z"))),
        ("changes", Some(Ipld::List(vec![]))),
        (
            "changes",
            Some(Ipld::List(vec![Ipld::List(vec![
                text("name"),
                Ipld::Null,
                text("c"),
            ])])),
        ),
        (
            "changes",
            Some(Ipld::List(vec![Ipld::List(vec![
                text("name"),
                Ipld::Float(1.5),
                text("c"),
                text("2026-01-02T03:04:05.000006Z"),
            ])])),
        ),
    ];
    assert!(Entry::parse(&kernel::to_dag_cbor(&map()).expect("encodes")).is_ok());
    for (key, value) in wrongs {
        let mut wrong = map();
        match value.clone() {
            Some(value) => wrong.insert(key.to_owned(), value),
            None => wrong.remove(key),
        };
        let parsed = Entry::parse(&kernel::to_dag_cbor(&wrong).expect("encodes"));
        assert!(parsed.is_err(), "{key} = {value:?} gave {parsed:?}");
    }
}

#[test]
fn what_has_no_form_is_not_encoded() {
    let mut wrong = sample();
    wrong.time = DateTime::<Utc>::MAX_UTC;
    assert!(matches!(wrong.encode(), Err(EntryError::Time(_))));
    let mut wrong = sample();
    wrong.kind = EntryKind::Act;
    assert!(matches!(wrong.encode(), Err(EntryError::Shape { .. })));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back_and_no_flipped_bit_reads_as_the_same(
        value in value(), micros in 0_i64..253_402_300_799_000_000, flip in any::<prop::sample::Index>(),
    ) {
        let mut entry = sample();
        entry.changes[0].value = value;
        entry.changes[0].time = DateTime::from_timestamp_micros(micros).expect("in range");
        let mut bytes = entry.encode().expect("encodes");
        prop_assert_eq!(&Entry::parse(&bytes).expect("canonical"), &entry);
        let bit = flip.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Entry::parse(&bytes) {
            prop_assert_ne!(other, entry);
        }
    }

    #[test]
    fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::parse(&bytes);
    }
}
