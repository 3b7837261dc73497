// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { RecoveryPolicy } from "../policies/RecoveryPolicy.sol";
import { IRecoveryPolicy } from "../interfaces/IRecoveryPolicy.sol";
import { IReleasePolicy } from "../interfaces/IReleasePolicy.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @title What tests of the recovery policy share
/// @notice A secret with a recovery wallet and three guardians, two of whom must approve. Ids and signatures are made
/// from the texts of the specification, without asking the contract.
abstract contract RecoveryPolicyBase is TestBase {
    uint64 internal constant START = 1_800_000_000;
    uint32 internal constant WALLET_DELAY = 7 days;
    uint32 internal constant GUARDIAN_DELAY = 2 days;
    uint32 internal constant WINDOW = 5 days;
    bytes32 internal constant KEY = bytes32("session key");

    RecoveryPolicy internal _policy;
    address internal _author;
    uint256 internal _authorKey;
    address internal _wallet;
    uint256 internal _walletKey;
    address[3] internal _guardians;
    uint256[3] internal _guardianKeys;
    address internal _requester;
    address internal _thief;

    function _deployPolicy() internal {
        vm.warp(START);
        _policy = new RecoveryPolicy();
        (_author, _authorKey) = _account("author");
        (_wallet, _walletKey) = _account("wallet");
        (_requester, ) = _account("requester");
        (_thief, ) = _account("thief");
        for (uint256 i = 0; i < 3; ++i) {
            (_guardians[i], _guardianKeys[i]) = _account(string.concat("guardian ", vm.toString(i)));
        }
        for (uint256 i = 0; i < 2; ++i) {
            for (uint256 j = i + 1; j < 3; ++j) {
                if (_guardians[i] < _guardians[j]) continue;
                (_guardians[i], _guardians[j]) = (_guardians[j], _guardians[i]);
                (_guardianKeys[i], _guardianKeys[j]) = (_guardianKeys[j], _guardianKeys[i]);
            }
        }
    }

    function _secret() internal view returns (IRecoveryPolicy.Secret memory) {
        return IRecoveryPolicy.Secret(address(0x1ed9e4), bytes32("record"), 1, _author);
    }

    function _data() internal view returns (IRecoveryPolicy.RecoveryData memory data) {
        data.wallet = _wallet;
        data.walletDelay = WALLET_DELAY;
        data.guardians = new address[](3);
        for (uint256 i = 0; i < 3; ++i) data.guardians[i] = _guardians[i];
        data.threshold = 2;
        data.guardianDelay = GUARDIAN_DELAY;
        data.window = WINDOW;
    }

    function _byWallet(uint64 number) internal view returns (IRecoveryPolicy.Request memory) {
        return IRecoveryPolicy.Request(IRecoveryPolicy.Path.Wallet, _wallet, _wallet, KEY, number);
    }

    function _byGuardian(uint256 i, uint64 number) internal view returns (IRecoveryPolicy.Request memory) {
        return IRecoveryPolicy.Request(IRecoveryPolicy.Path.Guardians, _guardians[i], _requester, KEY, number);
    }

    function _idOf(IRecoveryPolicy.Secret memory s) internal view returns (bytes32) {
        return _idOf(s, _data());
    }

    /// @dev Written out field by field, so that it does not rest on how structs are encoded.
    function _idOf(
        IRecoveryPolicy.Secret memory s,
        IRecoveryPolicy.RecoveryData memory data
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(s.ledger, s.recordId, s.version, s.author, keccak256(abi.encode(data))));
    }

    function _idOf(bytes32 secretId, IRecoveryPolicy.Request memory r) internal pure returns (bytes32) {
        return keccak256(abi.encode(secretId, uint8(r.path), r.proposer, r.requester, r.sessionKey, r.number));
    }

    function _open(IRecoveryPolicy.Request memory r) internal {
        vm.prank(r.proposer);
        _policy.open(_secret(), _data(), r, 0, "");
    }

    function _approve(IRecoveryPolicy.Request memory r, uint256 i) internal {
        vm.prank(_guardians[i]);
        _policy.approve(_secret(), _data(), r, _guardians[i], "");
    }

    function _veto(IRecoveryPolicy.Path path, address proposer) internal {
        bytes32 dataHash = keccak256(abi.encode(_data()));
        vm.prank(_author);
        _policy.veto(_secret(), dataHash, path, proposer, "");
    }

    function _retire(uint32 firstVersion) internal {
        vm.prank(_author);
        _policy.retire(_secret().ledger, _secret().recordId, _author, firstVersion, "");
    }

    function _context(
        IRecoveryPolicy.Secret memory s,
        bytes memory policyData,
        bytes32 sessionKey
    ) internal pure returns (bytes memory) {
        return abi.encode(IReleasePolicy.ReleaseContext(s.ledger, s.version, s.author, sessionKey, policyData, ""));
    }

    function _isReleased(address requester, bytes32 sessionKey) internal view returns (bool) {
        IRecoveryPolicy.Secret memory s = _secret();
        return _policy.mayRelease(s.recordId, requester, _context(s, abi.encode(_data()), sessionKey));
    }

    function _typed(bytes32 message) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tallystick"),
                keccak256("1"),
                block.chainid,
                address(_policy)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    function _openingDigest(
        bytes32 secretId,
        IRecoveryPolicy.Request memory r,
        uint64 deadline
    ) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            "RecoveryOpening(bytes32 secretId,uint8 path,address proposer,address requester,bytes32 sessionKey,"
            "uint64 number,uint64 deadline)"
        );
        return
            _typed(
                keccak256(
                    abi.encode(
                        typeHash,
                        secretId,
                        uint8(r.path),
                        r.proposer,
                        r.requester,
                        r.sessionKey,
                        r.number,
                        deadline
                    )
                )
            );
    }

    function _approvalDigest(
        bytes32 secretId,
        IRecoveryPolicy.Request memory r,
        address guardian
    ) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            "RecoveryApproval(bytes32 secretId,uint8 path,address proposer,address requester,bytes32 sessionKey,"
            "uint64 number,address guardian)"
        );
        return
            _typed(
                keccak256(
                    abi.encode(
                        typeHash,
                        secretId,
                        uint8(r.path),
                        r.proposer,
                        r.requester,
                        r.sessionKey,
                        r.number,
                        guardian
                    )
                )
            );
    }

    function _vetoDigest(
        bytes32 secretId,
        IRecoveryPolicy.Path path,
        address proposer
    ) internal view returns (bytes32) {
        bytes32 typeHash = keccak256("RecoveryVeto(bytes32 secretId,uint8 path,address proposer)");
        return _typed(keccak256(abi.encode(typeHash, secretId, uint8(path), proposer)));
    }

    function _retirementDigest(uint32 firstVersion) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            "RecoveryRetirement(address ledger,bytes32 recordId,uint32 firstVersion,address author)"
        );
        return _typed(keccak256(abi.encode(typeHash, _secret().ledger, _secret().recordId, firstVersion, _author)));
    }
}
