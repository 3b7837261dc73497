/** Tokens of contracts/test/zoo on a test's chain. */
import { readFileSync } from "node:fs";
import { type BaseContract, Contract, ContractFactory, type InterfaceAbi, type Signer } from "ethers";

export interface ZooToken {
  readonly address: string;
  /** Sends a transaction to the token, and waits until it is mined. @param by default who deployed it */
  call(method: string, args: readonly unknown[], by?: Signer): Promise<void>;
  read(method: string, ...args: unknown[]): Promise<bigint>;
}

/** @param name as the contract is called: `TetherToken` */
export async function deployZooToken(signer: Signer, name: string): Promise<ZooToken> {
  const file = new URL(`../../artifacts/contracts/test/zoo/${name}.sol/${name}.json`, import.meta.url);
  const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8")) as { abi: InterfaceAbi; bytecode: string };
  const deployed: BaseContract = await new ContractFactory(abi, bytecode, signer).deploy();
  await deployed.waitForDeployment();
  const address = await deployed.getAddress();
  return {
    address,
    call: async (method, args, by = signer) => {
      await (await new Contract(address, abi, by).getFunction(method)(...args)).wait();
    },
    read: (method, ...args) => new Contract(address, abi, signer.provider).getFunction(method)(...args),
  };
}
