/**
 * Wire format of the parcels that a provider keeps for devices: one for each delegate of an account.
 * `core/identity/delegate-secrets.ts` says what is in one; the provider reads its length only.
 */
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { AddressText } from "./schema.ts";

/**
 * `PUT /v1/delegates/{key}/parcel` (octet-stream), by the account: takes the place of the one before. The key is a
 * delegate of the account that may write. Durable when answered.
 *
 * `GET /v1/delegates/{key}/parcel`, by the delegate or the account: the parcel (octet-stream), or 404.
 */
export const DelegateParams = Type.Object({ key: AddressText }, { additionalProperties: false });
export type DelegateParams = Static<typeof DelegateParams>;

export const ParcelAnswer = Type.Object({ key: AddressText });
export type ParcelAnswer = Static<typeof ParcelAnswer>;
