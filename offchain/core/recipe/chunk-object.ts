/**
 * The object of a chunk, by its reference: a sealed chunk, which opens with its key, or a package, which opens with its
 * stub. A recipe holds the position of a stub only; whoever reads has looked it up in the stub file.
 */
import { openChunk, openChunkInPlace, sealChunk } from "../crypto/encryption.ts";
import { contentId, digestOf } from "../encoding/content-id.ts";
import { TallystickError } from "../errors.ts";
import { PACKAGE_OVERHEAD_BYTES, packageKeyOf, packInPlace, unpackInPlace } from "../revocable/package.ts";
import { stubAt } from "../revocable/stub-file.ts";
import type { ChunkRef } from "./recipe.ts";

/**
 * Completes the reference to a package. One to a sealed chunk is returned as it is.
 * @param stubs of the put, one after the other; undefined when there is no stub file for this account
 * @throws TallystickError NOT_OWNER without stubs; IntegrityError when the stub file is shorter than the recipe says
 */
export function withStub(ref: ChunkRef, stubs: Uint8Array | undefined): ChunkRef {
  if (ref.stub === undefined) return ref;
  if (stubs !== undefined) return { ...ref, key: stubAt(stubs, ref.stub) };
  throw new TallystickError(`chunk ${ref.id} is revocable, and there is no stub file to open it with`, {
    code: "NOT_OWNER",
    check: "stub file of the put",
    hint: "the account owns it no longer, or only a provider that does not answer has its stub file",
  });
}

/** Opens the object of a chunk. @returns the frame @throws IntegrityError when it does not open */
export function openChunkObject(ref: ChunkRef, sealed: Uint8Array, label: string): Uint8Array {
  if (ref.stub === undefined) return openChunk(ref.key, sealed, ref.sealedBytes, label);
  return unpackInPlace(ref.key, sealed.slice(), digestOf(ref.id), ref.sealedBytes, label);
}

/** As `openChunkObject`, in the memory of the object, which is overwritten. */
export function openChunkObjectInPlace(ref: ChunkRef, sealed: Uint8Array, label: string): Uint8Array {
  if (ref.stub === undefined) return openChunkInPlace(ref.key, sealed, ref.sealedBytes, label);
  return unpackInPlace(ref.key, sealed, digestOf(ref.id), ref.sealedBytes, label);
}

/** Whether a frame becomes the object of a reference. */
export function isFrameOf(ref: ChunkRef, frame: Uint8Array): boolean {
  if (ref.stub === undefined) return contentId(sealChunk(ref.key, frame)) === ref.id;
  const memory = new Uint8Array(frame.length + PACKAGE_OVERHEAD_BYTES);
  memory.set(frame);
  return contentId(packInPlace(packageKeyOf(ref.key, digestOf(ref.id)), memory, frame.length).object) === ref.id;
}
