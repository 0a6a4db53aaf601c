//! One HTTP request over a connection of its own: what clients of the product do is theirs, this one
//! has no opinion.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The address of `http://HOST:PORT`.
pub fn address(url: &str) -> SocketAddr {
    let rest = url.strip_prefix("http://").expect("plain http");
    rest.trim_end_matches('/').parse().expect("an address")
}

/// Sends a body by POST; gives the answer's body. `headers` are lines that end with CR LF.
pub async fn post(to: SocketAddr, headers: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let head = format!(
        "POST / HTTP/1.0\r\nhost: {to}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| std::io::Error::other("the answer has no end of head"))?;
    Ok(answer.split_off(end + 4))
}

/// A call of a JSON-RPC method, which must succeed.
pub async fn ask(to: SocketAddr, headers: &str, method: &str, params: Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = post(to, headers, call.to_string().as_bytes()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{method}: {error}"));
    let mut answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].take()
}
