/**
 * The node registry: committees and nodes as they are on chain, and the calls that change them. Readers take the whole
 * state of a committee at one block, so that keys and members belong together. Its events are in registry-events.ts.
 */

import { AbiCoder, keccak256, type TransactionReceipt } from "ethers";
import { isAddressEqual } from "../core/encoding/address.ts";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { REGISTRY_ABI } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { nodeRegistry } from "./contracts.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { readChain } from "./revert.ts";
import type { INodeRegistry } from "./types/NodeRegistry.ts";

/** `INodeRegistry.CommitteeStatus` by number; 0 does not come out of the contract. */
const STATUSES = ["none", "forming", "active"] as const;
/** Entries fetched by one call when listing; 100 node entries are some 40 KB. */
const PAGE = 100;

/** A registered node. */
export interface NodeInfo {
  readonly operator: string;
  readonly url: string;
  /** X25519, 32 bytes. */
  readonly hpkePublicKey: Uint8Array;
  readonly stakeWei: bigint;
  /** Unix seconds. */
  readonly registeredAt: number;
  /** Unix seconds from which the stake may leave; 0 while the node stays. */
  readonly exitAt: number;
}

export interface CommitteeMember {
  /** Position in the committee and of its share, from 1. */
  readonly index: number;
  readonly operator: string;
  /** Empty, like `hpkePublicKey`, when the operator has withdrawn its node. */
  readonly url: string;
  readonly hpkePublicKey: Uint8Array;
  /** k_j·G, ristretto255, 32 bytes; empty while the committee is forming. */
  readonly verificationShare: Uint8Array;
  readonly exitAt: number;
}

export interface Committee {
  readonly id: bigint;
  readonly status: "forming" | "active";
  readonly size: number;
  readonly threshold: number;
  /** Unix seconds. */
  readonly createdAt: number;
  /** k·G, ristretto255, 32 bytes; empty while the committee is forming. */
  readonly groupPublicKey: Uint8Array;
  readonly members: CommitteeMember[];
}

/** The state of one committee. @throws TallystickError NOT_FOUND when there is none of this number. */
export async function readCommittee(chain: ChainReader, id: bigint): Promise<Committee> {
  const registry = nodeRegistry(chain);
  const what = `reading committee ${id}`;
  const count = await readChain(what, () => registry.committeeCount());
  if (id < 1n || id > count) {
    throw new TallystickError(`there is no committee ${id}`, {
      code: "NOT_FOUND",
      party: "chain",
      check: "committee number",
      expected: count === 0n ? "none exists yet" : `1 to ${count}`,
      received: String(id),
    });
  }
  const blockTag = await readChain(what, () => chain.provider.getBlockNumber());
  const [committee, nodes] = await readChain(what, () =>
    Promise.all([registry.committeeById(id, { blockTag }), registry.committeeNodes(id, { blockTag })]),
  );
  return toCommittee(id, committee, nodes);
}

/** All committees in order of number. Anybody may create one, so take no more than needed. */
export async function* listCommittees(chain: ChainReader): AsyncIterable<Committee> {
  const count = await readChain("counting committees", () => nodeRegistry(chain).committeeCount());
  for (let id = 1n; id <= count; id++) yield await readCommittee(chain, id);
}

/** The active committee an account chose, or the default one; undefined while no committee is active. */
export async function readCommitteeOf(chain: ChainReader, account: string): Promise<bigint | undefined> {
  const id = await readChain("reading the account's committee", () => nodeRegistry(chain).committeeOf(account));
  return id === 0n ? undefined : id;
}

/** Hash of what a member attested to; undefined when it has not attested. */
export async function readAttestation(chain: ChainReader, id: bigint, member: string): Promise<string | undefined> {
  const hash = await readChain("reading an attestation", () => nodeRegistry(chain).attestationOf(id, member));
  return /^0x0+$/.test(hash) ? undefined : hash;
}

/** One node; undefined when the operator is not registered. @param atBlock as of which block */
export async function readNode(
  chain: ChainReader,
  operator: string,
  atBlock: number | "latest" = "latest",
): Promise<NodeInfo | undefined> {
  const node = await readChain("reading a node", () => nodeRegistry(chain).nodeOf(operator, { blockTag: atBlock }));
  return node.stakeWei === 0n ? undefined : toNode(operator, node);
}

/** All registered nodes, in no particular order. */
export async function* listNodes(chain: ChainReader): AsyncIterable<NodeInfo> {
  const registry = nodeRegistry(chain);
  // One block for all pages: the list changes its order when a node leaves.
  const blockTag = await readChain("listing nodes", () => chain.provider.getBlockNumber());
  for (let offset = 0; ; offset += PAGE) {
    const operators = await readChain("listing nodes", () => registry.operators(offset, PAGE, { blockTag }));
    for (const operator of operators) {
      yield toNode(operator, await readChain("reading a node", () => registry.nodeOf(operator, { blockTag })));
    }
    if (operators.length < PAGE) return;
  }
}

/** What a node has to deposit and how long it waits to get it back. */
export async function readStakeTerms(chain: ChainReader): Promise<{ minStakeWei: bigint; exitDelaySeconds: number }> {
  const registry = nodeRegistry(chain);
  const [minStakeWei, delay] = await readChain("reading the stake terms", () =>
    Promise.all([registry.MIN_STAKE_WEI(), registry.EXIT_DELAY_SECONDS()]),
  );
  return { minStakeWei, exitDelaySeconds: Number(delay) };
}

export function registerNodeCall(
  deployment: Deployment,
  node: { url: string; hpkePublicKey: Uint8Array; stakeWei: bigint },
): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: REGISTRY_ABI.encodeFunctionData("registerNode", [node.url, toHex(node.hpkePublicKey)]),
    value: node.stakeWei,
    description: "registering the node",
  };
}

export function updateNodeCall(deployment: Deployment, node: { url: string; hpkePublicKey: Uint8Array }): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: REGISTRY_ABI.encodeFunctionData("updateNode", [node.url, toHex(node.hpkePublicKey)]),
    description: "updating the node",
  };
}

export function requestExitCall(deployment: Deployment): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: REGISTRY_ABI.encodeFunctionData("requestExit"),
    description: "asking to leave",
  };
}

/** @param to who receives the stake. */
export function withdrawStakeCall(deployment: Deployment, to: string): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: REGISTRY_ABI.encodeFunctionData("withdrawStake", [to]),
    description: "withdrawing the stake",
  };
}

/** @param members operators in index order. */
export function createCommitteeCall(deployment: Deployment, members: string[], threshold: number): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: REGISTRY_ABI.encodeFunctionData("createCommittee", [members, threshold]),
    description: "creating a committee",
  };
}

/** @param verificationShares k_j·G in index order. */
export function attestCommitteeCall(
  deployment: Deployment,
  id: bigint,
  groupPublicKey: Uint8Array,
  verificationShares: Uint8Array[],
): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: REGISTRY_ABI.encodeFunctionData("attestCommittee", [
      id,
      toHex(groupPublicKey),
      verificationShares.map(toHex),
    ]),
    description: `attesting the keys of committee ${id}`,
  };
}

export function assignCommitteeCall(deployment: Deployment, id: bigint): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: REGISTRY_ABI.encodeFunctionData("assignCommittee", [id]),
    description: `choosing committee ${id}`,
  };
}

/**
 * Number of the committee that a mined `createCommittee` made. @throws InvalidInputError when the receipt is of
 * something else.
 */
export function createdCommitteeId(deployment: Deployment, receipt: TransactionReceipt): bigint {
  for (const log of receipt.logs) {
    if (!isAddressEqual(log.address, deployment.contracts.nodeRegistry)) continue;
    const parsed = REGISTRY_ABI.parseLog(log);
    if (parsed?.name === "CommitteeCreated") return parsed.args.getValue("id") as bigint;
  }
  throw new InvalidInputError(`transaction ${receipt.hash} created no committee`, { check: "CommitteeCreated event" });
}

/** keccak256 of key material as the contract hashes it, to compare with `readAttestation`. */
export function keyMaterialHash(groupPublicKey: Uint8Array, verificationShares: Uint8Array[]): string {
  return keccak256(
    AbiCoder.defaultAbiCoder().encode(["bytes32", "bytes32[]"], [toHex(groupPublicKey), verificationShares.map(toHex)]),
  );
}

function toNode(operator: string, node: INodeRegistry.NodeStructOutput): NodeInfo {
  return {
    operator,
    url: node.endpoint,
    hpkePublicKey: fromHex(node.hpkePublicKey),
    stakeWei: node.stakeWei,
    registeredAt: Number(node.registeredAt),
    exitAt: Number(node.exitAt),
  };
}

function toCommittee(
  id: bigint,
  committee: INodeRegistry.CommitteeStructOutput,
  nodes: INodeRegistry.NodeStructOutput[],
): Committee {
  const active = STATUSES[Number(committee.status)] === "active";
  const members = committee.members.map((operator, position): CommitteeMember => {
    const node = nodes[position];
    // The list is empty while the committee is forming, and a chain library's list throws beyond its end.
    const share = active ? committee.verificationShares[position] : undefined;
    const present = node !== undefined && node.stakeWei > 0n;
    return {
      index: position + 1,
      operator,
      url: present ? node.endpoint : "",
      hpkePublicKey: present ? fromHex(node.hpkePublicKey) : new Uint8Array(),
      verificationShare: share === undefined ? new Uint8Array() : fromHex(share),
      exitAt: present ? Number(node.exitAt) : 0,
    };
  });
  return {
    id,
    status: active ? "active" : "forming",
    size: Number(committee.size),
    threshold: Number(committee.threshold),
    createdAt: Number(committee.createdAt),
    groupPublicKey: active ? fromHex(committee.groupPublicKey) : new Uint8Array(),
    members,
  };
}
