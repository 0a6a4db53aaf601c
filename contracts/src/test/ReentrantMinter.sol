// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC721Receiver} from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";
import {IdentityRegistry} from "../IdentityRegistry.sol";

/// @title Registers agents and acts on them before `register` has returned
/// @notice Test helper. Each function makes one of the three cases in which a replay of the registry's events and its
/// state differ, because `register` calls the receiver between its writes and its logs.
contract ReentrantMinter is IERC721Receiver {
    IdentityRegistry public immutable registry;

    address private forwardTo;
    string private earlyURI;
    bool private marks;

    constructor(IdentityRegistry registry_) {
        registry = registry_;
    }

    /// @notice The token is passed on during the mint: Registered names the minter, the owner is `to`, and the agent
    /// has no wallet although the last log names one.
    function registerAndForward(string calldata uri, address to) external returns (uint256 agentId) {
        forwardTo = to;
        agentId = registry.register(uri);
        forwardTo = address(0);
    }

    /// @notice The URI is set during the mint: Registered says "", the state keeps `early`.
    function registerWithEarlyURI(string calldata early) external returns (uint256 agentId) {
        earlyURI = early;
        agentId = registry.register();
        earlyURI = "";
    }

    /// @notice Metadata "early" and a URI are set during the mint, then `register` writes its own URI: the last one
    /// counts, and logs about the agent come before its Registered.
    function registerOverEarlyURI(string calldata early, string calldata uri) external returns (uint256 agentId) {
        earlyURI = early;
        marks = true;
        agentId = registry.register(uri);
        marks = false;
        earlyURI = "";
    }

    function onERC721Received(address, address, uint256 agentId, bytes calldata) external returns (bytes4) {
        if (marks) registry.setMetadata(agentId, "early", hex"01");
        if (bytes(earlyURI).length != 0) registry.setAgentURI(agentId, earlyURI);
        if (forwardTo != address(0)) registry.transferFrom(address(this), forwardTo, agentId);
        return IERC721Receiver.onERC721Received.selector;
    }
}
