/** Entry point of an audit thread, which runs one task at a time: the steps of a verification, or a proof. */
import { parentPort } from "node:worker_threads";
import { proveAudit, type SliceSource } from "../../core/audit/prover.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { verifyPublic } from "../../core/audit/verifier.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  type AskedRead,
  type ProveCall,
  type Proved,
  READ_FAILED,
  type ReadCall,
  type Refused,
  type ThreadCall,
} from "./thread-messages.ts";
import { type ErrorFacts, type StepAnswer, type StepCall, VerificationSteps } from "./verification-steps.ts";

let steps: VerificationSteps | undefined;

function perform(call: StepCall): void {
  if (call.step === "begin") {
    steps = new VerificationSteps(call.key, call.lastVerifiedB, call.sliceElements);
    return;
  }
  if (steps === undefined) throw new Error("the first step is `begin`");
  switch (call.step) {
    case "checkPowersA":
      steps.checkPowersA(call.bytes);
      break;
    case "addPowersB":
      steps.addPowersB(call.bytes);
      break;
    case "finishPowersB":
      steps.finishPowersB();
      break;
    case "beginTags":
      steps.beginTags(call.bytes);
      break;
    case "addTags":
      steps.addTags(call.slices, call.powersB, call.tags);
      break;
    case "finishTags":
      steps.finishTags();
      break;
  }
}

/** Other errors are faults of this program: they end the thread, and its task with it. */
function refusalOf(error: unknown): { readonly refused: ErrorFacts } {
  if (!(error instanceof TallystickError)) throw error;
  return { refused: { message: error.message, facts: error.toJSON() } };
}

function verify(call: StepCall): void {
  let answer: StepAnswer = {};
  try {
    perform(call);
  } catch (error) {
    answer = refusalOf(error);
  }
  const memory = call.step === "addTags" ? call.slices.buffer : undefined;
  if (memory === undefined) parentPort?.postMessage(answer);
  else parentPort?.postMessage({ ...answer, memory } satisfies StepAnswer, [memory]);
}

/** Reads that the other side has not answered yet. */
const reads = new Map<number, { resolve(bytes: Uint8Array): void; reject(cause: unknown): void }>();
let readNumber = 0;

function read(what: AskedRead["what"], first: number, count: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    readNumber++;
    reads.set(readNumber, { resolve, reject });
    parentPort?.postMessage({ read: readNumber, what, first, count } satisfies AskedRead);
  });
}

function answered({ read: number, bytes }: ReadCall): void {
  const waiting = reads.get(number);
  reads.delete(number);
  if (bytes !== undefined) waiting?.resolve(bytes);
  // The other side knows why.
  else waiting?.reject(READ_FAILED);
}

async function prove({ challenge, sliceElements, powersA, key, isVerified }: ProveCall): Promise<void> {
  const source: SliceSource = {
    sliceElements,
    powersA,
    readSlice: (index) => read("slice", index, 1),
    readTag: (index) => read("tag", index, 1),
    readPowersB: (first, count) => read("powersB", first, count),
  };
  let answer: Proved | Refused;
  try {
    const proof = await proveAudit(challenge, source, key === undefined ? {} : { key });
    if (isVerified && key !== undefined) verifyPublic(key, challenge, proof);
    answer = { proof };
  } catch (error) {
    answer = error === READ_FAILED ? { refused: undefined } : refusalOf(error);
  }
  parentPort?.postMessage(answer);
}

await auditReady();
parentPort?.on("message", (call: ThreadCall) => {
  if (call.step === "prove") void prove(call);
  else if (call.step === "read") answered(call);
  else verify(call);
});
