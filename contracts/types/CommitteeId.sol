// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Number of a committee in `NodeRegistry`. Numbering starts at 1; 0 means "no committee".
type CommitteeId is uint64;

using { equals as ==, differs as != } for CommitteeId global;

function equals(CommitteeId a, CommitteeId b) pure returns (bool) {
    return CommitteeId.unwrap(a) == CommitteeId.unwrap(b);
}

function differs(CommitteeId a, CommitteeId b) pure returns (bool) {
    return CommitteeId.unwrap(a) != CommitteeId.unwrap(b);
}
