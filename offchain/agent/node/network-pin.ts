/**
 * The network that a home folder belongs to. First use writes down chain id, contracts, committee, its group keys if
 * the deployment file has them, and the hash of the deployment block; from then on another network is refused, so that
 * no file that is found or changed later can redirect data, keys or money. The RPC endpoint and the provider may
 * change: neither of them decides what is on the ledger.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import {
  type ChainReader,
  CONTRACT_NAMES,
  ContractsSchema,
  connectChain,
  type Deployment,
  GroupKeysSchema,
  NoDeploymentError,
} from "../../chain/deployment.ts";
import { openProvider } from "../../chain/endpoint.ts";
import { readChain } from "../../chain/revert.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import { Bytes32Text, Uint64Text } from "../../core/wire/schema.ts";
import { createHomeFile, readHomeFile, removeHomeFile } from "./home-file.ts";

const PIN_FILE = "network.json";
const VERSION = 1;

const PinSchema = Type.Object({
  version: Type.Literal(VERSION),
  chainId: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  contracts: ContractsSchema,
  committeeId: Uint64Text,
  /** As the deployment file had them at first use. */
  committeeKeys: Type.Optional(GroupKeysSchema),
  /** A development chain that is started anew has the same id and the same addresses, but another block here. */
  deploymentBlock: Type.Object({ number: Type.Integer({ minimum: 0 }), hash: Bytes32Text }),
});

/** The file `network.json` of a home folder, version 1. */
export type NetworkPin = Static<typeof PinSchema>;

export function pinPath(homeDir: string): string {
  return join(homeDir, PIN_FILE);
}

/**
 * @returns undefined while the home folder has not been used with any network
 * @throws TallystickError INVALID_INPUT when the file is damaged; UnknownVersionError; DiskFailedError
 */
export function readPin(homeDir: string): NetworkPin | undefined {
  const file = pinPath(homeDir);
  return readHomeFile(file, PinSchema, VERSION, (expected, received) => damagedPin(file, expected, received));
}

/**
 * Compares what the files say. Needs no network.
 *
 * @throws TallystickError WRONG_NETWORK naming the first difference
 */
export function requirePinnedNetwork(homeDir: string, deployment: Deployment): void {
  const pin = readPin(homeDir);
  if (pin === undefined) return;
  const difference = differenceOf(pin, deployment);
  if (difference !== undefined) throw wrongNetwork(homeDir, difference);
}

/**
 * Pins the network at first use, and later asks the chain whether it is still the one that was pinned.
 *
 * @throws NoDeploymentError when at first use the chain does not have the block of the deployment
 * @throws TallystickError WRONG_NETWORK; ChainUnavailableError; DiskFullError, DiskFailedError
 */
export async function pinNetwork(homeDir: string, deployment: Deployment): Promise<void> {
  requirePinnedNetwork(homeDir, deployment);
  const number = readPin(homeDir)?.deploymentBlock.number ?? deployment.deployedAtBlock;
  const hash = await blockHash(deployment, number);
  if (readPin(homeDir) === undefined) {
    // Without the block's hash nothing could be pinned, and the next use could be with any network.
    if (hash === undefined) throw noDeploymentBlock(number);
    savePin(homeDir, deployment, { number, hash });
  }
  // Read again: another process may have pinned the home meanwhile.
  requirePinnedNetwork(homeDir, deployment);
  const expected = readPin(homeDir)?.deploymentBlock;
  if (expected?.number !== number || expected.hash === hash) return;
  throw wrongNetwork(homeDir, {
    check: "hash of the deployment block",
    expected: `block ${number} with hash ${expected.hash}`,
    received: hash ?? "no such block",
  });
}

/** What was begun with a network before an identity was open. */
export interface NetworkMeeting {
  /** Absent at the first use of a network. */
  readonly chain?: Promise<ChainReader>;
  /** As `pinNetwork`. */
  pinned(): Promise<void>;
  /** Closes the connection, also one that is still being made. */
  close(): void;
}

/**
 * Connects to the pinned network and asks whether it is still the same. Failures are met by whoever awaits the results.
 * A network is first used when the identity is known to be right: then nothing is begun here.
 * @throws as `requirePinnedNetwork`, before anything is sent
 */
export function meetNetwork(homeDir: string, deployment: Deployment): NetworkMeeting {
  const pin = () => pinNetwork(homeDir, deployment);
  if (readPin(homeDir) === undefined) return { pinned: pin, close: () => undefined };
  requirePinnedNetwork(homeDir, deployment);
  const chain = connectChain(deployment);
  const pinning = pin();
  for (const begun of [chain, pinning]) begun.catch(() => undefined);
  return {
    chain,
    pinned: () => pinning,
    close: () => {
      chain.then(
        (connected) => connected.close(),
        () => undefined,
      );
    },
  };
}

/** Lets the next command pin another network. @returns whether one was pinned @throws DiskFailedError */
export function forgetNetwork(homeDir: string): boolean {
  const file = pinPath(homeDir);
  if (!existsSync(file)) return false;
  removeHomeFile(file);
  return true;
}

interface Difference {
  readonly check: string;
  readonly expected: string;
  readonly received: string;
}

function differenceOf(pin: NetworkPin, deployment: Deployment): Difference | undefined {
  if (pin.chainId !== deployment.chainId) {
    return { check: "chain id", expected: String(pin.chainId), received: String(deployment.chainId) };
  }
  for (const name of CONTRACT_NAMES) {
    const [expected, received] = [pin.contracts[name], deployment.contracts[name]];
    if (!isAddressEqual(expected, received)) return { check: `contract ${name}`, expected, received };
  }
  if (pin.committeeId !== deployment.committeeId) {
    return { check: "committee", expected: pin.committeeId, received: deployment.committeeId };
  }
  if (pin.committeeKeys === undefined) return undefined;
  for (const purpose of ["oprf", "record"] as const) {
    const [expected, received = "none"] = [pin.committeeKeys[purpose], deployment.committeeKeys?.[purpose]];
    if (expected !== received) return { check: `${purpose} key of the committee`, expected, received };
  }
  return undefined;
}

async function blockHash(deployment: Deployment, number: number): Promise<string | undefined> {
  const provider = openProvider(deployment.rpcUrl, BigInt(deployment.chainId));
  try {
    const block = await readChain("reading the deployment block", () => provider.getBlock(number));
    return block?.hash?.toLowerCase() ?? undefined;
  } finally {
    provider.destroy();
  }
}

function savePin(homeDir: string, deployment: Deployment, deploymentBlock: NetworkPin["deploymentBlock"]): void {
  const { chainId, contracts, committeeId, committeeKeys } = deployment;
  const {
    nodeRegistry,
    keyLedger,
    storageEscrow,
    possessionVerifier,
    randomness,
    accountDirectory,
    ownersPolicy,
    recoveryPolicy,
  } = contracts;
  const pin: NetworkPin = {
    version: VERSION,
    chainId,
    contracts: {
      nodeRegistry,
      keyLedger,
      storageEscrow,
      possessionVerifier,
      randomness,
      accountDirectory,
      ownersPolicy,
      recoveryPolicy,
    },
    committeeId,
    ...(committeeKeys === undefined
      ? {}
      : { committeeKeys: { oprf: committeeKeys.oprf, record: committeeKeys.record } }),
    deploymentBlock,
  };
  // Whoever asks reads what another process has pinned meanwhile.
  createHomeFile(pinPath(homeDir), pin);
}

function noDeploymentBlock(number: number): NoDeploymentError {
  return new NoDeploymentError(`the chain has no block ${number}, in which the contracts were deployed`, {
    check: "block of the deployment",
    hint: "wait until the endpoint is in sync, or use another one",
  });
}

function wrongNetwork(homeDir: string, difference: Difference): TallystickError {
  const restarted = difference.check === "hash of the deployment block";
  return new TallystickError(
    restarted
      ? "the chain is not the one this home folder was first used with: it was started anew"
      : "the deployment is not the network this home folder was first used with",
    {
      code: "WRONG_NETWORK",
      party: "deployment",
      ...difference,
      hint: `use another home folder (--home), or run \`tallystick network forget\` to let ${homeDir} use this network`,
    },
  );
}

function damagedPin(file: string, expected: string, received: string): TallystickError {
  return new TallystickError(`${file} is damaged`, {
    code: "INVALID_INPUT",
    party: "you",
    check: "pinned network",
    expected,
    received,
    hint: "restore the file, or run `tallystick network forget` and check the network that the next command names",
  });
}
