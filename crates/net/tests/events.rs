//! Server-sent events of a service, however it sends them.

use std::time::Duration;

use net::{Error, Event, Opened, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";

/// Answers one request with these pieces, each sent by itself, and ends; gives the request's head.
async fn open(
    pieces: &'static [&'static str],
    last: Option<&str>,
) -> (Result<Opened, Error>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a client");
        socket.set_nodelay(true).expect("a socket");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_buf(&mut head).await.expect("a request");
        }
        tokio::spawn(async move {
            for piece in pieces {
                socket.write_all(piece.as_bytes()).await.expect("sent");
                tokio::task::yield_now().await;
            }
        });
        String::from_utf8(head).expect("text").to_lowercase()
    });
    let service = Service::new(&base, None, Duration::from_secs(20), 64).expect("valid");
    let call = service.get("feed").query("a", "b");
    let opened = call.events(last, Duration::from_secs(20)).await;
    (opened, served.await.expect("served"))
}

fn event(kind: &str, data: &str) -> Event {
    Event {
        kind: kind.to_owned(),
        data: data.to_owned(),
    }
}

#[tokio::test]
async fn events_are_read_however_they_are_cut() {
    let pieces = &[
        HEAD,
        "retry: 9\n",
        ": \nid: a1\n",
        "\n",
        "id: a2\nevent: x\ndata: {\"é\"",
        ":1}\r\n",
        "\r",
        "\n",
        "data\ndata:b\ndata:  c\n\nevent: none\n\nid: a3\n\n",
        "data: cut off",
    ];
    let (opened, head) = open(pieces, Some("a0")).await;
    assert!(head.starts_with("get /feed?a=b http/1.1\r\n"), "{head}");
    for field in ["accept: text/event-stream\r\n", "last-event-id: a0\r\n"] {
        assert!(head.contains(field), "{head}");
    }
    let Ok(Opened::Events(mut events)) = opened else {
        panic!("{opened:?}")
    };
    assert_eq!(events.last_id(), Some("a0"));
    assert_eq!(events.next().await, Ok(Some(event("x", "{\"é\":1}"))));
    assert_eq!(events.last_id(), Some("a2"));
    assert_eq!(events.next().await, Ok(Some(event("", "\nb\n c"))));
    assert_eq!(events.next().await, Ok(None), "half an event is none");
    assert_eq!(
        events.last_id(),
        Some("a3"),
        "an id without an event counts"
    );
}

#[tokio::test]
async fn what_is_no_stream_is_an_answer() {
    let pieces =
        &["HTTP/1.1 410 Gone\r\ncontent-type: text/event-stream\r\ncontent-length: 4\r\n\r\ngone"];
    let (opened, head) = open(pieces, None).await;
    assert!(!head.contains("last-event-id"), "{head}");
    let Ok(Opened::Refused(reply)) = opened else {
        panic!("{opened:?}")
    };
    assert_eq!((reply.status, reply.bytes.as_slice()), (410, &b"gone"[..]));
    let pieces = &["HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi"];
    let (opened, _) = open(pieces, None).await;
    assert!(matches!(opened, Ok(Opened::Refused(_))), "{opened:?}");
}

#[tokio::test]
async fn an_event_without_end_is_given_up() {
    let pieces = &[
        HEAD,
        "data: 0123456789012345678901234567890123456789012345678901234567890123456789",
    ];
    let (opened, _) = open(pieces, None).await;
    let Ok(Opened::Events(mut events)) = opened else {
        panic!("{opened:?}")
    };
    assert_eq!(events.next().await, Err(Error::TooLarge { limit: 64 }));
}
