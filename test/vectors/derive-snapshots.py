"""Derives snapshots.json from docs/spec.md alone, with the CBOR writer and the key derivation of derive-data.py.

    python3 derive-snapshots.py
"""

import importlib
import json

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

data = importlib.import_module("derive-data")
cbor, content_id, kdf, sha256, tag = data.cbor, data.content_id, data.kdf, data.sha256, data.tag


def u64(n):
    return n.to_bytes(8, "big")


LEDGER, ACCOUNT, PROVIDER = (sha256(name)[:20] for name in (b"key ledger", b"account", b"provider"))
SNAPSHOT_KEY = sha256(b"snapshot key")
SCOPE = u64(31337) + LEDGER + ACCOUNT
METADATA_KEY, LIST_KEY = kdf(SNAPSHOT_KEY, "snapshot-metadata", SCOPE), kdf(SNAPSHOT_KEY, "snapshot-list", SCOPE)


def siv(key, label, bound, plaintext):
    return AESGCMSIV(key).encrypt(bytes(12), plaintext, tag(label) + b"\1" + SCOPE + bound)


def named(sealed):
    return {"id": content_id(sha256(sealed)), "sealed": sealed.hex()}


def metadata():
    second = 1_700_000_000 * 10**9
    items = [
        [0o755, second, [], [], b"", b"", [], [], 0],
        [0o4755, -1, [0], [1000], "jürgen".encode(), b"\xff", [], [], 0],
        [0o600, second + 1, [2**32 - 1], [], b"", b"", [[b"security.x", b"\0\1"], [b"user.a", b""]], [7], 1],
    ]
    stream = b"".join(cbor(item) for item in items)
    frame = b"\0" + stream
    key = kdf(METADATA_KEY, "metadata-chunk-key", sha256(frame))
    aad = tag("metadata-chunk") + b"\1" + SCOPE + u64(len(frame))
    piece = AESGCM(key).encrypt(bytes(12), frame, aad)
    root = cbor([1, len(items), len(stream), [[sha256(piece), sha256(frame), len(stream), len(piece)]]])
    sealed_root = b"\1" + siv(kdf(METADATA_KEY, "metadata-root-key"), "metadata-root", b"", root)
    return {
        "items": [cbor(item).hex() for item in items],
        "frame": frame.hex(),
        "piece": named(piece),
        "root": named(sealed_root),
    }


def record(n, tags):
    return [sha256(b"data %d" % n), sha256(b"metadata %d" % n), 1_700_000_000_000 + n, b"laptop", b"alice",
            [b"/home/alice", b"/home/alice/\xff"], tags, [3, 1000 + n, 2, 900], n]


def list_objects():
    records = [record(0, []), record(1, [b"daily"]), record(2, [b"a", b"b"])]
    page = b"\1" + siv(LIST_KEY, "snapshot-page", b"", cbor([1, records[:2]]))
    earlier = [sha256(b"head %d" % n) for n in range(40, 8, -1)]
    head = cbor([1, [[sha256(page), 2]], records[2:], earlier])
    version = u64(41)
    devices = [[bytes([0x0d] * 20), 3, sha256(b"entry 3")], [bytes([0xde] * 20), 9, sha256(b"entry 9")]]
    with_devices = cbor([1, [], [record(3, []) + [bytes([0xde] * 20)]], earlier, devices])
    return {
        "records": [cbor(one).hex() for one in records],
        "ids": [sha256(tag("snapshot") + cbor(one)).hex() for one in records],
        "page": named(page),
        "head": (b"\1" + version + siv(LIST_KEY, "snapshot-head", PROVIDER + version, head)).hex(),
        "headWithDevices": (b"\1" + version + siv(LIST_KEY, "snapshot-head", PROVIDER + version, with_devices)).hex(),
        "version": 41,
        "earlier": [content_id(digest) for digest in earlier],
    }


if __name__ == "__main__":
    with open("snapshots.json", "w") as file:
        json.dump({
            "source": "derive-snapshots.py",
            "snapshotKey": SNAPSHOT_KEY.hex(),
            "chainId": "31337",
            "keyLedger": "0x" + LEDGER.hex(),
            "account": "0x" + ACCOUNT.hex(),
            "provider": "0x" + PROVIDER.hex(),
            "scope": SCOPE.hex(),
            "metadataKey": METADATA_KEY.hex(),
            "listKey": LIST_KEY.hex(),
            "metadata": metadata(),
            "list": list_objects(),
        }, file, indent=2)
        file.write("\n")
