"""Derives revocable.json from docs/spec.md alone.

It shares nothing with offchain/: Python's hashlib, AES and Ed25519 of OpenSSL through the package `cryptography`, and a
CBOR writer, a manager and a member of an ownership group of its own. What is random is hashed from a text here. Run it
from this folder to derive the vectors again:

    python3 derive-revocable.py
"""

import hashlib
import hmac
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SOURCE = "derive-revocable.py"
ZERO_NONCE = bytes(12)


def sha256(data):
    return hashlib.sha256(data).digest()


def tag(label):
    return ("tallystick/v1/" + label).encode() + b"\0"


def kdf(key, label, info=b"", length=32):
    """HKDF-SHA-256 (RFC 5869) with an empty salt."""
    prk = hmac.new(bytes(32), key, hashlib.sha256).digest()
    okm, block, counter = b"", b"", 1
    while len(okm) < length:
        block = hmac.new(prk, block + tag(label) + info + bytes([counter]), hashlib.sha256).digest()
        okm, counter = okm + block, counter + 1
    return okm[:length]


def u64(value):
    return value.to_bytes(8, "big")


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def drawn(text, length=32):
    return hashlib.shake_256(text.encode()).digest(length)


def ctr(key, data):
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(data)


def hexed(data):
    return "0x" + data.hex()


# Packages (section 5)


def pack(oprf_output, frame):
    key = kdf(oprf_output, "package-key")
    inner = ctr(kdf(key, "package-inner"), frame)
    h = sha256(tag("package") + b"\1" + u64(len(frame)) + key + inner)
    pad = kdf(h, "package-pad", b"", 80)
    outer_key, mask, end = pad[:32], pad[32:64], pad[64:]
    obj = ctr(outer_key, inner) + end
    masked = xor(key, mask)
    stub = masked + xor(h, sha256(tag("package-stub") + b"\1" + sha256(obj) + masked))
    return key, obj, stub


def packages():
    result = []
    for length in [2, 16, 63, 64, 1000, 70001]:
        output, frame = drawn(f"oprf output {length}"), drawn(f"frame {length}", length)
        key, obj, stub = pack(output, frame)
        result.append(
            {
                "oprfOutput": hexed(output),
                "frameSeed": f"frame {length}",
                "frameBytes": length,
                "key": hexed(key),
                "objectSha256": hexed(sha256(obj)),
                "object": hexed(obj) if length <= 1000 else None,
                "stub": hexed(stub),
            }
        )
    return result


# Stub files (section 5)


def stub_files():
    result = []
    for epoch, stubs in [(1, 0), (1, 1), (2, 3), (2**53 - 1, 2)]:
        digest, salt = drawn("data id"), drawn(f"salt {epoch} {stubs}")
        identity_key, file_key = drawn("identity"), drawn("file key")
        scope = digest + u64(epoch)
        access = kdf(identity_key, "stub-access", scope)
        key = kdf(file_key + access, "stub-epoch", scope)
        head = b"\1" + u64(epoch) + salt
        content = drawn("stubs", 64 * stubs)
        sealed = AESGCM(kdf(key, "stub-file", salt)).encrypt(ZERO_NONCE, content, tag("stub-file") + digest + head)
        result.append(
            {
                "digest": hexed(digest),
                "epoch": epoch,
                "identityKey": hexed(identity_key),
                "fileKey": hexed(file_key),
                "accessKey": hexed(access),
                "epochKey": hexed(key),
                "salt": hexed(salt),
                "stubs": hexed(content),
                "sealed": hexed(head + sealed),
            }
        )
    return result


# Ownership groups (section 5)


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, length in [(24, 1), (25, 2), (26, 4), (27, 8)]:
        if value < 256**length:
            return bytes([major << 5 | info]) + value.to_bytes(length, "big")
    raise ValueError(value)


def cbor(value):
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    return head(4, len(value)) + b"".join(cbor(item) for item in value)


LEAVE, DROP, INSERT, ADVANCE, DERIVE = 1, 2, 3, 4, 5


class Manager:
    """Keeps the tree as parent and children by number; `below` of a leaf is its account."""

    def __init__(self, seed, nonce):
        self.signer = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.group = sha256(tag("owner-group") + self.public + nonce)
        self.epoch, self.digest, self.next, self.root = 0, bytes(32), 1, None
        self.parent, self.below, self.keys = {}, {}, {}

    def leaf_of(self, account):
        return next(node for node, below in self.below.items() if below == account)

    def above(self, node):
        while (node := self.parent.get(node)) is not None:
            yield node

    def put_in_place(self, old, node):
        parent = self.parent.get(old)
        self.parent[node] = parent
        if parent is None:
            self.root = node
        else:
            self.below[parent] = [node if child == old else child for child in self.below[parent]]

    def nearest(self, node):
        below = self.below[node]
        return 0 if isinstance(below, bytes) else 1 + min(self.nearest(child) for child in below)

    def new_node(self, below):
        node, self.next = self.next, self.next + 1
        self.below[node] = below
        self.parent[node] = None
        return node

    def forget(self, node):
        for table in (self.parent, self.below, self.keys):
            table.pop(node)

    def change(self, leave, join, salt):
        self.epoch += 1
        moment = self.group + u64(self.epoch) + salt
        steps, derived, advanced, new_nodes, new_leaves = [], set(), set(), set(), []
        for account in leave:
            leaf = self.leaf_of(account)
            derived.update(self.above(leaf))
            steps.append([LEAVE, leaf])
            parent = self.parent[leaf]
            if parent is None:
                self.root = None
            else:
                (sibling,) = [child for child in self.below[parent] if child != leaf]
                self.put_in_place(parent, sibling)
                self.forget(parent)
                derived.discard(parent)
                steps.append([DROP, parent])
            self.forget(leaf)
        for account, secret in join:
            leaf = self.new_node(account)
            self.keys[leaf] = kdf(secret, "tree-leaf", moment + u64(leaf))
            new_leaves.append(leaf)
            if self.root is None:
                self.root = leaf
                continue
            beside = self.root
            while not isinstance(self.below[beside], bytes):
                left, right = self.below[beside]
                beside = right if self.nearest(right) < self.nearest(left) else left
            node = self.new_node([beside, leaf])
            self.put_in_place(beside, node)
            self.parent[beside] = self.parent[leaf] = node
            new_nodes.add(node)
            steps.append([INSERT, node, beside])
            advanced.update(self.above(node))

        def has_old(node):
            below = self.below[node]
            if isinstance(below, bytes):
                return node not in new_leaves
            return node not in new_nodes or any(has_old(child) for child in below)

        sealed = []
        touched = derived | new_nodes | advanced
        # Nodes in the order of their depth, the deepest first; of one depth in any order.
        for node in sorted(touched, key=lambda node: (-len(list(self.above(node))), node)):
            if node not in derived and node not in new_nodes:
                self.keys[node] = kdf(self.keys[node], "tree-advance", moment + u64(node))
                steps.append([ADVANCE, node])
                continue
            left, right = self.below[node]
            source, other = (left, right) if has_old(left) or not has_old(right) else (right, left)
            key = kdf(self.keys[source], "tree-parent", moment + u64(node))
            self.keys[node] = key
            steps.append([DERIVE, node, source])
            if has_old(other):
                sealing = kdf(self.keys[other], "rekey-key", moment + u64(node) + u64(other))
                sealed.append([node, other, AESGCM(sealing).encrypt(ZERO_NONCE, key, None)])
        welcomes = []
        for leaf in new_leaves:
            nodes = list(self.above(leaf))
            sealing = kdf(self.keys[leaf], "rekey-welcome", moment + u64(leaf))
            keys = b"".join(self.keys[node] for node in nodes)
            ids = b"".join(u64(node) for node in nodes)
            welcomes.append([leaf, self.below[leaf], nodes, AESGCM(sealing).encrypt(ZERO_NONCE, keys, ids)])
        group_key = kdf(self.keys[self.root], "group-key", moment)
        items = [1, self.group, self.epoch, salt, self.digest, steps, sealed, welcomes]
        confirmation = hmac.new(kdf(group_key, "rekey-confirm"), tag("rekey") + cbor(items), hashlib.sha256).digest()
        body = cbor([*items, confirmation])
        self.digest = sha256(tag("rekey-digest") + body)
        return cbor([body, self.signer.sign(tag("rekey") + body)]), group_key, len(sealed) + len(welcomes)


    def path(self, account, secret, moment):
        """What the manager tells one owner in the present epoch."""
        leaf = self.leaf_of(account)
        nodes = [leaf, *self.above(leaf)]
        keys = b"".join(self.keys[node] for node in nodes)
        ids = b"".join(u64(node) for node in nodes)
        sealed = AESGCM(kdf(secret, "member-path", moment + account)).encrypt(ZERO_NONCE, keys, ids)
        salt = moment[-32:]
        body = cbor([1, self.group, self.epoch, salt, self.digest, account, nodes, sealed])
        return cbor([body, self.signer.sign(tag("member-path") + body)])


def account(number):
    return drawn(f"account {number}", 20)


# Owners by number. The secret of an owner stays the same when it joins again.
HISTORY = [
    ([], [1]),
    ([], [2, 3, 4, 5, 6]),
    ([3], []),
    ([], [7]),
    ([1, 6], []),
    ([], [3]),
    ([2, 4], [8, 1]),
    ([5], [5]),
    ([7, 3, 8, 1], []),
]


def group_stub_file(group, epoch, group_key):
    """The stub file of a group in an epoch of its own, wrapped under the group key."""
    digest, file_key, stub_epoch = drawn("data id"), drawn("file key"), 3
    scope = digest + u64(stub_epoch)
    access = kdf(group, "group-access", scope)
    salt, content = drawn(f"group salt {epoch}"), drawn("group stubs", 128)
    head = b"\1" + u64(stub_epoch) + salt
    key = kdf(kdf(file_key + access, "stub-epoch", scope), "stub-file", salt)
    stub_file = head + AESGCM(key).encrypt(ZERO_NONCE, content, tag("stub-file") + digest + head)
    wrap_salt = drawn(f"wrap salt {epoch}")
    wrap_head = b"\1" + u64(epoch) + wrap_salt
    wrapped = AESGCM(kdf(group_key, "group-stubs", wrap_salt)).encrypt(
        ZERO_NONCE, stub_file, tag("group-stubs") + group + wrap_head
    )
    return {
        "digest": hexed(digest),
        "fileKey": hexed(file_key),
        "epoch": stub_epoch,
        "accessKey": hexed(access),
        "salt": hexed(salt),
        "stubs": hexed(content),
        "sealed": hexed(stub_file),
        "wrapSalt": hexed(wrap_salt),
        "wrapped": hexed(wrap_head + wrapped),
    }


def groups():
    seed, nonce = drawn("manager"), drawn("nonce")
    manager = Manager(seed, nonce)
    messages, owners = [], set()
    for number, (leave, join) in enumerate(HISTORY, 1):
        salt = drawn(f"rekey salt {number}")
        joining = [(account(owner), drawn(f"secret {owner}")) for owner in join]
        message, key, count = manager.change(
            [account(owner) for owner in leave], joining, salt
        )
        owners = (owners - set(leave)) | set(join)
        shown = max(owners)
        moment = manager.group + u64(manager.epoch) + salt
        messages.append(
            {
                "salt": hexed(salt),
                "leave": [hexed(account(owner)) for owner in leave],
                "join": [{"account": hexed(name), "secret": hexed(secret)} for name, secret in joining],
                "message": hexed(message),
                "groupKey": hexed(key),
                "count": count,
                "path": {
                    "account": hexed(account(shown)),
                    "secret": hexed(drawn(f"secret {shown}")),
                    "bytes": hexed(manager.path(account(shown), drawn(f"secret {shown}"), moment)),
                },
                "stubFile": group_stub_file(manager.group, manager.epoch, key),
            }
        )
    return {
        "seed": hexed(seed),
        "nonce": hexed(nonce),
        "managerKey": hexed(manager.public),
        "groupId": hexed(manager.group),
        "epochs": messages,
    }


with open("revocable.json", "w") as file:
    vector = {"source": SOURCE, "packages": packages(), "stubFiles": stub_files(), "group": groups()}
    json.dump(vector, file, indent=2)
    file.write("\n")
