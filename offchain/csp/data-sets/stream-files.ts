/**
 * The streams of data sets as files of this machine: `<data>/data-sets/<id>/<stream>`.
 */
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { syncFolderAsync } from "../../store/disk/durable-file.ts";
import {
  bodyTooLong,
  type DataSetStream,
  type DataSetStreams,
  streamTooShort,
} from "../../store/index/data-set-streams.ts";

export class DataSetFiles implements DataSetStreams {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async write(
    dataSetId: number,
    stream: DataSetStream,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<number> {
    if (offsetBytes === 0) await this.#create(dataSetId, stream);
    return this.#with(dataSetId, stream, "r+", async (file) => {
      let writtenBytes = 0;
      for await (const piece of body) {
        if (writtenBytes + piece.length > limitBytes) throw bodyTooLong(stream, limitBytes);
        await writeAll(file, piece, offsetBytes + writtenBytes);
        writtenBytes += piece.length;
      }
      await file.datasync();
      return writtenBytes;
    });
  }

  /** Makes a stream durable that is empty; what exists is kept. */
  async #create(dataSetId: number, stream: DataSetStream): Promise<void> {
    const folder = join(this.#folder, String(dataSetId));
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await (await open(join(folder, stream), "a", 0o600)).close();
      await syncFolderAsync(folder);
      await syncFolderAsync(this.#folder);
    } catch (cause) {
      throw asDiskError(cause, "making room for a data set");
    }
  }

  async read(dataSetId: number, stream: DataSetStream, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return this.#with(dataSetId, stream, "r", async (file) => {
      const bytes = new Uint8Array(lengthBytes);
      let filledBytes = 0;
      while (filledBytes < lengthBytes) {
        const { bytesRead } = await file.read(bytes, filledBytes, lengthBytes - filledBytes, offsetBytes + filledBytes);
        if (bytesRead === 0) throw streamTooShort(stream, offsetBytes + lengthBytes, offsetBytes + filledBytes);
        filledBytes += bytesRead;
      }
      return bytes;
    });
  }

  async size(dataSetId: number, stream: DataSetStream): Promise<number> {
    const found = await stat(join(this.#folder, String(dataSetId), stream)).catch((cause: unknown) => {
      if (systemErrorCode(cause) === "ENOENT") return undefined;
      throw asDiskError(cause, `${stream} of data set ${dataSetId}`);
    });
    return found?.size ?? 0;
  }

  removeStream(dataSetId: number, stream: DataSetStream): Promise<void> {
    return this.#remove(join(this.#folder, String(dataSetId), stream));
  }

  remove(dataSetId: number): Promise<void> {
    return this.#remove(join(this.#folder, String(dataSetId)));
  }

  async #remove(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (cause) {
      throw asDiskError(cause, "removing the streams of a data set");
    }
  }

  /** Ids of all folders, to be compared with the rows at start. Makes the folder above them if it is missing. */
  async list(): Promise<number[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return (await readdir(this.#folder)).map(Number).filter((id) => Number.isSafeInteger(id));
  }

  async #with<T>(
    dataSetId: number,
    stream: DataSetStream,
    flags: string,
    use: (file: FileHandle) => Promise<T>,
  ): Promise<T> {
    let file: FileHandle | undefined;
    try {
      file = await open(join(this.#folder, String(dataSetId), stream), flags);
      return await use(file);
    } catch (cause) {
      throw asDiskError(cause, `${stream} of data set ${dataSetId}`);
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
