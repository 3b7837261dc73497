// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Errors } from "@openzeppelin/contracts/utils/Errors.sol";
import { Pausable } from "@openzeppelin/contracts/utils/Pausable.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { DataSetTestBase } from "./DataSetTestBase.t.sol";
import { vm } from "./Vm.sol";
import { BonusToken } from "./zoo/BonusToken.sol";
import { FeeToken } from "./zoo/FeeToken.sol";
import { PausableToken } from "./zoo/PausableToken.sol";
import { RebasingToken } from "./zoo/RebasingToken.sol";
import { ReentrantToken } from "./zoo/ReentrantToken.sol";
import { ReturnsFalseToken } from "./zoo/ReturnsFalseToken.sol";
import { ReturnsNothingToken } from "./zoo/ReturnsNothingToken.sol";
import { TetherToken } from "./zoo/TetherToken.sol";
import { ReentrantWallet, RejectingWallet } from "./zoo/Wallets.sol";

/// @notice The escrow of data sets with tokens and wallets that misbehave. None gets more than arrived, and none
/// changes what belongs to others.
contract DataSetTokensTest is DataSetTestBase {
    /// @dev Lets user, provider and watcher have some of it, and the escrow take it.
    function _give(address token) private {
        address[3] memory holders = [_user, _provider, _watcher];
        for (uint256 i; i < holders.length; ++i) {
            ReturnsNothingToken(token).mint(holders[i], 1_000_000);
            vm.prank(holders[i]);
            ReturnsNothingToken(token).approve(address(_escrow), type(uint256).max);
        }
    }

    function _balanceOf(address token, address user) private view returns (uint256) {
        return _balance(token, user).available;
    }

    function test_aTokenThatTakesAFeeCreditsWhatArrives() public {
        FeeToken token = new FeeToken();
        _give(address(token));
        vm.expectEmit();
        emit IStorageEscrow.Deposited(address(token), _user, _user, 9_900);
        _deposit(address(token), 10_000);
        _depositCollateral(address(token), 10_000);
        vm.assertEq(_balanceOf(address(token), _user), 9_900);
        vm.assertEq(_escrow.poolOf(address(token), _provider).total, 9_900);
        vm.assertEq(token.balanceOf(address(_escrow)), 19_800);
        vm.prank(_user);
        _escrow.withdraw(address(token), _watcher, 9_900);
        vm.assertEq(token.balanceOf(address(_escrow)), 9_900);
        // Of one unit, nothing arrives.
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidAmount.selector, uint256(0)));
        _escrow.deposit(address(token), _user, 1);
    }

    function test_aTokenThatPaysABonusCreditsWhatArrives() public {
        BonusToken token = new BonusToken();
        _give(address(token));
        _deposit(address(token), 10_000);
        vm.assertEq(_balanceOf(address(token), _user), 10_001);
        vm.prank(_user);
        _escrow.withdraw(address(token), _user, 10_001);
        vm.assertEq(token.balanceOf(address(_escrow)), 0);
    }

    /// @dev When balances shrink, who withdraws last gets nothing; other tokens are not touched. When they grow, nobody
    /// gets what is more.
    function test_aTokenThatRebasesHarmsItselfOnly() public {
        RebasingToken token = new RebasingToken();
        _give(address(token));
        _give(address(_token));
        _deposit(address(token), 10_000);
        _depositCollateral(address(token), 10_000);
        _deposit(address(_token), 10_000);
        _deposit(NATIVE, 10_000);

        token.rebase(50);
        vm.prank(_user);
        _escrow.withdraw(address(token), _user, 10_000);
        vm.prank(_provider);
        vm.expectRevert();
        _escrow.withdrawCollateral(address(token), _provider, 10_000);
        vm.assertEq(_escrow.poolOf(address(token), _provider).total, 10_000);

        token.rebase(400);
        _depositCollateral(address(token), 10_000);
        vm.prank(_provider);
        _escrow.withdrawCollateral(address(token), _provider, 10_000);

        vm.startPrank(_user);
        _escrow.withdraw(address(_token), _user, 10_000);
        _escrow.withdraw(NATIVE, _user, 10_000);
        vm.stopPrank();
        vm.assertEq(_token.balanceOf(address(_escrow)), 0);
        vm.assertEq(address(_escrow).balance, 0);
    }

    function test_aTransferThatReturnsFalseIsAFailure() public {
        ReturnsFalseToken token = new ReturnsFalseToken();
        _give(address(token));
        _deposit(address(token), 10_000);
        _depositCollateral(address(token), 10_000);
        token.setFailing(true);
        bytes memory refusal = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token));
        vm.startPrank(_user);
        vm.expectRevert(refusal);
        _escrow.deposit(address(token), _user, 1);
        vm.expectRevert(refusal);
        _escrow.withdraw(address(token), _user, 10_000);
        vm.stopPrank();
        vm.startPrank(_provider);
        vm.expectRevert(refusal);
        _escrow.depositCollateral(address(token), _provider, 1);
        vm.expectRevert(refusal);
        _escrow.withdrawCollateral(address(token), _provider, 10_000);
        vm.stopPrank();
        vm.assertEq(_balanceOf(address(token), _user), 10_000);
        vm.assertEq(_escrow.poolOf(address(token), _provider).total, 10_000);
    }

    function test_aTransferThatReturnsNothingWorks() public {
        ReturnsNothingToken token = new ReturnsNothingToken();
        _give(address(token));
        IStorageEscrow.Terms memory terms = _terms(address(token));
        _open(terms);
        _prove(terms, _epoch() + 1, _list(1, 100));
        vm.prank(_provider);
        _escrow.withdrawCollateral(address(token), _provider, 7_000);
        vm.assertEq(token.balanceOf(_provider), 1_000_000 - 10_000 + 7_000);
    }

    /// @dev Like USDT: allowances change by way of zero, no return values, and later a fee and a block list.
    function test_aTokenLikeTetherWorksAndItsFeeIsNotOurs() public {
        TetherToken token = new TetherToken();
        _give(address(token));
        vm.prank(_user);
        vm.expectRevert(TetherToken.AllowanceNotZero.selector);
        token.approve(address(_escrow), 5);
        IStorageEscrow.Terms memory terms = _terms(address(token));
        _open(terms);
        // The escrow itself allows nobody anything.
        vm.assertEq(token.allowance(address(_escrow), _user), 0);

        token.setFee(10);
        _deposit(address(token), 1_000);
        vm.assertEq(_balanceOf(address(token), _user), 100_900);
        vm.prank(_user);
        _escrow.withdraw(address(token), _watcher, 1_000);
        vm.assertEq(_balanceOf(address(token), _user), 99_900);
        vm.assertEq(token.balanceOf(_watcher), 1_000_900);

        token.setBlocked(address(_escrow), true);
        _prove(terms, _epoch() + 1, _list(1, 100));
        vm.prank(_provider);
        vm.expectRevert(abi.encodeWithSelector(TetherToken.Blocked.selector, address(_escrow)));
        _escrow.withdrawCollateral(address(token), _provider, 1_000);
        vm.assertEq(_escrow.poolOf(address(token), _provider).total, 11_000);
    }

    function test_aPausedTokenStopsItsTransfersAndNothingElse() public {
        PausableToken token = new PausableToken();
        _give(address(token));
        IStorageEscrow.Terms memory terms = _terms(address(token));
        bytes32 id = _open(terms);
        uint256 first = _epoch() + 1;
        _deposit(NATIVE, 1_000);
        token.setPaused(true);
        _prove(terms, first, _list(1, 100));
        _report(terms, first + 1);
        _update(terms, _list(1, 120));
        _giveNotice(terms, _user);
        _rollTo(first + 20);
        _close(terms, _watcher);
        vm.assertEq(uint256(_escrow.booksOf(id).status), uint256(IStorageEscrow.Status.Closed));
        uint256 available = _balanceOf(address(token), _user);
        vm.startPrank(_user);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        _escrow.withdraw(address(token), _user, available);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        _escrow.deposit(address(token), _user, 1);
        _escrow.withdraw(NATIVE, _user, 1_000);
        token.setPaused(false);
        _escrow.withdraw(address(token), _user, available);
        vm.stopPrank();
    }

    // ---- Re-entrancy

    /// @dev A token that is its own holder, user, and provider of a set, and calls the escrow from within a transfer.
    function _reentrant() private returns (ReentrantToken token, IStorageEscrow.Terms memory terms, bytes32 id) {
        token = new ReentrantToken();
        _give(address(token));
        token.mint(address(token), 1_000_000);
        token.execute(address(token), 0, abi.encodeCall(IERC20.approve, (address(_escrow), type(uint256).max)));
        terms = _terms(address(token));
        id = _open(terms);
        token.execute(address(_escrow), 0, abi.encodeCall(_escrow.deposit, (address(token), address(token), 10_000)));
        token.execute(
            address(_escrow),
            0,
            abi.encodeCall(_escrow.depositCollateral, (address(token), address(token), 10_000))
        );
    }

    /// @dev Every function that changes anything but the operator, called from a transfer out and from one in.
    function test_aTokenThatCallsBackFindsEveryFunctionLocked() public {
        (ReentrantToken token, IStorageEscrow.Terms memory terms, bytes32 id) = _reentrant();
        bytes memory schedule = _schedule(id);
        IStorageEscrow.Update memory none;
        IStorageEscrow.ProofCall[] memory proofs = new IStorageEscrow.ProofCall[](0);
        bytes[15] memory calls = [
            abi.encodeCall(_escrow.deposit, (address(token), _watcher, 1)),
            abi.encodeCall(_escrow.withdraw, (address(token), address(token), 1)),
            abi.encodeCall(_escrow.depositCollateral, (address(token), _watcher, 1)),
            abi.encodeCall(_escrow.withdrawCollateral, (address(token), address(token), 1)),
            abi.encodeCall(_escrow.open, (terms, _audit(), none)),
            abi.encodeCall(_escrow.update, (terms, schedule, _list(1, 100), none)),
            abi.encodeCall(_escrow.retire, (terms, schedule, _list(1, 100), none, _list(1, 9))),
            abi.encodeCall(_escrow.giveNotice, (terms, schedule)),
            abi.encodeCall(_escrow.settle, (terms, schedule)),
            abi.encodeCall(_escrow.close, (terms, schedule)),
            abi.encodeCall(_escrow.prove, (proofs)),
            abi.encodeCall(_escrow.reportMiss, (terms, _audit(), schedule, 1)),
            abi.encodeCall(_escrow.dispute, (terms, _audit(), schedule)),
            abi.encodeCall(_escrow.upholdDispute, (terms, _audit(), schedule)),
            abi.encodeCall(_escrow.showDoubleSigning, (terms, schedule, _user, ""))
        ];
        for (uint256 i; i < calls.length; ++i) {
            token.arm(address(_escrow), calls[i]);
            vm.prank(_watcher);
            _escrow.deposit(address(token), _watcher, 10);
            _assertLocked(token);
            token.arm(address(_escrow), calls[i]);
            vm.prank(_watcher);
            _escrow.withdraw(address(token), _watcher, 10);
            _assertLocked(token);
        }
        vm.assertEq(token.balanceOf(address(_escrow)), 110_000 + 20_000);
        vm.assertEq(_balanceOf(address(token), address(token)), 10_000);
    }

    function _assertLocked(ReentrantToken token) private view {
        vm.assertTrue(token.called(), "called");
        vm.assertFalse(token.succeeded(), "re-entered");
        vm.assertEq(
            token.answer(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
    }

    /// @dev What a token sends to the escrow beside the deposit is the depositor's, and nothing more.
    function test_aTokenThatSendsMoreFromWithinCreditsWhatArrives() public {
        (ReentrantToken token, , ) = _reentrant();
        token.arm(address(token), abi.encodeCall(IERC20.transferFrom, (_watcher, address(_escrow), 7)));
        vm.prank(_watcher);
        token.approve(address(token), 7);
        _deposit(address(token), 10);
        vm.assertTrue(token.succeeded());
        vm.assertEq(_balanceOf(address(token), _user), 100_017);
        vm.assertEq(token.balanceOf(address(_escrow)), 110_000 + 20_000 + 17);
    }

    function test_aWalletThatCallsBackIsPaidOnce() public {
        ReentrantWallet wallet = new ReentrantWallet();
        _deposit(NATIVE, 10_000);
        vm.prank(_user);
        _escrow.deposit{ value: 500 }(NATIVE, address(wallet), 500);
        bytes memory withdrawal = abi.encodeCall(_escrow.withdraw, (NATIVE, address(wallet), 500));
        wallet.arm(address(_escrow), withdrawal);
        wallet.execute(address(_escrow), 0, withdrawal);
        vm.assertEq(wallet.attempts(), 1);
        vm.assertFalse(wallet.succeeded());
        vm.assertEq(address(wallet).balance, 500);
        vm.assertEq(address(_escrow).balance, 10_000);
    }

    function test_aWalletThatRejectsCoinsSendsThemElsewhere() public {
        RejectingWallet wallet = new RejectingWallet();
        vm.prank(_user);
        _escrow.deposit{ value: 500 }(NATIVE, address(wallet), 500);
        vm.expectRevert(Errors.FailedCall.selector);
        wallet.execute(address(_escrow), 0, abi.encodeCall(_escrow.withdraw, (NATIVE, address(wallet), 500)));
        wallet.execute(address(_escrow), 0, abi.encodeCall(_escrow.withdraw, (NATIVE, _watcher, 500)));
        vm.assertEq(_available(address(wallet)), 0);
    }

    // ---- Amounts

    function test_coinsWithATokenOrOfAnotherAmountAreRefused() public {
        vm.startPrank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongValue.selector, uint256(0), uint256(1)));
        _escrow.deposit{ value: 1 }(address(_token), _user, 1);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongValue.selector, uint256(2), uint256(1)));
        _escrow.deposit{ value: 1 }(NATIVE, _user, 2);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidAmount.selector, uint256(0)));
        _escrow.deposit(NATIVE, _user, 0);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidAmount.selector, uint256(0)));
        _escrow.withdraw(NATIVE, _user, 0);
        vm.stopPrank();
    }

    function test_nothingIsPaidToNobodyOrToTheEscrow() public {
        _deposit(NATIVE, 10);
        _depositCollateral(NATIVE, 10);
        address[2] memory refused = [address(0), address(_escrow)];
        for (uint256 i; i < refused.length; ++i) {
            bytes memory refusal = abi.encodeWithSelector(IStorageEscrow.InvalidRecipient.selector, refused[i]);
            vm.prank(_user);
            vm.expectRevert(refusal);
            _escrow.withdraw(NATIVE, refused[i], 10);
            vm.prank(_provider);
            vm.expectRevert(refusal);
            _escrow.withdrawCollateral(NATIVE, refused[i], 10);
        }
    }

    function test_moreThanABalanceHoldsIsRefused() public {
        _token.mint(_user, type(uint128).max);
        _deposit(address(_token), type(uint112).max);
        vm.startPrank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidAmount.selector, uint256(type(uint112).max) + 1));
        _escrow.deposit(address(_token), _user, 1);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidAmount.selector, uint256(type(uint112).max) + 1));
        _escrow.deposit(address(_token), _watcher, uint256(type(uint112).max) + 1);
        _escrow.withdraw(address(_token), _user, type(uint112).max);
        vm.stopPrank();
        vm.assertEq(_token.balanceOf(address(_escrow)), 0);
    }
}
