// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { KeyLedger } from "../KeyLedger.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";
import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { KeyLedgerBase } from "./KeyLedgerBase.t.sol";
import { ReentrantWallet } from "./Wallets.t.sol";
import { vm } from "./Vm.sol";
import { OddWallet, SingleKeyWallet } from "./zoo/SignatureWallets.sol";

contract KeyLedgerTest is KeyLedgerBase {
    bytes32 private constant TAG = keccak256("file");
    /// @dev Order of secp256k1, for the second signature that every signature has.
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    address private _alice;
    uint256 private _aliceKey;
    address private _bob;
    uint256 private _bobKey;
    address private _fileKeyAddress;
    uint256 private _fileKey;
    address private _relay;
    uint64 private _now;
    uint64 private _deadline;

    function setUp() public {
        _deployLedger();
        (_alice, _aliceKey) = _account("alice");
        (_bob, _bobKey) = _account("bob");
        (_fileKeyAddress, _fileKey) = _account("file key");
        (_relay, ) = _account("relay");
        _now = uint64(block.timestamp);
        _deadline = _now + 600;
    }

    // Deployment

    function test_refuses_a_registry_without_code() public {
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.NotAContract.selector, _alice));
        new KeyLedger(INodeRegistry(_alice));
    }

    /// @dev INV-1: there is no payable function, no receive and no fallback.
    function test_refuses_ether() public {
        vm.deal(address(this), 1 ether);
        (bool taken, ) = address(_ledger).call{ value: 1 }("");
        vm.assertFalse(taken);
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes memory data = abi.encodeCall(IKeyLedger.record, (r, _deadline, _signRecord(_aliceKey, r, _deadline)));
        (taken, ) = address(_ledger).call{ value: 1 }(data);
        vm.assertFalse(taken);
        (taken, ) = address(_ledger).call(data);
        vm.assertTrue(taken);
    }

    // Hashes

    function test_hashes_as_specified() public view {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes32 domain = _domain(block.chainid, address(_ledger));
        vm.assertEq(_ledger.recordIdOf(_header(r)), _recordId(r));
        vm.assertEq(_ledger.recordSignatureHash(_header(r), _deadline), _typed(domain, _recordMessage(r, _deadline)));
        vm.assertEq(address(_ledger.REGISTRY()), address(_registry));
    }

    // Recording

    function test_records_what_the_account_signed_whoever_relays() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes memory signature = _signRecord(_aliceKey, r, _deadline);
        vm.expectEmit(address(_ledger));
        emit IKeyLedger.KeyRecorded(TAG, _alice, ACTIVE, _now, _fileKeyAddress, r.payload);
        vm.prank(_relay);
        _ledger.record(r, _deadline, signature);

        vm.assertEq(_ledger.recordedAt(_recordId(r)), _now);
        vm.assertFalse(_ledger.isOwner(_recordId(r), _alice));
    }

    function test_keeps_state_in_one_slot() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _record(r);
        // `recordedAt` is the first mapping after the two fallback strings of EIP712.
        bytes32 slot = keccak256(abi.encode(_recordId(r), uint256(2)));
        vm.assertEq(vm.load(address(_ledger), slot), bytes32(uint256(_now)));
    }

    function test_refuses_a_replay() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _record(r);
        vm.warp(_now + 1);
        bytes memory signature = _signRecord(_aliceKey, r, _deadline);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.AlreadyRecorded.selector, _recordId(r)));
        _ledger.record(r, _deadline, signature);
        vm.assertEq(_ledger.recordedAt(_recordId(r)), _now);
    }

    function test_two_devices_record_in_one_second() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        IKeyLedger.KeyRecord memory other = _aliceRecord();
        other.payload = "of the other device";
        _record(r);
        _record(other);
        vm.assertEq(_ledger.recordedAt(_recordId(r)), _now);
        vm.assertEq(_ledger.recordedAt(_recordId(other)), _now);
    }

    function test_a_renewal_takes_nothing_from_the_record_before() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _record(r);
        bytes memory wanted = _signAddOwner(_bobKey, r, _bob, "", _deadline);
        _ledger.addOwner(_header(r), _bob, "", _deadline, _signOwnership(_fileKey, r, _bob), wanted);

        IKeyLedger.KeyRecord memory newer = _aliceRecord();
        newer.keyTime = _now + 1;
        newer.payload = "newer";
        vm.warp(_now + 1);
        _record(newer);
        vm.assertEq(_ledger.recordedAt(_recordId(r)), _now);
        vm.assertEq(_ledger.recordedAt(_recordId(newer)), _now + 1);
        vm.assertTrue(_ledger.isOwner(_recordId(r), _bob));
        vm.assertFalse(_ledger.isOwner(_recordId(newer), _bob));

        // Both can be joined.
        (address carol, uint256 carolKey) = _account("carol");
        for (uint256 i = 0; i < 2; ++i) {
            IKeyLedger.KeyRecord memory each = i == 0 ? r : newer;
            wanted = _signAddOwner(carolKey, each, carol, "", _deadline);
            _ledger.addOwner(_header(each), carol, "", _deadline, _signOwnership(_fileKey, each, carol), wanted);
            vm.assertTrue(_ledger.isOwner(_recordId(each), carol));
        }
    }

    function test_takes_key_times_up_to_the_allowed_skew_and_none_beyond() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        r.keyTime = _now + 301;
        bytes memory signature = _signRecord(_aliceKey, r, _deadline);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.FutureKeyTime.selector, _now + 300, _now + 301));
        _ledger.record(r, _deadline, signature);
        r.keyTime = _now + 300;
        _record(r);
    }

    function test_takes_signatures_until_their_deadline_and_not_after() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes memory signature = _signRecord(_aliceKey, r, _deadline);
        vm.warp(_deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.DeadlinePassed.selector, _deadline, _deadline + 1));
        _ledger.record(r, _deadline, signature);
        // A relay cannot change the deadline, because it is signed.
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.InvalidSignature.selector, _alice));
        _ledger.record(r, _deadline + 1, signature);
        vm.warp(_deadline);
        _ledger.record(r, _deadline, signature);
    }

    function test_refuses_committees_that_are_unknown_or_forming() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        uint64[3] memory numbers = [CommitteeId.unwrap(FORMING), 3, 0];
        for (uint256 i = 0; i < numbers.length; ++i) {
            r.committeeId = CommitteeId.wrap(numbers[i]);
            bytes memory signature = _signRecord(_aliceKey, r, _deadline);
            vm.expectRevert(abi.encodeWithSelector(IKeyLedger.UnknownCommittee.selector, r.committeeId));
            _ledger.record(r, _deadline, signature);
        }
    }

    function test_refuses_every_field_that_was_not_signed() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes memory signature = _signRecord(_aliceKey, r, _deadline);
        IKeyLedger.KeyRecord memory changed = _aliceRecord();
        changed.fileTag = keccak256("other file");
        _expectInvalidSignature(changed, signature, _alice);
        changed = _aliceRecord();
        changed.account = _bob;
        _expectInvalidSignature(changed, signature, _bob);
        changed = _aliceRecord();
        changed.keyTime = _now - 1;
        _expectInvalidSignature(changed, signature, _alice);
        changed = _aliceRecord();
        changed.ownershipKey = _bob;
        _expectInvalidSignature(changed, signature, _alice);
        changed = _aliceRecord();
        changed.payload[0] = 0x00;
        _expectInvalidSignature(changed, signature, _alice);
        // The committee as well, once the other one is active too.
        (address node, ) = _account("node");
        bytes32[] memory shares = new bytes32[](1);
        shares[0] = bytes32("share");
        vm.prank(node);
        _registry.attestGeneration(
            FORMING,
            1,
            INodeRegistry.KeyMaterial(bytes32("group"), bytes32("record"), shares, shares)
        );
        changed = _aliceRecord();
        changed.committeeId = FORMING;
        _expectInvalidSignature(changed, signature, _alice);

        vm.assertEq(_ledger.recordedAt(_recordId(r)), 0);
        _ledger.record(r, _deadline, signature);
    }

    function test_refuses_signatures_of_others_and_of_other_domains() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes32 message = _recordMessage(r, _deadline);
        _expectInvalidSignature(r, _signRecord(_bobKey, r, _deadline), _alice);
        _expectInvalidSignature(
            r,
            _signature(_aliceKey, _typed(_domain(block.chainid + 1, address(_ledger)), message)),
            _alice
        );
        _expectInvalidSignature(
            r,
            _signature(_aliceKey, _typed(_domain(block.chainid, address(_registry)), message)),
            _alice
        );
    }

    function test_refuses_malformed_and_malleable_signatures() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes memory signature = _signRecord(_aliceKey, r, _deadline);
        _expectInvalidSignature(r, "", _alice);
        _expectInvalidSignature(r, new bytes(65), _alice);
        _expectInvalidSignature(r, bytes.concat(signature, hex"00"), _alice);
        (uint8 v, bytes32 rr, bytes32 s) = vm.sign(
            _aliceKey,
            _typed(_domain(block.chainid, address(_ledger)), _recordMessage(r, _deadline))
        );
        _expectInvalidSignature(r, abi.encodePacked(rr, bytes32(ORDER - uint256(s)), v == 27 ? 28 : 27), _alice);
        _ledger.record(r, _deadline, abi.encodePacked(rr, s, v));
    }

    function test_refuses_empty_and_oversize_payloads_and_zero_addresses() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        r.payload = "";
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.PayloadLength.selector, 16_384, 0));
        _ledger.record(r, _deadline, "");
        r.payload = new bytes(16_385);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.PayloadLength.selector, 16_384, 16_385));
        _ledger.record(r, _deadline, "");
        r.payload = new bytes(16_384);
        _record(r);

        r = _aliceRecord();
        r.account = address(0);
        vm.expectRevert(IKeyLedger.ZeroAccount.selector);
        _ledger.record(r, _deadline, new bytes(65));
        r = _aliceRecord();
        r.ownershipKey = address(0);
        vm.expectRevert(IKeyLedger.ZeroOwnershipKey.selector);
        _ledger.record(r, _deadline, "");
    }

    function testFuzz_records_anything_well_signed_and_nothing_else(
        uint256 key,
        uint256 otherKey,
        bytes32 tag,
        uint64 keyTime,
        address ownershipKey,
        bytes calldata payload
    ) public {
        key = _bound(key, 1, ORDER - 1);
        otherKey = _bound(otherKey, 1, ORDER - 1);
        keyTime = uint64(_bound(keyTime, 0, _now + 300));
        vm.assume(otherKey != key && payload.length > 0 && payload.length <= 16_384 && ownershipKey != address(0));
        IKeyLedger.KeyRecord memory r = IKeyLedger.KeyRecord(vm.addr(key), tag, ACTIVE, keyTime, ownershipKey, payload);
        _expectInvalidSignature(r, _signRecord(otherKey, r, _deadline), r.account);
        _ledger.record(r, _deadline, _signRecord(key, r, _deadline));
        vm.assertEq(_ledger.recordedAt(_recordId(r)), _now);
    }

    // Contract wallets

    function test_records_for_a_contract_wallet() public {
        SingleKeyWallet wallet = new SingleKeyWallet(_alice);
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        r.account = address(wallet);
        _expectInvalidSignature(r, _signRecord(_bobKey, r, _deadline), address(wallet));
        _ledger.record(r, _deadline, _signRecord(_aliceKey, r, _deadline));
        vm.assertEq(_ledger.recordedAt(_recordId(r)), _now);

        wallet.changeSigner(_bob);
        r.keyTime = _now + 1;
        _expectInvalidSignature(r, _signRecord(_aliceKey, r, _deadline), address(wallet));
        _ledger.record(r, _deadline, _signRecord(_bobKey, r, _deadline));
    }

    function test_takes_no_odd_answer_of_a_wallet_for_a_yes() public {
        for (uint8 answer = 0; answer < uint8(OddWallet.Answer.HugeYes); ++answer) {
            IKeyLedger.KeyRecord memory r = _aliceRecord();
            r.account = address(new OddWallet(OddWallet.Answer(answer)));
            _expectInvalidSignature(r, _signRecord(_aliceKey, r, _deadline), r.account);
        }
    }

    function test_lets_no_wallet_write_while_it_is_asked() public {
        ReentrantWallet wallet = new ReentrantWallet(_ledger);
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        r.account = address(wallet);
        IKeyLedger.KeyRecord memory inner = _aliceRecord();
        wallet.arm(abi.encodeCall(IKeyLedger.record, (inner, _deadline, _signRecord(_aliceKey, inner, _deadline))));
        _ledger.record(r, _deadline, "anything");
        vm.assertEq(_ledger.recordedAt(_recordId(r)), _now);
        vm.assertEq(_ledger.recordedAt(_recordId(inner)), 0);
    }

    function test_says_whether_an_account_signed_by_the_rule_it_applies_itself() public {
        bytes memory signature = _signature(_aliceKey, TAG);
        address wallet = address(new SingleKeyWallet(_alice));
        address burner = address(new OddWallet(OddWallet.Answer.BurnsAllGas));
        vm.assertTrue(_ledger.isAccountSignature(_alice, TAG, signature));
        vm.assertTrue(_ledger.isAccountSignature(wallet, TAG, signature));
        vm.assertFalse(_ledger.isAccountSignature(_bob, TAG, signature));
        vm.assertFalse(_ledger.isAccountSignature(wallet, TAG, _signature(_bobKey, TAG)));
        vm.assertFalse(_ledger.isAccountSignature(burner, TAG, signature));
    }

    function test_records_for_an_account_that_delegates_to_code_without_eip1271() public {
        vm.etch(_alice, abi.encodePacked(hex"ef0100", address(_registry)));
        vm.etch(_bob, abi.encodePacked(hex"ef0100", address(_registry)));
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _expectInvalidSignature(r, _signRecord(_bobKey, r, _deadline), _alice);
        _record(r);
        bytes memory shown = _signOwnership(_fileKey, r, _bob);
        bytes memory wanted = _signAddOwner(_bobKey, r, _bob, "", _deadline);
        _ledger.addOwner(_header(r), _bob, "", _deadline, shown, wanted);
        vm.assertTrue(_ledger.isOwner(_recordId(r), _bob));
    }

    // Batches

    function test_records_many_keys_of_an_account_at_once() public {
        IKeyLedger.RecordBatch memory batch = _batch(32);
        vm.prank(_relay);
        _ledger.recordMany(batch);
        for (uint256 i = 0; i < batch.entries.length; ++i) {
            vm.assertEq(_ledger.recordedAt(_recordId(_recordOf(batch, i))), _now);
        }
    }

    function test_emits_each_record_of_a_batch_as_if_it_was_made_alone() public {
        IKeyLedger.RecordBatch memory batch = _batch(2);
        for (uint256 i = 0; i < 2; ++i) {
            IKeyLedger.KeyRecord memory r = _recordOf(batch, i);
            vm.expectEmit(address(_ledger));
            emit IKeyLedger.KeyRecorded(r.fileTag, _alice, ACTIVE, r.keyTime, r.ownershipKey, r.payload);
        }
        _ledger.recordMany(batch);
    }

    function test_records_all_of_a_batch_or_nothing() public {
        IKeyLedger.RecordBatch memory batch = _batch(3);
        batch.entries[2].payload = "another";
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.InvalidSignature.selector, _alice));

        batch = _batch(3);
        batch.entries[2].ownershipKey = address(0);
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.ZeroOwnershipKey.selector));

        batch = _batch(3);
        batch.entries[1].payload = "";
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.PayloadLength.selector, 16_384, 0));
    }

    function test_refuses_a_batch_that_its_account_did_not_sign_so() public {
        IKeyLedger.RecordBatch memory batch = _batch(3);
        (batch.entries[0], batch.entries[1]) = (batch.entries[1], batch.entries[0]);
        bytes memory refusal = abi.encodeWithSelector(IKeyLedger.InvalidSignature.selector, _alice);
        _expectBatchRefusal(batch, refusal);

        batch = _batch(3);
        batch.deadline += 1;
        _expectBatchRefusal(batch, refusal);

        batch = _batch(3);
        batch.keyTime -= 1;
        _expectBatchRefusal(batch, refusal);

        batch = _batch(3);
        batch.account = _bob;
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.InvalidSignature.selector, _bob));

        // A signature of one record is none of a batch with that record.
        batch = _batch(1);
        batch.signature = _signRecord(_aliceKey, _recordOf(batch, 0), _deadline);
        _expectBatchRefusal(batch, refusal);
    }

    function test_holds_a_batch_to_the_rules_of_a_record() public {
        IKeyLedger.RecordBatch memory batch = _batch(2);
        batch.deadline = _now - 1;
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.DeadlinePassed.selector, _now - 1, _now));

        batch = _batch(2);
        batch.account = address(0);
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.ZeroAccount.selector));

        batch = _batch(2);
        batch.keyTime = _now + 301;
        _expectBatchRefusal(
            batch,
            abi.encodeWithSelector(IKeyLedger.FutureKeyTime.selector, _now + 300, batch.keyTime)
        );

        batch = _batch(2);
        batch.committeeId = FORMING;
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.UnknownCommittee.selector, FORMING));
    }

    function test_leaves_out_of_a_batch_what_is_recorded_already() public {
        IKeyLedger.RecordBatch memory batch = _batch(3);
        // The same one twice, and one that somebody has relayed before.
        batch.entries[2] = batch.entries[0];
        batch.signature = _signBatch(_aliceKey, batch);
        IKeyLedger.KeyRecord memory known = _recordOf(batch, 1);
        bytes memory signature = _signRecord(_aliceKey, known, _deadline);
        vm.prank(_relay);
        _ledger.record(known, _deadline, signature);
        vm.warp(_now + 1);
        vm.recordLogs();
        _ledger.recordMany(batch);
        vm.assertEq(vm.getRecordedLogs().length, 1);
        vm.assertEq(_ledger.recordedAt(_recordId(_recordOf(batch, 0))), _now + 1);
        vm.assertEq(_ledger.recordedAt(_recordId(known)), _now);
    }

    function test_refuses_empty_and_oversize_batches() public {
        IKeyLedger.RecordBatch memory batch = _batch(1);
        batch.entries = new IKeyLedger.RecordEntry[](0);
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.BatchLength.selector, 32, 0));
        batch.entries = new IKeyLedger.RecordEntry[](33);
        _expectBatchRefusal(batch, abi.encodeWithSelector(IKeyLedger.BatchLength.selector, 32, 33));
    }

    function test_the_digest_of_a_batch_is_that_of_its_typed_data() public view {
        IKeyLedger.RecordBatch memory batch = _batch(2);
        vm.assertEq(
            _ledger.recordsSignatureHash(_alice, _idsOf(batch), _deadline),
            _typed(_domain(block.chainid, address(_ledger)), _batchMessage(batch))
        );
    }

    // Owners

    function test_adds_an_owner_who_has_the_file() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _record(r);
        bytes32 id = _recordId(r);
        bytes memory shown = _signOwnership(_fileKey, r, _bob);
        bytes memory wanted = _signAddOwner(_bobKey, r, _bob, "note", _deadline);
        vm.expectEmit(address(_ledger));
        emit IKeyLedger.OwnerAdded(TAG, _bob, id, "note");
        vm.prank(_relay);
        _ledger.addOwner(_header(r), _bob, "note", _deadline, shown, wanted);
        vm.assertTrue(_ledger.isOwner(id, _bob));

        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.AlreadyOwner.selector, id, _bob));
        _ledger.addOwner(_header(r), _bob, "note", _deadline, shown, wanted);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.AlreadyOwner.selector, id, _alice));
        _ledger.addOwner(_header(r), _alice, "note", _deadline, shown, wanted);
    }

    function test_refuses_ownership_that_was_not_shown() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _record(r);
        IKeyLedger.RecordHeader memory header = _header(r);
        bytes memory shown = _signOwnership(_fileKey, r, _bob);
        bytes memory wanted = _signAddOwner(_bobKey, r, _bob, "note", _deadline);
        (address mallory, uint256 malloryKey) = _account("mallory");

        // Not by the file's key, for another account, for another record, malformed.
        _expectBadOwner(header, _bob, "note", _signOwnership(_bobKey, r, _bob), wanted, _fileKeyAddress);
        _expectBadOwner(header, _bob, "note", _signOwnership(_fileKey, r, mallory), wanted, _fileKeyAddress);
        _expectBadOwner(header, _bob, "note", _signOwnership(_fileKey, TAG, _bob), wanted, _fileKeyAddress);
        _expectBadOwner(header, _bob, "note", "", wanted, _fileKeyAddress);
        _expectBadOwner(header, _bob, "note", new bytes(65), wanted, _fileKeyAddress);
        // Mallory copies Bob's transaction and replaces his address with hers.
        _expectBadOwner(
            header,
            mallory,
            "note",
            shown,
            _signAddOwner(malloryKey, r, mallory, "note", _deadline),
            _fileKeyAddress
        );
        // Bob did not ask for this, or not for this note.
        _expectBadOwner(header, _bob, "note", shown, _signAddOwner(malloryKey, r, _bob, "note", _deadline), _bob);
        _expectBadOwner(header, _bob, "other", shown, wanted, _bob);
        _expectBadOwner(header, _bob, "note", shown, "", _bob);

        _ledger.addOwner(header, _bob, "note", _deadline, shown, wanted);
    }

    function test_refuses_owners_of_unknown_records() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        bytes32 id = _recordId(r);
        bytes memory shown = _signOwnership(_fileKey, r, _bob);
        bytes memory wanted = _signAddOwner(_bobKey, r, _bob, "note", _deadline);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.UnknownRecord.selector, id));
        _ledger.addOwner(_header(r), _bob, "note", _deadline, shown, wanted);

        _record(r);
        // A header with an ownership key of the attacker's choice.
        IKeyLedger.KeyRecord memory forged = _aliceRecord();
        forged.ownershipKey = _bob;
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.UnknownRecord.selector, _recordId(forged)));
        _ledger.addOwner(_header(forged), _bob, "note", _deadline, shown, wanted);
    }

    function test_refuses_a_joiners_signatures_for_a_record_that_was_made_after_them() public {
        IKeyLedger.KeyRecord memory checked = _aliceRecord();
        _record(checked);
        bytes memory shown = _signOwnership(_fileKey, checked, _bob);
        bytes memory wanted = _signAddOwner(_bobKey, checked, _bob, "note", _deadline);

        // Alice, who knows the file key too, publishes garbage and relays what Bob signed for the record before.
        IKeyLedger.KeyRecord memory garbage = _aliceRecord();
        garbage.payload = "garbage";
        _record(garbage);
        _expectBadOwner(_header(garbage), _bob, "note", shown, wanted, _fileKeyAddress);
        bytes memory shownByAlice = _signOwnership(_fileKey, garbage, _bob);
        _expectBadOwner(_header(garbage), _bob, "note", shownByAlice, wanted, _bob);
        vm.assertFalse(_ledger.isOwner(_recordId(garbage), _bob));

        // The record that Bob has checked stands, and he joins it.
        _ledger.addOwner(_header(checked), _bob, "note", _deadline, shown, wanted);
        vm.assertTrue(_ledger.isOwner(_recordId(checked), _bob));
    }

    function test_refuses_late_owners_and_long_notes() public {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _record(r);
        bytes memory shown = _signOwnership(_fileKey, r, _bob);
        bytes memory longest = new bytes(128);
        bytes memory wanted = _signAddOwner(_bobKey, r, _bob, longest, _deadline);

        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.NoteLength.selector, 128, 129));
        _ledger.addOwner(_header(r), _bob, new bytes(129), _deadline, shown, wanted);
        vm.warp(_deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.DeadlinePassed.selector, _deadline, _deadline + 1));
        _ledger.addOwner(_header(r), _bob, longest, _deadline, shown, wanted);
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.InvalidSignature.selector, _bob));
        _ledger.addOwner(_header(r), _bob, longest, _deadline + 1, shown, wanted);
        vm.warp(_deadline);
        _ledger.addOwner(_header(r), _bob, longest, _deadline, shown, wanted);
    }

    function test_adds_a_contract_wallet_but_takes_none_for_the_ownership_key() public {
        SingleKeyWallet wallet = new SingleKeyWallet(_bob);
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        _record(r);
        bytes32 id = _recordId(r);
        bytes memory shown = _signOwnership(_fileKey, r, address(wallet));
        bytes memory wanted = _signAddOwner(_bobKey, r, address(wallet), "", _deadline);
        _ledger.addOwner(_header(r), address(wallet), "", _deadline, shown, wanted);
        vm.assertTrue(_ledger.isOwner(id, address(wallet)));

        // The recorded "ownership key" is a contract: no signature can show ownership with it.
        r.fileTag = keccak256("second file");
        r.ownershipKey = address(wallet);
        _record(r);
        id = _recordId(r);
        _expectBadOwner(
            _header(r),
            _bob,
            "",
            _signOwnership(_bobKey, r, _bob),
            _signAddOwner(_bobKey, r, _bob, "", _deadline),
            address(wallet)
        );
    }

    // Helpers

    function _aliceRecord() private view returns (IKeyLedger.KeyRecord memory) {
        return IKeyLedger.KeyRecord(_alice, TAG, ACTIVE, _now, _fileKeyAddress, "payload");
    }

    function _record(IKeyLedger.KeyRecord memory r) private {
        _ledger.record(r, _deadline, _signRecord(_aliceKey, r, _deadline));
    }

    function _expectInvalidSignature(IKeyLedger.KeyRecord memory r, bytes memory signature, address signer) private {
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.InvalidSignature.selector, signer));
        _ledger.record(r, _deadline, signature);
    }

    function _expectBadOwner(
        IKeyLedger.RecordHeader memory header,
        address owner,
        bytes memory note,
        bytes memory shown,
        bytes memory wanted,
        address signer
    ) private {
        vm.expectRevert(abi.encodeWithSelector(IKeyLedger.InvalidSignature.selector, signer));
        _ledger.addOwner(header, owner, note, _deadline, shown, wanted);
    }

    function _expectBatchRefusal(IKeyLedger.RecordBatch memory batch, bytes memory refusal) private {
        vm.expectRevert(refusal);
        _ledger.recordMany(batch);
        if (batch.entries.length > 0) vm.assertEq(_ledger.recordedAt(_recordId(_recordOf(batch, 0))), 0);
    }

    function _batch(uint256 count) private view returns (IKeyLedger.RecordBatch memory batch) {
        IKeyLedger.KeyRecord memory r = _aliceRecord();
        (batch.account, batch.committeeId, batch.keyTime) = (r.account, r.committeeId, r.keyTime);
        batch.deadline = _deadline;
        batch.entries = new IKeyLedger.RecordEntry[](count);
        for (uint256 i = 0; i < count; ++i) {
            batch.entries[i] = IKeyLedger.RecordEntry(bytes32(i), r.ownershipKey, abi.encodePacked("payload ", i));
        }
        batch.signature = _signBatch(_aliceKey, batch);
    }
}
