/**
 * Questions about the state of one block, named by its hash (EIP-1898): a number names whatever block has it when the
 * endpoint looks, which a reorganisation changes between two questions. Endpoints that do not know the form are asked
 * by number, and then whether the number still has that block.
 */

import type { JsonRpcProvider } from "ethers";
import type { ChainReader } from "./deployment.ts";
import { lacksBlock, refusesBlockHash } from "./endpoint-errors.ts";
import { readBlockHash } from "./logs.ts";
import { ChainUnavailableError } from "./revert.ts";

export interface BlockName {
  readonly number: number;
  /** 32 bytes, 0x hex. */
  readonly hash: string;
}

/** Endpoints that have refused the form. */
const byNumber = new WeakSet<JsonRpcProvider>();

/**
 * @param method one whose last parameter is a block, such as `eth_call`
 * @throws ChainUnavailableError, retryable, when the block was replaced; whatever ethers throws
 */
export async function askAtBlock(
  chain: ChainReader,
  method: "eth_call" | "eth_getCode",
  parameters: readonly unknown[],
  block: BlockName,
): Promise<string> {
  const { provider } = chain;
  if (!byNumber.has(provider)) {
    try {
      const named = { blockHash: block.hash, requireCanonical: true };
      return String(await provider.send(method, [...parameters, named]));
    } catch (error) {
      if (lacksBlock(error)) throw replaced(block, error);
      if (!refusesBlockHash(error)) throw error;
      byNumber.add(provider);
    }
  }
  const answer = String(await provider.send(method, [...parameters, `0x${block.number.toString(16)}`]));
  if ((await readBlockHash(chain, block.number)) !== block.hash) throw replaced(block);
  return answer;
}

function replaced({ number, hash }: BlockName, cause?: unknown): ChainUnavailableError {
  const received = `block ${number} is not ${hash} any more, or not known to the endpoint`;
  return new ChainUnavailableError("reading the state of a block", { received, cause });
}
