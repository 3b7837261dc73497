// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IDrandRandomness } from "../interfaces/IDrandRandomness.sol";
import { IRecordedRandomness } from "../interfaces/IRecordedRandomness.sol";
import { DrandRandomness } from "../randomness/DrandRandomness.sol";
import { RandomnessTestBase } from "./RandomnessTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @dev With a signature of drand's network "quicknet". Other keys, and the hash to the curve against an independent
/// library, are in test/contracts/randomness.test.ts.
contract DrandRandomnessTest is RandomnessTestBase {
    bytes32 private constant TAG = keccak256("tallystick/v1/randomness-drand");
    uint64 private constant GENESIS = 1_692_803_367;
    uint64 private constant MARGIN = 30;
    uint64 private constant ROUND = 1000;
    /// @dev A block whose round this is: round 1000 is published 30 seconds later.
    uint64 private constant TIMESTAMP = GENESIS + 3 * (ROUND - 1) - MARGIN;
    uint64 private constant BLOCK = 19_990;
    bytes private constant KEY =
        hex"000000000000000000000000000000000d1fec758c921cc22b0e17e63aaf4bcb"
        hex"5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
        hex"0000000000000000000000000000000003cf0f2896adee7eb8b5f01fcad39122"
        hex"12c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
        hex"000000000000000000000000000000000e5db2b6bfbb01c867749cadffca88b3"
        hex"6c24f3012ba09fc4d3022c5c37dce0f977d3adb5d183c7477c442b1f04515273"
        hex"0000000000000000000000000000000001a714f2edb74119a2f2b0d5a7c75ba9"
        hex"02d163700a61bc224ededd8e63aef7be1aaf8e93d7a9718b047ccddb3eb5d68b";
    bytes private constant SIGNATURE =
        hex"00000000000000000000000000000000144679b9a59af2ec876b1a6b1ad52ea9"
        hex"b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"
        hex"0000000000000000000000000000000011f92e4521ef54f047b64b85fa98db2d"
        hex"46f0f44add1f60b93f8a0dbddd63b34f238657c2d93aed18b90bddd60a01b6d2";

    DrandRandomness private _source;

    function setUp() public {
        _source = new DrandRandomness(_network(), 10, 820);
        vm.roll(20_000);
    }

    function test_recordsTheSignatureOfTheBlocksRound() public {
        bytes memory evidence = _evidence(TIMESTAMP, ROUND, SIGNATURE);
        bytes32 expected = _expand(BLOCK, keccak256(abi.encode(TAG, keccak256(SIGNATURE), BLOCK)));
        vm.expectEmit(address(_source));
        emit IRecordedRandomness.RandomnessRecorded(BLOCK, expected);
        vm.assertEq(_source.record(BLOCK, evidence), expected);
        vm.assertEq(_source.randomnessAt(BLOCK), expected);
        vm.assertEq(_source.record(BLOCK, ""), expected);
    }

    /// @dev Blocks of three different timestamps have round 1000.
    function test_theRoundFollowsFromTheTimestamp() public {
        for (uint64 early = 0; early < 3; ++early) {
            vm.assertEq(_source.roundAt(TIMESTAMP - early), ROUND);
            vm.assertNotEq(_source.record(BLOCK - 10 * early, _evidenceOf(BLOCK - 10 * early, early)), bytes32(0));
        }
        _refusesRound(TIMESTAMP + 1, ROUND + 1, ROUND);
        _refusesRound(TIMESTAMP - 3, ROUND - 1, ROUND);
    }

    function test_refusesTheNumberOfAnotherRound() public {
        _refusesRound(TIMESTAMP, ROUND, ROUND + 1);
        _refusesRound(TIMESTAMP, ROUND, 0);
    }

    /// @dev INV-5
    function testFuzz_theRoundIsTheFirstAfterTheMargin(
        uint64 timestamp,
        uint64 genesis,
        uint64 period,
        uint64 margin
    ) public {
        IDrandRandomness.Network memory network = _network();
        (network.genesisTime, network.marginSeconds) = (genesis, margin);
        network.periodSeconds = uint64(_bound(period, 1, type(uint64).max));
        uint256 round = new DrandRandomness(network, 1, 8191).roundAt(timestamp);
        uint256 earliest = uint256(timestamp) + margin;
        vm.assertGe(round, 1);
        if (round < type(uint64).max) {
            vm.assertGe(uint256(genesis) + (round - 1) * network.periodSeconds, earliest);
        }
        if (round > 1) vm.assertLt(uint256(genesis) + (round - 2) * network.periodSeconds, earliest);
    }

    function test_aRoundBeyondAllNumbersDoesNotWrapAround() public {
        IDrandRandomness.Network memory network = _network();
        (network.genesisTime, network.periodSeconds, network.marginSeconds) = (0, 1, type(uint64).max);
        vm.assertEq(new DrandRandomness(network, 1, 8191).roundAt(type(uint64).max), type(uint64).max);
    }

    function test_refusesAPointThatIsNotTheSignature() public {
        // The generator of G1.
        bytes memory generator = bytes.concat(
            hex"0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0f",
            hex"c3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb",
            hex"0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4",
            hex"fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1"
        );
        bytes[2] memory wrong = [generator, new bytes(128)];
        for (uint256 i = 0; i < wrong.length; ++i) {
            bytes memory evidence = _evidence(TIMESTAMP, ROUND, wrong[i]);
            vm.expectRevert(abi.encodeWithSelector(IDrandRandomness.WrongSignature.selector, ROUND));
            _source.record(BLOCK, evidence);
        }
    }

    function test_refusesAMalformedPoint() public {
        bytes memory offCurve = bytes.concat(SIGNATURE);
        offCurve[127] = bytes1(uint8(offCurve[127]) ^ 1);
        bytes memory padded = bytes.concat(SIGNATURE);
        padded[0] = 0x01;
        // x = 4 is on the curve, and the point is not in the subgroup.
        bytes memory outside = bytes.concat(
            bytes32(0),
            bytes32(uint256(4)),
            hex"000000000000000000000000000000000a989badd40d6212b33cffc3f3763e9b",
            hex"c760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c"
        );
        bytes[3] memory wrong = [offCurve, padded, outside];
        for (uint256 i = 0; i < wrong.length; ++i) {
            bytes memory evidence = _evidence(TIMESTAMP, ROUND, wrong[i]);
            vm.expectRevert(abi.encodeWithSelector(IDrandRandomness.MalformedSignature.selector, wrong[i]));
            _source.record{ gas: 1_000_000 }(BLOCK, evidence);
        }
    }

    function test_refusesEvidenceWithoutItsParts() public {
        bytes memory evidence = _evidence(TIMESTAMP, ROUND, SIGNATURE);
        vm.expectRevert(abi.encodeWithSelector(IRecordedRandomness.EvidenceTooShort.selector, 135, 136));
        _source.record(BLOCK, new bytes(135));
        bytes32 blockHash = keccak256(_header(BLOCK, TIMESTAMP, 0));
        vm.expectRevert(
            abi.encodeWithSelector(IRecordedRandomness.HeaderMismatch.selector, BLOCK, blockHash, keccak256(""))
        );
        _source.record(BLOCK, new bytes(136));
        vm.assertNotEq(_source.record(BLOCK, evidence), bytes32(0));
    }

    function test_refusesTheHeaderOfAnotherBlock() public {
        bytes memory evidence = _evidence(TIMESTAMP, ROUND, SIGNATURE);
        bytes32 received = keccak256(_header(BLOCK, TIMESTAMP, 0));
        _setHash(BLOCK, keccak256("another"));
        vm.expectRevert(
            abi.encodeWithSelector(IRecordedRandomness.HeaderMismatch.selector, BLOCK, keccak256("another"), received)
        );
        _source.record(BLOCK, evidence);
    }

    function test_isDeployedWithAKeyInTheSubgroupOnly() public {
        IDrandRandomness.Network memory network = _network();
        bytes memory offCurve = bytes.concat(KEY);
        offCurve[255] = bytes1(uint8(offCurve[255]) ^ 1);
        bytes[3] memory wrong = [new bytes(256), offCurve, bytes.concat(KEY, bytes1(0))];
        for (uint256 i = 0; i < wrong.length; ++i) {
            network.publicKey = wrong[i];
            vm.expectRevert(abi.encodeWithSelector(IDrandRandomness.InvalidPublicKey.selector, wrong[i]));
            new DrandRandomness{ salt: bytes32(i) }(network, 1, 8191);
        }
    }

    function test_isDeployedWithAPeriodOnly() public {
        IDrandRandomness.Network memory network = _network();
        network.periodSeconds = 0;
        vm.expectRevert(IDrandRandomness.PeriodZero.selector);
        new DrandRandomness(network, 1, 8191);
    }

    function test_tellsItsNetwork() public view {
        vm.assertEq(_source.publicKey(), KEY);
        vm.assertEq(_source.GENESIS_TIME(), GENESIS);
        vm.assertEq(_source.PERIOD_SECONDS(), 3);
        vm.assertEq(_source.MARGIN_SECONDS(), MARGIN);
    }

    /// @dev On such a chain, a call of the address succeeds and returns nothing.
    function test_aChainWithoutThePrecompilesIsNamed() public {
        bytes memory evidence = _evidence(TIMESTAMP, ROUND, SIGNATURE);
        address[3] memory precompiles = [address(0x0f), address(0x10), address(0x0b)];
        for (uint256 i = 0; i < precompiles.length; ++i) {
            vm.mockCall(precompiles[i], "", "");
            vm.expectRevert(abi.encodeWithSelector(IDrandRandomness.PrecompileFailed.selector, precompiles[i]));
            _source.record(BLOCK, evidence);
            vm.clearMockedCalls();
            _setHash(BLOCK, keccak256(_header(BLOCK, TIMESTAMP, 0)));
        }
        vm.mockCall(address(0x0f), "", "");
        IDrandRandomness.Network memory network = _network();
        vm.expectRevert(abi.encodeWithSelector(IDrandRandomness.PrecompileFailed.selector, address(0x0f)));
        new DrandRandomness(network, 1, 8191);
    }

    function _network() private pure returns (IDrandRandomness.Network memory) {
        return
            IDrandRandomness.Network({ publicKey: KEY, genesisTime: GENESIS, periodSeconds: 3, marginSeconds: MARGIN });
    }

    function _evidence(uint64 timestamp, uint64 round, bytes memory signature) private returns (bytes memory) {
        bytes memory header = _header(BLOCK, timestamp, 0);
        _setHash(BLOCK, keccak256(header));
        return bytes.concat(bytes8(round), signature, header);
    }

    function _evidenceOf(uint64 blockNumber, uint64 secondsEarly) private returns (bytes memory) {
        bytes memory header = _header(blockNumber, TIMESTAMP - secondsEarly, 0);
        _setHash(blockNumber, keccak256(header));
        return bytes.concat(bytes8(ROUND), SIGNATURE, header);
    }

    function _refusesRound(uint64 timestamp, uint64 expected, uint64 received) private {
        _source = new DrandRandomness(_network(), 10, 820);
        bytes memory evidence = _evidence(timestamp, received, SIGNATURE);
        vm.expectRevert(abi.encodeWithSelector(IDrandRandomness.RoundMismatch.selector, BLOCK, expected, received));
        _source.record(BLOCK, evidence);
    }
}
