/**
 * The SDK for pages: the agent with the storage of the page's origin. A bundler resolves `tallystick` to it.
 *
 *   const deployment = parseDeployment(await (await fetch("deployment.json")).json());
 *   const identity = await loadIdentity("main", passphrase);
 *   const agent = await openAgent({ identity, deployment, name: "main" });
 *   const { dataId } = await agent.put([file]);
 *   const copy = await agent.getBytes(dataId);
 *   await agent.close();
 */

import { type Agent, type AgentOptions, openAgent as openAgentOn } from "../index.ts";
import { browserPlatform } from "./platform.ts";

export { type Deployment, parseDeployment } from "../../chain/deployment.ts";
export { giveDevelopmentFunds } from "../development-funds.ts";
export * from "../index.ts";
export {
  addIdentityOpener,
  type CreatedIdentity,
  createIdentity,
  hasIdentity,
  identityOpeners,
  loadIdentity,
  removeIdentityOpener,
} from "./identity-store.ts";
export { browserPlatform } from "./platform.ts";

export interface BrowserAgentOptions extends Omit<AgentOptions, "platform"> {
  /** Of the store that has the catalogue, the journal of data sets and the lock. */
  readonly name: string;
}

/**
 * Opens an agent on a store of the page. Chain, nodes and providers are connected to when they are first needed.
 *
 * @throws InvalidInputError outside a secure context; UnknownVersionError when a newer build has written the store
 * @throws TallystickError CONFLICT when the store belongs to another account; DISK_FULL, DISK_FAILED
 */
export async function openAgent(options: BrowserAgentOptions): Promise<Agent> {
  const { name, ...rest } = options;
  const platform = await browserPlatform(name);
  try {
    return await openAgentOn({ ...rest, platform });
  } catch (error) {
    await platform.close();
    throw error;
  }
}
