// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IPossessionVerifier } from "../interfaces/IPossessionVerifier.sol";

/// @title Verifier of possession proofs
/// @notice Checks, with the BLS12-381 precompiles of EIP-2537, that a storage provider holds the slices that a
/// challenge draws. Proof and cost do not depend on the size of the data, only on how many slices are drawn.
///
/// With f the weighted sum of the drawn slices' polynomials and v(Y) = Σ ν_t·Y^(i_t) it checks E = 1 for
///
///   E = e(σ, −G2) · e((v(ρ) + y)·G1 − z·ψ − ρ·W, X) · e(ψ, XA) · e(W, XB)
///
/// and for several data sets ∏ E_k^(w_k) = 1, with weights drawn after all proofs are fixed. docs/audit.md derives the
/// equation and argues why it is sound; docs/spec.md has the byte layouts; offchain/core/audit computes the same off
/// chain.
///
/// @dev Which points need which check. EIP-2537 multiplication and pairing check that their inputs are in the subgroup.
/// ψ and W are inputs of a multiplication. σ is an input of the pairing, or in a batch of a multiplication. X, XA and
/// XB are inputs of the pairing. The pairing accepts the identity, so it is refused for the points of a key before. A
/// malformed point makes the precompile consume all gas it was given (63/64 of what is left), then the result is false.
library PdpVerifier {
    // Group elements keep the capital letters that they have in the papers and in docs/audit.md.
    // solhint-disable var-name-mixedcase

    /// @notice Proof of possession, points in the EIP-2537 form of G1 (128 bytes).
    struct Proof {
        /// @dev Σ ν_t·σ_(i_t), the weighted sum of tags.
        bytes sigma;
        /// @dev Commitment to (f(Y) − y)/(Y − z).
        bytes psi;
        /// @dev Commitment, in powers of β, to (v(Y) − v(ρ))/(Y − ρ).
        bytes W;
        /// @dev f(z), below the group order.
        uint256 y;
    }

    /// @notice Key of a data set, points in the EIP-2537 form of G2 (256 bytes): x·G2, xα·G2, xβ·G2.
    struct Key {
        bytes X;
        bytes XA;
        bytes XB;
    }

    // solhint-enable var-name-mixedcase

    /// @notice What is audited: `sampleCount` draws from the slices of `ranges`.
    struct Challenge {
        /// @dev Unknown to the provider before the challenge opens; binds chain, data set and epoch.
        bytes32 seed;
        /// @dev 1 to 32 ranges of 12 bytes, uint48 first index ‖ uint48 count, ascending and disjoint. The first index
        /// is at least 1: β^0 would merge with y, and slice 0 would need no proof. Every index is below 2^48. Several
        /// ranges have fewer than 2^31 slices together.
        bytes ranges;
        uint16 sampleCount;
    }

    /// @notice Bytes of the packed form of a key and a proof: X ‖ XA ‖ XB ‖ σ ‖ ψ ‖ W ‖ y.
    uint256 internal constant ANSWER_BYTES = 1184;

    /// @notice Order r of the BLS12-381 groups.
    uint256 internal constant GROUP_ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    bytes32 private constant CHALLENGE_TAG = keccak256("tallystick/v2/audit-challenge");
    bytes32 private constant POINT_TAG = keccak256("tallystick/v2/audit-point");
    bytes32 private constant OPENING_TAG = keccak256("tallystick/v2/audit-opening");
    bytes32 private constant BATCH_TAG = keccak256("tallystick/v2/audit-batch");

    /// @dev Where the offsets of its bytes are in a `Claim`.
    uint256 private constant RANGES_FIELD = 0x60;
    uint256 private constant ANSWER_FIELD = 0x80;

    uint256 private constant G1_BYTES = 128;
    uint256 private constant G2_BYTES = 256;
    uint256 private constant KEY_BYTES = 768;
    uint256 private constant PAIR_BYTES = 384;
    uint256 private constant MSM_TERM_BYTES = 160;
    /// @dev σ ‖ ψ ‖ W ‖ y, in a packed answer as in a record.
    uint256 private constant PROOF_BYTES = 416;

    /// @dev The part of a batch's transcript that belongs to one set: id ‖ keyHash ‖ σ ‖ ψ ‖ W ‖ y.
    uint256 private constant RECORD_BYTES = 0x1e0;
    uint256 private constant SIGMA_OFFSET = 0x40;
    uint256 private constant PSI_OFFSET = 0xc0;
    uint256 private constant W_OFFSET = 0x140;
    uint256 private constant Y_OFFSET = 0x1c0;

    /// @dev Three terms of a multi-scalar multiplication for each set: (v(ρ) + y)·G1, −z·ψ, −ρ·W.
    uint256 private constant TERMS_BYTES = 0x1e0;

    /// @dev Ranges in a challenge.
    uint256 private constant RANGE_BYTES = 12;
    uint256 private constant MAX_RANGES_BYTES = 384;
    uint256 private constant INDEX_LIMIT = 1 << 48;
    /// @dev Slices of several ranges together: an offset leaves the highest bit of a 32-bit lane free.
    uint256 private constant LANE_LIMIT = 1 << 31;
    uint256 private constant LANE_ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;

    /// @dev Memory that maps offsets to indices: four words of lanes, one shift for each range, the number of slices,
    /// the factor that copies an offset to all lanes (0 when there is one range), the addresses of the three lowest
    /// positions of the table of powers, and the table. The compiler computes addresses again for every use, unless
    /// they come from memory.
    uint256 private constant SHIFTS_OFFSET = 0x80;
    uint256 private constant SLICE_COUNT_OFFSET = 0x480;
    uint256 private constant SPREAD_OFFSET = 0x4a0;
    uint256 private constant LEVELS_OFFSET = 0x4c0;
    uint256 private constant TABLE_OFFSET = 0x520;
    /// @dev The two words of lanes that `_sumPairsOfRanges` reads hold 16 ends, which separate 17 ranges.
    uint256 private constant PAIRED_RANGES_BYTES = 204;

    /// @dev Table of powers: for one position of a digit as many words as the digit has values.
    uint256 private constant DIGIT_BITS = 6;
    uint256 private constant LEVEL_BYTES = 0x800;
    uint256 private constant MAXIMUM_TABLE_BYTES = 0x4000;
    /// @dev Positions that a table has at least.
    uint256 private constant MINIMUM_LEVELS = 4;
    /// @dev Indices that three positions reach.
    uint256 private constant PAIRED_INDEX_LIMIT = 1 << 18;

    /// @dev For few draws the table costs more than they do. Theirs has half the powers, in two positions of 5 bits and
    /// two of 4, for one more multiplication per draw. With FEW_DRAWS both tables cost the same for the highest
    /// indices.
    uint256 private constant FEW_DRAWS = 80;
    uint256 private constant FEW_INDEX_LIMIT = 1 << 18;

    /// @dev EIP-2537 precompiles.
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

    /// @notice The hash of a key, which a data set stores.
    function hashKey(Key calldata key) internal pure returns (bytes32) {
        return keccak256(bytes.concat(key.X, key.XA, key.XB));
    }

    /// @notice Checks a proof.
    /// @param challenge the challenge that the proof must answer
    /// @param key key of the data set; the caller compares `hashKey` with the stored hash
    /// @param proof the provider's answer
    /// @return valid whether the provider proved possession; false also for malformed input, and when the gas does not
    /// suffice for a precompile. A caller must therefore revert on false, and never count it against the provider.
    function verify(
        Challenge memory challenge,
        Key calldata key,
        Proof calldata proof
    ) internal view returns (bool valid) {
        (uint256 pairs, uint256 records, uint256 terms) = _allocate(1);
        if (!_load(challenge, key, proof, _ownPairs(pairs, 0), records, terms)) return false;
        assembly ("memory-safe") {
            mcopy(pairs, add(records, SIGMA_OFFSET), G1_BYTES)
        }
        return _checkPairs(pairs, terms, 1);
    }

    /// @notice Checks the proofs of several data sets at once: one pairing call, and one challenge each.
    /// @dev A set may be in a batch twice, with the same challenge or another: the caller decides what that is worth.
    /// @param challenges the challenges that the proofs must answer
    /// @param keys key of each data set; the caller compares `hashKey` with the stored hashes
    /// @param proofs the providers' answers
    /// @return valid whether every proof is valid. See `verify` for what false means.
    function verifyMany(
        Challenge[] memory challenges,
        Key[] calldata keys,
        Proof[] calldata proofs
    ) internal view returns (bool valid) {
        uint256 count = challenges.length;
        if (count == 0 || keys.length != count || proofs.length != count) return false;
        (uint256 pairs, uint256 records, uint256 terms) = _allocate(count);
        for (uint256 k = 0; k < count; ++k) {
            uint256 own = _ownPairs(pairs, k);
            unchecked {
                uint256 record = records + k * RECORD_BYTES;
                if (!_load(challenges[k], keys[k], proofs[k], own, record, terms + k * TERMS_BYTES)) return false;
            }
        }
        return _weigh(pairs, records, terms, count) && _checkPairs(pairs, terms, count);
    }

    /// @notice Checks the claims of one or several data sets, whose answers are packed.
    /// @dev Like `verify` for one claim and like `verifyMany` for several, without copies of keys and proofs on the
    /// way.
    /// @param claims key hash, challenge and answer of each set
    /// @return valid whether every key has its hash and every proof is valid. See `verify` for what false means.
    function verifyClaims(IPossessionVerifier.Claim[] calldata claims) internal view returns (bool valid) {
        uint256 count = claims.length;
        if (count == 0) return false;
        if (count == 1) return _verifyClaim(claims[0]);
        (uint256 pairs, uint256 records, uint256 terms) = _allocate(count);
        for (uint256 k = 0; k < count; ++k) {
            uint256 own = _ownPairs(pairs, k);
            unchecked {
                if (!_loadClaim(claims[k], own, records + k * RECORD_BYTES, terms + k * TERMS_BYTES)) return false;
            }
        }
        return _weigh(pairs, records, terms, count) && _checkPairs(pairs, terms, count);
    }

    /// @dev The most frequent number of claims, without weights.
    function _verifyClaim(IPossessionVerifier.Claim calldata claim) private view returns (bool valid) {
        (uint256 pairs, uint256 record, uint256 terms) = _allocate(1);
        if (!_loadClaim(claim, _ownPairs(pairs, 0), record, terms)) return false;
        assembly ("memory-safe") {
            mcopy(pairs, add(record, SIGMA_OFFSET), G1_BYTES)
        }
        return _checkPairs(pairs, terms, 1);
    }

    /// @notice The hash that identifies a challenge; all its randomness is derived from it.
    function hashChallenge(Challenge memory challenge) internal pure returns (bytes32 id) {
        bytes32 challengeTag = CHALLENGE_TAG;
        assembly ("memory-safe") {
            let hashed := mload(0x40)
            let ranges := mload(add(challenge, 0x20))
            mstore(hashed, challengeTag)
            mstore(add(hashed, 0x20), mload(challenge))
            mstore(add(hashed, 0x40), keccak256(add(ranges, 0x20), mload(ranges)))
            mstore(add(hashed, 0x60), mload(add(challenge, 0x40)))
            id := keccak256(hashed, 0x80)
        }
    }

    /// @notice v(ρ) = Σ ν_t·ρ^(i_t) for the drawn indices i_t and weights ν_t.
    /// @dev An index is split into digits of 6 bits. A table holds ρ^(digit·64^position) for every digit and position,
    /// so one draw costs one multiplication per digit. Three positions, enough for indices below 2^18, are looked up
    /// without a loop, and two draws at a time; larger indices need more positions. Few draws from one range use
    /// shorter digits.
    ///
    /// The range of an offset is the number of ranges that end at or before it. Each end is a lane of 32 bits that
    /// holds 2^31 − end. Adding the offset to every lane sets the highest bit of those whose end is not above it; a
    /// multiplication adds these bits up.
    /// @param challenge what is drawn from
    /// @param id its hash
    /// @param rho below the group order
    /// @return valid whether the challenge is one of the protocol
    /// @return value v(ρ) of a valid challenge
    function evaluateChallenge(
        Challenge memory challenge,
        bytes32 id,
        uint256 rho
    ) internal pure returns (bool valid, uint256 value) {
        return _evaluate(id, challenge.ranges, challenge.sampleCount, rho);
    }

    /// @dev `evaluateChallenge` for the parts of a challenge.
    function _evaluate(
        bytes32 id,
        bytes memory ranges,
        uint256 drawn,
        uint256 rho
    ) private pure returns (bool valid, uint256 value) {
        (uint256 first, uint256 count) = _readRange(ranges);
        bool isFew;
        assembly ("memory-safe") {
            // Draws and indices from 1 to their limits; without draws the first comparison wraps. Whatever is not few,
            // or not of the protocol, goes on below.
            isFew := and(eq(mload(ranges), RANGE_BYTES), lt(sub(drawn, 1), FEW_DRAWS))
            isFew := and(isFew, and(gt(first, 0), gt(count, 0)))
            isFew := and(isFew, lt(add(first, count), add(FEW_INDEX_LIMIT, 1)))
        }
        if (isFew) return (true, _sumFew(id, drawn, first, count, rho));
        bool isOneRange = ranges.length == RANGE_BYTES;
        uint256 map;
        assembly ("memory-safe") {
            map := mload(0x40)
            mstore(0x40, add(map, add(TABLE_OFFSET, MAXIMUM_TABLE_BYTES)))
        }
        uint256 largest = isOneRange ? _mapRange(ranges, map) : _mapRanges(ranges, map);
        if (largest == 0 || drawn == 0) return (false, 0);
        _tabulate(rho, largest, map);
        if (isOneRange && largest >= PAIRED_INDEX_LIMIT) {
            value = _sumDraws(id, drawn, map);
        } else {
            // Draws by twos from the most frequent kinds of challenges.
            uint256 paired;
            if (largest < PAIRED_INDEX_LIMIT && ranges.length <= PAIRED_RANGES_BYTES) paired = drawn & ~uint256(1);
            if (paired != drawn) value = _sumDrawsOfRanges(id, paired, drawn, map);
            if (isOneRange) value = _sumPairs(id, paired, map, value);
            else value = _sumPairsOfRanges(id, paired, map, value);
        }
        valid = true;
        assembly ("memory-safe") {
            // Nothing else was allocated, and the table is of no more use: the next set of a batch takes its place.
            mstore(0x40, map)
        }
    }

    /// @dev First index and number of indices of the first range, for a list that has one.
    function _readRange(bytes memory ranges) private pure returns (uint256 first, uint256 count) {
        assembly ("memory-safe") {
            let range := mload(add(ranges, 0x20))
            first := shr(208, range)
            count := and(shr(160, range), 0xffffffffffff)
        }
    }

    /// @dev v(ρ) for few draws from one range of indices below 2^18.
    function _sumFew(
        bytes32 id,
        uint256 drawn,
        uint256 first,
        uint256 count,
        uint256 rho
    ) private pure returns (uint256 value) {
        uint256 levels;
        unchecked {
            levels = _tabulateFew(rho, first + count - 1);
        }
        uint256 paired = drawn & ~uint256(1);
        if (paired != drawn) value = _fewTerm(id, paired, first, count, levels);
        value = _sumFewPairs(id, paired, first, count, levels, value);
        // The table is not needed any more.
        assembly ("memory-safe") {
            mstore(0x40, levels)
        }
    }

    /// @dev Memory for `count` sets: 1 + 3·count pairs, the first with −G2; records; terms.
    function _allocate(uint256 count) private pure returns (uint256 pairs, uint256 records, uint256 terms) {
        assembly ("memory-safe") {
            pairs := mload(0x40)
            records := add(pairs, mul(add(mul(count, 3), 1), PAIR_BYTES))
            terms := add(records, mul(count, RECORD_BYTES))
            mstore(0x40, add(terms, mul(count, TERMS_BYTES)))

            let pair := add(pairs, G1_BYTES)
            mstore(pair, NEG_G2_X0_HIGH)
            mstore(add(pair, 0x20), NEG_G2_X0_LOW)
            mstore(add(pair, 0x40), NEG_G2_X1_HIGH)
            mstore(add(pair, 0x60), NEG_G2_X1_LOW)
            mstore(add(pair, 0x80), NEG_G2_Y0_HIGH)
            mstore(add(pair, 0xa0), NEG_G2_Y0_LOW)
            mstore(add(pair, 0xc0), NEG_G2_Y1_HIGH)
            mstore(add(pair, 0xe0), NEG_G2_Y1_LOW)
        }
    }

    /// @dev The three pairs of set k.
    function _ownPairs(uint256 pairs, uint256 k) private pure returns (uint256 own) {
        assembly ("memory-safe") {
            own := add(pairs, mul(add(mul(3, k), 1), PAIR_BYTES))
        }
    }

    /// @dev Copies one set to memory: its record, its terms with their scalars, and what its pairs take from key and
    /// proof as it is.
    /// @param pairs its three pairs, with X, XA and XB
    /// @return ok false when a length is wrong, y is not canonical, the challenge is outside the protocol, or a point
    /// of the key is the identity, under which any proof would verify
    function _load(
        Challenge memory challenge,
        Key calldata key,
        Proof calldata proof,
        uint256 pairs,
        uint256 record,
        uint256 terms
    ) private pure returns (bool ok) {
        return
            _loadProof(proof, record) &&
            _loadKey(key, pairs, record) &&
            _loadChallenge(hashChallenge(challenge), challenge.ranges, challenge.sampleCount, pairs, record, terms);
    }

    /// @dev A field of bytes, without the compiler's checks that it lies within call data: it may lie anywhere, since
    /// the answer depends on the claims alone. Behind the end of call data there are zeros.
    /// @param field where the offset of the field is
    function _bytesAt(
        IPossessionVerifier.Claim calldata claim,
        uint256 field
    ) private pure returns (bytes calldata data) {
        assembly ("memory-safe") {
            let place := add(claim, calldataload(add(claim, field)))
            data.offset := add(place, 0x20)
            data.length := calldataload(place)
        }
    }

    /// @dev The same for a claim.
    /// @return ok false also when the key has another hash
    function _loadClaim(
        IPossessionVerifier.Claim calldata claim,
        uint256 pairs,
        uint256 record,
        uint256 terms
    ) private pure returns (bool ok) {
        bytes calldata answer = _bytesAt(claim, ANSWER_FIELD);
        bytes calldata ranges = _bytesAt(claim, RANGES_FIELD);
        // A list that is too long is not worth copying.
        if (answer.length != ANSWER_BYTES || ranges.length > MAX_RANGES_BYTES) return false;
        if (!_loadAnswer(claim, answer, pairs, record)) return false;
        (bytes32 id, bytes memory copy) = _copyChallenge(claim, ranges);
        return _loadChallenge(id, copy, claim.sampleCount, pairs, record, terms);
    }

    /// @dev Key and proof of a claim, from an answer of the right length.
    function _loadAnswer(
        IPossessionVerifier.Claim calldata claim,
        bytes calldata answer,
        uint256 pairs,
        uint256 record
    ) private pure returns (bool ok) {
        bytes32 keyHash;
        bool canonical;
        uint256 point;
        assembly ("memory-safe") {
            let packed := mload(0x40)
            calldatacopy(packed, answer.offset, KEY_BYTES)
            keyHash := keccak256(packed, KEY_BYTES)
            mstore(add(record, 0x20), keyHash)
            point := add(pairs, G1_BYTES)
            mcopy(point, packed, G2_BYTES)
            mcopy(add(point, PAIR_BYTES), add(packed, G2_BYTES), G2_BYTES)
            mcopy(add(point, mul(2, PAIR_BYTES)), add(packed, mul(2, G2_BYTES)), G2_BYTES)
            calldatacopy(add(record, SIGMA_OFFSET), add(answer.offset, KEY_BYTES), PROOF_BYTES)
            canonical := lt(mload(add(record, Y_OFFSET)), GROUP_ORDER)
        }
        return !(!canonical || keyHash != claim.keyHash || _hasIdentity(point));
    }

    /// @dev The challenge of a claim: its hash, and its ranges in memory.
    function _copyChallenge(
        IPossessionVerifier.Claim calldata claim,
        bytes calldata ranges
    ) private pure returns (bytes32 id, bytes memory copy) {
        bytes32 seed = claim.seed;
        uint256 sampleCount = claim.sampleCount;
        id = CHALLENGE_TAG;
        assembly ("memory-safe") {
            copy := mload(0x40)
            mstore(copy, ranges.length)
            let hashed := add(copy, 0x20)
            calldatacopy(hashed, ranges.offset, ranges.length)
            let rangesHash := keccak256(hashed, ranges.length)
            hashed := and(add(add(hashed, ranges.length), 0x1f), not(0x1f))
            mstore(0x40, hashed)
            // What `hashChallenge` hashes, behind what is in use.
            mstore(hashed, id)
            mstore(add(hashed, 0x20), seed)
            mstore(add(hashed, 0x40), rangesHash)
            mstore(add(hashed, 0x60), sampleCount)
            id := keccak256(hashed, 0x80)
        }
    }

    /// @dev Evaluates the challenge at the opening point, and writes what follows from it beside key and proof.
    function _loadChallenge(
        bytes32 id,
        bytes memory ranges,
        uint256 drawn,
        uint256 pairs,
        uint256 record,
        uint256 terms
    ) private pure returns (bool ok) {
        uint256 rho = _openingPoint(id, record);
        bytes32 pointTag = POINT_TAG;
        assembly ("memory-safe") {
            mstore(0x00, id)
            mstore(0x20, pointTag)
            let z := mod(keccak256(0x00, 0x40), GROUP_ORDER)

            mstore(terms, G1_X_HIGH)
            mstore(add(terms, 0x20), G1_X_LOW)
            mstore(add(terms, 0x40), G1_Y_HIGH)
            mstore(add(terms, 0x60), G1_Y_LOW)
            mstore(add(terms, 0x80), mload(add(record, Y_OFFSET)))
            mcopy(add(terms, 0xa0), add(record, PSI_OFFSET), G1_BYTES)
            mstore(add(terms, 0x120), sub(GROUP_ORDER, z))
            mcopy(add(terms, 0x140), add(record, W_OFFSET), G1_BYTES)
            mstore(add(terms, 0x1c0), sub(GROUP_ORDER, rho))

            mcopy(add(pairs, PAIR_BYTES), add(record, PSI_OFFSET), G1_BYTES)
            mcopy(add(pairs, mul(2, PAIR_BYTES)), add(record, W_OFFSET), G1_BYTES)
        }
        // Last, when little else is on the stack: its loops keep their variables there.
        uint256 claimed;
        (ok, claimed) = _evaluate(id, ranges, drawn, rho);
        assembly ("memory-safe") {
            let scalar := add(terms, 0x80)
            mstore(scalar, addmod(mload(scalar), claimed, GROUP_ORDER))
        }
    }

    /// @dev Copies a proof to its record.
    function _loadProof(Proof calldata proof, uint256 record) private pure returns (bool ok) {
        bytes calldata sigma = proof.sigma;
        bytes calldata psi = proof.psi;
        bytes calldata quotient = proof.W;
        uint256 y = proof.y;
        ok = sigma.length == G1_BYTES && psi.length == G1_BYTES && quotient.length == G1_BYTES && y < GROUP_ORDER;
        assembly ("memory-safe") {
            calldatacopy(add(record, SIGMA_OFFSET), sigma.offset, G1_BYTES)
            calldatacopy(add(record, PSI_OFFSET), psi.offset, G1_BYTES)
            calldatacopy(add(record, W_OFFSET), quotient.offset, G1_BYTES)
            mstore(add(record, Y_OFFSET), y)
        }
    }

    /// @dev Copies a key to the pairs, and its hash to the record.
    function _loadKey(Key calldata key, uint256 pairs, uint256 record) private pure returns (bool) {
        bytes calldata first = key.X;
        bytes calldata second = key.XA;
        bytes calldata third = key.XB;
        if (first.length != G2_BYTES || second.length != G2_BYTES || third.length != G2_BYTES) return false;
        uint256 point;
        assembly ("memory-safe") {
            point := add(pairs, G1_BYTES)
            let joined := mload(0x40)
            calldatacopy(joined, first.offset, G2_BYTES)
            calldatacopy(add(joined, G2_BYTES), second.offset, G2_BYTES)
            calldatacopy(add(joined, mul(2, G2_BYTES)), third.offset, G2_BYTES)
            mstore(add(record, 0x20), keccak256(joined, KEY_BYTES))
            mcopy(point, joined, G2_BYTES)
            mcopy(add(point, PAIR_BYTES), add(joined, G2_BYTES), G2_BYTES)
            mcopy(add(point, mul(2, PAIR_BYTES)), add(joined, mul(2, G2_BYTES)), G2_BYTES)
        }
        return !_hasIdentity(point);
    }

    /// @dev Whether one of the three points of a key in its pairs has y = 0. EIP-2537 encodes the identity as zeros;
    /// any other point with y = 0 has order 2, so that it is not in the subgroup, and the pairing would refuse it.
    function _hasIdentity(uint256 point) private pure returns (bool found) {
        assembly ("memory-safe") {
            let y := add(point, 0x80)
            let second := add(y, PAIR_BYTES)
            let third := add(second, PAIR_BYTES)
            found := iszero(
                and(
                    and(
                        gt(or(or(mload(y), mload(add(y, 0x20))), or(mload(add(y, 0x40)), mload(add(y, 0x60)))), 0),
                        gt(
                            or(
                                or(mload(second), mload(add(second, 0x20))),
                                or(mload(add(second, 0x40)), mload(add(second, 0x60)))
                            ),
                            0
                        )
                    ),
                    gt(
                        or(
                            or(mload(third), mload(add(third, 0x20))),
                            or(mload(add(third, 0x40)), mload(add(third, 0x60)))
                        ),
                        0
                    )
                )
            )
        }
    }

    /// @dev ρ = hash(id ‖ tag ‖ keyHash ‖ σ ‖ y), drawn after σ and y are fixed. Writes the id to the record.
    function _openingPoint(bytes32 id, uint256 record) private pure returns (uint256 rho) {
        bytes32 openingTag = OPENING_TAG;
        assembly ("memory-safe") {
            mstore(record, id)
            let hashed := mload(0x40)
            mstore(hashed, id)
            mstore(add(hashed, 0x20), openingTag)
            mcopy(add(hashed, 0x40), add(record, 0x20), add(0x20, G1_BYTES))
            mstore(add(hashed, 0xe0), mload(add(record, Y_OFFSET)))
            rho := mod(keccak256(hashed, 0x100), GROUP_ORDER)
        }
    }

    /// @dev `_mapRanges` for a list of one range.
    /// @return largest the last index; 0 when the range is not of the protocol
    function _mapRange(bytes memory ranges, uint256 map) private pure returns (uint256 largest) {
        (uint256 first, uint256 count) = _readRange(ranges);
        assembly ("memory-safe") {
            // Lanes that are not in use hold 0, an end that no offset reaches.
            mstore(map, 0)
            mstore(add(map, 0x20), 0)
            mstore(add(map, 0x40), 0)
            mstore(add(map, 0x60), 0)
            mstore(add(map, SHIFTS_OFFSET), first)
            mstore(add(map, SLICE_COUNT_OFFSET), count)
            mstore(add(map, SPREAD_OFFSET), 0)
            // Both are below 2^48, so nothing wraps unless both are 0, which is refused.
            largest := sub(add(first, count), 1)
            largest := mul(largest, and(and(gt(first, 0), gt(count, 0)), lt(largest, INDEX_LIMIT)))
        }
    }

    /// @dev Writes lanes, shifts and the number of slices.
    /// @return largest the last index; 0 when the ranges are not of the protocol
    function _mapRanges(bytes memory ranges, uint256 map) private pure returns (uint256 largest) {
        assembly ("memory-safe") {
            let rangesBytes := mload(ranges)
            let ok := and(lt(rangesBytes, add(MAX_RANGES_BYTES, 1)), iszero(mod(rangesBytes, RANGE_BYTES)))
            // Lanes that are not in use hold 0, an end that no offset reaches.
            mstore(map, 0)
            mstore(add(map, 0x20), 0)
            mstore(add(map, 0x40), 0)
            mstore(add(map, 0x60), 0)
            let sliceCount := 0
            let lane := 0
            let shift := add(map, SHIFTS_OFFSET)
            let range := add(ranges, 0x20)
            for {
                let end := add(range, mul(rangesBytes, ok))
            } lt(range, end) {
                range := add(range, RANGE_BYTES)
                shift := add(shift, 0x20)
            } {
                // The end of the range before, which is therefore not the last one.
                if sliceCount {
                    let lanes := add(map, shl(5, shr(8, lane)))
                    mstore(lanes, or(mload(lanes), shl(and(lane, 0xff), sub(LANE_LIMIT, sliceCount))))
                    lane := add(lane, 32)
                }
                let first := shr(208, mload(range))
                let count := and(shr(160, mload(range)), 0xffffffffffff)
                ok := and(ok, and(gt(first, largest), gt(count, 0)))
                mstore(shift, sub(first, sliceCount))
                sliceCount := add(sliceCount, count)
                largest := sub(add(first, count), 1)
                ok := and(ok, lt(largest, INDEX_LIMIT))
            }
            ok := and(ok, or(iszero(lane), lt(sliceCount, LANE_LIMIT)))
            mstore(add(map, SLICE_COUNT_OFFSET), sliceCount)
            mstore(add(map, SPREAD_OFFSET), mul(LANE_ONES, gt(lane, 0)))
            largest := mul(largest, ok)
        }
    }

    /// @dev Writes the table of powers for indices up to `largest`, and the addresses of its lowest positions.
    function _tabulate(uint256 rho, uint256 largest, uint256 map) private pure {
        uint256 table;
        assembly ("memory-safe") {
            table := add(map, TABLE_OFFSET)
            let levels := add(map, LEVELS_OFFSET)
            mstore(levels, table)
            mstore(add(levels, 0x20), add(table, LEVEL_BYTES))
            mstore(add(levels, 0x40), add(table, mul(2, LEVEL_BYTES)))
        }
        _tabulatePowers(rho, largest, table, DIGIT_BITS, MINIMUM_LEVELS);
    }

    /// @dev The same with four positions: two of 5 bits, then two of 4.
    /// @return levels where the addresses of the positions are, at the end of the memory in use
    function _tabulateFew(uint256 rho, uint256 largest) private pure returns (uint256 levels) {
        uint256 table;
        assembly ("memory-safe") {
            levels := mload(0x40)
            table := add(levels, 0x80)
            mstore(levels, table)
            mstore(add(levels, 0x20), add(table, 0x400))
            mstore(add(levels, 0x40), add(table, 0x800))
            mstore(add(levels, 0x60), add(table, 0xa00))
            mstore(0x40, add(table, 0xc00))
        }
        rho = _tabulatePowers(rho, largest < 1024 ? largest : 1023, table, 5, 2);
        unchecked {
            _tabulatePowers(rho, largest >> 10, table + 0x800, 4, 2);
        }
    }

    /// @dev Writes ρ^(digit·2^(bits·position)) for the digits of all positions that indices up to `largest` have, and
    /// of at least `positions`. In positions that no index reaches the only digit is 0, and only its power, 1, is
    /// written; in the highest position only the digits up to that of `largest` are.
    /// @param entry where the table begins
    /// @param bits of a digit, 4 or more: powers are written by sixteens
    /// @return next ρ^(2^(bits·positions)), if `largest` takes that many positions, all of them full
    function _tabulatePowers(
        uint256 rho,
        uint256 largest,
        uint256 entry,
        uint256 bits,
        uint256 positions
    ) private pure returns (uint256 next) {
        assembly ("memory-safe") {
            let levelBytes := shl(bits, 0x20)
            for {
                let required := add(entry, mul(positions, levelBytes))
            } or(largest, lt(entry, required)) {
                largest := shr(bits, largest)
            } {
                let behind := add(entry, levelBytes)
                mstore(entry, 1)
                if largest {
                    let end := behind
                    if iszero(shr(bits, largest)) {
                        end := add(entry, shl(5, add(largest, 1)))
                    }
                    // Sixteen powers per iteration.
                    let power := 1
                    for {} lt(entry, end) {
                        entry := add(entry, 0x200)
                    } {
                        mstore(entry, power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x20), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x40), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x60), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x80), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0xa0), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0xc0), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0xe0), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x100), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x120), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x140), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x160), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x180), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x1a0), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x1c0), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                        mstore(add(entry, 0x1e0), power)
                        power := mulmod(power, rho, GROUP_ORDER)
                    }
                    rho := power
                }
                entry := behind
            }
            next := rho
        }
    }

    /// @dev Adds ν_t·ρ^(i_t) of the draws t < `end`, an even number, from one range of indices below 2^18, with the
    /// table for few draws. With h_t = keccak(id ‖ t), the index comes from its low half, ν_t is its high half.
    function _sumFewPairs(
        bytes32 id,
        uint256 end,
        uint256 first,
        uint256 sliceCount,
        uint256 levels,
        uint256 start
    ) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := start
            let lowest := mload(levels)
            let second := mload(add(levels, 0x20))
            let third := mload(add(levels, 0x40))
            let highest := mload(add(levels, 0x60))
            mstore(0x00, id)
            for {} end {} {
                end := sub(end, 2)
                mstore(0x20, end)
                let hash := keccak256(0x00, 0x40)
                let index := add(first, mod(and(hash, 0xffffffffffffffffffffffffffffffff), sliceCount))
                // A digit becomes a byte offset into its part of the table: 32 words of 32 bytes, or 16.
                let terms := mulmod(
                    mulmod(
                        mload(add(lowest, and(shl(5, index), 0x3e0))),
                        mload(add(second, and(index, 0x3e0))),
                        GROUP_ORDER
                    ),
                    mulmod(
                        mulmod(
                            mload(add(third, and(shr(5, index), 0x1e0))),
                            mload(add(highest, and(shr(9, index), 0x1e0))),
                            GROUP_ORDER
                        ),
                        shr(128, hash),
                        GROUP_ORDER
                    ),
                    GROUP_ORDER
                )
                mstore(0x20, or(end, 1))
                hash := keccak256(0x00, 0x40)
                index := add(first, mod(and(hash, 0xffffffffffffffffffffffffffffffff), sliceCount))
                // Two terms are below 2r < 2^256, so one reduction serves both.
                terms := add(
                    terms,
                    mulmod(
                        mulmod(
                            mload(add(lowest, and(shl(5, index), 0x3e0))),
                            mload(add(second, and(index, 0x3e0))),
                            GROUP_ORDER
                        ),
                        mulmod(
                            mulmod(
                                mload(add(third, and(shr(5, index), 0x1e0))),
                                mload(add(highest, and(shr(9, index), 0x1e0))),
                                GROUP_ORDER
                            ),
                            shr(128, hash),
                            GROUP_ORDER
                        ),
                        GROUP_ORDER
                    )
                )
                value := addmod(value, terms, GROUP_ORDER)
            }
        }
    }

    /// @dev The term of the draw t in the same table: the last one of an odd number.
    function _fewTerm(
        bytes32 id,
        uint256 t,
        uint256 first,
        uint256 sliceCount,
        uint256 levels
    ) private pure returns (uint256 term) {
        assembly ("memory-safe") {
            mstore(0x00, id)
            mstore(0x20, t)
            term := keccak256(0x00, 0x40)
            let index := add(first, mod(and(term, 0xffffffffffffffffffffffffffffffff), sliceCount))
            term := mulmod(shr(128, term), mload(add(mload(levels), and(shl(5, index), 0x3e0))), GROUP_ORDER)
            term := mulmod(term, mload(add(mload(add(levels, 0x20)), and(index, 0x3e0))), GROUP_ORDER)
            term := mulmod(term, mload(add(mload(add(levels, 0x40)), and(shr(5, index), 0x1e0))), GROUP_ORDER)
            term := mulmod(term, mload(add(mload(add(levels, 0x60)), and(shr(9, index), 0x1e0))), GROUP_ORDER)
        }
    }

    /// @dev Adds ν_t·ρ^(i_t) of the draws t < `end`, an even number, from one range of indices below 2^18. With
    /// h_t = keccak(id ‖ t), the index comes from its low half, ν_t is its high half.
    function _sumPairs(bytes32 id, uint256 end, uint256 map, uint256 start) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := start
            let sliceCount := mload(add(map, SLICE_COUNT_OFFSET))
            let first := mload(add(map, SHIFTS_OFFSET))
            let low := mload(add(map, LEVELS_OFFSET))
            let middle := mload(add(map, add(LEVELS_OFFSET, 0x20)))
            let high := mload(add(map, add(LEVELS_OFFSET, 0x40)))
            mstore(0x00, id)
            for {} end {} {
                end := sub(end, 2)
                mstore(0x20, end)
                let hash := keccak256(0x00, 0x40)
                let index := add(first, mod(and(hash, 0xffffffffffffffffffffffffffffffff), sliceCount))
                // A digit becomes a byte offset into its part of the table: 64 words of 32 bytes.
                let terms := mulmod(
                    mulmod(
                        mload(add(low, and(shl(5, index), 0x7e0))),
                        mload(add(middle, and(shr(1, index), 0x7e0))),
                        GROUP_ORDER
                    ),
                    mulmod(mload(add(high, and(shr(7, index), 0x7e0))), shr(128, hash), GROUP_ORDER),
                    GROUP_ORDER
                )
                mstore(0x20, or(end, 1))
                hash := keccak256(0x00, 0x40)
                index := add(first, mod(and(hash, 0xffffffffffffffffffffffffffffffff), sliceCount))
                // Two terms are below 2r < 2^256, so one reduction serves both.
                terms := add(
                    terms,
                    mulmod(
                        mulmod(
                            mload(add(low, and(shl(5, index), 0x7e0))),
                            mload(add(middle, and(shr(1, index), 0x7e0))),
                            GROUP_ORDER
                        ),
                        mulmod(mload(add(high, and(shr(7, index), 0x7e0))), shr(128, hash), GROUP_ORDER),
                        GROUP_ORDER
                    )
                )
                value := addmod(value, terms, GROUP_ORDER)
            }
        }
    }

    /// @dev The same from up to 17 ranges.
    function _sumPairsOfRanges(
        bytes32 id,
        uint256 end,
        uint256 map,
        uint256 start
    ) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := start
            let sliceCount := mload(add(map, SLICE_COUNT_OFFSET))
            let lanes := mload(map)
            let moreLanes := mload(add(map, 0x20))
            let low := mload(add(map, LEVELS_OFFSET))
            let middle := mload(add(map, add(LEVELS_OFFSET, 0x20)))
            let high := mload(add(map, add(LEVELS_OFFSET, 0x40)))
            mstore(0x00, id)
            for {} end {} {
                end := sub(end, 2)
                mstore(0x20, end)
                let hash := keccak256(0x00, 0x40)
                let index := mod(and(hash, 0xffffffffffffffffffffffffffffffff), sliceCount)
                let spread := mul(index, LANE_ONES)
                let reached := add(
                    and(shr(31, add(spread, lanes)), LANE_ONES),
                    and(shr(31, add(spread, moreLanes)), LANE_ONES)
                )
                // The sum of the lanes is the number of ends that the offset has reached; 2^219 makes it an address.
                index := add(index, mload(add(add(map, SHIFTS_OFFSET), shr(219, mul(reached, LANE_ONES)))))
                let terms := mulmod(
                    mulmod(
                        mload(add(low, and(shl(5, index), 0x7e0))),
                        mload(add(middle, and(shr(1, index), 0x7e0))),
                        GROUP_ORDER
                    ),
                    mulmod(mload(add(high, and(shr(7, index), 0x7e0))), shr(128, hash), GROUP_ORDER),
                    GROUP_ORDER
                )
                mstore(0x20, or(end, 1))
                hash := keccak256(0x00, 0x40)
                index := mod(and(hash, 0xffffffffffffffffffffffffffffffff), sliceCount)
                spread := mul(index, LANE_ONES)
                reached := add(
                    and(shr(31, add(spread, lanes)), LANE_ONES),
                    and(shr(31, add(spread, moreLanes)), LANE_ONES)
                )
                index := add(index, mload(add(add(map, SHIFTS_OFFSET), shr(219, mul(reached, LANE_ONES)))))
                terms := add(
                    terms,
                    mulmod(
                        mulmod(
                            mload(add(low, and(shl(5, index), 0x7e0))),
                            mload(add(middle, and(shr(1, index), 0x7e0))),
                            GROUP_ORDER
                        ),
                        mulmod(mload(add(high, and(shr(7, index), 0x7e0))), shr(128, hash), GROUP_ORDER),
                        GROUP_ORDER
                    )
                )
                value := addmod(value, terms, GROUP_ORDER)
            }
        }
    }

    /// @dev Σ ν_t·ρ^(i_t) over all draws, from one range of any indices.
    function _sumDraws(bytes32 id, uint256 t, uint256 map) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            let sliceCount := mload(add(map, SLICE_COUNT_OFFSET))
            let first := mload(add(map, SHIFTS_OFFSET))
            let low := mload(add(map, LEVELS_OFFSET))
            mstore(0x00, id)
            for {} t {} {
                t := sub(t, 1)
                mstore(0x20, t)
                let term := keccak256(0x00, 0x40)
                let index := add(first, mod(and(term, 0xffffffffffffffffffffffffffffffff), sliceCount))
                term := mulmod(
                    mulmod(
                        mload(add(low, and(shl(5, index), 0x7e0))),
                        mload(add(add(low, 0x800), and(shr(1, index), 0x7e0))),
                        GROUP_ORDER
                    ),
                    mulmod(
                        mulmod(
                            mload(add(add(low, 0x1000), and(shr(7, index), 0x7e0))),
                            mload(add(add(low, 0x1800), and(shr(13, index), 0x7e0))),
                            GROUP_ORDER
                        ),
                        shr(128, term),
                        GROUP_ORDER
                    ),
                    GROUP_ORDER
                )
                // The digits above the highest one that is not 0 have the power 1.
                index := shr(24, index)
                if index {
                    let level := add(low, 0x2000)
                    for {} index {
                        level := add(level, LEVEL_BYTES)
                        index := shr(6, index)
                    } {
                        term := mulmod(term, mload(add(level, and(shl(5, index), 0x7e0))), GROUP_ORDER)
                    }
                }
                value := addmod(value, term, GROUP_ORDER)
            }
        }
    }

    /// @dev Σ ν_t·ρ^(i_t) over the draws t from `start` to `end` − 1, for any ranges and indices.
    function _sumDrawsOfRanges(
        bytes32 id,
        uint256 start,
        uint256 end,
        uint256 map
    ) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            mstore(0x00, id)
            for {} lt(start, end) {
                start := add(start, 1)
            } {
                mstore(0x20, start)
                let term := keccak256(0x00, 0x40)
                let index := mod(and(term, 0xffffffffffffffffffffffffffffffff), mload(add(map, SLICE_COUNT_OFFSET)))
                term := shr(128, term)
                // With one range there are no lanes, and its offsets may be longer than a lane.
                let spread := mul(index, mload(add(map, SPREAD_OFFSET)))
                let reached := add(
                    add(
                        and(shr(31, add(spread, mload(map))), LANE_ONES),
                        and(shr(31, add(spread, mload(add(map, 0x20)))), LANE_ONES)
                    ),
                    add(
                        and(shr(31, add(spread, mload(add(map, 0x40)))), LANE_ONES),
                        and(shr(31, add(spread, mload(add(map, 0x60)))), LANE_ONES)
                    )
                )
                index := add(index, mload(add(add(map, SHIFTS_OFFSET), shr(219, mul(reached, LANE_ONES)))))
                let level := add(map, TABLE_OFFSET)
                term := mulmod(
                    mulmod(
                        mulmod(
                            mload(add(level, and(shl(5, index), 0x7e0))),
                            mload(add(add(level, 0x800), and(shr(1, index), 0x7e0))),
                            GROUP_ORDER
                        ),
                        mload(add(add(level, 0x1000), and(shr(7, index), 0x7e0))),
                        GROUP_ORDER
                    ),
                    mulmod(mload(add(add(level, 0x1800), and(shr(13, index), 0x7e0))), term, GROUP_ORDER),
                    GROUP_ORDER
                )
                // The digits above the highest one that is not 0 have the power 1.
                for {
                    level := add(level, 0x2000)
                    index := shr(24, index)
                } index {
                    level := add(level, LEVEL_BYTES)
                    index := shr(6, index)
                } {
                    term := mulmod(term, mload(add(level, and(shl(5, index), 0x7e0))), GROUP_ORDER)
                }
                value := addmod(value, term, GROUP_ORDER)
            }
        }
    }

    /// @dev Multiplies everything of set k by w_k = hash(tag ‖ T ‖ k), w_0 = 1, T the hash of all records: exponents of
    /// factors that are fixed before the weights are known. Joins the σ_k in the first pair.
    function _weigh(uint256 pairs, uint256 records, uint256 terms, uint256 count) private view returns (bool ok) {
        bytes32 batchTag = BATCH_TAG;
        uint256 hashed;
        uint256 sums;
        uint256 term;
        assembly ("memory-safe") {
            hashed := mload(0x40)
            mstore(hashed, batchTag)
            mstore(add(hashed, 0x20), keccak256(records, mul(count, RECORD_BYTES)))
            term := add(hashed, 0x60)
            sums := add(term, MSM_TERM_BYTES)
            mstore(0x40, add(sums, mul(count, MSM_TERM_BYTES)))
        }
        ok = true;
        for (uint256 k = 0; k < count && ok; ++k) {
            uint256 record;
            assembly ("memory-safe") {
                record := add(records, mul(k, RECORD_BYTES))
            }
            uint256 weight = 1;
            if (k != 0) {
                assembly ("memory-safe") {
                    mstore(add(hashed, 0x40), k)
                    weight := mod(keccak256(hashed, 0x60), GROUP_ORDER)
                    let scalar := add(add(terms, mul(k, TERMS_BYTES)), 0x80)
                    mstore(scalar, mulmod(mload(scalar), weight, GROUP_ORDER))
                    scalar := add(scalar, MSM_TERM_BYTES)
                    mstore(scalar, mulmod(mload(scalar), weight, GROUP_ORDER))
                    scalar := add(scalar, MSM_TERM_BYTES)
                    mstore(scalar, mulmod(mload(scalar), weight, GROUP_ORDER))
                }
                uint256 own = _ownPairs(pairs, k);
                unchecked {
                    ok =
                        _multiply(own + PAIR_BYTES, term, record + PSI_OFFSET, weight) &&
                        _multiply(own + 2 * PAIR_BYTES, term, record + W_OFFSET, weight);
                }
            }
            unchecked {
                _storeTerm(sums + k * MSM_TERM_BYTES, record + SIGMA_OFFSET, weight);
            }
        }
        unchecked {
            return ok && _call(G1_MSM, sums, count * MSM_TERM_BYTES, pairs, G1_BYTES);
        }
    }

    /// @dev Sums the terms of every set into its pair with X, then calls the pairing.
    function _checkPairs(uint256 pairs, uint256 terms, uint256 count) private view returns (bool valid) {
        unchecked {
            uint256 k;
            do {
                valid = _call(G1_MSM, terms + k * TERMS_BYTES, TERMS_BYTES, _ownPairs(pairs, k), G1_BYTES);
            } while (valid && ++k < count);
            if (valid) valid = _call(PAIRING, pairs, (1 + 3 * count) * PAIR_BYTES, 0x00, 0x20);
        }
        assembly ("memory-safe") {
            valid := and(valid, eq(mload(0x00), 1))
        }
    }

    /// @dev Writes scalar · point to `target`, with memory for one term at `work`.
    function _multiply(uint256 target, uint256 work, uint256 point, uint256 scalar) private view returns (bool) {
        _storeTerm(work, point, scalar);
        return _call(G1_MSM, work, MSM_TERM_BYTES, target, G1_BYTES);
    }

    /// @dev Writes one term of a multi-scalar multiplication.
    function _storeTerm(uint256 target, uint256 point, uint256 scalar) private pure {
        assembly ("memory-safe") {
            mcopy(target, point, G1_BYTES)
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
