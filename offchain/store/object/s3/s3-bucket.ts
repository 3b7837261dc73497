/**
 * The calls on a bucket that the store needs, each with deadline, retries and typed errors. What is written carries its
 * CRC-32 (`x-amz-checksum-crc32`), or MD5 where it is written in parts: the service compares it before it acknowledges.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import PQueue from "p-queue";
import { type AWSHeaders, S3mini, type UploadPart } from "s3mini";
import { type ServicePatience, StoreService } from "../store-service.ts";
import type { S3Credentials } from "./s3-credentials.ts";
import { explainS3, isAbsent, isTaken, S3AnswerError } from "./s3-errors.ts";
import { guardedFetch, readBody, withDeadline } from "./s3-fetch.ts";

/** Larger objects are written in parts of this size. S3 asks for parts of at least 5 MiB. */
const PART_BYTES = 8 * 1024 * 1024;
/** Parts of one object that are under way. */
const PARTS_AT_ONCE = 3;
const KEYS_PER_PAGE = 1000;
const OCTETS = "application/octet-stream";

export interface S3Settings {
  /** Address of the service, without the bucket. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly credentials: S3Credentials;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
}

export class S3Bucket {
  readonly #client: S3mini;
  readonly #service: StoreService;

  constructor({ endpoint, bucket, region, credentials }: S3Settings, patience?: ServicePatience) {
    const url = `${endpoint.replace(/\/+$/, "")}/${bucket}`;
    this.#client = new S3mini({ endpoint: url, region, ...credentials, fetch: guardedFetch as typeof fetch });
    this.#service = new StoreService(endpoint, explainS3, patience);
  }

  /** How errors name the service. */
  get name(): string {
    return this.#service.name;
  }

  /**
   * Writes an object, in parts if it is large. When the promise resolves, the service has acknowledged all of it.
   * @param pieces what the object consists of, in order
   * @throws StoreServiceError
   */
  async put(key: string, pieces: readonly Uint8Array[]): Promise<void> {
    const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (sizeBytes > PART_BYTES) return await this.#putInParts(key, pieces, sizeBytes);
    const body = joined(pieces, sizeBytes);
    await this.#call(`writing ${key}`, sizeBytes, () =>
      this.#client.putObject(key, body, OCTETS, undefined, checksumHeader(body)),
    );
  }

  /** @returns false when there is an object under this key, which then stays as it is */
  async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return await this.#call(`writing ${key}`, body.length, async () => {
      // The type names `x-amz-…` alone; s3mini signs and sends every header.
      const headers = { ...checksumHeader(body), "if-none-match": "*" };
      try {
        await this.#client.putObject(key, body, OCTETS, undefined, headers);
        return true;
      } catch (error) {
        if (isTaken(error)) return false;
        throw error;
      }
    });
  }

  async #putInParts(key: string, pieces: readonly Uint8Array[], sizeBytes: number): Promise<void> {
    const uploadId = await this.#call(`starting to write ${key}`, 0, () =>
      this.#client.getMultipartUploadId(key, OCTETS),
    );
    try {
      const queue = new PQueue({ concurrency: PARTS_AT_ONCE });
      const outcomes = await Promise.allSettled(
        Array.from({ length: Math.ceil(sizeBytes / PART_BYTES) }, (_, k) =>
          queue.add(() => this.#putPart(key, uploadId, k + 1, cutOut(pieces, k * PART_BYTES, PART_BYTES))),
        ),
      );
      const parts = outcomes.map((outcome) => {
        if (outcome.status === "rejected") throw outcome.reason;
        return outcome.value;
      });
      await this.#complete(key, uploadId, parts, sizeBytes);
    } catch (error) {
      // Frees the space of the parts. If this fails too, the service's own rules do; the first error is the useful one.
      await this.#client.abortMultipartUpload(key, uploadId).catch(() => undefined);
      throw error;
    }
  }

  async #putPart(key: string, uploadId: string, partNumber: number, body: Uint8Array): Promise<UploadPart> {
    // A part with a CRC-32 would need one in the document that completes the object, which s3mini does not write.
    const headers = { "content-md5": createHash("md5").update(body).digest("base64") } as AWSHeaders;
    return await this.#call(`writing part ${partNumber} of ${key}`, body.length, async () => {
      const part = await this.#client.uploadPart(key, uploadId, body, partNumber, {}, undefined, headers);
      if (part.etag === "") throw new S3AnswerError("it does not name the part");
      return part;
    });
  }

  async #complete(key: string, uploadId: string, parts: UploadPart[], sizeBytes: number): Promise<void> {
    await this.#call(`completing ${key}`, 0, async () => {
      try {
        const { etag } = await this.#client.completeMultipartUpload(key, uploadId, parts);
        // A failure after the status was sent comes with status 200 and a document that is an error.
        if (typeof etag !== "string" || etag === "") throw new S3AnswerError("it did not complete the object");
      } catch (error) {
        // An attempt whose answer was lost may have completed the object.
        if (!isAbsent(error) || (await this.#sizeOnce(key)) !== sizeBytes) throw error;
      }
    });
  }

  async #sizeOnce(key: string): Promise<number | undefined> {
    if ((await this.#client.objectExists(key)) !== true) return undefined;
    return await this.#client.getContentLength(key);
  }

  /** @returns the whole object, or undefined if there is none @throws StoreServiceError, also for one that is longer */
  async get(key: string, maximumBytes: number): Promise<Uint8Array | undefined> {
    return await this.#call(`reading ${key}`, maximumBytes, async () => {
      const response = await absentAsUndefined(() => this.#client.getObjectRaw(key));
      return response === undefined ? undefined : await readBody(response, maximumBytes);
    });
  }

  /**
   * Reads part of an object.
   * @param check throws what the caller thinks of the bytes; they are read again after a StoredBytesError
   * @returns undefined if there is no such object
   */
  async getRange(
    key: string,
    offset: number,
    lengthBytes: number,
    what = key,
    check: (bytes: Uint8Array) => void = () => undefined,
  ): Promise<Uint8Array | undefined> {
    return await this.#call(`reading ${what}`, lengthBytes, async () => {
      const response = await absentAsUndefined(() =>
        this.#client.getObjectRaw(key, false, offset, offset + lengthBytes),
      );
      if (response === undefined) return undefined;
      if (response.status !== 206) throw new S3AnswerError("it does not answer with the range that was asked for");
      const bytes = await readBody(response, lengthBytes);
      if (bytes.length !== lengthBytes) throw new S3AnswerError("its answer is shorter than the range");
      check(bytes);
      return bytes;
    });
  }

  /** Keys with a prefix, in their order, a page at a time. @param after only keys after this one */
  async *list(prefix: string, after?: string): AsyncGenerator<readonly ListedObject[], void, undefined> {
    let token: string | undefined;
    do {
      const page = await this.#call(`listing ${prefix}`, 0, async () => {
        const options = after === undefined || token !== undefined ? {} : { "start-after": after };
        const found = await this.#client.listObjectsPaged("/", prefix, KEYS_PER_PAGE, token, options);
        if (!found?.objects) throw new S3AnswerError("there is no such bucket");
        return { objects: found.objects, next: found.nextContinuationToken };
      });
      yield page.objects.map(({ Key, Size }) => ({ key: Key, sizeBytes: Size }));
      token = page.next;
    } while (token !== undefined);
  }

  /** Whether a listing shows an object. */
  async lists(key: string): Promise<boolean> {
    // Of the keys with this prefix, it is the first.
    for await (const [first] of this.list(key)) return first?.key === key;
    return false;
  }

  /** Whether there is an object: false only if a listing and a request for it both say so. @throws StoreServiceError */
  async has(key: string): Promise<boolean> {
    if (await this.lists(key)) return true;
    return await this.#call(`looking up ${key}`, 0, async () => (await this.#client.objectExists(key)) !== false);
  }

  /** Removes an object; nothing happens if there is none, which some services answer with 404. */
  async delete(key: string): Promise<void> {
    await this.#call(`removing ${key}`, 0, () => absentAsUndefined(() => this.#client.deleteObject(key)));
  }

  #call<T>(what: string, movedBytes: number, operation: () => Promise<T>): Promise<T> {
    return this.#service.call(what, movedBytes, (signal) => withDeadline(signal, operation));
  }
}

function checksumHeader(body: Uint8Array): { "x-amz-checksum-crc32": string } {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return { "x-amz-checksum-crc32": sum.toString("base64") };
}

async function absentAsUndefined<T>(request: () => Promise<T>): Promise<T | undefined> {
  try {
    return await request();
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function joined(pieces: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  return cutOut(pieces, 0, sizeBytes);
}

/** Up to `lengthBytes` bytes of the pieces, from an offset, in one piece. */
function cutOut(pieces: readonly Uint8Array[], offset: number, lengthBytes: number): Uint8Array {
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const bytes = new Uint8Array(Math.min(lengthBytes, total - offset));
  let at = -offset;
  for (const piece of pieces) {
    const from = Math.max(0, -at);
    const to = Math.min(piece.length, bytes.length - at);
    if (from < to) bytes.set(piece.subarray(from, to), at + from);
    at += piece.length;
  }
  return bytes;
}
