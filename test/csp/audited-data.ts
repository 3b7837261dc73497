/** What a client sends of a data set, computed by the owner's side of the audit. */
import { concatBytes } from "@noble/hashes/utils.js";
import { randomBytes } from "#primitives";
import { G1_EXPANDED_BYTES } from "../../offchain/core/audit/curve.ts";
import {
  type AuditPublicKey,
  auditPublicKey,
  type DataSetSecrets,
  deriveDataSetSecrets,
} from "../../offchain/core/audit/keys.ts";
import { encodedManifestHash, encodeManifest, ManifestReader } from "../../offchain/core/audit/manifest.ts";
import { powersOfAlpha, powersOfBeta } from "../../offchain/core/audit/powers.ts";
import { SegmentCommitments } from "../../offchain/core/audit/segment-commitments.ts";
import { SliceTagger } from "../../offchain/core/audit/tags.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import type { BeginDataSetRequest } from "../../offchain/core/wire/data-sets.ts";
import { SET_SLICE_ELEMENTS } from "../helpers/audit-set.ts";
import type { TestChunk } from "./provider-fixture.ts";

export interface AuditedSegment {
  /** 32 random bytes, hex. */
  readonly name: string;
  readonly firstIndex: number;
  readonly sliceCount: number;
  /** Encoded. */
  readonly manifest: Uint8Array;
  readonly manifestHash: string;
  /** Of the commitments, 32 random bytes. */
  readonly seed: Uint8Array;
  readonly commitmentsRoot: string;
  readonly tags: Uint8Array;
  /** The body that begins it. */
  readonly body: Uint8Array;
}

/** The body that begins a segment over an encoded manifest. */
export function segmentBody(
  manifest: Uint8Array,
  hash = encodedManifestHash(manifest),
  seed: Uint8Array = randomBytes(32),
): Uint8Array {
  return concatBytes(hash, seed, manifest);
}

/** Powers of α by α: they take a second to compute. */
const powersOfAlphas = new Map<string, Uint8Array>();

export class AuditedSet {
  readonly saltHex = toHex(randomBytes(32));
  readonly sliceElements: number;
  readonly secrets: DataSetSecrets;
  readonly key: AuditPublicKey;

  constructor(
    sliceElements = SET_SLICE_ELEMENTS,
    secrets: DataSetSecrets = deriveDataSetSecrets(randomBytes(32), randomBytes(32)),
  ) {
    this.sliceElements = sliceElements;
    this.secrets = secrets;
    this.key = auditPublicKey(secrets, secrets.x);
  }

  /** What begins the set. */
  get request(): BeginDataSetRequest {
    const { X, XA, XB } = this.key;
    return { key: { X: toHex(X), XA: toHex(XA), XB: toHex(XB) }, sliceElements: this.sliceElements };
  }

  get powersA(): Uint8Array {
    const name = `${this.secrets.alpha} ${this.sliceElements}`;
    const powers = powersOfAlphas.get(name) ?? powersOfAlpha(this.secrets, 0, this.sliceElements);
    powersOfAlphas.set(name, powers);
    return powers;
  }

  powersB(first: number, count: number): Uint8Array {
    return powersOfBeta(this.secrets, first, count);
  }

  segmentOf(chunks: readonly TestChunk[], firstIndex = 1): AuditedSegment {
    const tagger = new SliceTagger(this.secrets, this.secrets.x, firstIndex, this.sliceElements);
    for (const { bytes } of chunks) tagger.push(bytes);
    const tags = tagger.finish();
    const manifest = encodeManifest({
      version: 1,
      chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })),
    });
    const hash = encodedManifestHash(manifest);
    const seed = randomBytes(32);
    const commitments = new SegmentCommitments(seed, firstIndex, this.sliceElements);
    commitments.push(new ManifestReader().push(manifest));
    commitments.finish();
    return {
      name: toHex(randomBytes(32)),
      firstIndex,
      sliceCount: tags.length / G1_EXPANDED_BYTES,
      manifest,
      manifestHash: toHex(hash),
      seed,
      commitmentsRoot: toHex(commitments.root()),
      tags,
      body: segmentBody(manifest, hash, seed),
    };
  }
}
