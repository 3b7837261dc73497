/**
 * The node registry: committees and nodes as they are on chain, and the calls that change them. Readers take the whole
 * state of a committee at one block, so that keys and members belong together. Its events are in registry-events.ts.
 */

import { AbiCoder, keccak256, type TransactionReceipt, toBeHex, zeroPadValue } from "ethers";
import type { KeyPurpose } from "../core/committee/key-id.ts";
import type { CommitteeGeneration, PerKey, PublicKeys } from "../core/committee/run.ts";
import { isAddressEqual } from "../core/encoding/address.ts";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { registryAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { nodeRegistry } from "./contracts.ts";
import { type ChainReader, type Deployment, requireDeployedKeys } from "./deployment.ts";
import { readChain } from "./revert.ts";
import type { INodeRegistry } from "./types/NodeRegistry.ts";

/** `INodeRegistry.GenerationStatus` by number; 0 does not come out of the contract. */
const STATUSES = ["none", "forming", "active", "replaced", "expired", "abandoned"] as const;
/** Entries fetched by one call when listing; 100 node entries are some 40 KB. */
const PAGE = 100;
/** "0x" and the selector of an encoded call. */
const SELECTOR_CHARACTERS = 10;
/** What the last attestation costs beside an earlier one, which it may have been estimated as. */
const ACTIVATION_GAS = 250_000n;
/** The same for a proposal, which opens a generation of up to 32 members. */
const OPENING_GAS = 1_000_000n;

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
  /** 0 when the operator has left. */
  readonly stakeWei: bigint;
  readonly exitAt: number;
}

export type GenerationStatus = "forming" | "active" | "replaced" | "expired" | "abandoned";

/** A committee in one of its generations, without the key material. */
export interface Committee {
  readonly id: bigint;
  /** Number of the generation, from 1. */
  readonly generation: number;
  /** Of the generation. */
  readonly status: GenerationStatus;
  readonly size: number;
  readonly threshold: number;
  /** The generation whose members deal; 0 in key generation. */
  readonly from: number;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Unix seconds; 0 while the generation has not been active. */
  readonly activatedAt: number;
  /** The block in which it became active; 0 before. */
  readonly activatedBlock: number;
  /** `keyMaterialHash` of its key material; zeros before. */
  readonly keyMaterialHash: string;
  readonly members: CommitteeMember[];
}

/** A committee in a generation that is, or was, active. */
export interface CommitteeWithKeys extends Committee {
  readonly keys: PerKey<PublicKeys>;
}

/** The numbers of a committee's generations. */
export interface CommitteeState {
  /** The active generation; 0 while there is none. */
  readonly active: number;
  /** The generation that was opened last. */
  readonly latest: number;
}

/** Which generation is active, and which was opened last. @throws TallystickError NOT_FOUND */
export async function readCommitteeState(chain: ChainReader, id: bigint): Promise<CommitteeState> {
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
  const { active, latest } = await readChain(what, () => registry.committeeById(id));
  return { active: Number(active), latest: Number(latest) };
}

/**
 * A committee in one of its generations: the active one unless stated, or the one that was opened last while none is
 * active.
 *
 * @throws TallystickError NOT_FOUND when there is no committee of this number; ChainRevertedError when it has no such
 *   generation
 */
export async function readCommittee(chain: ChainReader, id: bigint, generation?: number): Promise<Committee> {
  const number = generation ?? currentOf(await readCommitteeState(chain, id));
  const registry = nodeRegistry(chain);
  const what = `reading generation ${number} of committee ${id}`;
  const blockTag = await readChain(what, () => chain.provider.getBlockNumber());
  const [found, nodes] = await readChain(what, () =>
    Promise.all([
      registry.generationById(id, number, { blockTag }),
      registry.generationNodes(id, number, { blockTag }),
    ]),
  );
  return toCommittee(id, number, found, nodes);
}

function currentOf({ active, latest }: CommitteeState): number {
  return active === 0 ? latest : active;
}

/** Who else may have the key material of a generation. What it gives counts only with the hash that the chain has. */
export type KeyMaterialSource = (committee: Committee) => Promise<PerKey<PublicKeys> | undefined>;

/**
 * The same with its key material, which the event of its activation has and the contract has the hash of.
 *
 * @param source asked when the endpoint does not give the event
 * @throws TallystickError CONFLICT when the generation has not become active, CHAIN_UNAVAILABLE when neither the
 *   endpoint nor the source gives its key material
 * @throws IntegrityError when they are not those of the deployment file
 */
export async function readCommitteeKeys(
  chain: ChainReader,
  id: bigint,
  generation?: number,
  source?: KeyMaterialSource,
): Promise<CommitteeWithKeys> {
  const committee = await readCommittee(chain, id, generation);
  const keys = await findKeyMaterial(chain, committee, source);
  const { oprf, record } = keys;
  requireDeployedKeys(chain.deployment, id, { oprf: oprf.groupPublicKey, record: record.groupPublicKey });
  return { ...committee, keys };
}

async function findKeyMaterial(
  chain: ChainReader,
  committee: Committee,
  source: KeyMaterialSource | undefined,
): Promise<PerKey<PublicKeys>> {
  try {
    return await readKeyMaterial(chain, committee);
  } catch (error) {
    if (!(error instanceof TallystickError) || error.code !== "CHAIN_UNAVAILABLE") throw error;
    const keys = await source?.(committee);
    if (keys !== undefined && keyMaterialHash(keys) === committee.keyMaterialHash) return keys;
    throw error;
  }
}

async function readKeyMaterial(chain: ChainReader, committee: Committee): Promise<PerKey<PublicKeys>> {
  const { id, generation, activatedBlock, keyMaterialHash: expected } = committee;
  if (activatedBlock === 0) throw notActive(committee);
  const topics = [
    registryAbi().getEvent("GenerationActivated").topicHash,
    zeroPadValue(toBeHex(id), 32),
    zeroPadValue(toBeHex(generation), 32),
  ];
  const address = chain.deployment.contracts.nodeRegistry;
  const filter = { address, topics, fromBlock: activatedBlock, toBlock: activatedBlock };
  const logs = await readChain("reading key material", () => chain.provider.getLogs(filter));
  for (const log of logs) {
    const material = registryAbi().parseLog(log)?.args.getValue("keys") as INodeRegistry.KeyMaterialStructOutput;
    const keys = toKeys(material);
    if (keyMaterialHash(keys) === expected) return keys;
  }
  throw new TallystickError(`the chain's endpoint lacks the key material of generation ${generation}`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "event of the activation",
    expected: `key material of hash ${expected} in block ${activatedBlock}`,
    received: `${logs.length} events`,
    hint: "wait until a key node is up that has them archived, or use an endpoint that keeps old events",
    retryable: true,
  });
}

/** A generation that cannot be used, as an error. */
export function notActive({ id, generation, status }: Committee): TallystickError {
  const over = status === "expired" || status === "abandoned";
  return new TallystickError(`generation ${generation} of committee ${id} has no keys`, {
    code: "CONFLICT",
    party: `committee ${id}`,
    check: "committee status",
    expected: "active",
    received: status,
    hint: over ? "use another committee, or another generation" : "wait until all its nodes have attested the keys",
    retryable: !over,
  });
}

/** What core/committee takes. */
export function generationOf({ generation, size, threshold, keys }: CommitteeWithKeys): CommitteeGeneration {
  return { generation, size, threshold, keys };
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
export async function readAttestation(
  chain: ChainReader,
  id: bigint,
  generation: number,
  member: string,
): Promise<string | undefined> {
  const read = () => nodeRegistry(chain).attestationOf(id, generation, member);
  const hash = await readChain("reading an attestation", read);
  return /^0x0+$/.test(hash) ? undefined : hash;
}

/** How many members of the active generation propose this next one. @param atBlock as of which block */
export async function readProposers(
  chain: ChainReader,
  id: bigint,
  { active, generation }: { readonly active: number; readonly generation: number },
  members: readonly string[],
  threshold: number,
  atBlock: number | "latest" = "latest",
): Promise<number> {
  const types = ["uint32", "uint32", "address[]", "uint16"];
  const proposal = keccak256(AbiCoder.defaultAbiCoder().encode(types, [active, generation, members, threshold]));
  const read = () => nodeRegistry(chain).agreementOnProposal(id, proposal, { blockTag: atBlock });
  return Number(await readChain("reading proposals", read));
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
    data: registryAbi().encodeFunctionData("registerNode", [node.url, toHex(node.hpkePublicKey)]),
    value: node.stakeWei,
    description: "registering the node",
  };
}

export function updateNodeCall(deployment: Deployment, node: { url: string; hpkePublicKey: Uint8Array }): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: registryAbi().encodeFunctionData("updateNode", [node.url, toHex(node.hpkePublicKey)]),
    description: "updating the node",
  };
}

export function requestExitCall(deployment: Deployment): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: registryAbi().encodeFunctionData("requestExit"),
    description: "asking to leave",
  };
}

/** @param to who receives the stake. */
export function withdrawStakeCall(deployment: Deployment, to: string): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: registryAbi().encodeFunctionData("withdrawStake", [to]),
    description: "withdrawing the stake",
  };
}

/** @param members operators in index order. */
export function createCommitteeCall(deployment: Deployment, members: string[], threshold: number): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: registryAbi().encodeFunctionData("createCommittee", [members, threshold]),
    description: "creating a committee",
  };
}

/**
 * A member's proposal of the next generation.
 * @param generation its number: the latest one's plus one
 * @param members operators in index order
 */
export function proposeGenerationCall(
  deployment: Deployment,
  id: bigint,
  generation: number,
  members: readonly string[],
  threshold: number,
): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: registryAbi().encodeFunctionData("proposeGeneration", [id, generation, [...members], threshold]),
    description: `proposing generation ${generation} of committee ${id}`,
    extraGas: OPENING_GAS,
  };
}

export function attestGenerationCall(
  deployment: Deployment,
  id: bigint,
  generation: number,
  keys: PerKey<PublicKeys>,
): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: registryAbi().encodeFunctionData("attestGeneration", [id, generation, toMaterial(keys)]),
    description: `attesting generation ${generation} of committee ${id}`,
    extraGas: ACTIVATION_GAS,
  };
}

export function assignCommitteeCall(deployment: Deployment, id: bigint): ContractCall {
  return {
    to: deployment.contracts.nodeRegistry,
    data: registryAbi().encodeFunctionData("assignCommittee", [id]),
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
    const parsed = registryAbi().parseLog(log);
    if (parsed?.name === "GenerationOpened") return parsed.args.getValue("id") as bigint;
  }
  throw new InvalidInputError(`transaction ${receipt.hash} created no committee`, { check: "GenerationOpened event" });
}

/** keccak256 of key material as the contract hashes it, to compare with `readAttestation`. */
export function keyMaterialHash(keys: PerKey<PublicKeys>): string {
  const call = registryAbi().encodeFunctionData("hashKeyMaterial", [toMaterial(keys)]);
  return keccak256(`0x${call.slice(SELECTOR_CHARACTERS)}`);
}

/** As the contracts take it. */
export function toMaterial({ oprf, record }: PerKey<PublicKeys>) {
  return {
    oprfPublicKey: toHex(oprf.groupPublicKey),
    recordPublicKey: toHex(record.groupPublicKey),
    oprfShares: oprf.verificationShares.map(toHex),
    recordShares: record.verificationShares.map(toHex),
  };
}

/** Key material as an event of the contract, or an answer of an archive, has it. */
type Material = Pick<
  INodeRegistry.KeyMaterialStructOutput,
  "oprfPublicKey" | "recordPublicKey" | "oprfShares" | "recordShares"
>;

export function toKeys(material: Material): PerKey<PublicKeys> {
  const of = (purpose: KeyPurpose): PublicKeys => ({
    groupPublicKey: fromHex(material[`${purpose}PublicKey`]),
    verificationShares: material[`${purpose}Shares`].map((share) => fromHex(share)),
  });
  return { oprf: of("oprf"), record: of("record") };
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
  generation: number,
  found: INodeRegistry.GenerationStructOutput,
  nodes: INodeRegistry.NodeStructOutput[],
): Committee {
  const members = found.members.map((operator, position): CommitteeMember => {
    const node = nodes[position];
    const present = node !== undefined && node.stakeWei > 0n;
    return {
      index: position + 1,
      operator,
      url: present ? node.endpoint : "",
      hpkePublicKey: present ? fromHex(node.hpkePublicKey) : new Uint8Array(),
      stakeWei: present ? node.stakeWei : 0n,
      exitAt: present ? Number(node.exitAt) : 0,
    };
  });
  return {
    id,
    generation,
    status: STATUSES[Number(found.status)] as GenerationStatus,
    size: Number(found.size),
    threshold: Number(found.threshold),
    from: Number(found.from),
    createdAt: Number(found.createdAt),
    activatedAt: Number(found.activatedAt),
    activatedBlock: Number(found.activatedBlock),
    keyMaterialHash: found.keyMaterialHash,
    members,
  };
}
