/**
 * Sources of randomness: what to bring a source as evidence of a block, and what to send. A `BlockRandomness` needs no
 * evidence, a `PrevrandaoRandomness` the header of the block, a `DrandRandomness` the header and the signature of a
 * round. Whoever brings it chooses nothing, so any account may do it for all.
 */

import { Contract } from "ethers";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../core/errors.ts";
import { type DrandNetwork, drandEvidence, drandKeyFromChain, drandRoundAt } from "../core/randomness/drand.ts";
import { drandAbi, randomnessAbi } from "./abis.ts";
import { type BlockHeader, encodeBlockHeader } from "./block-header.ts";
import type { ContractCall } from "./contract-call.ts";
import type { ChainReader } from "./deployment.ts";
import { ChainRevertedError, readChain } from "./revert.ts";
import type { IDrandRandomness } from "./types/interfaces/IDrandRandomness.ts";
import type { IRandomnessSource } from "./types/interfaces/IRandomnessSource.ts";

/** Where signatures of drand rounds come from; `http/drand-relays.ts` asks relays. */
export interface DrandSignatures {
  /** @returns the signature of a round, verified, in the EIP-2537 form (128 bytes) */
  signatureOf(network: DrandNetwork, round: bigint, signal?: AbortSignal): Promise<Uint8Array>;
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
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (source.kind === "block") return new Uint8Array(0);
  const header = await readBlockHeader(chain, blockNumber);
  if (source.kind === "prevrandao") return header.encoded;
  const round = drandRoundAt(source.network, header.timestamp);
  return drandEvidence(round, await source.signatures.signatureOf(source.network, round, signal), header.encoded);
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
  const data = randomnessAbi().encodeFunctionData("record", [blockNumber, toHex(evidence)]);
  return { to: source, data, description: `recording the randomness of block ${blockNumber}` };
}

/**
 * @param atBlock as of which block. Endpoints without old state cannot tell
 * @returns undefined while the source does not know it
 */
export async function readRandomness(
  chain: ChainReader,
  source: string,
  blockNumber: bigint,
  atBlock: number | "latest" | "pending" = "latest",
): Promise<Uint8Array | undefined> {
  const contract = new Contract(source, randomnessAbi(), chain.provider) as unknown as IRandomnessSource;
  try {
    const value = await readChain(`reading the randomness of block ${blockNumber}`, () =>
      contract.randomnessAt(blockNumber, { blockTag: atBlock }),
    );
    return fromHex(value, 32, "randomness");
  } catch (error) {
    if (error instanceof ChainRevertedError && error.revert.name === "RandomnessUnavailable") return undefined;
    throw error;
  }
}

/**
 * The randomness that a proof was challenged with: as the source tells it now, else as of the block of the proof. A
 * source with a ring keeps values for longer than most endpoints keep old state.
 *
 * @returns undefined when neither tells it
 * @throws ChainUnavailableError when the endpoint does not answer
 */
export async function readProvenRandomness(
  chain: ChainReader,
  source: string,
  blockNumber: bigint,
  provenIn: number,
): Promise<Uint8Array | undefined> {
  try {
    const known = await readRandomness(chain, source, blockNumber);
    if (known !== undefined) return known;
  } catch (error) {
    // A source is a contract of strangers, and may refuse or answer anything.
    if (!(error instanceof ChainRevertedError) && !isAnswer(error)) throw error;
  }
  try {
    return await readRandomness(chain, source, blockNumber, provenIn);
  } catch (error) {
    if (error instanceof TallystickError) return undefined;
    throw error;
  }
}

/** Whether an endpoint answered, with something that is of no use. */
function isAnswer(error: unknown): boolean {
  return error instanceof TallystickError && (error.code === "BAD_RESPONSE" || error.code === "INVALID_INPUT");
}

/**
 * The network that a `DrandRandomness` takes its values from. The contract is the authority: a configuration only adds
 * by which name relays know the network.
 */
export async function readDrandNetwork(chain: ChainReader, source: string, chainHash: string): Promise<DrandNetwork> {
  const contract = new Contract(source, drandAbi(), chain.provider) as unknown as IDrandRandomness;
  const [publicKey, genesisTime, periodSeconds, marginSeconds] = await readChain("reading the drand network", () =>
    Promise.all([contract.publicKey(), contract.GENESIS_TIME(), contract.PERIOD_SECONDS(), contract.MARGIN_SECONDS()]),
  );
  return { chainHash, publicKey: drandKeyFromChain(fromHex(publicKey)), genesisTime, periodSeconds, marginSeconds };
}
