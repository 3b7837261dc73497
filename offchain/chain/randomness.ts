/**
 * Sources of randomness: what to bring a source as evidence of a block, and what to send. A `BlockRandomness` needs no
 * evidence, a `PrevrandaoRandomness` the header of the block, a `DrandRandomness` the header and the signature of a
 * round. Whoever brings it chooses nothing, so any account may do it for all.
 */

import { Contract } from "ethers";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../core/errors.ts";
import { type DrandNetwork, drandEvidence, drandKeyFromChain, drandRoundAt } from "../core/randomness/drand.ts";
import { DRAND_ABI, RANDOMNESS_ABI } from "./abis.ts";
import { type BlockHeader, encodeBlockHeader } from "./block-header.ts";
import type { ContractCall } from "./contract-call.ts";
import type { ChainReader } from "./deployment.ts";
import { ChainRevertedError, readChain } from "./revert.ts";
import type { IDrandRandomness } from "./types/interfaces/IDrandRandomness.ts";
import type { IRandomnessSource } from "./types/interfaces/IRandomnessSource.ts";

/** Where signatures of drand rounds come from; `http/drand-relays.ts` asks relays. */
export interface DrandSignatures {
  /** @returns the signature of a round, verified, in the EIP-2537 form (128 bytes) */
  signatureOf(network: DrandNetwork, round: bigint): Promise<Uint8Array>;
}

/** What kind of source a contract is, and where its evidence comes from. */
export type EvidenceSource =
  | { readonly kind: "block" }
  | { readonly kind: "prevrandao" }
  | { readonly kind: "drand"; readonly network: DrandNetwork; readonly signatures: DrandSignatures };

/**
 * The evidence that a source needs to record the randomness of a block.
 *
 * @throws TallystickError NOT_FOUND (retryable) while the endpoint does not know the block, or the round of drand is
 *   not published; what `encodeBlockHeader` and `DrandSignatures` throw.
 */
export async function randomnessEvidence(
  chain: ChainReader,
  source: EvidenceSource,
  blockNumber: bigint,
): Promise<Uint8Array> {
  if (source.kind === "block") return new Uint8Array(0);
  const header = await readBlockHeader(chain, blockNumber);
  if (source.kind === "prevrandao") return header.encoded;
  const round = drandRoundAt(source.network, header.timestamp);
  return drandEvidence(round, await source.signatures.signatureOf(source.network, round), header.encoded);
}

/** The header of a block, whose hash was checked. @throws as `randomnessEvidence` */
export async function readBlockHeader(chain: ChainReader, blockNumber: bigint): Promise<BlockHeader> {
  const block: unknown = await readChain(`reading block ${blockNumber}`, () =>
    chain.provider.send("eth_getBlockByNumber", [`0x${blockNumber.toString(16)}`, false]),
  );
  if (block === null || block === undefined) {
    throw new TallystickError(`the chain has no block ${blockNumber} yet`, {
      code: "NOT_FOUND",
      party: "chain",
      check: "block",
      received: "nothing",
      retryable: true,
    });
  }
  const header = encodeBlockHeader(block);
  if (header.number !== blockNumber) {
    throw new IntegrityError("the chain's RPC endpoint answered another block", {
      party: "chain",
      check: "number of the block",
      expected: String(blockNumber),
      received: String(header.number),
    });
  }
  return header;
}

/** Makes the randomness of a block known. @param source - address of the contract */
export function recordRandomnessCall(source: string, blockNumber: bigint, evidence: Uint8Array): ContractCall {
  const data = RANDOMNESS_ABI.encodeFunctionData("record", [blockNumber, toHex(evidence)]);
  return { to: source, data, description: `recording the randomness of block ${blockNumber}` };
}

/**
 * @param atBlock as of which block; the newest unless given. Endpoints without old state cannot tell
 * @returns undefined while the source does not know it
 */
export async function readRandomness(
  chain: ChainReader,
  source: string,
  blockNumber: bigint,
  atBlock?: number,
): Promise<Uint8Array | undefined> {
  const contract = new Contract(source, RANDOMNESS_ABI, chain.provider) as unknown as IRandomnessSource;
  try {
    const value = await readChain(`reading the randomness of block ${blockNumber}`, () =>
      contract.randomnessAt(blockNumber, { blockTag: atBlock ?? "latest" }),
    );
    return fromHex(value, 32, "randomness");
  } catch (error) {
    if (error instanceof ChainRevertedError && error.revert.name === "RandomnessUnavailable") return undefined;
    throw error;
  }
}

/** Blocks whose randomness a source gives: multiples of this. */
export async function readGridBlocks(chain: ChainReader, source: string): Promise<number> {
  const contract = new Contract(source, RANDOMNESS_ABI, chain.provider) as unknown as IRandomnessSource;
  return Number(await readChain("reading the grid of a source of randomness", () => contract.gridBlocks()));
}

/** How many blocks behind a block its randomness can still be recorded. */
export async function readHorizonBlocks(chain: ChainReader, source: string): Promise<number> {
  const contract = new Contract(source, RANDOMNESS_ABI, chain.provider) as unknown as IRandomnessSource;
  return Number(await readChain("reading the horizon of a source of randomness", () => contract.horizonBlocks()));
}

/**
 * The network that a `DrandRandomness` takes its values from. The contract is the authority: a configuration only adds
 * by which name relays know the network.
 */
export async function readDrandNetwork(chain: ChainReader, source: string, chainHash: string): Promise<DrandNetwork> {
  const contract = new Contract(source, DRAND_ABI, chain.provider) as unknown as IDrandRandomness;
  const [publicKey, genesisTime, periodSeconds, marginSeconds] = await readChain("reading the drand network", () =>
    Promise.all([contract.publicKey(), contract.GENESIS_TIME(), contract.PERIOD_SECONDS(), contract.MARGIN_SECONDS()]),
  );
  return { chainHash, publicKey: drandKeyFromChain(fromHex(publicKey)), genesisTime, periodSeconds, marginSeconds };
}
