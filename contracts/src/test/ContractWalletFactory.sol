// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ContractWallet} from "./ContractWallet.sol";

/// @title Deploys wallets at addresses that are known before
/// @notice Test helper: one wallet per keeper, by CREATE2.
contract ContractWalletFactory {
    function create(address keeper) external returns (address wallet) {
        return address(new ContractWallet{salt: bytes32(0)}(keeper));
    }

    function addressOf(address keeper) external view returns (address wallet) {
        bytes32 code = keccak256(abi.encodePacked(type(ContractWallet).creationCode, abi.encode(keeper)));
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), bytes32(0), code));
        return address(uint160(uint256(hash)));
    }
}
