// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AccountDirectory } from "../AccountDirectory.sol";
import { StorageEscrow } from "../StorageEscrow.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { UserBalance } from "../libraries/UserBalance.sol";
import { TestBase } from "./TestBase.sol";
import { Vm, vm } from "./Vm.sol";
import { FakeRandomness } from "./zoo/FakeRandomness.sol";
import { FakeVerifier } from "./zoo/FakeVerifier.sol";
import { PlainToken } from "./zoo/PlainToken.sol";

/// @title Base of the tests of data sets
/// @notice An escrow with epochs of 100 blocks and a notice of 5 epochs, a fake proof system, a user, a provider with
/// an operator, a watcher, and one step for each thing they do. The base keeps the newest schedule of every set, as a
/// client does from the events.
abstract contract DataSetTestBase is TestBase {
    address internal constant NATIVE = address(0);
    uint256 internal constant EPOCH = 100;
    uint256 internal constant NOTICE = 5;
    uint256 internal constant PHASE = 10;
    uint256 internal constant WINDOW = 20;
    uint256 internal constant GRACE = 15;
    /// @dev What a set with a fee of 1,000 locks: 300 % of 1,024, the next number with four significant bits.
    uint256 internal constant LOCK = 3_072;
    bytes32 internal constant SCHEDULED = keccak256("DataSetScheduled(bytes32,bytes,bytes)");

    AccountDirectory internal _directory;
    StorageEscrow internal _escrow;
    FakeRandomness internal _randomness;
    FakeVerifier internal _verifier;
    PlainToken internal _token;
    address internal _user;
    uint256 internal _userKey;
    address internal _provider;
    address internal _operator;
    uint256 internal _operatorKey;
    address internal _watcher;

    mapping(bytes32 id => bytes) private _schedules;
    mapping(bytes32 id => bytes) internal _ranges;

    function setUp() public virtual {
        _directory = new AccountDirectory();
        _escrow = new StorageEscrow(uint32(EPOCH), uint32(NOTICE), _directory);
        _randomness = new FakeRandomness();
        _verifier = new FakeVerifier();
        _token = new PlainToken();
        (_user, _userKey) = _account("user");
        (_provider, ) = _account("provider");
        (_operator, _operatorKey) = _account("operator");
        (_watcher, ) = _account("watcher");
        vm.roll(10_000);
        vm.prank(_provider);
        _escrow.setOperator(_operator);
        _fund(_user);
        _fund(_provider);
        _fund(_watcher);
    }

    function _fund(address account) internal {
        vm.deal(account, 1e30);
        _token.mint(account, 1e30);
        vm.prank(account);
        _token.approve(address(_escrow), type(uint256).max);
    }

    // ---- What is agreed on

    function _audit() internal view returns (IStorageEscrow.AuditTerms memory) {
        return
            IStorageEscrow.AuditTerms({
                randomness: address(_randomness),
                verifier: address(_verifier),
                keyHash: keccak256("key"),
                sliceElements: 4096,
                sampleCount: 30,
                phase: uint32(PHASE),
                windowBlocks: uint32(WINDOW),
                graceBlocks: uint32(GRACE),
                disputeBond: 500,
                predecessor: bytes32(0),
                salt: keccak256("salt")
            });
    }

    /// @dev 10 per slice, at least 100; a miss costs 60 % and 20 % of the fee, three end the set.
    function _terms(address token) internal view returns (IStorageEscrow.Terms memory) {
        return
            IStorageEscrow.Terms({
                user: _user,
                provider: _provider,
                token: token,
                mode: IStorageEscrow.Mode.EveryEpoch,
                feeFloor: 100,
                feePerSlice: 10,
                feePerIndex: 0,
                feeCap: 10_000,
                collateralPercent: 300,
                compensationPercent: 60,
                bountyPercent: 20,
                latePercent: 50,
                breachLimit: 3,
                auditHash: keccak256(abi.encode(_audit()))
            });
    }

    function _onDemandTerms() internal view returns (IStorageEscrow.Terms memory terms) {
        terms = _terms(NATIVE);
        terms.mode = IStorageEscrow.Mode.OnDemand;
    }

    /// @dev Ranges as first index and count, in turn.
    function _list(uint256 first, uint256 count) internal pure returns (bytes memory) {
        return abi.encodePacked(uint48(first), uint48(count));
    }

    function _list(uint256 first, uint256 count, uint256 first2, uint256 count2) internal pure returns (bytes memory) {
        return bytes.concat(_list(first, count), _list(first2, count2));
    }

    function _next(uint64 version, bytes memory ranges) internal pure returns (IStorageEscrow.Update memory next) {
        next.version = version;
        next.ranges = ranges;
        next.contentHash = keccak256(abi.encode("content", version));
        next.deadlineBlock = type(uint64).max;
    }

    function _signed(
        bytes32 id,
        uint32 retirements,
        IStorageEscrow.Update memory next
    ) internal view returns (IStorageEscrow.Update memory) {
        bytes32 digest = _digest(id, retirements, next);
        next.userSignature = _signature(_userKey, digest);
        next.providerSignature = _signature(_operatorKey, digest);
        return next;
    }

    /// @dev The EIP-712 digest, written apart from the contract's code.
    function _digest(
        bytes32 id,
        uint32 retirements,
        IStorageEscrow.Update memory next
    ) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tallystick"),
                keccak256("1"),
                block.chainid,
                address(_escrow)
            )
        );
        bytes32 typehash = keccak256(
            "DataSetUpdate(bytes32 dataSetId,uint64 version,uint32 retirements,bytes32 rangesHash,bytes32 contentHash,"
            "uint64 deadlineBlock)"
        );
        return
            keccak256(
                abi.encodePacked(
                    hex"1901",
                    domain,
                    keccak256(
                        abi.encode(
                            typehash,
                            id,
                            next.version,
                            retirements,
                            keccak256(next.ranges),
                            next.contentHash,
                            next.deadlineBlock
                        )
                    )
                )
            );
    }

    // ---- Steps

    function _deposit(address token, uint256 amount) internal {
        vm.prank(_user);
        _escrow.deposit{ value: token == NATIVE ? amount : 0 }(token, _user, amount);
    }

    function _depositCollateral(address token, uint256 amount) internal {
        vm.prank(_provider);
        _escrow.depositCollateral{ value: token == NATIVE ? amount : 0 }(token, _provider, amount);
    }

    /// @dev 100 slices for a fee of 1,000 an epoch, with money for 100 epochs.
    function _open(IStorageEscrow.Terms memory terms) internal returns (bytes32 id) {
        _deposit(terms.token, 100_000);
        _depositCollateral(terms.token, 10_000);
        return _openOnly(terms);
    }

    function _openOnly(IStorageEscrow.Terms memory terms) internal returns (bytes32 id) {
        id = _escrow.idOf(terms);
        IStorageEscrow.Update memory first = _signed(id, 0, _next(1, _list(1, 100)));
        vm.recordLogs();
        _escrow.open(terms, _audit(), first);
        _remember();
    }

    /// @dev By the provider's operator, which may replace what waits.
    function _update(IStorageEscrow.Terms memory terms, bytes memory ranges) internal {
        bytes32 id = _escrow.idOf(terms);
        bytes memory schedule = _schedule(id);
        IStorageEscrow.Update memory next = _signed(id, _retirements(id), _next(_version(id) + 1, ranges));
        next.providerSignature = "";
        bytes memory before = _ranges[id];
        vm.recordLogs();
        vm.prank(_operator);
        _escrow.update(terms, schedule, before, next);
        _remember();
    }

    function _retire(IStorageEscrow.Terms memory terms, bytes memory remaining) internal {
        IStorageEscrow.Update memory none;
        _retireWith(terms, none, remaining);
    }

    function _retireWith(
        IStorageEscrow.Terms memory terms,
        IStorageEscrow.Update memory carried,
        bytes memory remaining
    ) internal {
        bytes32 id = _escrow.idOf(terms);
        bytes memory schedule = _schedule(id);
        bytes memory before = _ranges[id];
        vm.recordLogs();
        vm.prank(_user);
        _escrow.retire(terms, schedule, before, carried, remaining);
        _remember();
    }

    function _giveNotice(IStorageEscrow.Terms memory terms, address by) internal {
        bytes memory schedule = _schedule(_escrow.idOf(terms));
        vm.recordLogs();
        vm.prank(by);
        _escrow.giveNotice(terms, schedule);
        _remember();
    }

    function _close(IStorageEscrow.Terms memory terms, address by) internal {
        bytes memory schedule = _schedule(_escrow.idOf(terms));
        vm.prank(by);
        _escrow.close(terms, schedule);
    }

    function _settle(IStorageEscrow.Terms memory terms) internal {
        _escrow.settle(terms, _schedule(_escrow.idOf(terms)));
    }

    function _call(
        IStorageEscrow.Terms memory terms,
        uint256 challengeBlock,
        bytes memory ranges
    ) internal view returns (IStorageEscrow.ProofCall memory call) {
        bytes32 id = _escrow.idOf(terms);
        bytes32 seed = keccak256(
            abi.encode(
                keccak256("tallystick/v2/challenge-seed"),
                block.chainid,
                address(_escrow),
                id,
                challengeBlock,
                _randomness.randomnessAt(uint64(challengeBlock))
            )
        );
        call.terms = terms;
        call.audit = _audit();
        call.schedule = _schedule(id);
        call.ranges = ranges;
        call.answer = abi.encode(seed, call.audit.keyHash, call.audit.sampleCount, keccak256(ranges));
    }

    function _challengeBlock(uint256 epoch) internal pure returns (uint256) {
        return epoch * EPOCH + PHASE;
    }

    function _proveWith(IStorageEscrow.Terms memory terms, uint256 challengeBlock, bytes memory ranges) internal {
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](1);
        calls[0] = _call(terms, challengeBlock, ranges);
        _escrow.prove(calls);
    }

    /// @dev Proves an epoch in its first block.
    function _prove(IStorageEscrow.Terms memory terms, uint256 epoch, bytes memory ranges) internal {
        vm.roll(_challengeBlock(epoch) + 1);
        _proveWith(terms, _challengeBlock(epoch), ranges);
    }

    /// @dev Reports a miss in the first block in which that is possible.
    function _report(IStorageEscrow.Terms memory terms, uint256 epoch) internal {
        vm.roll(_challengeBlock(epoch) + WINDOW + GRACE + 1);
        bytes memory schedule = _schedule(_escrow.idOf(terms));
        vm.prank(_watcher);
        _escrow.reportMiss(terms, _audit(), schedule, uint32(epoch));
    }

    function _rollTo(uint256 epoch) internal {
        vm.roll(epoch * EPOCH);
    }

    function _epoch() internal view returns (uint256) {
        return _escrow.currentEpoch();
    }

    // ---- What a client remembers

    function _schedule(bytes32 id) internal view returns (bytes memory) {
        return _schedules[id];
    }

    function _version(bytes32 id) internal view returns (uint64) {
        return uint64(_number(_schedules[id], 0, 8));
    }

    function _retirements(bytes32 id) internal view returns (uint32) {
        return uint32(_number(_schedules[id], 8, 4));
    }

    /// @dev The levels, read number by number.
    function _levels(bytes32 id) internal view returns (IStorageEscrow.Level[] memory levels) {
        bytes memory schedule = _schedules[id];
        levels = new IStorageEscrow.Level[]((schedule.length - 44) / 58);
        for (uint256 i; i < levels.length; ++i) {
            uint256 place = 44 + 58 * i;
            levels[i].fromEpoch = _number(schedule, place, 4);
            levels[i].fee = _number(schedule, place + 4, 10);
            levels[i].sliceCount = _number(schedule, place + 14, 6);
            levels[i].highestIndex = _number(schedule, place + 20, 6);
            levels[i].rangesHash = bytes32(_number(schedule, place + 26, 32));
        }
    }

    function _number(bytes memory data, uint256 place, uint256 size) private pure returns (uint256 number) {
        for (uint256 k = place; k < place + size; ++k) number = (number << 8) | uint8(data[k]);
    }

    /// @dev Takes the last schedule out of the recorded events.
    function _remember() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = logs.length; i > 0; --i) {
            if (logs[i - 1].topics[0] != SCHEDULED) continue;
            bytes32 id = logs[i - 1].topics[1];
            (_schedules[id], _ranges[id]) = abi.decode(logs[i - 1].data, (bytes, bytes));
            return;
        }
        revert("no schedule in the logs");
    }

    // ---- Balances

    function _balance(address token, address user) internal view returns (IStorageEscrow.Account memory account) {
        account = _escrow.accountOf(token, user);
        UserBalance.accrue(account, _epoch());
    }

    function _available(address user) internal view returns (uint256) {
        return _balance(NATIVE, user).available;
    }

    function _pool() internal view returns (IStorageEscrow.Pool memory) {
        return _escrow.poolOf(NATIVE, _provider);
    }
}
