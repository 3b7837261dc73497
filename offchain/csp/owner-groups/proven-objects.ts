/** The objects of a put that a joining account proves, as the index keeps them: digest (32) and u32 size of each. */
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { u32be } from "../../core/encoding/integers.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { GroupProofAnswer } from "../../core/wire/owner-groups.ts";

type ProvenObjects = GroupProofAnswer["objects"];

const DIGEST_BYTES = 32;
const OBJECT_BYTES = DIGEST_BYTES + 4;

/**
 * @param root digest of the data id
 * @throws InvalidInputError when the root is not among them, or one is named twice
 */
export function packObjects(objects: ProvenObjects, root: Uint8Array): Uint8Array {
  const packed = objects.map(({ id, sizeBytes }) => ({ digest: digestOf(id), sizeBytes }));
  if (new Set(objects.map(({ id }) => id)).size !== objects.length) {
    throw new InvalidInputError("an object of the group is named twice", { party: "client", check: "distinct ids" });
  }
  if (!packed.some(({ digest }) => equalBytes(digest, root))) {
    throw new InvalidInputError("the root of the put is not among the objects of the group", {
      party: "client",
      check: "objects of the group",
      expected: contentIdFromDigest(root),
    });
  }
  return concatBytes(...packed.flatMap(({ digest, sizeBytes }) => [digest, u32be(sizeBytes)]));
}

export function unpackObjects(packed: Uint8Array): ProvenObjects {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  return Array.from({ length: packed.length / OBJECT_BYTES }, (_, k) => ({
    id: contentIdFromDigest(packed.slice(k * OBJECT_BYTES, k * OBJECT_BYTES + DIGEST_BYTES)),
    sizeBytes: view.getUint32(k * OBJECT_BYTES + DIGEST_BYTES),
  }));
}
