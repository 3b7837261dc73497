/**
 * What a command has before an agent is opened: the global options, the output, and the identity of the home folder.
 * All commands load this module, so it loads nothing of chain, nodes and providers.
 */
import type { Command } from "commander";
import { homeDirectory, loadIdentity, requireIdentity } from "../agent/node/identity-store.ts";
import type { Identity } from "../core/identity/identity.ts";
import { createOutput, type Output } from "./output.ts";
import { readPassphrase } from "./secrets.ts";

/** Set on the program by a command that ends with another exit code than 0 without a failure of its own. */
export const EXIT_CODE = "exitCode";

interface GlobalOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly home?: string;
  readonly deployment?: string;
  readonly passphraseFile?: string;
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
  readonly passphrase?: string | undefined;
  /** If its opening has begun already. */
  readonly opening?: Opening | undefined;
  /** Begins what does not need the identity, while the keystore is being opened. */
  readonly beside?: () => void;
}

/** Opens the identity of the home folder, runs the work, and wipes the identity. Needs no network. */
export async function withIdentity(
  around: Surroundings,
  work: (identity: Identity) => Promise<void>,
  { passphrase, opening, beside }: IdentityNeeds = {},
): Promise<void> {
  const begun = opening ?? beginOpening(around, passphrase);
  try {
    const { identity: opened } = await begun;
    beside?.();
    await work(await opened);
  } finally {
    wipeOnceOpen(begun);
  }
}

/** Resolves when the passphrase is known. Whoever needs the identity is told what failed. */
export async function beginOpening(around: Surroundings, passphrase: string | undefined): Opening {
  // Before the passphrase is asked for: a prompt that leads nowhere is a nuisance.
  requireIdentity(around.homeDir);
  const secret = passphrase ?? (await readPassphrase(around.options.passphraseFile));
  const identity = loadIdentity(around.homeDir, secret);
  identity.catch(() => undefined);
  return { identity };
}

export function wipeOnceOpen(opening: Opening): void {
  const nothing = () => undefined;
  opening.then(({ identity }) => identity.then((one) => one.wipe(), nothing), nothing);
}
