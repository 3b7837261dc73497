/**
 * This account's stub files: one for each put that is revocable, at each provider that stores the put. An owner without
 * a group seals them under an access key that follows from its identity and the epoch, so that a new device with the
 * recovery phrase opens them.
 */
import { equalBytes } from "#primitives";
import { kdf } from "../../core/crypto/kdf.ts";
import { TallystickError } from "../../core/errors.ts";
import { epochKey, ownerAccessKey, type StubScope } from "../../core/revocable/epoch-key.ts";
import { epochOf, openStubFile, sealStubFile } from "../../core/revocable/stub-file.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";

/** Attempts at a change while other devices change the file as well. */
const ATTEMPTS = 5;

/** What a stub file is sealed with beside its epoch. */
export interface StubOwner {
  /** Of the account in its deployment; see `stubIdentityKey`. */
  readonly identityKey: Uint8Array;
  readonly fileKey: Uint8Array;
  readonly dataId: string;
}

/**
 * The key from which the access keys of an account follow.
 * @param snapshotKey of the identity
 * @param scope of the account's snapshots: chain, ledger and account
 */
export function stubIdentityKey(snapshotKey: Uint8Array, scope: Uint8Array): Uint8Array {
  return kdf(snapshotKey, "stub-identity", scope);
}

/** A stub file as a provider has it. */
export interface OpenedStubs {
  readonly epoch: number;
  /** One after the other. */
  readonly stubs: Uint8Array;
}

/**
 * Reads the stub file at one provider.
 * @returns undefined when the provider says that there is none
 * @throws IntegrityError naming the provider when it does not open; what the provider throws
 */
export async function readStubs(
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
 * Makes sure that a provider has these stubs. A file with the same ones stays as it is; one that does not open, or has
 * others, is replaced by one of the next epoch.
 * @returns the epoch of the file in place
 * @throws TallystickError CONFLICT after several attempts; what the provider throws
 */
export async function storeStubs(
  provider: StubFileKeeper,
  owner: StubOwner,
  stubs: Uint8Array,
  signal?: AbortSignal,
): Promise<number> {
  return await replaceStubs(
    provider,
    owner,
    async (sealed) => {
      const found = sealed === undefined ? undefined : tryOpen(owner, sealed, provider.name);
      return found !== undefined && equalBytes(found, stubs) ? undefined : stubs;
    },
    signal,
  );
}

/**
 * Leads a stub file to its next epoch: whoever was given the access key of the one before has no use for it any more.
 * @returns the new epoch
 * @throws TallystickError NOT_FOUND when the provider has none; as `storeStubs`
 */
export async function rekeyStubs(provider: StubFileKeeper, owner: StubOwner, signal?: AbortSignal): Promise<number> {
  return await replaceStubs(
    provider,
    owner,
    async (sealed) => {
      if (sealed !== undefined) return openAny(owner, sealed, provider.name);
      throw new TallystickError(`${provider.name} has no stub file of ${owner.dataId}`, {
        code: "NOT_FOUND",
        party: provider.name,
        check: "stub file",
        hint: "the put is not revocable, or this account does not own it there",
      });
    },
    signal,
  );
}

/** @param next the stubs of the next file; undefined to leave the one in place */
async function replaceStubs(
  provider: StubFileKeeper,
  owner: StubOwner,
  next: (sealed: Uint8Array | undefined) => Promise<Uint8Array | undefined>,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { dataId } = owner;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const sealed = await provider.stubFile(dataId, signal);
    const before = sealed === undefined ? 0 : epochOf(sealed, provider.name);
    const stubs = await next(sealed);
    if (stubs === undefined) return before;
    const scope = { dataId, epoch: before + 1 };
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

function openAny(owner: StubOwner, sealed: Uint8Array, party: string): Uint8Array {
  const scope = { dataId: owner.dataId, epoch: epochOf(sealed, party) };
  return openStubFile(keyOf(owner, scope), scope, sealed, party);
}

function tryOpen(owner: StubOwner, sealed: Uint8Array, party: string): Uint8Array | undefined {
  try {
    return openAny(owner, sealed, party);
  } catch (error) {
    if (error instanceof TallystickError && error.code === "INTEGRITY") return undefined;
    throw error;
  }
}

function keyOf({ identityKey, fileKey }: StubOwner, scope: StubScope): Uint8Array {
  return epochKey(fileKey, ownerAccessKey(identityKey, scope), scope);
}
