/**
 * Claims that wait for their answers. In the database, so that a claim that was opened at one process of a provider can
 * be answered at another. Every write is durable when its promise resolves.
 */

export interface ClaimedObject {
  digest: Uint8Array;
  /** Undefined when no answer is right. */
  answer: Uint8Array | undefined;
}

export interface OpenClaim {
  /** 16 random bytes. */
  readonly id: Uint8Array;
  readonly account: string;
  readonly objects: readonly ClaimedObject[];
  readonly expiresAt: number;
}

export interface ClaimLimits {
  /** Most open claims of one account; a further one replaces the oldest. */
  readonly perAccount: number;
  /** Most open claims of all accounts, give or take a few; a further one replaces the oldest. */
  readonly inAll: number;
}

export interface ClaimIndex {
  open(claim: OpenClaim, limits: ClaimLimits): Promise<void>;

  find(id: Uint8Array): Promise<OpenClaim | undefined>;

  /** Ends a claim. @returns whether it was open: of two calls at once, one is told so */
  end(id: Uint8Array): Promise<boolean>;

  /** Forgets claims that have expired. */
  forget(now: number): Promise<void>;
}
