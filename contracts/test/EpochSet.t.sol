// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EpochSet } from "../libraries/EpochSet.sol";
import { EpochIndex } from "../types/EpochIndex.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

contract EpochSetTest is TestBase {
    using EpochSet for EpochSet.Set;

    EpochSet.Set private _set;
    mapping(uint32 epoch => EpochSet.Outcome) private _expected;

    /// @dev Settling one epoch changes no other: neighbours in the word, words before and after.
    function testFuzz_epochsDoNotTouchEachOther(uint32[16] memory epochs, uint16 outcomes, uint32 probe) public {
        for (uint256 i; i < epochs.length; ++i) {
            // Close together, so that words are shared.
            uint32 epoch = epochs[i] % 512;
            if (_expected[epoch] != EpochSet.Outcome.Unsettled) continue;
            EpochSet.Outcome outcome = (outcomes >> i) & 1 == 1 ? EpochSet.Outcome.Proven : EpochSet.Outcome.Missed;
            _set.settle(EpochIndex.wrap(epoch), outcome);
            _expected[epoch] = outcome;
        }
        for (uint32 epoch; epoch < 512; ++epoch) {
            vm.assertEq(uint256(_set.outcomeOf(EpochIndex.wrap(epoch))), uint256(_expected[epoch]));
        }
        if (probe >= 512) vm.assertEq(uint256(_set.outcomeOf(EpochIndex.wrap(probe))), 0);
    }

    function test_theLastEpochHasItsPlace() public {
        EpochIndex last = EpochIndex.wrap(type(uint32).max);
        _set.settle(last, EpochSet.Outcome.Missed);
        vm.assertEq(uint256(_set.outcomeOf(last)), uint256(EpochSet.Outcome.Missed));
        vm.assertEq(uint256(_set.outcomeOf(EpochIndex.wrap(type(uint32).max - 1))), 0);
    }
}
