/** What operators of key nodes and users of a committee do in tests: propose generations, evaluate. */

import { AgentContext } from "../../offchain/agent/context.ts";
import { SILENT } from "../../offchain/agent/progress.ts";
import { createCommitteeCall } from "../../offchain/chain/registry.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { oprfInput } from "../../offchain/core/crypto/encryption.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { programPath } from "../../scripts/programs.ts";
import { runDaemonCommandBeside } from "./daemon-process.ts";
import type { LocalChain } from "./local-chain.ts";
import { memoryPlatform } from "./memory-platform.ts";
import { PASSPHRASE, type TestNode } from "./nbm-committee.ts";
import { until } from "./promises.ts";

/** Creates a committee with these members, in the name of the first. */
export async function createCommittee(
  local: LocalChain,
  members: readonly TestNode[],
  threshold: number,
): Promise<void> {
  const [creator] = members as [TestNode];
  const sender = new TransactionSender(local.chain, (await creator.keys()).signingKey);
  const operators = members.map(({ operator }) => operator);
  await sender.send(createCommitteeCall(local.deployment, operators, threshold));
}

/** Runs a command of a node's operator; what `--json` prints. @throws Error with what it says when it fails */
// biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
export async function operatorCommand(node: TestNode, ...words: string[]): Promise<any> {
  const args = [...words, "--config", node.configFile, "--json"];
  const env = { TALLYSTICK_PASSPHRASE: PASSPHRASE };
  const { status, stdout, stderr } = await runDaemonCommandBeside(programPath("tallystick-nbm"), args, env);
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** Waits until all nodes serve a generation of committee 1. */
export async function serving(nodes: readonly TestNode[], generation: number, seconds = 60): Promise<void> {
  const report = () => nodes.map(({ log }) => log.slice(-1500)).join("\n");
  const isServing = async (node: TestNode) => {
    const { committees } = await node.describe();
    return committees.some((each) => each.generation === generation && each.ready);
  };
  const all = async () => (await Promise.all(nodes.map(isServing))).every(Boolean);
  await until(`generation ${generation}`, all, seconds, report);
}

/** The generations of committee 1 that a node has anything of. */
export async function generationsAt(node: TestNode): Promise<number[]> {
  return (await node.describe()).committees.map(({ generation }) => generation);
}

/** An agent of a new account, or of one on a new device, which asks the committee of the deployment. */
export function agentContext(local: LocalChain, phrase = newRecoveryPhrase()): AgentContext {
  return new AgentContext({
    identity: identityFromPhrase(phrase),
    deployment: { ...local.deployment, committeeId: "1" },
    platform: memoryPlatform({ http: {} }),
    logger: SILENT,
    confirmations: 1,
  });
}

/** What the committee makes of one input: object ids follow from it. */
export async function outputOf(context: AgentContext): Promise<string> {
  const { oprf } = await context.committeeById(1n);
  const [output] = await oprf.evaluate([oprfInput("public", "chunk", new Uint8Array(32).fill(9))]);
  return toHex(output as Uint8Array);
}
