/**
 * `npm run bench:key-storage`: what the keys of many users take when they share much of their data, by scheme and by
 * party, beside the baseline in which every user keeps wrapped keys of its own (Dekey: Li, Chen, Li, Li, Lee, Lou,
 * 2014). Entries are measured with the product's encoders, ledger and databases, and multiplied by their number;
 * docs/benchmarks.md explains each figure. Data comes from seeds, so every run gives the same figures.
 *
 *   npm run bench:key-storage -- [--users 1000] [--files 10] [--chunks 1024] [--shared 80] [--owners 100]
 *                                [--nodes 5] [--threshold 3] [--privacy 1] [--json] [--svg docs/key-storage.svg]
 *
 * `--shared` percent of a user's files have `--owners` owners each; `--privacy` is r of Dekey's ramp sharing.
 *
 * Exit 1 when the bar is missed. It is judged with the default workload and number of nodes only.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { tableLines } from "../../offchain/cli/table.ts";
import { barChart } from "./bar-chart.ts";
import {
  BASELINE,
  breakEvenChunks,
  countWorkload,
  DEFAULT_SCHEME,
  type EntryCosts,
  judgeStorage,
  keysGib,
  oneFile,
  PUBLISHED_KEYS,
  type SchemeFigure,
  STORAGE_BAR,
  storageOf,
  type Workload,
} from "./key-storage-figures.ts";
import { measureRecords } from "./key-storage-ledger.ts";
import {
  measureCatalogue,
  measureKeyServer,
  measureProviderRows,
  measureRecipe,
  wrapChunkKey,
} from "./key-storage-stores.ts";
import { wholeNumber } from "./whole-number.ts";

/** Rows that a database is filled with: index pages are shared by many. */
const MEASURED_ROWS = 5000;
const OWNERS = [1, 10, 100, 1000];
const MOST_CHUNKS = 4096;
const MIB = 1024 * 1024;

const mib = (bytes: number) => (bytes / MIB).toFixed(1);

function schemeTable(figures: readonly SchemeFigure[]): string {
  const rows = figures.map((figure) => [
    figure.scheme,
    mib(figure.users),
    mib(figure.provider),
    mib(figure.keyNodes),
    mib(figure.chainState),
    mib(figure.chainHistory),
    mib(figure.total),
    figure.bytesPerKey.toFixed(1),
    figure.bytesPerDistinctKey.toFixed(1),
    `${figure.toBaseline.toFixed(2)}×`,
  ]);
  const parties = ["USERS MiB", "PROVIDER", "KEY NODES", "CHAIN STATE", "CHAIN HISTORY", "TOTAL"];
  return tableLines(["SCHEME", ...parties, "BYTES PER KEY", "DISTINCT KEY", "BASELINE"], rows).join("\n");
}

interface OwnersFigure {
  readonly owners: number;
  readonly figures: readonly SchemeFigure[];
}

function ownersTable(byOwners: readonly OwnersFigure[]): string {
  const rows = (byOwners[0]?.figures ?? []).map(({ scheme }, position) => [
    scheme,
    ...byOwners.map(({ figures }) => figures[position]?.bytesPerDistinctKey.toFixed(0) ?? ""),
  ]);
  const head = byOwners.map(({ owners }) => (owners === 1 ? "1 OWNER" : `${owners} OWNERS`));
  return tableLines(["BYTES PER CHUNK KEY OF A FILE", ...head], rows).join("\n");
}

function entryTable({ wrappedKeyBytes, keyServer, records, recipe, provider, catalogueBytes }: EntryCosts): string {
  const rows = [
    ["wrapped chunk key", wrappedKeyBytes],
    [`recipe of a file, ${recipe.objects} sealed objects`, recipe.bytes],
    ["provider's index: object with its first owner", provider.objectBytes],
    ["provider's index: once, when it is claimed", provider.claimedBytes],
    ["provider's index: later owner", provider.ownerBytes],
    ["user's catalogue: put", catalogueBytes],
    ["Dekey, a key server: share", keyServer.shareBytes],
    ["Dekey, a key server: owner", keyServer.ownerBytes],
    ...records.flatMap((costs) => [
      [`\`${costs.recipients}\` record: payload`, costs.payloadBytes],
      [`\`${costs.recipients}\` record: chain state`, costs.record.stateBytes],
      [`\`${costs.recipients}\` record: call data and log`, costs.record.historyBytes],
      [`\`${costs.recipients}\` record: the same, one of 32 at once`, costs.recordInBatch.historyBytes],
      [`\`${costs.recipients}\` record: archive of a key node`, costs.archivedRecordBytes],
      [`\`${costs.recipients}\` record, later owner: chain state`, costs.join.stateBytes],
      [`\`${costs.recipients}\` record, later owner: call data and log`, costs.join.historyBytes],
      [`\`${costs.recipients}\` record, later owner: archive of a key node`, costs.archivedJoinBytes],
    ]),
  ] as const;
  return tableLines(
    ["ENTRY", "BYTES"],
    rows.map(([entry, bytes]) => [String(entry), Number(bytes).toFixed(0)]),
  ).join("\n");
}

/** Lengths are logarithmic: a record per chunk key is a thousand times as large. */
function picture(workload: Workload, figures: readonly SchemeFigure[], byOwners: readonly OwnersFigure[]): string {
  const { users, sharedPercent, owners, chunksPerFile } = workload;
  const count = (number: number) => number.toLocaleString("en");
  const group = `Bytes per key: ${count(users)} users, ${sharedPercent} % of files shared by ${count(owners)}`;
  const plain = (scheme: string) => scheme.replaceAll("`", "");
  const [baseline] = figures;
  const all = figures.map(({ scheme, bytesPerKey }) => ({
    group,
    label: plain(scheme),
    value: Math.round(bytesPerKey),
    ...(scheme === DEFAULT_SCHEME && baseline !== undefined
      ? { limit: Math.floor(STORAGE_BAR.limit * baseline.bytesPerKey) }
      : {}),
  }));
  const kept = [BASELINE, figures[1]?.scheme, DEFAULT_SCHEME];
  const grown = kept.flatMap((scheme) =>
    byOwners.map((each) => ({
      group: `Bytes per chunk key of one file, ${plain(scheme ?? "")}`,
      label: each.owners === 1 ? "1 owner" : `${count(each.owners)} owners`,
      value: Math.round(each.figures.find((figure) => figure.scheme === scheme)?.bytesPerDistinctKey ?? 0),
    })),
  );
  const title = `Storage of chunk keys, files of ${count(chunksPerFile)} chunks`;
  return barChart(title, [...all, ...grown], { isLogarithmic: true });
}

const { values } = parseArgs({
  options: {
    users: { type: "string", default: String(STORAGE_BAR.workload.users) },
    files: { type: "string", default: String(STORAGE_BAR.workload.filesPerUser) },
    chunks: { type: "string", default: String(STORAGE_BAR.workload.chunksPerFile) },
    shared: { type: "string", default: String(STORAGE_BAR.workload.sharedPercent) },
    owners: { type: "string", default: String(STORAGE_BAR.workload.owners) },
    nodes: { type: "string", default: String(STORAGE_BAR.nodes) },
    threshold: { type: "string", default: "3" },
    privacy: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    svg: { type: "string" },
  },
});
const workload: Workload = {
  users: wholeNumber("users", values.users),
  filesPerUser: wholeNumber("files", values.files),
  chunksPerFile: wholeNumber("chunks", values.chunks),
  sharedPercent: wholeNumber("shared", values.shared, 0),
  owners: wholeNumber("owners", values.owners),
};
const nodes = wholeNumber("nodes", values.nodes);
const threshold = wholeNumber("threshold", values.threshold);
const sharing = { shares: nodes, threshold, privacy: wholeNumber("privacy", values.privacy, 0) };
const counts = countWorkload(workload);
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);
say("key servers, index and catalogue…");
const fixed = {
  nodes,
  sharing,
  wrappedKeyBytes: wrapChunkKey(new Uint8Array(32), 0, new Uint8Array(32)).length,
  keyServer: await measureKeyServer(sharing, MEASURED_ROWS),
  provider: await measureProviderRows(),
  catalogueBytes: await measureCatalogue(),
};
say("records and later owners, on a chain and in an archive…");
const records = await measureRecords(nodes, threshold, MEASURED_ROWS);
const costsOf = async (chunks: number): Promise<EntryCosts> => ({
  ...fixed,
  records,
  recipe: await measureRecipe(chunks),
});
const costs = await costsOf(workload.chunksPerFile);
const figures = storageOf(workload, costs);
const byOwners = OWNERS.map((owners) => ({
  owners,
  figures: storageOf(oneFile(owners, workload.chunksPerFile), costs),
}));
say("the size from which a record pays…");
const breakEven = await breakEvenChunks(workload, costsOf, MOST_CHUNKS);
const verdict = judgeStorage(workload, nodes, figures);
const isJudged = verdict.measured !== undefined;
const passed = verdict.met || !isJudged;
if (values.svg !== undefined) writeFileSync(values.svg, picture(workload, figures, byOwners));
if (values.json) {
  const document = { bench: "key-storage", workload, counts, passed, verdict, costs, figures, byOwners, breakEven };
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
} else {
  const shown = isJudged ? `${verdict.measured?.toFixed(2)}×` : "not judged: other options";
  const bar = tableLines(
    ["BAR", "MEASURED", "LIMIT", ""],
    [[verdict.name, shown, `at most ${verdict.limit}×`, passed ? (isJudged ? "met" : "") : "NOT MET"]],
  ).join("\n");
  const even =
    breakEven === undefined
      ? `With files of up to ${MOST_CHUNKS} chunks, the default scheme takes more than the baseline.`
      : `The default scheme takes no more than the baseline from ${breakEven} chunks per file on.`;
  const held =
    `${counts.ownedFiles} files of ${workload.users} users, ${counts.files} of them distinct; ` +
    `${counts.ownedKeys} chunk keys, ${counts.keys} distinct.`;
  const { published } = PUBLISHED_KEYS;
  const motivation =
    `1 TiB of distinct data in blocks of 4 KiB: ${published} GiB of bare keys for each user, as published; wrapped, ` +
    `${keysGib(costs.wrappedKeyBytes)} GiB.`;
  const tables = [motivation, held, entryTable(costs), schemeTable(figures), ownersTable(byOwners), even, bar];
  process.stdout.write(`${tables.join("\n\n")}\n`);
}
// Hardhat's network keeps timers.
process.exit(passed ? 0 : 1);
