// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EpochIndex } from "../types/EpochIndex.sol";

/// @title Escrow of storage agreements
/// @notice A user deposits the fees of all epochs, a provider deposits collateral. Per epoch the provider either proves, on
/// chain and in time, that it still has the data, and gets the fee; or the user gets the fee back and compensation from the
/// collateral, and whoever reported the miss gets a bounty. All payments are credits that their owner withdraws.
///
/// Epoch e has its challenge block at `startBlock + e * epochBlocks`. A proof is accepted in the `windowBlocks` blocks after it.
interface IStorageEscrow {
    /// @notice What user and provider agree on. It never changes.
    /// @param provider Who stores, proves and is paid.
    /// @param token ERC-20 in which all amounts are; zero for the chain's native coin.
    /// @param feePerEpoch Paid to the provider for a proven epoch, back to the user for any other. Not zero.
    /// @param compensationPerMiss From collateral to the user for an epoch without proof.
    /// @param bountyPerMiss From collateral to the first who reports such an epoch.
    /// @param collateral At least `breachLimit * (compensationPerMiss + bountyPerMiss)`.
    /// @param startBlock Challenge block of epoch 0. In the future.
    /// @param epochBlocks From one challenge block to the next.
    /// @param windowBlocks Blocks after the challenge block in which a proof counts; at most `epochBlocks` and at most what
    /// the randomness source remembers.
    /// @param epochs How many epochs there are.
    /// @param sampleCount Slices sampled by one challenge.
    /// @param breachLimit Reported misses that end the agreement.
    /// @param firstIndex First index of the audited slices. At least 1: index 0 would make proofs forgeable.
    /// @param sliceCount How many slices, so the last index is `firstIndex + sliceCount - 1`.
    /// @param auditKeyHash keccak256(X ‖ XA ‖ Bt) of the user's public audit key.
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

    /// @notice How far an agreement is.
    /// @dev None: no such agreement. Proposed: waits for the provider. Active: accepted. Breached: ended by misses, to be
    /// closed. Closed: wound up. Cancelled: never accepted, refunded.
    enum AgreementStatus {
        None,
        Proposed,
        Active,
        Breached,
        Closed,
        Cancelled
    }

    /// @notice How an epoch of an agreement stands.
    /// @dev Upcoming: challenge not yet drawn. Open: a proof counts now. Proven: fee paid. Overdue: no proof, anyone may
    /// report. Missed: reported, compensated. Lapsed: the agreement was wound up, or breached, before it was settled.
    enum EpochStatus {
        Upcoming,
        Open,
        Proven,
        Overdue,
        Missed,
        Lapsed
    }

    /// @notice An agreement and how far it is.
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
    /// @notice A proposal is taken back, and the user credited with the deposit.
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
    /// @param reporter Who reported the miss and gets the bounty.
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
    /// @notice The reported misses reached the limit. No more proofs; `close` winds the agreement up.
    /// @param id Number of the agreement.
    /// @param user Who deposited the fees.
    /// @param provider Who stores and proves.
    event AgreementBreached(AgreementId indexed id, address indexed user, address indexed provider);
    /// @notice The agreement is wound up.
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
    /// @param account Whose credit it is.
    /// @param to Who receives the payment.
    /// @param amount Amount paid.
    event Withdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);

    /// @notice No provider is named.
    error ZeroProvider();
    /// @notice The fee is zero.
    error ZeroFee();
    /// @notice There are no epochs.
    error ZeroEpochs();
    /// @notice A challenge would draw nothing.
    error ZeroSamples();
    /// @notice No number of misses would end the agreement.
    error ZeroBreachLimit();
    /// @notice Audit key or manifest is missing.
    error ZeroHash();
    /// @notice A proof of so many draws would not fit a block comfortably.
    /// @param sampleCount Draws asked for.
    /// @param maximum Most draws.
    error TooManySamples(uint16 sampleCount, uint16 maximum);
    /// @notice An address that must be a contract has no code.
    /// @param account The address.
    error NotAContract(address account);
    /// @notice The first challenge would be drawn in the past, or now.
    /// @param startBlock Challenge block of epoch 0.
    /// @param currentBlock The block of the call.
    error StartNotInFuture(uint64 startBlock, uint256 currentBlock);
    /// @notice The window is empty, or longer than an epoch.
    /// @param windowBlocks Length of the window.
    /// @param epochBlocks Length of an epoch.
    error InvalidWindow(uint32 windowBlocks, uint32 epochBlocks);
    /// @notice The source of randomness would have forgotten the challenge before the window ends.
    /// @param windowBlocks Length of the window.
    /// @param horizonBlocks How far back the source can be asked.
    error WindowBeyondHorizon(uint32 windowBlocks, uint64 horizonBlocks);
    /// @notice The agreement would end so far in the future that its funds would be locked for good.
    /// @param endBlock Last block of the last window.
    /// @param latestAllowed Latest end that would be taken now.
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
    /// @param expected What it should have been.
    /// @param received What it was.
    error WrongValue(uint256 expected, uint256 received);
    /// @notice The token moved another amount than asked for; such tokens cannot be escrowed.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param expected What it should have been.
    /// @param received What it was.
    error TransferMismatch(address token, uint256 expected, uint256 received);
    /// @notice The agreement is not at the stage that the call is for.
    /// @param id Number of the agreement.
    /// @param actual Where the agreement is.
    error WrongStatus(AgreementId id, AgreementStatus actual);
    /// @notice The agreement is not the one the caller has agreed to.
    /// @param id Number of the agreement.
    /// @param expected What it should have been.
    /// @param received What it was.
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
    /// @param epochs How many epochs it has.
    error NoSuchEpoch(AgreementId id, EpochIndex epoch, uint32 epochs);
    /// @notice The epoch has been proven or its miss has been reported.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @param status How the epoch was settled.
    error EpochSettled(AgreementId id, EpochIndex epoch, EpochStatus status);
    /// @notice Proofs of this epoch do not count now.
    /// @param currentBlock The block of the call.
    /// @param afterBlock Proofs count after this block,
    /// @param lastBlock up to and with this one.
    error OutsideWindow(uint256 currentBlock, uint256 afterBlock, uint256 lastBlock);
    /// @notice The epoch, or the last one, can still be proven.
    /// @param currentBlock The block of the call.
    /// @param lastBlock Last block in which a proof counts.
    error WindowStillOpen(uint256 currentBlock, uint256 lastBlock);
    /// @notice The key is not the one in the terms.
    /// @param expected What it should have been.
    /// @param received What it was.
    error WrongAuditKey(bytes32 expected, bytes32 received);
    /// @notice The proof does not verify.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    error ProofRejected(AgreementId id, EpochIndex epoch);
    /// @notice The account has no credit in this token.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param account Whose credit it is.
    error NothingToWithdraw(address token, address account);
    /// @notice The payment would go to the zero address or to the escrow itself.
    /// @param to Who receives the payment.
    error InvalidRecipient(address to);

    /// @notice Offers an agreement to a provider and deposits `feePerEpoch * epochs`.
    /// @param terms What is offered.
    /// @return id Number of the agreement.
    function propose(Terms calldata terms) external payable returns (AgreementId id);

    /// @notice Takes a proposal back. By the user at any time before acceptance; by anyone from the start block on.
    /// @param id Number of the agreement.
    function cancel(AgreementId id) external;

    /// @notice Binds the provider, who deposits the collateral. By the provider, before the start block.
    /// @param id Number of the agreement.
    /// @param termsHash `termsHashOf(id)` as the provider has checked it: after a reorganisation of the chain another
    /// proposal may carry the same number.
    function accept(AgreementId id, bytes32 termsHash) external payable;

    /// @notice Settles an epoch by a possession proof. Anyone may send it; the fee is the provider's.
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

    /// @notice Winds an agreement up, after its last window or its breach. Epochs nobody settled count as missed, without
    /// bounty and, with those reported, compensated up to the breach limit. By anyone; costs the same however many epochs.
    /// @param id Number of the agreement.
    function close(AgreementId id) external;

    /// @notice Pays the caller all it has been credited with in one token.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param to Who receives the payment.
    /// @return amount What was paid.
    function withdraw(address token, address to) external returns (uint256 amount);

    /// @notice What an account can withdraw.
    /// @param token Token of the amounts; zero for the native coin.
    /// @param account Whose credit.
    /// @return Amount.
    function balanceOf(address token, address account) external view returns (uint256);

    /// @notice The agreement as proposed, and how far it is. All zero when there is none.
    /// @param id Number of the agreement.
    /// @return Parties, status, counts and terms.
    function agreementOf(AgreementId id) external view returns (Agreement memory);

    /// @notice keccak256(abi.encode(user, terms)).
    /// @param id Number of the agreement.
    /// @return The hash. Reverts with `WrongStatus` when there is no such agreement.
    function termsHashOf(AgreementId id) external view returns (bytes32);

    /// @notice How many agreements have been proposed. Their ids are 1 to this.
    /// @return Number of agreements.
    function agreementCount() external view returns (uint256);

    /// @notice How an epoch stands, at the block of the call.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @return Its status. Reverts with `WrongStatus` or `NoSuchEpoch` when there is no such agreement or epoch.
    function epochStatus(AgreementId id, EpochIndex epoch) external view returns (EpochStatus);

    /// @notice The challenge that a proof of an epoch must answer, from the block after `openBlock` on.
    /// @param id Number of the agreement.
    /// @param epoch Epoch, from 0.
    /// @return seed keccak256(abi.encode(chain id, this contract, id, epoch, randomness of openBlock)).
    /// @return sampleCount Slices sampled.
    /// @return firstIndex First index of the audited slices.
    /// @return sliceCount How many slices there are.
    /// @return openBlock The challenge block. Proofs are accepted after it,
    /// @return deadlineBlock up to and with this one.
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
