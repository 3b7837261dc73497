/**
 * A committee inside this process: the cryptography of key nodes and of their user without network or disk, and the
 * time that each of them spends.
 */

import { multiplyBase, randomScalar, ristretto255Group } from "../../offchain/core/oprf/group.ts";
import {
  blindInputs,
  combineAndFinalize,
  type EvaluationPart,
  evaluateBatch,
  oprfReady,
  verifyEvaluation,
} from "../../offchain/core/oprf/ristretto255.ts";
import { evaluatePolynomial } from "../../offchain/core/oprf/threshold.ts";
import { MAXIMUM_BATCH } from "../../offchain/core/wire/nbm.ts";
import { cpuMilliseconds } from "./process-cost.ts";

interface Member {
  readonly index: number;
  readonly keyShare: Uint8Array;
  readonly verificationShare: Uint8Array;
}

/** Processor milliseconds since the committee was made or asked last, by what they were spent on. */
export interface OprfTimes {
  /** Blinding, checking every node's proof, combining. */
  userMilliseconds: number;
  /** One node: its part of every request. */
  nodeMilliseconds: number;
}

export class BenchCommittee {
  readonly threshold: number;
  readonly size: number;
  readonly #members: readonly Member[];
  #times: OprfTimes = { userMilliseconds: 0, nodeMilliseconds: 0 };

  private constructor(members: readonly Member[], threshold: number) {
    this.#members = members;
    this.size = members.length;
    this.threshold = threshold;
  }

  static async create(size: number, threshold: number): Promise<BenchCommittee> {
    await oprfReady();
    const coefficients = Array.from({ length: threshold }, () => randomScalar());
    const members = Array.from({ length: size }, (_, position) => {
      const keyShare = evaluatePolynomial(ristretto255Group, coefficients, position + 1);
      return { index: position + 1, keyShare, verificationShare: multiplyBase(keyShare) };
    });
    return new BenchCommittee(members, threshold);
  }

  /** What was spent since the last call. */
  takeTimes(): OprfTimes {
    const times = this.#times;
    this.#times = { userMilliseconds: 0, nodeMilliseconds: 0 };
    return times;
  }

  /** Derives 64 bytes for each input, as the agent does with as many nodes as the threshold asks for. */
  async evaluate(inputs: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const outputs: Uint8Array[] = [];
    for (let first = 0; first < inputs.length; first += MAXIMUM_BATCH) {
      outputs.push(...this.#evaluateBatch(inputs.slice(first, first + MAXIMUM_BATCH)));
    }
    return outputs;
  }

  #evaluateBatch(inputs: Uint8Array[]): Uint8Array[] {
    let user = 0;
    const asUser = <T>(work: () => T): T => {
      const started = cpuMilliseconds();
      const result = work();
      user += cpuMilliseconds() - started;
      return result;
    };
    const batch = asUser(() => blindInputs(inputs));
    const parts: EvaluationPart[] = [];
    const quorum = this.#members.slice(0, this.threshold);
    const started = cpuMilliseconds();
    const answers = quorum.map(({ keyShare, verificationShare }) =>
      evaluateBatch(keyShare, verificationShare, batch.blinded),
    );
    this.#times.nodeMilliseconds += (cpuMilliseconds() - started) / quorum.length;
    const outputs = asUser(() => {
      for (const [position, { index, verificationShare }] of quorum.entries()) {
        const answer = answers[position];
        if (answer === undefined) throw new Error(`member ${index} did not answer`);
        verifyEvaluation(verificationShare, batch.blinded, answer.evaluated, answer.proof);
        parts.push({ index, evaluated: answer.evaluated });
      }
      return combineAndFinalize(batch, inputs, parts, this.threshold);
    });
    batch.wipe();
    this.#times.userMilliseconds += user;
    return outputs;
  }
}
