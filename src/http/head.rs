//! `Chancery-Head`: how far each chain was read when an answer was made. It is a header and not in
//! the body, so that a body's ETag stays the same while the chain goes on.

use std::{collections::BTreeMap, fmt::Write as _};

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

/// The header's name.
pub const CHANCERY_HEAD: HeaderName = HeaderName::from_static("chancery-head");

/// How far one chain was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest block.
    pub number: u64,
    /// The newest block that is deep enough to be journaled.
    pub settled: u64,
}

/// All chains, by id.
pub type Heads = BTreeMap<u64, Head>;

/// Adds the header once a chain was read: `31337;head=120;settled=118, 8453;head=...`.
pub fn add(heads: &Heads, response: &mut Response) {
    if let Some(value) = render(heads).and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(CHANCERY_HEAD, value);
    }
}

fn render(heads: &Heads) -> Option<String> {
    let mut text = String::new();
    for (chain, head) in heads {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(
            text,
            "{comma}{chain};head={};settled={}",
            head.number, head.settled
        );
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chain_is_told() {
        assert_eq!(render(&Heads::new()), None);
        let head = |number, settled| Head { number, settled };
        let heads = Heads::from([(8453, head(9, 3)), (1, head(5, 5))]);
        assert_eq!(
            render(&heads).unwrap(),
            "1;head=5;settled=5, 8453;head=9;settled=3"
        );
    }
}
