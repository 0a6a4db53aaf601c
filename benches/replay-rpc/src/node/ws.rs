//! WebSockets: the same methods, and eth_subscribe.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::broadcast::error::RecvError, time::sleep};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, handshake::derive_accept_key, protocol::Role},
};

use super::{
    answer::{Asked, answer},
    filter::Filter,
    network::Change,
    provider::{Core, Mishap},
    refusal::Refusal,
};
use crate::model::{self, Block, LogPlace};

type Socket = WebSocketStream<TcpStream>;

/// What a connection is subscribed to.
#[derive(Debug, Default)]
struct Subscriptions {
    /// How many there ever were.
    made: u64,
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug)]
enum Topic {
    Heads,
    Logs(Filter),
}

/// Takes a connection over, after its request's head; `rest` came behind it.
pub(super) async fn upgrade(
    core: Arc<Core>,
    mut stream: TcpStream,
    key: &str,
    rest: Vec<u8>,
) -> io::Result<()> {
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let socket = WebSocketStream::from_partially_read(stream, rest, Role::Server, None).await;
    // A client that goes away in the middle is nothing to tell.
    let _ = converse(&core, socket).await;
    Ok(())
}

async fn converse(core: &Core, mut socket: Socket) -> Result<(), Error> {
    let mut subscriptions = Subscriptions::default();
    let mut news = core.network.news();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if !exchange(core, &mut socket, &mut subscriptions, text.as_bytes()).await? {
                        return Ok(());
                    }
                }
                Some(Ok(Message::Binary(bytes))) => {
                    if !exchange(core, &mut socket, &mut subscriptions, &bytes).await? {
                        return Ok(());
                    }
                }
                // Pings are answered by the library.
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            change = news.recv() => match change {
                Ok(change) if !core.faults().mute => {
                    notify(core, &mut socket, &subscriptions, &change).await?;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// One request; false where the socket is closed for it.
async fn exchange(
    core: &Core,
    socket: &mut Socket,
    subscriptions: &mut Subscriptions,
    body: &[u8],
) -> Result<bool, Error> {
    let number = core.next();
    let faults = core.faults();
    let asked = Asked::read(body);
    let mishap = core.mishap(&faults, &asked, number);
    if faults.latency_ms > 0 {
        sleep(Duration::from_millis(faults.latency_ms)).await;
    }
    let mut answer = match subscription(core, &asked, subscriptions) {
        Some(answer) => answer.to_string().into_bytes(),
        None => answer(core, &asked, &faults, number),
    };
    match mishap {
        Mishap::None => {}
        Mishap::Limited => {
            let error = json!({"code": -32005, "message": "rate limited"});
            let id = serde_json::from_slice::<Value>(body).map(|asked| asked["id"].clone());
            let refused = json!({"jsonrpc": "2.0", "id": id.unwrap_or_default(), "error": error});
            answer = refused.to_string().into_bytes();
        }
        Mishap::Cut | Mishap::Bomb => answer.truncate(answer.len() / 2),
        Mishap::Hung => {
            sleep(Duration::from_millis(faults.hang_ms)).await;
            return Ok(false);
        }
        Mishap::Unavailable | Mishap::Dropped => return Ok(false),
    }
    // Answers are ASCII but for what a client put into its id.
    let text = String::from_utf8_lossy(&answer).into_owned();
    socket.send(Message::text(text)).await?;
    Ok(true)
}

/// The answer where a subscription is asked for or ended.
fn subscription(
    core: &Core,
    asked: &Asked<'_>,
    subscriptions: &mut Subscriptions,
) -> Option<Value> {
    let Asked::One(call) = asked else {
        return None;
    };
    let result = match call.method.as_ref() {
        "eth_subscribe" => subscribe(&call.params, subscriptions),
        "eth_unsubscribe" => {
            let name = call.params[0].as_str().unwrap_or_default();
            Ok(json!(subscriptions.topics.remove(name).is_some()))
        }
        _ => return None,
    };
    let (key, value) = match result {
        Ok(result) => ("result", result),
        Err(refusal) => ("error", refusal.json()),
    };
    let answer = json!({"jsonrpc": "2.0", "id": call.id_value(), key: value});
    core.stats()
        .call(&call.method, answer.to_string().len(), key == "error");
    Some(answer)
}

fn subscribe(params: &Value, subscriptions: &mut Subscriptions) -> Result<Value, Refusal> {
    let topic = match params[0].as_str() {
        Some("newHeads") => Topic::Heads,
        Some("logs") => Topic::Logs(Filter::of(&params[1])?),
        _ => return Err(Refusal::params("no such subscription")),
    };
    subscriptions.made += 1;
    let id = format!("{:#x}", crate::mix(subscriptions.made));
    subscriptions.topics.insert(id.clone(), topic);
    Ok(json!(id))
}

/// What geth tells of a change: of heads the new tip alone, of logs those taken back, then the new.
async fn notify(
    core: &Core,
    socket: &mut Socket,
    subscriptions: &Subscriptions,
    change: &Change,
) -> Result<(), Error> {
    let mut messages = Vec::new();
    for (id, topic) in &subscriptions.topics {
        let mut message = |write: &dyn Fn(&mut Vec<u8>)| messages.push(notice(id, write));
        match topic {
            Topic::Heads => {
                if let Some(tip) = change.added.last() {
                    message(&|out| model::head_notice(out, tip));
                }
            }
            Topic::Logs(filter) => {
                let removed = change.removed.iter().map(|block| (block, true));
                let added = change.added.iter().map(|block| (block, false));
                for (block, is_removed) in removed.chain(added) {
                    for (log, at) in logs(core, block, filter, is_removed) {
                        message(&|out| model::log(out, log, &at));
                    }
                }
            }
        }
    }
    for message in messages {
        core.stats().call("eth_subscription", message.len(), false);
        socket.feed(Message::text(message)).await?;
    }
    socket.flush().await
}

fn logs<'a>(
    core: &Core,
    block: &'a Block,
    filter: &Filter,
    is_removed: bool,
) -> Vec<(&'a alloy_primitives::Log, LogPlace)> {
    let with_time = !core.faults().no_log_time;
    let logs = block.logs().filter(|(_, _, log)| filter.matches(log));
    logs.map(|(index, tx, log)| {
        let mut at = LogPlace::new(block, tx, index, with_time);
        at.removed = is_removed;
        (log, at)
    })
    .collect()
}

fn notice(id: &str, write: &dyn Fn(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    out.extend_from_slice(
        br#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"#,
    );
    out.extend_from_slice(json!(id).to_string().as_bytes());
    out.extend_from_slice(br#","result":"#);
    write(&mut out);
    out.extend_from_slice(b"}}");
    String::from_utf8_lossy(&out).into_owned()
}
