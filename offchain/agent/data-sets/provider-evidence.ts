/**
 * Evidence that a provider signed two states of a data set under one version: the one that it signed for this device,
 * which the journal has, and another one that came on chain with its signature, which the call data of that transaction
 * has. An honest provider signs no version twice, so there is none against it, whatever this device repeats.
 */

import { verifyTypedData } from "ethers";
import { escrowAbi } from "../../chain/abis.ts";
import { type OpenedDataSet, type SignedState, scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { encodeDoubleSigning, isOtherState, parseSignedState } from "../../chain/double-signing.ts";
import { readOperator } from "../../chain/escrow.ts";
import { parseDataSetLog } from "../../chain/escrow-events.ts";
import { chainLogs } from "../../chain/logs.ts";
import { readChain } from "../../chain/revert.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import type { AgentContext } from "../context.ts";
import { signedState, stateTypedData } from "./co-signing.ts";
import type { DataSetOnChain } from "./following.ts";
import type { SignedByDevice } from "./journal.ts";

export interface ProviderEvidence {
  /** Who signed both: the provider, or its operator of then. */
  readonly signer: string;
  /** As the escrow takes it. */
  readonly evidence: Uint8Array;
}

/** @returns undefined when the provider is not known to have signed another state than that of this device */
export async function providerEvidence(
  context: AgentContext,
  opened: OpenedDataSet,
  onChain: DataSetOnChain,
): Promise<ProviderEvidence | undefined> {
  const journaled = await context.platform.dataSets.set(opened.audit.salt);
  const signed = journaled?.agreed?.id === opened.id ? journaled.signed : undefined;
  if (signed?.providerSignature === undefined || onChain.schedule.version < signed.version) return undefined;
  const own = signedState(signed, signed.providerSignature);
  const chain = await context.chain();
  const other = await otherOnChain(chain, opened, onChain, signed, own);
  if (other === undefined) return undefined;
  const signer = await signerOf(context, opened, signed.retirements, own, other);
  return { signer, evidence: encodeDoubleSigning({ retirements: signed.retirements, one: own, other }) };
}

/** The state under the version of this device's that came on chain with the provider's signature, if it is another. */
async function otherOnChain(
  chain: ChainReader,
  { id, blockNumber }: OpenedDataSet,
  { schedule, scheduled, head }: DataSetOnChain,
  { version, retirements }: SignedByDevice,
  own: SignedState,
): Promise<SignedState | undefined> {
  const isSame = schedule.version === version && schedule.retirements === retirements;
  const { contentHash } = schedule;
  if (isSame && !isOtherState(own, { version, ranges: scheduled.ranges, contentHash })) return undefined;
  const topics = [escrowAbi().getEvent("DataSetScheduled").topicHash, id];
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, blockNumber, head)) {
    const event = parseDataSetLog(log);
    if (event?.kind !== "DataSetScheduled") continue;
    const then = scheduleOf(event);
    if (then.version !== version || then.retirements !== retirements) continue;
    // A notice publishes the version again, without ranges and without a state in its call data.
    const { transactionHash } = event;
    const transaction = await readChain("reading a state of a data set", () =>
      chain.provider.getTransaction(transactionHash),
    );
    const state = transaction === null ? undefined : parseSignedState(transaction.data);
    if (state === undefined || state.providerSignature === "0x" || !isOtherState(own, state)) continue;
    return state;
  }
  return undefined;
}

/** One key that signed both, or else the operator, whose code the escrow asks. */
async function signerOf(
  { chain, deployment }: AgentContext,
  { id, terms }: OpenedDataSet,
  retirements: number,
  ...states: readonly SignedState[]
): Promise<string> {
  const signers = states.map((state) => {
    const { domain, types, message } = stateTypedData(deployment, id, { ...state, retirements });
    try {
      return verifyTypedData(domain, types, { ...message }, state.providerSignature);
    } catch {
      return undefined;
    }
  });
  const [first, second] = signers;
  if (first !== undefined && second !== undefined && isAddressEqual(first, second)) return first;
  return await readOperator(await chain(), terms.provider);
}
