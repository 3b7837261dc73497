/**
 * Figures of gas, and how they are taken: whole transactions on Hardhat's own network, which starts at a fixed time.
 */
import { type BaseContract, FunctionFragment, type Interface, type Signer, type TransactionResponse } from "ethers";
import { network } from "hardhat";
import type { NetworkConnection } from "hardhat/types/network";

/** One figure of `npm run bench:gas` and of the gas snapshot. The name begins with the function that was called. */
export interface GasFigure {
  readonly name: string;
  readonly gas: number;
  /** A function that changes nothing: it costs gas only when another contract calls it. */
  readonly isView?: true;
}

/** Unix time of the first block. Signed times are taken from it, so that every run sends the same call data. */
export const GENESIS_SECONDS = 1_767_225_600;

/**
 * A network of its own for one set of figures. The caller closes it.
 * @param blockGasLimit for transactions that no block of today holds
 */
export function measuringNetwork(blockGasLimit?: number): Promise<NetworkConnection> {
  const limit = blockGasLimit === undefined ? {} : { blockGasLimit, transactionGasCap: blockGasLimit };
  return network.create({ override: { initialDate: new Date(GENESIS_SECONDS * 1000), ...limit } });
}

/** Takes figures in the order of the calls. */
export class GasMeter {
  readonly figures: GasFigure[] = [];

  /**
   * Waits for a transaction and keeps its gas.
   *
   * @param per how many things of the same kind the transaction does; the figure is the share of one
   */
  async measure(name: string, sent: Promise<TransactionResponse>, per = 1): Promise<void> {
    this.figures.push({ name, gas: Math.ceil((await minedGas(name, sent)) / per) });
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
      const sent = sender.sendTransaction({ to: await contract.getAddress(), data });
      this.figures.push({ name, gas: await minedGas(name, sent), isView: true });
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

async function minedGas(name: string, sent: Promise<TransactionResponse>): Promise<number> {
  const receipt = await (await sent).wait();
  if (receipt === null) throw new Error(`${name} was not mined`);
  return Number(receipt.gasUsed);
}
