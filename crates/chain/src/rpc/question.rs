//! What a node is asked about.

use kernel::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

/// A point in a chain's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A height.
    Number(u64),
    /// One very block, canonical or not.
    Hash(B256),
    /// The head.
    Latest,
    /// What the node counts as safe.
    Safe,
    /// What consensus counts as final.
    Finalized,
    /// The head with what waits to be mined: for nonces.
    Pending,
}

/// Which logs are asked for. Empty means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Contracts.
    pub addresses: Vec<Address>,
    /// For each topic position, the values that match.
    pub topics: [Vec<B256>; 4],
}

/// A call of a contract, or a transaction that is not filled in yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Who calls; a sender puts its own address here.
    pub from: Option<Address>,
    /// The contract; `None` creates one.
    pub to: Option<Address>,
    /// Calldata, or creation code.
    pub data: Bytes,
    /// Wei.
    pub value: U256,
}

impl Call {
    /// A call of `to` without value.
    pub fn new(to: Address, data: Bytes) -> Self {
        Self {
            to: Some(to),
            data,
            ..Self::default()
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut call = json!({ "data": self.data, "value": format!("{:#x}", self.value) });
        for (name, address) in [("from", self.from), ("to", self.to)] {
            if let Some(address) = address {
                call[name] = json!(address);
            }
        }
        call
    }
}

impl At {
    /// A height or tag. A hash has none, and is asked for by other means.
    pub(super) fn json(self) -> Value {
        match self {
            Self::Number(number) => json!(format!("{number:#x}")),
            Self::Hash(hash) => json!(hash),
            Self::Latest => json!("latest"),
            Self::Safe => json!("safe"),
            Self::Finalized => json!("finalized"),
            Self::Pending => json!("pending"),
        }
    }

    /// EIP-1898: the same, or an object that names a block by hash.
    pub(super) fn reference(self) -> Value {
        match self {
            Self::Hash(hash) => json!({ "blockHash": hash }),
            other => other.json(),
        }
    }
}

impl LogFilter {
    pub(super) fn json(&self) -> Value {
        let last = self.topics.iter().rposition(|values| !values.is_empty());
        let topics: Vec<Value> = self.topics[..last.map_or(0, |last| last + 1)]
            .iter()
            .map(|values| {
                if values.is_empty() {
                    Value::Null
                } else {
                    json!(values)
                }
            })
            .collect();
        let mut filter = json!({ "topics": topics });
        if !self.addresses.is_empty() {
            filter["address"] = json!(self.addresses);
        }
        filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_say_no_more_than_needed() {
        assert_eq!(LogFilter::default().json(), json!({ "topics": [] }));
        let mut filter = LogFilter {
            addresses: vec![Address::ZERO],
            ..LogFilter::default()
        };
        filter.topics[2] = vec![B256::ZERO];
        assert_eq!(
            filter.json(),
            json!({ "address": [Address::ZERO], "topics": [null, null, [B256::ZERO]] })
        );
    }
}
