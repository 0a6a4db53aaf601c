//! Who and what occurs in the simulated world: few of each, so that things meet.

use kernel::{Address, sha256};

/// The accounts of the wallets whose keys are 32 times 1, 2 and 3: what they sign, counts.
pub const ALICE: Address = Address::new([
    0x1a, 0x64, 0x2f, 0x0e, 0x3c, 0x3a, 0xf5, 0x45, 0xe7, 0xac, 0xbd, 0x38, 0xb0, 0x72, 0x51, 0xb3,
    0x99, 0x09, 0x14, 0xf1,
]);
pub const BOB: Address = Address::new([
    0x50, 0x50, 0xa4, 0xf4, 0xb3, 0xf9, 0x33, 0x8c, 0x34, 0x72, 0xdc, 0xc0, 0x1a, 0x87, 0xc7, 0x6a,
    0x14, 0x4b, 0x3c, 0x9c,
]);
pub const CAROL: Address = Address::new([
    0x33, 0x25, 0xa7, 0x84, 0x25, 0xf1, 0x7a, 0x7e, 0x48, 0x7e, 0xb5, 0x66, 0x6b, 0x2b, 0xfd, 0x93,
    0xab, 0xb0, 0x6c, 0x70,
]);
/// A contract: it is called back when it receives a token.
pub const MINTER: Address = Address::repeat_byte(0x4d);
/// Nobody who owns anything.
pub const STRANGER: Address = Address::repeat_byte(0x55);
pub const PEOPLE: [Address; 4] = [ALICE, BOB, CAROL, MINTER];
/// Those who have wallets; the first one's seed is 1.
pub const WALLETS: [Address; 3] = [ALICE, BOB, CAROL];
/// Seeds of the Ed25519 keys: few, so that one that was rotated away is tried again.
pub const SIGNERS: [u8; 5] = [10, 11, 12, 13, 14];

/// A contract that emits what it likes.
pub const IMPOSTOR: Address = Address::repeat_byte(0x66);
pub const REGISTRIES: [Address; 2] = [super::kit::REGISTRY, Address::repeat_byte(0x12)];
pub const STATUS: Address = Address::repeat_byte(0x22);
/// Both contracts of VEXEL's, on this chain alone.
pub const VEXEL: Address = super::kit::VEXEL;
pub const VEXEL_CHAIN: u64 = 31337;

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

/// The DID of an agent that plain SQL makes.
pub fn inserted(number: u64) -> String {
    format!("did:vexel:simulated-{number}")
}

/// The DID of an agent that only a registry of VEXEL's makes.
pub fn founded(number: u64) -> String {
    format!("did:vexel:founded-{number}")
}
pub const FOUNDED: u64 = 2;
