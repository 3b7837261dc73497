// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecoveryPolicy } from "../interfaces/IRecoveryPolicy.sol";
import { RecoveryPolicy } from "../policies/RecoveryPolicy.sol";
import { RecoveryPolicyBase } from "./RecoveryPolicyBase.t.sol";
import { vm } from "./Vm.sol";

/// @dev Acts as author, wallet, guardians and a thief on two versions of one secret. Writes down what was accepted, as
/// facts with their times; what may be released is then worked out from the facts alone.
contract RecoveryPolicyHandler is RecoveryPolicyBase {
    uint32 public constant VERSIONS = 2;
    uint256 public constant PROPOSERS = 4;

    /// @dev Facts about the latest accepted request of a proposer.
    struct Facts {
        IRecoveryPolicy.Request request;
        uint256 openedAt;
        address[] approvers;
        uint256 lastNeededAt;
        uint256 vetoedAt;
    }

    mapping(uint32 version => mapping(uint256 proposer => Facts)) private _facts;
    uint32 public retiredBelow;
    bool public cheatSucceeded;
    bool public dueVetoSucceeded;
    bool public barredProposerOpened;

    // How often each step was accepted, for the test that a campaign does something.
    uint256 public opened;
    uint256 public approved;
    uint256 public vetoed;

    constructor() {
        _deployPolicy();
    }

    function policy() external view returns (RecoveryPolicy) {
        return _policy;
    }

    function open(uint32 version, uint256 proposer, uint256 requester, bool signs) external {
        (version, proposer) = (version % VERSIONS, proposer % PROPOSERS);
        IRecoveryPolicy.Request memory r = _next(version, proposer, requester);
        IRecoveryPolicy.Secret memory s = _secretOf(version);
        uint64 deadline = uint64(block.timestamp);
        bytes memory signature =
            signs ? _signature(_keyOf(proposer), _openingDigest(_idOf(s), r, deadline)) : bytes("");
        vm.prank(signs ? _thief : r.proposer);
        try _policy.open(s, _data(), r, deadline, signature) {
            Facts storage facts = _facts[version][proposer];
            if (facts.vetoedAt != 0) barredProposerOpened = true;
            delete facts.approvers;
            facts.request = r;
            (facts.openedAt, facts.lastNeededAt) = (block.timestamp, 0);
            if (proposer == 0) facts.lastNeededAt = block.timestamp;
            else facts.approvers.push(r.proposer);
            ++opened;
        } catch {
            return;
        }
    }

    function approve(uint32 version, uint256 proposer, uint256 guardian, bool signs) external {
        (version, proposer, guardian) = (version % VERSIONS, 1 + (proposer % 3), guardian % 3);
        Facts storage facts = _facts[version][proposer];
        IRecoveryPolicy.Secret memory s = _secretOf(version);
        bytes memory signature =
            signs
                ? _signature(_guardianKeys[guardian], _approvalDigest(_idOf(s), facts.request, _guardians[guardian]))
                : bytes("");
        vm.prank(signs ? _thief : _guardians[guardian]);
        try _policy.approve(s, _data(), facts.request, _guardians[guardian], signature) {
            for (uint256 i = 0; i < facts.approvers.length; ++i) {
                if (facts.approvers[i] == _guardians[guardian]) cheatSucceeded = true;
            }
            facts.approvers.push(_guardians[guardian]);
            if (facts.approvers.length == 2) facts.lastNeededAt = block.timestamp;
            ++approved;
        } catch {
            return;
        }
    }

    function veto(uint32 version, uint256 proposer, bool signs) external {
        (version, proposer) = (version % VERSIONS, proposer % PROPOSERS);
        Facts storage facts = _facts[version][proposer];
        IRecoveryPolicy.Secret memory s = _secretOf(version);
        bytes memory signature =
            signs ? _signature(_authorKey, _vetoDigest(_idOf(s), _pathOf(proposer), _accountOf(proposer))) : bytes("");
        bool isDue = isReleasable(version, proposer);
        vm.prank(signs ? _thief : _author);
        try _policy.veto(s, keccak256(abi.encode(_data())), _pathOf(proposer), _accountOf(proposer), signature) {
            if (isDue) dueVetoSucceeded = true;
            facts.vetoedAt = block.timestamp;
            ++vetoed;
        } catch {
            return;
        }
    }

    function retire(uint256 luck, uint32 firstVersion) external {
        // Rarely, since it ends a version for good.
        if (luck % 16 != 0) return;
        firstVersion %= VERSIONS;
        vm.prank(_author);
        try _policy.retire(_secret().ledger, _secret().recordId, _author, firstVersion, "") {
            if (firstVersion <= retiredBelow) cheatSucceeded = true;
            retiredBelow = firstVersion;
        } catch {
            return;
        }
    }

    function cheatAsThief(uint32 version, uint256 proposer, uint256 what) external {
        (version, proposer) = (version % VERSIONS, proposer % PROPOSERS);
        IRecoveryPolicy.Secret memory s = _secretOf(version);
        IRecoveryPolicy.Request memory r = _next(version, proposer, what);
        bytes32 dataHash = keccak256(abi.encode(_data()));
        vm.startPrank(_thief);
        what %= 5;
        if (what == 0) {
            try _policy.open(s, _data(), r, uint64(block.timestamp), "") {
                cheatSucceeded = true;
            } catch {}
        } else if (what == 1) {
            r.proposer = _thief;
            try _policy.open(s, _data(), r, uint64(block.timestamp), "") {
                cheatSucceeded = true;
            } catch {}
        } else if (what == 2) {
            try _policy.approve(s, _data(), _facts[version][1].request, _thief, "") {
                cheatSucceeded = true;
            } catch {}
        } else if (what == 3) {
            try _policy.veto(s, dataHash, _pathOf(proposer), _accountOf(proposer), "") {
                cheatSucceeded = true;
            } catch {}
        } else {
            try _policy.retire(s.ledger, s.recordId, s.author, retiredBelow + 1, "") {
                cheatSucceeded = true;
            } catch {}
        }
        vm.stopPrank();
    }

    /// @dev Data in which the thief is the only guardian: another secret id, so nothing of it counts here.
    function cheatWithOwnData(uint32 version) external {
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.guardians = new address[](1);
        (data.guardians[0], data.threshold) = (_thief, 1);
        IRecoveryPolicy.Secret memory s = _secretOf(version % VERSIONS);
        IRecoveryPolicy.Request memory r = IRecoveryPolicy.Request(
            IRecoveryPolicy.Path.Guardians,
            _thief,
            _thief,
            KEY,
            1
        );
        vm.prank(_thief);
        try _policy.open(s, data, r, 0, "") {} catch {
            return;
        }
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, 4 days));
    }

    /// @dev From the facts: named, approved by enough, waited for, not over, not vetoed, not retired.
    function isReleasable(uint32 version, uint256 proposer) public view returns (bool) {
        Facts storage facts = _facts[version][proposer];
        if (version < retiredBelow || facts.openedAt == 0 || facts.vetoedAt != 0 || facts.lastNeededAt == 0) {
            return false;
        }
        uint256 due = facts.lastNeededAt + (proposer == 0 ? WALLET_DELAY : GUARDIAN_DELAY);
        return block.timestamp >= due && block.timestamp <= due + WINDOW;
    }

    function mayHave(uint32 version, address requester, bytes32 sessionKey) external view returns (bool expected) {
        for (uint256 proposer = 0; proposer < PROPOSERS; ++proposer) {
            IRecoveryPolicy.Request memory r = _facts[version][proposer].request;
            if (r.requester != requester || r.sessionKey != sessionKey) continue;
            if (isReleasable(version, proposer)) return true;
        }
    }

    function answered(uint32 version, address requester, bytes32 sessionKey) external view returns (bool) {
        IRecoveryPolicy.Secret memory s = _secretOf(version);
        return _policy.mayRelease(s.recordId, requester, _context(s, abi.encode(_data()), sessionKey));
    }

    /// @dev Distinct guardians among those who approved, and whether all of them are named by the data.
    function approvals(uint32 version, uint256 proposer) external view returns (uint256 distinct, bool allNamed) {
        allNamed = true;
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = 0; j < _facts[version][proposer].approvers.length; ++j) {
                if (_facts[version][proposer].approvers[j] != _guardians[i]) continue;
                ++distinct;
                break;
            }
        }
        if (distinct != _facts[version][proposer].approvers.length) allNamed = false;
    }

    function stateOf(uint32 version, uint256 proposer) external view returns (IRecoveryPolicy.RequestState memory) {
        return _policy.requestOf(_idOf(_secretOf(version)), _pathOf(proposer), _accountOf(proposer));
    }

    function parties() external view returns (address[4] memory) {
        return [_wallet, _requester, _thief, _author];
    }

    function _secretOf(uint32 version) private view returns (IRecoveryPolicy.Secret memory s) {
        s = _secret();
        s.version = version;
    }

    function _next(
        uint32 version,
        uint256 proposer,
        uint256 requester
    ) private view returns (IRecoveryPolicy.Request memory) {
        uint64 number = _facts[version][proposer].request.number + 1;
        if (proposer == 0) return _byWallet(number);
        IRecoveryPolicy.Request memory r = _byGuardian(proposer - 1, number);
        if (requester % 2 == 1) r.requester = _thief;
        return r;
    }

    function _pathOf(uint256 proposer) private pure returns (IRecoveryPolicy.Path) {
        return proposer == 0 ? IRecoveryPolicy.Path.Wallet : IRecoveryPolicy.Path.Guardians;
    }

    function _accountOf(uint256 proposer) private view returns (address) {
        return proposer == 0 ? _wallet : _guardians[proposer - 1];
    }

    function _keyOf(uint256 proposer) private view returns (uint256) {
        return proposer == 0 ? _walletKey : _guardianKeys[proposer - 1];
    }
}

contract RecoveryPolicyInvariants is RecoveryPolicyBase {
    RecoveryPolicyHandler private _handler;

    function setUp() public {
        _handler = new RecoveryPolicyHandler();
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = RecoveryPolicyHandler.open.selector;
        selectors[1] = RecoveryPolicyHandler.approve.selector;
        selectors[2] = RecoveryPolicyHandler.veto.selector;
        selectors[3] = RecoveryPolicyHandler.retire.selector;
        selectors[4] = RecoveryPolicyHandler.cheatAsThief.selector;
        selectors[5] = RecoveryPolicyHandler.cheatWithOwnData.selector;
        selectors[6] = RecoveryPolicyHandler.wait.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// @dev After every call of every sequence; one campaign for all, since each checks the same states.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_everything() public view {
        vm.assertFalse(_handler.cheatSucceeded(), "a cheat got through");
        // INV-4
        vm.assertFalse(_handler.barredProposerOpened(), "a barred proposer opened a request");
        vm.assertFalse(_handler.dueVetoSucceeded(), "a veto came after the delay");
        address[4] memory parties = _handler.parties();
        for (uint32 version = 0; version < _handler.VERSIONS(); ++version) {
            // INV-1, INV-2, INV-4, INV-5: exactly what the facts allow, no more and no less.
            for (uint256 i = 0; i < 4; ++i) {
                bool released = _handler.answered(version, parties[i], KEY);
                vm.assertEq(released, _handler.mayHave(version, parties[i], KEY));
                vm.assertFalse(_handler.answered(version, parties[i], bytes32("another key")));
            }
            for (uint256 proposer = 1; proposer < _handler.PROPOSERS(); ++proposer) {
                // INV-3: never with fewer than two different guardians of the data.
                (uint256 distinct, bool allNamed) = _handler.approvals(version, proposer);
                vm.assertTrue(allNamed);
                if (_handler.isReleasable(version, proposer)) vm.assertGe(distinct, 2);
                // INV-6: a proposer's place holds what was accepted for it last.
                vm.assertEq(_handler.stateOf(version, proposer).approvals, distinct);
            }
        }
        // INV-5
        IRecoveryPolicy.Secret memory s = IRecoveryPolicy.Secret(address(0x1ed9e4), bytes32("record"), 0, parties[3]);
        vm.assertEq(_handler.policy().firstLiveVersion(s.ledger, s.recordId, s.author), _handler.retiredBelow());
    }

    /// @dev Not an invariant of the contract but of these tests: a campaign in which the policy accepts no call tests
    /// nothing.
    function test_the_handler_gets_releases_and_vetoes_through() public {
        _handler.open(1, 1, 0, true);
        _handler.approve(1, 0, 0, true);
        _handler.approve(1, 0, 1, true);
        _handler.open(1, 0, 0, false);
        _handler.veto(1, 0, true);
        _handler.open(1, 0, 0, false);
        _handler.cheatAsThief(1, 2, 0);
        _handler.cheatWithOwnData(1);
        vm.assertEq(_handler.opened(), 2);
        vm.assertEq(_handler.approved(), 1);
        vm.assertEq(_handler.vetoed(), 1);
        _handler.wait(GUARDIAN_DELAY);
        vm.assertTrue(_handler.isReleasable(1, 1));
        vm.assertTrue(_handler.answered(1, _handler.parties()[1], KEY));
        vm.assertFalse(_handler.cheatSucceeded());
        _handler.retire(0, 1);
        vm.assertEq(_handler.retiredBelow(), 1);
    }
}
