/**
 * `npm run bench:store`: the object store of kind `file`. Small objects that are durable per second, throughput of
 * large ones, speed of a check that reads every byte, and kills during writes: no acknowledged object may be missing or
 * wrong. `npm run bench:kills` kills whole providers and puts.
 *
 *   npm run bench:store -- [--small 20000] [--mib 512] [--kills 1000] [--json]
 */
import { spawn } from "node:child_process";
import { createHash, randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { checkFileStore, FileObjectStore } from "../../offchain/store/object/file-object-store.ts";

const STORE_MODULE = new URL("../../offchain/store/object/file-object-store.ts", import.meta.url).href;
const MIB = 1024 * 1024;
const BATCH_OBJECTS = 256;
/** Objects of the second check, in which the cost of each object shows. */
const CHECKED_SMALL_BYTES = 16 * 1024;
const CHECKED_SMALL_OBJECTS = 16_384;
/** Callers at the same time, as uploads are. */
const WRITERS = 4;
const OBJECTS_PER_KILL_BATCH = 8;

export interface StoreFigures {
  readonly smallObjectsPerSecond: number;
  readonly largeMibPerSecond: number;
  /** Bar: 500. */
  readonly checkMegabytesPerCpuSecond: number;
  /** The same, of objects of 16 KiB. Bar: 500. */
  readonly checkSmallMegabytesPerCpuSecond: number;
  readonly kills: number;
  readonly acknowledged: number;
  /** Bar: 0. */
  readonly missingOrWrong: number;
}

interface Named {
  readonly id: string;
  readonly bytes: Uint8Array;
}

/** Distinct objects over one random buffer, so that making them costs little. */
function* distinctObjects(count: number, sizeBytes: number): Generator<Named> {
  const seed = randomFillSync(new Uint8Array(sizeBytes));
  for (let k = 0; k < count; k++) {
    const bytes = seed.slice();
    new DataView(bytes.buffer).setUint32(0, k);
    yield { id: contentId(bytes), bytes };
  }
}

/** @returns seconds until all objects are durable */
async function writeAll(store: FileObjectStore, objects: readonly Named[], batchObjects: number): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < objects.length) {
      const first = next;
      next += batchObjects;
      await store.putMany(objects.slice(first, first + batchObjects));
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
  return (performance.now() - startedAt) / 1000;
}

async function speeds(folder: string, small: number, mib: number): Promise<Omit<StoreFigures, keyof Kills>> {
  const store = await FileObjectStore.open(folder);
  const smallSeconds = await writeAll(store, [...distinctObjects(small, 1024)], BATCH_OBJECTS);
  let largeSeconds = 0;
  const PART_MIB = 128;
  for (let done = 0; done < mib; done += PART_MIB) {
    const part = Math.min(PART_MIB, mib - done);
    largeSeconds += await writeAll(store, [...distinctObjects(part, MIB)], 4);
  }
  await store.close();
  return {
    smallObjectsPerSecond: small / smallSeconds,
    largeMibPerSecond: mib / largeSeconds,
    checkMegabytesPerCpuSecond: await checkSpeed(folder),
    checkSmallMegabytesPerCpuSecond: await checkSmallSpeed(join(folder, "small")),
  };
}

async function checkSmallSpeed(folder: string): Promise<number> {
  const store = await FileObjectStore.open(folder);
  await writeAll(store, [...distinctObjects(CHECKED_SMALL_OBJECTS, CHECKED_SMALL_BYTES)], BATCH_OBJECTS);
  await store.close();
  return checkSpeed(folder);
}

/** @returns megabytes per second of processor time */
async function checkSpeed(folder: string): Promise<number> {
  let readBytes = 0;
  const findings: string[] = [];
  const before = process.cpuUsage();
  const check = await checkFileStore(folder, {
    readData: true,
    report: ({ damage }) => findings.push(damage),
    progress: (bytes) => {
      readBytes += bytes;
    },
  });
  const { user, system } = process.cpuUsage(before);
  await check.close();
  if (findings.length > 0) throw new Error(`a store that was only written is damaged: ${findings[0]}`);
  return readBytes / (user + system);
}

interface Kills {
  readonly kills: number;
  readonly acknowledged: number;
  readonly missingOrWrong: number;
}

/** Writes until it is killed; prints each batch once it is durable. Bytes follow from the id. */
const CHILD = `
  import { writeSync } from "node:fs";
  import { FileObjectStore } from ${JSON.stringify(STORE_MODULE)};
  import { createHash } from "node:crypto";
  const [, folder, round] = process.argv;
  const store = await FileObjectStore.open(folder, { packBytes: 4_000_000 });
  writeSync(1, "open\\n");
  const bytesOf = (id) => new Uint8Array(20_000).fill(createHash("sha256").update(id).digest()[0]);
  const work = async (w) => {
    for (let n = 0; ; n += ${OBJECTS_PER_KILL_BATCH}) {
      const ids = Array.from({ length: ${OBJECTS_PER_KILL_BATCH} }, (_, k) => "r" + round + "-" + w + "-" + (n + k));
      await store.putMany(ids.map((id) => ({ id, bytes: bytesOf(id) })));
      writeSync(1, ids.join(" ") + "\\n");
      if (n % 64 === 0 && w === 0) await store.compact();
    }
  };
  await Promise.all([0, 1, 2].map(work));
`;

async function killOnce(folder: string, round: number): Promise<string[]> {
  const node = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", CHILD, folder, String(round)];
  const child = spawn(process.execPath, node, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const acknowledged: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "open") setTimeout(() => child.kill("SIGKILL"), Math.random() * 60);
    else acknowledged.push(...line.split(" "));
  }
  await ended;
  return acknowledged;
}

/** Every acknowledged object of a round is read after it; then all are removed, so that packs are compacted too. */
async function kill(folder: string, kills: number): Promise<Kills> {
  let total = 0;
  let missingOrWrong = 0;
  for (let round = 0; round < kills; round++) {
    const acknowledged = await killOnce(folder, round);
    const store = await FileObjectStore.open(folder, { packBytes: 4_000_000 });
    for (const id of acknowledged) {
      const bytes = await store.get(id);
      const value = createHash("sha256").update(id).digest()[0];
      if (bytes?.length !== 20_000 || bytes.some((byte) => byte !== value)) missingOrWrong += 1;
    }
    const present: string[] = [];
    for await (const id of store.list()) present.push(id);
    await store.deleteMany(present);
    await store.close();
    total += acknowledged.length;
  }
  return { kills, acknowledged: total, missingOrWrong };
}

const { values } = parseArgs({
  options: {
    small: { type: "string", default: "20000" },
    mib: { type: "string", default: "512" },
    kills: { type: "string", default: "1000" },
    json: { type: "boolean", default: false },
  },
});
const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-store-"));
try {
  const figures: StoreFigures = {
    ...(await speeds(join(folder, "speeds"), Number(values.small), Number(values.mib))),
    ...(await kill(join(folder, "kills"), Number(values.kills))),
  };
  if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
  else {
    process.stdout.write(
      [
        `1 KiB objects, durable: ${Math.round(figures.smallObjectsPerSecond)} a second`,
        `1 MiB objects, durable: ${Math.round(figures.largeMibPerSecond)} MiB/s`,
        `check of every byte: ${Math.round(figures.checkMegabytesPerCpuSecond)} MB per second of one core (bar: 500)`,
        `the same, objects of 16 KiB: ${Math.round(figures.checkSmallMegabytesPerCpuSecond)} MB (bar: 500)`,
        `${figures.kills} kills, ${figures.acknowledged} acknowledged: ${figures.missingOrWrong} missing or wrong`,
        "",
      ].join("\n"),
    );
  }
  process.exitCode = figures.missingOrWrong === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
