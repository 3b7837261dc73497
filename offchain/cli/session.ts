/**
 * What commands share: the global options, the output, and an open agent that is closed however the command ends. All
 * commands load this module, so it loads nothing of the agent: agent-session.ts does.
 */
import type { Command } from "commander";
import { homeDirectory, loadIdentity, requireIdentity } from "../agent/node/identity-store.ts";
import type { Agent } from "../agent/node/index.ts";
import { dataIdIn } from "../agent/snapshots/resolve.ts";
import { InvalidInputError } from "../core/errors.ts";
import type { Identity } from "../core/identity/identity.ts";
import { createOutput, type Output } from "./output.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { isPassphraseGiven, readPassphrase } from "./secrets.ts";

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

export interface AgentSession extends Surroundings {
  readonly agent: Agent;
  readonly progress: ProgressBar;
  /** Aborted by Ctrl-C, so that what is under way ends in order. */
  readonly signal: AbortSignal;
  /** Makes the exit code say that the command did a part of its work only. */
  incomplete(): void;
  /** Sets the exit code of a command that found what scripts branch on. */
  exitWith(code: number): void;
}

/** What some commands bring to the opening of the agent. */
export interface AgentNeeds {
  /** Of an identity that this command has just made, so that nobody is asked for it again. */
  readonly passphrase?: string | undefined;
  /** Refuses the identity before anything is sent. */
  readonly check?: ((identity: Identity) => void) | undefined;
  /** Whether contents are read or written: threads for them start while the keystore is being opened. */
  readonly contents?: boolean | undefined;
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
type Opening = Promise<{ readonly identity: Promise<Identity> }>;

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
async function beginOpening(around: Surroundings, passphrase: string | undefined): Opening {
  // Before the passphrase is asked for: a prompt that leads nowhere is a nuisance.
  requireIdentity(around.homeDir);
  const secret = passphrase ?? (await readPassphrase(around.options.passphraseFile));
  const identity = loadIdentity(around.homeDir, secret);
  identity.catch(() => undefined);
  return { identity };
}

function wipeOnceOpen(opening: Opening): void {
  const nothing = () => undefined;
  opening.then(({ identity }) => identity.then((one) => one.wipe(), nothing), nothing);
}

/**
 * Opens the agent of the home folder, runs the command's work, and closes what was opened. The network is named first.
 * A network other than the one that the home folder was first used with is refused.
 */
export async function withAgent(
  command: Command,
  work: (session: AgentSession) => Promise<void>,
  needs: AgentNeeds = {},
): Promise<void> {
  const around = surroundings(command);
  const isGiven = needs.passphrase !== undefined || isPassphraseGiven(around.options.passphraseFile);
  // The keystore takes 0.4 s of another core, and the code of an agent takes nearly half of that to load.
  const opening = isGiven ? beginOpening(around, needs.passphrase) : undefined;
  opening?.catch(() => undefined);
  try {
    const { openSession } = await import("./agent-session.ts");
    await openSession(command, around, work, { ...needs, opening });
  } finally {
    if (opening !== undefined) wipeOnceOpen(opening);
  }
}

/**
 * The data id that a person means: one as it is, or that of the snapshot which `latest`, `latest:<host>` or the
 * beginning of a snapshot id names.
 *
 * @throws InvalidInputError for a place in a snapshot; as `agent.snapshots.resolve`
 */
export async function dataIdOf(
  { agent, signal }: Pick<AgentSession, "agent" | "signal">,
  text: string,
): Promise<string> {
  if (dataIdIn(text) === text) return text;
  const { dataId, path } = await agent.snapshots.resolve(text, { signal });
  if (path === undefined) return dataId;
  throw new InvalidInputError("this command is about all of a put, not a path in it", {
    party: "you",
    check: "snapshot",
    expected: "the beginning of a snapshot id, latest, latest:<host> or a data id, without :<path>",
    received: JSON.stringify(text.slice(0, 80)),
  });
}
