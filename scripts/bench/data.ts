/**
 * `npm run bench:data`: how long storing and restoring takes beside borg and restic, in one run on one machine, with
 * real processes: a chain, five key nodes of which three derive a key, a provider, the installed command line.
 * docs/benchmarks.md explains each figure. Linux only: figures are the kernel's.
 *
 *   npm run bench:data                               everything, tables
 *   npm run bench:data -- --only put --only get      some steps, and those that they need
 *   npm run bench:data -- --scale 0.1 --runs 1       a tenth of the data, once
 *   npm run bench:data -- --json                     one JSON document on stdout
 *   npm run bench:data -- --svg docs/data.svg        a picture of the bars as well
 *
 * Exit 1 when a bar is missed.
 */
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { tableLines } from "../../offchain/cli/table.ts";
import { barChart } from "./bar-chart.ts";
import { judge, STEPS, type StepFigures, type StepName, summarise, type Verdict, withNeeds } from "./data-figures.ts";
import { measureAll } from "./data-journeys.ts";
import { findPeers } from "./data-peers.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** Source, store, repositories and restored files of the largest journey at scale 1, with room to spare. */
const DISK_BYTES = 8 * GIB;

interface Options {
  readonly steps: Set<StepName>;
  readonly scale: number;
  readonly runs: number;
  readonly blockTimeSeconds: number;
  readonly json: boolean;
  readonly svg?: string;
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new TypeError(`--${name} takes a number above 0, not ${text}`);
  return value;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      scale: { type: "string", default: "1" },
      runs: { type: "string", default: "3" },
      "block-time": { type: "string", default: "1" },
      json: { type: "boolean", default: false },
      svg: { type: "string" },
    },
  });
  const known = Object.keys(STEPS) as StepName[];
  const wanted = (values.only ?? known).map((name) => {
    const step = known.find((one) => one === name);
    if (step === undefined) throw new TypeError(`--only takes one of ${known.join(", ")}, not ${name}`);
    return step;
  });
  return {
    steps: withNeeds(wanted),
    scale: positive(values.scale, "scale"),
    runs: Math.ceil(positive(values.runs, "runs")),
    blockTimeSeconds: positive(values["block-time"], "block-time"),
    json: values.json,
    ...(values.svg === undefined ? {} : { svg: values.svg }),
  };
}

/** @throws Error when the temporary folder's disk is too full for a run */
function requireRoom(folder: string, scale: number, say: (line: string) => void): void {
  const { bavail, bsize } = statfsSync(folder);
  const [free, needed] = [bavail * bsize, DISK_BYTES * scale];
  const gib = (bytes: number) => `${(bytes / GIB).toFixed(1)} GiB`;
  say(`needs up to ${gib(needed)} in ${folder}, where ${gib(free)} are free`);
  if (free < needed) throw new Error(`${folder} has too little room: set TMPDIR to a larger disk, or lower --scale`);
}

const seconds = (value: number | undefined) => (value === undefined ? "" : value.toFixed(2));
const mebibytes = (value: number | undefined) => (value === undefined ? "" : (value / MIB).toFixed(0));
const times = (value: number | undefined) => (value === undefined ? "" : `${value.toFixed(2)}×`);

function figureTable(figures: readonly StepFigures[]): string {
  const rows = figures.flatMap(({ step, label, files, bytes, medians, ratios }) =>
    (["tallystick", "borg", "restic"] as const).flatMap((name) => {
      const cost = medians[name];
      if (cost === undefined) return [];
      const isFirst = name === "tallystick";
      return [
        [
          isFirst ? step : "",
          isFirst ? `${label}: ${files.toLocaleString("en")} files, ${mebibytes(bytes)} MiB` : "",
          name,
          seconds(cost.wallSeconds),
          name === "tallystick" ? "" : times(ratios[name]),
          seconds(cost.cpuSeconds),
          mebibytes(cost.peakBytes),
          seconds(cost.providerCpuSeconds),
          mebibytes(cost.providerPeakBytes),
          seconds(cost.nodesCpuSeconds),
        ],
      ];
    }),
  );
  const head = [
    "STEP",
    "WHAT",
    "BY",
    "WALL s",
    "OURS/ITS",
    "CPU s",
    "PEAK MiB",
    "PROVIDER CPU s",
    "PEAK MiB",
    "NODES CPU s",
  ];
  return tableLines(head, rows).join("\n");
}

function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ name, unit, limit, bound, measured, met }) => [
    name,
    measured === undefined ? "not measured" : measured.toFixed(2),
    `${bound} ${limit}`,
    unit,
    met ? "met" : "NOT MET",
  ]);
  return tableLines(["BAR", "MEASURED", "LIMIT", "", ""], rows).join("\n");
}

function picture(verdicts: readonly Verdict[], scale: number): string {
  const bars = verdicts.flatMap(({ name, unit, limit, measured }) =>
    unit === "×" && measured !== undefined
      ? [{ group: "Wall time against the peer's", label: name, value: Number(measured.toFixed(2)), limit }]
      : [],
  );
  return barChart(`Storing and restoring, scale ${scale}; red marks are limits`, bars);
}

const options = readOptions();
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);
const peers = findPeers(say);
requireRoom(tmpdir(), options.scale, say);
const dir = mkdtempSync(join(tmpdir(), "tallystick-bench-"));
// Also when a signal ends it: children end with this process, see managed-process.ts.
process.on("exit", () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
const { samples, subjects } = await measureAll({ ...options, dir, peers, say });
const figures = summarise(samples, subjects);
const verdicts = judge(figures, options.steps);
const passed = verdicts.every(({ met }) => met);
if (options.svg !== undefined) writeFileSync(options.svg, picture(verdicts, options.scale));
if (options.json) {
  const machine = { cores: availableParallelism(), model: cpus()[0]?.model ?? "unknown" };
  const versions = Object.fromEntries(peers.map(({ name, version }) => [name, version]));
  const document = {
    bench: "data",
    machine,
    versions,
    scale: options.scale,
    runs: options.runs,
    passed,
    verdicts,
    figures,
  };
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
} else {
  process.stdout.write(`${figureTable(figures)}\n\n${verdictTable(verdicts)}\n`);
}
process.exitCode = passed ? 0 : 1;
