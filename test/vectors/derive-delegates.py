"""Derives delegates.json with the CBOR writer of derive-data.py: python3 derive-delegates.py > delegates.json."""
import hashlib, hmac, importlib, json

cbor = importlib.import_module("derive-data").cbor
sha256 = lambda b: hashlib.sha256(b).digest()

def kdf(key, label, info=b"", length=32):
    prk = hmac.new(b"\0" * 32, key, hashlib.sha256).digest()
    block, out, n = b"", b"", 1
    info = b"tallystick/v1/" + label.encode() + b"\0" + info
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([n]), hashlib.sha256).digest()
        out, n = out + block, n + 1
    return out[:length]

seed = bytes(range(32))
key = bytes.fromhex("70997970c51812dc3a010c7d01b50e0d17dc79c8")
root = kdf(seed, "delegate", key)
x = lambda b: "0x" + b.hex()
account = bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
directory, provider = bytes([0xd1] * 20), bytes([0xc5] * 20)
scope = (31337).to_bytes(8, "big") + directory + account + key + provider
place = (7).to_bytes(8, "big") + (1_800_000_000).to_bytes(8, "big") + sha256(b"entry 6")
record = cbor([sha256(b"data"), sha256(b"metadata"), 1_700_000_000_000, b"backup", b"root", [b"/srv"], [b"nightly"],
               [3, 1000, 2, 900], 0, key])
entry = bytes([1]) + place + bytes([0x51] * 65) + bytes([0x5e] * 60)
print(json.dumps({
    "auditSeed": x(seed), "key": x(key), "root": x(root),
    "delegateAuditSeed": x(kdf(root, "delegate-audit")),
    "delegateSnapshotKey": x(kdf(root, "delegate-snapshots")),
    "firstObject": x(kdf(root, "delegate-first-object", b"", 64)),
    "chainId": 31337, "directory": x(directory), "account": x(account), "provider": x(provider),
    "info": x(b"tallystick/v1/delegate-parcel\0"),
    "aad": x((31337).to_bytes(8, "big") + directory + account + key + provider),
    "dataSet": x(bytes([0xb8] * 32)),
    "accountKey": x(bytes([0xac] * 32)),
    "entry": {
        "info": x(b"tallystick/v1/delegate-snapshot\0"), "aad": x(scope + place), "record": x(record),
        "position": 7, "time": 1_800_000_000, "previous": x(sha256(b"entry 6")),
        "signature": x(bytes([0x51] * 65)), "sealed": x(bytes([0x5e] * 60)),
        "bytes": x(entry), "digest": x(sha256(entry)),
    },
    "plaintext": x(bytes([1]) + root + bytes([0xb8] * 32) + bytes([0xac] * 32)),
}, indent=2))
