/**
 * Which of several processes on one database does what only one may do at a time: background jobs, and work on the
 * files of a preparation. A holder that ends without releasing a lease, or loses the database, loses the lease when it
 * expires; then another process takes over. Where one process has the database, it holds everything it asks for.
 */
export interface Leases {
  /** Identifies this process among those on the database. */
  readonly holder: string;

  /** Takes a lease, or keeps one that this process has. It is renewed until it is released or lost. */
  hold(name: string): Promise<boolean>;

  /** Runs work while this process has a lease. @returns whether it had it @param work ends early when the signal does */
  during(name: string, work: (signal: AbortSignal) => Promise<void>): Promise<boolean>;

  release(name: string): Promise<void>;

  /** Releases all leases. */
  close(): Promise<void>;
}
