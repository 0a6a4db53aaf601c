//! Blocks: bytes that are named by their hash.

use ipld_core::codec::Links;
use kernel::{Bytes, Cid};
use multihash_codetable::{Code, MultihashDigest};
use serde_ipld_dagcbor::codec::DagCborCodec;

use crate::{Error, Result, dag_pb};

/// A block with its name.
pub type Block = (Cid, Bytes);

/// Multicodec of raw bytes.
pub const RAW: u64 = 0x55;
/// Multicodec of DAG-PB, the form of UnixFS.
pub const DAG_PB: u64 = 0x70;
/// Multicodec of DAG-CBOR.
pub const DAG_CBOR: u64 = 0x71;
/// Multicodec of DAG-JSON.
pub const DAG_JSON: u64 = 0x0129;

/// The largest block that IPFS nodes pass on (Kubo and bitswap), in bytes.
pub const MAX_BLOCK: usize = 2 * 1024 * 1024;

/// Multihash code of identity: the digest is the block itself.
const IDENTITY: u64 = 0x00;
/// The longest text that is tried as a CID.
const MAX_CID_TEXT: usize = 256;

/// Reads a CID of any version and base. Errors with [`Error::NoCid`] or, where codec or hash are
/// not on our list, [`Error::Unsupported`].
pub fn parse_cid(text: &str) -> Result<Cid> {
    let wrong = || Error::NoCid(text.chars().take(80).collect());
    // The parser would also take a path or a URL that has a CID in it.
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte));
    if text.is_empty() || text.len() > MAX_CID_TEXT || !plain {
        return Err(wrong());
    }
    let cid = Cid::try_from(text).map_err(|_| wrong())?;
    check(&cid)?;
    Ok(cid)
}

/// Whether we read this codec and trust this hash: raw, dag-pb, dag-cbor, dag-json; sha2-256,
/// sha2-512, blake2b-256, blake3 (32 bytes), identity (up to 64 bytes, what a CID here can hold).
pub fn check(cid: &Cid) -> Result<()> {
    if ![RAW, DAG_PB, DAG_CBOR, DAG_JSON].contains(&cid.codec()) {
        return Err(Error::Unsupported(format!("codec {:#x}", cid.codec())));
    }
    hasher(cid).map(|_| ())
}

/// The hash function of `cid`; `None` is identity.
fn hasher(cid: &Cid) -> Result<Option<Code>> {
    let hash = cid.hash();
    let (code, size) = match hash.code() {
        IDENTITY => return Ok(None),
        0x12 => (Code::Sha2_256, 32),
        0x13 => (Code::Sha2_512, 64),
        0xb220 => (Code::Blake2b256, 32),
        0x1e => (Code::Blake3_256, 32),
        other => return Err(Error::Unsupported(format!("hash {other:#x}"))),
    };
    if usize::from(hash.size()) != size {
        return Err(Error::Unsupported(format!(
            "a digest of {} bytes",
            hash.size()
        )));
    }
    Ok(Some(code))
}

/// Whether `bytes` hash to `cid`. Errors with [`Error::Unsupported`] for hashes that we do not
/// trust.
pub fn is_valid(cid: &Cid, bytes: &[u8]) -> Result<bool> {
    Ok(match hasher(cid)? {
        None => cid.hash().digest() == bytes,
        Some(code) => code.digest(bytes).digest() == cid.hash().digest(),
    })
}

/// Checks that `bytes`, given by `from`, hash to `cid`.
pub fn verify(cid: &Cid, bytes: &[u8], from: &str) -> Result<()> {
    if is_valid(cid, bytes)? {
        return Ok(());
    }
    Err(Error::Mismatch {
        cid: *cid,
        from: from.to_owned(),
    })
}

/// The bytes of a CID that holds its own block.
pub fn inline(cid: &Cid) -> Option<Bytes> {
    (cid.hash().code() == IDENTITY).then(|| Bytes::copy_from_slice(cid.hash().digest()))
}

/// The CIDs that a verified block links to, in order, repetitions included.
pub fn links(cid: &Cid, bytes: &[u8]) -> Result<Vec<Cid>> {
    match cid.codec() {
        RAW => Ok(Vec::new()),
        DAG_PB => Ok(dag_pb::decode(bytes)?
            .links
            .into_iter()
            .map(|link| link.cid)
            .collect()),
        DAG_CBOR => DagCborCodec::links(bytes)
            .map(Iterator::collect)
            .map_err(|error| Error::Malformed(format!("no DAG-CBOR: {error}"))),
        DAG_JSON => {
            let value = serde_json::from_slice(bytes)
                .map_err(|error| Error::Malformed(format!("no DAG-JSON: {error}")))?;
            let mut links = Vec::new();
            json_links(&value, &mut links);
            Ok(links)
        }
        other => Err(Error::Unsupported(format!("codec {other:#x}"))),
    }
}

/// DAG-JSON writes a link as `{"/": "<cid>"}`. The parser's own limit bounds the depth.
fn json_links(value: &serde_json::Value, links: &mut Vec<Cid>) {
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| json_links(item, links)),
        serde_json::Value::Object(map) => match map.get("/") {
            Some(serde_json::Value::String(text)) if map.len() == 1 => {
                links.extend(parse_cid(text).ok());
            }
            _ => map.values().for_each(|item| json_links(item, links)),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the empty raw block, from the trustless gateway specification and Kubo.
    #[test]
    fn cids_of_all_versions_are_read() {
        for text in [
            "bafkqaaa",
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
            "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA",
            "BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU",
        ] {
            assert!(parse_cid(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "cd",
            "Qm",
            "/ipfs/bafkqaaa",
            "bafkqaaa/x",
            "0x8004a169fb4a3325136eb29f",
        ] {
            assert!(matches!(parse_cid(text), Err(Error::NoCid(_))), "{text}");
        }
        assert!(matches!(
            parse_cid(&"b".repeat(10_000)),
            Err(Error::NoCid(_))
        ));
    }

    #[test]
    fn only_hashes_and_codecs_on_the_list_are_taken() {
        let raw = |hash| Cid::new_v1(RAW, hash);
        for code in [
            Code::Sha2_256,
            Code::Sha2_512,
            Code::Blake2b256,
            Code::Blake3_256,
        ] {
            let cid = raw(code.digest(b"x"));
            assert!(is_valid(&cid, b"x").expect("on the list"));
            assert!(!is_valid(&cid, b"y").expect("on the list"));
            assert_eq!(parse_cid(&cid.to_string()).expect("on the list"), cid);
        }
        let git = Cid::new_v1(0x78, Code::Sha2_256.digest(b"x"));
        assert!(matches!(
            parse_cid(&git.to_string()),
            Err(Error::Unsupported(_))
        ));
        // sha1, and sha2-256 cut to 16 bytes.
        for hash in [(0x11, &[0; 20][..]), (0x12, &[0; 16][..])] {
            let cid = raw(cid::multihash::Multihash::wrap(hash.0, hash.1).expect("fits"));
            assert!(
                matches!(parse_cid(&cid.to_string()), Err(Error::Unsupported(_))),
                "{cid}"
            );
        }
    }

    #[test]
    fn an_identity_cid_holds_its_block() {
        let empty = parse_cid("bafkqaaa").expect("a CID");
        assert_eq!(inline(&empty), Some(Bytes::new()));
        assert!(is_valid(&empty, b"").expect("identity"));
        assert!(!is_valid(&empty, b"x").expect("identity"));
    }

    #[test]
    fn links_of_dag_cbor_and_dag_json_are_found() {
        let target = kernel::cid_of_raw(b"target");
        let value = std::collections::BTreeMap::from([("link", target), ("other", target)]);
        let bytes = kernel::to_dag_cbor(&value).expect("encodes");
        let cid = kernel::cid_of_dag_cbor(&bytes);
        assert_eq!(links(&cid, &bytes).expect("decodes"), [target, target]);
        let bytes = format!(r#"{{"a":[{{"/":"{target}"}}],"b":{{"/":{{"bytes":"AA"}}}}}}"#);
        let cid = Cid::new_v1(DAG_JSON, Code::Sha2_256.digest(bytes.as_bytes()));
        assert_eq!(links(&cid, bytes.as_bytes()).expect("decodes"), [target]);
        assert!(links(&kernel::cid_of_dag_cbor(b"\xff"), b"\xff").is_err());
    }
}
