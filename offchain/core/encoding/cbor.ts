/**
 * The profile of CBOR (RFC 8949) that Tallystick's own formats use, in the core deterministic encoding of its §4.2.1:
 * unsigned and negative integers, byte strings and arrays, all with definite lengths and shortest heads, nested to a
 * stated depth. No text, maps, tags, floats or simple values. Every value has exactly one encoding, and a decoder that
 * accepts any other encoding would give one object two ids.
 *
 * `measureItem` enforces the profile on the bytes, without recursion and before anything is built from them; cborg then
 * decodes.
 */
import { decode, encode } from "cborg";
import { InvalidInputError } from "../errors.ts";

/** Values of the profile. Integers beyond 2^53 decode as bigint. */
export type CborValue = number | bigint | Uint8Array | readonly CborValue[];

const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTE_STRING = 2;
const ARRAY = 4;

/** Smallest argument that needs a head of 1, 2, 4 or 8 further bytes (RFC 8949 §3). */
const SMALLEST_ARGUMENT = { 1: 24, 2: 0x100, 4: 0x1_0000, 8: 0x1_0000_0000 } as const;

interface Head {
  readonly major: number;
  /** Rounded above 2^53, which is longer than any input. */
  readonly argument: number;
  /** Index after the head. */
  readonly end: number;
}

function refuse(what: string, check: string, received: string): InvalidInputError {
  return new InvalidInputError(`${what} is not in canonical form: ${received}`, {
    check,
    expected: "deterministic CBOR of integers, byte strings and arrays",
    received,
  });
}

/** Reads the head of an item (RFC 8949 §3). @returns undefined if the bytes end within it */
function readHead(bytes: Uint8Array, position: number, what: string): Head | undefined {
  const initial = bytes[position];
  if (initial === undefined) return undefined;
  const major = initial >> 5;
  const info = initial & 0x1f;
  if (major !== UNSIGNED && major !== NEGATIVE && major !== BYTE_STRING && major !== ARRAY) {
    throw refuse(what, "CBOR type", `major type ${major} at byte ${position}`);
  }
  if (info < 24) return { major, argument: info, end: position + 1 };
  if (info > 27) throw refuse(what, "CBOR head", `an indefinite or reserved length at byte ${position}`);
  const extraBytes = (1 << (info - 24)) as keyof typeof SMALLEST_ARGUMENT;
  const end = position + 1 + extraBytes;
  if (end > bytes.length) return undefined;
  let argument = 0;
  for (let index = position + 1; index < end; index++) argument = argument * 0x100 + (bytes[index] ?? 0);
  if (argument < SMALLEST_ARGUMENT[extraBytes]) {
    throw refuse(what, "CBOR head", `a longer head than needed at byte ${position}`);
  }
  return { major, argument, end };
}

/**
 * Finds the end of the item that starts at a position, and checks it against the profile.
 * @param maxDepth how deep arrays may nest; 1 is an array of scalars
 * @param what names the data in errors
 * @returns index after the item, or undefined if the bytes end within it
 * @throws InvalidInputError as soon as the bytes cannot become an item of the profile
 */
export function measureItem(bytes: Uint8Array, start: number, maxDepth: number, what: string): number | undefined {
  /** Items still to come at each level of nesting; the outermost level is the one item asked for. */
  const remaining: number[] = [1];
  let position = start;
  while (remaining.length > 0) {
    const count = remaining.pop() as number;
    if (count === 0) continue;
    remaining.push(count - 1);
    const head = readHead(bytes, position, what);
    if (head === undefined) return undefined;
    position = head.end;
    if (head.major === BYTE_STRING) {
      if (head.argument > bytes.length - position) return undefined;
      position += head.argument;
    } else if (head.major === ARRAY) {
      if (remaining.length > maxDepth) throw refuse(what, "nesting", `arrays nested deeper than ${maxDepth}`);
      remaining.push(head.argument);
    }
  }
  return position;
}

/** Encodes a value. Numbers must be safe integers, bigints must fit in 64 bits. */
export function encodeCbor(value: CborValue): Uint8Array {
  return encode(value);
}

/**
 * Decodes exactly one item.
 * @param maxBytes longest input accepted
 * @throws InvalidInputError if it is too long, truncated, followed by anything, or outside the profile
 */
export function decodeCbor(bytes: Uint8Array, maxBytes: number, maxDepth: number, what: string): CborValue {
  if (bytes.length > maxBytes) {
    throw new InvalidInputError(`${what} is too long`, {
      check: "size",
      expected: `at most ${maxBytes} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  const end = measureItem(bytes, 0, maxDepth, what);
  if (end === undefined) throw refuse(what, "CBOR length", "truncated");
  if (end < bytes.length) throw refuse(what, "CBOR length", `${bytes.length - end} bytes after the end`);
  return decode(bytes, { strict: true, allowIndefinite: false }) as CborValue;
}

/** Names the place of a value in errors: what it belongs to, and which field it is. */
export interface Field {
  readonly what: string;
  readonly name: string;
}

function wrong(field: Field, expected: string, value: CborValue | undefined): InvalidInputError {
  return new InvalidInputError(`${field.what} has a wrong ${field.name}`, {
    check: field.name,
    expected,
    received: describe(value),
  });
}

function describe(value: CborValue | undefined): string {
  if (value === undefined) return "nothing";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return typeof value === "object" ? `an array of ${value.length}` : String(value);
}

/** Checks that a value is an integer in a range. @throws InvalidInputError */
export function asInteger(value: CborValue | undefined, min: number, max: number, field: Field): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw wrong(field, `an integer from ${min} to ${max}`, value);
}

/** Checks that a value is a signed 64-bit integer. @throws InvalidInputError */
export function asInt64(value: CborValue | undefined, field: Field): bigint {
  if (typeof value === "number" || typeof value === "bigint") {
    const integer = BigInt(value);
    if (BigInt.asIntN(64, integer) === integer) return integer;
  }
  throw wrong(field, "a signed 64-bit integer", value);
}

/** Checks that a value is a byte string with a length in a range, and copies it. @throws InvalidInputError */
export function asBytes(value: CborValue | undefined, minBytes: number, maxBytes: number, field: Field): Uint8Array {
  if (value instanceof Uint8Array && value.length >= minBytes && value.length <= maxBytes) return value.slice();
  throw wrong(field, minBytes === maxBytes ? `${minBytes} bytes` : `${minBytes} to ${maxBytes} bytes`, value);
}

/** Checks that a value is an array with a length in a range. @throws InvalidInputError */
export function asArray(
  value: CborValue | undefined,
  minItems: number,
  maxItems: number,
  field: Field,
): readonly CborValue[] {
  if (Array.isArray(value) && value.length >= minItems && value.length <= maxItems) return value;
  throw wrong(field, minItems === maxItems ? `${minItems} items` : `${minItems} to ${maxItems} items`, value);
}
