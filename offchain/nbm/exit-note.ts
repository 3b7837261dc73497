/**
 * A note in the data folder that the node was to leave the registry. Once its stake is withdrawn, the chain does not
 * tell it from a node that has not registered yet, and the next start would deposit a stake again.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TallystickError } from "../core/errors.ts";
import { systemErrorCode } from "../store/disk/disk-errors.ts";
import { createDurably } from "../store/disk/durable-file.ts";

const fileIn = (dataDir: string): string => join(dataDir, "left-registry");

/** Notes durably that the node leaves; changes nothing when that is noted. @throws TallystickError DISK_FAILED */
export function noteExit(dataDir: string, operator: string): void {
  const file = fileIn(dataDir);
  try {
    createDurably(file, `${operator} left the registry. Remove this file to let autoRegister register it again.\n`);
  } catch (cause) {
    if (systemErrorCode(cause) === "EEXIST") return;
    throw new TallystickError(`${file} cannot be written`, {
      code: "DISK_FAILED",
      party: "you",
      check: "note that the node leaves",
      hint: "run the command on the machine of the daemon, as its user",
      cause,
    });
  }
}

/**
 * For a node that is not registered and may register itself.
 * @throws TallystickError CONFLICT when it was to leave; DISK_FAILED
 */
export function requireNoExit(dataDir: string, operator: string): void {
  const file = fileIn(dataDir);
  try {
    readFileSync(file);
  } catch (cause) {
    if (systemErrorCode(cause) === "ENOENT") return;
    throw new TallystickError(`${file} cannot be read`, { code: "DISK_FAILED", party: "this node", cause });
  }
  throw new TallystickError(`node ${operator} has left the registry`, {
    code: "CONFLICT",
    party: "this node",
    check: "registration",
    expected: "a node that has never asked to leave",
    received: file,
    hint: `remove ${file} to register again with the stake of autoRegister`,
  });
}
