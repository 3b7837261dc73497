"""Derives keystore.json from docs/spec.md, section 15, and EIP-712. It shares nothing with offchain/: hashlib's scrypt,
the package `cryptography` (AES-GCM), and the Keccak-256, secp256k1 and HKDF of derive-layouts.py, with the nonces of
RFC 6979. Run it from this folder:

    python3 derive-keystore.py
"""

import hashlib
import importlib.util
import json
import unicodedata

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SPEC = importlib.util.spec_from_file_location("layouts", "derive-layouts.py")
layouts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(layouts)

STATEMENT = b"Tallystick: open the keystore. Sign only in Tallystick."
SECRET = bytes(range(255, 223, -1))


def hexed(data):
    return "0x" + data.hex()


def numbered(start, length):
    return bytes((start + i) % 256 for i in range(length))


def slot(kind, head, key, nonce):
    head = {**head, "cipher": {"name": "aes-256-gcm", "nonce": hexed(nonce)}}
    kdf = head["kdf"]
    if head["opener"] == "wallet":
        fields = [2, kind, "wallet", head["wallet"], head["challenge"], kdf["name"]]
    else:
        fields = [2, kind, "passphrase", kdf["name"], kdf["n"], kdf["r"], kdf["p"]]
    fields += [kdf["salt"], head["cipher"]["name"], head["cipher"]["nonce"]]
    aad = layouts.tag("keystore") + " ".join(map(str, fields)).encode()
    return {**head, "sealed": hexed(AESGCM(key).encrypt(nonce, SECRET, aad))}


def passphrase_slot(kind, passphrase, n, r, p, salt, nonce):
    text = unicodedata.normalize("NFKC", passphrase).encode()
    key = hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=2**28)
    kdf = {"name": "scrypt", "n": n, "r": r, "p": p, "salt": hexed(salt)}
    return slot(kind, {"opener": "passphrase", "kdf": kdf}, key, nonce)


def open_digest(wallet, challenge):
    keccak = layouts.keccak256
    domain = keccak(keccak(b"EIP712Domain(string name,string version)") + keccak(b"Tallystick") + keccak(b"1"))
    kind = keccak(b"OpenKeystore(string statement,address wallet,bytes32 challenge)")
    message = keccak(kind + keccak(STATEMENT) + bytes(12) + wallet + challenge)
    return keccak(b"\x19\x01" + domain + message)


def wallet_slot(kind, private_key, challenge, salt, nonce):
    wallet = layouts.address_of(private_key)
    signature = layouts.sign(open_digest(wallet, challenge), private_key)
    key = layouts.kdf(signature[:64], "keystore-wallet", wallet + challenge + salt)
    kdf = {"name": "hkdf-sha256", "salt": hexed(salt)}
    head = {"opener": "wallet", "wallet": hexed(wallet), "challenge": hexed(challenge), "kdf": kdf}
    return slot(kind, head, key, nonce), wallet, signature


def forms(signature):
    """Other encodings of a signature that wallets return."""
    r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64] - 27
    high = (layouts.Q - s).to_bytes(32, "big")
    compact = (s | (v << 255)).to_bytes(32, "big")
    return {
        "v as 0 or 1": hexed(signature[:64] + bytes([v])),
        "compact (EIP-2098)": hexed(r + compact),
        "high s": hexed(r + high + bytes([28 - v])),
        "high s, v as 0 or 1": hexed(r + high + bytes([1 - v])),
    }


def wallet_vectors(first):
    vectors = []
    for number in (0, 3):
        private_key = hashlib.sha256(b"wallet %d" % number).digest()
        challenge = numbered(16 * number + 7, 32)
        opened, wallet, signature = wallet_slot("user", private_key, challenge, numbered(3, 32), numbered(9, 12))
        slots = [opened] if not vectors else [first, opened]
        vectors.append(
            {
                "privateKey": hexed(private_key),
                "wallet": layouts.checksummed(wallet),
                "challenge": hexed(challenge),
                "digest": hexed(open_digest(wallet, challenge)),
                "signature": hexed(signature),
                "otherForms": forms(signature),
                "secret": hexed(SECRET),
                "keystore": {"version": 2, "kind": "user", "slots": slots},
            }
        )
    assert {vector["signature"][-2:] for vector in vectors} == {"1b", "1c"}
    return vectors


if __name__ == "__main__":
    passphrases = []
    for kind, passphrase, cost, salt in (
        ("user", "correct horse battery staple", (1024, 8, 1), numbered(2, 32)),
        ("nbm", "p\u00e4ssw\u00f6rd \u2713", (256, 4, 2), numbered(4, 32)),
    ):
        sealed = passphrase_slot(kind, passphrase, *cost, salt, numbered(100, 12))
        keystore = {"version": 2, "kind": kind, "slots": [sealed]}
        passphrases.append({"passphrase": passphrase, "secret": hexed(SECRET), "keystore": keystore})
    wallets = wallet_vectors(passphrases[0]["keystore"]["slots"][0])
    with open("keystore.json", "w") as file:
        document = {"source": "derive-keystore.py", "keystores": passphrases, "wallets": wallets}
        json.dump(document, file, indent=2, ensure_ascii=False)
        file.write("\n")
