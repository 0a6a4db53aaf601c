//! IPNS: a name that is a key, and records, signed by that key, which say what the name stands for now
//! (IPNS specification; version 2 of records alone, without the fields of version 1 that its readers ignore).
//!
//! ```text
//! record = protobuf { 8: signature, 9: data }
//! data   = DAG-CBOR { TTL, Value, Sequence, Validity, ValidityType }
//! ```

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use cid::multibase::{self, Base};
use ed25519_dalek::{Signer as _, SigningKey};
use ipld_core::ipld::Ipld;
use kernel::Cid;
use multihash_codetable::Multihash;

use crate::{
    Error, Result,
    dag_pb::{Value, put},
};

/// Multicodec of a CID that is a key.
const LIBP2P_KEY: u64 = 0x72;
/// Multihash code of identity.
const IDENTITY: u64 = 0x00;
/// What is signed begins with this.
const CONTEXT: &[u8] = b"ipns-signature:";
/// The longest text that is tried as a name.
const MAX_NAME: usize = 128;

/// A name: the hash of a key, or a short key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(Multihash);

/// A key with which records are signed.
pub struct Key(SigningKey);

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The root that the name stands for.
    pub root: Cid,
    /// Of two valid records, the one with the higher number counts.
    pub sequence: u64,
    /// Afterwards the record is void.
    pub valid_until: DateTime<Utc>,
    /// For how long a reader may go without looking for a newer one.
    pub ttl: Duration,
}

impl Name {
    /// Reads a name as a CID in any base or as a base58 peer id. Errors with [`Error::NoCid`].
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::NoCid(text.chars().take(80).collect());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if text.is_empty() || text.len() > MAX_NAME || !plain {
            return Err(wrong());
        }
        // Peer ids are base58 without saying so.
        if text.starts_with('1') || text.starts_with("Qm") {
            let (_, bytes) = multibase::decode(format!("z{text}")).map_err(|_| wrong())?;
            return Multihash::from_bytes(&bytes).map(Self).map_err(|_| wrong());
        }
        let cid = Cid::try_from(text).map_err(|_| wrong())?;
        if cid.codec() == LIBP2P_KEY {
            Ok(Self(*cid.hash()))
        } else {
            Err(wrong())
        }
    }
}

/// The form that Kubo and gateways show: base36.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Cid::new_v1(LIBP2P_KEY, self.0).to_string_of_base(Base::Base36Lower);
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

impl Key {
    /// The Ed25519 key of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The name whose records this key signs.
    pub fn name(&self) -> Result<Name> {
        // libp2p's message PublicKey { Type = 1: Ed25519 (1), Data = 2 }.
        let mut key = Vec::new();
        put(&mut key, 1, Value::Int(1));
        put(&mut key, 2, Value::Bytes(self.0.verifying_key().as_bytes()));
        let hash = Multihash::wrap(IDENTITY, &key);
        Ok(Name(
            hash.map_err(|error| Error::Malformed(error.to_string()))?,
        ))
    }

    /// A signed record of this entry.
    pub fn sign(&self, entry: &Entry) -> Result<Vec<u8>> {
        let validity = entry
            .valid_until
            .to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let ttl = i128::try_from(entry.ttl.as_nanos()).unwrap_or(i128::MAX);
        let data = Ipld::Map(BTreeMap::from([
            (
                "Value".to_owned(),
                Ipld::Bytes(format!("/ipfs/{}", entry.root).into_bytes()),
            ),
            ("Validity".to_owned(), Ipld::Bytes(validity.into_bytes())),
            // 0: it ends at a time.
            ("ValidityType".to_owned(), Ipld::Integer(0)),
            ("Sequence".to_owned(), Ipld::Integer(entry.sequence.into())),
            ("TTL".to_owned(), Ipld::Integer(ttl)),
        ]));
        let data =
            kernel::to_dag_cbor(&data).map_err(|error| Error::Malformed(error.to_string()))?;
        let signature = self.0.sign(&[CONTEXT, &data].concat()).to_bytes();
        let mut record = Vec::new();
        put(&mut record, 8, Value::Bytes(&signature));
        put(&mut record, 9, Value::Bytes(&data));
        Ok(record)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One key in every spelling that Kubo and the IPNS specification give; `ipfs key` made it.
    #[test]
    fn a_name_is_read_in_all_its_spellings() {
        let key = Key::from_seed(&[7; 32]);
        let name = key.name().expect("a name");
        let base36 = name.to_string();
        assert!(base36.starts_with("k51qzi5uqu5d"), "{base36}");
        let cid = Cid::new_v1(LIBP2P_KEY, name.0);
        let peer = multibase::encode(Base::Base58Btc, name.0.to_bytes());
        for text in [base36, cid.to_string(), peer[1..].to_owned()] {
            assert_eq!(Name::parse(&text).expect("a name"), name, "{text}");
        }
        for wrong in [
            "",
            "k51",
            "example.com",
            "bafkqaaa",
            "12D3",
            "1",
            &"k".repeat(10_000),
        ] {
            assert!(Name::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// `PeerId` and name of the public key in the libp2p specification of peer ids.
    #[test]
    fn names_are_those_of_other_implementations() {
        let peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let name = Name::parse(peer).expect("a name").to_string();
        assert!(name.starts_with("k51qzi5uqu5d"), "{name}");
        assert_eq!(
            Name::parse(&name).expect("a name"),
            Name::parse(peer).expect("a name")
        );
    }

    #[test]
    fn a_record_is_signed_over_its_data() {
        let key = Key::from_seed(&[7; 32]);
        let entry = Entry {
            root: kernel::cid_of_raw(b"x"),
            sequence: 3,
            valid_until: DateTime::from_timestamp(1_900_000_000, 0).expect("a time"),
            ttl: Duration::from_mins(1),
        };
        let record = key.sign(&entry).expect("signs");
        let mut rest = &record[..];
        let mut field = || crate::dag_pb::field(&mut rest).expect("a field");
        let (signature, data) = match (field(), field()) {
            ((8, Value::Bytes(signature)), (9, Value::Bytes(data))) => (signature, data),
            other => panic!("{other:?}"),
        };
        let signature = signature.try_into().expect("64 bytes");
        let signed = [CONTEXT, data].concat();
        key.0
            .verifying_key()
            .verify_strict(&signed, &signature)
            .expect("signed");
        let said: BTreeMap<String, Ipld> = kernel::from_dag_cbor(data).expect("DAG-CBOR");
        assert_eq!(said["Sequence"], Ipld::Integer(3));
        assert_eq!(said["TTL"], Ipld::Integer(60_000_000_000));
        assert_eq!(
            said["Validity"],
            Ipld::Bytes(b"2030-03-17T17:46:40Z".to_vec())
        );
        let value = format!("/ipfs/{}", entry.root);
        assert_eq!(said["Value"], Ipld::Bytes(value.into_bytes()));
    }
}
