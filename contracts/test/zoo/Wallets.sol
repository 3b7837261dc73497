// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A contract wallet that any account may use. It rejects ether that comes without a call.
contract RejectingWallet {
    function execute(address to, uint256 value, bytes calldata data) external payable returns (bytes memory) {
        (bool success, bytes memory result) = to.call{ value: value }(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
        return result;
    }
}

/// @notice A contract wallet that makes a prepared call when it receives ether, and stores the result of the call.
contract ReentrantWallet is RejectingWallet {
    address public target;
    bytes public data;
    uint256 public attempts;
    bool public succeeded;
    bytes public answer;

    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    receive() external payable {
        ++attempts;
        (succeeded, answer) = target.call(data);
    }
}
