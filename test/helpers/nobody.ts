/** Root may do everything: what another user may not do is tested as one. */

export const IS_ROOT = process.getuid?.() === 0;
export const NOBODY = 65_534;

/** Runs work as a user without rights, if this is root; else as this user. */
export async function asNobody<Result>(work: () => Promise<Result>): Promise<Result> {
  if (!IS_ROOT) return await work();
  process.setegid?.(NOBODY);
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
