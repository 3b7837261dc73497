/** A contract wallet of `contracts/test/zoo` as an account, which a plain account owns. */
import { readFileSync } from "node:fs";
import {
  AbstractSigner,
  type BaseContract,
  ContractFactory,
  type HDNodeWallet,
  type TransactionRequest,
  type TransactionResponse,
  type TypedDataDomain,
  type TypedDataField,
} from "ethers";

type Types = Record<string, TypedDataField[]>;

/** Signs as the wallet with the key of its owner, who also sends what it sends. */
export class WalletSigner extends AbstractSigner {
  readonly #wallet: string;
  readonly #owner: HDNodeWallet;

  constructor(wallet: string, owner: HDNodeWallet) {
    super(owner.provider);
    this.#wallet = wallet;
    this.#owner = owner;
  }

  override getAddress(): Promise<string> {
    return Promise.resolve(this.#wallet);
  }

  override connect(): WalletSigner {
    return this;
  }

  override signTypedData(domain: TypedDataDomain, types: Types, value: Record<string, unknown>): Promise<string> {
    return this.#owner.signTypedData(domain, types, value);
  }

  override sendTransaction(request: TransactionRequest): Promise<TransactionResponse> {
    return this.#owner.sendTransaction(request);
  }

  override signTransaction(): Promise<string> {
    return Promise.reject(new Error("a wallet has no key"));
  }

  override signMessage(): Promise<string> {
    return Promise.reject(new Error("a wallet has no key"));
  }
}

/** A wallet that denies in transactions what it says when it is simulated, until it is told to be honest. */
export interface TwoFacedWallet {
  readonly address: string;
  setHonest(honest: boolean): Promise<void>;
}

/** Deploys a contract of `contracts/test/zoo`. @param file that has it @param owner pays, on a chain */
export async function deployZoo(
  owner: HDNodeWallet,
  file: string,
  name: string,
  ...parameters: readonly unknown[]
): Promise<BaseContract> {
  const path = `../../artifacts/contracts/test/zoo/${file}.sol/${name}.json`;
  const { abi, bytecode } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
  const contract = await new ContractFactory(abi, bytecode, owner).deploy(...parameters);
  await contract.waitForDeployment();
  return contract;
}

export async function deployTwoFacedWallet(owner: HDNodeWallet): Promise<TwoFacedWallet> {
  const contract = await deployZoo(owner, "TwoFacedWallet", "TwoFacedWallet", owner.address);
  return {
    address: await contract.getAddress(),
    setHonest: async (honest) => {
      await (await contract.getFunction("setHonest")(honest)).wait();
    },
  };
}
