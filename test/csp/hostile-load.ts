/** What one account can send to stall a provider, and how long another account's requests take meanwhile. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { randomBytes } from "#primitives";
import { digestOf } from "../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { type AuditedSegment, segmentBody } from "./audited-data.ts";
import type { Device } from "./data-sets/device.ts";
import { randomChunk, type TestChunk } from "./provider-fixture.ts";
import type { Answer } from "./provider-process.ts";

const ENTRY_BYTES = 36;

/** The body of a segment whose manifest names one object again and again. */
export function repeatingBody(object: TestChunk, entries: number): Uint8Array {
  const manifest = new Uint8Array(5 + entries * ENTRY_BYTES);
  const view = new DataView(manifest.buffer);
  manifest[0] = 1;
  view.setUint32(1, entries);
  const digest = digestOf(object.id);
  for (let offset = 5; offset < manifest.length; offset += ENTRY_BYTES) {
    manifest.set(digest, offset);
    view.setUint32(offset + 32, object.bytes.length);
  }
  return segmentBody(manifest);
}

/** Milliseconds that the requests of another account took while something else happened. */
export async function probedDuring<T>(
  url: string,
  token: string,
  work: () => Promise<T>,
): Promise<{ result: T; times: number[] }> {
  const program = join(import.meta.dirname, "probe-process.ts");
  const probing = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, url, token]);
  const output = text(probing.stdout);
  try {
    // The first answer has come: the process is warm.
    await once(probing.stderr, "data");
    const result = await work();
    probing.stdin.end();
    return { result, times: JSON.parse(await output) as number[] };
  } finally {
    probing.kill();
  }
}

/** Begins segments with one body under new names, all at the same time. @param device with a data set that is begun */
export function openMany(device: Device, body: Uint8Array, count: number): Promise<Answer[]> {
  const open = () => device.beginSegment({ name: toHex(randomBytes(32)), firstIndex: device.nextIndex, body });
  return Promise.all(Array.from({ length: count }, open));
}

/** A segment over chunks that the account has stored, whose tags are in another order: of the subgroup, all wrong. */
export async function storedWithWrongTags(device: Device, chunkCount: number): Promise<AuditedSegment> {
  const chunks = Array.from({ length: chunkCount }, () => randomChunk(2_097_152));
  for (const chunk of chunks) await device.client.upload(chunk);
  const segment = device.segmentOf(chunks);
  const { tags } = segment;
  return { ...segment, tags: new Uint8Array([...tags.subarray(96), ...tags.subarray(0, 96)]) };
}

/** Has a segment verified: all the work, and the answer at the end. */
export async function verifyAll(device: Device, segment: AuditedSegment): Promise<Answer> {
  await device.deliver(segment);
  return device.verify(segment);
}

export const longest = (times: readonly number[]): number => times.reduce((most, time) => Math.max(most, time), 0);
