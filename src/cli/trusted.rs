//! What whoever verifies trusts: a log's key, a node.

use chain::{Limits, Rpc, RpcError};
use journal::vkey::VerifierKey;

use super::exit::Failure;

/// The key that `--vkey` names, in the text form of c2sp.org/signed-note.
pub fn key(text: &str) -> Result<VerifierKey, Failure> {
    let key: Result<VerifierKey, _> = text.trim().parse();
    key.map_err(|error| Failure::invalid(format!("--vkey: {error}")))
}

/// The node that `--rpc` names.
pub async fn node(url: &str) -> Result<Rpc, Failure> {
    let url = url
        .parse()
        .map_err(|error| Failure::invalid(format!("--rpc: {error}")))?;
    let node = Rpc::connect(url, Limits::default()).await;
    node.map_err(|error| node_failed(&error))
}

/// What that node did wrong.
pub fn node_failed(error: &RpcError) -> Failure {
    Failure::Of(error.kind(), format!("--rpc: {error}"))
}
