//! `up --demo`: real agents on the dev chain, once.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use chain::{Call, Rpc, Sender, registry};
use kernel::{Address, Bytes, U256, keccak256};
use serde::Deserialize;
use serde_json::Value;

use crate::{Error, app::App, indexing};

/// Real registration files; where they come from stands in `demo/README.md`.
const AGENTS: &str = include_str!("../demo/agents.json");

/// The file in the data directory that says that everything was done.
const DONE: &str = "demo-done";

#[derive(Deserialize)]
struct Example {
    file: Value,
}

/// Registration files by their place in the demo, as `/demo/{n}.json` serves them.
pub fn file(n: usize) -> Option<Value> {
    examples()
        .ok()?
        .into_iter()
        .nth(n)
        .map(|example| example.file)
}

fn examples() -> Result<Vec<Example>, Error> {
    serde_json::from_str(AGENTS).map_err(|error| invalid(format!("demo/agents.json: {error}")))
}

/// How an example is named on chain.
async fn uri(app: &App, n: usize, example: &Example, own_url: &str) -> Result<String, Error> {
    let text = example.file.to_string();
    Ok(match n % 5 {
        0 | 1 => format!(
            "data:application/json;base64,{}",
            BASE64_STANDARD.encode(&text)
        ),
        2 | 3 => format!("ipfs://{}", app.content.add(text.as_bytes()).await?),
        _ => format!("{own_url}/demo/{n}.json"),
    })
}

/// Names that lead nowhere, each in its own way.
fn broken() -> [String; 6] {
    [
        String::new(),
        "data:application/json;base64,e30gYnJva2Vu".to_owned(),
        "ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".to_owned(),
        "https://10.0.0.1/agent.json".to_owned(),
        "mailto:agent@example.com".to_owned(),
        "cd".to_owned(),
    ]
}

/// Registers the agents on the dev chain at `rpc_url` and lets things happen to some, unless that
/// was done before.
pub async fn play(app: &Arc<App>, rpc_url: &str, own_url: &str) -> Result<(), Error> {
    let done = app.data_dir.path().join(DONE);
    if done.exists() {
        return Ok(());
    }
    let rpc = &indexing::dev_connect(rpc_url).await?;
    let sender = &indexing::dev_sender(rpc)?;
    tracing::info!("registering the demo's agents on the dev chain");
    let contracts = indexer::stored_contracts(&app.db, rpc.chain()).await?;
    let (Some(registry), Some(status)) = (contracts.identity.first(), contracts.status.first())
    else {
        return Ok(());
    };
    let examples = examples()?;
    let mut uris = Vec::with_capacity(examples.len() + 6);
    for (n, example) in examples.iter().enumerate() {
        uris.push(uri(app, n, example, own_url).await?);
    }
    uris.extend(broken());
    // A start that was interrupted goes on where it stopped: ids are given in order.
    let there = existing(rpc, *registry).await?;
    for uri in uris.iter().skip(there) {
        send(sender, *registry, registry::register_with_uri(uri)).await?;
    }
    happen(sender, *registry, *status, &uris).await?;
    std::fs::write(&done, b"").map_err(|error| Error::io("the demo's mark", error))
}

/// How many tokens there are, by asking for the owners of 0, 1, ...
async fn existing(rpc: &Rpc, registry: Address) -> Result<usize, Error> {
    let mut n = 0_usize;
    loop {
        let owner = registry::owner_of(rpc, registry, U256::from(n), chain::At::Latest).await;
        match owner.map_err(|error| node(rpc, error))? {
            Some(_) => n += 1,
            None => return Ok(n),
        }
    }
}

/// Transfers, URI updates, wallet changes, status changes and heartbeats.
async fn happen(
    sender: &Sender,
    registry: Address,
    status: Address,
    uris: &[String],
) -> Result<(), Error> {
    let id = |n: u64| U256::from(n);
    let somebody = Address::from_slice(&keccak256(b"chancery demo: somebody")[12..]);
    let me = sender.address();
    let calls: Vec<(Address, Bytes)> = vec![
        (registry, registry::transfer(me, somebody, id(3))),
        (registry, registry::transfer(me, somebody, id(8))),
        (registry, registry::set_agent_uri(id(5), &uris[6])),
        (registry, registry::set_agent_uri(id(9), &uris[0])),
        (registry, registry::set_agent_uri(id(9), &uris[9])),
        (registry, registry::unset_agent_wallet(id(4))),
        (
            registry,
            registry::set_metadata(id(1), "region", Bytes::from_static(b"eu")),
        ),
        (
            status,
            registry::set_status(registry, id(2), 1, "nightly maintenance"),
        ),
        (
            status,
            registry::set_status(registry, id(2), 0, "maintenance done"),
        ),
        (
            status,
            registry::set_status(registry, id(6), 1, "waiting for funds"),
        ),
        (
            status,
            registry::set_status(registry, id(7), 2, "replaced by a successor"),
        ),
        (status, registry::heartbeat(registry, id(0))),
        (status, registry::heartbeat(registry, id(1))),
    ];
    for (to, data) in calls {
        send(sender, to, data).await?;
    }
    Ok(())
}

async fn send(sender: &Sender, to: Address, data: Bytes) -> Result<(), Error> {
    sender
        .send(Call::new(to, data))
        .await
        .map(|_| ())
        .map_err(|error| invalid(format!("a transaction of the demo failed: {error}")))
}

fn invalid(why: String) -> Error {
    indexer::Error::Invalid(why).into()
}

fn node(rpc: &Rpc, error: chain::RpcError) -> Error {
    indexer::Error::Rpc {
        chain: rpc.chain(),
        place: rpc.place(),
        error,
    }
    .into()
}
