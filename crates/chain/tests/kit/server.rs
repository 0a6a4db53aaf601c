//! A little HTTP server that answers JSON-RPC as badly as a test wants it.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a request is answered with.
pub enum Answer {
    /// This, with status 200.
    Json(Value),
    /// Status, further headers (each with its end of line), body.
    Http(u16, &'static str, Vec<u8>),
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// The beginning of an answer, and then nothing, for ever.
    Silence(&'static [u8]),
}

/// A server on loopback, for as long as the test's runtime.
pub struct Server {
    /// Where it listens.
    pub url: String,
    /// Bodies of the requests so far; a `GET` has none.
    pub asked: Arc<Mutex<Vec<Value>>>,
    /// Connections so far.
    pub connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts one; `answer` sees the body of each request.
    pub async fn start(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        let server = Self {
            url: format!("http://{address}/key"),
            asked: Arc::default(),
            connections: Arc::default(),
        };
        let (asked, connections) = (server.asked.clone(), server.connections.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, SeqCst);
                tokio::spawn(connection(socket, answer.clone(), asked.clone()));
            }
        });
        server
    }

    /// The sizes of the requests for `method`, in order.
    pub fn batches(&self, method: &str) -> Vec<usize> {
        let asked = self.asked.lock().expect("no panic");
        let of = |body: &&Value| calls(body)[0]["method"] == method;
        asked
            .iter()
            .filter(of)
            .map(|body| calls(body).len())
            .collect()
    }
}

/// The calls of a body.
pub fn calls(body: &Value) -> Vec<&Value> {
    match body {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

/// An answer with a result.
pub fn result(call: &Value, result: impl Into<Value>) -> Value {
    let result: Value = result.into();
    json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })
}

/// An answer with an error.
pub fn error(call: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": code, "message": message } })
}

/// An honest node: each call by itself, batches in order.
pub fn honest(body: &Value, each: impl Fn(&Value) -> Value) -> Answer {
    Answer::Json(match body {
        Value::Array(items) => items.iter().map(each).collect(),
        one => each(one),
    })
}

/// Compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

async fn connection(
    mut socket: TcpStream,
    answer: Arc<impl Fn(&Value) -> Answer>,
    asked: Arc<Mutex<Vec<Value>>>,
) {
    let mut buffer = Vec::new();
    while let Some(body) = request(&mut socket, &mut buffer).await {
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let answer = answer(&body);
        asked.lock().expect("no panic").push(body);
        let (status, headers, bytes) = match answer {
            Answer::Json(value) => (
                200,
                "content-type: application/json\r\n",
                value.to_string().into_bytes(),
            ),
            Answer::Http(status, headers, bytes) => (status, headers, bytes),
            Answer::Raw(bytes) => {
                let _ = socket.write_all(&bytes).await;
                return;
            }
            Answer::Silence(start) => {
                let _ = socket.write_all(start).await;
                std::future::pending().await
            }
        };
        let length = bytes.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n");
        let mut whole = head.into_bytes();
        whole.extend(bytes);
        if socket.write_all(&whole).await.is_err() {
            return;
        }
    }
}

/// The body of the next request.
async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.trim().parse().expect("a length"));
            if buffer.len() >= end + 4 + length {
                let rest = buffer.split_off(end + 4 + length);
                let body = buffer.split_off(end + 4);
                *buffer = rest;
                return Some(body);
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
