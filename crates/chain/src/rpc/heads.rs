//! New heads as they come, over a WebSocket.

use std::time::Duration;

use kernel::B256;
use net::{Socket, SocketLimits};
use serde::Deserialize;
use url::Url;

use super::{
    RpcError,
    error::{from_body, from_net},
    wire::{Request, Response},
    words::from_failure,
};
use crate::quantity;

/// A header is less than 3 KB; some nodes put more into it.
const LIMITS: SocketLimits = SocketLimits {
    max_bytes: 256 * 1024,
    timeout: Duration::from_secs(10),
    idle: Duration::from_secs(20),
};

const SUBSCRIBE: &str = "eth_subscribe";

/// So many messages may come before the answer to our subscription.
const MOST_BEFORE: usize = 16;

/// A block that a node says is its new head. Only a hint to look now: nodes leave out blocks, and a
/// reorg shows as one head of another branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewHead {
    /// Height.
    #[serde(with = "quantity::height")]
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Hash of the block before it.
    #[serde(rename = "parentHash")]
    pub parent: B256,
}

/// A subscription to a node's new heads. After an error it is over; connecting again is the caller's.
#[derive(Debug)]
pub struct Heads {
    socket: Socket,
    url: Url,
    subscription: String,
}

/// Subscribes at the node at `url` (`ws://` or `wss://`).
pub async fn heads(url: Url) -> Result<Heads, RpcError> {
    let failed = |error| from_net(SUBSCRIBE, &error, &url);
    let mut socket = Socket::connect(&url, LIMITS).await.map_err(failed)?;
    let subscribe = Request::new(1, SUBSCRIBE, ["newHeads"]);
    let subscribe = serde_json::to_string(&subscribe)
        .map_err(|error| RpcError::unexpected(error.to_string()))?;
    socket.send(subscribe).await.map_err(failed)?;
    for _ in 0..MOST_BEFORE {
        let text = socket.receive().await.map_err(failed)?;
        let answer: Response<String> =
            serde_json::from_slice(&text).map_err(|_| from_body(&text, &url))?;
        if let Some(failure) = answer.error {
            return Err(from_failure(SUBSCRIBE, &failure));
        }
        if let (Some(1), Some(subscription)) = (answer.id, answer.result) {
            return Ok(Heads {
                socket,
                url,
                subscription,
            });
        }
    }
    Err(RpcError::unexpected(
        "the node does not answer a subscription",
    ))
}

impl Heads {
    /// The next head.
    pub async fn next(&mut self) -> Result<NewHead, RpcError> {
        #[derive(Deserialize)]
        struct Message {
            params: Option<Notice>,
        }
        #[derive(Deserialize)]
        struct Notice {
            subscription: String,
            result: NewHead,
        }
        loop {
            let text = self.socket.receive().await;
            let text = text.map_err(|error| from_net(SUBSCRIBE, &error, &self.url))?;
            let message: Message =
                serde_json::from_slice(&text).map_err(|_| from_body(&text, &self.url))?;
            // Whatever else it tells was not asked for.
            if let Some(notice) = message.params
                && notice.subscription == self.subscription
            {
                return Ok(notice.result);
            }
        }
    }
}
