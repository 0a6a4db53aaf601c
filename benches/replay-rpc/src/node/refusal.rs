//! Errors as nodes say them.

use serde_json::{Value, json};

use super::faults::Refusing;

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl Refusal {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    pub fn params(why: impl Into<String>) -> Self {
        Self::new(-32602, why)
    }

    pub fn server(why: &str) -> Self {
        Self::new(-32000, why)
    }

    pub fn request(why: &str) -> Self {
        Self::new(-32600, why)
    }

    pub fn parse() -> Self {
        Self::new(-32700, "parse error")
    }

    pub fn method(name: &str) -> Self {
        let message = format!("the method {name} does not exist/is not available");
        Self::new(-32601, message)
    }

    pub fn unknown_block() -> Self {
        Self::server("unknown block")
    }

    pub fn pruned() -> Self {
        Self::new(4444, "pruned history unavailable")
    }

    pub fn too_large() -> Self {
        Self::new(-32003, "response too large")
    }

    /// A range of more blocks than `most`.
    pub fn range(words: Refusing, from: u64, most: u64) -> Self {
        let to = from + most - 1;
        match words {
            Refusing::Alchemy => Self::params(format!(
                "You can make eth_getLogs requests with up to a {most} block range. Based on your \
                 parameters, this block range should work: [{from:#x}, {to:#x}]"
            )),
            Refusing::Infura => infura(
                &format!(
                    "range exceeds limit of {most} blocks. Try with this block range [{from:#X}, {to:#X}]."
                ),
                (from, to, most),
            ),
            Refusing::Geth => Self::params(format!("exceed maximum block range {most}")),
        }
    }

    /// More logs than `most`; those of `from..=to` would have been few enough.
    pub fn results(words: Refusing, from: u64, to: u64, most: u64) -> Self {
        match words {
            Refusing::Alchemy => Self::params(format!(
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block \
                 range and no limit on the response size, or you can request any block range with a \
                 cap of 10K logs in the response. Based on your parameters and the response size \
                 limit, this block range should work: [{from:#x}, {to:#x}]"
            )),
            Refusing::Infura => infura(
                &format!(
                    "query returned more than {most} results. Try with this block range [{from:#X}, {to:#X}]."
                ),
                (from, to, most),
            ),
            Refusing::Geth => Self::params(format!(
                "query exceeds max results {most}, retry with the range {from}-{to}"
            )),
        }
    }

    /// The error object.
    pub fn json(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        error
    }
}

fn infura(message: &str, (from, to, limit): (u64, u64, u64)) -> Refusal {
    // Infura writes 0x and capitals.
    let message = message.replace("0X", "0x");
    let data = json!({"from": format!("{from:#x}"), "to": format!("{to:#x}"), "limit": limit});
    Refusal {
        code: -32005,
        message,
        data: Some(data),
    }
}
