/** A listing holds content only. What belongs to the owner comes as a stream of its own, in listing order. */
import { IntegrityError, type TallystickError } from "../../core/errors.ts";
import type { FileEntry } from "../../core/recipe/recipe.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { RestoreEntry } from "../platform.ts";
import { isDamage } from "./damage.ts";

/**
 * Joins the two streams entry by entry.
 * @param metadata one for each entry; undefined if there is none
 * @param onDamage told once when metadata is lost or damaged: the entries from there on come without. Unless given,
 *   such metadata ends the stream with an error
 * @throws IntegrityError when one stream is longer than the other
 */
export async function* withMetadata(
  entries: AsyncIterable<FileEntry>,
  metadata: AsyncIterable<EntryMetadata> | undefined,
  onDamage?: (error: TallystickError) => void,
): AsyncGenerator<RestoreEntry, void, undefined> {
  if (metadata === undefined) {
    yield* entries;
    return;
  }
  const values = metadata[Symbol.asyncIterator]();
  let isDamaged = false;
  const take = async (isEnd: boolean): Promise<EntryMetadata | undefined> => {
    try {
      const next = await values.next();
      if (isEnd && next.done !== true) throw unlikeListing("more");
      if (next.done !== true) return next.value;
      if (!isEnd) throw unlikeListing("fewer");
    } catch (error) {
      if (onDamage === undefined || !isDamage(error)) throw error;
      isDamaged = true;
      onDamage(error);
    }
    return undefined;
  };
  try {
    for await (const entry of entries) {
      const value = isDamaged ? undefined : await take(false);
      yield value === undefined ? entry : { ...entry, metadata: value };
    }
    if (!isDamaged) await take(true);
  } finally {
    await values.return?.();
  }
}

function unlikeListing(received: string): IntegrityError {
  return new IntegrityError("the metadata belongs to another listing", {
    check: "number of entries",
    expected: "metadata for each entry of the listing",
    received,
  });
}
