/**
 * S-PDP, the possession proof with RSA tags of Ateniese and others (CCS 2007, section 4.1), as a baseline for
 * `npm run bench:audit`. Used by nothing else.
 *
 * Tags T_i = (h(W_i)·g^{m_i})^d mod N for blocks m_i, read as one integer each. For a challenge with coefficients a_j,
 * the provider answers T = ∏ T_j^{a_j} and ρ = H(g_s^{Σ a_j·m_j}), where g_s = g^s and s is the owner's; the owner
 * checks H(τ^s) = ρ for τ = T^e / ∏ h(W_j)^{a_j}.
 *
 * As fast as OpenSSL makes it: private operations use the factors of N, exponents of the owner are reduced by the
 * group's order, and powers of the fixed g come from a table.
 */
import {
  constants,
  createDiffieHellman,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  randomBytes,
} from "node:crypto";

const COEFFICIENT_BYTES = 20;
/** Bits of one window of the table of powers of g. */
const WINDOW_BITS = 8;

function toInteger(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function toBytes(value: bigint, lengthBytes: number): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * lengthBytes, "0"), "hex");
}

/** An owner's keys, and what it does with them. */
export class SpdpOwner {
  readonly modulus: bigint;
  readonly modulusBytes: number;
  readonly generator: bigint;
  readonly publicExponent: bigint;
  readonly #privateKey: KeyObject;
  /** Order of the group of units of N. */
  readonly #order: bigint;
  readonly #labels = randomBytes(32);
  readonly #table: bigint[][] = [];

  /** @param modulusBits length of N */
  constructor(modulusBits: number) {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: modulusBits });
    const { n = "", e = "", p = "", q = "" } = privateKey.export({ format: "jwk" });
    const integer = (text: string) => toInteger(Buffer.from(text, "base64url"));
    this.#privateKey = privateKey;
    this.modulus = integer(n);
    this.modulusBytes = modulusBits / 8;
    this.publicExponent = integer(e);
    this.#order = (integer(p) - 1n) * (integer(q) - 1n);
    const root = toInteger(randomBytes(this.modulusBytes)) % this.modulus;
    // A square generates the quadratic residues with overwhelming probability.
    this.generator = (root * root) % this.modulus;
    for (let base = this.generator, window = 0; window < modulusBits / WINDOW_BITS; window++) {
      const row = [1n];
      for (let digit = 1; digit < 1 << WINDOW_BITS; digit++) row.push(((row.at(-1) ?? 1n) * base) % this.modulus);
      this.#table.push(row);
      base = ((row.at(-1) ?? 1n) * base) % this.modulus;
    }
  }

  /** h(W_i): a quadratic residue for each index. */
  label(index: number): bigint {
    const parts: Buffer[] = [];
    for (let k = 0; k * 32 < this.modulusBytes; k++) {
      parts.push(createHmac("sha256", this.#labels).update(`${index}/${k}`).digest());
    }
    const root = toInteger(Buffer.concat(parts)) % this.modulus;
    return (root * root) % this.modulus;
  }

  tag(index: number, block: Uint8Array): bigint {
    const exponent = toInteger(block) % this.#order;
    let power = 1n;
    for (let window = 0, rest = exponent; rest > 0n; window++, rest >>= BigInt(WINDOW_BITS)) {
      const digit = Number(rest & 0xffn);
      if (digit !== 0) power = (power * (this.#table[window]?.[digit] ?? 1n)) % this.modulus;
    }
    return this.#power((this.label(index) * power) % this.modulus);
  }

  /** value^d mod N. */
  #power(value: bigint): bigint {
    const key = { key: this.#privateKey, padding: constants.RSA_NO_PADDING };
    return toInteger(privateDecrypt(key, toBytes(value, this.modulusBytes)));
  }

  challenge(indices: readonly number[]): SpdpChallenge {
    const coefficients = indices.map(() => toInteger(randomBytes(COEFFICIENT_BYTES)));
    const secret = toInteger(randomBytes(32));
    const base = powerModulo(this.generator, secret, this.modulus, this.modulusBytes);
    return { indices, coefficients, secret, base };
  }

  verify({ indices, coefficients, secret }: SpdpChallenge, { tag, digest }: SpdpProof): boolean {
    const { modulus, modulusBytes } = this;
    let labels = 1n;
    for (const [k, index] of indices.entries()) {
      labels = (labels * powerModulo(this.label(index), coefficients[k] ?? 0n, modulus, modulusBytes)) % modulus;
    }
    const power = powerModulo(tag, this.publicExponent, modulus, modulusBytes);
    const tau = (power * inverse(labels, modulus)) % modulus;
    return hashOf(powerModulo(tau, secret, modulus, modulusBytes), modulusBytes).equals(digest);
  }
}

export interface SpdpChallenge {
  readonly indices: readonly number[];
  /** 160 bits each. */
  readonly coefficients: readonly bigint[];
  /** The owner's s. */
  readonly secret: bigint;
  /** g^s, which goes to the provider. */
  readonly base: bigint;
}

export interface SpdpProof {
  readonly tag: bigint;
  readonly digest: Buffer;
}

/** The provider's answer. */
export function proveSpdp(
  { modulus, modulusBytes }: Pick<SpdpOwner, "modulus" | "modulusBytes">,
  { coefficients, base }: SpdpChallenge,
  blocks: readonly Uint8Array[],
  tags: readonly bigint[],
): SpdpProof {
  let tag = 1n;
  let exponent = 0n;
  for (const [k, coefficient] of coefficients.entries()) {
    tag = (tag * powerModulo(tags[k] ?? 1n, coefficient, modulus, modulusBytes)) % modulus;
    exponent += coefficient * toInteger(blocks[k] ?? new Uint8Array());
  }
  return { tag, digest: hashOf(powerModulo(base, exponent, modulus, modulusBytes), modulusBytes) };
}

function hashOf(value: bigint, lengthBytes: number): Buffer {
  return createHash("sha256").update(toBytes(value, lengthBytes)).digest();
}

/** OpenSSL's modular power, reached through its Diffie-Hellman, which computes generator^key mod prime. */
function powerModulo(base: bigint, exponent: bigint, modulus: bigint, lengthBytes: number): bigint {
  const group = createDiffieHellman(toBytes(modulus, lengthBytes), toBytes(base, lengthBytes));
  const text = exponent.toString(16);
  group.setPrivateKey(Buffer.from(text.length % 2 === 0 ? text : `0${text}`, "hex"));
  return toInteger(group.generateKeys());
}

/** Extended Euclid. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [low, high, previous, current] = [value % modulus, modulus, 1n, 0n];
  while (low > 1n) {
    const quotient = high / low;
    [low, high] = [high % low, low];
    [previous, current] = [current - quotient * previous, previous];
  }
  return ((previous % modulus) + modulus) % modulus;
}
