// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { OprfEvaluation } from "../libraries/OprfEvaluation.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { INodeRegistry } from "./INodeRegistry.sol";

/// @title Disputes about OPRF evaluations
/// @notice A key node signs each answer to a batch of blinded elements, proof included. Whoever holds a signed answer
/// whose proof does not verify challenges the node with it. The chain checks the proof, and the node loses its stake.
/// A challenge of a right answer costs the challenger a bond, which the node gets.
interface IOprfDisputes {
    /// @notice What a node signs of an answer with the operator key of the member: EIP-712 domain `{name: "Tallystick",
    /// version: "1", chainId, verifyingContract: the registry}`, type `OprfAnswer(uint64 committeeId,uint32 generation,
    /// bytes32 keyMaterialHash,uint16 index,address account,bytes32 blinded,bytes32 evaluated,bytes32 c,bytes32 s)`.
    /// @param committeeId The committee.
    /// @param generation Of the committee's key, from 1.
    /// @param keyMaterialHash Hash of the key material that the node answered with: after a reorganisation, the
    /// generation of this number may have other keys, under which a right answer does not verify.
    /// @param index The member's position in the committee, from 1.
    /// @param account Who was answered.
    /// @param blinded Composite M of the blinded elements (RFC 9497 §2.2.1), a ristretto255 element.
    /// @param evaluated Composite Z of the evaluated elements.
    /// @param c First scalar of the batch's proof.
    /// @param s Second scalar of the batch's proof.
    struct Answer {
        CommitteeId committeeId;
        uint32 generation;
        bytes32 keyMaterialHash;
        uint16 index;
        address account;
        bytes32 blinded;
        bytes32 evaluated;
        bytes32 c;
        bytes32 s;
    }

    /// @notice A node signed a wrong answer and has lost its stake.
    /// @param digest The answer's digest.
    /// @param operator The node's account.
    /// @param account Who was answered wrongly; gets the reward.
    /// @param challenger Who challenged; gets the bond back.
    /// @param stakeWei What the node lost.
    /// @param rewardWei The part of it that is the reward; the rest is burnt.
    event NodeConvicted(
        bytes32 indexed digest,
        address indexed operator,
        address indexed account,
        address challenger,
        uint256 stakeWei,
        uint256 rewardWei
    );
    /// @notice The challenged answer is right: the node gets the bond.
    /// @param digest The answer's digest.
    /// @param operator The node's account.
    /// @param challenger Who challenged.
    /// @param bondWei The bond.
    event ChallengeFailed(
        bytes32 indexed digest,
        address indexed operator,
        address indexed challenger,
        uint256 bondWei
    );
    /// @notice An account has taken what it was owed.
    /// @param account The account.
    /// @param to Who received it.
    /// @param amountWei How much.
    event Withdrawn(address indexed account, address indexed to, uint256 amountWei);

    /// @notice The value sent is not the bond.
    /// @param expectedWei The bond.
    /// @param receivedWei Value sent.
    error WrongBond(uint256 expectedWei, uint256 receivedWei);
    /// @notice The signature over the answer is not by the member.
    /// @param operator The member's account.
    /// @param signer Who signed; zero for a malformed signature.
    error NotSignedByMember(address operator, address signer);
    /// @notice The answer has been judged before.
    /// @param digest The answer's digest.
    error AlreadyJudged(bytes32 digest);
    /// @notice The account is owed nothing.
    /// @param account The account.
    error NothingOwed(address account);
    /// @notice The money would go to the zero address.
    error ZeroRecipient();
    /// @notice The recipient rejected the money; it is still owed.
    /// @param to Who would receive it.
    /// @param amountWei How much.
    error TransferFailed(address to, uint256 amountWei);
    /// @notice Only the registry sends money without a call.
    /// @param sender Who sent it.
    error NotRegistry(address sender);

    /// @notice Challenges a node with an answer that it signed. The value sent is the bond. When the proof in the
    /// answer does not verify, the node's whole stake is taken: a part is credited to the account that was answered,
    /// the rest is burnt, and the bond is credited to the caller. When it verifies, the bond is credited to the node.
    /// @param answer What the node signed.
    /// @param signature 65 bytes by the member's operator key.
    /// @param keys Key material of the generation, as its `GenerationActivated` event has it, and which the answer
    /// names; other key material, and generations and positions that there are not, are refused with the errors of the
    /// registry.
    /// @return convicted Whether the node was slashed.
    function challenge(
        Answer calldata answer,
        bytes calldata signature,
        INodeRegistry.KeyMaterial calldata keys
    ) external payable returns (bool convicted);

    /// @notice Pays what the caller is owed.
    /// @param to Who receives it.
    function withdraw(address payable to) external;

    /// @notice The registry whose nodes are judged here.
    /// @return The registry.
    function REGISTRY() external view returns (INodeRegistry); // solhint-disable-line func-name-mixedcase

    /// @notice What a challenge takes as security.
    /// @return Bond in wei.
    function BOND_WEI() external view returns (uint256); // solhint-disable-line func-name-mixedcase

    /// @notice What the account that was answered wrongly gets of a stake.
    /// @return Percent.
    function REWARD_PERCENT() external view returns (uint256); // solhint-disable-line func-name-mixedcase

    /// @notice What an account may withdraw.
    /// @param account The account.
    /// @return Wei.
    function owedWei(address account) external view returns (uint256);

    /// @notice Whether an answer has been judged, with either outcome.
    /// @param digest The answer's digest.
    /// @return True from the first challenge on.
    function isJudged(bytes32 digest) external view returns (bool);

    /// @notice The EIP-712 digest that a node signs.
    /// @param answer The answer.
    /// @return The digest.
    function answerDigest(Answer calldata answer) external view returns (bytes32);

    /// @notice Whether the proof in an answer verifies: what a challenge of it would find.
    /// @param answer The answer; whether it was signed does not matter.
    /// @param keys Key material of the generation, which the answer names.
    /// @return True when it is right.
    function isRight(Answer calldata answer, INodeRegistry.KeyMaterial calldata keys) external view returns (bool);

    /// @notice Whether one element was evaluated rightly, by a proof for this element alone (RFC 9497 §2.2.2). For
    /// contracts that take OPRF outputs.
    /// @param id Number of the committee.
    /// @param generation Of the committee's key.
    /// @param index The member's position.
    /// @param blinded The blinded element.
    /// @param evaluated The evaluated element.
    /// @param proof The proof's scalars.
    /// @param keys Key material of the generation.
    /// @return False also for malformed elements and scalars, and for the identity.
    function isEvaluation(
        CommitteeId id,
        uint32 generation,
        uint16 index,
        bytes32 blinded,
        bytes32 evaluated,
        OprfEvaluation.Proof calldata proof,
        INodeRegistry.KeyMaterial calldata keys
    ) external view returns (bool);
}
