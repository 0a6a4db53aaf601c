//! The filter of eth_getLogs.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use serde_json::Value;

use super::{refusal::Refusal, view::word};

/// Which logs are wanted.
#[derive(Debug, Default)]
pub(super) struct Filter {
    addresses: Vec<Address>,
    /// For each position what may stand there; nothing: anything.
    topics: Vec<Vec<B256>>,
    /// For the address and each position, the blooms of what may stand there.
    blooms: Vec<Vec<Bloom>>,
}

impl Filter {
    pub fn of(params: &Value) -> Result<Self, Refusal> {
        let addresses: Vec<Address> = many(&params["address"], |text| {
            text.parse()
                .map_err(|_| Refusal::params("invalid argument 0: invalid address"))
        })?;
        let topics: Vec<Vec<B256>> = match &params["topics"] {
            Value::Null => Vec::new(),
            Value::Array(positions) if positions.len() <= 4 => {
                let position = |one: &Value| many(one, word);
                positions.iter().map(position).collect::<Result<_, _>>()?
            }
            _ => return Err(Refusal::params("exceed max topics")),
        };
        if addresses.len() > 1000 || topics.iter().any(|position| position.len() > 1000) {
            let why = "exceed max addresses or topics per search position";
            return Err(Refusal::server(why));
        }
        let bloom = |raw: &[u8]| Bloom::from(BloomInput::Raw(raw));
        let mut blooms: Vec<Vec<Bloom>> = Vec::with_capacity(topics.len() + 1);
        blooms.push(addresses.iter().map(|a| bloom(a.as_slice())).collect());
        for position in &topics {
            blooms.push(
                position
                    .iter()
                    .map(|topic| bloom(topic.as_slice()))
                    .collect(),
            );
        }
        Ok(Self {
            addresses,
            topics,
            blooms,
        })
    }

    /// Whether a block with this bloom may have such a log.
    pub fn may_match(&self, bloom: &Bloom) -> bool {
        self.blooms.iter().all(|options: &Vec<Bloom>| {
            options.is_empty() || options.iter().any(|option| bloom.contains(option))
        })
    }

    pub fn matches(&self, log: &Log) -> bool {
        let topics = log.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(options, topic)| options.is_empty() || options.contains(topic))
    }
}

/// One, many or none.
fn many<T>(value: &Value, one: impl Fn(&str) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![one(text)?]),
        Value::Array(values) => {
            let text = |value: &Value| match value.as_str() {
                Some(text) => one(text),
                None => Err(Refusal::params("invalid argument 0: not a string")),
            };
            values.iter().map(text).collect()
        }
        _ => Err(Refusal::params("invalid argument 0")),
    }
}
