//! JSON-RPC 2.0 on the wire: what is sent, and how an answer is read in one pass.

use std::{borrow::Cow, fmt, marker::PhantomData};

use kernel::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// One call.
#[derive(Serialize)]
pub(super) struct Request<'a, P> {
    jsonrpc: &'static str,
    pub id: u64,
    method: &'a str,
    params: P,
}

impl<'a, P: Serialize> Request<'a, P> {
    pub(super) fn new(id: u64, method: &'a str, params: P) -> Self {
        Self {
            jsonrpc: "2.0",
            id,
            method,
            params,
        }
    }
}

/// One answer, whose result is read as a `T`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Response<T> {
    /// `None` where the node could not tell, which some do with errors.
    #[serde(default, deserialize_with = "id")]
    pub id: Option<u64>,
    /// `null` is a result, too, if `T` takes it.
    #[serde(default = "Option::default", deserialize_with = "present")]
    pub result: Option<T>,
    #[serde(default)]
    pub error: Option<Failure>,
}

/// The error that a node tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

/// Most bytes of an error's `data` that are looked at: a refusal of a contract, or a hint.
const MAX_DATA: usize = 64 * 1024;

impl Failure {
    /// Whether the node had enough of a batch before this item (geth, -32003): it stops there, and
    /// says so of every item that is left.
    pub(super) fn wants_less(&self) -> bool {
        self.message.to_lowercase().contains("response too large")
    }

    /// The bytes that a contract refused with: the first `0x` text in `data`, however deep nodes
    /// wrap it.
    pub(super) fn revert_data(&self) -> Bytes {
        fn find(value: &Value) -> Option<Bytes> {
            match value {
                Value::String(text) => {
                    // "Reverted 0x..." is how some nodes say it.
                    let start = text.find("0x")?;
                    text[start..].parse().ok()
                }
                Value::Object(members) => members.values().find_map(find),
                _ => None,
            }
        }
        self.data.as_ref().and_then(find).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Failure {
    /// Nodes put a text, or an object without some members, where an object belongs.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(default)]
            code: i64,
            #[serde(borrow)]
            message: Cow<'a, str>,
            #[serde(default)]
            data: Option<Box<RawValue>>,
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if let Ok(wire) = serde_json::from_str::<Wire<'_>>(raw.get()) {
            let data = wire.data.filter(|data| data.get().len() <= MAX_DATA);
            return Ok(Self {
                code: wire.code,
                message: wire.message.into_owned(),
                data: data.and_then(|data| serde_json::from_str(data.get()).ok()),
            });
        }
        let text = serde_json::from_str(raw.get());
        Ok(Self {
            message: text.unwrap_or_else(|_| raw.get().to_owned()),
            ..Self::default()
        })
    }
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Our ids are small numbers; a number in a text is taken for one, anything else for none of ours.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Id;
    impl Visitor<'_> for Id {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an id")
        }

        fn visit_u64<E>(self, id: u64) -> Result<Option<u64>, E> {
            Ok(Some(id))
        }

        fn visit_str<E>(self, id: &str) -> Result<Option<u64>, E> {
            Ok(id.parse().ok())
        }

        fn visit_unit<E>(self) -> Result<Option<u64>, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Id)
}

/// The answers to a batch of `most` calls. Of what comes beyond, one is kept, to be found wrong: each
/// may take a hundred times the memory of its text.
pub(super) fn responses<'de, T: Deserialize<'de>>(
    text: &'de [u8],
    most: usize,
) -> serde_json::Result<Vec<Response<T>>> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let responses = Responses(most, PhantomData).deserialize(&mut json)?;
    json.end()?;
    Ok(responses)
}

struct Responses<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Responses<T> {
    type Value = Vec<Response<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Responses<T> {
    type Value = Vec<Response<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of answers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut responses = Vec::with_capacity(self.0);
        while responses.len() <= self.0 {
            match items.next_element()? {
                Some(response) => responses.push(response),
                None => return Ok(responses),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(responses)
    }
}
