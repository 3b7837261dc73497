// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title SHA-512
/// @notice SHA-512 of FIPS 180-4 (§6.4), for which the EVM has no precompile. The suite ristretto255-SHA512 of RFC 9497
/// hashes with it. One block of 128 bytes takes about 43,000 gas (`npm run bench:gas`).
library Sha512 {
    /// @dev The 80 words of §4.2.3, four in each 32 bytes.
    bytes private constant ROUND_WORDS =
        hex"428a2f98d728ae227137449123ef65cdb5c0fbcfec4d3b2fe9b5dba58189dbbc"
        hex"3956c25bf348b53859f111f1b605d019923f82a4af194f9bab1c5ed5da6d8118"
        hex"d807aa98a303024212835b0145706fbe243185be4ee4b28c550c7dc3d5ffb4e2"
        hex"72be5d74f27b896f80deb1fe3b1696b19bdc06a725c71235c19bf174cf692694"
        hex"e49b69c19ef14ad2efbe4786384f25e30fc19dc68b8cd5b5240ca1cc77ac9c65"
        hex"2de92c6f592b02754a7484aa6ea6e4835cb0a9dcbd41fbd476f988da831153b5"
        hex"983e5152ee66dfaba831c66d2db43210b00327c898fb213fbf597fc7beef0ee4"
        hex"c6e00bf33da88fc2d5a79147930aa72506ca6351e003826f142929670a0e6e70"
        hex"27b70a8546d22ffc2e1b21385c26c9264d2c6dfc5ac42aed53380d139d95b3df"
        hex"650a73548baf63de766a0abb3c77b2a881c2c92e47edaee692722c851482353b"
        hex"a2bfe8a14cf10364a81a664bbc423001c24b8b70d0f89791c76c51a30654be30"
        hex"d192e819d6ef5218d69906245565a910f40e35855771202a106aa07032bbd1b8"
        hex"19a4c116b8d2d0c81e376c085141ab532748774cdf8eeb9934b0bcb5e19b48a8"
        hex"391c0cb3c5c95a634ed8aa4ae3418acb5b9cca4f7763e373682e6ff3d6b2b8a3"
        hex"748f82ee5defb2fc78a5636f43172f6084c87814a1f0ab728cc702081a6439ec"
        hex"90befffa23631e28a4506cebde82bde9bef9a3f7b2c67915c67178f2e372532b"
        hex"ca273eceea26619cd186b8c721c0c207eada7dd6cde0eb1ef57d4f7fee6ed178"
        hex"06f067aa72176fba0a637dc5a2c898a6113f9804bef90dae1b710b35131c471b"
        hex"28db77f523047d8432caab7b40c724933c9ebe0a15c9bebc431d67c49c100d4c"
        hex"4cc5d4becb3e42b6597f299cfc657e2a5fcb6fab3ad6faec6c44198c4a475817";
    /// @dev H(0) of §5.3.5, four words in each 32 bytes.
    uint256 private constant INITIAL_HIGH = 0x6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1;
    uint256 private constant INITIAL_LOW = 0x510e527fade682d19b05688c2b3e6c1f1f83d9abfb41bd6b5be0cd19137e2179;

    uint256 private constant BLOCK_BYTES = 128;
    /// @dev One bit, and the length on 16 bytes, follow the message (§5.1.2).
    uint256 private constant PADDING_BYTES = 17;

    /// @notice The digest of a message.
    /// @return high its first 32 bytes
    /// @return low its last 32 bytes
    function hash(bytes memory message) internal pure returns (bytes32 high, bytes32 low) {
        bytes memory padded = _pad(message);
        bytes memory roundWords = ROUND_WORDS;
        uint256 schedule;
        assembly ("memory-safe") {
            // The 80 words of the message schedule of a block, one in each 32 bytes.
            schedule := mload(0x40)
            mstore(0x40, add(schedule, 2560))
        }
        (uint256 stateHigh, uint256 stateLow) = (INITIAL_HIGH, INITIAL_LOW);
        for (uint256 offset = 0; offset < padded.length; offset += BLOCK_BYTES) {
            _expand(padded, offset, schedule);
            (uint256 addedHigh, uint256 addedLow) = _rounds(roundWords, schedule, stateHigh, stateLow);
            (stateHigh, stateLow) = (_addLanes(stateHigh, addedHigh), _addLanes(stateLow, addedLow));
        }
        return (bytes32(stateHigh), bytes32(stateLow));
    }

    function _pad(bytes memory message) private pure returns (bytes memory) {
        uint256 unpadded = message.length + PADDING_BYTES;
        uint256 zeros = (BLOCK_BYTES - (unpadded % BLOCK_BYTES)) % BLOCK_BYTES;
        return bytes.concat(message, hex"80", new bytes(zeros), bytes16(uint128(message.length * 8)));
    }

    /// @dev The message schedule (§6.4.2, step 1). `x·(2^64 + 1)` holds the word x twice, so that a shift rotates it;
    /// what is above 64 bits is cut off at the end.
    function _expand(bytes memory padded, uint256 offset, uint256 schedule) private pure {
        assembly ("memory-safe") {
            let source := add(add(padded, 0x20), offset)
            for {
                let t := 0
            } lt(t, 16) {
                t := add(t, 1)
            } {
                mstore(add(schedule, shl(5, t)), shr(192, mload(add(source, shl(3, t)))))
            }
            let end := add(schedule, 2560)
            for {
                let place := add(schedule, 512)
            } lt(place, end) {
                place := add(place, 32)
            } {
                let x := mload(sub(place, 480))
                let twice := mul(x, 0x10000000000000001)
                // σ0 = ROTR1 ⊕ ROTR8 ⊕ SHR7
                let sum := xor(xor(shr(1, twice), shr(8, twice)), shr(7, x))
                x := mload(sub(place, 64))
                twice := mul(x, 0x10000000000000001)
                // σ1 = ROTR19 ⊕ ROTR61 ⊕ SHR6
                sum := add(sum, xor(xor(shr(19, twice), shr(61, twice)), shr(6, x)))
                sum := add(sum, add(mload(sub(place, 224)), mload(sub(place, 512))))
                mstore(place, and(sum, 0xffffffffffffffff))
            }
        }
    }

    /// @dev The 80 rounds (§6.4.2, steps 2 and 3) on a state of four words in each argument. Arguments and results are
    /// variables of the rounds as well, which the older code generator has too few of otherwise.
    /// @param d a ‖ b ‖ c ‖ d
    /// @param h e ‖ f ‖ g ‖ h
    /// @return a a ‖ b ‖ c ‖ d
    /// @return e e ‖ f ‖ g ‖ h
    function _rounds(
        bytes memory roundWords,
        uint256 schedule,
        uint256 d,
        uint256 h
    ) private pure returns (uint256 a, uint256 e) {
        assembly ("memory-safe") {
            a := shr(192, d)
            let b := and(shr(128, d), 0xffffffffffffffff)
            let c := and(shr(64, d), 0xffffffffffffffff)
            d := and(d, 0xffffffffffffffff)
            e := shr(192, h)
            let f := and(shr(128, h), 0xffffffffffffffff)
            let g := and(shr(64, h), 0xffffffffffffffff)
            h := and(h, 0xffffffffffffffff)
            for {
                let t := 0
            } lt(t, 80) {
                t := add(t, 1)
            } {
                let twice := mul(e, 0x10000000000000001)
                // T1 = h + Σ1(e) + Ch(e, f, g) + K_t + W_t, with Σ1 = ROTR14 ⊕ ROTR18 ⊕ ROTR41
                h := add(h, xor(xor(shr(14, twice), shr(18, twice)), shr(41, twice)))
                h := add(h, xor(g, and(e, xor(f, g))))
                h := add(h, shr(192, mload(add(add(roundWords, 0x20), shl(3, t)))))
                h := add(h, mload(add(schedule, shl(5, t))))
                // T2 = Σ0(a) + Maj(a, b, c), with Σ0 = ROTR28 ⊕ ROTR34 ⊕ ROTR39
                twice := mul(a, 0x10000000000000001)
                twice := xor(xor(shr(28, twice), shr(34, twice)), shr(39, twice))
                twice := add(twice, or(and(a, b), and(c, or(a, b))))
                // e = d + T1, a = T1 + T2
                d := and(add(d, h), 0xffffffffffffffff)
                twice := and(add(h, twice), 0xffffffffffffffff)
                h := g
                g := f
                f := e
                e := d
                d := c
                c := b
                b := a
                a := twice
            }
            a := or(or(shl(192, a), shl(128, b)), or(shl(64, c), d))
            e := or(or(shl(192, e), shl(128, f)), or(shl(64, g), h))
        }
    }

    /// @dev Adds four words to four words, each modulo 2^64.
    function _addLanes(uint256 x, uint256 y) private pure returns (uint256 sum) {
        assembly ("memory-safe") {
            // Lanes two apart do not carry into each other when the ones between are zero.
            let mask := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
            let even := and(add(and(x, mask), and(y, mask)), mask)
            let odd := and(add(and(shr(64, x), mask), and(shr(64, y), mask)), mask)
            sum := or(even, shl(64, odd))
        }
    }
}
