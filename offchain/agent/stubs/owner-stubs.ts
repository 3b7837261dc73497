/**
 * This account's stub files: one for each put that is revocable, at each provider that stores the put, or that of an
 * ownership group (`group-stubs.ts`). An owner without a group seals them under an access key that follows from its
 * identity and the epoch, so that a new device with the recovery phrase opens them.
 */
import { equalBytes } from "#primitives";
import { kdf } from "../../core/crypto/kdf.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { epochKey, ownerAccessKey, type StubScope } from "../../core/revocable/epoch-key.ts";
import { epochOf, openStubFile, sealStubFile } from "../../core/revocable/stub-file.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";
import { readGroupStubs, storeGroupStubs } from "./group-stubs.ts";
import type { OpenedStubs, StubOwner } from "./stub-owner.ts";

/** Attempts at a change while other devices change the file as well. */
const ATTEMPTS = 5;

/**
 * The key from which the access keys of an account follow.
 * @param snapshotKey of the identity
 * @param scope of the account's snapshots: chain, ledger and account
 */
export function stubIdentityKey(snapshotKey: Uint8Array, scope: Uint8Array): Uint8Array {
  return kdf(snapshotKey, "stub-identity", scope);
}

/**
 * Reads the stub file at one provider: the account's own or, where it has none, that of the ownership group that it is
 * in.
 * @returns undefined when the provider says that there is none
 * @throws IntegrityError naming the provider when it does not open; what the provider throws
 */
export async function readStubs(
  provider: StubFileKeeper,
  owner: StubOwner,
  signal?: AbortSignal,
): Promise<OpenedStubs | undefined> {
  const own = await readOwnStubs(provider, owner, signal);
  const groups = provider.ownerGroups;
  if (own !== undefined || groups === undefined) return own;
  const group = await groups.ofPut(owner.dataId, signal);
  return group && (await readGroupStubs(groups, group, owner, signal));
}

/** As `readStubs`, of the account's own stub file alone. */
export async function readOwnStubs(
  provider: StubFileKeeper,
  owner: StubOwner,
  signal?: AbortSignal,
): Promise<OpenedStubs | undefined> {
  const sealed = await provider.stubFile(owner.dataId, signal);
  if (sealed === undefined) return undefined;
  const scope = { dataId: owner.dataId, epoch: epochOf(sealed, provider.name) };
  return { epoch: scope.epoch, stubs: openStubFile(keyOf(owner, scope), scope, sealed, provider.name) };
}

/**
 * Reads the stub file from whichever of several providers has it, of the latest epoch.
 * @returns undefined when all of them say that there is none
 * @throws the first failure when none returned it and not all say that there is none
 */
export async function findStubs(
  providers: Iterable<StubFileKeeper>,
  owner: StubOwner,
  signal?: AbortSignal,
): Promise<OpenedStubs | undefined> {
  let latest: OpenedStubs | undefined;
  let failure: TallystickError | undefined;
  for (const provider of providers) {
    try {
      const found = await readStubs(provider, owner, signal);
      if (found !== undefined && found.epoch > (latest?.epoch ?? 0)) latest = found;
    } catch (error) {
      if (signal?.aborted === true || !(error instanceof TallystickError)) throw error;
      failure ??= error;
    }
  }
  if (latest === undefined && failure !== undefined) throw failure;
  return latest;
}

/**
 * The latest epoch of a put's stub files, for one that is stored at another provider: were it of an earlier epoch, keys
 * that a revocation has taken away would open it.
 * @returns 1 when no provider returns one that opens
 */
export async function latestEpoch(
  providers: Iterable<StubFileKeeper>,
  owner: StubOwner,
  signal?: AbortSignal,
): Promise<number> {
  try {
    return (await findStubs(providers, owner, signal))?.epoch ?? 1;
  } catch (error) {
    if (signal?.aborted === true || !(error instanceof TallystickError)) throw error;
    return 1;
  }
}

/**
 * Makes sure that the account can read these stubs at a provider: from the ownership group that it is in, whose founder
 * mends what is missing or damaged, or from a stub file of its own, as `storeStubs`. A member that is still joining
 * keeps its own.
 * @throws IntegrityError when the group has other stubs, and the account is not its founder; as `storeStubs`
 */
export async function keepStubs(
  provider: StubFileKeeper & { readonly account: string },
  owner: StubOwner,
  stubs: Uint8Array,
  fromEpoch: number,
  { account, signal }: { readonly account: string; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const groups = provider.ownerGroups;
  const group = await groups?.ofPut(owner.dataId, signal);
  if (groups !== undefined && group !== undefined && isAddressEqual(group.founder, account)) {
    await storeGroupStubs(groups, group, owner, stubs, signal);
    return;
  }
  const isOwn = group === undefined || (await provider.stubFile(owner.dataId, signal)) !== undefined;
  if (groups === undefined || group === undefined || isOwn) {
    await storeStubs(provider, owner, stubs, fromEpoch, signal);
    return;
  }
  const found = await readGroupStubs(groups, group, owner, signal);
  if (found === undefined || !equalBytes(found.stubs, stubs)) throw otherStubs(provider.name, group.founder);
}

/** A group whose stub file does not hold the stubs of the put. */
export function otherStubs(
  party: string,
  founder: string,
  hint = "leave the group (`tallystick owners leave`), then put the same files with --revocable",
): IntegrityError {
  return new IntegrityError("the ownership group has no stub file with the stubs of this put", {
    party: `founder ${founder}`,
    check: `stub file of the group at ${party}`,
    hint,
  });
}

/**
 * Makes sure that a provider has these stubs. A file with the same ones stays as it is; one that does not open, has
 * others, or is of an earlier epoch than is asked for, is replaced by one of a later epoch.
 * @param fromEpoch lowest epoch of the file
 * @returns the epoch of the file in place
 * @throws TallystickError CONFLICT after several attempts; what the provider throws
 */
export async function storeStubs(
  provider: StubFileKeeper,
  owner: StubOwner,
  stubs: Uint8Array,
  fromEpoch: number,
  signal?: AbortSignal,
): Promise<number> {
  const { dataId } = owner;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const sealed = await provider.stubFile(dataId, signal);
    const before = sealed === undefined ? 0 : epochOf(sealed, provider.name);
    if (sealed !== undefined && before >= fromEpoch) {
      const found = tryOpen(owner, sealed, provider.name);
      if (found !== undefined && equalBytes(found, stubs)) return before;
    }
    const scope = { dataId, epoch: Math.max(before + 1, fromEpoch) };
    const file = sealStubFile(keyOf(owner, scope), scope, stubs);
    if (await provider.replaceStubFile(dataId, before, file, signal)) return scope.epoch;
  }
  throw new TallystickError(`other devices keep changing the stub file of ${dataId}`, {
    code: "CONFLICT",
    party: provider.name,
    check: "epoch of the stub file",
    retryable: true,
  });
}

/** @returns undefined for a file that does not open */
function tryOpen(owner: StubOwner, sealed: Uint8Array, party: string): Uint8Array | undefined {
  const scope = { dataId: owner.dataId, epoch: epochOf(sealed, party) };
  try {
    return openStubFile(keyOf(owner, scope), scope, sealed, party);
  } catch (error) {
    if (error instanceof TallystickError && error.code === "INTEGRITY") return undefined;
    throw error;
  }
}

function keyOf({ identityKey, fileKey }: StubOwner, scope: StubScope): Uint8Array {
  return epochKey(fileKey, ownerAccessKey(identityKey, scope), scope);
}
