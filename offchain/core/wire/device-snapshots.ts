/**
 * Wire format of the snapshots that devices which only write leave at a provider, until the owner of their account has
 * taken them over into its list. `core/snapshot/device-entry.ts` says what is in an entry; the provider reads all of it
 * but what is sealed. Positions of a device count from 1.
 */
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { InvalidInputError } from "../errors.ts";
import { MAX_ENTRY_BYTES } from "../snapshot/device-entry.ts";
import { AddressText } from "./schema.ts";

/** Entries of one device that wait, and their bytes. Whoever has stolen a device can fill no more than this. */
export const MAX_WAITING_ENTRIES = 2048;
export const MAX_WAITING_BYTES = 4_194_304;
/** Entries and bytes of one answer. */
export const MAX_ENTRIES_READ = 256;
export const MAX_ENTRIES_BODY_BYTES = 1_048_576;
/** Devices of one account in one answer. */
export const MAX_DEVICE_LISTS = 4096;
/** How far the time of an entry may be from the provider's clock when it arrives, in seconds. */
export const ENTRY_CLOCK_SECONDS = 600;

const LENGTH_BYTES = 4;
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const countText = Type.String({ pattern: "^(?:0|[1-9][0-9]{0,15})$" });

/**
 * `GET /v1/delegates/snapshots`, by the account: how many entries each of its devices has left in all, and up to which
 * they were taken over. `?of=a`: those of account a, which this one has replaced.
 */
export const DeviceListsAnswer = Type.Object({
  devices: Type.Array(Type.Object({ key: AddressText, position: count, taken: count }), {
    maxItems: MAX_DEVICE_LISTS,
  }),
});
export type DeviceListsAnswer = Static<typeof DeviceListsAnswer>;

/**
 * `GET /v1/delegates/{key}/snapshots?after=n`, by the account: entries from position n + 1 on (octet-stream), each as
 * u32 length ‖ entry, as many as one answer takes. `of` as above.
 *
 * `GET /v1/delegates/{key}/snapshots/last`, by the delegate: its last entry (octet-stream), or 404. It is kept also
 * when it was taken over.
 *
 * `PUT /v1/delegates/{key}/snapshots?releases=r` (octet-stream), by the delegate: its next entry. Any other position or
 * entry before is a CONFLICT, and so is another number of releases than `GET /v1/usage` told before the objects were
 * claimed. Durable when answered. To repeat a request that was carried out changes nothing.
 *
 * `POST /v1/delegates/{key}/snapshots/taken`, by the account: entries up to `through` are in its list, and are removed.
 */
export const DeviceEntriesQuery = Type.Object(
  { after: countText, of: Type.Optional(AddressText) },
  { additionalProperties: false },
);
export const LeaveEntryQuery = Type.Object({ releases: countText }, { additionalProperties: false });
export const LeaveEntryAnswer = Type.Object({ position: count });
export type LeaveEntryAnswer = Static<typeof LeaveEntryAnswer>;
export const TakenRequest = Type.Object({ through: count }, { additionalProperties: false });
export const TakenAnswer = Type.Object({ taken: count });

/** The body that has these entries. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  const body = new Uint8Array(entries.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  const view = new DataView(body.buffer);
  let at = 0;
  for (const entry of entries) {
    view.setUint32(at, entry.length);
    body.set(entry, at + LENGTH_BYTES);
    at += LENGTH_BYTES + entry.length;
  }
  return body;
}

/** @throws InvalidInputError for a body that is cut off, or has an entry that is too long */
export function decodeEntries(body: Uint8Array): Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const entries: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const length = at + LENGTH_BYTES <= body.length ? view.getUint32(at) : Number.POSITIVE_INFINITY;
    const end = at + LENGTH_BYTES + length;
    if (length > MAX_ENTRY_BYTES || end > body.length) {
      throw new InvalidInputError("snapshots of a device are cut off, or one is too long", {
        check: "length of the entry",
        expected: `at most ${MAX_ENTRY_BYTES} bytes, all there`,
        received: `${length} bytes at ${at} of ${body.length}`,
      });
    }
    entries.push(body.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  return entries;
}
