// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Verifier of possession proofs
/// @notice Checks, with the BLS12-381 precompiles of EIP-2537, that a storage provider holds the slices that a
/// challenge draws. Proof and cost do not depend on the size of the data, only on how many slices are drawn.
///
/// With f the weighted sum of the drawn slices' polynomials and v(Y) = Σ ν_t·Y^(i_t) it checks
///
///   σ = x·(V + (f(α))·G1)          as  e(σ, G2)              = e(V + y·G1 − z·ψ, X) · e(ψ, XA)
///   V = v(β)·G1                    as  e(V − v(ρ)·G1 + ρ·W, G2) = e(W, Bt)
///
/// both at once, the second weighted by λ. docs/audit.md derives the equations and argues why they are sound;
/// docs/spec.md has the byte layouts; offchain/core/audit computes the same off chain.
///
/// @dev Which points need which check. EIP-2537 multiplication and pairing check that their inputs are in the subgroup,
/// addition checks only the curve. ψ, V and W are inputs of a multiplication, X, XA and Bt of the pairing. σ only
/// enters an addition whose other operand is in the subgroup and whose result goes into the pairing, so it is checked
/// there. A malformed point makes the precompile consume all gas it was given (63/64 of what is left), then `verify`
/// returns false.
library PdpVerifier {
    // Group elements keep the capital letters that they have in the papers and in docs/audit.md.
    // solhint-disable var-name-mixedcase

    /// @notice Proof of possession, points in the EIP-2537 form of G1 (128 bytes).
    struct Proof {
        /// @dev Σ ν_t·σ_(i_t), the weighted sum of tags.
        bytes sigma;
        /// @dev Commitment to (f(Y) − y)/(Y − z).
        bytes psi;
        /// @dev Σ ν_t·B_(i_t).
        bytes V;
        /// @dev Commitment, in powers of β, to (v(Y) − v(ρ))/(Y − ρ).
        bytes W;
        /// @dev f(z), below the group order.
        uint256 y;
    }

    /// @notice Key of an agreement, points in the EIP-2537 form of G2 (256 bytes): x·G2, xα·G2, β·G2.
    struct Key {
        bytes X;
        bytes XA;
        bytes Bt;
    }

    // solhint-enable var-name-mixedcase

    /// @notice What is audited: `sampleCount` draws from slices `firstIndex` … `firstIndex + sliceCount − 1`.
    struct Challenge {
        /// @dev Unknown to the provider before the challenge opens; binds chain, agreement and epoch.
        bytes32 seed;
        /// @dev At least 1: β^0 would merge with y, and slice 0 would need no proof.
        uint64 firstIndex;
        uint64 sliceCount;
        uint16 sampleCount;
    }

    /// @notice Order r of the BLS12-381 groups.
    uint256 internal constant GROUP_ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    bytes32 private constant CHALLENGE_TAG = keccak256("tallystick/v1/audit-challenge");
    bytes32 private constant POINT_TAG = keccak256("tallystick/v1/audit-point");
    bytes32 private constant OPENING_TAG = keccak256("tallystick/v1/audit-opening");
    bytes32 private constant BATCH_TAG = keccak256("tallystick/v1/audit-batch");

    uint256 private constant G1_BYTES = 128;
    uint256 private constant G2_BYTES = 256;
    uint256 private constant PAIR_BYTES = 384;
    uint256 private constant MSM_TERM_BYTES = 160;

    /// @dev Memory layout of the input: the values that are hashed into λ, then the key.
    uint256 private constant SIGMA_OFFSET = 0x60;
    uint256 private constant PSI_OFFSET = 0xe0;
    uint256 private constant V_OFFSET = 0x160;
    uint256 private constant W_OFFSET = 0x1e0;
    uint256 private constant Y_OFFSET = 0x260;
    uint256 private constant TRANSCRIPT_BYTES = 0x280;
    uint256 private constant X_OFFSET = 0x280;
    uint256 private constant XA_OFFSET = 0x380;
    uint256 private constant BT_OFFSET = 0x480;
    uint256 private constant INPUT_BYTES = 0x580;

    /// @dev Table of powers: 64 words for one position of a digit, at least four positions.
    uint256 private constant LEVEL_BYTES = 0x800;
    uint256 private constant MINIMUM_TABLE_BYTES = 0x2000;

    /// @dev EIP-2537 precompiles.
    uint256 private constant G1_ADD = 0x0b;
    uint256 private constant G1_MSM = 0x0c;
    uint256 private constant PAIRING = 0x0f;

    /// @dev The generator of G1 in the EIP-2537 form.
    uint256 private constant G1_X_HIGH = 0x17f1d3a73197d7942695638c4fa9ac0f;
    uint256 private constant G1_X_LOW = 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb;
    uint256 private constant G1_Y_HIGH = 0x08b3f481e3aaa0f1a09e30ed741d8ae4;
    uint256 private constant G1_Y_LOW = 0xfcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1;

    /// @dev The generator of G2, negated: with it on the left-hand side no point of the proof needs a negation.
    uint256 private constant NEG_G2_X0_HIGH = 0x024aa2b2f08f0a91260805272dc51051;
    uint256 private constant NEG_G2_X0_LOW = 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8;
    uint256 private constant NEG_G2_X1_HIGH = 0x13e02b6052719f607dacd3a088274f65;
    uint256 private constant NEG_G2_X1_LOW = 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e;
    uint256 private constant NEG_G2_Y0_HIGH = 0x0d1b3cc2c7027888be51d9ef691d77bc;
    uint256 private constant NEG_G2_Y0_LOW = 0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa;
    uint256 private constant NEG_G2_Y1_HIGH = 0x13fa4d4a0ad8b1ce186ed5061789213d;
    uint256 private constant NEG_G2_Y1_LOW = 0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed;

    /// @notice The hash of a key, which an agreement stores.
    function hashKey(Key calldata key) internal pure returns (bytes32) {
        return keccak256(bytes.concat(key.X, key.XA, key.Bt));
    }

    /// @notice Checks a proof.
    /// @param challenge the challenge that the proof must answer
    /// @param key key of the agreement; the caller compares `hashKey` with the stored hash
    /// @param proof the provider's answer
    /// @return valid whether the provider proved possession; false also for malformed input, and when the gas does not
    /// suffice for a precompile. A caller must therefore revert on false, and never count it against the provider.
    function verify(
        Challenge memory challenge,
        Key calldata key,
        Proof calldata proof
    ) internal view returns (bool valid) {
        if (challenge.firstIndex == 0 || challenge.sliceCount == 0 || challenge.sampleCount == 0) return false;
        bytes32 id = hashChallenge(challenge);
        uint256 input = _load(id, key, proof);
        if (input == 0) return false;
        uint256 rho = _openingPoint(id, input);
        uint256 claimed = evaluateChallenge(challenge, id, rho);
        return _checkEquation(input, rho, claimed);
    }

    /// @notice The hash that identifies a challenge; all its randomness is derived from it.
    function hashChallenge(Challenge memory challenge) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    CHALLENGE_TAG,
                    challenge.seed,
                    challenge.firstIndex,
                    challenge.sliceCount,
                    challenge.sampleCount
                )
            );
    }

    /// @notice v(ρ) = Σ ν_t·ρ^(i_t) for the drawn indices i_t and weights ν_t.
    /// @dev The offset of an index from the first one is split into digits of 6 bits. A table holds
    /// ρ^(digit·64^position) for every digit and position, so one draw costs one multiplication per digit. Four
    /// positions, enough for 16.7 million slices (2 TiB), are looked up without a loop; larger ranges need more
    /// positions.
    /// @param challenge with at least one slice
    /// @param id its hash
    /// @param rho below the group order
    function evaluateChallenge(
        Challenge memory challenge,
        bytes32 id,
        uint256 rho
    ) internal pure returns (uint256 value) {
        (uint256 table, uint256 tableEnd) = _tabulatePowers(rho, challenge.sliceCount - 1);
        value = _sumDraws(challenge, id, table, tableEnd);
        // Every index contains the first one: multiply by ρ^firstIndex, square and multiply.
        uint256 square = rho;
        for (uint256 exponent = challenge.firstIndex; exponent != 0; exponent >>= 1) {
            if (exponent & 1 != 0) value = mulmod(value, square, GROUP_ORDER);
            square = mulmod(square, square, GROUP_ORDER);
        }
    }

    /// @dev Copies key and proof to memory, in the layout that is hashed into λ:
    /// id ‖ BATCH_TAG ‖ keyHash ‖ σ ‖ ψ ‖ V ‖ W ‖ y, and the key behind it.
    /// @return input memory address of the copy; 0 when a length is wrong, y is not canonical, or a point of the key is
    /// the identity, under which any proof would verify
    function _load(bytes32 id, Key calldata key, Proof calldata proof) private pure returns (uint256 input) {
        bytes32 batchTag = BATCH_TAG;
        uint256 y = proof.y;
        assembly ("memory-safe") {
            input := mload(0x40)
            mstore(0x40, add(input, INPUT_BYTES))
            mstore(input, id)
            mstore(add(input, 0x20), batchTag)
            mstore(add(input, Y_OFFSET), y)
        }
        bool ok = y < GROUP_ORDER;
        ok = _copyPoint(proof.sigma, input + SIGMA_OFFSET, G1_BYTES) && ok;
        ok = _copyPoint(proof.psi, input + PSI_OFFSET, G1_BYTES) && ok;
        ok = _copyPoint(proof.V, input + V_OFFSET, G1_BYTES) && ok;
        ok = _copyPoint(proof.W, input + W_OFFSET, G1_BYTES) && ok;
        ok = _copyPoint(key.X, input + X_OFFSET, G2_BYTES) && ok;
        ok = _copyPoint(key.XA, input + XA_OFFSET, G2_BYTES) && ok;
        ok = _copyPoint(key.Bt, input + BT_OFFSET, G2_BYTES) && ok;
        if (!ok || _isIdentity(input + X_OFFSET) || _isIdentity(input + XA_OFFSET) || _isIdentity(input + BT_OFFSET)) {
            return 0;
        }
        assembly ("memory-safe") {
            mstore(add(input, 0x40), keccak256(add(input, X_OFFSET), mul(3, G2_BYTES)))
        }
    }

    function _copyPoint(bytes calldata point, uint256 target, uint256 expectedBytes) private pure returns (bool) {
        assembly ("memory-safe") {
            calldatacopy(target, point.offset, expectedBytes)
        }
        return point.length == expectedBytes;
    }

    /// @dev Whether a G2 point in memory is the identity, which EIP-2537 encodes as zeros.
    function _isIdentity(uint256 point) private pure returns (bool identity) {
        assembly ("memory-safe") {
            let x := or(or(mload(point), mload(add(point, 0x20))), or(mload(add(point, 0x40)), mload(add(point, 0x60))))
            let rest := add(point, 0x80)
            let y := or(or(mload(rest), mload(add(rest, 0x20))), or(mload(add(rest, 0x40)), mload(add(rest, 0x60))))
            identity := iszero(or(x, y))
        }
    }

    /// @dev ρ, drawn after V is fixed.
    function _openingPoint(bytes32 id, uint256 input) private pure returns (uint256 rho) {
        bytes32 openingTag = OPENING_TAG;
        assembly ("memory-safe") {
            let hashed := mload(0x40)
            mstore(hashed, id)
            mstore(add(hashed, 0x20), openingTag)
            mcopy(add(hashed, 0x40), add(input, V_OFFSET), G1_BYTES)
            rho := mod(keccak256(hashed, add(0x40, G1_BYTES)), GROUP_ORDER)
        }
    }

    /// @dev Writes ρ^(digit·64^position) for all digits of all positions that offsets up to `largest` have, and of at
    /// least four positions. In positions that no offset reaches the only digit is 0, and only its power, 1, is
    /// written.
    function _tabulatePowers(uint256 rho, uint256 largest) private pure returns (uint256 table, uint256 tableEnd) {
        assembly ("memory-safe") {
            table := mload(0x40)
            tableEnd := table
            for {
                let base := rho
            } or(largest, lt(tableEnd, add(table, MINIMUM_TABLE_BYTES))) {
                largest := shr(6, largest)
            } {
                let levelEnd := add(tableEnd, LEVEL_BYTES)
                mstore(tableEnd, 1)
                if largest {
                    // Four powers per iteration.
                    let power := 1
                    for {} lt(tableEnd, levelEnd) {
                        tableEnd := add(tableEnd, 0x80)
                    } {
                        mstore(tableEnd, power)
                        power := mulmod(power, base, GROUP_ORDER)
                        mstore(add(tableEnd, 0x20), power)
                        power := mulmod(power, base, GROUP_ORDER)
                        mstore(add(tableEnd, 0x40), power)
                        power := mulmod(power, base, GROUP_ORDER)
                        mstore(add(tableEnd, 0x60), power)
                        power := mulmod(power, base, GROUP_ORDER)
                    }
                    base := power
                }
                tableEnd := levelEnd
            }
            mstore(0x40, tableEnd)
        }
    }

    /// @dev Σ ν_t·ρ^(i_t − firstIndex), with h_t = keccak(id ‖ t): the offset comes from its low half, ν_t is its high
    /// half.
    function _sumDraws(
        Challenge memory challenge,
        bytes32 id,
        uint256 table,
        uint256 tableEnd
    ) private pure returns (uint256 value) {
        uint256 sliceCount = challenge.sliceCount;
        uint256 t = challenge.sampleCount;
        assembly ("memory-safe") {
            mstore(0x00, id)
            for {} t {} {
                t := sub(t, 1)
                mstore(0x20, t)
                let term := keccak256(0x00, 0x40)
                // A digit becomes a byte offset into its part of the table, hence the shift by 5.
                let rest := shl(5, mod(and(term, 0xffffffffffffffffffffffffffffffff), sliceCount))
                let low := mulmod(
                    mload(add(table, and(rest, 0x7e0))),
                    mload(add(add(table, 0x800), and(shr(6, rest), 0x7e0))),
                    GROUP_ORDER
                )
                let high := mulmod(
                    mload(add(add(table, 0x1000), and(shr(12, rest), 0x7e0))),
                    mload(add(add(table, 0x1800), and(shr(18, rest), 0x7e0))),
                    GROUP_ORDER
                )
                term := mulmod(shr(128, term), mulmod(low, high, GROUP_ORDER), GROUP_ORDER)
                for {
                    let level := add(table, MINIMUM_TABLE_BYTES)
                    rest := shr(24, rest)
                } lt(level, tableEnd) {
                    level := add(level, LEVEL_BYTES)
                    rest := shr(6, rest)
                } {
                    term := mulmod(term, mload(add(level, and(rest, 0x7e0))), GROUP_ORDER)
                }
                value := addmod(value, term, GROUP_ORDER)
            }
        }
    }

    /// @dev e(σ + λ(V − v(ρ)·G1 + ρ·W), −G2) · e(V + y·G1 − z·ψ, X) · e(ψ, XA) · e(λ·W, Bt) = 1.
    function _checkEquation(uint256 input, uint256 rho, uint256 claimed) private view returns (bool valid) {
        bytes32 pointTag = POINT_TAG;
        uint256 lambda;
        uint256 z;
        // Memory for the input of the pairing, and behind it for up to three terms of a sum.
        uint256 pairs;
        uint256 work;
        assembly ("memory-safe") {
            // λ is drawn after everything that enters either equation is fixed.
            lambda := mod(keccak256(input, TRANSCRIPT_BYTES), GROUP_ORDER)
            mstore(0x00, mload(input))
            mstore(0x20, pointTag)
            z := mod(keccak256(0x00, 0x40), GROUP_ORDER)

            pairs := mload(0x40)
            work := add(pairs, mul(4, PAIR_BYTES))
            mstore(0x40, add(work, mul(3, MSM_TERM_BYTES)))

            let pair := add(pairs, G1_BYTES)
            mstore(pair, NEG_G2_X0_HIGH)
            mstore(add(pair, 0x20), NEG_G2_X0_LOW)
            mstore(add(pair, 0x40), NEG_G2_X1_HIGH)
            mstore(add(pair, 0x60), NEG_G2_X1_LOW)
            mstore(add(pair, 0x80), NEG_G2_Y0_HIGH)
            mstore(add(pair, 0xa0), NEG_G2_Y0_LOW)
            mstore(add(pair, 0xc0), NEG_G2_Y1_HIGH)
            mstore(add(pair, 0xe0), NEG_G2_Y1_LOW)
            pair := add(pair, PAIR_BYTES)
            mcopy(pair, add(input, X_OFFSET), G2_BYTES)
            pair := add(pair, PAIR_BYTES)
            mcopy(sub(pair, G1_BYTES), add(input, PSI_OFFSET), G1_BYTES)
            mcopy(pair, add(input, XA_OFFSET), G2_BYTES)
            pair := add(pair, PAIR_BYTES)
            mcopy(pair, add(input, BT_OFFSET), G2_BYTES)
        }
        valid =
            _sumOpening(pairs, work, input, lambda, rho, claimed) &&
            _sumSigned(pairs + PAIR_BYTES, work, input, z) &&
            _weighQuotient(pairs + 3 * PAIR_BYTES, work, input, lambda) &&
            _call(PAIRING, pairs, 4 * PAIR_BYTES, work, 0x20);
        assembly ("memory-safe") {
            valid := and(valid, eq(mload(work), 1))
        }
    }

    /// @dev First pair: σ + λ·V − λv(ρ)·G1 + λρ·W.
    function _sumOpening(
        uint256 target,
        uint256 work,
        uint256 input,
        uint256 lambda,
        uint256 rho,
        uint256 claimed
    ) private view returns (bool ok) {
        _storeTerm(work, input + V_OFFSET, lambda);
        _storeGeneratorTerm(work + MSM_TERM_BYTES, GROUP_ORDER - mulmod(lambda, claimed, GROUP_ORDER));
        _storeTerm(work + 2 * MSM_TERM_BYTES, input + W_OFFSET, mulmod(lambda, rho, GROUP_ORDER));
        ok = _call(G1_MSM, work, 3 * MSM_TERM_BYTES, work, G1_BYTES);
        return _addPoint(target, work, input + SIGMA_OFFSET) && ok;
    }

    /// @dev Second pair: V + y·G1 − z·ψ.
    function _sumSigned(uint256 target, uint256 work, uint256 input, uint256 z) private view returns (bool ok) {
        uint256 y;
        assembly ("memory-safe") {
            y := mload(add(input, Y_OFFSET))
        }
        _storeGeneratorTerm(work, y);
        _storeTerm(work + MSM_TERM_BYTES, input + PSI_OFFSET, GROUP_ORDER - z);
        ok = _call(G1_MSM, work, 2 * MSM_TERM_BYTES, work, G1_BYTES);
        return _addPoint(target, work, input + V_OFFSET) && ok;
    }

    /// @dev Fourth pair: λ·W.
    function _weighQuotient(uint256 target, uint256 work, uint256 input, uint256 lambda) private view returns (bool) {
        _storeTerm(work, input + W_OFFSET, lambda);
        return _call(G1_MSM, work, MSM_TERM_BYTES, target, G1_BYTES);
    }

    /// @dev Adds a point to the one at `work`.
    function _addPoint(uint256 target, uint256 work, uint256 point) private view returns (bool) {
        assembly ("memory-safe") {
            mcopy(add(work, G1_BYTES), point, G1_BYTES)
        }
        return _call(G1_ADD, work, 2 * G1_BYTES, target, G1_BYTES);
    }

    /// @dev Writes one term of a multi-scalar multiplication.
    function _storeTerm(uint256 target, uint256 point, uint256 scalar) private pure {
        assembly ("memory-safe") {
            mcopy(target, point, G1_BYTES)
            mstore(add(target, G1_BYTES), scalar)
        }
    }

    function _storeGeneratorTerm(uint256 target, uint256 scalar) private pure {
        assembly ("memory-safe") {
            mstore(target, G1_X_HIGH)
            mstore(add(target, 0x20), G1_X_LOW)
            mstore(add(target, 0x40), G1_Y_HIGH)
            mstore(add(target, 0x60), G1_Y_LOW)
            mstore(add(target, G1_BYTES), scalar)
        }
    }

    /// @dev Calls a precompile. Returns false when the precompile rejects its input, and on a chain without it: there
    /// the call succeeds and returns no data.
    function _call(
        uint256 precompile,
        uint256 input,
        uint256 inputBytes,
        uint256 output,
        uint256 outputBytes
    ) private view returns (bool ok) {
        assembly ("memory-safe") {
            ok := staticcall(gas(), precompile, input, inputBytes, output, outputBytes)
            ok := and(ok, eq(returndatasize(), outputBytes))
        }
    }
}
