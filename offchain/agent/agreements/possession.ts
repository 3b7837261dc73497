/**
 * Possession tags of a data set, made in the pass that stores it (or later, from the provider's own copy), and brought to the
 * provider. Tags and manifest wait in the home folder until the agreement is accepted, so that a run after a crash uses the
 * same ones: under one salt, a slice index is tagged for one data set, ever.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate as breathe, setTimeout as pause } from "node:timers/promises";
import { randomBytes } from "#primitives";
import { ELEMENTS_PER_SLICE } from "../../core/audit/field.ts";
import {
  type AuditPublicKey,
  type AuditSecrets,
  auditKeyHash,
  auditPublicKey,
  deriveAgreementSecret,
  deriveAuditSecrets,
  keyForChain,
} from "../../core/audit/keys.ts";
import {
  decodeManifest,
  encodeManifest,
  type ManifestChunk,
  manifestHash,
  sliceLayout,
} from "../../core/audit/manifest.ts";
import { powersOfAlpha, powersOfBeta } from "../../core/audit/powers.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { SliceTagger } from "../../core/audit/tags.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { PreparationStatus } from "../../core/wire/csp.ts";
import { asDiskError } from "../../store/disk/disk-errors.ts";
import { replaceDurably, syncFolder } from "../../store/disk/durable-file.ts";
import type { CspClient, PreparationPart } from "../providers/csp-client.ts";

/** Every agreement has its own x, so its slices are numbered from 1. */
export const FIRST_INDEX = 1;
const POINT_BYTES = 48;
/** Points computed before other work gets a turn, and points in one request. */
const POINTS_AT_ONCE = 256;
const POINTS_IN_PART = 16_384;
const ASK_AGAIN_MILLISECONDS = 500;
/** A preparation that no agreement refers to is left over from a crash, if it is older than any put may take. */
const ABANDONED_SECONDS = 7 * 86_400;

/** What the owner keeps secret about an agreement, and what the provider and the chain get to know. */
export interface AgreementKeys {
  readonly secrets: AuditSecrets;
  readonly x: bigint;
  readonly publicKey: AuditPublicKey;
  /** keccak256(X ‖ XA ‖ Bt), 0x hex. */
  readonly keyHash: string;
}

/**
 * Loads what audits compute with, if need be: those who only get files do without.
 * @param salt 32 bytes, 0x hex
 */
export async function agreementKeys(auditSeed: Uint8Array, salt: string): Promise<AgreementKeys> {
  await auditReady();
  const secrets = deriveAuditSecrets(auditSeed);
  const x = deriveAgreementSecret(auditSeed, fromHex(salt, 32, "salt"));
  const publicKey = auditPublicKey(secrets, x);
  return { secrets, x, publicKey, keyHash: toHex(auditKeyHash(publicKey)) };
}

/** A data set with its tags, in the home folder. */
export interface PreparedDataSet {
  /** 32 bytes, 0x hex. */
  readonly salt: string;
  readonly manifestHash: string;
  /** Encoded manifest. */
  readonly manifest: Uint8Array;
  readonly tagsFile: string;
}

/** Prepared data sets of a home folder. */
export class Preparations {
  readonly #folder: string;

  constructor(homeDir: string) {
    this.#folder = join(homeDir, "preparations");
  }

  /**
   * Starts tagging under a fresh salt, after clearing away what crashed runs have left behind.
   *
   * @param neededSalts preparations that agreements still refer to.
   * @throws DiskFullError, DiskFailedError
   */
  async begin(auditSeed: Uint8Array, neededSalts: readonly string[]): Promise<DataSetTagger> {
    this.#removeAbandoned(new Set(neededSalts));
    const salt = toHex(randomBytes(32));
    return new DataSetTagger(this.#pathOf(salt), salt, await agreementKeys(auditSeed, salt));
  }

  /** A finished preparation; undefined when there is none (any more). */
  find(salt: string): PreparedDataSet | undefined {
    const manifestFile = join(this.#pathOf(salt), "manifest");
    if (!existsSync(manifestFile)) return undefined;
    const manifest = new Uint8Array(readFileSync(manifestFile));
    const hash = toHex(manifestHash(decodeManifest(manifest)));
    return { salt, manifest, manifestHash: hash, tagsFile: join(this.#pathOf(salt), "tags") };
  }

  remove(salt: string): void {
    rmSync(this.#pathOf(salt), { recursive: true, force: true });
  }

  #removeAbandoned(needed: ReadonlySet<string>): void {
    if (!existsSync(this.#folder)) return;
    for (const name of readdirSync(this.#folder)) {
      // Another run may be clearing away as well.
      const touchedAt = statSync(join(this.#folder, name), { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
      if ((Date.now() - touchedAt) / 1000 > ABANDONED_SECONDS && !needed.has(name)) this.remove(name);
    }
  }

  #pathOf(salt: string): string {
    return join(this.#folder, salt);
  }
}

/** Tags objects as they come and writes tags to disk; keeps the manifest, 36 bytes per object once encoded. */
export class DataSetTagger {
  readonly salt: string;
  readonly #folder: string;
  readonly #tagger: SliceTagger;
  readonly #chunks: ManifestChunk[] = [];
  #tagsFile: number | undefined;
  #finished = false;

  constructor(folder: string, salt: string, keys: AgreementKeys) {
    this.salt = salt;
    this.#folder = folder;
    this.#tagger = new SliceTagger(keys.secrets, keys.x, FIRST_INDEX);
    this.#onDisk(() => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      this.#tagsFile = openSync(join(folder, "tags"), "w", 0o600);
    });
  }

  /** Takes the next object of the data set. */
  add(object: SealedObject): void {
    this.#tagger.push(object.sealed);
    this.#chunks.push({ id: object.id, sizeBytes: object.sealed.length });
    this.#append(this.#tagger.drain());
  }

  /** Makes the preparation durable. */
  finish(): PreparedDataSet {
    this.#append(this.#tagger.finish());
    const manifest = encodeManifest({ version: 1, chunks: this.#chunks });
    const hash = toHex(manifestHash({ version: 1, chunks: this.#chunks }));
    this.#onDisk(() => {
      if (this.#tagsFile !== undefined) fsyncSync(this.#tagsFile);
      this.close();
      // The manifest's name is what makes the preparation count, so it comes last.
      replaceDurably(join(this.#folder, "manifest"), manifest);
      syncFolder(dirname(this.#folder));
    });
    this.#finished = true;
    return { salt: this.salt, manifest, manifestHash: hash, tagsFile: join(this.#folder, "tags") };
  }

  /** Lets go of the file. */
  close(): void {
    if (this.#tagsFile !== undefined) closeSync(this.#tagsFile);
    this.#tagsFile = undefined;
  }

  /** Removes everything, unless it is finished and an agreement may need it: there will be none with this salt. */
  discard(): void {
    this.close();
    if (!this.#finished) rmSync(this.#folder, { recursive: true, force: true });
  }

  #append(tags: Uint8Array): void {
    const file = this.#tagsFile;
    if (file === undefined || tags.length === 0) return;
    this.#onDisk(() => {
      for (let written = 0; written < tags.length; ) written += writeSync(file, tags, written);
    });
  }

  #onDisk(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw asDiskError(error, `preparation ${this.#folder}`);
    }
  }
}

export interface DeliveryProgress {
  readonly phase: "uploading" | "verifying";
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/**
 * Brings manifest, powers and tags to the provider and has it check them. Goes on where an earlier attempt stopped.
 *
 * @returns what the provider has verified: it agrees with our own account of the data set.
 * @throws TallystickError INVALID_PROOF when the provider finds powers or tags wrong; BAD_RESPONSE when it describes another data set
 */
export async function deliverPreparation(
  client: CspClient,
  prepared: PreparedDataSet,
  keys: AgreementKeys,
  onProgress: (progress: DeliveryProgress) => void,
  signal?: AbortSignal,
): Promise<PreparationStatus> {
  const salt = fromHex(prepared.salt);
  const requireSame = sameDataSet(client.name, prepared, keys);
  let status = requireSame(await client.openPreparation(salt, prepared.manifest, keyForChain(keys.publicKey)));
  const tags = await open(prepared.tagsFile, "r");
  try {
    const sources: Record<PreparationPart, PointSource> = {
      "powers-a": async (first, count) =>
        await inTurns(first, count, (from, n) => powersOfAlpha(keys.secrets, from, n)),
      "powers-b": async (first, count) =>
        await inTurns(first, count, (from, n) => powersOfBeta(keys.secrets, FIRST_INDEX + from, n)),
      tags: async (first, count) => await readPoints(tags, first, count),
    };
    for (const part of ["powers-a", "powers-b", "tags"] as const) {
      const append = async (offset: number, bytes: Uint8Array) =>
        requireSame(await client.appendPreparation(salt, part, offset, bytes));
      status = await deliverPart(client.name, part, sources[part], append, status, onProgress, signal);
    }
  } finally {
    await tags.close();
  }
  for (let asked = false; status.state === "open" || status.state === "verifying"; asked = true) {
    signal?.throwIfAborted();
    if (asked || status.state === "verifying") await pause(ASK_AGAIN_MILLISECONDS);
    status = requireSame(await client.verifyPreparation(salt));
    onProgress({ phase: "verifying", doneBytes: status.checkedSlices, totalBytes: status.sliceCount });
  }
  return status;
}

/** `count` points from position `first` of a stream on, 48 bytes each. */
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
    const first = received / POINT_BYTES;
    if (!Number.isInteger(first)) throw outOfStep(party, part, received);
    const count = Math.min(POINTS_IN_PART, status.expected[stream] / POINT_BYTES - first);
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

/** Computes points in small groups, so that timers and sockets get their turn. */
async function inTurns(
  first: number,
  count: number,
  compute: (first: number, count: number) => Uint8Array,
): Promise<Uint8Array> {
  const points = new Uint8Array(count * POINT_BYTES);
  for (let done = 0; done < count; done += POINTS_AT_ONCE) {
    points.set(compute(first + done, Math.min(POINTS_AT_ONCE, count - done)), done * POINT_BYTES);
    await breathe();
  }
  return points;
}

async function readPoints(file: FileHandle, first: number, count: number): Promise<Uint8Array> {
  const points = new Uint8Array(count * POINT_BYTES);
  const { bytesRead } = await file.read(points, 0, points.length, first * POINT_BYTES);
  if (bytesRead === points.length) return points;
  throw new TallystickError("the prepared tags on this device are incomplete", {
    code: "DISK_FAILED",
    party: "you",
    check: "length of the tags",
    expected: `${points.length} bytes`,
    received: `${bytesRead} bytes`,
    hint: "put the files again",
  });
}

/**
 * Holds what a provider says of a preparation against our own account of it, each time: how much is asked for is ours to know.
 * @throws TallystickError BAD_RESPONSE
 */
function sameDataSet(
  party: string,
  prepared: PreparedDataSet,
  keys: AgreementKeys,
): (status: PreparationStatus) => PreparationStatus {
  const { sliceCount } = sliceLayout(decodeManifest(prepared.manifest));
  const perSlice = String(sliceCount * POINT_BYTES);
  const own = {
    "manifest hash": prepared.manifestHash,
    "audit key hash": keys.keyHash,
    "first index": String(FIRST_INDEX),
    "slice count": String(sliceCount),
    "bytes of powers-a": String(ELEMENTS_PER_SLICE * POINT_BYTES),
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

function outOfStep(party: string, part: string, received: number): TallystickError {
  return new TallystickError(`${party} lost count of the ${part} it received`, {
    code: "BAD_RESPONSE",
    party,
    check: `bytes of ${part} received`,
    received: `${received} bytes`,
  });
}
