// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";

/// @title What the escrow of data sets should do, written as simply as possible
/// @notice One number per epoch, plain mappings, loops over all epochs and all sets, nothing packed and nothing put
/// off: when the clock passes the beginning of an epoch, every balance pays for it. Live indices are the bits of a
/// number. A call that the rules do not allow reverts with `Refused`, so that nothing of it stays.
abstract contract DataSetModel {
    enum Outcome {
        None,
        Proven,
        Missed,
        Lapsed
    }

    struct Set {
        IStorageEscrow.Terms terms;
        uint256 phase;
        uint256 window;
        uint256 grace;
        uint256 bond;
        IStorageEscrow.Status status;
        uint256 opened;
        /// @dev Last epoch, RUNNING without an end.
        uint256 last;
        bool exhausted;
        uint256 generation;
        uint256 settled;
        uint256 version;
        uint256 retirements;
        uint256 missed;
        uint256 proven;
        uint256 highest;
        /// @dev What counts from `tailFrom` on; what counts before is in the mappings.
        uint256 tailFee;
        uint256 tailFrom;
        uint256 tailBits;
        uint256 lockFee;
        bool disputed;
        address disputer;
        uint256 challengeBlock;
        uint256 paidIn;
        uint256 toUser;
        uint256 toProvider;
        uint256 loss;
        uint256 highestLock;
        mapping(uint256 epoch => bool) fixedPlan;
        mapping(uint256 epoch => uint256) fee;
        mapping(uint256 epoch => uint256) bits;
        mapping(uint256 epoch => bool) levelBegins;
        /// @dev Paid for an epoch to come.
        mapping(uint256 epoch => uint256) ahead;
        /// @dev Paid for an epoch that has begun, and not given to anybody yet.
        mapping(uint256 epoch => uint256) held;
        mapping(uint256 epoch => Outcome) outcome;
    }

    struct Pool {
        uint256 total;
        uint256 locked;
    }

    /// @notice The rules do not allow this.
    error Refused(string rule);

    uint256 public constant RUNNING = type(uint256).max;
    uint256 public constant NOTICE = 3;
    uint256 public constant EPOCH = 20;
    uint256 public constant GRID = 5;
    uint256 private constant MAX_LEVELS = 8;
    uint256 private constant ABANDONED = 30;
    /// @dev No change reaches further ahead.
    uint256 private constant REACH = NOTICE + 2;

    uint256 public currentBlock;
    /// @notice How many balances were used up.
    uint256 public exhaustions;
    mapping(address token => mapping(address user => uint256)) public available;
    mapping(address token => mapping(address user => uint256)) public generation;
    mapping(address token => mapping(address provider => Pool)) public pools;
    mapping(address provider => address) public operators;
    /// @notice Epoch in which an account was last replaced as the operator of a provider; 0 for never.
    mapping(address provider => mapping(address operator => uint256)) public replacedIn;
    Set[] internal _sets;

    modifier allowedWhen(bool allowed, string memory rule) {
        _need(allowed, rule);
        _;
    }

    constructor(uint256 firstBlock) {
        currentBlock = firstBlock;
    }

    // ---- Time

    function epochNow() public view returns (uint256) {
        return currentBlock / EPOCH;
    }

    function modelAdvance(uint256 blocks) public {
        uint256 target = (currentBlock + blocks) / EPOCH;
        for (uint256 epoch = epochNow() + 1; epoch <= target; ++epoch) _begin(epoch);
        currentBlock += blocks;
    }

    /// @dev Every balance pays for an epoch, or all its sets end.
    function _begin(uint256 epoch) private {
        for (uint256 i; i < _sets.length; ++i) {
            Set storage set = _sets[i];
            if (set.status != IStorageEscrow.Status.Running) continue;
            if (set.last == RUNNING && _isFirstOfItsBalance(i)) _payFor(set.terms.token, set.terms.user, epoch);
            if (set.last == RUNNING || (!set.exhausted && set.last >= epoch)) {
                set.held[epoch] += set.ahead[epoch];
                set.ahead[epoch] = 0;
            }
        }
    }

    function _payFor(address token, address user, uint256 epoch) private {
        uint256 price = rateOf(token, user);
        bool enough = available[token][user] >= price;
        if (enough) available[token][user] -= price;
        else {
            ++generation[token][user];
            ++exhaustions;
        }
        for (uint256 i; i < _sets.length; ++i) {
            Set storage set = _sets[i];
            if (!_runsOn(set, token, user)) continue;
            if (enough) {
                set.held[epoch] = set.tailFee;
                set.paidIn += set.tailFee;
            } else {
                set.last = epoch - 1;
                set.exhausted = true;
            }
        }
    }

    function _isFirstOfItsBalance(uint256 index) private view returns (bool) {
        for (uint256 i; i < index; ++i) {
            if (_runsOn(_sets[i], _sets[index].terms.token, _sets[index].terms.user)) return false;
        }
        return true;
    }

    function _runsOn(Set storage set, address token, address user) private view returns (bool) {
        return
            set.status == IStorageEscrow.Status.Running &&
            set.last == RUNNING &&
            set.terms.token == token &&
            set.terms.user == user;
    }

    /// @notice What the sets of a user cost in each epoch from now on, by what they will be in the end.
    function rateOf(address token, address user) public view returns (uint256 rate) {
        for (uint256 i; i < _sets.length; ++i) {
            if (_runsOn(_sets[i], token, user)) rate += _sets[i].tailFee;
        }
    }

    // ---- Money

    function modelDeposit(address token, address user, uint256 arrives) public allowedWhen(arrives > 0, "amount") {
        available[token][user] += arrives;
    }

    function modelWithdraw(address token, address user, uint256 amount) external allowedWhen(amount > 0, "amount") {
        _take(token, user, amount);
    }

    function modelDepositCollateral(
        address token,
        address provider,
        uint256 arrives
    ) public allowedWhen(arrives > 0, "amount") {
        pools[token][provider].total += arrives;
    }

    function modelWithdrawCollateral(
        address token,
        address provider,
        uint256 amount
    ) external allowedWhen(amount > 0, "amount") {
        Pool storage pool = pools[token][provider];
        _need(pool.total >= pool.locked + amount, "locked");
        pool.total -= amount;
    }

    function modelSetOperator(address provider, address operator) external {
        address before = operators[provider];
        replacedIn[provider][before == address(0) ? provider : before] = epochNow();
        operators[provider] = operator;
    }

    function _take(address token, address user, uint256 amount) private {
        if (amount == 0) return;
        _need(available[token][user] >= amount + rateOf(token, user) * NOTICE, "notice period");
        available[token][user] -= amount;
    }

    // ---- Life of a set

    function modelOpen(
        IStorageEscrow.Terms calldata terms,
        IStorageEscrow.AuditTerms calldata audit,
        uint256 bits,
        uint256 version
    ) external {
        _need(bits != 0, "empty");
        Set storage set = _sets.push();
        set.terms = terms;
        (set.phase, set.window, set.grace) = (audit.phase, audit.windowBlocks, audit.graceBlocks);
        set.bond = audit.disputeBond;
        set.status = IStorageEscrow.Status.Running;
        set.opened = epochNow();
        set.settled = set.opened;
        set.generation = generation[terms.token][terms.user];
        set.last = RUNNING;
        set.version = version;
        set.tailFrom = set.opened + 1;
        _schedule(set, set.opened + 1, bits);
    }

    function modelUpdate(uint256 index, uint256 bits, uint256 version, bool byProvider) external {
        Set storage set = _running(index);
        _settle(set);
        if (!byProvider) _need(set.tailFrom <= epochNow(), "a change waits");
        _update(set, bits, version);
    }

    function modelRetire(uint256 index, uint256 carriedBits, uint256 carriedVersion, uint256 bits) external {
        Set storage set = _running(index);
        _settle(set);
        if (carriedVersion > 0) {
            _need(set.tailFrom <= epochNow(), "a change waits");
            _update(set, carriedBits, carriedVersion);
        }
        _need(set.last == RUNNING, "ended by the update");
        _need(set.tailFrom <= epochNow() + 1, "once per epoch");
        _need(bits != 0 && bits != set.tailBits && bits & ~set.tailBits == 0, "only old ones, not all");
        ++set.retirements;
        _schedule(set, epochNow() + 2, bits);
    }

    function modelGiveNotice(uint256 index) external {
        Set storage set = _running(index);
        uint256 end = epochNow() + _noticeEpochs(set);
        _settle(set);
        _schedule(set, end + 1, 0);
        set.last = end;
    }

    function modelSettle(uint256 index) external {
        _settle(_open(index));
    }

    function modelClose(uint256 index, address caller) external {
        Set storage set = _open(index);
        _need(!set.disputed, "dispute");
        _need(set.last != RUNNING && epochNow() >= set.last + 2, "running");
        _settle(set);
        _giveUser(set, _takeAhead(set));
        uint256 locked = lockOf(index);
        uint256 bounty;
        if (epochNow() > set.last + 2 + ABANDONED && caller != set.terms.user && caller != set.terms.provider) {
            bounty = (set.lockFee * set.terms.bountyPercent) / 100;
            if (bounty > locked) bounty = locked;
        }
        Pool storage pool = pools[set.terms.token][set.terms.provider];
        pool.locked -= locked;
        pool.total -= bounty;
        set.loss += bounty;
        set.status = IStorageEscrow.Status.Closed;
        available[set.terms.token][caller] += bounty;
    }

    // ---- Proofs

    /// @notice All of them, or none.
    function modelProve(uint256[] calldata indices, bool right) external {
        for (uint256 i; i < indices.length; ++i) _prove(indices[i], right);
    }

    function _prove(uint256 index, bool right) private {
        Set storage set = _open(index);
        bool onDemand = set.terms.mode == IStorageEscrow.Mode.OnDemand;
        _need(!onDemand || set.disputed, "no dispute");
        uint256 challenge = onDemand ? set.challengeBlock : epochNow() * EPOCH + set.phase;
        _need(currentBlock > challenge && currentBlock <= challenge + set.window + set.grace, "window");
        uint256 epoch = challenge / EPOCH;
        _needOpenEpoch(set, epoch);
        _need(right, "wrong proof");
        _settle(set);
        _need(set.outcome[epoch] == Outcome.None, "settled");
        set.outcome[epoch] = Outcome.Proven;
        ++set.proven;
        uint256 fee = set.held[epoch];
        uint256 earned = fee;
        if (!onDemand && currentBlock > challenge + set.window) earned = (fee * set.terms.latePercent) / 100;
        set.held[epoch] = 0;
        _giveProvider(set, earned);
        _giveUser(set, fee - earned);
        if (onDemand) {
            pools[set.terms.token][set.terms.provider].total += set.bond;
            set.disputed = false;
        }
    }

    function modelReportMiss(uint256 index, uint256 epoch, address caller) external {
        Set storage set = _open(index);
        _need(set.terms.mode == IStorageEscrow.Mode.EveryEpoch, "mode");
        _needOpenEpoch(set, epoch);
        _need(currentBlock > epoch * EPOCH + set.phase + set.window + set.grace, "early");
        _need(currentBlock < (epoch + 2) * EPOCH, "late");
        _settle(set);
        available[set.terms.token][caller] += _miss(set, index, epoch);
    }

    function modelDispute(uint256 index, address caller) external {
        Set storage set = _open(index);
        _need(set.terms.mode == IStorageEscrow.Mode.OnDemand, "mode");
        _need(!set.disputed, "dispute");
        _needOpenEpoch(set, epochNow());
        _settle(set);
        _need(set.outcome[epochNow()] == Outcome.None, "settled");
        uint256 challenge = currentBlock + 2;
        while (challenge % GRID != 0) ++challenge;
        _need(challenge / EPOCH == epochNow(), "late");
        _take(set.terms.token, caller, set.bond);
        (set.disputed, set.disputer, set.challengeBlock) = (true, caller, challenge);
    }

    function modelUpholdDispute(uint256 index) external {
        Set storage set = _open(index);
        _need(set.terms.mode == IStorageEscrow.Mode.OnDemand, "mode");
        _need(set.disputed, "no dispute");
        _need(currentBlock > set.challengeBlock + set.window + set.grace, "early");
        _settle(set);
        set.disputed = false;
        uint256 bounty = _miss(set, index, set.challengeBlock / EPOCH);
        available[set.terms.token][set.disputer] += bounty + set.bond;
    }

    function modelShowDoubleSigning(uint256 index, bool byUser) external {
        Set storage set = byUser ? _running(index) : _open(index);
        _settle(set);
        if (byUser) {
            uint256 penalty = set.tailFee * _noticeEpochs(set);
            available[set.terms.token][set.terms.user] -= penalty;
            pools[set.terms.token][set.terms.provider].total += penalty;
        }
        _breach(set, index, !byUser);
    }

    // ---- What the handler and the invariants ask

    function statusOf(uint256 index) public view returns (IStorageEscrow.Status) {
        return _sets[index].status;
    }

    function lastOf(uint256 index) public view returns (uint256 last, bool exhausted, uint256 generation_) {
        Set storage set = _sets[index];
        return (set.last, set.exhausted, set.generation);
    }

    function versionsOf(
        uint256 index
    ) public view returns (uint256 version, uint256 retirements, uint256 highest, uint256 liveBits) {
        Set storage set = _sets[index];
        return (set.version, set.retirements, set.highest, set.tailBits);
    }

    function countersOf(
        uint256 index
    ) public view returns (uint256 proven, uint256 missed, uint256 settled, bool disputed) {
        Set storage set = _sets[index];
        return (set.proven, set.missed, set.settled, set.disputed);
    }

    function moneyOf(
        uint256 index
    ) public view returns (uint256 paidIn, uint256 toUser, uint256 toProvider, uint256 inside) {
        Set storage set = _sets[index];
        for (uint256 epoch = set.opened + 1; epoch <= epochNow() + REACH; ++epoch) {
            inside += set.held[epoch] + set.ahead[epoch];
        }
        return (set.paidIn, set.toUser, set.toProvider, inside);
    }

    function lossOf(uint256 index) public view returns (uint256 loss, uint256 highestLock) {
        return (_sets[index].loss, _sets[index].highestLock);
    }

    function disputeOf(
        uint256 index
    ) public view returns (bool disputed, address disputer, uint256 challengeBlock, uint256 bond) {
        Set storage set = _sets[index];
        return (set.disputed, set.disputer, set.challengeBlock, set.bond);
    }

    function outcomeOf(uint256 index, uint256 epoch) public view returns (Outcome) {
        return _sets[index].outcome[epoch];
    }

    function bitsOf(uint256 index, uint256 epoch) public view returns (uint256) {
        Set storage set = _sets[index];
        return set.fixedPlan[epoch] ? set.bits[epoch] : set.tailBits;
    }

    function lockOf(uint256 index) public view returns (uint256) {
        Set storage set = _sets[index];
        uint256 spent = set.missed * (uint256(set.terms.compensationPercent) + set.terms.bountyPercent);
        return (_rounded(set.lockFee) * (set.terms.collateralPercent - spent)) / 100;
    }

    // ---- Rules

    function _open(uint256 index) private view returns (Set storage set) {
        _need(index < _sets.length, "unknown");
        set = _sets[index];
        _need(set.status == IStorageEscrow.Status.Running, "status");
    }

    function _running(uint256 index) private view returns (Set storage set) {
        set = _open(index);
        _need(set.last == RUNNING, "ended");
    }

    function _needOpenEpoch(Set storage set, uint256 epoch) private view {
        _need(epoch > set.opened && epoch <= set.last, "not part of the set");
        _need(epoch > set.settled, "settled");
    }

    function _noticeEpochs(Set storage set) private view returns (uint256 epochs) {
        uint256 rate = rateOf(set.terms.token, set.terms.user);
        uint256 left = available[set.terms.token][set.terms.user];
        while (epochs < NOTICE && left >= rate) {
            left -= rate;
            ++epochs;
        }
    }

    function _update(Set storage set, uint256 bits, uint256 version) private {
        _need(version > set.version, "version");
        for (uint256 i; i <= set.highest; ++i) {
            _need(bits & (1 << i) == 0 || set.tailBits & (1 << i) != 0, "revived");
        }
        set.version = version;
        _schedule(set, epochNow() + 1, bits);
        if (bits == 0) set.last = epochNow();
    }

    function _priceOf(Set storage set, uint256 bits) private returns (uint256 fee) {
        uint256 count;
        for (uint256 i = 1; bits >> i != 0; ++i) {
            if (bits & (1 << i) == 0) continue;
            ++count;
            if (i > set.highest) set.highest = i;
        }
        if (count == 0) return 0;
        fee = count * set.terms.feePerSlice + set.highest * set.terms.feePerIndex;
        if (fee < set.terms.feeFloor) fee = set.terms.feeFloor;
        _need(fee <= set.terms.feeCap, "cap");
    }

    function _planned(Set storage set, uint256 epoch) private view returns (uint256) {
        return set.fixedPlan[epoch] ? set.fee[epoch] : set.tailFee;
    }

    /// @dev What counts from an epoch on, for good. Money for the epochs before that the last fee does not cover is
    /// paid now.
    function _schedule(Set storage set, uint256 from, uint256 bits) private {
        uint256 epoch = epochNow();
        uint256 before = set.tailFee;
        uint256 fee = _priceOf(set, bits);
        uint256 lockedBefore = _lock(set);
        for (uint256 e = set.settled + 1; e < from; ++e) {
            if (e >= set.tailFrom) (set.fixedPlan[e], set.fee[e], set.bits[e]) = (true, set.tailFee, set.tailBits);
        }
        for (uint256 e = from; e <= epoch + REACH; ++e) {
            (set.fixedPlan[e], set.levelBegins[e]) = (false, false);
        }
        set.levelBegins[from] = true;
        (set.tailFee, set.tailFrom, set.tailBits) = (fee, from, bits);
        _payAhead(set, fee > before ? rateOf(set.terms.token, set.terms.user) * NOTICE : 0);

        uint256 levels = 1;
        set.lockFee = fee;
        for (uint256 e = set.settled + 1; e < from; ++e) {
            if (_planned(set, e) > set.lockFee) set.lockFee = _planned(set, e);
            if (set.levelBegins[e + 1]) ++levels;
        }
        _need(levels <= MAX_LEVELS, "levels");
        Pool storage pool = pools[set.terms.token][set.terms.provider];
        uint256 locked = _lock(set);
        pool.locked = pool.locked + locked - lockedBefore;
        _need(locked <= lockedBefore || pool.locked <= pool.total, "collateral");
    }

    function _payAhead(Set storage set, uint256 reserve) private {
        address token = set.terms.token;
        address user = set.terms.user;
        uint256 epoch = epochNow();
        uint256 back = _takeAhead(set);
        uint256 needed;
        for (uint256 e = epoch + 1; e < set.tailFrom; ++e) {
            set.ahead[e] = set.fee[e] - set.tailFee;
            needed += set.ahead[e];
        }
        set.paidIn = set.paidIn + needed - back;
        _need(available[token][user] + back >= needed + reserve, "balance");
        available[token][user] = available[token][user] + back - needed;
    }

    function _takeAhead(Set storage set) private returns (uint256 amount) {
        uint256 from = set.last == RUNNING ? epochNow() + 1 : set.last + 1;
        for (uint256 e = from; e <= from + REACH; ++e) {
            amount += set.ahead[e];
            set.ahead[e] = 0;
        }
    }

    function _lock(Set storage set) private returns (uint256 locked) {
        uint256 spent = set.missed * (uint256(set.terms.compensationPercent) + set.terms.bountyPercent);
        locked = (_rounded(set.lockFee) * (set.terms.collateralPercent - spent)) / 100;
        if (locked + set.loss > set.highestLock) set.highestLock = locked + set.loss;
    }

    /// @dev The next number that has four significant bits.
    function _rounded(uint256 fee) private pure returns (uint256 rounded) {
        for (uint256 k; true; ++k) {
            rounded = ((fee + 2 ** k - 1) / 2 ** k) * 2 ** k;
            if (fee / 2 ** k < 16) return rounded;
        }
    }

    function _settle(Set storage set) private {
        uint256 epoch = epochNow();
        while (set.settled + 2 < epoch && set.settled < set.last) {
            uint256 next = set.settled + 1;
            if (set.disputed && next >= set.challengeBlock / EPOCH) return;
            if (set.outcome[next] == Outcome.None) {
                set.outcome[next] = Outcome.Lapsed;
                if (set.terms.mode == IStorageEscrow.Mode.OnDemand) _giveProvider(set, set.held[next]);
                else _giveUser(set, set.held[next]);
                set.held[next] = 0;
            }
            set.settled = next;
        }
    }

    function _miss(Set storage set, uint256 index, uint256 epoch) private returns (uint256 bounty) {
        _need(set.outcome[epoch] == Outcome.None, "settled");
        set.outcome[epoch] = Outcome.Missed;
        uint256 fee = set.held[epoch];
        set.held[epoch] = 0;
        uint256 compensation = (fee * set.terms.compensationPercent) / 100;
        bounty = (fee * set.terms.bountyPercent) / 100;
        uint256 before = lockOf(index);
        ++set.missed;
        Pool storage pool = pools[set.terms.token][set.terms.provider];
        pool.locked -= before - lockOf(index);
        pool.total -= compensation + bounty;
        set.loss += compensation + bounty;
        _giveUser(set, fee);
        available[set.terms.token][set.terms.user] += compensation;
        if (set.missed == set.terms.breachLimit) _breach(set, index, true);
    }

    function _breach(Set storage set, uint256 index, bool byProvider) private {
        if (set.disputed) available[set.terms.token][set.disputer] += set.bond;
        set.disputed = false;
        uint256 fees;
        for (uint256 e = set.opened + 1; e <= epochNow(); ++e) {
            fees += set.held[e];
            set.held[e] = 0;
        }
        _giveUser(set, _takeAhead(set));
        for (uint256 e = epochNow() + 1; e <= epochNow() + REACH; ++e) {
            _giveUser(set, set.ahead[e]);
            set.ahead[e] = 0;
        }
        uint256 locked = lockOf(index);
        Pool storage pool = pools[set.terms.token][set.terms.provider];
        pool.locked -= locked;
        if (byProvider) {
            _giveUser(set, fees);
            pool.total -= locked;
            set.loss += locked;
            available[set.terms.token][set.terms.user] += locked;
        } else {
            _giveProvider(set, fees);
        }
        set.status = IStorageEscrow.Status.Breached;
    }

    function _giveUser(Set storage set, uint256 amount) private {
        set.toUser += amount;
        available[set.terms.token][set.terms.user] += amount;
    }

    function _giveProvider(Set storage set, uint256 amount) private {
        set.toProvider += amount;
        pools[set.terms.token][set.terms.provider].total += amount;
    }

    function _need(bool condition, string memory rule) private pure {
        if (!condition) revert Refused(rule);
    }
}
