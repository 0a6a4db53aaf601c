//! Where an ERC-8004 identity registry keeps what it knows.
//!
//! Source: the reference implementation (erc-8004/erc-8004-contracts @b9e466c), whose slots
//! `contracts/src/IdentityRegistry.sol` shares: ERC-7201 namespaces of its own and of OpenZeppelin
//! 5. Another implementation may keep things elsewhere; then these slots read as zero, or as
//! nonsense, which a comparison with the contract's own answers shows.

use alloy::primitives::{b256, uint};
use kernel::{Address, B256, Bytes, U256, keccak256};

use crate::abi;

/// Where a proxy keeps the address of its implementation (ERC-1967).
pub const IMPLEMENTATION: B256 =
    b256!("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");

/// The number of agents, which is the id of the next one: ids start at 0 and have no gaps.
pub const LAST_ID: B256 = b256!("a040f782729de4970518741823ec1276cbcd41a0c7493f62d173341566a04e00");

/// The metadata key under which the registry keeps an agent's wallet, which only it may write.
pub const WALLET_KEY: &[u8] = b"agentWallet";

/// `mapping(uint256 agentId => mapping(string key => bytes))`, behind [`LAST_ID`].
const METADATA: U256 =
    uint!(0xa040f782729de4970518741823ec1276cbcd41a0c7493f62d173341566a04e01_U256);
/// OpenZeppelin's ERC-721 (namespace + 2): `mapping(uint256 tokenId => address)`.
const OWNERS: U256 = uint!(0x80bb2b638cc20bc4d0a60d66940f3ab4a00c1d7b313497ca82fb0b4ab0079302_U256);
/// OpenZeppelin's ERC-721 with URIs (namespace + 0): `mapping(uint256 tokenId => string)`.
const URIS: U256 = uint!(0x0542a41881ee128a365a727b282c86fa859579490b9bb45aab8503648c8e7900_U256);

/// The slot of an agent's owner: [`address`] reads its word.
pub fn owner(agent: U256) -> B256 {
    entry(agent, OWNERS)
}

/// The slot of an agent's URI: [`Text::read`] reads its word.
pub fn uri(agent: U256) -> B256 {
    entry(agent, URIS)
}

/// The slot of a metadata value: [`Text::read`] reads its word.
pub fn metadata(agent: U256, key: &[u8]) -> B256 {
    let of_agent = entry(agent, METADATA);
    keccak256([key, of_agent.as_slice()].concat())
}

/// The slot of an agent's wallet: [`Text::read`] reads its word, [`wallet_of`] the value.
pub fn wallet(agent: U256) -> B256 {
    metadata(agent, WALLET_KEY)
}

/// The address that stands right in a word; zero where none does. `None`: this is no address.
pub fn address(word: B256) -> Option<Address> {
    abi::address(word).ok()
}

/// The wallet in a metadata value: twenty bytes, or nothing. `None`: this is no wallet.
pub fn wallet_of(value: &[u8]) -> Option<Address> {
    match value {
        [] => Some(Address::ZERO),
        _ => Address::try_from(value).ok(),
    }
}

/// A `string` or `bytes`, as its first word tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// Up to 31 bytes, which the word itself holds.
    Short(Bytes),
    /// More: the bytes stand in slots of their own.
    Long(LongText),
}

/// A `string` or `bytes` that is longer than a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongText {
    first: U256,
    length: usize,
}

impl Text {
    /// Reads the word in the value's slot. `None`: no compiler writes such a word, or the value
    /// would be longer than `most` bytes; the registry sets no limit, so the reader must.
    pub fn read(slot: B256, word: B256, most: usize) -> Option<Self> {
        let bytes = word.0;
        if bytes[31] & 1 == 0 {
            let length = usize::from(bytes[31] / 2);
            let (text, padding) = bytes[..31].split_at_checked(length)?;
            let clean = padding.iter().all(|byte| *byte == 0);
            return clean.then(|| Self::Short(Bytes::copy_from_slice(text)));
        }
        let length = usize::try_from(U256::from_be_bytes(bytes) >> 1).ok()?;
        (32..=most).contains(&length).then(|| {
            Self::Long(LongText {
                first: keccak256(slot).into(),
                length,
            })
        })
    }
}

impl LongText {
    /// The slots that hold the value, in order.
    pub fn slots(&self) -> impl Iterator<Item = B256> + use<> {
        let first = self.first;
        (0..self.length.div_ceil(32)).map(move |place| first.wrapping_add(U256::from(place)).into())
    }

    /// The value, from the words in [`LongText::slots`]. `None`: these are not as many words.
    pub fn join(&self, words: &[B256]) -> Option<Bytes> {
        if words.len() != self.length.div_ceil(32) {
            return None;
        }
        let mut bytes = words.concat();
        bytes.truncate(self.length);
        Some(bytes.into())
    }
}

/// Solidity's `mapping(uint256 => ...)`.
fn entry(key: U256, mapping: U256) -> B256 {
    keccak256([key.to_be_bytes::<32>(), mapping.to_be_bytes::<32>()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: B256 = B256::repeat_byte(5);

    fn word(start: &[u8], last: u8) -> B256 {
        let mut word = B256::ZERO;
        word[..start.len()].copy_from_slice(start);
        word[31] = last;
        word
    }

    #[test]
    fn short_values_stand_in_their_word() {
        for length in 0..=31_u8 {
            let text = vec![b'x'; usize::from(length)];
            assert_eq!(
                Text::read(SLOT, word(&text, length * 2), 0),
                Some(Text::Short(text.into())),
            );
        }
    }

    #[test]
    fn long_values_stand_in_slots_of_their_own() {
        for (length, slots) in [(32, 1), (33, 2), (64, 2), (65, 3), (100_000, 3125)] {
            let told = B256::from(U256::from(length * 2 + 1));
            let Some(Text::Long(long)) = Text::read(SLOT, told, 100_000) else {
                panic!("{length} is long");
            };
            let asked: Vec<B256> = long.slots().collect();
            assert_eq!((long.length, asked.len()), (length, slots));
            assert_eq!(asked[0], keccak256(SLOT));
            let words: Vec<B256> = asked.iter().map(keccak256).collect();
            let joined = long.join(&words).expect("as many words");
            assert_eq!(joined, words.concat()[..length]);
            assert_eq!(long.join(&words[1..]), None);
        }
    }

    #[test]
    fn the_last_slots_of_the_state_are_followed_by_its_first() {
        let long = LongText {
            first: U256::MAX,
            length: 64,
        };
        assert_eq!(
            long.slots().collect::<Vec<_>>(),
            [B256::repeat_byte(0xff), B256::ZERO]
        );
    }

    #[test]
    fn words_that_no_compiler_writes_are_no_values() {
        for (what, told) in [
            ("long, but below 32 bytes", word(&[], 31 * 2 + 1)),
            ("short, but above 31 bytes", word(&[1; 31], 32 * 2)),
            ("short, with bytes behind its end", word(b"xyz", 2 * 2)),
            ("longer than allowed", B256::from(U256::from(101 * 2 + 1))),
            ("longer than memory", B256::repeat_byte(0xff)),
        ] {
            assert_eq!(Text::read(SLOT, told, 100), None, "{what}");
        }
    }

    #[test]
    fn addresses_and_wallets_have_twenty_bytes() {
        let account = Address::repeat_byte(7);
        assert_eq!(address(account.into_word()), Some(account));
        assert_eq!(address(B256::ZERO), Some(Address::ZERO));
        assert_eq!(address(B256::repeat_byte(7)), None);
        assert_eq!(wallet_of(account.as_slice()), Some(account));
        assert_eq!(wallet_of(&[]), Some(Address::ZERO));
        assert_eq!(wallet_of(&[7; 19]), None);
        assert_eq!(wallet_of(&[7; 32]), None);
    }
}
