/** What a put leaves out: told to the logger as it happens, counted by kind, the first of each kind named. */

import type { SourceRemark } from "../platform.ts";
import type { AgentLogger } from "../progress.ts";

type Kind = SourceRemark["kind"];

/** Remarks of one kind that are told and kept one by one. The others are counted. */
const TOLD_PER_KIND = 20;
/** The user has asked for these: they are not told. */
const WISHED: ReadonlySet<Kind> = new Set(["excluded", "cache", "other-file-system"]);
/** These are missing in the put. */
const MISSING: ReadonlySet<Kind> = new Set(["unreadable", "special"]);
/** These are in the put, but not as they are. */
const PARTLY: ReadonlySet<Kind> = new Set(["changed", "lost-attributes"]);

export interface LeftOutReport {
  /** Whether something that was to be stored is missing, or may be stored half old and half new. */
  readonly incomplete: boolean;
  readonly counts: Readonly<Partial<Record<Kind, number>>>;
  /** The first of each kind. */
  readonly remarks: readonly Pick<SourceRemark, "kind" | "path" | "reason">[];
}

export class LeftOut {
  readonly #logger: AgentLogger;
  readonly #counts = new Map<Kind, number>();
  readonly #remarks: Pick<SourceRemark, "kind" | "path" | "reason">[] = [];

  constructor(logger: AgentLogger) {
    this.#logger = logger;
  }

  readonly add = ({ kind, path, reason }: SourceRemark): void => {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    if (count > TOLD_PER_KIND) return;
    this.#remarks.push({ kind, path, reason });
    if (WISHED.has(kind)) return;
    this.#logger.warn({}, path === "" ? reason : `${path}: ${reason}`);
    if (count === TOLD_PER_KIND) this.#logger.warn({}, "further remarks of this kind are counted only");
  };

  /** How many entries are missing. One that was stored as it was read is not. */
  get unreadEntries(): number {
    let entries = 0;
    for (const [kind, count] of this.#counts) entries += MISSING.has(kind) ? count : 0;
    return entries;
  }

  report(): LeftOutReport {
    return {
      incomplete: this.unreadEntries > 0 || [...this.#counts.keys()].some((kind) => PARTLY.has(kind)),
      counts: Object.fromEntries(this.#counts),
      remarks: this.#remarks,
    };
  }
}
