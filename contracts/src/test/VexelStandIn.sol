// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title What VEXEL's contracts emit, for tests alone
/// @notice Written from their ABI: same functions, same events, and the same openness, that anybody may register any
/// address for any DID. It checks nothing else, so a test can make it say whatever a contract could.
contract VexelStandIn {
    event AgentRegistered(bytes32 indexed did, address indexed agentAddress, uint256 inactivityThreshold);
    event HeartbeatRecorded(bytes32 indexed did, uint256 timestamp);
    event InactivityDetected(bytes32 indexed did, uint256 lastHeartbeat, uint256 detectedAt);
    event AgentDeactivated(bytes32 indexed did, address indexed agentAddress);
    event AgentRegistered(
        address indexed owner, string did, string name, string description, string indexed ipfsHash
    );
    event AgentStatusChanged(string did, uint8 previousStatus, uint8 newStatus);

    mapping(bytes32 => address) public agentOf;

    error AlreadyRegistered(bytes32 did);

    function registerAgent(bytes32 did, address agentAddress, uint256 threshold) external {
        if (agentOf[did] != address(0)) revert AlreadyRegistered(did);
        agentOf[did] = agentAddress;
        emit AgentRegistered(did, agentAddress, threshold);
        emit HeartbeatRecorded(did, block.timestamp);
    }

    function recordHeartbeat(bytes32 did) external {
        emit HeartbeatRecorded(did, block.timestamp);
    }

    function detectInactivity(bytes32 did) external {
        emit InactivityDetected(did, 0, block.timestamp);
    }

    function deactivateAgent(bytes32 did) external {
        emit AgentDeactivated(did, agentOf[did]);
    }

    function register(string calldata did, string calldata name, string calldata description, string calldata ipfsHash)
        external
    {
        emit AgentRegistered(msg.sender, did, name, description, ipfsHash);
    }

    function setStatus(string calldata did, uint8 previousStatus, uint8 newStatus) external {
        emit AgentStatusChanged(did, previousStatus, newStatus);
    }
}
