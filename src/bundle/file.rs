//! The file: its frame, and its parts as bytes.
//!
//! Canonical DAG-CBOR: `["chancery-bundle", 1, [[name, digest, bytes], ...]]`, the parts in the order of [`NAMES`],
//! each at most once. The digest is SHA-256 over the name, a zero byte and the bytes. It proves nothing to anybody:
//! it makes every flipped bit show, and says where.

#[cfg(test)]
mod tests;

use std::fmt;

use kernel::{Bytes, from_dag_cbor, sha256, to_dag_cbor};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The first item.
const MAGIC: &str = "chancery-bundle";
/// The second: it rises with every change that an older reader would not understand.
const VERSION: u64 = 1;

/// What is wrong with the frame is named so.
pub(super) const FRAME: &str = "frame";
pub(super) const SUBJECT: &str = "subject";
pub(super) const HEADER: &str = "header";
pub(super) const RECEIPT: &str = "receipt";
pub(super) const STATE: &str = "state";
pub(super) const JOURNAL: &str = "journal";
pub(super) const ANCHOR: &str = "anchor";
pub(super) const DOCUMENT: &str = "document";
pub(super) const ROW: &str = "row";
pub(super) const MISSING: &str = "missing";

/// All parts, in their order.
const NAMES: [&str; 9] = [
    SUBJECT, HEADER, RECEIPT, STATE, JOURNAL, ANCHOR, DOCUMENT, ROW, MISSING,
];

/// No bundle is longer: a receipt may hold as many logs as a block has gas for.
pub const MOST_BYTES: usize = 4 << 20;

/// A bundle that proves nothing, and the first part that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Wrong {
    /// The part: `frame` or one of those that the format names.
    pub part: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the part `{}`: {}", self.part, self.why)
    }
}

/// For `map_err`: what is wrong with a part.
pub(super) fn wrong(part: &'static str) -> impl Fn(&dyn fmt::Display) -> Wrong {
    move |why| Wrong {
        part,
        why: why.to_string(),
    }
}

/// The parts of a bundle, nothing of them checked but that they are whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    parts: Vec<(&'static str, Bytes)>,
}

#[derive(Serialize, Deserialize)]
struct Framed(String, u64, Vec<Part>);

/// Name, digest, bytes.
#[derive(Serialize, Deserialize)]
struct Part(String, Bytes, Bytes);

impl File {
    /// Reads a file in the one form that [`File::encode`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        let frame = wrong(FRAME);
        if bytes.len() > MOST_BYTES {
            return Err(frame(&format_args!("it is longer than {MOST_BYTES} bytes")));
        }
        let framed: Result<Framed, _> = from_dag_cbor(bytes);
        let Framed(magic, version, parts) =
            framed.map_err(|error| frame(&format_args!("not a bundle: {error}")))?;
        if magic != MAGIC {
            return Err(frame(&"not a bundle of Chancery"));
        }
        if version != VERSION {
            return Err(frame(&format_args!(
                "version {version} is not known here, only {VERSION}"
            )));
        }
        let (mut file, mut next) = (Self::default(), NAMES.iter());
        for Part(name, told, data) in parts {
            let Some(name) = next.find(|known| **known == name) else {
                return Err(frame(&"a part is unknown, or not in its place"));
            };
            if told[..] != digest(name, &data) {
                return Err(wrong(name)(
                    &"it was altered: its bytes do not fit their digest",
                ));
            }
            file.parts.push((name, data));
        }
        // What the typed form does not carry shows here.
        if file.encode() == bytes {
            Ok(file)
        } else {
            Err(frame(&"it is not in the canonical form"))
        }
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let parts = self.parts.iter().map(|(name, data)| {
            let digest = Bytes::copy_from_slice(&digest(name, data));
            Part((*name).to_owned(), digest, data.clone())
        });
        let framed = Framed(MAGIC.to_owned(), VERSION, parts.collect());
        // Texts and bytes always have an encoding.
        to_dag_cbor(&framed).unwrap_or_default()
    }

    /// Each part's name and bytes.
    pub fn parts(&self) -> &[(&'static str, Bytes)] {
        &self.parts
    }

    /// Puts other bytes in a part's place, under a digest of their own: what a forger can do.
    pub fn replace(&mut self, name: &str, data: &Bytes) {
        for (known, old) in &mut self.parts {
            if *known == name {
                old.clone_from(data);
            }
        }
    }

    /// Adds a part; parts are added in their order.
    pub(super) fn put(&mut self, name: &'static str, part: &impl Serialize) {
        let data = to_dag_cbor(part).unwrap_or_default();
        self.parts.push((name, data.into()));
    }

    /// Reads a part in its one form. `None`: the file does not hold it.
    pub(super) fn get<T>(&self, name: &'static str) -> Result<Option<T>, Wrong>
    where
        T: Serialize + DeserializeOwned,
    {
        let Some((_, data)) = self.parts.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        let wrong = wrong(name);
        let part: T = from_dag_cbor(data).map_err(|error| wrong(&error))?;
        if to_dag_cbor(&part).is_ok_and(|again| again == data[..]) {
            Ok(Some(part))
        } else {
            Err(wrong(&"it is not in the canonical form"))
        }
    }
}

fn digest(name: &str, data: &[u8]) -> [u8; 32] {
    sha256(&[name.as_bytes(), &[0], data].concat())
}
