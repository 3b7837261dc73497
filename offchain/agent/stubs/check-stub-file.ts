/** Whether a provider still has this account's stub file of a put, and what its packages are opened with meanwhile. */
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { accountStubs } from "./account-stubs.ts";
import { findStubs, readStubs } from "./owner-stubs.ts";
import type { StubOwner } from "./stub-owner.ts";

export interface CheckedStubFile {
  /** Of this provider's file or, where that is not whole, of another provider's. */
  readonly stubs?: Uint8Array;
  /** Names the provider and the put. Absent for a file that is whole. */
  readonly error?: TallystickError;
}

/** @throws as `openFileKey`; what the provider throws when it does not answer */
export async function checkStubFile(
  context: AgentContext,
  dataId: string,
  provider: StubFileKeeper,
  signal?: AbortSignal,
): Promise<CheckedStubFile> {
  const { fileKey } = await openFileKey(context, dataId);
  try {
    return await checkedAt(accountStubs(context, dataId, fileKey), provider, context.providers(), signal);
  } finally {
    fileKey.fill(0);
  }
}

/** @param others asked for the stubs when this provider's file is not whole */
export async function checkedAt(
  owner: StubOwner,
  provider: StubFileKeeper,
  others: Iterable<StubFileKeeper>,
  signal?: AbortSignal,
): Promise<CheckedStubFile> {
  let error: TallystickError;
  try {
    const found = await readStubs(provider, owner, signal);
    if (found !== undefined) return { stubs: found.stubs };
    error = missingAt(provider, owner.dataId);
  } catch (failure) {
    if (!isDamage(failure)) throw failure;
    error = failure;
  }
  const found = await findStubs(others, owner, signal).catch((failure: unknown) => {
    if (signal?.aborted === true || !(failure instanceof TallystickError)) throw failure;
    return undefined;
  });
  return found === undefined ? { error } : { error, stubs: found.stubs };
}

function missingAt(provider: StubFileKeeper, dataId: string): TallystickError {
  return new TallystickError(`${provider.name} has no stub file of ${dataId}`, {
    code: "NOT_FOUND",
    party: provider.name,
    check: "stub file",
    hint: "`tallystick rekey` copies another provider's; where none has it, the same put makes it again",
  });
}
