// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { SingleKeyWallet } from "./SignatureWallets.sol";

/// @notice A contract wallet that takes its owner's signatures when it is simulated without fees, as calls and
/// estimates of gas are by default, and denies them in transactions. It burns nearly all the gas of the question
/// either way, so that an estimate allows for it.
contract TwoFacedWallet is SingleKeyWallet {
    /// @dev Left to answer with.
    uint256 private constant ANSWER_GAS = 20_000;

    bool public isHonest;

    constructor(address owner) SingleKeyWallet(owner) {}

    function setHonest(bool honest) external {
        isHonest = honest;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) public view override returns (bytes4) {
        if (!isHonest) {
            while (gasleft() > ANSWER_GAS) {}
            if (tx.gasprice > 0) return bytes4(0);
        }
        return super.isValidSignature(hash, signature);
    }
}
