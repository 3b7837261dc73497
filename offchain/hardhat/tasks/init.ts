/** `npx hardhat tallystick init` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { giveDevelopmentFunds } from "../../agent/development-funds.ts";
import { createIdentity, homeDirectory } from "../../agent/node/identity-store.ts";
import { readNewPassphrase } from "../../cli/secrets.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../core/identity/identity.ts";
import { print, type TaskOptions, taskDeployment } from "./session.ts";

export default async function init(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const deployment = await taskDeployment(options, hre);
  const passphrase = await readNewPassphrase(options.passphraseFile);
  const recoveryPhrase = newRecoveryPhrase();
  const { account } = identityFromPhrase(recoveryPhrase);
  // The network comes first: once the keystore is written, nothing may keep the phrase from being shown.
  const developmentFunds = await giveDevelopmentFunds(deployment, account);
  const { identity, keystoreFile } = await createIdentity(homeDirectory(options.home), passphrase, recoveryPhrase);
  identity.wipe();
  print({ account, recoveryPhrase, keystore: keystoreFile, developmentFunds });
}
