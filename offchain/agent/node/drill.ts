/** A drill on this machine. Nothing is written: neither the pin of the network nor a catalogue. */

import type { Deployment } from "../../chain/deployment.ts";
import type { Identity } from "../../core/identity/identity.ts";
import { AgentContext } from "../context.ts";
import type { AgentLogger } from "../progress.ts";
import { type DrillOptions, type DrillReport, drillRecovery } from "../recovery/drill.ts";
import { requirePinnedNetwork } from "./network-pin.ts";
import { unkeptPlatform } from "./unkept-platform.ts";

export interface NodeDrill {
  readonly identity: Identity;
  readonly deployment: Deployment;
  /** Read only. */
  readonly homeDir: string;
  readonly logger: AgentLogger;
  readonly plan: DrillOptions;
}

/** @throws TallystickError WRONG_NETWORK; as `drillRecovery` */
export async function drillOn({ identity, deployment, homeDir, logger, plan }: NodeDrill): Promise<DrillReport> {
  requirePinnedNetwork(homeDir, deployment);
  const platform = unkeptPlatform();
  const context = new AgentContext({ identity, deployment, platform, logger, confirmations: 1 });
  try {
    return await drillRecovery(context, plan);
  } finally {
    await context.close();
  }
}
