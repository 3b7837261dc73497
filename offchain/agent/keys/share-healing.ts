/**
 * Heals a record of shares while its owner reads it, whatever reads it: `openStoredRoot` begins it. A member that takes
 * the place of one that lost its keystore has no share, and nobody can hand one over to it. The owner has the file key,
 * from which the shares follow: it gives each holder that does not answer with its share the share that the record
 * commits to. The record stays as it is, no transaction is sent, and other owners notice nothing but that the share is
 * there.
 *
 * It runs beside the read, once in an hour for each record, and ends some seconds after the read or with the agent. A
 * delegate heals nothing: it acts for the owner at providers, and nodes take shares of the account itself.
 */

import { keccak256 } from "ethers";
import { ledgerScope } from "../../chain/ledger.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { shareDeliveryTypedData } from "../../core/identity/typed-messages.ts";
import { sharesOfRecord } from "../../core/record/key-record.ts";
import { sealShareDelivery } from "../../core/record/share-delivery.ts";
import type { AgentContext } from "../context.ts";
import type { OpenedKey } from "./file-key.ts";
import { requestShare, type ShareCollectorContext } from "./key-shares.ts";
import { REQUEST_SECONDS } from "./share-collection.ts";
import { readShareHolders, type ShareHolder } from "./share-holders.ts";

/** A record that was healed is left alone so long, however often it is read. */
const AGAIN_MILLISECONDS = 3_600_000;
/** Records that one agent remembers. */
const MOST_RECORDS = 4096;
/** Records that are healed at the same time; of others that are read meanwhile, those wait. */
const AT_A_TIME = 4;
/** Records that wait, with their keys. More are left to the next run. */
const MOST_WAITING = 256;
/** How long the end of a read waits for nodes that are slow; the next read asks them again. */
const PATIENCE_MILLISECONDS = 5000;
/** A holder that answers so has no right share. Others are down, or cannot judge: nothing follows from that. */
const WITHOUT_SHARE: ReadonlySet<string> = new Set(["NOT_FOUND", "INTEGRITY"]);

/** A share that a member has again. */
export interface HealedShare {
  readonly index: number;
  readonly operator: string;
  readonly url: string;
}

/** Healing that runs beside a read. */
export interface Healing {
  /**
   * Waits for its end, some seconds at most. A read does not fail because a record cannot be healed.
   * @throws what is no TallystickError: a defect here
   */
  finish(): Promise<readonly HealedShare[]>;
}

/** What an agent heals, and when it began to. */
interface Healings {
  readonly begunAt: Map<string, number>;
  readonly running: Set<Healing>;
  /** Healings that wait for others to end. */
  readonly waiting: (() => void)[];
  active: number;
}

const healings = new WeakMap<AgentContext, Healings>();

/**
 * Heals the record of what is read, unless this agent has begun to within the last hour.
 * @returns undefined when there is nothing to do
 */
export function healBeside(context: AgentContext, opened: OpenedKey, dataId: string): Healing | undefined {
  const { recordId, payload } = opened.found;
  if (payload.policy.recipients !== "shares") return undefined;
  const known = healings.get(context) ?? { begunAt: new Map(), running: new Set(), waiting: [], active: 0 };
  healings.set(context, known);
  const { begunAt, running, waiting } = known;
  const now = performance.now();
  const before = begunAt.get(recordId);
  if (before !== undefined && now - before < AGAIN_MILLISECONDS) return undefined;
  if (waiting.length >= MOST_WAITING) return undefined;
  begunAt.delete(recordId);
  begunAt.set(recordId, now);
  for (const oldest of begunAt.keys()) if (begunAt.size > MOST_RECORDS) begunAt.delete(oldest);
  const healing = startHealing(
    context,
    opened,
    dataId,
    (work) => inTurn(known, work),
    () => running.delete(healing),
  );
  running.add(healing);
  return healing;
}

async function inTurn(known: Healings, work: () => Promise<void>): Promise<void> {
  if (known.active < AT_A_TIME) known.active += 1;
  else await new Promise<void>((go) => known.waiting.push(go));
  try {
    await work();
  } finally {
    const next = known.waiting.shift();
    if (next === undefined) known.active -= 1;
    else next();
  }
}

/** Waits for what is being healed, some seconds at most: for an agent that closes. It throws nothing. */
export async function settleHealing(context: AgentContext): Promise<void> {
  await Promise.allSettled([...(healings.get(context)?.running ?? [])].map((healing) => healing.finish()));
}

/**
 * @param opened whose file key is copied: the caller may wipe it
 * @param inTurn runs the work, perhaps later
 */
export function startHealing(
  context: AgentContext,
  opened: OpenedKey,
  dataId: string,
  inTurn: (work: () => Promise<void>) => Promise<void> = (work) => work(),
  onEnd: () => void = () => undefined,
): Healing {
  const fileKey = opened.fileKey.slice();
  const end = new AbortController();
  const healed: HealedShare[] = [];
  const signal = AbortSignal.any([end.signal, context.closing]);
  const work = inTurn(async () => {
    if (!signal.aborted) await heal(context, { ...opened, fileKey }, dataId, signal, (share) => healed.push(share));
  })
    .catch((error: unknown) => {
      if (signal.aborted) return;
      if (!(error instanceof TallystickError)) throw error;
      context.logger.warn(
        { recordId: opened.found.recordId, code: error.code },
        `the key shares of this data were not looked after: ${error.message}`,
      );
    })
    .finally(() => {
      fileKey.fill(0);
      onEnd();
    });
  // A defect is thrown by `finish`, not by the runtime before it is called.
  work.catch(() => undefined);
  return {
    finish: async () => {
      const patience = Promise.withResolvers<void>();
      const timer = setTimeout(patience.resolve, PATIENCE_MILLISECONDS);
      try {
        await Promise.race([work, patience.promise]);
      } finally {
        clearTimeout(timer);
        end.abort();
      }
      return [...healed].sort((a, b) => a.index - b.index);
    },
  };
}

async function heal(
  context: AgentContext,
  { found, owner, fileKey, source }: OpenedKey,
  dataId: string,
  signal: AbortSignal,
  onHealed: (share: HealedShare) => void,
): Promise<void> {
  const { record, payload, recordId } = found;
  if (payload.policy.recipients !== "shares") return;
  if (!isAddressEqual(owner, context.account.address) && (await context.delegation()) !== undefined) return;
  const { generation, holders } = await readShareHolders(context, found);
  // As long as every share is with its first holder, the envelopes on the ledger are enough.
  if (source === "self" && holders.every(({ isMember, former }) => isMember && former.length === 0)) return;
  const { account, logger } = context;
  const ledger = ledgerScope(context.deployment);
  const asking: ShareCollectorContext = { account, ledger, logger, owner };
  const shares = sharesOfRecord(ledger, payload, record, fileKey, dataId);
  const healOne = async (holder: ShareHolder) => {
    const { index, operator, url } = holder;
    const share = shares[index - 1];
    if (share === undefined || (await answersRightly(holder))) return;
    const context = { index, generation, recipient: operator };
    const sealed = toHex(await sealShareDelivery(ledger, record, context, holder.hpkePublicKey, share));
    const expiresAt = Math.floor(Date.now() / 1000) + REQUEST_SECONDS;
    const typed = shareDeliveryTypedData(ledger.chainId, ledger.keyLedger, {
      recordId,
      account: account.address,
      node: operator,
      sealedHash: keccak256(sealed),
      expiresAt: BigInt(expiresAt),
    });
    const signature = await account.sign(typed);
    const heir = isAddressEqual(owner, account.address) ? {} : { owner };
    const body = { account: account.address, ...heir, index, generation, sealed, expiresAt, signature };
    const { isNew } = await holder.client.deliver(recordId, body, signal).catch((error: unknown) => {
      if (error instanceof TallystickError && !signal.aborted) {
        logger.warn(
          { recordId, index, node: url, code: error.code },
          `node ${url} lacks key share ${index} of this data and did not take it: ${error.message}`,
        );
      }
      throw error;
    });
    // Otherwise it has come from the member before, in between.
    if (!isNew) return;
    logger.debug({ recordId, index, node: url }, `node ${url} had no key share ${index} of this data: healed`);
    onHealed({ index, operator, url });
  };
  const answersRightly = async (holder: ShareHolder): Promise<boolean> => {
    try {
      (await requestShare(found, holder, asking, signal)).fill(0);
      return true;
    } catch (error) {
      if (error instanceof TallystickError && WITHOUT_SHARE.has(error.code)) return false;
      throw error;
    }
  };
  const reached = holders.filter(({ isMember, url }) => isMember && url !== "");
  const outcomes = await Promise.allSettled(reached.map(healOne));
  for (const share of shares) share.fill(0);
  for (const [at, outcome] of outcomes.entries()) {
    if (outcome.status === "fulfilled" || signal.aborted) continue;
    const { reason } = outcome;
    if (!(reason instanceof TallystickError)) throw reason;
    const { index, url } = reached[at] as ShareHolder;
    logger.debug({ recordId, index, node: url, code: reason.code }, `key share not healed: ${reason.message}`);
  }
}
