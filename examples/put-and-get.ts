/**
 * The SDK in a few lines: store a file and some bytes, have the provider prove that it holds them, and get them back. Needs an
 * identity (`tallystick init`), its passphrase in TALLYSTICK_PASSPHRASE, and a network (`npm run devnet`):
 *
 *   npx node examples/put-and-get.ts README.md restored
 */

import { findDeployment, homeDirectory, loadIdentity, openAgent } from "../offchain/agent/node/index.ts";

const [file = "README.md", folder = "restored"] = process.argv.slice(2);

const homeDir = homeDirectory();
const { deployment } = findDeployment({ homeDir });
const identity = await loadIdentity(homeDir, process.env.TALLYSTICK_PASSPHRASE ?? "");
const agent = await openAgent({ identity, deployment, homeDir });
try {
  const note = { name: "note.txt", bytes: new TextEncoder().encode("stored from memory") };
  const { dataId, uploadedBytes } = await agent.put([file, note], { agreement: { epochs: 5 } });
  const { sampleCount } = await agent.audit(dataId);
  const { entries } = await agent.get(dataId, folder);
  const text = new TextDecoder().decode(await agent.getBytes(dataId, { path: note.name }));
  process.stdout.write(`${JSON.stringify({ dataId, uploadedBytes, sampleCount, entries, text })}\n`);
} finally {
  await agent.close();
}
