/**
 * Evidence that a party signed two states of a data set under one version and one number of retirements, and what the
 * chain itself holds of signed states: the call data of the transactions that brought them.
 */

import { AbiCoder } from "ethers";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { escrowAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { type DataSetWords, type SignedState, stateForChain, termsForChain } from "./data-set-words.ts";
import type { Deployment } from "./deployment.ts";
import { parsedOnce } from "./parsed-once.ts";
import type { IStorageEscrow } from "./types/StorageEscrow.ts";

/** Two states, both signed by one party. */
export interface DoubleSigning {
  /** Under which number of retirements both were signed. */
  readonly retirements: number;
  readonly one: SignedState;
  readonly other: SignedState;
}

/** `IStorageEscrow.Update`. */
const stateType = parsedOnce(() => escrowAbi().getFunction("open").inputs[2]);
/** Functions that bring a signed state, and the place of the state among their arguments. */
const STATE_ARGUMENT = { open: 2, update: 3, retire: 3 } as const;

/** Whether two states of one version differ in what the escrow punishes: another deadline alone is no offence. */
export function isOtherState(
  one: Pick<SignedState, "version" | "ranges" | "contentHash">,
  other: Pick<SignedState, "version" | "ranges" | "contentHash">,
): boolean {
  if (one.version !== other.version) return false;
  return toHex(one.ranges) !== toHex(other.ranges) || one.contentHash.toLowerCase() !== other.contentHash.toLowerCase();
}

/** As the escrow takes it. */
export function encodeDoubleSigning({ retirements, one, other }: DoubleSigning): Uint8Array {
  const states = [one, other].map(stateForChain);
  const types = ["uint256", stateType(), stateType()];
  return fromHex(AbiCoder.defaultAbiCoder().encode(types as never, [retirements, ...states]));
}

/** @param signer the account that signed both: the user, the provider, or an operator of the provider */
export function showDoubleSigningCall(
  deployment: Deployment,
  { terms, schedule }: Pick<DataSetWords, "terms" | "schedule">,
  signer: string,
  evidence: Uint8Array,
): ContractCall {
  const args = [termsForChain(terms), toHex(schedule), signer, toHex(evidence)] as const;
  return {
    to: deployment.contracts.storageEscrow,
    data: escrowAbi().encodeFunctionData("showDoubleSigning", args as never),
    description: "showing that a party signed two states",
  };
}

/**
 * The signed state that a transaction brought.
 * @param data call data, 0x hex; anybody chooses it
 * @returns undefined when it is a call of another function, brings no state, or does not decode
 */
export function parseSignedState(data: string): SignedState | undefined {
  try {
    const call = escrowAbi().parseTransaction({ data });
    if (call === null || !(call.name in STATE_ARGUMENT)) return undefined;
    const given = call.args[
      STATE_ARGUMENT[call.name as keyof typeof STATE_ARGUMENT]
    ] as IStorageEscrow.UpdateStructOutput;
    if (given.version === 0n) return undefined;
    const { version, contentHash, deadlineBlock, userSignature, providerSignature } = given;
    return { version, ranges: fromHex(given.ranges), contentHash, deadlineBlock, userSignature, providerSignature };
  } catch {
    // ethers throws errors of many kinds for bytes that do not decode, some without a code.
    return undefined;
  }
}
