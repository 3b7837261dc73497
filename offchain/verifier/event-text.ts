/** Events and terms as text for the database: JSON, with amounts as `"123n"` and byte strings as 0x hex. */

import type { DataSetEvent } from "../chain/escrow-events.ts";
import { fromHex, toHex } from "../core/encoding/hex.ts";

export function toText(value: object): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === "bigint") return `${part}n`;
    return part instanceof Uint8Array ? toHex(part) : part;
  });
}

/** What `toText` wrote, with byte strings still as hex. */
export function fromText<T>(text: string): T {
  return JSON.parse(text, (_, part: unknown) =>
    typeof part === "string" && /^-?\d+n$/.test(part) ? BigInt(part.slice(0, -1)) : part,
  ) as T;
}

export function eventFromText(text: string): DataSetEvent {
  const event = fromText<DataSetEvent>(text);
  if (event.kind !== "DataSetScheduled") return event;
  return { ...event, schedule: fromHex(String(event.schedule)), ranges: fromHex(String(event.ranges)) };
}
