/** Ids of stores that take content ids alone. */
import { digestOf } from "../../core/encoding/content-id.ts";
import { requireObjectId } from "./object-store.ts";

/** @throws InvalidInputError for an id that is no CIDv1 of raw bytes under SHA-256, in lower-case base32 */
export function requireCid(id: string): void {
  requireObjectId(id);
  digestOf(id);
}
