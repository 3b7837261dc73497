/**
 * Opens an agent for a command. Loaded by the commands that need one, while the keystore is being opened: with the
 * chain, nodes and providers it is most of the program's code.
 */
import type { Command } from "commander";
import { prepareSigning } from "../agent/account.ts";
import { systemClock } from "../agent/clock.ts";
import { describeNetwork, networkFacts } from "../agent/network-facts.ts";
import { type FoundDeployment, findDeployment } from "../agent/node/deployment-file.ts";
import { type Agent, openAgent, startWorkerStages } from "../agent/node/index.ts";
import { meetNetwork, type NetworkMeeting } from "../agent/node/network-pin.ts";
import type { AgentLogger } from "../agent/progress.ts";
import { WaitNotices } from "../agent/wait-notices.ts";
import type { Identity } from "../core/identity/identity.ts";
import type { KeystoreKey } from "../core/identity/keystore.ts";
import { EXIT } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import type { Output } from "./output.ts";
import { createProgressBar, type ProgressBar } from "./progress-bar.ts";
import { endWith, type IdentityNeeds, type Surroundings, withIdentity } from "./surroundings.ts";

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
  readonly key?: KeystoreKey | undefined;
  /** Refuses the identity before anything is sent. */
  readonly check?: ((identity: Identity) => void) | undefined;
  /** Whether contents are read or written: threads for them start while the keystore is being opened. */
  readonly contents?: boolean | undefined;
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

/** See `withAgent`. */
export async function openSession(
  command: Command,
  around: Surroundings,
  work: (session: AgentSession) => Promise<void>,
  needs: AgentNeeds & Pick<IdentityNeeds, "opening">,
): Promise<void> {
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
    await withIdentity(around, open, { key: needs.key, opening: needs.opening, beside });
  } finally {
    // The agent has closed the connection and the threads, unless none was opened.
    meeting?.close();
    await stages?.close();
  }
}
