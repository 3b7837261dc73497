/** A listing holds content only. What belongs to the owner comes as a stream of its own, in the order of the listing. */
import { IntegrityError } from "../../core/errors.ts";
import type { FileEntry } from "../../core/recipe/recipe.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { RestoreEntry } from "../platform.ts";

/**
 * Joins the two streams entry by entry.
 * @param metadata one for each entry; undefined if there is none
 * @throws IntegrityError when one stream is longer than the other
 */
export async function* withMetadata(
  entries: AsyncIterable<FileEntry>,
  metadata: AsyncIterable<EntryMetadata> | undefined,
): AsyncGenerator<RestoreEntry, void, undefined> {
  if (metadata === undefined) {
    yield* entries;
    return;
  }
  const values = metadata[Symbol.asyncIterator]();
  try {
    for await (const entry of entries) {
      const next = await values.next();
      if (next.done === true) throw unlikeListing("fewer");
      yield { ...entry, metadata: next.value };
    }
    if ((await values.next()).done !== true) throw unlikeListing("more");
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
