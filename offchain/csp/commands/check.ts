/**
 * `tallystick-csp check`: looks at every stored object while the daemon does not run, says what is damaged, and by
 * `--repair` has the next start serve what is right and nothing else.
 */

import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { counted } from "../../core/encoding/counted.ts";
import type { DaemonCommand } from "../../daemon/program.ts";
import { lockFolder } from "../../store/disk/folder-lock.ts";
import type { ChunkIndex, ChunkRow } from "../../store/index/chunk-index.ts";
import { checkObjectStore } from "../../store/object/open-object-store.ts";
import type { PackFinding } from "../../store/object/pack/pack-findings.ts";
import type { StoreCheck } from "../../store/object/store-check.ts";
import type { CspConfig } from "../config.ts";
import { ProviderDatabase } from "../database.ts";

/** Findings and lost objects that are listed; more are counted. */
const MOST_LISTED = 1000;
const ROWS_AT_ONCE = 256;
const PROGRESS_MILLISECONDS = 5000;
const EXIT_FOUND = 4;

/** An object that the provider has acknowledged and cannot give back. */
export interface LostObject {
  readonly id: string;
  readonly sizeBytes: number;
  /** Accounts that own it. */
  readonly owners: number;
}

export interface CheckReport {
  readonly readData: boolean;
  readonly repaired: boolean;
  /** Objects that the database names. */
  readonly objects: number;
  readonly readBytes: number;
  readonly seconds: number;
  /** How many findings there are of each kind. */
  readonly damage: Readonly<Record<string, number>>;
  readonly findings: readonly PackFinding[];
  readonly lostObjects: number;
  readonly lost: readonly LostObject[];
  /** Objects that counted as lost and are there. */
  readonly foundObjects: number;
}

export interface CheckOptions {
  readonly readData: boolean;
  readonly repair: boolean;
  readonly onFinding?: (finding: PackFinding) => void;
  readonly onLost?: (lost: LostObject) => void;
  readonly progress?: (readBytes: number) => void;
}

/** @throws DiskFailedError, also while the daemon runs; DiskFullError, UnknownVersionError */
export async function checkProvider(config: CspConfig, options: CheckOptions): Promise<CheckReport> {
  const startedAt = performance.now();
  const { readData, repair } = options;
  const findings: PackFinding[] = [];
  const damage: Record<string, number> = {};
  let readBytes = 0;
  const lock = lockFolder(config.dataDir);
  const closers: (() => Promise<void>)[] = [async () => lock.close()];
  let store: StoreCheck | undefined;
  try {
    const database = await ProviderDatabase.open(config.database, config.dataDir);
    closers.unshift(() => database.close());
    const { chunks } = database.index;
    store = await checkObjectStore(config.store, {
      readData,
      report: (finding) => {
        damage[finding.damage] = (damage[finding.damage] ?? 0) + 1;
        if (findings.length < MOST_LISTED) findings.push(finding);
        options.onFinding?.(finding);
      },
      progress: (bytes) => {
        readBytes += bytes;
        options.progress?.(readBytes);
      },
    });
    const rows = await compareRows(chunks, store, options);
    if (repair) await store.repair();
    const seconds = (performance.now() - startedAt) / 1000;
    return { readData, repaired: repair, readBytes, seconds, damage, findings, ...rows };
  } finally {
    await store?.close();
    for (const close of closers) await close();
  }
}

type RowsReport = Pick<CheckReport, "objects" | "lostObjects" | "lost" | "foundObjects">;

/** Compares what the provider has acknowledged with what the store can give back. */
async function compareRows(chunks: ChunkIndex, store: StoreCheck, options: CheckOptions): Promise<RowsReport> {
  const lost: LostObject[] = [];
  const counts = { objects: 0, lostObjects: 0, foundObjects: 0 };
  const compare = async (rows: readonly ChunkRow[]): Promise<void> => {
    const missing: ChunkRow[] = [];
    const found: Uint8Array[] = [];
    for (const row of rows) {
      const isThere = (await store.sizeOf(contentIdFromDigest(row.digest))) === row.sizeBytes;
      if (!isThere) missing.push(row);
      else if (!row.stored) found.push(row.digest);
    }
    const owners = await chunks.ownersOf(missing.map(({ digest }) => digest));
    for (const [k, { digest, sizeBytes }] of missing.entries()) {
      const object = { id: contentIdFromDigest(digest), sizeBytes, owners: owners[k] ?? 0 };
      if (lost.length < MOST_LISTED) lost.push(object);
      options.onLost?.(object);
    }
    counts.objects += rows.length;
    counts.lostObjects += missing.length;
    counts.foundObjects += found.length;
    if (!options.repair) return;
    await chunks.markLost(missing.map(({ digest }) => digest));
    // Only bytes that were hashed count as back.
    if (options.readData) await chunks.markStored(found);
  };
  for await (const page of chunks.pages()) {
    for (let first = 0; first < page.length; first += ROWS_AT_ONCE)
      await compare(page.slice(first, first + ROWS_AT_ONCE));
  }
  return { ...counts, lost };
}

const isSound = ({ damage, lostObjects }: CheckReport): boolean =>
  lostObjects === 0 && Object.keys(damage).length === 0;

function describeFinding({ damage, file, offset, id, bytes, objects, detail }: PackFinding): string {
  const place = offset === undefined ? file : `${file} at byte ${offset}`;
  const facts = [
    id === undefined ? "" : `object ${id}`,
    objects === undefined ? "" : counted(objects, "object"),
    bytes === undefined ? "" : counted(bytes, "byte"),
    detail ?? "",
  ].filter((fact) => fact !== "");
  return `${damage}: ${[place, ...facts].join(", ")}`;
}

const describeLost = ({ id, sizeBytes, owners }: LostObject): string =>
  `lost: object ${id}, ${counted(sizeBytes, "byte")}, ${counted(owners, "owner")}`;

function summary(report: CheckReport): string {
  const { objects, readBytes, seconds, lostObjects, damage, readData, repaired } = report;
  const speed = `${Math.round(readBytes / 1e6)} MB in ${seconds.toFixed(1)} s`;
  const found = Object.values(damage).reduce((sum, count) => sum + count, 0);
  const outcome = isSound(report)
    ? "no damage"
    : `${counted(found, "finding")}, ${counted(lostObjects, "object")} lost`;
  const action = repaired && !isSound(report) ? "; repaired: the next upload of a lost object heals it" : "";
  return `${counted(objects, "object")}, ${readData ? speed : "data not read"}: ${outcome}${action}\n`;
}

async function run(config: CspConfig, options: Readonly<Record<string, unknown>>): Promise<number> {
  const isJson = options.json === true;
  let listed = 0;
  const line = (text: string): void => {
    listed += 1;
    if (!isJson && listed <= MOST_LISTED) process.stdout.write(`${text}\n`);
  };
  let toldAt = performance.now();
  const report = await checkProvider(config, {
    readData: options.readData === true,
    repair: options.repair === true,
    onFinding: (finding) => line(describeFinding(finding)),
    onLost: (lost) => line(describeLost(lost)),
    progress: (readBytes) => {
      if (performance.now() - toldAt < PROGRESS_MILLISECONDS) return;
      toldAt = performance.now();
      process.stderr.write(`tallystick-csp: ${Math.round(readBytes / 1e6)} MB read\n`);
    },
  });
  if (!isJson && listed > MOST_LISTED) process.stdout.write(`and ${listed - MOST_LISTED} more\n`);
  process.stdout.write(isJson ? `${JSON.stringify(report)}\n` : summary(report));
  if (isSound(report)) return 0;
  if (options.repair !== true) {
    process.stderr.write(
      "tallystick-csp: hint: --repair has the provider serve what is right, and ask for what is lost\n",
    );
  }
  return EXIT_FOUND;
}

export const checkCommand: DaemonCommand<CspConfig> = {
  name: "check",
  description: "check stored objects while the daemon does not run; exit code 4 when something is damaged",
  options: [
    ["--read-data", "read and hash every byte, not only the lists of what is where"],
    ["--repair", "rebuild the list of objects and note lost ones, so that the next upload heals them"],
    ["--json", "print one JSON document"],
  ],
  example: "check --config csp.json --read-data",
  run,
};
