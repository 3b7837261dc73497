/** What a check of an object store offers, whatever the kind of store, and the check of a store that only reads. */
import { equalBytes, sha256 } from "#primitives";
import type { ObjectStore } from "./object-store.ts";
import { UnreadableObjectError } from "./object-store.ts";
import { digestIn } from "./pack/pack-codec.ts";
import type { Report } from "./pack/pack-findings.ts";

export interface StoreCheckOptions {
  /** Is told what is damaged. */
  readonly report: Report;
  /** Every byte is read and compared with what was stored. */
  readonly readData: boolean;
  /** Is told of bytes that were read. */
  readonly progress?: (bytes: number) => void;
}

/** A store that is checked; no other process uses it until `close`. */
export interface StoreCheck {
  /** Length of an object whose bytes are right, as far as they were read; undefined for others. */
  sizeOf(id: string): Promise<number | undefined>;
  /** Has the store know what is there and nothing else: what is damaged is never served again. */
  repair(): Promise<void>;
  close(): Promise<void>;
}

/** Checks objects when they are asked for. For stores without files of their own to look at. */
export function checkByReading(store: ObjectStore, { report, readData, progress }: StoreCheckOptions): StoreCheck {
  const damaged: string[] = [];
  const read = async (id: string): Promise<number | undefined> => {
    try {
      const bytes = await store.get(id);
      progress?.(bytes?.length ?? 0);
      const digest = digestIn(id);
      if (bytes === undefined || digest === undefined || equalBytes(sha256(bytes), digest)) return bytes?.length;
    } catch (error) {
      if (!(error instanceof UnreadableObjectError)) throw error;
    }
    damaged.push(id);
    report({ damage: "object damaged", file: "", id });
    return undefined;
  };
  return {
    sizeOf: (id) => (readData ? read(id) : store.size(id)),
    repair: async () => {
      await store.deleteMany(damaged);
    },
    close: () => store.close(),
  };
}
