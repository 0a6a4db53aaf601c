//! Which chains' receipts we can recompute.

/// What a chain's receipts and blooms are worth to us.
///
/// The encoding itself needs no configuration: a receipt of an OP stack deposit or of a Celo
/// transaction says itself what is appended to it (`depositReceiptVersion` since Canyon, `baseFee`),
/// so that an OP stack chain under an id that nobody told us of is proven too. What the chain's id
/// decides is only what an *unequal* root means, and whether an equal one means anything.
///
/// | chains | value | reason |
/// |---|---|---|
/// | Ethereum 1, Sepolia 11155111, BSC 56, Gnosis 100, Avalanche 43114, Linea 59144, Taiko 167000, dev chains 1337, 31337 | `Ethereum` | geth, its forks, Besu or Nethermind: type, then RLP of status, gas, bloom, logs |
/// | Optimism 10, Base 8453, Soneium 1868, Base Sepolia 84532, OP Sepolia 11155420 | `Ethereum` | op-geth: the same; deposits (0x7e) since Canyon append nonce and version, before it nothing although the nonce is told |
/// | Arbitrum 42161 | `Ethereum` | nitro's geth encodes its own types (0x64 to 0x6a) like any other: type, then the same RLP (`Receipts.EncodeIndex`) |
/// | Celo 42220, Mantle 5000, Scroll 534352, X Layer 196, MegaETH 4326, Metis 1088, GOAT 2345, Monad 143, Arc 5042002, any other id | `Assumed` | by their sources, or presumably, the same rules; not tried on their blocks by us |
/// | Polygon 137, Amoy 80002 | `Unknown` | the receipts of state syncs are told with the block's, but were not always in its root; nodes differ |
/// | zkSync 324, Abstract 2741, Hedera 295 and 296, SKALE Base 1187947933 | `Opaque` | roots and blooms are constants, or made up by the gateway: an equal one would prove nothing |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFormat {
    /// Recomputed. Receipts with another root than the header's are false.
    Ethereum,
    /// Recomputed; an equal root proves as much. An unequal one accuses the source only where some
    /// block with transactions had an equal one; before, the chain's receipts may be others.
    Assumed,
    /// Not recomputed. Blooms are right: more than `bloom` is never claimed.
    Unknown,
    /// Neither receipts nor blooms prove anything: `reported`, or `agreed` by two sources.
    Opaque,
}

impl ReceiptFormat {
    /// What is known of the chain with this EIP-155 id; the type's table has the reasons.
    pub fn of_chain(id: u64) -> Self {
        match id {
            1 | 11_155_111 | 56 | 100 | 43_114 | 59_144 | 167_000 | 1_337 | 31_337 | 10 | 8_453
            | 1_868 | 84_532 | 11_155_420 | 42_161 => Self::Ethereum,
            137 | 80_002 => Self::Unknown,
            324 | 2_741 | 295 | 296 | 1_187_947_933 => Self::Opaque,
            _ => Self::Assumed,
        }
    }

    /// Whether receipts are recomputed at all.
    pub fn has_root(self) -> bool {
        matches!(self, Self::Ethereum | Self::Assumed)
    }

    /// Whether a header's bloom says what its block cannot hold.
    pub fn has_bloom(self) -> bool {
        self != Self::Opaque
    }
}
