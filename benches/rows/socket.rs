//! The client's side of a WebSocket (RFC 6455), as far as beats need it: texts, each in one frame.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use anyhow::{Result, bail, ensure};

/// The first byte of a frame that is a whole text.
const TEXT: u8 = 0x81;
/// Set in the second one where the frame is masked.
const MASKED: u8 = 0x80;
/// Two bytes of length follow.
const LONG: u8 = 126;

/// Opens one; what is read from it, and what is written to.
pub fn open(address: &str, path: &str) -> Result<(BufReader<TcpStream>, TcpStream)> {
    let mut output = TcpStream::connect(address)?;
    output.set_nodelay(true)?;
    write!(
        output,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    let mut input = BufReader::new(output.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(input.read_line(&mut head)? > 0, "it hung up: {head}");
    }
    ensure!(head.starts_with("HTTP/1.1 101 "), "no WebSocket: {head}");
    Ok((input, output))
}

/// A text of 126 bytes or more as a client's frame, masked with a key that changes nothing.
pub fn frame(text: &str) -> Result<Vec<u8>> {
    let length = u16::try_from(text.len())?;
    let mut frame = vec![TEXT, MASKED | LONG];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    Ok(frame)
}

/// The next text of the server.
pub fn text(input: &mut BufReader<TcpStream>) -> Result<String> {
    let mut head = [0; 2];
    input.read_exact(&mut head)?;
    let length = match head {
        [TEXT, LONG] => {
            let mut length = [0; 2];
            input.read_exact(&mut length)?;
            usize::from(u16::from_be_bytes(length))
        }
        [TEXT, short @ 0..LONG] => usize::from(short),
        _ => bail!("a frame that is no short text: {head:x?}"),
    };
    let mut text = vec![0; length];
    input.read_exact(&mut text)?;
    Ok(String::from_utf8(text)?)
}
