/** Uploads a prepared data set to the provider that is to be audited on it. */

import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { DEFAULT_SLICE_ELEMENTS, FIRST_INDEX } from "../../core/audit/field.ts";
import { decodeManifest, sliceLayout } from "../../core/audit/manifest.ts";
import { powersOfAlpha, powersOfBeta } from "../../core/audit/powers.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { PreparationStatus } from "../../core/wire/csp.ts";
import type { Clock } from "../clock.ts";
import type { PreparationPart, PreparationReceiver } from "../providers/storage-provider.ts";
import type { AgreementKeys } from "./agreement-keys.ts";
import type { PreparedDataSet } from "./data-set-tagger.ts";

/** Points computed before other work gets a turn, and points in one request. */
const POINTS_AT_ONCE = 256;
const POINTS_IN_PART = 16_384;
const ASK_AGAIN_MILLISECONDS = 500;
/** A provider that verifies no further slice for so long is given up: the home folder is locked while it is asked. */
const STALLED_MILLISECONDS = 10 * 60_000;

export interface DeliveryProgress {
  readonly phase: "uploading" | "verifying";
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/**
 * Uploads manifest, powers and tags to the provider and has it check them. Continues an earlier attempt.
 *
 * @returns what the provider has verified: it agrees with what was prepared here.
 * @throws TallystickError INVALID_PROOF when the provider finds powers or tags wrong; BAD_RESPONSE when it describes
 *   another data set; TIMED_OUT when it verifies no further slice for ten minutes
 */
export async function deliverPreparation(
  provider: PreparationReceiver,
  prepared: PreparedDataSet,
  keys: AgreementKeys,
  onProgress: (progress: DeliveryProgress) => void,
  clock: Clock,
  signal?: AbortSignal,
): Promise<PreparationStatus> {
  const salt = fromHex(prepared.salt);
  const requireSame = sameDataSet(provider.name, prepared, keys);
  let status = requireSame(await provider.openPreparation(salt, prepared.manifest, keys.publicKey));
  const sources: Record<PreparationPart, PointSource> = {
    "powers-a": async (first, count) =>
      await inTurns(clock, first, count, (from, n) => powersOfAlpha(keys.secrets, from, n)),
    "powers-b": async (first, count) =>
      await inTurns(clock, first, count, (from, n) => powersOfBeta(keys.secrets, FIRST_INDEX + from, n)),
    tags: async (first, count) => await readPoints(prepared, first, count),
  };
  for (const part of ["powers-a", "powers-b", "tags"] as const) {
    const append = async (offset: number, bytes: Uint8Array) =>
      requireSame(await provider.appendPreparation(salt, part, offset, bytes));
    status = await deliverPart(provider.name, part, sources[part], append, status, onProgress, signal);
  }
  let grown = { slices: status.checkedSlices, at: clock.now() };
  for (let asked = false; status.state === "open" || status.state === "verifying"; asked = true) {
    signal?.throwIfAborted();
    if (asked || status.state === "verifying") await clock.pause(ASK_AGAIN_MILLISECONDS, signal);
    status = requireSame(await provider.verifyPreparation(salt, signal));
    // It must exceed all it reported before: a count that goes up and down is no progress.
    if (status.checkedSlices > grown.slices) grown = { slices: status.checkedSlices, at: clock.now() };
    if (status.state !== "verified" && clock.now() - grown.at >= STALLED_MILLISECONDS) {
      throw stalled(provider.name, grown.slices, status.sliceCount);
    }
    onProgress({ phase: "verifying", doneBytes: status.checkedSlices, totalBytes: status.sliceCount });
  }
  return status;
}

/** `count` points from position `first` of a stream on, 96 bytes each. */
type PointSource = (first: number, count: number) => Promise<Uint8Array>;

const STREAM_OF = { "powers-a": "powersA", "powers-b": "powersB", tags: "tags" } as const;

async function deliverPart(
  party: string,
  part: PreparationPart,
  source: PointSource,
  append: (offset: number, bytes: Uint8Array) => Promise<PreparationStatus>,
  start: PreparationStatus,
  onProgress: (progress: DeliveryProgress) => void,
  signal: AbortSignal | undefined,
): Promise<PreparationStatus> {
  const stream = STREAM_OF[part];
  let status = start;
  while (status.state === "open" && status.received[stream] < status.expected[stream]) {
    signal?.throwIfAborted();
    const received = status.received[stream];
    const first = received / G1_EXPANDED_BYTES;
    if (!Number.isInteger(first)) throw outOfStep(party, part, received);
    const count = Math.min(POINTS_IN_PART, status.expected[stream] / G1_EXPANDED_BYTES - first);
    const next = await append(received, await source(first, count));
    if (next.received[stream] <= received) throw outOfStep(party, part, next.received[stream]);
    status = next;
    const { expected } = status;
    onProgress({ phase: "uploading", doneBytes: sumOf(status.received), totalBytes: sumOf(expected) });
  }
  return status;
}

function sumOf(bytes: PreparationStatus["received"]): number {
  return bytes.powersA + bytes.powersB + bytes.tags;
}

/** Computes points in small groups and lets timers and sockets run in between. */
async function inTurns(
  clock: Clock,
  first: number,
  count: number,
  compute: (first: number, count: number) => Uint8Array,
): Promise<Uint8Array> {
  const points = new Uint8Array(count * G1_EXPANDED_BYTES);
  for (let done = 0; done < count; done += POINTS_AT_ONCE) {
    points.set(compute(first + done, Math.min(POINTS_AT_ONCE, count - done)), done * G1_EXPANDED_BYTES);
    await clock.pause(0);
  }
  return points;
}

async function readPoints(prepared: PreparedDataSet, first: number, count: number): Promise<Uint8Array> {
  const lengthBytes = count * G1_EXPANDED_BYTES;
  const points = await prepared.readTags(first * G1_EXPANDED_BYTES, lengthBytes);
  if (points.length === lengthBytes) return points;
  throw new TallystickError("the prepared tags on this device are incomplete", {
    code: "DISK_FAILED",
    party: "you",
    check: "length of the tags",
    expected: `${lengthBytes} bytes`,
    received: `${points.length} bytes`,
    hint: "put the files again",
  });
}

/**
 * Checks each answer of a provider about a preparation against what this agent prepared, sizes included: a provider
 * could otherwise make it upload without end.
 * @throws TallystickError BAD_RESPONSE
 */
function sameDataSet(
  party: string,
  prepared: PreparedDataSet,
  keys: AgreementKeys,
): (status: PreparationStatus) => PreparationStatus {
  const { sliceCount } = sliceLayout(decodeManifest(prepared.manifest), DEFAULT_SLICE_ELEMENTS);
  const perSlice = String(sliceCount * G1_EXPANDED_BYTES);
  const own = {
    "manifest hash": prepared.manifestHash,
    "audit key hash": keys.keyHash,
    "first index": String(FIRST_INDEX),
    "slice count": String(sliceCount),
    "bytes of powers-a": String(DEFAULT_SLICE_ELEMENTS * G1_EXPANDED_BYTES),
    "bytes of powers-b": perSlice,
    "bytes of tags": perSlice,
  };
  return (status) => {
    const told: Record<keyof typeof own, string> = {
      "manifest hash": status.manifestHash,
      "audit key hash": status.auditKeyHash,
      "first index": String(status.firstIndex),
      "slice count": String(status.sliceCount),
      "bytes of powers-a": String(status.expected.powersA),
      "bytes of powers-b": String(status.expected.powersB),
      "bytes of tags": String(status.expected.tags),
    };
    for (const check of Object.keys(own) as (keyof typeof own)[]) {
      if (own[check] === told[check]) continue;
      throw new TallystickError(`${party} describes another data set than the one prepared`, {
        code: "BAD_RESPONSE",
        party,
        check,
        expected: own[check],
        received: told[check],
      });
    }
    return status;
  };
}

function stalled(party: string, checked: number, slices: number): TallystickError {
  return new TallystickError(`${party} does not finish verifying the tags`, {
    code: "TIMED_OUT",
    party,
    check: "verified slices",
    expected: `more than ${checked} of ${slices} within ${STALLED_MILLISECONDS / 60_000} minutes`,
    received: `${checked} of ${slices}`,
    hint: "run the command again later, it continues where this one stopped, or choose another provider",
    retryable: true,
  });
}

function outOfStep(party: string, part: string, received: number): TallystickError {
  return new TallystickError(`${party} lost count of the ${part} it received`, {
    code: "BAD_RESPONSE",
    party,
    check: `bytes of ${part} received`,
    received: `${received} bytes`,
  });
}
