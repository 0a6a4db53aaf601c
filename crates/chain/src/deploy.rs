//! Deploying contracts: all of them on a chain that we started, `AuditAnchor` wherever somebody anchors.
//!
//! The bytecode is committed (`contracts/artifacts/`, made by `contracts/build.mjs`), so nobody
//! needs a Solidity compiler.

use alloy::sol_types::{SolCall, SolConstructor};
use kernel::{Address, Bytes, Kind};
use serde::Deserialize;

use crate::{
    contracts::{ERC1967Proxy, IdentityRegistry},
    rpc::{Call, Receipt, RpcError},
    sender::{SendError, Sender},
};

const IDENTITY_REGISTRY: &str = include_str!("../../../contracts/artifacts/IdentityRegistry.json");
const AGENT_STATUS: &str = include_str!("../../../contracts/artifacts/AgentStatus.json");
const AUDIT_ANCHOR: &str = include_str!("../../../contracts/artifacts/AuditAnchor.json");
const PREDEPLOY_CHECK: &str = include_str!("../../../contracts/artifacts/PredeployCheck.json");
const PROXY: &str = include_str!("../../../contracts/artifacts/ERC1967Proxy.json");

/// A contract that stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// Where.
    pub address: Address,
    /// The transaction that put it there.
    pub receipt: Receipt,
}

/// An identity registry behind a proxy, initialized and owned by the sender. The address is the
/// proxy's: the one whose logs count.
pub async fn identity_registry(sender: &Sender) -> Result<Deployed, SendError> {
    let code = create(sender, bytecode(IDENTITY_REGISTRY)?).await?;
    let initialize = IdentityRegistry::initializeCall {}.abi_encode();
    let constructor = ERC1967Proxy::constructorCall {
        implementation: code.address,
        data: initialize.into(),
    };
    let creation = [bytecode(PROXY)?.as_ref(), &constructor.abi_encode()].concat();
    create(sender, creation.into()).await
}

/// An `AgentStatus` contract; one serves all registries of its chain.
pub async fn agent_status(sender: &Sender) -> Result<Deployed, SendError> {
    create(sender, bytecode(AGENT_STATUS)?).await
}

/// An `AuditAnchor` contract; one serves all journals and keepers of its chain.
pub async fn audit_anchor(sender: &Sender) -> Result<Deployed, SendError> {
    create(sender, bytecode(AUDIT_ANCHOR)?).await
}

/// The creation that [`audit_anchor`] sends, for who looks at it before.
pub fn audit_anchor_creation() -> Result<Call, SendError> {
    Ok(creation(bytecode(AUDIT_ANCHOR)?))
}

/// Creation code without arguments of the check that runs in an `eth_call` alone.
pub(crate) fn predeploy_check() -> Result<Bytes, RpcError> {
    bytecode(PREDEPLOY_CHECK).map_err(|error| RpcError::Other {
        kind: Kind::Internal,
        code: None,
        message: error.to_string(),
    })
}

async fn create(sender: &Sender, code: Bytes) -> Result<Deployed, SendError> {
    let receipt = sender.send(creation(code)).await?;
    let address = receipt.created.ok_or_else(|| {
        SendError::Rpc(RpcError::unexpected(
            "the receipt of a creation names no contract",
        ))
    })?;
    Ok(Deployed { address, receipt })
}

fn creation(data: Bytes) -> Call {
    Call {
        data,
        ..Call::default()
    }
}

fn bytecode(artifact: &str) -> Result<Bytes, SendError> {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let artifact: Artifact = serde_json::from_str(artifact).map_err(SendError::Artifact)?;
    Ok(artifact.bytecode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_artifacts_hold_code() {
        for artifact in [
            IDENTITY_REGISTRY,
            AGENT_STATUS,
            AUDIT_ANCHOR,
            PREDEPLOY_CHECK,
            PROXY,
        ] {
            assert!(bytecode(artifact).expect("an artifact").len() > 100);
        }
    }
}
