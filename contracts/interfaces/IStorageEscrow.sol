// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EpochIndex } from "../types/EpochIndex.sol";

/// @title Escrow of storage agreements
/// @notice A user deposits the fees of all epochs, a provider deposits collateral. Per epoch the provider either
/// proves, on chain and in time, that it still has the data, and gets the fee; or the user gets the fee back and
/// compensation from the collateral, and the reporter of the miss gets a bounty. All payments are credits that their
/// owner withdraws.
///
/// Epoch e has its challenge block at `startBlock + e * epochBlocks`. A proof is accepted in the `windowBlocks` blocks
/// after it.
interface IStorageEscrow {
    /// @notice What user and provider agree on. Terms never change.
    /// @param provider Who stores, proves and is paid.
    /// @param token ERC-20 in which all amounts are; zero for the chain's native coin.
    /// @param feePerEpoch Paid to the provider for a proven epoch, back to the user for any other. Not zero.
    /// @param compensationPerMiss From collateral to the user for an epoch without proof.
    /// @param bountyPerMiss From collateral to the first account that reports such an epoch.
    /// @param collateral At least `breachLimit * (compensationPerMiss + bountyPerMiss)`.
    /// @param startBlock Challenge block of epoch 0. In the future.
    /// @param epochBlocks From one challenge block to the next.
    /// @param windowBlocks Blocks after the challenge block in which a proof counts; at most `epochBlocks` and at most
    /// `horizonBlocks()` of the randomness source.
    /// @param epochs How many epochs there are.
    /// @param sampleCount Slices sampled by one challenge.
    /// @param breachLimit Reported misses that end the agreement.
    /// @param firstIndex First index of the audited slices. At least 1: index 0 would make proofs forgeable.
    /// @param sliceCount Number of slices; the last index is `firstIndex + sliceCount - 1`.
    /// @param auditKeyHash keccak256(X ‖ XA ‖ XB) of the user's public audit key.
    /// @param manifestHash Hash of the list of what is stored; the contract only keeps it.
    /// @param randomness Where the challenges come from.
    struct Terms {
        address provider;
        address token;
        uint128 feePerEpoch;
        uint128 compensationPerMiss;
        uint128 bountyPerMiss;
        uint128 collateral;
        uint64 startBlock;
        uint32 epochBlocks;
        uint32 windowBlocks;
        uint32 epochs;
        uint16 sampleCount;
        uint16 breachLimit;
        uint64 firstIndex;
        uint64 sliceCount;
        bytes32 auditKeyHash;
        bytes32 manifestHash;
        address randomness;
    }

    /// @notice Status of an agreement.
    /// @dev None: no such agreement. Proposed: waits for the provider. Active: accepted. Breached: ended by misses, but
    /// not closed yet. Closed: all money is credited. Cancelled: never accepted, refunded.
    enum AgreementStatus {
        None,
        Proposed,
        Active,
        Breached,
        Closed,
        Cancelled
    }

    /// @notice Status of an epoch of an agreement.
    /// @dev Upcoming: challenge not yet drawn. Open: a proof counts now. Proven: fee paid. Overdue: no proof, anyone
    /// may report. Missed: reported, compensated. Lapsed: the agreement was closed or breached before the epoch was
    /// settled.
    enum EpochStatus {
        Upcoming,
        Open,
        Proven,
        Overdue,
        Missed,
        Lapsed
    }

    /// @notice An agreement and its status.
    struct Agreement {
        address user;
        AgreementStatus status;
        uint32 epochsProven;
        uint32 epochsMissed;
        Terms terms;
    }

    /// @notice A user has offered an agreement and deposited its fees.
    /// @param id Number of the agreement.
    /// @param user Who deposited the fees.
    /// @param provider Who stores and proves.
    /// @param terms What is offered.
    event AgreementProposed(AgreementId indexed id, address indexed user, address indexed provider, Terms terms);
    /// @notice The provider has deposited the collateral and is bound.
    /// @param id Number of the agreement.
    /// @param user Who deposited the fees.
    /// @param provider Who stores and proves.
    /// @param termsHash `termsHashOf` the agreement.
    event AgreementAccepted(AgreementId indexed id, address indexed user, address indexed provider, bytes32 termsHash);
    /// @notice A proposal was cancelled, and its deposit credited to the user.
    /// @param id Number of the agreement.
    /// @param user Who deposited the fees.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param refund Amount credited.
    event AgreementCancelled(AgreementId indexed id, address indexed user, address token, uint256 refund);
    /// @notice The provider has been credited with the fee.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @param provider Who stores and proves.
    /// @param fee Fee of the epoch.
    event EpochProven(AgreementId indexed id, EpochIndex indexed epoch, address indexed provider, uint256 fee);
    /// @notice The user has been credited with fee and compensation, the reporter with the bounty.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @param reporter Account that reported the miss and gets the bounty.
    /// @param fee Fee of the epoch.
    /// @param compensation From collateral to the user.
    /// @param bounty From collateral to the reporter.
    event EpochMissed(
        AgreementId indexed id,
        EpochIndex indexed epoch,
        address indexed reporter,
        uint256 fee,
        uint256 compensation,
        uint256 bounty
    );
    /// @notice The reported misses reached the limit. Proofs no longer count; `close` credits what is left.
    /// @param id Number of the agreement.
    /// @param user Who deposited the fees.
    /// @param provider Who stores and proves.
    event AgreementBreached(AgreementId indexed id, address indexed user, address indexed provider);
    /// @notice The agreement is closed, and what was left is credited.
    /// @param id Number of the agreement.
    /// @param user Who deposited the fees.
    /// @param provider Who stores and proves.
    /// @param breached Whether misses ended it.
    /// @param epochsProven Epochs proven.
    /// @param epochsMissed Epochs reported as missed.
    /// @param epochsLapsed Epochs neither proven nor reported; their fees are in `userCredit`.
    /// @param userCredit Credited to the user now.
    /// @param providerCredit Credited to the provider now.
    event AgreementEnded(
        AgreementId indexed id,
        address indexed user,
        address indexed provider,
        bool breached,
        uint32 epochsProven,
        uint32 epochsMissed,
        uint32 epochsLapsed,
        uint256 userCredit,
        uint256 providerCredit
    );
    /// @notice A credit has been paid out.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param account Owner of the credit.
    /// @param to Who receives the payment.
    /// @param amount Amount paid.
    event Withdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);

    /// @notice No provider is named.
    error ZeroProvider();
    /// @notice The fee is zero.
    error ZeroFee();
    /// @notice There are no epochs.
    error ZeroEpochs();
    /// @notice A challenge would sample no slice.
    error ZeroSamples();
    /// @notice No number of misses would end the agreement.
    error ZeroBreachLimit();
    /// @notice Audit key or manifest is missing.
    error ZeroHash();
    /// @notice A proof of that many samples would come close to the gas limit of a transaction.
    /// @param sampleCount Samples given.
    /// @param maximum Most samples allowed.
    error TooManySamples(uint16 sampleCount, uint16 maximum);
    /// @notice An address that must be a contract has no code.
    /// @param account The address.
    error NotAContract(address account);
    /// @notice The first challenge block is not in the future.
    /// @param startBlock Challenge block of epoch 0.
    /// @param currentBlock The block of the call.
    error StartNotInFuture(uint64 startBlock, uint256 currentBlock);
    /// @notice The window is empty, or longer than an epoch.
    /// @param windowBlocks Length of the window.
    /// @param epochBlocks Length of an epoch.
    error InvalidWindow(uint32 windowBlocks, uint32 epochBlocks);
    /// @notice The randomness source would no longer know the challenge block at the end of the window.
    /// @param windowBlocks Length of the window.
    /// @param horizonBlocks Number of past blocks that the source knows.
    error WindowBeyondHorizon(uint32 windowBlocks, uint64 horizonBlocks);
    /// @notice The agreement would end so far in the future that its funds would be locked in effect for ever.
    /// @param endBlock Last block of the last window.
    /// @param latestAllowed Latest end allowed at the current block.
    error EndTooFar(uint256 endBlock, uint256 latestAllowed);
    /// @notice The range of slices is empty, begins at 0 or ends beyond 64 bits.
    /// @param firstIndex First index given.
    /// @param sliceCount Number of slices given.
    error InvalidSliceRange(uint64 firstIndex, uint64 sliceCount);
    /// @notice The collateral does not cover what misses up to the breach limit cost.
    /// @param collateral Collateral given.
    /// @param minimum Least collateral for these terms.
    error CollateralTooLow(uint128 collateral, uint256 minimum);
    /// @notice The value sent is not the deposit or collateral.
    /// @param expected Expected value.
    /// @param received Received value.
    error WrongValue(uint256 expected, uint256 received);
    /// @notice The token moved another amount than requested; the escrow does not support such tokens.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param expected Expected value.
    /// @param received Received value.
    error TransferMismatch(address token, uint256 expected, uint256 received);
    /// @notice The status of the agreement does not allow this call.
    /// @param id Number of the agreement.
    /// @param actual Status of the agreement.
    error WrongStatus(AgreementId id, AgreementStatus actual);
    /// @notice The terms of the agreement are not those that the caller agreed to.
    /// @param id Number of the agreement.
    /// @param expected Expected value.
    /// @param received Received value.
    error TermsMismatch(AgreementId id, bytes32 expected, bytes32 received);
    /// @notice Only the provider may do this.
    /// @param caller Who called.
    /// @param provider Who stores and proves.
    error NotProvider(address caller, address provider);
    /// @notice Only the user may do this before the start block.
    /// @param caller Who called.
    /// @param user Who deposited the fees.
    error NotUser(address caller, address user);
    /// @notice The start block has been reached.
    /// @param startBlock Challenge block of epoch 0.
    /// @param currentBlock The block of the call.
    error AcceptedTooLate(uint64 startBlock, uint256 currentBlock);
    /// @notice The agreement has fewer epochs.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @param epochs Number of epochs.
    error NoSuchEpoch(AgreementId id, EpochIndex epoch, uint32 epochs);
    /// @notice The epoch has been proven or its miss has been reported.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @param status Outcome of the epoch.
    error EpochSettled(AgreementId id, EpochIndex epoch, EpochStatus status);
    /// @notice The block is outside the window of the epoch.
    /// @param currentBlock The block of the call.
    /// @param afterBlock Proofs count after this block.
    /// @param lastBlock Last block in which a proof counts.
    error OutsideWindow(uint256 currentBlock, uint256 afterBlock, uint256 lastBlock);
    /// @notice The window of the epoch, or the last window of the agreement, is not over.
    /// @param currentBlock The block of the call.
    /// @param lastBlock Last block in which a proof counts.
    error WindowStillOpen(uint256 currentBlock, uint256 lastBlock);
    /// @notice The key is not the one in the terms.
    /// @param expected Expected value.
    /// @param received Received value.
    error WrongAuditKey(bytes32 expected, bytes32 received);
    /// @notice The proof does not verify.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    error ProofRejected(AgreementId id, EpochIndex epoch);
    /// @notice The account has no credit in this token.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param account Owner of the credit.
    error NothingToWithdraw(address token, address account);
    /// @notice The payment would go to the zero address or to the escrow itself.
    /// @param to Who receives the payment.
    error InvalidRecipient(address to);

    /// @notice Offers an agreement to a provider and deposits `feePerEpoch * epochs`.
    /// @param terms What is offered.
    /// @return id Number of the agreement.
    function propose(Terms calldata terms) external payable returns (AgreementId id);

    /// @notice Cancels a proposal. The user may at any time before acceptance; any account from the start block on.
    /// @param id Number of the agreement.
    function cancel(AgreementId id) external;

    /// @notice Accepts a proposal and deposits the collateral. Only the provider may, before the start block.
    /// @param id Number of the agreement.
    /// @param termsHash `termsHashOf(id)` of the terms that the provider checked: after a reorganisation of the chain
    /// another proposal may have the same number.
    function accept(AgreementId id, bytes32 termsHash) external payable;

    /// @notice Settles an epoch by a possession proof. Any account may send it; the provider gets the fee.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @param key The user's public audit key.
    /// @param proof For the challenge of `challengeOf(id, epoch)`.
    function prove(
        AgreementId id,
        EpochIndex epoch,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) external;

    /// @notice Settles an epoch whose window has passed without a proof. The caller gets the bounty.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    function reportMiss(AgreementId id, EpochIndex epoch) external;

    /// @notice Ends an agreement after its last window or its breach, and credits what is left. Unsettled epochs count
    /// as missed: without bounty, and compensated until, with the reported ones, the breach limit is reached. Any
    /// account may call; the gas does not depend on the number of epochs.
    /// @param id Number of the agreement.
    function close(AgreementId id) external;

    /// @notice Pays the caller its whole credit in one token.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param to Who receives the payment.
    /// @return amount Amount paid.
    function withdraw(address token, address to) external returns (uint256 amount);

    /// @notice What an account can withdraw.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param account Owner of the credit.
    /// @return Amount.
    function balanceOf(address token, address account) external view returns (uint256);

    /// @notice The agreement as proposed, and its status. All zero when there is none.
    /// @param id Number of the agreement.
    /// @return Parties, status, counts and terms.
    function agreementOf(AgreementId id) external view returns (Agreement memory);

    /// @notice keccak256(abi.encode(user, terms)).
    /// @param id Number of the agreement.
    /// @return The hash. Reverts with `WrongStatus` when there is no such agreement.
    function termsHashOf(AgreementId id) external view returns (bytes32);

    /// @notice Number of proposed agreements. Their ids are 1 to this number.
    /// @return Number of agreements.
    function agreementCount() external view returns (uint256);

    /// @notice Status of an epoch at the block of the call.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @return Its status. Reverts with `WrongStatus` or `NoSuchEpoch` when there is no such agreement or epoch.
    function epochStatus(AgreementId id, EpochIndex epoch) external view returns (EpochStatus);

    /// @notice The challenge that a proof of an epoch must answer, from the block after `openBlock` on.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @return seed keccak256(abi.encode(chain id, this contract, id, epoch, randomness of openBlock)).
    /// @return sampleCount Number of samples.
    /// @return firstIndex First index of the audited slices.
    /// @return sliceCount Number of audited slices.
    /// @return openBlock The challenge block. Proofs are accepted after it.
    /// @return deadlineBlock The last block in which a proof is accepted.
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
        );
}
