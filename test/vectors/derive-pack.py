"""Derives pack.json from docs/spec.md, section 20, with Python's hashlib, zlib, base64 and struct alone.

    python3 derive-pack.py
"""

import base64
import hashlib
import json
import struct
import zlib

SALT = bytes(range(1, 9))


def sha256(data):
    return hashlib.sha256(data).digest()


def content_id(data):
    return "b" + base64.b32encode(b"\x01\x55\x12\x20" + sha256(data)).decode().lower().rstrip("=")


def head(kind, name, first, second):
    start = b"TSRC" + struct.pack(">BBHII", kind, len(name), 0, first, second)
    return start + struct.pack(">I", zlib.crc32(SALT + start + name)) + name


def checksum(data):
    return struct.unpack(">I", sha256(data)[:4])[0]


def checked(data):
    return data + struct.pack(">I", zlib.crc32(data))


objects = [b"a sealed object", bytes(range(256))]
pack = checked(b"TSPACK" + struct.pack(">H", 1) + SALT)
contents, records = b"", []
for data in objects:
    record = head(1, content_id(data).encode(), len(data), checksum(data))
    contents += record + struct.pack(">I", len(pack))
    records.append({"id": content_id(data), "hex": "0x" + data.hex(), "offset": len(pack)})
    pack += record + data
removal = head(2, content_id(objects[0]).encode(), 3, 7)
contents += removal + struct.pack(">I", len(pack))
records.append({"id": content_id(objects[0]), "firstPack": 3, "lastPack": 7, "offset": len(pack)})
pack += removal
contents_offset = len(pack)
pack += head(3, b"", len(contents), checksum(contents)) + contents
pack += checked(struct.pack(">I", contents_offset) + SALT) + b"TSPE"
vector = {
    "source": "derive-pack.py",
    "salt": "0x" + SALT.hex(),
    "records": records,
    "contentsOffset": contents_offset,
    "pack": "0x" + pack.hex(),
}
with open("pack.json", "w") as file:
    json.dump(vector, file, indent=2)
    file.write("\n")
