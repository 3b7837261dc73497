/**
 * A committee inside this process: the cryptography of key nodes and of their user without network or disk, and the
 * time that each of them spends.
 */

import { ristretto255Group } from "../../offchain/core/oprf/group.ts";
import { ristretto255Suite } from "../../offchain/core/oprf/ristretto255.ts";
import type { EvaluationPart, OprfSuite } from "../../offchain/core/oprf/suite.ts";
import { MAXIMUM_BATCH } from "../../offchain/core/wire/nbm.ts";
import { type DealtMember, dealKey } from "../../test/helpers/oprf-committee.ts";
import { cpuMilliseconds } from "./process-cost.ts";

/** Processor milliseconds since the committee was made or asked last, by what they were spent on. */
export interface OprfTimes {
  /** Blinding, checking every node's proof, combining. */
  userMilliseconds: number;
  /** One node: its part of every request. */
  nodeMilliseconds: number;
}

export class BenchCommittee {
  readonly suite: OprfSuite;
  readonly threshold: number;
  readonly size: number;
  readonly #members: readonly DealtMember[];
  #times: OprfTimes = { userMilliseconds: 0, nodeMilliseconds: 0 };

  /** @param suite is ready */
  constructor(suite: OprfSuite, members: readonly DealtMember[], threshold: number) {
    this.suite = suite;
    this.#members = members;
    this.size = members.length;
    this.threshold = threshold;
  }

  /** A committee as there are today. */
  static async create(size: number, threshold: number): Promise<BenchCommittee> {
    await ristretto255Suite.ready();
    const members = dealKey(ristretto255Group, ristretto255Group.randomScalar(), threshold, size);
    return new BenchCommittee(ristretto255Suite, members, threshold);
  }

  /** What was spent since the last call. */
  takeTimes(): OprfTimes {
    const times = this.#times;
    this.#times = { userMilliseconds: 0, nodeMilliseconds: 0 };
    return times;
  }

  /** Derives an output for each input, as the agent does with as many nodes as the threshold asks for. */
  async evaluate(inputs: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const outputs: Uint8Array[] = [];
    for (let first = 0; first < inputs.length; first += MAXIMUM_BATCH) {
      outputs.push(...this.#evaluateBatch(inputs.slice(first, first + MAXIMUM_BATCH)));
    }
    return outputs;
  }

  #evaluateBatch(inputs: Uint8Array[]): Uint8Array[] {
    const { suite } = this;
    let user = 0;
    const asUser = <T>(work: () => T): T => {
      const started = cpuMilliseconds();
      const result = work();
      user += cpuMilliseconds() - started;
      return result;
    };
    const batch = asUser(() => suite.blindInputs(inputs));
    const parts: EvaluationPart[] = [];
    const quorum = this.#members.slice(0, this.threshold);
    const started = cpuMilliseconds();
    const answers = quorum.map(({ keyShare, verificationShare }) =>
      suite.evaluateBatch(keyShare, verificationShare, batch.blinded),
    );
    this.#times.nodeMilliseconds += (cpuMilliseconds() - started) / quorum.length;
    const outputs = asUser(() => {
      for (const [position, { index, verificationShare }] of quorum.entries()) {
        const answer = answers[position];
        if (answer === undefined) throw new Error(`member ${index} did not answer`);
        suite.verifyEvaluation(verificationShare, batch.blinded, answer.evaluated, answer.proof);
        parts.push({ index, evaluated: answer.evaluated });
      }
      return suite.combineAndFinalize(batch, inputs, parts, this.threshold);
    });
    batch.wipe();
    this.#times.userMilliseconds += user;
    return outputs;
  }
}
