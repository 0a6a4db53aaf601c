// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @title Whether a wallet that is not deployed yet signed (ERC-6492)
/// @notice Never deployed itself: its creation code runs in an eth_call, which leaves nothing behind. It makes the call
/// that deploys the wallet, asks the wallet, and returns one byte: 1 signed, 0 not, 2 the factory refused.
contract PredeployCheck {
    constructor(address wallet, bytes32 digest, address factory, bytes memory creation, bytes memory signature) {
        uint256 verdict = 2;
        (bool made, ) = factory.call(creation);
        // A factory may refuse because somebody deployed the wallet meanwhile: then there is one to ask.
        if (made || wallet.code.length != 0) verdict = signed(wallet, digest, signature) ? 1 : 0;
        assembly {
            mstore8(0, verdict)
            return(0, 1)
        }
    }

    function signed(address wallet, bytes32 digest, bytes memory signature) private view returns (bool) {
        (bool answered, bytes memory answer) =
            wallet.staticcall(abi.encodeCall(IERC1271.isValidSignature, (digest, signature)));
        // A wallet that answers with less than a word, or with more beside the magic value, did not say yes.
        return answered && answer.length >= 32 && bytes32(answer) == bytes32(IERC1271.isValidSignature.selector);
    }
}
