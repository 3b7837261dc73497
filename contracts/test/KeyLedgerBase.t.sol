// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { KeyLedger } from "../KeyLedger.sol";
import { NodeRegistry } from "../NodeRegistry.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";
import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @title What tests of the key ledger share
/// @notice A registry with an active committee (1) and a forming one (2), and signatures made from the EIP-712 text
/// alone, without asking the ledger what to sign.
abstract contract KeyLedgerBase is TestBase {
    CommitteeId internal constant ACTIVE = CommitteeId.wrap(1);
    CommitteeId internal constant FORMING = CommitteeId.wrap(2);

    NodeRegistry internal _registry;
    KeyLedger internal _ledger;

    function _deployLedger() internal {
        vm.warp(1_800_000_000);
        _registry = new NodeRegistry(1, 0);
        (address node, ) = _account("node");
        vm.deal(node, 1);
        vm.startPrank(node);
        _registry.registerNode{ value: 1 }("http://node", bytes32("hpke"));
        address[] memory members = new address[](1);
        members[0] = node;
        _registry.createCommittee(members, 1);
        _registry.createCommittee(members, 1);
        bytes32[] memory shares = new bytes32[](1);
        shares[0] = bytes32("share");
        _registry.attestGeneration(
            ACTIVE,
            1,
            INodeRegistry.KeyMaterial(bytes32("group"), bytes32("record"), shares, shares)
        );
        vm.stopPrank();
        _ledger = new KeyLedger(_registry);
    }

    function _header(IKeyLedger.KeyRecord memory r) internal pure returns (IKeyLedger.RecordHeader memory) {
        return
            IKeyLedger.RecordHeader(
                r.account,
                r.fileTag,
                r.committeeId,
                r.keyTime,
                r.ownershipKey,
                keccak256(r.payload)
            );
    }

    /// @dev Written out field by field, so that it does not rest on how structs are encoded.
    function _recordId(IKeyLedger.KeyRecord memory r) internal pure returns (bytes32) {
        return
            keccak256(abi.encode(r.account, r.fileTag, r.committeeId, r.keyTime, r.ownershipKey, keccak256(r.payload)));
    }

    function _domain(uint256 chainId, address verifier) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                    keccak256("Tallystick"),
                    keccak256("1"),
                    chainId,
                    verifier
                )
            );
    }

    function _typed(bytes32 domain, bytes32 message) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    function _recordMessage(IKeyLedger.KeyRecord memory r, uint64 deadline) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    keccak256(
                        "KeyRecord(address account,bytes32 fileTag,uint64 committeeId,uint64 keyTime,"
                        "address ownershipKey,bytes32 payloadHash,uint64 deadline)"
                    ),
                    r.account,
                    r.fileTag,
                    r.committeeId,
                    r.keyTime,
                    r.ownershipKey,
                    keccak256(r.payload),
                    deadline
                )
            );
    }

    function _signRecord(
        uint256 key,
        IKeyLedger.KeyRecord memory r,
        uint64 deadline
    ) internal view returns (bytes memory) {
        return _signature(key, _typed(_domain(block.chainid, address(_ledger)), _recordMessage(r, deadline)));
    }

    function _recordOf(
        IKeyLedger.RecordBatch memory batch,
        uint256 i
    ) internal pure returns (IKeyLedger.KeyRecord memory) {
        IKeyLedger.RecordEntry memory entry = batch.entries[i];
        return
            IKeyLedger.KeyRecord(
                batch.account,
                entry.fileTag,
                batch.committeeId,
                batch.keyTime,
                entry.ownershipKey,
                entry.payload
            );
    }

    function _idsOf(IKeyLedger.RecordBatch memory batch) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](batch.entries.length);
        for (uint256 i = 0; i < ids.length; ++i) ids[i] = _recordId(_recordOf(batch, i));
    }

    function _batchMessage(IKeyLedger.RecordBatch memory batch) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    keccak256("KeyRecords(address account,bytes32[] recordIds,uint64 deadline)"),
                    batch.account,
                    keccak256(abi.encodePacked(_idsOf(batch))),
                    batch.deadline
                )
            );
    }

    function _signBatch(uint256 key, IKeyLedger.RecordBatch memory batch) internal view returns (bytes memory) {
        return _signature(key, _typed(_domain(block.chainid, address(_ledger)), _batchMessage(batch)));
    }

    /// @param signedFor The record that the message names; another one only in tests of refusals.
    function _signOwnership(
        uint256 key,
        IKeyLedger.KeyRecord memory signedFor,
        address owner
    ) internal view returns (bytes memory) {
        return _signOwnership(key, _recordId(signedFor), owner);
    }

    function _signOwnership(uint256 key, bytes32 recordId, address owner) internal view returns (bytes memory) {
        bytes32 message = keccak256(
            abi.encode(keccak256("Ownership(bytes32 recordId,address owner)"), recordId, owner)
        );
        return _signature(key, _typed(_domain(block.chainid, address(_ledger)), message));
    }

    function _signAddOwner(
        uint256 key,
        IKeyLedger.KeyRecord memory signedFor,
        address owner,
        bytes memory note,
        uint64 deadline
    ) internal view returns (bytes memory) {
        bytes32 message = keccak256(
            abi.encode(
                keccak256("AddOwner(bytes32 recordId,address owner,bytes32 noteHash,uint64 deadline)"),
                _recordId(signedFor),
                owner,
                keccak256(note),
                deadline
            )
        );
        return _signature(key, _typed(_domain(block.chainid, address(_ledger)), message));
    }
}
