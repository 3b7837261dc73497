/**
 * From a data id to its key: a record that the account owns, from the archives, then the self envelope, or else the
 * committee, which releases the sealed key or the shares of it.
 *
 * What a predecessor of the account owns is found and opened in the same way, with the keys that it handed over. A
 * delegate finds what its account owns, and has it released by the committee: it has no keys of that account. Nor has
 * the account keys of its delegates, whose records it opens in the same way.
 *
 * The self envelope comes first because nobody has to release anything for it: with the record from one archive, or
 * from the chain's logs, the key is available. The committee is asked when the envelope does not open.
 */

import { readDelegates } from "../../chain/delegates.ts";
import type { Deployment } from "../../chain/deployment.ts";
import { ledgerScope, readRecordedAt } from "../../chain/ledger.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Identity } from "../../core/identity/identity.ts";
import { fileTag, openOwnKey } from "../../core/record/key-record.ts";
import type { AgentContext, CommitteeLink } from "../context.ts";
import type { Predecessor } from "../predecessors.ts";
import type { ArchiveReport, Archives, VerifiedRecord } from "./archives.ts";
import { fromAnySet, rebuildFromRecord, type SharePlace } from "./key-shares.ts";
import type { NodeReport } from "./node-reports.ts";
import { readShareHolders } from "./share-holders.ts";

export interface OpenedKey {
  /** 32 bytes. */
  readonly fileKey: Uint8Array;
  readonly recordId: string;
  readonly role: "recorder" | "owner";
  readonly source: KeySource;
  readonly found: VerifiedRecord;
  /** The account itself, or a predecessor of it that owns the record. */
  readonly owner: string;
  /** What each key node answered; empty when none was asked. */
  readonly nodes: NodeReport[];
}

/** The account's self envelope, or the record's committee. */
export type KeySource = "self" | "committee";

/**
 * Opens the key of a data id that this account owns.
 *
 * @param source the only source to use; both, the self envelope first, unless given.
 * @throws InvalidInputError for a malformed data id
 * @throws TallystickError NOT_FOUND when no archive has a record of it, NOT_OWNER when only others own it,
 *   SHARES_MISSING, NOT_RELEASED and the others of `collectShares` with what every node answered, INTEGRITY when the
 *   self envelope is damaged and the record is for its recorder alone
 */
export async function openFileKey(context: AgentContext, dataId: string, source?: KeySource): Promise<OpenedKey> {
  const tag = toHex(fileTag(dataId));
  const account = context.account.address;
  const archives = await context.archives();
  const { owned, reports } = await findOwned(context, archives, tag);
  let failure: unknown;
  for (const { found, role, holder } of owned) {
    try {
      const opened = await openFromRecord(context, found, role, holder, dataId, source);
      return { ...opened, recordId: found.recordId, role, found, owner: holder.account };
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  const others = await archives.find({ fileTag: tag });
  throw noRecord(dataId, account, others.records.length > 0, reports);
}

/** A record that this account may open, and whose it is. */
export interface OwnedRecord<Holder = Identity> {
  readonly found: VerifiedRecord;
  readonly role: OpenedKey["role"];
  /** The account itself, or a predecessor. */
  readonly holder: Holder;
}

/** Also the account that this one is a delegate of, whose keys it does not have. */
type AnyHolder = Pick<Identity, "account"> & Partial<Pick<Identity, "catalogueKey">>;

/** One's own records first, the newest before all: others may have made theirs wrongly. */
function newestFirst<Holder>(owned: readonly OwnedRecord<Holder>[]): OwnedRecord<Holder>[] {
  return owned.toSorted((a, b) =>
    a.role === b.role
      ? Number(b.found.record.keyTime - a.found.record.keyTime)
      : Number(b.role === "recorder") - Number(a.role === "recorder"),
  );
}

/**
 * Records of the account, or of the latest of its predecessors that has any, or of the account that it acts for, in the
 * order in which they are tried.
 */
async function findOwned(
  context: AgentContext,
  archives: Archives,
  tag: string,
): Promise<{ readonly owned: OwnedRecord<AnyHolder>[]; readonly reports: readonly ArchiveReport[] }> {
  // Others' records of the file may be many: this account's are what is asked for.
  const first = await archives.find({ fileTag: tag, account: context.account.address });
  const owned = ownedBy(first.records, context.identity);
  if (owned.length > 0) return { owned: newestFirst(owned), reports: first.reports };
  const delegation = await context.delegation();
  if (delegation !== undefined) {
    const { account } = delegation;
    const { records, reports } = await archives.findOrScan({ fileTag: tag, account });
    const kept = ownedBy(records, { account });
    if (kept.length > 0) return { owned: newestFirst(kept), reports };
    return { owned: await findOfDelegates(context, archives, tag, { account }), reports };
  }
  const line = await context.predecessors();
  for (const predecessor of line) {
    const { records, reports } = await archives.find({ fileTag: tag, account: predecessor.account });
    const kept = ownedBy(await madeBefore(context, records, predecessor), predecessor.identity);
    if (kept.length > 0) return { owned: newestFirst(kept), reports };
  }
  let reports = first.reports;
  for (const { identity, ...predecessor } of [{ identity: context.identity }, ...line]) {
    const scanned = await archives.findOrScan({ fileTag: tag, account: identity.account });
    reports = scanned.reports;
    const records =
      "replacedAt" in predecessor ? await madeBefore(context, scanned.records, predecessor) : scanned.records;
    const kept = ownedBy(records, identity);
    if (kept.length > 0) return { owned: newestFirst(kept), reports };
  }
  for (const holder of [{ account: context.account.address }, ...line]) {
    const kept = await findOfDelegates(context, archives, tag, holder);
    if (kept.length > 0) return { owned: kept, reports };
  }
  return { owned: [], reports };
}

/** Records of a file that are tried of each delegate. */
const MOST_OF_DELEGATE = 16;

/**
 * What the devices of an account have recorded, live or not; of one that was replaced, until then. It is looked for
 * last, so that the key of a stolen one gets in the way of nothing. That key still makes records, after a revocation
 * too, but none that are older on the ledger than those of the device: of each key, those that were made first are
 * tried, and not more than a few.
 */
async function findOfDelegates(
  context: AgentContext,
  archives: Archives,
  tag: string,
  { account, replacedAt }: { readonly account: string; readonly replacedAt?: number },
): Promise<OwnedRecord<AnyHolder>[]> {
  const owned: OwnedRecord<AnyHolder>[] = [];
  for (const { key } of await readDelegates(await context.chain(), account)) {
    const { records } = await archives.find({ fileTag: tag, account: key }, { most: MOST_OF_DELEGATE });
    const dated: { readonly found: VerifiedRecord; readonly at: bigint }[] = [];
    for (const found of records) {
      const at = await readRecordedAt(await context.chain(), found.recordId);
      if (at !== undefined && (replacedAt === undefined || at <= BigInt(replacedAt))) dated.push({ found, at });
    }
    dated.sort((a, b) => Number(a.at - b.at));
    const first = dated.slice(0, MOST_OF_DELEGATE).map(({ found }) => found);
    owned.push(...ownedBy(first, { account: key }));
  }
  return owned;
}

/** @param holder whose account the records were looked up for */
export function ownedBy<Holder extends Pick<Identity, "account">>(
  records: readonly VerifiedRecord[],
  holder: Holder,
): OwnedRecord<Holder>[] {
  return records.flatMap((found) => {
    const role = roleIn(found, holder.account);
    return role === undefined ? [] : [{ found, role, holder }];
  });
}

/** Without what whoever has the key of a replaced account has recorded since. */
export async function madeBefore(
  context: AgentContext,
  records: readonly VerifiedRecord[],
  { replacedAt }: Pick<Predecessor, "replacedAt">,
): Promise<VerifiedRecord[]> {
  const kept: VerifiedRecord[] = [];
  for (const found of records) {
    const recordedAt = await readRecordedAt(await context.chain(), found.recordId);
    if (recordedAt !== undefined && recordedAt <= BigInt(replacedAt)) kept.push(found);
  }
  return kept;
}

async function openFromRecord(
  context: AgentContext,
  found: VerifiedRecord,
  role: OpenedKey["role"],
  { account: owner, catalogueKey }: AnyHolder,
  dataId: string,
  source: KeySource | undefined,
): Promise<Pick<OpenedKey, "fileKey" | "source" | "nodes">> {
  let damage: unknown;
  if (source !== "committee" && catalogueKey !== undefined) {
    const keys = { catalogueKey };
    try {
      return { fileKey: openSelf(context.deployment, keys, found, role).fileKey, source: "self", nodes: [] };
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      damage = error;
      context.logger.warn({ recordId: found.recordId, code: error.code }, `${error.message}; asking the committee`);
    }
  }
  const { recipients } = found.payload.policy;
  if (source === "self" || (damage !== undefined && recipients === "self")) throw damage;
  if (recipients === "sealed") {
    // Loaded when it is needed: the self envelope nearly always opens.
    const { openSealedKey } = await import("./sealed-key.ts");
    return { ...(await openSealedKey(context, found, owner, dataId)), source: "committee" };
  }
  const link = await context.committeeById(found.record.committeeId);
  const collecting = {
    account: context.requester,
    ledger: ledgerScope(context.deployment),
    logger: context.logger,
    owner,
  };
  const rebuilt = await fromAnySet(placesOf(context, link, found), (members) =>
    rebuildFromRecord(found, dataId, link.committee, members, collecting),
  );
  return { ...rebuilt, source: "committee" };
}

/**
 * Where the shares of a record may be, set by set: with those that hold them as members have come and gone since its
 * key time; then with the members of each generation, since a record that is made while the members change may be for
 * those of the generation before.
 */
async function* placesOf(
  context: AgentContext,
  link: CommitteeLink,
  found: VerifiedRecord,
): AsyncGenerator<readonly SharePlace[]> {
  yield (await readShareHolders(context, found)).holders;
  if (link.committee.generation > 1) yield* context.membersSince(link, found.record.keyTime);
}

/**
 * Opens the self envelope of a record: data id and file key, checked against the record.
 *
 * @param identity of the account that sealed it
 * @throws IntegrityError, UnknownVersionError when none opens; NOT_OWNER when there is none
 */
export function openSelf(
  deployment: Deployment,
  identity: Pick<Identity, "catalogueKey">,
  found: VerifiedRecord,
  role: OpenedKey["role"],
): { dataId: string; fileKey: Uint8Array } {
  // Contract state confirms a later owner, not its note: an archive may give a wrong one, so any that opens will do.
  const envelopes = role === "recorder" ? [found.payload.selfEnvelope] : [...found.ownerNotes.values()];
  let failure: unknown = new TallystickError(`record ${found.recordId} has no envelope for this account`, {
    code: "NOT_OWNER",
    party: found.source,
    check: "owners on the ledger",
  });
  for (const envelope of envelopes) {
    try {
      return openOwnKey(
        { ledger: ledgerScope(deployment), catalogueKey: identity.catalogueKey },
        found.record,
        envelope,
      );
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failure = error;
    }
  }
  throw failure;
}

/** How an account stands to a record that was found for it; undefined when it does not own it. */
function roleIn(found: VerifiedRecord, account: string): "recorder" | "owner" | undefined {
  if (isAddressEqual(found.record.account, account)) return "recorder";
  return found.ownerNotes.size > 0 ? "owner" : undefined;
}

function noRecord(
  dataId: string,
  account: string,
  ownedByOthers: boolean,
  reports: readonly ArchiveReport[],
): TallystickError {
  const archives = reports.map(({ source, records, error }) => ({
    archive: source,
    answer: error === undefined ? `${records} records` : error.code,
  }));
  const received = archives.map(({ archive, answer }) => `${archive}: ${answer}`).join("; ");
  if (ownedByOthers) {
    return new TallystickError(`account ${account} does not own ${dataId}`, {
      code: "NOT_OWNER",
      party: "you",
      check: "owners on the ledger",
      hint: "open the identity that stored it, or put the same files to become an owner",
      details: { dataId },
    });
  }
  return new TallystickError(`there is no key record of ${dataId}`, {
    code: "NOT_FOUND",
    party: "archives",
    check: "key record",
    received,
    hint: "check the data id; `tallystick recover` lists what this identity has stored",
    details: { dataId, archives },
  });
}
