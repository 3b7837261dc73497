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

export const arbitraryChunkRef: fc.Arbitrary<ChunkRef> = fc.record({
  id: digest.map(contentIdFromDigest),
  key: digest,
  sizeBytes: fc.integer({ min: 1, max: 2_097_136 }),
});

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

const common = fc.record({
  path: fc.array(arbitraryName, { minLength: 1, maxLength: 4 }).map((names) => names.join("/")),
  mode: fc.nat(0o7777),
  mtimeNanos: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
});

export const arbitraryEntry: fc.Arbitrary<FileEntry> = fc.oneof(
  common.map((fields): FileEntry => ({ type: "directory", ...fields })),
  fc
    .tuple(common, fc.string({ unit: "grapheme", minLength: 1 }))
    .map(([fields, target]): FileEntry => ({ type: "symlink", ...fields, target: target.replaceAll("\0", "_") })),
  fc
    .tuple(common, fc.oneof(inlineContent, treeContent))
    .map(([fields, content]): FileEntry => ({ type: "file", ...fields, ...content })),
);
