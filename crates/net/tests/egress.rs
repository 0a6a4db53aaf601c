//! Fetching through a gateway on our own side, which stands in for the internet.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use net::{Config, Error, Fetcher, Get, Why};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Heads of the requests that a gateway got.
type Heads = Arc<Mutex<Vec<String>>>;

/// Starts a gateway; `answer` sees the URL that is asked for.
async fn gateway(answer: fn(&str) -> Vec<u8>) -> (SocketAddr, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let heads = Heads::default();
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match socket.read_buf(&mut head).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let url = head.split(' ').nth(1).unwrap_or_default().to_owned();
            seen.lock().expect("not poisoned").push(head);
            drop(socket.write_all(&answer(&url)).await);
        }
    });
    (address, heads)
}

fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: {length}\r\n\r\n{body}").into()
}

fn to(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into()
}

fn fetcher(address: SocketAddr) -> Fetcher {
    let config = Config {
        egress: Some(format!("http://{address}")),
        timeout_seconds: 2,
        max_bytes: 1000,
        ..Config::default()
    };
    Fetcher::new(&config).expect("valid")
}

#[tokio::test]
async fn it_is_asked_in_absolute_form_at_each_hop() {
    let (address, heads) = gateway(|url| match url {
        "https://agent.example.com/a?b=c" => to("/d"),
        "https://agent.example.com/d" => ok("there"),
        _ => Vec::new(),
    })
    .await;
    let get = Get {
        accept: Some("application/json"),
        max_bytes: None,
    };
    let url = "https://agent.example.com/a?b=c#f";
    let response = fetcher(address).get(url, get).await.expect("fetched");
    assert_eq!(response.bytes, b"there");
    assert_eq!(response.final_url, "https://agent.example.com/d");
    assert_eq!(response.etag.as_deref(), Some("\"e\""));
    let heads = heads.lock().expect("not poisoned");
    let first = heads[0].to_lowercase();
    assert!(
        first.starts_with("get https://agent.example.com/a?b=c http/1.1\r\n"),
        "{first}"
    );
    assert!(first.contains("\r\nhost: agent.example.com\r\n"), "{first}");
    assert!(
        first.contains("\r\naccept: application/json\r\n"),
        "{first}"
    );
    assert_eq!(heads.len(), 2);
}

#[tokio::test]
async fn what_a_url_shows_by_itself_is_judged_before_it_is_asked() {
    let (address, heads) = gateway(|_| ok("")).await;
    for (url, why) in [
        ("http://example.com/", Why::PlainHttp),
        ("https://example.com:22/", Why::Port),
        ("https://a:b@example.com/", Why::Credentials),
        ("ftp://example.com/", Why::Scheme),
        ("https://127.0.0.1/", Why::Address),
        ("https://[fd00::1]/", Why::Address),
        ("https://localhost/", Why::Address),
        ("https://metadata.google.internal/", Why::Address),
    ] {
        let error = fetcher(address).get(url, Get::default()).await;
        assert_eq!(error, Err(Error::Blocked { why }), "{url}");
    }
    assert!(heads.lock().expect("not poisoned").is_empty());
    let (address, heads) = gateway(|_| to("https://169.254.169.254/latest")).await;
    let error = fetcher(address)
        .get("https://example.com/", Get::default())
        .await;
    assert_eq!(error, Err(Error::Blocked { why: Why::Address }));
    assert_eq!(heads.lock().expect("not poisoned").len(), 1);
}

#[tokio::test]
async fn size_time_and_status_are_as_without_it() {
    let get = |address| async move {
        fetcher(address)
            .get("https://example.com/", Get::default())
            .await
    };
    let (address, _) = gateway(|_| ok(&"x".repeat(1001))).await;
    assert_eq!(get(address).await, Err(Error::TooLarge { limit: 1000 }));
    let (address, _) = gateway(|_| {
        let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        endless.resize(5000, b'x');
        endless
    })
    .await;
    assert_eq!(get(address).await, Err(Error::TooLarge { limit: 1000 }));
    let (address, _) = gateway(|_| b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(get(address).await, Err(Error::Status(503)));
    let (address, _) = gateway(|_| b"220 mail.example.com\r\n".to_vec()).await;
    assert!(matches!(get(address).await, Err(Error::Unavailable(_))));
    let (address, _) =
        gateway(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut".to_vec()).await;
    assert!(matches!(get(address).await, Err(Error::Unavailable(_))));
    // A gateway that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("bound");
    assert_eq!(get(address).await, Err(Error::Timeout));
    drop(silent);
    let error = get(address).await.expect_err("nobody there");
    assert!(error.to_string().contains("net.egress"), "{error}");
}

#[tokio::test]
async fn what_is_allowed_by_name_is_reached_without_it() {
    let (own, _) = gateway(ok).await;
    let (address, heads) = gateway(|_| ok("gateway")).await;
    let config = Config {
        egress: Some(format!("http://{address}")),
        allow: vec![own.to_string()],
        ..Config::default()
    };
    let fetcher = Fetcher::new(&config).expect("valid");
    let url = format!("http://{own}/a");
    let response = fetcher.get(&url, Get::default()).await.expect("fetched");
    assert_eq!(response.bytes, b"/a");
    assert!(heads.lock().expect("not poisoned").is_empty());
}
