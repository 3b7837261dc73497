// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { ReentrancyGuard } from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import { IStorageEscrow } from "./interfaces/IStorageEscrow.sol";
import { AgreementState } from "./libraries/AgreementState.sol";
import { AgreementTerms } from "./libraries/AgreementTerms.sol";
import { PdpVerifier } from "./libraries/PdpVerifier.sol";
import { AgreementId } from "./types/AgreementId.sol";
import { AgreementRecord } from "./types/AgreementRecord.sol";
import { EpochIndex } from "./types/EpochIndex.sol";

/// @title Escrow of storage agreements
/// @notice Holds the users' fees and the providers' collateral, in the native coin and in ERC-20 tokens, until an audit
/// epoch decides who gets them, and then until that party withdraws them. The contract has no owner, cannot be
/// changed and cannot be paused.
///
/// This contract authenticates callers, keeps balances, moves money and emits events. The life of an agreement is the
/// state machine of `AgreementState`.
///
/// Only the functions that move tokens or coins call untrusted code that could re-enter; they share one re-entrancy
/// guard. The other functions only credit balances and call only views.
///
/// Who may call: any account proposes and withdraws for itself; the user cancels; the named provider accepts. Any
/// account may send proofs, report misses, close, and cancel a proposal that was not accepted in time.
///
/// INV-1  Per token, the contract holds the sum of all withdrawable balances, of the unsettled fees of all agreements
///        that are proposed or running, and of the collateral left in those that are running. It holds more only if it
///        was sent money unasked.
/// INV-2  The fee of an epoch leaves the deposit once: to the provider if the epoch was proven, else to the user.
/// INV-3  An epoch is never both proven and missed, and the counters equal the numbers of such epochs.
/// INV-4  A provider loses at most `breachLimit * (compensationPerMiss + bountyPerMiss)`, which its collateral covers.
/// INV-5  Any account can close every agreement after its last window, whatever the other parties, the randomness
///        source, the proof verifier and the token do. A closed agreement holds no money.
/// INV-6  Terms never change. An agreement that is closed or cancelled never changes.
///
/// A deposit in a token that takes a fee, or otherwise moves another amount than requested, is refused. A token that
/// changes balances on its own breaks INV-1 for that token only, because balances of different tokens are separate.
contract StorageEscrow is IStorageEscrow, ReentrancyGuard {
    using SafeERC20 for IERC20;
    using AgreementState for AgreementState.State;
    using AgreementTerms for AgreementRecord;

    /// @notice The token address that stands for the native coin.
    address public constant NATIVE = AgreementTerms.NATIVE;
    /// @notice Longest time from the proposal of an agreement to its last block.
    uint256 public constant MAX_AGREEMENT_BLOCKS = AgreementTerms.MAX_BLOCKS;
    /// @notice Most slices in one challenge.
    uint16 public constant MAX_SAMPLES = AgreementTerms.MAX_SAMPLES;

    uint256 private _agreementCount;
    mapping(AgreementId id => AgreementState.State) private _agreements;
    mapping(address token => mapping(address account => uint256)) private _balances;

    /// @inheritdoc IStorageEscrow
    function propose(Terms calldata terms) external payable nonReentrant returns (AgreementId id) {
        id = AgreementId.wrap(++_agreementCount);
        uint256 deposit = _agreements[id].propose(msg.sender, terms);
        emit AgreementProposed(id, msg.sender, terms.provider, terms);
        _pull(terms.token, deposit);
    }

    /// @inheritdoc IStorageEscrow
    function cancel(AgreementId id) external {
        (address user, address token, uint256 refund) = _agreements[id].cancel(id, msg.sender);
        _balances[token][user] += refund;
        emit AgreementCancelled(id, user, token, refund);
    }

    /// @inheritdoc IStorageEscrow
    function accept(AgreementId id, bytes32 termsHash) external payable nonReentrant {
        AgreementState.State storage agreement = _agreements[id];
        uint256 collateral = agreement.accept(id, msg.sender, termsHash);
        emit AgreementAccepted(id, agreement.record.user, msg.sender, termsHash);
        _pull(agreement.record.token, collateral);
    }

    /// @inheritdoc IStorageEscrow
    function prove(
        AgreementId id,
        EpochIndex epoch,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) external {
        AgreementState.State storage agreement = _agreements[id];
        PdpVerifier.Challenge memory challenge = agreement.openChallenge(id, epoch, PdpVerifier.hashKey(key));
        if (!_verifyProof(challenge, key, proof)) revert ProofRejected(id, epoch);

        (address provider, address token, uint256 fee) = agreement.prove(epoch);
        _balances[token][provider] += fee;
        emit EpochProven(id, epoch, provider, fee);
    }

    /// @inheritdoc IStorageEscrow
    function reportMiss(AgreementId id, EpochIndex epoch) external {
        AgreementState.State storage agreement = _agreements[id];
        AgreementState.Miss memory miss = agreement.miss(id, epoch);

        mapping(address account => uint256) storage balances = _balances[miss.token];
        balances[miss.user] += miss.fee + miss.compensation;
        balances[msg.sender] += miss.bounty;
        emit EpochMissed(id, epoch, msg.sender, miss.fee, miss.compensation, miss.bounty);
        if (miss.breached) emit AgreementBreached(id, miss.user, agreement.record.provider);
    }

    /// @inheritdoc IStorageEscrow
    function close(AgreementId id) external {
        AgreementState.Ending memory ending = _agreements[id].close(id);

        mapping(address account => uint256) storage balances = _balances[ending.token];
        balances[ending.user] += ending.userCredit;
        balances[ending.provider] += ending.providerCredit;
        emit AgreementEnded(
            id,
            ending.user,
            ending.provider,
            ending.breached,
            ending.proven,
            ending.missed,
            ending.lapsed,
            ending.userCredit,
            ending.providerCredit
        );
    }

    /// @inheritdoc IStorageEscrow
    function withdraw(address token, address to) external nonReentrant returns (uint256 amount) {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
        amount = _balances[token][msg.sender];
        if (amount == 0) revert NothingToWithdraw(token, msg.sender);

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
        AgreementRecord storage record = _agreements[id].record;
        return
            Agreement({
                user: record.user,
                status: record.status,
                epochsProven: record.epochsProven,
                epochsMissed: record.epochsMissed,
                terms: record.termsOf()
            });
    }

    /// @inheritdoc IStorageEscrow
    function termsHashOf(AgreementId id) external view returns (bytes32) {
        AgreementState.State storage agreement = _agreements[id];
        agreement.checkExists(id);
        return agreement.record.hashOf();
    }

    /// @inheritdoc IStorageEscrow
    function agreementCount() external view returns (uint256) {
        return _agreementCount;
    }

    /// @inheritdoc IStorageEscrow
    function epochStatus(AgreementId id, EpochIndex epoch) external view returns (EpochStatus) {
        return _agreements[id].epochStatus(id, epoch);
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
        AgreementState.State storage agreement = _agreements[id];
        agreement.checkExists(id);
        agreement.checkEpoch(id, epoch);
        (uint256 afterBlock, uint256 lastBlock) = agreement.window(epoch);
        PdpVerifier.Challenge memory challenge = agreement.challengeAt(id, epoch, afterBlock);
        (seed, sampleCount) = (challenge.seed, challenge.sampleCount);
        (firstIndex, sliceCount) = (agreement.record.firstIndex, agreement.record.sliceCount);
        (openBlock, deadlineBlock) = (uint64(afterBlock), uint64(lastBlock));
    }

    /// @dev The only place where proofs are verified. Virtual so that tests of the economics need no elliptic curves.
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
            if (msg.value != amount) revert WrongValue(amount, msg.value);
            return;
        }
        if (msg.value != 0) revert WrongValue(0, msg.value);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert TransferMismatch(token, amount, received);
    }
}
