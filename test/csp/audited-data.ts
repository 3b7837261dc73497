/** What a client prepares for an agreement, computed by the owner's side of the audit. */
import { concatBytes } from "@noble/hashes/utils.js";
import { randomBytes } from "#primitives";
import { DEFAULT_SLICE_ELEMENTS, SLICE_BYTES } from "../../offchain/core/audit/field.ts";
import {
  type AuditPublicKey,
  type AuditSecrets,
  auditPublicKey,
  deriveAgreementSecret,
  deriveAuditSecrets,
} from "../../offchain/core/audit/keys.ts";
import { type AuditManifest, encodeManifest, manifestHash } from "../../offchain/core/audit/manifest.ts";
import { powersOfAlpha, powersOfBeta } from "../../offchain/core/audit/powers.ts";
import { SliceTagger } from "../../offchain/core/audit/tags.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { preparationBody } from "../../offchain/core/wire/preparation-body.ts";
import { streamOf, type TestChunk } from "./provider-fixture.ts";

/** Powers of α by α: they take a second to compute and are the same in every data set of an owner. */
const powersOfAlphas = new Map<bigint, Uint8Array>();

export class AuditedData {
  readonly salt: Uint8Array = randomBytes(32);
  readonly x: bigint;
  readonly secrets: AuditSecrets;
  readonly key: AuditPublicKey;
  readonly manifest: AuditManifest;
  readonly sliceCount: number;
  readonly tags: Uint8Array;
  readonly powersA: Uint8Array;
  readonly powersB: Uint8Array;

  constructor(seed: Uint8Array, chunks: readonly TestChunk[], secrets: AuditSecrets = deriveAuditSecrets(seed)) {
    this.secrets = secrets;
    this.x = deriveAgreementSecret(seed, this.salt);
    this.key = auditPublicKey(this.secrets, this.x);
    this.manifest = { version: 1, chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })) };
    const tagger = new SliceTagger(this.secrets, this.x, 1, DEFAULT_SLICE_ELEMENTS);
    for (const { bytes } of chunks) tagger.push(bytes);
    this.tags = tagger.finish();
    this.sliceCount = Math.ceil(tagger.sizeBytes / SLICE_BYTES);
    this.powersA = powersOfAlphas.get(this.secrets.alpha) ?? powersOfAlpha(this.secrets, 0, DEFAULT_SLICE_ELEMENTS);
    powersOfAlphas.set(this.secrets.alpha, this.powersA);
    this.powersB = powersOfBeta(this.secrets, 1, this.sliceCount);
  }

  get saltHex(): string {
    return toHex(this.salt);
  }

  get manifestHash(): string {
    return toHex(manifestHash(this.manifest));
  }

  /** The body that opens the preparation. */
  get body(): Uint8Array {
    return concatBytes(...preparationBody(encodeManifest(this.manifest), this.key));
  }

  /** As `body`, in a stream. */
  get request(): AsyncGenerator<Uint8Array> {
    return streamOf(this.body);
  }
}
