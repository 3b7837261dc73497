/**
 * Copies stub files from one provider to another. They are sealed for the account whatever the provider, and are copied
 * as they are; without them, revocable puts could not be read once the old provider is left.
 */

import { TallystickError } from "../../core/errors.ts";
import { epochOf } from "../../core/revocable/stub-file.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";

/**
 * @param dataIds of all puts that are moved; those that are not revocable have no stub file
 * @throws TallystickError CONFLICT (retryable) when another device changes one meanwhile; what the providers throw
 */
export async function copyStubFiles(
  from: StubFileKeeper,
  to: StubFileKeeper,
  dataIds: Iterable<string>,
  signal?: AbortSignal,
): Promise<void> {
  for (const dataId of new Set(dataIds)) {
    const sealed = await from.stubFile(dataId, signal);
    if (sealed === undefined) continue;
    const there = await to.stubFile(dataId, signal);
    const epoch = there === undefined ? 0 : epochOf(there, to.name);
    // One of a later epoch is newer, and opens with the keys of this account as well.
    if (epoch >= epochOf(sealed, from.name) || (await to.replaceStubFile(dataId, epoch, sealed, signal))) continue;
    throw new TallystickError(`the stub file of ${dataId} has changed while it was copied`, {
      code: "CONFLICT",
      party: to.name,
      check: "epoch of the stub file",
      hint: "run the command again when no put is under way",
      retryable: true,
    });
  }
}
