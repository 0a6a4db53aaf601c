//! A WebSocket to a service that the operator configured.
//!
//! The handshake is an HTTP request of the same client as everything else, so trust in certificates,
//! proxies and time limits have one owner; only the frames after it are another library's.

use std::{fmt, time::Duration};

use futures::{SinkExt, StreamExt};
use reqwest::{
    StatusCode, Upgraded,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};
use url::Url;

use crate::{Error, Result, body, fetcher::builder};

/// What a [`Socket`] bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// The largest message that is read, in bytes.
    pub max_bytes: usize,
    /// For the handshake, and for each message that is sent.
    pub timeout: Duration,
    /// A peer that was silent for so long is asked for a sign of life, and is given up after as long
    /// again.
    pub idle: Duration,
}

/// An open WebSocket. After an error it is of no further use.
pub struct Socket {
    stream: WebSocketStream<Upgraded>,
    limits: SocketLimits,
}

impl Socket {
    /// Connects to `url` (`ws://` or `wss://`), credentials, path and query included.
    pub async fn connect(url: &Url, limits: SocketLimits) -> Result<Self> {
        let scheme = match url.scheme() {
            "ws" => "http",
            "wss" => "https",
            other => {
                let wrong = format!("`{other}://...` is no ws or wss URL");
                return Err(Error::Config(wrong));
            }
        };
        // `set_scheme` lets through only some changes, and this is not one of them.
        let rest = &url.as_str()[url.scheme().len()..];
        let url = Url::parse(&format!("{scheme}{rest}"))
            .map_err(|error| Error::Url(error.to_string()))?;
        let upgraded = timeout(limits.timeout, handshake(url, limits.timeout))
            .await
            .unwrap_or(Err(Error::Timeout))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits.max_bytes))
            .max_frame_size(Some(limits.max_bytes));
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        Ok(Self { stream, limits })
    }

    /// Sends a text.
    pub async fn send(&mut self, text: String) -> Result<()> {
        self.put(Message::text(text)).await
    }

    /// The next message, text or bytes.
    pub async fn receive(&mut self) -> Result<Vec<u8>> {
        let mut asked = false;
        loop {
            match timeout(self.limits.idle, self.stream.next()).await {
                Err(_) if asked => return Err(Error::Timeout),
                Err(_) => {
                    asked = true;
                    self.put(Message::Ping(Vec::new().into())).await?;
                }
                Ok(None) => return Err(Error::Unavailable("the socket is closed".to_owned())),
                Ok(Some(Err(error))) => return Err(self.error(error)),
                Ok(Some(Ok(Message::Text(text)))) => return Ok(text.as_bytes().to_vec()),
                Ok(Some(Ok(Message::Binary(bytes)))) => return Ok(bytes.to_vec()),
                // Signs of life; a ping is answered by the stream itself. The end comes as `None`.
                Ok(Some(Ok(_))) => asked = false,
            }
        }
    }

    async fn put(&mut self, message: Message) -> Result<()> {
        match timeout(self.limits.timeout, self.stream.send(message)).await {
            Ok(sent) => sent.map_err(|error| self.error(error)),
            Err(_) => Err(Error::Timeout),
        }
    }

    fn error(&self, error: tungstenite::Error) -> Error {
        match error {
            tungstenite::Error::Capacity(_) => Error::TooLarge {
                limit: self.limits.max_bytes,
            },
            other => Error::Unavailable(other.to_string()),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// RFC 6455, 4.1: the request that becomes a socket.
async fn handshake(url: Url, connect_timeout: Duration) -> Result<Upgraded> {
    let client = builder(connect_timeout)
        .build()
        .map_err(|error| Error::Config(format!("no HTTP client: {error}")))?;
    let key = generate_key();
    let response = client
        .get(url)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .send()
        .await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(body::status_error(response.status(), response.headers()));
    }
    let accepted = body::text(response.headers(), SEC_WEBSOCKET_ACCEPT);
    if accepted != Some(derive_accept_key(key.as_bytes())) {
        return Err(Error::Unavailable(
            "the peer speaks no WebSocket".to_owned(),
        ));
    }
    Ok(response.upgrade().await?)
}
