// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EscrowTestBase } from "./EscrowTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @notice Properties over arbitrary terms and arbitrary histories of one agreement.
contract StorageEscrowFuzzTest is EscrowTestBase {
    /// @dev What is proposed is what is kept, bit for bit, however the record is packed.
    function testFuzz_termsSurviveStorage(IStorageEscrow.Terms memory terms) public {
        terms = _sound(terms);
        AgreementId id = _propose(terms);
        vm.assertEq(abi.encode(_escrow.agreementOf(id).terms), abi.encode(terms));
        vm.assertEq(_escrow.termsHashOf(id), keccak256(abi.encode(_user, terms)));
        _accept(id);
        IStorageEscrow.Agreement memory agreement = _escrow.agreementOf(id);
        vm.assertEq(abi.encode(agreement.terms), abi.encode(terms));
        vm.assertEq(agreement.user, _user);
        vm.assertEq(agreement.epochsProven, 0);
        vm.assertEq(agreement.epochsMissed, 0);
    }

    /// @dev Arbitrary terms are refused, or make an agreement that ends within the allowed time.
    function testFuzz_arbitraryTermsAreRefusedOrEnd(IStorageEscrow.Terms memory terms) public {
        uint256 value = _deposit(terms);
        vm.deal(_user, value);
        vm.prank(_user);
        try _escrow.propose{ value: value }(terms) returns (AgreementId id) {
            vm.roll(block.number + _escrow.MAX_AGREEMENT_BLOCKS() + 1);
            _escrow.cancel(id);
            vm.assertEq(_escrow.balanceOf(NATIVE, _user), value);
        } catch {
            vm.assertEq(_escrow.agreementCount(), 0);
            vm.assertEq(address(_escrow).balance, 0);
        }
    }

    /// @dev Two bits of `plan` say what happens to each epoch: proven, reported at once, reported late, or nothing.
    /// Whatever the history, every account gets what a model with one number per epoch computes, and nothing is left.
    function testFuzz_anyHistoryPaysOut(uint256 plan, IStorageEscrow.Terms memory terms) public {
        terms = _sound(terms);
        terms.epochs = uint32(1 + (terms.epochs % 24));
        terms.breachLimit = uint16(1 + (terms.breachLimit % 8));
        terms.collateral = _collateralFor(terms) + (terms.collateral % 1000);
        vm.deal(_user, _deposit(terms));
        AgreementId id = _propose(terms);
        _accept(id);

        uint256 proven;
        uint256 missed;
        for (uint256 epoch; epoch < terms.epochs && missed < terms.breachLimit; ++epoch) {
            uint256 step = (plan >> (2 * epoch)) & 3;
            if (step == 0) {
                _prove(id, epoch);
                ++proven;
            } else if (step == 1) {
                _report(id, epoch);
                ++missed;
            } else if (step == 2 && epoch > 0) {
                (proven, missed) = _settleEarlier(id, epoch - 1, proven, missed);
            }
        }
        bool breached = missed == terms.breachLimit;
        if (!breached) _rollPastWindow(id, terms.epochs - 1);
        _escrow.close(id);

        uint256 lapsed = terms.epochs - proven - missed;
        uint256 compensated = missed + lapsed < terms.breachLimit ? missed + lapsed : terms.breachLimit;
        uint256 userCredit =
            (missed + lapsed) * uint256(terms.feePerEpoch) + compensated * uint256(terms.compensationPerMiss);
        uint256 bounties = missed * uint256(terms.bountyPerMiss);
        uint256 providerCredit =
            proven * uint256(terms.feePerEpoch) +
                terms.collateral -
                compensated * uint256(terms.compensationPerMiss) -
                bounties;
        _assertCredits(NATIVE, userCredit, providerCredit, bounties);
        vm.assertEq(address(_escrow).balance, userCredit + providerCredit + bounties);
    }

    /// @dev A proof for one seed is good in exactly the blocks of its window.
    function testFuzz_aProofCountsExactlyInItsWindow(uint256 epoch, uint256 blockNumber) public {
        AgreementId id = _activate(NATIVE);
        epoch = _bound(epoch, 0, 9);
        uint256 openBlock = _openBlock(id, epoch);
        blockNumber = _bound(blockNumber, openBlock - 30, openBlock + 50);
        vm.roll(openBlock + 1);
        PdpVerifier.Proof memory proof = _proof(id, epoch);
        vm.roll(blockNumber);
        bool inWindow = blockNumber > openBlock && blockNumber <= openBlock + 20;
        bool afterWindow = blockNumber > openBlock + 20;
        uint256 snapshot = vm.snapshotState();
        (bool proved, ) = address(_escrow).call(abi.encodeCall(_escrow.prove, (id, _epoch(epoch), _key(), proof)));
        vm.assertEq(proved, inWindow);
        vm.revertToState(snapshot);
        (bool reported, ) = address(_escrow).call(abi.encodeCall(_escrow.reportMiss, (id, _epoch(epoch))));
        vm.assertEq(reported, afterWindow);
    }

    /// @dev Reports the last epoch that was left alone, if its window has passed and it is unsettled.
    function _settleEarlier(
        AgreementId id,
        uint256 epoch,
        uint256 proven,
        uint256 missed
    ) private returns (uint256, uint256) {
        _rollPastWindow(id, epoch);
        if (_escrow.epochStatus(id, _epoch(epoch)) != IStorageEscrow.EpochStatus.Overdue) return (proven, missed);
        vm.prank(_watcher);
        _escrow.reportMiss(id, _epoch(epoch));
        return (proven, missed + 1);
    }

    function _collateralFor(IStorageEscrow.Terms memory terms) private pure returns (uint128) {
        return uint128(uint256(terms.breachLimit) * (uint256(terms.compensationPerMiss) + terms.bountyPerMiss));
    }

    /// @dev The nearest terms that the escrow accepts, in the native coin, between this test's parties.
    function _sound(IStorageEscrow.Terms memory terms) private returns (IStorageEscrow.Terms memory) {
        terms.provider = _provider;
        terms.token = NATIVE;
        terms.feePerEpoch = uint128(_bound(terms.feePerEpoch, 1, type(uint128).max));
        terms.compensationPerMiss = uint128(_bound(terms.compensationPerMiss, 0, 1e30));
        terms.bountyPerMiss = uint128(_bound(terms.bountyPerMiss, 0, 1e30));
        terms.breachLimit = uint16(_bound(terms.breachLimit, 1, type(uint16).max));
        terms.collateral = uint128(_bound(terms.collateral, _collateralFor(terms), type(uint128).max));
        terms.epochBlocks = uint32(_bound(terms.epochBlocks, 1, 10_000));
        terms.windowBlocks = uint32(_bound(terms.windowBlocks, 1, terms.epochBlocks < 8191 ? terms.epochBlocks : 8191));
        terms.epochs = uint32(_bound(terms.epochs, 1, 30_000));
        terms.startBlock = uint64(_bound(terms.startBlock, block.number + 1, block.number + 90_000_000));
        terms.sampleCount = uint16(_bound(terms.sampleCount, 1, _escrow.MAX_SAMPLES()));
        terms.firstIndex = uint64(_bound(terms.firstIndex, 1, (1 << 48) - 1));
        terms.sliceCount = uint64(_bound(terms.sliceCount, 1, (1 << 48) - terms.firstIndex));
        terms.auditKeyHash = keccak256(bytes.concat(_key().X, _key().XA, _key().XB));
        if (terms.manifestHash == 0) terms.manifestHash = keccak256("manifest");
        terms.randomness = address(_randomness);
        vm.deal(_user, _deposit(terms));
        vm.deal(_provider, type(uint128).max);
        return terms;
    }
}
