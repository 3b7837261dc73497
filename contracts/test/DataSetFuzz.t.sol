// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { LiveRanges } from "../libraries/LiveRanges.sol";
import { Schedules } from "../libraries/Schedules.sol";
import { UserBalance } from "../libraries/UserBalance.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @notice The libraries of the escrow of data sets against loops over epochs and over the bits of a number.
contract DataSetFuzzTest is TestBase {
    using Schedules for IStorageEscrow.Level[];

    uint256 private constant EPOCHS = 40;

    // ---- Schedules

    /// @dev Ascending levels that begin in epochs 1 to about 30, with fees from a few bits each.
    function _levels(uint256 seed) private pure returns (IStorageEscrow.Level[] memory levels) {
        levels = new IStorageEscrow.Level[](1 + (seed % 6));
        uint256 from = 1;
        for (uint256 i; i < levels.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            levels[i].fromEpoch = uint32(from);
            levels[i].fee = uint80(seed % 1_000);
            levels[i].sliceCount = uint48(seed >> 16);
            levels[i].highestIndex = uint48(seed >> 64);
            levels[i].rangesHash = bytes32(seed);
            from += 1 + ((seed >> 128) % 6);
        }
    }

    /// @dev The fee of an epoch: that of the last level that has begun, none before the first.
    function _feeOf(IStorageEscrow.Level[] memory levels, uint256 epoch) private pure returns (uint256 fee) {
        for (uint256 i; i < levels.length; ++i) if (levels[i].fromEpoch <= epoch) fee = levels[i].fee;
    }

    function testFuzz_feesBetweenIsTheSumOverEpochs(uint256 seed, uint256 after_, uint256 through) public pure {
        IStorageEscrow.Level[] memory levels = _levels(seed);
        after_ = _bound(after_, 0, EPOCHS);
        through = _bound(through, 0, EPOCHS);
        uint256 sum;
        for (uint256 epoch = after_ + 1; epoch <= through; ++epoch) sum += _feeOf(levels, epoch);
        vm.assertEq(levels.feesBetween(after_, through), sum);
    }

    function testFuzz_levelAtIsTheLastThatHasBegun(uint256 seed, uint256 epoch) public pure {
        IStorageEscrow.Level[] memory levels = _levels(seed);
        epoch = _bound(epoch, 1, EPOCHS);
        uint256 found;
        for (uint256 i; i < levels.length; ++i) if (levels[i].fromEpoch <= epoch) found = i;
        (uint256 fee, bytes32 rangesHash) = levels.levelAt(epoch);
        vm.assertEq(fee, levels[found].fee);
        vm.assertEq(rangesHash, levels[found].rangesHash);
    }

    /// @dev With fees that only fall behind the next epoch, as in every schedule that the escrow makes.
    function testFuzz_paidAheadIsWhatTheLastFeeDoesNotCover(uint256 seed, uint256 epoch) public pure {
        IStorageEscrow.Level[] memory levels = _levels(seed);
        epoch = _bound(epoch, 0, EPOCHS);
        for (uint256 i = levels.length - 1; i > 0; --i) {
            if (levels[i - 1].fee < levels[i].fee) levels[i - 1].fee = levels[i].fee;
        }
        if (levels[0].fromEpoch > epoch + 1) levels[0].fromEpoch = uint32(epoch + 1);
        IStorageEscrow.Level memory last = levels[levels.length - 1];
        uint256 sum;
        for (uint256 e = epoch + 1; e < last.fromEpoch; ++e) sum += _feeOf(levels, e) - last.fee;
        vm.assertEq(levels.paidAhead(epoch), sum);
    }

    function testFuzz_highestFeeAndLast(uint256 seed) public pure {
        IStorageEscrow.Level[] memory levels = _levels(seed);
        uint256 highest = levels.highestFee();
        bool reached;
        for (uint256 i; i < levels.length; ++i) {
            vm.assertLe(levels[i].fee, highest);
            if (levels[i].fee == highest) reached = true;
        }
        vm.assertTrue(reached);
        vm.assertEq(levels.lastFee(), levels[levels.length - 1].fee);
    }

    /// @dev Unsettled epochs before the new level keep their level, those from it on have the new one, and no level is
    /// kept that counts in settled epochs only.
    function testFuzz_extendReplacesTheFuture(uint256 seed, uint256 settled, uint256 from) public pure {
        IStorageEscrow.Level[] memory levels = _levels(seed);
        settled = _bound(settled, 0, EPOCHS);
        from = _bound(from, settled + 2, EPOCHS + 2);
        IStorageEscrow.Level memory added;
        added.fromEpoch = uint32(from);
        added.fee = 5_000;
        IStorageEscrow.Level[] memory extended = levels.extend(settled, added);
        for (uint256 epoch = settled + 1; epoch <= EPOCHS + 5; ++epoch) {
            vm.assertEq(_feeOf(extended, epoch), epoch < from ? _feeOf(levels, epoch) : 5_000);
        }
        for (uint256 i = 1; i < extended.length; ++i) {
            vm.assertLt(extended[i - 1].fromEpoch, extended[i].fromEpoch);
            vm.assertGt(extended[i].fromEpoch, settled + 1);
        }
        vm.assertEq(abi.encode(extended[extended.length - 1]), abi.encode(added));
    }

    function testFuzz_encodingIsTheNumbersInOrder(
        uint256 seed,
        uint64 version,
        uint32 retirements,
        bytes32 contentHash
    ) public pure {
        IStorageEscrow.Level[] memory levels = _levels(seed);
        bytes memory packed = abi.encodePacked(version, retirements, contentHash);
        for (uint256 i; i < levels.length; ++i) packed = bytes.concat(packed, _packed(levels[i]));
        bytes memory encoded = levels.encode(version, retirements, contentHash);
        bytes memory behind = hex"beef";
        vm.assertEq(encoded, packed);
        vm.assertEq(behind, hex"beef");
    }

    function testFuzz_decodesWhatItEncodes(
        uint256 seed,
        uint64 version,
        uint32 retirements,
        bytes32 contentHash
    ) public view {
        IStorageEscrow.Level[] memory levels = _levels(seed);
        bytes memory encoded = levels.encode(version, retirements, contentHash);
        (uint256 version_, uint256 retirements_, bytes32 content, IStorageEscrow.Level[] memory decoded) = this.decode(
            encoded
        );
        vm.assertEq(version_, version);
        vm.assertEq(retirements_, retirements);
        vm.assertEq(content, contentHash);
        vm.assertEq(abi.encode(decoded), abi.encode(levels));
    }

    function _packed(IStorageEscrow.Level memory level) private pure returns (bytes memory) {
        return
            abi.encodePacked(
                uint32(level.fromEpoch),
                uint80(level.fee),
                uint48(level.sliceCount),
                uint48(level.highestIndex),
                level.rangesHash
            );
    }

    function testFuzz_whatIsSecuredHasFourSignificantBits(uint80 fee) public pure {
        uint256 secured = Schedules.securedFee(fee);
        vm.assertGe(secured, fee);
        vm.assertLe(secured - fee, uint256(fee) / 8);
        uint256 odd = secured;
        while (odd != 0 && odd % 2 == 0) odd /= 2;
        vm.assertLt(odd, 16);
        // None between.
        if (fee > 0) vm.assertLt(Schedules.securedFee(fee - 1), secured + 1);
        if (secured > 0) vm.assertEq(Schedules.securedFee(secured), secured);
    }

    function test_whatIsSecuredAroundPowersOfTwo() public pure {
        for (uint256 fee; fee < 17; ++fee) vm.assertEq(Schedules.securedFee(fee), fee);
        vm.assertEq(Schedules.securedFee(17), 18);
        for (uint256 k = 5; k <= 80; ++k) {
            vm.assertEq(Schedules.securedFee(2 ** k - 1), 2 ** k);
            vm.assertEq(Schedules.securedFee(2 ** k), 2 ** k);
            vm.assertEq(Schedules.securedFee(2 ** k + 1), 2 ** k + 2 ** (k - 3));
        }
    }

    function decode(
        bytes calldata schedule
    )
        external
        pure
        returns (uint256 version, uint256 retirements, bytes32 contentHash, IStorageEscrow.Level[] memory levels)
    {
        bytes memory before = hex"c0ffee";
        (version, retirements, contentHash, levels) = Schedules.decode(schedule);
        bytes memory behind = hex"beef";
        // Memory before and behind is what it was.
        require(keccak256(before) == keccak256(hex"c0ffee") && keccak256(behind) == keccak256(hex"beef"), "memory");
    }

    // ---- Live ranges

    function check(bytes calldata ranges) external pure returns (uint256 count, uint256 last) {
        return LiveRanges.check(ranges);
    }

    function checkFollows(bytes calldata ranges, bytes calldata before, uint256 highest) external pure {
        LiveRanges.checkFollows(ranges, before, highest);
    }

    /// @dev Ranges with firsts and counts from a few bits each, mostly in order; `sound` says whether the rules allow
    /// the list.
    function testFuzz_checkAcceptsExactlyTheSoundLists(uint256 seed, uint256 count) public view {
        count = _bound(count, 0, 8);
        bytes memory list;
        bool sound = true;
        uint256 total;
        uint256 end;
        uint256 at = seed % 16 == 0 ? 0 : 1;
        for (uint256 i; i < count; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 first = at + (seed % 4) + (i > 0 && seed % 16 != 3 ? 1 : 0);
            uint256 size = (seed >> 8) % 32 == 0 ? 0 : 1 + ((seed >> 16) % 5);
            list = bytes.concat(list, abi.encodePacked(uint48(first), uint48(size)));
            // Apart from the first, there is a gap before each; none is empty; 0 is no index.
            if (size == 0 || first == 0 || (i > 0 && first <= end + 1)) sound = false;
            total += size;
            end = first + size - (size > 0 ? 1 : 0);
            at = first + size;
        }
        (bool accepted, bytes memory answer) = address(this).staticcall(abi.encodeCall(this.check, (list)));
        vm.assertEq(accepted, sound);
        if (accepted) vm.assertEq(answer, abi.encode(total, count == 0 ? 0 : end));
    }

    function test_checkRefusesTheEdgesOfItsType() public {
        uint48 top = type(uint48).max;
        vm.expectPartialRevert(LiveRanges.RangeOutOfOrder.selector);
        this.check(abi.encodePacked(top, uint48(1)));
        vm.expectPartialRevert(LiveRanges.RangeOutOfOrder.selector);
        this.check(abi.encodePacked(uint48(1), top));
        (uint256 count, uint256 last) = this.check(abi.encodePacked(uint48(1), top - 1));
        vm.assertEq(count, top - 1);
        vm.assertEq(last, top - 1);
    }

    /// @dev `PdpVerifier` refuses every proof of more slices in several ranges, so a set could never be proven.
    function test_severalRangesHaveFewerSlicesThanAProofCanDrawFrom() public {
        uint48 most = uint48(1 << 31) - 1;
        (uint256 count, ) = this.check(abi.encodePacked(uint48(1), most - 1, uint48(1 << 40), uint48(1)));
        vm.assertEq(count, most);
        vm.expectRevert(abi.encodeWithSelector(LiveRanges.TooManySlices.selector, uint256(most) + 1));
        this.check(abi.encodePacked(uint48(1), most - 1, uint48(1 << 40), uint48(2)));
        // One range has more.
        (count, ) = this.check(abi.encodePacked(uint48(1), uint48(1 << 40)));
        vm.assertEq(count, 1 << 40);
    }

    function test_checkAllows32Ranges() public {
        bytes memory list;
        for (uint256 i; i < 32; ++i) list = bytes.concat(list, abi.encodePacked(uint48(1 + 2 * i), uint48(1)));
        (uint256 count, uint256 last) = this.check(list);
        vm.assertEq(count, 32);
        vm.assertEq(last, 63);
        list = bytes.concat(list, abi.encodePacked(uint48(65), uint48(1)));
        vm.expectRevert(abi.encodeWithSelector(LiveRanges.MalformedRanges.selector, uint256(33 * 12)));
        this.check(list);
        vm.expectRevert(abi.encodeWithSelector(LiveRanges.MalformedRanges.selector, uint256(13)));
        this.check(hex"00000000000100000000000101");
    }

    /// @dev Two sets of indices as the bits of numbers, 60 indices each. The list follows when what lies at or below
    /// the highest index was there before.
    function testFuzz_checkFollowsIsASubsetBelowTheMark(uint256 seed, uint256 highest) public view {
        uint256 before = _runs(seed);
        highest = _bound(highest, _highest(before), 64);
        uint256 next =
            (seed >> 8) % 3 == 0 ? _runs(~seed) : before & ~(((1 << ((seed >> 16) % 9)) - 1) << (seed >> 24) % 60);
        if ((seed >> 40) % 2 == 0) next |= ((1 << ((seed >> 48) % 9)) - 1) << (highest + 1);
        bool follows = next & ((1 << (highest + 1)) - 1) & ~before == 0;
        (bool accepted, ) = address(this).staticcall(
            abi.encodeCall(this.checkFollows, (_list(next), _list(before), highest))
        );
        vm.assertEq(accepted, follows);
    }

    function _runs(uint256 seed) private pure returns (uint256 bits) {
        uint256 at = 1;
        while (at < 60) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 size = 1 + (seed % 12);
            bits |= ((1 << size) - 1) << at;
            at += size + 1 + ((seed >> 8) % 9);
        }
        bits &= (1 << 61) - 1;
    }

    function _highest(uint256 bits) private pure returns (uint256 highest) {
        for (uint256 i; i < 256; ++i) if (bits & (1 << i) != 0) highest = i;
    }

    function _list(uint256 bits) private pure returns (bytes memory list) {
        uint256 first = 1;
        while (bits >> first != 0) {
            if (bits & (1 << first) == 0) {
                ++first;
                continue;
            }
            uint256 end = first;
            while (bits & (1 << end) != 0) ++end;
            list = bytes.concat(list, abi.encodePacked(uint48(first), uint48(end - first)));
            first = end;
        }
    }

    // ---- Balances

    /// @dev The same account, paid epoch by epoch.
    function testFuzz_accrueIsOnePaymentPerEpoch(
        uint112 available,
        uint80 rate,
        uint32 paidThrough,
        uint256 epochs
    ) public pure {
        paidThrough = uint32(_bound(paidThrough, 0, 1e9));
        epochs = _bound(epochs, 0, 60);
        // Mostly enough for some of the epochs.
        if (available % 4 != 0) available = uint112(_bound(available, 0, uint256(rate) * 50));
        IStorageEscrow.Account memory account = IStorageEscrow.Account(available, rate, paidThrough, 3);
        uint256 left = available;
        uint256 end;
        for (uint256 e = uint256(paidThrough) + 1; e <= paidThrough + epochs && end == 0; ++e) {
            if (left < rate) end = e;
            else left -= rate;
        }
        vm.assertEq(UserBalance.accrue(account, paidThrough + epochs), end, "end");
        vm.assertEq(account.available, left, "available");
        vm.assertEq(account.rate, end == 0 ? rate : 0, "rate");
        vm.assertEq(account.generation, end == 0 ? 3 : 4, "generation");
        vm.assertEq(account.paidThrough, paidThrough + epochs, "paid through");
        // A second time changes nothing, and neither does an earlier epoch.
        vm.assertEq(UserBalance.accrue(account, paidThrough + epochs), 0);
        vm.assertEq(UserBalance.accrue(account, paidThrough), 0);
        vm.assertEq(account.available, left);
        vm.assertEq(account.paidThrough, paidThrough + epochs);
    }

    /// @dev Stopping on the way changes nothing.
    function testFuzz_accrueInTwoStepsIsTheSame(
        uint112 available,
        uint80 rate,
        uint256 first,
        uint256 second
    ) public pure {
        first = _bound(first, 1, 1e6);
        second = _bound(second, first, 2e6);
        if (available % 4 != 0) available = uint112(_bound(available, 0, uint256(rate) * second));
        IStorageEscrow.Account memory once = IStorageEscrow.Account(available, rate, 0, 0);
        IStorageEscrow.Account memory twice = IStorageEscrow.Account(available, rate, 0, 0);
        uint256 end = UserBalance.accrue(once, second);
        uint256 ends = UserBalance.accrue(twice, first);
        ends += UserBalance.accrue(twice, second);
        vm.assertEq(ends, end);
        vm.assertEq(abi.encode(once), abi.encode(twice));
    }

    function testFuzz_runwayIsHowManyEpochsAreCovered(uint112 available, uint80 rate) public pure {
        IStorageEscrow.Account memory account = IStorageEscrow.Account(available, rate, 0, 0);
        uint256 runway = UserBalance.runway(account);
        if (rate == 0) {
            vm.assertEq(runway, type(uint256).max);
            return;
        }
        vm.assertLe(runway * rate, available);
        vm.assertGt((runway + 1) * rate, available);
    }
}
