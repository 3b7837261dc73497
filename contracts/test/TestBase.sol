// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { vm } from "./Vm.sol";

/// @title Base of all Solidity tests
/// @notice Holds the addresses that an invariant test wants called (the runner asks for them by the functions below)
/// and helpers that every test needs. Cheatcodes are the file-level `vm` of Vm.sol.
abstract contract TestBase {
    /// @dev Layout that the runner reads: a contract and the functions of it that random sequences may call.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev Marks the contract as a test for the runner.
    bool public constant IS_TEST = true;

    address[] private _targetedContracts;
    address[] private _excludedContracts;
    address[] private _targetedSenders;
    address[] private _excludedSenders;
    FuzzSelector[] private _targetedSelectors;

    /// @notice Contracts that random call sequences call. With none, the runner picks every deployed contract.
    function targetContracts() external view returns (address[] memory) {
        return _targetedContracts;
    }

    /// @notice Functions of the targets that may be called. With none for a target, all of them.
    function targetSelectors() external view returns (FuzzSelector[] memory) {
        return _targetedSelectors;
    }

    /// @notice Contracts that are never called directly by random sequences.
    function excludeContracts() external view returns (address[] memory) {
        return _excludedContracts;
    }

    /// @notice Accounts that random sequences are sent from. With none, any account.
    function targetSenders() external view returns (address[] memory) {
        return _targetedSenders;
    }

    /// @notice Accounts that random sequences are never sent from.
    function excludeSenders() external view returns (address[] memory) {
        return _excludedSenders;
    }

    function _targetContract(address target) internal {
        _targetedContracts.push(target);
    }

    function _targetSelectors(address target, bytes4[] memory selectors) internal {
        _targetedContracts.push(target);
        _targetedSelectors.push(FuzzSelector({ addr: target, selectors: selectors }));
    }

    function _excludeContract(address excluded) internal {
        _excludedContracts.push(excluded);
    }

    function _targetSender(address sender) internal {
        _targetedSenders.push(sender);
    }

    function _excludeSender(address sender) internal {
        _excludedSenders.push(sender);
    }

    /// @dev Maps a fuzzed value into [min, max]. Values near the ends of the type map to the ends of the range, because
    /// the runner's dictionary contains many of them.
    function _bound(uint256 value, uint256 min, uint256 max) internal pure returns (uint256) {
        require(min <= max, "TestBase: empty range");
        if (value >= min && value <= max) return value;
        uint256 size = max - min;
        if (size == type(uint256).max) return value;
        ++size;
        if (value <= 3 && size > value) return min + value;
        if (value >= type(uint256).max - 3 && size > type(uint256).max - value)
            return max - (type(uint256).max - value);
        return min + (value % size);
    }

    /// @dev A labelled account without code, derived from its name, and its private key.
    function _account(string memory name) internal returns (address account, uint256 privateKey) {
        // Private keys must be below the order of secp256k1; a shift by one bit makes any hash small enough.
        privateKey = uint256(keccak256(bytes(name))) >> 1;
        account = vm.addr(privateKey);
        vm.label(account, name);
    }

    /// @dev A 65-byte r ‖ s ‖ v signature over a digest.
    function _signature(uint256 privateKey, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(privateKey, digest);
        return abi.encodePacked(r, s, v);
    }
}
