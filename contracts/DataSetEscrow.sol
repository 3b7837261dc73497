// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { DataSetRules } from "./DataSetRules.sol";
import { IDataSetEscrow } from "./interfaces/IDataSetEscrow.sol";
import { IPossessionVerifier } from "./interfaces/IPossessionVerifier.sol";
import { IRandomnessSource } from "./interfaces/IRandomnessSource.sol";
import { AccountSignature } from "./libraries/AccountSignature.sol";
import { DataSetSignature } from "./libraries/DataSetSignature.sol";
import { LiveRanges } from "./libraries/LiveRanges.sol";
import { Schedules } from "./libraries/Schedules.sol";
import { SetBooks } from "./libraries/SetBooks.sol";
import { UserBalance } from "./libraries/UserBalance.sol";

/// @title Escrow of data sets
/// @notice Holds the users' balances and the providers' collateral, in the native coin and in ERC-20 tokens. The
/// contract has no owner, cannot be changed and cannot be paused.
///
/// Who may call: any account deposits for anybody, sends a co-signed update, sends proofs, reports misses, disputes,
/// settles and closes. The user retires slices; user or provider give notice; each withdraws its own money.
///
/// A call first brings the user's balance and the set up to date in memory (`_enter`), works there, and writes what
/// changed (`_leave`). All functions that change anything share one re-entrancy guard, because tokens, randomness
/// sources and verifiers are contracts of strangers.
///
/// INV-1  Per token, the contract holds the sum of all balances, of all pools, of open bonds, and of the fees that are
///        paid but not settled. It holds more only if it was sent money unasked.
/// INV-2  The fee of an epoch leaves the set once: to the provider, to the user, or divided between them.
/// INV-3  The rate of a balance is the sum of the last fees of its running sets. All of them end at one epoch when it
///        is used up, whatever is settled first.
/// INV-4  The locked part of a pool is the sum of what its running sets lock, and never exceeds the pool.
/// INV-5  A provider never loses more for a set than it locks for that set.
/// INV-6  The high-water mark of a set never falls, and an index up to it that left the list never returns.
/// INV-7  Versions and retirements only grow. Terms never change. A set that is breached or closed never changes.
/// INV-8  A user cannot withdraw what covers the notice period of its sets.
/// INV-9  Any account can close every set that has ended, whatever the other parties, the randomness source, the
///        verifier and the token do; a closed set holds no money.
contract DataSetEscrow is IDataSetEscrow, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using Schedules for Level[];
    using UserBalance for Account;
    using LiveRanges for bytes;

    /// @notice The token address that stands for the native coin.
    address public constant NATIVE = address(0);
    /// @notice Epochs behind the last one after which a stranger who closes a set gets its bounty.
    uint256 public constant ABANDONED_EPOCHS = 30;
    /// @notice Blocks of an epoch.
    uint256 public immutable EPOCH_BLOCKS;
    /// @notice Epochs that a set runs on after notice is given, and that a balance must cover.
    uint256 public immutable NOTICE_EPOCHS;
    /// @notice Rules that are rarely asked for.
    DataSetRules public immutable RULES;

    bytes32 private constant ID_TAG = keccak256("tallystick/v2/data-set-id");
    bytes32 private constant SEED_TAG = keccak256("tallystick/v2/challenge-seed");
    /// @dev Words of the structures in call data.
    uint256 private constant TERMS_BYTES = 14 * 32;
    uint256 private constant AUDIT_TERMS_BYTES = 11 * 32;
    uint256 private constant RUNNING_ON = type(uint256).max;

    uint256 private constant UNSETTLED = 0;
    uint256 private constant PROVEN = 1;
    uint256 private constant MISSED = 2;

    /// @dev A set during a call.
    struct Visit {
        bytes32 id;
        Terms terms;
        uint256 version;
        uint256 retirements;
        Level[] levels;
        uint256 epoch;
        Books books;
        Account account;
        bool accountChanged;
        /// @dev First epoch that the balance could not pay, when that was found in this call; else 0.
        uint256 exhaustedAt;
        /// @dev Last paid epoch as far as known, RUNNING_ON without an end.
        uint256 lastEpoch;
    }

    /// @inheritdoc IDataSetEscrow
    mapping(bytes32 id => bytes32) public scheduleHashOf;
    mapping(bytes32 id => uint256) private _books;
    mapping(bytes32 id => Dispute) private _disputes;
    mapping(address token => mapping(address user => uint256)) private _accounts;
    /// @inheritdoc IDataSetEscrow
    mapping(address token => mapping(address user => mapping(uint32 generation => uint32))) public endEpochOf;
    /// @dev In a word: 128 bits of what is locked, 128 bits in all.
    mapping(address token => mapping(address provider => uint256)) private _pools;
    mapping(address provider => address) private _operators;

    constructor(uint32 epochBlocks, uint32 noticeEpochs) EIP712("Tallystick", "1") {
        if (epochBlocks < 2) revert InvalidTerms("epochBlocks");
        if (noticeEpochs < 2) revert InvalidTerms("noticeEpochs");
        EPOCH_BLOCKS = epochBlocks;
        NOTICE_EPOCHS = noticeEpochs;
        RULES = new DataSetRules();
    }

    // ---- Money

    /// @inheritdoc IDataSetEscrow
    function deposit(address token, address user, uint256 amount) external payable nonReentrant {
        uint256 received = _pull(token, amount);
        _changeBalance(token, user, received, 0);
        emit Deposited(token, user, msg.sender, received);
    }

    /// @inheritdoc IDataSetEscrow
    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        _checkPayment(to, amount);
        _changeBalance(token, msg.sender, 0, amount);
        emit Withdrawn(token, msg.sender, to, amount);
        _push(token, to, amount);
    }

    /// @inheritdoc IDataSetEscrow
    function depositCollateral(address token, address provider, uint256 amount) external payable nonReentrant {
        uint256 received = _pull(token, amount);
        _changePool(token, provider, 0, 0, int256(received));
        emit CollateralDeposited(token, provider, msg.sender, received);
    }

    /// @inheritdoc IDataSetEscrow
    function withdrawCollateral(address token, address to, uint256 amount) external nonReentrant {
        _checkPayment(to, amount);
        _changePool(token, msg.sender, 0, 0, -int256(amount));
        emit CollateralWithdrawn(token, msg.sender, to, amount);
        _push(token, to, amount);
    }

    /// @inheritdoc IDataSetEscrow
    function setOperator(address operator) external {
        _operators[msg.sender] = operator;
        emit OperatorSet(msg.sender, operator);
    }

    // ---- Life of a set

    /// @inheritdoc IDataSetEscrow
    function open(Terms calldata terms, AuditTerms calldata audit, Update calldata first) external nonReentrant {
        Visit memory visit;
        (visit.id, visit.terms) = _identify(terms);
        // From call data, since encoding them from there refuses terms with unused bits that are not zero.
        RULES.checkTerms(terms, _auditTerms(visit.terms, audit), EPOCH_BLOCKS);
        if (scheduleHashOf[visit.id] != bytes32(0)) revert DataSetExists(visit.id);
        _checkSignatures(visit, first);
        visit.epoch = currentEpoch();
        _loadAccount(visit);
        visit.books.status = Status.Running;
        visit.books.settledThrough = visit.epoch;
        visit.books.generation = visit.account.generation;
        visit.lastEpoch = RUNNING_ON;

        emit DataSetOpened(visit.id, terms.user, terms.provider, visit.terms, audit);
        Level memory level = _levelOf(visit.terms, first.ranges, 0);
        if (level.sliceCount == 0) revert InvalidTerms("ranges");
        level.fromEpoch = visit.epoch + 1;
        level.contentHash = first.contentHash;
        visit.version = first.version;
        _scheduleLevel(visit, level, first.ranges);
        _leave(visit);
    }

    /// @inheritdoc IDataSetEscrow
    function update(
        Terms calldata terms,
        bytes calldata schedule,
        bytes calldata ranges,
        Update calldata next
    ) external nonReentrant {
        Visit memory visit = _enter(terms, schedule);
        _checkRunning(visit);
        _settle(visit);
        _update(visit, ranges, next);
        _leave(visit);
    }

    /// @inheritdoc IDataSetEscrow
    function retire(
        Terms calldata terms,
        bytes calldata schedule,
        bytes calldata ranges,
        Update calldata carried,
        bytes calldata remaining
    ) external nonReentrant {
        if (msg.sender != terms.user) revert NotUser(msg.sender, terms.user);
        Visit memory visit = _enter(terms, schedule);
        _checkRunning(visit);
        _settle(visit);
        if (carried.version > 0) {
            _update(visit, ranges, carried);
            ranges = carried.ranges;
        }
        Level memory before = visit.levels.last();
        if (before.fromEpoch > visit.epoch + 1) revert RetirementPending(visit.id, before.fromEpoch);
        Level memory level = _levelAfter(visit, ranges, remaining);
        if (level.sliceCount == 0 || level.highestIndex != before.highestIndex) revert InvalidTerms("ranges");
        level.fromEpoch = visit.epoch + 2;
        level.contentHash = before.contentHash;
        ++visit.retirements;
        _scheduleLevel(visit, level, remaining);
        _leave(visit);
    }

    /// @inheritdoc IDataSetEscrow
    function giveNotice(Terms calldata terms, bytes calldata schedule) external nonReentrant {
        if (msg.sender != terms.user && !_isProvider(msg.sender, terms.provider)) revert NotParty(msg.sender);
        Visit memory visit = _enter(terms, schedule);
        _checkRunning(visit);
        uint256 end = visit.epoch + _noticeEpochs(visit);
        Level memory level;
        level.fromEpoch = end + 1;
        level.highestIndex = visit.levels.last().highestIndex;
        level.rangesHash = keccak256("");
        _settle(visit);
        _scheduleLevel(visit, level, msg.data[0:0]);
        _end(visit, end);
        emit NoticeGiven(visit.id, msg.sender, end);
        _leave(visit);
    }

    /// @inheritdoc IDataSetEscrow
    function settle(Terms calldata terms, bytes calldata schedule) external nonReentrant {
        Visit memory visit = _enter(terms, schedule);
        _settle(visit);
        _leave(visit);
    }

    /// @inheritdoc IDataSetEscrow
    function close(Terms calldata terms, bytes calldata schedule) external nonReentrant {
        Visit memory visit = _enter(terms, schedule);
        if (visit.books.disputed) revert DisputeOpen(visit.id);
        if (visit.lastEpoch == RUNNING_ON || visit.epoch < visit.lastEpoch + 2) {
            revert StillRunning(visit.id, visit.lastEpoch);
        }
        _settle(visit);
        _creditUser(visit, visit.levels.paidAhead(visit.lastEpoch));
        uint256 locked = _locked(visit);
        uint256 bounty;
        if (
            visit.epoch > visit.lastEpoch + 2 + ABANDONED_EPOCHS &&
            msg.sender != terms.user &&
            msg.sender != terms.provider
        ) {
            bounty = (visit.levels.highestFee() * terms.bountyPercent) / 100;
            if (bounty > locked) bounty = locked;
        }
        _changePool(terms.token, terms.provider, locked, 0, -int256(bounty));
        visit.books.status = Status.Closed;
        emit DataSetClosed(visit.id, msg.sender, bounty);
        _leave(visit);
        _changeBalance(terms.token, msg.sender, bounty, 0);
    }

    // ---- Proofs

    /// @inheritdoc IDataSetEscrow
    function prove(ProofCall[] calldata calls) external nonReentrant {
        if (calls.length == 0) revert NoProofs();
        address verifier = calls[0].audit.verifier;
        IPossessionVerifier.Claim[] memory claims = new IPossessionVerifier.Claim[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            if (calls[i].audit.verifier != verifier) revert DifferentVerifiers(verifier, calls[i].audit.verifier);
            claims[i] = _prove(calls[i]);
        }
        if (!IPossessionVerifier(verifier).verify(claims)) revert ProofRejected();
    }

    /// @inheritdoc IDataSetEscrow
    function reportMiss(
        Terms calldata terms,
        AuditTerms calldata auditTerms,
        bytes calldata schedule,
        uint256 epoch
    ) external nonReentrant {
        Visit memory visit = _enter(terms, schedule);
        AuditTerms memory audit = _auditTermsFor(visit, auditTerms, Mode.EveryEpoch);
        _checkPartOfSet(visit, epoch);
        uint256 from = epoch * EPOCH_BLOCKS + audit.phase + audit.windowBlocks + audit.graceBlocks + 1;
        uint256 until = (uint256(epoch) + 2) * EPOCH_BLOCKS - 1;
        if (block.number < from || block.number > until) {
            revert NotReportable(visit.id, epoch, block.number, from, until);
        }
        _settle(visit);
        uint256 bounty = _miss(visit, epoch);
        _leave(visit);
        _changeBalance(terms.token, msg.sender, bounty, 0);
    }

    /// @inheritdoc IDataSetEscrow
    function dispute(
        Terms calldata terms,
        AuditTerms calldata auditTerms,
        bytes calldata schedule
    ) external nonReentrant {
        Visit memory visit = _enter(terms, schedule);
        AuditTerms memory audit = _auditTermsFor(visit, auditTerms, Mode.OnDemand);
        if (visit.books.disputed) revert DisputeOpen(visit.id);
        uint256 epoch = visit.epoch;
        _checkPartOfSet(visit, epoch);
        _settle(visit);
        if (_outcome(visit, epoch) != UNSETTLED) revert EpochSettled(visit.id, epoch);
        uint256 grid = IRandomnessSource(audit.randomness).gridBlocks();
        uint256 challengeBlock = (block.number / grid + 1) * grid;
        if (challengeBlock / EPOCH_BLOCKS != epoch) revert DisputeTooLate(challengeBlock, epoch);

        visit.books.disputed = true;
        _disputes[visit.id] = Dispute(msg.sender, uint64(challengeBlock), audit.disputeBond);
        emit DisputeOpened(visit.id, msg.sender, uint64(challengeBlock), audit.disputeBond);
        _leave(visit);
        _changeBalance(terms.token, msg.sender, 0, audit.disputeBond);
    }

    /// @inheritdoc IDataSetEscrow
    function upholdDispute(
        Terms calldata terms,
        AuditTerms calldata auditTerms,
        bytes calldata schedule
    ) external nonReentrant {
        Visit memory visit = _enter(terms, schedule);
        AuditTerms memory audit = _auditTermsFor(visit, auditTerms, Mode.OnDemand);
        if (!visit.books.disputed) revert NoDispute(visit.id);
        Dispute memory open_ = _disputes[visit.id];
        uint256 epoch = open_.challengeBlock / EPOCH_BLOCKS;
        uint256 lastBlock = uint256(open_.challengeBlock) + audit.windowBlocks + audit.graceBlocks;
        if (block.number <= lastBlock) {
            revert NotReportable(visit.id, epoch, block.number, lastBlock + 1, type(uint256).max);
        }
        _settle(visit);
        _endDispute(visit);
        emit DisputeUpheld(visit.id, open_.disputer, open_.bond);
        uint256 bounty = _miss(visit, epoch);
        _leave(visit);
        _changeBalance(terms.token, open_.disputer, bounty + open_.bond, 0);
    }

    /// @inheritdoc IDataSetEscrow
    function showDoubleSigning(
        Terms calldata terms,
        bytes calldata schedule,
        address signer,
        bytes calldata evidence
    ) external nonReentrant {
        bool byUser = signer == terms.user;
        if (!byUser && !_isProvider(signer, terms.provider)) revert NotParty(signer);
        Visit memory visit = _enter(terms, schedule);
        if (byUser) _checkRunning(visit);
        uint256 version = RULES.checkDoubleSigning(
            _domainSeparatorV4(),
            visit.id,
            visit.retirements,
            signer,
            byUser,
            evidence
        );
        _settle(visit);
        emit DoubleSigned(visit.id, signer, version);
        if (byUser) {
            // No more than its share of the balance: the rest is what other sets run on.
            uint256 penalty = visit.levels.last().fee * _noticeEpochs(visit);
            visit.account.available -= penalty;
            _changePool(terms.token, terms.provider, 0, 0, int256(penalty));
        }
        _breach(visit, visit.epoch, !byUser);
        _leave(visit);
    }

    // ---- Views

    /// @inheritdoc IDataSetEscrow
    function currentEpoch() public view returns (uint256) {
        return block.number / EPOCH_BLOCKS;
    }

    /// @inheritdoc IDataSetEscrow
    function idOf(Terms calldata terms) external view returns (bytes32 id) {
        (id, ) = _identify(terms);
    }

    /// @inheritdoc IDataSetEscrow
    function operatorOf(address provider) public view returns (address) {
        address operator = _operators[provider];
        return operator == address(0) ? provider : operator;
    }

    /// @inheritdoc IDataSetEscrow
    function accountOf(address token, address user) external view returns (Account memory) {
        return UserBalance.unpack(_accounts[token][user]);
    }

    /// @inheritdoc IDataSetEscrow
    function poolOf(address token, address provider) external view returns (Pool memory) {
        uint256 word = _pools[token][provider];
        return Pool({ total: uint128(word), locked: word >> 128 });
    }

    /// @inheritdoc IDataSetEscrow
    function booksOf(bytes32 id) external view returns (Books memory) {
        return SetBooks.unpack(_books[id]);
    }

    /// @inheritdoc IDataSetEscrow
    function disputeOf(bytes32 id) external view returns (Dispute memory) {
        return _disputes[id];
    }

    // ---- Entering and leaving a set

    function _enter(Terms calldata terms, bytes calldata schedule) private view returns (Visit memory visit) {
        (visit.id, visit.terms) = _identify(terms);
        bytes32 stored = scheduleHashOf[visit.id];
        if (stored == bytes32(0)) revert UnknownDataSet(visit.id);
        bytes32 given = keccak256(schedule);
        if (given != stored) revert WrongSchedule(visit.id, stored, given);
        (visit.version, visit.retirements, visit.levels) = Schedules.decode(schedule);
        visit.books = SetBooks.unpack(_books[visit.id]);
        if (visit.books.status != Status.Running) revert WrongStatus(visit.id, visit.books.status);
        visit.epoch = currentEpoch();
        _loadAccount(visit);
        visit.lastEpoch = _lastEpochOf(visit);
    }

    /// @dev For what changes the future of a set: no end is known.
    function _checkRunning(Visit memory visit) private pure {
        if (visit.lastEpoch != RUNNING_ON) revert DataSetEnded(visit.id, visit.lastEpoch);
    }

    function _loadAccount(Visit memory visit) private view {
        visit.account = UserBalance.unpack(_accounts[visit.terms.token][visit.terms.user]);
        visit.exhaustedAt = visit.account.accrue(visit.epoch);
    }

    function _lastEpochOf(Visit memory visit) private view returns (uint256) {
        if (visit.books.noticedEnd != 0) return visit.books.noticedEnd;
        uint256 generation = visit.books.generation;
        if (generation == visit.account.generation) return RUNNING_ON;
        if (visit.exhaustedAt != 0 && generation + 1 == visit.account.generation) return visit.exhaustedAt - 1;
        return endEpochOf[visit.terms.token][visit.terms.user][uint32(generation)] - 1;
    }

    function _leave(Visit memory visit) private {
        _books[visit.id] = SetBooks.pack(visit.books);
        if (!visit.accountChanged) return;
        _storeAccount(visit.terms.token, visit.terms.user, visit.account, visit.exhaustedAt);
    }

    function _storeAccount(address token, address user, Account memory account, uint256 exhaustedAt) private {
        if (exhaustedAt != 0) {
            endEpochOf[token][user][uint32(account.generation - 1)] = uint32(exhaustedAt);
            emit BalanceExhausted(token, user, account.generation - 1, exhaustedAt);
        }
        _accounts[token][user] = account.pack();
    }

    /// @dev Gives money to a balance that is not part of a visit, or takes money that the notice period of its sets
    /// does not need.
    function _changeBalance(address token, address user, uint256 added, uint256 taken) private {
        Account memory account = UserBalance.unpack(_accounts[token][user]);
        uint256 exhaustedAt = account.accrue(currentEpoch());
        if (taken > 0) {
            uint256 required = account.rate * NOTICE_EPOCHS + taken;
            if (account.available < required) revert BalanceTooLow(token, user, account.available, required);
        }
        account.available = account.available + added - taken;
        _storeAccount(token, user, account, exhaustedAt);
    }

    function _creditUser(Visit memory visit, uint256 amount) private pure {
        if (amount == 0) return;
        visit.account.available += amount;
        visit.accountChanged = true;
    }

    /// @dev Frees and locks collateral, then adds to a pool or takes from it.
    function _changePool(address token, address provider, uint256 freed, uint256 locked, int256 change) private {
        uint256 word = _pools[token][provider];
        uint256 nowLocked = (word >> 128) + locked - freed;
        uint256 total = uint256(int256(uint256(uint128(word))) + change);
        // A total that would be negative is a huge number here.
        if (total > type(uint128).max || (nowLocked > total && (locked > freed || change < 0))) {
            revert CollateralTooLow(token, provider, uint128(word), nowLocked);
        }
        _pools[token][provider] = total | (nowLocked << 128);
    }

    // ---- Schedules

    /// @dev The level of a list, without epoch and content. An empty list costs nothing.
    function _levelOf(
        Terms memory terms,
        bytes calldata ranges,
        uint256 highestBefore
    ) private pure returns (Level memory level) {
        (uint256 sliceCount, uint256 highest) = ranges.check();
        if (highest < highestBefore) highest = highestBefore;
        level.sliceCount = sliceCount;
        level.highestIndex = highest;
        level.rangesHash = keccak256(ranges);
        if (sliceCount == 0) return level;
        uint256 fee = terms.feePerSlice * sliceCount + terms.feePerIndex * highest;
        if (fee < terms.feeFloor) fee = terms.feeFloor;
        if (fee > terms.feeCap) revert FeeAboveCap(fee, terms.feeCap);
        level.fee = fee;
    }

    /// @dev The level of a list that follows the last one of a schedule.
    function _levelAfter(
        Visit memory visit,
        bytes calldata before,
        bytes calldata ranges
    ) private pure returns (Level memory level) {
        Level memory last = visit.levels.last();
        _checkRanges(before, last.rangesHash);
        level = _levelOf(visit.terms, ranges, last.highestIndex);
        ranges.checkFollows(before, last.highestIndex);
    }

    function _update(Visit memory visit, bytes calldata ranges, Update calldata next) private {
        if (next.version <= visit.version) revert StaleVersion(visit.version, next.version);
        _checkSignatures(visit, next);
        Level memory level = _levelAfter(visit, ranges, next.ranges);
        level.fromEpoch = visit.epoch + 1;
        level.contentHash = next.contentHash;
        visit.version = next.version;
        _scheduleLevel(visit, level, next.ranges);
        if (level.sliceCount == 0) _end(visit, visit.epoch);
    }

    /// @dev Puts a level at the end of the schedule, in place of those that begin with it or later, and moves money and
    /// collateral from the old schedule to the new one.
    function _scheduleLevel(Visit memory visit, Level memory level, bytes calldata ranges) private {
        Terms memory terms = visit.terms;
        Account memory account = visit.account;
        uint256 feeBefore;
        uint256 lockedBefore;
        uint256 available = account.available;
        if (visit.levels.length > 0) {
            feeBefore = visit.levels.last().fee;
            lockedBefore = _locked(visit);
            available += visit.levels.paidAhead(visit.epoch);
        }
        visit.levels = visit.levels.extend(visit.books.settledThrough, level);
        if (visit.levels.length > Schedules.MAX_LEVELS) revert TooManyLevels(visit.id);
        account.rate = account.rate + level.fee - feeBefore;
        uint256 required = visit.levels.paidAhead(visit.epoch);
        uint256 reserve = level.fee > feeBefore ? account.rate * NOTICE_EPOCHS : 0;
        if (available < required + reserve) {
            revert BalanceTooLow(terms.token, terms.user, available, required + reserve);
        }
        account.available = available - required;
        visit.accountChanged = true;
        uint256 locked = _locked(visit);
        if (locked != lockedBefore) _changePool(terms.token, terms.provider, lockedBefore, locked, 0);
        bytes memory schedule = visit.levels.encode(visit.version, visit.retirements);
        scheduleHashOf[visit.id] = keccak256(schedule);
        emit DataSetScheduled(visit.id, schedule, ranges);
    }

    /// @dev What the set locks: a percentage of its highest fee, less what each miss has cost at most.
    function _locked(Visit memory visit) private pure returns (uint256) {
        Terms memory terms = visit.terms;
        uint256 spent = visit.books.missed * (uint256(terms.compensationPercent) + terms.bountyPercent);
        return (visit.levels.highestFee() * (terms.collateralPercent - spent)) / 100;
    }

    /// @dev Epochs that a set runs on after notice: as many of the period as the balance covers.
    function _noticeEpochs(Visit memory visit) private view returns (uint256) {
        uint256 runway = visit.account.runway();
        return runway < NOTICE_EPOCHS ? runway : NOTICE_EPOCHS;
    }

    function _end(Visit memory visit, uint256 lastEpoch) private pure {
        visit.books.noticedEnd = lastEpoch;
        visit.lastEpoch = lastEpoch;
    }

    // ---- Epochs

    /// @dev Settles all epochs whose outcome nothing can change any more: those before the previous one, up to the
    /// last one, and none from the epoch of an open dispute on.
    function _settle(Visit memory visit) private {
        uint256 settled = visit.books.settledThrough;
        uint256 through = visit.epoch < 2 ? 0 : visit.epoch - 2;
        if (through > visit.lastEpoch) through = visit.lastEpoch;
        if (visit.books.disputed) {
            uint256 disputedEpoch = _disputes[visit.id].challengeBlock / EPOCH_BLOCKS;
            if (through >= disputedEpoch) through = disputedEpoch - 1;
        }
        if (through <= settled) return;
        uint256 fees = _unsettledFees(visit, through);
        visit.books.outcomes >>= 2 * (through - settled);
        visit.books.settledThrough = through;
        if (fees == 0) return;
        bool earned = visit.terms.mode == Mode.OnDemand;
        if (earned) _changePool(visit.terms.token, visit.terms.provider, 0, 0, int256(fees));
        else _creditUser(visit, fees);
        emit DataSetSettled(visit.id, through, earned ? fees : 0, earned ? 0 : fees);
    }

    /// @dev Fees behind `settledThrough` up to `through` that went to nobody.
    function _unsettledFees(Visit memory visit, uint256 through) private pure returns (uint256 fees) {
        uint256 settled = visit.books.settledThrough;
        fees = visit.levels.feesBetween(settled, through);
        for (uint256 epoch = settled + 1; epoch <= settled + 2 && epoch <= through; ++epoch) {
            if (_outcome(visit, epoch) != UNSETTLED) fees -= visit.levels.levelAt(epoch).fee;
        }
    }

    function _outcome(Visit memory visit, uint256 epoch) private pure returns (uint256) {
        return (visit.books.outcomes >> (2 * (epoch - visit.books.settledThrough - 1))) & 3;
    }

    function _setOutcome(Visit memory visit, uint256 epoch, uint256 outcome) private pure {
        if (_outcome(visit, epoch) != UNSETTLED) revert EpochSettled(visit.id, epoch);
        visit.books.outcomes |= outcome << (2 * (epoch - visit.books.settledThrough - 1));
    }

    function _checkPartOfSet(Visit memory visit, uint256 epoch) private pure {
        if (epoch < visit.levels[0].fromEpoch || epoch > visit.lastEpoch) revert NotPartOfSet(visit.id, epoch);
        if (epoch <= visit.books.settledThrough) revert EpochSettled(visit.id, epoch);
    }

    /// @dev Everything about a proof but its verification.
    function _prove(ProofCall calldata call) private returns (IPossessionVerifier.Claim memory claim) {
        Visit memory visit = _enter(call.terms, call.schedule);
        AuditTerms memory audit = _auditTerms(visit.terms, call.audit);
        uint64 challengeBlock = _takeProof(visit, audit, call.ranges);
        bytes32 randomness = IRandomnessSource(audit.randomness).record(challengeBlock, call.evidence);
        claim.seed = keccak256(
            abi.encode(SEED_TAG, block.chainid, address(this), visit.id, challengeBlock, randomness)
        );
        claim.keyHash = audit.keyHash;
        claim.sampleCount = audit.sampleCount;
        claim.ranges = call.ranges;
        claim.answer = call.answer;
    }

    /// @dev Pays for a proof that is still to be verified.
    function _takeProof(
        Visit memory visit,
        AuditTerms memory audit,
        bytes calldata ranges
    ) private returns (uint64 challengeBlock) {
        bool onDemand = visit.terms.mode == Mode.OnDemand;
        uint256 bond;
        if (onDemand) {
            if (!visit.books.disputed) revert NoDispute(visit.id);
            Dispute memory open_ = _disputes[visit.id];
            (challengeBlock, bond) = (open_.challengeBlock, open_.bond);
            emit DisputeAnswered(visit.id, open_.disputer, bond);
        } else {
            challengeBlock = uint64(visit.epoch * EPOCH_BLOCKS + audit.phase);
        }
        uint256 windowEnd = uint256(challengeBlock) + audit.windowBlocks;
        uint256 lastBlock = windowEnd + audit.graceBlocks;
        if (block.number <= challengeBlock || block.number > lastBlock) {
            revert OutsideWindow(block.number, challengeBlock, lastBlock);
        }
        uint256 epoch = challengeBlock / EPOCH_BLOCKS;
        _checkPartOfSet(visit, epoch);
        Level memory level = visit.levels.levelAt(epoch);
        _checkRanges(ranges, level.rangesHash);

        _settle(visit);
        _setOutcome(visit, epoch, PROVEN);
        ++visit.books.proven;
        bool late = !onDemand && block.number > windowEnd;
        uint256 fee = late ? (level.fee * visit.terms.latePercent) / 100 : level.fee;
        _creditUser(visit, level.fee - fee);
        if (onDemand) _endDispute(visit);
        _changePool(visit.terms.token, visit.terms.provider, 0, 0, int256(fee + bond));
        emit EpochProven(visit.id, epoch, fee, late);
        _leave(visit);
    }

    function _endDispute(Visit memory visit) private {
        delete _disputes[visit.id];
        visit.books.disputed = false;
    }

    /// @return bounty For whoever reported it, taken from the pool.
    function _miss(Visit memory visit, uint256 epoch) private returns (uint256 bounty) {
        Terms memory terms = visit.terms;
        _setOutcome(visit, epoch, MISSED);
        uint256 fee = visit.levels.levelAt(epoch).fee;
        uint256 compensation = (fee * terms.compensationPercent) / 100;
        bounty = (fee * terms.bountyPercent) / 100;
        uint256 before = _locked(visit);
        ++visit.books.missed;
        _changePool(terms.token, terms.provider, before - _locked(visit), 0, -int256(compensation + bounty));
        _creditUser(visit, fee + compensation);
        emit EpochMissed(visit.id, epoch, msg.sender, fee, compensation, bounty);
        if (visit.books.missed == terms.breachLimit) _breach(visit, epoch, true);
    }

    /// @dev Ends a set at once. Paid epochs that went to nobody go to the party that is not at fault; what is paid for
    /// later ones goes back to the user.
    /// @param forfeit Whether the provider is at fault, who then loses what is locked.
    function _breach(Visit memory visit, uint256 epoch, bool forfeit) private {
        Terms memory terms = visit.terms;
        if (visit.books.disputed) {
            Dispute memory open_ = _disputes[visit.id];
            _endDispute(visit);
            // The user's balance is in memory.
            if (open_.disputer == terms.user) _creditUser(visit, open_.bond);
            else _changeBalance(terms.token, open_.disputer, open_.bond, 0);
        }
        uint256 paid = visit.lastEpoch;
        if (paid == RUNNING_ON) {
            paid = visit.epoch;
            visit.account.rate -= visit.levels.last().fee;
        }
        // Of a balance that was used up, too: its last epoch may lie before those that are paid in advance.
        uint256 ahead = visit.levels.paidAhead(paid);
        uint256 fees = _unsettledFees(visit, paid);
        uint256 locked = _locked(visit);
        _changePool(terms.token, terms.provider, locked, 0, forfeit ? -int256(locked) : int256(fees));
        visit.accountChanged = true;
        _creditUser(visit, forfeit ? fees + ahead + locked : ahead);
        visit.books.status = Status.Breached;
        emit DataSetBreached(visit.id, epoch, forfeit ? locked : 0);
    }

    // ---- Checks

    /// @dev The terms in memory as they came, and the id they hash to. Unused bits count, so terms with other ones than
    /// zeros are those of another set.
    function _identify(Terms calldata terms) private view returns (bytes32 id, Terms memory copy) {
        bytes32 tag = ID_TAG;
        assembly ("memory-safe") {
            let start := mload(0x40)
            copy := add(start, 0x60)
            mstore(0x40, add(copy, TERMS_BYTES))
            mstore(start, tag)
            mstore(add(start, 0x20), chainid())
            mstore(add(start, 0x40), address())
            calldatacopy(copy, terms, TERMS_BYTES)
            id := keccak256(start, add(0x60, TERMS_BYTES))
        }
    }

    function _auditTerms(Terms memory terms, AuditTerms calldata audit) private pure returns (AuditTerms memory copy) {
        bytes32 hash;
        assembly ("memory-safe") {
            copy := mload(0x40)
            mstore(0x40, add(copy, AUDIT_TERMS_BYTES))
            calldatacopy(copy, audit, AUDIT_TERMS_BYTES)
            hash := keccak256(copy, AUDIT_TERMS_BYTES)
        }
        if (hash != terms.auditHash) revert WrongAuditTerms(terms.auditHash, hash);
    }

    function _auditTermsFor(
        Visit memory visit,
        AuditTerms calldata audit,
        Mode mode
    ) private pure returns (AuditTerms memory) {
        if (visit.terms.mode != mode) revert WrongMode(visit.id, visit.terms.mode);
        return _auditTerms(visit.terms, audit);
    }

    function _checkRanges(bytes calldata ranges, bytes32 expected) private pure {
        bytes32 hash = keccak256(ranges);
        if (hash != expected) revert WrongRanges(expected, hash);
    }

    /// @dev A party that sends the call itself needs no signature.
    function _checkSignatures(Visit memory visit, Update calldata next) private view {
        if (block.number > next.deadlineBlock) revert SignatureExpired(next.deadlineBlock, block.number);
        bytes32 digest = _digest(visit, next);
        address user = visit.terms.user;
        address provider = visit.terms.provider;
        if (msg.sender != user) _checkSignature(user, digest, next.userSignature);
        if (!_isProvider(msg.sender, provider)) _checkSignature(operatorOf(provider), digest, next.providerSignature);
    }

    function _checkSignature(address signer, bytes32 digest, bytes calldata signature) private view {
        if (!AccountSignature.isValid(signer, digest, signature)) revert SignatureInvalid(signer, digest);
    }

    function _isProvider(address account, address provider) private view returns (bool) {
        return account == provider || account == _operators[provider];
    }

    function _digest(Visit memory visit, Update calldata next) private view returns (bytes32) {
        return
            _hashTypedDataV4(
                DataSetSignature.structHash(
                    visit.id,
                    next.version,
                    visit.retirements,
                    keccak256(next.ranges),
                    next.contentHash,
                    next.deadlineBlock
                )
            );
    }

    // ---- Transfers

    /// @return received What arrived: a token may take a fee.
    function _pull(address token, uint256 amount) private returns (uint256 received) {
        if (token == NATIVE) {
            if (msg.value != amount) revert WrongValue(amount, msg.value);
            received = amount;
        } else {
            if (msg.value != 0) revert WrongValue(0, msg.value);
            uint256 before = IERC20(token).balanceOf(address(this));
            IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
            received = IERC20(token).balanceOf(address(this)) - before;
        }
        if (received == 0 || received > type(uint112).max) revert InvalidAmount(received);
    }

    function _push(address token, address to, uint256 amount) private {
        if (token == NATIVE) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    function _checkPayment(address to, uint256 amount) private view {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
        if (amount == 0 || amount > type(uint112).max) revert InvalidAmount(amount);
    }
}
