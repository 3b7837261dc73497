/**
 * Delegates in the directory of accounts: who acts for whom, how far and until when, and the calls that change it.
 * Everything is read from contract state.
 */

import { Contract } from "ethers";
import type { Delegation } from "../core/identity/delegation.ts";
import { scopeBits, scopesOf } from "../core/identity/delegation.ts";
import { directoryAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { readChain } from "./revert.ts";
import type { IAccountDirectory } from "./types/interfaces/IAccountDirectory.ts";

/** Delegates that are read side by side. */
const READ_AT_ONCE = 16;
const NOBODY = `0x${"00".repeat(20)}`;

/** As the contract has it. */
export interface RecordedDelegation extends Delegation {
  readonly isRevoked: boolean;
  /** The account that took the place of the delegate's; it has no delegates of its predecessors. */
  readonly successor?: string;
}

/** A delegation, signed by both. */
export interface SignedDelegation extends Delegation {
  /** Unix seconds. */
  readonly deadline: number;
  /** Of `Delegation`, 0x hex. */
  readonly accountSignature: string;
  readonly keySignature: string;
}

function directoryOf({ deployment, provider }: ChainReader): IAccountDirectory {
  return new Contract(deployment.contracts.accountDirectory, directoryAbi(), provider) as unknown as IAccountDirectory;
}

/** @returns undefined for a key that is no delegate @throws ChainUnavailableError */
export async function readDelegation(chain: ChainReader, key: string): Promise<RecordedDelegation | undefined> {
  const directory = directoryOf(chain);
  const { account, scopes, expiresAt, isRevoked } = await readChain("reading a delegation", () =>
    directory.delegationOf(key),
  );
  if (account === NOBODY) return undefined;
  const { successor } = await readChain("reading an account's successor", () => directory.replacementOf(account));
  return {
    account,
    key,
    scopes: scopesOf(Number(scopes)),
    expiresAt: Number(expiresAt),
    isRevoked,
    ...(successor === NOBODY ? {} : { successor }),
  };
}

/** Keys that are or were delegates of an account, the first one first. @throws ChainUnavailableError */
export async function readDelegates(chain: ChainReader, account: string): Promise<RecordedDelegation[]> {
  const keys = await readChain("reading an account's delegates", () => directoryOf(chain).delegatesOf(account));
  const found: RecordedDelegation[] = [];
  for (let first = 0; first < keys.length; first += READ_AT_ONCE) {
    const some = keys.slice(first, first + READ_AT_ONCE);
    const read = await Promise.all(some.map((key) => readDelegation(chain, key)));
    found.push(...read.filter((delegation) => delegation !== undefined));
  }
  return found;
}

/**
 * Up to which fee per epoch a key may sign updates of a data set of an account now; 0 when it may sign none.
 * @throws ChainUnavailableError
 */
export async function readFeeLimit(
  chain: ChainReader,
  { key, account }: Pick<Delegation, "key" | "account">,
  dataSet: string,
): Promise<bigint> {
  return await readChain("reading a delegate's limit", () => directoryOf(chain).feeLimitOf(key, account, dataSet));
}

/** The transaction that makes a key a delegate. Any account may send it. */
export function delegateCall(deployment: Deployment, signed: SignedDelegation): ContractCall {
  const { account, key, scopes, expiresAt, deadline, accountSignature, keySignature } = signed;
  const bits = scopeBits(scopes);
  return {
    to: deployment.contracts.accountDirectory,
    data: directoryAbi().encodeFunctionData("delegate", [
      account,
      key,
      bits,
      expiresAt,
      deadline,
      accountSignature,
      keySignature,
    ]),
    description: "making a key a delegate",
  };
}

/** Sent by who revokes, so that it needs no signature: the account, the last one of its line, or the delegate. */
export function revokeDelegateCall(deployment: Deployment, by: string, key: string): ContractCall {
  return {
    to: deployment.contracts.accountDirectory,
    data: directoryAbi().encodeFunctionData("revoke", [by, key, "0x"]),
    description: "revoking a delegate",
  };
}

/** Sent by the account of the delegate, or the last one of its line. */
export function limitFeeCall(deployment: Deployment, key: string, dataSet: string, feeLimit: bigint): ContractCall {
  return {
    to: deployment.contracts.accountDirectory,
    data: directoryAbi().encodeFunctionData("limitFee", [key, dataSet, feeLimit]),
    description: "limiting what a delegate spends",
  };
}
