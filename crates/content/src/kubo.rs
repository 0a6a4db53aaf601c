//! A second blockstore: Kubo over its RPC (`/api/v0`, POST only).
//!
//! Kubo waits for ever for what it cannot find unless told otherwise, so every call carries
//! Kubo's own `timeout` and a longer one of ours. Nothing that it answers is believed: blocks are
//! hashed, pins are asked for after they were made.

use std::time::Duration;

use kernel::{Bytes, Cid};
use net::{Call, Reply, Service};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Error, Layout, Result,
    block::{self, DAG_CBOR, DAG_JSON, DAG_PB, MAX_BLOCK},
    ipns::Name,
};

/// What the answers to commands may take, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// What Kubo is given beyond its own timeout before we hang up.
const GRACE: Duration = Duration::from_secs(2);

/// A client of one Kubo. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kubo {
    service: Service,
    timeout: Duration,
}

/// What Kubo says of a root of an imported CAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The root.
    pub root: Cid,
    /// Why it was not pinned; Kubo says so inside a 200 answer.
    pub pin_error: Option<String>,
}

impl Kubo {
    /// A client of the RPC at `url`; `token` is sent as a bearer token. `timeout` is what Kubo may
    /// take for a command.
    pub fn new(url: &str, token: Option<String>, timeout: Duration) -> Result<Self> {
        let service = Service::new(url, token, timeout + GRACE, MAX_ANSWER)?;
        Ok(Self { service, timeout })
    }

    /// The same Kubo, given so long for each command.
    #[must_use]
    pub fn patient(&self, timeout: Duration) -> Self {
        Self {
            service: self.service.clone(),
            timeout,
        }
    }

    /// Its address, for messages.
    pub fn name(&self) -> String {
        format!("Kubo at {}", self.service.name())
    }

    /// Its version, such as `0.42.0`.
    pub async fn version(&self) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Version {
            version: String,
        }
        Ok(json::<Version>(&self.send(self.command("version")).await?)?.version)
    }

    /// The block, verified. Kubo looks for it in its network, where it has one.
    pub async fn block(&self, cid: &Cid) -> Result<Bytes> {
        let call = self
            .command("block/get")
            .query("arg", &cid.to_string())
            .max_bytes(MAX_BLOCK);
        let bytes = self.send(call).await?;
        block::verify(cid, &bytes, &self.name())?;
        Ok(bytes.into())
    }

    /// Stores one block, unpinned. Errors with [`Error::Mismatch`] where Kubo names it otherwise.
    pub async fn put_block(&self, cid: &Cid, bytes: &[u8]) -> Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Stored {
            key: String,
        }
        block::verify(cid, bytes, "the caller")?;
        let codec = match cid.codec() {
            DAG_PB => "dag-pb",
            DAG_CBOR => "dag-cbor",
            DAG_JSON => "dag-json",
            _ => "raw",
        };
        let hash = match cid.hash().code() {
            0x13 => "sha2-512",
            0x1e => "blake3",
            0xb220 => "blake2b-256",
            0x00 => "identity",
            _ => "sha2-256",
        };
        let call = self
            .command("block/put")
            .query("cid-codec", codec)
            .query("mhtype", hash);
        let stored: Stored = json(&self.send(call.file(bytes.to_vec())).await?)?;
        self.same(cid, &stored.key)
    }

    /// Adds and pins a file in `layout`; the CID is what [`crate::build`] gives.
    pub async fn add(&self, bytes: Vec<u8>, layout: Layout) -> Result<Cid> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Added {
            hash: String,
        }
        let expected = crate::build(&bytes, layout).root;
        let call = self
            .command("add")
            .query("cid-version", "1")
            .query("raw-leaves", "true")
            .query("chunker", &format!("size-{}", layout.chunk))
            .query("max-file-links", &layout.width.to_string())
            .query("pin", "true")
            .query("progress", "false");
        let added: Added = json(&self.send(call.file(bytes)).await?)?;
        self.same(&expected, &added.hash)?;
        Ok(expected)
    }

    /// Stores the blocks of a CAR and pins its roots. A root whose DAG is not complete comes back
    /// with its `pin_error`; its blocks are stored all the same.
    pub async fn import(&self, car: Vec<u8>) -> Result<Vec<Imported>> {
        self.send_car(car, true).await
    }

    /// Stores the blocks of a CAR, unpinned.
    pub async fn put_car(&self, car: Vec<u8>) -> Result<()> {
        self.send_car(car, false).await.map(drop)
    }

    async fn send_car(&self, car: Vec<u8>, pin: bool) -> Result<Vec<Imported>> {
        let call = self
            .command("dag/import")
            .query("pin-roots", if pin { "true" } else { "false" })
            .file(car);
        let answer = self.send(call).await?;
        let mut imported = Vec::new();
        for line in answer
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line: ImportLine = json(line)?;
            if let Some(message) = line.message {
                return Err(Error::Kubo {
                    message,
                    code: line.code,
                    status: 200,
                });
            }
            if let Some(root) = line.root {
                let error = Some(root.pin_error_msg).filter(|error| !error.is_empty());
                let root = block::parse_cid(&root.cid.text)?;
                imported.push(Imported {
                    root,
                    pin_error: error,
                });
            }
        }
        Ok(imported)
    }

    /// Pins a DAG, fetching what is missing of it.
    pub async fn pin(&self, cid: &Cid) -> Result<()> {
        let call = self.command("pin/add").query("arg", &cid.to_string());
        self.send(call.query("recursive", "true")).await.map(drop)
    }

    /// Pins `new` in place of `old`, of which Kubo walks only what differs. Errors where `old` is not pinned.
    pub async fn repin(&self, old: &Cid, new: &Cid) -> Result<()> {
        let call = self
            .command("pin/update")
            .query("arg", &old.to_string())
            .query("arg", &new.to_string());
        self.send(call.query("unpin", "true")).await.map(drop)
    }

    /// Gives it a record of IPNS, which it tells its network, where it has one.
    pub async fn put_name(&self, name: &Name, record: Vec<u8>) -> Result<()> {
        let call = self
            .command("routing/put")
            .query("arg", &format!("/ipns/{name}"))
            .query("allow-offline", "true");
        self.send(call.file(record)).await.map(drop)
    }

    /// The file of this path among those that Kubo has under names (MFS); `None` where there is none. `most` is the
    /// length in bytes that is read.
    pub async fn read_file(&self, path: &str, most: usize) -> Result<Option<Vec<u8>>> {
        let call = self.command("files/read").query("arg", path);
        match self.send(call.max_bytes(most)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_no_file(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a file there, with the directories above it and in place of what is there. It is durable when this returns.
    pub async fn write_file(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        let call = self
            .command("files/write")
            .query("arg", path)
            .query("create", "true")
            .query("parents", "true")
            .query("truncate", "true");
        self.send(call.file(bytes)).await.map(drop)
    }

    /// Takes a pin away; one that is not there is no error.
    pub async fn unpin(&self, cid: &Cid) -> Result<()> {
        match self
            .send(self.command("pin/rm").query("arg", &cid.to_string()))
            .await
        {
            Err(error) if is_not_pinned(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether the DAG is pinned as a whole.
    pub async fn is_pinned(&self, cid: &Cid) -> Result<bool> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Pins {
            #[serde(default)]
            keys: std::collections::HashMap<String, serde_json::Value>,
        }
        let call = self.command("pin/ls").query("arg", &cid.to_string());
        match self.send(call.query("type", "recursive")).await {
            Ok(answer) => {
                let pins: Pins = json(&answer)?;
                Ok(pins
                    .keys
                    .keys()
                    .any(|key| key.parse::<Cid>().is_ok_and(|key| key.hash() == cid.hash())))
            }
            Err(error) if is_not_pinned(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn command(&self, name: &str) -> Call {
        let seconds = format!("{}s", self.timeout.as_secs().max(1));
        self.service
            .post(&format!("api/v0/{name}"))
            .timeout(self.timeout + GRACE)
            .query("timeout", &seconds)
    }

    async fn send(&self, call: Call) -> Result<Vec<u8>> {
        let reply = call.send().await?;
        if reply.status == 200 {
            Ok(reply.bytes)
        } else {
            Err(refusal(&reply))
        }
    }

    fn same(&self, expected: &Cid, named: &str) -> Result<()> {
        // The same hash under another version of CID is the same block.
        match named.parse::<Cid>() {
            Ok(cid) if cid.hash() == expected.hash() => Ok(()),
            _ => Err(Error::Mismatch {
                cid: *expected,
                from: self.name(),
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImportLine {
    root: Option<ImportRoot>,
    message: Option<String>,
    #[serde(default)]
    code: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImportRoot {
    cid: Link,
    #[serde(default)]
    pin_error_msg: String,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "/")]
    text: String,
}

/// Kubo's `{Message, Code, Type}`, or what stands in its place.
fn refusal(reply: &Reply) -> Error {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Refusal {
        message: String,
        #[serde(default)]
        code: i64,
    }
    let status = reply.status;
    if let Ok(Refusal { message, code }) = serde_json::from_slice(&reply.bytes) {
        return Error::Kubo {
            message,
            code,
            status,
        };
    }
    let text: String = String::from_utf8_lossy(&reply.bytes)
        .chars()
        .take(200)
        .collect();
    Error::Kubo {
        message: format!("{status} {}", text.trim()),
        code: 0,
        status,
    }
}

/// Kubo tells this one only by its text.
fn is_not_pinned(error: &Error) -> bool {
    matches!(error, Error::Kubo { message, .. } if message.contains("not pinned"))
}

/// And this one, too.
fn is_no_file(error: &Error) -> bool {
    let none = ["file does not exist", "was not a file"];
    matches!(error, Error::Kubo { message, .. } if none.iter().any(|none| message.ends_with(none)))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Kubo {
        message: format!("an answer that is not its own: {error}"),
        code: 0,
        status: 200,
    })
}
