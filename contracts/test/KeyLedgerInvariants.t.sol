// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { KeyLedger } from "../KeyLedger.sol";
import { NodeRegistry } from "../NodeRegistry.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { KeyLedgerBase } from "./KeyLedgerBase.t.sol";
import { vm } from "./Vm.sol";

/// @dev Acts as users, relays and attackers. Stores every correctly signed record that was accepted, so that any other
/// accepted record is a difference between this model and the ledger.
contract KeyLedgerHandler is KeyLedgerBase {
    uint256 public constant ACTORS = 3;
    uint256 public constant FILES = 2;

    address[ACTORS] public actors;
    uint256[ACTORS] private _keys;
    address[FILES] private _fileAddresses;
    uint256[FILES] private _fileKeys;

    mapping(bytes32 recordId => IKeyLedger.KeyRecord) private _book;
    mapping(bytes32 recordId => uint64) public bookedKeyTime;
    mapping(bytes32 recordId => mapping(address owner => bool)) public bookedOwner;
    /// @dev Rules that were seen broken, for the invariants to report.
    bool public keyTimeFell;
    bool public keyTimeTooFarAhead;
    bool public cheatSucceeded;
    bool public sharedRecordChanged;
    mapping(bytes32 recordId => bool) public bookedShared;
    uint256 public accepted;
    uint256 public ownersAdded;

    constructor(KeyLedger ledger, NodeRegistry registry) {
        _ledger = ledger;
        _registry = registry;
        for (uint256 i = 0; i < ACTORS; ++i) (actors[i], _keys[i]) = _account(vm.toString(i));
        for (uint256 i = 0; i < FILES; ++i) {
            (_fileAddresses[i], _fileKeys[i]) = _account(string.concat("file ", vm.toString(i)));
        }
    }

    function ledgerRecordId(uint256 who, uint256 file) public view returns (bytes32) {
        return keccak256(abi.encode(actors[who], bytes32(file + 1)));
    }

    function booked(bytes32 recordId) external view returns (IKeyLedger.KeyRecord memory) {
        return _book[recordId];
    }

    /// @dev Any time from long ago to beyond the allowed skew, or the one that is there already; the ledger decides.
    function record(uint256 who, uint256 file, uint256 time, bytes calldata payload) external {
        who %= ACTORS;
        IKeyLedger.KeyRecord memory r = _make(who, file % FILES, payload);
        uint64 booked_ = bookedKeyTime[_recordId(r)];
        bool same = booked_ != 0 && time % 4 == 0;
        r.keyTime = same ? booked_ : uint64(_bound(time, block.timestamp - 1000, block.timestamp + 600));
        _try(r, _keys[who]);
    }

    /// @dev The next version, as an honest agent makes it.
    function renew(uint256 who, uint256 file, bytes calldata payload) external {
        who %= ACTORS;
        IKeyLedger.KeyRecord memory r = _make(who, file % FILES, payload);
        uint64 booked_ = bookedKeyTime[_recordId(r)];
        r.keyTime = booked_ >= block.timestamp ? booked_ + 1 : uint64(block.timestamp);
        _try(r, _keys[who]);
    }

    function cheatWithAnotherKey(uint256 who, uint256 file, bytes calldata payload) external {
        who %= ACTORS;
        IKeyLedger.KeyRecord memory r = _make(who, file % FILES, payload);
        uint64 deadline = uint64(block.timestamp);
        bytes memory signature = _signRecord(_keys[(who + 1) % ACTORS], r, deadline);
        try _ledger.record(r, deadline, signature) {
            cheatSucceeded = true;
        } catch {
            // Expected; success is what the invariant looks for.
            return;
        }
    }

    function cheatWithAnotherCommittee(uint256 who, uint256 file, uint64 number) external {
        who %= ACTORS;
        IKeyLedger.KeyRecord memory r = _make(who, file % FILES, "payload");
        r.committeeId = CommitteeId.wrap(uint64(_bound(number, 2, type(uint64).max)));
        uint64 deadline = uint64(block.timestamp);
        try _ledger.record(r, deadline, _signRecord(_keys[who], r, deadline)) {
            cheatSucceeded = true;
        } catch {
            return;
        }
    }

    function addOwner(uint256 who, uint256 file, uint256 newcomer, bool honest) external {
        file %= FILES;
        bytes32 id = ledgerRecordId(who % ACTORS, file);
        address owner = actors[newcomer % ACTORS];
        if (bookedKeyTime[id] == 0) return;
        uint64 deadline = uint64(block.timestamp);
        IKeyLedger.KeyRecord memory version = _book[id];
        // An attacker has the key of some file, but not of this one.
        bytes memory shown = _signOwnership(_fileKeys[honest ? file : (file + 1) % FILES], version, owner);
        bytes memory wanted = _signAddOwner(_keys[newcomer % ACTORS], version, owner, "", deadline);
        try _ledger.addOwner(_header(version), owner, "", deadline, shown, wanted) {
            if (!honest || bookedOwner[id][owner]) cheatSucceeded = true;
            bookedOwner[id][owner] = true;
            bookedShared[id] = true;
            ++ownersAdded;
        } catch {
            return;
        }
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, 1 days));
    }

    function _make(uint256 who, uint256 file, bytes memory payload) private view returns (IKeyLedger.KeyRecord memory) {
        return
            IKeyLedger.KeyRecord(
                actors[who],
                bytes32(file + 1),
                ACTIVE,
                uint64(block.timestamp),
                _fileAddresses[file],
                bytes.concat("p", payload)
            );
    }

    function _try(IKeyLedger.KeyRecord memory r, uint256 key) private {
        bytes32 id = _recordId(r);
        uint64 before = _ledger.recordState(id).keyTime;
        uint64 deadline = uint64(block.timestamp);
        try _ledger.record(r, deadline, _signRecord(key, r, deadline)) {
            ++accepted;
            if (bookedShared[id]) sharedRecordChanged = true;
            if (_ledger.recordState(id).keyTime <= before) keyTimeFell = true;
            if (r.keyTime > block.timestamp + 300) keyTimeTooFarAhead = true;
            _book[id] = r;
            bookedKeyTime[id] = r.keyTime;
        } catch {
            return;
        }
    }
}

contract KeyLedgerInvariants is KeyLedgerBase {
    KeyLedgerHandler private _handler;

    function setUp() public {
        _deployLedger();
        _handler = new KeyLedgerHandler(_ledger, _registry);
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = KeyLedgerHandler.record.selector;
        selectors[1] = KeyLedgerHandler.renew.selector;
        selectors[2] = KeyLedgerHandler.cheatWithAnotherKey.selector;
        selectors[3] = KeyLedgerHandler.cheatWithAnotherCommittee.selector;
        selectors[4] = KeyLedgerHandler.addOwner.selector;
        selectors[5] = KeyLedgerHandler.wait.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// @dev After every call of every sequence; one campaign for all, since each checks the same states.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_everything() public view {
        _holdsNoEther();
        _keyTimesOnlyGrowAndNeverRunAhead();
        _stateIsTheLastRecordThatWasSigned();
        _ownersAreExactlyThoseWhoShowedTheFile();
        _aRecordWithALaterOwnerNeverChanges();
    }

    /// @dev INV-1
    function _holdsNoEther() private view {
        vm.assertEq(address(_ledger).balance, 0);
    }

    /// @dev INV-2
    function _keyTimesOnlyGrowAndNeverRunAhead() private view {
        vm.assertFalse(_handler.keyTimeFell(), "a key time fell");
        vm.assertFalse(_handler.keyTimeTooFarAhead(), "a key time ran ahead");
        for (uint256 who = 0; who < _handler.ACTORS(); ++who) {
            for (uint256 file = 0; file < _handler.FILES(); ++file) {
                bytes32 id = _handler.ledgerRecordId(who, file);
                vm.assertEq(_ledger.recordState(id).keyTime, _handler.bookedKeyTime(id));
                vm.assertLe(_ledger.recordState(id).keyTime, block.timestamp + 300);
            }
        }
    }

    /// @dev INV-3
    function _stateIsTheLastRecordThatWasSigned() private view {
        vm.assertFalse(_handler.cheatSucceeded(), "a cheat got through");
        for (uint256 who = 0; who < _handler.ACTORS(); ++who) {
            for (uint256 file = 0; file < _handler.FILES(); ++file) {
                bytes32 id = _handler.ledgerRecordId(who, file);
                if (_handler.bookedKeyTime(id) == 0) {
                    vm.assertEq(bytes32(_ledger.recordState(id).digest), 0);
                    continue;
                }
                IKeyLedger.KeyRecord memory r = _handler.booked(id);
                vm.assertEq(bytes32(_ledger.recordState(id).digest), bytes32(_digest(r)));
                vm.assertTrue(_ledger.isCurrent(_header(r)));
                vm.assertTrue(_registry.isActive(r.committeeId));
            }
        }
    }

    /// @dev INV-4
    function _ownersAreExactlyThoseWhoShowedTheFile() private view {
        vm.assertFalse(_handler.cheatSucceeded(), "a cheat got through");
        for (uint256 who = 0; who < _handler.ACTORS(); ++who) {
            for (uint256 file = 0; file < _handler.FILES(); ++file) {
                bytes32 id = _handler.ledgerRecordId(who, file);
                for (uint256 owner = 0; owner < _handler.ACTORS(); ++owner) {
                    address account = _handler.actors(owner);
                    vm.assertEq(_ledger.isOwner(id, account), _handler.bookedOwner(id, account));
                }
            }
        }
    }

    /// @dev INV-5
    function _aRecordWithALaterOwnerNeverChanges() private view {
        vm.assertFalse(_handler.sharedRecordChanged(), "a shared record was replaced");
        for (uint256 who = 0; who < _handler.ACTORS(); ++who) {
            for (uint256 file = 0; file < _handler.FILES(); ++file) {
                bytes32 id = _handler.ledgerRecordId(who, file);
                vm.assertEq(_ledger.recordState(id).shared, _handler.bookedShared(id));
            }
        }
    }

    /// @dev Not an invariant of the contract but of these tests: a campaign in which the ledger accepts no call tests
    /// nothing.
    function test_the_handler_gets_records_and_owners_through() public {
        _handler.renew(0, 0, "");
        _handler.record(1, 1, block.timestamp, "");
        _handler.addOwner(0, 0, 1, true);
        _handler.addOwner(0, 0, 2, false);
        vm.assertEq(_handler.accepted(), 2);
        vm.assertEq(_handler.ownersAdded(), 1);
        vm.assertFalse(_handler.cheatSucceeded());
    }
}
