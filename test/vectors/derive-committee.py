"""Derives committee.json and sealed-secrets.json from docs/spec.md alone.

It shares nothing with offchain/: ristretto255 (RFC 9496) and its scalars are integer arithmetic of its own, hashes are
Python's hashlib, AES-GCM is OpenSSL's through the package `cryptography`, Keccak-256 and secp256k1 are those of
derive-layouts.py, accounts of phrases those of identity.json. What is random in the protocols is hashed from a text
here. Run it from this folder to derive the vectors again:

    python3 derive-committee.py
"""

import base64
import hashlib
import hmac
import importlib
import json

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

layouts = importlib.import_module("derive-layouts")

SOURCE = "derive-committee.py"
with open("identity.json") as accounts:
    IDENTITIES = json.load(accounts)["identities"]

# The curve of Ed25519 in extended coordinates, and ristretto255 on it (RFC 9496, section 4)

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def is_negative(x):
    return x % P & 1


def absolute(x):
    return -x % P if is_negative(x) else x % P


def sqrt_ratio(u, v):
    """Whether u/v is a square, and the non-negative root of u/v or of SQRT_M1·u/v (section 4.2)."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u % P, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, absolute(r)


def root_with(bit, square):
    ok, root = sqrt_ratio(square, 1)
    assert ok
    return root if is_negative(root) == bit else -root % P


SQRT_AD_MINUS_ONE = root_with(1, -D - 1)  # the root that the RFC lists
INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]
ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P
assert SQRT_AD_MINUS_ONE == 25063068953384623474111414158702152701244531502492656460079210482610430750235
assert INVSQRT_A_MINUS_D == 54469307008909316920995813868745141605393597292927456921205312896311721017578

IDENTITY = (0, 1, 1, 0)


def add(p, q):
    """Unified addition (RFC 8032, section 5.1.4)."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = IDENTITY
    scalar %= L
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def total(points):
    result = IDENTITY
    for point in points:
        result = add(result, point)
    return result


def encode(point):
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, invsqrt = sqrt_ratio(1, u1 * u2 * u2)
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    if is_negative(t0 * z_inv):
        x, y, den_inv = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    else:
        x, y, den_inv = x0, y0, den2
    if is_negative(x * z_inv):
        y = -y % P
    return absolute(den_inv * (z0 - y)).to_bytes(32, "little")


def map_to_group(t):
    r = SQRT_M1 * t * t % P
    u = (r + 1) * ONE_MINUS_D_SQ % P
    v = (-1 - r * D) * (r + D) % P
    was_square, s = sqrt_ratio(u, v)
    s, c = (s, -1) if was_square else (-absolute(s * t) % P, r)
    n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def from_uniform(data):
    halves = [int.from_bytes(half, "little") % 2**255 % P for half in (data[:32], data[32:])]
    return add(map_to_group(halves[0]), map_to_group(halves[1]))


BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = sqrt_ratio(BASE_Y**2 - 1, D * BASE_Y**2 + 1)[1]
G = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)

# RFC 9496, appendix A.1 and A.3
assert encode(G).hex() == "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"
assert encode(multiply(5, G)).hex() == "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e"
assert encode(from_uniform(bytes.fromhex(
    "5d1be09e3d0c82fc538112490e35701979d99e06ca3e2b5b54bffe8b4dc772c1"
    "4d98b696a1bbfb5ca32c436cc61c16563790306c79eaca7705668b47dffe5bb6"
))).hex() == "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"


# Hashes


def sha256(data):
    return hashlib.sha256(data).digest()


def sha512(data):
    return hashlib.sha512(data).digest()


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


def second_generator():
    """hash_to_ristretto255 of the empty message (RFC 9380, appendix B, with expand_message_xmd and SHA-512)."""
    dst = tag("second-generator")
    dst_prime = dst + bytes([len(dst)])
    b0 = sha512(bytes(128) + b"" + u(64, 2) + b"\0" + dst_prime)
    return from_uniform(sha512(b0 + b"\1" + dst_prime))


def u(value, length):
    return value.to_bytes(length, "big")


def scalar_bytes(value):
    return (value % L).to_bytes(32, "little")


def drawn(text):
    """A scalar that stands for a random one."""
    value = int.from_bytes(sha512(text.encode()), "little") % L
    assert value
    return value


def hexed(data):
    return "0x" + data.hex()


GBAR = second_generator()


def prove(label, context, relations, text):
    """relations: per secret, its value and a list of bases (None for G)."""
    nonces = [drawn(f"{text} nonce {i}") for i in range(len(relations))]
    parts = b""
    for nonce, (secret, bases) in zip(nonces, relations):
        for base in bases:
            point = G if base is None else base
            shown = b"" if base is None else encode(base)
            parts += shown + encode(multiply(secret, point)) + encode(multiply(nonce, point))
    c = int.from_bytes(sha512(tag(label) + u(len(context), 4) + context + parts), "little") % L
    responses = [scalar_bytes(nonce - c * secret) for nonce, (secret, _) in zip(nonces, relations)]
    return scalar_bytes(c) + b"".join(responses)


# Runs of a committee

PURPOSES = {"oprf": 1, "record": 2}
CHAIN_ID, REGISTRY, COMMITTEE = 31337, sha256(b"registry")[:20], 7
SCOPE = u(CHAIN_ID, 8) + REGISTRY + u(COMMITTEE, 8)


def evaluate(polynomial, x):
    return sum(coefficient * pow(x, power, L) for power, coefficient in enumerate(polynomial)) % L


def lagrange(indices, own):
    numerator, denominator = 1, 1
    for other in indices:
        if other != own:
            numerator, denominator = numerator * -other % L, denominator * (own - other) % L
    return numerator * pow(denominator, -1, L) % L


def run(name, source, target, n, k, dealers, old=None, cheat=None):
    """old: per purpose the shares of the dealers by index; cheat: (dealer, member, purpose) of a wrong share."""

    def head(index):
        return b"\1" + SCOPE + u(source, 4) + u(target, 4) + u(n, 2) + u(k, 2) + u(index, 2)

    members = range(1, n + 1)
    receiving = {i: drawn(f"{name} receiving {i}") for i in members}
    announcements = {}
    for i in members:
        statement = head(i) + encode(multiply(receiving[i], G))
        proof = prove("committee-announcement", statement, [(receiving[i], [None])], f"{name} announcement {i}")
        announcements[i] = statement + proof
    announced = sha256(tag("committee-announcements") + b"".join(sha256(announcements[i]) for i in members))

    dealings, polynomials, ephemerals = {}, {}, {}
    for j in dealers:
        polynomials[j] = {
            purpose: [old[purpose][j] if old else drawn(f"{name} {purpose} {j} 0")]
            + [drawn(f"{name} {purpose} {j} {m}") for m in range(1, k)]
            for purpose in PURPOSES
        }
        e = ephemerals[j] = drawn(f"{name} ephemeral {j}")
        statement = head(j) + announced + encode(multiply(e, G)) + encode(multiply(e, GBAR))
        for purpose, code in PURPOSES.items():
            statement += bytes([code]) + b"".join(encode(multiply(a, G)) for a in polynomials[j][purpose])
        for i in members:
            shares = b""
            for purpose in PURPOSES:
                share = evaluate(polynomials[j][purpose], i)
                shares += scalar_bytes(share + (cheat == (j, i, purpose)))
            info = head(j) + announced + encode(multiply(e, G)) + u(i, 2)
            pad = kdf(encode(multiply(e * receiving[i], G)), "committee-share", info, 64)
            statement += bytes(x ^ y for x, y in zip(shares, pad))
        relations = [(polynomials[j][purpose][0], [None]) for purpose in PURPOSES] + [(e, [None, GBAR])]
        dealings[j] = statement + prove("committee-dealing", statement, relations, f"{name} dealing {j}")

    complaints = []
    if cheat:
        j, i, _ = cheat
        shared = encode(multiply(ephemerals[j] * receiving[i], G))
        statement = head(i) + u(j, 2) + sha256(dealings[j]) + shared
        bases = [None, multiply(ephemerals[j], G)]
        proof = prove("committee-complaint", statement, [(receiving[i], bases)], f"{name} complaint")
        complaints.append({"from": i, "bytes": hexed(statement + proof)})

    qualified = [j for j in dealers if not cheat or j != cheat[0]]
    weights = {j: lagrange(qualified, j) if old else 1 for j in qualified}
    keys, shares = {}, {}
    for purpose in PURPOSES:
        summed = [sum(weights[j] * polynomials[j][purpose][m] for j in qualified) % L for m in range(k)]
        shares[purpose] = {i: evaluate(summed, i) for i in members}
        keys[purpose] = {
            "groupPublicKey": hexed(encode(multiply(summed[0], G))),
            "verificationShares": [hexed(encode(multiply(shares[purpose][i], G))) for i in members],
        }
    transcript = sha256(tag("committee-transcript") + announced
                        + b"".join(u(j, 2) + sha256(dealings[j]) for j in qualified))
    states = {
        i: b"\1" + SCOPE + u(target, 4) + u(i, 2)
        + b"".join(bytes([code]) + scalar_bytes(shares[purpose][i]) for purpose, code in PURPOSES.items())
        for i in members
    }
    vector = {
        "generation": target,
        "size": n,
        "threshold": k,
        "receivingSecrets": [hexed(head(i) + scalar_bytes(receiving[i])) for i in members],
        "announcements": [hexed(announcements[i]) for i in members],
        "dealings": [{"from": j, "bytes": hexed(dealings[j])} for j in dealers],
        "complaints": complaints,
        "qualified": qualified,
        "transcript": hexed(transcript),
        "keys": keys,
        "shares": [hexed(states[i]) for i in members],
    }
    return vector, shares


def committee_vectors():
    first, first_shares = run("first", 0, 1, 4, 2, [1, 2, 3, 4], cheat=(3, 2, "record"))
    # Dealers 1 to 4 of generation 1, of whom 2 is gone and 4 cheats; generation 2 was a run that failed.
    second, second_shares = run("second", 1, 3, 5, 3, [1, 3, 4], old=first_shares, cheat=(4, 5, "oprf"))
    value = {
        "chainId": str(CHAIN_ID),
        "registry": hexed(REGISTRY),
        "committeeId": str(COMMITTEE),
        "secondGenerator": hexed(encode(GBAR)),
        "runs": [first, second],
    }
    return value, [(1, 2, first, first_shares), (3, 3, second, second_shares)]


# Sealed secrets


def sealed_vectors(generations):
    _, _, first, shares = generations[0]
    group = bytes.fromhex(first["keys"]["record"]["groupPublicKey"][2:])
    s = sum(lagrange([1, 2], i) * shares["record"][i] for i in (1, 2)) % L
    assert encode(multiply(s, G)) == group
    cases = []
    for name, payload in (("key record", bytes(range(72))), ("one byte", b"\x2a"), ("longest", bytes(1024))):
        fields = {
            "chainId": "31337",
            "ledger": sha256(b"ledger")[:20],
            "recordId": sha256(name.encode()),
            "version": 3,
            "author": sha256(b"author")[:20],
            "policy": sha256(b"policy")[:20],
            "policyDataHash": sha256(b"policy data"),
        }
        label = (u(CHAIN_ID, 8) + fields["ledger"] + fields["recordId"] + u(fields["version"], 4) + fields["author"]
                 + fields["policy"] + fields["policyDataHash"])
        r = drawn(f"{name} r")
        element, twin = encode(multiply(r, G)), encode(multiply(r, GBAR))
        key = kdf(encode(multiply(r * s, G)), "sealed-secret", group + element + label)
        body = b"\1" + element + twin + AESGCM(key).encrypt(bytes(12), payload, tag("sealed-secret") + b"\1")
        proof = prove("sealed-secret-proof", group + label + body, [(r, [None, GBAR])], f"{name} proof")
        sealed = body + proof
        secret_name = sha256(tag("sealed-secret-name") + group + label + sealed)
        answers = []
        for generation, threshold, public, secrets in generations:
            made = {}
            for i, share in secrets["record"].items():
                head = b"\1" + u(COMMITTEE, 8) + u(generation, 4) + u(i, 2)
                bases = [None, multiply(r, G)]
                text = f"{name} share {generation} {i}"
                answer = prove("decryption-share", head + secret_name, [(share, bases)], text)
                made[str(i)] = hexed(head + encode(multiply(share * r, G)) + answer)
            answers.append({
                "generation": generation,
                "threshold": threshold,
                "verificationShares": public["keys"]["record"]["verificationShares"],
                "shares": made,
            })
        cases.append({
            "label": {field: hexed(value) if isinstance(value, bytes) else value for field, value in fields.items()},
            "labelBytes": hexed(label),
            "payload": hexed(payload),
            "sealed": hexed(sealed),
            "generations": answers,
        })
    return {
        "committeeId": str(COMMITTEE),
        "groupPublicKey": hexed(group),
        "secrets": cases,
        "record": sealed_record(group, s),
        "identity": sealed_identity(group, s),
    }


def sealed_identity(group, s):
    """An identity sealed to the committee for its recovery. The phrase is BIP-39's of 32 bytes 0x7f."""
    ledger, policy = sha256(b"ledger")[:20], sha256(b"recovery policy")[:20]
    entropy, plan_hash, version = b"\x7f" * 32, sha256(b"recovery plan"), 2
    # BIP-44, m/44'/60'/0'/0/0, as identity.json has it of this phrase.
    account = next(one["account"] for one in IDENTITIES if one["entropy"] == hexed(entropy))
    address = bytes.fromhex(account[2:])
    record_id = sha256(tag("identity-secret"))
    label = u(CHAIN_ID, 8) + ledger + record_id + u(version, 4) + address + policy + plan_hash
    r = int.from_bytes(kdf(entropy, "identity-seal", group + label, 64), "little") % L
    element, twin = encode(multiply(r, G)), encode(multiply(r, GBAR))
    key = kdf(encode(multiply(r * s, G)), "sealed-secret", group + element + label)
    payload = b"\1" + entropy
    body = b"\1" + element + twin + AESGCM(key).encrypt(bytes(12), payload, tag("sealed-secret") + b"\1")
    proof = prove("sealed-secret-proof", group + label + body, [(r, [None, GBAR])], "identity proof")
    requester, session_key = sha256(b"requester")[:20], sha256(b"session key")
    digest = sha256(tag("recovery-words") + address + requester + session_key)
    return {
        "chainId": str(CHAIN_ID),
        "keyLedger": layouts.checksummed(ledger),
        "recoveryPolicy": layouts.checksummed(policy),
        "account": account,
        "version": version,
        "planHash": hexed(plan_hash),
        "entropy": hexed(entropy),
        "recordId": hexed(record_id),
        "label": hexed(label),
        "payload": hexed(payload),
        "sealed": hexed(body + proof),
        "requester": layouts.checksummed(requester),
        "sessionKey": hexed(session_key),
        "wordIndices": [int.from_bytes(digest[:9], "big") >> (72 - 11 * (place + 1)) & 2047 for place in range(6)],
    }


def sealed_record(group, s):
    """A key record with the file key sealed to the committee."""
    keccak256, word = layouts.keccak256, layouts.word
    ledger, policy, account = sha256(b"ledger")[:20], sha256(b"owners policy")[:20], sha256(b"account")[:20]
    file_key, data_digest, catalogue_key = sha256(b"file key"), sha256(b"root recipe"), sha256(b"catalogue key")
    key_time = 1_790_000_000
    file_tag = sha256(tag("file-tag") + data_digest)
    ownership = layouts.address_of(layouts.ownership_key(file_key))
    fields = word(account) + file_tag + word(COMMITTEE) + word(key_time) + word(ownership)
    secret_id = keccak256(fields)
    deployment = u(CHAIN_ID, 8) + ledger
    label = deployment + secret_id + u(1, 4) + account + policy + keccak256(b"")
    r = int.from_bytes(kdf(file_key, "record-seal", group + label, 64), "little") % L
    element, twin = encode(multiply(r, G)), encode(multiply(r, GBAR))
    key = kdf(encode(multiply(r * s, G)), "sealed-secret", group + element + label)
    body = b"\1" + element + twin + AESGCM(key).encrypt(bytes(12), file_key, tag("sealed-secret") + b"\1")
    sealed = body + prove("sealed-secret-proof", group + label + body, [(r, [None, GBAR])], "record proof")
    scope = keccak256(word(account) + file_tag)
    aad = tag("self-envelope") + deployment + scope
    self_envelope = b"\1" + AESGCMSIV(catalogue_key).encrypt(scope[:12], data_digest + file_key, aad)
    payload = b"\1\3" + self_envelope + sealed
    return {
        "chainId": str(CHAIN_ID),
        "keyLedger": layouts.checksummed(ledger),
        "ownersPolicy": layouts.checksummed(policy),
        "account": layouts.checksummed(account),
        "fileTag": hexed(file_tag),
        "committeeId": str(COMMITTEE),
        "keyTime": str(key_time),
        "ownershipKey": layouts.checksummed(ownership),
        "dataId": "b" + base64.b32encode(b"\x01\x55\x12\x20" + data_digest).decode().lower().rstrip("="),
        "fileKey": hexed(file_key),
        "catalogueKey": hexed(catalogue_key),
        "secretId": hexed(secret_id),
        "label": hexed(label),
        "payload": hexed(payload),
        "recordId": hexed(keccak256(fields + keccak256(payload))),
    }


def write(name, value):
    with open(name, "w") as file:
        json.dump({"source": SOURCE, **value}, file, indent=2, ensure_ascii=True)
        file.write("\n")


COMMITTEE_VALUE, GENERATIONS = committee_vectors()
write("committee.json", COMMITTEE_VALUE)
write("sealed-secrets.json", sealed_vectors(GENERATIONS))
