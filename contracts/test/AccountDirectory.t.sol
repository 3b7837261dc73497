// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AccountDirectory } from "../AccountDirectory.sol";
import { IAccountDirectory } from "../interfaces/IAccountDirectory.sol";
import { AccountDirectoryBase } from "./AccountDirectoryBase.t.sol";
import { vm } from "./Vm.sol";

contract AccountDirectoryTest is AccountDirectoryBase {
    address private _old;
    address private _new;
    address private _third;
    address private _stranger;
    uint256 private _oldKey;
    uint256 private _newKey;
    uint256 private _thirdKey;
    uint256 private _strangerKey;
    uint64 private _deadline;

    function setUp() public {
        vm.warp(1_800_000_000);
        vm.roll(77);
        _directory = new AccountDirectory();
        (_old, _oldKey) = _account("old");
        (_new, _newKey) = _account("new");
        (_third, _thirdKey) = _account("third");
        (_stranger, _strangerKey) = _account("stranger");
        _deadline = uint64(block.timestamp);
    }

    function _expectInvalid(address account) private {
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidSignature.selector, account));
    }

    function _send(bytes memory handover, bytes memory first, bytes memory second) private {
        _directory.replace(_old, _new, handover, _deadline, first, second);
    }

    function test_namesASuccessorWithBothSignatures() public {
        vm.expectEmit(address(_directory));
        emit IAccountDirectory.AccountReplaced(_old, _new);
        vm.prank(_stranger);
        _replace(_old, _oldKey, _new, _newKey);

        IAccountDirectory.Replacement memory replacement = _directory.replacementOf(_old);
        vm.assertEq(replacement.successor, _new);
        vm.assertEq(replacement.replacedAt, block.timestamp);
        vm.assertEq(replacement.replacedAtBlock, block.number);
        vm.assertEq(_directory.handoverOf(_old), "handover");
        vm.assertEq(_directory.replacementOf(_new).successor, address(0));
        vm.assertEq(_directory.handoverOf(_new), "");
        vm.assertEq(_directory.predecessorOf(_new), _old);
        vm.assertEq(_directory.originOf(_new), _old);
        vm.assertEq(_directory.originOf(_old), _old);
    }

    function test_onlyTheLastOfALineActsForTheOthers() public {
        vm.assertTrue(_directory.mayActFor(_old, _old));
        vm.assertFalse(_directory.mayActFor(_new, _old));
        _replace(_old, _oldKey, _new, _newKey);
        vm.assertFalse(_directory.mayActFor(_old, _old));
        vm.assertFalse(_directory.mayActFor(_old, _new));
        vm.assertTrue(_directory.mayActFor(_new, _old));
        vm.assertTrue(_directory.mayActFor(_new, _new));
        _replace(_new, _newKey, _third, _thirdKey);
        vm.assertFalse(_directory.mayActFor(_new, _old));
        vm.assertFalse(_directory.mayActFor(_new, _new));
        vm.assertTrue(_directory.mayActFor(_third, _old));
        vm.assertTrue(_directory.mayActFor(_third, _new));
        vm.assertFalse(_directory.mayActFor(_stranger, _old));
        vm.assertFalse(_directory.mayActFor(_third, _stranger));
    }

    function test_nobodyNamesAloneOrForAnother() public {
        bytes memory byOld = _signSuccession(_oldKey, _old, _new, "h", _deadline);
        bytes memory byNew = _signSuccession(_newKey, _old, _new, "h", _deadline);
        bytes memory byStranger = _signSuccession(_strangerKey, _old, _new, "h", _deadline);
        _expectInvalid(_old);
        _send("h", byStranger, byNew);
        _expectInvalid(_new);
        _send("h", byOld, byStranger);
        // The signatures of the two, but in each other's place.
        _expectInvalid(_old);
        _send("h", byNew, byOld);
        _expectInvalid(_old);
        _send("h", "", byNew);
        // A handover that neither signed.
        _expectInvalid(_old);
        _send("i", byOld, byNew);
    }

    function test_signaturesForAnotherChainOrContractNameNothing() public {
        bytes memory byNew = _signSuccession(_newKey, _old, _new, "h", _deadline);
        bytes memory elsewhere = _signSuccessionFor(
            _oldKey,
            _old,
            _new,
            "h",
            _deadline,
            block.chainid + 1,
            address(_directory)
        );
        _expectInvalid(_old);
        _send("h", elsewhere, byNew);
        elsewhere = _signSuccessionFor(_oldKey, _old, _new, "h", _deadline, block.chainid, _stranger);
        _expectInvalid(_old);
        _send("h", elsewhere, byNew);
    }

    function test_signaturesEndWithTheirDeadline() public {
        bytes memory byOld = _signSuccession(_oldKey, _old, _new, "h", _deadline);
        bytes memory byNew = _signSuccession(_newKey, _old, _new, "h", _deadline);
        vm.warp(_deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAccountDirectory.DeadlinePassed.selector, _deadline, uint64(_deadline + 1))
        );
        _send("h", byOld, byNew);
        vm.warp(_deadline);
        _send("h", byOld, byNew);
    }

    function test_aNamingIsForGood() public {
        _replace(_old, _oldKey, _new, _newKey);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadyReplaced.selector, _old, _new));
        _replace(_old, _oldKey, _stranger, _strangerKey);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadyReplaced.selector, _old, _new));
        _replace(_old, _oldKey, _new, _newKey);
        bytes memory byOld = _signSuccession(_oldKey, _old, _new, "another handover", _deadline);
        bytes memory byNew = _signSuccession(_newKey, _old, _new, "another handover", _deadline);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadyReplaced.selector, _old, _new));
        _send("another handover", byOld, byNew);
        vm.assertEq(_directory.handoverOf(_old), "handover");
    }

    function test_linesDoNotBranchMeetOrClose() public {
        _replace(_old, _oldKey, _new, _newKey);
        // Two accounts with one successor.
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadySuccessor.selector, _new, _old));
        _replace(_stranger, _strangerKey, _new, _newKey);
        // Back to an account that was replaced, which whoever has the stolen key would sign.
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadyReplaced.selector, _old, _new));
        _replace(_new, _newKey, _old, _oldKey);
        _replace(_new, _newKey, _third, _thirdKey);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadyReplaced.selector, _old, _new));
        _replace(_third, _thirdKey, _old, _oldKey);
        vm.assertEq(_directory.originOf(_third), _old);
    }

    function test_refusesOneAccountInBothPlaces() public {
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotTwoAccounts.selector, _old, _old));
        _replace(_old, _oldKey, _old, _oldKey);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotTwoAccounts.selector, _old, address(0)));
        _replace(_old, _oldKey, address(0), _newKey);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotTwoAccounts.selector, address(0), _new));
        _replace(address(0), _oldKey, _new, _newKey);
    }

    function test_boundsTheHandover() public {
        bytes memory handover = new bytes(_directory.MAX_HANDOVER_BYTES() + 1);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.HandoverLength.selector, 128, 129));
        _send(
            handover,
            _signSuccession(_oldKey, _old, _new, handover, _deadline),
            _signSuccession(_newKey, _old, _new, handover, _deadline)
        );
        handover = new bytes(_directory.MAX_HANDOVER_BYTES());
        _send(
            handover,
            _signSuccession(_oldKey, _old, _new, handover, _deadline),
            _signSuccession(_newKey, _old, _new, handover, _deadline)
        );
    }

    function test_tellsWhatToSign() public view {
        bytes32 digest = _directory.successionSignatureHash(_old, _new, keccak256("h"), _deadline);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_oldKey, digest);
        vm.assertEq(abi.encodePacked(r, s, v), _signSuccession(_oldKey, _old, _new, "h", _deadline));
    }

    function testFuzz_nobodyElseIsTouched(address account, address owner) public {
        vm.assume(account != _old && account != _new && owner != account);
        _replace(_old, _oldKey, _new, _newKey);
        vm.assertEq(_directory.replacementOf(account).successor, address(0));
        vm.assertEq(_directory.predecessorOf(account), address(0));
        vm.assertTrue(_directory.mayActFor(account, account));
        vm.assertFalse(_directory.mayActFor(account, owner));
    }
}
