/** Time as the agent uses it: the wall clock, and pauses that a signal can end. Works wherever `setTimeout` does. */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after the time. @throws the signal's reason when it is aborted before */
  pause(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** Waits. @throws the signal's reason when it is aborted before the time is over */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

export const systemClock: Clock = { now: () => Date.now(), pause };
