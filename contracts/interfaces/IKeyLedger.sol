// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { INodeRegistry } from "./INodeRegistry.sol";
import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Ledger of key records
/// @notice A record holds, for one account and one file, the file's key, sealed to a committee. Its bytes are in the
/// transaction's log, from which any archive can copy them; its id is a hash of them, so that the contract's state
/// verifies any archived copy. A record never changes. An account may make several of one file, for example to renew
/// it; each stays, and so do its owners. Any account may send the transaction, because the record is authorised by its
/// account's EIP-712 signature.
interface IKeyLedger {
    /// @param account Who records and can recover; signs the record.
    /// @param fileTag sha256("tallystick/v1/file-tag" ‖ 0x00 ‖ digest of the data id); names the file without revealing
    /// it.
    /// @param committeeId The committee that the key is sealed to, or whose members its shares are sealed to.
    /// @param keyTime Unix seconds at which the record was made.
    /// @param ownershipKey Address of the secp256k1 key derived from the file key: a signature of it shows possession
    /// of the file.
    /// @param payload Self envelope, and the sealed key or its sealed shares. The contract does not read it.
    struct KeyRecord {
        address account;
        bytes32 fileTag;
        CommitteeId committeeId;
        uint64 keyTime;
        address ownershipKey;
        bytes payload;
    }

    /// @notice A record with the hash of its payload instead of the payload.
    struct RecordHeader {
        address account;
        bytes32 fileTag;
        CommitteeId committeeId;
        uint64 keyTime;
        address ownershipKey;
        bytes32 payloadHash;
    }

    /// @notice What differs between the records of a batch.
    struct RecordEntry {
        bytes32 fileTag;
        address ownershipKey;
        bytes payload;
    }

    /// @notice Records of one account that are made at the same time.
    /// @param deadline Unix seconds up to which `signature` may be used.
    /// @param signature The account's over EIP-712 `KeyRecords`, which names the ids of all records in order: 65 bytes,
    /// or what its EIP-1271 wallet accepts.
    struct RecordBatch {
        address account;
        CommitteeId committeeId;
        uint64 keyTime;
        uint64 deadline;
        RecordEntry[] entries;
        bytes signature;
    }

    /// @notice A record was made. Its bytes are only in this event.
    /// @param fileTag Names the file without revealing it.
    /// @param account Whose record it is.
    /// @param committeeId Committee that the key, or its shares, are sealed to.
    /// @param keyTime Unix seconds at which the record was made.
    /// @param ownershipKey Address of the key derived from the file key.
    /// @param payload Self envelope, and the sealed key or its sealed shares.
    event KeyRecorded(
        bytes32 indexed fileTag,
        address indexed account,
        CommitteeId committeeId,
        uint64 keyTime,
        address ownershipKey,
        bytes payload
    );
    /// @notice A later owner has joined a record.
    /// @param fileTag Names the file without revealing it.
    /// @param owner The later owner.
    /// @param recordId `recordIdOf` its header.
    /// @param note The owner's own note.
    event OwnerAdded(bytes32 indexed fileTag, address indexed owner, bytes32 indexed recordId, bytes note);

    /// @notice The address given for the registry has no code.
    /// @param account The address given.
    error NotAContract(address account);
    /// @notice The signature has expired.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @param nowAt Time of the block, Unix seconds.
    error DeadlinePassed(uint64 deadline, uint64 nowAt);
    /// @notice The record is on the ledger already.
    /// @param recordId `recordIdOf` its header.
    error AlreadyRecorded(bytes32 recordId);
    /// @notice The key time is further ahead of the block time than the allowed clock skew.
    /// @param latestAllowed Latest key time allowed at the current block.
    /// @param received Received value.
    error FutureKeyTime(uint64 latestAllowed, uint64 received);
    /// @notice No committee of this number is active.
    /// @param id Number of the committee.
    error UnknownCommittee(CommitteeId id);
    /// @notice The signature is not the signer's over exactly these values.
    /// @param signer Who should have signed.
    error InvalidSignature(address signer);
    /// @notice The payload is empty or too long.
    /// @param maximumBytes Most bytes allowed.
    /// @param receivedBytes Bytes given.
    error PayloadLength(uint256 maximumBytes, uint256 receivedBytes);
    /// @notice The note is too long.
    /// @param maximumBytes Most bytes allowed.
    /// @param receivedBytes Bytes given.
    error NoteLength(uint256 maximumBytes, uint256 receivedBytes);
    /// @notice The batch is empty or too long.
    /// @param maximum Most records in one call.
    /// @param received Received value.
    error BatchLength(uint256 maximum, uint256 received);
    /// @notice A record of the zero address, which can sign nothing.
    error ZeroAccount();
    /// @notice The ownership key is the zero address, which can sign nothing.
    error ZeroOwnershipKey();
    /// @notice There is no record with exactly these bytes.
    /// @param recordId `recordIdOf` the header.
    error UnknownRecord(bytes32 recordId);
    /// @notice The account is an owner of the record already.
    /// @param recordId `recordIdOf` its header.
    /// @param owner The later owner.
    error AlreadyOwner(bytes32 recordId, address owner);

    /// @notice Records one file key. Any account may relay.
    /// @param keyRecord The record.
    /// @param deadline Unix seconds up to which `signature` may be used.
    /// @param signature The account's over EIP-712 `KeyRecord`.
    function record(KeyRecord calldata keyRecord, uint64 deadline, bytes calldata signature) external;

    /// @notice Records 1 to 32 keys of one account at once. All or nothing; those that are on the ledger already are
    /// left out. Any account may relay.
    /// @param batch The records, with one signature for all of them.
    function recordMany(RecordBatch calldata batch) external;

    /// @notice Adds an account that has proved possession of the file as an owner of an existing record: nodes then
    /// release the key to it too. Any account may relay.
    /// @param header The record.
    /// @param owner The account to add.
    /// @param note Up to 128 bytes for the owner's own use, such as the data id sealed to itself.
    /// @param deadline Unix seconds up to which `ownerSignature` may be used.
    /// @param ownershipSignature By `header.ownershipKey` over EIP-712 `Ownership{recordId, owner}`: shows that the
    /// owner has the file. It holds for no other account and for no other record.
    /// @param ownerSignature By `owner` over EIP-712 `AddOwner{recordId, owner, noteHash, deadline}`: shows that the
    /// owner agrees to rely on this record.
    function addOwner(
        RecordHeader calldata header,
        address owner,
        bytes calldata note,
        uint64 deadline,
        bytes calldata ownershipSignature,
        bytes calldata ownerSignature
    ) external;

    /// @notice The registry that says which committees are active.
    /// @return The registry.
    function REGISTRY() external view returns (INodeRegistry); // solhint-disable-line func-name-mixedcase

    /// @notice The id of a record.
    /// @param header The record with the hash of its payload instead of the payload.
    /// @return keccak256(abi.encode(account, fileTag, committeeId, keyTime, ownershipKey, payloadHash))
    function recordIdOf(RecordHeader calldata header) external pure returns (bytes32);

    /// @notice When a record was made. Use it to verify archived bytes.
    /// @param recordId `recordIdOf` its header.
    /// @return blockTime Unix seconds of the block; 0 when there is no such record.
    function recordedAt(bytes32 recordId) external view returns (uint256 blockTime);

    /// @notice Whether the account was added to the record by `addOwner`. The account that made the record is an owner
    /// by construction, since the record id commits to it, and is not listed here.
    /// @param recordId `recordIdOf` its header.
    /// @param account The account.
    /// @return True after `addOwner`.
    function isOwner(bytes32 recordId, address account) external view returns (bool);

    /// @notice Whether the account signed the digest, by the rule that this contract applies to signatures of accounts.
    /// Off-chain code calls it to apply the same rule. ECDSA first (65 bytes, low s, v 27 or 28); if that does not
    /// recover to the account and the account has code, EIP-1271 with 500,000 gas.
    /// @param account The account that should have signed.
    /// @param digest What it should have signed.
    /// @param signature The signature.
    /// @return False also when the account's code reverts or runs out of gas.
    function isAccountSignature(address account, bytes32 digest, bytes calldata signature) external view returns (bool);

    /// @notice The digest that the account signs to make a record.
    /// @param header A record with the hash of its payload instead of the payload.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @return EIP-712 digest that the account signs.
    function recordSignatureHash(RecordHeader calldata header, uint64 deadline) external view returns (bytes32);

    /// @notice The digest that the account signs to make several records.
    /// @param account Whose records they are.
    /// @param recordIds `recordIdOf` each, in the order of the batch.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @return EIP-712 digest that the account signs.
    function recordsSignatureHash(
        address account,
        bytes32[] calldata recordIds,
        uint64 deadline
    ) external view returns (bytes32);

    /// @notice The digest that the ownership key signs to show that the owner has the file.
    /// @param recordId `recordIdOf` the record that the owner has checked.
    /// @param owner The later owner.
    /// @return EIP-712 digest that the ownership key signs.
    function ownershipSignatureHash(bytes32 recordId, address owner) external view returns (bytes32);

    /// @notice The digest that the new owner signs to join.
    /// @param recordId `recordIdOf` the record that the owner has checked.
    /// @param owner The later owner.
    /// @param noteHash keccak256 of the note.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @return EIP-712 digest that the new owner signs.
    function addOwnerSignatureHash(
        bytes32 recordId,
        address owner,
        bytes32 noteHash,
        uint64 deadline
    ) external view returns (bytes32);
}
