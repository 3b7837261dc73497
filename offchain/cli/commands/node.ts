/** `tallystick node`: what a user does about key nodes that signed wrong answers. */

import type { Command } from "commander";
import type { ChallengeQuote } from "../../agent/index.ts";
import { readAnswerEvidence } from "../../agent/node/wrong-answer-files.ts";
import { formatEther } from "../../core/encoding/amounts.ts";
import { withAgent } from "../session.ts";
import { address } from "../values.ts";
import { type GasFeeOptions, gasFeeOption, maximumFee } from "./gas-fee.ts";

const HELP = `
A key node signs every answer, together with a proof that the answer is right. When the proof of a signed answer does
not verify, this device keeps the answer as evidence and says so. The chain checks the proof again: the node loses its
stake, a part of which goes to the account that was answered; the bond comes back. A challenge of a right answer would
cost the bond, so it is not sent.

Examples:
  $ tallystick node challenge                     the nodes that evidence is kept against
  $ tallystick node challenge 0x7099… --dry-run
  $ tallystick node challenge 0x7099…
  $ tallystick node challenge ./evidence.json`;

function costLine({ bondWei, gas, gasFee }: ChallengeQuote): string {
  return `bond ${formatEther(bondWei)}, which comes back; gas at most ${gas}, now ${formatEther(gasFee)}`;
}

export function registerNode(program: Command): void {
  const node = program
    .command("node")
    .description("challenge key nodes that signed wrong answers")
    .addHelpText("after", "\nExample:\n  $ tallystick node challenge");
  node
    .command("challenge")
    .description("show the chain a wrong answer that a key node signed: the node loses its stake")
    .argument("[evidence]", "operator of the node, or a file with evidence; without it, lists what is kept")
    .addOption(gasFeeOption())
    .option("-n, --dry-run", "only show what it would cost")
    .addHelpText("after", HELP)
    .action(async (named: string | undefined, options: GasFeeOptions & { dryRun?: boolean }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        if (named === undefined) {
          const operators = agent.keyNodes.accused();
          output.result({ operators }, operators.length === 0 ? ["no wrong answers are kept here"] : operators);
          return;
        }
        const isOperator = /^0x[0-9a-fA-F]{40}$/.test(named);
        const evidence = isOperator ? agent.keyNodes.evidenceAgainst(address(named)) : await readAnswerEvidence(named);
        const quote = await agent.keyNodes.quoteChallenge(evidence);
        const { operator, stakeWei, rewardWei, account } = quote;
        if (options.dryRun === true) {
          output.result(quote, [
            `challenging node ${operator} would cost:`,
            `  ${costLine(quote)}`,
            `  it would lose ${formatEther(stakeWei)}, of which ${formatEther(rewardWei)} goes to ${account}`,
          ]);
          return;
        }
        output.say(`tallystick: challenging node ${operator}: ${costLine(quote)}`);
        const done = await agent.keyNodes.challenge(evidence, maximumFee(options));
        output.result(
          done,
          done.convicted
            ? [
                `node ${operator} was convicted in block ${done.blockNumber} and lost ${formatEther(done.stakeWei)}`,
                `  reward   ${formatEther(done.rewardWei)} for ${account}: \`tallystick node collect\` withdraws it`,
                `  bond     ${formatEther(done.bondWei)}, withdrawn in the same way`,
                `  gas      ${done.gasUsed}, ${formatEther(done.gasFee)}`,
              ]
            : [`the answer of node ${operator} is right: the bond of ${formatEther(done.bondWei)} is the node's`],
        );
      });
    });
  node
    .command("collect")
    .description("withdraw what challenges have left: bonds and rewards")
    .option("--to <address>", "who receives it (default: the account)", address)
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick node collect")
    .action(async (options: GasFeeOptions & { to?: string }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const amountWei = await agent.keyNodes.owed();
        if (amountWei === 0n) {
          output.result({ amountWei }, ["nothing is owed to this account"]);
          return;
        }
        const done = await agent.keyNodes.collect(options.to, maximumFee(options));
        output.result({ ...done, amountWei }, [
          `withdrew ${formatEther(amountWei)} in block ${done.blockNumber}; gas ${formatEther(done.gasFee)}`,
        ]);
      });
    });
}
