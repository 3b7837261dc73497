/**
 * Worker thread of `worker-pool.ts`: frames, seals and opens what it is given, in place, and gives the memory back;
 * computes the OPRF, whose code is loaded when it is first needed.
 */
import { parentPort } from "node:worker_threads";
import { sha256 } from "#primitives";
import { sealChunkInPlace } from "../../core/crypto/encryption.ts";
import { sealBundleInPlace } from "../../core/crypto/segments.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { TallystickError } from "../../core/errors.ts";
import { openChunkObjectInPlace } from "../../core/recipe/chunk-object.ts";
import { FRAME_HEAD_BYTES, loadFramer, readFrame } from "../../core/recipe/frame.ts";
import { packInPlace } from "../../core/revocable/package.ts";
import { macOf } from "../pipeline/written-mac.ts";
import type { AnswerMessage, CallMessage, DataCall, DataResult, OpenCall } from "./worker-pool.ts";

/** What a call does; digests are of the frame, or of the sealed object. */
async function perform(call: DataCall): Promise<readonly DataResult[]> {
  if (call.step === "open") return [await open(call)];
  if (call.step === "seal") {
    const sealed = sealChunkInPlace(call.key, new Uint8Array(call.memory), call.frameBytes);
    return [{ lengthBytes: sealed.length, digest: sha256(sealed) }];
  }
  if (call.step === "pack") {
    const { object, digest, stub } = packInPlace(call.key, new Uint8Array(call.memory), call.frameBytes);
    return [{ lengthBytes: object.length, digest, stub }];
  }
  if (call.step === "seal bundle") {
    const sealed = new Uint8Array(call.memory, 0, call.bundleBytes);
    sealBundleInPlace(call.key, sealed, call.frameBytes);
    return [{ lengthBytes: sealed.length, digest: sha256(sealed) }];
  }
  const compress = await loadFramer();
  return call.stored.map(({ memory, lengthBytes }) => {
    const frame = compress(new Uint8Array(memory, 0, lengthBytes));
    return { lengthBytes: frame.length, digest: sha256(frame) };
  });
}

/** The plaintext goes where that of a stored frame is, whatever the frame. */
async function open({ memory, sealedBytes, ref, macKey }: OpenCall): Promise<DataResult> {
  const sealed = new Uint8Array(memory, 0, sealedBytes);
  const digest = sha256(sealed);
  const id = contentIdFromDigest(digest);
  if (id !== ref.id) return { lengthBytes: 0, digest };
  try {
    const frame = openChunkObjectInPlace(ref, sealed, id);
    const plaintext = await readFrame(frame, ref.sizeBytes, `chunk ${id}`);
    const place = new Uint8Array(memory, FRAME_HEAD_BYTES, plaintext.length);
    if (plaintext.buffer !== memory) place.set(plaintext);
    const result = { lengthBytes: plaintext.length, digest };
    return macKey === undefined ? result : { ...result, mac: macOf(macKey, id, place) };
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    const { message, code, check, expected, received, hint } = error;
    return { lengthBytes: 0, digest, failure: { message, code, check, expected, received, hint } };
  }
}

const DATA_STEPS: ReadonlySet<string> = new Set(["frame", "seal", "pack", "seal bundle", "open"]);

function isDataCall(work: CallMessage["work"]): work is DataCall {
  return DATA_STEPS.has(work.step);
}

async function answer({ call, work }: CallMessage): Promise<void> {
  let message: AnswerMessage;
  let moved: ArrayBuffer[] = [];
  try {
    if (isDataCall(work)) {
      const memory = work.step === "frame" ? work.stored.map((stored) => stored.memory) : [work.memory];
      message = { call, answer: { results: await perform(work), memory } };
      moved = memory;
    } else {
      const { performOprf } = await import("./oprf-calls.ts");
      const given = await performOprf(work);
      message = { call, answer: given };
      if ("values" in given) moved = [given.values.bytes.buffer];
    }
  } catch (error) {
    message = { call, failure: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(message, moved);
}

parentPort?.on("message", (call: CallMessage) => void answer(call));
