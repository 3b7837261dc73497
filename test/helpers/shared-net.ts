/**
 * A network that test files share; `npm test` starts one for all of them. Each file has a folder of its own and makes
 * new identities. No file may stop or change its daemons, mine blocks on its chain, or count the actions of all
 * accounts: files that do so start a network of their own (local-net.ts). A file that is run alone starts the network
 * itself.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { JsonRpcProvider } from "ethers";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { startLocalNet } from "./local-net.ts";
import { until } from "./promises.ts";

/** Long epochs: proofs are tested where blocks are mined on purpose. */
export const SHARED_NETWORK = { nodes: 5, threshold: 3, epochBlocks: 100_000, windowBlocks: 1000 } as const;
const READY_SECONDS = 180;

/** What a test sees of a daemon that is not its own. */
export type SharedDaemon = Pick<DevnetDaemon, "name" | "url" | "account" | "dir">;

export interface SharedNetworkState {
  readonly deployment: Deployment;
  readonly deploymentFile: string;
  readonly nodes: readonly SharedDaemon[];
  readonly provider: SharedDaemon;
}

/** What tests with people need of a network, their own or the shared one. */
export interface TestNet extends SharedNetworkState {
  /** For whatever a test needs; removed at the end. */
  readonly dir: string;
  /** Gives coins of the development chain to accounts. */
  fund(accounts: readonly string[], wei?: bigint): Promise<void>;
  stop(): Promise<void>;
}

export async function joinSharedNet(): Promise<TestNet> {
  const stateFile = process.env.TALLYSTICK_TEST_NETWORK;
  if (stateFile === undefined) return await startLocalNet(SHARED_NETWORK);
  await until("the shared network is ready", () => existsSync(stateFile), READY_SECONDS);
  const state = JSON.parse(readFileSync(stateFile, "utf8")) as SharedNetworkState;
  const dir = mkdtempSync(join(tmpdir(), "tallystick-guest-"));
  const { chainId, rpcUrl } = state.deployment;
  const provider = new JsonRpcProvider(rpcUrl, chainId, { staticNetwork: true, cacheTimeout: -1 });
  return {
    ...state,
    dir,
    // Sets balances, because transactions of one funder from several processes would take each other's nonces.
    fund: async (accounts, wei = 100n * 10n ** 18n) => {
      for (const account of accounts) {
        const balance = await provider.getBalance(account);
        await provider.send("anvil_setBalance", [account, `0x${(balance + wei).toString(16)}`]);
      }
    },
    stop: async () => {
      provider.destroy();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
