// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { ReentrancyGuard } from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IRandomnessSource } from "./interfaces/IRandomnessSource.sol";
import { IStorageEscrow } from "./interfaces/IStorageEscrow.sol";
import { EpochSet } from "./libraries/EpochSet.sol";
import { PdpVerifier } from "./libraries/PdpVerifier.sol";
import { AgreementId } from "./types/AgreementId.sol";
import { EpochIndex } from "./types/EpochIndex.sol";

/// @title Escrow of storage agreements
/// @notice Holds the users' fees and the providers' collateral, in the native coin and in ERC-20 tokens, until an audit epoch
/// decides whose they are, and then until their owner withdraws them. Nobody owns the contract, and nothing in it can be
/// changed or paused.
///
/// Only the functions that move tokens or coins call strangers' code that could call back; they share one re-entrancy guard.
/// The others only book credits, and call nothing but views.
///
/// Who may call: anybody proposes and withdraws for itself; the user cancels; the named provider accepts; proofs, reports of
/// misses, closing, and cancelling what was not accepted in time are open to all.
///
/// INV-1 Per token, the contract holds the sum of all withdrawable balances, of the unsettled fees of all agreements that are
///       proposed or running, and of the collateral left in those that are running. (More only if somebody sends a gift.)
/// INV-2 The fee of an epoch leaves the deposit once: to the provider if proven, else to the user.
/// INV-3 An epoch is never both proven and missed, and the counters count exactly the epochs that are.
/// INV-4 A provider loses at most `breachLimit * (compensationPerMiss + bountyPerMiss)`, which its collateral covers.
/// INV-5 Every agreement can be wound up by anyone, by waiting, whatever the other parties, the randomness source, the proof
///       verifier and the token do; after that it holds nothing.
/// INV-6 Terms never change. An agreement that is closed or cancelled never changes.
///
/// Tokens that take a fee, or otherwise move another amount than asked, are refused when they come in. Tokens that change
/// balances by themselves break INV-1 for that token alone: balances of different tokens never mix.
contract StorageEscrow is IStorageEscrow, ReentrancyGuard {
    using SafeERC20 for IERC20;
    using EpochSet for EpochSet.Set;

    /// @dev Eight slots, arranged so that a proof reads six and a report six.
    struct Record {
        address provider;
        uint32 epochBlocks;
        uint32 windowBlocks;
        uint32 epochs;
        address token;
        uint64 firstIndex;
        uint16 sampleCount;
        uint16 breachLimit;
        address randomness;
        uint48 startBlock;
        uint32 epochsProven;
        AgreementStatus status;
        address user;
        uint64 sliceCount;
        uint32 epochsMissed;
        uint128 feePerEpoch;
        uint128 compensationPerMiss;
        uint128 bountyPerMiss;
        uint128 collateral;
        bytes32 auditKeyHash;
        bytes32 manifestHash;
    }

    /// @notice The token address that stands for the native coin.
    address public constant NATIVE = address(0);
    /// @notice Agreements end within this many blocks of their proposal: about 150 years of 12 seconds, 25 of 2 seconds.
    uint256 public constant MAX_AGREEMENT_BLOCKS = 400_000_000;
    /// @notice Most slices of one challenge: a proof of more would not fit a transaction's gas limit comfortably.
    uint16 public constant MAX_SAMPLES = 2048;

    uint256 private _agreementCount;
    mapping(AgreementId id => Record) private _records;
    mapping(AgreementId id => EpochSet.Set) private _outcomes;
    mapping(address token => mapping(address account => uint256)) private _balances;

    /// @inheritdoc IStorageEscrow
    function propose(Terms calldata terms) external payable nonReentrant returns (AgreementId id) {
        _checkTerms(terms);
        id = AgreementId.wrap(++_agreementCount);
        _records[id] = Record({
            provider: terms.provider,
            epochBlocks: terms.epochBlocks,
            windowBlocks: terms.windowBlocks,
            epochs: terms.epochs,
            token: terms.token,
            firstIndex: terms.firstIndex,
            sampleCount: terms.sampleCount,
            breachLimit: terms.breachLimit,
            randomness: terms.randomness,
            // Fits: `_checkTerms` bounds it by the current block number plus a constant.
            startBlock: uint48(terms.startBlock),
            epochsProven: 0,
            status: AgreementStatus.Proposed,
            user: msg.sender,
            sliceCount: terms.sliceCount,
            epochsMissed: 0,
            feePerEpoch: terms.feePerEpoch,
            compensationPerMiss: terms.compensationPerMiss,
            bountyPerMiss: terms.bountyPerMiss,
            collateral: terms.collateral,
            auditKeyHash: terms.auditKeyHash,
            manifestHash: terms.manifestHash
        });
        emit AgreementProposed(id, msg.sender, terms.provider, terms);
        _pull(terms.token, uint256(terms.feePerEpoch) * terms.epochs);
    }

    /// @inheritdoc IStorageEscrow
    function cancel(AgreementId id) external {
        Record storage record = _records[id];
        _requireStatus(id, record, AgreementStatus.Proposed);
        address user = record.user;
        require(msg.sender == user || block.number >= record.startBlock, NotUser(msg.sender, user));

        record.status = AgreementStatus.Cancelled;
        address token = record.token;
        uint256 refund = uint256(record.feePerEpoch) * record.epochs;
        _balances[token][user] += refund;
        emit AgreementCancelled(id, user, token, refund);
    }

    /// @inheritdoc IStorageEscrow
    function accept(AgreementId id, bytes32 termsHash) external payable nonReentrant {
        Record storage record = _records[id];
        _requireStatus(id, record, AgreementStatus.Proposed);
        require(msg.sender == record.provider, NotProvider(msg.sender, record.provider));
        require(block.number < record.startBlock, AcceptedTooLate(record.startBlock, block.number));
        bytes32 actualHash = _termsHash(record);
        require(termsHash == actualHash, TermsMismatch(id, actualHash, termsHash));

        record.status = AgreementStatus.Active;
        emit AgreementAccepted(id, record.user, msg.sender, termsHash);
        _pull(record.token, record.collateral);
    }

    /// @inheritdoc IStorageEscrow
    function prove(
        AgreementId id,
        EpochIndex epoch,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) external {
        Record storage record = _records[id];
        _requireUnsettled(id, epoch, record);
        (uint256 openBlock, uint256 deadlineBlock) = _window(record, epoch);
        require(
            block.number > openBlock && block.number <= deadlineBlock,
            OutsideWindow(block.number, openBlock, deadlineBlock)
        );
        bytes32 keyHash = PdpVerifier.hashKey(key);
        require(keyHash == record.auditKeyHash, WrongAuditKey(record.auditKeyHash, keyHash));
        PdpVerifier.Challenge memory challenge = PdpVerifier.Challenge({
            seed: _seed(id, epoch, record, openBlock),
            firstIndex: record.firstIndex,
            sliceCount: record.sliceCount,
            sampleCount: record.sampleCount
        });
        require(_verifyProof(challenge, key, proof), ProofRejected(id, epoch));

        _outcomes[id].settle(epoch, EpochSet.Outcome.Proven);
        ++record.epochsProven;
        address provider = record.provider;
        uint256 fee = record.feePerEpoch;
        _balances[record.token][provider] += fee;
        emit EpochProven(id, epoch, provider, fee);
    }

    /// @inheritdoc IStorageEscrow
    function reportMiss(AgreementId id, EpochIndex epoch) external {
        Record storage record = _records[id];
        _requireUnsettled(id, epoch, record);
        (, uint256 deadlineBlock) = _window(record, epoch);
        require(block.number > deadlineBlock, WindowStillOpen(block.number, deadlineBlock));

        _outcomes[id].settle(epoch, EpochSet.Outcome.Missed);
        uint32 missed = ++record.epochsMissed;
        (uint256 fee, uint256 compensation, uint256 bounty) = (
            record.feePerEpoch,
            record.compensationPerMiss,
            record.bountyPerMiss
        );
        address user = record.user;
        mapping(address account => uint256) storage balances = _balances[record.token];
        balances[user] += fee + compensation;
        balances[msg.sender] += bounty;
        emit EpochMissed(id, epoch, msg.sender, fee, compensation, bounty);

        if (missed == record.breachLimit) {
            record.status = AgreementStatus.Breached;
            emit AgreementBreached(id, user, record.provider);
        }
    }

    /// @inheritdoc IStorageEscrow
    function close(AgreementId id) external {
        Record storage record = _records[id];
        bool breached = record.status == AgreementStatus.Breached;
        uint32 epochs = record.epochs;
        if (!breached) {
            _requireStatus(id, record, AgreementStatus.Active);
            (, uint256 lastBlock) = _window(record, EpochIndex.wrap(epochs - 1));
            require(block.number > lastBlock, WindowStillOpen(block.number, lastBlock));
        }
        record.status = AgreementStatus.Closed;

        (uint32 proven, uint32 missed) = (record.epochsProven, record.epochsMissed);
        uint32 lapsed = epochs - proven - missed;
        (uint256 userCredit, uint256 providerCredit) = _finalCredits(record, missed, lapsed);

        (address user, address provider) = (record.user, record.provider);
        mapping(address account => uint256) storage balances = _balances[record.token];
        balances[user] += userCredit;
        balances[provider] += providerCredit;
        emit AgreementEnded(id, user, provider, breached, proven, missed, lapsed, userCredit, providerCredit);
    }

    /// @inheritdoc IStorageEscrow
    function withdraw(address token, address to) external nonReentrant returns (uint256 amount) {
        require(to != address(0) && to != address(this), InvalidRecipient(to));
        amount = _balances[token][msg.sender];
        require(amount > 0, NothingToWithdraw(token, msg.sender));

        _balances[token][msg.sender] = 0;
        emit Withdrawn(token, msg.sender, to, amount);
        if (token == NATIVE) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    /// @inheritdoc IStorageEscrow
    function balanceOf(address token, address account) external view returns (uint256) {
        return _balances[token][account];
    }

    /// @inheritdoc IStorageEscrow
    function agreementOf(AgreementId id) external view returns (Agreement memory) {
        Record storage record = _records[id];
        return
            Agreement({
                user: record.user,
                status: record.status,
                epochsProven: record.epochsProven,
                epochsMissed: record.epochsMissed,
                terms: _terms(record)
            });
    }

    /// @inheritdoc IStorageEscrow
    function termsHashOf(AgreementId id) external view returns (bytes32) {
        return _termsHash(_existing(id));
    }

    /// @inheritdoc IStorageEscrow
    function agreementCount() external view returns (uint256) {
        return _agreementCount;
    }

    /// @inheritdoc IStorageEscrow
    function epochStatus(AgreementId id, EpochIndex epoch) external view returns (EpochStatus) {
        Record storage record = _existing(id);
        _requireEpoch(id, epoch, record.epochs);
        EpochSet.Outcome outcome = _outcomes[id].outcomeOf(epoch);
        if (outcome == EpochSet.Outcome.Proven) return EpochStatus.Proven;
        if (outcome == EpochSet.Outcome.Missed) return EpochStatus.Missed;
        AgreementStatus status = record.status;
        if (status == AgreementStatus.Proposed) return EpochStatus.Upcoming;
        if (status != AgreementStatus.Active) return EpochStatus.Lapsed;
        (uint256 openBlock, uint256 deadlineBlock) = _window(record, epoch);
        if (block.number <= openBlock) return EpochStatus.Upcoming;
        return block.number <= deadlineBlock ? EpochStatus.Open : EpochStatus.Overdue;
    }

    /// @inheritdoc IStorageEscrow
    function challengeOf(
        AgreementId id,
        EpochIndex epoch
    )
        external
        view
        returns (
            bytes32 seed,
            uint16 sampleCount,
            uint64 firstIndex,
            uint64 sliceCount,
            uint64 openBlock,
            uint64 deadlineBlock
        )
    {
        Record storage record = _existing(id);
        _requireEpoch(id, epoch, record.epochs);
        (uint256 afterBlock, uint256 lastBlock) = _window(record, epoch);
        seed = _seed(id, epoch, record, afterBlock);
        (sampleCount, firstIndex, sliceCount) = (record.sampleCount, record.firstIndex, record.sliceCount);
        (openBlock, deadlineBlock) = (uint64(afterBlock), uint64(lastBlock));
    }

    /// @dev The one door for proofs. Virtual so that tests of the economics can do without elliptic curves.
    function _verifyProof(
        PdpVerifier.Challenge memory challenge,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) internal view virtual returns (bool) {
        return PdpVerifier.verify(challenge, key, proof);
    }

    /// @dev Takes exactly `amount` from the caller, in the native coin or by an allowance.
    function _pull(address token, uint256 amount) private {
        if (token == NATIVE) {
            require(msg.value == amount, WrongValue(amount, msg.value));
            return;
        }
        require(msg.value == 0, WrongValue(0, msg.value));
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        require(received == amount, TransferMismatch(token, amount, received));
    }

    function _checkTerms(Terms calldata terms) private view {
        require(terms.provider != address(0), ZeroProvider());
        require(terms.token == NATIVE || terms.token.code.length > 0, NotAContract(terms.token));
        require(terms.feePerEpoch > 0, ZeroFee());
        require(terms.epochs > 0, ZeroEpochs());
        require(terms.sampleCount > 0, ZeroSamples());
        require(terms.sampleCount <= MAX_SAMPLES, TooManySamples(terms.sampleCount, MAX_SAMPLES));
        require(terms.breachLimit > 0, ZeroBreachLimit());
        require(terms.auditKeyHash != bytes32(0) && terms.manifestHash != bytes32(0), ZeroHash());
        require(terms.startBlock > block.number, StartNotInFuture(terms.startBlock, block.number));
        require(
            terms.windowBlocks > 0 && terms.windowBlocks <= terms.epochBlocks,
            InvalidWindow(terms.windowBlocks, terms.epochBlocks)
        );
        uint256 endBlock = terms.startBlock + uint256(terms.epochs - 1) * terms.epochBlocks + terms.windowBlocks;
        uint256 latestAllowed = block.number + MAX_AGREEMENT_BLOCKS;
        require(endBlock <= latestAllowed, EndTooFar(endBlock, latestAllowed));
        require(
            terms.firstIndex > 0 && terms.sliceCount > 0 && terms.sliceCount <= type(uint64).max - terms.firstIndex,
            InvalidSliceRange(terms.firstIndex, terms.sliceCount)
        );
        uint256 minimum = terms.breachLimit * (uint256(terms.compensationPerMiss) + terms.bountyPerMiss);
        require(terms.collateral >= minimum, CollateralTooLow(terms.collateral, minimum));

        require(terms.randomness.code.length > 0, NotAContract(terms.randomness));
        uint64 horizonBlocks = IRandomnessSource(terms.randomness).horizonBlocks();
        require(terms.windowBlocks <= horizonBlocks, WindowBeyondHorizon(terms.windowBlocks, horizonBlocks));
    }

    function _requireStatus(AgreementId id, Record storage record, AgreementStatus expected) private view {
        require(record.status == expected, WrongStatus(id, record.status));
    }

    function _existing(AgreementId id) private view returns (Record storage record) {
        record = _records[id];
        require(record.status != AgreementStatus.None, WrongStatus(id, AgreementStatus.None));
    }

    function _requireEpoch(AgreementId id, EpochIndex epoch, uint32 epochs) private pure {
        require(EpochIndex.unwrap(epoch) < epochs, NoSuchEpoch(id, epoch, epochs));
    }

    function _requireUnsettled(AgreementId id, EpochIndex epoch, Record storage record) private view {
        _requireStatus(id, record, AgreementStatus.Active);
        _requireEpoch(id, epoch, record.epochs);
        EpochSet.Outcome outcome = _outcomes[id].outcomeOf(epoch);
        if (outcome == EpochSet.Outcome.Proven) revert EpochSettled(id, epoch, EpochStatus.Proven);
        if (outcome == EpochSet.Outcome.Missed) revert EpochSettled(id, epoch, EpochStatus.Missed);
    }

    /// @return openBlock The challenge block.
    /// @return deadlineBlock The last block in which a proof counts.
    function _window(
        Record storage record,
        EpochIndex epoch
    ) private view returns (uint256 openBlock, uint256 deadlineBlock) {
        openBlock = record.startBlock + uint256(EpochIndex.unwrap(epoch)) * record.epochBlocks;
        deadlineBlock = openBlock + record.windowBlocks;
    }

    /// @dev What is left of fees and collateral when an agreement is wound up.
    function _finalCredits(
        Record storage record,
        uint256 missed,
        uint256 lapsed
    ) private view returns (uint256 userCredit, uint256 providerCredit) {
        (uint256 compensation, uint256 bounty) = (record.compensationPerMiss, record.bountyPerMiss);
        // Had somebody reported the lapsed epochs, the agreement would have ended at the breach limit.
        uint256 compensated = Math.min(lapsed, record.breachLimit - missed);
        userCredit = lapsed * record.feePerEpoch + compensated * compensation;
        providerCredit = record.collateral - missed * (compensation + bounty) - compensated * compensation;
    }

    function _seed(
        AgreementId id,
        EpochIndex epoch,
        Record storage record,
        uint256 openBlock
    ) private view returns (bytes32) {
        bytes32 randomness = IRandomnessSource(record.randomness).randomnessAt(uint64(openBlock));
        return keccak256(abi.encode(block.chainid, address(this), id, epoch, randomness));
    }

    function _termsHash(Record storage record) private view returns (bytes32) {
        return keccak256(abi.encode(record.user, _terms(record)));
    }

    function _terms(Record storage record) private view returns (Terms memory) {
        return
            Terms({
                provider: record.provider,
                token: record.token,
                feePerEpoch: record.feePerEpoch,
                compensationPerMiss: record.compensationPerMiss,
                bountyPerMiss: record.bountyPerMiss,
                collateral: record.collateral,
                startBlock: record.startBlock,
                epochBlocks: record.epochBlocks,
                windowBlocks: record.windowBlocks,
                epochs: record.epochs,
                sampleCount: record.sampleCount,
                breachLimit: record.breachLimit,
                firstIndex: record.firstIndex,
                sliceCount: record.sliceCount,
                auditKeyHash: record.auditKeyHash,
                manifestHash: record.manifestHash,
                randomness: record.randomness
            });
    }
}
