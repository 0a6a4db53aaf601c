//! The block that holds one checkpoint's publication together.

use std::collections::BTreeMap;

use kernel::Cid;
use serde::{Deserialize, Serialize};

/// Canonical DAG-CBOR. Its links are what a recursive pin keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form: 1.
    pub v: u8,
    /// The checkpoint's size.
    pub size: u64,
    /// First leaf that is linked in `entries`.
    pub from: u64,
    /// The checkpoint's note, a raw block.
    pub checkpoint: Cid,
    /// New entries in the order of their leaves, DAG-CBOR blocks.
    pub entries: Vec<Cid>,
    /// Tiles and bundles that this checkpoint implies and no earlier manifest has, by their paths
    /// (c2sp.org/tlog-tiles), raw blocks. Of bundles only full ones are among them, unless they are larger than
    /// a block may be: every other one is the entries of its leaves, each behind its length.
    pub tiles: BTreeMap<String, Cid>,
    /// The manifest before, as text and not as a link: a pin would walk all history.
    pub prev: Option<String>,
}
