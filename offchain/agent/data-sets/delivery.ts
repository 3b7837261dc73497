/** Uploads the powers of a data set and its new segments to the provider that is to be audited on it. */

import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { FIRST_INDEX } from "../../core/audit/field.ts";
import { powersOfAlpha, powersOfBeta } from "../../core/audit/powers.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DataSetStatus, SegmentStatus } from "../../core/wire/data-sets.ts";
import type { Clock } from "../clock.ts";
import type { DataSetKeeper, PowersPart } from "../providers/storage-provider.ts";
import type { JournaledDataSet } from "./journal.ts";
import type { DataSetKeys } from "./keys.ts";
import type { PreparedSegment } from "./segment-tagger.ts";

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

export interface Delivery {
  readonly provider: DataSetKeeper;
  readonly set: JournaledDataSet;
  /** Another account has begun it, and only that one may. */
  readonly isGiven?: boolean;
  readonly keys: DataSetKeys;
  readonly clock: Clock;
  readonly onProgress: (progress: DeliveryProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What was delivered. */
export interface Delivered {
  /** Challenge block within an epoch, which the provider assigned. */
  readonly phase: number;
  /** Bytes of powers, manifests and tags that were sent now. */
  readonly sentBytes: number;
}

/**
 * Begins the set at the provider and has it check segments, ascending by index. Continues an earlier attempt.
 *
 * @throws TallystickError INVALID_PROOF when the provider finds powers or tags wrong; BAD_RESPONSE when it describes
 *   another set or segment; TIMED_OUT when it verifies no further slice for ten minutes
 */
export async function deliverSegments(delivery: Delivery, segments: readonly PreparedSegment[]): Promise<Delivered> {
  const { provider, set, keys, signal } = delivery;
  let phase = set.agreed?.audit.phase;
  const requireSame = (status: DataSetStatus) => {
    requireSameSet(provider.name, delivery, phase, status);
    phase = status.phase;
    return status;
  };
  let status = requireSame(
    delivery.isGiven === true
      ? await provider.dataSet(set.salt)
      : await provider.beginDataSet(set.salt, keys.publicKey, set.sliceElements),
  );
  let sentBytes = 0;
  const append = async (part: PowersPart, needed: number): Promise<void> => {
    const first = part === "powers-a" ? 0 : FIRST_INDEX;
    const compute = part === "powers-a" ? powersOfAlpha : powersOfBeta;
    const received = () => (part === "powers-a" ? status.powersABytes : status.powersBBytes);
    for (let have = received(); have < needed * G1_EXPANDED_BYTES; have = received()) {
      signal?.throwIfAborted();
      const position = wholePoints(provider.name, part, have);
      const count = Math.min(POINTS_IN_PART, needed - position);
      const points = await inTurns(delivery.clock, first + position, count, (from, n) =>
        compute(keys.secrets, from, n),
      );
      status = requireSame(await provider.appendPowers(set.salt, part, have, points));
      if (received() <= have) throw outOfStep(provider.name, part, received());
      sentBytes += points.length;
      tellUploading(delivery, received(), needed);
    }
  };
  if (segments.length > 0) await append("powers-a", set.sliceElements);
  for (const segment of segments) {
    await append("powers-b", segment.firstIndex + segment.sliceCount - 1);
    sentBytes += await deliverSegment(delivery, segment);
  }
  return { phase: status.phase, sentBytes };
}

/** @returns bytes that were sent */
async function deliverSegment(delivery: Delivery, segment: PreparedSegment): Promise<number> {
  const { provider, set, keys, clock, signal } = delivery;
  const requireSame = (status: SegmentStatus) => requireSameSegment(provider.name, set, segment, status);
  const { id, firstIndex, manifest } = segment;
  const seed = keys.commitmentSeed(id);
  let status = requireSame(await provider.beginSegment(set.salt, id, { firstIndex, seed, manifest }));
  let sentBytes = status.state === "open" && status.tagsBytes === 0 ? segment.manifest.length : 0;
  while (status.state === "open" && status.tagsBytes < status.tagsExpectedBytes) {
    signal?.throwIfAborted();
    const received = status.tagsBytes;
    const position = wholePoints(provider.name, "tags", received);
    const tags = await segment.readTags(position, Math.min(POINTS_IN_PART, segment.sliceCount - position));
    status = requireSame(await provider.appendTags(set.salt, segment.id, received, tags));
    if (status.tagsBytes <= received) throw outOfStep(provider.name, "tags", status.tagsBytes);
    sentBytes += tags.length;
    tellUploading(delivery, status.tagsBytes, segment.sliceCount);
  }
  let grown = { slices: status.checkedSlices, at: clock.now() };
  for (let asked = false; status.state === "open" || status.state === "verifying"; asked = true) {
    signal?.throwIfAborted();
    if (asked || status.state === "verifying") await clock.pause(ASK_AGAIN_MILLISECONDS, signal);
    status = requireSame(await provider.verifySegment(set.salt, segment.id, signal));
    // It must exceed all it reported before: a count that goes up and down is no progress.
    if (status.checkedSlices > grown.slices) grown = { slices: status.checkedSlices, at: clock.now() };
    const isDone = status.state === "verified" || status.state === "included";
    if (!isDone && clock.now() - grown.at >= STALLED_MILLISECONDS) {
      throw stalled(provider.name, grown.slices, status.sliceCount);
    }
    delivery.onProgress({ phase: "verifying", doneBytes: status.checkedSlices, totalBytes: status.sliceCount });
  }
  return sentBytes;
}

function tellUploading({ onProgress }: Delivery, doneBytes: number, points: number): void {
  onProgress({ phase: "uploading", doneBytes, totalBytes: points * G1_EXPANDED_BYTES });
}

function wholePoints(party: string, part: string, received: number): number {
  const points = received / G1_EXPANDED_BYTES;
  if (!Number.isInteger(points)) throw outOfStep(party, part, received);
  return points;
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

/**
 * Checks each answer about a set against what this device knows. A count of powers that were never sent is refused as
 * well: the provider would miss them when it has to prove.
 */
function requireSameSet(party: string, { set, keys }: Delivery, phase: number | undefined, told: DataSetStatus): void {
  const powers = [
    ["bytes of powers-a", told.powersABytes, set.sliceElements * G1_EXPANDED_BYTES],
    ["bytes of powers-b", told.powersBBytes, (set.nextIndex - FIRST_INDEX) * G1_EXPANDED_BYTES],
  ] as const;
  for (const [check, received, most] of powers) {
    if (received > most) throw otherThan(party, "data set", check, `at most ${most}`, String(received));
  }
  const own: [check: string, own: string | number, told: string | number][] = [
    ["salt", set.salt, told.salt],
    ["audit key hash", keys.keyHash, told.auditKeyHash],
    ["elements of a slice", set.sliceElements, told.sliceElements],
  ];
  if (phase !== undefined) own.push(["phase", phase, told.phase]);
  if (set.agreed !== undefined && told.id !== undefined) own.push(["id", set.agreed.id, told.id]);
  requireEqual(party, "data set", own);
}

function requireSameSegment(
  party: string,
  { signed }: JournaledDataSet,
  segment: PreparedSegment,
  told: SegmentStatus,
): SegmentStatus {
  requireEqual(party, "segment", [
    ["segment", segment.id, told.segment],
    ["first index", segment.firstIndex, told.firstIndex],
    ["slice count", segment.sliceCount, told.sliceCount],
    ["manifest hash", segment.manifestHash, told.manifestHash],
    ["commitments root", segment.commitmentsRoot, told.commitmentsRoot],
    ["bytes of tags", segment.sliceCount * G1_EXPANDED_BYTES, told.tagsExpectedBytes],
  ]);
  if (told.state === "included" && signed?.segments.includes(segment.id) !== true) {
    throw otherThan(party, "segment", "state", "not included: no state with it was signed", told.state);
  }
  return told;
}

function requireEqual(
  party: string,
  what: string,
  checks: readonly (readonly [check: string, own: string | number, told: string | number])[],
): void {
  for (const [check, own, told] of checks) {
    if (own !== told) throw otherThan(party, what, check, String(own), String(told));
  }
}

function otherThan(party: string, what: string, check: string, expected: string, received: string): TallystickError {
  return new TallystickError(`${party} describes another ${what} than the one prepared`, {
    code: "BAD_RESPONSE",
    party,
    check,
    expected,
    received,
  });
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
