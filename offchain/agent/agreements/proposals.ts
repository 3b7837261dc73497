/** The agreements an account has ever proposed, found on chain, and which of the catalogue's they are. */

import { ESCROW_ABI } from "../../chain/abis.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type Agreement, parseEscrowLog, readAgreement } from "../../chain/escrow.ts";
import { chainLogs } from "../../chain/logs.ts";
import { readChain } from "../../chain/revert.ts";
import { lastWindowEnd } from "../../core/agreement/epochs.ts";
import { TallystickError } from "../../core/errors.ts";
import type { CataloguedAgreement } from "../catalogue.ts";
import type { AgentContext } from "../context.ts";
import { agreementKeys } from "./agreement-keys.ts";

/** @param fromBlock where to start looking. @returns them as they stand now, oldest first */
export async function* proposalsOf(
  chain: ChainReader,
  account: string,
  fromBlock: number,
): AsyncGenerator<Agreement, void, undefined> {
  const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
  const topics = ESCROW_ABI.encodeFilterTopics("AgreementProposed", [null, account]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, fromBlock, head)) {
    const event = parseEscrowLog(log);
    if (event?.kind !== "AgreementProposed") continue;
    const agreement = await readAgreement(chain, event.id);
    if (agreement !== undefined) yield agreement;
  }
}

/**
 * The agreement that was written down under its number. Numbers alone prove nothing: a development chain that was
 * started anew gives them, and the contracts' addresses, to others.
 *
 * @returns undefined when the chain has no such agreement, or another one, under the number
 * @throws TallystickError CHAIN_UNAVAILABLE when the chain has none under the number of an accepted one: contract state
 *   keeps every agreement, so the endpoint is not in sync, and nothing may be forgotten or paid again upon its answer
 */
export async function agreementOf(context: AgentContext, row: CataloguedAgreement): Promise<Agreement | undefined> {
  if (row.agreementId === undefined) return undefined;
  const agreement = await readAgreement(await context.chain(), row.agreementId);
  if (agreement === undefined && row.state === "accepted") throw notShown(row.agreementId);
  return agreement !== undefined && (await isOf(context, row, agreement)) ? agreement : undefined;
}

/**
 * Whether an agreement is active and has a window that can still be met. After its last one it stays active on chain
 * until somebody settles it, but nothing is proven any more.
 */
export async function isRunning(
  context: AgentContext,
  { status, terms }: Pick<Agreement, "status" | "terms">,
): Promise<boolean> {
  if (status !== "active") return false;
  const { provider } = await context.chain();
  return lastWindowEnd(terms) > (await readChain("reading the block number", () => provider.getBlockNumber()));
}

/** The catalogue's row of an agreement on chain; undefined when this device has none. */
export async function rowOf(context: AgentContext, agreement: Agreement): Promise<CataloguedAgreement | undefined> {
  const row = await context.catalogue.agreement(context.deployment.contracts.storageEscrow, agreement.id);
  return row !== undefined && (await isOf(context, row, agreement)) ? row : undefined;
}

async function isOf(context: AgentContext, row: CataloguedAgreement, agreement: Agreement): Promise<boolean> {
  return (await agreementKeys(context.identity.auditSeed, row.salt)).keyHash === agreement.terms.auditKeyHash;
}

function notShown(agreementId: bigint): TallystickError {
  return new TallystickError(`the chain does not show agreement ${agreementId}, which the provider has accepted`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "accepted agreement",
    expected: `agreement ${agreementId}`,
    received: "none under this number",
    hint: "repeat when the endpoint is in sync; for a development chain that was started anew, use another home folder",
    retryable: true,
  });
}
