/**
 * Where immutable byte strings are kept under names: the seam between the provider daemon and its storage engine (files here;
 * S3-compatible stores and IPFS can take the same place). A store does not interpret bytes and verifies nothing: names are
 * content ids, and whoever reads checks the hash. What it must do is stated per call.
 */
export interface ObjectStore {
  /**
   * Stores an object. When the promise resolves, the bytes survive a crash of process and machine; until then the object is
   * absent or what it was before, never part of the new one. Storing again under a name replaces the bytes.
   * @param id 1 to 128 characters of a–z, 0–9, `-`, `_` and `.`, not starting with `.`
   * @throws InvalidInputError for another id, DiskFullError, DiskFailedError
   */
  put(id: string, bytes: Uint8Array): Promise<void>;

  /** @returns the whole object in memory of its own, or undefined if there is none */
  get(id: string): Promise<Uint8Array | undefined>;

  /**
   * Reads part of an object.
   * @param offset first byte
   * @param lengthBytes how many; fewer come back where the object ends earlier
   * @returns undefined if there is no such object
   */
  getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined>;

  has(id: string): Promise<boolean>;

  /** @returns bytes, or undefined if there is no such object */
  size(id: string): Promise<number | undefined>;

  /** Removes an object, durably. @returns whether there was one */
  delete(id: string): Promise<boolean>;

  /** All ids, in no particular order. Objects stored or removed meanwhile may or may not be seen. */
  list(): AsyncIterable<string>;
}
