/** How a network is named to people, before data or money is sent to it. */
import { Network } from "ethers";
import type { Deployment } from "../chain/deployment.ts";

/** Chain id of anvil's and Hardhat's development chains. */
export const DEVELOPMENT_CHAIN_ID = 31_337;

export interface NetworkFacts {
  readonly chainId: number;
  /** Common name of the chain, for example `sepolia`; undefined for a chain that has none. */
  readonly name?: string;
  /** Host and port of the RPC endpoint. Its path and query may carry an access key and are left out. */
  readonly rpcHost: string;
  /** Address of the escrow contract. */
  readonly escrow: string;
}

export function networkFacts({ chainId, rpcUrl, contracts }: Deployment): NetworkFacts {
  const known = chainId === DEVELOPMENT_CHAIN_ID ? "development chain" : Network.from(chainId).name;
  return {
    chainId,
    ...(known === "unknown" ? {} : { name: known }),
    rpcHost: URL.canParse(rpcUrl) ? new URL(rpcUrl).host : "",
    escrow: contracts.storageEscrow,
  };
}

/** @returns one line, for example `sepolia (chain id 11155111) at rpc.example.org, escrow 0x…` */
export function describeNetwork({ chainId, name, rpcHost, escrow }: NetworkFacts): string {
  return `${name ?? "chain"} (chain id ${chainId}) at ${rpcHost}, escrow ${escrow}`;
}

/** Whether a URL names this machine by its loopback interface. */
export function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
