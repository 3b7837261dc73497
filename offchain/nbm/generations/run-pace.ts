/** While a run is under way, other parties are asked more often than the chain is looked at otherwise. */

import { setTimeout as delay } from "node:timers/promises";
import type { GenerationCoordinator } from "./coordinator.ts";

const RUN_POLL_MILLISECONDS = 200;

/** One round of background work: the generations once, or several times within the usual pause when a run is busy. */
export function runPace(
  coordinator: Pick<GenerationCoordinator, "advance" | "isBusy">,
  pollMilliseconds: number,
): () => Promise<void> {
  return async () => {
    const end = performance.now() + pollMilliseconds;
    await coordinator.advance();
    while (coordinator.isBusy && performance.now() + RUN_POLL_MILLISECONDS < end) {
      await delay(RUN_POLL_MILLISECONDS);
      await coordinator.advance();
    }
  };
}
