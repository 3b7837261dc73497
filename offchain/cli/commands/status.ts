/** `tallystick status`: the account, the network, and how each put stands on chain. */

import type { Command } from "commander";
import { type ClockOffset, TOLERATED_CLOCK_SECONDS } from "../../agent/clock-offsets.ts";
import type { StatusReport } from "../../agent/status.ts";
import { formatAmount, formatEther } from "../../core/encoding/amounts.ts";
import { counted } from "../../core/encoding/counted.ts";
import { formatBytes, printable } from "../output.ts";
import { dataIdOf, withAgent } from "../session.ts";
import { runwayText, shortId } from "./data-set-lines.ts";
import { budgetText, rightsText } from "./delegate-lines.ts";

export function registerStatus(program: Command): void {
  program
    .command("status")
    .description("show the account, the nodes and the provider, and how each put stands on chain")
    .argument("[id]", "only this snapshot (id, latest or latest:<host>) or data id")
    .addHelpText("after", "\nExample:\n  $ tallystick status")
    .action(async (id: string | undefined, _options: unknown, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, output } = session;
        const report = await agent.status(id === undefined ? undefined : await dataIdOf(session, id));
        const { committee } = report;
        const ready = committee.nodes.filter((node) => node.state === "ready").length;
        output.result(report, [
          `account    ${report.account}`,
          ...actsForLines(report.actsFor),
          `wallet     ${formatEther(report.balance)}`,
          ...balanceLines(report),
          `chain      ${report.chainId}, block ${report.blockNumber}`,
          `key nodes  ${ready} of ${committee.nodes.length} ready, ${committee.threshold} needed`,
          ...[...committee.nodes, ...report.providers].map(
            ({ name, url, state, message }) =>
              `  ${name.padEnd(9)} ${state}  ${url}${message === undefined ? "" : `  ${printable(message)}`}`,
          ),
          ...clockLines(report.clocks),
          ...report.dataSets.map(
            (set) =>
              `data set   ${shortId(set.id)} ${set.status}: ${counted(set.slices, "slice")}, ` +
              `${formatAmount(set.feePerEpoch, set.terms.token)} per epoch, ${set.provenEpochs} proven, ` +
              `${set.missedEpochs} missed`,
          ),
          ...report.warnings.map((warning) => `WARNING    ${warning}`),
          ...report.puts.flatMap((put) => [
            `${put.dataId}  ${formatBytes(put.totalBytes)}  ${printable(put.name)}`,
            `  key        ${put.recorded ? `on the ledger, ${put.role}` : "NOT on the ledger"}`,
            ...(put.listed === false
              ? ["  snapshot   NONE: its put did not succeed, or the snapshot was removed; the same put makes one"]
              : []),
          ]),
        ]);
      });
    });
}

/** Whose delegate a device is, and what it may spend. */
function actsForLines(actsFor: StatusReport["actsFor"]): string[] {
  if (actsFor === undefined) return [];
  return [
    `acts for   ${actsFor.account}, ${rightsText(actsFor)}`,
    ...actsFor.budgets.map((budget) => `  budget   ${budgetText(budget)}`),
  ];
}

/** The owner of a delegate pays for all that it stores. */
function balanceLines({ actsFor, escrow }: StatusReport): string[] {
  const available = `${formatEther(escrow.available)} in the escrow`;
  if (actsFor === undefined) {
    const { rate, runwayEpochs } = escrow;
    return [`balance    ${available}, ${formatEther(rate)} per epoch: paid for ${runwayText(runwayEpochs)}`];
  }
  if (escrow.available === 0n) return [];
  return [`balance    ${available} of this key, which pay for nothing: \`tallystick data-set withdraw\` returns them`];
}

/** Only clocks that are too far off for signed messages to be safe. */
export function clockLines(clocks: readonly ClockOffset[]): string[] {
  return clocks
    .filter(({ offsetSeconds }) => Math.abs(offsetSeconds) > TOLERATED_CLOCK_SECONDS)
    .map(({ name, offsetSeconds }) => {
      const direction = offsetSeconds > 0 ? "ahead of" : "behind";
      return `clock      ${name} is ${Math.abs(offsetSeconds)} s ${direction} this machine`;
    });
}
