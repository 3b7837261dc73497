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
        bytes32 message = keccak256(
            abi.encode(
                keccak256("Succession(address account,address successor,bytes32 handoverHash,uint64 deadline)"),
                account,
                successor,
                keccak256(handover),
                deadline
            )
        );
        return _signed(key, message, chainId, directory);
    }

    function _signDelegation(
        uint256 signer,
        address account,
        address key,
        uint8 scopes,
        uint64 expiresAt
    ) internal view returns (bytes memory) {
        bytes32 message = keccak256(
            abi.encode(
                keccak256("Delegation(address account,address key,uint8 scopes,uint64 expiresAt,uint64 deadline)"),
                account,
                key,
                scopes,
                expiresAt,
                uint64(block.timestamp)
            )
        );
        return _signed(signer, message, block.chainid, address(_directory));
    }

    function _signRevocation(uint256 signer, address by, address key) internal view returns (bytes memory) {
        bytes32 message = keccak256(abi.encode(keccak256("DelegateRevocation(address by,address key)"), by, key));
        return _signed(signer, message, block.chainid, address(_directory));
    }

    function _signed(
        uint256 signer,
        bytes32 message,
        uint256 chainId,
        address directory
    ) private pure returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tallystick"),
                keccak256("1"),
                chainId,
                directory
            )
        );
        return _signature(signer, keccak256(abi.encodePacked(hex"1901", domain, message)));
    }

    /// @dev With both signatures, of which either may be another one's, in a block of the deadline.
    function _delegate(
        address account,
        uint256 accountKey,
        address key,
        uint256 keyKey,
        uint8 scopes,
        uint64 expiresAt
    ) internal {
        _directory.delegate(
            account,
            key,
            scopes,
            expiresAt,
            uint64(block.timestamp),
            _signDelegation(accountKey, account, key, scopes, expiresAt),
            _signDelegation(keyKey, account, key, scopes, expiresAt)
        );
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
