//! The contracts that Chancery reads and calls.
//!
//! IdentityRegistry: ERC-8004 (repo erc-8004/erc-8004-contracts @b9e466c); AgentStatus: our own
//! (`contracts/src/AgentStatus.sol`, `model.md` §4), and so is AuditAnchor
//! (`contracts/src/AuditAnchor.sol`) and PredeployCheck (`contracts/src/PredeployCheck.sol`).

#![expect(
    missing_docs,
    reason = "sol! writes these items; the contracts' sources document them"
)]

use alloy::sol;

sol! {
    /// ERC-8004's registry of agents: an ERC-721 whose token URI leads to a registration file.
    #[derive(Debug)]
    interface IdentityRegistry {
        struct MetadataEntry { string metadataKey; bytes metadataValue; }

        event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
        event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);
        event MetadataSet(
            uint256 indexed agentId, string indexed indexedMetadataKey, string metadataKey,
            bytes metadataValue
        );
        event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
        event Approval(address indexed owner, address indexed approved, uint256 indexed tokenId);
        event ApprovalForAll(address indexed owner, address indexed operator, bool approved);
        event MetadataUpdate(uint256 _tokenId);
        event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);
        event EIP712DomainChanged();
        event Initialized(uint64 version);
        event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
        event Upgraded(address indexed implementation);

        function initialize() external;
        function register() external returns (uint256 agentId);
        function register(string agentURI) external returns (uint256 agentId);
        function register(string agentURI, MetadataEntry[] metadata)
            external returns (uint256 agentId);
        function setAgentURI(uint256 agentId, string newURI) external;
        function setMetadata(uint256 agentId, string metadataKey, bytes metadataValue) external;
        function getMetadata(uint256 agentId, string metadataKey)
            external view returns (bytes value);
        function setAgentWallet(
            uint256 agentId, address newWallet, uint256 deadline, bytes signature
        ) external;
        function unsetAgentWallet(uint256 agentId) external;
        function getAgentWallet(uint256 agentId) external view returns (address wallet);
        function isAuthorizedOrOwner(address spender, uint256 agentId)
            external view returns (bool authorized);
        function getVersion() external pure returns (string version);
        function owner() external view returns (address owner);
        function ownerOf(uint256 tokenId) external view returns (address owner);
        function balanceOf(address owner) external view returns (uint256 balance);
        function tokenURI(uint256 tokenId) external view returns (string uri);
        function getApproved(uint256 tokenId) external view returns (address approved);
        function isApprovedForAll(address owner, address operator)
            external view returns (bool approved);
        function approve(address to, uint256 tokenId) external;
        function setApprovalForAll(address operator, bool approved) external;
        function transferFrom(address from, address to, uint256 tokenId) external;
        function safeTransferFrom(address from, address to, uint256 tokenId) external;
    }

    /// What a contract of ours or of OpenZeppelin refuses with; texts for people are made from it.
    #[derive(Debug)]
    interface Refusals {
        error AddressEmptyCode(address target);
        error ECDSAInvalidSignature();
        error ERC1967InvalidImplementation(address implementation);
        error ERC1967NonPayable();
        error ERC721IncorrectOwner(address sender, uint256 tokenId, address owner);
        error ERC721InsufficientApproval(address operator, uint256 tokenId);
        error ERC721InvalidApprover(address approver);
        error ERC721InvalidOperator(address operator);
        error ERC721InvalidOwner(address owner);
        error ERC721InvalidReceiver(address receiver);
        error ERC721InvalidSender(address sender);
        error ERC721NonexistentToken(uint256 tokenId);
        error FailedCall();
        error InvalidInitialization();
        error NotInitializing();
        error OwnableInvalidOwner(address owner);
        error OwnableUnauthorizedAccount(address account);
        error UUPSUnauthorizedCallContext();
        error UUPSUnsupportedProxiableUUID(bytes32 slot);
        error UnknownStatus(uint8 status);
        error ReasonTooLong(uint256 length);
        error MayNotSpeak(address registry, uint256 agentId, address speaker);
        error EmptyHead();
        error Rollback(uint64 anchored);
        error Inconsistent(uint64 anchored);
    }

    /// Our contract in which an agent's runtime status is said by those who may speak for it.
    #[derive(Debug)]
    interface AgentStatus {
        event StatusSet(
            address indexed registry, uint256 indexed agentId, uint8 status, string reason,
            address speaker
        );
        event Heartbeat(address indexed registry, uint256 indexed agentId);

        function setStatus(address registry, uint256 agentId, uint8 status, string reason) external;
        function heartbeat(address registry, uint256 agentId) external;
    }

    /// Our contract that keeps the heads of journals, and takes no later one that is no continuation.
    #[derive(Debug)]
    interface AuditAnchor {
        struct Head { bytes32 root; uint64 size; uint64 time; }

        event Anchored(address indexed keeper, bytes32 indexed journal, uint64 size, bytes32 root);

        function head(address keeper, bytes32 journal) external view returns (Head memory);
        function anchor(bytes32 journal, uint64 size, bytes32 root, bytes32[] calldata proof) external;
    }

    /// A wallet that is a contract (ERC-1271).
    interface SignatureWallet {
        function isValidSignature(bytes32 hash, bytes signature)
            external view returns (bytes4 magic);
    }

    /// Our contract that is never deployed: its creation deploys a wallet in a trial and asks it.
    contract PredeployCheck {
        constructor(
            address wallet, bytes32 digest, address factory, bytes creation, bytes signature
        );
    }

    /// OpenZeppelin's ERC-1967 proxy, which the registries stand behind.
    contract ERC1967Proxy {
        constructor(address implementation, bytes data) payable;
    }

    /// The wallet's consent to be an agent's wallet (EIP-712).
    #[derive(Debug)]
    struct AgentWalletSet {
        uint256 agentId;
        address newWallet;
        address owner;
        uint256 deadline;
    }
}

/// topic0 of every event that is read.
pub mod topics {
    use alloy::sol_types::SolEvent;
    use kernel::B256;

    use super::{AgentStatus as S, IdentityRegistry as R};

    pub const REGISTERED: B256 = R::Registered::SIGNATURE_HASH;
    pub const URI_UPDATED: B256 = R::URIUpdated::SIGNATURE_HASH;
    pub const METADATA_SET: B256 = R::MetadataSet::SIGNATURE_HASH;
    pub const TRANSFER: B256 = R::Transfer::SIGNATURE_HASH;
    pub const APPROVAL: B256 = R::Approval::SIGNATURE_HASH;
    pub const APPROVAL_FOR_ALL: B256 = R::ApprovalForAll::SIGNATURE_HASH;
    pub const METADATA_UPDATE: B256 = R::MetadataUpdate::SIGNATURE_HASH;
    pub const UPGRADED: B256 = R::Upgraded::SIGNATURE_HASH;
    pub const OWNERSHIP_TRANSFERRED: B256 = R::OwnershipTransferred::SIGNATURE_HASH;
    pub const STATUS_SET: B256 = S::StatusSet::SIGNATURE_HASH;
    pub const HEARTBEAT: B256 = S::Heartbeat::SIGNATURE_HASH;

    /// What is asked of an identity registry: all that [`crate::decode`] understands.
    pub const OF_REGISTRY: [B256; 8] = [
        REGISTERED,
        URI_UPDATED,
        METADATA_SET,
        TRANSFER,
        APPROVAL,
        APPROVAL_FOR_ALL,
        METADATA_UPDATE,
        UPGRADED,
    ];

    /// What is asked of an `AgentStatus` contract.
    pub const OF_STATUS: [B256; 2] = [STATUS_SET, HEARTBEAT];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alloy::sol_types::{SolCall, SolInterface};
    use serde_json::Value;

    use super::*;

    fn reference() -> Value {
        let text = include_str!("../../../tests/vectors/chain/abi-topics-selectors.json");
        serde_json::from_str(text).expect("json")
    }

    #[test]
    fn topics_equal_those_computed_from_the_reference_abi() {
        use IdentityRegistry as R;
        use alloy::sol_types::SolEvent;
        let ours = BTreeMap::from([
            (R::Registered::SIGNATURE, R::Registered::SIGNATURE_HASH),
            (R::URIUpdated::SIGNATURE, R::URIUpdated::SIGNATURE_HASH),
            (R::MetadataSet::SIGNATURE, R::MetadataSet::SIGNATURE_HASH),
            (R::Transfer::SIGNATURE, R::Transfer::SIGNATURE_HASH),
            (R::Approval::SIGNATURE, R::Approval::SIGNATURE_HASH),
            (
                R::ApprovalForAll::SIGNATURE,
                R::ApprovalForAll::SIGNATURE_HASH,
            ),
            (
                R::MetadataUpdate::SIGNATURE,
                R::MetadataUpdate::SIGNATURE_HASH,
            ),
            (
                R::BatchMetadataUpdate::SIGNATURE,
                R::BatchMetadataUpdate::SIGNATURE_HASH,
            ),
            (
                R::EIP712DomainChanged::SIGNATURE,
                R::EIP712DomainChanged::SIGNATURE_HASH,
            ),
            (R::Initialized::SIGNATURE, R::Initialized::SIGNATURE_HASH),
            (
                R::OwnershipTransferred::SIGNATURE,
                R::OwnershipTransferred::SIGNATURE_HASH,
            ),
            (R::Upgraded::SIGNATURE, R::Upgraded::SIGNATURE_HASH),
        ]);
        let reference = reference();
        let mut compared = 0;
        for (name, event) in reference["topics"].as_object().expect("topics") {
            let Some(signature) = name.strip_prefix("IdentityRegistryUpgradeable.") else {
                continue;
            };
            let ours = ours.get(signature).expect(signature).to_string();
            assert_eq!(Some(ours.as_str()), event["topic0"].as_str(), "{signature}");
            compared += 1;
        }
        assert_eq!(compared, ours.len());
    }

    #[test]
    fn selectors_equal_those_computed_from_the_reference_abi() {
        let reference = reference();
        let functions = reference["fns"]["IdentityRegistryUpgradeable"]
            .as_object()
            .expect("fns");
        let known: Vec<String> = functions.values().map(ToString::to_string).collect();
        for selector in IdentityRegistry::IdentityRegistryCalls::selectors() {
            let hex = format!("\"{}\"", alloy::hex::encode(selector));
            assert!(known.contains(&hex), "{hex}");
        }
        let errors = reference["errs"].as_object().expect("errs");
        for (name, selector) in errors {
            let bytes = alloy::hex::decode(selector.as_str().expect("hex")).expect("hex");
            let selector = bytes.try_into().expect("four bytes");
            assert!(Refusals::RefusalsErrors::valid_selector(selector), "{name}");
        }
        assert_eq!(
            AgentStatus::heartbeatCall::SIGNATURE,
            "heartbeat(address,uint256)"
        );
    }
}
