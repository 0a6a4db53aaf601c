// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {ERC721Upgradeable} from "@openzeppelin/contracts-upgradeable/token/ERC721/ERC721Upgradeable.sol";
import {
    ERC721URIStorageUpgradeable
} from "@openzeppelin/contracts-upgradeable/token/ERC721/extensions/ERC721URIStorageUpgradeable.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title The identity registry of ERC-8004: one ERC-721 token per agent
/// @notice An agent is a token. Its token URI leads to the agent's registration file, its owner is who answers for it,
/// and its wallet is the address that acts and is paid in its name.
/// @dev Written for Chancery's dev chain and tests from EIP-8004 and from the recorded behaviour of the deployed
/// registry: functions, events, order of logs, revert strings and storage slots are the same, so that an indexer
/// cannot tell the two apart. Runs behind an ERC-1967 proxy.
contract IdentityRegistry is ERC721URIStorageUpgradeable, OwnableUpgradeable, UUPSUpgradeable, EIP712Upgradeable {
    /// @notice One key and value that are stored with an agent (EIP-8004, "On-chain metadata").
    struct MetadataEntry {
        string metadataKey;
        bytes metadataValue;
    }

    /// @custom:storage-location erc7201:erc8004.identity.registry
    struct IdentityStorage {
        /// The number of agents so far, and so the id of the next one: ids start at 0 and have no gaps.
        uint256 lastId;
        mapping(uint256 agentId => mapping(string metadataKey => bytes)) metadata;
    }

    /// @notice A new agent. `owner` is who registered it; who owns it is said by Transfer alone.
    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);

    /// @notice The URI of an agent's registration file was set after registration, perhaps to the same value.
    event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);

    /// @notice A metadata value was set, or removed where it is empty. The key is there twice: hashed to filter by
    /// it, and in full to read it.
    event MetadataSet(
        uint256 indexed agentId,
        string indexed indexedMetadataKey,
        string metadataKey,
        bytes metadataValue
    );

    // keccak256(abi.encode(uint256(keccak256("erc8004.identity.registry")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant IDENTITY_SLOT = 0xa040f782729de4970518741823ec1276cbcd41a0c7493f62d173341566a04e00;

    /// The wallet is kept as metadata, under a key that only the wallet functions write.
    string private constant WALLET_KEY = "agentWallet";
    bytes32 private constant WALLET_KEY_HASH = keccak256(bytes(WALLET_KEY));

    bytes32 private constant WALLET_CONSENT_TYPEHASH =
        keccak256("AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)");

    /// A wallet's consent has no nonce: a short life is what limits its replay.
    uint256 private constant MAX_CONSENT_LIFE = 5 minutes;

    /// @dev Closes the bare implementation; only a proxy can be initialized.
    constructor() {
        _disableInitializers();
    }

    /// @notice Sets names and signing domain, once per proxy.
    /// @dev Version 2, as on the deployed registries, whose proxies began with a placeholder that named the owner.
    /// Such an owner must be the caller; a proxy that has none yet gets the caller as its owner.
    function initialize() external reinitializer(2) {
        if (owner() == address(0)) {
            __Ownable_init(msg.sender);
        } else {
            _checkOwner();
        }
        __ERC721_init("AgentIdentity", "AGENT");
        __EIP712_init("ERC8004IdentityRegistry", "1");
    }

    /// @notice Registers an agent without a registration file, for the caller.
    function register() external returns (uint256 agentId) {
        agentId = _mintAgent();
        _announce(agentId, "");
    }

    /// @notice Registers an agent with the URI of its registration file, for the caller.
    function register(string memory agentURI) external returns (uint256 agentId) {
        agentId = _mintAgent();
        _setTokenURI(agentId, agentURI);
        _announce(agentId, agentURI);
    }

    /// @notice Registers an agent with a URI and metadata, for the caller.
    function register(
        string memory agentURI,
        MetadataEntry[] memory metadata
    ) external returns (uint256 agentId) {
        agentId = _mintAgent();
        _setTokenURI(agentId, agentURI);
        _announce(agentId, agentURI);
        for (uint256 i = 0; i < metadata.length; i++) {
            _requireFreeKey(metadata[i].metadataKey);
            _writeMetadata(agentId, metadata[i].metadataKey, metadata[i].metadataValue);
        }
    }

    /// @notice Names another registration file. The owner, an operator or the approved address may.
    function setAgentURI(uint256 agentId, string calldata newURI) external {
        _requireAuthorized(agentId);
        _setTokenURI(agentId, newURI);
        emit URIUpdated(agentId, newURI, msg.sender);
    }

    /// @notice Sets a metadata value. The owner, an operator or the approved address may.
    function setMetadata(uint256 agentId, string memory metadataKey, bytes memory metadataValue) external {
        _requireAuthorized(agentId);
        _requireFreeKey(metadataKey);
        _writeMetadata(agentId, metadataKey, metadataValue);
    }

    /// @notice A metadata value; empty where none was set or where the agent is unknown.
    function getMetadata(uint256 agentId, string memory metadataKey) external view returns (bytes memory) {
        return _identity().metadata[agentId][metadataKey];
    }

    /// @notice Names the agent's wallet, with the wallet's consent.
    /// @param deadline The consent's end, at most five minutes from now.
    /// @param signature The consent, an EIP-712 `AgentWalletSet` signed by `newWallet`: by its key, else, where it is a
    /// contract, as ERC-1271 has it. A key comes first because an account with delegated code (EIP-7702) has both.
    function setAgentWallet(
        uint256 agentId,
        address newWallet,
        uint256 deadline,
        bytes calldata signature
    ) external {
        address owner = _requireAuthorized(agentId);
        require(newWallet != address(0), "bad wallet");
        require(block.timestamp <= deadline, "expired");
        require(deadline <= block.timestamp + MAX_CONSENT_LIFE, "deadline too far");

        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(WALLET_CONSENT_TYPEHASH, agentId, newWallet, owner, deadline))
        );
        require(_isSignedBy(newWallet, digest, signature), "invalid wallet sig");
        _writeMetadata(agentId, WALLET_KEY, abi.encodePacked(newWallet));
    }

    /// @notice Takes the agent's wallet away. The owner, an operator or the approved address may.
    function unsetAgentWallet(uint256 agentId) external {
        _requireAuthorized(agentId);
        _writeMetadata(agentId, WALLET_KEY, "");
    }

    /// @notice The agent's wallet; zero where it has none or where the agent is unknown.
    function getAgentWallet(uint256 agentId) external view returns (address) {
        return address(bytes20(_identity().metadata[agentId][WALLET_KEY]));
    }

    /// @notice Whether `spender` is the agent's owner, an operator or the approved address. Reverts for unknown agents.
    function isAuthorizedOrOwner(address spender, uint256 agentId) external view returns (bool) {
        return _isAuthorized(ownerOf(agentId), spender, agentId);
    }

    /// @notice The version of the registry's code, not of an initialization.
    function getVersion() external pure returns (string memory) {
        return "2.0.0";
    }

    /// @dev Every transfer takes the wallet away, and says so before Transfer: a buyer must not pay the seller.
    /// A transfer to oneself is a transfer.
    function _update(address to, uint256 agentId, address auth) internal override returns (address) {
        address from = _ownerOf(agentId);
        if (from != address(0) && to != address(0)) {
            _writeMetadata(agentId, WALLET_KEY, "");
        }
        return super._update(to, agentId, auth);
    }

    function _authorizeUpgrade(address) internal override onlyOwner {}

    /// @dev The wallet is stored before the mint and announced after it, and the mint calls the receiver. A receiver
    /// that passes the token on in that call leaves the agent without a wallet although the last log names one: the
    /// deployed registry does so, and an indexer must cope with it.
    function _mintAgent() private returns (uint256 agentId) {
        IdentityStorage storage $ = _identity();
        agentId = $.lastId++;
        $.metadata[agentId][WALLET_KEY] = abi.encodePacked(msg.sender);
        _safeMint(msg.sender, agentId);
    }

    function _announce(uint256 agentId, string memory agentURI) private {
        emit Registered(agentId, agentURI, msg.sender);
        emit MetadataSet(agentId, WALLET_KEY, WALLET_KEY, abi.encodePacked(msg.sender));
    }

    function _writeMetadata(uint256 agentId, string memory key, bytes memory value) private {
        _identity().metadata[agentId][key] = value;
        emit MetadataSet(agentId, key, key, value);
    }

    function _requireAuthorized(uint256 agentId) private view returns (address owner) {
        owner = ownerOf(agentId);
        require(_isAuthorized(owner, msg.sender, agentId), "Not authorized");
    }

    function _requireFreeKey(string memory key) private pure {
        require(keccak256(bytes(key)) != WALLET_KEY_HASH, "reserved key");
    }

    function _isSignedBy(address signer, bytes32 digest, bytes calldata signature) private view returns (bool) {
        (address recovered, ECDSA.RecoverError err, ) = ECDSA.tryRecover(digest, signature);
        if (err == ECDSA.RecoverError.NoError && recovered == signer) {
            return true;
        }
        return SignatureChecker.isValidERC1271SignatureNow(signer, digest, signature);
    }

    function _identity() private pure returns (IdentityStorage storage $) {
        assembly {
            $.slot := IDENTITY_SLOT
        }
    }
}
