/**
 * Possession tags of a data set, made in the pass that stores it, or later from the provider's own copy. Tags and
 * manifest are kept until the agreement is accepted, so that a run after a crash uses the same ones: under one salt, a
 * slice index is tagged for one data set only.
 */

import { randomBytes } from "#primitives";
import { DEFAULT_SLICE_ELEMENTS, FIRST_INDEX } from "../../core/audit/field.ts";
import { decodeManifest, encodeManifest, type ManifestChunk, manifestHash } from "../../core/audit/manifest.ts";
import { SliceTagger } from "../../core/audit/tags.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { AgentContext } from "../context.ts";
import type { PreparationStore, PreparationWriter, StoredPreparation } from "../platform.ts";
import { type AgreementKeys, agreementKeys } from "./agreement-keys.ts";

/**
 * A preparation that no agreement refers to is left over from a crash, if it is older than any put may take. One whose
 * agreement was never proposed will not be, after so long: the data has changed since.
 */
const ABANDONED_SECONDS = 7 * 86_400;

/** A data set with its tags. */
export interface PreparedDataSet extends StoredPreparation {
  readonly manifestHash: string;
}

/**
 * Starts tagging under a fresh salt, after removing what crashed runs have left behind.
 *
 * @throws TallystickError DISK_FULL, DISK_FAILED
 */
export async function beginTagging({ platform, catalogue, identity }: AgentContext): Promise<DataSetTagger> {
  const before = Math.floor(platform.clock.now() / 1000) - ABANDONED_SECONDS;
  const neededSalts = new Set<string>();
  for (const { salt, state, proposedFromBlock, createdAt } of await catalogue.agreements()) {
    // Of an accepted agreement they are removed; a run that was killed just before has left them.
    if (state === "accepted" || state === "closed") continue;
    if (state === "prepared" && proposedFromBlock === undefined && createdAt < before) {
      await catalogue.removeAgreement(salt);
      await platform.preparations.remove(salt);
    } else neededSalts.add(salt);
  }
  await platform.preparations.removeAbandoned(neededSalts, before * 1000);
  const salt = toHex(randomBytes(32));
  return await DataSetTagger.create(platform.preparations, salt, await agreementKeys(identity.auditSeed, salt));
}

/** A finished preparation; undefined when there is none (any more). */
export async function findPrepared(store: PreparationStore, salt: string): Promise<PreparedDataSet | undefined> {
  const stored = await store.find(salt);
  return stored === undefined
    ? undefined
    : { ...stored, manifestHash: toHex(manifestHash(decodeManifest(stored.manifest))) };
}

/** Tags objects as they come and writes the tags away; keeps the manifest, 36 bytes per object once encoded. */
export class DataSetTagger {
  readonly salt: string;
  readonly #store: PreparationStore;
  readonly #writer: PreparationWriter;
  readonly #tagger: SliceTagger;
  readonly #chunks: ManifestChunk[] = [];
  #isOpen = true;
  #finished: Promise<PreparedDataSet> | undefined;

  private constructor(store: PreparationStore, writer: PreparationWriter, salt: string, keys: AgreementKeys) {
    this.salt = salt;
    this.#store = store;
    this.#writer = writer;
    this.#tagger = new SliceTagger(keys.secrets, keys.x, FIRST_INDEX, DEFAULT_SLICE_ELEMENTS);
  }

  /** @throws TallystickError DISK_FULL, DISK_FAILED */
  static async create(store: PreparationStore, salt: string, keys: AgreementKeys): Promise<DataSetTagger> {
    return new DataSetTagger(store, await store.create(salt), salt, keys);
  }

  /** Takes the next object of the data set. */
  async add(object: SealedObject): Promise<void> {
    this.#tagger.push(object.sealed);
    this.#chunks.push({ id: object.id, sizeBytes: object.sealed.length });
    await this.#append(this.#tagger.drain());
  }

  /** Makes the preparation durable, once. */
  finish(): Promise<PreparedDataSet> {
    this.#finished ??= this.#finish();
    return this.#finished;
  }

  async #finish(): Promise<PreparedDataSet> {
    await this.#append(this.#tagger.finish());
    await this.#writer.finish(encodeManifest({ version: 1, chunks: this.#chunks }));
    this.#isOpen = false;
    const prepared = await findPrepared(this.#store, this.salt);
    if (prepared !== undefined) return prepared;
    throw new TallystickError("a finished preparation cannot be found", { code: "INTERNAL" });
  }

  /** Removes everything, unless it is finished: then an agreement may need it. */
  async discard(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#writer.discard();
  }

  async #append(tags: Uint8Array): Promise<void> {
    if (tags.length > 0) await this.#writer.append(tags);
  }
}
