/**
 * Where immutable byte strings are kept under names: the seam between the provider daemon and its storage engine. A
 * store does not interpret bytes and verifies nothing: names are content ids, and whoever reads checks the hash. What a
 * store must do is stated per call; the suite in test/store/object/ runs against every store.
 */
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { DiskFailedError } from "../disk/disk-errors.ts";

/** Ids every store takes: names that are safe as file names, in URLs and in keys of object services. */
const ID_PATTERN = /^[a-z0-9_-][a-z0-9._-]{0,127}$/;

export function isObjectId(name: string): boolean {
  return ID_PATTERN.test(name);
}

/** @throws InvalidInputError for an id outside `ID_PATTERN` */
export function requireObjectId(id: string): void {
  if (isObjectId(id)) return;
  throw new InvalidInputError("object id is malformed", {
    check: "object id",
    expected: ID_PATTERN.source,
    received: JSON.stringify(id.slice(0, 160)),
  });
}

/** @throws InvalidInputError unless offset and length are safe integers of at least 0 */
export function requireRange(offset: number, lengthBytes: number): void {
  for (const value of [offset, lengthBytes]) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new InvalidInputError("range is malformed", { check: "range", received: `${offset} + ${lengthBytes}` });
  }
}

/** Gives memory of a size, whatever it holds. */
export type Allocate = (sizeBytes: number) => Uint8Array;

/** An object on its way into a store. */
export interface NamedBytes {
  readonly id: string;
  readonly bytes: Uint8Array;
}

/**
 * The store has an object, and its medium does not give back the bytes. Says nothing about other objects; a failure
 * that may pass is another error.
 */
export class UnreadableObjectError extends DiskFailedError {
  constructor(id: string, facts: { reason: string; cause?: unknown }) {
    super(`reading object ${id}`, { ...facts, hint: "check the medium; `tallystick-csp check` names what is damaged" });
  }
}

/** Whether objects may still be removed. Once it has said no, it says so for good. */
export type MayRemove = () => boolean;

/** A removal may not go on, because another process may have gone on with it. */
export class RemovalStoppedError extends TallystickError {
  constructor() {
    super("the removal of objects was given up: another process may be at it by now", {
      code: "CONFLICT",
      party: "this daemon",
      check: "lease of the removal",
      hint: "whoever has the lease goes on with it",
      retryable: true,
      retryAfterSeconds: 1,
    });
  }
}

/** @throws RemovalStoppedError */
export function requireMayRemove(mayRemove: MayRemove = () => true): void {
  if (!mayRemove()) throw new RemovalStoppedError();
}

export interface ObjectStore {
  /**
   * Stores objects in one durable commit. When the promise resolves, all of them survive a crash of process and
   * machine. When it rejects, or after a crash before that, each of them is as a whole the new object or what it was
   * before. An id that is given twice keeps the bytes that were given last.
   * @param objects ids as in `put`
   * @throws InvalidInputError for another id, and then none is stored; DiskFullError, DiskFailedError
   */
  putMany(objects: readonly NamedBytes[]): Promise<void>;

  /**
   * Stores an object: `putMany` of one. When the promise resolves, the bytes survive a crash of process and machine;
   * until then the object is absent or what it was before, never part of the new one. Storing again under a name
   * replaces the bytes.
   * @param id 1 to 128 characters of a–z, 0–9, `-`, `_` and `.`, not starting with `.`
   * @throws InvalidInputError for another id, DiskFullError, DiskFailedError
   */
  put(id: string, bytes: Uint8Array): Promise<void>;

  /**
   * @param allocate gives memory for the object, the same at every call if it likes; a store may use other memory
   * @returns the whole object, in memory of its own unless told; undefined if there is none
   * @throws UnreadableObjectError, DiskFailedError
   */
  get(id: string, allocate?: Allocate): Promise<Uint8Array | undefined>;

  /**
   * Reads part of an object.
   * @param offset first byte
   * @param lengthBytes how many; fewer come back where the object ends earlier
   * @param allocate as in `get`
   * @returns undefined if there is no such object
   * @throws UnreadableObjectError, DiskFailedError
   */
  getRange(id: string, offset: number, lengthBytes: number, allocate?: Allocate): Promise<Uint8Array | undefined>;

  has(id: string): Promise<boolean>;

  /** @returns bytes, or undefined if there is no such object */
  size(id: string): Promise<number | undefined>;

  /** Removes an object, durably. @returns whether there was one */
  delete(id: string): Promise<boolean>;

  /**
   * Removes objects in one durable commit.
   * @param mayRemove asked right before each request that removes something, its repetitions included. What is stored
   *   anew after it has said no stays, unless such a request was under way by then and takes effect late.
   * @returns how many of them there were
   * @throws InvalidInputError for an id that is malformed, and then none is removed; RemovalStoppedError when
   *   `mayRemove` says no, and then some may be removed; DiskFullError, DiskFailedError
   */
  deleteMany(ids: readonly string[], mayRemove?: MayRemove): Promise<number>;

  /**
   * Gives back the space of removed objects where the store does not do so at once. A crash loses nothing.
   * @param signal ends the work early
   * @returns bytes that were given back
   */
  compact(signal?: AbortSignal): Promise<number>;

  /**
   * All ids, in no particular order and each once. Objects stored or removed during the walk may or may not be listed;
   * all others are.
   */
  list(): AsyncIterable<string>;

  /**
   * Ties the store to one index, for good: the first call decides which. The name is kept beside the objects and is not
   * listed.
   * @param owner what names the index, 1 to 128 printable characters
   * @returns the owner that the store has now: the one given, or the one of an earlier call
   */
  claim(owner: string): Promise<string>;

  /** The owner of an earlier `claim`, or undefined. */
  owner(): Promise<string | undefined>;

  /** Releases what the store holds, for example a lock. No call may follow. */
  close(): Promise<void>;
}
