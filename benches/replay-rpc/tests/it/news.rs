//! WebSockets.

use futures::{SinkExt, StreamExt};
use replay_rpc::node::{Faults, Provider};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::kit::{draft, network};

type Socket = WebSocketStream<TcpStream>;

async fn connect(provider: &Provider) -> Socket {
    let stream = TcpStream::connect(provider.address()).await.unwrap();
    let (socket, _) = client_async(provider.ws_url(), stream).await.unwrap();
    socket
}

async fn next(socket: &mut Socket) -> Value {
    let message = socket.next().await.unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

async fn ask(socket: &mut Socket, method: &str, params: Value) -> Value {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    socket.send(Message::text(call.to_string())).await.unwrap();
    next(socket).await
}

#[tokio::test]
async fn a_subscriber_hears_of_each_block_and_of_a_reorg_only_the_new_tip() {
    let network = network(3);
    let provider = network.provider(Faults::default()).unwrap();
    let mut socket = connect(&provider).await;
    let said = ask(&mut socket, "eth_subscribe", json!(["newHeads"])).await;
    let id = said["result"].clone();
    network.change(|chain| {
        chain.extend(draft(4, 0));
        chain.extend(draft(5, 0));
    });
    network.change(|chain| chain.reorg(3, (3..=6).map(|number| draft(number, 1))));
    network.change(|chain| chain.set_head(2));
    network.mine(1);
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let notice = next(&mut socket).await;
        assert_eq!(notice["params"]["subscription"], id);
        numbers.push(notice["params"]["result"]["number"].clone());
    }
    assert_eq!(json!(numbers), json!(["0x4", "0x5", "0x6", "0x3"]));
    let said = ask(&mut socket, "eth_unsubscribe", json!([id])).await;
    assert_eq!(said["result"], true);
    network.mine(1);
    let said = ask(&mut socket, "eth_blockNumber", json!([])).await;
    assert_eq!(
        said["result"], "0x4",
        "the next message is the answer, and no notice"
    );
}

#[tokio::test]
async fn logs_come_back_as_removed_before_the_new_ones() {
    let network = network(3);
    let provider = network.provider(Faults::default()).unwrap();
    let mut socket = connect(&provider).await;
    ask(&mut socket, "eth_subscribe", json!(["logs", {}])).await;
    network.change(|chain| chain.reorg(2, [draft(2, 1)]));
    let mut told = Vec::new();
    for _ in 0..9 {
        let log = next(&mut socket).await["params"]["result"].clone();
        told.push((log["removed"].clone(), log["blockNumber"].clone()));
    }
    let old = |number: &str| vec![(json!(true), json!(number)); 3];
    let new = vec![(json!(false), json!("0x2")); 3];
    assert_eq!(told, [old("0x2"), old("0x3"), new].concat());
}

#[tokio::test]
async fn a_muted_provider_says_nothing_but_answers() {
    let network = network(1);
    let provider = network
        .provider(Faults {
            mute: true,
            ..Faults::default()
        })
        .unwrap();
    let mut socket = connect(&provider).await;
    ask(&mut socket, "eth_subscribe", json!(["newHeads"])).await;
    network.mine(3);
    let said = ask(
        &mut socket,
        "eth_getBlockByNumber",
        json!(["latest", false]),
    )
    .await;
    assert_eq!(said["result"]["number"], "0x4");
}
