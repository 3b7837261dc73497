/**
 * Snapshots of what the contracts cost: gas of every function, and sizes of the deployed code. They are committed, so
 * that a change of either shows in the diff.
 *
 *   node scripts/check/snapshots.ts            exit 1 when a figure differs from the committed one
 *   node scripts/check/snapshots.ts --write    renews them (`npm run snapshot`)
 *
 * Exit 1 in both cases when deployed code is larger than the limit.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import hre from "hardhat";
import { measureGas } from "../bench/gas.ts";
import { RULES_OF_TODAY } from "../bench/gas-figure.ts";
import { productContracts } from "../product-types.ts";

const FOLDER = resolve(import.meta.dirname, "..", "..", "contracts", "snapshots");
/** Chains refuse to deploy more than 24,576 bytes (EIP-170); the rest is room for a correction. */
export const MAX_CODE_BYTES = 23_000;

/** Figures by name. */
export type Snapshot = Readonly<Record<string, number>>;

/** @returns one line for each figure that is new, gone, or different */
export function snapshotProblems(name: string, committed: Snapshot, measured: Snapshot): string[] {
  const keys = [...new Set([...Object.keys(committed), ...Object.keys(measured)])];
  return keys.flatMap((key) => {
    const [before, after] = [committed[key], measured[key]];
    return before === after
      ? []
      : [`${name}: ${key}: committed ${before ?? "nothing"}, measured ${after ?? "nothing"}`];
  });
}

/** @returns one line for each contract whose deployed code is larger than the limit */
export function sizeProblems(sizes: Snapshot): string[] {
  return Object.entries(sizes)
    .filter(([, size]) => size > MAX_CODE_BYTES)
    .map(([name, size]) => `${name}: ${size} bytes of deployed code, at most ${MAX_CODE_BYTES}`);
}

/** Sizes of the deployed code of the product's contracts, in bytes. */
async function codeSizes(): Promise<Snapshot> {
  const paths = [...(await hre.artifacts.getAllArtifactPaths())];
  const sizes: Record<string, number> = {};
  for (const { name } of productContracts(hre.config.paths.artifacts, paths)) {
    const { abi, deployedBytecode } = await hre.artifacts.readArtifact(name);
    const size = (deployedBytecode.length - "0x".length) / 2;
    // Interfaces have no code; libraries without an interface are part of the contracts that use them.
    if (size > 0 && abi.length > 0) sizes[name] = size;
  }
  return sizes;
}

async function gasFigures(): Promise<Snapshot> {
  const groups = await measureGas(RULES_OF_TODAY);
  return Object.fromEntries(
    Object.entries(groups).flatMap(([group, list]) => list.map(({ name, gas }) => [`${group}: ${name}`, gas])),
  );
}

const fileOf = (name: string): string => join(FOLDER, `${name}.json`);

function read(name: string): Snapshot {
  try {
    return JSON.parse(readFileSync(fileOf(name), "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { write: { type: "boolean" } } });
  const sizes = await codeSizes();
  const measured = { sizes, gas: await gasFigures() };
  const tooLarge = sizeProblems(sizes);
  const changed = Object.entries(measured).flatMap(([name, snapshot]) => snapshotProblems(name, read(name), snapshot));
  for (const line of [...tooLarge, ...changed]) process.stdout.write(`${line}\n`);
  if (values.write) {
    for (const [name, snapshot] of Object.entries(measured)) {
      writeFileSync(fileOf(name), `${JSON.stringify(snapshot, undefined, 2)}\n`);
    }
  } else if (changed.length > 0) {
    process.stdout.write("run `npm run snapshot` to renew the snapshots, and commit contracts/snapshots\n");
  }
  process.exitCode = tooLarge.length > 0 || (changed.length > 0 && !values.write) ? 1 : 0;
}
