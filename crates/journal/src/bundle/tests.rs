use super::*;
use crate::{LogKey, testing::*};
use proptest::prelude::*;
use sqlx::PgPool;

/// A proof file of leaf 2 in a log of 5 entries, made without a database.
fn sample() -> (String, String) {
    let key = LogKey::from_seed(&[7; 32]);
    let vkey = key.verifier("example.com/log").expect("a name");
    let bodies: Vec<Vec<u8>> = (0..5)
        .map(|n| {
            let entry = Entry {
                kind: crate::EntryKind::Agent,
                agent: Some(agent(n)),
                time: chrono::DateTime::UNIX_EPOCH,
                changes: vec![change(n, "log")],
                said: vec![],
                prev: None,
            };
            entry.encode().expect("encodes")
        })
        .collect();
    let leaves: Vec<Hash> = bodies.iter().map(|body| leaf_hash(body)).collect();
    let checkpoint = Checkpoint {
        origin: vkey.name().to_owned(),
        size: 5,
        root: crate::tree::root(&leaves),
        extensions: vec![],
    };
    let note = key
        .sign(&vkey, checkpoint.to_string())
        .expect("signs")
        .to_string();
    let hashes = crate::proof::tests::prove_inclusion(&leaves, 2, 5);
    // A cosignature that nobody here knows.
    let checkpoint = format!("{note}\u{2014} witness.example/w AAAAAQID\n");
    let vkey = vkey.to_string();
    let file = ProofFile {
        entry: bodies[2].clone(),
        vkey: vkey.clone(),
        index: 2,
        hashes,
        checkpoint,
    };
    (file.to_string(), vkey)
}

#[test]
fn a_proof_file_is_enough() {
    let (text, vkey) = sample();
    let verified = verify(&text, Some(&vkey)).expect("verifies");
    assert_eq!(
        (verified.index, verified.size, verified.trusted),
        (2, 5, true)
    );
    assert_eq!(verified.origin, "example.com/log");
    assert_eq!(verified.entry.changes, [change(2, "log")]);
    let own_word = verify(&text, None).expect("verifies");
    assert_eq!((own_word.vkey, own_word.trusted), (vkey, false));
}

#[test]
fn another_key_is_not_believed() {
    let (text, _) = sample();
    let other = LogKey::from_seed(&[8; 32])
        .verifier("example.com/log")
        .expect("a name")
        .to_string();
    assert_eq!(
        verify(&text, Some(&other)),
        Err(VerifyError::Note(NoteError::Unsigned))
    );
    assert!(matches!(
        verify(&text, Some("nonsense")),
        Err(VerifyError::Vkey(_))
    ));
}

/// Every bit of the file, with a key and without.
#[test]
fn every_flipped_bit_fails() {
    let (text, vkey) = sample();
    for bit in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(flipped) = String::from_utf8(bytes) else {
            continue;
        };
        assert!(verify(&flipped, Some(&vkey)).is_err(), "bit {bit}");
        assert!(verify(&flipped, None).is_err(), "bit {bit}");
    }
}

/// Who also makes the seal fit still has to sign.
#[test]
fn a_resealed_forgery_fails() {
    let (text, vkey) = sample();
    let forge = |change: &dyn Fn(&mut ProofFile)| {
        let mut file = ProofFile::parse(&text).expect("a proof file");
        change(&mut file);
        verify(&file.to_string(), Some(&vkey)).expect_err("forged")
    };
    let inclusion = VerifyError::Inclusion(ProofError::Root);
    assert_eq!(forge(&|file| file.entry[20] ^= 1), inclusion);
    assert_eq!(forge(&|file| file.index = 3), inclusion);
    assert_eq!(
        forge(&|file| file.index = 9),
        VerifyError::Inclusion(ProofError::Shape)
    );
    assert_eq!(forge(&|file| file.hashes[0][0] ^= 1), inclusion);
    let bigger =
        |file: &mut ProofFile| file.checkpoint = file.checkpoint.replacen("\n5\n", "\n6\n", 1);
    assert!(matches!(
        forge(&bigger),
        VerifyError::Note(NoteError::Signature(_))
    ));
}

proptest! {
    #[test]
    fn other_text_is_refused(at: prop::sample::Index, cut in 1_usize..40, with in "\\PC{0,8}|\n|\r\n| ") {
        let (text, vkey) = sample();
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, with.chars());
        let other: String = chars.into_iter().collect();
        prop_assume!(other != text);
        prop_assert!(verify(&other, Some(&vkey)).is_err());
        prop_assert!(verify(&other, None).is_err());
        prop_assert!(verify(&with, None).is_err());
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn sealed_entries_are_proven_from_the_store(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let said = say(&db, 0..700, "a").await;
    let queued = prove(&db, &said[0].cid).await.expect_err("queued");
    assert!(matches!(queued, Error::NotSealed(_)));
    assert_eq!(
        prove(&db, "bafy").await.expect_err("none").kind(),
        kernel::Kind::NotFound
    );
    let sealer = sealer();
    seal_all(&db, &sealer).await;
    say(&db, 0..700, "b").await;
    seal_all(&db, &sealer).await;
    for n in [0, 1, 255, 256, 511, 699] {
        let text = prove(&db, &said[n].cid).await?;
        let verified = verify(&text, Some(&sealer.vkey().to_string()))?;
        assert_eq!(
            (verified.cid, verified.index, verified.size),
            (said[n].cid.clone(), n as u64, 1_400)
        );
    }
    Ok(())
}
