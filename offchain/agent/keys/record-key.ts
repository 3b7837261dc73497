/**
 * Makes sure that the key of a put stays available: by a record on the ledger, either this account's own, or somebody
 * else's record of the same file that this account joins as an owner. A node relays the signed message and pays the gas
 * (relay-entry.ts).
 */

import { BaseWallet, keccak256, SigningKey } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import { readHeadTime } from "../../chain/head.ts";
import {
  hasRole,
  headerOf,
  isOwner,
  type KeyRecord,
  ledgerScope,
  readRecordedAt,
  recordIdOf,
} from "../../chain/ledger.ts";
import type { Committee, CommitteeWithKeys } from "../../chain/registry.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { addOwnerTypedData, keyRecordTypedData, ownershipTypedData } from "../../core/identity/typed-messages.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileScope,
  fileTag,
  type KeyRecordHeader,
  openOwnKey,
  ownershipAddress,
  ownershipKey,
  SEALED_POLICY,
  SELF_POLICY,
  type ShareRecipient,
  sealSelfEnvelope,
  verifyRecordForKey,
} from "../../core/record/key-record.ts";
import { isFaultOfRecord } from "../../core/record/record-faults.ts";
import type { AgentAccount } from "../account.ts";
import { loadSuite } from "../pipeline/oprf-stage.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import type { Archives, VerifiedRecord } from "./archives.ts";
import { requireNotLate } from "./late-record.ts";
import type { NbmClient } from "./nbm-client.ts";
import { polled, relayEntry, untilConfirmed } from "./relay-entry.ts";
import { sealableKeys } from "./sealable-keys.ts";

/** How long a signed message may wait to be mined. */
const DEADLINE_SECONDS = 3600n;
/** Each candidate costs a request to every node, and anybody who has the file can record it under many accounts. */
const MAXIMUM_CANDIDATES = 8;

export interface RecordKeyContext {
  readonly chain: ChainReader;
  readonly account: AgentAccount;
  readonly committee: CommitteeWithKeys;
  /** The committee's members that have an address, in the order in which they are asked to relay. */
  readonly nodes: readonly NbmClient[];
  readonly archives: Archives;
  readonly catalogueKey: Uint8Array;
  readonly logger?: AgentLogger;
  /** Blocks that must be upon an entry before it counts, its own included; 1 unless given. */
  readonly confirmations?: number;
  /** Called when the account has no record of the key, so that a transaction will be waited for. */
  readonly onUnrecorded?: () => void;
}

/** How the account owns the key. */
export interface KeyOwnership {
  readonly recordId: string;
  readonly role: "recorder" | "owner";
  /** False when an earlier run, or an earlier put, had already done it. */
  readonly isNew: boolean;
  readonly transactionHash?: string;
  readonly blockNumber?: number;
}

/**
 * Idempotent: run again after any interruption, it does what is still missing.
 *
 * @param recipients who can open the record beside the account; nobody for "self", which then joins nobody's record.
 *   Unless given, an own record will do as it is, and a new one is sealed to the committee.
 * @throws TallystickError CONFLICT when the account alone is wanted, and an earlier record of the account is for the
 *   committee too; the error of the last node when none could relay; CHAIN_UNAVAILABLE
 */
export async function ensureKeyOwnership(
  context: RecordKeyContext,
  dataId: string,
  fileKey: Uint8Array,
  recipients: ShareRecipient | undefined,
): Promise<KeyOwnership> {
  const tag = toHex(fileTag(dataId));
  const unneeded = new AbortController();
  // Both at the same moment, since a node then looks at the chain once for them.
  const ofAccount = ownRecords(context, tag);
  const ofOthers = recipients === "self" ? undefined : findJoinable(context, tag, fileKey, unneeded.signal);
  ofOthers?.catch(() => undefined);
  try {
    const own = await ofAccount;
    if (own.length === 0) context.onUnrecorded?.();
    if (recipients === "self") {
      // More recipients than before can be had by a new record; fewer cannot, since the ledger's log keeps the old one.
      const shared = own.find(({ payload }) => payload.policy.recipients !== "self");
      if (shared !== undefined) throw sharedAlready(shared);
    }
    for (const found of own) {
      if (recipients !== undefined && recipients !== found.payload.policy.recipients) continue;
      if (!(await isGood(context, found, dataId, fileKey))) continue;
      return { recordId: found.recordId, role: "recorder", isNew: false };
    }
    if (own.length === 0 && ofOthers !== undefined) {
      const joined = await joinExisting(context, await ofOthers, dataId, fileKey, recipients ?? "sealed");
      if (joined !== undefined) return joined;
    }
    return await recordOwn(context, dataId, fileKey, recipients ?? "sealed");
  } finally {
    unneeded.abort();
  }
}

function sharedAlready({ recordId, record }: VerifiedRecord): TallystickError {
  return new TallystickError(`the key of this put was recorded for committee ${record.committeeId}`, {
    code: "CONFLICT",
    party: "you",
    check: "recipients of the existing record",
    expected: "a record for the account alone",
    received: `record ${recordId} of ${new Date(Number(record.keyTime) * 1000).toISOString()}`,
    hint: "what was published cannot be taken back: put without naming recipients, or put the data in another domain",
    details: { recordId, committeeId: String(record.committeeId) },
  });
}

/**
 * This account's records of a file that its envelope opens, the newest first. One that no archive shows yet is made
 * again: that costs a transaction, and harms nobody.
 */
async function ownRecords(context: RecordKeyContext, tag: string): Promise<VerifiedRecord[]> {
  const { archives, account } = context;
  const { records } = await archives.find({ fileTag: tag, account: account.address });
  return records
    .filter((found) => isAddressEqual(found.record.account, account.address) && hasOwnEnvelope(context, found))
    .sort((a, b) => Number(b.record.keyTime - a.record.keyTime));
}

function hasOwnEnvelope({ chain, catalogueKey, logger }: RecordKeyContext, own: VerifiedRecord): boolean {
  try {
    const scope = { ledger: ledgerScope(chain.deployment), catalogueKey };
    openOwnKey(scope, own.record, own.payload.selfEnvelope).fileKey.fill(0);
    return true;
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    (logger ?? SILENT).warn({ recordId: own.recordId, code: error.code }, `${error.message}; recording the key anew`);
    return false;
  }
}

/**
 * The record holds this key. Of shares, enough of the nodes they are sealed to confirm that they can open theirs; a key
 * that is sealed to the committee is checked here.
 */
async function isGood(
  context: RecordKeyContext,
  found: VerifiedRecord,
  dataId: string,
  fileKey: Uint8Array,
): Promise<boolean> {
  const { recipients } = found.payload.policy;
  // The account relies on this committee now, and nodes of another one are not known here.
  if (recipients !== "self" && found.record.committeeId !== context.committee.id) return false;
  const verify = recipients === "sealed" ? await sealedCheck(context) : sharesCheck(context);
  try {
    verify(found, fileKey, dataId);
  } catch (error) {
    if (!isFaultOfRecord(error)) throw error;
    (context.logger ?? SILENT).warn({ recordId: found.recordId, code: error.code }, error.message);
    return false;
  }
  if (recipients === "self") return isAddressEqual(found.record.account, context.account.address);
  if (recipients === "sealed") return true;
  const states = await Promise.all(context.nodes.map((node) => shareState(context, node, found.recordId)));
  const valid = states.filter((state) => state === "valid").length;
  if (valid < found.payload.policy.threshold) return false;
  // This account sealed its own shares rightly: a node that denies it lies or has lost its key, and k others suffice.
  return isAddressEqual(found.record.account, context.account.address) || !states.includes("invalid");
}

type RecordCheck = (found: VerifiedRecord, fileKey: Uint8Array, dataId: string) => void;

function sharesCheck({ chain }: RecordKeyContext): RecordCheck {
  const ledger = ledgerScope(chain.deployment);
  return ({ payload, record }, fileKey, dataId) => verifyRecordForKey(ledger, payload, record, fileKey, dataId);
}

/** @throws InvalidPointError when the keys of the committee do not belong together: no record is to blame for that */
async function sealedCheck(context: RecordKeyContext): Promise<RecordCheck> {
  const { verifySealedForKey, sealTo } = await sealing();
  const seal = sealTo(context);
  return ({ payload, record }, fileKey, dataId) => verifySealedForKey(payload, record, seal, fileKey, dataId);
}

/** Loaded when it is needed: most puts find a record that they know. */
async function sealing() {
  await loadSuite();
  const [sealed, { recordSealTo }] = await Promise.all([
    import("../../core/record/sealed-record.ts"),
    import("./record-seal.ts"),
  ]);
  const sealTo = ({ chain, committee }: RecordKeyContext) => recordSealTo(chain.deployment, committee);
  return { ...sealed, sealTo };
}

/**
 * Whether a record tolerates as many failing and as many colluding nodes as one that this account would make. Its
 * recorder chose the policy, which is fixed once somebody has joined.
 */
function isUsualPolicy(
  { policy }: VerifiedRecord["payload"],
  { size, threshold }: Committee,
  recipients: ShareRecipient,
): boolean {
  const usual = recipients === "sealed" ? SEALED_POLICY : committeePolicy(size, threshold);
  return (
    policy.recipients === usual.recipients &&
    policy.shares === usual.shares &&
    policy.threshold === usual.threshold &&
    policy.privacy === usual.privacy
  );
}

/** What a node says of its share in a record; "unknown" when its archive has no such record, or it does not answer. */
async function shareState(context: RecordKeyContext, node: NbmClient, recordId: string): Promise<string> {
  const state = await polled(async () => {
    try {
      return (await node.record(recordId)).share;
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      (context.logger ?? SILENT).debug({ node: node.url, code: error.code }, error.message);
      return error.code === "NOT_FOUND" ? undefined : "unknown";
    }
  });
  return state ?? "unknown";
}

/** Records of the key itself. Whoever records others under the tag of the file makes nobody download or verify them. */
async function findJoinable(
  { archives, committee }: RecordKeyContext,
  tag: string,
  fileKey: Uint8Array,
  signal: AbortSignal,
): Promise<readonly VerifiedRecord[]> {
  const filter = { fileTag: tag, ownershipKey: ownershipAddress(fileKey), committeeId: committee.id };
  return (await archives.find(filter, { signal })).records;
}

/** Joins a good record of somebody else; undefined when there is none among the first candidates. */
async function joinExisting(
  context: RecordKeyContext,
  records: readonly VerifiedRecord[],
  dataId: string,
  fileKey: Uint8Array,
  recipients: ShareRecipient,
): Promise<KeyOwnership | undefined> {
  const { chain, account } = context;
  const others = records.filter(({ record }) => !isAddressEqual(record.account, account.address));
  for (const found of candidatesOf(others, context.committee, recipients)) {
    if (!(await isGood(context, found, dataId, fileKey))) continue;
    const { recordId } = found;
    const joined = () => isOwner(chain, headerOf(found.record), account.address);
    if (await joined()) return { recordId, role: "owner", isNew: false };
    const request = await signAddition(context, found, dataId, fileKey);
    const relayed = await relayEntry(context, (node, signal) => node.relayOwner(recordId, request, signal), joined);
    await untilConfirmed(chain, context.confirmations ?? 1, (block) =>
      hasRole(chain, recordId, account.address, "owner", block),
    );
    return { recordId, role: "owner", isNew: true, ...relayed };
  }
  return undefined;
}

/** The records worth the requests to the nodes. Those with later owners come first: who joined had the file. */
function candidatesOf(
  records: readonly VerifiedRecord[],
  committee: Committee,
  recipients: ShareRecipient,
): VerifiedRecord[] {
  return records
    .filter(({ payload }) => isUsualPolicy(payload, committee, recipients))
    .sort((a, b) => Number(b.shared) - Number(a.shared))
    .slice(0, MAXIMUM_CANDIDATES);
}

async function signAddition(context: RecordKeyContext, found: VerifiedRecord, dataId: string, fileKey: Uint8Array) {
  const { account, chain, catalogueKey } = context;
  const { recordId } = found;
  const { keyLedger } = chain.deployment.contracts;
  const chainId = BigInt(chain.deployment.chainId);
  const deadline = (await readHeadTime(chain)) + DEADLINE_SECONDS;
  const scope = fileScope(found.record.account, fromHex(found.record.fileTag));
  const envelope = { ledger: ledgerScope(chain.deployment), fileScope: scope, catalogueKey };
  const note = toHex(sealSelfEnvelope(envelope, { dataId, fileKey }));
  const header = headerOf(found.record);
  const message = { recordId, owner: account.address };
  const secret = ownershipKey(fileKey);
  const ownership = new BaseWallet(new SigningKey(toHex(secret)));
  secret.fill(0);
  const owned = ownershipTypedData(chainId, keyLedger, message);
  const addition = addOwnerTypedData(chainId, keyLedger, { ...message, noteHash: keccak256(note), deadline });
  return {
    header: { ...header, committeeId: header.committeeId.toString(), keyTime: header.keyTime.toString() },
    owner: account.address,
    note,
    deadline: deadline.toString(),
    ownershipSignature: await ownership.signTypedData(owned.domain, owned.types, { ...owned.message }),
    ownerSignature: await account.sign(addition),
  };
}

async function recordOwn(
  context: RecordKeyContext,
  dataId: string,
  fileKey: Uint8Array,
  recipients: ShareRecipient,
): Promise<KeyOwnership> {
  const { account, chain, committee } = context;
  const chainId = BigInt(chain.deployment.chainId);
  const keyTime = await readHeadTime(chain);
  const fields = {
    account: account.address,
    fileTag: toHex(fileTag(dataId)),
    committeeId: committee.id,
    keyTime,
    ownershipKey: ownershipAddress(fileKey),
  };
  const payload = await makePayload(context, fields, dataId, fileKey, recipients);
  const record: KeyRecord = { ...fields, payload };
  const header = headerOf(record);
  const deadline = keyTime + DEADLINE_SECONDS;
  const signature = await account.sign(
    keyRecordTypedData(chainId, chain.deployment.contracts.keyLedger, { ...header, deadline }),
  );
  const request = {
    record: { ...record, committeeId: committee.id.toString(), keyTime: keyTime.toString(), payload: toHex(payload) },
    deadline: deadline.toString(),
    signature,
  };
  const recordId = recordIdOf(header);
  const isDone = async () => (await readRecordedAt(chain, recordId)) !== undefined;
  const relayed = await relayEntry(context, (node, signal) => node.relayRecord(request, signal), isDone);
  await untilConfirmed(chain, context.confirmations ?? 1, (block) =>
    hasRole(chain, recordId, account.address, "recorder", block),
  );
  await requireNotLate(chain, account.address, recordId);
  return { recordId, role: "recorder", isNew: true, ...relayed };
}

async function makePayload(
  context: RecordKeyContext,
  header: KeyRecordHeader,
  dataId: string,
  fileKey: Uint8Array,
  recipients: ShareRecipient,
): Promise<Uint8Array> {
  const { chain, committee, catalogueKey, logger } = context;
  if (recipients === "sealed") {
    const { buildSealedPayload, sealTo } = await sealing();
    return buildSealedPayload({ seal: sealTo(context), header, fileKey, dataId, catalogueKey });
  }
  const { account, committeeId, keyTime } = header;
  return await buildRecordPayload({
    ledger: ledgerScope(chain.deployment),
    fileKey,
    dataId,
    account,
    committeeId,
    keyTime,
    policy: recipients === "self" ? SELF_POLICY : committeePolicy(committee.size, committee.threshold),
    committeeKeys: recipients === "self" ? [] : await sealableKeys(committee, logger),
    catalogueKey,
  });
}
