// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AccountDirectory } from "../AccountDirectory.sol";
import { TestBase } from "./TestBase.sol";

/// @title What tests of the directory share
/// @notice Signatures made from the EIP-712 text alone, without asking the directory what to sign.
abstract contract AccountDirectoryBase is TestBase {
    AccountDirectory internal _directory;

    function _signSuccession(
        uint256 key,
        address account,
        address successor,
        bytes memory handover,
        uint64 deadline
    ) internal view returns (bytes memory) {
        return _signSuccessionFor(key, account, successor, handover, deadline, block.chainid, address(_directory));
    }

    function _signSuccessionFor(
        uint256 key,
        address account,
        address successor,
        bytes memory handover,
        uint64 deadline,
        uint256 chainId,
        address directory
    ) internal pure returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tallystick"),
                keccak256("1"),
                chainId,
                directory
            )
        );
        bytes32 message = keccak256(
            abi.encode(
                keccak256("Succession(address account,address successor,bytes32 handoverHash,uint64 deadline)"),
                account,
                successor,
                keccak256(handover),
                deadline
            )
        );
        return _signature(key, keccak256(abi.encodePacked(hex"1901", domain, message)));
    }

    /// @dev With both signatures.
    function _replace(address account, uint256 key, address successor, uint256 successorKey) internal {
        uint64 deadline = uint64(block.timestamp);
        _directory.replace(
            account,
            successor,
            "handover",
            deadline,
            _signSuccession(key, account, successor, "handover", deadline),
            _signSuccession(successorKey, account, successor, "handover", deadline)
        );
    }
}
