/**
 * Stores a file, has the provider prove that it holds it, and restores it. Needs an identity (`npx tallystick init`),
 * its passphrase in TALLYSTICK_PASSPHRASE, and a deployment: TALLYSTICK_DEPLOYMENT, or `.tallystick/devnet.json` here
 * or in a folder above.
 *
 *   node put-and-get.ts package.json restored
 */
import { findDeployment, homeDirectory, loadIdentity, openAgent } from "tallystick";

const [file = "package.json", folder = "restored"] = process.argv.slice(2);

const homeDir = homeDirectory();
const { deployment } = findDeployment({ homeDir });
const identity = await loadIdentity(homeDir, process.env.TALLYSTICK_PASSPHRASE ?? "");
const agent = await openAgent({ identity, deployment, homeDir });
try {
  const { dataId, uploadedBytes, dataSets } = await agent.put([file]);
  const dataSetId = dataSets[0]?.id ?? "";
  const { sampleCount } = await agent.dataSets.audit(dataSetId);
  const { entries } = await agent.get(dataId, folder);
  process.stdout.write(`${JSON.stringify({ dataId, uploadedBytes, dataSetId, sampleCount, entries })}\n`);
} finally {
  await agent.close();
}
