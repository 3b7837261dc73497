// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IKeyLedger } from "./IKeyLedger.sol";
import { IReleasePolicy } from "./IReleasePolicy.sol";

/// @title Release to the owners of a record
/// @notice The policy of file records. Its data is empty. The label's record id is that of a record in the key ledger.
interface IOwnersPolicy is IReleasePolicy {
    /// @notice The address given for the ledger has no code.
    /// @param account The address given.
    error NotAContract(address account);

    /// @notice The ledger that says who owns a record.
    /// @return The ledger.
    function LEDGER() external view returns (IKeyLedger); // solhint-disable-line func-name-mixedcase

    /// @inheritdoc IReleasePolicy
    /// @dev The evidence is empty for a listed owner, and the ABI-encoded `RecordHeader` (192 bytes) for the account
    /// that made the record. The policy's data must be empty.
    function mayRelease(
        bytes32 recordId,
        address requester,
        bytes calldata context
    ) external view override returns (bool);
}
