// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PlainToken } from "./PlainToken.sol";

/// @notice Reports failure by returning false instead of reverting, once told to.
contract ReturnsFalseToken is PlainToken {
    bool public failing;

    function setFailing(bool failing_) external {
        failing = failing_;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        return failing ? false : super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        return failing ? false : super.transferFrom(from, to, value);
    }
}
