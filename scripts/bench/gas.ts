/**
 * `npm run bench:gas`: what every transaction costs, and whether it stays under its bar. Whole transactions on
 * Hardhat's own network, production build of the contracts; `PdpVerifier … check` is the library call alone.
 *
 *   npm run bench:gas               a table
 *   npm run bench:gas -- --json     one JSON document on stdout
 *   npm run bench:gas -- --svg docs/gas.svg     the table, and a picture of it
 *
 * Exit 1 when a bar is missed.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { tableLines } from "../../offchain/cli/table.ts";
import { barChart } from "./bar-chart.ts";
import { type GasFigure, measureEscrowGas } from "./gas-escrow.ts";
import { measureLedgerGas } from "./gas-ledger.ts";
import { measurePdpGas } from "./gas-pdp.ts";

interface Bar {
  /** The figures it holds for. */
  readonly matches: RegExp;
  readonly limit: number;
}

/** Bars are promises to users: changing one is a decision, not a fix. */
export const BARS: readonly Bar[] = [
  { matches: /^PdpVerifier, 30 samples of .*, check$/, limit: 320_000 },
  { matches: /^PdpVerifier, 460 samples of .*, check$/, limit: 500_000 },
  { matches: /^record, \d+-byte payload$/, limit: 90_000 },
];

export interface JudgedFigure extends GasFigure {
  readonly group: string;
  /** The most it may cost; absent when there is no bar. */
  readonly limit?: number;
  readonly pass: boolean;
}

/**
 * Holds figures against the bars.
 * @throws Error when a bar matches no figure: it would pass without a measurement
 */
export function judge(groups: Readonly<Record<string, readonly GasFigure[]>>, bars = BARS): JudgedFigure[] {
  const figures = Object.entries(groups).flatMap(([group, list]) => list.map((figure) => ({ group, ...figure })));
  for (const { matches } of bars) {
    if (!figures.some(({ name }) => matches.test(name))) throw new Error(`nothing was measured for the bar ${matches}`);
  }
  return figures.map((figure) => {
    const limit = bars.find(({ matches }) => matches.test(figure.name))?.limit;
    return { ...figure, ...(limit === undefined ? {} : { limit }), pass: limit === undefined || figure.gas <= limit };
  });
}

function table(figures: readonly JudgedFigure[]): string {
  const rows = figures.map(({ group, name, gas, limit, pass }) => [
    group,
    name,
    gas.toLocaleString("en").padStart(9),
    limit?.toLocaleString("en") ?? "",
    limit === undefined ? "" : pass ? "pass" : "FAIL",
  ]);
  return tableLines(["OF", "WHAT", "      GAS", "AT MOST", ""], rows).join("\n");
}

/** The transactions, and their bars. */
function picture(figures: readonly JudgedFigure[]): string {
  const bars = figures.map(({ name, gas, ...rest }) => ({ ...rest, label: name, value: gas }));
  return barChart("Gas of transactions and of checks; red marks are what a figure must not pass", bars);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { json: { type: "boolean" }, svg: { type: "string" } } });
  const figures = judge({
    "Possession proofs": await measurePdpGas(),
    "Storage agreements": await measureEscrowGas(),
    "Key records and nodes": await measureLedgerGas(),
  });
  const pass = figures.every((figure) => figure.pass);
  if (values.svg !== undefined) writeFileSync(values.svg, picture(figures));
  if (values.json) process.stdout.write(`${JSON.stringify({ pass, figures }, undefined, 2)}\n`);
  else process.stdout.write(`${table(figures)}\n`);
  process.exitCode = pass ? 0 : 1;
}
