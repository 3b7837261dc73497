/** Users of a network for tests: a home folder with a keystore that is cheap to open, an account with coins. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createIdentity } from "../../offchain/agent/node/identity-store.ts";
import { type Agent, openAgent } from "../../offchain/agent/node/index.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import type { CommandUser } from "../../scripts/demo/command.ts";
import type { TestNet } from "./shared-net.ts";

/** As cheap to open as the format allows: the cost of keystores is tested elsewhere. */
const COST = { n: 2, r: 8, p: 1 };
const ETHER = 10n ** 18n;

export interface Person extends CommandUser {
  readonly account: string;
  readonly recoveryPhrase: string;
}

/** @param name of the home folder, new in this network */
export async function newPerson(net: TestNet, name: string): Promise<Person> {
  const recoveryPhrase = newRecoveryPhrase();
  const person = await personFrom(net, name, recoveryPhrase);
  await net.fund([person.account], 100n * ETHER);
  return person;
}

/** Somebody on a new device, with nothing but the recovery phrase. */
export async function personFrom(net: TestNet, name: string, recoveryPhrase: string): Promise<Person> {
  const home = join(net.dir, name);
  mkdirSync(home, { mode: 0o700 });
  const passphrase = `passphrase of ${name}`;
  const { identity } = await createIdentity(home, passphrase, recoveryPhrase, COST);
  const { account } = identity;
  identity.wipe();
  return { home, deploymentFile: net.deploymentFile, passphrase, account, recoveryPhrase };
}

/** The SDK as this person, in this process. @param deployment other than the network's own */
export function agentOf(net: TestNet, person: Person, deployment: Deployment = net.deployment): Promise<Agent> {
  return openAgent({ identity: identityFromPhrase(person.recoveryPhrase), deployment, homeDir: person.home });
}

/** Does something with the SDK as this person. */
export async function withAgentOf<Result>(
  net: TestNet,
  person: Person,
  work: (agent: Agent) => Promise<Result>,
  deployment?: Deployment,
): Promise<Result> {
  const agent = await agentOf(net, person, deployment);
  try {
    return await work(agent);
  } finally {
    await agent.close();
  }
}
