// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { INodeRegistry } from "./INodeRegistry.sol";
import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Ledger of key-share records
/// @notice A record holds, for one account and one file, the sealed shares of the file's key. Its bytes are in the
/// transaction's log, from which any archive can copy them; the contract stores a digest that verifies any archived
/// copy. Any account may send the transaction, because the record is authorised by its account's EIP-712 signature.
interface IKeyLedger {
    /// @param account Who records and can recover; signs the record.
    /// @param fileTag sha256("tallystick/v1/file-tag" ‖ 0x00 ‖ digest of the data id); names the file without revealing
    /// it.
    /// @param committeeId The committee whose nodes the shares are sealed to.
    /// @param keyTime Unix seconds at which this version of the key was made. Newer versions replace older ones.
    /// @param ownershipKey Address of the secp256k1 key derived from the file key: a signature of it shows possession
    /// of the file.
    /// @param payload Self envelope, sealed shares and commitments. The contract does not read it.
    struct KeyRecord {
        address account;
        bytes32 fileTag;
        CommitteeId committeeId;
        uint64 keyTime;
        address ownershipKey;
        bytes payload;
    }

    /// @notice A record with the hash of its payload instead of the payload. Its digest equals the record's.
    struct RecordHeader {
        address account;
        bytes32 fileTag;
        CommitteeId committeeId;
        uint64 keyTime;
        address ownershipKey;
        bytes32 payloadHash;
    }

    /// @param deadline Unix seconds up to which `signature` may be used.
    /// @param signature The account's over EIP-712 `KeyRecord`: 65 bytes, or what its EIP-1271 wallet accepts.
    struct SignedRecord {
        KeyRecord record;
        uint64 deadline;
        bytes signature;
    }

    /// @notice The state of a record.
    /// @dev `keyTime` 0: there is no such record.
    /// @param shared Whether a later owner relies on this version, which can then no longer be replaced.
    struct RecordState {
        uint64 keyTime;
        bytes24 digest;
        bool shared;
    }

    /// @notice A record, or a newer version of one, was recorded. Its bytes are only in this event.
    /// @param fileTag Names the file without revealing it.
    /// @param account Whose record it is.
    /// @param committeeId Committee that the shares are sealed to.
    /// @param keyTime Unix seconds at which this version of the key was made.
    /// @param ownershipKey Address of the key derived from the file key.
    /// @param payload Self envelope, sealed shares and commitments.
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
    /// @param recordId `recordIdOf` its account and file.
    /// @param note The owner's own note.
    event OwnerAdded(bytes32 indexed fileTag, address indexed owner, bytes32 indexed recordId, bytes note);

    /// @notice The address given for the registry has no code.
    /// @param account The address given.
    error NotAContract(address account);
    /// @notice The signature has expired.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @param nowAt Time of the block, Unix seconds.
    error DeadlinePassed(uint64 deadline, uint64 nowAt);
    /// @notice The record is not newer than the current version: it is a replay, or an older version.
    /// @param recordId `recordIdOf` its account and file.
    /// @param latest Key time of the current version.
    /// @param received Received value.
    error StaleKeyTime(bytes32 recordId, uint64 latest, uint64 received);
    /// @notice The key time is further ahead of the block time than the allowed clock skew.
    /// @param latestAllowed Latest key time allowed at the current block.
    /// @param received Received value.
    error FutureKeyTime(uint64 latestAllowed, uint64 received);
    /// @notice Later owners rely on the record's current version, so its account cannot replace it.
    /// @param recordId `recordIdOf` its account and file.
    error RecordShared(bytes32 recordId);
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
    /// @notice There is no such record.
    /// @param recordId `recordIdOf` its account and file.
    error UnknownRecord(bytes32 recordId);
    /// @notice The header is not that of the record's current version.
    /// @param recordId `recordIdOf` its account and file.
    /// @param expected Digest in contract state.
    /// @param received Received value.
    error DigestMismatch(bytes32 recordId, bytes24 expected, bytes24 received);
    /// @notice The account is an owner of the record already.
    /// @param recordId `recordIdOf` its account and file.
    /// @param owner The later owner.
    error AlreadyOwner(bytes32 recordId, address owner);

    /// @notice Records the shares of one file key, or renews them while no later owner relies on them. Any account may
    /// relay.
    /// @param keyRecord The record.
    /// @param deadline Unix seconds up to which `signature` may be used.
    /// @param signature The account's over EIP-712 `KeyRecord`.
    function record(KeyRecord calldata keyRecord, uint64 deadline, bytes calldata signature) external;

    /// @notice Records 1 to 32 at once, of any accounts. All or nothing.
    /// @param signedRecords Records with deadline and signature each.
    function recordMany(SignedRecord[] calldata signedRecords) external;

    /// @notice Adds an account that has proved possession of the file as an owner of an existing record: nodes then
    /// serve the shares to it too, and the record's account can no longer replace them. Any account may relay.
    /// @param header The current version of the record.
    /// @param owner The account to add.
    /// @param note Up to 128 bytes for the owner's own use, such as the data id sealed to itself.
    /// @param deadline Unix seconds up to which `ownerSignature` may be used.
    /// @param ownershipSignature By `header.ownershipKey` over EIP-712 `Ownership{recordId, digest, owner}`: shows that
    /// the owner has the file. It holds for no other account and for no other version of the record.
    /// @param ownerSignature By `owner` over EIP-712 `AddOwner{recordId, digest, owner, noteHash, deadline}`: shows
    /// that the owner agrees to rely on this version of the record.
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

    /// @notice The id of an account's record of a file.
    /// @param account Who records.
    /// @param fileTag Names the file without revealing it.
    /// @return keccak256(abi.encode(account, fileTag))
    function recordIdOf(address account, bytes32 fileTag) external pure returns (bytes32);

    /// @notice The digest of a record in contract state.
    /// @param header A record with the hash of its payload instead of the payload.
    /// @return bytes24(keccak256(abi.encode(account, fileTag, committeeId, keyTime, ownershipKey, payloadHash)))
    function digestOf(RecordHeader calldata header) external pure returns (bytes24);

    /// @notice All zero when there is no such record.
    /// @param recordId `recordIdOf` its account and file.
    /// @return Key time, digest and whether it is shared.
    function recordState(bytes32 recordId) external view returns (RecordState memory);

    /// @notice Whether the header is that of the current version of its record. Use it to verify archived bytes.
    /// @param header A record with the hash of its payload instead of the payload.
    /// @return False also when there is no such record.
    function isCurrent(RecordHeader calldata header) external view returns (bool);

    /// @notice Whether the account was added to the record by `addOwner`. The account that made the record is an owner
    /// by construction, since the record id commits to it, and is not listed here.
    /// @param recordId `recordIdOf` its account and file.
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

    /// @notice The digest that the ownership key signs to show that the owner has the file.
    /// @param recordId `recordIdOf` its account and file.
    /// @param digest `digestOf` the version of the record that the owner has checked.
    /// @param owner The later owner.
    /// @return EIP-712 digest that the ownership key signs.
    function ownershipSignatureHash(bytes32 recordId, bytes24 digest, address owner) external view returns (bytes32);

    /// @notice The digest that the new owner signs to join.
    /// @param recordId `recordIdOf` its account and file.
    /// @param digest `digestOf` the version of the record that the owner has checked.
    /// @param owner The later owner.
    /// @param noteHash keccak256 of the note.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @return EIP-712 digest that the new owner signs.
    function addOwnerSignatureHash(
        bytes32 recordId,
        bytes24 digest,
        address owner,
        bytes32 noteHash,
        uint64 deadline
    ) external view returns (bytes32);
}
