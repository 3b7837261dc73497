// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What user and provider sign for a state of a data set
/// @notice EIP-712, in the domain of the escrow: name "Tallystick", version "1".
library DataSetSignature {
    bytes32 private constant UPDATE_TYPEHASH = keccak256(
        "DataSetUpdate(bytes32 dataSetId,uint64 version,uint32 retirements,bytes32 rangesHash,bytes32 contentHash,"
        "uint64 deadlineBlock)"
    );

    function structHash(
        bytes32 id,
        uint256 version,
        uint256 retirements,
        bytes32 rangesHash,
        bytes32 contentHash,
        uint256 deadlineBlock
    ) internal pure returns (bytes32 hash) {
        bytes32 typehash = UPDATE_TYPEHASH;
        assembly ("memory-safe") {
            // Behind what is in use.
            let place := mload(0x40)
            mstore(place, typehash)
            mstore(add(place, 0x20), id)
            mstore(add(place, 0x40), version)
            mstore(add(place, 0x60), retirements)
            mstore(add(place, 0x80), rangesHash)
            mstore(add(place, 0xa0), contentHash)
            mstore(add(place, 0xc0), deadlineBlock)
            hash := keccak256(place, 0xe0)
        }
    }
}
