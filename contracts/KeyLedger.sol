// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IKeyLedger } from "./interfaces/IKeyLedger.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { AccountSignature } from "./libraries/AccountSignature.sol";
import { CommitteeId } from "./types/CommitteeId.sol";

/// @title Ledger of key records
/// @notice Holds a time for each record, and one bit for each later owner. It never holds money. A record never
/// changes: an account that renews its key makes another one, which takes nothing from those who rely on the first.
///
/// Who may call: any account, as a relay. A record needs the signature of its account. A later owner needs two
/// signatures: one of the file's ownership key, which shows that the owner has the file, and its own. There is no
/// administrator, and nothing can be removed.
///
/// INV-1  The contract accepts and holds no ether through any of its functions.
/// INV-2  A record is on the ledger only if its account signed exactly its bytes, alone or with others of its own, its
///        committee was active then, and its key time was at most MAX_CLOCK_SKEW_SECONDS ahead of the block.
/// INV-3  A record that is on the ledger stays, with the time of its block: no record of whichever account changes it.
/// INV-4  An account is a listed owner of a record only after the ownership key of that record and the account itself
///        signed for that account and for that record. Owners are never removed.
contract KeyLedger is IKeyLedger, EIP712 {
    uint64 public constant MAX_CLOCK_SKEW_SECONDS = 300;
    uint256 public constant MAX_PAYLOAD_BYTES = 16_384;
    uint256 public constant MAX_NOTE_BYTES = 128;
    uint256 public constant MAX_BATCH = 32;

    bytes32 private constant KEY_RECORD_TYPEHASH = keccak256(
        "KeyRecord(address account,bytes32 fileTag,uint64 committeeId,uint64 keyTime,address ownershipKey,"
        "bytes32 payloadHash,uint64 deadline)"
    );
    bytes32 private constant KEY_RECORDS_TYPEHASH = keccak256(
        "KeyRecords(address account,bytes32[] recordIds,uint64 deadline)"
    );
    bytes32 private constant OWNERSHIP_TYPEHASH = keccak256("Ownership(bytes32 recordId,address owner)");
    bytes32 private constant ADD_OWNER_TYPEHASH = keccak256(
        "AddOwner(bytes32 recordId,address owner,bytes32 noteHash,uint64 deadline)"
    );

    /// @inheritdoc IKeyLedger
    INodeRegistry public immutable REGISTRY;

    /// @inheritdoc IKeyLedger
    mapping(bytes32 recordId => uint256 blockTime) public recordedAt;
    /// @inheritdoc IKeyLedger
    mapping(bytes32 recordId => mapping(address account => bool)) public isOwner;

    constructor(INodeRegistry registry) EIP712("Tallystick", "1") {
        if (address(registry).code.length == 0) revert NotAContract(address(registry));
        REGISTRY = registry;
    }

    /// @inheritdoc IKeyLedger
    function record(KeyRecord calldata keyRecord, uint64 deadline, bytes calldata signature) external {
        RecordHeader memory header = _headerOf(keyRecord);
        bytes32 recordId = _recordId(header);
        if (recordedAt[recordId] != 0) revert AlreadyRecorded(recordId);
        _checkTerms(header.account, header.committeeId, header.keyTime, deadline);
        _checkContent(header.ownershipKey, keyRecord.payload);
        // A contract wallet is called by staticcall, so no state changes between the checks above and the write below.
        _checkSignature(header.account, _recordSignatureHash(header, deadline), signature);
        _write(recordId, header, keyRecord.payload);
    }

    /// @inheritdoc IKeyLedger
    function recordMany(RecordBatch calldata batch) external {
        RecordEntry[] calldata entries = batch.entries;
        if (entries.length == 0 || entries.length > MAX_BATCH) revert BatchLength(MAX_BATCH, entries.length);
        _checkTerms(batch.account, batch.committeeId, batch.keyTime, batch.deadline);

        RecordHeader memory header;
        (header.account, header.committeeId, header.keyTime) = (batch.account, batch.committeeId, batch.keyTime);
        bytes32[] memory recordIds = new bytes32[](entries.length);
        for (uint256 i = 0; i < recordIds.length; ++i) {
            _checkContent(entries[i].ownershipKey, entries[i].payload);
            _enter(header, entries[i]);
            recordIds[i] = _recordId(header);
        }
        _checkSignature(
            batch.account,
            _recordsSignatureHash(batch.account, recordIds, batch.deadline),
            batch.signature
        );
        for (uint256 i = 0; i < recordIds.length; ++i) {
            // Whoever relays one of the records first cannot make the batch fail.
            if (recordedAt[recordIds[i]] != 0) continue;
            _enter(header, entries[i]);
            _write(recordIds[i], header, entries[i].payload);
        }
    }

    /// @inheritdoc IKeyLedger
    function addOwner(
        RecordHeader calldata header,
        address owner,
        bytes calldata note,
        uint64 deadline,
        bytes calldata ownershipSignature,
        bytes calldata ownerSignature
    ) external {
        _checkDeadline(deadline);
        if (note.length > MAX_NOTE_BYTES) revert NoteLength(MAX_NOTE_BYTES, note.length);
        bytes32 recordId = _recordId(header);
        if (recordedAt[recordId] == 0) revert UnknownRecord(recordId);
        if (owner == header.account || isOwner[recordId][owner]) revert AlreadyOwner(recordId, owner);

        _checkOwnership(header.ownershipKey, recordId, owner, ownershipSignature);
        bytes32 consent = addOwnerSignatureHash(recordId, owner, keccak256(note), deadline);
        _checkSignature(owner, consent, ownerSignature);

        isOwner[recordId][owner] = true;
        emit OwnerAdded(header.fileTag, owner, recordId, note);
    }

    /// @inheritdoc IKeyLedger
    function isAccountSignature(
        address account,
        bytes32 digest,
        bytes calldata signature
    ) external view returns (bool) {
        return AccountSignature.isValid(account, digest, signature);
    }

    /// @inheritdoc IKeyLedger
    function recordIdOf(RecordHeader calldata header) external pure returns (bytes32) {
        return _recordId(header);
    }

    /// @inheritdoc IKeyLedger
    function recordSignatureHash(RecordHeader calldata header, uint64 deadline) external view returns (bytes32) {
        return _recordSignatureHash(header, deadline);
    }

    /// @inheritdoc IKeyLedger
    function recordsSignatureHash(
        address account,
        bytes32[] calldata recordIds,
        uint64 deadline
    ) external view returns (bytes32) {
        return _recordsSignatureHash(account, recordIds, deadline);
    }

    /// @inheritdoc IKeyLedger
    function ownershipSignatureHash(bytes32 recordId, address owner) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(OWNERSHIP_TYPEHASH, recordId, owner)));
    }

    /// @inheritdoc IKeyLedger
    function addOwnerSignatureHash(
        bytes32 recordId,
        address owner,
        bytes32 noteHash,
        uint64 deadline
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ADD_OWNER_TYPEHASH, recordId, owner, noteHash, deadline)));
    }

    /// @param recordId Of `header`; not on the ledger yet.
    function _write(bytes32 recordId, RecordHeader memory header, bytes calldata payload) private {
        recordedAt[recordId] = block.timestamp;
        emit KeyRecorded(
            header.fileTag,
            header.account,
            header.committeeId,
            header.keyTime,
            header.ownershipKey,
            payload
        );
    }

    function _checkTerms(address account, CommitteeId committeeId, uint64 keyTime, uint64 deadline) private view {
        _checkDeadline(deadline);
        if (account == address(0)) revert ZeroAccount();
        uint64 latestAllowed = uint64(block.timestamp) + MAX_CLOCK_SKEW_SECONDS;
        if (keyTime > latestAllowed) revert FutureKeyTime(latestAllowed, keyTime);
        if (!REGISTRY.isActive(committeeId)) revert UnknownCommittee(committeeId);
    }

    function _checkSignature(address account, bytes32 digest, bytes calldata signature) private view {
        if (!AccountSignature.isValid(account, digest, signature)) revert InvalidSignature(account);
    }

    /// @dev ECDSA only: the ownership key is derived from the file key, so its address is never a contract wallet.
    function _checkOwnership(
        address ownershipKey,
        bytes32 recordId,
        address owner,
        bytes calldata signature
    ) private view {
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(
            ownershipSignatureHash(recordId, owner),
            signature
        );
        if (failure != ECDSA.RecoverError.NoError || signer != ownershipKey) revert InvalidSignature(ownershipKey);
    }

    function _recordSignatureHash(RecordHeader memory header, uint64 deadline) private view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(KEY_RECORD_TYPEHASH, header, deadline)));
    }

    function _recordsSignatureHash(
        address account,
        bytes32[] memory recordIds,
        uint64 deadline
    ) private view returns (bytes32) {
        bytes32 ids = keccak256(abi.encodePacked(recordIds));
        return _hashTypedDataV4(keccak256(abi.encode(KEY_RECORDS_TYPEHASH, account, ids, deadline)));
    }

    function _checkDeadline(uint64 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, uint64(block.timestamp));
    }

    function _checkContent(address ownershipKey, bytes calldata payload) private pure {
        if (ownershipKey == address(0)) revert ZeroOwnershipKey();
        if (payload.length == 0 || payload.length > MAX_PAYLOAD_BYTES) {
            revert PayloadLength(MAX_PAYLOAD_BYTES, payload.length);
        }
    }

    /// @dev Fills in what differs within a batch.
    function _enter(RecordHeader memory header, RecordEntry calldata entry) private pure {
        header.fileTag = entry.fileTag;
        header.ownershipKey = entry.ownershipKey;
        header.payloadHash = keccak256(entry.payload);
    }

    function _headerOf(KeyRecord calldata keyRecord) private pure returns (RecordHeader memory) {
        return
            RecordHeader({
                account: keyRecord.account,
                fileTag: keyRecord.fileTag,
                committeeId: keyRecord.committeeId,
                keyTime: keyRecord.keyTime,
                ownershipKey: keyRecord.ownershipKey,
                payloadHash: keccak256(keyRecord.payload)
            });
    }

    function _recordId(RecordHeader memory header) private pure returns (bytes32) {
        // A struct of value types encodes as its fields in order (ABI specification, "static types").
        return keccak256(abi.encode(header));
    }
}
