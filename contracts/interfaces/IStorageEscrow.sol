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

    struct Agreement {
        address user;
        AgreementStatus status;
        uint32 epochsProven;
        uint32 epochsMissed;
        Terms terms;
    }

    event AgreementProposed(AgreementId indexed id, address indexed user, address indexed provider, Terms terms);
    event AgreementAccepted(AgreementId indexed id, address indexed user, address indexed provider, bytes32 termsHash);
    event AgreementCancelled(AgreementId indexed id, address indexed user, address token, uint256 refund);
    /// @notice The provider has been credited with the fee.
    event EpochProven(AgreementId indexed id, EpochIndex indexed epoch, address indexed provider, uint256 fee);
    /// @notice The user has been credited with fee and compensation, the reporter with the bounty.
    event EpochMissed(
        AgreementId indexed id,
        EpochIndex indexed epoch,
        address indexed reporter,
        uint256 fee,
        uint256 compensation,
        uint256 bounty
    );
    /// @notice The reported misses reached the limit. No more proofs; `close` winds the agreement up.
    event AgreementBreached(AgreementId indexed id, address indexed user, address indexed provider);
    /// @notice The agreement is wound up.
    /// @param epochsLapsed Epochs neither proven nor reported; their fees are in `userCredit`.
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
    event Withdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);

    error ZeroProvider();
    error ZeroFee();
    error ZeroEpochs();
    error ZeroSamples();
    error ZeroBreachLimit();
    error ZeroHash();
    error TooManySamples(uint16 sampleCount, uint16 maximum);
    /// @notice An address that must be a contract has no code.
    error NotAContract(address account);
    error StartNotInFuture(uint64 startBlock, uint256 currentBlock);
    /// @notice The window is empty, or longer than an epoch.
    error InvalidWindow(uint32 windowBlocks, uint32 epochBlocks);
    /// @notice The source of randomness would have forgotten the challenge before the window ends.
    error WindowBeyondHorizon(uint32 windowBlocks, uint64 horizonBlocks);
    /// @notice The agreement would end so far in the future that its funds would be locked for good.
    error EndTooFar(uint256 endBlock, uint256 latestAllowed);
    error InvalidSliceRange(uint64 firstIndex, uint64 sliceCount);
    error CollateralTooLow(uint128 collateral, uint256 minimum);
    error WrongValue(uint256 expected, uint256 received);
    /// @notice The token moved another amount than asked for; such tokens cannot be escrowed.
    error TransferMismatch(address token, uint256 expected, uint256 received);
    error WrongStatus(AgreementId id, AgreementStatus actual);
    /// @notice The agreement is not the one the caller has agreed to.
    error TermsMismatch(AgreementId id, bytes32 expected, bytes32 received);
    error NotProvider(address caller, address provider);
    error NotUser(address caller, address user);
    error AcceptedTooLate(uint64 startBlock, uint256 currentBlock);
    error NoSuchEpoch(AgreementId id, EpochIndex epoch, uint32 epochs);
    /// @notice The epoch has been proven or its miss has been reported.
    error EpochSettled(AgreementId id, EpochIndex epoch, EpochStatus status);
    error OutsideWindow(uint256 currentBlock, uint256 afterBlock, uint256 lastBlock);
    error WindowStillOpen(uint256 currentBlock, uint256 lastBlock);
    error WrongAuditKey(bytes32 expected, bytes32 received);
    error ProofRejected(AgreementId id, EpochIndex epoch);
    error NothingToWithdraw(address token, address account);
    error InvalidRecipient(address to);

    /// @notice Offers an agreement to a provider and deposits `feePerEpoch * epochs`.
    /// @return id Number of the agreement.
    function propose(Terms calldata terms) external payable returns (AgreementId id);

    /// @notice Takes a proposal back. By the user at any time before acceptance; by anyone from the start block on.
    function cancel(AgreementId id) external;

    /// @notice Binds the provider, who deposits the collateral. By the provider, before the start block.
    /// @param termsHash `termsHashOf(id)` as the provider has checked it: after a reorganisation of the chain another
    /// proposal may carry the same number.
    function accept(AgreementId id, bytes32 termsHash) external payable;

    /// @notice Settles an epoch by a possession proof. Anyone may send it; the fee is the provider's.
    /// @param key The user's public audit key.
    /// @param proof For the challenge of `challengeOf(id, epoch)`.
    function prove(
        AgreementId id,
        EpochIndex epoch,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) external;

    /// @notice Settles an epoch whose window has passed without a proof. The caller gets the bounty.
    function reportMiss(AgreementId id, EpochIndex epoch) external;

    /// @notice Winds an agreement up, after its last window or its breach. Epochs nobody settled count as missed, without
    /// bounty and, with those reported, compensated up to the breach limit. By anyone; costs the same however many epochs.
    function close(AgreementId id) external;

    /// @notice Pays the caller all it has been credited with in one token.
    /// @param to Who receives the payment.
    function withdraw(address token, address to) external returns (uint256 amount);

    /// @notice What an account can withdraw.
    function balanceOf(address token, address account) external view returns (uint256);

    /// @notice The agreement as proposed, and how far it is. All zero when there is none.
    function agreementOf(AgreementId id) external view returns (Agreement memory);

    /// @notice keccak256(abi.encode(user, terms)).
    function termsHashOf(AgreementId id) external view returns (bytes32);

    /// @notice How many agreements have been proposed. Their ids are 1 to this.
    function agreementCount() external view returns (uint256);

    function epochStatus(AgreementId id, EpochIndex epoch) external view returns (EpochStatus);

    /// @notice The challenge that a proof of an epoch must answer, from the block after `openBlock` on.
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
