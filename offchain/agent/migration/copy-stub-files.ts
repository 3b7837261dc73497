/**
 * Copies stub files from one provider to another. They are sealed for the account whatever the provider; without them,
 * revocable puts could not be read once the old provider is left. Each is opened before it is copied, so that no file
 * counts as moved which the old provider has damaged or dropped; another provider's copy is taken then.
 */

import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { accountStubs } from "../stubs/account-stubs.ts";
import { findStubs, storeStubs } from "../stubs/owner-stubs.ts";
import type { OpenedStubs, StubOwner } from "../stubs/stub-owner.ts";
import type { Damaged } from "./inventory.ts";

interface MovedBetween {
  readonly from: StubFileKeeper;
  readonly to: StubFileKeeper;
}

/**
 * @param dataIds of all revocable puts that are moved
 * @returns the puts whose stub file no provider returns whole, each with the error that names the provider
 * @throws TallystickError CONFLICT (retryable) when other devices keep changing one; what the providers throw
 */
export async function copyStubFiles(
  context: AgentContext,
  { from, to }: MovedBetween,
  dataIds: Iterable<string>,
  signal?: AbortSignal,
): Promise<Damaged[]> {
  const others = [...context.providers()].filter((one) => one !== from);
  const damaged: Damaged[] = [];
  for (const dataId of dataIds) {
    const { fileKey } = await openFileKey(context, dataId);
    try {
      const error = await copyStubFile(accountStubs(context, dataId, fileKey), [from, ...others], to, signal);
      if (error !== undefined) damaged.push({ id: dataId, error });
    } finally {
      fileKey.fill(0);
    }
  }
  return damaged;
}

/**
 * @param keepers the one that is left first: its failure is told
 * @returns why no file could be copied
 */
export async function copyStubFile(
  owner: StubOwner,
  keepers: Iterable<StubFileKeeper>,
  to: StubFileKeeper,
  signal?: AbortSignal,
): Promise<TallystickError | undefined> {
  let found: OpenedStubs | undefined;
  try {
    found = await findStubs(keepers, owner, signal);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return error;
  }
  if (found === undefined) return missing(owner.dataId);
  // Of the same epoch at least: keys of earlier ones may have been given away.
  await storeStubs(to, owner, found.stubs, found.epoch, signal);
  return undefined;
}

function missing(dataId: string): TallystickError {
  return new TallystickError(`no provider has the stub file of ${dataId}`, {
    code: "NOT_FOUND",
    party: "providers",
    check: "stub file",
    hint: "put the same files again with --revocable, which makes it again",
  });
}
