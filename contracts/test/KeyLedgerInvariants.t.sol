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

    /// @dev Every record that the ledger has taken, in order.
    IKeyLedger.KeyRecord[] private _book;
    uint256[] public bookedAt;
    mapping(bytes32 recordId => bool) private _isBooked;
    mapping(bytes32 recordId => mapping(address owner => bool)) public bookedOwner;
    /// @dev Rules that were seen broken, for the invariants to report.
    bool public keyTimeTooFarAhead;
    bool public cheatSucceeded;
    uint256 public ownersAdded;

    constructor(KeyLedger ledger, NodeRegistry registry) {
        _ledger = ledger;
        _registry = registry;
        for (uint256 i = 0; i < ACTORS; ++i) (actors[i], _keys[i]) = _account(vm.toString(i));
        for (uint256 i = 0; i < FILES; ++i) {
            (_fileAddresses[i], _fileKeys[i]) = _account(string.concat("file ", vm.toString(i)));
        }
    }

    function accepted() public view returns (uint256) {
        return _book.length;
    }

    function booked(uint256 k) external view returns (IKeyLedger.KeyRecord memory) {
        return _book[k];
    }

    /// @dev Any time from long ago to beyond the allowed skew; the ledger decides.
    function record(uint256 who, uint256 file, uint256 time, bytes calldata payload) external {
        who %= ACTORS;
        IKeyLedger.KeyRecord memory r = _make(who, file % FILES, payload);
        r.keyTime = uint64(_bound(time, block.timestamp - 1000, block.timestamp + 600));
        _try(r, _keys[who]);
    }

    /// @dev What two devices of one account do in one second.
    function recordNow(uint256 who, uint256 file, bytes calldata payload) external {
        who %= ACTORS;
        _try(_make(who, file % FILES, payload), _keys[who]);
    }

    /// @dev One record of each file, signed by the account or by another one.
    function recordMany(uint256 who, uint256 time, bytes calldata payload, bool honest) external {
        who %= ACTORS;
        IKeyLedger.RecordBatch memory batch;
        (batch.account, batch.committeeId) = (actors[who], ACTIVE);
        batch.keyTime = uint64(_bound(time, block.timestamp - 1000, block.timestamp + 600));
        batch.deadline = uint64(block.timestamp);
        batch.entries = new IKeyLedger.RecordEntry[](FILES);
        for (uint256 file = 0; file < FILES; ++file) {
            batch.entries[file] = IKeyLedger.RecordEntry(
                bytes32(file + 1),
                _fileAddresses[file],
                bytes.concat("p", payload)
            );
        }
        batch.signature = _signBatch(_keys[honest ? who : (who + 1) % ACTORS], batch);
        try _ledger.recordMany(batch) {
            if (!honest) cheatSucceeded = true;
            for (uint256 i = 0; i < FILES; ++i) {
                IKeyLedger.KeyRecord memory r = _recordOf(batch, i);
                // Those that are there already are left out.
                if (!_isBooked[_recordId(r)]) _enterIntoBook(r);
            }
        } catch {
            return;
        }
    }

    function cheatWithAReplay(uint256 k) external {
        if (_book.length == 0) return;
        IKeyLedger.KeyRecord memory r = _book[k % _book.length];
        uint64 deadline = uint64(block.timestamp);
        (, uint256 key) = _keyOf(r.account);
        try _ledger.record(r, deadline, _signRecord(key, r, deadline)) {
            cheatSucceeded = true;
        } catch {
            return;
        }
    }

    function cheatWithAnotherKey(uint256 who, uint256 file, bytes calldata payload) external {
        who %= ACTORS;
        IKeyLedger.KeyRecord memory r = _make(who, file % FILES, payload);
        if (_isBooked[_recordId(r)]) return;
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

    function addOwner(uint256 k, uint256 newcomer, bool honest) external {
        if (_book.length == 0) return;
        IKeyLedger.KeyRecord memory r = _book[k % _book.length];
        bytes32 id = _recordId(r);
        address owner = actors[newcomer % ACTORS];
        uint64 deadline = uint64(block.timestamp);
        uint256 file = uint256(r.fileTag) - 1;
        // An attacker has the key of some file, but not of this one.
        bytes memory shown = _signOwnership(_fileKeys[honest ? file : (file + 1) % FILES], r, owner);
        bytes memory wanted = _signAddOwner(_keys[newcomer % ACTORS], r, owner, "", deadline);
        try _ledger.addOwner(_header(r), owner, "", deadline, shown, wanted) {
            if (!honest || owner == r.account || bookedOwner[id][owner]) cheatSucceeded = true;
            bookedOwner[id][owner] = true;
            ++ownersAdded;
        } catch {
            return;
        }
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, 1 days));
    }

    function _keyOf(address account) private view returns (uint256 who, uint256 key) {
        while (actors[who] != account) ++who;
        key = _keys[who];
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
        uint64 deadline = uint64(block.timestamp);
        try _ledger.record(r, deadline, _signRecord(key, r, deadline)) {
            if (_isBooked[_recordId(r)]) cheatSucceeded = true;
            _enterIntoBook(r);
        } catch {
            return;
        }
    }

    function _enterIntoBook(IKeyLedger.KeyRecord memory r) private {
        if (r.keyTime > block.timestamp + 300) keyTimeTooFarAhead = true;
        _isBooked[_recordId(r)] = true;
        _book.push(r);
        bookedAt.push(block.timestamp);
    }
}

contract KeyLedgerInvariants is KeyLedgerBase {
    KeyLedgerHandler private _handler;

    function setUp() public {
        _deployLedger();
        _handler = new KeyLedgerHandler(_ledger, _registry);
        bytes4[] memory selectors = new bytes4[](8);
        selectors[0] = KeyLedgerHandler.record.selector;
        selectors[1] = KeyLedgerHandler.recordNow.selector;
        selectors[2] = KeyLedgerHandler.cheatWithAReplay.selector;
        selectors[3] = KeyLedgerHandler.cheatWithAnotherKey.selector;
        selectors[4] = KeyLedgerHandler.cheatWithAnotherCommittee.selector;
        selectors[5] = KeyLedgerHandler.addOwner.selector;
        selectors[6] = KeyLedgerHandler.wait.selector;
        selectors[7] = KeyLedgerHandler.recordMany.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// @dev After every call of every sequence; one campaign for all, since each checks the same states.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_everything() public view {
        // INV-1
        vm.assertEq(address(_ledger).balance, 0);
        // INV-2
        vm.assertFalse(_handler.cheatSucceeded(), "a cheat got through");
        vm.assertFalse(_handler.keyTimeTooFarAhead(), "a key time ran ahead");
        for (uint256 k = 0; k < _handler.accepted(); ++k) {
            IKeyLedger.KeyRecord memory r = _handler.booked(k);
            bytes32 id = _recordId(r);
            vm.assertTrue(_registry.isActive(r.committeeId));
            // INV-3
            vm.assertEq(_ledger.recordedAt(id), _handler.bookedAt(k));
            // INV-4
            for (uint256 owner = 0; owner < _handler.ACTORS(); ++owner) {
                address account = _handler.actors(owner);
                vm.assertEq(_ledger.isOwner(id, account), _handler.bookedOwner(id, account));
            }
        }
    }

    /// @dev Not an invariant of the contract but of these tests: a campaign in which the ledger accepts no call tests
    /// nothing.
    function test_the_handler_gets_records_and_owners_through() public {
        _handler.recordNow(0, 0, "");
        _handler.recordNow(0, 0, "another device");
        _handler.record(1, 1, block.timestamp, "");
        _handler.cheatWithAReplay(0);
        _handler.addOwner(0, 1, true);
        _handler.addOwner(0, 2, false);
        _handler.recordMany(2, block.timestamp, "", false);
        _handler.recordMany(2, block.timestamp, "", true);
        _handler.recordMany(2, block.timestamp, "", true);
        vm.assertEq(_handler.accepted(), 3 + _handler.FILES());
        vm.assertEq(_handler.ownersAdded(), 1);
        vm.assertFalse(_handler.cheatSucceeded());
    }
}
