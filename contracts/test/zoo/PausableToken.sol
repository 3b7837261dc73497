// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20Pausable } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Pausable.sol";
import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token whose issuer can stop all transfers, here anybody.
contract PausableToken is ERC20Pausable {
    constructor() ERC20("Pausable", "PAUSE") {}

    function mint(address account, uint256 amount) external {
        _mint(account, amount);
    }

    function setPaused(bool paused_) external {
        if (paused_) _pause();
        else _unpause();
    }
}
