/** Bytes of open files, all that were asked for: the calls of the system may take or give fewer. */
import { readSync, write, writeSync } from "node:fs";

/** @returns the number of bytes read, less than asked for at the end of the file */
export function readFully(file: number, bytes: Uint8Array, position: number): number {
  let end = 0;
  while (end < bytes.length) {
    const length = readSync(file, bytes, end, bytes.length - end, position + end);
    if (length === 0) break;
    end += length;
  }
  return end;
}

export function writeFully(file: number, bytes: Uint8Array, position: number): void {
  for (let written = 0; written < bytes.length; )
    written += writeSync(file, bytes, written, bytes.length - written, position + written);
}

/** For many bytes: the copy takes longer than the way to the thread. */
export async function writeOnThread(file: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const start = written;
    written += await new Promise<number>((resolve, reject) => {
      write(file, bytes, start, bytes.length - start, position + start, (error, length) =>
        error === null ? resolve(length) : reject(error),
      );
    });
  }
}
