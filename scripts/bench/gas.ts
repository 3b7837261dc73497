/**
 * `npm run bench:gas`: what every transaction costs, and whether it stays under its bar. Whole transactions on
 * Hardhat's own network, production build of the contracts; `PdpVerifier … check` is the library call alone.
 *
 *   npm run bench:gas               a table
 *   npm run bench:gas -- --json     one JSON document on stdout
 *   npm run bench:gas -- --svg docs/gas.svg     the table, and a picture of it in a file
 *
 * Exit 1 when a bar is missed.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { tableLines } from "../../offchain/cli/table.ts";
import { barChart } from "./bar-chart.ts";
import { MONTH_FIGURE, measureEscrowGas } from "./gas-escrow.ts";
import type { GasFigure } from "./gas-figure.ts";
import { measureLedgerGas } from "./gas-ledger.ts";
import { MERKLE_FIGURE, measureMerkleGas } from "./gas-merkle.ts";
import { measureOprfGas } from "./gas-oprf.ts";
import { measurePdpGas } from "./gas-pdp.ts";
import { measurePolicyGas } from "./gas-policies.ts";
import { measureRandomnessGas } from "./gas-randomness.ts";

/** Measures all figures, grouped by subject. */
export async function measureGas(): Promise<Record<string, GasFigure[]>> {
  return {
    "Possession proofs": [...(await measurePdpGas()), await measureMerkleGas()],
    "Data sets": await measureEscrowGas(),
    "Key records and nodes": await measureLedgerGas(),
    "OPRF evaluations": await measureOprfGas(),
    Randomness: await measureRandomnessGas(),
    "Release policies": await measurePolicyGas(),
  };
}

interface Bar {
  /** Names of the figures that it applies to. */
  readonly matches: RegExp;
  readonly limit: number;
}

/** A figure may be at most this part of another one. */
interface ShareBar {
  readonly matches: RegExp;
  readonly of: string;
  readonly limitPercent: number;
}

/** Users rely on these limits. Raise one only by a decision of the project, never to make a check pass. */
export const BARS: readonly Bar[] = [
  { matches: /^PdpVerifier, 30 samples of 1 range, check$/, limit: 220_000 },
  { matches: /^PdpVerifier, 460 samples of 1 range, check$/, limit: 325_000 },
  { matches: /^PdpVerifier, 30 samples of 16 ranges, check$/, limit: 230_000 },
  { matches: /^PdpVerifier, 460 samples of 16 ranges, check$/, limit: 380_000 },
  { matches: /^PdpVerifier, 30 samples of 1 range, transaction$/, limit: 290_000 },
  { matches: /^PdpVerifier, 460 samples of 1 range, transaction$/, limit: 400_000 },
  { matches: /^prove, 30 samples, (first|the epoch before proven too)$/, limit: 290_000 },
  { matches: /^prove, 460 samples, first$/, limit: 400_000 },
  { matches: /^update, /, limit: 60_000 },
  { matches: new RegExp(`^${MONTH_FIGURE}$`), limit: 150_000 },
  { matches: /^record, \d+-byte payload$/, limit: 70_000 },
  { matches: /^recordMany of 20, per record$/, limit: 40_000 },
  { matches: /^OprfEvaluation, one element, check$/, limit: 1_000_000 },
  { matches: /^challenge, /, limit: 1_000_000 },
  { matches: /^record, prevrandao, /, limit: 80_000 },
  { matches: /^record, drand, /, limit: 350_000 },
];

/**
 * What a further data set may add to a transaction that checks several, in parts of a transaction with one; and what a
 * proof may cost in parts of one by Merkle paths.
 */
export const SHARE_BARS: readonly ShareBar[] = [
  {
    matches: /^PdpVerifier, 30 samples of 1 range, each further/,
    of: "PdpVerifier, 30 samples of 1 range, transaction",
    limitPercent: 85,
  },
  {
    matches: /^PdpVerifier, 460 samples of 1 range, each further/,
    of: "PdpVerifier, 460 samples of 1 range, transaction",
    limitPercent: 90,
  },
  { matches: /^PdpVerifier, 460 samples of 1 range, transaction$/, of: MERKLE_FIGURE, limitPercent: 10 },
];

export interface JudgedFigure extends GasFigure {
  readonly group: string;
  /** Largest allowed gas; absent when there is no limit. */
  readonly limit?: number;
  readonly pass: boolean;
}

/** Compares figures with the bars. @throws Error when a bar matches no figure, because it would then pass unmeasured */
export function judge(
  groups: Readonly<Record<string, readonly GasFigure[]>>,
  bars = BARS,
  shareBars = SHARE_BARS,
): JudgedFigure[] {
  const figures = Object.entries(groups).flatMap(([group, list]) => list.map((figure) => ({ group, ...figure })));
  const shares = shareBars.map(({ matches, of, limitPercent }) => {
    const whole = figures.find(({ name }) => name === of);
    if (whole === undefined) throw new Error(`nothing was measured for ${of}, of which a bar is a part`);
    return { matches, limit: Math.floor((whole.gas * limitPercent) / 100) };
  });
  const allBars = [...bars, ...shares];
  for (const { matches } of allBars) {
    if (!figures.some(({ name }) => matches.test(name))) throw new Error(`nothing was measured for the bar ${matches}`);
  }
  return figures.map((figure) => {
    const limits = allBars.filter(({ matches }) => matches.test(figure.name)).map((bar) => bar.limit);
    const limit = limits.length === 0 ? undefined : Math.min(...limits);
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

/** The figures and their limits as a picture. */
function picture(figures: readonly JudgedFigure[]): string {
  const bars = figures.map(({ name, gas, ...rest }) => ({ ...rest, label: name, value: gas }));
  return barChart("Gas of transactions and of checks; red marks are limits", bars);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { json: { type: "boolean" }, svg: { type: "string" } } });
  // Views cost nothing when called off chain, so they are only in the snapshot.
  const figures = judge(await measureGas()).filter(({ isView }) => isView === undefined);
  const pass = figures.every((figure) => figure.pass);
  if (values.svg !== undefined) writeFileSync(values.svg, picture(figures));
  if (values.json) process.stdout.write(`${JSON.stringify({ pass, figures }, undefined, 2)}\n`);
  else process.stdout.write(`${table(figures)}\n`);
  process.exitCode = pass ? 0 : 1;
}
