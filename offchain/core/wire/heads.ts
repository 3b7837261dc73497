/**
 * Wire format of snapshots: the head of the list, which a provider keeps for an account (`core/snapshot/list-objects.ts` says
 * what is in it; the provider reads the version only), and the release of objects that no snapshot names any more.
 */
import { type Static, Type } from "@sinclair/typebox";
import { ContentIdText } from "./schema.ts";

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

/** Most objects in one release. */
export const MAX_RELEASE_IDS = 1024;

/** `POST /v1/chunks/release`: the account no longer needs these objects. Ids that it does not own are passed over. */
export const ReleaseRequest = Type.Object(
  { ids: Type.Array(ContentIdText, { minItems: 1, maxItems: MAX_RELEASE_IDS }) },
  { additionalProperties: false },
);
export type ReleaseRequest = Static<typeof ReleaseRequest>;

/** Objects that the account owned and does not any more, and their bytes. */
export const ReleaseAnswer = Type.Object({ released: count, freedBytes: count });
export type ReleaseAnswer = Static<typeof ReleaseAnswer>;
