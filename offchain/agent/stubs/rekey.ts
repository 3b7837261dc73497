/** Leads this account's stub files of one put to their next epochs. */
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import { dataIdIn, resolvePlace } from "../snapshots/resolve.ts";
import { resolveListed } from "../snapshots/snapshot-lists.ts";
import { accountStubs } from "./account-stubs.ts";
import { rekeyStubs } from "./owner-stubs.ts";

export interface RekeyReport {
  readonly dataId: string;
  /** The epoch at each provider that has a stub file of the put for this account. */
  readonly stubFiles: readonly { readonly provider: string; readonly epoch: number }[];
}

/**
 * Keys of the epochs before open nothing that a provider serves from here on. What was read with them stays read.
 * @param place name of a snapshot or data id, as for `get`
 * @throws TallystickError NOT_FOUND when the put is not revocable; as `get` for the key; what the providers throw
 */
export async function rekey(context: AgentContext, place: string, signal?: AbortSignal): Promise<RekeyReport> {
  const { dataId } =
    dataIdIn(place) === undefined ? await resolveListed(context, place, signal) : resolvePlace(place, []);
  const { fileKey } = await openFileKey(context, dataId);
  const stubFiles: { provider: string; epoch: number }[] = [];
  try {
    const owner = accountStubs(context, dataId, fileKey);
    for (const provider of context.providers()) {
      if ((await provider.stubFile(dataId, signal)) === undefined) continue;
      stubFiles.push({ provider: provider.account, epoch: await rekeyStubs(provider, owner, signal) });
    }
  } finally {
    fileKey.fill(0);
  }
  if (stubFiles.length > 0) return { dataId, stubFiles };
  throw new TallystickError(`no provider has a stub file of ${dataId} for this account`, {
    code: "NOT_FOUND",
    party: "you",
    check: "stub file",
    hint: "only what was put with --revocable can be rekeyed",
  });
}
