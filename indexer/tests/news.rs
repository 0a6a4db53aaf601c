//! New heads over a WebSocket, from a node that sometimes hangs up.

use std::sync::Arc;

use replay_rpc::{
    node::{Faults, Network},
    workload::Params,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn every_new_head_wakes_whoever_waits_until_it_is_told_to_stop() -> anyhow::Result<()> {
    let network = Network::of_workload(Params::default(), 3);
    let provider = network.provider(Faults::default())?;
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let url = provider.ws_url().parse()?;
    let listening = tokio::spawn(indexer::news::listen(url, Arc::clone(&wake), stop.clone()));
    for _ in 0..3 {
        // Before the subscription stands, a head is heard of by nobody: another one follows.
        loop {
            network.mine(1);
            let heard = wake.notified();
            let waited = tokio::time::timeout(std::time::Duration::from_millis(200), heard).await;
            if waited.is_ok() {
                break;
            }
        }
    }
    stop.cancel();
    listening.await?;
    Ok(())
}
