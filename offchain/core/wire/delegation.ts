/**
 * What a device hands to the owner of an account, so that the owner makes it a delegate: the delegation as the device
 * wants it, signed by the device. The owner signs the same message, or none. With it comes the key that the owner seals
 * to, signed by the device as well.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { InvalidInputError } from "../errors.ts";
import { MAXIMUM_DELEGATION_SECONDS } from "../identity/delegation.ts";
import { AddressText, firstMismatch, HexBytes, UnixSeconds } from "./schema.ts";

const Scopes = Type.Array(Type.Union([Type.Literal("read"), Type.Literal("write")]), {
  minItems: 1,
  maxItems: 2,
  uniqueItems: true,
});

export const DelegationRequest = Type.Object(
  {
    account: AddressText,
    key: AddressText,
    scopes: Scopes,
    expiresAt: UnixSeconds,
    deadline: UnixSeconds,
    keySignature: HexBytes(65),
    encryptionKey: HexBytes(32),
    encryptionKeySignature: HexBytes(65),
  },
  { additionalProperties: false },
);
export type DelegationRequest = Static<typeof DelegationRequest>;

/** Longest text that is looked at: a request has 700 characters. */
const MAX_DELEGATION_REQUEST_BYTES = 4096;

/**
 * @param text the request, or the document with it that `delegate request --json` prints
 * @throws InvalidInputError naming the first field that does not fit
 */
export function parseDelegationRequest(text: string): DelegationRequest {
  const refuse = (check: string, expected: string): never => {
    throw new InvalidInputError("this is no request of a device", {
      party: "device",
      check,
      expected,
      hint: "make it on the device with `tallystick delegate request`, and copy all of it",
    });
  };
  if (text.length > MAX_DELEGATION_REQUEST_BYTES) refuse("length", `at most ${MAX_DELEGATION_REQUEST_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("request", "one JSON document");
  }
  const request = typeof value === "object" && value !== null && "request" in value ? value.request : value;
  const mismatch = firstMismatch(DelegationRequest, request);
  if (mismatch !== undefined) refuse(`field ${mismatch.path}`, mismatch.reason);
  return request as DelegationRequest;
}

/** @throws InvalidInputError for a time that the contract would refuse */
export function requireLifetime(expiresAt: number, now: number): void {
  if (expiresAt > now && expiresAt <= now + MAXIMUM_DELEGATION_SECONDS) return;
  throw new InvalidInputError("a delegate cannot be made for this time", {
    check: "expiry of a delegate",
    expected: `after ${new Date(now * 1000).toISOString()}, and at most 366 days later`,
    received: new Date(expiresAt * 1000).toISOString(),
    hint: "ask for another time with `--for`",
  });
}
