//! What strangers' servers do to us, on loopback.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use net::{Config, Error, Fetcher, Get, Service, Why};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// How the server answers one request.
enum Answer {
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, then silence on an open connection.
    Stall(Vec<u8>),
    /// This head, then a megabyte of spaces after the other until the client is gone.
    Endless(&'static str),
}

fn ok(headers: &str, body: &[u8]) -> Answer {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Answer::Bytes(bytes)
}

fn redirect(to: &str) -> Answer {
    Answer::Bytes(
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into(),
    )
}

/// Starts a server; `answer` sees the head of the request. The counter counts megabytes sent by
/// [`Answer::Endless`].
async fn serve(answer: fn(&str) -> Answer) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    match socket.read_buf(&mut head).await {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                }
                match answer(&String::from_utf8_lossy(&head)) {
                    Answer::Bytes(bytes) => drop(socket.write_all(&bytes).await),
                    Answer::Stall(bytes) => {
                        drop(socket.write_all(&bytes).await);
                        std::future::pending::<()>().await;
                    }
                    Answer::Endless(head) => {
                        drop(socket.write_all(head.as_bytes()).await);
                        let block = vec![b' '; 1 << 20];
                        while socket.write_all(&block).await.is_ok() {
                            counter.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    (address, sent)
}

fn fetcher(address: SocketAddr) -> Fetcher {
    let config = Config {
        allow: vec![address.to_string()],
        timeout_seconds: 1,
        ..Config::default()
    };
    Fetcher::new(&config).expect("valid")
}

async fn fetch(answer: fn(&str) -> Answer) -> Result<net::Response, Error> {
    let (address, _) = serve(answer).await;
    fetcher(address)
        .get(&format!("http://{address}/a"), Get::default())
        .await
}

#[tokio::test]
async fn an_honest_answer_arrives_with_its_headers() {
    let response = fetch(|_| {
        ok(
            "content-type: application/json\r\netag: \"1\"\r\ncontent-length: 2\r\n",
            b"{}",
        )
    })
    .await
    .expect("fetched");
    assert_eq!(response.status, 200);
    assert_eq!(response.bytes, b"{}");
    assert_eq!(response.content_type.as_deref(), Some("application/json"));
    assert_eq!(response.etag.as_deref(), Some("\"1\""));
    assert!(response.final_url.ends_with("/a"));
}

#[tokio::test]
async fn an_answer_without_a_length_is_read_to_its_end() {
    assert_eq!(
        fetch(|_| ok("", b"until close"))
            .await
            .expect("fetched")
            .bytes,
        b"until close"
    );
}

#[tokio::test]
async fn a_large_answer_is_refused_by_its_declared_length_before_its_body() {
    let error =
        fetch(|_| Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n".to_vec()))
            .await;
    assert_eq!(error, Err(Error::TooLarge { limit: 1 << 20 }));
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let (address, sent) = serve(|_| Answer::Endless("HTTP/1.1 200 OK\r\n\r\n")).await;
    let error = fetcher(address)
        .get(&format!("http://{address}/"), Get::default())
        .await;
    assert_eq!(error, Err(Error::TooLarge { limit: 1 << 20 }));
    assert!(
        sent.load(Ordering::SeqCst) < 16,
        "buffers of the sockets aside, nothing more"
    );
}

#[tokio::test]
async fn a_gzip_bomb_is_measured_by_what_it_unpacks_to() {
    static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
        for _ in 0..20 {
            bomb.write_all(&vec![0; 1 << 20]).expect("to memory");
        }
        bomb.finish().expect("to memory")
    });
    assert!(BOMB.len() < 1 << 18, "small on the wire: {}", BOMB.len());
    let error = fetch(|_| ok("content-encoding: gzip\r\n", &BOMB)).await;
    assert_eq!(error, Err(Error::TooLarge { limit: 1 << 20 }));
}

#[tokio::test]
async fn gzip_is_unpacked_and_other_encodings_are_refused() {
    let response = fetch(|head| {
        assert!(
            head.to_lowercase().contains("accept-encoding: gzip\r\n"),
            "{head}"
        );
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"plain").expect("to memory");
        ok(
            "content-encoding: gzip\r\n",
            &gzip.finish().expect("to memory"),
        )
    });
    assert_eq!(response.await.expect("fetched").bytes, b"plain");
    let error = fetch(|_| ok("content-encoding: br\r\n", b"\x0b\x02\x80")).await;
    assert!(matches!(error, Err(Error::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn a_truncated_answer_is_no_answer() {
    let error = fetch(|_| ok("content-length: 100\r\n", b"only this")).await;
    assert!(matches!(error, Err(Error::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn silence_ends_in_a_timeout_before_and_inside_the_body() {
    assert_eq!(
        fetch(|_| Answer::Stall(Vec::new())).await,
        Err(Error::Timeout)
    );
    let inside =
        fetch(|_| Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec()));
    assert_eq!(inside.await, Err(Error::Timeout));
}

#[tokio::test]
async fn every_redirect_is_judged_like_the_first_url() {
    for (expected, answer) in [
        (
            Why::Address,
            (|_| redirect("https://169.254.169.254/latest/meta-data")) as fn(&str) -> Answer,
        ),
        (Why::Address, |_| redirect("https://localhost/")),
        (Why::PlainHttp, |_| redirect("http://127.0.0.1:1/")),
        (Why::Scheme, |_| redirect("file:///etc/passwd")),
        (Why::Credentials, |_| redirect("https://a:b@example.com/")),
        (Why::Port, |_| redirect("https://example.com:22/")),
    ] {
        let error = fetch(answer).await.expect_err("blocked");
        assert_eq!(error, Error::Blocked { why: expected });
        assert!(
            !error.to_string().contains("169.254"),
            "the address is not echoed"
        );
    }
}

#[tokio::test]
async fn three_redirects_are_followed_and_no_fourth() {
    fn hops(head: &str, most: usize) -> Answer {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let hop = path.trim_matches('a').trim_start_matches('/').len();
        if hop == most {
            ok("", b"there")
        } else {
            redirect(&format!("/{}", "x".repeat(hop + 1)))
        }
    }
    let (address, _) = serve(|head| hops(head, 3)).await;
    let get = Get::default();
    let response = fetcher(address)
        .get(&format!("http://{address}/"), get)
        .await
        .expect("3 hops");
    assert!(
        response.final_url.ends_with("/xxx"),
        "{}",
        response.final_url
    );
    let (address, _) = serve(|head| hops(head, 4)).await;
    let error = fetcher(address)
        .get(&format!("http://{address}/"), get)
        .await;
    assert!(matches!(error, Err(Error::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn statuses_are_told_apart() {
    let gone =
        fetch(|_| Answer::Bytes(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()));
    assert_eq!(gone.await, Err(Error::Status(404)));
    let limited = fetch(|_| {
        Answer::Bytes(b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".to_vec())
    });
    let error = limited.await.expect_err("limited");
    assert_eq!(
        error,
        Error::Limited {
            retry_after: Some(Duration::from_secs(7))
        }
    );
    assert_eq!(error.kind(), kernel::Kind::Limited);
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = listener.local_addr().expect("bound");
    drop(listener);
    let config = Config {
        allow: vec![closed.to_string()],
        ..Config::default()
    };
    let fetcher = Fetcher::new(&config).expect("valid");
    let error = fetcher
        .get(&format!("http://{closed}/"), Get::default())
        .await;
    assert!(matches!(error, Err(Error::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn a_tls_handshake_that_fails_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a client");
        drop(
            socket
                .write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
                .await,
        );
        std::future::pending::<()>().await;
    });
    let error = fetcher(address)
        .get(&format!("https://{address}/"), Get::default())
        .await;
    assert!(matches!(error, Err(Error::Tls(_))), "{error:?}");
}

#[tokio::test]
async fn a_private_name_and_a_private_literal_are_blocked_without_a_connection() {
    let fetcher = Fetcher::new(&Config::default()).expect("valid");
    for url in ["https://localhost/", "https://[::1]/", "https://10.1.2.3/"] {
        let error = fetcher.get(url, Get::default()).await;
        assert_eq!(error, Err(Error::Blocked { why: Why::Address }), "{url}");
    }
    let error = fetcher
        .get("not a url", Get::default())
        .await
        .expect_err("no URL");
    assert_eq!(error.kind(), kernel::Kind::Invalid);
}

#[tokio::test]
async fn a_service_gets_arguments_a_file_and_the_secret_and_follows_no_redirect() {
    let (address, _) = serve(|head| {
        let lower = head.to_lowercase();
        assert!(
            head.starts_with("POST /base/api/v0/add?arg=a%2Fb+c&pin=true HTTP/1.1"),
            "{head}"
        );
        assert!(lower.contains("authorization: bearer secret\r\n"), "{head}");
        assert!(
            lower.contains("content-type: multipart/form-data; boundary="),
            "{head}"
        );
        redirect("http://169.254.169.254/")
    })
    .await;
    let base = format!("http://{address}/base");
    let bearer = Some("secret".to_owned());
    let service = Service::new(&base, bearer, Duration::from_secs(1), 10).expect("valid");
    assert!(!format!("{service:?}").contains("secret"));
    let call = service
        .post("/api/v0/add")
        .query("arg", "a/b c")
        .query("pin", "true");
    let reply = call.file(b"bytes".to_vec()).send().await.expect("answered");
    assert_eq!(reply.status, 302);
}

#[tokio::test]
async fn a_services_answer_is_limited_too() {
    let (address, _) = serve(|_| Answer::Endless("HTTP/1.1 200 OK\r\n\r\n")).await;
    let service = Service::new(
        &format!("http://{address}"),
        None,
        Duration::from_secs(1),
        10,
    );
    let error = service.expect("valid").get("/x").send().await;
    assert_eq!(error, Err(Error::TooLarge { limit: 10 }));
    let wrong = Service::new("ftp://x", None, Duration::from_secs(1), 10).expect_err("no http");
    assert_eq!(wrong.kind(), kernel::Kind::Invalid);
}

#[test]
fn limits_beyond_reason_are_refused() {
    let config = Config {
        max_bytes: net::HARD_MAX_BYTES + 1,
        ..Config::default()
    };
    assert!(matches!(Fetcher::new(&config), Err(Error::Config(_))));
    let config = Config {
        timeout_seconds: 0,
        ..Config::default()
    };
    assert!(matches!(Fetcher::new(&config), Err(Error::Config(_))));
}
