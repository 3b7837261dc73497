/** `tallystick dispute`: has a provider prove a data set in mode `on-demand`, or lose collateral. */
import type { Command } from "commander";
import { formatAmount, formatEther } from "../../core/encoding/amounts.ts";
import { counted } from "../../core/encoding/counted.ts";
import { withAgent } from "../session.ts";
import { dataSetId } from "../values.ts";
import { shortId } from "./data-set-lines.ts";
import { type GasFeeOptions, gasFeeOption, maximumFee } from "./gas-fee.ts";

const HELP = `
Audit first: \`tallystick audit <data-set>\` costs nothing. A wrong claim costs the bond: it goes to the provider that
proves. When it does not prove in time, \`tallystick data-set settle\` decides the dispute: the bond comes back with a
bounty, and the user of the data set is compensated from the provider's collateral.

Examples:
  $ tallystick dispute 0x3f9ac2d1 --dry-run
  $ tallystick dispute 0x3f9ac2d1 --max-gas-fee 0.002ETH`;

export function registerDispute(program: Command): void {
  program
    .command("dispute")
    .description("ask for a proof of a data set in mode on-demand, with a bond that is lost when the provider proves")
    .argument("<data-set>", "id of a data set, or its beginning if it is yours", dataSetId)
    .addOption(gasFeeOption())
    .option("-n, --dry-run", "only show what it would cost")
    .addHelpText("after", HELP)
    .action(async (text: string, options: GasFeeOptions & { dryRun?: boolean }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const id = await agent.dataSets.resolve(text);
        const quote = await agent.dataSets.quoteDispute(id);
        const { bond, bounty, token, gas, gasFee, answerBlocks } = quote;
        const cost =
          `bond ${formatAmount(bond, token)}, lost if the provider proves within ${counted(answerBlocks, "block")}; ` +
          `gas at most ${gas}, now ${formatEther(gasFee)}`;
        if (options.dryRun === true) {
          output.result(quote, [
            `disputing data set ${shortId(id)} would cost:`,
            `  ${cost}`,
            `  if it does not prove: the bond comes back with a bounty of ${formatAmount(bounty, token)}`,
          ]);
          return;
        }
        output.say(`tallystick: disputing data set ${shortId(id)}: ${cost}`);
        const done = await agent.dataSets.dispute(id, maximumFee(options));
        output.result(done, [
          `disputed data set ${shortId(id)} in block ${done.blockNumber}, with a bond of ` +
            formatAmount(done.bond, token),
          `  answer   until block ${done.answerUntilBlock}; the challenge is block ${done.challengeBlock}`,
          `  gas      ${done.gasUsed}, ${formatEther(done.gasFee)}`,
          `  then     \`tallystick data-set settle ${shortId(id)}\` decides it if the provider has not proven`,
        ]);
      });
    });
}
