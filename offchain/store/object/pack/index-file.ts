/** The files of a SQLite database. */
import { rmSync } from "node:fs";

/** Removes a database with its log. */
export function removeDatabase(path: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}
