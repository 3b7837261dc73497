/** Entry point of a verification worker: a thread that runs the steps of one verification after the other. */
import { parentPort } from "node:worker_threads";
import { auditReady } from "../../core/audit/ready.ts";
import { TallystickError } from "../../core/errors.ts";
import { type StepAnswer, type StepCall, VerificationSteps } from "./verification-steps.ts";

let steps: VerificationSteps | undefined;

function perform(call: StepCall): Uint8Array | undefined {
  if (call.step === "begin") {
    steps = new VerificationSteps(call.key, call.lastVerifiedB);
    return undefined;
  }
  if (steps === undefined) throw new Error("the first step is `begin`");
  switch (call.step) {
    case "checkPowersA":
      return steps.checkPowersA(call.bytes);
    case "checkReusedPowersA":
      return void steps.checkReusedPowersA(call.bytes);
    case "addPowersB":
      return steps.addPowersB(call.bytes);
    case "finishPowersB":
      return void steps.finishPowersB();
    case "beginTags":
      return void steps.beginTags(call.bytes);
    case "addTags":
      return void steps.addTags(call.slices, call.powersB, call.tags);
    case "finishTags":
      return void steps.finishTags();
  }
}

function answer(call: StepCall): StepAnswer {
  try {
    return { bytes: perform(call) };
  } catch (error) {
    // Other errors are faults of this program: they end the worker, and the run with it.
    if (!(error instanceof TallystickError)) throw error;
    return { refused: { message: error.message, facts: error.toJSON() } };
  }
}

await auditReady();
parentPort?.on("message", (call: StepCall) => parentPort?.postMessage(answer(call)));
