// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { DataSetRules } from "./DataSetRules.sol";
import { IAccountDirectory } from "./interfaces/IAccountDirectory.sol";
import { IStorageEscrow } from "./interfaces/IStorageEscrow.sol";
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
/// Who may call: any account deposits for anybody, sends a co-signed update while no other change waits, sends proofs,
/// reports misses, disputes, settles and closes. The provider sends any co-signed update. The user retires slices; user
/// or provider give notice; each withdraws its own money.
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
contract StorageEscrow is IStorageEscrow, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using Schedules for Level[];
    using SetBooks for Books;
    using UserBalance for Account;
    using LiveRanges for bytes;

    /// @notice The token address that stands for the native coin.
    address public constant NATIVE = address(0);
    /// @notice Epochs behind the last one after which a stranger who closes a set gets its bounty.
    uint256 public constant ABANDONED_EPOCHS = 30;
    /// @notice Epochs, beginning with the current one, for which the signatures of an operator count that was replaced:
    /// those in which agents let a state be used that was signed before, and one more to show that two were signed.
    uint256 public constant REPLACED_EPOCHS = 5;
    /// @notice Blocks of an epoch.
    uint256 public immutable EPOCH_BLOCKS;
    /// @notice Epochs that a set runs on after notice is given, and that a balance must cover.
    uint256 public immutable NOTICE_EPOCHS;
    /// @notice Rules that are rarely asked for.
    DataSetRules public immutable RULES;
    /// @dev Of the chain when the contract was made. A chain that changes its id must not lock what sets hold.
    uint256 private immutable FIRST_CHAIN_ID;

    bytes32 private constant ID_TAG = keccak256("tallystick/v2/data-set-id");
    bytes32 private constant SEED_TAG = keccak256("tallystick/v2/challenge-seed");
    /// @dev Words of the structures in call data.
    uint256 private constant TERMS_BYTES = 14 * 32;
    uint256 private constant AUDIT_TERMS_BYTES = 11 * 32;
    /// @dev Where the offsets of its bytes are in a `ProofCall`: behind both terms.
    uint256 private constant SCHEDULE_FIELD = 25 * 32;
    uint256 private constant RANGES_FIELD = 26 * 32;
    uint256 private constant ANSWER_FIELD = 27 * 32;
    uint256 private constant EVIDENCE_FIELD = 28 * 32;
    /// @dev Where the offset of the provider's signature is in an `Update`.
    uint256 private constant PROVIDER_SIGNATURE_FIELD = 5 * 32;
    uint256 private constant RUNNING_ON = type(uint256).max;
    /// @dev So that the number of an epoch to come still has 32 bits.
    uint256 private constant MAX_NOTICE_EPOCHS = 1 << 24;

    uint256 private constant UNSETTLED = 0;
    uint256 private constant PROVEN = 1;
    uint256 private constant MISSED = 2;

    /// @dev A set during a call.
    struct Visit {
        bytes32 id;
        /// @dev Where the terms are in call data, see `_termsOf`.
        uint256 termsPlace;
        uint256 version;
        uint256 retirements;
        bytes32 contentHash;
        Level[] levels;
        uint256 epoch;
        Books books;
        Account account;
        /// @dev Where the account is in storage.
        uint256 accountSlot;
        bool accountChanged;
        bool booksChanged;
        /// @dev First epoch that the balance could not pay, when that was found in this call; else 0.
        uint256 exhaustedAt;
        /// @dev Last paid epoch as far as known, RUNNING_ON without an end.
        uint256 lastEpoch;
    }

    /// @dev Terms as the words that they are in call data. The compiler would check unused bits at every reading, which
    /// costs more than the reading. `open` has checked them: they count for the id, and for the hash of audit terms.
    struct TermsWords {
        uint256 user;
        uint256 provider;
        uint256 token;
        uint256 mode;
        uint256 feeFloor;
        uint256 feePerSlice;
        uint256 feePerIndex;
        uint256 feeCap;
        uint256 collateralPercent;
        uint256 compensationPercent;
        uint256 bountyPercent;
        uint256 latePercent;
        uint256 breachLimit;
        bytes32 auditHash;
    }

    /// @dev The same for audit terms.
    struct AuditWords {
        uint256 randomness;
        uint256 verifier;
        bytes32 keyHash;
        uint256 sliceElements;
        uint256 sampleCount;
        uint256 phase;
        uint256 windowBlocks;
        uint256 graceBlocks;
        uint256 disputeBond;
        bytes32 predecessor;
        bytes32 salt;
    }

    /// @inheritdoc IStorageEscrow
    mapping(bytes32 id => bytes32) public scheduleHashOf;
    mapping(bytes32 id => uint256) private _books;
    mapping(bytes32 id => Dispute) private _disputes;
    mapping(address token => mapping(address user => uint256)) private _accounts;
    /// @inheritdoc IStorageEscrow
    mapping(address token => mapping(address user => mapping(uint32 generation => uint32))) public endEpochOf;
    /// @dev In a word: 128 bits of what is locked, 128 bits in all.
    mapping(address token => mapping(address provider => uint256)) private _pools;
    mapping(address provider => address) private _operators;
    /// @inheritdoc IStorageEscrow
    mapping(address provider => mapping(address operator => uint256)) public replacedUntil;

    constructor(uint32 epochBlocks, uint32 noticeEpochs, IAccountDirectory directory) EIP712("Tallystick", "1") {
        if (epochBlocks < 2) revert InvalidTerms("epochBlocks");
        if (noticeEpochs < 2 || noticeEpochs > MAX_NOTICE_EPOCHS) revert InvalidTerms("noticeEpochs");
        EPOCH_BLOCKS = epochBlocks;
        NOTICE_EPOCHS = noticeEpochs;
        RULES = new DataSetRules(directory);
        FIRST_CHAIN_ID = block.chainid;
    }

    // ---- Money

    /// @inheritdoc IStorageEscrow
    function deposit(address token, address user, uint256 amount) external payable nonReentrant {
        uint256 received = _pull(token, amount);
        _changeBalance(token, user, received, 0);
        emit Deposited(token, user, msg.sender, received);
    }

    /// @inheritdoc IStorageEscrow
    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        _checkPayment(to, amount);
        _changeBalance(token, msg.sender, 0, amount);
        emit Withdrawn(token, msg.sender, to, amount);
        _push(token, to, amount);
    }

    /// @inheritdoc IStorageEscrow
    function depositCollateral(address token, address provider, uint256 amount) external payable nonReentrant {
        uint256 received = _pull(token, amount);
        _changePool(token, provider, 0, 0, int256(received));
        emit CollateralDeposited(token, provider, msg.sender, received);
    }

    /// @inheritdoc IStorageEscrow
    function withdrawCollateral(address token, address to, uint256 amount) external nonReentrant {
        _checkPayment(to, amount);
        _changePool(token, msg.sender, 0, 0, -int256(amount));
        emit CollateralWithdrawn(token, msg.sender, to, amount);
        _push(token, to, amount);
    }

    /// @inheritdoc IStorageEscrow
    function setOperator(address operator) external {
        // Each account has its own epoch, so that another change neither ends nor shortens it.
        replacedUntil[msg.sender][operatorOf(msg.sender)] = currentEpoch() + REPLACED_EPOCHS;
        _operators[msg.sender] = operator;
        emit OperatorSet(msg.sender, operator);
    }

    // ---- Life of a set

    /// @inheritdoc IStorageEscrow
    function open(Terms calldata terms, AuditTerms calldata audit, Update calldata first) external nonReentrant {
        Visit memory visit = _newVisit()[0];
        _identify(visit, terms);
        // From call data, since encoding them from there refuses terms with unused bits that are not zero.
        _checkAuditTerms(terms, audit);
        RULES.checkTerms(terms, audit, EPOCH_BLOCKS);
        if (scheduleHashOf[visit.id] != bytes32(0)) revert DataSetExists(visit.id);
        visit.version = first.version;
        _checkSignatures(visit, first, _hash(first.ranges));
        visit.epoch = currentEpoch();
        _loadAccount(visit);
        visit.booksChanged = true;
        visit.books.status = Status.Running;
        visit.books.settledThrough = visit.epoch;
        visit.books.generation = visit.account.generation;
        visit.lastEpoch = RUNNING_ON;

        emit DataSetOpened(visit.id, terms.user, terms.provider, terms, audit);
        Level memory level;
        level.rangesHash = _hash(first.ranges);
        _fill(level, _termsOf(visit), first.ranges, 0);
        if (level.sliceCount == 0) revert InvalidTerms("ranges");
        level.fromEpoch = visit.epoch + 1;
        visit.contentHash = first.contentHash;
        _scheduleLevel(visit, level, first.ranges);
        _leave(visit);
    }

    /// @inheritdoc IStorageEscrow
    function update(
        Terms calldata terms,
        bytes calldata schedule,
        bytes calldata ranges,
        Update calldata next
    ) external nonReentrant {
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
        _checkRunning(visit);
        _settle(visit);
        _update(visit, ranges, next);
        _leave(visit);
    }

    /// @inheritdoc IStorageEscrow
    function retire(
        Terms calldata terms,
        bytes calldata schedule,
        bytes calldata ranges,
        Update calldata carried,
        bytes calldata remaining
    ) external nonReentrant {
        if (msg.sender != terms.user) revert NotUser(msg.sender, terms.user);
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
        _checkRunning(visit);
        _settle(visit);
        if (carried.version > 0) {
            _update(visit, ranges, carried);
            ranges = carried.ranges;
        }
        Level memory before = visit.levels[visit.levels.length - 1];
        if (before.fromEpoch > visit.epoch + 1) revert ChangePending(visit.id, before.fromEpoch);
        Level memory level;
        level.rangesHash = _hash(remaining);
        // It would only count as a retirement, which makes the signatures void of states that are not sent yet.
        if (level.rangesHash == before.rangesHash) revert InvalidTerms("ranges");
        _fillAfter(level, visit, ranges, remaining);
        if (level.sliceCount == 0 || level.highestIndex != before.highestIndex) revert InvalidTerms("ranges");
        level.fromEpoch = visit.epoch + 2;
        ++visit.retirements;
        _scheduleLevel(visit, level, remaining);
        _leave(visit);
    }

    /// @inheritdoc IStorageEscrow
    function giveNotice(Terms calldata terms, bytes calldata schedule) external nonReentrant {
        if (msg.sender != terms.user && !_isProvider(msg.sender, terms.provider)) revert NotParty(msg.sender);
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
        _checkRunning(visit);
        uint256 end = visit.epoch + _noticeEpochs(visit);
        Level memory level;
        level.fromEpoch = end + 1;
        (level.highestIndex, ) = visit.levels.lastRanges();
        level.rangesHash = keccak256("");
        _settle(visit);
        _scheduleLevel(visit, level, msg.data[0:0]);
        _end(visit, end);
        emit NoticeGiven(visit.id, msg.sender, end);
        _leave(visit);
    }

    /// @inheritdoc IStorageEscrow
    function settle(Terms calldata terms, bytes calldata schedule) external nonReentrant {
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
        _settle(visit);
        _leave(visit);
    }

    /// @inheritdoc IStorageEscrow
    function close(Terms calldata terms, bytes calldata schedule) external nonReentrant {
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
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
        visit.booksChanged = true;
        visit.books.status = Status.Closed;
        emit DataSetClosed(visit.id, msg.sender, bounty);
        _leave(visit);
        _changeBalance(terms.token, msg.sender, bounty, 0);
    }

    // ---- Proofs

    /// @inheritdoc IStorageEscrow
    function prove(ProofCall[] calldata calls) external nonReentrant {
        uint256 count = calls.length;
        if (count == 0) revert NoProofs();
        address verifier;
        uint256 question = _beginQuestion(count);
        for (uint256 i; i < count; ++i) {
            ProofCall calldata call = calls[i];
            address named = call.audit.verifier;
            if (i == 0) verifier = named;
            else if (named != verifier) revert DifferentVerifiers(verifier, named);
            uint256 place;
            assembly ("memory-safe") {
                place := mload(0x40)
            }
            bytes32 seed = _prove(call);
            assembly ("memory-safe") {
                // The visit is of no more use: the claim takes its place, so that claims follow each other.
                mstore(0x40, place)
            }
            _addClaim(call, seed, question, i);
        }
        if (!_ask(verifier, question)) revert ProofRejected();
    }

    /// @inheritdoc IStorageEscrow
    function reportMiss(
        Terms calldata terms,
        AuditTerms calldata audit,
        bytes calldata schedule,
        uint256 epoch
    ) external nonReentrant {
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
        _checkMode(visit, Mode.EveryEpoch);
        _checkAuditTerms(terms, audit);
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

    /// @inheritdoc IStorageEscrow
    function dispute(Terms calldata terms, AuditTerms calldata audit, bytes calldata schedule) external nonReentrant {
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
        _checkMode(visit, Mode.OnDemand);
        _checkAuditTerms(terms, audit);
        if (visit.books.disputed) revert DisputeOpen(visit.id);
        uint256 epoch = visit.epoch;
        _checkPartOfSet(visit, epoch);
        _settle(visit);
        if (_outcome(visit, epoch) != UNSETTLED) revert EpochSettled(visit.id, epoch);
        uint256 grid = IRandomnessSource(audit.randomness).gridBlocks();
        // Not the next block: under `PrevrandaoRandomness`, who proposes the block of a dispute knows the mix of it.
        uint256 challengeBlock = ((block.number + 1) / grid + 1) * grid;
        if (challengeBlock / EPOCH_BLOCKS != epoch) revert DisputeTooLate(challengeBlock, epoch);

        visit.booksChanged = true;
        visit.books.disputed = true;
        _disputes[visit.id] = Dispute(msg.sender, uint64(challengeBlock), audit.disputeBond);
        emit DisputeOpened(visit.id, msg.sender, uint64(challengeBlock), audit.disputeBond);
        _leave(visit);
        _changeBalance(terms.token, msg.sender, 0, audit.disputeBond);
    }

    /// @inheritdoc IStorageEscrow
    function upholdDispute(
        Terms calldata terms,
        AuditTerms calldata audit,
        bytes calldata schedule
    ) external nonReentrant {
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
        _checkMode(visit, Mode.OnDemand);
        _checkAuditTerms(terms, audit);
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

    /// @inheritdoc IStorageEscrow
    function showDoubleSigning(
        Terms calldata terms,
        bytes calldata schedule,
        address signer,
        bytes calldata evidence
    ) external nonReentrant {
        bool byUser = signer == terms.user;
        if (!byUser && !_isProvider(signer, terms.provider) && !_isReplaced(signer, terms.provider)) {
            revert NotParty(signer);
        }
        Visit memory visit = _newVisit()[0];
        _enter(visit, terms, schedule);
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
            uint256 penalty = visit.levels.lastFee() * _noticeEpochs(visit);
            visit.account.available -= penalty;
            _changePool(terms.token, terms.provider, 0, 0, int256(penalty));
        }
        _breach(visit, visit.epoch, !byUser);
        _leave(visit);
    }

    // ---- Views

    /// @inheritdoc IStorageEscrow
    function currentEpoch() public view returns (uint256 epoch) {
        uint256 epochBlocks = EPOCH_BLOCKS;
        assembly ("memory-safe") {
            // The constructor refuses 0, which the compiler would look for.
            epoch := div(number(), epochBlocks)
        }
    }

    /// @inheritdoc IStorageEscrow
    function idOf(Terms calldata terms) external view returns (bytes32 id) {
        return _idOf(terms);
    }

    /// @inheritdoc IStorageEscrow
    function operatorOf(address provider) public view returns (address) {
        address operator = _operators[provider];
        return operator == address(0) ? provider : operator;
    }

    /// @inheritdoc IStorageEscrow
    function accountOf(address token, address user) external view returns (Account memory) {
        return UserBalance.unpack(_accounts[token][user]);
    }

    /// @inheritdoc IStorageEscrow
    function poolOf(address token, address provider) external view returns (Pool memory) {
        uint256 word = _pools[token][provider];
        return Pool({ total: uint128(word), locked: word >> 128 });
    }

    /// @inheritdoc IStorageEscrow
    function booksOf(bytes32 id) external view returns (Books memory) {
        return SetBooks.unpack(_books[id]);
    }

    /// @inheritdoc IStorageEscrow
    function disputeOf(bytes32 id) external view returns (Dispute memory) {
        return _disputes[id];
    }

    // ---- Entering and leaving a set

    /// @dev A visit of zeros, alone in a list: the compiler would write every word of a structure that it declares.
    function _newVisit() private pure returns (Visit[] memory one) {
        assembly ("memory-safe") {
            one := mload(0x40)
            let visit := add(one, 0x40)
            // 14 words, and what two of them point to: 8 words of books and 4 of an account.
            let books := add(visit, 0x1c0)
            let account := add(books, 0x100)
            let end := add(account, 0x80)
            mstore(0x40, end)
            mstore(one, 1)
            mstore(add(one, 0x20), visit)
            // Behind the end of call data there are zeros.
            calldatacopy(visit, calldatasize(), sub(end, visit))
            // The place of every empty list.
            mstore(add(visit, 0xa0), 0x60)
            mstore(add(visit, 0xe0), books)
            mstore(add(visit, 0x100), account)
        }
    }

    function _enter(Visit memory visit, Terms calldata terms, bytes calldata schedule) private view {
        _identify(visit, terms);
        bytes32 stored = scheduleHashOf[visit.id];
        if (stored == bytes32(0)) revert UnknownDataSet(visit.id);
        bytes32 given = _hash(schedule);
        if (given != stored) revert WrongSchedule(visit.id, stored, given);
        (visit.version, visit.retirements, visit.contentHash, visit.levels) = Schedules.decode(schedule);
        Books memory books = visit.books;
        books.load(_books[visit.id]);
        if (!books.isRunning()) revert WrongStatus(visit.id, books.status);
        visit.epoch = currentEpoch();
        _loadAccount(visit);
        visit.lastEpoch = _lastEpochOf(visit);
    }

    /// @dev For what changes the future of a set: no end is known.
    function _checkRunning(Visit memory visit) private pure {
        if (visit.lastEpoch != RUNNING_ON) revert DataSetEnded(visit.id, visit.lastEpoch);
    }

    function _loadAccount(Visit memory visit) private view {
        mapping(address user => uint256) storage accounts = _accounts[_tokenOf(visit)];
        address user = _userOf(visit);
        uint256 slot;
        uint256 word;
        assembly ("memory-safe") {
            mstore(0x00, user)
            mstore(0x20, accounts.slot)
            slot := keccak256(0x00, 0x40)
            word := sload(slot)
        }
        visit.accountSlot = slot;
        visit.account.load(word);
        visit.exhaustedAt = visit.account.accrue(visit.epoch);
    }

    function _lastEpochOf(Visit memory visit) private view returns (uint256) {
        if (visit.books.noticedEnd != 0) return visit.books.noticedEnd;
        uint256 generation = visit.books.generation;
        if (generation == visit.account.generation) return RUNNING_ON;
        if (visit.exhaustedAt != 0 && generation + 1 == visit.account.generation) return visit.exhaustedAt - 1;
        return endEpochOf[_tokenOf(visit)][_userOf(visit)][uint32(generation)] - 1;
    }

    function _leave(Visit memory visit) private {
        if (visit.booksChanged) _books[visit.id] = visit.books.pack();
        if (!visit.accountChanged) return;
        if (visit.exhaustedAt != 0) {
            _endGeneration(_tokenOf(visit), _userOf(visit), visit.account, visit.exhaustedAt);
        }
        uint256 slot = visit.accountSlot;
        uint256 word = visit.account.pack();
        assembly ("memory-safe") {
            sstore(slot, word)
        }
    }

    /// @dev For a balance that was used up: notes when its generation ended.
    function _endGeneration(address token, address user, Account memory account, uint256 exhaustedAt) private {
        endEpochOf[token][user][uint32(account.generation - 1)] = uint32(exhaustedAt);
        emit BalanceExhausted(token, user, account.generation - 1, exhaustedAt);
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
        if (exhaustedAt != 0) _endGeneration(token, user, account, exhaustedAt);
        _accounts[token][user] = account.pack();
    }

    function _creditUser(Visit memory visit, uint256 amount) private pure {
        if (amount == 0) return;
        visit.account.available += amount;
        visit.accountChanged = true;
    }

    function _payProvider(Visit memory visit, uint256 amount) private {
        _changePool(_tokenOf(visit), _providerOf(visit), 0, 0, int256(amount));
    }

    /// @dev Frees and locks collateral, then adds to a pool or takes from it.
    function _changePool(address token, address provider, uint256 freed, uint256 locked, int256 change) private {
        mapping(address provider => uint256) storage pools = _pools[token];
        uint256 slot;
        uint256 word;
        assembly ("memory-safe") {
            mstore(0x00, provider)
            mstore(0x20, pools.slot)
            slot := keccak256(0x00, 0x40)
            word := sload(slot)
        }
        uint256 nowLocked = (word >> 128) + locked - freed;
        uint256 total;
        unchecked {
            // A total that is negative, or wraps, is a huge number below.
            total = uint256(int256(uint256(uint128(word))) + change);
        }
        if (total > type(uint128).max || (nowLocked > total && (locked > freed || change < 0))) {
            revert CollateralTooLow(token, provider, uint128(word), nowLocked);
        }
        word = total | (nowLocked << 128);
        assembly ("memory-safe") {
            sstore(slot, word)
        }
    }

    // ---- Schedules

    /// @dev Writes what a level has from its list. An empty list costs nothing.
    function _fill(
        Level memory level,
        TermsWords calldata terms,
        bytes calldata ranges,
        uint256 highestBefore
    ) private pure {
        (uint256 sliceCount, uint256 highest) = ranges.check();
        if (highest < highestBefore) highest = highestBefore;
        level.sliceCount = sliceCount;
        level.highestIndex = highest;
        if (sliceCount == 0) return;
        uint256 fee;
        unchecked {
            // Prices are below 2^80, numbers below 2^53.
            fee = terms.feePerSlice * sliceCount + terms.feePerIndex * highest;
        }
        if (fee < terms.feeFloor) fee = terms.feeFloor;
        if (fee > terms.feeCap) revert FeeAboveCap(fee, terms.feeCap);
        level.fee = fee;
    }

    /// @dev The same for a list that follows the last one of a schedule.
    function _fillAfter(
        Level memory level,
        Visit memory visit,
        bytes calldata before,
        bytes calldata ranges
    ) private pure {
        (uint256 highestBefore, bytes32 hashBefore) = visit.levels.lastRanges();
        _checkRanges(before, hashBefore);
        _fill(level, _termsOf(visit), ranges, highestBefore);
        ranges.checkFollows(before, highestBefore);
    }

    function _update(Visit memory visit, bytes calldata ranges, Update calldata next) private {
        uint256 version = next.version;
        if (version <= visit.version) revert StaleVersion(visit.version, version);
        visit.version = version;
        bytes calldata newRanges = next.ranges;
        Level memory level;
        level.rangesHash = _hash(newRanges);
        _checkSignatures(visit, next, level.rangesHash);
        _fillAfter(level, visit, ranges, newRanges);
        level.fromEpoch = visit.epoch + 1;
        visit.contentHash = next.contentHash;
        _scheduleLevel(visit, level, newRanges);
        if (level.sliceCount == 0) _end(visit, visit.epoch);
    }

    /// @dev Puts a level at the end of the schedule, in place of those that begin with it or later, and moves money and
    /// collateral from the old schedule to the new one.
    function _scheduleLevel(Visit memory visit, Level memory level, bytes calldata ranges) private {
        Account memory account = visit.account;
        Level[] memory levels = visit.levels;
        uint256 feeBefore;
        uint256 highestBefore;
        uint256 available = account.available;
        if (levels.length > 0) {
            feeBefore = levels.lastFee();
            highestBefore = levels.highestFee();
            unchecked {
                available += levels.paidAhead(visit.epoch);
            }
        }
        levels = levels.extend(visit.books.settledThrough, level);
        if (levels.length > Schedules.MAX_LEVELS) revert TooManyLevels(visit.id);
        visit.levels = levels;
        uint256 required = levels.paidAhead(visit.epoch);
        unchecked {
            // Balances are below 2^113, rates below 2^81, notice is at most 2^24 epochs; the rate has the fee before.
            account.rate += level.fee - feeBefore;
            uint256 reserve = level.fee > feeBefore ? account.rate * NOTICE_EPOCHS : 0;
            if (available < required + reserve) {
                revert BalanceTooLow(_tokenOf(visit), _userOf(visit), available, required + reserve);
            }
            available -= required;
        }
        // A balance that stays as it was is brought up to date some other time. It changes without the fee when a state
        // replaces a retirement that waits, and leaves the same fee.
        if (level.fee != feeBefore || available != account.available) visit.accountChanged = true;
        account.available = available;
        _lock(visit, highestBefore);
        _publish(visit, ranges);
    }

    /// @dev Locks what the highest fee takes, after that was another one.
    function _lock(Visit memory visit, uint256 highestBefore) private {
        uint256 highest = visit.levels.highestFee();
        (uint256 lower, uint256 higher) = highest < highestBefore ? (highest, highestBefore) : (highestBefore, highest);
        uint256 secured = Schedules.securedFee(lower);
        // What lies between a fee and what it is rounded up to is rounded up to the same.
        if (higher <= secured) return;
        (uint256 before, uint256 next) = (secured, Schedules.securedFee(higher));
        if (lower == highest) (before, next) = (next, before);
        _changePool(_tokenOf(visit), _providerOf(visit), _lockedFor(visit, before), _lockedFor(visit, next), 0);
    }

    /// @dev Pins the schedule, and tells it together with the ranges of its last level.
    function _publish(Visit memory visit, bytes calldata ranges) private {
        bytes32 id = visit.id;
        uint256 data;
        assembly ("memory-safe") {
            // The schedule is encoded where it lies in the data of the event: behind two offsets.
            data := mload(0x40)
            mstore(0x40, add(data, 0x40))
        }
        bytes memory schedule = visit.levels.encode(visit.version, visit.retirements, visit.contentHash);
        scheduleHashOf[id] = keccak256(schedule);
        bytes32 topic = DataSetScheduled.selector;
        assembly ("memory-safe") {
            let place := mload(0x40)
            mstore(data, 0x40)
            mstore(add(data, 0x20), sub(place, data))
            mstore(place, ranges.length)
            place := add(place, 0x20)
            calldatacopy(place, ranges.offset, ranges.length)
            let end := add(place, ranges.length)
            mstore(end, 0)
            end := and(add(end, 0x1f), not(0x1f))
            mstore(0x40, end)
            log2(data, sub(end, data), topic, id)
        }
    }

    /// @dev What the set locks: a percentage of its highest fee, rounded up, less what each miss has cost at most.
    function _locked(Visit memory visit) private pure returns (uint256) {
        return _lockedFor(visit, Schedules.securedFee(visit.levels.highestFee()));
    }

    /// @param secured The highest fee, rounded up.
    function _lockedFor(Visit memory visit, uint256 secured) private pure returns (uint256) {
        TermsWords calldata terms = _termsOf(visit);
        uint256 spent = visit.books.missed * (terms.compensationPercent + terms.bountyPercent);
        return (secured * (terms.collateralPercent - spent)) / 100;
    }

    /// @dev Epochs that a set runs on after notice: as many of the period as the balance covers.
    function _noticeEpochs(Visit memory visit) private view returns (uint256) {
        uint256 runway = visit.account.runway();
        return runway < NOTICE_EPOCHS ? runway : NOTICE_EPOCHS;
    }

    function _end(Visit memory visit, uint256 lastEpoch) private pure {
        visit.booksChanged = true;
        visit.books.noticedEnd = lastEpoch;
        visit.lastEpoch = lastEpoch;
    }

    // ---- Epochs

    /// @dev Settles all epochs whose outcome nothing can change any more: those before the previous one, up to the
    /// last one, and none from the epoch of an open dispute on.
    function _settle(Visit memory visit) private {
        uint256 settled = visit.books.settledThrough;
        uint256 through = visit.epoch;
        unchecked {
            // Numbers of epochs are below 2^33.
            if (through <= settled + 2) return;
            through -= 2;
        }
        if (through > visit.lastEpoch) through = visit.lastEpoch;
        if (visit.books.disputed) {
            uint256 disputedEpoch = _disputes[visit.id].challengeBlock / EPOCH_BLOCKS;
            if (through >= disputedEpoch) through = disputedEpoch - 1;
        }
        if (through <= settled) return;
        uint256 fees = _unsettledFees(visit, through);
        visit.booksChanged = true;
        unchecked {
            visit.books.outcomes >>= 2 * (through - settled);
        }
        visit.books.settledThrough = through;
        if (fees == 0) return;
        bool earned = _isOnDemand(visit);
        if (earned) _payProvider(visit, fees);
        else _creditUser(visit, fees);
        emit DataSetSettled(visit.id, through, earned ? fees : 0, earned ? 0 : fees);
    }

    /// @dev Fees behind `settledThrough` up to `through` that went to nobody.
    function _unsettledFees(Visit memory visit, uint256 through) private pure returns (uint256 fees) {
        unchecked {
            // Epochs are below 2^33. Two have outcomes, and mostly no fees are left of them.
            uint256 settled = visit.books.settledThrough;
            uint256 withOutcomes = settled + 2;
            if (through > withOutcomes) fees = visit.levels.feesBetween(withOutcomes, through);
            else withOutcomes = through;
            for (uint256 epoch = settled; epoch < withOutcomes; ++epoch) {
                if (_outcome(visit, epoch + 1) == UNSETTLED) fees += visit.levels.feesBetween(epoch, epoch + 1);
            }
        }
    }

    function _feeAt(Visit memory visit, uint256 epoch) private pure returns (uint256 fee) {
        (fee, ) = visit.levels.levelAt(epoch);
    }

    function _outcome(Visit memory visit, uint256 epoch) private pure returns (uint256) {
        return (visit.books.outcomes >> _outcomeShift(visit, epoch)) & 3;
    }

    function _setOutcome(Visit memory visit, uint256 epoch, uint256 outcome) private pure {
        uint256 shift = _outcomeShift(visit, epoch);
        uint256 outcomes = visit.books.outcomes;
        if ((outcomes >> shift) & 3 != UNSETTLED) revert EpochSettled(visit.id, epoch);
        visit.booksChanged = true;
        visit.books.outcomes = outcomes | (outcome << shift);
    }

    /// @dev Where the outcome of an epoch is, which is not settled.
    function _outcomeShift(Visit memory visit, uint256 epoch) private pure returns (uint256) {
        unchecked {
            return 2 * (epoch - visit.books.settledThrough - 1);
        }
    }

    function _checkPartOfSet(Visit memory visit, uint256 epoch) private pure {
        if (epoch < visit.levels.firstEpoch() || epoch > visit.lastEpoch) revert NotPartOfSet(visit.id, epoch);
        if (epoch <= visit.books.settledThrough) revert EpochSettled(visit.id, epoch);
    }

    /// @dev A field of bytes, without the compiler's checks that it lies within call data. It may lie anywhere:
    /// schedule and ranges must have their hashes, and answer and evidence are for others to judge. Behind the end of
    /// call data there are zeros, and no gas suffices to copy more than memory holds.
    /// @param field Where the offset of the field is.
    function _bytesAt(ProofCall calldata proof, uint256 field) private pure returns (bytes calldata data) {
        assembly ("memory-safe") {
            let place := add(proof, calldataload(add(proof, field)))
            data.offset := add(place, 0x20)
            data.length := calldataload(place)
        }
    }

    /// @dev Everything about a proof but its verification.
    /// @return seed What the verifier draws from.
    function _prove(ProofCall calldata call) private returns (bytes32 seed) {
        Visit memory visit = _newVisit()[0];
        _enter(visit, call.terms, _bytesAt(call, SCHEDULE_FIELD));
        _checkAuditTerms(call.terms, call.audit);
        AuditWords calldata audit = _words(call.audit);
        uint256 challengeBlock = _takeProof(visit, audit, _bytesAt(call, RANGES_FIELD));
        return
            _seed(visit.id, challengeBlock, _record(audit.randomness, challengeBlock, _bytesAt(call, EVIDENCE_FIELD)));
    }

    /// @dev `IRandomnessSource(source).record(challengeBlock, evidence)`.
    function _record(
        uint256 source,
        uint256 challengeBlock,
        bytes calldata evidence
    ) private returns (bytes32 randomness) {
        uint256 selector = uint32(IRandomnessSource.record.selector);
        assembly ("memory-safe") {
            // Behind what is in use.
            let place := mload(0x40)
            mstore(place, selector)
            mstore(add(place, 0x20), challengeBlock)
            mstore(add(place, 0x40), 0x40)
            mstore(add(place, 0x60), evidence.length)
            let end := add(add(place, 0x80), evidence.length)
            calldatacopy(add(place, 0x80), evidence.offset, evidence.length)
            // The rest of the last word.
            mstore(end, 0)
            let size := add(0x64, and(add(evidence.length, 0x1f), not(0x1f)))
            // The call comes first: arguments are evaluated from the last one on. Less than a word is no answer.
            if iszero(and(gt(returndatasize(), 0x1f), call(gas(), source, 0, add(place, 0x1c), size, 0x00, 0x20))) {
                returndatacopy(place, 0, returndatasize())
                revert(place, returndatasize())
            }
            randomness := mload(0x00)
        }
    }

    /// @dev Begins the call data of `IPossessionVerifier.verify(claims)` in memory. Claims are added to its end, which
    /// is the end of the memory in use.
    /// @return question Where it is: the selector at the end of the first word.
    function _beginQuestion(uint256 count) private pure returns (uint256 question) {
        uint256 selector = uint32(IPossessionVerifier.verify.selector);
        assembly ("memory-safe") {
            question := mload(0x40)
            mstore(question, selector)
            mstore(add(question, 0x20), 0x20)
            mstore(add(question, 0x40), count)
            // The places of the claims follow. There are fewer than bytes of call data, so this does not wrap.
            mstore(0x40, add(add(question, 0x60), shl(5, count)))
        }
    }

    /// @dev Writes claim i behind the ones before it. What the verifier needs is copied once, from call data.
    function _addClaim(ProofCall calldata call, bytes32 seed, uint256 question, uint256 i) private pure {
        AuditWords calldata audit = _words(call.audit);
        bytes32 keyHash = audit.keyHash;
        uint256 sampleCount = audit.sampleCount;
        bytes calldata ranges = _bytesAt(call, RANGES_FIELD);
        bytes calldata answer = _bytesAt(call, ANSWER_FIELD);
        assembly ("memory-safe") {
            let claim := mload(0x40)
            let places := add(question, 0x60)
            mstore(add(places, shl(5, i)), sub(claim, places))
            mstore(claim, seed)
            mstore(add(claim, 0x20), keyHash)
            mstore(add(claim, 0x40), sampleCount)
            mstore(add(claim, 0x60), 0xa0)
            let place := add(claim, 0xa0)
            mstore(place, ranges.length)
            place := add(place, 0x20)
            calldatacopy(place, ranges.offset, ranges.length)
            place := add(place, ranges.length)
            // The rest of the last word.
            mstore(place, 0)
            place := and(add(place, 0x1f), not(0x1f))
            mstore(add(claim, 0x80), sub(place, claim))
            mstore(place, answer.length)
            place := add(place, 0x20)
            calldatacopy(place, answer.offset, answer.length)
            place := add(place, answer.length)
            mstore(place, 0)
            mstore(0x40, and(add(place, 0x1f), not(0x1f)))
        }
    }

    /// @dev `IPossessionVerifier(verifier).verify(claims)`, with the call data that ends where the memory in use does.
    function _ask(address verifier, uint256 question) private view returns (bool valid) {
        assembly ("memory-safe") {
            let data := add(question, 0x1c)
            if iszero(staticcall(gas(), verifier, data, sub(mload(0x40), data), 0x00, 0x20)) {
                returndatacopy(data, 0, returndatasize())
                revert(data, returndatasize())
            }
            // Less than a word is no answer, as of an account without code.
            valid := and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))
        }
    }

    /// @dev What the verifier draws from: bound to chain, escrow, set and challenge block.
    function _seed(bytes32 id, uint256 challengeBlock, bytes32 randomness) private view returns (bytes32 seed) {
        bytes32 tag = SEED_TAG;
        assembly ("memory-safe") {
            // Behind what is in use.
            let place := mload(0x40)
            mstore(place, tag)
            mstore(add(place, 0x20), chainid())
            mstore(add(place, 0x40), address())
            mstore(add(place, 0x60), id)
            mstore(add(place, 0x80), challengeBlock)
            mstore(add(place, 0xa0), randomness)
            seed := keccak256(place, 0xc0)
        }
    }

    /// @dev Pays for a proof that is still to be verified.
    function _takeProof(
        Visit memory visit,
        AuditWords calldata audit,
        bytes calldata ranges
    ) private returns (uint256 challengeBlock) {
        bool onDemand = _isOnDemand(visit);
        uint256 bond;
        if (onDemand) {
            if (!visit.books.disputed) revert NoDispute(visit.id);
            Dispute memory open_ = _disputes[visit.id];
            (challengeBlock, bond) = (open_.challengeBlock, open_.bond);
            emit DisputeAnswered(visit.id, open_.disputer, bond);
        } else {
            unchecked {
                // The first block of the epoch is not behind the current one.
                challengeBlock = visit.epoch * EPOCH_BLOCKS + audit.phase;
            }
        }
        uint256 windowEnd;
        uint256 lastBlock;
        unchecked {
            // Numbers of blocks are below 2^64, the terms' below 2^32.
            windowEnd = challengeBlock + audit.windowBlocks;
            lastBlock = windowEnd + audit.graceBlocks;
        }
        if (block.number <= challengeBlock || block.number > lastBlock) {
            revert OutsideWindow(block.number, challengeBlock, lastBlock);
        }
        // The phase lies within the epoch.
        uint256 epoch = onDemand ? challengeBlock / EPOCH_BLOCKS : visit.epoch;
        _checkPartOfSet(visit, epoch);
        (uint256 levelFee, bytes32 rangesHash) = visit.levels.levelAt(epoch);
        _checkRanges(ranges, rangesHash);

        _settle(visit);
        _setOutcome(visit, epoch, PROVEN);
        unchecked {
            // Once per epoch.
            ++visit.books.proven;
        }
        uint256 fee = levelFee;
        bool late = !onDemand && block.number > windowEnd;
        if (late) {
            fee = (levelFee * _termsOf(visit).latePercent) / 100;
            _creditUser(visit, levelFee - fee);
        }
        if (onDemand) _endDispute(visit);
        unchecked {
            // Both are below 2^80.
            _payProvider(visit, fee + bond);
        }
        emit EpochProven(visit.id, epoch, fee, late);
        _leave(visit);
    }

    function _endDispute(Visit memory visit) private {
        delete _disputes[visit.id];
        visit.booksChanged = true;
        visit.books.disputed = false;
    }

    /// @return bounty For whoever reported it, taken from the pool.
    function _miss(Visit memory visit, uint256 epoch) private returns (uint256 bounty) {
        TermsWords calldata terms = _termsOf(visit);
        _setOutcome(visit, epoch, MISSED);
        uint256 fee = _feeAt(visit, epoch);
        uint256 compensation = (fee * terms.compensationPercent) / 100;
        bounty = (fee * terms.bountyPercent) / 100;
        uint256 before = _locked(visit);
        ++visit.books.missed;
        uint256 freed = before - _locked(visit);
        _changePool(_tokenOf(visit), _providerOf(visit), freed, 0, -int256(compensation + bounty));
        _creditUser(visit, fee + compensation);
        emit EpochMissed(visit.id, epoch, msg.sender, fee, compensation, bounty);
        if (visit.books.missed == terms.breachLimit) _breach(visit, epoch, true);
    }

    /// @dev Ends a set at once. Paid epochs that went to nobody go to the party that is not at fault; what is paid for
    /// later ones goes back to the user.
    /// @param forfeit Whether the provider is at fault, who then loses what is locked.
    function _breach(Visit memory visit, uint256 epoch, bool forfeit) private {
        if (visit.books.disputed) {
            Dispute memory open_ = _disputes[visit.id];
            _endDispute(visit);
            // The user's balance is in memory.
            if (open_.disputer == _userOf(visit)) _creditUser(visit, open_.bond);
            else _changeBalance(_tokenOf(visit), open_.disputer, open_.bond, 0);
        }
        uint256 paid = visit.lastEpoch;
        if (paid == RUNNING_ON) {
            paid = visit.epoch;
            visit.account.rate -= visit.levels.lastFee();
        }
        // Of a balance that was used up, too: its last epoch may lie before those that are paid in advance.
        uint256 ahead = visit.levels.paidAhead(paid);
        uint256 fees = _unsettledFees(visit, paid);
        uint256 locked = _locked(visit);
        int256 change = forfeit ? -int256(locked) : int256(fees);
        _changePool(_tokenOf(visit), _providerOf(visit), locked, 0, change);
        visit.accountChanged = true;
        _creditUser(visit, forfeit ? fees + ahead + locked : ahead);
        visit.booksChanged = true;
        visit.books.status = Status.Breached;
        emit DataSetBreached(visit.id, epoch, forfeit ? locked : 0);
    }

    // ---- Checks

    /// @dev The id of terms as they came. Unused bits count, so terms with other ones than zeros are those of another
    /// set.
    function _idOf(Terms calldata terms) private view returns (bytes32 id) {
        bytes32 tag = ID_TAG;
        uint256 chainId = FIRST_CHAIN_ID;
        assembly ("memory-safe") {
            // Behind what is in use.
            let start := mload(0x40)
            mstore(start, tag)
            mstore(add(start, 0x20), chainId)
            mstore(add(start, 0x40), address())
            calldatacopy(add(start, 0x60), terms, TERMS_BYTES)
            id := keccak256(start, add(0x60, TERMS_BYTES))
        }
    }

    /// @dev Writes down the id of terms, and where they are.
    function _identify(Visit memory visit, Terms calldata terms) private view {
        visit.id = _idOf(terms);
        uint256 place;
        assembly ("memory-safe") {
            place := terms
        }
        visit.termsPlace = place;
    }

    /// @dev The terms stay in call data: a copy costs more than reading there what is needed.
    function _termsOf(Visit memory visit) private pure returns (TermsWords calldata terms) {
        uint256 place = visit.termsPlace;
        assembly ("memory-safe") {
            terms := place
        }
    }

    function _userOf(Visit memory visit) private pure returns (address) {
        return address(uint160(_termsOf(visit).user));
    }

    function _providerOf(Visit memory visit) private pure returns (address) {
        return address(uint160(_termsOf(visit).provider));
    }

    function _tokenOf(Visit memory visit) private pure returns (address) {
        return address(uint160(_termsOf(visit).token));
    }

    function _isOnDemand(Visit memory visit) private pure returns (bool) {
        return _termsOf(visit).mode == uint256(Mode.OnDemand);
    }

    /// @dev Audit terms whose hash has been checked.
    function _words(AuditTerms calldata audit) private pure returns (AuditWords calldata words) {
        assembly ("memory-safe") {
            words := audit
        }
    }

    function _checkAuditTerms(Terms calldata terms, AuditTerms calldata audit) private pure {
        bytes32 hash;
        assembly ("memory-safe") {
            let place := mload(0x40)
            calldatacopy(place, audit, AUDIT_TERMS_BYTES)
            hash := keccak256(place, AUDIT_TERMS_BYTES)
        }
        if (hash != terms.auditHash) revert WrongAuditTerms(terms.auditHash, hash);
    }

    function _checkMode(Visit memory visit, Mode mode) private pure {
        Mode actual = Mode(_termsOf(visit).mode);
        if (actual != mode) revert WrongMode(visit.id, actual);
    }

    function _checkRanges(bytes calldata ranges, bytes32 expected) private pure {
        bytes32 hash = _hash(ranges);
        if (hash != expected) revert WrongRanges(expected, hash);
    }

    /// @dev A party that sends the call itself needs no signature. The version is already that of the update. An empty
    /// signature of the provider always means that it sends the call: a contract wallet might accept an empty one, and
    /// anybody could then replace what waits.
    /// @param rangesHash Hash of its ranges.
    function _checkSignatures(Visit memory visit, Update calldata next, bytes32 rangesHash) private view {
        uint256 deadlineBlock = next.deadlineBlock;
        if (block.number > deadlineBlock) revert SignatureExpired(deadlineBlock, block.number);
        bytes32 digest = _digest(visit, rangesHash, next.contentHash, deadlineBlock);
        address user = _userOf(visit);
        address provider = _providerOf(visit);
        // The signature of a delegate takes looking at the whole update; a contract wallet is asked last.
        if (msg.sender != user && !_isKeySignature(user, digest, next.userSignature)) {
            RULES.checkUser(visit.id, digest, next.userSignature, msg.data);
        }
        if (_bringsProviderSignature(next)) {
            bool opened = visit.levels.length > 0;
            // Every change makes a proof revert that is on its way. So those who send it in the provider's place do so
            // at most once per epoch.
            uint256 fromEpoch = opened ? visit.levels.lastEpoch() : 0;
            if (fromEpoch > visit.epoch) revert ChangePending(visit.id, fromEpoch);
            _checkProviderSignature(provider, digest, next.providerSignature, opened);
        } else if (!_isProvider(msg.sender, provider)) {
            revert SignatureInvalid(operatorOf(provider), digest);
        }
    }

    /// @dev Whether the provider's signature is not empty. Read without the compiler's checks, which would cost more
    /// than all of the rest: behind the end of call data there are zeros, and an empty one gives nothing.
    function _bringsProviderSignature(Update calldata next) private pure returns (bool brings) {
        assembly ("memory-safe") {
            brings := gt(calldataload(add(next, calldataload(add(next, PROVIDER_SIGNATURE_FIELD)))), 0)
        }
    }

    /// @dev Only the key of an operator that was replaced is asked for, not its code: a wallet that would void what it
    /// signed can do so without being replaced.
    /// @param opened Whether the set is open. Terms bind collateral of the whole pool, so a replaced operator, whose
    /// key may be stolen, agrees on none.
    function _checkProviderSignature(
        address provider,
        bytes32 digest,
        bytes calldata signature,
        bool opened
    ) private view {
        address operator = operatorOf(provider);
        if (AccountSignature.isValid(operator, digest, signature)) return;
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(digest, signature);
        if (!opened || failure != ECDSA.RecoverError.NoError || !_isReplaced(signer, provider)) {
            revert SignatureInvalid(operator, digest);
        }
    }

    function _isKeySignature(address account, bytes32 digest, bytes calldata signature) private pure returns (bool) {
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(digest, signature);
        return failure == ECDSA.RecoverError.NoError && signer == account;
    }

    function _isProvider(address account, address provider) private view returns (bool) {
        return account == provider || account == _operators[provider];
    }

    /// @dev Whether an account was the provider's operator until a short time ago.
    function _isReplaced(address account, address provider) private view returns (bool) {
        return replacedUntil[provider][account] > currentEpoch();
    }

    function _digest(
        Visit memory visit,
        bytes32 rangesHash,
        bytes32 contentHash,
        uint256 deadlineBlock
    ) private view returns (bytes32) {
        return
            _hashTypedDataV4(
                DataSetSignature.structHash(
                    visit.id,
                    visit.version,
                    visit.retirements,
                    rangesHash,
                    contentHash,
                    deadlineBlock
                )
            );
    }

    /// @dev keccak256 without making room for a copy.
    function _hash(bytes calldata data) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let place := mload(0x40)
            calldatacopy(place, data.offset, data.length)
            hash := keccak256(place, data.length)
        }
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
