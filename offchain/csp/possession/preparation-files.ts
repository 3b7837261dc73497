/**
 * The streams of a preparation as files of this machine: `<data>/preparations/<id>/<part>`.
 */
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { syncFolderAsync } from "../../store/disk/durable-file.ts";
import { PREPARATION_PARTS, type PreparationPart } from "../../store/index/preparation-index.ts";
import { bodyTooLong, type PreparationStreams, streamTooShort } from "../../store/index/preparation-streams.ts";

export class PreparationFiles implements PreparationStreams {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async create(preparationId: number): Promise<void> {
    const folder = join(this.#folder, String(preparationId));
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const part of PREPARATION_PARTS) await (await open(join(folder, part), "a", 0o600)).close();
      await syncFolderAsync(folder);
      await syncFolderAsync(this.#folder);
    } catch (cause) {
      throw asDiskError(cause, "making room for a preparation");
    }
  }

  async write(
    preparationId: number,
    part: PreparationPart,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<number> {
    return this.#with(preparationId, part, "r+", async (file) => {
      let writtenBytes = 0;
      for await (const piece of body) {
        if (writtenBytes + piece.length > limitBytes) {
          throw bodyTooLong(part, limitBytes);
        }
        await writeAll(file, piece, offsetBytes + writtenBytes);
        writtenBytes += piece.length;
      }
      await file.datasync();
      return writtenBytes;
    });
  }

  async copyStart(fromId: number, toId: number, part: PreparationPart, lengthBytes: number): Promise<void> {
    if (lengthBytes === 0) return;
    const source = createReadStream(join(this.#folder, String(fromId), part), {
      end: lengthBytes - 1,
      highWaterMark: 1 << 20,
    });
    const copiedBytes = await this.write(toId, part, 0, source, lengthBytes);
    if (copiedBytes !== lengthBytes) throw streamTooShort(part, lengthBytes, copiedBytes);
  }

  async read(
    preparationId: number,
    part: PreparationPart,
    offsetBytes: number,
    lengthBytes: number,
  ): Promise<Uint8Array> {
    return this.#with(preparationId, part, "r", async (file) => {
      const bytes = new Uint8Array(lengthBytes);
      let filledBytes = 0;
      while (filledBytes < lengthBytes) {
        const { bytesRead } = await file.read(bytes, filledBytes, lengthBytes - filledBytes, offsetBytes + filledBytes);
        if (bytesRead === 0) throw streamTooShort(part, offsetBytes + lengthBytes, offsetBytes + filledBytes);
        filledBytes += bytesRead;
      }
      return bytes;
    });
  }

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

  async isWhole(preparationId: number): Promise<boolean> {
    const names = new Set(await readdir(join(this.#folder, String(preparationId))));
    return PREPARATION_PARTS.every((part) => names.has(part));
  }

  /** Ids of all folders, to be compared with the rows at start. Makes the folder above them if it is missing. */
  async list(): Promise<number[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return (await readdir(this.#folder)).map(Number).filter((id) => Number.isSafeInteger(id));
  }

  async #with<T>(
    preparationId: number,
    part: PreparationPart,
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
