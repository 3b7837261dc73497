/**
 * Figures of gas, and how they are taken: whole transactions on Hardhat's own network, which starts at a fixed time.
 */
import {
  type BaseContract,
  dataLength,
  FunctionFragment,
  type Interface,
  type Signer,
  type TransactionReceipt,
  type TransactionResponse,
} from "ethers";
import { network } from "hardhat";
import type { NetworkConnection } from "hardhat/types/network";

/** One figure of `npm run bench:gas` and of the gas snapshot. The name begins with the function that was called. */
export interface GasFigure {
  readonly name: string;
  readonly gas: number;
  /** Storage slots that were empty before; absent for library calls and views. */
  readonly newSlots?: number;
  /** Absent for library calls and views. */
  readonly callDataBytes?: number;
  /** A function that changes nothing: it costs gas only when another contract calls it. */
  readonly isView?: true;
}

/**
 * Rules by which gas is counted: those of today's main network, and those of its next fork, which are announced
 * (EIP-8037 prices each byte of new state, EIP-7976 raises the least price of call data).
 */
export type GasRules = "osaka" | "amsterdam";
export const [RULES_OF_TODAY, ANNOUNCED_RULES] = ["osaka", "amsterdam"] as const satisfies readonly GasRules[];

/** Unix time of the first block. Signed times are taken from it, so that every run sends the same call data. */
export const GENESIS_SECONDS = 1_767_225_600;

/** Deployments take more than a transaction may have today, once every byte of code has the announced price. */
const ANNOUNCED_GAS_LIMIT = 200_000_000;

/**
 * A network of its own for one set of figures. The caller closes it.
 * @param gasLimit of blocks and transactions, for transactions that no block of today holds
 */
export function measuringNetwork(
  rules: GasRules,
  gasLimit = rules === ANNOUNCED_RULES ? ANNOUNCED_GAS_LIMIT : undefined,
): Promise<NetworkConnection> {
  const limit = gasLimit === undefined ? {} : { blockGasLimit: gasLimit, transactionGasCap: gasLimit };
  const initialDate = new Date(GENESIS_SECONDS * 1000);
  return network.create({ override: { hardfork: rules, initialDate, ...limit } });
}

/** What one transaction cost. */
export type MeasuredCost = Required<Pick<GasFigure, "gas" | "newSlots" | "callDataBytes">>;

/** Takes figures in the order of the calls. */
export class GasMeter {
  readonly figures: GasFigure[] = [];
  readonly #connection: NetworkConnection;

  constructor(connection: NetworkConnection) {
    this.#connection = connection;
  }

  /**
   * Waits for a transaction and keeps its cost.
   *
   * @param per how many things of the same kind the transaction does; the figure is the share of one
   */
  async measure(name: string, sent: Promise<TransactionResponse>, per = 1): Promise<void> {
    this.figures.push({ name, ...shareOf(await costOf(this.#connection, name, await sent), per) });
  }

  /**
   * Sends every view function of a contract as a transaction.
   *
   * @param examples arguments by function, for those that take any
   * @throws Error when a function has no example: a new function needs a figure
   */
  async measureViews(
    contract: BaseContract,
    sender: Signer,
    examples: Readonly<Record<string, readonly unknown[]>>,
  ): Promise<void> {
    for (const { name, inputs, constant } of functionsOf(contract.interface)) {
      if (!constant) continue;
      const values = examples[name] ?? [];
      if (values.length !== inputs.length) throw new Error(`no example arguments for the view function ${name}`);
      const data = contract.interface.encodeFunctionData(name, values);
      const sent = await sender.sendTransaction({ to: await contract.getAddress(), data });
      this.figures.push({ name, gas: Number((await minedReceipt(name, sent)).gasUsed), isView: true });
    }
  }

  /**
   * @param within functions that only another contract may call: the figures of that one have their gas
   * @throws Error when a function of a contract has no figure
   */
  checkComplete(contract: BaseContract, within: readonly string[] = []): void {
    const measured = new Set(this.figures.map(({ name }) => /^\w+/.exec(name)?.[0]));
    const needed = functionsOf(contract.interface).filter(({ name }) => !within.includes(name));
    const missing = needed.filter(({ name }) => !measured.has(name));
    if (missing.length > 0) throw new Error(`nothing was measured for ${missing.map(({ name }) => name).join(", ")}`);
  }
}

function functionsOf(contract: Interface): FunctionFragment[] {
  return contract.fragments.filter((fragment) => FunctionFragment.isFragment(fragment));
}

async function minedReceipt(name: string, sent: TransactionResponse): Promise<TransactionReceipt> {
  const receipt = await sent.wait();
  if (receipt === null) throw new Error(`${name} was not mined`);
  return receipt;
}

/** What a transaction cost, once it is mined. @throws Error when it was refused */
export async function costOf(
  connection: NetworkConnection,
  name: string,
  sent: TransactionResponse,
): Promise<MeasuredCost> {
  const { hash, gasUsed } = await minedReceipt(name, sent);
  const newSlots = await countNewSlots(connection, hash);
  return { gas: Number(gasUsed), newSlots, callDataBytes: dataLength(sent.data) };
}

/** The share of one of several things that were done at once, or the average of several. Gas is rounded up. */
export function shareOf({ gas, newSlots, callDataBytes }: MeasuredCost, count: number): MeasuredCost {
  return { gas: Math.ceil(gas / count), newSlots: newSlots / count, callDataBytes: callDataBytes / count };
}

export function sumOf(costs: readonly MeasuredCost[]): MeasuredCost {
  const total = (of: keyof MeasuredCost) => costs.reduce((sum, cost) => sum + cost[of], 0);
  return { gas: total("gas"), newSlots: total("newSlots"), callDataBytes: total("callDataBytes") };
}

interface StateDifference {
  /** Storage by account: values that were not zero and changed. */
  readonly pre: Readonly<Record<string, { readonly storage?: Readonly<Record<string, string>> }>>;
  /** Values that changed and are not zero. */
  readonly post: StateDifference["pre"];
}

/** Storage slots of any contract that a mined transaction filled and that were empty before. */
export async function countNewSlots({ ethers }: NetworkConnection, transactionHash: string): Promise<number> {
  const tracer = { tracer: "prestateTracer", tracerConfig: { diffMode: true } };
  const trace: StateDifference = await ethers.provider.send("debug_traceTransaction", [transactionHash, tracer]);
  let count = 0;
  for (const [account, { storage = {} }] of Object.entries(trace.post)) {
    const before = trace.pre[account]?.storage ?? {};
    count += Object.keys(storage).filter((slot) => before[slot] === undefined).length;
  }
  return count;
}
