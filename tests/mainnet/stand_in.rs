//! What is offline, in one small server: a gateway on our own side (`net.egress`) and a trustless
//! gateway of IPFS (`content.gateways`). What it answers for a URL or CID stands in the table.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use serde_json::Value;

/// The documents that were fetched while they were online, and the answers for the rest.
pub struct Internet {
    /// URL or CID to the raw text.
    documents: HashMap<String, String>,
    /// Agent of the documents to the raw text.
    of_agent: HashMap<String, String>,
    /// URL or CID to the answer's name.
    answers: HashMap<String, String>,
}

impl Internet {
    /// `answers` by URI.
    pub fn new(answers: impl IntoIterator<Item = (String, String)>) -> Self {
        let (mut documents, mut of_agent) = (HashMap::new(), HashMap::new());
        let file = std::fs::read_to_string(super::corpus("fetched-documents.jsonl")).unwrap();
        for line in file.lines() {
            let document: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| document[key].as_str().map(str::to_owned);
            let raw = text("raw_text").unwrap();
            documents.insert(text("resolved_url").unwrap(), raw.clone());
            documents.extend(text("ipfs_cid").map(|cid| (cid, raw.clone())));
            of_agent.insert(document["agent_id"].to_string(), raw);
        }
        let answers = answers
            .into_iter()
            .map(|(uri, answer)| (place(&uri).to_owned(), answer))
            .collect();
        Self {
            documents,
            of_agent,
            answers,
        }
    }

    /// Every CID that there is a document of.
    pub fn cids(&self) -> Vec<&String> {
        let cids = self.documents.keys();
        cids.filter(|place| place.starts_with("bafk")).collect()
    }

    /// Serves it; the threads end with the process.
    pub fn serve(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let internet = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let internet = Arc::clone(&internet);
                std::thread::spawn(move || internet.answer(&stream));
            }
        });
        address
    }

    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next()?.ok()?;
        // The head is read to its end, or the client may see a reset instead of the answer.
        lines
            .find(|line| line.as_ref().is_ok_and(String::is_empty))?
            .ok()?;
        let uri = request.split(' ').nth(1)?;
        stream.write_all(&self.of(place(uri))).ok()
    }

    fn of(&self, place: &str) -> Vec<u8> {
        let named = self.answers.get(place).map_or("document", String::as_str);
        let body = |text: &str| ok("application/json", text.as_bytes());
        match named.split_once(' ').unwrap_or((named, "")) {
            ("document", "") => match self.documents.get(place) {
                Some(text) => body(text),
                None => head("404 Not Found", ""),
            },
            ("document", agent) => body(&self.of_agent[agent]),
            ("bom", agent) => body(&format!("\u{feff}{}", self.of_agent[agent])),
            ("redirect", to) => head("302 Found", &format!("location: {to}\r\n")),
            ("status", code) => head(&format!("{code} Status"), ""),
            ("html", _) => ok(
                "text/html",
                b"<!DOCTYPE html><html><body>Application</body></html>",
            ),
            ("empty", _) => body(""),
            ("text", _) => body("name: an agent"),
            ("array", _) => body(r#"[{"name":"a"},{"name":"b"}]"#),
            ("error-body", _) => {
                body(r#"{"status":"error","code":404,"message":"Application not found"}"#)
            }
            ("deep", _) => body(&format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100))),
            ("duplicate", _) => body(r#"{"name":"a","name":"b"}"#),
            ("nul", _) => body(
                r#"{"type":"https://eips.ethereum.org/EIPS/eip-8004#registration-v1","name":"a\u0000b","description":"d","image":"https://a.example/i.png"}"#,
            ),
            ("latin-1", _) => ok("application/json", b"{\"name\":\"Caf\xe9\"}"),
            ("large", _) => ok("application/json", &vec![b' '; 2 << 20]),
            ("cut", _) => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"name\":".to_vec(),
            ("brotli", _) => {
                b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 3\r\n\r\n\x0b\x02\x80"
                    .to_vec()
            }
            ("wrong", _) => ok("application/vnd.ipld.raw", b"other bytes"),
            _ => panic!("the stand-in knows no answer `{named}`"),
        }
    }
}

fn head(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n").into()
}

fn ok(media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The CID that a URI or a request's target holds, else the URL itself, without the slash that a bare
/// host gets on its way.
fn place(uri: &str) -> &str {
    let is_cid =
        |part: &&str| part.len() >= 46 && (part.starts_with("baf") || part.starts_with("Qm"));
    let is_gateway = uri.starts_with("ipfs:") || uri.contains("/ipfs/") || uri.contains(".ipfs.");
    let mut parts = uri.split(['/', '.', '?']);
    let cid = parts.find(is_cid).filter(|_| is_gateway);
    cid.unwrap_or(uri.trim_end_matches('/'))
}
