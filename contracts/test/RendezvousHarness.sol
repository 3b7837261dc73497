// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Rendezvous } from "../libraries/Rendezvous.sol";
import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Calls of the library from outside
/// @notice For tests of the vectors.
contract RendezvousHarness {
    /// @notice `Rendezvous.drawOf`.
    function drawOf(CommitteeId id, uint64 epoch, address user, address operator) external pure returns (bytes32) {
        return Rendezvous.drawOf(id, epoch, user, operator);
    }

    /// @notice `Rendezvous.surprisalOf`.
    function surprisalOf(bytes32 draw) external pure returns (uint256) {
        return Rendezvous.surprisalOf(draw);
    }

    /// @notice `Rendezvous.order`.
    function order(
        CommitteeId id,
        uint64 epoch,
        address user,
        address[] memory members,
        uint256[] memory weights
    ) external pure returns (address[] memory) {
        return Rendezvous.order(id, epoch, user, members, weights);
    }
}
