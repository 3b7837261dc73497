/** Arbitrary recipe parts for property tests. */
import fc from "fast-check";
import { contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { pathFromBytes } from "../../offchain/core/recipe/path-name.ts";
import type { ChunkRef, Content, FileEntry } from "../../offchain/core/recipe/recipe.ts";

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** Any byte a name can have, invalid UTF-8 included, and no name that leads elsewhere. */
export const arbitraryName: fc.Arbitrary<string> = fc
  .oneof(
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }),
    fc.uint8Array({ minLength: 1, maxLength: 8 }).map(pathFromBytes),
  )
  .map((name) => name.replaceAll(/[/\0]/g, "_"))
  .filter((name) => name !== "." && name !== "..");

export const arbitraryChunkRef: fc.Arbitrary<ChunkRef> = fc
  .tuple(digest.map(contentIdFromDigest), digest, fc.integer({ min: 1, max: 2_097_135 }), fc.nat())
  .map(([id, key, sizeBytes, drawn]) => ({ id, key, sizeBytes, sealedBytes: 18 + (drawn % sizeBytes) }));

const inlineContent = fc
  .array(arbitraryChunkRef, { maxLength: 8 })
  .map((chunks): { sizeBytes: number; content: Content } => ({
    sizeBytes: chunks.reduce((sum, chunk) => sum + chunk.sizeBytes, 0),
    content: { chunks },
  }));

const treeContent = fc
  .tuple(fc.integer({ min: 0, max: 3 }), digest, digest, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
  .map(([level, id, key, sizeBytes]): { sizeBytes: number; content: Content } => ({
    sizeBytes,
    content: { blob: { level, id: contentIdFromDigest(id), key, sizeBytes } },
  }));

const bundledContent = fc
  .tuple(arbitraryChunkRef, fc.integer({ min: 1, max: 131_072 }), fc.nat(4095), fc.nat(1_000_000), fc.nat(900_000))
  .map(([{ id, key }, sizeBytes, position, offset, behind]): { sizeBytes: number; content: Content } => {
    const sealedBytes = 18 + (behind % sizeBytes);
    const bundleBytes = offset + sealedBytes + behind;
    return { sizeBytes, content: { segment: { id, key, bundleBytes, position, offset, sealedBytes, sizeBytes } } };
  });

const common = fc.record({
  path: fc.array(arbitraryName, { minLength: 1, maxLength: 4 }).map((names) => names.join("/")),
});

export const arbitraryEntry: fc.Arbitrary<FileEntry> = fc.oneof(
  common.map((fields): FileEntry => ({ type: "directory", ...fields })),
  fc
    .tuple(common, fc.string({ unit: "grapheme", minLength: 1 }))
    .map(([fields, target]): FileEntry => ({ type: "symlink", ...fields, target: target.replaceAll("\0", "_") })),
  fc
    .tuple(common, fc.oneof(inlineContent, treeContent, bundledContent))
    .map(([fields, content]): FileEntry => ({ type: "file", ...fields, ...content })),
);
