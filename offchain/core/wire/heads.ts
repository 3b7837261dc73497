/**
 * Wire format of the snapshot list's head, which a provider keeps for an account: `core/snapshot/list-objects.ts` says
 * what is in it. The provider reads the version only.
 */
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { AddressText } from "./schema.ts";

const countText = Type.String({ pattern: "^(?:0|[1-9][0-9]{0,15})$" });
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/**
 * `GET /v1/head`: the sealed head (octet-stream), or 404 when the account has none.
 *
 * `GET /v1/head?of=a`: that of account a, which this one has replaced; nobody changes it any more.
 *
 * `PUT /v1/head?expected=n&releases=r` (octet-stream): takes the place of version n, 0 for none, and is of version
 * n + 1. Any other version in place is a CONFLICT with `details.version`, and so is another number of releases than
 * `GET /v1/usage` told before the objects were claimed or kept that the list names now: `details.releases`. Durable
 * when answered. To repeat a request that was carried out changes nothing.
 */
export const HeadQuery = Type.Object({ expected: countText, releases: countText }, { additionalProperties: false });
export type HeadQuery = Static<typeof HeadQuery>;

export const HeadOfQuery = Type.Object({ of: Type.Optional(AddressText) }, { additionalProperties: false });
export type HeadOfQuery = Static<typeof HeadOfQuery>;

export const HeadAnswer = Type.Object({ version: count });
export type HeadAnswer = Static<typeof HeadAnswer>;
