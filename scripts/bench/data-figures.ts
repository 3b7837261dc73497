/**
 * What `npm run bench:data` measures, its bars, and how figures become ratios and verdicts. Nothing here runs anything.
 */

export type ContenderName = "tallystick" | "borg" | "restic";

/** Parts of the benchmark, by the names that `--only` takes. */
export const STEPS = {
  put: "put of large files, half duplicate",
  again: "the same again, unchanged",
  get: "restore of the large files",
  check: "check of every stored byte",
  tagged: "put with possession tags, into a data set",
  added: "1 KiB added to that tree",
  small: "put of many files of 1 KiB",
  many: "put of ten times as many",
  "many-again": "the same again, unchanged",
  "one-changed": "one of these files changed",
  record: "a file of one byte: a command that sends a record",
  "record-again": "the same again: a command that sends none",
  text: "put of text, compressed",
} as const;
export type StepName = keyof typeof STEPS;

/** Steps that share repositories, in order. */
export const JOURNEYS: readonly (readonly StepName[])[] = [
  ["put", "again", "get", "check"],
  ["tagged", "added"],
  ["small"],
  ["many", "many-again", "record", "record-again", "one-changed"],
  ["text"],
];

/** Steps that must come before others, because these work on what they leave behind or are compared with them. */
const NEEDS: Partial<Record<StepName, readonly StepName[]>> = {
  again: ["put"],
  get: ["put"],
  check: ["put"],
  added: ["tagged"],
  "many-again": ["many"],
  "record-again": ["record"],
  "one-changed": ["many", "many-again", "record", "record-again"],
};

/** One command of one contender. */
export interface Cost {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  /** What a command says that it has read. */
  readonly readBytes?: number;
  /** What a put says that it has sent to the provider. */
  readonly sentBytes?: number;
  /** Slices that a put says that the data set pays for beside those before. */
  readonly addedSlices?: number;
  /** Transactions of the user's account during a command. */
  readonly userTransactions?: number;
}

const TOLD = ["readBytes", "sentBytes", "addedSlices", "userTransactions"] as const;

/** What the daemons spent during a command of Tallystick. */
export interface DaemonCost {
  readonly providerCpuSeconds: number;
  readonly providerPeakBytes: number;
  /** All key nodes together. */
  readonly nodesCpuSeconds: number;
}

export interface Sample {
  readonly step: StepName;
  readonly run: number;
  readonly contender: ContenderName;
  readonly cost: Cost;
  readonly daemons?: DaemonCost;
}

export interface Subject {
  readonly bytes: number;
  readonly files: number;
}

export interface StepFigures extends Subject {
  readonly step: StepName;
  readonly label: string;
  /** Medians over the runs. */
  readonly medians: Partial<Record<ContenderName, Cost & Partial<DaemonCost>>>;
  /** Median of the ratios of wall times within a run. */
  readonly ratios: Partial<Record<Exclude<ContenderName, "tallystick">, number>>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError("there is no median of nothing");
  return (upper + lower) / 2;
}

/** Medians and ratios per step, in the order of {@link STEPS}. @param subjects what each step worked on */
export function summarise(samples: readonly Sample[], subjects: ReadonlyMap<StepName, Subject>): StepFigures[] {
  return (Object.keys(STEPS) as StepName[]).flatMap((step) => {
    const subject = subjects.get(step);
    const own = samples.filter((sample) => sample.step === step);
    if (own.length === 0 || subject === undefined) return [];
    const medians: StepFigures["medians"] = {};
    const ratios: StepFigures["ratios"] = {};
    for (const name of ["tallystick", "borg", "restic"] as const) {
      const mine = own.filter(({ contender }) => contender === name);
      if (mine.length === 0) continue;
      medians[name] = mediansOf(mine.map(({ cost, daemons }) => ({ ...cost, ...daemons })));
      if (name === "tallystick") continue;
      const perRun = mine.flatMap(({ run, cost }) => {
        const ours = own.find((sample) => sample.contender === "tallystick" && sample.run === run);
        return ours === undefined ? [] : [ours.cost.wallSeconds / cost.wallSeconds];
      });
      if (perRun.length > 0) ratios[name] = median(perRun);
    }
    return [{ step, label: STEPS[step], ...subject, medians, ratios }];
  });
}

function mediansOf(costs: readonly (Cost & Partial<DaemonCost>)[]): Cost & Partial<DaemonCost> {
  const of = (pick: (cost: Cost & Partial<DaemonCost>) => number | undefined) =>
    median(costs.map((cost) => pick(cost) ?? 0));
  const told = TOLD.filter((name) => costs.every((cost) => cost[name] !== undefined));
  const own: Cost = {
    wallSeconds: of(({ wallSeconds }) => wallSeconds),
    cpuSeconds: of(({ cpuSeconds }) => cpuSeconds),
    peakBytes: Math.max(...costs.map(({ peakBytes }) => peakBytes)),
    ...Object.fromEntries(told.map((name) => [name, of((cost) => cost[name])])),
  };
  if (costs.every(({ providerPeakBytes }) => providerPeakBytes === undefined)) return own;
  return {
    ...own,
    providerCpuSeconds: of(({ providerCpuSeconds }) => providerCpuSeconds),
    providerPeakBytes: Math.max(...costs.map(({ providerPeakBytes }) => providerPeakBytes ?? 0)),
    nodesCpuSeconds: of(({ nodesCpuSeconds }) => nodesCpuSeconds),
  };
}

const MIB = 1024 * 1024;

export interface Bar {
  readonly name: string;
  /** Steps that it needs. */
  readonly steps: readonly StepName[];
  readonly unit: "×" | "s" | "MiB" | "MB/s per core" | "slices" | "transactions";
  readonly limit: number;
  /** Whether the figure must be at least the limit; at most it otherwise. */
  readonly atLeast?: true;
  /** @returns undefined when something that it needs was not measured */
  readonly measure: (figures: ReadonlyMap<StepName, StepFigures>) => number | undefined;
}

function ratioTo(step: StepName, peer: "borg" | "restic", limit: number): Bar {
  return {
    name: `${STEPS[step]}: wall against ${peer}`,
    steps: [step],
    unit: "×",
    limit,
    measure: (figures) => figures.get(step)?.ratios[peer],
  };
}

/** Of Tallystick alone. */
function own(
  step: StepName,
  what: string,
  unit: Bar["unit"],
  limit: number,
  of: (cost: Cost) => number | undefined,
): Bar {
  return {
    name: `${STEPS[step]}: ${what}`,
    steps: [step],
    unit,
    limit,
    measure: (figures) => {
      const cost = figures.get(step)?.medians.tallystick;
      return cost === undefined ? undefined : of(cost);
    },
  };
}

function readSpeed(step: StepName, limit: number): Bar {
  return {
    name: `${STEPS[step]}: speed`,
    steps: [step],
    unit: "MB/s per core",
    limit,
    atLeast: true,
    measure: (figures) => {
      const { readBytes, cpuSeconds } = figures.get(step)?.medians.tallystick ?? {};
      return readBytes === undefined || cpuSeconds === undefined ? undefined : readBytes / 1e6 / cpuSeconds;
    },
  };
}

function peak(name: string, limitMib: number, of: (cost: Cost & Partial<DaemonCost>) => number | undefined): Bar {
  return {
    name,
    steps: [],
    unit: "MiB",
    limit: limitMib,
    measure: (figures) => {
      const peaks = [...figures.values()].flatMap(({ medians: { tallystick } }) =>
        tallystick === undefined ? [] : [of(tallystick) ?? 0],
      );
      return peaks.length === 0 ? undefined : Math.max(...peaks) / MIB;
    },
  };
}

/** Users rely on these limits. Loosen one only by a decision of the project, never to make the benchmark pass. */
export const BARS: readonly Bar[] = [
  ratioTo("put", "borg", 1.3),
  ratioTo("again", "borg", 2.5),
  ratioTo("get", "restic", 1.1),
  ratioTo("get", "borg", 0.5),
  readSpeed("check", 500),
  ratioTo("tagged", "borg", 2.5),
  own("added", "wall, with blocks of a second", "s", 3, ({ wallSeconds }) => wallSeconds),
  own("added", "sent", "MiB", 2, ({ sentBytes }) => (sentBytes === undefined ? undefined : sentBytes / MIB)),
  own("added", "added to what an epoch costs", "slices", 1, ({ addedSlices }) => addedSlices),
  own("added", "transactions of the user", "transactions", 0, ({ userTransactions }) => userTransactions),
  ratioTo("small", "borg", 2),
  ratioTo("many", "borg", 2),
  ratioTo("many-again", "borg", 0.6),
  {
    name: "one file changed: wall against the unchanged run and the record's transaction",
    steps: ["many-again", "one-changed", "record", "record-again"],
    unit: "×",
    limit: 1.5,
    measure: (figures) => {
      const wall = (step: StepName) => figures.get(step)?.medians.tallystick?.wallSeconds;
      const [unchanged, changed] = [wall("many-again"), wall("one-changed")];
      const [record, again] = [wall("record"), wall("record-again")];
      if (unchanged === undefined || changed === undefined || record === undefined || again === undefined) return;
      return Math.max(0, changed - Math.max(0, record - again)) / unchanged;
    },
  },
  ratioTo("text", "borg", 2),
  peak("peak memory of the agent", 350, ({ peakBytes }) => peakBytes),
  peak("peak memory of the provider", 400, ({ providerPeakBytes }) => providerPeakBytes),
];

export interface Verdict {
  readonly name: string;
  readonly unit: Bar["unit"];
  readonly limit: number;
  readonly bound: "at most" | "at least";
  /** Absent when a peer is absent. */
  readonly measured?: number;
  readonly met: boolean;
}

/**
 * Compares figures with the bars whose steps were asked for.
 * @returns a bar that nothing was measured for counts as not met, because it would otherwise pass unmeasured
 */
export function judge(figures: readonly StepFigures[], steps: ReadonlySet<StepName>, bars = BARS): Verdict[] {
  const byStep = new Map(figures.map((figure) => [figure.step, figure]));
  return bars
    .filter((bar) => bar.steps.every((step) => steps.has(step)))
    .map(({ name, unit, limit, atLeast, measure }) => {
      const measured = measure(byStep);
      const met = measured !== undefined && (atLeast ? measured >= limit : measured <= limit);
      const bound = atLeast ? "at least" : "at most";
      return { name, unit, limit, bound, ...(measured === undefined ? {} : { measured }), met };
    });
}

/** @returns the wanted steps and those that they need */
export function withNeeds(wanted: readonly StepName[]): Set<StepName> {
  return new Set(wanted.flatMap((step) => [...(NEEDS[step] ?? []), step]));
}

/** The order of contenders in a step of a run: it alternates, so that no one always finds the warm cache of another. */
export function orderOf<T>(contenders: readonly T[], turn: number): T[] {
  const first = turn % Math.max(1, contenders.length);
  return [...contenders.slice(first), ...contenders.slice(0, first)];
}
