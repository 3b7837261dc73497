// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecoveryPolicy } from "../interfaces/IRecoveryPolicy.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { RecoveryPolicyBase } from "./RecoveryPolicyBase.t.sol";
import { vm } from "./Vm.sol";

contract RecoveryPublicationTest is RecoveryPolicyBase {
    CommitteeId private constant COMMITTEE = CommitteeId.wrap(7);
    bytes private constant SEALED = hex"01020304";

    function setUp() public {
        _deployPolicy();
    }

    function test_publicationIsReadBackFromState() public {
        _publish(_author, 1, _data(), SEALED);
        IRecoveryPolicy.Publication memory p = _read(_author);
        vm.assertEq(p.version, 1);
        vm.assertTrue(p.committeeId == COMMITTEE);
        vm.assertEq(keccak256(abi.encode(p.data)), keccak256(abi.encode(_data())));
        vm.assertEq(keccak256(p.sealedSecret), keccak256(SEALED));
        vm.assertEq(_read(_thief).version, 0);
    }

    function test_eventsNameTheSecretTheWalletAndEachGuardian() public {
        (address ledger, bytes32 recordId) = (_secret().ledger, _secret().recordId);
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.SecretPublished(_author, ledger, recordId, 1, COMMITTEE);
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryNamed(_author, _wallet, IRecoveryPolicy.Path.Wallet, ledger, recordId, 1);
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(_policy));
            emit IRecoveryPolicy.RecoveryNamed(
                _author,
                _guardians[i],
                IRecoveryPolicy.Path.Guardians,
                ledger,
                recordId,
                1
            );
        }
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.VersionsRetired(_author, ledger, recordId, 1);
        _publish(_author, 1, _data(), SEALED);
    }

    function test_nobodyChangesThePublicationOfAnother() public {
        _publish(_author, 1, _data(), SEALED);
        _publish(_thief, 1, _data(), hex"666666");
        vm.assertEq(keccak256(_read(_author).sealedSecret), keccak256(SEALED));
    }

    function test_nextVersionRetiresTheEarlierOneWithItsRequests() public {
        _publish(_author, 1, _data(), SEALED);
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY);
        vm.assertTrue(_isReleased(_wallet, KEY));
        IRecoveryPolicy.RecoveryData memory fewer = _data();
        fewer.guardians = new address[](1);
        (fewer.guardians[0], fewer.threshold) = (_guardians[1], 1);
        _publish(_author, 2, fewer, hex"0506");
        vm.assertFalse(_isReleased(_wallet, KEY));
        vm.assertEq(_policy.firstLiveVersion(_secret().ledger, _secret().recordId, _author), 2);
        IRecoveryPolicy.Publication memory p = _read(_author);
        vm.assertEq(keccak256(abi.encode(p.data)), keccak256(abi.encode(fewer)));
        vm.assertEq(keccak256(p.sealedSecret), keccak256(hex"0506"));
    }

    function test_versionFollowsThePublishedAndTheRetiredOnes() public {
        _refuse(abi.encodeWithSelector(IRecoveryPolicy.WrongVersion.selector, 1, 0), 0, SEALED);
        _refuse(abi.encodeWithSelector(IRecoveryPolicy.WrongVersion.selector, 1, 2), 2, SEALED);
        _publish(_author, 1, _data(), SEALED);
        _refuse(abi.encodeWithSelector(IRecoveryPolicy.WrongVersion.selector, 2, 1), 1, SEALED);
        _retire(5);
        _refuse(abi.encodeWithSelector(IRecoveryPolicy.WrongVersion.selector, 5, 2), 2, SEALED);
        _publish(_author, 5, _data(), SEALED);
        vm.assertEq(_policy.firstLiveVersion(_secret().ledger, _secret().recordId, _author), 5);
        vm.assertEq(_read(_author).version, 5);
    }

    function test_lengthsAndDataAreChecked() public {
        _refuse(abi.encodeWithSelector(IRecoveryPolicy.SealedSecretLength.selector, 1169, 0), 1, "");
        bytes memory long = new bytes(1170);
        _refuse(abi.encodeWithSelector(IRecoveryPolicy.SealedSecretLength.selector, 1169, 1170), 1, long);
        _publish(_author, 1, _data(), new bytes(1169));
        IRecoveryPolicy.RecoveryData memory nobody;
        nobody.window = WINDOW;
        (address ledger, bytes32 recordId) = (_secret().ledger, _secret().recordId);
        vm.expectRevert(IRecoveryPolicy.NobodyNamed.selector);
        vm.prank(_author);
        _policy.publish(ledger, recordId, 2, COMMITTEE, nobody, SEALED);
    }

    function _publish(
        address author,
        uint32 version,
        IRecoveryPolicy.RecoveryData memory data,
        bytes memory sealedSecret
    ) private {
        (address ledger, bytes32 recordId) = (_secret().ledger, _secret().recordId);
        vm.prank(author);
        _policy.publish(ledger, recordId, version, COMMITTEE, data, sealedSecret);
    }

    function _refuse(bytes memory reason, uint32 version, bytes memory sealedSecret) private {
        (address ledger, bytes32 recordId) = (_secret().ledger, _secret().recordId);
        vm.expectRevert(reason);
        vm.prank(_author);
        _policy.publish(ledger, recordId, version, COMMITTEE, _data(), sealedSecret);
    }

    function _read(address author) private view returns (IRecoveryPolicy.Publication memory) {
        return _policy.publicationOf(_secret().ledger, _secret().recordId, author);
    }
}
