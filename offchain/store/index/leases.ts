/**
 * Which of several processes on one database does what only one may do at a time: background jobs, states of a
 * data set, work on its streams. A holder that ends without releasing a lease, or loses the database,
 * loses the lease when it expires; then another process takes over.
 */
import { setTimeout as pause } from "node:timers/promises";
import { TallystickError } from "../../core/errors.ts";

/** Whoever compares index and store has this lease. A process that is not counted registers after that. */
export const RECONCILIATION = "reconciliation";

/** The lease of a background job. */
export const jobLease = (name: string): string => `job ${name}`;

export interface Leases {
  /** Identifies this process among those on the database. */
  readonly holder: string;

  /**
   * Names the time since this process was registered. Another process may end it once this one has lapsed: then what
   * this one has begun is void (`ChunkIndex.record`), and it goes on under another name.
   */
  readonly life: string;

  /** Takes a lease, or keeps one that this process has. It is renewed until it is released or lost. */
  hold(name: string): Promise<boolean>;

  /** Whether this process still has a lease: true for no longer than nobody else can have it. Asks nobody. */
  holds(name: string): boolean;

  /** Ends when the lease that this process holds is lost; ended already when it holds none. */
  lost(name: string): AbortSignal;

  release(name: string): Promise<void>;

  /** Identities of the processes that are alive, this one included. */
  processes(): Promise<ReadonlySet<string>>;

  /**
   * Ends the lives of other processes that lapsed so long ago, for good.
   * @returns how many others are left: alive, or in the middle of a transaction that their life is part of
   */
  endLapsed(lapsedForSeconds: number): Promise<number>;

  /** Releases all leases. */
  close(): Promise<void>;
}

const POLL_MILLISECONDS = 100;

/**
 * Runs work that one process may do at a time, after whoever does it now. Within a process, callers keep each other
 * apart themselves.
 * @throws TallystickError CONFLICT when the lease is not free in time
 */
export async function withLease<T>(
  leases: Leases,
  name: string,
  waitSeconds: number,
  work: (lost: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = performance.now() + waitSeconds * 1000;
  while (!(await leases.hold(name))) {
    if (performance.now() >= end) {
      throw new TallystickError("another process of this daemon is at the same work", {
        code: "CONFLICT",
        party: "this daemon",
        check: `lease ${name}`,
        retryable: true,
        retryAfterSeconds: 1,
      });
    }
    await pause(POLL_MILLISECONDS);
  }
  try {
    return await work(leases.lost(name));
  } finally {
    // A lease that cannot be released expires.
    await leases.release(name).catch(() => undefined);
  }
}

/** Leases of a process that is alone on its database: all are free. */
export class SoleLeases implements Leases {
  readonly holder = "";
  readonly life = "";
  readonly #never = new AbortController().signal;

  async hold(): Promise<boolean> {
    return true;
  }

  holds(): boolean {
    return true;
  }

  lost(): AbortSignal {
    return this.#never;
  }

  async release(): Promise<void> {}

  async processes(): Promise<ReadonlySet<string>> {
    return new Set([this.holder]);
  }

  async endLapsed(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {}
}
