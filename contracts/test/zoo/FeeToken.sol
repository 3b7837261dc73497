// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PlainToken } from "./PlainToken.sol";

/// @notice Burns one percent of every transfer, rounded up, so the receiver gets less than was sent.
contract FeeToken is PlainToken {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0), (value + 99) / 100);
    }
}
