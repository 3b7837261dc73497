/** Time as the agent uses it: the wall clock, and pauses that a signal can end. Works wherever `setTimeout` does. */

import { pause } from "../chain/pause.ts";

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after the time. @throws the signal's reason when it is aborted before */
  pause(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = { now: () => Date.now(), pause };
