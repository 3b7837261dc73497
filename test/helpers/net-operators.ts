/** What operators of a network's key nodes do in tests: propose generations, lose disks. */

import { readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { NodeAnswer } from "../../offchain/core/wire/nbm.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { programPath } from "../../scripts/programs.ts";
import { runDaemonCommandBeside } from "./daemon-process.ts";
import type { LocalNet } from "./local-net.ts";
import { until } from "./promises.ts";

const COMMITTEE = "1";

/** Runs a proposal at several nodes, one after the other. @throws Error with what a command says when it fails */
export async function proposeAt(
  net: LocalNet,
  proposers: readonly DevnetDaemon[],
  ...words: readonly string[]
): Promise<void> {
  const passphrase = readFileSync(join(dirname(net.deploymentFile), "passphrase"), "utf8").trim();
  for (const { dir } of proposers) {
    const [name = "", ...rest] = words;
    const args = [name, COMMITTEE, ...rest, "--config", join(dir, "config.json"), "--json"];
    const env = { TALLYSTICK_PASSPHRASE: passphrase };
    const { status, stderr } = await runDaemonCommandBeside(programPath("tallystick-nbm"), args, env);
    if (status !== 0) throw new Error(stderr);
  }
}

/** Waits until nodes serve a generation of the network's committee. */
export async function servingAll(nodes: readonly DevnetDaemon[], generation: number): Promise<void> {
  const isServing = async ({ url }: DevnetDaemon) => {
    const { committees } = (await (await fetch(`${url}/v1/node`)).json()) as NodeAnswer;
    return committees.some((each) => each.committeeId === COMMITTEE && each.generation === generation && each.ready);
  };
  await until(`generation ${generation}`, async () => (await Promise.all(nodes.map(isServing))).every(Boolean), 60);
}

/** As a machine that burns: the process, its database and its keystore are gone. */
export async function loseMachine({ process: daemon, dir }: DevnetDaemon): Promise<void> {
  await daemon.stop("SIGKILL");
  rmSync(dir, { recursive: true });
}
