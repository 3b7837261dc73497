/**
 * What a command has before an agent is opened: the global options, the output, and the identity of the home folder.
 * All commands load this module, so it loads nothing of chain, nodes and providers.
 */
import type { Command } from "commander";
import { homeDirectory, loadIdentity, requireIdentity } from "../agent/node/identity-store.ts";
import type { Identity } from "../core/identity/identity.ts";
import type { KeystoreKey } from "../core/identity/keystore.ts";
import { type KeystoreOptions, readKeystoreKey } from "./keystore-key.ts";
import { createOutput, type Output } from "./output.ts";

/** Set on the program by a command that ends with another exit code than 0 without a failure of its own. */
export const EXIT_CODE = "exitCode";

interface GlobalOptions extends KeystoreOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly home?: string;
  readonly deployment?: string;
}

/** What a command has before any identity is opened. */
export interface Surroundings {
  readonly options: GlobalOptions;
  readonly output: Output;
  readonly homeDir: string;
}

export function surroundings(command: Command): Surroundings {
  const options = command.optsWithGlobals<GlobalOptions>();
  const output = createOutput(options.json === true, options.quiet === true);
  return { options, output, homeDir: homeDirectory(options.home) };
}

/** The exit code of a command that does not fail. */
export function endWith(command: Command, code: number): void {
  let program = command;
  while (program.parent !== null) program = program.parent;
  program.setOptionValue(EXIT_CODE, code);
}

/** The keystore, being opened on another core. */
export type Opening = Promise<{ readonly identity: Promise<Identity> }>;

export interface IdentityNeeds {
  /** Of an identity that is opened by the caller too, who wipes it. */
  readonly key?: KeystoreKey | undefined;
  /** If its opening has begun already. */
  readonly opening?: Opening | undefined;
  /** Begins what does not need the identity, while the keystore is being opened. */
  readonly beside?: () => void;
}

/** Opens the identity of the home folder, runs the work, and wipes the identity. Needs no network. */
export async function withIdentity(
  around: Surroundings,
  work: (identity: Identity) => Promise<void>,
  { key, opening, beside }: IdentityNeeds = {},
): Promise<void> {
  const begun = opening ?? beginOpening(around, key);
  try {
    const { identity: opened } = await begun;
    beside?.();
    await work(await opened);
  } finally {
    wipeOnceOpen(begun);
  }
}

/** Resolves when the key of the keystore is known. Whoever needs the identity is told what failed. */
export async function beginOpening({ homeDir, options }: Surroundings, key: KeystoreKey | undefined): Opening {
  // Before the passphrase is asked for: a prompt that leads nowhere is a nuisance.
  requireIdentity(homeDir);
  const used = key ?? (await readKeystoreKey(homeDir, options));
  const identity = loadIdentity(homeDir, used);
  const wipe = () => {
    if (key === undefined) wipeKey(used);
  };
  identity.then(wipe, wipe);
  return { identity };
}

/** JavaScript cannot erase a passphrase. */
export function wipeKey(key: KeystoreKey): void {
  if (typeof key !== "string") key.wipe();
}

export function wipeOnceOpen(opening: Opening): void {
  const nothing = () => undefined;
  opening.then(({ identity }) => identity.then((one) => one.wipe(), nothing), nothing);
}
