// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title A wallet that is a contract
/// @notice Test helper. What its keeper signs counts as signed by the wallet (ERC-1271).
contract ContractWallet is IERC1271 {
    address public immutable keeper;

    constructor(address keeper_) {
        keeper = keeper_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError err, ) = ECDSA.tryRecover(digest, signature);
        bool valid = err == ECDSA.RecoverError.NoError && signer == keeper;
        return valid ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
