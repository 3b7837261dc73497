// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IKeyLedger } from "./interfaces/IKeyLedger.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { AccountSignature } from "./libraries/AccountSignature.sol";

/// @title Ledger of key-share records
/// @notice Holds a time for each record, and one bit for each later owner. It never holds money. A record never
/// changes: an account that renews its key makes another one, which takes nothing from those who rely on the first.
///
/// Who may call: any account, as a relay. A record needs the signature of its account. A later owner needs two
/// signatures: one of the file's ownership key, which shows that the owner has the file, and its own. There is no
/// administrator, and nothing can be removed.
///
/// INV-1  The contract accepts and holds no ether through any of its functions.
/// INV-2  A record is on the ledger only if its account signed exactly its bytes, its committee was active then, and
///        its key time was at most MAX_CLOCK_SKEW_SECONDS ahead of the block.
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
        _record(recordId, header, keyRecord.payload, deadline, signature);
    }

    /// @inheritdoc IKeyLedger
    function recordMany(SignedRecord[] calldata signedRecords) external {
        uint256 count = signedRecords.length;
        if (count == 0 || count > MAX_BATCH) revert BatchLength(MAX_BATCH, count);
        for (uint256 i = 0; i < count; ++i) {
            SignedRecord calldata signed = signedRecords[i];
            RecordHeader memory header = _headerOf(signed.record);
            bytes32 recordId = _recordId(header);
            // Whoever relays one of the records first cannot make the batch fail.
            if (recordedAt[recordId] != 0) continue;
            _record(recordId, header, signed.record.payload, signed.deadline, signed.signature);
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
        if (!AccountSignature.isValid(owner, consent, ownerSignature)) revert InvalidSignature(owner);

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
    function _record(
        bytes32 recordId,
        RecordHeader memory header,
        bytes calldata payload,
        uint64 deadline,
        bytes calldata signature
    ) private {
        _checkDeadline(deadline);
        if (header.account == address(0)) revert ZeroAccount();
        if (header.ownershipKey == address(0)) revert ZeroOwnershipKey();
        if (payload.length == 0 || payload.length > MAX_PAYLOAD_BYTES) {
            revert PayloadLength(MAX_PAYLOAD_BYTES, payload.length);
        }
        uint64 latestAllowed = uint64(block.timestamp) + MAX_CLOCK_SKEW_SECONDS;
        if (header.keyTime > latestAllowed) revert FutureKeyTime(latestAllowed, header.keyTime);
        if (!REGISTRY.isActive(header.committeeId)) revert UnknownCommittee(header.committeeId);
        // A contract wallet is called by staticcall, so no state changes between the checks above and the write below.
        bytes32 consent = _recordSignatureHash(header, deadline);
        if (!AccountSignature.isValid(header.account, consent, signature)) revert InvalidSignature(header.account);

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

    function _checkDeadline(uint64 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, uint64(block.timestamp));
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
