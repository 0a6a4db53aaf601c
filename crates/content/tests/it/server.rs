//! A tiny HTTP server that answers whatever a test wants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What came in.
pub struct Request {
    /// Path and query.
    pub target: String,
    /// The body, of `content-length` bytes.
    pub body: Vec<u8>,
}

/// A running server; it ends with the value.
pub struct Server {
    pub address: SocketAddr,
    pub url: String,
    /// The targets that were asked for, in order.
    pub asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts one. `None` from `answer` is silence on an open connection.
    pub async fn start(
        answer: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let Some(request) = read(&mut socket).await else {
                        return;
                    };
                    log.lock().expect("no panic").push(request.target.clone());
                    match answer(&request) {
                        Some(bytes) => drop(socket.write_all(&bytes).await),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self {
            address,
            url: format!("http://{address}"),
            asked,
            task,
        }
    }

    /// How many requests came whose target contains `part`.
    pub fn count(&self, part: &str) -> usize {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().filter(|target| target.contains(part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length = text.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let length: usize = length.unwrap_or(0);
    while bytes.len() < head + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let target = text.split(' ').nth(1)?.to_owned();
    Some(Request {
        target,
        body: bytes.split_off(head),
    })
}

/// A whole answer.
#[expect(clippy::unnecessary_wraps, reason = "what a server's closure returns")]
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Option<Vec<u8>> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    Some([head.as_bytes(), body].concat())
}
