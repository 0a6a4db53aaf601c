//! HTTP/1.1 by hand: a library would not let us break it.

use std::{io, sync::Arc, time::Duration};

use flate2::{Compression, Crc, write::DeflateEncoder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{
    answer::{Asked, answer},
    faults::Faults,
    provider::{Core, Mishap},
};

/// Largest body of a request, as geth's.
const MAX_BODY: usize = 5 << 20;
const MAX_HEAD: usize = 16 << 10;

/// Accepts connections for ever.
pub(super) async fn serve(core: Arc<Core>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                core.stats().connections += 1;
                let core = Arc::clone(&core);
                tokio::spawn(async move {
                    // A client that goes away in the middle is nothing to tell.
                    let _ = connection(core, stream).await;
                });
            }
            // Out of descriptors, say: others end, then it goes on.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What a request's head says that matters here.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a header of its own")]
struct Head {
    is_post: bool,
    length: usize,
    is_chunked: bool,
    wants_close: bool,
    wants_continue: bool,
    ws_key: Option<String>,
}

async fn connection(core: Arc<Core>, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some((head, body_at)) = read_head(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        if let Some(key) = &head.ws_key {
            if core.faults().no_ws {
                return respond(&mut stream, "403 Forbidden", "", b"no").await;
            }
            let rest = buffer.split_off(body_at);
            return super::ws::upgrade(core, stream, key, rest).await;
        }
        if head.is_chunked {
            return respond(&mut stream, "411 Length Required", "", b"").await;
        }
        if head.length > MAX_BODY {
            let close = "Connection: close\r\n";
            return respond(&mut stream, "413 Payload Too Large", close, b"").await;
        }
        if head.wants_continue {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let end = body_at + head.length;
        while buffer.len() < end {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        if !head.is_post {
            respond(&mut stream, "200 OK", "", b"").await?;
        } else if !exchange(&core, &mut stream, &buffer[body_at..end]).await? {
            return Ok(());
        }
        if head.wants_close {
            return Ok(());
        }
        buffer.drain(..end);
    }
}

/// Reads up to the end of a head; nothing where the client has gone or speaks no HTTP.
async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(Head, usize)>> {
    loop {
        match parse_head(buffer) {
            Ok(Some(read)) => return Ok(Some(read)),
            Err(_) => return Ok(None),
            Ok(None) => {}
        }
        if buffer.len() > MAX_HEAD || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// A head, and where the body begins; nothing where more is needed.
fn parse_head(buffer: &[u8]) -> Result<Option<(Head, usize)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(body_at) = request.parse(buffer)? else {
        return Ok(None);
    };
    let mut head = Head {
        is_post: request.method == Some("POST"),
        wants_close: request.version == Some(0),
        ..Head::default()
    };
    for header in request.headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        let says = |word: &str| value.to_ascii_lowercase().contains(word);
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().unwrap_or(usize::MAX),
            "transfer-encoding" => head.is_chunked = says("chunked"),
            "connection" if says("close") => head.wants_close = true,
            "expect" => head.wants_continue = says("100-continue"),
            "sec-websocket-key" => head.ws_key = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(Some((head, body_at)))
}

/// One request; false where the socket is closed after it.
async fn exchange(core: &Core, stream: &mut TcpStream, body: &[u8]) -> io::Result<bool> {
    const HTML: &[u8] = b"<html><body>503 Service Temporarily Unavailable</body></html>";
    let number = core.next();
    let faults = core.faults();
    let asked = Asked::read(body);
    let mishap = core.mishap(&faults, &asked, number);
    if faults.latency_ms > 0 {
        sleep(Duration::from_millis(faults.latency_ms)).await;
    }
    match mishap {
        Mishap::None => {
            let body = answer(core, &asked, &faults, number);
            respond(stream, "200 OK", "", &body).await?;
        }
        Mishap::Limited => {
            let wait = faults
                .retry_after_s
                .map_or_else(String::new, |wait| format!("Retry-After: {wait}\r\n"));
            let body = br#"{"error":"too many requests"}"#;
            respond(stream, "429 Too Many Requests", &wait, body).await?;
        }
        Mishap::Unavailable => respond(stream, "503 Service Unavailable", "", HTML).await?,
        Mishap::Dropped => return Ok(false),
        Mishap::Hung => {
            sleep(Duration::from_millis(faults.hang_ms)).await;
            return Ok(false);
        }
        Mishap::Cut => {
            let body = answer(core, &asked, &faults, number);
            respond(stream, "200 OK", "", &body[..body.len() / 2]).await?;
        }
        Mishap::Bomb => {
            let bomb = bomb(core, &faults)?;
            respond(stream, "200 OK", "Content-Encoding: gzip\r\n", &bomb).await?;
        }
    }
    Ok(true)
}

async fn respond(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    // One segment for a small answer; a big one is not copied again.
    if body.len() <= 4096 {
        head.extend_from_slice(body);
        return stream.write_all(&head).await;
    }
    stream.write_all(&head).await?;
    stream.write_all(body).await
}

/// Megabytes of spaces in gzip, valid to the last byte.
fn bomb(core: &Core, faults: &Faults) -> io::Result<Arc<[u8]>> {
    let mut kept = core
        .bomb
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((size, bomb)) = kept.as_ref()
        && *size == faults.bomb_mb
    {
        return Ok(Arc::clone(bomb));
    }
    let bomb: Arc<[u8]> = build_bomb(faults.bomb_mb)?.into();
    *kept = Some((faults.bomb_mb, Arc::clone(&bomb)));
    Ok(bomb)
}

/// One megabyte is packed once and stands there as often as wanted (RFC 1951 blocks can be strung
/// together after a full flush).
fn build_bomb(megabytes: u32) -> io::Result<Vec<u8>> {
    use std::io::Write as _;
    static MEGABYTE: [u8; 1 << 20] = [b' '; 1 << 20];
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&MEGABYTE)?;
    packer.flush()?;
    let block = packer.get_ref().clone();
    let mut crc = Crc::new();
    let mut one = Crc::new();
    one.update(&MEGABYTE);
    // RFC 1952: magic, deflate, no flags, no time, no level, unknown system.
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..megabytes {
        bomb.extend_from_slice(&block);
        crc.combine(&one);
    }
    // An empty last block with fixed codes.
    bomb.extend_from_slice(&[3, 0]);
    bomb.extend_from_slice(&crc.sum().to_le_bytes());
    bomb.extend_from_slice(&megabytes.wrapping_shl(20).to_le_bytes());
    Ok(bomb)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::build_bomb;

    #[test]
    fn a_bomb_is_gzip_to_its_last_byte() {
        let bomb = build_bomb(3).unwrap();
        assert!(bomb.len() < 20_000, "{}", bomb.len());
        let mut text = Vec::new();
        let mut unpacked = flate2::read::GzDecoder::new(bomb.as_slice());
        unpacked.read_to_end(&mut text).unwrap();
        assert_eq!(text, vec![b' '; 3 << 20]);
    }
}
