// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../NodeRegistry.sol";
import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { IOprfDisputes } from "../interfaces/IOprfDisputes.sol";
import { OprfEvaluation } from "../libraries/OprfEvaluation.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { OprfProver } from "./OprfProver.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @dev A registry with an active committee of two nodes, whose keys the test knows, and answers that they sign.
abstract contract OprfDisputesBase is TestBase {
    uint256 internal constant STAKE = 1 ether;
    uint256 internal constant BOND = 0.01 ether;
    uint64 internal constant DELAY = 3 days;
    uint256 internal constant KEY = 0x1234567;
    uint256 internal constant NONCE = 0x89abcdef;

    NodeRegistry internal _registry;
    IOprfDisputes internal _disputes;
    CommitteeId internal _id;
    INodeRegistry.KeyMaterial internal _keys;
    address internal _node;
    uint256 internal _nodeKey;
    address internal _colleague;
    uint256 internal _colleagueKey;
    address internal _user;
    address internal _challenger;

    function _build() internal {
        vm.warp(1_800_000_000);
        _registry = new NodeRegistry(STAKE, DELAY);
        _disputes = IOprfDisputes(_registry.DISPUTES());
        (_node, _nodeKey) = _account("node");
        (_colleague, _colleagueKey) = _account("colleague");
        (_user, ) = _account("user");
        (_challenger, ) = _account("challenger");
        _register(_node, STAKE);
        _register(_colleague, STAKE);
        address[] memory members = new address[](2);
        (members[0], members[1]) = (_node, _colleague);
        vm.prank(_node);
        _id = _registry.createCommittee(members, 1);
        bytes32[] memory shares = new bytes32[](2);
        (shares[0], shares[1]) = (OprfProver.element(KEY), OprfProver.element(KEY + 1));
        // Before the prank, which the precompile for square roots would use up.
        bytes32 group = OprfProver.element(KEY - 1);
        _keys = INodeRegistry.KeyMaterial(group, group, shares, shares);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(members[i]);
            _registry.attestGeneration(_id, 1, _keys);
        }
    }

    function _register(address node, uint256 stake) internal {
        vm.deal(node, node.balance + stake);
        vm.prank(node);
        _registry.registerNode{ value: stake }("http://node", bytes32("hpke"));
    }

    /// @dev A right answer of the first node.
    function _rightAnswer() internal view returns (IOprfDisputes.Answer memory answer) {
        bytes32 blinded = OprfProver.element(77);
        (bytes32 evaluated, OprfEvaluation.Proof memory proof) = OprfProver.prove(KEY, NONCE, blinded);
        bytes32 keys = _registry.hashKeyMaterial(_keys);
        return IOprfDisputes.Answer(_id, 1, keys, 1, _user, blinded, evaluated, proof.c, proof.s);
    }

    /// @dev An answer of the first node whose evaluation is that of another key.
    function _wrongAnswer() internal view returns (IOprfDisputes.Answer memory answer) {
        answer = _rightAnswer();
        answer.evaluated = answer.blinded;
    }

    function _signed(IOprfDisputes.Answer memory answer, uint256 privateKey) internal view returns (bytes memory) {
        return _signature(privateKey, _disputes.answerDigest(answer));
    }

    function _challenge(IOprfDisputes.Answer memory answer, bytes memory signature) internal returns (bool) {
        vm.deal(_challenger, _challenger.balance + BOND);
        vm.prank(_challenger);
        return _disputes.challenge{ value: BOND }(answer, signature, _keys);
    }
}
