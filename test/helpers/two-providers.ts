/** A network with a second storage provider. Both are real processes; requests to the second one and to the chain pass
 * through proxies, where a test can count them or strike. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { ProviderProcess } from "../csp/provider-process.ts";
import { HttpProxy } from "./http-proxy.ts";
import type { LocalChain } from "./local-chain.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "./local-net.ts";

export interface TwoProviderNet extends LocalNet {
  readonly second: ProviderProcess;
  readonly toSecond: HttpProxy;
  readonly toChain: HttpProxy;
}

/** @param config of the second provider. Its deployment file names both, the second one by way of the proxy. */
export async function startTwoProviderNet(config: Record<string, unknown> = {}): Promise<TwoProviderNet> {
  const net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 1000, windowBlocks: 100, sampleCount: 30 });
  // The provider needs of a chain that it is funded and knows the deployment.
  const local = { deployment: net.deployment, fund: net.fund } as unknown as LocalChain;
  const second = await ProviderProcess.prepare(local, config);
  await second.start();
  const [toSecond, toChain] = [await HttpProxy.start(second.url), await HttpProxy.start(net.deployment.rpcUrl)];
  const deployment: Deployment = {
    ...net.deployment,
    rpcUrl: toChain.url,
    providers: [...net.deployment.providers, { account: second.operator, url: toSecond.url }],
  };
  const deploymentFile = join(net.dir, "two-providers.json");
  writeFileSync(deploymentFile, JSON.stringify(deployment));
  const stop = async () => {
    await toSecond.stop();
    await toChain.stop();
    await second.remove();
    await net.stop();
  };
  return { ...net, deployment, deploymentFile, second, toSecond, toChain, stop };
}
