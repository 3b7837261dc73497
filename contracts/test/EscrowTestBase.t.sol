// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EpochIndex } from "../types/EpochIndex.sol";
import { StorageEscrowHarness } from "./StorageEscrowHarness.t.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";
import { FakeRandomness } from "./zoo/FakeRandomness.sol";
import { PlainToken } from "./zoo/PlainToken.sol";

/// @title Base of the escrow's tests
/// @notice An escrow whose proofs are one comparison, a user, a provider, a watcher, and one step for each thing they
/// do.
abstract contract EscrowTestBase is TestBase {
    address internal constant NATIVE = address(0);

    StorageEscrowHarness internal _escrow;
    FakeRandomness internal _randomness;
    PlainToken internal _token;
    address internal _user;
    address internal _provider;
    address internal _watcher;

    function setUp() public virtual {
        _escrow = new StorageEscrowHarness();
        _randomness = new FakeRandomness();
        _token = new PlainToken();
        (_user, ) = _account("user");
        (_provider, ) = _account("provider");
        (_watcher, ) = _account("watcher");
        vm.roll(1_000);
        _fund(_user);
        _fund(_provider);
    }

    function _fund(address account) internal {
        vm.deal(account, 1e30);
        _token.mint(account, 1e30);
        vm.prank(account);
        _token.approve(address(_escrow), type(uint256).max);
    }

    /// @dev Ten epochs of 50 blocks with windows of 20, three misses end it, some collateral more than needed.
    function _terms(address token) internal view returns (IStorageEscrow.Terms memory) {
        return
            IStorageEscrow.Terms({
                provider: _provider,
                token: token,
                feePerEpoch: 1000,
                compensationPerMiss: 300,
                bountyPerMiss: 50,
                collateral: 1200,
                startBlock: uint64(block.number) + 10,
                epochBlocks: 50,
                windowBlocks: 20,
                epochs: 10,
                sampleCount: 30,
                breachLimit: 3,
                firstIndex: 1,
                sliceCount: 8,
                auditKeyHash: keccak256(bytes.concat(_key().X, _key().XA, _key().XB)),
                manifestHash: keccak256("manifest"),
                randomness: address(_randomness)
            });
    }

    function _key() internal pure returns (PdpVerifier.Key memory) {
        return PdpVerifier.Key({ X: new bytes(256), XA: new bytes(256), XB: new bytes(256) });
    }

    /// @dev The proof of an epoch that the harness accepts.
    function _proof(AgreementId id, uint256 epoch) internal view returns (PdpVerifier.Proof memory) {
        (bytes32 seed, , , , , ) = _escrow.challengeOf(id, _epoch(epoch));
        return _proofFor(seed);
    }

    function _proofFor(bytes32 seed) internal pure returns (PdpVerifier.Proof memory) {
        return PdpVerifier.Proof({ sigma: "", psi: "", W: "", y: uint256(seed) });
    }

    function _epoch(uint256 index) internal pure returns (EpochIndex) {
        return EpochIndex.wrap(uint32(index));
    }

    function _deposit(IStorageEscrow.Terms memory terms) internal pure returns (uint256) {
        return uint256(terms.feePerEpoch) * terms.epochs;
    }

    function _propose(IStorageEscrow.Terms memory terms) internal returns (AgreementId) {
        vm.prank(_user);
        return _escrow.propose{ value: terms.token == NATIVE ? _deposit(terms) : 0 }(terms);
    }

    function _accept(AgreementId id) internal {
        IStorageEscrow.Terms memory terms = _escrow.agreementOf(id).terms;
        bytes32 termsHash = _escrow.termsHashOf(id);
        vm.prank(_provider);
        _escrow.accept{ value: terms.token == NATIVE ? terms.collateral : 0 }(id, termsHash);
    }

    function _activate(address token) internal returns (AgreementId id) {
        id = _propose(_terms(token));
        _accept(id);
    }

    function _openBlock(AgreementId id, uint256 epoch) internal view returns (uint256) {
        IStorageEscrow.Terms memory terms = _escrow.agreementOf(id).terms;
        return terms.startBlock + epoch * terms.epochBlocks;
    }

    function _rollIntoWindow(AgreementId id, uint256 epoch) internal {
        vm.roll(_openBlock(id, epoch) + 1);
    }

    function _rollPastWindow(AgreementId id, uint256 epoch) internal {
        vm.roll(_openBlock(id, epoch) + _escrow.agreementOf(id).terms.windowBlocks + 1);
    }

    function _prove(AgreementId id, uint256 epoch) internal {
        _rollIntoWindow(id, epoch);
        _escrow.prove(id, _epoch(epoch), _key(), _proof(id, epoch));
    }

    function _report(AgreementId id, uint256 epoch) internal {
        _rollPastWindow(id, epoch);
        vm.prank(_watcher);
        _escrow.reportMiss(id, _epoch(epoch));
    }

    function _status(AgreementId id) internal view returns (IStorageEscrow.AgreementStatus) {
        return _escrow.agreementOf(id).status;
    }

    function _assertStatus(AgreementId id, IStorageEscrow.AgreementStatus expected) internal view {
        vm.assertEq(uint256(_status(id)), uint256(expected), "agreement status");
    }

    function _assertEpoch(AgreementId id, uint256 epoch, IStorageEscrow.EpochStatus expected) internal view {
        vm.assertEq(uint256(_escrow.epochStatus(id, _epoch(epoch))), uint256(expected), "epoch status");
    }

    function _assertCredits(address token, uint256 user, uint256 provider, uint256 watcher) internal view {
        vm.assertEq(_escrow.balanceOf(token, _user), user, "credit of the user");
        vm.assertEq(_escrow.balanceOf(token, _provider), provider, "credit of the provider");
        vm.assertEq(_escrow.balanceOf(token, _watcher), watcher, "credit of the watcher");
    }
}
