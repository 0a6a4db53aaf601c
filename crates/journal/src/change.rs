//! A change: the smallest thing that the journal says of an agent.
//!
//! It is what an effective fact sets: (agent, column, value, cause), also where the value was the same
//! before (`model.md` §5). Its digest leaves the time out, because a log that a reorg moves to a
//! block with another time still says the same.

use chrono::{DateTime, Utc};
use kernel::AgentId;
use serde_json::Value;

use crate::{draft, entry::EntryError};

/// Nested deeper than this, a value is refused: decoders have limits of their own.
const MAX_DEPTH: usize = 100;

/// What a fact sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The column; all that a document says is the one column `document`.
    pub column: String,
    /// The value: JSON without floats, because two encoders disagree about those.
    pub value: Value,
    /// The fact that set it, in the words of its room (a log's position, an act's serial, ...).
    pub cause: String,
    /// The fact's time, kept to the microsecond.
    pub time: DateTime<Utc>,
}

impl Change {
    /// SHA-256 of canonical DAG-CBOR `[agent, column, value, cause]`, the agent's id as text.
    pub fn digest(&self, agent: AgentId) -> Result<[u8; 32], EntryError> {
        draft::digest(self, agent)
    }

    /// Refuses a value that has no one encoding.
    pub(crate) fn check(&self) -> Result<(), EntryError> {
        check_value(&self.value, &self.column, 0)
    }
}

fn check_value(value: &Value, column: &str, depth: usize) -> Result<(), EntryError> {
    if depth > MAX_DEPTH {
        return Err(EntryError::TooDeep {
            column: column.to_owned(),
        });
    }
    match value {
        Value::Number(number) if number.is_f64() => Err(EntryError::Float {
            column: column.to_owned(),
            value: number.to_string(),
        }),
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_value(item, column, depth + 1)),
        Value::Object(map) => map
            .values()
            .try_for_each(|item| check_value(item, column, depth + 1)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use kernel::sha256;
    use serde_json::json;

    use super::*;

    fn change(value: Value) -> Change {
        Change {
            column: "name".to_owned(),
            value,
            cause: "act:1".to_owned(),
            time: DateTime::UNIX_EPOCH,
        }
    }

    /// The bytes were put together by hand from RFC 8949: `84 7824<uuid> 646e616d65 6141 65 6163743a31`.
    #[test]
    fn the_digest_is_that_of_the_documented_bytes_and_leaves_the_time_out() {
        let agent = AgentId::of_did("did:vexel:agent1");
        let mut bytes = vec![0x84, 0x78, 0x24];
        bytes.extend_from_slice(b"c3ee1a61-2ce6-5741-9a22-c703f7b0008f");
        bytes.extend_from_slice(b"\x64name\x61A\x65act:1");
        let mut one = change(json!("A"));
        assert_eq!(one.digest(agent).expect("fits"), sha256(&bytes));
        one.time = DateTime::from_timestamp_micros(1).expect("in range");
        assert_eq!(one.digest(agent).expect("fits"), sha256(&bytes));
    }

    #[test]
    fn floats_and_abysses_are_refused() {
        let agent = AgentId::of_did("did:vexel:agent1");
        for wrong in [json!(1.5), json!([{"a": 0.1}]), json!({"b": [1e300]})] {
            let error = change(wrong).digest(agent).expect_err("a float");
            assert!(matches!(error, EntryError::Float { .. }), "{error}");
        }
        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        assert!(matches!(
            change(deep).digest(agent),
            Err(EntryError::TooDeep { .. })
        ));
        assert!(
            change(json!({"a": [1, -1, u64::MAX, i64::MIN, null, true]}))
                .digest(agent)
                .is_ok()
        );
    }
}
