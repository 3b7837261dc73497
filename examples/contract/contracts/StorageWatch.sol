// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "tallystick/contracts/interfaces/IStorageEscrow.sol";
import { AgreementId } from "tallystick/contracts/types/AgreementId.sol";

/// @title Lets other contracts depend on whether data is still stored
/// @notice An agreement counts as kept while it is active and its provider has missed no epoch.
contract StorageWatch {
    IStorageEscrow public immutable ESCROW;

    constructor(IStorageEscrow escrow) {
        ESCROW = escrow;
    }

    /// @param id number of the agreement
    /// @return kept whether the provider has kept it so far
    /// @return user whose data it is about
    function look(AgreementId id) external view returns (bool kept, address user) {
        IStorageEscrow.Agreement memory agreement = ESCROW.agreementOf(id);
        kept = agreement.status == IStorageEscrow.AgreementStatus.Active && agreement.epochsMissed == 0;
        user = agreement.user;
    }
}
