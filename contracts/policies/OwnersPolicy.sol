// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IKeyLedger } from "../interfaces/IKeyLedger.sol";
import { IOwnersPolicy } from "../interfaces/IOwnersPolicy.sol";

/// @title Release to the owners of a record
/// @notice Holds nothing but the address of the ledger. It has no data of its own and no way to change who is an owner,
/// so that no owner can bind another one: what one of them may have released, all may.
///
/// INV-1  Releases only to an account that is listed as an owner of a record with this secret id in the ledger, or that
///        made it.
/// INV-2  Releases nothing of a record that is not on the ledger, and nothing of another ledger.
/// INV-3  The answer is the same whoever sealed the secret, in whichever version, and to whichever session key.
contract OwnersPolicy is IOwnersPolicy {
    /// @dev Bytes of an ABI-encoded `RecordHeader`: six words.
    uint256 private constant HEADER_BYTES = 192;

    /// @inheritdoc IOwnersPolicy
    IKeyLedger public immutable LEDGER;

    constructor(IKeyLedger ledger) {
        if (address(ledger).code.length == 0) revert NotAContract(address(ledger));
        LEDGER = ledger;
    }

    /// @inheritdoc IOwnersPolicy
    function mayRelease(bytes32 recordId, address requester, bytes calldata context) external view returns (bool) {
        ReleaseContext memory asked = abi.decode(context, (ReleaseContext));
        if (asked.ledger != address(LEDGER) || asked.policyData.length != 0) return false;
        if (requester == address(0) || asked.evidence.length != HEADER_BYTES) return false;

        IKeyLedger.RecordHeader memory header = abi.decode(asked.evidence, (IKeyLedger.RecordHeader));
        if (_secretId(header) != recordId) return false;
        bytes32 onLedger = LEDGER.recordIdOf(header);
        if (LEDGER.recordedAt(onLedger) == 0) return false;
        return header.account == requester || LEDGER.isOwner(onLedger, requester);
    }

    /// @inheritdoc IOwnersPolicy
    function secretIdOf(IKeyLedger.RecordHeader calldata header) external pure returns (bytes32) {
        return _secretId(header);
    }

    /// @dev A record's id is a hash of its payload too, and the payload holds the sealed secret.
    function _secretId(IKeyLedger.RecordHeader memory header) private pure returns (bytes32) {
        return
            keccak256(
                abi.encode(header.account, header.fileTag, header.committeeId, header.keyTime, header.ownershipKey)
            );
    }
}
