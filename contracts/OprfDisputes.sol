// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IOprfDisputes } from "./interfaces/IOprfDisputes.sol";
import { OprfEvaluation } from "./libraries/OprfEvaluation.sol";
import { CommitteeId } from "./types/CommitteeId.sol";

/// @title Disputes about OPRF evaluations
/// @notice Holds what was won and not yet withdrawn, and no other money. The registry whose nodes it judges deploys it.
///
/// Why there is no time limit: the answer that a node signed carries its own proof, so the chain decides in the
/// transaction of the challenge. A node need not be up, watch the chain or answer, and no right answer can ever be held
/// against it. A rule by which silence convicts would take the stakes of nodes that are merely down. An honest node
/// signs only composites that it computed and proofs that it verified, so nothing that an honest node signs convicts
/// it. It also signs which key material it used, so that no reorganisation can hold an answer against other keys.
///
/// Where the money goes: the reward is credited to the account that the node's signature names, whoever sends the
/// challenge, so copying somebody's challenge gains nothing. The rest is burnt, because any other recipient could be
/// the node's own: a node that convicts itself through an account of its own loses all but the reward. Everyone may
/// challenge until the stake has been withdrawn, also during the exit delay; a challenge ends in its transaction, so
/// none can be open when the stake is withdrawn.
///
/// Who may call: anybody. There is no administrator.
///
/// INV-1  The contract's balance is the sum of what accounts are owed.
/// INV-2  A node is slashed only with an answer that its operator key signed, and whose proof does not verify under the
///        keys that the node answered with.
/// INV-3  Each answer is judged at most once. Every bond is credited to the challenger or to the node.
contract OprfDisputes is IOprfDisputes {
    /// @inheritdoc IOprfDisputes
    uint256 public constant REWARD_PERCENT = 20;

    /// @dev Generations begin with 1; a committee of the registry has one.
    bytes32 private constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant NAME = keccak256("Tallystick");
    bytes32 private constant VERSION = keccak256("1");
    bytes32 private constant ANSWER_TYPE = keccak256(
        "OprfAnswer(uint64 committeeId,uint32 generation,bytes32 keyMaterialHash,uint16 index,address account,"
        "bytes32 blinded,bytes32 evaluated,bytes32 c,bytes32 s)"
    );

    /// @inheritdoc IOprfDisputes
    INodeRegistry public immutable REGISTRY;
    /// @inheritdoc IOprfDisputes
    uint256 public immutable BOND_WEI;

    /// @inheritdoc IOprfDisputes
    mapping(address account => uint256) public owedWei;
    /// @inheritdoc IOprfDisputes
    mapping(bytes32 digest => bool) public isJudged;

    constructor(INodeRegistry registry, uint256 bondWei) {
        REGISTRY = registry;
        BOND_WEI = bondWei;
    }

    /// @dev Stakes of slashed nodes.
    receive() external payable {
        if (msg.sender != address(REGISTRY)) revert NotRegistry(msg.sender);
    }

    /// @inheritdoc IOprfDisputes
    function challenge(
        Answer calldata answer,
        bytes calldata signature,
        INodeRegistry.KeyMaterial calldata keys
    ) external payable returns (bool convicted) {
        if (msg.value != BOND_WEI) revert WrongBond(BOND_WEI, msg.value);
        (address operator, bytes32 share, ) = REGISTRY.verificationSharesOf(
            answer.committeeId,
            answer.generation,
            answer.index,
            keys
        );
        _requireKeysOf(answer, keys);
        bytes32 digest = answerDigest(answer);
        (address signer, , ) = ECDSA.tryRecoverCalldata(digest, signature);
        if (signer != operator) revert NotSignedByMember(operator, signer);
        if (isJudged[digest]) revert AlreadyJudged(digest);
        isJudged[digest] = true;

        if (_isRight(share, answer)) {
            owedWei[operator] += msg.value;
            emit ChallengeFailed(digest, operator, msg.sender, msg.value);
            return false;
        }
        // The registry is trusted, and sends the stake here before it returns. All of it is credited or burnt below.
        uint256 stakeWei = REGISTRY.slash(operator);
        uint256 rewardWei = (stakeWei * REWARD_PERCENT) / 100;
        owedWei[msg.sender] += msg.value;
        owedWei[answer.account] += rewardWei;
        emit NodeConvicted(digest, operator, answer.account, msg.sender, stakeWei, rewardWei);
        _pay(payable(address(0)), stakeWei - rewardWei);
        return true;
    }

    /// @inheritdoc IOprfDisputes
    function withdraw(address payable to) external {
        if (to == address(0)) revert ZeroRecipient();
        uint256 amountWei = owedWei[msg.sender];
        if (amountWei == 0) revert NothingOwed(msg.sender);
        owedWei[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amountWei);
        _pay(to, amountWei);
    }

    /// @inheritdoc IOprfDisputes
    function isRight(Answer calldata answer, INodeRegistry.KeyMaterial calldata keys) external view returns (bool) {
        (, bytes32 share, ) = REGISTRY.verificationSharesOf(answer.committeeId, answer.generation, answer.index, keys);
        _requireKeysOf(answer, keys);
        return _isRight(share, answer);
    }

    /// @inheritdoc IOprfDisputes
    function isEvaluation(
        CommitteeId id,
        uint32 generation,
        uint16 index,
        bytes32 blinded,
        bytes32 evaluated,
        OprfEvaluation.Proof calldata proof,
        INodeRegistry.KeyMaterial calldata keys
    ) external view returns (bool) {
        (, bytes32 share, ) = REGISTRY.verificationSharesOf(id, generation, index, keys);
        return OprfEvaluation.isEvaluation(share, blinded, evaluated, proof);
    }

    /// @inheritdoc IOprfDisputes
    function answerDigest(Answer calldata answer) public view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPE, NAME, VERSION, block.chainid, REGISTRY));
        // All members are static, so the answer encodes as its words one after the other.
        bytes32 message = keccak256(abi.encode(ANSWER_TYPE, answer));
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    function _pay(address payable to, uint256 amountWei) private {
        (bool paid, ) = to.call{ value: amountWei }("");
        if (!paid) revert TransferFailed(to, amountWei);
    }

    /// @dev The registry makes sure that the generation has these keys, this that the node answered with them.
    function _requireKeysOf(Answer calldata answer, INodeRegistry.KeyMaterial calldata keys) private pure {
        bytes32 given = keccak256(abi.encode(keys));
        if (given != answer.keyMaterialHash) revert INodeRegistry.OtherKeyMaterial(answer.keyMaterialHash, given);
    }

    function _isRight(bytes32 share, Answer calldata answer) private view returns (bool) {
        OprfEvaluation.Proof memory proof = OprfEvaluation.Proof(answer.c, answer.s);
        return OprfEvaluation.isComposite(share, answer.blinded, answer.evaluated, proof);
    }
}
