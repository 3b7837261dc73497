/**
 * `npm run bench:gas`: what every transaction costs, and whether it stays under its bar: gas by the rules of today's
 * main network, new storage slots, bytes of call data, and gas by the announced rules of its next fork. Whole
 * transactions on Hardhat's own network, production build of the contracts; `PdpVerifier … check` is the library call
 * alone.
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
import { EPOCHS_FIGURE, measureEpochsGas } from "./gas-epochs.ts";
import { MONTH_FIGURE, measureEscrowGas } from "./gas-escrow.ts";
import { ANNOUNCED_RULES, type GasFigure, type GasRules, RULES_OF_TODAY } from "./gas-figure.ts";
import { measureLedgerGas } from "./gas-ledger.ts";
import { MERKLE_FIGURE, measureMerkleGas } from "./gas-merkle.ts";
import { measureOprfGas } from "./gas-oprf.ts";
import { measurePdpGas } from "./gas-pdp.ts";
import { measurePolicyGas } from "./gas-policies.ts";
import { measureRandomnessGas } from "./gas-randomness.ts";

/** Figures by subject. */
type GasFigures = Readonly<Record<string, readonly GasFigure[]>>;

/** Measures every function of the contracts: what the snapshot has. */
export async function measureGas(rules: GasRules): Promise<Record<string, GasFigure[]>> {
  return {
    "Possession proofs": [...(await measurePdpGas(rules)), await measureMerkleGas(rules)],
    "Data sets": await measureEscrowGas(rules),
    "Key records and nodes": await measureLedgerGas(rules),
    "OPRF evaluations": await measureOprfGas(rules),
    Randomness: await measureRandomnessGas(rules),
    "Release policies": await measurePolicyGas(rules),
  };
}

interface Bar {
  /** Names of the figures that it applies to. */
  readonly matches: RegExp;
  readonly limit: number;
}

/** Storage that a transaction, or the average one, may add to the state of the chain. */
export const SLOT_BARS: readonly Bar[] = [
  { matches: /^open$/, limit: 4 },
  { matches: /^update, /, limit: 0 },
  { matches: /^prove, /, limit: 0 },
  { matches: new RegExp(`^${EPOCHS_FIGURE}$`), limit: 0.01 },
  { matches: /^record(, \d+-byte payload|Many of 20, per record)$/, limit: 1 },
];

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
  /** Most new storage slots; absent when there is no limit. */
  readonly slotLimit?: number;
  readonly pass: boolean;
}

/** The least limit of the bars for a name. */
function limitOf(bars: readonly Bar[], name: string): number | undefined {
  const limits = bars.filter(({ matches }) => matches.test(name)).map(({ limit }) => limit);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** Compares figures with the bars. @throws Error when a bar matches no figure, because it would then pass unmeasured */
export function judge(groups: GasFigures, bars = BARS, shareBars = SHARE_BARS, slotBars = SLOT_BARS): JudgedFigure[] {
  const figures = Object.entries(groups).flatMap(([group, list]) => list.map((figure) => ({ group, ...figure })));
  const shares = shareBars.map(({ matches, of, limitPercent }) => {
    const whole = figures.find(({ name }) => name === of);
    if (whole === undefined) throw new Error(`nothing was measured for ${of}, of which a bar is a part`);
    return { matches, limit: Math.floor((whole.gas * limitPercent) / 100) };
  });
  const gasBars = [...bars, ...shares];
  for (const { matches } of [...gasBars, ...slotBars]) {
    if (!figures.some(({ name }) => matches.test(name))) throw new Error(`nothing was measured for the bar ${matches}`);
  }
  return figures.map((figure) => {
    const [limit, slotLimit] = [limitOf(gasBars, figure.name), limitOf(slotBars, figure.name)];
    if (slotLimit !== undefined && figure.newSlots === undefined)
      throw new Error(`no slots were counted for ${figure.name}`);
    const pass = figure.gas <= (limit ?? Infinity) && (figure.newSlots ?? 0) <= (slotLimit ?? Infinity);
    return {
      ...figure,
      ...(limit === undefined ? {} : { limit }),
      ...(slotLimit === undefined ? {} : { slotLimit }),
      pass,
    };
  });
}

/** A figure with what it will cost by the announced rules. */
export type PricedFigure = JudgedFigure & { readonly announcedGas: number };

/** @throws Error when a figure was not measured by both rules */
export function withAnnounced(figures: readonly JudgedFigure[], announced: GasFigures): PricedFigure[] {
  return figures.map((figure) => {
    const later = announced[figure.group]?.find(({ name }) => name === figure.name);
    if (later === undefined) throw new Error(`nothing was measured by the announced rules for ${figure.name}`);
    return { ...figure, announcedGas: later.gas };
  });
}

/** A number in a column of a table; what was not counted is empty. */
function column(value: number | undefined, width: number): string {
  return (value?.toLocaleString("en", { maximumFractionDigits: 3 }) ?? "").padStart(width);
}

function table(figures: readonly PricedFigure[]): string {
  const rows = figures.map((figure) => [
    figure.group,
    figure.name,
    column(figure.gas, 10),
    column(figure.limit, 8),
    column(figure.newSlots, 9),
    column(figure.slotLimit, 7),
    column(figure.callDataBytes, 9),
    column(figure.announcedGas, 10),
    figure.limit === undefined && figure.slotLimit === undefined ? "" : figure.pass ? "pass" : "FAIL",
  ]);
  const heads = ["OF", "WHAT", "       GAS", " AT MOST", "NEW SLOTS", "AT MOST", "CALL DATA", " ANNOUNCED", ""];
  return tableLines(heads, rows).join("\n");
}

/** The figures and their limits as a picture. */
function picture(figures: readonly JudgedFigure[]): string {
  const bars = figures.map(({ name, gas, ...rest }) => ({ ...rest, label: name, value: gas }));
  return barChart("Gas of transactions and of checks; red marks are limits", bars);
}

/** Everything that the bench prints: the functions, and what epochs cost in the long run. */
async function measureAll(rules: GasRules): Promise<GasFigures> {
  return { ...(await measureGas(rules)), "Long runs": [await measureEpochsGas(rules)] };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { json: { type: "boolean" }, svg: { type: "string" } } });
  // Views cost nothing when called off chain, so they are only in the snapshot.
  const today = judge(await measureAll(RULES_OF_TODAY)).filter(({ isView }) => isView === undefined);
  const figures = withAnnounced(today, await measureAll(ANNOUNCED_RULES));
  const pass = figures.every((figure) => figure.pass);
  if (values.svg !== undefined) writeFileSync(values.svg, picture(figures));
  if (values.json) process.stdout.write(`${JSON.stringify({ pass, figures }, undefined, 2)}\n`);
  else process.stdout.write(`${table(figures)}\n`);
  process.exitCode = pass ? 0 : 1;
}
