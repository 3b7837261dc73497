"""Derives test/vectors/delegates.json with the standard library alone: python3 derive-delegates.py > delegates.json."""
import hashlib, hmac, json

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
    "plaintext": x(bytes([1]) + root + bytes([0xb8] * 32) + bytes([0xac] * 32)),
}, indent=2))
