//! Chains that carry the canonical ERC-8004 registries.
//!
//! Source: `erc-8004-and-1056.md` §1 (README of erc-8004-contracts @b9e466c; first blocks from
//! qntx/erc8004). Only chains that it names by id are here; any other one is configured by address
//! and start block.

use alloy::primitives::address;
use kernel::Address;

/// The identity registry on every mainnet.
pub const MAINNET_REGISTRY: Address = address!("8004A169FB4a3325136EB29fA0ceB6D2e539a432");

/// The identity registry on every testnet.
pub const TESTNET_REGISTRY: Address = address!("8004A818BFB912233c491871b3d84c89A494BD9e");

/// What is known of a chain before anybody configures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The name that `--chain` takes: lower case, words joined by `-`.
    pub name: &'static str,
    /// EIP-155 chain id.
    pub id: u64,
    /// The identity registry's proxy.
    pub registry: Address,
    /// The block that deployed the registry; `None`: not known, it has to be searched.
    pub first_block: Option<u64>,
    /// Whether the chain is a testnet.
    pub testnet: bool,
    /// What the `finalized` tag means there, for people.
    pub finality: &'static str,
}

const BEACON: &str = "finalized by Ethereum's consensus, two epochs or about 13 minutes behind";
const ROLLUP: &str = "finalized when the Ethereum block that holds its batch is";
const OWN: &str = "own consensus finality; where the node serves no finalized tag, depth counts";

/// All presets.
pub const ALL: &[Preset] = &[
    mainnet("ethereum", 1, Some(24_339_871), BEACON),
    mainnet("base", 8_453, Some(41_663_783), ROLLUP),
    mainnet("arbitrum", 42_161, Some(428_895_443), ROLLUP),
    mainnet("optimism", 10, Some(147_514_947), ROLLUP),
    mainnet("polygon", 137, Some(82_458_484), OWN),
    mainnet("avalanche", 43_114, Some(77_389_000), OWN),
    mainnet("bsc", 56, Some(79_027_268), OWN),
    mainnet("monad", 143, Some(52_952_790), OWN),
    mainnet("scroll", 534_352, Some(29_432_417), ROLLUP),
    mainnet("gnosis", 100, Some(44_505_010), OWN),
    mainnet("celo", 42_220, Some(58_396_724), ROLLUP),
    mainnet("taiko", 167_000, Some(4_305_747), ROLLUP),
    mainnet("linea", 59_144, Some(28_662_553), ROLLUP),
    mainnet("megaeth", 4_326, Some(7_833_805), ROLLUP),
    mainnet("abstract", 2_741, Some(39_596_871), ROLLUP),
    mainnet("mantle", 5_000, Some(91_333_846), ROLLUP),
    mainnet("xlayer", 196, None, OWN),
    mainnet("soneium", 1_868, None, ROLLUP),
    mainnet("goat", 2_345, None, OWN),
    mainnet("metis", 1_088, None, ROLLUP),
    mainnet("skale-base", 1_187_947_933, None, OWN),
    testnet("sepolia", 11_155_111, Some(9_989_393), BEACON),
    testnet("base-sepolia", 84_532, Some(36_304_165), ROLLUP),
    testnet("hedera-testnet", 296, None, OWN),
    testnet("arc-testnet", 5_042_002, None, OWN),
];

/// The preset of a chain id.
pub fn by_id(id: u64) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.id == id)
}

/// The preset of a name; case does not matter.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    ALL.iter()
        .find(|preset| preset.name.eq_ignore_ascii_case(name))
}

const fn mainnet(
    name: &'static str,
    id: u64,
    first_block: Option<u64>,
    finality: &'static str,
) -> Preset {
    Preset {
        name,
        id,
        registry: MAINNET_REGISTRY,
        first_block,
        testnet: false,
        finality,
    }
}

const fn testnet(
    name: &'static str,
    id: u64,
    first_block: Option<u64>,
    finality: &'static str,
) -> Preset {
    Preset {
        name,
        id,
        registry: TESTNET_REGISTRY,
        first_block,
        testnet: true,
        finality,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_ids_are_unique_and_found() {
        let ids: BTreeSet<_> = ALL.iter().map(|preset| preset.id).collect();
        let names: BTreeSet<_> = ALL.iter().map(|preset| preset.name).collect();
        assert_eq!((ids.len(), names.len()), (ALL.len(), ALL.len()));
        assert_eq!(by_name("Base-Sepolia"), by_id(84_532));
        assert_eq!(by_id(31_337), None);
    }
}
