// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "../../interfaces/IRandomnessSource.sol";

/// @notice A randomness source whose values a test can compute, and that can be made unavailable.
contract FakeRandomness is IRandomnessSource {
    uint64 public gridBlocks = 1;
    uint64 public horizonBlocks = 8191;
    bool public available = true;

    function setHorizon(uint64 blocks) external {
        horizonBlocks = blocks;
    }

    function setGrid(uint64 blocks) external {
        gridBlocks = blocks;
    }

    function setAvailable(bool available_) external {
        available = available_;
    }

    function record(uint64 blockNumber, bytes calldata) external view returns (bytes32) {
        return randomnessAt(blockNumber);
    }

    function randomnessAt(uint64 blockNumber) public view returns (bytes32) {
        require(available && blockNumber < block.number, RandomnessUnavailable(blockNumber, block.number));
        return keccak256(abi.encode("fake", blockNumber));
    }
}
