/** One file of this machine from a stream: it appears under its name when all of it is there. */

import { type FileHandle, link, lstat, open, rename, rm } from "node:fs/promises";
import { randomBytes } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { InTheWayError } from "../read/obstacles.ts";
import { streamPieces } from "../read/stream-pieces.ts";

/** File systems without hard links, such as FAT, answer a link with one of these. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

/**
 * @param file made by this call; what has the name already is replaced only if told so, and never a folder.
 * @returns bytes written
 * @throws TallystickError CONFLICT, DISK_FULL, DISK_FAILED; whatever the stream fails with. Nothing is left behind
 */
export async function saveStream(
  stream: ReadableStream<Uint8Array>,
  file: string,
  { overwrite }: { readonly overwrite: boolean },
): Promise<number> {
  const found = await onDisk(file, () => kindAt(file));
  if (found === "folder" || (found !== "nothing" && !overwrite))
    throw new InTheWayError(file, "a file", found !== "folder");
  const part = `${file}.${toHex(randomBytes(8)).slice(2)}.part`;
  const handle = await onDisk(part, () => open(part, "wx"));
  try {
    const written = await writeAll(handle, stream, part);
    await onDisk(file, () => (overwrite ? rename(part, file) : nameWithoutReplacing(part, file)));
    return written;
  } finally {
    await rm(part, { force: true });
  }
}

async function writeAll(handle: FileHandle, stream: ReadableStream<Uint8Array>, part: string): Promise<number> {
  let written = 0;
  try {
    for await (const piece of streamPieces(stream)) {
      await onDisk(part, () => handle.writeFile(piece));
      written += piece.length;
    }
    return written;
  } finally {
    await onDisk(part, () => handle.close());
  }
}

/** A link, unlike a rename, does not replace what somebody has put there meanwhile. */
async function nameWithoutReplacing(part: string, file: string): Promise<void> {
  try {
    await link(part, file);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "EEXIST") throw new InTheWayError(file, "a file", true);
    if (!NO_LINKS.has(code)) throw error;
    if ((await kindAt(file)) !== "nothing") throw new InTheWayError(file, "a file", true);
    await rename(part, file);
  }
}

async function kindAt(file: string): Promise<"nothing" | "folder" | "other"> {
  try {
    return (await lstat(file)).isDirectory() ? "folder" : "other";
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return "nothing";
    throw error;
  }
}

async function onDisk<Result>(file: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw asDiskError(error, `writing ${file}`);
  }
}
