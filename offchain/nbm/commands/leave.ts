/** `tallystick-nbm exit` and `tallystick-nbm withdraw-stake`: how a node leaves the registry. */
import { readNode, requestExitCall, withdrawStakeCall } from "../../chain/registry.ts";
import { TallystickError } from "../../core/errors.ts";
import { type Operator, operatorCommand, readAddress } from "../../daemon/operator-command.ts";
import type { NbmConfig } from "../config.ts";
import { noteExit } from "../exit-note.ts";

const timeOf = (seconds: number): string => new Date(seconds * 1000).toISOString();

async function requireNode({ chain, account }: Operator, atBlock?: number) {
  const node = await readNode(chain, account, atBlock);
  if (node !== undefined) return node;
  throw new TallystickError("the node is not registered", {
    code: "NOT_FOUND",
    party: "you",
    check: "registration",
    expected: `a node of ${account}`,
    received: "none",
  });
}

export const exitCommand = operatorCommand<NbmConfig>({
  kind: "nbm",
  contracts: ["nodeRegistry", "keyLedger"],
  name: "exit",
  description: "leave the registry: the node joins no committee any more, and its stake is free after the exit delay",
  options: [],
  example: "exit --config nbm.json",
  act: async (operator, { dataDir }) => {
    const { exitAt: before } = await requireNode(operator);
    noteExit(dataDir, operator.account);
    const sent = before === 0 ? await operator.send(requestExitCall(operator.chain.deployment)) : undefined;
    // Of several nodes behind an endpoint, another one may be behind the block of the transaction.
    const exitAt = sent === undefined ? before : (await requireNode(operator, sent.blockNumber)).exitAt;
    const remark =
      "leave the daemon running until its committees have other members: `tallystick-nbm replace` proposes them";
    return { facts: { exitAt, ...sent }, text: `the stake can be withdrawn from ${timeOf(exitAt)} on; ${remark}` };
  },
});

export const withdrawStakeCommand = operatorCommand<NbmConfig>({
  kind: "nbm",
  contracts: ["nodeRegistry", "keyLedger"],
  name: "withdraw-stake",
  description: "withdraw the stake of a node that has left, once the exit delay is over",
  options: [["--to <account>", "who receives it (default: the operator)"]],
  example: "withdraw-stake --config nbm.json",
  act: async (operator, { dataDir }, options) => {
    const { exitAt, stakeWei } = await requireNode(operator);
    const head = await operator.chain.provider.getBlock("latest");
    if (exitAt === 0 || (head !== null && head.timestamp < exitAt)) throw tooEarly(exitAt);
    const to = readAddress(options, "to", operator.account);
    noteExit(dataDir, operator.account);
    const sent = await operator.send(withdrawStakeCall(operator.chain.deployment, to));
    return { facts: { stakeWei, to, ...sent }, text: `withdrew the stake of ${stakeWei} wei to ${to}` };
  },
});

function tooEarly(exitAt: number): TallystickError {
  return new TallystickError("the stake is not free yet", {
    code: "CONFLICT",
    party: "you",
    check: "end of the exit delay",
    expected: exitAt === 0 ? "a node that leaves" : `a block of ${timeOf(exitAt)} or later`,
    received: exitAt === 0 ? "one that has not asked to leave" : "an earlier one",
    hint: exitAt === 0 ? "run `tallystick-nbm exit` first" : "wait until then",
  });
}
