/** What one account can send to stall a provider, and how long another account's requests take meanwhile. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { randomBytes } from "#primitives";
import type { AuditPublicKey } from "../../offchain/core/audit/keys.ts";
import { digestOf } from "../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { preparationBody } from "../../offchain/core/wire/preparation-body.ts";
import { AuditedData } from "./audited-data.ts";
import { randomChunk, type TestChunk } from "./provider-fixture.ts";
import type { Answer, ProviderClient } from "./provider-process.ts";

const ENTRY_BYTES = 36;

/** The body of a preparation whose manifest names one object again and again. */
export function repeatingBody(key: AuditPublicKey, object: TestChunk, entries: number): Uint8Array {
  const manifest = new Uint8Array(5 + entries * ENTRY_BYTES);
  const view = new DataView(manifest.buffer);
  manifest[0] = 1;
  view.setUint32(1, entries);
  const digest = digestOf(object.id);
  for (let offset = 5; offset < manifest.length; offset += ENTRY_BYTES) {
    manifest.set(digest, offset);
    view.setUint32(offset + 32, object.bytes.length);
  }
  return new Uint8Array(Buffer.concat(preparationBody(manifest, key)));
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

/** Opens preparations with one body under new salts, all at the same time. */
export function openMany(client: ProviderClient, body: Uint8Array, count: number): Promise<Answer[]> {
  const open = () => client.request("PUT", `/v1/preparations/${toHex(randomBytes(32))}`, { bytes: body });
  return Promise.all(Array.from({ length: count }, open));
}

/** A data set that the account has stored, and whose tags are in another order: points of the subgroup, all wrong. */
export async function storedWithWrongTags(client: ProviderClient, chunkCount: number): Promise<AuditedData> {
  const chunks = Array.from({ length: chunkCount }, () => randomChunk(2_097_152));
  for (const chunk of chunks) await client.upload(chunk);
  const data = new AuditedData(randomBytes(32), chunks);
  data.tags.set(new Uint8Array([...data.tags.subarray(96), ...data.tags.subarray(0, 96)]));
  return data;
}

/** Has a data set verified: all the work, and the answer at the end. */
export async function verifyAll(client: ProviderClient, data: AuditedData): Promise<Answer> {
  const path = `/v1/preparations/${data.saltHex}`;
  await client.request("PUT", path, { bytes: data.body });
  for (const [part, bytes] of [
    ["powers-a", data.powersA],
    ["powers-b", data.powersB],
    ["tags", data.tags],
  ] as const) {
    await client.request("PUT", `${path}/${part}?offset=0`, { bytes });
  }
  for (;;) {
    const answer = await client.request("POST", `${path}/verify`);
    if (answer.status !== 202) return answer;
  }
}

export const longest = (times: readonly number[]): number => times.reduce((most, time) => Math.max(most, time), 0);
