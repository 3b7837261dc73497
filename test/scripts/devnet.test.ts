/** `npm run devnet`: one network in a folder, and nothing left of it when it is told to end, however early. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");

describe("devnet", function () {
  this.timeout(120_000);
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "tallystick-devnet-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));

  function start() {
    const main = join(ROOT, "scripts", "devnet", "main.ts");
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main], {
      cwd: directory,
      env: { ...process.env, HARDHAT_CONFIG: join(ROOT, "hardhat.config.ts"), HARDHAT_DISABLE_TELEMETRY: "true" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (piece: Buffer) => {
      said += piece.toString();
    });
    return { child, said: () => said, ended: once(child, "close") };
  }

  function childrenOf(pid: number | undefined): number[] {
    const all = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
    return all.flatMap((line) => {
      const [child = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
      return parent === pid ? [child] : [];
    });
  }

  function isAlive(pid: number): boolean {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  }

  it("ends its parts when it is told to end before it is ready", async () => {
    const { child, said, ended } = start();
    while (!said().includes("deploying")) await pause(50);
    const parts = childrenOf(child.pid);
    expect(parts).to.not.deep.equal([]);
    child.kill("SIGTERM");
    const [code] = await ended;
    expect(code, said()).to.equal(1);
    for (let attempt = 0; attempt < 50 && parts.some(isAlive); attempt += 1) await pause(100);
    expect(parts.filter(isAlive)).to.deep.equal([]);
  });

  describe("where one runs already", () => {
    let net: LocalNet;
    before(async () => {
      net = await startLocalNet({ nodes: 1, threshold: 1 });
    });
    after(async () => await net?.stop());

    it("leaves its data alone and says so", async () => {
      const data = join(directory, ".tallystick", "devnet", "data");
      mkdirSync(data, { recursive: true });
      writeFileSync(join(directory, ".tallystick", "devnet.json"), JSON.stringify(net.deployment));
      const { said, ended } = start();
      const [code] = await ended;
      expect(code).to.equal(1);
      expect(said()).to.match(/running already/);
      expect(existsSync(data)).to.equal(true);
    });
  });
});
