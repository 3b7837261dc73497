/** How commands print data sets, and what they cost. */
import type { DataSetReport } from "../../agent/index.ts";
import type { ProgressListener } from "../../agent/progress.ts";
import { formatAmount } from "../../core/encoding/amounts.ts";
import { counted } from "../../core/encoding/counted.ts";
import type { AgentSession } from "../agent-session.ts";
import { formatBytes } from "../output.ts";

const SHORT_ID_DIGITS = 10;

export function shortId(id: string): string {
  return id.slice(0, SHORT_ID_DIGITS);
}

/** How long a balance lasts. */
export function runwayText(epochs: number): string {
  return Number.isFinite(epochs) ? counted(epochs, "epoch") : "no end";
}

/** What a put has made of the data sets. */
export function dataSetLines(reports: readonly DataSetReport[]): string[] {
  if (reports.length === 0) return ["  data set   none: the provider is not paid and has no obligation"];
  return reports.flatMap((report) => {
    const { id, isNew, slices, addedSlices, feePerEpoch, token, runwayEpochs, waitsUntilBlock } = report;
    if (id === undefined) return "  data set   none: there is nothing to keep";
    const added = addedSlices === 0 ? "nothing new" : `${addedSlices} added`;
    return [
      `  data set   ${shortId(id)}${isNew ? ", new" : ""}: ${counted(slices, "slice")}, ${added}; ` +
        `${formatAmount(feePerEpoch, token)} per epoch, paid for ${runwayText(runwayEpochs)}`,
      ...(waitsUntilBlock === undefined
        ? []
        : [`             signed by the provider, which sends what was added by block ${waitsUntilBlock}`]),
      ...compactionLines(report).map((line) => `             ${line}`),
    ];
  });
}

export function lostLine(objects: number): string {
  return (
    `the provider did not return ${counted(objects, "object")}, which stayed in the data set: ` +
    "`tallystick verify` tells which files they belong to, and another put of them repairs it"
  );
}

/** What a commit has moved in a data set, what it has left, and whether a successor is worth it. */
export function compactionLines({
  id = "",
  compaction,
  left,
  successor,
  highestIndex,
  token,
}: DataSetReport): string[] {
  const lines: string[] = [];
  if (compaction !== undefined) {
    const { objects, bytes, newSlices, lostObjects } = compaction;
    lines.push(
      `tagged ${counted(objects, "object")} again, ${formatBytes(bytes)}, in ${counted(newSlices, "new slice")}, so ` +
        "that dead slices can go",
    );
    if (lostObjects > 0) lines.push(lostLine(lostObjects));
  }
  if (left?.isCompactionDue === true) lines.push("there is more to compact: later commands go on with it");
  if (left !== undefined && left.dead > 0) {
    lines.push(`${counted(left.dead, "dead slice")} had to stay: \`tallystick data-set compact ${shortId(id)}\``);
  }
  if (successor !== undefined) {
    lines.push(
      successor.reason === "fee"
        ? `${highestIndex} indices were used, which cost: a new data set would cost ` +
            `${formatAmount(successor.feePerEpoch, token)} per epoch`
        : `${highestIndex} indices were used, and the provider takes few more in this data set`,
      `\`tallystick data-set compact ${shortId(id)} --successor\` moves it into a new one there`,
    );
  }
  return lines;
}

/** Says on stderr what a data set will cost before anything is deposited or signed. */
export function tellingCosts({ output, progress }: Pick<AgentSession, "output" | "progress">): ProgressListener {
  return (event) => {
    progress.listener(event);
    if (event.operation !== "data-set") return;
    if (event.phase === "sending") {
      output.say("tallystick: the provider has not sent the state: this device sends it, and you pay for its gas");
    }
    if (event.plan === undefined || event.phase !== "funding") return;
    const { provider, token, feePerEpoch, deposit } = event.plan;
    output.say(
      `tallystick: depositing ${formatAmount(deposit, token)} into your balance: the data set at ${provider} costs ` +
        `${formatAmount(feePerEpoch, token)} per epoch`,
    );
  };
}
