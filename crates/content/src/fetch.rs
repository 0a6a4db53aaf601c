//! From a raw URI to its document, or to the reason why there is none. Never an error: every
//! outcome is a state that a record can hold.

use kernel::{Cid, Kind};
use net::Get;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Content, Error, data_uri,
    lookup::Failure,
    uri::{self, Uri},
};

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The URI is empty: there is no document.
    None,
    /// Not tried yet. [`Content::fetch`] never says so.
    Pending,
    /// The bytes are here.
    Fetched,
    /// Not to be had now.
    Unavailable,
    /// Longer than the limit.
    TooLarge,
    /// The URI, or what it unpacks to, does not keep its format; or it names no file.
    Malformed,
    /// The address is one that we do not reach.
    Blocked,
    /// A form that we do not read; the error names it.
    Unsupported,
}

/// What vouches for the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// They hash to the URI's CID, or stand on the chain themselves.
    Verified,
    /// Nothing: a web server said so. Or there are no bytes.
    Unverified,
    /// Somebody gave other bytes than the CID's, and nobody the right ones.
    Mismatch,
}

/// The outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// What became of it.
    pub state: State,
    /// What vouches for it.
    pub verification: Verification,
    /// The document; only where `state` is [`State::Fetched`].
    #[serde(skip)]
    pub bytes: Option<Vec<u8>>,
    /// CID of the bytes as the URI names it (below a path: the file's own), else raw sha2-256 of
    /// the bytes. Beyond 1 MiB, the root of [`crate::Layout::OURS`]. It is in the blockstore.
    pub cid: Option<String>,
    /// The media type that the URI or the server gave.
    pub content_type: Option<String>,
    /// The server's `ETag`.
    pub etag: Option<String>,
    /// The URL that answered, where it was the web.
    pub final_url: Option<String>,
    /// Why there are no bytes, for people.
    pub error: Option<String>,
    /// Whether the same URI may give something else later.
    pub retry: bool,
}

impl Fetched {
    /// The CID to pin.
    pub fn root(&self) -> Option<Cid> {
        self.cid.as_ref()?.parse().ok()
    }

    fn nothing(state: State, error: Option<String>) -> Self {
        Self {
            state,
            verification: Verification::Unverified,
            bytes: None,
            cid: None,
            content_type: None,
            etag: None,
            final_url: None,
            error,
            retry: state == State::Unavailable,
        }
    }

    fn found(verification: Verification, cid: Cid, bytes: Vec<u8>) -> Self {
        Self {
            verification,
            bytes: Some(bytes),
            cid: Some(cid.to_string()),
            ..Self::nothing(State::Fetched, None)
        }
    }

    fn failed(error: &Error) -> Self {
        let state = match error {
            Error::Unsupported(_) => State::Unsupported,
            Error::TooLarge { .. } | Error::Net(net::Error::TooLarge { .. }) => State::TooLarge,
            Error::Net(net::Error::Blocked { .. }) => State::Blocked,
            _ => match error.kind() {
                Kind::Invalid | Kind::NotFound => State::Malformed,
                _ => State::Unavailable,
            },
        };
        Self::nothing(state, Some(error.to_string()))
    }
}

impl Content {
    /// Fetches what `uri` names, checks it, and stores it in our own blockstore. To have it
    /// pinned, pass [`Fetched::root`] to [`crate::pin::want`] in the transaction that records it.
    pub async fn fetch(&self, uri: &[u8]) -> Fetched {
        match uri::classify(uri) {
            Uri::Empty => Fetched::nothing(State::None, None),
            Uri::RawJson(bytes) => {
                self.on_chain(Some("application/json".to_owned()), bytes.to_vec())
                    .await
            }
            Uri::Data(uri) => match data_uri::decode(uri) {
                Ok(document) => self.on_chain(document.media_type, document.bytes).await,
                Err(error) => Fetched::failed(&error),
            },
            Uri::Ipfs { cid, path, gateway } => self.ipfs(&cid, &path, gateway.as_deref()).await,
            Uri::Web(url) => self.web(&url).await,
            Uri::Ipns { .. } => unsupported("an IPNS name"),
            Uri::Arweave { .. } => unsupported("Arweave"),
            Uri::Unsupported { what, .. } => unsupported(&what),
            Uri::Malformed { why } => Fetched::nothing(State::Malformed, Some(why)),
            Uri::TooLarge { limit } => {
                let error = format!("the URI is longer than {limit} bytes");
                Fetched::nothing(State::TooLarge, Some(error))
            }
        }
    }

    /// A document that came in its URI: the chain vouches for it.
    async fn on_chain(&self, content_type: Option<String>, bytes: Vec<u8>) -> Fetched {
        let fetched = self.kept(Verification::Verified, bytes).await;
        Fetched {
            content_type,
            ..fetched
        }
    }

    async fn web(&self, url: &Url) -> Fetched {
        match self.fetcher.get(url.as_str(), Get::default()).await {
            Ok(response) => Fetched {
                content_type: response.content_type,
                etag: response.etag,
                final_url: Some(response.final_url),
                ..self.kept(Verification::Unverified, response.bytes).await
            },
            Err(error) => Fetched::failed(&error.into()),
        }
    }

    async fn ipfs(&self, root: &Cid, path: &[String], gateway: Option<&str>) -> Fetched {
        match self.find_via(root, path, gateway).await {
            Ok(Ok(file)) => Fetched::found(Verification::Verified, file.cid, file.bytes),
            Ok(Err(Failure::Verdict(error))) => Fetched {
                verification: Verification::Verified,
                ..Fetched::failed(&error)
            },
            Ok(Err(Failure::Nowhere { mismatch, said })) => {
                let verification = match mismatch {
                    Some(_) => Verification::Mismatch,
                    None => Verification::Unverified,
                };
                let error = if said.is_empty() {
                    format!(
                        "{root} is not in the blockstore, and there is no Kubo or gateway to ask"
                    )
                } else {
                    said.join("; ")
                };
                Fetched {
                    verification,
                    ..Fetched::nothing(State::Unavailable, Some(error))
                }
            }
            Err(error) => Fetched::nothing(State::Unavailable, Some(error.to_string())),
        }
    }

    /// Stores bytes that no CID named.
    async fn kept(&self, verification: Verification, bytes: Vec<u8>) -> Fetched {
        match self.add(&bytes).await {
            Ok(cid) => Fetched::found(verification, cid, bytes),
            Err(error) => Fetched::nothing(State::Unavailable, Some(error.to_string())),
        }
    }
}

fn unsupported(what: &str) -> Fetched {
    Fetched::failed(&Error::Unsupported(what.to_owned()))
}
