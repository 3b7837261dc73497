// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { WebAuthn } from "@openzeppelin/contracts/utils/cryptography/WebAuthn.sol";

/// @notice A contract wallet whose signatures are those of a passkey.
/// @dev In a file of its own, because the compiler needs its IR pipeline for WebAuthn, which mutation runs do without.
contract PasskeyWallet is IERC1271 {
    bytes32 private immutable X;
    bytes32 private immutable Y;

    constructor(bytes32 x, bytes32 y) {
        (X, Y) = (x, y);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (bool decoded, WebAuthn.WebAuthnAuth calldata auth) = WebAuthn.tryDecodeAuth(signature);
        bool valid = decoded && WebAuthn.verify(abi.encodePacked(hash), auth, X, Y);
        return valid ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}
