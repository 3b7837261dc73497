// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ReturnsNothingToken } from "./ReturnsNothingToken.sol";

/// @notice A token like USDT: no function returns a value, an allowance is changed by way of zero only, transfers can
/// cost a fee that the issuer sets later, and the issuer can block an account.
contract TetherToken is ReturnsNothingToken {
    uint256 public feePercent;
    mapping(address account => bool) public blocked;

    error AllowanceNotZero();
    error Blocked(address account);

    function setFee(uint256 percent) external {
        feePercent = percent;
    }

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function approve(address spender, uint256 amount) public override {
        require(amount == 0 || allowance[msg.sender][spender] == 0, AllowanceNotZero());
        super.approve(spender, amount);
    }

    function _move(address from, address to, uint256 amount) internal override {
        require(!blocked[from], Blocked(from));
        super._move(from, to, amount);
        balanceOf[to] -= (amount * feePercent) / 100;
    }
}
