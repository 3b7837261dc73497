// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A token that predates the final ERC-20: its transfers return no value, as those of some large tokens do.
contract ReturnsNothingToken {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    error Insufficient(uint256 available, uint256 needed);

    function mint(address account, uint256 amount) external {
        balanceOf[account] += amount;
    }

    function approve(address spender, uint256 amount) public virtual {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        uint256 allowed = allowance[from][msg.sender];
        require(allowed >= amount, Insufficient(allowed, amount));
        allowance[from][msg.sender] = allowed - amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) internal virtual {
        require(balanceOf[from] >= amount, Insufficient(balanceOf[from], amount));
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}
