/**
 * `npm run bench:revoke`: what it costs to revoke one owner of a file of 1 GiB that many own, by the number of owners,
 * and what packages cost beside plain sealed chunks: first with a provider in a process of its own, over HTTP, then its
 * service alone; docs/benchmarks.md explains each figure.
 *
 *   npm run bench:revoke -- [--runs 10] [--file-mib 1024] [--only http|service|packages] [--mib 256]
 *     [--json] [--svg docs/revoke.svg]
 *
 * `--file-mib` is the file that is put for the measurement over HTTP. `--mib` is what is sealed and opened in each run;
 * times are told for 1 GiB.
 *
 * Exit 1 when a bar is missed, or not measured: with `--only service` the bars are those of the service.
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
  judge,
  judgeRevocations,
  measurePackages,
  measureRevocations,
  type PackageFigure,
  type RevocationFigure,
  type RevocationVerdict,
} from "./revoke-figures.ts";
import { type HttpRevocationFigure, measureRevocationsOverHttp } from "./revoke-http.ts";
import { wholeNumber } from "./whole-number.ts";

const PACKAGE_RUNS = 5;
/** Revocations by the whole command. */
const COMMAND_RUNS = 3;
const GIB_MIB = 1024;
const PARTS = ["http", "service", "packages"] as const;

function httpTable(figure: HttpRevocationFigure): string {
  const row = [
    String(figure.owners),
    `${figure.mib} MiB, ${figure.chunks} chunks`,
    figure.milliseconds.toFixed(0),
    figure.slowestMilliseconds.toFixed(0),
    figure.ownerMilliseconds.toFixed(0),
    figure.commandMilliseconds.toFixed(0),
    String(figure.messages),
    String(figure.rekeyBytes),
    String(figure.rewrittenBytes),
    String(figure.leaks),
  ];
  const head = [
    "OWNERS, HTTP",
    "FILE",
    "REVOKE ms",
    "SLOWEST ms",
    "OWNER ms",
    "COMMAND ms",
    "MESSAGES",
    "REKEY bytes",
    "REWRITTEN bytes",
    "LEAKS",
  ];
  return tableLines(head, [row]).join("\n");
}

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

function verdictTable(what: string, verdicts: readonly RevocationVerdict[]): string {
  const shown = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  const rows = verdicts.map(({ name, unit, limit, measured, met }) => [
    name,
    measured === undefined ? "not measured" : `${shown(measured)}${unit}`,
    `at most ${shown(limit)}${unit}`,
    met ? "met" : "NOT MET",
  ]);
  return tableLines([`BAR, ${BAR_OWNERS} OWNERS, ${what}`, "MEASURED", "LIMIT", ""], rows).join("\n");
}

function picture(
  { milliseconds, commandMilliseconds }: HttpRevocationFigure,
  figures: readonly RevocationFigure[],
  packages: readonly PackageFigure[],
): string {
  const messages = figures.map(({ owners, messages }) => ({
    group: "Rekey messages, at most 2·log2(n)",
    label: `${owners.toLocaleString("en")} owners`,
    value: messages,
    limit: Math.floor(2 * Math.log2(owners)),
  }));
  const group = "Revoking one owner, everything on disk, ms";
  const times = [
    ...figures.map((figure) => ({
      group,
      label: `${figure.owners.toLocaleString("en")} owners, service`,
      value: Math.round(figure.milliseconds),
    })),
    { group, label: `${BAR_OWNERS.toLocaleString("en")} owners, HTTP`, value: Math.round(milliseconds) },
    { group, label: `${BAR_OWNERS.toLocaleString("en")}, whole command`, value: Math.round(commandMilliseconds) },
  ];
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
    "file-mib": { type: "string", default: String(GIB_MIB) },
    only: { type: "string" },
    json: { type: "boolean", default: false },
    svg: { type: "string" },
  },
});
const runs = wholeNumber("runs", values.runs);
const mib = wholeNumber("mib", values.mib);
const fileMib = wholeNumber("file-mib", values["file-mib"]);
const only = PARTS.find((part) => part === values.only);
if (values.only !== undefined && only === undefined) throw new Error(`--only takes ${PARTS.join(", ")}`);
if (only !== undefined && values.svg !== undefined) throw new Error("--svg shows all parts: it takes no --only");
const measures = (part: (typeof PARTS)[number]) => only === undefined || only === part;
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);
const folder = mkdtempSync(join(tmpdir(), "tallystick-revoke-"));
const revocations: RevocationFigure[] = [];
let packages: PackageFigure[] = [];
let overHttp: HttpRevocationFigure | undefined;
try {
  if (measures("http")) {
    const sizes = { owners: BAR_OWNERS, mib: fileMib, runs, commandRuns: COMMAND_RUNS };
    overHttp = await measureRevocationsOverHttp({ ...sizes, say });
  }
  if (measures("service")) {
    // Compiles what the first measurement would otherwise compile.
    await measureRevocations(mkdtempSync(join(folder, "first-")), 4, { runs: 3 });
    for (const owners of GROUP_SIZES) {
      say(`revoking one of ${owners} owners…`);
      revocations.push(await measureRevocations(mkdtempSync(join(folder, `${owners}-`)), owners, { runs }));
    }
  }
  if (measures("packages")) {
    say("packages and sealed chunks…");
    packages = measurePackages(mib, PACKAGE_RUNS);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const httpVerdicts = measures("http") ? judge(fileMib >= GIB_MIB ? overHttp : undefined) : [];
const verdicts = measures("service") ? judgeRevocations(revocations) : [];
const passed = [...httpVerdicts, ...verdicts].every(({ met }) => met);
if (values.svg !== undefined && overHttp !== undefined) {
  writeFileSync(values.svg, picture(overHttp, revocations, packages));
}
if (values.json) {
  const document = { bench: "revoke", runs, passed, httpVerdicts, overHttp, verdicts, revocations, packages };
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
} else {
  const tables = [
    ...(overHttp === undefined ? [] : [httpTable(overHttp), verdictTable("HTTP", httpVerdicts)]),
    ...(revocations.length === 0 ? [] : [revocationTable(revocations), verdictTable("SERVICE", verdicts)]),
    ...(packages.length === 0 ? [] : [packageTable(packages)]),
  ];
  process.stdout.write(`${tables.join("\n\n")}\n`);
}
process.exitCode = passed ? 0 : 1;
