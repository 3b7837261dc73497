/**
 * Evidence against a node: an answer whose proof does not verify, signed by the node. A right answer is taken whether
 * or not it is well signed, because its proof says all that matters; and a node that lies without signing is replaced
 * like one that does not answer.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { oprfAnswerTypedData } from "../../core/identity/typed-messages.ts";
import { type AnswerEvidence, encodeAnswerEvidence, oprfAnswerMessage } from "../../core/oprf/signed-answer.ts";
import { isKeySignature } from "../data-sets/account-signatures.ts";
import type { AgentLogger } from "../progress.ts";
import type { WrongAnswer } from "./oprf-committee.ts";
import type { WrongAnswerStore } from "./wrong-answer-store.ts";

export interface EvidenceScope {
  readonly deployment: Pick<ChainReader["deployment"], "chainId" | "contracts">;
  /** Who asked. */
  readonly account: string;
}

/**
 * The evidence in a wrong answer.
 * @returns undefined when the node did not sign this answer
 * @throws InvalidPointError when an element is malformed: then there are no composites that could be signed
 */
export async function evidenceIn(
  { deployment, account }: EvidenceScope,
  { member, generation: { committeeId, generation }, keyMaterialHash, blinded, evaluation }: WrongAnswer,
): Promise<AnswerEvidence | undefined> {
  const { composeEvaluation, oprfReady } = await import("../../core/oprf/ristretto255.ts");
  await oprfReady();
  const { evaluated, proof, signature } = evaluation;
  const evidence: AnswerEvidence = {
    chainId: deployment.chainId,
    nodeRegistry: deployment.contracts.nodeRegistry,
    operator: member.operator,
    committeeId,
    generation,
    keyMaterialHash,
    index: member.index,
    account,
    composites: composeEvaluation(member.verificationShare, blinded, evaluated),
    proof,
    signature,
  };
  return isSignedByNode(evidence) ? evidence : undefined;
}

/** Whether the node signed what the evidence says. */
export function isSignedByNode(evidence: AnswerEvidence): boolean {
  const typed = oprfAnswerTypedData(BigInt(evidence.chainId), evidence.nodeRegistry, oprfAnswerMessage(evidence));
  return isKeySignature(evidence.operator, typed, evidence.signature);
}

/** Keeps the evidence in a wrong answer, and tells what can be done with it. */
export async function keepWrongAnswer(
  scope: EvidenceScope,
  store: WrongAnswerStore,
  logger: AgentLogger,
  answer: WrongAnswer,
): Promise<void> {
  const { operator, url } = answer.member;
  const evidence = await evidenceIn(scope, answer);
  if (evidence === undefined) {
    logger.warn({ node: url }, "the node did not sign its wrong answer, so it cannot be made to pay for it");
    return;
  }
  const place = store.keep(operator, encodeAnswerEvidence(evidence));
  logger.warn(
    { node: url, evidence: place },
    `the node signed a wrong answer; \`tallystick node challenge ${operator}\` takes its stake`,
  );
}
