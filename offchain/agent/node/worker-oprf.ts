/**
 * The OPRF of a put on worker threads. A batch stays on the thread that blinded it. Few threads do this, because each
 * loads the group for itself, in 20 MiB of memory; one of them serves about 400 objects a second.
 */
import {
  InvalidInputError,
  InvalidPointError,
  InvalidProofError,
  InvalidScalarError,
  TallystickError,
} from "../../core/errors.ts";
import type { EvaluationPart } from "../../core/oprf/suite.ts";
import { type BlindedInputs, localOprf, type OprfStage } from "../pipeline/oprf-stage.ts";
import { type OprfAnswer, type OprfCall, pack, type Refusal, unpack } from "./oprf-messages.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** Threads of the pool for each one that computes the OPRF. */
const THREADS_PER_OPRF = 4;
/** So many inputs are blinded, verified and combined sooner than a thread has loaded the group. */
const LOCAL_INPUTS = 16;

const REFUSALS = {
  INVALID_INPUT: InvalidInputError,
  INVALID_POINT: InvalidPointError,
  INVALID_PROOF: InvalidProofError,
  INVALID_SCALAR: InvalidScalarError,
} as const;

export class WorkerOprf implements OprfStage {
  readonly #pool: WorkerPool;
  readonly #threads: number;
  readonly #localInputs: number;
  readonly #local = localOprf();
  /** Erasures under way: threads end after them. */
  readonly #wiping = new Set<Promise<unknown>>();
  #inputs = 0;
  #batches = 0;

  /** @param localInputs the number of inputs that are computed in the caller's thread, before any other is used */
  constructor(pool: WorkerPool, localInputs: number = LOCAL_INPUTS) {
    this.#pool = pool;
    this.#localInputs = localInputs;
    this.#threads = Math.ceil(pool.limit / THREADS_PER_OPRF);
  }

  async blind(inputs: readonly Uint8Array[]): Promise<BlindedInputs> {
    this.#inputs += inputs.length;
    if (this.#isLocal()) return await this.#local.blind(inputs);
    const thread = this.#pool.leastBusy(this.#threads);
    const perform = async (call: OprfCall) => valuesOf(await this.#pool.perform(call, thread));
    const batch = this.#batches++;
    const blinded = await perform({ step: "blind", batch, inputs: pack(inputs) });
    let isWiped = false;
    return {
      blinded,
      finalize: async (parts: readonly EvaluationPart[], threshold: number) => {
        const packed = parts.map(({ index, evaluated }) => ({ index, evaluated: pack(evaluated) }));
        const outputs = await perform({ step: "finalize", batch, parts: packed, threshold });
        // The thread has erased the blinds.
        isWiped = true;
        return outputs;
      },
      wipe: () => {
        if (isWiped) return;
        isWiped = true;
        const wiping = perform({ step: "wipe", batch }).catch(() => undefined);
        this.#wiping.add(wiping);
        void wiping.then(() => this.#wiping.delete(wiping));
      },
    };
  }

  async verify(
    verificationShare: Uint8Array,
    blinded: readonly Uint8Array[],
    evaluated: readonly Uint8Array[],
    proof: Uint8Array,
  ): Promise<void> {
    if (this.#isLocal()) return await this.#local.verify(verificationShare, blinded, evaluated, proof);
    const thread = this.#pool.leastBusy(this.#threads);
    const [sentBlinded, sentEvaluated] = [pack(blinded), pack(evaluated)];
    const call = { step: "verify", verificationShare, blinded: sentBlinded, evaluated: sentEvaluated, proof } as const;
    valuesOf(await this.#pool.perform(call, thread));
  }

  /** Resolves when the blinds of all batches that were given up are erased. */
  async settle(): Promise<void> {
    await Promise.all(this.#wiping);
  }

  #isLocal(): boolean {
    return this.#inputs <= this.#localInputs;
  }
}

/** @throws what the suite threw in the thread */
function valuesOf(answer: OprfAnswer): Uint8Array[] {
  if ("values" in answer) return unpack(answer.values);
  throw errorOf(answer.refusal);
}

function errorOf({ message, facts }: Refusal): TallystickError {
  const { code, ...others } = facts;
  const Named = REFUSALS[code as keyof typeof REFUSALS];
  return Named === undefined ? new TallystickError(message, facts) : new Named(message, others);
}
