/**
 * Wire format of the snapshot list's head, which a provider keeps for an account: `core/snapshot/list-objects.ts` says
 * what is in it. The provider reads the version only.
 */
import { type Static, Type } from "@sinclair/typebox";

const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/**
 * `GET /v1/head`: the sealed head (octet-stream), or 404 when the account has none.
 *
 * `PUT /v1/head?expected=n` (octet-stream): takes the place of version n, 0 for none, and is of version n + 1. Any
 * other version in place is a CONFLICT with `details.version`. Durable when answered. To repeat a request that was
 * carried out changes nothing.
 */
export const HeadQuery = Type.Object(
  { expected: Type.String({ pattern: "^(?:0|[1-9][0-9]{0,15})$" }) },
  { additionalProperties: false },
);
export type HeadQuery = Static<typeof HeadQuery>;

export const HeadAnswer = Type.Object({ version: count });
export type HeadAnswer = Static<typeof HeadAnswer>;
