// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Pausable } from "@openzeppelin/contracts/utils/Pausable.sol";
import { Errors } from "@openzeppelin/contracts/utils/Errors.sol";
import { ReentrancyGuard } from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EscrowTestBase } from "./EscrowTestBase.t.sol";
import { vm } from "./Vm.sol";
import { BonusToken } from "./zoo/BonusToken.sol";
import { FeeToken } from "./zoo/FeeToken.sol";
import { PausableToken } from "./zoo/PausableToken.sol";
import { PlainToken } from "./zoo/PlainToken.sol";
import { ReentrantToken } from "./zoo/ReentrantToken.sol";
import { ReturnsFalseToken } from "./zoo/ReturnsFalseToken.sol";
import { ReturnsNothingToken } from "./zoo/ReturnsNothingToken.sol";
import { ReentrantWallet, RejectingWallet } from "./zoo/Wallets.sol";

/// @notice The escrow with tokens and wallets that misbehave. None of them gets more than it deposited, and none can
/// change the balances of others.
contract StorageEscrowTokensTest is EscrowTestBase {
    function test_feeOnTransferIsRefused() public {
        FeeToken token = new FeeToken();
        _mint(PlainToken(address(token)));
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.TransferMismatch.selector, address(token), 10_000, 9_900)
        );
        vm.prank(_user);
        _escrow.propose(_terms(address(token)));
    }

    function test_bonusOnTransferIsRefused() public {
        BonusToken token = new BonusToken();
        _mint(PlainToken(address(token)));
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.TransferMismatch.selector, address(token), 10_000, 10_001)
        );
        vm.prank(_user);
        _escrow.propose(_terms(address(token)));
    }

    function test_transferThatReturnsFalseIsAFailure() public {
        ReturnsFalseToken token = new ReturnsFalseToken();
        _mint(PlainToken(address(token)));
        bytes memory refusal = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token));
        token.setFailing(true);
        vm.expectRevert(refusal);
        vm.prank(_user);
        _escrow.propose(_terms(address(token)));

        token.setFailing(false);
        AgreementId id = _propose(_terms(address(token)));
        bytes32 termsHash = _escrow.termsHashOf(id);
        token.setFailing(true);
        vm.expectRevert(refusal);
        vm.prank(_provider);
        _escrow.accept(id, termsHash);
        _assertStatus(id, IStorageEscrow.AgreementStatus.Proposed);

        vm.prank(_user);
        _escrow.cancel(id);
        vm.expectRevert(refusal);
        vm.prank(_user);
        _escrow.withdraw(address(token), _user);
        vm.assertEq(_escrow.balanceOf(address(token), _user), 10_000);
    }

    function test_transferThatReturnsNothingWorks() public {
        ReturnsNothingToken token = new ReturnsNothingToken();
        token.mint(_user, 10_000);
        token.mint(_provider, 1200);
        vm.prank(_user);
        token.approve(address(_escrow), 10_000);
        vm.prank(_provider);
        token.approve(address(_escrow), 1200);
        AgreementId id = _activate(address(token));
        _prove(id, 0);
        vm.prank(_provider);
        _escrow.withdraw(address(token), _provider);
        vm.assertEq(token.balanceOf(_provider), 1000);
        vm.assertEq(token.balanceOf(address(_escrow)), 10_200);
    }

    function test_missingAllowanceIsTheTokensError() public {
        vm.prank(_user);
        _token.approve(address(_escrow), 9_999);
        vm.expectRevert();
        vm.prank(_user);
        _escrow.propose(_terms(address(_token)));
        vm.assertEq(_escrow.agreementCount(), 0);
    }

    function test_pausedTokenDelaysOnlyItsOwnWithdrawals() public {
        PausableToken token = new PausableToken();
        token.mint(_user, 10_000);
        token.mint(_provider, 1200);
        vm.prank(_user);
        token.approve(address(_escrow), 10_000);
        vm.prank(_provider);
        token.approve(address(_escrow), 1200);
        AgreementId paused = _activate(address(token));
        AgreementId native = _propose(_terms(NATIVE));
        _accept(native);

        token.setPaused(true);
        _prove(paused, 0);
        _prove(native, 0);
        _report(paused, 1);
        vm.roll(_openBlock(paused, 9) + 21);
        _escrow.close(paused);

        vm.expectRevert(abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        vm.prank(_provider);
        _escrow.withdraw(address(token), _provider);
        vm.prank(_provider);
        vm.assertEq(_escrow.withdraw(NATIVE, _provider), 1000);

        token.setPaused(false);
        vm.prank(_provider);
        vm.assertEq(_escrow.withdraw(address(token), _provider), 1000 + 1200 - 350 - 600);
    }

    /// @dev The token is itself a party that is owed money, the strongest position to re-enter from.
    function test_reentrantTokenCannotWithdrawTwice() public {
        ReentrantToken token = _reentrantToken();
        AgreementId id = _proposeAs(token);
        token.execute(address(_escrow), 0, abi.encodeCall(_escrow.cancel, (id)));
        token.arm(address(_escrow), abi.encodeCall(_escrow.withdraw, (address(token), address(token))));
        token.execute(
            address(_escrow),
            0,
            abi.encodeCall(_escrow.withdraw, (address(token), address(uint160(0xBEEF))))
        );
        _assertGuarded(token);
        vm.assertEq(token.balanceOf(address(uint160(0xBEEF))), 10_000);
        vm.assertEq(token.balanceOf(address(_escrow)), 0);
    }

    function test_reentrantTokenCannotProposeOrAcceptWithin() public {
        ReentrantToken token = _reentrantToken();
        token.arm(address(_escrow), abi.encodeCall(_escrow.propose, (_terms(address(token)))));
        _proposeAs(token);
        _assertGuarded(token);
        vm.assertEq(_escrow.agreementCount(), 1);
        vm.assertEq(token.balanceOf(address(_escrow)), 10_000);

        AgreementId id = AgreementId.wrap(1);
        token.mint(_provider, 1200);
        vm.prank(_provider);
        token.approve(address(_escrow), 1200);
        token.arm(address(_escrow), abi.encodeCall(_escrow.accept, (id, _escrow.termsHashOf(id))));
        _accept(id);
        _assertGuarded(token);
    }

    /// @dev A token that cancels its own proposal while the deposit is on its way gets that deposit back, and no more.
    function test_reentrantTokenGainsNothingByCancellingWithinPropose() public {
        ReentrantToken token = _reentrantToken();
        token.arm(address(_escrow), abi.encodeCall(_escrow.cancel, (AgreementId.wrap(1))));
        AgreementId id = _proposeAs(token);
        vm.assertTrue(token.called() && token.succeeded());
        _assertStatus(id, IStorageEscrow.AgreementStatus.Cancelled);
        vm.assertEq(_escrow.balanceOf(address(token), address(token)), 10_000);
        vm.assertEq(token.balanceOf(address(_escrow)), 10_000);
    }

    function test_walletThatRejectsEtherSendsItElsewhere() public {
        RejectingWallet wallet = new RejectingWallet();
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        vm.deal(address(this), 10_000);
        bytes memory answer = wallet.execute{ value: 10_000 }(
            address(_escrow),
            10_000,
            abi.encodeCall(_escrow.propose, (terms))
        );
        AgreementId id = abi.decode(answer, (AgreementId));
        wallet.execute(address(_escrow), 0, abi.encodeCall(_escrow.cancel, (id)));
        vm.expectRevert(abi.encodeWithSelector(Errors.FailedCall.selector));
        wallet.execute(address(_escrow), 0, abi.encodeCall(_escrow.withdraw, (NATIVE, address(wallet))));
        vm.assertEq(_escrow.balanceOf(NATIVE, address(wallet)), 10_000);
        wallet.execute(address(_escrow), 0, abi.encodeCall(_escrow.withdraw, (NATIVE, _watcher)));
        vm.assertEq(_watcher.balance, 10_000);
    }

    /// @dev A provider that rejects ether does not block the user.
    function test_walletThatRejectsEtherBlocksNobodyElse() public {
        RejectingWallet wallet = new RejectingWallet();
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        terms.provider = address(wallet);
        AgreementId id = _propose(terms);
        vm.deal(address(this), terms.collateral);
        wallet.execute{ value: terms.collateral }(
            address(_escrow),
            terms.collateral,
            abi.encodeCall(_escrow.accept, (id, _escrow.termsHashOf(id)))
        );
        _prove(id, 0);
        _report(id, 1);
        vm.roll(_openBlock(id, 9) + 21);
        _escrow.close(id);
        vm.prank(_user);
        vm.assertEq(_escrow.withdraw(NATIVE, _user), 1300 + 8000 + 600);
    }

    function test_walletThatReentersGetsPaidOnce() public {
        ReentrantWallet wallet = new ReentrantWallet();
        // The escrow also holds money of another party.
        _propose(_terms(NATIVE));
        vm.deal(address(this), 10_000);
        bytes memory answer = wallet.execute{ value: 10_000 }(
            address(_escrow),
            10_000,
            abi.encodeCall(_escrow.propose, (_terms(NATIVE)))
        );
        AgreementId id = abi.decode(answer, (AgreementId));
        wallet.execute(address(_escrow), 0, abi.encodeCall(_escrow.cancel, (id)));
        bytes memory withdrawal = abi.encodeCall(_escrow.withdraw, (NATIVE, address(wallet)));
        wallet.arm(address(_escrow), withdrawal);
        wallet.execute(address(_escrow), 0, withdrawal);
        vm.assertEq(wallet.attempts(), 1);
        vm.assertFalse(wallet.succeeded());
        vm.assertEq(wallet.answer(), abi.encodeWithSelector(ReentrancyGuard.ReentrancyGuardReentrantCall.selector));
        vm.assertEq(address(wallet).balance, 10_000);
        vm.assertEq(address(_escrow).balance, 10_000);
    }

    function _mint(PlainToken token) private {
        token.mint(_user, 100_000);
        vm.prank(_user);
        IERC20(token).approve(address(_escrow), type(uint256).max);
    }

    /// @dev A token that is its own holder, has allowed the escrow to take what it needs, and is not armed yet.
    function _reentrantToken() private returns (ReentrantToken token) {
        token = new ReentrantToken();
        token.mint(address(token), 100_000);
        token.execute(address(token), 0, abi.encodeCall(IERC20.approve, (address(_escrow), type(uint256).max)));
    }

    function _proposeAs(ReentrantToken token) private returns (AgreementId) {
        bytes memory proposal = abi.encodeCall(_escrow.propose, (_terms(address(token))));
        return abi.decode(token.execute(address(_escrow), 0, proposal), (AgreementId));
    }

    function _assertGuarded(ReentrantToken token) private view {
        vm.assertTrue(token.called());
        vm.assertFalse(token.succeeded());
        vm.assertEq(token.answer(), abi.encodeWithSelector(ReentrancyGuard.ReentrancyGuardReentrantCall.selector));
    }
}
