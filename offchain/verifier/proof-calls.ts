/** What a transaction brought to `prove`: from its call data, or from a trace when it went through another contract. */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import type { ChainReader } from "../chain/deployment.ts";
import { type DataSetProof, parseProveCall } from "../chain/escrow-calls.ts";
import { readChain } from "../chain/revert.ts";
import { TallystickError } from "../core/errors.ts";
import { firstMismatch } from "../core/wire/schema.ts";

/** `gone`: the endpoint does not have it. `indirect`: it went through another contract, and there is no trace of it. */
export type UnreadableReason = "gone" | "indirect";

/** A call in a trace of Geth's `callTracer`; inner calls are checked one by one. */
const TracedCall = Type.Object({
  type: Type.String(),
  to: Type.Optional(Type.String()),
  input: Type.String(),
  error: Type.Optional(Type.String()),
  calls: Type.Optional(Type.Array(Type.Unknown())),
});

/** Calls of a transaction that are looked at; one with more is not read. */
const MAXIMUM_CALLS = 10_000;

/** @throws ChainUnavailableError */
export async function readProofCalls(
  chain: ChainReader,
  transactionHash: string,
): Promise<readonly DataSetProof[] | UnreadableReason> {
  const transaction = await readChain(`reading transaction ${transactionHash}`, () =>
    chain.provider.getTransaction(transactionHash),
  );
  if (transaction === null) return "gone";
  const escrow = chain.deployment.contracts.storageEscrow.toLowerCase();
  if (transaction.to?.toLowerCase() === escrow) return parseProveCall(transaction.data) ?? "indirect";
  return (await tracedCalls(chain, transactionHash, escrow)) ?? "indirect";
}

/** @returns undefined where the endpoint does not trace, or answers something else */
async function tracedCalls(
  chain: ChainReader,
  transactionHash: string,
  escrow: string,
): Promise<DataSetProof[] | undefined> {
  let root: unknown;
  try {
    root = await readChain(`tracing transaction ${transactionHash}`, () =>
      chain.provider.send("debug_traceTransaction", [transactionHash, { tracer: "callTracer" }]),
    );
  } catch (error) {
    if (error instanceof TallystickError) return undefined;
    throw error;
  }
  const proofs: DataSetProof[] = [];
  const waiting = [root];
  for (let seen = 0; waiting.length > 0; seen++) {
    const next = waiting.pop();
    if (seen === MAXIMUM_CALLS || firstMismatch(TracedCall, next) !== undefined) return undefined;
    const call = next as Static<typeof TracedCall>;
    // What a call did that failed is undone, its inner calls included.
    if (call.error !== undefined) continue;
    if (call.type === "CALL" && call.to?.toLowerCase() === escrow) proofs.push(...(parseProveCall(call.input) ?? []));
    waiting.push(...(call.calls ?? []));
  }
  return proofs.length === 0 ? undefined : proofs;
}
