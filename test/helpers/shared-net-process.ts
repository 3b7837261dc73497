/**
 * The network that test files share, as a process: `shared-net-process.ts <state file>`. Writes the state file when the
 * network is ready and stops everything when its standard input ends.
 */
import { renameSync, writeFileSync } from "node:fs";
import { startLocalNet } from "./local-net.ts";
import { SHARED_NETWORK, type SharedNetworkState } from "./shared-net.ts";

const stateFile = process.argv[2];
if (stateFile === undefined) throw new Error("the state file is missing");
const ended = new Promise((resolve) => process.stdin.once("end", resolve).resume());
const net = await startLocalNet(SHARED_NETWORK);
const { deployment, deploymentFile } = net;
const daemonOf = ({ name, url, account, dir }: (typeof net)["provider"]) => ({ name, url, account, dir });
const state: SharedNetworkState = {
  deployment,
  deploymentFile,
  nodes: net.nodes.map(daemonOf),
  provider: daemonOf(net.provider),
};
writeFileSync(`${stateFile}.partial`, JSON.stringify(state));
renameSync(`${stateFile}.partial`, stateFile);
await ended;
await net.stop();
