/**
 * Wire format of stub files, which a provider keeps for an account: one for each put that is revocable for it.
 * `core/revocable/stub-file.ts` says what is in one; the provider reads version, epoch and length only.
 */
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { ContentIdText } from "./schema.ts";

export const StubFileParams = Type.Object({ dataId: ContentIdText }, { additionalProperties: false });
export type StubFileParams = Static<typeof StubFileParams>;

/**
 * `GET /v1/stub-files/{data id}`: the sealed file (octet-stream), or 404 when the account has none.
 *
 * `PUT /v1/stub-files/{data id}?expected=e` (octet-stream): takes the place of the file of epoch e, 0 for none, and is
 * of a later epoch. Any other epoch in place is a CONFLICT with `details.epoch`. Durable when answered; the file before
 * is gone then. To repeat a request that was carried out changes nothing.
 */
export const StubFileQuery = Type.Object(
  { expected: Type.String({ pattern: "^(?:0|[1-9][0-9]{0,15})$" }) },
  { additionalProperties: false },
);
export type StubFileQuery = Static<typeof StubFileQuery>;

/** The epoch that is in place now. */
export const StubFileAnswer = Type.Object({
  epoch: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
});
export type StubFileAnswer = Static<typeof StubFileAnswer>;
