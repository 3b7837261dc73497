/**
 * The device's part: what its owner has prepared for it at a provider. The device finds a parcel there, and takes it
 * when the data set that it names stands on chain in the owner's name, with an audit key of the parcel's secrets.
 */

import { requireTermsOfId } from "../../chain/data-set-words.ts";
import { readOpened } from "../../chain/escrow-events.ts";
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { FIRST_INDEX } from "../../core/audit/field.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { openParcel, type Parcel } from "../../core/identity/delegate-secrets.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import type { AgentContext } from "../context.ts";
import { hasEnded, readOnChain } from "../data-sets/following.ts";
import { dataSetKeys } from "../data-sets/keys.ts";
import type { LaneSubject } from "../data-sets/lane.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { parcelScope } from "./parcel-scope.ts";

/** States of a set that only its owner has signed. */
const PREPARED_VERSION = 1n;

/** What the owner has prepared for this device at one provider. */
export interface PreparedPart {
  readonly subject: LaneSubject & Required<Pick<LaneSubject, "given">>;
  /** Root of the keys of this device's snapshots, the same at each provider. */
  readonly snapshotKey: Uint8Array;
  /** What snapshots are sealed to: HPKE public key of the account. */
  readonly accountKey: Uint8Array;
}

/**
 * @returns undefined when the owner has prepared nothing there
 * @throws IntegrityError for a parcel that is not the owner's; TallystickError CONFLICT when another home of this
 *   device has appended to the set; what the provider throws
 */
export async function preparedPart(
  context: AgentContext,
  delegation: Delegation,
  provider: StorageProvider,
  signal?: AbortSignal,
): Promise<PreparedPart | undefined> {
  const sealed = await provider.parcel(delegation.key, signal);
  if (sealed === undefined) return undefined;
  const scope = parcelScope(context.deployment, delegation, provider);
  const parcel = await openParcel(context.identity.hpkePrivateKey, scope, sealed);
  const salt = await context.exclusive(() => adopt(context, delegation, provider, parcel), signal);
  const { secrets, accountKey } = parcel;
  return { subject: { auditSeed: secrets.auditSeed, given: salt }, snapshotKey: secrets.snapshotKey, accountKey };
}

/** Notes the set in the journal, once. @returns its salt */
async function adopt(
  context: AgentContext,
  { account }: Delegation,
  provider: StorageProvider,
  { secrets, dataSet }: Parcel,
): Promise<string> {
  const journal = context.platform.dataSets;
  const known = (await journal.sets()).find(({ agreed }) => agreed?.id === dataSet);
  if (known !== undefined) {
    if ((await dataSetKeys(secrets.auditSeed, known.salt)).keyHash === known.agreed?.audit.keyHash) return known.salt;
    throw notOfOwner(provider.name, "audit key hash", known.agreed?.audit.keyHash ?? "", "another one");
  }
  const chain = await context.chain();
  const opened = await readOpened(chain, dataSet);
  if (opened === undefined) throw notOfOwner(provider.name, "data set", "one on chain", dataSet);
  requireTermsOfId(chain.deployment, opened);
  const { id, terms, audit } = opened;
  const { keyHash } = await dataSetKeys(secrets.auditSeed, audit.salt);
  if (!isAddressEqual(terms.user, account)) throw notOfOwner(provider.name, "user", account, terms.user);
  if (keyHash !== audit.keyHash) throw notOfOwner(provider.name, "audit key hash", audit.keyHash, keyHash);
  if (!isAddressEqual(terms.provider, provider.account)) {
    throw notOfOwner(provider.name, "provider", provider.account, terms.provider);
  }
  const onChain = await readOnChain(chain, opened);
  if (onChain === undefined) throw notOfOwner(provider.name, "data set", "one on chain", dataSet);
  const { schedule, scheduled } = onChain;
  const isOver = hasEnded(onChain);
  // Which indices another home has given away, only that one knows.
  if (!isOver && schedule.version > PREPARED_VERSION) throw appendedElsewhere(id, schedule.version);
  // Nothing is appended to one that is over, and its provider may have forgotten it.
  const { powersBBytes } = isOver ? { powersBBytes: 0 } : await provider.dataSet(audit.salt);
  const set = {
    salt: audit.salt,
    provider: provider.account,
    escrow: context.deployment.contracts.storageEscrow,
    token: terms.token,
    sliceElements: audit.sliceElements,
    state: isOver ? ("ended" as const) : ("running" as const),
    isOwn: true,
    createdAt: Math.floor(context.platform.clock.now() / 1000),
    revision: 0,
    // Nor does it give away again what another home has sent powers for.
    nextIndex: Math.max(lastLevel(schedule).highestIndex, Math.floor(powersBBytes / G1_EXPANDED_BYTES)) + FIRST_INDEX,
    agreed: { id, terms, audit },
    scheduled,
    contentHash: schedule.contentHash,
  };
  await journal.save(set);
  return audit.salt;
}

function notOfOwner(party: string, check: string, expected: string, received: string): IntegrityError {
  return new IntegrityError(`${party} returns a parcel that the owner has not left for this device`, {
    party,
    check: `${check} of the parcel`,
    expected,
    received,
    hint: "have the owner run `tallystick delegate prepare` again, or use another provider",
  });
}

function appendedElsewhere(id: string, version: bigint): TallystickError {
  return new TallystickError("another home of this device has appended to its data set", {
    code: "CONFLICT",
    party: "you",
    check: "version of the data set",
    expected: `at most ${PREPARED_VERSION}`,
    received: String(version),
    hint:
      "use that home; if it is lost, have the owner run `tallystick delegate prepare --new`, which begins another " +
      "data set",
    details: { id },
  });
}
