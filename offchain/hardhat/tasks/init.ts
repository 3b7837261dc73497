/** `npx hardhat tallystick init` */
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { giveDevelopmentFunds } from "../../agent/development-funds.ts";
import { homeDirectory, stageIdentity } from "../../agent/node/identity-store.ts";
import { createOutput } from "../../cli/output.ts";
import { readNewPassphrase } from "../../cli/secrets.ts";
import { type TaskOptions, taskDeployment } from "./session.ts";

export default async function init(options: TaskOptions, hre: HardhatRuntimeEnvironment): Promise<void> {
  const deployment = await taskDeployment(options, hre);
  const passphrase = await readNewPassphrase(options.passphraseFile);
  const staged = await stageIdentity(homeDirectory(options.home), passphrase);
  try {
    const { identity, keystoreFile, phrase } = staged;
    const { account } = identity;
    const developmentFunds = await giveDevelopmentFunds(deployment, account);
    const document = { account, recoveryPhrase: phrase, keystore: keystoreFile, developmentFunds };
    // The identity counts only once its phrase was written.
    await createOutput(true, false).confirmedResult(document, []);
    staged.keep();
  } finally {
    staged.release();
  }
}
