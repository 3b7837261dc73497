/**
 * A storage provider behind the HTTP protocol of `core/wire/csp.ts`. Objects are stored by claims: the agent proves that it has each
 * object, and sends those that the provider lacks.
 */

import pRetry from "p-retry";
import { leafCount, merkleProofs } from "../../core/crypto/merkle.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import {
  type AgreementStatus,
  type AuditKeyJson,
  type ClaimAnswer,
  MIN_CLAIM_LEAVES,
  type Offer,
  type PreparationStatus,
} from "../../core/wire/csp.ts";
import type { CspClient, LeafProof } from "./csp-client.ts";
import type { PreparationPart, StorageProvider, StoreOutcome } from "./storage-provider.ts";

/** Attempts at a whole claim after the first. A claim is answered once, so a broken one starts anew. */
const CLAIM_RETRIES = 4;
const CLAIM_DELAY_MILLISECONDS = 300;

/** A provider that speaks the HTTP protocol of `core/wire/csp.ts`. */
export class HttpStorageProvider implements StorageProvider {
  readonly #client: CspClient;

  constructor(client: CspClient) {
    this.#client = client;
  }

  get account(): string {
    return this.#client.account;
  }

  get url(): string {
    return this.#client.url;
  }

  get name(): string {
    return this.#client.name;
  }

  async store(objects: readonly SealedObject[], signal?: AbortSignal): Promise<StoreOutcome> {
    return await pRetry(() => this.#claimAndUpload(objects, signal), {
      retries: CLAIM_RETRIES,
      minTimeout: CLAIM_DELAY_MILLISECONDS,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => error instanceof TallystickError && (error.retryable || isForgottenClaim(error)),
    });
  }

  async fetch(id: string, signal?: AbortSignal): Promise<Uint8Array> {
    const ciphertext = await this.#bytesOf(id, signal);
    const received = contentId(ciphertext);
    if (received !== id) {
      throw new IntegrityError(`${this.name} returned other bytes for object ${id}`, {
        party: this.name,
        check: "SHA-256 of the object",
        expected: id,
        received,
        details: { id },
      });
    }
    return ciphertext;
  }

  async offer(): Promise<Offer> {
    return await this.#client.offer();
  }

  async openPreparation(salt: Uint8Array, manifest: Uint8Array, auditKey: AuditKeyJson): Promise<PreparationStatus> {
    return await this.#client.openPreparation(salt, manifest, auditKey);
  }

  async appendPreparation(
    salt: Uint8Array,
    part: PreparationPart,
    offset: number,
    bytes: Uint8Array,
  ): Promise<PreparationStatus> {
    return await this.#client.appendPreparation(salt, part, offset, bytes);
  }

  async verifyPreparation(salt: Uint8Array): Promise<PreparationStatus> {
    return await this.#client.verifyPreparation(salt);
  }

  async accept(agreementId: bigint, salt: Uint8Array): Promise<void> {
    await this.#client.acceptAgreement(agreementId, salt);
  }

  async agreement(agreementId: bigint): Promise<AgreementStatus> {
    return await this.#client.agreement(agreementId);
  }

  async audit(agreementId: bigint, seed: Uint8Array, sampleCount: number): Promise<Uint8Array> {
    return await this.#client.audit(agreementId, seed, sampleCount);
  }

  /** A provider that has lost an object fails the user as one that returns other bytes does. */
  async #bytesOf(id: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    try {
      return await this.#client.chunk(id, signal);
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code !== "NOT_FOUND") throw error;
      throw new IntegrityError(`${this.name} has lost object ${id}`, {
        party: this.name,
        check: "stored bytes",
        expected: id,
        received: error.received ?? "nothing",
        hint: "audit the data and report the miss",
        details: { id },
        cause: error,
      });
    }
  }

  async #claimAndUpload(objects: readonly SealedObject[], signal: AbortSignal | undefined): Promise<StoreOutcome> {
    const chunks = objects.map(({ id, sealed }) => ({ id, sizeBytes: sealed.length }));
    const claim = await this.#client.claim(chunks, signal);
    const proofs = proveLeaves(objects, claim.challenges, this.name);
    const { owned, missing } = await this.#client.answerClaim(claim.claimId, proofs, signal);
    const absent = new Set(missing);
    const answered = new Set([...owned, ...missing]);
    const silent = objects.find(({ id }) => !answered.has(id));
    if (silent !== undefined) throw unanswered(this.name, silent.id);
    const toUpload = objects.filter(({ id }) => absent.has(id));
    if (toUpload.length > 0) {
      const stored = new Set(await this.#client.storeChunks(toUpload, signal));
      const refused = toUpload.find(({ id }) => !stored.has(id));
      if (refused !== undefined) throw unanswered(this.name, refused.id);
    }
    return { uploaded: new Set(toUpload.map(({ id }) => id)) };
  }
}

/** The provider keeps claims in memory: one that was lost in a restart, or evicted, is made anew. */
function isForgottenClaim(error: TallystickError): boolean {
  return error.code === "NOT_FOUND" && error.check === "claim";
}

/** Answers every challenge; each object is hashed into its tree once. @throws TallystickError BAD_RESPONSE for one that no claim allows */
function proveLeaves(
  objects: readonly SealedObject[],
  challenges: ClaimAnswer["challenges"],
  party: string,
): LeafProof[] {
  const most = Math.max(MIN_CLAIM_LEAVES, objects.length);
  if (challenges.length > most) throw impossibleChallenge(party, `${challenges.length} leaves, of ${most} at most`);
  const leavesOf = new Map<number, number[]>();
  for (const { chunk, leaf } of challenges) {
    if (leaf >= leafCount(objects[chunk]?.sealed.length ?? 0)) {
      throw impossibleChallenge(party, `leaf ${leaf} of chunk ${chunk}`);
    }
    leavesOf.set(chunk, [...(leavesOf.get(chunk) ?? []), leaf]);
  }
  return [...leavesOf].flatMap(([chunk, leaves]) => {
    const object = objects[chunk];
    if (object === undefined) return [];
    return merkleProofs(object.sealed, leaves).map((proof, position) => ({
      chunk,
      leaf: leaves[position] ?? 0,
      ...proof,
    }));
  });
}

function impossibleChallenge(party: string, received: string): TallystickError {
  return new TallystickError(`${party} challenged what was not claimed`, {
    code: "BAD_RESPONSE",
    party,
    check: "ownership challenge",
    received,
  });
}

function unanswered(party: string, id: string): TallystickError {
  return new TallystickError(`${party} did not say what became of object ${id}`, {
    code: "BAD_RESPONSE",
    party,
    check: "ids in the answer",
    expected: id,
  });
}
