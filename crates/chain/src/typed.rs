//! What wallets sign: typed data (EIP-712) and messages for people (EIP-191).
//!
//! [`Typed`] is a flat struct of named values, which is all that Chancery asks wallets to sign. One
//! description gives both the digest, which is verified, and the JSON, which a wallet shows and
//! signs (`eth_signTypedData_v4`): what was shown cannot differ from what is verified.

use std::borrow::Cow;

use alloy::primitives::eip191_hash_message;
use kernel::{Address, B256, keccak256};
use serde_json::{Map, Value, json};

/// Where a signature counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    /// The chain that the wallet is on (EIP-155): a contract wallet is asked there.
    pub chain: u64,
    /// Which office: keccak-256 of its journal's origin. A signature given to one is worth nothing at another.
    pub salt: B256,
}

/// A value in typed data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field<'a> {
    /// `string`.
    Text(Cow<'a, str>),
    /// `uint64`.
    Number(u64),
    /// `bytes16`.
    Nonce([u8; 16]),
    /// `bytes32`.
    Word(B256),
    /// `address`.
    Account(Address),
}

/// Typed data: a struct's name and its members in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed<'a> {
    /// The struct's name, which wallets show.
    pub name: &'static str,
    /// Its members.
    pub fields: Vec<(&'static str, Field<'a>)>,
}

/// The application's name in every domain.
const NAME: &str = "Chancery";
const VERSION: &str = "1";
const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)";

impl Domain {
    /// The domain of the office whose journal has this origin, for wallets on `chain`.
    pub fn new(chain: u64, origin: &str) -> Self {
        Self {
            chain,
            salt: keccak256(origin),
        }
    }

    fn separator(&self) -> B256 {
        let mut bytes = Vec::with_capacity(5 * 32);
        bytes.extend(keccak256(DOMAIN_TYPE));
        bytes.extend(keccak256(NAME));
        bytes.extend(keccak256(VERSION));
        bytes.extend(number(self.chain));
        bytes.extend(self.salt);
        keccak256(bytes)
    }
}

impl Field<'_> {
    fn solidity(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Number(_) => "uint64",
            Self::Nonce(_) => "bytes16",
            Self::Word(_) => "bytes32",
            Self::Account(_) => "address",
        }
    }

    /// `encodeData` of EIP-712 for one value.
    fn word(&self) -> B256 {
        match self {
            Self::Text(text) => keccak256(text.as_bytes()),
            Self::Number(value) => number(*value),
            Self::Nonce(bytes) => {
                let mut word = B256::ZERO;
                word[..16].copy_from_slice(bytes);
                word
            }
            Self::Word(word) => *word,
            Self::Account(address) => address.into_word(),
        }
    }

    /// As `eth_signTypedData_v4` takes it; numbers as decimal strings, which JavaScript does not round.
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(value) => json!(value.to_string()),
            Self::Nonce(bytes) => json!(kernel::hex_0x(bytes)),
            Self::Word(word) => json!(word),
            Self::Account(address) => json!(address.to_checksum(None)),
        }
    }
}

impl Typed<'_> {
    /// The hash that a wallet signs.
    pub fn digest(&self, domain: &Domain) -> B256 {
        let mut data = Vec::with_capacity(32 * (self.fields.len() + 1));
        data.extend(keccak256(self.signature()));
        for (_, field) in &self.fields {
            data.extend(field.word());
        }
        let mut bytes = Vec::with_capacity(66);
        bytes.extend(b"\x19\x01");
        bytes.extend(domain.separator());
        bytes.extend(keccak256(data));
        keccak256(bytes)
    }

    /// The same for a wallet: the parameter of `eth_signTypedData_v4`.
    pub fn json(&self, domain: &Domain) -> Value {
        let member = |name: &str, kind: &str| json!({ "name": name, "type": kind });
        let members: Vec<Value> = self
            .fields
            .iter()
            .map(|(name, field)| member(name, field.solidity()))
            .collect();
        let message: Map<String, Value> = self
            .fields
            .iter()
            .map(|(name, field)| ((*name).to_owned(), field.json()))
            .collect();
        let domain_type = [
            member("name", "string"),
            member("version", "string"),
            member("chainId", "uint256"),
            member("salt", "bytes32"),
        ];
        json!({
            "types": { "EIP712Domain": domain_type, self.name: members },
            "primaryType": self.name,
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": domain.chain,
                "salt": domain.salt,
            },
            "message": message,
        })
    }

    /// `encodeType` of EIP-712.
    fn signature(&self) -> String {
        let members: Vec<String> = self
            .fields
            .iter()
            .map(|(name, field)| format!("{} {name}", field.solidity()))
            .collect();
        format!("{}({})", self.name, members.join(","))
    }
}

/// The hash that `personal_sign` signs (EIP-191, version `0x45`).
pub fn personal(message: &[u8]) -> B256 {
    eip191_hash_message(message)
}

fn number(value: u64) -> B256 {
    B256::left_padding_from(&value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::{SolStruct, eip712_domain};
    use proptest::prelude::*;

    use super::*;

    mod generated {
        alloy::sol! {
            struct Thing {
                string text;
                uint64 number;
                bytes16 nonce;
                bytes32 word;
                address account;
            }
        }
    }

    fn vector() -> Value {
        let text = include_str!("../../../tests/vectors/chain/typed-statement.json");
        serde_json::from_str(text).expect("json")
    }

    fn text(value: &Value) -> &str {
        value.as_str().expect("text")
    }

    fn statement(vector: &Value) -> Typed<'_> {
        let message = &vector["message"];
        let number = |name: &str| Field::Number(text(&message[name]).parse().expect("a number"));
        let words = |name: &str| Field::Text(text(&message[name]).into());
        let mut nonce = [0; 16];
        alloy::hex::decode_to_slice(text(&message["nonce"]), &mut nonce).expect("hex");
        Typed {
            name: "Statement",
            fields: vec![
                ("action", words("action")),
                ("agent", words("agent")),
                ("content", words("content")),
                ("sequence", number("sequence")),
                ("nonce", Field::Nonce(nonce)),
                ("issued", number("issued")),
                ("expires", number("expires")),
            ],
        }
    }

    #[test]
    fn the_digest_is_the_one_that_viem_signs() {
        let vector = vector();
        let domain = Domain::new(31_337, text(&vector["origin"]));
        let typed = statement(&vector);
        assert_eq!(typed.digest(&domain).to_string(), text(&vector["digest"]));
        assert_eq!(
            personal(text(&vector["personal"]["text"]).as_bytes()).to_string(),
            text(&vector["personal"]["digest"])
        );
    }

    #[test]
    fn a_wallet_is_shown_what_is_verified() {
        let vector = vector();
        let domain = Domain::new(31_337, text(&vector["origin"]));
        let json = statement(&vector).json(&domain);
        assert_eq!(json["message"], vector["message"]);
        assert_eq!(json["primaryType"], "Statement");
        assert_eq!(json["types"]["Statement"][4]["type"], "bytes16");
        assert_eq!(json["domain"]["salt"], json!(domain.salt));
    }

    #[test]
    fn each_part_of_the_domain_changes_the_digest() {
        let vector = vector();
        let typed = statement(&vector);
        let here = typed.digest(&Domain::new(1, "a"));
        assert_ne!(here, typed.digest(&Domain::new(2, "a")), "another chain");
        assert_ne!(here, typed.digest(&Domain::new(1, "b")), "another office");
    }

    proptest! {
        #[test]
        fn digests_are_those_of_another_implementation(
            words in ".*", count: u64, nonce: [u8; 16], word: [u8; 32], account: [u8; 20],
            chain: u64, origin in ".*",
        ) {
            let ours = Typed {
                name: "Thing",
                fields: vec![
                    ("text", Field::Text(words.as_str().into())),
                    ("number", Field::Number(count)),
                    ("nonce", Field::Nonce(nonce)),
                    ("word", Field::Word(word.into())),
                    ("account", Field::Account(account.into())),
                ],
            };
            let theirs = generated::Thing {
                text: words.clone(),
                number: count,
                nonce: nonce.into(),
                word: word.into(),
                account: account.into(),
            };
            let domain = eip712_domain! {
                name: "Chancery",
                version: "1",
                chain_id: chain,
                salt: keccak256(&origin),
            };
            prop_assert_eq!(
                ours.digest(&Domain::new(chain, &origin)),
                theirs.eip712_signing_hash(&domain)
            );
        }
    }
}
