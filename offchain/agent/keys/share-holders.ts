/** Who holds the shares of a record now and who held them before, with ways to reach them. */

import { readMemberHistory } from "../../chain/committee-generations.ts";
import { type NodeInfo, readNode } from "../../chain/registry.ts";
import { shareLines } from "../../core/record/share-holders.ts";
import type { AgentContext } from "../context.ts";
import type { VerifiedRecord } from "./archives.ts";
import type { ShareMember } from "./share-collection.ts";

/** One share of a record. Its member is the one that holds it, or the last one that did. */
export interface ShareHolder extends ShareMember {
  /** X25519, 32 bytes; empty when the operator has left the registry. */
  readonly hpkePublicKey: Uint8Array;
  /** The operator is a member in the active generation. */
  readonly isMember: boolean;
  /** Held it before, the latest first; without those that have left the registry. */
  readonly former: readonly ShareMember[];
}

export interface ShareHolders {
  /** The active generation of the record's committee. */
  readonly generation: number;
  /** By index; without shares that were never anybody's. */
  readonly holders: readonly ShareHolder[];
}

/** @throws TallystickError NOT_FOUND, CHAIN_UNAVAILABLE */
export async function readShareHolders(context: AgentContext, found: VerifiedRecord): Promise<ShareHolders> {
  const { record, payload } = found;
  const chain = await context.chain();
  const { active, generations } = await readMemberHistory(chain, record.committeeId);
  const lines = shareLines(generations, record.keyTime, payload.policy.shares);
  const operators = [...new Set(lines.flatMap(({ holders }) => holders))];
  const nodes = new Map<string, NodeInfo | undefined>();
  await Promise.all(operators.map(async (operator) => nodes.set(operator, await readNode(chain, operator))));
  const reach = (index: number, operator: string): Omit<ShareHolder, "isMember" | "former"> => {
    const { url = "", hpkePublicKey = new Uint8Array(), stakeWei = 0n, exitAt = 0 } = nodes.get(operator) ?? {};
    return { index, operator, url, hpkePublicKey, stakeWei, exitAt, client: context.nodeAt({ url, operator }) };
  };
  const holders = lines.flatMap(({ index, holders: line, holder }): ShareHolder[] => {
    const last = line.at(-1);
    if (last === undefined) return [];
    const former = [...new Set(line.slice(0, -1).reverse())]
      .filter((operator) => operator !== last)
      .map((operator) => reach(index, operator))
      .filter(({ url }) => url !== "");
    return [{ ...reach(index, last), isMember: holder !== undefined, former }];
  });
  return { generation: active, holders };
}
