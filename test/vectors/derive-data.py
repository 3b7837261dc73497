"""Derives chunker.json, sealing.json, recipe.json, bundles.json and ownership-challenge.json from docs/spec.md alone.

An implementation of the data formats that shares nothing with offchain/core: Python's hashlib and the package
`cryptography` (AES-GCM and AES-GCM-SIV of OpenSSL), and a CBOR writer of its own. Run it from this folder to derive the
vectors again:

    python3 derive-data.py
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

PREFIX = "tallystick/v1/"


def sha256(data):
    return hashlib.sha256(data).digest()


def tag(label):
    return (PREFIX + label).encode() + b"\0"


def kdf(key, label, info=b"", length=32):
    """HKDF-SHA-256 (RFC 5869) with an empty salt."""
    prk = hmac.new(bytes(32), key, hashlib.sha256).digest()
    okm, block, counter = b"", b"", 1
    while len(okm) < length:
        block = hmac.new(prk, block + tag(label) + info + bytes([counter]), hashlib.sha256).digest()
        okm, counter = okm + block, counter + 1
    return okm[:length]


def pseudo_random(seed, length):
    """AES-256-CTR key stream under SHA-256(seed), zero initial counter."""
    encryptor = Cipher(algorithms.AES(sha256(seed.encode())), modes.CTR(bytes(16))).encryptor()
    return encryptor.update(bytes(length))


def content_id(digest):
    return "b" + base64.b32encode(b"\x01\x55\x12\x20" + digest).decode().lower().rstrip("=")


# Chunker

GEAR = [int.from_bytes(sha256(tag("chunker-gear") + bytes([b]))[:4], "big") for b in range(256)]
MIN, NORMAL, MAX = 262144, 1048576 - 131072, 2097152 - 16 - 1


def cut_lengths(data):
    lengths, start = [], 0
    while start < len(data):
        end = min(len(data), start + MAX)
        fingerprint, cut = 0, end
        for i in range(start + MIN, end):
            fingerprint = ((fingerprint << 1) + GEAR[data[i]]) & 0xFFFFFFFF
            bits = 22 if i - start < NORMAL else 18
            if fingerprint >> (32 - bits) == 0:
                cut = i + 1
                break
        lengths.append(cut - start)
        start = cut
    return lengths


# CBOR


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError(n)


def cbor(value):
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    return head(4, len(value)) + b"".join(cbor(item) for item in value)


# Ownership challenges

PLACES, PLACE = 20, 32


def challenge_positions(secret, digest, size, nonce):
    if size < PLACES * PLACE:
        return []
    drawn = kdf(secret, "ownership-positions", digest + size.to_bytes(4, "big") + nonce, 8 * PLACES)
    positions = []
    for k in range(PLACES):
        start, end = k * size // PLACES, (k + 1) * size // PLACES
        positions.append(start + int.from_bytes(drawn[8 * k : 8 * k + 8], "big") % (end - start - PLACE + 1))
    return positions


def challenge_answer(provider, nonce, data, positions):
    pieces = b"".join(data[at : at + PLACE] for at in positions) if positions else data
    return sha256(tag("ownership-answer") + provider + nonce + pieces)


# Sealing

def u64be(n):
    return n.to_bytes(8, "big")


def stored(plaintext):
    return b"\0" + plaintext


def seal_chunk(key, frame):
    return AESGCM(key).encrypt(bytes(12), frame, tag("chunk") + b"\1" + u64be(len(frame)))


def seal_recipe(file_key, kind, plaintext):
    aad = tag("recipe") + b"\1" + bytes([kind]) + u64be(len(plaintext))
    return b"\1" + AESGCMSIV(kdf(file_key, "recipe-key")).encrypt(bytes(12), plaintext, aad)


def seal_segment(bundle_key, position, frame):
    key = kdf(bundle_key, "segment-key", position.to_bytes(4, "big"))
    return AESGCM(key).encrypt(bytes(12), frame, tag("segment") + b"\1" + u64be(len(frame)))


def file_digest(frames):
    return sha256(tag("file-digest") + b"".join(sha256(frame) for frame in frames))


def bundle_digest(frames):
    return sha256(tag("bundle") + b"".join(len(frame).to_bytes(4, "big") + sha256(frame) for frame in frames))


def merkle_root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return sha256(tag("merkle-node") + merkle_root(leaves[:split]) + merkle_root(leaves[split:]))


def oprf_input(domain, kind, digest):
    name = domain.encode()
    return tag("oprf") + bytes([kind]) + len(name).to_bytes(2, "big") + name + digest


# Vectors


def write(name, value):
    with open(name, "w") as file:
        json.dump(value, file, indent=2, ensure_ascii=True)
        file.write("\n")


def chunker_vectors():
    inputs = [
        {"seed": "chunker vector 1", "sizeBytes": 16 * 1048576 + 12345},
        {"seed": "chunker vector 2", "sizeBytes": MIN},
        {"seed": "chunker vector 3", "sizeBytes": MIN + 1},
        {"seed": "chunker vector 4", "sizeBytes": 1},
        {"seed": "chunker vector 5", "sizeBytes": 0},
    ]
    for entry in inputs:
        entry["cutLengths"] = cut_lengths(pseudo_random(entry["seed"], entry["sizeBytes"]))
    return {
        "source": "derive-data.py; input: AES-256-CTR key stream under SHA-256(seed), zero initial counter",
        "gearFirst": ["%08x" % g for g in GEAR[:4]],
        "gearSha256": sha256(b"".join(g.to_bytes(4, "big") for g in GEAR)).hex(),
        "inputs": inputs,
        "zeros": {"sizeBytes": 5 * 1048576, "cutLengths": cut_lengths(bytes(5 * 1048576))},
    }


def sealing_vectors():
    output = bytes(range(64))
    chunk_key, file_key = kdf(output, "chunk-key"), kdf(output, "file-key")
    plaintext = b"A tally stick was split in two."
    sealed = seal_chunk(chunk_key, stored(plaintext))
    frames = [stored(plaintext), stored(b"a"), stored(b"bc")]
    bundle_key = kdf(output, "bundle-key")
    recipe = b"\x83\x01\x00\x80"
    digest = sha256(stored(plaintext))
    return {
        "source": "derive-data.py",
        "kdf": {"key": output.hex(), "label": "test", "info": "00ff", "length": 40,
                "output": kdf(output, "test", b"\0\xff", 40).hex()},
        "oprfOutput": output.hex(),
        "chunkKey": chunk_key.hex(),
        "fileKey": file_key.hex(),
        "bundleKey": bundle_key.hex(),
        "plaintext": plaintext.hex(),
        "sealedChunk": sealed.hex(),
        "sealedChunkId": content_id(sha256(sealed)),
        "emptyId": content_id(sha256(b"")),
        "recipe": recipe.hex(),
        "sealedRecipe": {"root": seal_recipe(file_key, 1, recipe).hex(),
                         "list": seal_recipe(file_key, 2, recipe).hex()},
        "oprfInputs": [
            {"domain": domain, "kind": kind, "digest": digest.hex(), "input": oprf_input(domain, code, digest).hex()}
            for domain in ("public", "équipe")
            for kind, code in (("chunk", 1), ("file", 2), ("bundle", 3), ("merkle", 4))
        ],
        "frames": [frame.hex() for frame in frames],
        "fileDigest": file_digest(frames).hex(),
        "bundleDigest": bundle_digest(frames).hex(),
        "merkleRoots": [merkle_root([sha256(b"leaf %d" % k) for k in range(n)]).hex() for n in range(1, 10)],
        "merkleSecret": kdf(output, "merkle-secret").hex(),
        "merkleChunkKey": sha256(bytes([0, 0, 0, 1]) + kdf(output, "merkle-secret") + tag("merkle-chunk-key")
                                 + sha256(frames[0])).hex(),
        "bundle": b"".join(seal_segment(bundle_key, k, frame) for k, frame in enumerate(frames)).hex(),
    }


def recipe_vectors():
    def digest(n):
        return sha256(b"object %d" % n)

    def key(n):
        return sha256(b"key %d" % n)

    def chunk(n, size, sealed):
        return [digest(n), key(n), size, sealed]

    entries = [
        [2, "Straße".encode()],
        [1, "Straße/bundled".encode(), 1000, [2, digest(7), key(7), 5000, 0, 0, 417]],
        [1, "Straße/bundled, too".encode(), 4566, [2, digest(7), key(7), 5000, 1, 417, 4583]],
        [1, "Straße/empty".encode(), 0, [0, []]],
        [1, "Straße/large".encode(), 10 * 2**30, [1, 1, digest(9), key(9)]],
        [1, "Straße/middle".encode(), 1_050_000, [0, [chunk(1, 1_000_000, 1_000_017), chunk(2, 50_000, 12_345)]]],
        [3, b"link-\xff\xfe", b"../outside/\x80"],
    ]
    total = 1000 + 4566 + 10 * 2**30 + 1_050_000
    root = [1, b"public", 1, len(entries), total, 500, [0, [chunk(3, 500, 517)]]]
    leaf_list = [1, 0, [chunk(n, 1000 + n, 1017) for n in range(10)]]
    upper_list = [1, 2, [[digest(n), 2**40 + n] for n in range(3)]]
    return {
        "source": "derive-data.py; digest n = SHA-256('object n'), key n = SHA-256('key n')",
        "entries": [cbor(entry).hex() for entry in entries],
        "root": cbor(root).hex(),
        "chunkList": cbor(leaf_list).hex(),
        "packageList": cbor([1, 0, [[digest(n), 300 * n, 1000 + n, 1017] for n in range(4)]]).hex(),
        "upperList": cbor(upper_list).hex(),
    }


def bundle_vectors():
    """Which files of a tree share a bundle: the sizes and digests of frames decide, and the number of entries."""
    files = [{"seed": "bundle vector %d" % n, "frameBytes": 2 + (n * n * 7919) % 131072} for n in range(120)]
    bundles, sealed, count = [], 0, 0
    for entry in files:
        sealed, count = sealed + entry["frameBytes"] + 16, count + 1
        drawn = int.from_bytes(sha256(entry["seed"].encode())[:4], "big")
        by_content = sealed >= 524288 and drawn < (entry["frameBytes"] + 16) * 8192
        if by_content or sealed > 2097152 - (131072 + 1 + 16):
            bundles.append({"files": count, "sealedBytes": sealed})
            sealed, count = 0, 0
    bundles.append({"files": count, "sealedBytes": sealed})
    return {
        "source": "derive-data.py; digest of each frame: SHA-256(seed)",
        "files": files,
        "bundles": bundles,
    }


def ownership_vectors():
    secret, provider = sha256(b"ownership secret"), bytes(range(20))
    vectors = []
    for size in (1, 639, 640, 641, 1023, 100_000, 1_048_592, 2_097_152):
        data = pseudo_random("ownership vector", size)
        digest, nonce = sha256(data), sha256(b"nonce %d" % size)[:16]
        positions = challenge_positions(secret, digest, size, nonce)
        vectors.append({
            "sizeBytes": size,
            "digest": digest.hex(),
            "nonce": nonce.hex(),
            "positions": positions,
            "answer": challenge_answer(provider, nonce, data, positions).hex(),
        })
    return {
        "source": "derive-data.py; input: pseudo-random bytes as in chunker.json, seed 'ownership vector'",
        "secret": secret.hex(),
        "provider": provider.hex(),
        "vectors": vectors,
    }


if __name__ == "__main__":
    write("chunker.json", chunker_vectors())
    write("sealing.json", sealing_vectors())
    write("recipe.json", recipe_vectors())
    write("bundles.json", bundle_vectors())
    write("ownership-challenge.json", ownership_vectors())
