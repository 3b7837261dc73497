/** The public keys of a committee from archives of key nodes, for when the chain's endpoint has dropped its logs. */

import { type Committee, keyMaterialHash } from "../../chain/registry.ts";
import type { PerKey, PublicKeys } from "../../core/committee/run.ts";
import { TallystickError } from "../../core/errors.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import type { NbmClient } from "./nbm-client.ts";

/**
 * Asks all nodes at once and takes the first answer whose hash is the one that the chain has.
 * @returns undefined when none of them gives it
 */
export async function keyMaterialFromNodes(
  nodes: readonly NbmClient[],
  { keyMaterialHash: expected }: Pick<Committee, "keyMaterialHash">,
  logger: AgentLogger = SILENT,
): Promise<PerKey<PublicKeys> | undefined> {
  const found = new AbortController();
  const ask = async (node: NbmClient): Promise<PerKey<PublicKeys>> => {
    const keys = await node.keyMaterial(expected, found.signal);
    if (keyMaterialHash(keys) === expected) return keys;
    throw new TallystickError(`${node.name} gave other key material than asked for`, {
      code: "INTEGRITY",
      party: node.name,
      check: "hash of the key material",
      expected,
      received: keyMaterialHash(keys),
    });
  };
  try {
    return await Promise.any(nodes.map(ask));
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error;
    for (const failure of error.errors) {
      if (!(failure instanceof TallystickError)) throw failure;
      logger.debug({ code: failure.code }, `${failure.message}; asking other archives`);
    }
    return undefined;
  } finally {
    found.abort();
  }
}
