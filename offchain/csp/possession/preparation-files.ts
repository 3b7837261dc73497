/**
 * The three streams of a preparation on disk: `<data>/preparations/<id>/{powers-a,powers-b,tags}`. The preparation's
 * row says how many bytes of a file count; it is written after the bytes were synced. Bytes beyond that length, left by
 * a crash, are overwritten. Beside them are the powers in expanded form, which verification derives before it marks the
 * row as verified.
 */
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { syncFolderAsync } from "../../store/disk/durable-file.ts";
import { PREPARATION_PARTS, type PreparationPart } from "../../store/index/preparation-index.ts";

/** Files derived from the streams. */
export type DerivedPart = "powers-a-expanded" | "powers-b-expanded";
type AnyPart = PreparationPart | DerivedPart;
export const DERIVED_PARTS: readonly DerivedPart[] = ["powers-a-expanded", "powers-b-expanded"];

export class PreparationFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes a preparation's folder and empty files, durably; what exists is kept. */
  async create(preparationId: number): Promise<void> {
    const folder = join(this.#folder, String(preparationId));
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const part of [...PREPARATION_PARTS, ...DERIVED_PARTS])
        await (await open(join(folder, part), "a", 0o600)).close();
      await syncFolderAsync(folder);
      await syncFolderAsync(this.#folder);
    } catch (cause) {
      throw asDiskError(cause, "making room for a preparation");
    }
  }

  /**
   * Writes a body at an offset and syncs it.
   * @param limitBytes - most bytes that the stream may still receive
   * @returns bytes written
   * @throws InvalidInputError when the body is longer than that; DiskFullError, DiskFailedError. The caller then counts
   *   nothing, and the next attempt overwrites what was written.
   */
  async write(
    preparationId: number,
    part: AnyPart,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<number> {
    return this.#with(preparationId, part, "r+", async (file) => {
      let writtenBytes = 0;
      for await (const piece of body) {
        if (writtenBytes + piece.length > limitBytes) {
          throw new InvalidInputError(`the body is longer than what is missing of ${part}`, {
            party: "client",
            check: "length",
            expected: `at most ${limitBytes} bytes`,
            received: `more than ${limitBytes} bytes`,
          });
        }
        await writeAll(file, piece, offsetBytes + writtenBytes);
        writtenBytes += piece.length;
      }
      await file.datasync();
      return writtenBytes;
    });
  }

  /** Writes part of a derived file. It is durable after `syncDerived`. */
  async writeDerived(preparationId: number, part: DerivedPart, offsetBytes: number, bytes: Uint8Array): Promise<void> {
    await this.#with(preparationId, part, "r+", (file) => writeAll(file, bytes, offsetBytes));
  }

  async syncDerived(preparationId: number): Promise<void> {
    for (const part of DERIVED_PARTS) await this.#with(preparationId, part, "r+", (file) => file.datasync());
  }

  /** Copies the start of a stream from another preparation of the same account, durably. */
  async copyStart(fromId: number, toId: number, part: AnyPart, lengthBytes: number): Promise<void> {
    if (lengthBytes === 0) return;
    const source = createReadStream(join(this.#folder, String(fromId), part), {
      end: lengthBytes - 1,
      highWaterMark: 1 << 20,
    });
    const copiedBytes = await this.write(toId, part, 0, source, lengthBytes);
    if (copiedBytes !== lengthBytes) throw shortFile(part, lengthBytes, copiedBytes);
  }

  /**
   * @returns exactly `lengthBytes` bytes.
   * @throws TallystickError DISK_FAILED when the file is shorter or cannot be read
   */
  async read(preparationId: number, part: AnyPart, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return this.#with(preparationId, part, "r", async (file) => {
      const bytes = new Uint8Array(lengthBytes);
      let filledBytes = 0;
      while (filledBytes < lengthBytes) {
        const { bytesRead } = await file.read(bytes, filledBytes, lengthBytes - filledBytes, offsetBytes + filledBytes);
        if (bytesRead === 0) throw shortFile(part, offsetBytes + lengthBytes, offsetBytes + filledBytes);
        filledBytes += bytesRead;
      }
      return bytes;
    });
  }

  /** @returns bytes in the file, 0 when there is none */
  async size(preparationId: number, part: PreparationPart): Promise<number> {
    const found = await stat(join(this.#folder, String(preparationId), part)).catch((cause: unknown) => {
      if (systemErrorCode(cause) === "ENOENT") return undefined;
      throw asDiskError(cause, `${part} of preparation ${preparationId}`);
    });
    return found?.size ?? 0;
  }

  async remove(preparationId: number): Promise<void> {
    try {
      await rm(join(this.#folder, String(preparationId)), { recursive: true, force: true });
    } catch (cause) {
      throw asDiskError(cause, "removing a preparation");
    }
  }

  /** Whether the folder has all its files; a crash while they were made may have left some out. */
  async isWhole(preparationId: number): Promise<boolean> {
    const names = new Set(await readdir(join(this.#folder, String(preparationId))));
    return [...PREPARATION_PARTS, ...DERIVED_PARTS].every((part) => names.has(part));
  }

  /** Ids of all folders, to be compared with the rows at start. Makes the folder above them if it is missing. */
  async list(): Promise<number[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return (await readdir(this.#folder)).map(Number).filter((id) => Number.isSafeInteger(id));
  }

  async #with<T>(
    preparationId: number,
    part: AnyPart,
    flags: string,
    use: (file: FileHandle) => Promise<T>,
  ): Promise<T> {
    let file: FileHandle | undefined;
    try {
      file = await open(join(this.#folder, String(preparationId), part), flags);
      return await use(file);
    } catch (cause) {
      throw asDiskError(cause, `${part} of preparation ${preparationId}`);
    } finally {
      await file?.close();
    }
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let doneBytes = 0;
  while (doneBytes < bytes.length) {
    const { bytesWritten } = await file.write(bytes, doneBytes, bytes.length - doneBytes, position + doneBytes);
    doneBytes += bytesWritten;
  }
}

function shortFile(part: AnyPart, expectedBytes: number, receivedBytes: number): TallystickError {
  return new TallystickError(`the stored ${part} are shorter than they should be`, {
    code: "DISK_FAILED",
    party: "provider",
    check: "length",
    expected: `${expectedBytes} bytes`,
    received: `${receivedBytes} bytes`,
  });
}
