// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { IAccountDirectory } from "./interfaces/IAccountDirectory.sol";
import { IStorageEscrow } from "./interfaces/IStorageEscrow.sol";
import { IRandomnessSource } from "./interfaces/IRandomnessSource.sol";
import { AccountSignature } from "./libraries/AccountSignature.sol";
import { DataSetSignature } from "./libraries/DataSetSignature.sol";
import { LiveRanges } from "./libraries/LiveRanges.sol";
import { Schedules } from "./libraries/Schedules.sol";

/// @title Rules of data sets that are rarely asked for
/// @notice Which terms may be agreed on, what the parties sign, what a delegate of the user may sign, and when somebody
/// signed two states under one version. A contract of its own only for the limit on the size of a contract: the escrow
/// creates one. It has no state and no money.
contract DataSetRules {
    using LiveRanges for bytes;
    using Schedules for IStorageEscrow.Level[];

    /// @notice Most draws of a challenge.
    uint256 public constant MAX_SAMPLES = 4096;
    /// @notice Says who are the delegates of a user.
    IAccountDirectory public immutable DIRECTORY;

    /// @dev The selector of `update`, and the address of the user, which is the first word behind it.
    uint256 private constant SELECTOR_BYTES = 4;
    uint256 private constant USER_END = 36;

    constructor(IAccountDirectory directory) {
        if (address(directory).code.length == 0) _refuse("directory");
        DIRECTORY = directory;
    }

    /// @notice Reverts unless a state is signed for the user: by its key, by a delegate that may sign it, or as its
    /// contract wallet says. A delegate signs an update that keeps every slice that is scheduled, and costs no more
    /// than its limit for this data set.
    /// @dev Keys come first: whoever sends what a delegate has signed pays for no code of the user.
    /// @param id Id of the data set.
    /// @param digest What is signed.
    /// @param signature The signature.
    /// @param call Call data of the escrow, which checks all other things about it. Begins with the terms.
    function checkUser(bytes32 id, bytes32 digest, bytes calldata signature, bytes calldata call) external view {
        address user = address(uint160(uint256(bytes32(call[SELECTOR_BYTES:USER_END]))));
        // Terms bind all of the balance, so no delegate agrees on any.
        if (bytes4(call) == IStorageEscrow.update.selector) {
            (address key, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(digest, signature);
            uint256 limit = failure == ECDSA.RecoverError.NoError ? DIRECTORY.feeLimitOf(key, user, id) : 0;
            if (limit > 0) return _checkDelegate(key, limit, call);
        }
        if (!AccountSignature.isValid(user, digest, signature)) revert IStorageEscrow.SignatureInvalid(user, digest);
    }

    function _checkDelegate(address key, uint256 limit, bytes calldata call) private view {
        (
            IStorageEscrow.Terms memory terms,
            bytes memory schedule,
            bytes memory ranges,
            IStorageEscrow.Update memory next
        ) = abi.decode(call[SELECTOR_BYTES:], (IStorageEscrow.Terms, bytes, bytes, IStorageEscrow.Update));
        uint256 fee = this.feeOfAddition(terms, schedule, ranges, next.ranges);
        if (fee > limit) revert IStorageEscrow.FeeAboveLimit(key, fee, limit);
    }

    /// @notice Fee of a state that adds to the scheduled one. Reverts with `SliceDropped` when it does not keep it.
    /// @param schedule The schedule.
    /// @param ranges The ranges of its last level.
    /// @param added The ranges of the state.
    function feeOfAddition(
        IStorageEscrow.Terms calldata terms,
        bytes calldata schedule,
        bytes calldata ranges,
        bytes calldata added
    ) external pure returns (uint256 fee) {
        (uint256 sliceCount, uint256 highest) = added.check();
        added.checkContains(ranges);
        (, , , IStorageEscrow.Level[] memory levels) = Schedules.decode(schedule);
        (uint256 highestBefore, ) = levels.lastRanges();
        if (highest < highestBefore) highest = highestBefore;
        fee = uint256(terms.feePerSlice) * sliceCount + uint256(terms.feePerIndex) * highest;
        if (fee < terms.feeFloor) fee = terms.feeFloor;
    }

    /// @notice Reverts unless an account signed two different states under one version and one number of retirements.
    /// @param domain EIP-712 domain separator of the escrow.
    /// @param retirementsNow Number of retirements in the schedule: what is signed under a number to come is none yet.
    /// @param evidence abi.encode(uint256 retirements, Update, Update).
    /// @return version The version.
    function checkDoubleSigning(
        bytes32 domain,
        bytes32 id,
        uint256 retirementsNow,
        address signer,
        bool byUser,
        bytes calldata evidence
    ) external view returns (uint256 version) {
        (uint256 retirements, IStorageEscrow.Update memory one, IStorageEscrow.Update memory other) = abi.decode(
            evidence,
            (uint256, IStorageEscrow.Update, IStorageEscrow.Update)
        );
        if (retirements > retirementsNow) revert IStorageEscrow.RetirementsToCome(retirementsNow, retirements);
        version = one.version;
        if (other.version != version) revert IStorageEscrow.StaleVersion(version, other.version);
        if (keccak256(one.ranges) == keccak256(other.ranges) && one.contentHash == other.contentHash) {
            revert IStorageEscrow.SameState(id, version);
        }
        this.checkSignature(domain, id, retirements, signer, one, byUser ? one.userSignature : one.providerSignature);
        this.checkSignature(
            domain,
            id,
            retirements,
            signer,
            other,
            byUser ? other.userSignature : other.providerSignature
        );
    }

    /// @notice Reverts unless an account signed a state.
    function checkSignature(
        bytes32 domain,
        bytes32 id,
        uint256 retirements,
        address signer,
        IStorageEscrow.Update calldata next,
        bytes calldata signature
    ) external view {
        bytes32 digest = MessageHashUtils.toTypedDataHash(
            domain,
            DataSetSignature.structHash(
                id,
                next.version,
                retirements,
                keccak256(next.ranges),
                next.contentHash,
                next.deadlineBlock
            )
        );
        if (!AccountSignature.isValid(signer, digest, signature)) {
            revert IStorageEscrow.SignatureInvalid(signer, digest);
        }
    }

    /// @notice Reverts with `InvalidTerms` unless two parties may agree on these terms.
    /// @param epochBlocks Blocks of an epoch.
    function checkTerms(
        IStorageEscrow.Terms calldata terms,
        IStorageEscrow.AuditTerms calldata audit,
        uint256 epochBlocks
    ) external view {
        if (terms.user == address(0)) _refuse("user");
        if (terms.provider == address(0) || terms.provider == terms.user) _refuse("provider");
        if (terms.token != address(0) && terms.token.code.length == 0) _refuse("token");
        if (terms.breachLimit == 0) _refuse("breachLimit");
        if (terms.latePercent > 100) _refuse("latePercent");
        // What a miss costs beside the bounty, which the provider can pay to itself, must hurt.
        if (terms.compensationPercent == 0) _refuse("compensationPercent");
        // Also in a token of few decimals: no fee is below the floor.
        if (uint256(terms.feeFloor) * terms.compensationPercent < 100) _refuse("feeFloor");
        uint256 perMiss = uint256(terms.compensationPercent) + terms.bountyPercent;
        if (terms.collateralPercent < terms.breachLimit * perMiss) _refuse("collateralPercent");

        if (audit.verifier.code.length == 0) _refuse("verifier");
        if (audit.sampleCount == 0 || audit.sampleCount > MAX_SAMPLES) _refuse("sampleCount");
        if (audit.windowBlocks == 0) _refuse("windowBlocks");
        uint256 windows = uint256(audit.windowBlocks) + audit.graceBlocks;
        if (audit.phase + windows >= epochBlocks) _refuse("phase");
        if (audit.randomness.code.length == 0) _refuse("randomness");
        IRandomnessSource source = IRandomnessSource(audit.randomness);
        if (windows > source.horizonBlocks()) _refuse("graceBlocks");
        uint256 grid = source.gridBlocks();
        if (grid == 0 || epochBlocks % grid != 0) _refuse("randomness");
        if (audit.phase % grid != 0) _refuse("phase");
        // A dispute in the last `grid + 1` blocks of an epoch is too late: they must not be most of it.
        if (terms.mode == IStorageEscrow.Mode.OnDemand && 2 * grid > epochBlocks) _refuse("randomness");
    }

    function _refuse(string memory field) private pure {
        revert IStorageEscrow.InvalidTerms(field);
    }
}
