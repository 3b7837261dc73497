/** Requests for the identity, each told when it is seen first and when it comes closer to a release. */

import type { AgentContext } from "../context.ts";
import { Recovery } from "../recovery/recovery.ts";
import { remedyOf, warningOf } from "../recovery/warnings.ts";
import type { RecoveryAsked } from "./watch-events.ts";

export class WatchedRecovery {
  readonly #recovery: Recovery;
  /** Phases that were told, by request. */
  readonly #told = new Map<string, string>();

  constructor(context: AgentContext) {
    this.#recovery = new Recovery(context);
  }

  /** Reads the state of the chain, so that a request is told however long nobody looked. @throws TallystickError */
  async look(at: number): Promise<RecoveryAsked[]> {
    const events: RecoveryAsked[] = [];
    for (const view of await this.#recovery.underWay()) {
      const { path, proposer, requestId, phase, approvedBy, releasableAt, closesAt } = view;
      const state = `${phase} ${approvedBy.length}`;
      if (this.#told.get(requestId) === state) continue;
      this.#told.set(requestId, state);
      events.push({
        kind: phase === "releasable" ? "recovery-due" : "recovery-requested",
        severity: "alarm",
        at,
        path,
        proposer,
        requestId,
        ...(releasableAt === undefined ? {} : { releasableAt }),
        closesAt,
        message: warningOf(view),
        hint: remedyOf(view),
      });
    }
    return events;
  }
}
