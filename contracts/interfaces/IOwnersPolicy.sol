// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAccountDirectory } from "./IAccountDirectory.sol";
import { IKeyLedger } from "./IKeyLedger.sol";
import { IReleasePolicy } from "./IReleasePolicy.sol";

/// @title Release to the owners of a record
/// @notice The policy of file records. Its data is empty. The label's record id is the secret id of a record in the key
/// ledger: a record's own id is a hash of its payload too, which holds the sealed secret.
interface IOwnersPolicy is IReleasePolicy {
    /// @notice The address given for the ledger or for the directory has no code.
    /// @param account The address given.
    error NotAContract(address account);

    /// @notice The ledger that says who owns a record.
    /// @return The ledger.
    function LEDGER() external view returns (IKeyLedger); // solhint-disable-line func-name-mixedcase

    /// @notice The directory that says which accounts were replaced, and by whom.
    /// @return The directory.
    function DIRECTORY() external view returns (IAccountDirectory); // solhint-disable-line func-name-mixedcase

    /// @inheritdoc IReleasePolicy
    /// @dev The evidence is the ABI-encoded `RecordHeader` (192 bytes) of a record with this secret id that the
    /// requester made or has joined, or the header and the address of a predecessor of the requester that made or has
    /// joined it (224 bytes). The policy's data must be empty.
    function mayRelease(
        bytes32 recordId,
        address requester,
        bytes calldata context
    ) external view override returns (bool);

    /// @notice The record id in the label of a record's secret.
    /// @param header The record.
    /// @return keccak256(abi.encode(account, fileTag, committeeId, keyTime, ownershipKey))
    function secretIdOf(IKeyLedger.RecordHeader calldata header) external pure returns (bytes32);
}
