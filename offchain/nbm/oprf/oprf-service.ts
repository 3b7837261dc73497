/**
 * Threshold OPRF evaluation: the node's part, with a DLEQ proof, for an account that has budget left. It runs on the
 * main thread: a full batch takes some hundred milliseconds, and budget and evaluation stay one atomic step.
 */

import { type KeyId, keyName, oprfKey } from "../../core/dkg/key-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { OprfAnswerMessage } from "../../core/identity/typed-messages.ts";
import { evaluateBatch, verifyComposed } from "../../core/oprf/ristretto255.ts";
import { type AnsweredBatch, oprfAnswerMessage } from "../../core/oprf/signed-answer.ts";
import type { EvaluateAnswer, EvaluateRequest } from "../../core/wire/nbm.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { KeyStateStore } from "../dkg/key-state-store.ts";
import { type Budgets, nodeShareOfBudget } from "./budget.ts";

/** A key whose share this node may use. */
export interface ServedKey extends KeyId {
  readonly index: number;
  readonly size: number;
  readonly threshold: number;
  readonly keyShare: Uint8Array;
  readonly verificationShare: Uint8Array;
}

export interface OprfServiceOptions {
  readonly database: Database;
  readonly budgets: Budgets;
  readonly keyStates: KeyStateStore;
  /** OPRF outputs the whole committee grants an account per period. */
  readonly budget: { readonly evaluations: number; readonly periodSeconds: number };
  /** Signs with the operator key, 0x hex. */
  readonly sign: (answer: OprfAnswerMessage) => string;
}

export class OprfService {
  readonly #options: OprfServiceOptions;
  readonly #served = new Map<string, ServedKey>();

  constructor(options: OprfServiceOptions) {
    this.#options = options;
  }

  serve(key: ServedKey): void {
    this.#served.set(keyName(key), key);
  }

  /**
   * Evaluates a batch of blinded elements for an account.
   *
   * @throws TallystickError NOT_FOUND for a key this node does not serve, retryable when it will soon; RATE_LIMITED;
   * InvalidPointError for anything but canonical, non-identity elements. Nothing is charged when it throws.
   */
  evaluate(account: string, request: EvaluateRequest): EvaluateAnswer {
    const wanted = oprfKey(BigInt(request.committeeId), request.generation);
    const key = this.#served.get(keyName(wanted));
    if (key === undefined) throw this.#notServed(wanted);
    const { budgets, budget, database } = this.#options;
    const blinded = request.blinded.map((text, position) => fromHex(text, 32, `blinded element ${position}`));
    const limit = {
      scope: `oprf ${key.committeeId}`,
      capacity: nodeShareOfBudget(budget.evaluations, key.threshold, key.size),
      periodSeconds: budget.periodSeconds,
    };
    // After a power failure an account may have a few evaluations more; with a disk that is waited for at each request,
    // everybody has fewer.
    const { evaluated, proof, composites } = database.transientTransaction(() => {
      budgets.take(limit, account, blinded.length);
      return evaluateBatch(key.keyShare, key.verificationShare, blinded);
    });
    // A signed answer whose proof does not verify costs the stake: a fault of this machine must not pass.
    verifyComposed(key.verificationShare, composites, proof);
    const answered: AnsweredBatch = { ...wanted, index: key.index, account, composites, proof };
    const signature = this.#options.sign(oprfAnswerMessage(answered));
    return { index: key.index, evaluated: evaluated.map(toHex), proof: toHex(proof), signature };
  }

  /** Members notice a little later than the chain that a key generation has ended. */
  #notServed(wanted: KeyId): TallystickError {
    const known = this.#options.keyStates.find(wanted);
    return new TallystickError(`this node does not evaluate with key ${keyName(wanted)}`, {
      code: "NOT_FOUND",
      check: "committee and generation",
      expected: [...this.#served.keys()].join(", ") || "none",
      received: keyName(wanted),
      retryable: known !== undefined && known.phase !== "failed",
    });
  }
}
