//! did:key against the official vectors (`tests/vectors/did`, each folder with its ORIGIN).

use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors/did")
        .join(name);
    serde_json::from_slice(&fs::read(path).expect("vectors")).expect("JSON")
}

fn entries(name: &str) -> Map<String, Value> {
    vectors(name).as_object().expect("object").clone()
}

fn document(did: &str, options: Options) -> Value {
    let did = Did::parse(did).expect("a DID");
    resolve(&did, options).expect("a document").to_json()["didDocument"].clone()
}

fn key(did: &str) -> PublicKey {
    parse(&Did::parse(did).expect("a DID")).expect("a key")
}

fn code(did: &str) -> Option<Code> {
    resolve(&Did::parse(did).expect("a DID"), Options::STANDARD)
        .err()
        .map(|error| error.code)
}

/// Checks one key of a vector, in whichever form the vector has it.
fn assert_key(key: &PublicKey, pair: &Value) -> bool {
    if let Some(base58) = pair["publicKeyBase58"].as_str() {
        assert_eq!(bs58::encode(key.to_bytes()).into_string(), base58);
        return true;
    }
    if pair["publicKeyJwk"].is_object() {
        assert_eq!(json!(key.jwk()), pair["publicKeyJwk"]);
        return true;
    }
    false
}

#[test]
fn the_documents_of_the_current_specification() {
    for expected in vectors("did-key-spec-v0.9/documents.json")["docs"]
        .as_array()
        .expect("docs")
    {
        let did = expected["id"].as_str().expect("id");
        assert_eq!(&document(did, Options::STANDARD), expected);
        let without = Options {
            derive_encryption_key: false,
            ..Options::STANDARD
        };
        assert!(document(did, without).get("keyAgreement").is_none());
    }
}

#[test]
fn the_identifiers_of_the_current_specification() {
    let mut unsupported = 0;
    for did in vectors("did-key-spec-v0.9/identifiers.json")
        .as_array()
        .expect("list")
    {
        let did = did.as_str().expect("text");
        match code(did) {
            None => assert_eq!(key(did).did(), did),
            Some(code) => {
                assert_eq!(
                    (code, &did[..12]),
                    (Code::UnsupportedPublicKeyType, "did:key:zUC7")
                );
                unsupported += 1;
            }
        }
    }
    assert_eq!(unsupported, 1, "the one BLS key");
}

#[test]
fn ed25519_keys_and_the_x25519_keys_derived_from_them() {
    let entries = entries("did-key-spec/ed25519-x25519.json");
    assert_eq!(entries.len(), 5);
    for (did, vector) in &entries {
        let key = key(did);
        assert_eq!(key.did(), *did);
        let seed: [u8; 32] = hex::decode(vector["seed"].as_str().expect("seed"))
            .expect("hex")
            .try_into()
            .expect("32");
        let signing = ed25519_dalek::SigningKey::from_bytes(&seed);
        assert_eq!(key.ed25519(), Some(&signing.verifying_key()));
        assert!(assert_key(&key, &vector["verificationKeyPair"]));
        let derived = key.derived_x25519().expect("X25519");
        let pair = &vector["keyAgreementKeyPair"];
        assert!(assert_key(&derived, pair));
        assert!(
            pair["id"]
                .as_str()
                .expect("id")
                .ends_with(&format!("#{derived}"))
        );
        // The relationships are those of today but for the format of the keys.
        let document = document(did, Options::STANDARD);
        for relationship in [
            "authentication",
            "assertionMethod",
            "capabilityInvocation",
            "capabilityDelegation",
        ] {
            assert_eq!(document[relationship], vector["didDocument"][relationship]);
        }
        assert_eq!(
            document["keyAgreement"][0]["id"],
            format!("{did}#{derived}")
        );
    }
}

#[test]
fn x25519_keys() {
    let documents = vectors("did-key-spec/x25519.json")["didDocument"]
        .as_object()
        .expect("object")
        .clone();
    assert_eq!(documents.len(), 4);
    for (did, expected) in &documents {
        assert_eq!(key(did).did(), *did);
        assert!(assert_key(&key(did), &expected["verificationMethod"][0]));
        let document = document(did, Options::STANDARD);
        assert_eq!(document["keyAgreement"], expected["keyAgreement"]);
        assert!(document.get("authentication").is_none());
    }
}

#[test]
fn secp256k1_keys() {
    let entries = entries("did-key-spec/secp256k1.json");
    assert_eq!(entries.len(), 6);
    for (did, vector) in &entries {
        assert_eq!(key(did).did(), *did);
        assert!(assert_key(&key(did), &vector["verificationKeyPair"]));
        assert_eq!(
            document(did, Options::STANDARD)["authentication"],
            vector["didDocument"]["authentication"]
        );
    }
}

#[test]
fn nist_keys() {
    let entries = entries("did-key-spec/nist-curves.json");
    let mut supported = 0;
    for (did, vector) in &entries {
        if code(did) == Some(Code::UnsupportedPublicKeyType) {
            assert!(
                did.starts_with("did:key:z2J9"),
                "only P-521 is left out, not {did}"
            );
            continue;
        }
        supported += 1;
        assert_eq!(key(did).did(), *did);
        assert!(assert_key(&key(did), &vector["verificationMethod"]));
        let options = Options {
            format: PublicKeyFormat::JsonWebKey,
            ..Options::STANDARD
        };
        let method = &document(did, options)["verificationMethod"][0];
        assert_eq!(method["type"], "JsonWebKey");
        assert_eq!(
            method["id"],
            vector["didDocument"]["verificationMethod"][0]["id"]
        );
    }
    assert_eq!((supported, entries.len()), (5, 7));
}

#[test]
fn bls_and_rsa_keys_are_named_and_refused() {
    for name in ["did-key-spec/bls12381.json", "did-key-spec/rsa.json"] {
        for did in entries(name).keys() {
            assert_eq!(code(did), Some(Code::UnsupportedPublicKeyType), "{did}");
        }
    }
}

#[test]
fn options_choose_the_format() {
    let did = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    let options = Options::parse([
        ("publicKeyFormat", "Ed25519VerificationKey2020"),
        ("versionId", "1"),
    ]);
    let document = document(did, options.expect("options"));
    assert_eq!(
        document["verificationMethod"][0]["type"],
        "Ed25519VerificationKey2020"
    );
    assert_eq!(
        document["keyAgreement"][0]["type"],
        "X25519KeyAgreementKey2020"
    );
    assert_eq!(document["@context"].as_array().map(Vec::len), Some(3));
    let code = |name, value| {
        Options::parse([(name, value)])
            .err()
            .map(|error| error.code)
    };
    assert_eq!(
        code("publicKeyFormat", "Rot13Key"),
        Some(Code::UnsupportedPublicKeyType)
    );
    assert_eq!(
        code("enableEncryptionKeyDerivation", "maybe"),
        Some(Code::InvalidOptions)
    );
    let p256 =
        Did::parse("did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv").expect("a DID");
    let wrong = Options {
        format: PublicKeyFormat::Ed25519VerificationKey2020,
        ..Options::STANDARD
    };
    assert_eq!(
        resolve(&p256, wrong).map_err(|error| error.code),
        Err(Code::InvalidPublicKeyType)
    );
}

#[test]
fn the_version_may_be_written() {
    let did = "did:key:1:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    assert_eq!(document(did, Options::STANDARD)["id"], did);
    for wrong in [
        "did:key:2:z6Mk",
        "did:key:-v4:z6Mk",
        "did:key:0:z6Mk",
        "did:key::z6Mk",
    ] {
        assert_eq!(code(wrong), Some(Code::InvalidDid), "{wrong}");
    }
}

fn did_of(prefix: [u8; 2], key: &[u8]) -> String {
    let mut bytes = prefix.to_vec();
    bytes.extend(key);
    format!("did:key:z{}", bs58::encode(bytes).into_string())
}

#[test]
fn wrong_keys_are_refused() {
    for short in [
        "did:key:z",
        "did:key:z1",
        "did:key:6MkhaXg",
        "did:key:z0OIl",
        "did:key:zTjsVPtY",
        "did:key:u7QE",
    ] {
        assert!(
            matches!(
                code(short),
                Some(
                    Code::InvalidDid
                        | Code::UnsupportedPublicKeyType
                        | Code::InvalidPublicKeyLength
                )
            ),
            "{short}"
        );
    }
    for (prefix, length) in [
        ([0xed, 1], 31),
        ([0xed, 1], 33),
        ([0xec, 1], 0),
        ([0xe7, 1], 65),
        ([0x80, 0x24], 32),
        ([0x81, 0x24], 50),
    ] {
        assert_eq!(
            code(&did_of(prefix, &vec![2; length])),
            Some(Code::InvalidPublicKeyLength)
        );
    }
    let mut y_is_one = [0; 32];
    y_is_one[0] = 1;
    let mut x_above_p = [0xff; 33];
    x_above_p[0] = 2;
    let mut x_above_p_384 = [0xff; 49];
    x_above_p_384[0] = 3;
    for (prefix, bytes) in [
        ([0xed, 1], [0xff; 32].to_vec()), // not canonical
        ([0xed, 1], [0; 32].to_vec()),    // of order 4
        ([0xed, 1], y_is_one.to_vec()),   // the neutral element
        ([0xec, 1], [0; 32].to_vec()),    // of order 2
        ([0xec, 1], [0xff; 32].to_vec()), // the top bit
        ([0xe7, 1], x_above_p.to_vec()),
        ([0x80, 0x24], x_above_p.to_vec()),
        ([0xe7, 1], [0; 33].to_vec()),
        ([0x81, 0x24], x_above_p_384.to_vec()),
    ] {
        let refused = code(&did_of(prefix, &bytes));
        assert_eq!(
            refused,
            Some(Code::InvalidPublicKey),
            "{prefix:02x?} {bytes:02x?}"
        );
    }
    assert_eq!(
        parse(&Did::parse("did:web:z6MkhaXg").expect("a DID")).map_err(|error| error.code),
        Err(Code::InvalidDid)
    );
}

proptest! {
    #[test]
    fn hostile_text_never_panics(id in "z?[1-9A-HJ-NP-Za-km-z:%0.]{0,120}") {
        if let Ok(did) = Did::parse(&format!("did:key:{id}")) {
            let _ = resolve(&did, Options::STANDARD);
        }
    }

    #[test]
    fn hostile_bytes_never_panic_and_every_key_has_one_spelling(
        prefix in prop::sample::select(vec![[0xed, 1], [0xec, 1], [0xe7, 1], [0x80, 0x24], [0x81, 0x24], [0xeb, 1], [0, 0]]),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let did = did_of(prefix, &bytes);
        if let Ok(key) = parse(&Did::parse(&did).expect("a DID")) {
            prop_assert_eq!(key.did(), did);
            prop_assert_eq!(PublicKey::new(key.key_type(), &key.to_bytes()), Ok(key.clone()));
            if let Some(derived) = key.derived_x25519() {
                prop_assert!(PublicKey::new(KeyType::X25519, &derived.to_bytes()).is_ok());
            }
        }
    }
}
