/**
 * What kind of source of randomness a contract is, from what it answers: all tell their grid, those that record values
 * also the size of their ring, and a `DrandRandomness` the period of its network. A contract that only looks like one
 * of them can do so; the deployment file says which address is to be trusted.
 */

import { Contract } from "ethers";
import { TallystickError } from "../core/errors.ts";
import { drandAbi } from "./abis.ts";
import { type ChainReader, type Deployment, NoDeploymentError, type RandomnessKind } from "./deployment.ts";
import { ChainRevertedError, readChain } from "./revert.ts";

/** What a source says of itself. */
export interface RandomnessFacts {
  readonly kind: RandomnessKind;
  /** It knows blocks whose number is a multiple of this. */
  readonly gridBlocks: number;
  /** Blocks for which a value can be told, or recorded, after its block. */
  readonly memoryBlocks: number;
}

/** Largest number of blocks that is counted with; more is as good as endless. */
const MAXIMUM_BLOCKS = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Asks a contract what it is.
 *
 * @throws NoDeploymentError when it is no source of randomness; ChainUnavailableError
 */
export async function inspectRandomness(chain: ChainReader, source: string): Promise<RandomnessFacts> {
  const ask = (name: string) => askNumber(chain, source, name);
  const [grid, horizon, ring] = [await ask("gridBlocks"), await ask("horizonBlocks"), await ask("ringSize")];
  if (grid === undefined || grid === 0n || horizon === undefined) {
    throw new NoDeploymentError(`the contract at ${source} is no source of randomness`, {
      check: "source of randomness",
      expected: "an answer to gridBlocks, above 0, and to horizonBlocks",
      received: `${grid ?? "none"} and ${horizon ?? "none"}`,
      hint: "correct contracts.randomness in the deployment file",
    });
  }
  const gridBlocks = smaller(grid, MAXIMUM_BLOCKS);
  if (ring === undefined) return { kind: "block", gridBlocks, memoryBlocks: smaller(horizon, MAXIMUM_BLOCKS) };
  const isDrand = (await ask("PERIOD_SECONDS")) !== undefined;
  const memoryBlocks = smaller(smallerOf(horizon, ring * grid), MAXIMUM_BLOCKS);
  return { kind: isDrand ? "drand" : "prevrandao", gridBlocks, memoryBlocks };
}

/**
 * What the source of a deployment is.
 * @throws NoDeploymentError unless it is of the kind that the deployment file names; as `inspectRandomness`
 */
export async function deployedRandomness(chain: ChainReader): Promise<RandomnessFacts> {
  const { contracts } = chain.deployment;
  const expected = kindOf(chain.deployment);
  const facts = await inspectRandomness(chain, contracts.randomness);
  if (facts.kind === expected) return facts;
  throw new NoDeploymentError("the source of randomness is of another kind than the deployment file says", {
    check: "randomness.kind of the deployment file",
    expected,
    received: `${facts.kind} at ${contracts.randomness}`,
    hint: "correct randomness.kind, or contracts.randomness",
  });
}

/** The kind that a deployment file names. */
export function kindOf({ randomness }: Deployment): RandomnessKind {
  return randomness?.kind ?? "block";
}

/** @returns undefined when the contract has no such function */
async function askNumber(chain: ChainReader, source: string, name: string): Promise<bigint | undefined> {
  // All kinds' functions are in this interface.
  const contract = new Contract(source, drandAbi(), chain.provider);
  try {
    return await readChain(`reading ${name} of the source of randomness`, async () =>
      BigInt(await contract.getFunction(name).staticCall()),
    );
  } catch (error) {
    const isAbsent =
      error instanceof ChainRevertedError || (error instanceof TallystickError && error.code === "BAD_RESPONSE");
    if (isAbsent) return undefined;
    throw error;
  }
}

const smallerOf = (one: bigint, other: bigint): bigint => (one < other ? one : other);
const smaller = (one: bigint, other: bigint): number => Number(smallerOf(one, other));
