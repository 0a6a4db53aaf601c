//! A made-up Ethereum node for tests and benchmarks.
//!
//! [`model`] makes blocks with true hashes, blooms, roots and proofs; [`node`] serves them over HTTP and
//! WebSocket as geth does, with faults on demand; [`workload`] is the standard chain of agents on
//! which indexers are measured, with the state that they must end in.
//!
//! # In a test
//! A provider has threads of its own and ends with its value. Providers of one [`node::Network`] serve
//! the same chain, each with its own faults: one that loses logs beside one that does not.
//!
//! ```
//! use replay_rpc::{
//!     model::{Address, B256, Bytes, Draft, Fork, Log, Spec, Tx},
//!     node::{Chain, Faults, Lose, Network},
//! };
//!
//! let spec = Spec { chain_id: 31_337, fork: Fork::Prague };
//! let mut chain = Chain::new(spec, Draft::default());
//! let (somebody, contract) = (Address::repeat_byte(1), Address::repeat_byte(2));
//! let log = Log::new_unchecked(contract, vec![B256::repeat_byte(3)], Bytes::new());
//! chain.extend(Draft {
//!     timestamp: 12,
//!     txs: vec![Tx::call(somebody, 0, contract, vec![log])],
//!     ..Draft::default()
//! });
//!
//! let network = Network::new(chain);
//! let honest = network.provider(Faults::default())?;
//! let lossy = network.provider(Faults { lose: Lose::Wide, lose_one_in: 1, ..Faults::default() })?;
//! assert!(honest.url().starts_with("http://127.0.0.1:"));
//!
//! // While it runs: blocks, reorgs, other faults.
//! network.change(|chain| {
//!     chain.extend(Draft { timestamp: 24, ..Draft::default() });
//!     // The two newest blocks make room for one.
//!     chain.reorg(2, [Draft { timestamp: 13, ..Draft::default() }])
//! });
//! lossy.set_faults(Faults { fail_every: 3, ..lossy.faults() });
//!
//! // What went wrong so far, to compare with what the indexer noticed.
//! let stats = lossy.stats();
//! assert!(stats.lost.is_empty() && stats.fault("fail") == 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`node::Network::of_workload`] has the standard chain; [`node::Network::mine`] and
//! [`node::Network::fork`] go on with it, and [`node::Network::truth`] says what an index of it must
//! end in, also after forks. A chain whose drafts carry a [`model::World`] answers `eth_getProof` and
//! `eth_getStorageAt` at every block; without one they are not there.
//!
//! # As a process
//! ```text
//! replay-rpc serve [--listen 127.0.0.1:8545] [--blocks 10000] [--every K] [--noise-tx N] [--head H]
//!                  [--final-depth 64] [--latency-ms MS] [--rps N] [--fail-every N] [--drop-every N]
//!                  [--hang-every N] [--max-range N] [--max-logs 10000] [--refusing alchemy|infura|geth]
//!                  [--lose wide|all|blocks --lose-one-in N] [--no-log-ts] [--faults JSON]
//! replay-rpc truth [--to 9900] [--lines as-said|as-is]
//! ```
//! It prints `Listening on ADDRESS` once it answers. Whatever [`node::Faults`] can do, `--faults` can, in
//! the names of its fields: `--faults '{"cut_every": 50, "stale": {"every": 2, "blocks": 5}}'`.
//!
//! # The experimenter's methods
//! They are never late and never wrong, whatever the faults:
//! `lab_fault [{..}]` changes some faults and answers with all; `lab_stats`, `lab_reset`; `lab_mine [n]`;
//! `lab_reorg [depth, count]`; `lab_setHead [number]`, of which no subscriber hears; `lab_switchTo [hash]`
//! makes the branch of a known block canonical again; `lab_truth [block]`.
//!
//! # What is not true
//! Signatures: `from` is declared and not recovered. Contracts do not run: `eth_call` answers `0x`. The
//! chain has no uncles, withdrawals or blobs.

pub mod model;
pub mod node;
pub mod workload;

/// The output function of Sebastiano Vigna's splitmix64.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
