/**
 * Events of the node registry: who registered, left, and which committees formed.
 */

import type { Log } from "ethers";
import type { PerKey, PublicKeys } from "../core/committee/run.ts";
import { fromHex } from "../core/encoding/hex.ts";
import { registryAbi } from "./abis.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { chainLogs, type LogFilter, type LogPlace, placeOf, type ScanOptions } from "./logs.ts";
import { toKeys } from "./registry.ts";
import { readChain } from "./revert.ts";
import type { INodeRegistry } from "./types/NodeRegistry.ts";

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
        readonly kind: "GenerationProposed";
        readonly id: bigint;
        readonly generation: number;
        readonly member: string;
        readonly proposal: string;
        readonly agreeing: number;
      }
    | {
        readonly kind: "GenerationOpened";
        readonly id: bigint;
        readonly generation: number;
        readonly from: number;
        readonly threshold: number;
        readonly members: string[];
      }
    | { readonly kind: "GenerationAbandoned"; readonly id: bigint; readonly generation: number }
    | {
        readonly kind: "GenerationAttested";
        readonly id: bigint;
        readonly generation: number;
        readonly member: string;
        readonly keyMaterialHash: string;
        readonly agreeing: number;
      }
    | {
        readonly kind: "GenerationActivated";
        readonly id: bigint;
        readonly generation: number;
        readonly keyMaterialHash: string;
        readonly keys: PerKey<PublicKeys>;
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

/** A generation that names a member. */
export interface MemberNaming extends LogPlace {
  readonly id: bigint;
  readonly generation: number;
}

/** What finds the generations that name a member, for `scanPages`. */
export function memberNamings(
  { contracts }: Pick<Deployment, "contracts">,
  member: string,
): { readonly filter: LogFilter; readonly parse: (log: Log) => MemberNaming | undefined } {
  return {
    filter: { address: contracts.nodeRegistry, topics: registryAbi().encodeFilterTopics("MemberNamed", [member]) },
    parse(log) {
      const parsed = registryAbi().parseLog(log);
      if (parsed?.name !== "MemberNamed") return undefined;
      const { id, number } = parsed.args.toObject();
      return { ...placeOf(log), id: BigInt(id), generation: Number(number) };
    },
  };
}

/** Whether a node has ever lost its stake for a wrong answer. */
export async function wasSlashed(chain: ChainReader, operator: string): Promise<boolean> {
  const { contracts, deployedAtBlock } = chain.deployment;
  const topics = registryAbi().encodeFilterTopics("NodeSlashed", [operator]);
  const head = await readChain("reading whether a node was slashed", () => chain.provider.getBlockNumber());
  const filter = { address: contracts.nodeRegistry, topics };
  for await (const _log of chainLogs(chain, filter, deployedAtBlock, head)) return true;
  return false;
}

/** A log of the registry as an event; undefined when it is none of ours. */
export function parseRegistryLog(log: Log): RegistryEvent | undefined {
  const parsed = registryAbi().parseLog(log);
  if (parsed === null) return undefined;
  const place = placeOf(log);
  const text = (name: string): string => String(parsed.args.getValue(name));
  const bytes = (name: string): Uint8Array => fromHex(text(name));
  const integer = (name: string): bigint => BigInt(text(name));
  const list = (name: string): string[] => [...(parsed.args.getValue(name) as Iterable<string>)];
  const generation = () => ({ id: integer("id"), generation: Number(integer("number")) });
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
    case "GenerationProposed":
      return {
        ...place,
        kind: parsed.name,
        ...generation(),
        member: text("member"),
        proposal: text("proposal"),
        agreeing: Number(integer("agreeing")),
      };
    case "GenerationOpened":
      return {
        ...place,
        kind: parsed.name,
        ...generation(),
        from: Number(integer("from")),
        threshold: Number(integer("threshold")),
        members: list("members"),
      };
    case "GenerationAbandoned":
      return { ...place, kind: parsed.name, ...generation() };
    case "GenerationAttested":
      return {
        ...place,
        kind: parsed.name,
        ...generation(),
        member: text("member"),
        keyMaterialHash: text("keyMaterialHash"),
        agreeing: Number(integer("agreeing")),
      };
    case "GenerationActivated":
      return {
        ...place,
        kind: parsed.name,
        ...generation(),
        keyMaterialHash: text("keyMaterialHash"),
        keys: toKeys(parsed.args.getValue("keys") as INodeRegistry.KeyMaterialStructOutput),
      };
    case "CommitteeAssigned":
      return { ...place, kind: parsed.name, id: integer("id"), account: text("account") };
    default:
      return undefined;
  }
}
