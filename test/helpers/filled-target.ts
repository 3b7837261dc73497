/** Entries as a restore hands them to a target, with their content. */
import type { RestoreEntry, RestoreTarget } from "../../offchain/agent/platform.ts";
import type { EntryMetadata } from "../../offchain/core/snapshot/entry-metadata.ts";

export const PIECE_BYTES = 1024 * 1024;
export interface Wanted {
  readonly entry: RestoreEntry;
  readonly content: Uint8Array;
}

const SECOND = 1_000_000_000n;
export const plain: EntryMetadata = { mode: 0o644, mtimeNanos: 1_500_000_000n * SECOND };

export function file(path: string, content: string | Uint8Array, metadata: EntryMetadata | undefined = plain): Wanted {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  const entry = { type: "file", path, sizeBytes: bytes.length, content: { chunks: [] }, metadata } as const;
  return { entry, content: bytes };
}

export function folder(path: string, mode = 0o755): Wanted {
  return { entry: { type: "directory", path, metadata: { ...plain, mode } }, content: new Uint8Array() };
}

export function link(path: string, target: string): Wanted {
  return { entry: { type: "symlink", path, target, metadata: plain }, content: new Uint8Array() };
}

/** Drives a target as `restore` does. @returns bytes that had to be fetched */
export async function fill(
  target: RestoreTarget,
  wanted: readonly Wanted[],
  interfere: (path: string) => void = () => {},
) {
  let fetchedBytes = 0;
  try {
    for (const { entry, content } of wanted) {
      if (entry.type === "file") {
        const sink = await target.openFile(entry);
        try {
          await target.before(entry);
          interfere(entry.path);
          for (let offset = 0; offset < content.length; offset += PIECE_BYTES) {
            const bytes = content.subarray(offset, offset + PIECE_BYTES);
            const isRight = async (found: Uint8Array) => Buffer.compare(found, bytes) === 0;
            const present = await sink.reuse({ sizeBytes: bytes.length, isRight }, offset);
            fetchedBytes += present === undefined ? bytes.length : 0;
            await sink.write(present ?? bytes, present === undefined);
          }
          await sink.finish();
        } finally {
          await sink.close();
        }
        continue;
      }
      await target.before(entry);
      if (entry.type === "directory") await target.makeFolder(entry);
      else await target.makeLink(entry);
    }
    await target.finish();
  } finally {
    await target.close();
  }
  return fetchedBytes;
}
