use proptest::prelude::*;

use super::*;
use crate::bundle::{
    check,
    parts::{self, Subject},
};

/// A file with parts that nothing checks here.
fn file() -> File {
    let mut file = File::default();
    let subject = Subject {
        agent: "c3ee1a61-2ce6-5741-9a22-c703f7b0008f".to_owned(),
        token: None,
    };
    file.put(SUBJECT, &subject);
    file.put(
        DOCUMENT,
        &parts::Document {
            bytes: Bytes::from_static(b"{\"name\":\"A\"}"),
        },
    );
    file.put(MISSING, &parts::Missing::default());
    file
}

#[test]
fn a_file_reads_back_what_it_was_written_from() {
    let file = file();
    let bytes = file.encode();
    assert_eq!(File::parse(&bytes), Ok(file.clone()));
    let document: Option<parts::Document> = file.get(DOCUMENT).expect("its form");
    assert_eq!(document.expect("there").bytes, b"{\"name\":\"A\"}"[..]);
    let state: Option<parts::State> = file.get(STATE).expect("nothing");
    assert!(state.is_none());
}

/// By hand from RFC 8949: a list of three, the word, the version, and a list of parts.
#[test]
fn the_frame_is_as_documented() {
    let bytes = file().encode();
    let start = b"\x83\x6fchancery-bundle\x01\x83\x83\x67subject\x58\x20";
    assert_eq!(bytes[..start.len()], start[..]);
}

#[test]
fn every_flipped_bit_is_found_and_its_part_is_named() {
    let file = file();
    let bytes = file.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let wrong = File::parse(&flipped).expect_err("flipped");
        let inside = file.parts().iter().find(|(_, data)| {
            let mut places = bytes.windows(data.len());
            let start = places.position(|window| window == &data[..]);
            start.is_some_and(|start| (start..start + data.len()).contains(&(bit / 8)))
        });
        if let Some((name, _)) = inside {
            assert_eq!(wrong.part, *name, "bit {bit}");
        }
    }
}

#[test]
fn other_frames_are_refused() {
    let part = |name: &str, data: &[u8]| {
        let digest = Bytes::copy_from_slice(&digest(name, data));
        Part(name.to_owned(), digest, Bytes::copy_from_slice(data))
    };
    let framed = |magic: &str, version, parts| {
        to_dag_cbor(&Framed(magic.to_owned(), version, parts)).expect("encodes")
    };
    for (bytes, words) in [
        (Vec::new(), "not a bundle"),
        (vec![0x80], "not a bundle"),
        (framed("tlog-proof", 1, vec![]), "not a bundle of Chancery"),
        (framed(MAGIC, 2, vec![]), "version 2 is not known"),
        (framed(MAGIC, 1, vec![part("more", b"")]), "unknown"),
        (
            framed(MAGIC, 1, vec![part(ROW, b""), part(STATE, b"")]),
            "not in its place",
        ),
        (
            framed(MAGIC, 1, vec![part(ROW, b""), part(ROW, b"")]),
            "not in its place",
        ),
        (vec![0; MOST_BYTES + 1], "longer than"),
    ] {
        let wrong = File::parse(&bytes).expect_err(words);
        assert_eq!(wrong.part, FRAME);
        assert!(wrong.why.contains(words), "{wrong}");
    }
    // {"v": 1} in the place of a part: unknown and absent keys.
    let mut other = file();
    other.replace(SUBJECT, &Bytes::from_static(b"\xa1\x61v\x01"));
    let wrong = check(&other.encode(), None).expect_err("another form");
    assert_eq!(wrong.part, SUBJECT);
}

#[test]
fn a_file_without_anything_shown_proves_nothing() {
    let mut file = file();
    file.replace(DOCUMENT, &Bytes::from_static(b"\xa1\x65bytes\x40"));
    let wrong = check(&file.encode(), None).expect_err("nothing");
    assert!(wrong.to_string().contains("proves nothing"), "{wrong}");
}

proptest! {
    #[test]
    fn hostile_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(check(&bytes, None).is_err());
        // As a part whose digest is right.
        for name in NAMES {
            let mut file = file();
            file.parts.retain(|(known, _)| *known != name);
            file.parts.push((name, bytes.clone().into()));
            file.parts.sort_by_key(|(known, _)| NAMES.iter().position(|one| one == known));
            prop_assert!(check(&file.encode(), None).is_err());
        }
    }

    #[test]
    fn spliced_files_are_refused(at in any::<prop::sample::Index>(), cut in 0_usize..40, with in prop::collection::vec(any::<u8>(), 0..40)) {
        let bytes = file().encode();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        let mut other = bytes.clone();
        other.splice(at..end, with);
        prop_assume!(other != bytes);
        prop_assert!(File::parse(&other).is_err());
    }
}
