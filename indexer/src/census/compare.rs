//! Our values of an agent, held against those that the registry keeps. Pure.

use std::{collections::BTreeMap, fmt};

use kernel::{Address, B256, U256, sha256};
use uuid::Uuid;

/// Most characters of a value that are shown.
const SHOWN: usize = 200;

/// Our row of an agent, as far as the contract keeps it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// The agent.
    pub agent: Uuid,
    /// Its number in the registry.
    pub token: U256,
    /// Whose it is.
    pub owner: Option<Address>,
    /// Its wallet.
    pub wallet: Option<Address>,
    /// sha2-256 of the URI's bytes; `None`: none was ever set.
    pub uri: Option<[u8; 32]>,
    /// How the URI begins.
    pub uri_shown: Option<String>,
    /// Values by their keys, as hex; only keys that rows hold as they are.
    pub metadata: BTreeMap<String, String>,
    /// Whether it is no more: then only that counts.
    pub burned: bool,
}

/// What the registry keeps of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theirs {
    /// Whose it is; zero: nobody's.
    pub owner: Held<Address>,
    /// Its wallet; zero: none.
    pub wallet: Held<Address>,
    /// Its URI.
    pub uri: Held<Text>,
    /// The values of the keys that we know.
    pub metadata: BTreeMap<String, Held<Text>>,
}

/// A value as the contract's storage spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held<T> {
    /// This one.
    Is(T),
    /// A word that is none.
    Nonsense(B256),
}

/// A text by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    digest: [u8; 32],
    shown: String,
}

impl Text {
    /// The digest of some bytes, and how they begin.
    pub fn of(bytes: &[u8]) -> Self {
        let start = &bytes[..bytes.len().min(SHOWN)];
        let plain = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.chars().any(char::is_control));
        let shown = match plain {
            Some(text) => text.chars().take(SHOWN).collect(),
            None => format!("0x{}", hex::encode(&start[..start.len().min(SHOWN / 2)])),
        };
        Self {
            digest: sha256(bytes),
            shown,
        }
    }

    /// sha2-256 of the bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// One of an agent's values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Not of an agent: how many there are.
    Agents,
    /// Owner.
    Owner,
    /// Wallet.
    Wallet,
    /// URI.
    Uri,
    /// The metadata value of this key.
    Metadata(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agents => f.write_str("agents"),
            Self::Owner => f.write_str("owner"),
            Self::Wallet => f.write_str("wallet"),
            Self::Uri => f.write_str("uri"),
            Self::Metadata(key) => write!(f, "metadata:{key}"),
        }
    }
}

/// A value that is not the contract's, both as text for people; `None`: none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub what: What,
    /// Ours.
    pub ours: Option<String>,
    /// The contract's.
    pub theirs: Option<String>,
}

/// Everything in which our row differs from what the contract keeps.
pub fn differences(ours: &Ours, theirs: &Theirs) -> Vec<Difference> {
    let mut found = Vec::new();
    account(What::Owner, ours.owner, &theirs.owner, &mut found);
    if ours.burned {
        return found;
    }
    account(What::Wallet, ours.wallet, &theirs.wallet, &mut found);
    let uri = ours.uri.unwrap_or_else(|| sha256(b""));
    if !holds(&theirs.uri, uri) {
        found.push(Difference {
            what: What::Uri,
            ours: ours.uri_shown.clone(),
            theirs: Some(shown(&theirs.uri)),
        });
    }
    for (key, held) in &theirs.metadata {
        let value = ours.metadata.get(key).map_or("0x", String::as_str);
        let bytes = hex::decode(value.trim_start_matches("0x")).unwrap_or_default();
        if !holds(held, sha256(&bytes)) {
            found.push(Difference {
                what: What::Metadata(key.clone()),
                ours: Some(Text::of(&bytes).shown),
                theirs: Some(shown(held)),
            });
        }
    }
    found
}

fn account(what: What, ours: Option<Address>, theirs: &Held<Address>, found: &mut Vec<Difference>) {
    let text = |address: Address| (!address.is_zero()).then(|| address.to_string());
    let (equal, theirs) = match theirs {
        Held::Is(held) => (ours.unwrap_or_default() == *held, text(*held)),
        Held::Nonsense(word) => (false, Some(word.to_string())),
    };
    if !equal {
        found.push(Difference {
            what,
            ours: ours.and_then(text),
            theirs,
        });
    }
}

fn holds(held: &Held<Text>, digest: [u8; 32]) -> bool {
    matches!(held, Held::Is(text) if text.digest == digest)
}

fn shown(held: &Held<Text>) -> String {
    match held {
        Held::Is(text) => text.shown.clone(),
        Held::Nonsense(word) => word.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Address = Address::repeat_byte(0xaa);
    const BOB: Address = Address::repeat_byte(0xbb);

    fn ours() -> Ours {
        Ours {
            agent: Uuid::nil(),
            token: U256::ZERO,
            owner: Some(ALICE),
            wallet: None,
            uri: Some(sha256(b"ipfs://one")),
            uri_shown: Some("ipfs://one".to_owned()),
            metadata: BTreeMap::from([("region".to_owned(), "0x6575".to_owned())]),
            burned: false,
        }
    }

    fn theirs() -> Theirs {
        Theirs {
            owner: Held::Is(ALICE),
            wallet: Held::Is(Address::ZERO),
            uri: Held::Is(Text::of(b"ipfs://one")),
            metadata: BTreeMap::from([("region".to_owned(), Held::Is(Text::of(b"eu")))]),
        }
    }

    #[test]
    fn equal_values_are_no_difference() {
        assert_eq!(differences(&ours(), &theirs()), []);
        let nothing = Ours {
            uri: None,
            uri_shown: None,
            ..ours()
        };
        let empty = Theirs {
            uri: Held::Is(Text::of(b"")),
            ..theirs()
        };
        assert_eq!(differences(&nothing, &empty), [], "no URI is the empty one");
    }

    type Change = fn(&mut Theirs);

    #[test]
    fn each_value_is_compared_and_both_are_named() {
        let region = || What::Metadata("region".to_owned());
        let cases: [(Change, What, &str, &str); 6] = [
            (
                |their| their.owner = Held::Is(BOB),
                What::Owner,
                "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB",
            ),
            (
                |their| their.owner = Held::Is(Address::ZERO),
                What::Owner,
                "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                "",
            ),
            (
                |their| their.wallet = Held::Is(BOB),
                What::Wallet,
                "",
                "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB",
            ),
            (
                |their| their.uri = Held::Is(Text::of(b"ipfs://two\n")),
                What::Uri,
                "ipfs://one",
                "0x697066733a2f2f74776f0a",
            ),
            (
                |their| {
                    their
                        .metadata
                        .insert("region".to_owned(), Held::Is(Text::of(b"")));
                },
                region(),
                "eu",
                "",
            ),
            (
                |their| their.uri = Held::Nonsense(B256::ZERO),
                What::Uri,
                "ipfs://one",
                "0x0000000000000000000000000000000000000000000000000000000000000000",
            ),
        ];
        for (change, what, ours_shown, theirs_shown) in cases {
            let mut their = theirs();
            change(&mut their);
            let found = differences(&ours(), &their);
            assert_eq!(found.len(), 1, "{what}");
            assert_eq!(found[0].what, what);
            assert_eq!(found[0].ours.as_deref().unwrap_or(""), ours_shown, "{what}");
            assert_eq!(
                found[0].theirs.as_deref().unwrap_or(""),
                theirs_shown,
                "{what}"
            );
        }
    }

    #[test]
    fn of_an_agent_that_is_no_more_only_that_counts() {
        let burned = Ours {
            owner: None,
            burned: true,
            ..ours()
        };
        let mut their = theirs();
        their.owner = Held::Is(Address::ZERO);
        their.uri = Held::Is(Text::of(b"left behind"));
        assert_eq!(differences(&burned, &their), []);
        assert_eq!(differences(&burned, &theirs())[0].what, What::Owner);
    }

    #[test]
    fn long_values_are_cut_where_they_are_shown() {
        let long = "\u{e9}".repeat(1000);
        assert_eq!(Text::of(long.as_bytes()).shown.chars().count(), SHOWN);
        assert_eq!(Text::of(&[0xff; 1000]).shown.len(), 2 + SHOWN);
    }
}
