/** Opens both identities of a rotation on the places that keep what is theirs. */

import type { Deployment } from "../../chain/deployment.ts";
import type { Identity } from "../../core/identity/identity.ts";
import { AgentContext } from "../context.ts";
import { requireOwnCatalogue } from "../own-catalogue.ts";
import type { AgentPlatform } from "../platform.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import type { Rotation } from "./rotate.ts";

/** What every rotation is made with, wherever the identities are kept. */
export interface RotationParties {
  readonly deployment: Deployment;
  /** Of the place, and of `openRotation`. Whoever opened them wipes them. */
  readonly old: Identity;
  readonly next: Identity;
  readonly logger?: AgentLogger;
  readonly confirmations?: number;
}

/** Opens what keeps catalogue and journal of each identity. */
export interface RotationPlaces {
  old(): AgentPlatform | Promise<AgentPlatform>;
  next(): AgentPlatform | Promise<AgentPlatform>;
}

/**
 * Runs work on a rotation, and closes what was opened.
 * @throws TallystickError CONFLICT when a catalogue belongs to another identity; whatever the work throws
 */
export async function withBothIdentities<Result>(
  { deployment, old, next, logger = SILENT, confirmations = 1 }: RotationParties,
  places: RotationPlaces,
  work: (rotation: Rotation) => Promise<Result>,
): Promise<Result> {
  const common = { deployment, logger, confirmations };
  // Both readers of the old identity share its files.
  const platform = await places.old();
  const own = new AgentContext({ ...common, identity: old, platform });
  try {
    const nextContext = new AgentContext({ ...common, identity: next, platform: await places.next() });
    const asSuccessor = new AgentContext({ ...common, identity: old, platform, successor: nextContext.account });
    try {
      await requireOwnCatalogue(own);
      await requireOwnCatalogue(nextContext);
      return await work({ old: own, asSuccessor, next: nextContext });
    } finally {
      await nextContext.close();
      asSuccessor.disconnect();
    }
  } finally {
    await own.close();
  }
}
