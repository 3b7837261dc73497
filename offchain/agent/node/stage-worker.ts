/** Worker thread of `worker-stages.ts`: frames and seals what it is given, in place, and gives the memory back. */
import { parentPort } from "node:worker_threads";
import { sha256 } from "#primitives";
import { sealChunkInPlace } from "../../core/crypto/encryption.ts";
import { loadFramer } from "../../core/recipe/frame.ts";
import type { StageAnswer, StageCall } from "./worker-stages.ts";

/** What a call does; digests are of the frame, or of the sealed object. */
async function perform(call: StageCall): Promise<StageAnswer["results"]> {
  if (call.step === "seal") {
    const sealed = sealChunkInPlace(call.key, new Uint8Array(call.memory), call.frameBytes);
    return [{ lengthBytes: sealed.length, digest: sha256(sealed) }];
  }
  const compress = await loadFramer();
  return call.stored.map(({ memory, lengthBytes }) => {
    const frame = compress(new Uint8Array(memory, 0, lengthBytes));
    return { lengthBytes: frame.length, digest: sha256(frame) };
  });
}

async function answer(call: StageCall): Promise<void> {
  const memory = call.step === "seal" ? [call.memory] : call.stored.map((stored) => stored.memory);
  let message: StageAnswer;
  try {
    message = { call: call.call, results: await perform(call), memory };
  } catch (error) {
    message = { call: call.call, results: [], memory, failure: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(message, memory);
}

parentPort?.on("message", (call: StageCall) => void answer(call));
