// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PlainToken } from "./PlainToken.sol";

/// @notice Mints one unit to the receiver of every transfer, so it gets more than was sent.
contract BonusToken is PlainToken {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(address(0), to, 1);
    }
}
