// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @dev Headers as a chain of today has them, and a chain that tells their hashes.
abstract contract RandomnessTestBase is TestBase {
    address internal constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    /// @dev A header with all fields of Prague.
    function _header(uint64 blockNumber, uint64 timestamp, bytes32 mixHash) internal pure returns (bytes memory) {
        bytes memory fields = bytes.concat(
            _fieldsBeforeMixHash(blockNumber, timestamp, hex"8474657374"),
            bytes1(0xa0),
            mixHash,
            hex"880000000000000000"
        );
        return _list(bytes.concat(fields, _forkFields()));
    }

    function _fieldsBeforeMixHash(
        uint64 blockNumber,
        uint64 timestamp,
        bytes memory extraData
    ) internal pure returns (bytes memory) {
        bytes memory hash = bytes.concat(bytes1(0xa0), keccak256("some hash"));
        return
            bytes.concat(
                bytes.concat(hash, hash, bytes1(0x94), bytes20(address(0xbeef)), hash, hash, hash),
                bytes.concat(hex"b90100", new bytes(256), hex"80"),
                bytes.concat(_integer(blockNumber), _integer(30_000_000), _integer(0), _integer(timestamp)),
                extraData
            );
    }

    /// @dev Base fee, withdrawals root, blob gas used, excess blob gas, beacon root, requests hash.
    function _forkFields() internal pure returns (bytes memory) {
        bytes memory hash = bytes.concat(bytes1(0xa0), keccak256("some hash"));
        return bytes.concat(_integer(7), hash, _integer(0), _integer(131_072), hash, hash);
    }

    function _list(bytes memory content) internal pure returns (bytes memory) {
        return bytes.concat(bytes1(0xf9), bytes2(uint16(content.length)), content);
    }

    function _integer(uint64 value) internal pure returns (bytes memory encoded) {
        if (value == 0) return hex"80";
        if (value < 0x80) return abi.encodePacked(uint8(value));
        for (; value > 0; value >>= 8) encoded = bytes.concat(bytes1(uint8(value)), encoded);
        return bytes.concat(bytes1(uint8(0x80 + encoded.length)), encoded);
    }

    /// @dev Has the chain answer a hash for a block, by whichever of the two ways its age needs.
    function _setHash(uint64 blockNumber, bytes32 blockHash) internal {
        if (blockNumber < block.number && block.number - blockNumber <= 256) vm.setBlockhash(blockNumber, blockHash);
        if (HISTORY.code.length == 0) vm.etch(HISTORY, hex"00");
        vm.mockCall(HISTORY, abi.encode(blockNumber), abi.encode(blockHash));
    }

    /// @dev What a source returns for a digest of what its evidence proved.
    function _expand(uint64 blockNumber, bytes32 digest) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(blockNumber, uint192(uint256(digest))));
    }
}
