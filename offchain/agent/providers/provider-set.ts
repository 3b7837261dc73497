/**
 * Where sealed objects live: a set of storage providers. Today the set has one member and every object goes to it; erasure
 * coding will spread shards over several, behind the same two calls.
 */

import pRetry from "p-retry";
import { leafCount, merkleProofs } from "../../core/crypto/merkle.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { IntegrityError, InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import { type ClaimAnswer, MIN_CLAIM_LEAVES } from "../../core/wire/csp.ts";
import type { CspClient, LeafProof } from "./csp-client.ts";

/** Attempts at a whole claim after the first. A claim is answered once, so a broken one starts anew. */
const CLAIM_RETRIES = 4;
const CLAIM_DELAY_MILLISECONDS = 300;

/** What storing a group of objects came to. */
export interface StoreOutcome {
  /** Ids that had to be sent. */
  readonly uploaded: ReadonlySet<string>;
}

/** A place for sealed objects that can be held to what it stores. */
export interface StorageProvider {
  readonly account: string;
  readonly url: string;
  /** How errors name it. */
  readonly name: string;
  /** Makes this account an owner of the objects, sending only those the provider lacks. Durable when it resolves. */
  store(objects: readonly SealedObject[], signal?: AbortSignal): Promise<StoreOutcome>;
  /** @returns the object, verified against its id. @throws IntegrityError naming the provider and the object */
  fetch(id: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** Agreements and audits with this provider. */
  readonly client: CspClient;
}

/** A provider that speaks the HTTP protocol of `core/wire/csp.ts`. */
export class HttpStorageProvider implements StorageProvider {
  readonly client: CspClient;

  constructor(client: CspClient) {
    this.client = client;
  }

  get account(): string {
    return this.client.account;
  }

  get url(): string {
    return this.client.url;
  }

  get name(): string {
    return this.client.name;
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

  /** A provider that has lost an object fails the user as one that returns other bytes does. */
  async #bytesOf(id: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    try {
      return await this.client.chunk(id, signal);
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
    const claim = await this.client.claim(chunks, signal);
    const proofs = proveLeaves(objects, claim.challenges, this.name);
    const { owned, missing } = await this.client.answerClaim(claim.claimId, proofs, signal);
    const absent = new Set(missing);
    const answered = new Set([...owned, ...missing]);
    const silent = objects.find(({ id }) => !answered.has(id));
    if (silent !== undefined) throw unanswered(this.name, silent.id);
    const toUpload = objects.filter(({ id }) => absent.has(id));
    if (toUpload.length > 0) {
      const stored = new Set(await this.client.storeChunks(toUpload, signal));
      const refused = toUpload.find(({ id }) => !stored.has(id));
      if (refused !== undefined) throw unanswered(this.name, refused.id);
    }
    return { uploaded: new Set(toUpload.map(({ id }) => id)) };
  }
}

/** Claims live in the provider's memory: one that was opened before a restart, or crowded out, is made anew. */
function isForgottenClaim(error: TallystickError): boolean {
  return error.code === "NOT_FOUND" && error.check === "claim";
}

/** The set the agent stores to and reads from. */
export class ProviderSet {
  readonly providers: readonly StorageProvider[];

  /** @throws InvalidInputError for an empty set, or for more than one: spreading objects is not built yet. */
  constructor(providers: readonly StorageProvider[]) {
    if (providers.length !== 1) {
      throw new InvalidInputError(`the deployment lists ${providers.length} storage providers`, {
        party: "deployment",
        check: "providers",
        expected: "1",
        received: String(providers.length),
        hint: "name the one provider to use in the deployment file",
      });
    }
    this.providers = providers;
  }

  /** The provider that agreements are made with. */
  get primary(): StorageProvider {
    const [provider] = this.providers;
    if (provider === undefined) throw new TallystickError("empty provider set", { code: "INTERNAL" });
    return provider;
  }

  async store(objects: readonly SealedObject[], signal?: AbortSignal): Promise<StoreOutcome> {
    return await this.primary.store(objects, signal);
  }

  async fetch(id: string, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.primary.fetch(id, signal);
  }

  /** @throws TallystickError NOT_FOUND when no member of the set has this account. */
  byAccount(account: string): StorageProvider {
    const provider = this.providers.find((one) => one.account.toLowerCase() === account.toLowerCase());
    if (provider !== undefined) return provider;
    throw new TallystickError(`provider ${account} is not in the deployment`, {
      code: "NOT_FOUND",
      check: "provider account",
      expected: this.providers.map((one) => one.account).join(" or "),
      received: account,
      hint: "use a deployment file that lists it",
    });
  }
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
