//! Bytes from an instance, believed only where they hash to what was asked for.

use std::collections::HashMap;

use content::{Layout, Limits, Step, block, build, parse_cid};
use kernel::{Bytes, Cid};

use crate::cli::{
    client::{Client, segment},
    exit::Failure,
};

/// What a hostile DAG may make us do.
const LIMITS: Limits = Limits {
    max_bytes: 64 << 20,
    max_blocks: 100_000,
    max_depth: 32,
};

/// A root, and names below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The root.
    pub root: Cid,
    /// The names.
    pub path: Vec<String>,
}

/// Bytes and why they are believed.
#[derive(Debug)]
pub struct Fetched {
    /// The file.
    pub bytes: Vec<u8>,
    /// What was checked, in words.
    pub checked: String,
}

impl Place {
    /// Reads `CID`, `CID/path`, `/ipfs/CID/path` or `ipfs://CID/path`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("ipfs://").unwrap_or(text);
        let rest = rest.strip_prefix("/ipfs/").unwrap_or(rest);
        let mut parts = rest.split('/').filter(|part| !part.is_empty());
        let root = parse_cid(parts.next()?).ok()?;
        let path = parts.map(str::to_owned).collect();
        Some(Self { root, path })
    }

    fn url(&self) -> String {
        let mut url = format!("ipfs/{}", self.root);
        for name in &self.path {
            url.push('/');
            url.push_str(&segment(name));
        }
        url
    }
}

/// Gets a file and verifies it here: by its own hash where it is one block, else block by block
/// where the instance hands out blocks, else by building the file's DAG again.
pub async fn fetch(client: &Client<'_>, place: &Place) -> Result<Fetched, Failure> {
    if place.path.is_empty() && place.root.codec() != block::DAG_PB {
        let bytes = client.raw(&place.url(), &[]).await?.bytes;
        check(&place.root, &bytes)?;
        let checked = format!("the bytes hash to {}", place.root);
        return Ok(Fetched { bytes, checked });
    }
    if let Some(fetched) = by_blocks(client, place).await? {
        return Ok(fetched);
    }
    let bytes = client.raw(&place.url(), &[]).await?.bytes;
    let layouts = [Layout::OURS, Layout::KUBO];
    let same = |layout| build(&bytes, layout).root == place.root;
    if place.path.is_empty() && layouts.into_iter().any(same) {
        let checked = format!(
            "the file, cut into blocks again, has the root {}",
            place.root
        );
        return Ok(Fetched { bytes, checked });
    }
    Err(Failure::unavailable(format!(
        "{} consists of several blocks, and this instance hands out none: it cannot be verified \
         here",
        place.root
    )))
}

fn check(cid: &Cid, bytes: &[u8]) -> Result<(), Failure> {
    match block::is_valid(cid, bytes) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Unverified(format!(
            "NOT verified: the instance's {} bytes do not hash to {cid}",
            bytes.len()
        ))),
        Err(error) => Err(Failure::invalid(error.to_string())),
    }
}

/// Walks the DAG; `None` where the instance does not know `?format=raw`.
async fn by_blocks(client: &Client<'_>, place: &Place) -> Result<Option<Fetched>, Failure> {
    let mut blocks: HashMap<Cid, Bytes> = HashMap::new();
    loop {
        let step = content::read(&place.root, &place.path, &blocks, LIMITS);
        let missing = match step.map_err(|error| Failure::Of(error.kind(), error.to_string()))? {
            Step::File(file) => {
                let checked = format!(
                    "{} block{}, each hashes to its CID, from {} on",
                    file.blocks.len(),
                    if file.blocks.len() == 1 { "" } else { "s" },
                    place.root
                );
                return Ok(Some(Fetched {
                    bytes: file.bytes,
                    checked,
                }));
            }
            Step::Missing(missing) => missing,
        };
        for cid in missing {
            let query = [("format", "raw".to_owned())];
            let reply = client.raw(&format!("ipfs/{cid}"), &query).await?;
            let named = reply.content_type.as_deref().unwrap_or_default();
            // A raw block's file is the block, whatever the instance calls it.
            if cid.codec() == block::DAG_PB && !named.starts_with("application/vnd.ipld.raw") {
                return Ok(None);
            }
            check(&cid, &reply.bytes)?;
            blocks.insert(cid, reply.bytes.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_in_every_form() {
        let cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
        for text in [
            cid.to_owned(),
            format!("ipfs://{cid}/"),
            format!("/ipfs/{cid}"),
        ] {
            let place = Place::parse(&text).expect("a place");
            assert_eq!(
                (place.root.to_string().as_str(), place.path.len()),
                (cid, 0)
            );
        }
        let place = Place::parse(&format!("{cid}/a b/c")).expect("a place");
        assert_eq!(place.path, ["a b", "c"]);
        assert_eq!(place.url(), format!("ipfs/{cid}/a%20b/c"));
        for text in ["", "31337:0", "did:nft:eip155:1_erc721:0x1_0", "ipfs://"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
