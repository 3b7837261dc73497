// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Order in which a user asks the members of a committee
/// @notice Weighted rendezvous hashing in integers: offchain/core/assignment computes the same and says what the bias
/// is. Every member has a uniform draw; the one with the least -log2(draw) / weight comes first, which a member is with
/// a probability in proportion to its weight. A member that joins, leaves or changes its weight moves only itself.
library Rendezvous {
    /// @param operator The member.
    /// @param weight Below 2^128; 0 ranks behind all others.
    /// @param draw `drawOf`.
    /// @param surprisal `surprisalOf` of the draw.
    struct Candidate {
        address operator;
        uint256 weight;
        bytes32 draw;
        uint256 surprisal;
    }

    bytes32 private constant TAG = keccak256("tallystick/v2/assignment");
    /// @dev Bits of the mantissa, and of the fraction of a logarithm.
    uint256 private constant MANTISSA_BITS = 128;
    uint256 private constant FRACTION_BITS = 64;

    /// @notice The hash that ranks a member for a user in an epoch.
    function drawOf(CommitteeId id, uint64 epoch, address user, address operator) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG, id, epoch, user, operator));
    }

    /// @notice -log2 of the first 127 bits of a draw, read as the middle of their interval, in units of 2^-64.
    /// @return From 1 to 2^71.
    function surprisalOf(bytes32 draw) internal pure returns (uint256) {
        // The mantissa stays below 2^128, so no square overflows.
        unchecked {
            uint256 mantissa = ((uint256(draw) >> (256 - MANTISSA_BITS + 1)) << 1) | 1;
            uint256 log = MANTISSA_BITS - 1;
            while (mantissa >> (MANTISSA_BITS - 1) == 0) {
                mantissa <<= 1;
                --log;
            }
            for (uint256 bit = 0; bit < FRACTION_BITS; ++bit) {
                mantissa = (mantissa * mantissa) >> (MANTISSA_BITS - 1);
                uint256 carry = mantissa >> MANTISSA_BITS;
                mantissa >>= carry;
                log = (log << 1) | carry;
            }
            return (MANTISSA_BITS << FRACTION_BITS) - log;
        }
    }

    /// @notice The members in the order in which the user asks them.
    /// @param members Distinct operators, in any order.
    /// @param weights One for each, below 2^128.
    function order(
        CommitteeId id,
        uint64 epoch,
        address user,
        address[] memory members,
        uint256[] memory weights
    ) internal pure returns (address[] memory ranked) {
        uint256 size = members.length;
        Candidate[] memory candidates = new Candidate[](size);
        for (uint256 i = 0; i < size; ++i) {
            bytes32 draw = drawOf(id, epoch, user, members[i]);
            _insert(candidates, i, Candidate(members[i], weights[i], draw, surprisalOf(draw)));
        }
        ranked = new address[](size);
        for (uint256 i = 0; i < size; ++i) ranked[i] = candidates[i].operator;
    }

    /// @dev Insertion into the first `count` entries, which are in order.
    function _insert(Candidate[] memory candidates, uint256 count, Candidate memory candidate) private pure {
        uint256 place = count;
        while (place > 0 && _isBefore(candidate, candidates[place - 1])) {
            candidates[place] = candidates[place - 1];
            --place;
        }
        candidates[place] = candidate;
    }

    /// @dev Compares the fractions surprisal / weight, of 72 and 128 bits, without rounding; ties by the draw.
    function _isBefore(Candidate memory a, Candidate memory b) private pure returns (bool) {
        uint256 left = a.surprisal * b.weight;
        uint256 right = b.surprisal * a.weight;
        return left == right ? a.draw > b.draw : left < right;
    }
}
