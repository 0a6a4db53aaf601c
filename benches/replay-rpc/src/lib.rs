//! A made-up Ethereum node for tests and benchmarks.
//!
//! [`model`] makes blocks with true hashes, [`node`] serves them over HTTP and WebSocket with faults on
//! demand, [`workload`] is the standard chain of agents on which indexers are measured, with the
//! state that they must end in.

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
