// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { AccountDirectory } from "../AccountDirectory.sol";
import { StorageEscrow } from "../StorageEscrow.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { UserBalance } from "../libraries/UserBalance.sol";
import { DataSetModel } from "./DataSetModel.t.sol";
import { TestBase } from "./TestBase.sol";
import { Vm, vm } from "./Vm.sol";
import { BonusToken } from "./zoo/BonusToken.sol";
import { FakeRandomness } from "./zoo/FakeRandomness.sol";
import { FakeVerifier } from "./zoo/FakeVerifier.sol";
import { FeeToken } from "./zoo/FeeToken.sol";
import { PausableToken } from "./zoo/PausableToken.sol";
import { PlainToken } from "./zoo/PlainToken.sol";
import { ReentrantToken } from "./zoo/ReentrantToken.sol";
import { TetherToken } from "./zoo/TetherToken.sol";

/// @title What random sequences may do to an escrow of data sets
/// @notice Each function makes one call by a random account, which the rules allow or not. `DataSetModel` predicts
/// whether it must succeed, and all balances after it. When the escrow does something else, the handler reverts, and
/// the test fails.
contract DataSetHandler is TestBase, DataSetModel {
    struct Known {
        bytes32 id;
        IStorageEscrow.Terms terms;
        IStorageEscrow.AuditTerms audit;
        bytes schedule;
        /// @dev Everything the escrow stores about the set, once it has ended for good.
        bytes32 frozen;
    }

    /// @dev A call, and what the model thinks of it.
    struct Step {
        address token;
        address caller;
        uint256 value;
        bytes data;
        /// @dev Whether what the model does not know allows the call: signatures, the state of tokens.
        bool possible;
        bytes modelData;
        bytes32 action;
    }

    struct Draft {
        uint256 retirements;
        uint256 live;
        uint256 bits;
        IStorageEscrow.Update next;
    }

    /// @dev Balances in one token, of all accounts, in their order.
    struct Balances {
        uint256[] available;
        uint256[] pools;
    }

    uint256 private constant MAX_SETS = 12;
    uint256 private constant MAX_RUNNING = 5;
    uint256 private constant MAX_INDEX = 120;
    bytes32 private constant SCHEDULED = keccak256("DataSetScheduled(bytes32,bytes,bytes)");
    bytes32 private constant TYPEHASH = keccak256(
        "DataSetUpdate(bytes32 dataSetId,uint64 version,uint32 retirements,bytes32 rangesHash,bytes32 contentHash,"
        "uint64 deadlineBlock)"
    );

    StorageEscrow public escrow;
    FakeRandomness public randomness;
    FakeVerifier public verifier;
    PausableToken public pausable;
    ReentrantToken public reentrant;
    FeeToken public feeToken;
    BonusToken public bonus;
    address[] public tokens;
    /// @notice Two users, two providers, an operator, a watcher, a stranger.
    address[] public parties;
    mapping(address account => uint256) private _keys;
    mapping(address token => uint256) public gifts;
    mapping(bytes32 action => uint256) public successes;
    /// @notice Calls by one account that lowered a balance of another without a rule that says so.
    uint256 public harms;
    /// @notice Withdrawals after which the balance did not cover the notice period.
    uint256 public uncovered;
    /// @notice Schedules whose version or number of retirements was below that of the one before.
    uint256 public fallen;
    uint256 private _salt;
    Known[] private _known;

    modifier inCurrentBlock() {
        vm.roll(currentBlock);
        _;
    }

    constructor() DataSetModel(25) {
        // Block 25 is in epoch 1.
        vm.roll(25);
        escrow = new StorageEscrow(uint32(EPOCH), uint32(NOTICE), new AccountDirectory());
        randomness = new FakeRandomness();
        randomness.setGrid(uint64(GRID));
        verifier = new FakeVerifier();
        pausable = new PausableToken();
        reentrant = new ReentrantToken();
        feeToken = new FeeToken();
        bonus = new BonusToken();
        tokens = [
            address(0),
            address(new PlainToken()),
            address(new TetherToken()),
            address(feeToken),
            address(pausable),
            address(bonus),
            address(reentrant)
        ];
        string[7] memory names = ["ada", "bob", "pam", "pete", "oz", "wil", "sue"];
        for (uint256 i; i < names.length; ++i) {
            (address party, uint256 key) = _account(names[i]);
            parties.push(party);
            _keys[party] = key;
            vm.deal(party, 1e30);
            for (uint256 t = 1; t < tokens.length; ++t) {
                PlainToken(tokens[t]).mint(party, 1e30);
                vm.prank(party);
                (bool success, ) = tokens[t].call(abi.encodeCall(IERC20.approve, (address(escrow), type(uint256).max)));
                require(success, "approve failed");
            }
        }
    }

    // ---- Time and disturbances

    function advance(uint256 blocks) external {
        modelAdvance(_bound(blocks, 1, 9));
    }

    /// @notice To the beginning of a later epoch, or to where proofs of one begin.
    function jump(uint256 seed) external {
        uint256 epochs = seed % 32 == 31 ? 34 : 1 + (seed % 3);
        uint256 target = (epochNow() + epochs) * EPOCH + [uint256(0), 1, 6, 11, 19][(seed >> 8) % 5];
        modelAdvance(target - currentBlock);
        successes["exhausted"] = exhaustions;
    }

    /// @notice The issuer stops its token, the randomness source breaks, the verifier breaks, the token will call the
    /// escrow from within, or all recover.
    function disturb(uint256 what) external inCurrentBlock {
        if (what % 8 == 0) {
            if (!pausable.paused()) pausable.setPaused(true);
        } else if (what % 8 == 1) {
            randomness.setAvailable(false);
        } else if (what % 8 == 2) {
            verifier.setBroken(true);
        } else if (what % 8 < 5) {
            _arm(what >> 8);
        } else {
            recover();
        }
    }

    function recover() public {
        if (pausable.paused()) pausable.setPaused(false);
        randomness.setAvailable(true);
        verifier.setBroken(false);
    }

    /// @notice Everything that others can break at once.
    function breakEverything() external {
        if (!pausable.paused()) pausable.setPaused(true);
        randomness.setAvailable(false);
        verifier.setBroken(true);
        reentrant.arm(address(0), "");
    }

    /// @notice Outside of the sequences: notice, of which the model does not learn.
    function giveNoticeAsProvider(uint256 index) external {
        Known storage known = _known[index];
        vm.recordLogs();
        vm.prank(known.terms.provider);
        escrow.giveNotice(known.terms, known.schedule);
        _remember(known);
    }

    /// @notice Sends tokens or coins to the escrow without a call of its functions.
    function give(uint256 tokenSeed, uint256 amount) external inCurrentBlock {
        address token = tokens[tokenSeed % tokens.length];
        amount = _bound(amount, 1, 1e6);
        if (_paused(token)) return;
        if (token == address(reentrant)) reentrant.arm(address(0), "");
        gifts[token] += amount;
        if (token == address(0)) vm.deal(address(escrow), address(escrow).balance + amount);
        else PlainToken(token).mint(address(escrow), amount);
    }

    /// @dev What would succeed outside of the guard.
    function _arm(uint256 seed) private {
        bytes memory data = abi.encodeCall(escrow.deposit, (address(0), parties[0], 0));
        (bool found, uint256 index) = _pick(seed);
        if (found) data = abi.encodeCall(escrow.settle, (_known[index].terms, _known[index].schedule));
        reentrant.arm(address(escrow), data);
    }

    // ---- Money

    function deposit(uint256 tokenSeed, uint256 fromSeed, uint256 toSeed, uint256 amount) external inCurrentBlock {
        address token = _token(tokenSeed);
        address to = _party(toSeed);
        amount = amount % 16 == 0 ? amount % 2 : _bound(amount, 1, 3_000);
        bool right = (tokenSeed >> 128) % 16 != 0;
        Step memory step;
        step.token = token;
        step.caller = _party(fromSeed);
        step.value = _value(token, amount, right);
        step.data = abi.encodeCall(escrow.deposit, (token, to, amount));
        step.possible = right && !_paused(token);
        step.modelData = abi.encodeCall(this.modelDeposit, (token, to, _arriving(token, amount)));
        step.action = "deposit";
        _do(step);
    }

    function withdraw(uint256 tokenSeed, uint256 callerSeed, uint256 amount) external inCurrentBlock {
        address token = _token(tokenSeed);
        address caller = _party(callerSeed);
        uint256 most = available[token][caller];
        uint256 kept = rateOf(token, caller) * NOTICE;
        most = most > kept ? most - kept : 0;
        // All, one more, or any amount.
        amount =
            amount % 4 == 0
                ? most
                : amount % 4 == 1
                    ? most + 1
                    : _bound(amount, 0, most);
        address to = amount % 16 == 7 ? address(0) : _party(tokenSeed >> 8);
        Step memory step;
        step.token = token;
        step.caller = caller;
        step.data = abi.encodeCall(escrow.withdraw, (token, to, amount));
        step.possible = to != address(0) && !_paused(token);
        step.modelData = abi.encodeCall(this.modelWithdraw, (token, caller, amount));
        step.action = "withdraw";
        bool done = _do(step);
        if (!done) return;
        IStorageEscrow.Account memory account = escrow.accountOf(token, caller);
        if (account.available < account.rate * NOTICE) ++uncovered;
    }

    function depositCollateral(
        uint256 tokenSeed,
        uint256 fromSeed,
        uint256 toSeed,
        uint256 amount
    ) external inCurrentBlock {
        address token = _token(tokenSeed);
        address to = parties[2 + (toSeed % 2)];
        amount = amount % 16 == 0 ? amount % 2 : _bound(amount, 1, 5_000);
        bool right = (tokenSeed >> 128) % 16 != 0;
        Step memory step;
        step.token = token;
        step.caller = _party(fromSeed);
        step.value = _value(token, amount, right);
        step.data = abi.encodeCall(escrow.depositCollateral, (token, to, amount));
        step.possible = right && !_paused(token);
        step.modelData = abi.encodeCall(this.modelDepositCollateral, (token, to, _arriving(token, amount)));
        step.action = "depositCollateral";
        _do(step);
    }

    function withdrawCollateral(uint256 tokenSeed, uint256 callerSeed, uint256 amount) external inCurrentBlock {
        address token = _token(tokenSeed);
        address caller = callerSeed % 4 == 0 ? _party(callerSeed >> 8) : parties[2 + ((callerSeed >> 8) % 2)];
        (uint256 total, uint256 locked) = (pools[token][caller].total, pools[token][caller].locked);
        uint256 most = total - locked;
        amount =
            amount % 4 == 0
                ? most
                : amount % 4 == 1
                    ? most + 1
                    : _bound(amount, 0, most);
        address to = amount % 16 == 7 ? address(0) : _party(tokenSeed >> 8);
        Step memory step;
        step.token = token;
        step.caller = caller;
        step.data = abi.encodeCall(escrow.withdrawCollateral, (token, to, amount));
        step.possible = to != address(0) && !_paused(token);
        step.modelData = abi.encodeCall(this.modelWithdrawCollateral, (token, caller, amount));
        step.action = "withdrawCollateral";
        _do(step);
    }

    function setOperator(uint256 providerSeed, uint256 operatorSeed) external inCurrentBlock {
        address provider = parties[2 + (providerSeed % 2)];
        address operator = [address(0), parties[4], parties[3], parties[4]][operatorSeed % 4];
        Step memory step;
        step.token = address(0);
        step.caller = provider;
        step.data = abi.encodeCall(escrow.setOperator, (operator));
        step.possible = true;
        step.modelData = abi.encodeCall(this.modelSetOperator, (provider, operator));
        step.action = "setOperator";
        _do(step);
    }

    // ---- Life of a set

    function open(uint256 shape, uint256 amounts, uint256 senderSeed) external inCurrentBlock {
        if (_known.length == MAX_SETS || _runningCount() == MAX_RUNNING) return;
        Known memory set;
        set.audit = _auditFrom(shape);
        set.terms = _termsFrom(shape, amounts);
        // Mostly a free set; sometimes the terms of one that exists.
        bool again = shape % 16 == 0 && _known.length > 0;
        if (again) (set.terms, set.audit) = (_known[0].terms, _known[0].audit);
        else set.terms.auditHash = keccak256(abi.encode(set.audit));
        set.id = escrow.idOf(set.terms);
        if (senderSeed % 4 != 0) _fill(set.terms, senderSeed % 4 == 1 ? 20 : 1);

        uint256 first = 1 + ((shape >> 16) % 3);
        uint256 bits = shape % 16 == 1 ? 0 : _run(first, (shape >> 24) % 30);
        IStorageEscrow.Update memory next = _nextState(uint64(1 + ((shape >> 32) % 3)), bits, shape);
        (address sender, bool signed) = _sign(set, 0, next, senderSeed);
        Step memory step;
        step.token = set.terms.token;
        step.caller = sender;
        step.data = abi.encodeCall(escrow.open, (set.terms, set.audit, next));
        step.possible = !again && signed;
        step.modelData = abi.encodeCall(this.modelOpen, (set.terms, set.audit, bits, next.version));
        step.action = "open";
        bool done = _do(step);
        if (!done) return;
        Known storage known = _known.push();
        (known.id, known.terms, known.audit) = (set.id, set.terms, set.audit);
        _remember(known);
    }

    function update(uint256 setSeed, uint256 shape, uint256 senderSeed) external inCurrentBlock {
        (bool found, uint256 index) = _pickRunning(setSeed);
        if (!found) return;
        Known storage known = _known[index];
        Draft memory draft = _draft(index, shape, shape);
        // Sometimes one that does not know of the last retirement.
        bool older = shape % 16 == 0 && draft.retirements > 0;
        Step memory step;
        step.token = known.terms.token;
        (step.caller, step.possible) = _sign(
            known,
            older ? draft.retirements - 1 : draft.retirements,
            draft.next,
            senderSeed
        );
        if (older) step.possible = false;
        step.data = abi.encodeCall(escrow.update, (known.terms, known.schedule, _ranges(draft.live), draft.next));
        step.modelData = abi.encodeCall(
            this.modelUpdate,
            (index, draft.bits, draft.next.version, draft.next.providerSignature.length == 0)
        );
        step.action = "update";
        if (_do(step)) _remember(known);
    }

    function retire(uint256 setSeed, uint256 shape, uint256 callerSeed) external inCurrentBlock {
        (bool found, uint256 index) = _pickRunning(setSeed);
        if (!found) return;
        Known storage known = _known[index];
        Draft memory draft = _draft(index, shape >> 8, shape);
        Step memory step;
        step.token = known.terms.token;
        step.caller = callerSeed % 8 == 0 ? _party(callerSeed >> 8) : known.terms.user;
        step.possible = step.caller == known.terms.user;
        if (shape % 2 == 0) {
            if (draft.next.version == 0) draft.next.version = 1;
            _signBoth(known, draft.retirements, draft.next);
            if (draft.next.deadlineBlock < block.number) step.possible = false;
        } else {
            IStorageEscrow.Update memory none;
            (draft.next, draft.bits) = (none, draft.live);
        }
        uint256 remaining = shape % 16 == 1 ? draft.bits | (1 << 130) : _thinned(draft.bits, shape >> 128);
        step.data = _retirement(known, draft, remaining);
        step.modelData = abi.encodeCall(this.modelRetire, (index, draft.bits, draft.next.version, remaining));
        step.action = shape % 2 == 0 ? bytes32("retireWithUpdate") : bytes32("retire");
        if (_do(step)) _remember(known);
    }

    function _retirement(
        Known storage known,
        Draft memory draft,
        uint256 remaining
    ) private view returns (bytes memory) {
        bytes memory list = _ranges(remaining);
        return abi.encodeCall(escrow.retire, (known.terms, known.schedule, _ranges(draft.live), draft.next, list));
    }

    /// @dev A next state of a set, not signed yet.
    function _draft(uint256 index, uint256 change, uint256 shape) private view returns (Draft memory draft) {
        uint256 version;
        (version, draft.retirements, , draft.live) = versionsOf(index);
        draft.bits = _changed(index, change);
        draft.next = _nextState(uint64(version + ((shape >> 64) % 4)), draft.bits, shape);
    }

    function giveNotice(uint256 setSeed, uint256 callerSeed) external inCurrentBlock {
        // Seldom, so that sets live.
        if (setSeed % 4 != 0) return;
        (bool found, uint256 index) = _pickRunning(setSeed >> 2);
        if (!found) return;
        Known storage known = _known[index];
        address caller = [known.terms.user, known.terms.provider, parties[4], _party(callerSeed >> 8)][callerSeed % 4];
        Step memory step;
        step.token = known.terms.token;
        step.caller = caller;
        step.data = abi.encodeCall(escrow.giveNotice, (known.terms, known.schedule));
        step.possible = caller == known.terms.user || _isProvider(caller, known.terms.provider);
        step.modelData = abi.encodeCall(this.modelGiveNotice, (index));
        step.action = "giveNotice";
        bool done = _do(step);
        if (done) _remember(known);
    }

    function settle(uint256 setSeed, uint256 callerSeed) external inCurrentBlock {
        (bool found, uint256 index) = _pick(setSeed);
        if (!found) return;
        Known storage known = _known[index];
        Step memory step;
        step.token = known.terms.token;
        step.caller = _party(callerSeed);
        step.data = abi.encodeCall(escrow.settle, (known.terms, known.schedule));
        step.possible = true;
        step.modelData = abi.encodeCall(this.modelSettle, (index));
        step.action = "settle";
        _do(step);
    }

    function close(uint256 setSeed, uint256 callerSeed) external inCurrentBlock {
        (bool found, uint256 index) = _pick(setSeed);
        if (!found) return;
        Known storage known = _known[index];
        address caller = _party(callerSeed);
        Step memory step;
        step.token = known.terms.token;
        step.caller = caller;
        step.data = abi.encodeCall(escrow.close, (known.terms, known.schedule));
        step.possible = true;
        step.modelData = abi.encodeCall(this.modelClose, (index, caller));
        step.action = "close";
        bool done = _do(step);
        if (!done) return;
        _freeze(index);
    }

    // ---- Proofs

    /// @notice One set, or all that can be proven now.
    function prove(uint256 setSeed, uint256 callerSeed, uint256 wrongSeed) external inCurrentBlock {
        uint256[] memory indices = new uint256[](1);
        bool found;
        if (setSeed % 4 == 0) indices = _provable();
        else if (setSeed % 4 == 1) (found, indices[0]) = _pick(setSeed >> 2);
        else indices = _one(_provable(), setSeed >> 2);
        if (indices.length == 0 || _known.length == 0) return;
        bool wrong = wrongSeed % 8 == 0;
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](indices.length);
        for (uint256 i; i < calls.length; ++i) calls[i] = _proof(indices[i], wrong && i == calls.length - 1);
        Step memory step;
        step.token = _known[indices[0]].terms.token;
        step.caller = _party(callerSeed);
        step.data = abi.encodeCall(escrow.prove, (calls));
        step.possible = true;
        step.modelData = abi.encodeCall(
            this.modelProve,
            (indices, !wrong && randomness.available() && !verifier.broken())
        );
        step.action = indices.length > 1 ? bytes32("proveMany") : bytes32("prove");
        _do(step);
    }

    function reportMiss(uint256 setSeed, uint256 epochSeed, uint256 callerSeed) external inCurrentBlock {
        (bool found, uint256 index) = _pick(setSeed);
        if (!found) return;
        Known storage known = _known[index];
        address caller = _party(callerSeed);
        uint256 epoch = epochNow() + 1;
        epoch -= epochSeed % (epoch < 4 ? epoch : 4);
        Step memory step;
        step.token = known.terms.token;
        step.caller = caller;
        step.data = abi.encodeCall(escrow.reportMiss, (known.terms, known.audit, known.schedule, uint32(epoch)));
        step.possible = true;
        step.modelData = abi.encodeCall(this.modelReportMiss, (index, epoch, caller));
        step.action = "reportMiss";
        bool done = _do(step);
        if (done) _freeze(index);
    }

    function dispute(uint256 setSeed, uint256 callerSeed) external inCurrentBlock {
        (bool found, uint256 index) = _pickOnDemand(setSeed);
        if (!found) return;
        Known storage known = _known[index];
        address caller = callerSeed % 2 == 0 ? _party(callerSeed >> 8) : known.terms.user;
        if (callerSeed % 3 == 0) _top(known.terms.token, caller, 100 + rateOf(known.terms.token, caller) * NOTICE);
        Step memory step;
        step.token = known.terms.token;
        step.caller = caller;
        step.data = abi.encodeCall(escrow.dispute, (known.terms, known.audit, known.schedule));
        step.possible = true;
        step.modelData = abi.encodeCall(this.modelDispute, (index, caller));
        step.action = "dispute";
        _do(step);
    }

    function upholdDispute(uint256 setSeed, uint256 callerSeed) external inCurrentBlock {
        (bool found, uint256 index) = _pickOnDemand(setSeed);
        if (!found) return;
        Known storage known = _known[index];
        Step memory step;
        step.token = known.terms.token;
        step.caller = _party(callerSeed);
        step.data = abi.encodeCall(escrow.upholdDispute, (known.terms, known.audit, known.schedule));
        step.possible = true;
        step.modelData = abi.encodeCall(this.modelUpholdDispute, (index));
        step.action = "upholdDispute";
        bool done = _do(step);
        if (done) _freeze(index);
    }

    function showDoubleSigning(uint256 setSeed, uint256 shape, uint256 callerSeed) external inCurrentBlock {
        // Seldom, so that sets live.
        if (setSeed % 8 != 0) return;
        (bool found, uint256 index) = _pickRunning(setSeed >> 3);
        if (!found) return;
        Known storage known = _known[index];
        (uint256 version, uint256 retirements, , ) = versionsOf(index);
        address signer = [known.terms.user, known.terms.provider, parties[4], _party(shape >> 8)][shape % 4];
        bool same = (shape >> 16) % 4 == 0;
        IStorageEscrow.Update memory one = _nextState(uint64(version + ((shape >> 32) % 3)), _run(1, 5), 2);
        IStorageEscrow.Update memory other = _nextState(one.version, same ? _run(1, 5) : _run(1, 6), 2);
        // Also of a time before the last retirement, and seldom of one to come.
        uint256 named = (shape >> 40) % 4 == 0 ? retirements + 1 : retirements - ((shape >> 48) % (retirements + 1));
        _signAs(signer, known, named, one);
        _signAs(signer, known, named, other);
        Step memory step;
        step.token = known.terms.token;
        step.caller = _party(callerSeed);
        step.data = abi.encodeCall(
            escrow.showDoubleSigning,
            (known.terms, known.schedule, signer, abi.encode(named, one, other))
        );
        step.possible = !same && named <= retirements && _isParty(signer, known.terms);
        step.modelData = abi.encodeCall(this.modelShowDoubleSigning, (index, signer == known.terms.user));
        step.action = signer == known.terms.user ? bytes32("userSignedTwice") : bytes32("providerSignedTwice");
        bool done = _do(step);
        if (done) _freeze(index);
    }

    // ---- What the invariants ask

    function setCount() external view returns (uint256) {
        return _known.length;
    }

    function setAt(uint256 index) external view returns (Known memory) {
        return _known[index];
    }

    function allTokens() external view returns (address[] memory) {
        return tokens;
    }

    function allParties() external view returns (address[] memory) {
        return parties;
    }

    /// @notice Hash of everything that the escrow stores about a set.
    function stateOf(uint256 index) public view returns (bytes32) {
        bytes32 id = _known[index].id;
        return keccak256(abi.encode(escrow.booksOf(id), escrow.disputeOf(id), escrow.scheduleHashOf(id)));
    }

    // ---- The two worlds side by side

    function _do(Step memory step) private returns (bool allowed) {
        Balances memory before = _balances(step.token);
        bytes memory rule = "impossible";
        if (step.possible) {
            (allowed, rule) = address(this).call(step.modelData);
            if (!allowed && bytes4(rule) != DataSetModel.Refused.selector) revert("the model fails");
        }
        vm.recordLogs();
        vm.prank(step.caller);
        (bool success, bytes memory answer) = address(escrow).call{ value: step.value }(step.data);
        if (success != allowed) {
            bytes memory text = bytes.concat(step.action, allowed ? bytes(" refused: ") : bytes(" allowed: "));
            revert(string(bytes.concat(text, allowed ? answer : rule)));
        }
        require(!reentrant.called() || !reentrant.succeeded(), "re-entered");
        if (!success) return false;
        ++successes[step.action];
        _compare(step.token, step.caller, before, step.action);
    }

    function _balances(address token) private view returns (Balances memory result) {
        result.available = new uint256[](parties.length);
        result.pools = new uint256[](parties.length);
        for (uint256 i; i < parties.length; ++i) {
            result.available[i] = available[token][parties[i]];
            result.pools[i] = pools[token][parties[i]].total;
        }
    }

    /// @dev Balances must be those of the model, as they were before. Apart from that, none but the caller's may fall,
    /// unless the call shows a fault of the other one, is a notice of the provider, or winds up what it abandoned.
    function _compare(address token, address caller, Balances memory before, bytes32 action) private {
        bool shows =
            action == "reportMiss" || action == "upholdDispute" || action == "close" || action == "providerSignedTwice";
        bool charges = action == "userSignedTwice" || action == "giveNotice";
        for (uint256 i; i < parties.length; ++i) {
            address party = parties[i];
            IStorageEscrow.Account memory account = escrow.accountOf(token, party);
            UserBalance.accrue(account, epochNow());
            IStorageEscrow.Pool memory pool = escrow.poolOf(token, party);
            if (account.available != available[token][party])
                vm.assertEq(account.available, available[token][party], string(bytes.concat("balance: ", action)));
            if (pool.total != pools[token][party].total)
                vm.assertEq(pool.total, pools[token][party].total, string(bytes.concat("pool: ", action)));
            if (pool.locked != pools[token][party].locked)
                vm.assertEq(pool.locked, pools[token][party].locked, string(bytes.concat("locked: ", action)));
            if (party == caller) continue;
            if (account.available < before.available[i] && !charges) ++harms;
            if (pool.total < before.pools[i] && !shows) ++harms;
        }
    }

    // ---- Parties and tokens

    function _party(uint256 seed) private view returns (address) {
        return parties[seed % parties.length];
    }

    /// @dev Mostly the native coin and the plain token, so that balances have several sets.
    function _token(uint256 seed) private view returns (address) {
        return seed % 2 == 0 ? tokens[(seed >> 1) % 2] : tokens[(seed >> 8) % tokens.length];
    }

    function _paused(address token) private view returns (bool) {
        return token == address(pausable) && pausable.paused();
    }

    function _value(address token, uint256 amount, bool right) private pure returns (uint256) {
        uint256 value = token == address(0) ? amount : 0;
        return right ? value : value + 1;
    }

    function _arriving(address token, uint256 amount) private view returns (uint256) {
        if (token == address(feeToken)) return amount - (amount + 99) / 100;
        return token == address(bonus) ? amount + 1 : amount;
    }

    /// @dev A deposit that always works, or none.
    function _top(address token, address user, uint256 amount) private {
        if (amount == 0 || _paused(token)) return;
        address payer = parties[6];
        if (token == address(reentrant)) reentrant.arm(address(0), "");
        vm.prank(payer);
        escrow.deposit{ value: token == address(0) ? amount : 0 }(token, user, amount);
        modelDeposit(token, user, _arriving(token, amount));
    }

    /// @dev Money for a set: for the notice period and some epochs more.
    function _fill(IStorageEscrow.Terms memory terms, uint256 epochs) private {
        uint256 fee = 400;
        _top(terms.token, terms.user, (rateOf(terms.token, terms.user) + fee) * (NOTICE + epochs));
        if (_paused(terms.token)) return;
        uint256 amount = (fee * terms.collateralPercent) / 100 + 100;
        if (terms.token == address(reentrant)) reentrant.arm(address(0), "");
        vm.prank(parties[6]);
        escrow.depositCollateral{ value: terms.token == address(0) ? amount : 0 }(terms.token, terms.provider, amount);
        modelDepositCollateral(terms.token, terms.provider, _arriving(terms.token, amount));
    }

    function _termsFrom(uint256 shape, uint256 amounts) private view returns (IStorageEscrow.Terms memory terms) {
        terms.user = parties[(shape >> 40) % 2];
        terms.provider = parties[2 + ((shape >> 48) % 2)];
        terms.token = _token(shape >> 56);
        terms.mode = IStorageEscrow.Mode((shape >> 80) % 2);
        terms.feePerSlice = uint80((amounts >> 8) % 14);
        terms.feePerIndex = uint80((amounts >> 16) % 3);
        terms.feeCap = amounts % 8 == 0 ? 100 : 100_000;
        terms.compensationPercent = uint16(1 + ((amounts >> 24) % 150));
        terms.feeFloor = uint80((amounts % 4) * 25);
        // No compensation rounds to zero.
        uint80 leastFloor = (100 + terms.compensationPercent - 1) / terms.compensationPercent;
        if (terms.feeFloor < leastFloor) terms.feeFloor = leastFloor;
        terms.bountyPercent = uint16((amounts >> 32) % 90);
        terms.latePercent = uint16((amounts >> 40) % 101);
        terms.breachLimit = uint8(1 + ((amounts >> 48) % 3));
        terms.collateralPercent =
            terms.breachLimit * (uint32(terms.compensationPercent) + terms.bountyPercent) +
            uint32((amounts >> 56) % 40);
    }

    function _auditFrom(uint256 shape) private returns (IStorageEscrow.AuditTerms memory audit) {
        audit.randomness = address(randomness);
        audit.verifier = address(verifier);
        audit.keyHash = keccak256("key");
        audit.sliceElements = 4096;
        audit.sampleCount = 30;
        audit.phase = uint32(5 * ((shape >> 88) % 2));
        audit.windowBlocks = uint32(3 + ((shape >> 96) % 7));
        audit.graceBlocks = uint32((shape >> 104) % 5);
        audit.disputeBond = uint80((shape >> 112) % 100);
        audit.salt = bytes32(++_salt);
    }

    // ---- Sets

    function _runningCount() private view returns (uint256 count) {
        for (uint256 i; i < _known.length; ++i) {
            (uint256 last, , ) = lastOf(i);
            if (statusOf(i) == IStorageEscrow.Status.Running && last == RUNNING) ++count;
        }
    }

    function _pick(uint256 seed) private view returns (bool found, uint256 index) {
        if (_known.length == 0) return (false, 0);
        return (true, seed % _known.length);
    }

    /// @dev Mostly a set that runs, if there is one; else any.
    function _pickRunning(uint256 seed) private view returns (bool found, uint256 index) {
        (found, index) = _pick(seed >> 2);
        if (!found || seed % 4 == 0) return (found, index);
        for (uint256 i; i < _known.length; ++i) {
            (uint256 last, , ) = lastOf(index);
            bool runs = statusOf(index) == IStorageEscrow.Status.Running && last == type(uint256).max;
            if (runs) return (true, index);
            index = (index + 1) % _known.length;
        }
    }

    /// @dev Mostly a set that is proven on demand.
    function _pickOnDemand(uint256 seed) private view returns (bool found, uint256 index) {
        (found, index) = _pick(seed >> 2);
        if (!found || seed % 4 == 0) return (found, index);
        for (uint256 i; i < _known.length; ++i) {
            bool runs = statusOf(index) == IStorageEscrow.Status.Running;
            if (runs && _known[index].terms.mode == IStorageEscrow.Mode.OnDemand) return (true, index);
            index = (index + 1) % _known.length;
        }
    }

    /// @dev Sets whose window is open, as far as can be seen from outside.
    function _provable() private view returns (uint256[] memory indices) {
        uint256 count;
        indices = new uint256[](_known.length);
        for (uint256 i; i < _known.length; ++i) {
            if (statusOf(i) != IStorageEscrow.Status.Running) continue;
            uint256 challenge = _challengeOf(i);
            uint256 epoch = challenge / EPOCH;
            if (_known[i].terms.mode == IStorageEscrow.Mode.OnDemand) {
                (, , , bool disputed) = countersOf(i);
                if (!disputed) continue;
            }
            uint256 end = challenge + _known[i].audit.windowBlocks + _known[i].audit.graceBlocks;
            if (block.number <= challenge || block.number > end) continue;
            if (outcomeOf(i, epoch) == DataSetModel.Outcome.None) indices[count++] = i;
        }
        assembly ("memory-safe") {
            mstore(indices, count)
        }
    }

    function _one(uint256[] memory from, uint256 seed) private pure returns (uint256[] memory one) {
        if (from.length == 0) return from;
        one = new uint256[](1);
        one[0] = from[seed % from.length];
    }

    function _challengeOf(uint256 index) private view returns (uint256) {
        if (_known[index].terms.mode == IStorageEscrow.Mode.EveryEpoch) {
            return epochNow() * EPOCH + _known[index].audit.phase;
        }
        (, , uint256 challengeBlock, ) = disputeOf(index);
        return challengeBlock;
    }

    function _proof(uint256 index, bool wrong) private view returns (IStorageEscrow.ProofCall memory call) {
        Known storage known = _known[index];
        call.terms = known.terms;
        call.audit = known.audit;
        call.schedule = known.schedule;
        uint256 challenge = _challengeOf(index);
        call.ranges = _ranges(bitsOf(index, challenge / EPOCH));
        bytes32 seed = keccak256(
            abi.encode(
                keccak256("tallystick/v2/challenge-seed"),
                block.chainid,
                address(escrow),
                known.id,
                challenge,
                keccak256(abi.encode("fake", uint64(challenge)))
            )
        );
        call.answer =
            wrong
                ? bytes("wrong")
                : abi.encode(seed, known.audit.keyHash, known.audit.sampleCount, keccak256(call.ranges));
    }

    // ---- States and signatures

    /// @dev One time in sixteen it has expired.
    function _nextState(
        uint64 version,
        uint256 bits,
        uint256 shape
    ) private view returns (IStorageEscrow.Update memory next) {
        next.version = version;
        next.ranges = _ranges(bits);
        next.contentHash = keccak256(abi.encode(bits, shape));
        next.deadlineBlock = uint64((shape >> 72) % 16 == 0 && shape != 2 ? block.number - 1 : block.number);
    }

    /// @dev Sent by a stranger, the user, the provider, or its operator; now and then one signature is a wrong one.
    /// @return sender Who sends it.
    /// @return good Whether the signatures that the sender needs are right, and in time.
    function _sign(
        Known memory set,
        uint256 retirements,
        IStorageEscrow.Update memory next,
        uint256 seed
    ) private view returns (address sender, bool good) {
        _signBoth(set, retirements, next);
        sender = [parties[6], set.terms.user, set.terms.provider, parties[4]][(seed >> 8) % 4];
        bool forgesUser = (seed >> 16) % 16 == 0;
        bool forgesProvider = (seed >> 16) % 16 == 1;
        if (forgesUser) next.userSignature = next.providerSignature;
        if (forgesProvider) next.providerSignature = next.userSignature;
        bool userIsRight = !forgesUser || sender == set.terms.user;
        bool providerIsRight = !forgesProvider;
        if ((seed >> 24) % 4 == 0) {
            // By an account that is, was, or never was the operator.
            address signer = [set.terms.provider, parties[4], parties[5]][(seed >> 32) % 3];
            next.providerSignature = _signature(_keys[signer], _digest(set.id, retirements, next));
            // A replaced operator opens no sets, which have no schedule yet.
            bool opens = set.schedule.length == 0;
            providerIsRight = opens ? signer == _operatorOf(set.terms.provider) : _signsFor(signer, set.terms.provider);
        }
        // Mostly by the provider, which needs none.
        bool sendsIt = _isProvider(sender, set.terms.provider);
        if ((seed >> 40) % 16 < (sendsIt ? 12 : 1)) {
            next.providerSignature = "";
            providerIsRight = sendsIt;
        }
        good = userIsRight && providerIsRight && block.number <= next.deadlineBlock;
    }

    function _signBoth(Known memory set, uint256 retirements, IStorageEscrow.Update memory next) private view {
        bytes32 digest = _digest(set.id, retirements, next);
        next.userSignature = _signature(_keys[set.terms.user], digest);
        next.providerSignature = _signature(_keys[_operatorOf(set.terms.provider)], digest);
    }

    function _signAs(
        address signer,
        Known memory set,
        uint256 retirements,
        IStorageEscrow.Update memory next
    ) private view {
        bytes memory signature = _signature(_keys[signer], _digest(set.id, retirements, next));
        (next.userSignature, next.providerSignature) = (signature, signature);
    }

    function _isProvider(address account, address provider) private view returns (bool) {
        return account == provider || account == operators[provider];
    }

    /// @dev Whether the signature of an account counts as the provider's on a state.
    function _signsFor(address account, address provider) private view returns (bool) {
        uint256 replaced = replacedIn[provider][account];
        if (replaced != 0 && epochNow() < replaced + escrow.REPLACED_EPOCHS()) return true;
        return account == _operatorOf(provider);
    }

    function _operatorOf(address provider) private view returns (address) {
        address operator = operators[provider];
        return operator == address(0) ? provider : operator;
    }

    /// @dev Whether an account can be shown to have signed two states.
    function _isParty(address account, IStorageEscrow.Terms memory terms) private view returns (bool) {
        return account == terms.user || account == terms.provider || _signsFor(account, terms.provider);
    }

    function _digest(
        bytes32 id,
        uint256 retirements,
        IStorageEscrow.Update memory next
    ) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tallystick"),
                keccak256("1"),
                block.chainid,
                address(escrow)
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                TYPEHASH,
                id,
                next.version,
                retirements,
                keccak256(next.ranges),
                next.contentHash,
                next.deadlineBlock
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    /// @dev Bits of a run of indices.
    function _run(uint256 first, uint256 count) private pure returns (uint256) {
        return ((1 << count) - 1) << first;
    }

    /// @dev Another list: more at the end, less, both, none, or with indices that may be retired.
    function _changed(uint256 index, uint256 shape) private view returns (uint256 bits) {
        (, , uint256 highest, uint256 live) = versionsOf(index);
        uint256 kind = shape % 16;
        if (kind == 0) return 0;
        if (kind == 1) return live | _run(1, 1 + ((shape >> 8) % 20));
        uint256 added = highest + 12 < MAX_INDEX ? _run(highest + 1 + ((shape >> 16) % 2), 1 + ((shape >> 24) % 9)) : 0;
        if (kind < 7) return live | added;
        bits = _thinned(live, shape >> 32);
        return kind < 12 ? bits | added : bits;
    }

    /// @dev Without a run in the middle, or with all there was.
    function _thinned(uint256 bits, uint256 shape) private pure returns (uint256) {
        return shape % 8 == 0 ? bits : bits & ~_run(1 + ((shape >> 4) % 60), 1 + ((shape >> 16) % 12));
    }

    /// @dev The packed list of the bits that are set.
    function _ranges(uint256 bits) private pure returns (bytes memory list) {
        uint256 first = 1;
        while (bits >> first != 0) {
            if (bits & (1 << first) == 0) {
                ++first;
                continue;
            }
            uint256 end = first;
            while (bits & (1 << end) != 0) ++end;
            list = bytes.concat(list, abi.encodePacked(uint48(first), uint48(end - first)));
            first = end;
        }
    }

    /// @dev Takes the last schedule out of the recorded events.
    function _remember(Known storage known) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = logs.length; i > 0; --i) {
            if (logs[i - 1].topics[0] != SCHEDULED) continue;
            require(logs[i - 1].topics[1] == known.id, "another set");
            (bytes memory schedule, ) = abi.decode(logs[i - 1].data, (bytes, bytes));
            if (known.schedule.length > 0) {
                // Eight bytes of the version, four of the number of retirements.
                (uint96 numbers, uint96 before) = (uint96(bytes12(schedule)), uint96(bytes12(known.schedule)));
                if (numbers >> 32 < before >> 32 || uint32(numbers) < uint32(before)) ++fallen;
            }
            known.schedule = schedule;
            return;
        }
        revert("no schedule in the logs");
    }

    function _freeze(uint256 index) private {
        if (statusOf(index) != IStorageEscrow.Status.Running) _known[index].frozen = stateOf(index);
    }
}
