/** Entry point of a verification worker: a thread that runs the steps of one verification after the other. */
import { parentPort } from "node:worker_threads";
import { auditReady } from "../../core/audit/ready.ts";
import { TallystickError } from "../../core/errors.ts";
import { type StepAnswer, type StepCall, VerificationSteps } from "./verification-steps.ts";

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

function refusalOf(call: StepCall): Pick<StepAnswer, "refused"> {
  try {
    perform(call);
    return {};
  } catch (error) {
    // Other errors are faults of this program: they end the worker, and the run with it.
    if (!(error instanceof TallystickError)) throw error;
    return { refused: { message: error.message, facts: error.toJSON() } };
  }
}

function answer(call: StepCall): void {
  const refusal = refusalOf(call);
  const memory = call.step === "addTags" ? call.slices.buffer : undefined;
  if (memory === undefined) parentPort?.postMessage(refusal satisfies StepAnswer);
  else parentPort?.postMessage({ ...refusal, memory } satisfies StepAnswer, [memory]);
}

await auditReady();
parentPort?.on("message", answer);
