//! WebSockets to services, and what those may do to us, on loopback.

use std::{future::Future, time::Duration};

use futures::{SinkExt, StreamExt};
use net::{Error, Socket, SocketLimits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};
use url::Url;

const LIMITS: SocketLimits = SocketLimits {
    max_bytes: 1_000,
    timeout: Duration::from_secs(5),
    idle: Duration::from_millis(50),
};

/// A server for one connection.
async fn serve<F: Future<Output = ()> + Send>(
    each: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a connection");
        each(socket).await;
    });
    Url::parse(&format!("ws://{address}/path?key=1")).expect("url")
}

async fn peer<F: Future<Output = ()> + Send>(
    each: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static,
) -> Socket {
    let url = serve(async |socket| {
        each(accept_async(socket).await.expect("a handshake")).await;
    });
    Socket::connect(&url.await, LIMITS)
        .await
        .expect("connected")
}

#[tokio::test]
async fn messages_go_both_ways() {
    let mut socket = peer(async |mut peer| {
        while let Some(Ok(message)) = peer.next().await {
            if message.is_text() {
                let _ = peer.send(Message::Ping(vec![1].into())).await;
                let _ = peer.send(message.clone()).await;
                let _ = peer.send(Message::Binary(message.into_data())).await;
            }
        }
    })
    .await;
    for text in ["one", "two"] {
        socket.send(text.to_owned()).await.expect("sent");
        assert_eq!(socket.receive().await.expect("text"), text.as_bytes());
        assert_eq!(socket.receive().await.expect("bytes"), text.as_bytes());
    }
}

#[tokio::test]
async fn a_quiet_peer_is_asked_for_a_sign_of_life_and_kept() {
    // It says nothing before it was pinged three times; the stream itself answers a ping.
    let mut socket = peer(async |mut peer| {
        let mut pings = 0;
        while let Some(Ok(message)) = peer.next().await {
            pings += u8::from(message.is_ping());
            if pings == 3 {
                let _ = peer.send(Message::text("here")).await;
            }
        }
    })
    .await;
    assert_eq!(socket.receive().await.expect("told"), b"here");
}

#[tokio::test]
async fn a_dead_peer_is_given_up() {
    let mut socket = peer(async |peer| {
        let _open = peer;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(socket.receive().await, Err(Error::Timeout));
}

#[tokio::test]
async fn a_long_message_and_an_end_are_errors() {
    let mut socket = peer(async |mut peer| {
        let _ = peer.send(Message::text("x".repeat(1_001))).await;
    })
    .await;
    assert_eq!(
        socket.receive().await,
        Err(Error::TooLarge { limit: 1_000 })
    );
    let mut socket = peer(async |mut peer| {
        let _ = peer.close(None).await;
    })
    .await;
    assert!(matches!(socket.receive().await, Err(Error::Unavailable(_))));
    let mut socket = peer(async |mut peer| {
        let _ = peer.get_mut().shutdown().await;
    })
    .await;
    assert!(matches!(socket.receive().await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn who_speaks_no_websocket_is_refused() {
    for (answer, expected) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "answered 404",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "answered 200",
        ),
        (
            "HTTP/1.1 429 x\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n",
            "for 9 s",
        ),
        (
            "HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n",
            "speaks no WebSocket",
        ),
        ("", "unavailable"),
    ] {
        let url = serve(async move |mut socket| {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                socket.read_buf(&mut request).await.expect("a request");
            }
            let _ = socket.write_all(answer.as_bytes()).await;
        });
        let error = Socket::connect(&url.await, LIMITS)
            .await
            .expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    for (url, said) in [
        ("http://127.0.0.1:1/", "no ws or wss URL"),
        ("wss://127.0.0.1:1/", "unavailable"),
    ] {
        let url = Url::parse(url).expect("url");
        let error = Socket::connect(&url, LIMITS).await.expect_err(said);
        assert!(error.to_string().contains(said), "{error}");
    }
}
