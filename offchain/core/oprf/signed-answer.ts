/**
 * What a node signs of an answer, and a signed answer as evidence. The composites of a batch hash all of its elements
 * (dleq.ts), so a signature over the composites and the proof covers the whole batch; and whether the proof
 * verifies for the composites is all that the chain has to check. A client computes the composites itself, from what it
 * sent and what it received: a signature over others is none over this answer.
 *
 * The key material is named by its hash, beside the number of the generation: when a reorganisation of the chain
 * replaces an activation by another one of that number, a right answer does not verify under the keys of the other.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError } from "../errors.ts";
import type { OprfAnswerMessage } from "../identity/typed-messages.ts";
import { AddressText, Bytes32Text, firstMismatch, HexBytes, Uint64Text } from "../wire/schema.ts";
import type { BatchComposites } from "./voprf.ts";

/** A member's answer to a batch, as far as it is signed. */
export interface AnsweredBatch {
  readonly committeeId: bigint;
  readonly generation: number;
  /** Of the keys that the member answered with, as the chain had them: 32 bytes, 0x hex. */
  readonly keyMaterialHash: string;
  /** The member's position in the committee, from 1. */
  readonly index: number;
  /** Who was answered. */
  readonly account: string;
  readonly composites: BatchComposites;
  /** c ‖ s, 64 bytes. */
  readonly proof: Uint8Array;
}

export function oprfAnswerMessage(answer: AnsweredBatch): OprfAnswerMessage {
  const { committeeId, generation, keyMaterialHash, index, account, composites, proof } = answer;
  return {
    committeeId,
    generation: BigInt(generation),
    keyMaterialHash,
    index: BigInt(index),
    account,
    blinded: toHex(composites.blinded),
    evaluated: toHex(composites.evaluated),
    c: toHex(proof.subarray(0, 32)),
    s: toHex(proof.subarray(32)),
  };
}

/** Version 1 of the document that `encodeAnswerEvidence` writes. */
const EvidenceText = Type.Object(
  {
    version: Type.Literal(1),
    chainId: Type.Integer({ minimum: 1 }),
    nodeRegistry: AddressText,
    operator: AddressText,
    committeeId: Uint64Text,
    generation: Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 }),
    keyMaterialHash: Bytes32Text,
    index: Type.Integer({ minimum: 1, maximum: 255 }),
    account: AddressText,
    blinded: Bytes32Text,
    evaluated: Bytes32Text,
    proof: HexBytes(64),
    signature: HexBytes(65),
  },
  { additionalProperties: false },
);

/** A signed answer, with what is needed to show it. */
export interface AnswerEvidence extends AnsweredBatch {
  readonly chainId: number;
  readonly nodeRegistry: string;
  /** The member's account, which signed. */
  readonly operator: string;
  /** 65 bytes, 0x hex. */
  readonly signature: string;
}

/** Longest evidence, as text. */
export const MAXIMUM_EVIDENCE_CHARACTERS = 4096;

/** The evidence as JSON. */
export function encodeAnswerEvidence(evidence: AnswerEvidence): string {
  const { chainId, nodeRegistry, operator, committeeId, generation, keyMaterialHash } = evidence;
  const { index, account, composites, proof, signature } = evidence;
  const text: Static<typeof EvidenceText> = {
    version: 1,
    chainId,
    nodeRegistry,
    operator,
    committeeId: String(committeeId),
    generation,
    keyMaterialHash,
    index,
    account,
    blinded: toHex(composites.blinded),
    evaluated: toHex(composites.evaluated),
    proof: toHex(proof),
    signature,
  };
  return `${JSON.stringify(text, undefined, 2)}\n`;
}

/** @throws InvalidInputError for anything that `encodeAnswerEvidence` does not write */
export function parseAnswerEvidence(json: string): AnswerEvidence {
  if (json.length > MAXIMUM_EVIDENCE_CHARACTERS) throw malformed("its length", "longer than evidence is");
  let text: unknown;
  try {
    text = JSON.parse(json);
  } catch (cause) {
    throw malformed("JSON", "no JSON", cause);
  }
  const mismatch = firstMismatch(EvidenceText, text);
  if (mismatch !== undefined) throw malformed(mismatch.path, mismatch.reason);
  const { version, committeeId, blinded, evaluated, proof, ...others } = text as Static<typeof EvidenceText>;
  const composites = { blinded: fromHex(blinded), evaluated: fromHex(evaluated) };
  return { ...others, committeeId: BigInt(committeeId), composites, proof: fromHex(proof) };
}

function malformed(where: string, reason: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError("this is no evidence of a wrong answer", {
    party: "you",
    check: "evidence of a wrong answer",
    expected: "a file as the agent writes it",
    received: `${where}: ${reason}`,
    cause,
  });
}
