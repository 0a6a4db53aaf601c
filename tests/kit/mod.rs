//! What tests against real components share: a chain of their own, an indexer that they drive round by
//! round, and the comparison with a fresh index.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod anvil;
pub mod calls;
pub mod contract_wallet;
pub mod deeds;
pub mod equal;
pub mod geth;
pub mod http;
pub mod index;
pub mod kubo;
pub mod left;
pub mod proxy;

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Asks until the answer is there; fails when it is not there in time.
pub async fn until<T, F, R>(what: &str, within: Duration, mut ask: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "after {within:?} still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
