/**
 * Sessions, the same at every daemon. The user signs one EIP-712 `Session` message per daemon: the audience is the
 * daemon's operator account, the nonce is random, the end is at most an hour ahead. The daemon answers with a bearer
 * token that represents the account until then. A message is accepted once: its nonce is stored until the message has
 * expired at every process of the daemon.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { AddressText, Bytes32Text, SignatureText, UnixSeconds } from "./schema.ts";

/** Longest life of a session, in seconds. */
export const MAXIMUM_SESSION_SECONDS = 3600;

/** The `check` of a refusal that may be due to a clock; `details` then has `nowSeconds` and `expiresAt`. */
export const CLOCK_CHECK = "clock";

/** `POST /v1/sessions` */
export const SessionRequest = Type.Object(
  {
    account: AddressText,
    audience: AddressText,
    nonce: Bytes32Text,
    expiresAt: UnixSeconds,
    signature: SignatureText,
  },
  { additionalProperties: false },
);
export type SessionRequest = Static<typeof SessionRequest>;

/** The token goes into `Authorization: Bearer <token>`. */
export const SessionAnswer = Type.Object({
  token: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }),
  expiresAt: UnixSeconds,
});
export type SessionAnswer = Static<typeof SessionAnswer>;

/** Body of every answer with a status of 400 or above: the error's own fields under `error`. */
export const ErrorAnswer = Type.Object({
  error: Type.Object({
    code: Type.String({ maxLength: 64 }),
    message: Type.String({ maxLength: 4096 }),
    party: Type.Optional(Type.String({ maxLength: 512 })),
    check: Type.Optional(Type.String({ maxLength: 512 })),
    expected: Type.Optional(Type.String({ maxLength: 1024 })),
    received: Type.Optional(Type.String({ maxLength: 1024 })),
    hint: Type.Optional(Type.String({ maxLength: 1024 })),
    retryable: Type.Optional(Type.Boolean()),
    retryAfterSeconds: Type.Optional(Type.Number({ minimum: 0 })),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
});
export type ErrorAnswer = Static<typeof ErrorAnswer>;
