/** What the tasks share: the identity of the home folder, the deployment, and the endpoint of Hardhat's network. */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { describeNetwork, networkFacts } from "../../agent/network-facts.ts";
import { findDeployment } from "../../agent/node/deployment-file.ts";
import { homeDirectory, loadIdentity } from "../../agent/node/identity-store.ts";
import { type Agent, openAgent } from "../../agent/node/index.ts";
import { pinNetwork } from "../../agent/node/network-pin.ts";
import { useProxyFromEnvironment } from "../../agent/node/proxy.ts";
import type { Deployment } from "../../chain/deployment.ts";
import { EXIT, exitCodeOf } from "../../cli/exit-codes.ts";
import { createOutput } from "../../cli/output.ts";
import { readPassphrase } from "../../cli/secrets.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";

export interface TaskOptions {
  readonly home: string | undefined;
  readonly deployment: string | undefined;
  readonly passphraseFile: string | undefined;
}

/** Of tasks about one data set. */
export interface DataSetTaskOptions extends TaskOptions {
  /** Its id, or the beginning of it. */
  readonly dataSet: string;
}

/** Prints a typed failure as one JSON document on stdout and as text on stderr. @throws any other error unchanged */
export function reportFailure(error: unknown): void {
  if (!(error instanceof TallystickError)) throw error;
  createOutput(true, false).failure(error);
  process.exitCode = exitCodeOf(error.code);
}

/** Says on stderr what was not done, and has the exit code say so, as the command line does. */
export function reportIncomplete(lines: readonly string[]): void {
  const { say } = createOutput(true, false);
  for (const line of lines) say(`tallystick: ${line.trimStart()}`);
  process.exitCode = EXIT.incomplete;
}

/** The deployment, reached through the endpoint of the network that was named on Hardhat's command line. */
export async function taskDeployment(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<Deployment> {
  await useProxyFromEnvironment();
  const homeDir = homeDirectory(options.home);
  const { deployment } = findDeployment({ named: options.deployment, homeDir });
  const network = hre.config.networks[hre.globalOptions.network ?? ""];
  if (network === undefined || network.type !== "http") return deployment;
  return { ...deployment, rpcUrl: await network.url.getUrl() };
}

/** Opens the agent, runs the work, closes what was opened, and prints the result as one JSON document. */
export async function runWithAgent(
  options: TaskOptions,
  hre: HardhatRuntimeEnvironment,
  work: (agent: Agent) => Promise<unknown>,
): Promise<void> {
  const deployment = await taskDeployment(options, hre);
  const homeDir = homeDirectory(options.home);
  const identity = await loadIdentity(homeDir, await readPassphrase(options.passphraseFile));
  const agent = await openAgent({ identity, deployment, homeDir });
  try {
    process.stderr.write(`tallystick: network: ${describeNetwork(networkFacts(deployment))}\n`);
    await pinNetwork(homeDir, deployment);
    print(await work(agent));
  } finally {
    await agent.close();
    identity.wipe();
  }
}

export function print(document: unknown): void {
  const text = (_key: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);
  process.stdout.write(`${JSON.stringify(document, text, 2)}\n`);
}

/** @throws InvalidInputError naming the option when it was left out */
export function required(value: string, option: string): string {
  if (value !== "") return value;
  throw new InvalidInputError(`--${option} is missing`, {
    party: "you",
    check: "task options",
    expected: `--${option} <value>`,
  });
}

/** @throws InvalidInputError when the text is no amount in the smallest unit */
export function amountOption(value: string, option: string): bigint {
  if (/^\d{1,78}$/.test(value)) return BigInt(value);
  throw new InvalidInputError(`--${option} takes a whole number of wei`, { party: "you", received: value });
}
