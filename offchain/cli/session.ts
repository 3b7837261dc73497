/**
 * What commands share: the global options, the output, and an open agent that is closed however the command ends.
 */
import type { Command } from "commander";
import { prepareSigning } from "../agent/account.ts";
import { systemClock } from "../agent/clock.ts";
import { describeNetwork, networkFacts } from "../agent/network-facts.ts";
import { type FoundDeployment, findDeployment } from "../agent/node/deployment-file.ts";
import { homeDirectory, loadIdentity, requireIdentity } from "../agent/node/identity-store.ts";
import { type Agent, openAgent, startWorkerStages } from "../agent/node/index.ts";
import { meetNetwork, type NetworkMeeting } from "../agent/node/network-pin.ts";
import type { AgentLogger } from "../agent/progress.ts";
import { dataIdIn } from "../agent/snapshots/resolve.ts";
import { WaitNotices } from "../agent/wait-notices.ts";
import { InvalidInputError } from "../core/errors.ts";
import type { Identity } from "../core/identity/identity.ts";
import { EXIT } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { createOutput, type Output } from "./output.ts";
import { createProgressBar, type ProgressBar } from "./progress-bar.ts";
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

/**
 * Finds the deployment, and says which files were found and not used.
 * @throws TallystickError NO_DEPLOYMENT, WRONG_NETWORK
 */
export function requireDeployment({ options, output, homeDir }: Surroundings): FoundDeployment {
  const found = findDeployment({ named: options.deployment, homeDir });
  for (const ignored of found.ignored) output.say(`tallystick: ignored ${ignored}`);
  return found;
}

/** Remarks of the SDK for people at a terminal; programs get them as part of the result. */
export function agentLogger(output: Output): AgentLogger {
  return {
    debug: (facts, message) => {
      if (process.env.TALLYSTICK_DEBUG) output.say(`tallystick: ${message} ${JSON.stringify(facts)}`);
    },
    warn: (facts, message) => {
      const about = Object.entries(facts).map(([name, value]) => `${name} ${String(value)}`);
      output.say(`tallystick: ${message}${about.length > 0 ? ` (${about.join(", ")})` : ""}`);
    },
  };
}

/**
 * Opens the identity of the home folder, runs the work, and wipes the identity. Needs no network.
 * @param beside begins what does not need the identity, while the keystore is being opened on another core
 */
export async function withIdentity(
  around: Surroundings,
  work: (identity: Identity) => Promise<void>,
  { passphrase, beside }: { passphrase?: string | undefined; beside?: () => void } = {},
): Promise<void> {
  // Before the passphrase is asked for: a prompt that leads nowhere is a nuisance.
  requireIdentity(around.homeDir);
  const secret = passphrase ?? (await readPassphrase(around.options.passphraseFile));
  const opening = loadIdentity(around.homeDir, secret);
  try {
    beside?.();
  } catch (error) {
    opening.then(
      (identity) => identity.wipe(),
      () => undefined,
    );
    throw error;
  }
  const identity = await opening;
  try {
    await work(identity);
  } finally {
    identity.wipe();
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
  const { options, homeDir } = around;
  const { deployment } = requireDeployment(around);
  const network = networkFacts(deployment);
  // Results name the network too.
  const output: Output = {
    ...around.output,
    result: (document, lines) => around.output.result({ network, ...document }, lines),
  };
  const exitWith = (code: number) => endWith(command, code);
  const incomplete = () => exitWith(EXIT.incomplete);
  let meeting: NetworkMeeting | undefined;
  let stages: ReturnType<typeof startWorkerStages> | undefined;
  const beside = () => {
    if (needs.contents === true) stages = startWorkerStages();
    meeting = meetNetwork(homeDir, deployment);
    // While the network answers. Few commands sign nothing.
    setImmediate(prepareSigning);
  };
  const open = async (identity: Identity) => {
    needs.check?.(identity);
    output.say(`tallystick: network: ${describeNetwork(network)}`);
    const logger = agentLogger(output);
    const progress = createProgressBar(!output.json && options.quiet !== true);
    const { chain, pinned } = meeting ?? meetNetwork(homeDir, deployment);
    const connected = chain === undefined ? {} : { chain };
    const agent = await openAgent({ identity, deployment, homeDir, logger, stages, ...connected });
    try {
      await interruptible(async (signal) => {
        const waits = new WaitNotices(logger, systemClock);
        await waits.during("chain", "checking the network", pinned);
        await work({ ...around, output, agent, progress, signal, incomplete, exitWith });
      });
    } finally {
      progress.stop();
      await agent.close();
    }
  };
  try {
    await withIdentity(around, open, { passphrase: needs.passphrase, beside });
  } finally {
    // The agent has closed the connection and the threads, unless none was opened.
    meeting?.close();
    await stages?.close();
  }
}
