// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "tallystick/contracts/interfaces/IStorageEscrow.sol";

/// @title Lets other contracts depend on whether data is still stored
/// @notice A data set counts as kept while it runs, no notice given to it has passed, and no miss was reported. What
/// nobody has told the escrow yet does not show: an epoch whose miss is not reported, or a balance that is used up.
contract StorageWatch {
    IStorageEscrow public immutable ESCROW;

    constructor(IStorageEscrow escrow) {
        ESCROW = escrow;
    }

    /// @param id of the data set
    /// @return kept whether the provider has kept it so far
    /// @return proven epochs in which it has proven possession
    function look(bytes32 id) external view returns (bool kept, uint256 proven) {
        IStorageEscrow.Books memory books = ESCROW.booksOf(id);
        bool hasEnded = books.noticedEnd != 0 && ESCROW.currentEpoch() > books.noticedEnd;
        kept = books.status == IStorageEscrow.Status.Running && books.missed == 0 && !hasEnded;
        proven = books.proven;
    }
}
