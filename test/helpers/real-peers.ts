/**
 * Servers that other people wrote, started by tests on loopback with folders of their own. `.ci/peers` builds them; a
 * test that needs one fails when it is absent.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { endProcess } from "./local-chain.ts";

const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "tallystick", "peers");
/** The versions that `.ci/peers` builds. */
const KUBO = join(CACHE, "kubo-v0.43.0", "ipfs");
const VERSITYGW = join(CACHE, "versitygw-v1.8.0", "versitygw");

function requirePeer(program: string): string {
  if (!existsSync(program)) throw new Error(`${program} is missing: run .ci/peers, which builds it with Go`);
  return program;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Waits until a server answers at all. @throws Error with its output when it ends before */
async function answers(url: string, child: ChildProcess, output: () => string, init: RequestInit = {}): Promise<void> {
  for (let waits = 0; waits < 600; waits++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended: ${output()}`);
    const status = await fetch(url, { ...init, signal: AbortSignal.timeout(2000) }).then(
      (response) => response.arrayBuffer().then(() => response.status),
      () => undefined,
    );
    if (status !== undefined && status < 500) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${child.spawnfile} does not answer: ${output()}`);
}

function outputOf(child: ChildProcess): () => string {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (part: Buffer) => {
      output = (output + part.toString()).slice(-20_000);
    });
  }
  return () => output;
}

export interface RealPeer {
  readonly url: string;
  stop(): Promise<void>;
}

export interface KuboNode extends RealPeer {
  /** Runs `ipfs` with these arguments on the node's repository. @returns stdout */
  ipfs(...args: string[]): string;
}

/**
 * A Kubo node that knows no other node.
 * @param sync whether blocks are fsynced before they are acknowledged; Kubo's default is false
 */
export async function startKubo({ sync = true } = {}): Promise<KuboNode> {
  const program = requirePeer(KUBO);
  const folder = mkdtempSync(join(tmpdir(), "tallystick-kubo-"));
  const env = { ...process.env, IPFS_PATH: folder, IPFS_TELEMETRY: "off" };
  const ipfs = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, args, { env, encoding: "utf8", timeout: 60_000 });
    if (status !== 0) throw new Error(`ipfs ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const [api, swarm] = [await freePort(), await freePort()];
  ipfs("init", "--profile=test", "--empty-repo");
  ipfs("bootstrap", "rm", "--all");
  ipfs("config", "Addresses.API", `/ip4/127.0.0.1/tcp/${api}`);
  ipfs("config", "--json", "Addresses.Swarm", JSON.stringify([`/ip4/127.0.0.1/tcp/${swarm}`]));
  ipfs("config", "Addresses.Gateway", "");
  ipfs("config", "--json", "Routing.Type", '"none"');
  ipfs("config", "--json", "AutoConf.Enabled", "false");
  if (sync) setBlockSync(ipfs);
  const child = spawn(program, ["daemon", "--offline=false"], { env, stdio: ["ignore", "pipe", "pipe"] });
  const output = outputOf(child);
  const url = `http://127.0.0.1:${api}`;
  const stop = async () => {
    await endProcess(child, "SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await answers(`${url}/api/v0/version`, child, output, { method: "POST" });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, ipfs, stop };
}

/** Sets `sync` of the datastore of blocks in the node's configuration. */
function setBlockSync(ipfs: (...args: string[]) => string): void {
  const spec = JSON.parse(ipfs("config", "Datastore.Spec")) as object;
  const withSync = JSON.parse(JSON.stringify(spec).replaceAll('"sync":false', '"sync":true')) as object;
  ipfs("config", "--json", "Datastore.Spec", JSON.stringify(withSync));
}

export interface S3Server extends RealPeer {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly bucket: string;
  /** Ends the server with SIGKILL and starts it again on its folder. */
  restart(): Promise<void>;
}

/** An S3 server (versitygw) that keeps objects as files, with one empty bucket. */
export async function startS3Server(): Promise<S3Server> {
  const program = requirePeer(VERSITYGW);
  const folder = mkdtempSync(join(tmpdir(), "tallystick-s3-"));
  const [accessKeyId, secretAccessKey, bucket] = ["test-access-key", "test-secret-access-key", "bucket"];
  mkdirSync(join(folder, "data", bucket), { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const metadata = join(folder, "metadata");
  mkdirSync(metadata);
  const start = async () => {
    // Metadata beside the files: not every file system has extended attributes.
    const parameters = ["--port", `127.0.0.1:${port}`, "--quiet", "posix", "--sidecar", metadata, join(folder, "data")];
    const child = spawn(program, parameters, {
      env: { ...process.env, ROOT_ACCESS_KEY_ID: accessKeyId, ROOT_SECRET_ACCESS_KEY: secretAccessKey },
      stdio: ["ignore", "pipe", "pipe"],
    });
    await answers(url, child, outputOf(child));
    return child;
  };
  let child = await start();
  return {
    url,
    accessKeyId,
    secretAccessKey,
    bucket,
    restart: async () => {
      await endProcess(child, "SIGKILL");
      child = await start();
    },
    stop: async () => {
      await endProcess(child, "SIGTERM");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
