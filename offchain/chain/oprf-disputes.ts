/** Disputes about OPRF evaluations: a node that signed a wrong answer is challenged with it and loses its stake. */

import { Contract, type TransactionReceipt } from "ethers";
import type { PerKey, PublicKeys } from "../core/committee/run.ts";
import { isAddressEqual } from "../core/encoding/address.ts";
import { InvalidInputError } from "../core/errors.ts";
import { type AnsweredBatch, oprfAnswerMessage } from "../core/oprf/signed-answer.ts";
import { disputesAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { nodeRegistry } from "./contracts.ts";
import type { ChainReader } from "./deployment.ts";
import { type KeyMaterialSource, readCommitteeKeys, toMaterial } from "./registry.ts";
import { readChain } from "./revert.ts";
import type { IOprfDisputes } from "./types/interfaces/IOprfDisputes.ts";

/** Where nodes of a registry are challenged, and for how much. */
export interface DisputeTerms {
  /** The contract, which the registry has deployed. */
  readonly address: string;
  readonly bondWei: bigint;
  /** What of a stake goes to the account that was answered wrongly. */
  readonly rewardPercent: bigint;
}

/** What the contract decided. */
export interface ChallengeOutcome {
  readonly convicted: boolean;
  readonly operator: string;
  /** What the node lost; 0 when it was right. */
  readonly stakeWei: bigint;
  readonly rewardWei: bigint;
}

function disputesAt(chain: ChainReader, address: string): IOprfDisputes {
  return new Contract(address, disputesAbi(), chain.provider) as unknown as IOprfDisputes;
}

export async function readDisputeTerms(chain: ChainReader): Promise<DisputeTerms> {
  const address = await readChain("reading where nodes are challenged", () => nodeRegistry(chain).DISPUTES());
  const contract = disputesAt(chain, address);
  const [bondWei, rewardPercent] = await readChain("reading the terms of challenges", () =>
    Promise.all([contract.BOND_WEI(), contract.REWARD_PERCENT()]),
  );
  return { address, bondWei, rewardPercent };
}

/** What an account may withdraw: bonds that came back, rewards, and bonds of failed challenges of its own node. */
export async function readOwed(chain: ChainReader, { address }: DisputeTerms, account: string): Promise<bigint> {
  return await readChain("reading what disputes have left", () => disputesAt(chain, address).owedWei(account));
}

/** Whether the answer has been judged before. */
export async function isJudged(chain: ChainReader, { address }: DisputeTerms, answer: AnsweredBatch): Promise<boolean> {
  const contract = disputesAt(chain, address);
  return await readChain("reading whether an answer was judged", async () =>
    contract.isJudged(await contract.answerDigest(oprfAnswerMessage(answer))),
  );
}

/** The keys that an answer was made with. @param source @throws as of `readCommitteeKeys` */
export async function keysOfAnswer(
  chain: ChainReader,
  { committeeId, generation }: AnsweredBatch,
  source?: KeyMaterialSource,
): Promise<PerKey<PublicKeys>> {
  return (await readCommitteeKeys(chain, committeeId, generation, source)).keys;
}

/** Whether the proof in an answer verifies, as the chain sees it. */
export async function isRightOnChain(
  chain: ChainReader,
  { address }: DisputeTerms,
  answer: AnsweredBatch,
  keys: PerKey<PublicKeys>,
): Promise<boolean> {
  const asked = [oprfAnswerMessage(answer), toMaterial(keys)] as const;
  return await readChain("checking an answer", () => disputesAt(chain, address).isRight(...asked));
}

/**
 * @param signature of the member's operator key, 65 bytes, 0x hex
 * @param keys of the generation, `keysOfAnswer`
 */
export function challengeNodeCall(
  { address, bondWei }: DisputeTerms,
  answer: AnsweredBatch,
  signature: string,
  keys: PerKey<PublicKeys>,
): ContractCall {
  return {
    to: address,
    data: disputesAbi().encodeFunctionData("challenge", [oprfAnswerMessage(answer), signature, toMaterial(keys)]),
    value: bondWei,
    description: "challenging a key node",
  };
}

/** @param to who receives it */
export function withdrawOwedCall({ address }: DisputeTerms, to: string): ContractCall {
  return {
    to: address,
    data: disputesAbi().encodeFunctionData("withdraw", [to]),
    description: "withdrawing what disputes have left",
  };
}

/** @throws InvalidInputError when the receipt is of something else */
export function challengeOutcome({ address }: DisputeTerms, receipt: TransactionReceipt): ChallengeOutcome {
  for (const log of receipt.logs) {
    if (!isAddressEqual(log.address, address)) continue;
    const parsed = disputesAbi().parseLog(log);
    if (parsed?.name === "NodeConvicted") {
      const { operator, stakeWei, rewardWei } = parsed.args.toObject();
      return { convicted: true, operator, stakeWei, rewardWei };
    }
    if (parsed?.name === "ChallengeFailed") {
      return { convicted: false, operator: parsed.args.getValue("operator"), stakeWei: 0n, rewardWei: 0n };
    }
  }
  throw new InvalidInputError(`transaction ${receipt.hash} challenged no node`, { check: "event of a challenge" });
}
