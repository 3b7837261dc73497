/**
 * Says what is waited for. Whatever takes longer than a few seconds is announced to the logger with its party and its
 * step, and again at growing intervals, so that a provider, a node or a chain that is silent does not look like a
 * program that hangs.
 */

import type { Transport } from "../http/transport.ts";
import type { Clock } from "./clock.ts";
import type { AgentLogger } from "./progress.ts";

/** First notice of a wait; the interval to the next one doubles. */
const FIRST_NOTICE_SECONDS = 5;
/** Longest time between two notices about one party. */
const LONGEST_INTERVAL_SECONDS = 60;

/** Ends a wait. Made once: an error that is made for each request would cost as much as a small request. */
const ENDED = new Error("the wait is over");

export class WaitNotices {
  readonly #logger: AgentLogger;
  readonly #clock: Clock;
  /** By party: several requests to one party, or one slow request after the other, must not fill the log. */
  readonly #quiet = new Map<string, { until: number; seconds: number }>();

  constructor(logger: AgentLogger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /**
   * Does the work and announces that it is waited for.
   *
   * @param party whom it is waited for, as errors name it.
   * @param step what it does, in words that fit after a colon.
   */
  async during<Result>(party: string, step: string, work: () => Promise<Result>): Promise<Result> {
    const end = this.begin(party, step);
    try {
      return await work();
    } finally {
      end();
    }
  }

  /** Announces a wait until the returned function is called. */
  begin(party: string, step: string): () => void {
    const end = new AbortController();
    const started = this.#clock.now();
    const announce = async (): Promise<void> => {
      for (let seconds = FIRST_NOTICE_SECONDS; ; seconds = Math.min(2 * seconds, LONGEST_INTERVAL_SECONDS)) {
        await this.#clock.pause(seconds * 1000, end.signal);
        const now = this.#clock.now();
        if (!this.#mayTell(party, now)) continue;
        const waitedSeconds = Math.round((now - started) / 1000);
        this.#logger.warn({ waitedSeconds }, `still waiting for ${party}: ${step}`);
      }
    };
    // Ends by being aborted.
    announce().catch(() => undefined);
    return () => end.abort(ENDED);
  }

  #mayTell(party: string, now: number): boolean {
    const quiet = this.#quiet.get(party) ?? { until: 0, seconds: FIRST_NOTICE_SECONDS };
    if (now < quiet.until) return false;
    // A little less than the interval: timers of several requests do not end in the same millisecond.
    this.#quiet.set(party, {
      until: now + quiet.seconds * 900,
      seconds: Math.min(2 * quiet.seconds, LONGEST_INTERVAL_SECONDS),
    });
    return true;
  }
}

/** What requests do, by the end of their path. */
const STEPS: readonly (readonly [RegExp, string])[] = [
  [/\/sessions$/, "opening a session"],
  [/\/oprf\/evaluate$/, "evaluating keys"],
  [/\/claims(\/[^/]+\/answers)?$/, "proving which objects it has already"],
  [/\/chunks$/, "uploading objects"],
  [/\/chunks\/[^/]+$/, "downloading an object"],
  [/\/segments\/.*verify$/, "checking possession tags"],
  [/\/data-sets\/.*(segments|powers)/, "taking possession tags"],
  [/\/data-sets\/[^/]+\/(open|updates)$/, "signing the state of the data set"],
  [/\/audit$/, "proving possession"],
  [/\/data-set-offer$/, "its offer"],
  [/\/share$/, "its key share"],
  [/\/releases$/, "its part in opening the key"],
  [/\/owners$/, "recording an owner of the key"],
];

/**
 * A transport that announces requests which take long, until the whole answer is there.
 *
 * @param party whom the requests go to, as errors name it.
 */
export function announcingTransport(transport: Transport, notices: WaitNotices, party: string): Transport {
  return async (request) => {
    const { pathname } = new URL(request.url);
    const step = STEPS.find(([path]) => path.test(pathname))?.[1] ?? `${request.method} ${pathname}`;
    return await notices.during(party, step, () => transport(request));
  };
}
