/** Objects of a provider that is being left; what it has lost or refuses comes from whichever other provider has it. */

import { TallystickError } from "../../core/errors.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import type { ObjectSource } from "../read/object-source.ts";

/** @param others asked in order @returns a source that fails as `from` does when nobody has an object */
export function oldSource(from: StorageProvider, others: readonly StorageProvider[]): ObjectSource {
  return {
    async fetch(id, signal) {
      try {
        return await from.fetch(id, signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!isDamage(error)) throw error;
        for (const other of others) {
          const found = await other.fetch(id, signal).catch((failure: unknown) => {
            signal?.throwIfAborted();
            if (failure instanceof TallystickError) return undefined;
            throw failure;
          });
          if (found !== undefined) return found;
        }
        throw error;
      }
    },
  };
}
