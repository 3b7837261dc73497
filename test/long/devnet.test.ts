/** `npm run devnet` as a process: it is found, it is alone in its folder, and whatever ends it ends all of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { programPath } from "../../scripts/programs.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const FLAGS = ["--disable-warning=ExperimentalWarning"];

interface Started {
  readonly child: ChildProcess;
  /** Resolves when the process has printed the text on stdout or stderr. */
  printed(text: string): Promise<void>;
  /** Resolves with exit code and all output. */
  readonly ended: Promise<{ code: number | null; output: string }>;
}

describe("devnet", () => {
  let folder: string;
  const started: ChildProcess[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-devnet-"));
  });
  afterEach(async () => {
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });

  function run(args: readonly string[], cwd: string, env: Record<string, string> = {}): Started {
    const { TALLYSTICK_DEPLOYMENT: _, TALLYSTICK_HOME: __, ...inherited } = process.env;
    const child = spawn(process.execPath, [...FLAGS, ...args], { cwd, env: { ...inherited, ...env } });
    started.push(child);
    let output = "";
    const listeners = new Set<() => void>();
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (piece: Buffer) => {
        output += piece.toString();
        for (const listener of listeners) listener();
      });
    }
    const ended = once(child, "close").then(([code]) => ({ code: code as number | null, output }));
    const printed = async (text: string) => {
      await Promise.race([
        ended.then((end) => expect(end.output).to.contain(text)),
        new Promise<void>((found) => {
          const look = () => output.includes(text) && found();
          listeners.add(look);
          look();
        }),
      ]);
    };
    return { child, printed, ended };
  }

  const size = ["--nodes", "3", "--threshold", "2"];
  const devnet = (...options: string[]) => run(["scripts/devnet/main.ts", "--dir", folder, ...size, ...options], ROOT);

  const control = (...words: string[]) => run(["scripts/devnet/main.ts", "--dir", folder, ...words], ROOT).ended;

  /** Processes that this one has started. */
  function childrenOf({ pid }: ChildProcess): number[] {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  }

  async function expectGone(pids: readonly number[]): Promise<void> {
    for (const end = Date.now() + 20_000; pids.some((pid) => existsSync(`/proc/${pid}`)); await pause(50)) {
      if (Date.now() > end) throw new Error(`still there: ${pids.filter((pid) => existsSync(`/proc/${pid}`))}`);
    }
  }

  it("is found by the command line, has its folder to itself, and stops all of it at Ctrl-C", async () => {
    const origin = "http://127.0.0.1:8000";
    const network = devnet("--allow-origin", origin);
    await network.printed("Ctrl-C stops everything.");
    const pointer = join(folder, ".tallystick", "devnet.json");
    const deployment = JSON.parse(readFileSync(pointer, "utf8")) as Deployment;
    const parts = childrenOf(network.child);
    expect(parts).to.have.length(5);

    for (const daemon of ["node-1", "provider"]) {
      const config = join(folder, ".tallystick", "devnet", daemon, "config.json");
      const { listen } = JSON.parse(readFileSync(config, "utf8")) as { listen: { port: number } };
      const answer = await fetch(`http://127.0.0.1:${listen.port}/healthz`, { headers: { origin } });
      expect(answer.headers.get("access-control-allow-origin"), daemon).to.equal(origin);
    }

    const secrets = { TALLYSTICK_PASSPHRASE: "a passphrase", TALLYSTICK_HOME: join(folder, "home") };
    const main = programPath("tallystick");
    const made = await run([main, "init", "--json"], folder, secrets).ended;
    expect(made.code, made.output).to.equal(0);
    expect(made.output).to.contain('"developmentFunds": true');
    const status = await run([main, "status"], folder, secrets).ended;
    expect(status.output).to.contain("3 of 3 ready, 2 needed").and.to.contain(deployment.providers[0]?.url);

    const second = await devnet().ended;
    expect(second.code).to.equal(1);
    expect(second.output).to.contain(`a devnet is running here already (process ${network.child.pid})`);
    expect(childrenOf(network.child)).to.deep.equal(parts);
    expect(JSON.parse(readFileSync(pointer, "utf8"))).to.deep.equal(deployment);

    // A daemon that dies is noticed, and comes back on request.
    const node = parts.find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("node-2")) ?? 0;
    process.kill(node, "SIGKILL");
    await network.printed("node-2 ended with SIGKILL");
    await network.printed(join(folder, ".tallystick", "devnet", "logs", "node-2.log"));
    await network.printed("npm run devnet -- restart node-2");
    const again = await control("restart", "node-2");
    expect(again.code, again.output).to.equal(0);
    expect(again.output).to.match(/^node-2 runs again \(process \d+\)$/m);

    // One part stops and comes back, and the others go on.
    const halted = await control("stop", "provider");
    expect([halted.code, halted.output]).to.deep.equal([
      0,
      "provider is stopped; npm run devnet -- restart provider starts it again\n",
    ]);
    await network.printed("provider was stopped");
    expect(childrenOf(network.child)).to.have.length(4);
    expect((await control("restart", "provider")).output).to.match(/^provider runs again \(process \d+\)$/m);
    const unknown = await control("restart", "node-9");
    expect(unknown.code, unknown.output).to.equal(1);
    expect(unknown.output).to.contain(
      "node-9 is no part that can be started again alone; those that can: node-1, node-2, node-3, provider",
    );
    parts.push(...childrenOf(network.child));
    expect(childrenOf(network.child)).to.have.length(5);

    // A terminal sends Ctrl-C to the parts as well. Their ends are no news then.
    for (const pid of childrenOf(network.child)) process.kill(pid, "SIGINT");
    network.child.kill("SIGINT");
    const { code, output } = await network.ended;
    expect(code, output).to.equal(0);
    expect(output).to.not.match(/devnet: (chain|node-1|node-3|provider) ended/);
    expect(existsSync(pointer)).to.equal(false);
    await expectGone(parts);
  });

  it("is stopped by its stop command after its main process was killed; another start names that command", async () => {
    const network = devnet();
    await network.printed("Ctrl-C stops everything.");
    const parts = childrenOf(network.child);
    network.child.kill("SIGKILL");
    await network.ended;
    const refused = await devnet().ended;
    expect(refused.code).to.equal(1);
    for (const pid of parts) expect(refused.output).to.contain(`(process ${pid})`);
    expect(refused.output).to.contain("npm run devnet -- stop");
    const stopped = await control("stop");
    expect(stopped.code, stopped.output).to.equal(0);
    expect(stopped.output).to.contain("stopped: chain (process ");
    await expectGone(parts);
    expect(existsSync(join(folder, ".tallystick", "devnet.json"))).to.equal(false);
    expect((await control("stop")).output).to.contain("no devnet is running here");
    expect((await control("restart", "node-1")).output).to.contain("no devnet is running here");
  });

  it("leaves nothing running when it is ended while it starts", async () => {
    const network = devnet();
    await network.printed("the nodes make their key");
    const parts = childrenOf(network.child);
    expect(parts).to.have.length(5);
    network.child.kill("SIGTERM");
    expect((await network.ended).code).to.equal(143);
    await expectGone(parts);
  });

  it("refuses options that mean nothing, before it starts anything", async () => {
    for (const args of [
      ["--nodes", "0"],
      ["--threshold", "9"],
      ["--chain", "other"],
      ["--surprise"],
      ["halt"],
      ["restart"],
    ]) {
      const { code, output } = await run(["scripts/devnet/main.ts", "--dir", folder, ...args], ROOT).ended;
      expect([code, output.startsWith("devnet: error: ")], output).to.deep.equal([1, true]);
    }
    expect(existsSync(join(folder, ".tallystick"))).to.equal(false);
  });
});
