/** Events of watching, a line each, for people. */
import type { WatchEvent } from "../../agent/index.ts";
import { counted } from "../../core/encoding/counted.ts";
import { formatTime, printable } from "../output.ts";
import { shortId } from "./data-set-lines.ts";

const MARKS = { info: " ", warning: "!", alarm: "ALARM" } as const;

export function watchLine(event: WatchEvent): string {
  const about = "dataSet" in event ? `data set ${shortId(event.dataSet)}: ` : "";
  return `${formatTime(event.at * 1000)} ${MARKS[event.severity].padEnd(5)} ${about}${printable(textOf(event))}`;
}

function textOf(event: WatchEvent): string {
  switch (event.kind) {
    case "state": {
      const { status, slices, missedEpochs, runwayEpochs, lastEpoch } = event;
      return [
        `${status} at provider ${event.provider}`,
        counted(slices, "slice"),
        ...(missedEpochs === 0 ? [] : [`${missedEpochs} missed`]),
        ...(runwayEpochs === undefined ? [] : [`paid for ${counted(runwayEpochs, "epoch")}`]),
        ...(lastEpoch === undefined ? [] : [`last epoch ${lastEpoch}`]),
      ].join(", ");
    }
    case "overdue":
      return `no proof of epoch ${event.epoch} in time: \`tallystick data-set settle\` reports the miss`;
    case "dispute-unanswered":
      return `dispute not answered by block ${event.answerUntilBlock}: ${event.hint}`;
    case "runway":
      return `paid for ${counted(event.runwayEpochs, "epoch")} only: \`tallystick data-set top-up\` adds to it`;
    case "audit":
      return `intact: ${event.message}`;
    case "audit-failed":
      return `audit failed: ${event.message}${event.hint === undefined ? "" : ` (${event.hint})`}`;
    case "recovery-requested":
    case "recovery-due":
      return event.message;
    case "failed":
      return event.count > 1 ? `${event.message} (${event.count} times)` : event.message;
    case "works-again":
      return `${event.party} works again`;
    case "more":
      return `and ${event.count} more`;
    case "notice":
      return `notice was given: last epoch ${event.epoch}`;
    default: {
      const epoch = event.epoch === undefined ? "" : ` epoch ${event.epoch}`;
      return `${event.kind.replace("-", " ")}${epoch}, block ${event.blockNumber}`;
    }
  }
}
