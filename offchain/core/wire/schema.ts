/**
 * Building blocks of the HTTP messages between agents and daemons, and the check a client runs on what a daemon
 * answered. Schemas are TypeBox, that is JSON Schema with a static TypeScript type. Requests are closed (unknown
 * fields are refused), answers are open (a newer daemon may add fields).
 *
 * Conventions: byte strings are lower-case `0x` hexadecimal, integers that may exceed 2^53 are decimal strings, times
 * are unix seconds, chunk and data ids are CIDv1 base32 text (raw, sha2-256).
 */

import type { Static, TSchema } from "@sinclair/typebox";
import { Errors as errorsOf, type ValueError } from "@sinclair/typebox/errors";
import * as Type from "@sinclair/typebox/type";
import { TallystickError } from "../errors.ts";

/** An Ethereum account; any letter case, daemons answer with the EIP-55 checksum. */
export const AddressText = Type.String({ pattern: "^0x[0-9a-fA-F]{40}$" });

/** A byte string of exactly `sizeBytes`. */
export function HexBytes(sizeBytes: number) {
  return Type.String({ pattern: `^0x[0-9a-f]{${2 * sizeBytes}}$` });
}

/** A byte string of `minimumBytes` to `maximumBytes`. */
export function HexRange(minimumBytes: number, maximumBytes: number) {
  return Type.String({
    pattern: "^0x(?:[0-9a-f]{2})*$",
    minLength: 2 + 2 * minimumBytes,
    maxLength: 2 + 2 * maximumBytes,
  });
}

export const Bytes32Text = HexBytes(32);

/**
 * A signature by an account: 65 bytes from a plain account, up to 1 KiB from a contract wallet (EIP-1271).
 */
export const SignatureText = HexRange(1, 1024);

/**
 * An unsigned 64-bit integer as decimal text: `"0"`, or digits without a leading zero. The range is checked where it
 * is used.
 */
export const Uint64Text = Type.String({ pattern: "^(?:0|[1-9][0-9]{0,19})$" });

/** An unsigned 256-bit integer as decimal text. */
export const Uint256Text = Type.String({ pattern: "^(?:0|[1-9][0-9]{0,77})$" });

/** Unix time in seconds. */
export const UnixSeconds = Type.Integer({ minimum: 0, maximum: 253_402_300_799 });

/** CIDv1, base32, codec raw, sha2-256. */
export const ContentIdText = Type.String({ pattern: "^bafkrei[a-z2-7]{52}$" });

/**
 * The path of the first place where a value does not fit a schema, and what is expected there, for `expected` of an
 * error; undefined when it fits.
 */
export function firstMismatch(schema: TSchema, value: unknown): { path: string; reason: string } | undefined {
  // `Check` is a third faster, but a page that imports it has all of TypeBox's operations on values.
  const mismatch = errorsOf(schema, value).First();
  return mismatch === undefined ? undefined : { path: mismatch.path || "/", reason: expectedBy(mismatch) };
}

/** What a schema expected where a value does not fit it. TypeBox says it in a sentence, errors in a field. */
export function expectedBy(mismatch: Pick<ValueError, "message"> | undefined): string {
  const { message = "the documented schema" } = mismatch ?? {};
  return message === "Unexpected property" ? "no such property" : message.replace(/^Expected /, "");
}

/**
 * What a daemon answered, once it is known to fit the schema.
 *
 * @param party who answered, for the error, for example `node http://…`.
 * @throws TallystickError BAD_RESPONSE naming the party and the first field that does not fit.
 */
export function parseAnswer<Schema extends TSchema>(schema: Schema, value: unknown, party: string): Static<Schema> {
  const mismatch = firstMismatch(schema, value);
  if (mismatch !== undefined) {
    throw new TallystickError(`${party} answered outside the protocol`, {
      code: "BAD_RESPONSE",
      party,
      check: `answer schema at ${mismatch.path}`,
      expected: mismatch.reason,
    });
  }
  return value as Static<Schema>;
}
