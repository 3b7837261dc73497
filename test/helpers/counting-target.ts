/** A restore target in memory that notes what it is asked for. */

import type { FileSink, RestoreTarget } from "../../offchain/agent/platform.ts";
import type { DirectoryEntry, FileEntry, RegularFileEntry, SymlinkEntry } from "../../offchain/core/recipe/recipe.ts";

export class CountingTarget implements RestoreTarget {
  readonly calls: string[] = [];
  /** Contents of finished files. */
  readonly files = new Map<string, Uint8Array>();

  async before(_entry: FileEntry): Promise<void> {}

  async makeFolder({ path }: DirectoryEntry): Promise<void> {
    this.calls.push(`folder ${path}`);
  }

  async makeLink({ path }: SymlinkEntry): Promise<void> {
    this.calls.push(`link ${path}`);
  }

  async openFile(entry: RegularFileEntry): Promise<FileSink> {
    const pieces: Uint8Array[] = [];
    return {
      entry,
      reuse: async (piece, offset) => {
        const present = this.files.get(entry.path)?.slice(offset, offset + piece.sizeBytes);
        return present !== undefined && (await piece.isRight(present)) ? present : undefined;
      },
      write: async (bytes) => {
        // Its memory is used again.
        pieces.push(bytes.slice());
      },
      finish: async () => {
        this.calls.push(`file ${entry.path}`);
        this.files.set(entry.path, Uint8Array.from(Buffer.concat(pieces)));
      },
      close: async () => undefined,
    };
  }

  async finish(): Promise<void> {
    this.calls.push("finish");
  }

  async close(): Promise<void> {}
}
