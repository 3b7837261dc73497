/**
 * What archives keep for whoever cannot read old logs: the events of the key ledger, and the key material of each
 * generation of a committee, of which the registry stores the hash only.
 */

import type { Log } from "ethers";
import { isAddressEqual } from "../core/encoding/address.ts";
import { ledgerAbi, registryAbi } from "./abis.ts";
import type { ChainReader } from "./deployment.ts";
import { type LedgerEvent, parseLedgerLog } from "./ledger.ts";
import { type EventPage, type ScanCursor, type ScanOptions, scanPages } from "./logs.ts";
import { parsedOnce } from "./parsed-once.ts";
import { parseRegistryLog, type RegistryEvent } from "./registry-events.ts";

export type KeyMaterialEvent = RegistryEvent & { readonly kind: "GenerationActivated" };
export type ArchivedEvent = LedgerEvent | KeyMaterialEvent;

const archivedTopics = parsedOnce(() => [
  ledgerAbi().getEvent("KeyRecorded").topicHash,
  ledgerAbi().getEvent("OwnerAdded").topicHash,
  registryAbi().getEvent("GenerationActivated").topicHash,
]);

/**
 * Follows both contracts from the end of the last scan up to the head. See `EventPage` for what to do with a page;
 * blocks that were replaced since the last scan come again.
 *
 * @param cursor that of the last page; undefined for a first scan.
 */
export function followArchived(
  chain: ChainReader,
  cursor: ScanCursor | undefined,
  options: ScanOptions = {},
): AsyncIterable<EventPage<ArchivedEvent>> {
  const { contracts, deployedAtBlock } = chain.deployment;
  const { keyLedger, nodeRegistry } = contracts;
  const parse = (log: Log): ArchivedEvent | undefined => {
    if (isAddressEqual(log.address, keyLedger)) return parseLedgerLog(log);
    const event = parseRegistryLog(log);
    return event?.kind === "GenerationActivated" ? event : undefined;
  };
  const filter = { address: [keyLedger, nodeRegistry], topics: [archivedTopics()] };
  return scanPages(chain, filter, parse, deployedAtBlock, cursor, options);
}
