/**
 * Where the contracts are: the deployment file that devnet and deploy scripts write, and the connection to its chain.
 * The connection is refused unless the chain has the file's id and code at every address, so that no transaction goes
 * to the wrong chain, and no state is read from it.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import type { JsonRpcProvider } from "ethers";
import { toHex } from "../core/encoding/hex.ts";
import { redactUrl } from "../core/encoding/redact-url.ts";
import { IntegrityError, TallystickError, UnknownVersionError } from "../core/errors.ts";
import { AddressText, Bytes32Text, firstMismatch, Uint64Text } from "../core/wire/schema.ts";
import { openProvider } from "./endpoint.ts";
import { readChain } from "./revert.ts";

const HttpUrl = Type.String({ pattern: "^https?://[^\\s]+$", maxLength: 1024 });

/** Addresses by name. */
export const ContractsSchema = Type.Object({
  nodeRegistry: AddressText,
  keyLedger: AddressText,
  storageEscrow: AddressText,
  possessionVerifier: AddressText,
  randomness: AddressText,
  accountDirectory: AddressText,
  ownersPolicy: AddressText,
  recoveryPolicy: AddressText,
});

/** The contracts of a deployment, in the order of its file. */
export const CONTRACT_NAMES = Object.keys(ContractsSchema.properties) as readonly (keyof Static<
  typeof ContractsSchema
>)[];

/** Kinds of contracts at `contracts.randomness`. */
export const RANDOMNESS_KINDS = ["block", "prevrandao", "drand"] as const;
export type RandomnessKind = (typeof RANDOMNESS_KINDS)[number];

/** What the source of randomness is. Who records values of a drand network also needs its name, and where to ask. */
const RandomnessSchema = Type.Object({
  kind: Type.Union(RANDOMNESS_KINDS.map((kind) => Type.Literal(kind))),
  /** Hash by which relays know the drand network. */
  chainHash: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$" })),
  /** Relays of the network, the preferred one first, for example `https://api.drand.sh`. */
  relays: Type.Optional(Type.Array(HttpUrl, { maxItems: 16 })),
});

/** Group keys of a committee: what OPRF outputs are under, and what secrets are sealed to. */
export const GroupKeysSchema = Type.Object({ oprf: Bytes32Text, record: Bytes32Text });
export type GroupKeysText = Static<typeof GroupKeysSchema>;

const DeploymentSchema = Type.Object({
  version: Type.Literal(1),
  chainId: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  rpcUrl: HttpUrl,
  contracts: ContractsSchema,
  /** Of `contracts.randomness`; kind `block` unless given. */
  randomness: Type.Optional(RandomnessSchema),
  /** Block from which event scans start. */
  deployedAtBlock: Type.Integer({ minimum: 0 }),
  /** The committee new records go to, decimal; "0" while there is none. */
  committeeId: Uint64Text,
  /** Its group keys, which no generation changes: whoever has them from this file need not believe the endpoint. */
  committeeKeys: Type.Optional(GroupKeysSchema),
  providers: Type.Array(Type.Object({ account: AddressText, url: HttpUrl }), { maxItems: 1024 }),
});

/** The deployment file (JSON), version 1. */
export type Deployment = Static<typeof DeploymentSchema>;

/** A checked connection. */
export interface ChainReader {
  readonly deployment: Deployment;
  readonly provider: JsonRpcProvider;
  /** Releases timers and sockets. */
  close(): void;
}

export interface ConnectOptions {
  /** Another endpoint of the same chain, in place of the file's. */
  readonly rpcUrl?: string;
  /** How long one RPC request may take; default 30 seconds. */
  readonly requestTimeoutSeconds?: number;
}

/** There is no deployment, or it does not match the chain. */
export class NoDeploymentError extends TallystickError {
  constructor(message: string, facts: { check: string; expected?: string; received?: string; hint?: string }) {
    super(message, { ...facts, code: "NO_DEPLOYMENT" });
  }
}

/**
 * Checks a parsed deployment file.
 *
 * @throws UnknownVersionError for a version this build does not read, NoDeploymentError naming the first wrong field.
 */
export function parseDeployment(json: unknown): Deployment {
  if (typeof json === "object" && json !== null && "version" in json && json.version !== 1) {
    throw new UnknownVersionError("the deployment file", String(json.version), [1]);
  }
  const mismatch = firstMismatch(DeploymentSchema, json);
  if (mismatch !== undefined) {
    throw new NoDeploymentError(`the deployment file is wrong at ${mismatch.path}: ${mismatch.reason}`, {
      check: "deployment schema",
      expected: mismatch.reason,
      hint: "take the file that the deployment wrote, unchanged",
    });
  }
  const deployment = json as Deployment;
  if (deployment.committeeKeys !== undefined && deployment.committeeId === "0") {
    throw new NoDeploymentError("the deployment file has keys of a committee, and names none", {
      check: "committee of the keys",
      expected: "a committee",
      received: "0",
      hint: "take the file that the deployment wrote, unchanged",
    });
  }
  return deployment;
}

/**
 * Holds group keys of a committee, as the chain's endpoint states them, against those of the deployment file, if it has
 * them of this one.
 * @throws IntegrityError naming the chain's endpoint
 */
export function requireDeployedKeys(
  { committeeId, committeeKeys }: Pick<Deployment, "committeeId" | "committeeKeys">,
  id: bigint,
  stated: Readonly<Record<keyof GroupKeysText, Uint8Array>>,
): void {
  if (committeeKeys === undefined || BigInt(committeeId) !== id) return;
  for (const purpose of ["oprf", "record"] as const) {
    const [expected, received] = [committeeKeys[purpose], toHex(stated[purpose])];
    if (received === expected) continue;
    throw new IntegrityError(`the chain's RPC endpoint states another ${purpose} key of committee ${id}`, {
      party: "chain",
      check: `${purpose} key of the committee`,
      expected,
      received,
      hint: "the endpoint lies, or the deployment file is of another network: use another endpoint, and compare files",
    });
  }
}

/**
 * Connects to the chain of a deployment and checks that the deployment is there.
 *
 * @throws NoDeploymentError when the chain has another id, or no code at an address of the file.
 * @throws ChainUnavailableError when the endpoint does not answer.
 */
export async function connectChain(deployment: Deployment, options: ConnectOptions = {}): Promise<ChainReader> {
  const url = options.rpcUrl ?? deployment.rpcUrl;
  const provider = openProvider(url, BigInt(deployment.chainId), options.requestTimeoutSeconds);
  try {
    await checkDeployment(provider, deployment, redactUrl(url));
  } catch (error) {
    provider.destroy();
    throw error;
  }
  return { deployment, provider, close: () => provider.destroy() };
}

/** @param url as it may be shown. */
async function checkDeployment(provider: JsonRpcProvider, deployment: Deployment, url: string): Promise<void> {
  const answered: unknown = await readChain("asking for the chain id", () => provider.send("eth_chainId", []));
  const chainId = typeof answered === "string" && /^0x[0-9a-fA-F]+$/.test(answered) ? BigInt(answered) : undefined;
  if (chainId !== BigInt(deployment.chainId)) {
    throw new NoDeploymentError(`the chain at ${url} is not the one of the deployment file`, {
      check: "chain id",
      expected: String(deployment.chainId),
      received: chainId === undefined ? "no chain id" : String(chainId),
      hint: "start the chain the file was written for, or give the file of this chain",
    });
  }
  await Promise.all(
    Object.entries(deployment.contracts).map(async ([name, address]) => {
      const code = await readChain(`reading the code of ${name}`, () => provider.getCode(address));
      if (code === "0x") {
        throw new NoDeploymentError(`the chain at ${url} has no ${name} at ${address}`, {
          check: "contract code",
          expected: `code of ${name}`,
          received: "none",
          hint: "a restarted development chain is empty: deploy again",
        });
      }
    }),
  );
}
