/**
 * Events of the node registry: who registered, left, and which committees formed.
 */

import type { Log } from "ethers";
import { fromHex } from "../core/encoding/hex.ts";
import { REGISTRY_ABI } from "./abis.ts";
import type { ChainReader } from "./deployment.ts";
import { chainLogs, type LogPlace, placeOf, type ScanOptions } from "./logs.ts";
import { readChain } from "./revert.ts";

/** What happened in the registry. Bytes and numbers as in the contract's events. */
export type RegistryEvent = LogPlace &
  (
    | {
        readonly kind: "NodeRegistered" | "NodeUpdated";
        readonly operator: string;
        readonly url: string;
        readonly hpkePublicKey: Uint8Array;
      }
    | { readonly kind: "ExitRequested"; readonly operator: string; readonly exitAt: number }
    | { readonly kind: "StakeWithdrawn"; readonly operator: string; readonly to: string; readonly stakeWei: bigint }
    | { readonly kind: "NodeSlashed"; readonly operator: string; readonly stakeWei: bigint }
    | {
        readonly kind: "CommitteeCreated";
        readonly id: bigint;
        readonly creator: string;
        readonly threshold: number;
        readonly members: string[];
      }
    | {
        readonly kind: "CommitteeAttested";
        readonly id: bigint;
        readonly member: string;
        readonly keyMaterialHash: string;
        readonly agreeing: number;
      }
    | {
        readonly kind: "CommitteeActivated";
        readonly id: bigint;
        readonly groupPublicKey: Uint8Array;
        readonly verificationShares: Uint8Array[];
      }
    | { readonly kind: "CommitteeAssigned"; readonly id: bigint; readonly account: string }
  );

/** Events of the registry in a range of blocks, both ends included, in chain order. */
export async function* scanRegistry(
  chain: ChainReader,
  fromBlock: number,
  toBlock: number,
  options: ScanOptions = {},
): AsyncIterable<RegistryEvent> {
  const address = chain.deployment.contracts.nodeRegistry;
  for await (const log of chainLogs(chain, { address }, fromBlock, toBlock, options)) {
    const event = parseRegistryLog(log);
    if (event !== undefined) yield event;
  }
}

/** Whether a node has ever lost its stake for a wrong answer. */
export async function wasSlashed(chain: ChainReader, operator: string): Promise<boolean> {
  const { contracts, deployedAtBlock } = chain.deployment;
  const topics = REGISTRY_ABI.encodeFilterTopics("NodeSlashed", [operator]);
  const head = await readChain("reading whether a node was slashed", () => chain.provider.getBlockNumber());
  const filter = { address: contracts.nodeRegistry, topics };
  for await (const _log of chainLogs(chain, filter, deployedAtBlock, head)) return true;
  return false;
}

/** A log of the registry as an event; undefined when it is none of ours. */
export function parseRegistryLog(log: Log): RegistryEvent | undefined {
  const parsed = REGISTRY_ABI.parseLog(log);
  if (parsed === null) return undefined;
  const place = placeOf(log);
  const text = (name: string): string => String(parsed.args.getValue(name));
  const bytes = (name: string): Uint8Array => fromHex(text(name));
  const integer = (name: string): bigint => BigInt(text(name));
  const list = (name: string): string[] => [...(parsed.args.getValue(name) as Iterable<string>)];
  switch (parsed.name) {
    case "NodeRegistered":
    case "NodeUpdated":
      return {
        ...place,
        kind: parsed.name,
        operator: text("operator"),
        url: text("endpoint"),
        hpkePublicKey: bytes("hpkePublicKey"),
      };
    case "ExitRequested":
      return { ...place, kind: parsed.name, operator: text("operator"), exitAt: Number(integer("exitAt")) };
    case "StakeWithdrawn":
      return {
        ...place,
        kind: parsed.name,
        operator: text("operator"),
        to: text("to"),
        stakeWei: integer("stakeWei"),
      };
    case "NodeSlashed":
      return { ...place, kind: parsed.name, operator: text("operator"), stakeWei: integer("stakeWei") };
    case "CommitteeCreated":
      return {
        ...place,
        kind: parsed.name,
        id: integer("id"),
        creator: text("creator"),
        threshold: Number(integer("threshold")),
        members: list("members"),
      };
    case "CommitteeAttested":
      return {
        ...place,
        kind: parsed.name,
        id: integer("id"),
        member: text("member"),
        keyMaterialHash: text("keyMaterialHash"),
        agreeing: Number(integer("agreeing")),
      };
    case "CommitteeActivated":
      return {
        ...place,
        kind: parsed.name,
        id: integer("id"),
        groupPublicKey: bytes("groupPublicKey"),
        verificationShares: list("verificationShares").map((share) => fromHex(share)),
      };
    case "CommitteeAssigned":
      return { ...place, kind: parsed.name, id: integer("id"), account: text("account") };
    default:
      return undefined;
  }
}
