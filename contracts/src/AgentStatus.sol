// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// What AgentStatus asks of a registry: two views of the ERC-8004 identity registry.
interface IAgentRegistry {
    function isAuthorizedOrOwner(address spender, uint256 agentId) external view returns (bool);
    function getAgentWallet(uint256 agentId) external view returns (address);
}

/// @title Runtime status of registered agents, said on chain by those who may speak for them
/// @notice Keeps no state: what was said is in the logs, and the latest log about an agent is its status. One contract
/// serves every registry on its chain. A log proves who spoke at that moment, not that the agent does as was said.
contract AgentStatus {
    uint8 public constant ACTIVE = 0;
    uint8 public constant SLEEP = 1;
    uint8 public constant TERMINATED = 2;

    /// @notice The longest reason, in bytes: every indexer stores it.
    uint256 public constant MAX_REASON_LENGTH = 1024;

    /// @notice An agent's status was set by `speaker`, perhaps to the same value.
    event StatusSet(address indexed registry, uint256 indexed agentId, uint8 status, string reason, address speaker);

    /// @notice An agent is alive; this moves its liveness only, never its status.
    event Heartbeat(address indexed registry, uint256 indexed agentId);

    /// @notice The status is none of ACTIVE, SLEEP and TERMINATED.
    error UnknownStatus(uint8 status);

    /// @notice The reason is longer than MAX_REASON_LENGTH.
    error ReasonTooLong(uint256 length);

    /// @notice The speaker is neither owner, operator, approved address nor wallet of the agent, or there is no such
    /// agent or no such registry.
    error MayNotSpeak(address registry, uint256 agentId, address speaker);

    /// @notice Says what an agent's status is from now on, and why.
    function setStatus(address registry, uint256 agentId, uint8 status, string calldata reason) external {
        if (status > TERMINATED) revert UnknownStatus(status);
        if (bytes(reason).length > MAX_REASON_LENGTH) revert ReasonTooLong(bytes(reason).length);
        _requireVoice(registry, agentId);
        emit StatusSet(registry, agentId, status, reason, msg.sender);
    }

    /// @notice Says that an agent is alive.
    function heartbeat(address registry, uint256 agentId) external {
        _requireVoice(registry, agentId);
        emit Heartbeat(registry, agentId);
    }

    function _requireVoice(address registry, uint256 agentId) private view {
        uint256 authorized = _ask(registry, abi.encodeCall(IAgentRegistry.isAuthorizedOrOwner, (msg.sender, agentId)));
        if (authorized == 1) return;

        // An agent without a wallet has the zero address, which eth_call without a sender speaks as.
        uint256 wallet = _ask(registry, abi.encodeCall(IAgentRegistry.getAgentWallet, (agentId)));
        if (wallet != 0 && wallet == uint160(msg.sender)) return;

        revert MayNotSpeak(registry, agentId, msg.sender);
    }

    /// @dev The answer's first word, or 0: a registry that reverts (unknown agent), has no code or answers nonsense
    /// lets nobody speak, and the caller gets one clear error for all of them.
    function _ask(address registry, bytes memory question) private view returns (uint256 answer) {
        (bool ok, bytes memory data) = registry.staticcall(question);
        if (ok && data.length >= 32) answer = abi.decode(data, (uint256));
    }
}
