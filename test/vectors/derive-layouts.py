"""Derives the vectors of layouts that no standard has vectors for, from docs/spec.md alone.

Writes sharing.json, record-layouts.json, chain-layouts.json, audit-layouts.json, session.json, eip712.json,
run-messages.json, daemon-keys.json, randomness.json, data-set.json, evidence.json and assignment.json. It shares
nothing with offchain/: Python's hashlib, the package `cryptography` (X25519, ChaCha20-Poly1305, AES-GCM,
AES-GCM-SIV), and arithmetic of its own for Keccak-256, secp256k1, BLS12-381, GF(2^8) and logarithms.
Run it from this folder to derive them again:

    python3 derive-layouts.py
"""

import base64
import hashlib
import hmac
import json
from decimal import Decimal, localcontext
from fractions import Fraction

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SOURCE = "derive-layouts.py"


# Hashes and keys


def sha256(data):
    return hashlib.sha256(data).digest()


def tag(label):
    return ("tallystick/v1/" + label).encode() + b"\0"


def hkdf_expand(prk, info, length):
    okm, block, counter = b"", b"", 1
    while len(okm) < length:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        okm, counter = okm + block, counter + 1
    return okm[:length]


def hkdf_extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def kdf(key, label, info=b"", length=32):
    return hkdf_expand(hkdf_extract(b"", key), tag(label) + info, length)


def keccak256(data):
    """Keccak-f[1600], rate 136, the padding Ethereum uses (0x01, not SHA-3's 0x06)."""
    mask = (1 << 64) - 1

    def rotate(value, by):
        return ((value << by) | (value >> (64 - by))) & mask if by else value

    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register >> 7 else 0)
        constants.append(constant)
    padded = bytearray(data) + b"\1" + bytes(-(len(data) + 1) % 136)
    padded[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), 136):
        for i in range(17):
            lanes[i % 5][i // 5] ^= int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little")
        for constant in constants:
            c = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)]
            d = [c[(x + 4) % 5] ^ rotate(c[(x + 1) % 5], 1) for x in range(5)]
            lanes = [[lanes[x][y] ^ d[x] for y in range(5)] for x in range(5)]
            (x, y), current = (1, 0), lanes[1][0]
            for t in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                current, lanes[x][y] = lanes[x][y], rotate(current, (t + 1) * (t + 2) // 2 % 64)
            for y in range(5):
                row = [lanes[x][y] for x in range(5)]
                for x in range(5):
                    lanes[x][y] = row[x] ^ (~row[(x + 1) % 5] & mask & row[(x + 2) % 5])
            lanes[0][0] ^= constant
    return b"".join(lanes[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def u(value, length):
    return value.to_bytes(length, "big")


def hexed(data):
    return "0x" + data.hex()


def unhexed(text):
    return bytes.fromhex(text.removeprefix("0x"))


def word(value):
    """One static ABI word: a number, 32 bytes, or an address of 20 bytes."""
    return u(value, 32) if isinstance(value, int) else bytes(32 - len(value)) + value


# secp256k1 (SEC 2), signatures with the nonce of RFC 6979

P = 2**256 - 2**32 - 977
Q = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GENERATOR = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(left, right, p):
    """Addition on y^2 = x^3 + b; None is the identity."""
    if left is None or right is None:
        return left or right
    if left[0] == right[0]:
        if (left[1] + right[1]) % p == 0:
            return None
        slope = 3 * left[0] * left[0] * pow(2 * left[1], -1, p) % p
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, p) % p
    x = (slope * slope - left[0] - right[0]) % p
    return x, (slope * (left[0] - x) - left[1]) % p


def multiply(scalar, point, p):
    result = None
    while scalar:
        if scalar & 1:
            result = add(result, point, p)
        point, scalar = add(point, point, p), scalar >> 1
    return result


def address_of(private_key):
    x, y = multiply(int.from_bytes(private_key, "big"), GENERATOR, P)
    return keccak256(u(x, 32) + u(y, 32))[12:]


def checksummed(address):
    """EIP-55."""
    digits = address.hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if int(m, 16) >= 8 else d for d, m in zip(digits, marks))


def sign(digest, private_key):
    """r, s (low) and v (27 or 28), 65 bytes."""
    key = int.from_bytes(private_key, "big")
    k, v = bytes(32), b"\1" * 32
    message = u(int.from_bytes(digest, "big") % Q, 32)
    for separator in (b"\0", b"\1"):
        k = hmac.new(k, v + separator + private_key + message, hashlib.sha256).digest()
        v = hmac.new(k, v, hashlib.sha256).digest()
    v = hmac.new(k, v, hashlib.sha256).digest()
    nonce = int.from_bytes(v, "big")
    assert 0 < nonce < Q
    point = multiply(nonce, GENERATOR, P)
    r = point[0] % Q
    s = pow(nonce, -1, Q) * (int.from_bytes(digest, "big") + r * key) % Q
    parity = point[1] & 1
    if s > Q // 2:
        s, parity = Q - s, parity ^ 1
    return u(r, 32) + u(s, 32) + bytes([27 + parity])


def ownership_key(file_key):
    seed = int.from_bytes(kdf(file_key, "ownership", b"", 48), "big")
    return u(seed % (Q - 1) + 1, 32)


# EIP-712


def typed_digest(chain_id, contract, type_text, *values):
    domain_end = ",address verifyingContract)" if contract else ")"
    domain_type = "EIP712Domain(string name,string version,uint256 chainId" + domain_end
    domain = keccak256(domain_type.encode()) + keccak256(b"Tallystick") + keccak256(b"1") + word(chain_id)
    domain = keccak256(domain + (word(contract) if contract else b""))
    # EIP-712 hashes the members of an array, one after the other.
    words = (keccak256(b"".join(map(word, value))) if isinstance(value, list) else word(value) for value in values)
    message = keccak256(keccak256(type_text.encode()) + b"".join(words))
    return keccak256(b"\x19\x01" + domain + message)


# HPKE (RFC 9180), base mode, with the ephemeral key given

SUITE_KEM = b"KEM" + u(0x0020, 2)
SUITE_HPKE = b"HPKE" + u(0x0020, 2) + u(0x0001, 2) + u(0x0003, 2)


def labeled_extract(suite, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return hkdf_expand(prk, u(length, 2) + b"HPKE-v1" + suite + label + info, length)


def hpke_private_key(seed):
    return labeled_expand(SUITE_KEM, labeled_extract(SUITE_KEM, b"", b"dkp_prk", seed), b"sk", b"", 32)


def public_key(private_key):
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def hpke_seal(recipient, info, aad, plaintext, ephemeral):
    enc = public_key(ephemeral)
    shared = X25519PrivateKey.from_private_bytes(ephemeral).exchange(X25519PublicKey.from_public_bytes(recipient))
    extracted = labeled_extract(SUITE_KEM, b"", b"eae_prk", shared)
    secret = labeled_expand(SUITE_KEM, extracted, b"shared_secret", enc + recipient, 32)
    context = (b"\0" + labeled_extract(SUITE_HPKE, b"", b"psk_id_hash", b"")
               + labeled_extract(SUITE_HPKE, b"", b"info_hash", info))
    schedule = labeled_extract(SUITE_HPKE, secret, b"secret", b"")
    key = labeled_expand(SUITE_HPKE, schedule, b"key", context, 32)
    nonce = labeled_expand(SUITE_HPKE, schedule, b"base_nonce", context, 12)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


# Ramp sharing


def gf_multiply(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def split(secret, context, n, k, r):
    length = -(-len(secret) // (k - r))
    padded = secret + bytes(length * (k - r) - len(secret))
    pieces = [padded[i * length : (i + 1) * length] for i in range(k - r)]
    pieces += [kdf(secret, "ramp-sharing", bytes([k, r, i]) + context, length) for i in range(r)]
    shares = []
    for j in range(1, n + 1):
        share = bytearray(length)
        power = 1
        for piece in pieces:
            share = bytearray(s ^ gf_multiply(power, b) for s, b in zip(share, piece))
            power = gf_multiply(power, j)
        shares.append(bytes(share))
    return shares


# BLS12-381 G1, x and y

BLS_P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
BLS_R = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
BLS_G1 = (
    0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB,
    0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1,
)


def g1(scalar):
    x, y = multiply(scalar % BLS_R, BLS_G1, BLS_P)
    return u(x, 48) + u(y, 48)


# Vectors


def write(name, value):
    with open(name, "w") as file:
        json.dump({"source": SOURCE, **value}, file, indent=2, ensure_ascii=True)
        file.write("\n")


def sharing_vectors():
    cases = []
    for size, (n, k, r) in ((64, (5, 3, 2)), (33, (5, 4, 2)), (7, (3, 3, 0)), (1, (1, 1, 0)), (100, (255, 9, 4))):
        secret = bytes((7 * i + size) % 256 for i in range(size))
        context = bytes(range(size, size + n % 4))
        shares = split(secret, context, n, k, r)
        kept = range(n) if n <= 5 else (0, 1, 254)
        cases.append(
            {
                "secret": hexed(secret),
                "context": hexed(context),
                "parameters": {"shares": n, "threshold": k, "privacy": r},
                "shares": {str(j + 1): hexed(shares[j]) for j in kept},
            }
        )
    return {"deterministic": cases}


def record(case, recipients, n, k, r):
    code = {"shares": 1, "self": 2}[recipients]
    ledger = sha256(b"key ledger")[:20]
    deployment = u(31337, 8) + ledger
    file_key, data_digest = sha256(b"file key " + case), sha256(b"root recipe " + case)
    account, committee, key_time = sha256(b"account")[:20], 3, 1_790_000_000
    file_tag = sha256(tag("file-tag") + data_digest)
    scope = keccak256(word(account) + file_tag)
    secret = file_key + hmac.new(file_key, data_digest, hashlib.sha256).digest()
    context = deployment + account + file_tag + u(committee, 8) + u(key_time, 8)
    shares = split(secret, context, n, k, r) if n else []
    commitments = [sha256(tag("share") + scope + u(j, 4) + share) for j, share in enumerate(shares, 1)]
    catalogue_key = sha256(b"catalogue key")
    self_aad = tag("self-envelope") + deployment + scope
    self_envelope = b"\1" + AESGCMSIV(catalogue_key).encrypt(scope[:12], data_digest + file_key, self_aad)
    seeds = [sha256(b"recipient %d" % j) for j in range(1, n + 1)]
    envelopes = []
    for j, share in enumerate(shares, 1):
        aad = context + u(j, 4)
        recipient = public_key(hpke_private_key(seeds[j - 1]))
        envelopes.append(hpke_seal(recipient, tag("share-envelope"), aad, share, sha256(case + b" ephemeral %d" % j)))
    sharing = bytes([n, k, r]) if recipients == "shares" else b""
    payload = bytes([1, code]) + self_envelope + sharing + b"".join(commitments) + b"".join(envelopes)
    ownership = address_of(ownership_key(file_key))
    header = word(account) + file_tag + word(committee) + word(key_time) + word(ownership) + keccak256(payload)
    asker, session_seed = sha256(b"later owner")[:20], sha256(b"session")
    reply_aad = deployment + scope + u(key_time, 8) + u(1, 4) + asker
    session = public_key(hpke_private_key(session_seed))
    replies = [hpke_seal(session, tag("share-reply"), reply_aad, share, sha256(case + b" reply"))
               for share in shares[:1]]
    generation, holder, holder_seed = 7, sha256(b"holder")[:20], sha256(b"holder of share 2")
    delivery_aad = context + u(2, 4) + u(generation, 4) + holder
    holder_key = public_key(hpke_private_key(holder_seed))
    deliveries = [hpke_seal(holder_key, tag("share-delivery"), delivery_aad, share, sha256(case + b" delivery"))
                  for share in shares[1:2]]
    return {
        "chainId": "31337",
        "keyLedger": checksummed(ledger),
        "recipients": recipients,
        "policy": {"shares": n, "threshold": k, "privacy": r},
        "fileKey": hexed(file_key),
        "dataId": "b" + base64.b32encode(b"\x01\x55\x12\x20" + data_digest).decode().lower().rstrip("="),
        "account": checksummed(account),
        "fileTag": hexed(file_tag),
        "committeeId": str(committee),
        "keyTime": str(key_time),
        "ownershipKey": checksummed(ownership),
        "catalogueKey": hexed(catalogue_key),
        "recipientSeeds": [hexed(seed) for seed in seeds],
        "fileScope": hexed(scope),
        "payload": hexed(payload),
        "recordId": hexed(keccak256(header)),
        "replies": [
            {"index": 1, "account": checksummed(asker), "sessionSeed": hexed(session_seed), "sealed": hexed(reply)}
            for reply in replies
        ],
        "deliveries": [
            {"index": 2, "generation": generation, "recipient": checksummed(holder),
             "recipientSeed": hexed(holder_seed), "sealed": hexed(delivery)}
            for delivery in deliveries
        ],
    }


def chain_vectors():
    keys = [sha256(b"key %d" % j) for j in range(8)]
    # abi.encode of a struct with two arrays: offset of the struct; its head (values, offsets); length and items of
    # each.
    oprf_shares, record_shares = keys[2:5], keys[5:8]
    head = keys[0] + keys[1] + word(128) + word(128 + 32 + 3 * 32)
    arrays = word(3) + b"".join(oprf_shares) + word(3) + b"".join(record_shares)
    return {
        "keyMaterial": {
            "oprfPublicKey": hexed(keys[0]),
            "recordPublicKey": hexed(keys[1]),
            "oprfShares": [hexed(key) for key in oprf_shares],
            "recordShares": [hexed(key) for key in record_shares],
        },
        "keyMaterialHash": hexed(keccak256(word(32) + head + arrays)),
    }


def rlp(item):
    """Of a list, a byte string, or a number."""
    if isinstance(item, int):
        item = u(item, (item.bit_length() + 7) // 8)
    if isinstance(item, bytes) and len(item) == 1 and item[0] < 0x80:
        return item
    short, content = (0xC0, b"".join(map(rlp, item))) if isinstance(item, list) else (0x80, item)
    if len(content) <= 55:
        return bytes([short + len(content)]) + content
    length = u(len(content), (len(content).bit_length() + 7) // 8)
    return bytes([short + 55 + len(length)]) + length + content


def decompressed(point):
    """A compressed point of G1 as x and y in the form of EIP-2537: 64 bytes each."""
    x = int.from_bytes(point, "big") & ((1 << 381) - 1)
    y = pow(x**3 + 4, (BLS_P + 1) // 4, BLS_P)
    assert point[0] & 0x80 and (y * y - x**3 - 4) % BLS_P == 0
    is_larger = bool(point[0] & 0x20)
    return u(x, 64) + u(y if (y > BLS_P // 2) == is_larger else BLS_P - y, 64)


def randomness_vectors():
    # Round 1000 of drand's network "quicknet".
    genesis, period, margin, round_number = 1692803367, 3, 30, 1000
    signature = decompressed(bytes.fromhex(
        "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"))
    sources = []
    for kind, number in (("prevrandao", 9), ("drand", 10)):
        timestamp = genesis + (round_number - 1) * period - margin
        mix = sha256(b"mix of block %d" % number)
        hashes = [sha256(b"field %d" % i) for i in range(9)]
        header = rlp([hashes[0], hashes[1], sha256(b"beneficiary")[:20], hashes[2], hashes[3], hashes[4], bytes(256), 0,
                      number, 36_000_000, 21_000, timestamp, b"vector", mix, bytes(8), 7, hashes[5], 0, 131072,
                      hashes[6], hashes[7]])
        tag_hash = keccak256(b"tallystick/v1/randomness-" + kind.encode())
        proven = mix if kind == "prevrandao" else keccak256(signature)
        entry = u(number, 8) + keccak256(tag_hash + proven + word(number))[8:]
        sources.append({
            "kind": kind,
            "blockNumber": str(number),
            "header": hexed(header),
            "evidence": hexed(header if kind == "prevrandao" else u(round_number, 8) + signature + header),
            "entry": hexed(entry),
            "randomness": hexed(keccak256(entry)),
        })
    return {"sources": sources}


def audit_challenge(seed, ranges, sample_count):
    """The id and the indices of an audit challenge, from the list of its ranges."""
    packed = b"".join(u(first, 6) + u(count, 6) for first, count in ranges)
    label = keccak256(b"tallystick/v2/audit-challenge")
    challenge_id = keccak256(label + seed + keccak256(packed) + u(sample_count, 32))
    indices = []
    for t in range(sample_count):
        rest = int.from_bytes(keccak256(challenge_id + u(t, 32)), "big") % 2**128
        rest %= sum(count for _, count in ranges)
        for first, count in ranges:
            if rest < count:
                indices.append(first + rest)
                break
            rest -= count
    return {
        "seed": hexed(seed),
        "ranges": [{"firstIndex": first, "count": count} for first, count in ranges],
        "sampleCount": sample_count,
        "packed": hexed(packed),
        "id": hexed(challenge_id),
        "indices": indices,
    }


def audit_vectors():
    audit_seed = b"\1" * 32
    salt = b"\2" * 32
    alpha = int.from_bytes(kdf(audit_seed, "data-set-alpha", salt, 48), "big") % BLS_R
    beta = int.from_bytes(kdf(audit_seed, "data-set-beta", salt, 48), "big") % BLS_R
    chunks = [(sha256(b"chunk %d" % n), size) for n, size in ((1, 2097152), (2, 17), (3, 300000))]
    manifest = b"\1" + u(len(chunks), 4) + b"".join(digest + u(size, 4) for digest, size in chunks)
    with open("audit.json") as file:
        proof = json.load(file)["audits"][0]["proof"]
    points = [unhexed(proof[name]) for name in ("sigma", "psi", "W")]
    y = u(int(proof["y"]), 32)
    return {
        "auditSeed": hexed(audit_seed),
        "salt": hexed(salt),
        "powersOfAlpha": [hexed(g1(pow(alpha, j, BLS_R))) for j in (0, 1, 2, 4095)],
        "powersOfBeta": [hexed(g1(pow(beta, i, BLS_R))) for i in (1, 2, 3)],
        "manifestChunks": [{"digest": digest.hex(), "sizeBytes": size} for digest, size in chunks],
        "manifest": hexed(manifest),
        "manifestHash": hexed(sha256(tag("audit-manifest") + manifest)),
        "challenges": [
            audit_challenge(b"\7" * 32, [(1, 1)], 2),
            audit_challenge(b"\7" * 32, [(1, 3), (4, 1), (9, 5)], 12),
            audit_challenge(b"\10" * 32, [(1 + 1000 * k, 7 + k) for k in range(32)], 12),
        ],
        "proofOf": "the first audit of audit.json",
        "publicProof": hexed(b"\2\1" + b"".join(points) + y),
        "privateProof": hexed(b"\2\0" + b"".join(points[:2]) + y),
    }


def session_vectors():
    key, audience, nonce, expires_at = sha256(b"account key"), sha256(b"daemon")[:20], sha256(b"nonce"), 1_790_003_000
    account, contract = address_of(key), sha256(b"contract")[:20]
    type_text = "Session(address account,address audience,bytes32 nonce,uint64 expiresAt)"
    digest = typed_digest(31337, contract, type_text, account, audience, nonce, expires_at)
    token = sha256(b"token")
    return {
        "chainId": 31337,
        "contract": checksummed(contract),
        "signingKey": hexed(key),
        "now": expires_at - 3000,
        "digest": hexed(digest),
        "request": {
            "account": checksummed(account),
            "audience": checksummed(audience),
            "nonce": hexed(nonce),
            "expiresAt": expires_at,
            "signature": hexed(sign(digest, key)),
        },
        "token": base64.urlsafe_b64encode(token).decode().rstrip("="),
        "tokenHash": hexed(sha256(token)),
    }


DATA_SET_UPDATE = (
    "DataSetUpdate(bytes32 dataSetId,uint64 version,uint32 retirements,bytes32 rangesHash,bytes32 contentHash,"
    "uint64 deadlineBlock)"
)


def data_set_vectors():
    """A data set with two levels: its terms, id, ranges and schedule."""
    user = unhexed("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
    provider = unhexed("70997970C51812dc3A010C7d01b50e0d17dc79C8")
    escrow = unhexed("5FbDB2315678afecb367f032d93F642f64180aa3")
    audit_values = {
        "randomness": unhexed("e7f1725E7734CE288F8367e1Bb143E90bb3F0512"),
        "verifier": unhexed("9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0"),
        "keyHash": sha256(b"key"),
        "sliceElements": 8192,
        "sampleCount": 460,
        "phase": 1250,
        "windowBlocks": 300,
        "graceBlocks": 150,
        "disputeBond": 10**15,
        "predecessor": bytes(32),
        "salt": sha256(b"salt"),
    }
    audit_hash = keccak256(b"".join(word(value) for value in audit_values.values()))
    terms_values = {
        "user": user,
        "provider": provider,
        "token": bytes(20),
        "mode": 1,
        "feeFloor": 10**12,
        "feePerSlice": 3 * 10**9,
        "feePerIndex": 10**6,
        "feeCap": 2**80 - 1,
        "collateralPercent": 900,
        "compensationPercent": 200,
        "bountyPercent": 25,
        "latePercent": 50,
        "breachLimit": 4,
        "auditHash": audit_hash,
    }
    id_tag = keccak256(b"tallystick/v2/data-set-id")
    id_words = [id_tag, word(31337), word(escrow)] + [word(value) for value in terms_values.values()]
    lists = [[(1, 4096)], [(1, 1000), (2001, 2090), (4097, 12)], [(1, 2**48 - 2)], []]
    packed = [b"".join(u(first, 6) + u(count, 6) for first, count in ranges) for ranges in lists]
    levels = [
        (70_000, 10**12, 4096, 4096, keccak256(packed[0])),
        (70_003, 2 * 10**12, 3102, 4108, keccak256(packed[1])),
    ]
    schedule = u(5, 8) + u(1, 4) + sha256(b"second content")
    for epoch, fee, count, highest, ranges_hash in levels:
        schedule += u(epoch, 4) + u(fee, 10) + u(count, 6) + u(highest, 6) + ranges_hash

    def shown(values):
        return {name: str(value) if isinstance(value, int) else hexed(value) for name, value in values.items()}

    return {
        "chainId": "31337",
        "escrow": hexed(escrow),
        "auditTerms": shown(audit_values),
        "auditHash": hexed(audit_hash),
        "terms": shown(terms_values),
        "id": hexed(keccak256(b"".join(id_words))),
        "ranges": [
            {"list": [{"firstIndex": first, "count": count} for first, count in ranges], "bytes": hexed(encoded),
             "hash": hexed(keccak256(encoded))}
            for ranges, encoded in zip(lists, packed)
        ],
        "levels": [
            dict(zip(("fromEpoch", "fee", "sliceCount", "highestIndex", "rangesHash"),
                     [str(value) if isinstance(value, int) else hexed(value) for value in level]))
            for level in levels
        ],
        "contentHash": hexed(sha256(b"second content")),
        "schedule": hexed(schedule),
        "scheduleHash": hexed(keccak256(schedule)),
        "updateDigest": hexed(typed_digest(
            31337, escrow, DATA_SET_UPDATE, sha256(b"set"), 6, 1, keccak256(packed[1]), sha256(b"content"), 99)),
        "seed": hexed(keccak256(
            keccak256(b"tallystick/v2/challenge-seed") + word(31337) + word(escrow) + sha256(b"set") + word(700_125)
            + sha256(b"randomness"))),
    }


def commitments_root(seed, first_index, slices):
    """Of slices as lists of pieces: digest, offset, length."""
    level = []
    for position, pieces in enumerate(slices):
        index = u(first_index + position, 6)
        blinding = kdf(seed, "commitment-blinding", index)
        parts = b"".join(digest + u(offset, 4) + u(length, 4) for digest, offset, length in pieces)
        level.append(sha256(tag("commitment-leaf") + sha256(tag("slice-commitment") + blinding + index + parts)))

    def root(leaves):
        if len(leaves) == 1:
            return leaves[0]
        split = 1
        while 2 * split < len(leaves):
            split *= 2
        return sha256(tag("commitment-node") + root(leaves[:split]) + root(leaves[split:]))

    return root(level)


def cbor(value):
    """The profile of section 2: unsigned integers, byte strings and arrays."""
    def head(major, argument):
        for info, limit, size in ((None, 24, 0), (24, 2**8, 1), (25, 2**16, 2), (26, 2**32, 4), (27, 2**64, 8)):
            if argument < limit:
                return bytes([major << 5 | (argument if info is None else info)]) + (u(argument, size) if size else b"")
        raise ValueError("too large")

    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    return head(4, len(value)) + b"".join(cbor(item) for item in value)


def evidence_vectors():
    """The commitments of a segment of three slices, the content hash with it, and a head of evidence."""
    slice_bytes = 31 * 1024
    chunks = [(sha256(b"one"), 2 * slice_bytes + 100), (sha256(b"two"), 50)]
    manifest = u(1, 1) + u(len(chunks), 4) + b"".join(digest + u(size, 4) for digest, size in chunks)
    manifest_hash = sha256(tag("audit-manifest") + manifest)
    audit_seed, salt, segment = sha256(b"audit seed"), sha256(b"salt"), sha256(b"segment")
    seed = kdf(audit_seed, "commitment-seed", salt + segment)
    slices = [
        [(chunks[0][0], 0, slice_bytes)],
        [(chunks[0][0], slice_bytes, slice_bytes)],
        [(chunks[0][0], 2 * slice_bytes, 100), (chunks[1][0], 0, 50)],
    ]
    root = commitments_root(seed, 5, slices)
    before = sha256(b"content before")
    content_hash = keccak256(
        keccak256(b"tallystick/v2/data-set-content") + before + word(5) + word(3) + manifest_hash + root)
    data_set = data_set_vectors()
    terms = b"".join(
        word(int(text)) if text.isdigit() else word(unhexed(text[2:])) for text in data_set["terms"].values())
    audit = b"".join(
        word(int(text)) if text.isdigit() else word(unhexed(text[2:])) for text in data_set["auditTerms"].values())
    index = u(7, 6)
    head = [
        1, 31337, unhexed(data_set["escrow"][2:]), terms, audit, b"\x01" * 256 + b"\x02" * 256 + b"\x03" * 256,
        [0, 6, 1, u(5, 6) + u(3, 6), content_hash, 99, b"\x11" * 65, b"\x22" * 65],
        [sha256(b"challenge"), 8, u(5, 6) + u(3, 6)],
        [0, b"\x02" * 178, b"\x33" * 65],
        [before, [[5, 3, manifest_hash, root]]],
        [[7, kdf(seed, "commitment-blinding", index), [list(piece) for piece in slices[2]], [sha256(b"sibling")]]],
    ]
    return {
        "auditSeed": hexed(audit_seed), "salt": hexed(salt), "segment": hexed(segment), "seed": hexed(seed),
        "manifest": hexed(manifest), "manifestHash": hexed(manifest_hash), "firstIndex": 5, "sliceElements": 1024,
        "commitmentsRoot": hexed(root), "before": hexed(before), "contentHash": hexed(content_hash),
        "head": hexed(cbor(head)),
    }


def typed_message_vectors():
    """Digests of one message of every type, on chain 31337 with the key ledger that the test names."""
    account = unhexed("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
    other = unhexed("70997970C51812dc3A010C7d01b50e0d17dc79C8")
    ledger = unhexed("5FbDB2315678afecb367f032d93F642f64180aa3")

    def filled(digit, length=32):
        # Shorter bytes types are padded at the end.
        return unhexed(digit * 2 * length).ljust(32, b"\0")

    recovery_request = (
        "bytes32 secretId,uint8 path,address proposer,address requester,bytes32 sessionKey,uint64 number"
    )
    recovery = [filled("f"), 1, account, other, filled("3"), 4]
    messages = [
        (ledger, "Session(address account,address audience,bytes32 nonce,uint64 expiresAt)",
         [account, other, filled("1"), 1_790_003_600]),
        (ledger, "ShareRequest(bytes32 recordId,address account,bytes32 sessionKey,address node,uint64 expiresAt)",
         [filled("2"), account, filled("3"), other, 1_790_003_600]),
        (ledger, "ShareDelivery(bytes32 recordId,address account,address node,bytes32 sealedHash,uint64 expiresAt)",
         [filled("2"), account, other, filled("3"), 1_790_003_600]),
        (ledger, "ShareHandover(address node,address successor,uint64 committeeId,uint32 generation,uint64 after,"
         "uint64 expiresAt)", [other, account, 1, 7, 65, 1_790_003_600]),
        (ledger, "KeyRecord(address account,bytes32 fileTag,uint64 committeeId,uint64 keyTime,address ownershipKey,"
         "bytes32 payloadHash,uint64 deadline)",
         [account, filled("4"), 1, 1_790_000_000, other, filled("5"), 1_790_000_600]),
        (ledger, "KeyRecords(address account,bytes32[] recordIds,uint64 deadline)",
         [account, [filled("5"), filled("6")], 1_790_000_600]),
        (ledger, "Ownership(bytes32 recordId,address owner)", [filled("6"), account]),
        (ledger, "AddOwner(bytes32 recordId,address owner,bytes32 noteHash,uint64 deadline)",
         [filled("6"), account, filled("7"), 1_790_000_600]),
        (ledger, DATA_SET_UPDATE, [filled("9"), 7, 2, filled("a"), filled("b"), 24_000_000]),
        (ledger, "AuditAnswer(bytes32 dataSetId,bytes32 challengeId,bytes32 proofHash)",
         [filled("9"), filled("c"), filled("d")]),
        (ledger, "ChallengeKey(address provider,bytes32 key)", [other, filled("e")]),
        (ledger, "ReleaseRequest(bytes32 secret,address account,bytes32 sessionKey,address node,uint64 expiresAt)",
         [filled("8"), account, filled("3"), other, 1_790_003_600]),
        (ledger, "ReleaseReceipt(bytes32 secret,bytes32 recordId,uint32 version,address author,address policy,"
         "bytes32 policyDataHash,bytes32 evidenceHash,address account,bytes32 sessionKey,uint64 blockNumber,"
         "bytes32 blockHash,uint64 releasedAt)",
         [filled("8"), filled("2"), 3, account, other, filled("4"), filled("5"), account, filled("3"), 24_000_000,
          filled("b"), 1_790_000_600]),
        (ledger, f"RecoveryOpening({recovery_request},uint64 deadline)", [*recovery, 1_790_000_600]),
        (ledger, f"RecoveryApproval({recovery_request},address guardian)", [*recovery, other]),
        (ledger, "RecoveryVeto(bytes32 secretId,uint8 path,address proposer)", recovery[:3]),
        (ledger, "RecoveryRetirement(address ledger,bytes32 recordId,uint32 firstVersion,address author)",
         [other, filled("2"), 2, account]),
        (ledger, "Succession(address account,address successor,bytes32 handoverHash,uint64 deadline)",
         [account, other, filled("7"), 1_790_000_600]),
        (ledger, "OprfAnswer(uint64 committeeId,uint32 generation,bytes32 keyMaterialHash,uint16 index,address account,"
         "bytes32 blinded,bytes32 evaluated,bytes32 c,bytes32 s)",
         [3, 1, filled("e"), 2, other, *(filled(digit) for digit in "f123")]),
        (ledger, "Delegation(address account,address key,uint8 scopes,uint64 expiresAt,uint64 deadline)",
         [account, other, 2, 1_797_776_000, 1_790_000_600]),
        (ledger, "DelegateRevocation(address by,address key)", [account, other]),
        (ledger, "DelegateEncryptionKey(address account,address key,bytes32 encryptionKey)",
         [account, other, filled("9")]),
        (ledger, "DelegateSnapshot(address account,address key,address provider,uint64 position,uint64 time,"
         "bytes32 previous,bytes32 sealedHash)",
         [account, other, account, 7, 1_800_000_000, filled("a"), filled("b")]),
    ]
    return {
        "messages": {
            type_text.split("(")[0]: {
                "type": type_text,
                "digest": hexed(typed_digest(31337, contract, type_text, *values)),
            }
            for contract, type_text, values in messages
        }
    }


def handover_vectors():
    """Section 15: what a replaced account leaves to its successor. Phrases and accounts are those of identity.json."""
    entropy = unhexed("7f" * 32)
    account = unhexed("2f826cb22E80a2c40f149Ecb92b2Fa5ecBf67170")
    successor = unhexed("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
    catalogue_key = unhexed("2cf432efab4697ae65e7917e10383bfe6855781d3d23e277061021d23f4dc896")
    directory = sha256(b"directory")[:20]
    scope = u(31337, 8) + directory + account + successor
    key = kdf(catalogue_key, "handover", scope)
    sealed = AESGCMSIV(key).encrypt(bytes(12), entropy, tag("handover") + b"\1" + scope)
    return {
        "chainId": "31337", "directory": checksummed(directory), "account": checksummed(account),
        "successor": checksummed(successor), "catalogueKey": hexed(catalogue_key), "entropy": hexed(entropy),
        "handover": hexed(b"\1" + sealed),
    }


def run_message_vectors():
    """What nodes sign of the messages of a run, section 8: an EIP-712 domain without verifying contract."""
    registry, message = sha256(b"registry")[:20], bytes(range(1, 52))
    type_text = "CommitteeMessage(address registry,uint64 committeeId,uint32 generation,bytes32 partiesHash," \
        "uint8 kind,uint16 sender,bytes32 messageHash)"
    members, dealers = ([sha256(name.encode())[:20] for name in names] for names in (["a", "b", "c"], ["d", "b"]))
    lists = [b"".join(item.rjust(32, b"\0") for item in [word(len(names)), *names]) for names in (members, dealers)]
    parties = keccak256(word(2) + word(3) + word(128) + word(128 + len(lists[0])) + lists[0] + lists[1])
    kinds = [("announcement", 1), ("dealing", 2), ("complaint", 3)]
    return {
        "chainId": "31337",
        "registry": checksummed(registry),
        "committeeId": "258",
        "generation": 3,
        "sender": 5,
        "from": 2,
        "threshold": 3,
        "members": [checksummed(member) for member in members],
        "dealers": [checksummed(dealer) for dealer in dealers],
        "partiesHash": hexed(parties),
        "message": hexed(message),
        "dealingId": hexed(sha256(bytes([2]) + (5).to_bytes(2, "big") + message)),
        "digests": {
            name: hexed(typed_digest(31337, None, type_text, registry, 258, 3, parties, code, 5, keccak256(message)))
            for name, code in kinds
        },
    }


def daemon_vectors():
    secret = sha256(b"daemon secret")
    nonce, place = sha256(b"nonce")[:12], "run_results.shares 7/1 0x" + "ab" * 32
    value, state_key = b"a key share of a committee member", kdf(secret, "nbm-state")
    return {
        "secret": hexed(secret),
        "nbmOperator": checksummed(address_of(kdf(secret, "nbm-operator"))),
        "cspOperator": checksummed(address_of(kdf(secret, "csp-operator"))),
        "verifierOperator": checksummed(address_of(kdf(secret, "verifier-operator"))),
        "nbmHpkePublicKey": hexed(public_key(hpke_private_key(kdf(secret, "nbm-hpke")))),
        "state": {
            "place": place,
            "plaintext": hexed(value),
            "sealed": hexed(nonce + AESGCM(state_key).encrypt(nonce, value, tag("nbm-state") + place.encode())),
        },
    }


def surprisal(draw):
    """-log2 of (2 * top 127 bits + 1) / 2^128 in units of 2^-64, from decimal logarithms of 120 digits."""
    odd = int.from_bytes(draw, "big") >> 129 << 1 | 1
    with localcontext() as context:
        context.prec = 120
        log = Decimal(odd).ln() / Decimal(2).ln() * 2**64
        # One that is this near to an integer could be rounded otherwise by bits that are computed one by one.
        assert abs(log - log.to_integral_value()) > Decimal(2) ** -50
        return (128 << 64) - int(log)


def assignment_case(committee_id, epoch, user, weights):
    tag_hash = keccak256(b"tallystick/v2/assignment")
    members = []
    for j, weight in enumerate(weights):
        operator = sha256(b"operator %d" % j)[:20]
        padded = [tag_hash, word(committee_id), word(epoch), bytes(12) + user, bytes(12) + operator]
        draw = keccak256(b"".join(padded))
        members.append({"operator": operator, "weight": weight, "draw": draw, "surprisal": surprisal(draw)})

    def key(member):
        score = Fraction(member["surprisal"], member["weight"]) if member["weight"] else float("inf")
        return (score, -int.from_bytes(member["draw"], "big"))

    return {
        "committeeId": str(committee_id),
        "epoch": epoch,
        "user": checksummed(user),
        "members": [
            {
                "operator": checksummed(member["operator"]),
                "weight": str(member["weight"]),
                "draw": hexed(member["draw"]),
                "surprisal": str(member["surprisal"]),
            }
            for member in members
        ],
        "order": [checksummed(member["operator"]) for member in sorted(members, key=key)],
    }


def assignment_vectors():
    ether = 10**18
    users = [sha256(b"user %d" % j)[:20] for j in range(2)]
    return {
        "cases": [
            assignment_case(1, 20_000, users[0], [ether] * 5),
            assignment_case(1, 20_001, users[0], [ether] * 5),
            assignment_case(1, 20_000, users[1], [ether] * 5),
            assignment_case(2, 20_000, users[0], [ether, 2 * ether, 3 * ether, 0, 5 * ether, 0]),
            assignment_case(2**64 - 1, 2**32, users[1], [2**128 - 1, 1] + [ether * j for j in range(30)]),
        ],
        # The least and the greatest draw, and one on each side of a half.
        "surprisals": [
            {"draw": hexed(draw), "surprisal": str(value)}
            for draw, value in [
                (bytes(32), 128 << 64),
                (b"\xff" * 32, 1),
                (b"\x80" + bytes(31), 1 << 64),
                (b"\x7f" + b"\xff" * 31, (1 << 64) + 1),
                (b"\x33" * 32, surprisal(b"\x33" * 32)),
            ]
        ],
    }


if __name__ == "__main__":
    write("assignment.json", assignment_vectors())
    write("sharing.json", sharing_vectors())
    write(
        "record-layouts.json",
        {
            "records": [record(b"one", "shares", 4, 3, 2), record(b"two", "self", 0, 0, 0)],
        },
    )
    write("chain-layouts.json", chain_vectors())
    write("audit-layouts.json", audit_vectors())
    write("session.json", session_vectors())
    write("eip712.json", typed_message_vectors())
    write("handover.json", handover_vectors())
    write("run-messages.json", run_message_vectors())
    write("daemon-keys.json", daemon_vectors())
    write("randomness.json", randomness_vectors())
    write("data-set.json", data_set_vectors())
    write("evidence.json", evidence_vectors())
