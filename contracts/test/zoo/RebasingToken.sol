// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A token whose balances are shares of a supply that its issuer changes: all of them grow and shrink alike.
contract RebasingToken {
    uint256 public percent = 100;
    mapping(address account => uint256) private _shares;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address account, uint256 amount) external {
        _shares[account] += (amount * 100) / percent;
    }

    function rebase(uint256 percent_) external {
        percent = percent_;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        return _move(from, to, amount);
    }

    function balanceOf(address account) external view returns (uint256) {
        return (_shares[account] * percent) / 100;
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        uint256 shares = (amount * 100) / percent;
        _shares[from] -= shares;
        _shares[to] += shares;
        return true;
    }
}
