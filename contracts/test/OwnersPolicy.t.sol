// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AccountDirectory } from "../AccountDirectory.sol";
import { IAccountDirectory } from "../interfaces/IAccountDirectory.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";
import { IOwnersPolicy } from "../interfaces/IOwnersPolicy.sol";
import { IReleasePolicy } from "../interfaces/IReleasePolicy.sol";
import { KeyLedger } from "../KeyLedger.sol";
import { OwnersPolicy } from "../policies/OwnersPolicy.sol";
import { AccountDirectoryBase } from "./AccountDirectoryBase.t.sol";
import { KeyLedgerBase } from "./KeyLedgerBase.t.sol";
import { vm } from "./Vm.sol";

contract OwnersPolicyTest is KeyLedgerBase, AccountDirectoryBase {
    OwnersPolicy private _policy;
    address private _maker;
    address private _joiner;
    address private _stranger;
    uint256 private _makerKey;
    uint256 private _joinerKey;
    IKeyLedger.KeyRecord private _record;
    /// @dev The secret id of the record.
    bytes32 private _id;

    function setUp() public {
        _deployLedger();
        _directory = new AccountDirectory();
        _policy = new OwnersPolicy(_ledger, _directory);
        (_maker, _makerKey) = _account("maker");
        (_joiner, _joinerKey) = _account("joiner");
        (_stranger, ) = _account("stranger");
        (address ownership, uint256 ownershipKey) = _account("file");
        uint64 time = uint64(block.timestamp);
        _record = IKeyLedger.KeyRecord(_maker, bytes32("tag"), ACTIVE, time, ownership, "payload");
        _id = _secretId(_record);
        _ledger.record(_record, time, _signRecord(_makerKey, _record, time));
        _ledger.addOwner(
            _header(_record),
            _joiner,
            "",
            time,
            _signOwnership(ownershipKey, _record, _joiner),
            _signAddOwner(_joinerKey, _record, _joiner, "", time)
        );
    }

    function _ask(address requester, bytes memory evidence) private view returns (bool) {
        return _ask(_id, requester, _contextWith(_maker, evidence));
    }

    function _contextWith(
        address author,
        bytes memory evidence
    ) private view returns (IReleasePolicy.ReleaseContext memory) {
        return IReleasePolicy.ReleaseContext(address(_ledger), 1, author, "key", "", evidence);
    }

    function _secretId(IKeyLedger.KeyRecord memory r) private pure returns (bytes32) {
        return keccak256(abi.encode(r.account, r.fileTag, r.committeeId, r.keyTime, r.ownershipKey));
    }

    function _ask(
        bytes32 id,
        address requester,
        IReleasePolicy.ReleaseContext memory context
    ) private view returns (bool) {
        return _policy.mayRelease(id, requester, abi.encode(context));
    }

    function test_releasesToListedOwnersAndToTheMaker() public view {
        vm.assertTrue(_ask(_joiner, abi.encode(_header(_record))));
        vm.assertTrue(_ask(_maker, abi.encode(_header(_record))));
        // Without the header, nothing leads from the secret to a record.
        vm.assertFalse(_ask(_maker, ""));
        vm.assertFalse(_ask(_joiner, ""));
    }

    function test_namesASecretByAllOfTheHeaderButThePayload() public view {
        IKeyLedger.RecordHeader memory header = _header(_record);
        vm.assertEq(_policy.secretIdOf(header), _id);
        header.payloadHash = bytes32("other");
        vm.assertEq(_policy.secretIdOf(header), _id);
    }

    /// @dev A requester who owns one record must not have the secret of another one released.
    function test_ofAnotherRecordThanTheSecretsReleasesNothing() public {
        (address maker, uint256 key) = _account("maker of another");
        IKeyLedger.KeyRecord memory other = _record;
        other.account = maker;
        _ledger.record(other, other.keyTime, _signRecord(key, other, other.keyTime));
        vm.assertFalse(_ask(maker, abi.encode(_header(other))));
        vm.assertFalse(_ask(maker, abi.encode(_header(_record))));
        bytes memory own = abi.encode(_header(other));
        vm.assertTrue(_ask(_secretId(other), maker, _contextWith(maker, own)));
    }

    function test_releasesToNobodyElse() public view {
        IKeyLedger.RecordHeader memory header = _header(_record);
        vm.assertFalse(_ask(_stranger, abi.encode(header)));
        header.account = _stranger;
        vm.assertFalse(_ask(_stranger, abi.encode(header)));
        vm.assertFalse(_ask(address(0), abi.encode(_header(_record))));
        bytes memory longer = abi.encodePacked(abi.encode(_header(_record)), bytes1(0));
        vm.assertFalse(_ask(_maker, longer));
    }

    function test_ofARecordThatIsNotOnTheLedgerReleasesNothing() public {
        IKeyLedger.KeyRecord memory other = _record;
        (other.account, other.payload) = (_stranger, "never recorded");
        bytes32 id = _secretId(other);
        bytes memory evidence = abi.encode(_header(other));
        IReleasePolicy.ReleaseContext memory context = IReleasePolicy.ReleaseContext(
            address(_ledger),
            1,
            _stranger,
            "key",
            "",
            evidence
        );
        vm.assertFalse(_ask(id, _stranger, context));
        KeyLedger elsewhere = new KeyLedger(_registry);
        context.ledger = address(elsewhere);
        context.evidence = abi.encode(_header(_record));
        vm.assertFalse(_ask(_id, _joiner, context));
    }

    /// @dev The same secret id, and bytes that nobody has recorded.
    function test_ofAnotherPayloadThanTheRecordedReleasesNothing() public view {
        IKeyLedger.RecordHeader memory header = _header(_record);
        header.payloadHash = bytes32("other");
        vm.assertFalse(_ask(_maker, abi.encode(header)));
    }

    function test_dataOfItsOwnReleasesNothing() public view {
        IReleasePolicy.ReleaseContext memory context = IReleasePolicy.ReleaseContext(
            address(_ledger),
            1,
            _maker,
            "key",
            "data",
            abi.encode(_header(_record))
        );
        vm.assertFalse(_ask(_id, _joiner, context));
    }

    function test_malformedContextReverts() public {
        vm.expectRevert();
        _policy.mayRelease(_id, _joiner, hex"00");
    }

    function test_staysWithinTheGasCap() public view {
        vm.assertTrue(_ask(_joiner, abi.encode(_header(_record))));
        vm.assertLt(vm.lastCallGas().gasTotalUsed, 100_000);
    }

    function test_ofAReplacedOwnerReleasesToItsSuccessorAlone() public {
        (address heir, uint256 heirKey) = _account("heir");
        (address last, uint256 lastKey) = _account("last");
        bytes memory own = abi.encode(_header(_record));
        bytes memory ofMaker = abi.encode(_header(_record), _maker);
        bytes memory ofJoiner = abi.encode(_header(_record), _joiner);
        vm.assertFalse(_ask(heir, ofMaker));
        _replace(_maker, _makerKey, heir, heirKey);
        vm.assertFalse(_ask(_maker, own));
        vm.assertFalse(_ask(_maker, ofMaker));
        vm.assertTrue(_ask(heir, ofMaker));
        vm.assertFalse(_ask(heir, own));
        vm.assertFalse(_ask(heir, ofJoiner));
        vm.assertFalse(_ask(heir, abi.encode(_header(_record), _stranger)));
        _replace(heir, heirKey, last, lastKey);
        vm.assertFalse(_ask(heir, ofMaker));
        vm.assertTrue(_ask(last, ofMaker));
        vm.assertLt(vm.lastCallGas().gasTotalUsed, 100_000);

        (address heirOfJoiner, uint256 key) = _account("heir of joiner");
        _replace(_joiner, _joinerKey, heirOfJoiner, key);
        vm.assertFalse(_ask(_joiner, own));
        vm.assertTrue(_ask(heirOfJoiner, ofJoiner));
        vm.assertFalse(_ask(heirOfJoiner, ofMaker));
    }

    /// @dev One that reads has released what its account owns; one that writes not even what it has recorded itself.
    function test_ofADelegateFollowsItsScope() public {
        uint64 expiry = uint64(block.timestamp) + 1000;
        (address reader, uint256 readerKey) = _account("reader");
        (address writer, uint256 writerKey) = _account("writer");
        _delegate(_maker, _makerKey, reader, readerKey, 1, expiry);
        _delegate(_maker, _makerKey, writer, writerKey, 2, expiry);
        bytes memory ofMaker = abi.encode(_header(_record), _maker);
        vm.assertTrue(_ask(reader, ofMaker));
        vm.assertLt(vm.lastCallGas().gasTotalUsed, 100_000);
        vm.assertFalse(_ask(reader, abi.encode(_header(_record), _joiner)));
        vm.assertFalse(_ask(writer, ofMaker));

        IKeyLedger.KeyRecord memory own = _record;
        own.account = writer;
        _ledger.record(own, own.keyTime, _signRecord(writerKey, own, own.keyTime));
        bytes32 id = _secretId(own);
        bytes memory ofWriter = abi.encode(_header(own), writer);
        vm.assertFalse(_ask(id, writer, _contextWith(writer, abi.encode(_header(own)))));
        vm.assertTrue(_ask(id, _maker, _contextWith(writer, ofWriter)));
        vm.assertTrue(_ask(id, reader, _contextWith(writer, ofWriter)));
        vm.assertFalse(_ask(id, _joiner, _contextWith(writer, ofWriter)));

        vm.warp(expiry);
        vm.assertFalse(_ask(reader, ofMaker));
        vm.warp(expiry - 1);
        _directory.revoke(_maker, reader, _signRevocation(_makerKey, _maker, reader));
        vm.assertFalse(_ask(reader, ofMaker));
    }

    /// @dev A right that an account names must be its own or that of its line.
    function test_namingAnotherOwnerReleasesNothing() public view {
        vm.assertTrue(_ask(_joiner, abi.encode(_header(_record), _joiner)));
        vm.assertFalse(_ask(_stranger, abi.encode(_header(_record), _maker)));
        vm.assertFalse(_ask(_joiner, abi.encode(_header(_record), _maker)));
    }

    function test_refusesALedgerOrDirectoryWithoutCode() public {
        vm.expectRevert(abi.encodeWithSelector(IOwnersPolicy.NotAContract.selector, _stranger));
        new OwnersPolicy(IKeyLedger(_stranger), _directory);
        vm.expectRevert(abi.encodeWithSelector(IOwnersPolicy.NotAContract.selector, _stranger));
        new OwnersPolicy(_ledger, IAccountDirectory(_stranger));
    }

    /// @dev Whoever sealed the secret, in whichever version, all owners have the same right, and nobody else has any.
    function testFuzz_theAnswerDoesNotDependOnWhoSealed(
        uint32 version,
        address author,
        bytes32 sessionKey,
        address requester
    ) public view {
        IReleasePolicy.ReleaseContext memory context = IReleasePolicy.ReleaseContext(
            address(_ledger),
            version,
            author,
            sessionKey,
            "",
            abi.encode(_header(_record))
        );
        vm.assertTrue(_ask(_id, _joiner, context));
        vm.assertTrue(_ask(_id, _maker, context));
        vm.assertEq(_ask(_id, requester, context), requester == _joiner || requester == _maker);
    }
}
