/**
 * Key nodes ask a policy in the state of a block that has some blocks on it, so for the first blocks of an owner's life
 * they say that the account owns nothing. Whoever has just recorded or joined, or has just taken an owner's place, and
 * opens the key with the committee, waits for these blocks instead of being refused.
 */

import { mayActFor } from "../../chain/account-directory.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { hasRole } from "../../chain/ledger.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Clock } from "../clock.ts";
import type { VerifiedRecord } from "./archives.ts";

/** What is this old, no node takes for too young: more than the confirmations that nodes ask for by default. */
const SETTLED_BLOCKS = 64;
/** Longest wait: three blocks of the slowest chain take less. */
const PATIENCE_MILLISECONDS = 90_000;
const POLL_MILLISECONDS = 1000;

export interface YoungRecordContext {
  readonly chain: ChainReader;
  readonly clock: Clock;
  /** Address of the account that opens the key. */
  readonly account: string;
  /** Owner of the record: the account, or a predecessor, whose successor it may be for a few blocks only. */
  readonly owner: string;
  /** Announces a wait that takes long. */
  readonly during: <Result>(step: string, work: () => Promise<Result>) => Promise<Result>;
}

/**
 * Opens a key; again after each block while the account has owned the record for a few blocks only.
 *
 * @throws what `open` throws; TallystickError NOT_RELEASED, retryable, when the blocks do not come
 */
export async function onceConfirmed<Opened>(
  context: YoungRecordContext,
  found: Pick<VerifiedRecord, "recordId" | "record">,
  open: () => Promise<Opened>,
): Promise<Opened> {
  const { clock } = context;
  const end = clock.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    const asked = await headOf(context.chain);
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code !== "NOT_RELEASED") throw error;
      if (!(await isYoung(context, found, asked))) throw error;
      const wait = async () => {
        do {
          if (clock.now() >= end) throw tooYoung(found, error);
          await clock.pause(POLL_MILLISECONDS);
        } while ((await headOf(context.chain)) <= asked);
      };
      await context.during(`blocks upon record ${found.recordId}`, wait);
    }
  }
}

async function headOf(chain: ChainReader): Promise<number> {
  return await readHeadNumber(chain);
}

/** Whether the account owns the record now, itself or as a successor, and did not some blocks before. */
async function isYoung(
  context: YoungRecordContext,
  found: Pick<VerifiedRecord, "recordId" | "record">,
  head: number,
): Promise<boolean> {
  if (!(await owns(context, found, "latest"))) return false;
  const before = head - SETTLED_BLOCKS;
  if (before < context.chain.deployment.deployedAtBlock) return true;
  try {
    return !(await owns(context, found, before));
  } catch {
    // An endpoint that has forgotten this state: then the refusal is what can be said.
    return false;
  }
}

async function owns(
  { chain, account, owner }: YoungRecordContext,
  { recordId, record }: Pick<VerifiedRecord, "recordId" | "record">,
  block: number | "latest",
): Promise<boolean> {
  const role = isAddressEqual(record.account, owner) ? "recorder" : "owner";
  if (!(await hasRole(chain, recordId, owner, role, block))) return false;
  return isAddressEqual(account, owner) || (await mayActFor(chain, account, owner, block));
}

function tooYoung({ recordId }: Pick<VerifiedRecord, "recordId">, cause: TallystickError): TallystickError {
  return new TallystickError("the key nodes do not count this account as an owner yet", {
    code: "NOT_RELEASED",
    party: "policy of the secret",
    check: "age of the record",
    expected: `some blocks upon record ${recordId}, or upon what added the owner or named its successor`,
    ...(cause.received === undefined ? {} : { received: cause.received }),
    hint: "run the command again when the chain has mined more blocks",
    retryable: true,
    details: { ...cause.details },
    cause,
  });
}
