/** The newest block, as this party's endpoint knows it. */

import type { ChainReader } from "./deployment.ts";
import { ChainUnavailableError, readChain } from "./revert.ts";

/** @throws ChainUnavailableError */
export async function readHeadNumber({ provider }: Pick<ChainReader, "provider">): Promise<number> {
  return await readChain("reading the number of the newest block", () => provider.getBlockNumber());
}

/** Its time, unix seconds: what contracts compare deadlines and delays with. @throws ChainUnavailableError */
export async function readHeadTime({ provider }: Pick<ChainReader, "provider">): Promise<bigint> {
  const what = "reading the time of the newest block";
  const block = await readChain(what, () => provider.getBlock("latest"));
  if (block === null) throw new ChainUnavailableError(what, { received: "no block" });
  return BigInt(block.timestamp);
}
