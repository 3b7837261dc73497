// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The group ristretto255
/// @notice RFC 9496: canonical decoding and encoding, and sums of multiples of elements. Points are on the twisted
/// Edwards curve −x² + y² = 1 + d·x²·y² modulo p = 2^255 − 19, in extended coordinates (X : Y : Z : T) with x = X/Z,
/// y = Y/Z, x·y = T/Z (Hisil, Wong, Carter, Dawson, 2008).
///
/// @dev All values are public: nothing here takes constant time. Square roots use the precompile for modular
/// exponentiation. When it fails, for example because a caller left too little gas, the call reverts: a caller must not
/// be able to make a valid element look invalid.
library Ristretto255 {
    /// @notice A point in extended coordinates, each below p.
    struct Point {
        uint256 x;
        uint256 y;
        uint256 z;
        uint256 t;
    }

    /// @notice The chain has no precompile for modular exponentiation, or the call left too little gas for it.
    error ModularExponentiationFailed();

    /// @notice Order ℓ of the group.
    uint256 internal constant ORDER = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed;

    uint256 private constant P = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed;
    uint256 private constant D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3;
    /// @dev 2·d
    uint256 private constant D2 = 0x2406d9dc56dffce7198e80f2eef3d13000e0149a8283b156ebd69b9426b2f159;
    uint256 private constant SQRT_M1 = 0x2b8324804fc1df0b2b4d00993dfbd7a72f431806ad2fe478c4ee1b274a0ea0b0;
    uint256 private constant INVSQRT_A_MINUS_D = 0x786c8905cfaffca216c27b91fe01d8409d2f16175a4172be99c8fdaa805d40ea;
    /// @dev (7p − 11)/8: w³·(w⁷)^((p − 5)/8) of RFC 9496 §4.2 for the numerator 1 is w to this power.
    uint256 private constant INVSQRT_EXPONENT = 0x6fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffee;
    /// @dev 2^256 mod ℓ
    uint256 private constant WORD_MOD_ORDER = 0x0ffffffffffffffffffffffffffffffec6ef5bf4737dcf70d6ec31748d98951d;

    uint256 private constant G_X = 0x216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51a;
    uint256 private constant G_Y = 0x6666666666666666666666666666666666666666666666666666666666666658;
    uint256 private constant G_T = 0x67875f0fd78b766566ea4e8e64abe37d20f09f80775152f56dde8ab3a5b7dda3;

    address private constant MODEXP = address(0x05);

    /// @notice The generator G.
    function generator() internal pure returns (Point memory) {
        return Point(G_X, G_Y, 1, G_T);
    }

    /// @notice Decodes an element (RFC 9496 §4.3.1). The identity is one.
    /// @return valid whether the encoding is canonical and of an element
    function decode(bytes32 encoded) internal view returns (bool valid, Point memory point) {
        uint256 s = reverse(uint256(encoded));
        if (s >= P || s & 1 == 1) return (false, point);
        uint256 ss = mulmod(s, s, P);
        uint256 u1 = addmod(1, P - ss, P);
        uint256 u2 = addmod(1, ss, P);
        uint256 u2Squared = mulmod(u2, u2, P);
        // v = −(d·u1²) − u2²
        uint256 v = P - addmod(mulmod(D, mulmod(u1, u1, P), P), u2Squared, P);
        (bool isSquare, uint256 inverseRoot) = _inverseRoot(mulmod(v, u2Squared, P));
        uint256 denX = mulmod(inverseRoot, u2, P);
        uint256 denY = mulmod(mulmod(inverseRoot, denX, P), v, P);
        uint256 x = _absolute(mulmod(addmod(s, s, P), denX, P));
        uint256 y = mulmod(u1, denY, P);
        uint256 t = mulmod(x, y, P);
        if (!isSquare || t & 1 == 1 || y == 0) return (false, point);
        return (true, Point(x, y, 1, t));
    }

    /// @notice Encodes an element (RFC 9496 §4.3.2).
    function encode(Point memory point) internal view returns (bytes32) {
        (uint256 x, uint256 y, uint256 z, uint256 t) = (point.x, point.y, point.z, point.t);
        uint256 u1 = mulmod(addmod(z, y, P), addmod(z, P - y, P), P);
        uint256 u2 = mulmod(x, y, P);
        (, uint256 inverseRoot) = _inverseRoot(mulmod(u1, mulmod(u2, u2, P), P));
        uint256 den1 = mulmod(inverseRoot, u1, P);
        uint256 denInverse = mulmod(inverseRoot, u2, P);
        uint256 zInverse = mulmod(mulmod(den1, denInverse, P), t, P);
        if (mulmod(t, zInverse, P) & 1 == 1) {
            (x, y) = (mulmod(y, SQRT_M1, P), mulmod(x, SQRT_M1, P));
            denInverse = mulmod(den1, INVSQRT_A_MINUS_D, P);
        }
        if (mulmod(x, zInverse, P) & 1 == 1) y = P - y;
        return bytes32(reverse(_absolute(mulmod(denInverse, addmod(z, P - y, P), P))));
    }

    /// @notice Decodes a scalar: 32 bytes, least significant first.
    /// @return valid whether it is below the order
    function decodeScalar(bytes32 encoded) internal pure returns (bool valid, uint256 scalar) {
        scalar = reverse(uint256(encoded));
        return (scalar < ORDER, scalar);
    }

    /// @notice The scalar that 64 bytes give, least significant first, modulo the order.
    /// @param first the first 32 bytes
    /// @param last the last 32 bytes
    function reduceScalar(bytes32 first, bytes32 last) internal pure returns (uint256) {
        return addmod(reverse(uint256(first)), mulmod(reverse(uint256(last)), WORD_MOD_ORDER, ORDER), ORDER);
    }

    /// @notice scalar·point
    /// @param scalar below 2^256
    function multiply(uint256 scalar, Point memory point) internal pure returns (Point memory product) {
        uint256 table = _table(point);
        return _sum(scalar, table, 0, table);
    }

    /// @notice first·a + second·b, with one chain of doublings for both (Straus, 1964).
    function multiplyTwo(
        uint256 first,
        Point memory a,
        uint256 second,
        Point memory b
    ) internal pure returns (Point memory sum) {
        return _sum(first, _table(a), second, _table(b));
    }

    /// @notice The 32 bytes of a word in the opposite order.
    function reverse(uint256 word) internal pure returns (uint256) {
        uint256 mask = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        word = ((word >> 8) & mask) | ((word & mask) << 8);
        mask = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        word = ((word >> 16) & mask) | ((word & mask) << 16);
        mask = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
        word = ((word >> 32) & mask) | ((word & mask) << 32);
        mask = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
        word = ((word >> 64) & mask) | ((word & mask) << 64);
        return (word >> 128) | (word << 128);
    }

    /// @dev The value of `value` or −`value` that is even.
    function _absolute(uint256 value) private pure returns (uint256) {
        return value & 1 == 1 ? P - value : value;
    }

    /// @dev SQRT_RATIO_M1(1, w) of RFC 9496 §4.2.
    /// @return isSquare false also for 0
    /// @return root the even root of 1/w, or of SQRT_M1/w; 0 for 0
    function _inverseRoot(uint256 w) private view returns (bool isSquare, uint256 root) {
        bool success;
        address modexp = MODEXP;
        uint256 exponent = INVSQRT_EXPONENT;
        uint256 modulus = P;
        assembly ("memory-safe") {
            // Lengths of base, exponent and modulus, then these. What is above the free pointer may be overwritten.
            let input := mload(0x40)
            mstore(input, 0x20)
            mstore(add(input, 0x20), 0x20)
            mstore(add(input, 0x40), 0x20)
            mstore(add(input, 0x60), w)
            mstore(add(input, 0x80), exponent)
            mstore(add(input, 0xa0), modulus)
            success := staticcall(gas(), modexp, input, 0xc0, 0, 0x20)
            // On a chain without the precompile, the call succeeds and returns no data.
            success := and(success, eq(returndatasize(), 0x20))
            root := mload(0)
        }
        if (!success) revert ModularExponentiationFailed();
        uint256 check = mulmod(w, mulmod(root, root, P), P);
        if (check == P - 1 || check == P - SQRT_M1) root = mulmod(root, SQRT_M1, P);
        isSquare = check == 1 || check == P - 1;
        root = _absolute(root);
    }

    /// @dev The multiples 0·point to 15·point, in the form (Y − X, Y + X, 2d·T, 2Z) that additions take.
    /// @return table address of 16 entries of 128 bytes
    function _table(Point memory point) private pure returns (uint256 table) {
        assembly ("memory-safe") {
            table := mload(0x40)
            mstore(0x40, add(table, 0x800))
        }
        (uint256 x, uint256 y, uint256 z, uint256 t) = (0, 1, 1, 0);
        _store(table, x, y, z, t);
        (x, y, z, t) = (point.x, point.y, point.z, point.t);
        uint256 one = table + 0x80;
        _store(one, x, y, z, t);
        for (uint256 place = table + 0x100; place < table + 0x800; place += 0x80) {
            (x, y, z, t) = _add(x, y, z, t, one);
            _store(place, x, y, z, t);
        }
    }

    function _store(uint256 place, uint256 x, uint256 y, uint256 z, uint256 t) private pure {
        uint256 modulus = P;
        uint256 d2 = D2;
        assembly ("memory-safe") {
            mstore(place, addmod(y, sub(modulus, x), modulus))
            mstore(add(place, 0x20), addmod(y, x, modulus))
            mstore(add(place, 0x40), mulmod(d2, t, modulus))
            mstore(add(place, 0x60), addmod(z, z, modulus))
        }
    }

    /// @dev A point plus an entry of a table: add-2008-hwcd-3, complete for this curve. Sums of two values below p fit
    /// into a word, and a product is reduced, so only one difference needs its own reduction.
    function _add(
        uint256 x,
        uint256 y,
        uint256 z,
        uint256 t,
        uint256 entry
    ) private pure returns (uint256 x3, uint256 y3, uint256 z3, uint256 t3) {
        uint256 p = P;
        assembly ("memory-safe") {
            let a := mulmod(add(y, sub(p, x)), mload(entry), p)
            let b := mulmod(add(y, x), mload(add(entry, 0x20)), p)
            let c := mulmod(t, mload(add(entry, 0x40)), p)
            let d := mulmod(z, mload(add(entry, 0x60)), p)
            let e := add(b, sub(p, a))
            let f := add(d, sub(p, c))
            let g := add(d, c)
            let h := add(b, a)
            x3 := mulmod(e, f, p)
            y3 := mulmod(g, h, p)
            z3 := mulmod(f, g, p)
            t3 := mulmod(e, h, p)
        }
    }

    /// @dev first·(point of tableA) + second·(point of tableB), four bits of both scalars at a time.
    function _sum(
        uint256 first,
        uint256 tableA,
        uint256 second,
        uint256 tableB
    ) private pure returns (Point memory sum) {
        (uint256 x, uint256 y, uint256 z, uint256 t) = (0, 1, 1, 0);
        for (uint256 shift = 256; shift != 0;) {
            unchecked {
                shift -= 4;
            }
            (x, y, z, t) = _double4(x, y, z);
            uint256 digit = (first >> shift) & 15;
            if (digit != 0) (x, y, z, t) = _add(x, y, z, t, tableA + (digit << 7));
            digit = (second >> shift) & 15;
            if (digit != 0) (x, y, z, t) = _add(x, y, z, t, tableB + (digit << 7));
        }
        return Point(x, y, z, t);
    }

    /// @dev 16 times a point: dbl-2008-hwcd four times, with all of its E, F, G and H negated, which gives the same
    /// point. T is needed of the last doubling only.
    function _double4(
        uint256 x,
        uint256 y,
        uint256 z
    ) private pure returns (uint256 x3, uint256 y3, uint256 z3, uint256 t3) {
        uint256 p = P;
        assembly ("memory-safe") {
            for {
                let left := 4
            } 1 {} {
                let e := mulmod(x, y, p)
                // E = −2·X·Y, H = X² + Y², G = X² − Y², F = 2·Z² + G
                e := sub(sub(shl(1, p), e), e)
                let a := mulmod(x, x, p)
                let b := mulmod(y, y, p)
                let h := add(a, b)
                let g := add(a, sub(p, b))
                let c := mulmod(z, z, p)
                let f := addmod(add(c, c), g, p)
                x := mulmod(e, f, p)
                y := mulmod(g, h, p)
                z := mulmod(f, g, p)
                left := sub(left, 1)
                if iszero(left) {
                    t3 := mulmod(e, h, p)
                    break
                }
            }
            x3 := x
            y3 := y
            z3 := z
        }
    }
}
