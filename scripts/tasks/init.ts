/** `npx hardhat tallystick init` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { giveDevelopmentFunds } from "../../offchain/agent/development-funds.ts";
import { createIdentity, homeDirectory } from "../../offchain/agent/identity-store.ts";
import { print, readTaskPassphrase, type TaskOptions, taskDeployment } from "./session.ts";

export default async function init(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const deployment = await taskDeployment(options, hre);
  const passphrase = await readTaskPassphrase(options);
  const { identity, phrase, keystoreFile } = await createIdentity(homeDirectory(options.home), passphrase);
  const { account } = identity;
  identity.wipe();
  const developmentFunds = await giveDevelopmentFunds(deployment, account);
  print({ account, recoveryPhrase: phrase, keystore: keystoreFile, developmentFunds });
}
