/**
 * Threshold OPRF evaluation: the node's part, with a DLEQ proof, for an account that has budget left. It runs on the main thread:
 * a full batch takes some hundred milliseconds, and budget and evaluation stay one atomic step.
 */

import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { evaluateBatch } from "../../core/oprf/ristretto255.ts";
import type { EvaluateAnswer, EvaluateRequest } from "../../core/wire/nbm.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { CommitteeStore } from "../dkg/committee-store.ts";
import { type Budgets, nodeShareOfBudget } from "./budget.ts";

/** A committee whose key share this node may use. */
export interface ServedCommittee {
  readonly id: bigint;
  readonly index: number;
  readonly size: number;
  readonly threshold: number;
  readonly keyShare: Uint8Array;
  readonly verificationShare: Uint8Array;
}

export interface OprfServiceOptions {
  readonly database: Database;
  readonly budgets: Budgets;
  readonly committees: CommitteeStore;
  /** OPRF outputs the whole committee grants an account per period. */
  readonly budget: { readonly evaluations: number; readonly periodSeconds: number };
}

export class OprfService {
  readonly #options: OprfServiceOptions;
  readonly #committees = new Map<string, ServedCommittee>();

  constructor(options: OprfServiceOptions) {
    this.#options = options;
  }

  serve(committee: ServedCommittee): void {
    this.#committees.set(String(committee.id), committee);
  }

  /**
   * Evaluates a batch of blinded elements for an account.
   *
   * @throws TallystickError NOT_FOUND for a committee this node does not serve, retryable when it will soon; RATE_LIMITED;
   * InvalidPointError for anything but canonical, non-identity elements. Nothing is charged when it throws.
   */
  evaluate(account: string, request: EvaluateRequest): EvaluateAnswer {
    const committee = this.#committees.get(request.committeeId);
    if (committee === undefined) throw this.#notServed(request.committeeId);
    const { budgets, budget, database } = this.#options;
    const blinded = request.blinded.map((text, position) => fromHex(text, 32, `blinded element ${position}`));
    const limit = {
      scope: `oprf ${committee.id}`,
      capacity: nodeShareOfBudget(budget.evaluations, committee.threshold, committee.size),
      periodSeconds: budget.periodSeconds,
    };
    const { evaluated, proof } = database.transaction(() => {
      budgets.take(limit, account, blinded.length);
      return evaluateBatch(committee.keyShare, committee.verificationShare, blinded);
    });
    return { index: committee.index, evaluated: evaluated.map(toHex), proof: toHex(proof) };
  }

  /** Members see a little after the chain that a key generation has ended. */
  #notServed(committeeId: string): TallystickError {
    const known = this.#options.committees.all().find(({ id }) => String(id) === committeeId);
    return new TallystickError(`this node does not evaluate for committee ${committeeId}`, {
      code: "NOT_FOUND",
      check: "committee",
      expected: [...this.#committees.keys()].join(", ") || "none",
      received: committeeId,
      retryable: known !== undefined && known.phase !== "failed",
    });
  }
}
