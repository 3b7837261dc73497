/**
 * `npm run bench:revoke`: what it costs to revoke one owner of a file of 1 GiB that many own, by the number of owners,
 * and what packages cost beside plain sealed chunks. The provider's part, one owner's part, no network;
 * docs/benchmarks.md explains each figure.
 *
 *   npm run bench:revoke -- [--runs 10] [--mib 256] [--json] [--svg docs/revoke.svg]
 *
 * `--mib` is what is sealed and opened in each run; times are told for 1 GiB.
 *
 * Exit 1 when a bar is missed.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { tableLines } from "../../offchain/cli/table.ts";
import { barChart } from "./bar-chart.ts";
import {
  BAR_OWNERS,
  GROUP_SIZES,
  judgeRevocations,
  measurePackages,
  measureRevocations,
  type PackageFigure,
  type RevocationFigure,
  type RevocationVerdict,
} from "./revoke-figures.ts";
import { wholeNumber } from "./whole-number.ts";

const PACKAGE_RUNS = 5;

function revocationTable(figures: readonly RevocationFigure[]): string {
  const rows = figures.map((figure) => [
    String(figure.owners),
    figure.milliseconds.toFixed(1),
    figure.ownerMilliseconds.toFixed(1),
    String(figure.messages),
    (2 * Math.log2(figure.owners)).toFixed(1),
    String(figure.rekeyBytes),
    String(figure.rewrittenBytes),
    String(figure.leaks),
  ]);
  const head = [
    "OWNERS",
    "PROVIDER ms",
    "OWNER ms",
    "MESSAGES",
    "2·log2(n)",
    "REKEY bytes",
    "REWRITTEN bytes",
    "LEAKS",
  ];
  return tableLines(head, rows).join("\n");
}

function packageTable(figures: readonly PackageFigure[]): string {
  const rows = figures.map((figure) => [
    figure.what,
    figure.sealSecondsPerGib.toFixed(2),
    figure.openSecondsPerGib.toFixed(2),
    String(figure.overheadBytesPerGib),
    String(figure.ownerBytesPerGib),
  ]);
  const head = ["WHAT", "SEAL s/GiB", "OPEN s/GiB", "OBJECTS +bytes/GiB", "EACH OWNER bytes/GiB"];
  return tableLines(head, rows).join("\n");
}

function verdictTable(verdicts: readonly RevocationVerdict[]): string {
  const shown = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  const rows = verdicts.map(({ name, unit, limit, measured, met }) => [
    name,
    measured === undefined ? "not measured" : `${shown(measured)}${unit}`,
    `at most ${shown(limit)}${unit}`,
    met ? "met" : "NOT MET",
  ]);
  return tableLines([`BAR, ${BAR_OWNERS} OWNERS`, "MEASURED", "LIMIT", ""], rows).join("\n");
}

function picture(figures: readonly RevocationFigure[], packages: readonly PackageFigure[]): string {
  const messages = figures.map(({ owners, messages }) => ({
    group: "Rekey messages, at most 2·log2(n)",
    label: `${owners.toLocaleString("en")} owners`,
    value: messages,
    limit: Math.floor(2 * Math.log2(owners)),
  }));
  const times = figures.map(({ owners, milliseconds }) => ({
    group: "Revoking one owner, everything on disk, ms",
    label: `${owners.toLocaleString("en")} owners`,
    value: Math.round(milliseconds),
  }));
  const seals = packages.map(({ what, sealSecondsPerGib }) => ({
    group: "Processor time of 1 GiB at the user, ms",
    label: `as ${what}s`,
    value: Math.round(sealSecondsPerGib * 1000),
  }));
  return barChart("Revoking one owner of a file of 1 GiB", [...messages, ...times, ...seals], { isLogarithmic: true });
}

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "10" },
    mib: { type: "string", default: "256" },
    json: { type: "boolean", default: false },
    svg: { type: "string" },
  },
});
const runs = wholeNumber("runs", values.runs);
const mib = wholeNumber("mib", values.mib);
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);
const folder = mkdtempSync(join(tmpdir(), "tallystick-revoke-"));
const revocations: RevocationFigure[] = [];
let packages: PackageFigure[];
try {
  // Compiles what the first measurement would otherwise compile.
  await measureRevocations(mkdtempSync(join(folder, "first-")), 4, { runs: 3 });
  for (const owners of GROUP_SIZES) {
    say(`revoking one of ${owners} owners…`);
    revocations.push(await measureRevocations(mkdtempSync(join(folder, `${owners}-`)), owners, { runs }));
  }
  say("packages and sealed chunks…");
  packages = measurePackages(mib, PACKAGE_RUNS);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const verdicts = judgeRevocations(revocations);
const passed = verdicts.every(({ met }) => met);
if (values.svg !== undefined) writeFileSync(values.svg, picture(revocations, packages));
if (values.json) {
  const document = { bench: "revoke", runs, passed, verdicts, revocations, packages };
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
} else {
  const tables = [revocationTable(revocations), packageTable(packages), verdictTable(verdicts)];
  process.stdout.write(`${tables.join("\n\n")}\n`);
}
process.exitCode = passed ? 0 : 1;
