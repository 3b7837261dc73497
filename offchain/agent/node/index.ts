/**
 * The SDK for Node: the agent with files and a home folder.
 *
 *   const agent = await openAgent({ identity, deployment, homeDir });
 *   const { dataId } = await agent.put(["photos"]);
 *   await agent.get(dataId, "restored");
 *   await agent.close();
 */

import { type Agent, type AgentOptions, openAgent as openAgentOn } from "../index.ts";
import type { DataStages } from "../pipeline/data-stages.ts";
import { nodePlatform } from "./platform.ts";

export * from "../index.ts";
export { type DeploymentPlaces, type FoundDeployment, findDeployment } from "./deployment-file.ts";
export { httpWallet } from "./http-wallet.ts";
export { addIdentityOpener, removeIdentityOpener } from "./identity-openers.ts";
export {
  type CreatedIdentity,
  createIdentity,
  hasIdentity,
  homeDirectory,
  identityOpeners,
  loadIdentity,
} from "./identity-store.ts";
export { nodePlatform } from "./platform.ts";
export { useProxyFromEnvironment } from "./proxy.ts";
export { startWorkerStages } from "./worker-stages.ts";

export interface NodeAgentOptions extends Omit<AgentOptions, "platform"> {
  /** Where the catalogue, the journal of data sets and the lock are; see `homeDirectory`. */
  readonly homeDir: string;
  /** Of `startWorkerStages`, for the first put or get; they are closed with the agent. */
  readonly stages?: DataStages | undefined;
}

/**
 * Opens an agent on a home folder. Chain, nodes and providers are connected to when they are first needed.
 *
 * @throws DiskFullError, DiskFailedError, UnknownVersionError when the catalogue cannot be opened
 * @throws TallystickError CONFLICT when the home folder belongs to another account
 */
export async function openAgent(options: NodeAgentOptions): Promise<Agent> {
  const { homeDir, stages, ...rest } = options;
  const platform = nodePlatform(homeDir, stages);
  try {
    return await openAgentOn({ ...rest, platform });
  } catch (error) {
    await platform.close();
    throw error;
  }
}
