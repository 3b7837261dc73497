/** Progress events of long operations. Each event carries the totals so far, so a listener may skip some. */

/**
 * `put`: bytes and entries read, chunks known to the provider, bytes sent. Totals are counted before anything is read.
 */
export interface PutProgress {
  readonly operation: "put";
  readonly phase: "scanning" | "storing" | "recording" | "agreeing" | "done";
  readonly totalEntries: number;
  readonly totalBytes: number;
  readonly readBytes: number;
  readonly readEntries: number;
  /** Distinct objects (chunks and recipes) the provider has confirmed so far. */
  readonly storedObjects: number;
  readonly uploadedBytes: number;
  /** Ciphertext bytes the provider already had. */
  readonly deduplicatedBytes: number;
}

/** `get`: plaintext bytes and entries restored. Totals come from the recipe. */
export interface GetProgress {
  readonly operation: "get";
  readonly phase: "keys" | "restoring" | "done";
  readonly totalEntries: number;
  readonly totalBytes: number;
  readonly restoredEntries: number;
  readonly restoredBytes: number;
  readonly downloadedBytes: number;
}

/** `verify`: files whose objects were asked for, and the bytes of these objects. */
export interface VerifyProgress {
  readonly operation: "verify";
  readonly phase: "reading";
  readonly totalEntries: number;
  readonly totalBytes: number;
  readonly readEntries: number;
  readonly readBytes: number;
  /** Ciphertext. */
  readonly objectBytes: number;
}

/** What a data set is going to be. */
export interface DataSetPlan {
  /** 32 bytes, 0x hex. */
  readonly id: string;
  readonly isNew: boolean;
  readonly provider: string;
  readonly token: string;
  /** Live slices. */
  readonly slices: number;
  readonly feePerEpoch: bigint;
  /** What is deposited into the balance of the account before; 0 when enough is there. */
  readonly deposit: bigint;
}

/** Bringing a data set up to date: tags accepted by the provider, the next state signed by both, and on chain. */
export interface DataSetProgress {
  readonly operation: "data-set";
  /** `funding`, `signing` and `sending` cost money: the plan was told with `funding` or `signing` before. */
  readonly phase:
    | "tagging"
    | "compacting"
    | "uploading"
    | "verifying"
    | "funding"
    | "signing"
    | "confirming"
    | "sending"
    | "done";
  /** `tagging` and `compacting`: bytes of objects. `uploading`: bytes of points. `verifying`: slices. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** With `funding` and `signing`: told before anything is deposited or signed. */
  readonly plan?: DataSetPlan;
}

/** Moving a data set to another provider. `copying`: ciphertext bytes. */
export interface MigrateProgress {
  readonly operation: "migrate";
  readonly phase: "listing" | "copying" | "listing-snapshots" | "giving-notice" | "done";
  readonly doneObjects: number;
  readonly totalObjects: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export type Progress = PutProgress | GetProgress | VerifyProgress | DataSetProgress | MigrateProgress;
export type ProgressListener<Event extends Progress = Progress> = (event: Event) => void;

/** A remark worth a line in a log: a node that failed and was replaced, a wait for a budget. */
export interface AgentLogger {
  debug(facts: Readonly<Record<string, unknown>>, message: string): void;
  warn(facts: Readonly<Record<string, unknown>>, message: string): void;
}

/** The logger of callers that do not want one. */
export const SILENT: AgentLogger = { debug: () => undefined, warn: () => undefined };
