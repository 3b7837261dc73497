/**
 * What commands share: the global options, the output, and an open agent that is closed however the command ends.
 */
import type { Command } from "commander";
import { findDeployment } from "../agent/node/deployment-file.ts";
import { homeDirectory, loadIdentity, requireIdentity } from "../agent/node/identity-store.ts";
import { type Agent, openAgent } from "../agent/node/index.ts";
import type { AgentLogger } from "../agent/progress.ts";
import { interruptible } from "./interrupt.ts";
import { createOutput, type Output } from "./output.ts";
import { createProgressBar, type ProgressBar } from "./progress-bar.ts";
import { readPassphrase } from "./secrets.ts";

interface GlobalOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly home?: string;
  readonly deployment?: string;
  readonly passphraseFile?: string;
}

/** A command's surroundings before any identity is opened. */
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
}

export function surroundings(command: Command): Surroundings {
  const options = command.optsWithGlobals<GlobalOptions>();
  const output = createOutput(options.json === true, options.quiet === true);
  return { options, output, homeDir: homeDirectory(options.home) };
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
 * Opens the agent of the home folder, runs the command's work, and closes what was opened.
 *
 * @param knownPassphrase of an identity that this command has just made, so that nobody is asked for it again.
 */
export async function withAgent(
  command: Command,
  work: (session: AgentSession) => Promise<void>,
  knownPassphrase?: string,
): Promise<void> {
  const around = surroundings(command);
  const { options, output, homeDir } = around;
  // Both files are looked at before the passphrase is asked for: a prompt that leads nowhere is a nuisance.
  const { deployment } = findDeployment({ named: options.deployment, homeDir });
  requireIdentity(homeDir);
  const identity = await loadIdentity(homeDir, knownPassphrase ?? (await readPassphrase(options.passphraseFile)));
  const agent = await openAgent({ identity, deployment, homeDir, logger: agentLogger(output) });
  const progress = createProgressBar(!output.json && options.quiet !== true);
  try {
    await interruptible((signal) => work({ ...around, agent, progress, signal }));
  } finally {
    progress.stop();
    await agent.close();
    identity.wipe();
  }
}
