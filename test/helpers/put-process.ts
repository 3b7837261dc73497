/**
 * A put in a process of its own, to be killed at any moment: `node put-process.ts <plan.json>`. Prints one line per
 * phase, and the report as JSON at the end.
 */
import { readFileSync } from "node:fs";
import { openAgent } from "../../offchain/agent/node/index.ts";
import { parseDeployment } from "../../offchain/chain/deployment.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";

interface Plan {
  readonly phrase: string;
  readonly deploymentFile: string;
  readonly homeDir: string;
  readonly path: string;
  /** Whether it comes into the data set of the device. */
  readonly dataSet: boolean;
}

const plan = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Plan;
const agent = await openAgent({
  identity: identityFromPhrase(plan.phrase),
  deployment: parseDeployment(JSON.parse(readFileSync(plan.deploymentFile, "utf8"))),
  homeDir: plan.homeDir,
});
let phase = "";
const report = await agent.put([plan.path], {
  ...(plan.dataSet ? {} : { dataSet: false }),
  onProgress: (event) => {
    if (event.phase !== phase) process.stdout.write(`phase ${event.phase}\n`);
    phase = event.phase;
  },
});
await agent.close();
const { dataId, storedBytes, uploadedBytes } = report;
const dataSetId = report.dataSets[0]?.id;
process.stdout.write(`${JSON.stringify({ dataId, storedBytes, uploadedBytes, dataSetId })}\n`);
