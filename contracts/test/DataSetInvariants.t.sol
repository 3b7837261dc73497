// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { StorageEscrow } from "../StorageEscrow.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { UserBalance } from "../libraries/UserBalance.sol";
import { DataSetHandler } from "./DataSetHandler.t.sol";
import { DataSetModel } from "./DataSetModel.t.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @notice The invariants of `StorageEscrow`, after every step of random sequences of calls by seven accounts in seven
/// tokens. That each call succeeds exactly when the rules say so, and pays exactly what they say, is checked by the
/// handler, in all of them.
contract DataSetInvariantsTest is TestBase {
    uint256 private constant EPOCH = 20;
    uint256 private constant NOTICE = 3;

    DataSetHandler internal _handler;
    StorageEscrow internal _escrow;
    DataSetModel internal _model;
    address[] internal _tokens;
    address[] internal _parties;

    function setUp() public {
        _start();
        bytes4[] memory selectors = new bytes4[](24);
        selectors[0] = DataSetHandler.advance.selector;
        selectors[1] = DataSetHandler.jump.selector;
        selectors[2] = DataSetHandler.deposit.selector;
        selectors[3] = DataSetHandler.withdraw.selector;
        selectors[4] = DataSetHandler.depositCollateral.selector;
        selectors[5] = DataSetHandler.withdrawCollateral.selector;
        selectors[6] = DataSetHandler.setOperator.selector;
        selectors[7] = DataSetHandler.open.selector;
        selectors[8] = DataSetHandler.update.selector;
        selectors[9] = DataSetHandler.retire.selector;
        selectors[10] = DataSetHandler.giveNotice.selector;
        selectors[11] = DataSetHandler.settle.selector;
        selectors[12] = DataSetHandler.close.selector;
        selectors[13] = DataSetHandler.prove.selector;
        selectors[14] = DataSetHandler.reportMiss.selector;
        selectors[15] = DataSetHandler.dispute.selector;
        selectors[16] = DataSetHandler.upholdDispute.selector;
        selectors[17] = DataSetHandler.showDoubleSigning.selector;
        selectors[18] = DataSetHandler.give.selector;
        selectors[19] = DataSetHandler.disturb.selector;
        selectors[20] = DataSetHandler.recover.selector;
        // Twice in the list: what the rest of a sequence needs, and what fits a few blocks only.
        selectors[21] = DataSetHandler.open.selector;
        selectors[22] = DataSetHandler.prove.selector;
        selectors[23] = DataSetHandler.advance.selector;
        _targetSelectors(address(_handler), selectors);
    }

    function _start() private {
        _handler = new DataSetHandler();
        _escrow = _handler.escrow();
        _model = _handler;
        (_tokens, _parties) = (_handler.allTokens(), _handler.allParties());
    }

    /// @dev Balances, pools, bonds, and what is paid and went to nobody, which is added up epoch by epoch from what the
    /// contract knows about each set.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_1_holdingsAreWhatIsOwed() public {
        vm.roll(_model.currentBlock());
        for (uint256 t; t < _tokens.length; ++t) {
            address token = _tokens[t];
            uint256 owed = _handler.gifts(token);
            for (uint256 p; p < _parties.length; ++p) {
                address party = _parties[p];
                owed += _account(token, party).available + _escrow.poolOf(token, party).total;
            }
            for (uint256 i; i < _handler.setCount(); ++i) {
                DataSetHandler.Known memory set = _handler.setAt(i);
                if (set.terms.token == token) owed += _inside(i, set) + _escrow.disputeOf(set.id).bond;
            }
            vm.assertEq(_holdings(token), owed, "holdings");
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_2_aFeeLeavesASetOnce() public {
        vm.roll(_model.currentBlock());
        for (uint256 i; i < _handler.setCount(); ++i) {
            DataSetHandler.Known memory set = _handler.setAt(i);
            (uint256 paidIn, uint256 toUser, uint256 toProvider, uint256 inside) = _model.moneyOf(i);
            vm.assertEq(paidIn, toUser + toProvider + inside, "all fees");
            vm.assertEq(_inside(i, set), inside, "fees that went to nobody");
            if (_isOver(_escrow.booksOf(set.id))) vm.assertEq(inside, 0, "fees of a set that is over");
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_3_rateIsTheSumOfTheLastFees() public {
        vm.roll(_model.currentBlock());
        for (uint256 t; t < _tokens.length; ++t) {
            address token = _tokens[t];
            for (uint256 p; p < _parties.length; ++p) {
                address party = _parties[p];
                IStorageEscrow.Account memory account = _account(token, party);
                uint256 rate;
                for (uint256 i; i < _handler.setCount(); ++i) {
                    DataSetHandler.Known memory set = _handler.setAt(i);
                    if (set.terms.token != token || set.terms.user != party) continue;
                    IStorageEscrow.Books memory books = _escrow.booksOf(set.id);
                    if (_isOver(books) || books.noticedEnd != 0 || books.generation != account.generation) continue;
                    IStorageEscrow.Level[] memory levels = _levels(set.schedule);
                    rate += levels[levels.length - 1].fee;
                }
                vm.assertEq(account.rate, rate, "rate");
                vm.assertEq(_model.rateOf(token, party), rate, "rate of the model");
            }
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_4_locksAreThoseOfTheSetsAndWithinThePool() public view {
        for (uint256 t; t < _tokens.length; ++t) {
            address token = _tokens[t];
            for (uint256 p; p < _parties.length; ++p) {
                address party = _parties[p];
                uint256 locked;
                for (uint256 i; i < _handler.setCount(); ++i) {
                    DataSetHandler.Known memory set = _handler.setAt(i);
                    if (set.terms.token == token && set.terms.provider == party) locked += _lock(set);
                }
                IStorageEscrow.Pool memory pool = _escrow.poolOf(token, party);
                vm.assertEq(pool.locked, locked, "locked");
                vm.assertLe(pool.locked, pool.total, "cover");
            }
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_5_aProviderLosesAtMostWhatItLocked() public view {
        for (uint256 i; i < _handler.setCount(); ++i) {
            (uint256 loss, uint256 highestLock) = _model.lossOf(i);
            vm.assertLe(loss, highestLock, "loss");
            DataSetHandler.Known memory set = _handler.setAt(i);
            IStorageEscrow.Books memory books = _escrow.booksOf(set.id);
            vm.assertLe(books.missed, set.terms.breachLimit, "misses");
            if (books.missed == set.terms.breachLimit) {
                vm.assertEq(uint256(books.status), uint256(IStorageEscrow.Status.Breached), "breach");
            }
        }
    }

    /// @dev Within the schedule, and against all that the model has seen.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_6_theHighWaterMarkNeverFalls() public view {
        for (uint256 i; i < _handler.setCount(); ++i) {
            DataSetHandler.Known memory set = _handler.setAt(i);
            IStorageEscrow.Level[] memory levels = _levels(set.schedule);
            (, , uint256 highest, uint256 live) = _model.versionsOf(i);
            uint256 unsettled = uint256(_escrow.booksOf(set.id).settledThrough) + 1;
            for (uint256 k; k < levels.length; ++k) {
                if (k > 0) vm.assertLe(levels[k - 1].highestIndex, levels[k].highestIndex, "high-water mark");
                if (k > 0) vm.assertLt(levels[k - 1].fromEpoch, levels[k].fromEpoch, "order");
                // The model forgets what counted in settled epochs only.
                uint256 from = levels[k].fromEpoch < unsettled ? unsettled : levels[k].fromEpoch;
                if (k + 1 < levels.length && levels[k + 1].fromEpoch <= from) continue;
                uint256 bits = _model.bitsOf(i, from);
                vm.assertEq(levels[k].rangesHash, keccak256(_list(bits)), "ranges");
                vm.assertEq(levels[k].sliceCount, _count(bits), "slices");
                uint256 old = (1 << (uint256(levels[k].highestIndex) + 1)) - 1;
                // What comes later revives nothing.
                vm.assertEq(live & old & ~bits, 0, "revived");
            }
            vm.assertEq(levels[levels.length - 1].highestIndex, highest, "highest index");
            vm.assertEq(live >> (highest + 1), 0, "beyond the highest index");
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_7_versionsOnlyGrowAndTermsNeverChange() public view {
        for (uint256 i; i < _handler.setCount(); ++i) {
            DataSetHandler.Known memory set = _handler.setAt(i);
            (uint256 version, uint256 retirements, , ) = _model.versionsOf(i);
            uint256 head = _word(set.schedule, 0);
            (uint256 storedVersion, uint256 storedRetirements) = (head >> 192, uint32(head >> 160));
            vm.assertEq(storedVersion, version, "version");
            vm.assertEq(storedRetirements, retirements, "retirements");
            vm.assertEq(_escrow.scheduleHashOf(set.id), keccak256(set.schedule), "schedule");
            vm.assertEq(_escrow.idOf(set.terms), set.id, "terms");
        }
        vm.assertEq(_handler.fallen(), 0, "versions that fell");
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_8_withdrawalsLeaveTheNoticePeriod() public view {
        vm.assertEq(_handler.uncovered(), 0, "uncovered");
    }

    /// @dev With randomness and verifier broken and a token paused, a stranger closes every set when its balance is
    /// used up; only a set without a fee waits for notice of a party. After the token is unpaused, all accounts
    /// withdraw, and the escrow holds only what was sent to it unasked.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_9_everySetCanBeWoundUp() public {
        uint256 snapshot = vm.snapshotState();
        vm.roll(_model.currentBlock());
        _handler.breakEverything();
        for (uint256 i; i < _handler.setCount(); ++i) {
            DataSetHandler.Known memory set = _handler.setAt(i);
            (uint256 last, , ) = _model.lastOf(i);
            if (_isOver(_escrow.booksOf(set.id)) || last != type(uint256).max) continue;
            if (_model.rateOf(set.terms.token, set.terms.user) == 0) _handler.giveNoticeAsProvider(i);
        }
        vm.roll(_model.currentBlock() + 20_000_000);
        address stranger = address(uint160(uint256(keccak256("stranger"))));
        for (uint256 i; i < _handler.setCount(); ++i) {
            DataSetHandler.Known memory set = _handler.setAt(i);
            if (_isOver(_escrow.booksOf(set.id))) continue;
            vm.startPrank(stranger);
            if (_escrow.booksOf(set.id).disputed) _escrow.upholdDispute(set.terms, set.audit, set.schedule);
            if (!_isOver(_escrow.booksOf(set.id))) _escrow.close(set.terms, set.schedule);
            vm.stopPrank();
        }
        _handler.recover();
        for (uint256 t; t < _tokens.length; ++t) {
            address token = _tokens[t];
            for (uint256 p; p < _parties.length; ++p) _withdrawAll(token, _parties[p]);
            _withdrawAll(token, stranger);
            vm.assertEq(_holdings(token), _handler.gifts(token), "left over");
        }
        vm.revertToState(snapshot);
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_10_aBalanceThatIsUsedUpEndsAllItsSetsAtOnce() public {
        vm.roll(_model.currentBlock());
        for (uint256 i; i < _handler.setCount(); ++i) {
            DataSetHandler.Known memory set = _handler.setAt(i);
            IStorageEscrow.Books memory books = _escrow.booksOf(set.id);
            (uint256 last, bool exhausted, uint256 generation) = _model.lastOf(i);
            vm.assertEq(books.generation, generation, "generation");
            if (!exhausted) continue;
            uint256 end = _escrow.endEpochOf(set.terms.token, set.terms.user, uint32(books.generation));
            // Zero until the balance is written again.
            if (end == 0) {
                IStorageEscrow.Account memory account = _escrow.accountOf(set.terms.token, set.terms.user);
                vm.assertEq(account.generation, books.generation, "not written yet");
                end = UserBalance.accrue(account, _model.epochNow());
            }
            vm.assertEq(end, last + 1, "end");
            vm.assertEq(books.noticedEnd, 0, "notice");
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_11_countersAreThoseOfTheModel() public view {
        for (uint256 i; i < _handler.setCount(); ++i) {
            IStorageEscrow.Books memory books = _escrow.booksOf(_handler.setAt(i).id);
            (uint256 proven, uint256 missed, uint256 settled, bool disputed) = _model.countersOf(i);
            vm.assertEq(books.proven, proven, "proven");
            vm.assertEq(books.missed, missed, "missed");
            vm.assertEq(books.settledThrough, settled, "settled");
            vm.assertEq(books.disputed, disputed, "disputed");
            vm.assertEq(uint256(books.status), uint256(_model.statusOf(i)), "status");
            for (uint256 e = settled + 1; e < settled + 5; ++e) {
                uint256 outcome = (uint256(books.outcomes) >> (2 * (e - settled - 1))) & 3;
                vm.assertEq(outcome, uint256(_model.outcomeOf(i, e)), "outcome");
            }
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_12_whatIsOverNeverChanges() public view {
        for (uint256 i; i < _handler.setCount(); ++i) {
            DataSetHandler.Known memory set = _handler.setAt(i);
            if (_isOver(_escrow.booksOf(set.id))) vm.assertEq(_handler.stateOf(i), set.frozen, "frozen");
            else vm.assertEq(set.frozen, bytes32(0), "revived");
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_13_strangersTakeNothingFromAnybody() public view {
        vm.assertEq(_handler.harms(), 0, "harms");
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_14_bondsAreHeldOnce() public view {
        for (uint256 i; i < _handler.setCount(); ++i) {
            bytes32 id = _handler.setAt(i).id;
            IStorageEscrow.Dispute memory stored = _escrow.disputeOf(id);
            (bool disputed, address disputer, uint256 challengeBlock, uint256 bond) = _model.disputeOf(i);
            vm.assertEq(_escrow.booksOf(id).disputed, disputed, "disputed");
            vm.assertEq(stored.disputer, disputed ? disputer : address(0), "disputer");
            vm.assertEq(stored.challengeBlock, disputed ? challengeBlock : 0, "challenge block");
            vm.assertEq(stored.bond, disputed ? bond : 0, "bond");
        }
    }

    /// @dev The invariants would also hold over sequences in which no call succeeds. This checks that every action
    /// succeeds in sequences shorter than theirs: it tries what has not succeeded yet, half of the time, opens sets
    /// often, and lets them end last.
    function test_randomSequencesReachEveryAction() public {
        bytes32[20] memory actions = _actions();
        uint256 next;
        for (uint256 step; next < actions.length; ++step) {
            vm.assertLt(step, 900, string(abi.encodePacked(actions[next])));
            if (step % 150 == 149) _start();
            uint256 dice = uint256(keccak256(abi.encode(step)));
            uint256 other = dice % 8 == 1 ? 2 : (dice >> 8) % (next + 1);
            _takeRandomStep(dice % 2 == 0 ? next : other, dice >> 16);
            while (next < actions.length && _handler.successes(actions[next]) > 0) ++next;
        }
    }

    function _actions() private pure returns (bytes32[20] memory) {
        return
            [
                bytes32("deposit"),
                "depositCollateral",
                "open",
                "setOperator",
                "update",
                "prove",
                "proveMany",
                "settle",
                "dispute",
                "upholdDispute",
                "reportMiss",
                "withdraw",
                "withdrawCollateral",
                "retire",
                "retireWithUpdate",
                "userSignedTwice",
                "providerSignedTwice",
                "giveNotice",
                "close",
                "exhausted"
            ];
    }

    /// @dev In the order of the actions.
    function _takeRandomStep(uint256 kind, uint256 dice) private {
        uint256 a = uint256(keccak256(abi.encode(dice)));
        uint256 b = uint256(keccak256(abi.encode(a)));
        uint256 c = uint256(keccak256(abi.encode(b)));
        if (dice % 4 == 0) _handler.advance(a);
        else if (dice % 16 == 1) _handler.jump(a);
        else if (dice % 64 == 2) _handler.disturb(a);
        else if (dice % 16 == 3) _handler.recover();
        else if (kind == 0) _handler.deposit(a, b, c, dice);
        else if (kind == 1) _handler.depositCollateral(a, b, c, dice);
        else if (kind == 2) _handler.open(a, b, c);
        else if (kind == 3) _handler.setOperator(a, b);
        else if (kind == 4) _handler.update(a, b, c);
        else if (kind == 5 || kind == 6) _handler.prove(a, b, c);
        else if (kind == 7) _handler.settle(a, b);
        else if (kind == 8) _handler.dispute(a, b);
        else if (kind == 9) _handler.upholdDispute(a, b);
        else if (kind == 10) _handler.reportMiss(a, b, c);
        else if (kind == 11) _handler.withdraw(a, b, c);
        else if (kind == 12) _handler.withdrawCollateral(a, b, c);
        else if (kind == 13 || kind == 14) _handler.retire(a, b, c);
        else if (kind == 15 || kind == 16) _handler.showDoubleSigning(a << 3, b, c);
        else if (kind == 17) _handler.giveNotice(a << 2, b);
        else _handler.close(a, b);
    }

    // ---- What the contract knows, added up the long way

    function _account(address token, address party) private view returns (IStorageEscrow.Account memory account) {
        account = _escrow.accountOf(token, party);
        UserBalance.accrue(account, _model.epochNow());
    }

    function _holdings(address token) private view returns (uint256) {
        return token == address(0) ? address(_escrow).balance : IERC20(token).balanceOf(address(_escrow));
    }

    function _isOver(IStorageEscrow.Books memory books) private pure returns (bool) {
        return books.status == IStorageEscrow.Status.Closed || books.status == IStorageEscrow.Status.Breached;
    }

    /// @dev What is paid for a set and went to nobody: unsettled epochs that have begun, and what is paid for later
    /// ones.
    function _inside(uint256 index, DataSetHandler.Known memory set) private view returns (uint256 sum) {
        IStorageEscrow.Books memory books = _escrow.booksOf(set.id);
        if (_isOver(books)) return 0;
        IStorageEscrow.Level[] memory levels = _levels(set.schedule);
        (uint256 last, bool exhausted, ) = _model.lastOf(index);
        uint256 begun = _model.epochNow();
        if (exhausted && last < begun) begun = last;
        uint256 lastFee = levels[levels.length - 1].fee;
        for (uint256 epoch = uint256(books.settledThrough) + 1; epoch <= begun + NOTICE + 2; ++epoch) {
            uint256 fee = _feeAt(levels, epoch);
            if (epoch > begun) {
                sum += fee - (epoch < levels[0].fromEpoch ? 0 : lastFee);
                continue;
            }
            uint256 behind = epoch - books.settledThrough - 1;
            if (behind > 3 || (uint256(books.outcomes) >> (2 * behind)) & 3 == 0) sum += fee;
        }
    }

    function _feeAt(IStorageEscrow.Level[] memory levels, uint256 epoch) private pure returns (uint256 fee) {
        for (uint256 i; i < levels.length; ++i) {
            if (levels[i].fromEpoch <= epoch) fee = levels[i].fee;
        }
    }

    function _lock(DataSetHandler.Known memory set) private view returns (uint256) {
        IStorageEscrow.Books memory books = _escrow.booksOf(set.id);
        if (_isOver(books)) return 0;
        IStorageEscrow.Level[] memory levels = _levels(set.schedule);
        uint256 highest;
        for (uint256 i; i < levels.length; ++i) if (levels[i].fee > highest) highest = levels[i].fee;
        uint256 spent = books.missed * (uint256(set.terms.compensationPercent) + set.terms.bountyPercent);
        // Rounded up to four significant bits.
        uint256 step = 1;
        while (highest >= 16 * step) step *= 2;
        highest = step * ((highest + step - 1) / step);
        return (highest * (set.terms.collateralPercent - spent)) / 100;
    }

    function _levels(bytes memory schedule) private pure returns (IStorageEscrow.Level[] memory levels) {
        levels = new IStorageEscrow.Level[]((schedule.length - 44) / 58);
        for (uint256 i; i < levels.length; ++i) {
            uint256 numbers = _word(schedule, 44 + 58 * i);
            levels[i].fromEpoch = numbers >> 224;
            levels[i].fee = uint80(numbers >> 144);
            levels[i].sliceCount = uint48(numbers >> 96);
            levels[i].highestIndex = uint48(numbers >> 48);
            levels[i].rangesHash = bytes32(_word(schedule, 70 + 58 * i));
        }
    }

    function _word(bytes memory data, uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), place))
        }
    }

    /// @dev A list of live ranges, from the bits of a number, the other way round than the handler does it.
    function _list(uint256 bits) private pure returns (bytes memory list) {
        uint256 count;
        for (uint256 i = 255; i > 0; --i) {
            if (bits & (1 << i) == 0) continue;
            ++count;
            if (bits & (1 << (i - 1)) != 0 && i > 1) continue;
            list = bytes.concat(abi.encodePacked(uint48(i), uint48(count)), list);
            count = 0;
        }
    }

    function _count(uint256 bits) private pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) ++count;
    }

    function _withdrawAll(address token, address party) private {
        IStorageEscrow.Account memory account = _escrow.accountOf(token, party);
        UserBalance.accrue(account, _escrow.currentEpoch());
        uint256 available = account.available;
        uint256 total = _escrow.poolOf(token, party).total;
        vm.startPrank(party);
        if (available > 0) _escrow.withdraw(token, party, available);
        if (total > 0) _escrow.withdrawCollateral(token, party, total);
        vm.stopPrank();
    }
}
