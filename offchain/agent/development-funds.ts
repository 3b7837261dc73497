/**
 * Funds the account on development chains, so that a first run needs no coins from elsewhere. Does nothing on other
 * chains: only anvil and Hardhat have the method.
 */
import { connectChain, type Deployment } from "../chain/deployment.ts";
import { readChain } from "../chain/revert.ts";
import { DEVELOPMENT_CHAIN_ID } from "./network-facts.ts";

const GIFT_WEI = 100n * 10n ** 18n;

/**
 * Gives 100 coins to an account that has none.
 *
 * @returns whether coins were given: false on public chains, and for an account that has some
 * @throws NoDeploymentError, ChainUnavailableError
 */
export async function giveDevelopmentFunds(deployment: Deployment, account: string): Promise<boolean> {
  if (deployment.chainId !== DEVELOPMENT_CHAIN_ID) return false;
  const chain = await connectChain(deployment);
  try {
    return await readChain("development funds", async () => {
      const client: unknown = await chain.provider.send("web3_clientVersion", []);
      if (typeof client !== "string" || !/^(anvil|hardhat)/i.test(client)) return false;
      if ((await chain.provider.getBalance(account)) > 0n) return false;
      await chain.provider.send("hardhat_setBalance", [account, `0x${GIFT_WEI.toString(16)}`]);
      return true;
    });
  } finally {
    chain.close();
  }
}
