//! News of new heads over a WebSocket: a reason to look now, and nothing more.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Pause before a broken subscription is tried again, doubled each time up to [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST: Duration = Duration::from_mins(1);

/// Wakes `wake` at every new head of the node at `url` (`ws://` or `wss://`) until `stop`. Where nothing
/// comes, whoever waits looks by himself: nodes lose subscriptions without a word.
pub async fn listen(url: Url, wake: Arc<Notify>, stop: CancellationToken) {
    let place = url.origin().ascii_serialization();
    let mut pause = PAUSE;
    let mut told = false;
    loop {
        let heard = async {
            let mut heads = chain::heads(url.clone()).await?;
            loop {
                heads.next().await?;
                pause = PAUSE;
                told = false;
                wake.notify_one();
            }
        };
        let error: chain::RpcError = tokio::select! {
            () = stop.cancelled() => return,
            ended = heard => match ended {
                Ok(never) => never,
                Err(error) => error,
            },
        };
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(place, %error, "new heads of {place} are not heard: {error}; they are polled for");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST);
    }
}
