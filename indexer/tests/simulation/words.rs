//! Who and what occurs in the simulated world: few of each, so that things meet.

use kernel::{Address, sha256};

pub const ALICE: Address = Address::repeat_byte(0xaa);
pub const BOB: Address = Address::repeat_byte(0xbb);
pub const CAROL: Address = Address::repeat_byte(0xcc);
/// A contract: it is called back when it receives a token.
pub const MINTER: Address = Address::repeat_byte(0x4d);
/// Nobody who owns anything.
pub const STRANGER: Address = Address::repeat_byte(0x55);
pub const PEOPLE: [Address; 4] = [ALICE, BOB, CAROL, MINTER];

/// A contract that emits what it likes.
pub const IMPOSTOR: Address = Address::repeat_byte(0x66);
pub const REGISTRIES: [Address; 2] = [super::kit::REGISTRY, Address::repeat_byte(0x12)];
pub const STATUS: Address = Address::repeat_byte(0x22);

/// Keys of on-chain metadata: the empty one, one that is no text, one that is too long to be shown.
pub const KEYS: [&[u8]; 5] = [b"", b"k", b"role", b"\xff\0", &[b'x'; 600]];

/// How a key or URI is shown in rows.
pub fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= 512 && !text.contains('\0') => text.to_owned(),
        _ => format!("sha256:{}", hex::encode(sha256(bytes))),
    }
}

/// The URIs of the simulated world. The last two are odd, but legal on a chain.
pub fn uri(number: u64) -> Vec<u8> {
    match number {
        0..=3 => format!("ipfs://file-{number}").into_bytes(),
        4 => b"ipfs://\xff\0odd".to_vec(),
        _ => [b"data:,", [b'y'; 900].as_slice()].concat(),
    }
}
pub const URIS: u64 = 6;
