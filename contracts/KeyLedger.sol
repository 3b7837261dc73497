// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IKeyLedger } from "./interfaces/IKeyLedger.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { AccountSignature } from "./libraries/AccountSignature.sol";

/// @title Ledger of key-share records
/// @notice Holds a time and a digest for each record, and one bit for each later owner. It never holds money.
///
/// Who may call: any account, as a relay. A record needs the signature of its account. A later owner needs two
/// signatures: one of the file's ownership key, which shows that the owner has the file, and its own. There is no
/// administrator, and nothing can be removed.
///
/// INV-1  The contract accepts and holds no ether through any of its functions.
/// INV-2  The keyTime of a record only grows, and was at most MAX_CLOCK_SKEW_SECONDS ahead of the block that set it.
/// INV-3  The state of a record is exactly the digest of the last relayed version that its account signed, and the
///        committee of that version was active at that time.
/// INV-4  An account is a listed owner of a record only after the ownership key of that record and the account itself
///        signed for that account and for the current version of the record. Owners are never removed.
/// INV-5  A record that has a later owner never changes again: its account cannot make the key unavailable to that
///        owner.
contract KeyLedger is IKeyLedger, EIP712 {
    uint64 public constant MAX_CLOCK_SKEW_SECONDS = 300;
    uint256 public constant MAX_PAYLOAD_BYTES = 16_384;
    uint256 public constant MAX_NOTE_BYTES = 128;
    uint256 public constant MAX_BATCH = 32;

    bytes32 private constant KEY_RECORD_TYPEHASH = keccak256(
        "KeyRecord(address account,bytes32 fileTag,uint64 committeeId,uint64 keyTime,address ownershipKey,"
        "bytes32 payloadHash,uint64 deadline)"
    );
    bytes32 private constant OWNERSHIP_TYPEHASH = keccak256("Ownership(bytes32 recordId,bytes24 digest,address owner)");
    bytes32 private constant ADD_OWNER_TYPEHASH = keccak256(
        "AddOwner(bytes32 recordId,bytes24 digest,address owner,bytes32 noteHash,uint64 deadline)"
    );

    /// @inheritdoc IKeyLedger
    INodeRegistry public immutable REGISTRY;

    /// @dev `RecordState` in one slot.
    struct StoredRecord {
        uint56 keyTime;
        bool shared;
        bytes24 digest;
    }

    mapping(bytes32 recordId => StoredRecord) private _records;
    /// @inheritdoc IKeyLedger
    mapping(bytes32 recordId => mapping(address account => bool)) public isOwner;

    constructor(INodeRegistry registry) EIP712("Tallystick", "1") {
        if (address(registry).code.length == 0) revert NotAContract(address(registry));
        REGISTRY = registry;
    }

    /// @inheritdoc IKeyLedger
    function record(KeyRecord calldata keyRecord, uint64 deadline, bytes calldata signature) external {
        _record(keyRecord, deadline, signature);
    }

    /// @inheritdoc IKeyLedger
    function recordMany(SignedRecord[] calldata signedRecords) external {
        uint256 count = signedRecords.length;
        if (count == 0 || count > MAX_BATCH) revert BatchLength(MAX_BATCH, count);
        for (uint256 i = 0; i < count; ++i) {
            SignedRecord calldata signed = signedRecords[i];
            _record(signed.record, signed.deadline, signed.signature);
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
        bytes32 recordId = _recordId(header.account, header.fileTag);
        StoredRecord memory state = _records[recordId];
        if (state.keyTime == 0) revert UnknownRecord(recordId);
        bytes24 digest = _digest(header);
        if (digest != state.digest) revert DigestMismatch(recordId, state.digest, digest);
        if (owner == header.account || isOwner[recordId][owner]) revert AlreadyOwner(recordId, owner);

        // Both signatures name the digest, so that the record's account cannot publish another version under them.
        _checkOwnership(header.ownershipKey, recordId, digest, owner, ownershipSignature);
        bytes32 consent = addOwnerSignatureHash(recordId, digest, owner, keccak256(note), deadline);
        if (!AccountSignature.isValid(owner, consent, ownerSignature)) revert InvalidSignature(owner);

        isOwner[recordId][owner] = true;
        if (!state.shared) _records[recordId].shared = true;
        emit OwnerAdded(header.fileTag, owner, recordId, note);
    }

    /// @inheritdoc IKeyLedger
    function recordState(bytes32 recordId) external view returns (RecordState memory) {
        StoredRecord memory state = _records[recordId];
        return RecordState({ keyTime: state.keyTime, digest: state.digest, shared: state.shared });
    }

    /// @inheritdoc IKeyLedger
    function isCurrent(RecordHeader calldata header) external view returns (bool) {
        StoredRecord memory state = _records[_recordId(header.account, header.fileTag)];
        return state.keyTime != 0 && state.digest == _digest(header);
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
    function recordIdOf(address account, bytes32 fileTag) external pure returns (bytes32) {
        return _recordId(account, fileTag);
    }

    /// @inheritdoc IKeyLedger
    function digestOf(RecordHeader calldata header) external pure returns (bytes24) {
        return _digest(header);
    }

    /// @inheritdoc IKeyLedger
    function recordSignatureHash(RecordHeader calldata header, uint64 deadline) external view returns (bytes32) {
        return _recordSignatureHash(header, deadline);
    }

    /// @inheritdoc IKeyLedger
    function ownershipSignatureHash(bytes32 recordId, bytes24 digest, address owner) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(OWNERSHIP_TYPEHASH, recordId, digest, owner)));
    }

    /// @inheritdoc IKeyLedger
    function addOwnerSignatureHash(
        bytes32 recordId,
        bytes24 digest,
        address owner,
        bytes32 noteHash,
        uint64 deadline
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ADD_OWNER_TYPEHASH, recordId, digest, owner, noteHash, deadline)));
    }

    function _record(KeyRecord calldata keyRecord, uint64 deadline, bytes calldata signature) private {
        _checkDeadline(deadline);
        if (keyRecord.account == address(0)) revert ZeroAccount();
        if (keyRecord.ownershipKey == address(0)) revert ZeroOwnershipKey();
        uint256 length = keyRecord.payload.length;
        if (length == 0 || length > MAX_PAYLOAD_BYTES) revert PayloadLength(MAX_PAYLOAD_BYTES, length);

        uint64 latestAllowed = uint64(block.timestamp) + MAX_CLOCK_SKEW_SECONDS;
        if (keyRecord.keyTime > latestAllowed) revert FutureKeyTime(latestAllowed, keyRecord.keyTime);
        bytes32 recordId = _recordId(keyRecord.account, keyRecord.fileTag);
        // One read of the slot; 0 for a new record, so a first keyTime of 0 is refused as well.
        StoredRecord memory state = _records[recordId];
        if (keyRecord.keyTime <= state.keyTime) revert StaleKeyTime(recordId, state.keyTime, keyRecord.keyTime);
        if (state.shared) revert RecordShared(recordId);
        if (!REGISTRY.isActive(keyRecord.committeeId)) revert UnknownCommittee(keyRecord.committeeId);

        RecordHeader memory header = RecordHeader({
            account: keyRecord.account,
            fileTag: keyRecord.fileTag,
            committeeId: keyRecord.committeeId,
            keyTime: keyRecord.keyTime,
            ownershipKey: keyRecord.ownershipKey,
            payloadHash: keccak256(keyRecord.payload)
        });
        // A contract wallet is called by staticcall, so no state changes between the checks above and the write below.
        bytes32 consent = _recordSignatureHash(header, deadline);
        if (!AccountSignature.isValid(header.account, consent, signature)) revert InvalidSignature(header.account);

        // Fits: keyTime is at most the block time plus MAX_CLOCK_SKEW_SECONDS, far below 2^56.
        _records[recordId] = StoredRecord({ keyTime: uint56(header.keyTime), shared: false, digest: _digest(header) });
        emit KeyRecorded(
            keyRecord.fileTag,
            keyRecord.account,
            keyRecord.committeeId,
            keyRecord.keyTime,
            keyRecord.ownershipKey,
            keyRecord.payload
        );
    }

    /// @dev ECDSA only: the ownership key is derived from the file key, so its address is never a contract wallet.
    function _checkOwnership(
        address ownershipKey,
        bytes32 recordId,
        bytes24 digest,
        address owner,
        bytes calldata signature
    ) private view {
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(
            ownershipSignatureHash(recordId, digest, owner),
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

    function _recordId(address account, bytes32 fileTag) private pure returns (bytes32) {
        return keccak256(abi.encode(account, fileTag));
    }

    function _digest(RecordHeader memory header) private pure returns (bytes24) {
        // A struct of value types encodes as its fields in order (ABI specification, "static types").
        return bytes24(keccak256(abi.encode(header)));
    }
}
