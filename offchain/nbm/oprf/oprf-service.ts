/**
 * Threshold OPRF evaluation: the node's part, with a DLEQ proof, for an account that has budget left. It runs on the
 * main thread: a full batch takes some hundred milliseconds, and budget and evaluation stay one atomic step.
 */

import { type GenerationId, generationName } from "../../core/committee/key-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { OprfAnswerMessage } from "../../core/identity/typed-messages.ts";
import { evaluateBatch, verifyComposed } from "../../core/oprf/ristretto255.ts";
import { type AnsweredBatch, oprfAnswerMessage } from "../../core/oprf/signed-answer.ts";
import type { EvaluateAnswer, EvaluateRequest } from "../../core/wire/nbm.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { GenerationStore } from "../generations/generation-store.ts";
import { type Budgets, nodeShareOfBudget } from "./budget.ts";

/** A generation whose share of the OPRF key this node may use. */
export interface ServedKey extends GenerationId {
  /** Of the public keys that the chain activated. */
  readonly keyMaterialHash: string;
  readonly index: number;
  readonly size: number;
  readonly threshold: number;
  readonly keyShare: Uint8Array;
  readonly verificationShare: Uint8Array;
}

export interface OprfServiceOptions {
  readonly database: Database;
  readonly budgets: Budgets;
  readonly generations: GenerationStore;
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
    this.#served.set(generationName(key), key);
  }

  /** Forgets the share of a generation that was replaced. */
  stop(id: GenerationId): void {
    this.#served.get(generationName(id))?.keyShare.fill(0);
    this.#served.delete(generationName(id));
  }

  /**
   * Evaluates a batch of blinded elements for an account.
   *
   * @param account whose budget it is
   * @param asker who is answered: the account, or a delegate of it
   * @throws TallystickError NOT_FOUND for a generation this node does not serve, retryable when it will soon;
   * RATE_LIMITED; InvalidPointError for anything but canonical, non-identity elements. Nothing is charged then.
   */
  evaluate(account: string, request: EvaluateRequest, asker: string = account): EvaluateAnswer {
    const wanted = { committeeId: BigInt(request.committeeId), generation: request.generation };
    const key = this.#served.get(generationName(wanted));
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
    const { index, keyMaterialHash } = key;
    const answered: AnsweredBatch = { ...wanted, keyMaterialHash, index, account: asker, composites, proof };
    const signature = this.#options.sign(oprfAnswerMessage(answered));
    return { index, evaluated: evaluated.map(toHex), proof: toHex(proof), signature };
  }

  /** Members notice a little later than the chain that a generation is active. */
  #notServed(wanted: GenerationId): TallystickError {
    const known = this.#options.generations.find(wanted);
    return new TallystickError(`this node does not evaluate with generation ${generationName(wanted)}`, {
      code: "NOT_FOUND",
      check: "committee and generation",
      expected: [...this.#served.keys()].join(", ") || "none",
      received: generationName(wanted),
      retryable: known !== undefined && known.phase !== "failed",
    });
  }
}
