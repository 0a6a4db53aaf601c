//! DAG-PB, the protobuf form of IPFS's file DAGs, and the little of protobuf that it needs.
//!
//! `PBNode { Links = 2 repeated PBLink; Data = 1 }`, written links first;
//! `PBLink { Hash = 1; Name = 2; Tsize = 3 }` (IPLD DAG-PB specification).

use kernel::Cid;

use crate::{Error, Result};

/// A node: what it links to and its own data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    pub(crate) links: Vec<Link<'a>>,
    pub(crate) data: &'a [u8],
}

/// A link to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    pub(crate) cid: Cid,
    /// The entry's name in a directory, else empty.
    pub(crate) name: &'a [u8],
    /// Bytes of the target's whole DAG, as its author says.
    pub(crate) size: u64,
}

/// A field's value in protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Int(u64),
    Bytes(&'a [u8]),
}

fn wrong(what: &str) -> Error {
    Error::Malformed(format!("no DAG-PB: {what}"))
}

/// Reads a node. Unknown fields, which the specification forbids, are refused.
pub(crate) fn decode(bytes: &[u8]) -> Result<Node<'_>> {
    let mut node = Node {
        links: Vec::new(),
        data: &[],
    };
    let mut has_data = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        match field(&mut rest)? {
            (1, Value::Bytes(data)) if !has_data => {
                node.data = data;
                has_data = true;
            }
            (2, Value::Bytes(link)) => node.links.push(decode_link(link)?),
            _ => return Err(wrong("an unexpected field")),
        }
    }
    Ok(node)
}

fn decode_link(mut rest: &[u8]) -> Result<Link<'_>> {
    let (mut cid, mut name, mut size) = (None, &[][..], 0);
    while !rest.is_empty() {
        match field(&mut rest)? {
            (1, Value::Bytes(hash)) => {
                let read = Cid::try_from(hash).map_err(|_| wrong("a link to no CID"))?;
                if read.encoded_len() != hash.len() {
                    return Err(wrong("a link to more than a CID"));
                }
                cid = Some(read);
            }
            (2, Value::Bytes(bytes)) => name = bytes,
            (3, Value::Int(bytes)) => size = bytes,
            _ => return Err(wrong("an unexpected field of a link")),
        }
    }
    Ok(Link {
        cid: cid.ok_or_else(|| wrong("a link without a hash"))?,
        name,
        size,
    })
}

/// Writes a node, links first.
pub(crate) fn encode(node: &Node<'_>) -> Vec<u8> {
    let (mut out, mut link_bytes) = (Vec::new(), Vec::new());
    for link in &node.links {
        link_bytes.clear();
        put_varint(&mut link_bytes, 1 << 3 | 2);
        put_varint(&mut link_bytes, link.cid.encoded_len() as u64);
        let written = link.cid.write_bytes(&mut link_bytes);
        debug_assert!(written.is_ok(), "a vector takes every byte");
        put(&mut link_bytes, 2, Value::Bytes(link.name));
        put(&mut link_bytes, 3, Value::Int(link.size));
        put(&mut out, 2, Value::Bytes(&link_bytes));
    }
    put(&mut out, 1, Value::Bytes(node.data));
    out
}

/// Takes the next protobuf field off `rest`: its number and value.
pub(crate) fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>)> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Int(varint(rest)?),
        2 => {
            let size = usize::try_from(varint(rest)?).map_err(|_| wrong("a field's size"))?;
            let (bytes, after) = rest
                .split_at_checked(size)
                .ok_or_else(|| wrong("a field is cut off"))?;
            *rest = after;
            Value::Bytes(bytes)
        }
        _ => return Err(wrong("an unexpected wire type")),
    };
    Ok((key >> 3, value))
}

/// Appends a protobuf field.
pub(crate) fn put(out: &mut Vec<u8>, number: u64, value: Value<'_>) {
    match value {
        Value::Int(int) => {
            put_varint(out, number << 3);
            put_varint(out, int);
        }
        Value::Bytes(bytes) => {
            put_varint(out, number << 3 | 2);
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}

/// Takes an unsigned LEB128 number of at most 64 bits off `rest`.
pub(crate) fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest
            .split_first()
            .ok_or_else(|| wrong("a number is cut off"))?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(wrong("a number beyond 64 bits"))
}

/// Appends an unsigned LEB128 number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_reads_back_what_was_written() {
        let link = Link {
            cid: kernel::cid_of_raw(b"x"),
            name: b"name",
            size: 300,
        };
        let node = Node {
            links: vec![link.clone(), link],
            data: b"data",
        };
        let bytes = encode(&node);
        assert_eq!(decode(&bytes).expect("decodes"), node);
        for cut in 1..bytes.len() {
            // A cut at a field's border is another node, never a panic.
            drop(decode(&bytes[..cut]));
        }
    }

    #[test]
    fn numbers_beyond_64_bits_and_unknown_fields_are_refused() {
        let mut huge = &[0xff_u8; 10][..];
        assert!(varint(&mut huge).is_err());
        let mut most = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..];
        assert_eq!(varint(&mut most).expect("fits"), u64::MAX);
        for wrong in [
            &[0x18, 0x01][..],
            &[0x0a, 0x05, 0x00],
            &[0x0d, 0, 0, 0, 0],
            &[0x12, 0x00],
        ] {
            assert!(decode(wrong).is_err(), "{wrong:02x?}");
        }
    }
}
