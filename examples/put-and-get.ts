/**
 * The SDK in ten lines: store a file, have the provider prove that it holds it, and get it back. Needs an identity (`tallystick
 * init`), its passphrase in TALLYSTICK_PASSPHRASE, and a network (`npm run devnet`):
 *
 *   npx node examples/put-and-get.ts README.md restored
 */

import { openAgent } from "../offchain/agent/index.ts";
import { findDeployment } from "../offchain/agent/node/deployment-file.ts";
import { homeDirectory, loadIdentity } from "../offchain/agent/node/identity-store.ts";

const [file = "README.md", folder = "restored"] = process.argv.slice(2);

const homeDir = homeDirectory();
const { deployment } = findDeployment({ homeDir });
const identity = await loadIdentity(homeDir, process.env.TALLYSTICK_PASSPHRASE ?? "");
const agent = await openAgent({ identity, deployment, homeDir });
try {
  const { dataId, uploadedBytes } = await agent.put([file], { agreement: { epochs: 5 } });
  const { sampleCount } = await agent.audit(dataId);
  const { entries } = await agent.get(dataId, folder);
  process.stdout.write(`${JSON.stringify({ dataId, uploadedBytes, sampleCount, entries })}\n`);
} finally {
  await agent.close();
}
