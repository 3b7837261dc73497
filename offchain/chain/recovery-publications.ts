/**
 * Secrets that authors have published at the recovery policy: kept in the state of the chain with their plans, so that
 * they are found without any key and without old logs. Only the author can have put them there; what the bytes are,
 * whoever opens them checks.
 */

import { fromHex, toHex } from "../core/encoding/hex.ts";
import { recoveryAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { readHeadNumber } from "./head.ts";
import { chainLogs } from "./logs.ts";
import { parseRecoveryLog } from "./recovery-events.ts";
import { dataOf, planOf, type RecoverableSecret, type RecoveryPath, recoveryPolicy } from "./recovery-policy.ts";
import { readChain } from "./revert.ts";

/** What an author has published last. */
export interface RecoveryPublication {
  readonly secret: RecoverableSecret;
  /** That it was sealed to. */
  readonly committeeId: bigint;
  readonly sealed: Uint8Array;
}

/** A publication that names an account. Anybody can name any account. */
export interface RecoveryNaming {
  readonly author: string;
  readonly path: RecoveryPath;
  readonly recordId: string;
  readonly version: number;
  readonly blockNumber: number;
}

/** Publishes a sealed secret in place of the author's earlier version, which it retires; the author sends it. */
export function publishSecretCall(
  deployment: Pick<Deployment, "contracts">,
  { secret, committeeId, sealed }: RecoveryPublication,
): ContractCall {
  const { ledger, recordId, version, plan } = secret;
  return {
    to: deployment.contracts.recoveryPolicy,
    data: recoveryAbi().encodeFunctionData("publish", [
      ledger,
      recordId,
      version,
      committeeId,
      dataOf(plan),
      toHex(sealed),
    ]),
    description: "publishing a sealed secret for its recovery",
  };
}

/** What an author has published last of a secret; undefined when it never did. */
export async function readPublication(
  chain: ChainReader,
  { ledger, recordId, author }: Pick<RecoverableSecret, "ledger" | "recordId" | "author">,
): Promise<RecoveryPublication | undefined> {
  const found = await readChain("reading a published secret", () =>
    recoveryPolicy(chain).publicationOf(ledger, recordId, author),
  );
  const version = Number(found.version);
  if (version === 0) return undefined;
  return {
    secret: { ledger, recordId, author, version, plan: planOf(found.data) },
    committeeId: found.committeeId,
    sealed: fromHex(found.sealedSecret),
  };
}

/**
 * Publications that name an account as wallet or guardian, in chain order. Later versions may not name it any more.
 * Reads logs; whoever knows the author needs none.
 */
export async function* scanNamings(chain: ChainReader, account: string): AsyncIterable<RecoveryNaming> {
  const { deployment } = chain;
  const head = await readHeadNumber(chain);
  const topics = recoveryAbi().encodeFilterTopics("RecoveryNamed", [null, account]);
  const filter = { address: deployment.contracts.recoveryPolicy, topics };
  for await (const log of chainLogs(chain, filter, deployment.deployedAtBlock, head)) {
    const event = parseRecoveryLog(log);
    if (event?.kind === "RecoveryNamed") yield event;
  }
}
