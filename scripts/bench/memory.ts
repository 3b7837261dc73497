/**
 * `npm run bench:memory`: peak resident memory of `tallystick put` and `tallystick get` on one large file, against real
 * processes. The bar: 350 MiB for 4 GiB.
 *
 *   npm run bench:memory -- [--gib 4] [--data-set] [--json]
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { setInterval as every } from "node:timers/promises";
import { parseArgs } from "node:util";
import { tallystick } from "../demo/command.ts";
import { aesCtrStream } from "../demo/keystream.ts";
import { startDevnet } from "../devnet/start-devnet.ts";
import { programPath } from "../programs.ts";

const MIB = 1024 * 1024;
const BAR_BYTES = 350 * MIB;
const BLOCK_BYTES = 16 * MIB;

interface Figure {
  readonly operation: "put" | "get";
  readonly fileBytes: number;
  readonly peakRssBytes: number;
  readonly seconds: number;
}

async function writeLargeFile(path: string, sizeBytes: number): Promise<string> {
  const hash = createHash("sha256");
  const out = createWriteStream(path);
  for (let offset = 0; offset < sizeBytes; offset += BLOCK_BYTES) {
    const block = aesCtrStream(`large ${offset}`, Math.min(BLOCK_BYTES, sizeBytes - offset));
    hash.update(block);
    if (!out.write(block)) await new Promise<void>((drained) => out.once("drain", () => drained()));
  }
  out.end();
  await finished(out);
  return hash.digest("hex");
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: BLOCK_BYTES })) hash.update(piece as Buffer);
  return hash.digest("hex");
}

/** Peak memory as the kernel counts it, read until the process ends: it only grows, so the last value is the peak. */
function peakRss(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH")) return 0;
    throw error;
  }
}

interface Run {
  readonly environment: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

async function measured({
  environment,
  args,
}: Run): Promise<{ peak: number; seconds: number; document: Record<string, unknown> }> {
  const started = performance.now();
  const child = spawn(process.execPath, [programPath("tallystick"), "--json", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...environment },
  });
  let stdout = "";
  child.stdout.on("data", (piece: Buffer) => {
    stdout += piece.toString();
  });
  const ended = new Promise<number>((done) => child.once("close", (code) => done(code ?? 1)));
  let peak = 0;
  const watch = new AbortController();
  const watching = (async () => {
    try {
      for await (const _ of every(20, undefined, { signal: watch.signal }))
        peak = Math.max(peak, peakRss(child.pid ?? 0));
    } catch (error) {
      if (!watch.signal.aborted) throw error;
    }
  })();
  const code = await ended;
  watch.abort();
  await watching;
  if (code !== 0) throw new Error(`tallystick ${args.join(" ")} ended with ${code}: ${stdout}`);
  return { peak, seconds: (performance.now() - started) / 1000, document: JSON.parse(stdout) };
}

const { values } = parseArgs({
  options: { gib: { type: "string", default: "4" }, "data-set": { type: "boolean" }, json: { type: "boolean" } },
});
const sizeBytes = Math.round(Number(values.gib) * 1024) * MIB;
const directory = mkdtempSync(join(tmpdir(), "tallystick-bench-"));
const say = (line: string) => process.stderr.write(`bench: ${line}\n`);
const devnet = await startDevnet({ dir: join(directory, "net"), say });
const figures: Figure[] = [];
let identical = false;
try {
  const source = join(directory, "large.bin");
  say(`writing a file of ${values.gib} GiB…`);
  const digest = await writeLargeFile(source, sizeBytes);
  const user = { home: join(directory, "home"), deploymentFile: devnet.deploymentFile, passphrase: "bench" };
  await tallystick(user, ["init"]);
  const environment = {
    TALLYSTICK_HOME: user.home,
    TALLYSTICK_DEPLOYMENT: user.deploymentFile,
    TALLYSTICK_PASSPHRASE: user.passphrase,
  };
  say("put…");
  const put = await measured({ environment, args: ["put", source, ...(values["data-set"] ? [] : ["--no-data-set"])] });
  figures.push({ operation: "put", fileBytes: sizeBytes, peakRssBytes: put.peak, seconds: put.seconds });
  say("get…");
  const out = join(directory, "out");
  const got = await measured({ environment, args: ["get", String(put.document.dataId), "-o", out] });
  figures.push({ operation: "get", fileBytes: sizeBytes, peakRssBytes: got.peak, seconds: got.seconds });
  identical = (await digestOfFile(join(out, "large.bin"))) === digest;
} finally {
  await devnet.stop();
  rmSync(directory, { recursive: true, force: true });
}

const passed = identical && figures.every((figure) => figure.peakRssBytes <= BAR_BYTES);
if (values.json) {
  process.stdout.write(
    `${JSON.stringify({ bench: "memory", barBytes: BAR_BYTES, identical, passed, figures }, null, 2)}\n`,
  );
} else {
  for (const { operation, peakRssBytes, seconds, fileBytes } of figures) {
    const rate = (fileBytes / MIB / seconds).toFixed(0);
    process.stdout.write(
      `${operation}  peak ${(peakRssBytes / MIB).toFixed(0)} MiB of ${BAR_BYTES / MIB}  ` +
        `${seconds.toFixed(1)} s  ${rate} MiB/s\n`,
    );
  }
  process.stdout.write(`${identical ? "restored bytes are identical" : "RESTORED BYTES DIFFER"}\n`);
}
process.exitCode = passed ? 0 : 1;
