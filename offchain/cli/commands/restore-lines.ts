/** What a restore left undone, in words: for the command line and for the Hardhat task. */
import type { GetReport, LeftReport, NotSet } from "../../agent/read/get.ts";

/** What is in the way or refused is told one by one up to this number. */
const MOST_SHOWN = 20;

const LOST_HINT =
  "hint: the provider has lost or damaged these. Put the same files again, or restore an older snapshot of them";
const NO_STUBS_HINT =
  "hint: who has left an ownership group, or was revoked from it, has no stub file: see `tallystick owners`. " +
  "Else put the same files again with --revocable";

/** Of a revocable put, for an account that has no stub file of it (`withStub`). */
function hasNoStubs({ code }: GetReport["damaged"][number]["error"]): boolean {
  return code === "NOT_OWNER";
}

/** What a restore did not do, line by line; none when it did all of it. */
export function shortfallLines({ left, notSet, damaged }: Pick<GetReport, "left" | "notSet" | "damaged">): string[] {
  const lines = [...leftLines(left), ...notSetLines(notSet)];
  if (damaged.length === 0) return lines;
  return [
    ...lines,
    ...damaged.map(({ path, error }) => damageLine(path, error.message)),
    ...(damaged.some(({ error }) => !hasNoStubs(error)) ? [LOST_HINT] : []),
    ...(damaged.some(({ error }) => hasNoStubs(error)) ? [NO_STUBS_HINT] : []),
  ];
}

/** What was in the way or refused, and how many entries are not restored because of it. */
export function leftLines({ count, entries }: LeftReport): string[] {
  if (count === 0) return [];
  // All that is below a folder has the error of the folder.
  const errors = [...new Set(entries.map(({ error }) => error))];
  const hidden = errors.length - MOST_SHOWN;
  const those = count === 1 ? "1 entry is" : `${count} entries are`;
  return [
    ...errors.slice(0, MOST_SHOWN).map(({ message }) => message),
    ...(hidden > 0 ? [`and ${hidden} more, which --json names`] : []),
    `${those} not restored; what is there was left as it is`,
    ...new Set(errors.map(({ hint }) => `hint: ${hint ?? "restore into an empty folder"}`)),
  ];
}

/** Modes and times that could not be set. Who is not root sets no owners: that is no failure. */
export function notSetLines({ mode = 0, time = 0 }: NotSet): string[] {
  return [
    ...(mode > 0 ? [`the mode of ${entriesText(mode)} could not be set`] : []),
    ...(time > 0 ? [`the time of ${entriesText(time)} could not be set`] : []),
  ];
}

/** Which key shares the read has given back to members of the committee. */
export function healedLines(healed: GetReport["healed"]): string[] {
  return healed.map(({ index, url }) => `  key share ${index} was missing; the node at ${url} has it again`);
}

function damageLine(path: string, message: string): string {
  return path === "" ? `times, modes and owners are not restored: ${message}` : message;
}

export function entriesText(count: number): string {
  return count === 1 ? "1 entry" : `${count} entries`;
}
