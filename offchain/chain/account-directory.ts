/**
 * The directory of accounts: which account took another one's place, what it was left, and the call that names a
 * successor. All is read from contract state.
 */

import { Contract } from "ethers";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { directoryAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { readChain } from "./revert.ts";
import type { IAccountDirectory } from "./types/interfaces/IAccountDirectory.ts";

const NOBODY = `0x${"00".repeat(20)}`;

/** Limit of the contract. */
export const MAX_HANDOVER_BYTES = 128;

/** What took an account's place. */
export interface Replacement {
  readonly successor: string;
  /** Unix seconds of the block that named it. */
  readonly at: number;
}

/** A naming, signed by both. */
export interface SignedSuccession {
  readonly account: string;
  readonly successor: string;
  /** At most `MAX_HANDOVER_BYTES`. */
  readonly handover: Uint8Array;
  /** Unix seconds. */
  readonly deadline: bigint;
  /** Of `Succession`, 0x hex. */
  readonly accountSignature: string;
  readonly successorSignature: string;
}

function directoryOf({ deployment, provider }: ChainReader): IAccountDirectory {
  return new Contract(deployment.contracts.accountDirectory, directoryAbi(), provider) as unknown as IAccountDirectory;
}

/** @returns undefined for an account that acts for itself @throws ChainUnavailableError */
export async function readReplacement(chain: ChainReader, account: string): Promise<Replacement | undefined> {
  const { successor, replacedAt } = await readChain("reading an account's successor", () =>
    directoryOf(chain).replacementOf(account),
  );
  if (successor === NOBODY) return undefined;
  return { successor, at: Number(replacedAt) };
}

/** @returns undefined for an account that replaced none @throws ChainUnavailableError */
export async function readPredecessor(chain: ChainReader, account: string): Promise<string | undefined> {
  const predecessor = await readChain("reading an account's predecessor", () =>
    directoryOf(chain).predecessorOf(account),
  );
  return predecessor === NOBODY ? undefined : predecessor;
}

/** Whether an account may use what another one owns: it is the last of the other one's line. */
export async function mayActFor(
  chain: ChainReader,
  account: string,
  owner: string,
  blockTag: number | "latest" = "latest",
): Promise<boolean> {
  return await readChain("reading an account's line", () => directoryOf(chain).mayActFor(account, owner, { blockTag }));
}

/** What a replaced account left to its successor; empty for an account that has none. @throws ChainUnavailableError */
export async function readHandover(chain: ChainReader, account: string): Promise<Uint8Array> {
  return fromHex(await readChain("reading what an account left", () => directoryOf(chain).handoverOf(account)));
}

/** The transaction that names a successor. Any account may send it. */
export function replaceAccountCall(deployment: Deployment, signed: SignedSuccession): ContractCall {
  const { account, successor, handover, deadline, accountSignature, successorSignature } = signed;
  return {
    to: deployment.contracts.accountDirectory,
    data: directoryAbi().encodeFunctionData("replace", [
      account,
      successor,
      toHex(handover),
      deadline,
      accountSignature,
      successorSignature,
    ]),
    description: "naming a successor",
  };
}
