//! What goes wrong on the way out.

use std::{error::Error as StdError, io, time::Duration};

use kernel::Kind;

use crate::Why;

/// Result of everything that goes out.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed fetch or call. No text holds an address or a host that the caller did not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The guard refuses the address, now and later.
    #[error("blocked: {why}")]
    Blocked {
        /// Which rule refused it.
        why: Why,
    },
    /// The text is no URL.
    #[error("no URL: {0}")]
    Url(String),
    /// The answer is larger than the limit, in bytes after decoding. Nothing of it is kept.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit: usize,
    },
    /// No answer, or not all of it, in time.
    #[error("no complete answer in time")]
    Timeout,
    /// TLS failed: a certificate that is expired or names another host, or no TLS at all.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The name does not resolve, the connection fails or breaks, or the answer is not HTTP.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The server answered, but with this status.
    #[error("the server answered {0}")]
    Status(u16),
    /// The server wants us to slow down (429).
    #[error("the server limits us{}", .retry_after.map(|d| format!(" for {} s", d.as_secs())).unwrap_or_default())]
    Limited {
        /// How long it asks us to wait, where it said so in seconds.
        retry_after: Option<Duration>,
    },
    /// The configuration is wrong; the text names the key.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// The class of this failure. Every status is transient: a file that is gone can come back.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Blocked { .. } | Self::Url(_) | Self::TooLarge { .. } | Self::Config(_) => {
                Kind::Invalid
            }
            Self::Timeout | Self::Tls(_) | Self::Unavailable(_) | Self::Status(_) => {
                Kind::Unavailable
            }
            Self::Limited { .. } => Kind::Limited,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        if let Some(why) = chain(&error).find_map(|error| error.downcast_ref::<Why>()) {
            return Self::Blocked { why: *why };
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        // tokio-rustls puts what rustls says into an io::Error of this kind, hyper-rustls puts that
        // into another one.
        let tls = chain(&error)
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(|error| error.kind() == io::ErrorKind::InvalidData);
        let handshake = error.is_connect() && tls;
        let error = error.without_url();
        let root = chain(&error)
            .last()
            .map(ToString::to_string)
            .unwrap_or_default();
        if handshake {
            Self::Tls(root)
        } else {
            Self::Unavailable(root)
        }
    }
}

/// The error, what caused it, and so on to the root; into the errors that an io::Error wraps too,
/// which its own `source` passes over.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
        Some(error)
    })
}
