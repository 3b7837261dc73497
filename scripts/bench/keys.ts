/**
 * `npm run bench:keys`: the OPRF suites side by side, and the figures that the published blockchain key management
 * reports (Huang, Yi; J. Cloud Computing 13:15, 2024), measured here: the time to derive the keys of files (its figure
 * 7) and of their blocks (figure 8), and what a key costs by phase and by place (tables 4 and 5). Cryptography only, in
 * one process; docs/benchmarks.md explains each figure.
 *
 *   npm run bench:keys -- [--runs 5] [--up-to 100] [--json] [--svg docs/keys.svg]
 *
 * `--up-to` leaves out files of more megabytes.
 *
 * Exit 1 when a bar is missed.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { tableLines } from "../../offchain/cli/table.ts";
import { generateRsaKey } from "../../test/helpers/rsa-key.ts";
import { barChart } from "./bar-chart.ts";
import { BenchCommittee } from "./keys-committee.ts";
import { measurePhases, measurePlaces, type PhaseCost, type PlaceCost } from "./keys-costs.ts";
import {
  BLOCK_FILE_MEGABYTES,
  BLOCK_KIB,
  FILE_MEGABYTES,
  judgeKeys,
  type KeyFigure,
  type KeyVerdict,
  measureBlockKeys,
  measureFileKeys,
  merkleMode,
  oprfMode,
} from "./keys-figures.ts";
import { judgeSuites, measureBlindRsaLibrary, measureSuite, type SuiteFigure, suiteCommittees } from "./keys-suites.ts";

const NODES = 5;
const THRESHOLD = 3;

function figureTable(figures: readonly KeyFigure[]): string {
  const rows = figures.map((figure) => [
    figure.what,
    figure.mode,
    `${figure.megabytes} MB`,
    figure.blockKib === undefined ? "" : `${figure.blockKib} KiB`,
    String(figure.keys),
    figure.milliseconds.toFixed(1),
    figure.nodeMilliseconds.toFixed(1),
    figure.sha256Milliseconds.toFixed(1),
    `${figure.ratio.toFixed(2)}×`,
    figure.publishedMilliseconds === undefined ? "" : `${figure.publishedMilliseconds}`,
  ]);
  const head = ["WHAT", "MODE", "FILE", "BLOCKS", "KEYS", "USER ms", "NODE ms", "SHA-256 ms", "RATIO", "PUBLISHED ms"];
  return tableLines(head, rows).join("\n");
}

function phaseTable(phases: readonly PhaseCost[]): string {
  const rows = phases.map(({ phase, party, operations, milliseconds }) => [
    phase,
    party,
    milliseconds.toFixed(2),
    operations,
  ]);
  return tableLines(["PHASE", "PARTY", "ms", "OPERATIONS"], rows).join("\n");
}

function placeTable(places: readonly PlaceCost[]): string {
  const rows = places.map(({ place, bytesPerFile, bytesPerKey, what }) => [
    place,
    String(bytesPerFile),
    String(bytesPerKey),
    what,
  ]);
  return tableLines(["PLACE", "BYTES PER FILE", "PER CHUNK KEY", "WHAT"], rows).join("\n");
}

function verdictTable(verdicts: readonly KeyVerdict[]): string {
  const rows = verdicts.map(({ name, bound, limit, unit, measured, met }) => [
    name,
    measured === undefined ? "not measured" : `${measured.toFixed(2)}${unit}`,
    `${bound} ${limit}${unit}`,
    met ? "met" : "NOT MET",
  ]);
  return tableLines(["BAR", "MEASURED", "LIMIT", ""], rows).join("\n");
}

function suiteTable(suites: readonly SuiteFigure[]): string {
  const rows = suites.map(({ suite, quorum, batch, single, wireBytes, ...costs }) => [
    suite,
    quorum,
    String(batch),
    costs.clientElementsPerSecond.toFixed(0),
    costs.clientMilliseconds.toFixed(2),
    costs.nodeMilliseconds.toFixed(2),
    single.p50.toFixed(2),
    single.p99.toFixed(2),
    wireBytes.toFixed(0),
  ]);
  const head = ["SUITE", "NODES", "BATCH", "CLIENT /s", "CLIENT ms", "NODE ms", "ONE: p50 ms", "p99 ms", "WIRE bytes"];
  return tableLines(head, rows).join("\n");
}

/** Lengths are logarithmic: suites and files differ by factors of a thousand. Each group names its unit. */
function picture(figures: readonly KeyFigure[], suites: readonly SuiteFigure[]): string {
  const suiteBars = (["client", "node"] as const).flatMap((party) =>
    suites.map(({ suite, quorum, clientMilliseconds, nodeMilliseconds }) => ({
      group: party === "client" ? "An element at the client, µs" : "An element at one key node, µs",
      label: `${suite}, ${quorum} nodes`,
      value: Math.round(1000 * (party === "client" ? clientMilliseconds : nodeMilliseconds)),
    })),
  );
  // User and node together.
  const bars = figures.map(({ what, mode, megabytes, blockKib, milliseconds, nodeMilliseconds }) => ({
    group:
      what === "block keys"
        ? `Block keys, mode ${mode}, ms`
        : `${what === "file key" ? "Key of a file" : "Key of a file, with cutting"}, ms`,
    label: `${megabytes} MB${blockKib === undefined ? "" : ` in blocks of ${blockKib} KiB`}`,
    value: Math.round(milliseconds + nodeMilliseconds),
  }));
  const title = "Deriving keys: processor time of the user and one key node";
  return barChart(title, [...suiteBars, ...bars], { isLogarithmic: true });
}

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "5" },
    "up-to": { type: "string", default: "100" },
    json: { type: "boolean", default: false },
    svg: { type: "string" },
  },
});
const runs = Number(values.runs);
if (!Number.isInteger(runs) || runs < 1) throw new TypeError(`--runs takes a whole number from 1, not ${values.runs}`);
const isWanted = (megabytes: number) => megabytes <= Number(values["up-to"]);
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);
const committee = await BenchCommittee.create(NODES, THRESHOLD);
const figures: KeyFigure[] = [];
const rsaKey = generateRsaKey(NODES);
const suites: SuiteFigure[] = [];
for (const suiteCommittee of await suiteCommittees(NODES, THRESHOLD, rsaKey)) {
  say(`suite ${suiteCommittee.suite.name}…`);
  // A batch of the others takes seconds, which one run measures.
  suites.push(await measureSuite(suiteCommittee, suites.length === 0 ? runs : 1));
}
say("the standard library for blind RSA…");
suites.push(await measureBlindRsaLibrary(rsaKey));
// Compiles what the first measurement would otherwise compile.
await measureFileKeys(1, committee, 2);
for (const megabytes of FILE_MEGABYTES.filter(isWanted)) {
  say(`file keys, ${megabytes} MB…`);
  figures.push(...(await measureFileKeys(megabytes, committee, runs)));
}
const modes = [
  { mode: merkleMode(committee), repeats: runs },
  // A key from the committee takes milliseconds, thousands of them need no repetition.
  { mode: oprfMode(committee), repeats: 1 },
];
for (const { mode, repeats } of modes) {
  for (const blockKib of BLOCK_KIB) {
    for (const megabytes of BLOCK_FILE_MEGABYTES.filter(isWanted)) {
      say(`block keys, mode ${mode.name}, ${megabytes} MB in blocks of ${blockKib} KiB…`);
      figures.push(await measureBlockKeys(mode, megabytes, blockKib, committee, repeats));
    }
  }
}
say("phases and places…");
const phases = await measurePhases(committee);
const places = await measurePlaces(committee);
const verdicts = [...judgeSuites(suites), ...judgeKeys(figures)];
const passed = verdicts.every(({ met }) => met);
if (values.svg !== undefined) writeFileSync(values.svg, picture(figures, suites));
if (values.json) {
  const document = {
    bench: "keys",
    nodes: NODES,
    threshold: THRESHOLD,
    runs,
    passed,
    verdicts,
    suites,
    figures,
    phases,
    places,
  };
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
} else {
  const tables = [
    suiteTable(suites),
    figureTable(figures),
    phaseTable(phases),
    placeTable(places),
    verdictTable(verdicts),
  ];
  process.stdout.write(`${tables.join("\n\n")}\n`);
}
process.exitCode = passed ? 0 : 1;
