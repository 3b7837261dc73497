/**
 * A disk that refuses some calls, as other file systems and other owners do: the calls of `node:fs` are replaced while
 * work is done.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

/** @returns the code of the error; undefined for a call that is carried out */
export type Rule = (...parameters: never[]) => string | undefined;

type Call = (...parameters: unknown[]) => unknown;

/** @param rules by the name of the call in `node:fs` */
export async function refusing<Result>(
  rules: Readonly<Record<string, Rule>>,
  work: () => Promise<Result>,
): Promise<Result> {
  const calls = fs as unknown as Record<string, Call>;
  const originals = Object.fromEntries(Object.keys(rules).map((name) => [name, calls[name] as Call]));
  for (const [name, rule] of Object.entries(rules)) {
    calls[name] = (...parameters) => {
      const code = (rule as (...all: unknown[]) => string | undefined)(...parameters);
      if (code !== undefined) throw Object.assign(new Error(`${code}: refused by the test`), { code, syscall: name });
      return originals[name]?.(...parameters);
    };
  }
  syncBuiltinESMExports();
  try {
    return await work();
  } finally {
    Object.assign(calls, originals);
    syncBuiltinESMExports();
  }
}

/** Rules of a file system like FAT: no links of any kind, and no colon in a name. */
export const FAT: Readonly<Record<string, Rule>> = {
  symlinkSync: () => "EPERM",
  linkSync: () => "EPERM",
  mkdirSync: (path: unknown) => refusedName(path),
  openSync: (path: unknown, flags: unknown) =>
    flags === "wx" || (Number(flags) & fs.constants.O_CREAT) !== 0 ? refusedName(path) : undefined,
  renameSync: (_: unknown, path: unknown) => refusedName(path),
};

function refusedName(path: unknown): string | undefined {
  const text = String(path);
  return text.slice(text.lastIndexOf("/")).includes(":") ? "EINVAL" : undefined;
}
