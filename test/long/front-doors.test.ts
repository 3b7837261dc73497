/** The Hardhat tasks, as processes against a real network; `test/package` runs what the package's users run. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "chai";
import { EXIT, exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const HARDHAT = join(ROOT, "node_modules", "hardhat", "dist", "src", "cli.js");
/** Longer than all that is done before blocks are mined on purpose. */
const EPOCH_BLOCKS = 500;
const PASSPHRASE = "a passphrase of the front doors";

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe("Hardhat tasks", () => {
  let net: LocalNet;
  let home: string;
  let file: string;
  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: EPOCH_BLOCKS });
    home = join(net.dir, "home");
    file = join(net.dir, "letter.txt");
    mkdirSync(home);
    writeFileSync(file, "What is stored twice is kept once.\n");
  });
  after(async () => {
    await net?.stop();
  });

  const run = (...args: string[]): Promise<Ended> => runIn(ROOT, ...args);

  function runIn(folder: string, ...args: string[]): Promise<Ended> {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        TALLYSTICK_HOME: home,
        TALLYSTICK_DEPLOYMENT: net.deploymentFile,
        TALLYSTICK_PASSPHRASE: PASSPHRASE,
        HARDHAT_DISABLE_TELEMETRY: "true",
      },
    });
    const [out, err]: Buffer[][] = [[], []];
    child.stdout.on("data", (piece: Buffer) => out?.push(piece));
    child.stderr.on("data", (piece: Buffer) => err?.push(piece));
    return new Promise((done, reject) => {
      child.once("error", reject);
      child.once("close", (code) =>
        done({
          code: code ?? 1,
          stdout: Buffer.concat(out ?? []).toString(),
          stderr: Buffer.concat(err ?? []).toString(),
        }),
      );
    });
  }

  async function runTask(...args: string[]): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await run(HARDHAT, "--network", "localhost", "tallystick", ...args);
    expect(code, `${stdout}${stderr}`).to.equal(0);
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  it("makes an identity, stores, audits, restores, settles and withdraws with Hardhat tasks", async () => {
    const { recoveryPhrase } = await runTask("init");
    expect(String(recoveryPhrase).split(" ")).to.have.length(24);
    const { dataId, dataSets } = await runTask("put", "--file", file, "--runway", "3");
    const [{ id, feePerEpoch } = { id: "", feePerEpoch: "" }] = dataSets as { id: string; feePerEpoch: string }[];
    const { audits } = await runTask("audit");
    expect((audits as object[])[0]).to.include({ mode: "private", id });
    const out = join(net.dir, "from-task");
    await runTask("get", "--id", String(dataId), "--out", out);
    expect(readFileSync(join(out, "letter.txt"))).to.deep.equal(readFileSync(file));
    const { puts } = await runTask("ls");
    expect(puts).to.have.length(1);
    expect((await runTask("status")).puts).to.have.length(1);
    expect((await runTask("recover")).recovered).to.have.length(1);

    const listed = (await runTask("data-set", "ls")).dataSets as object[];
    expect(listed).to.have.length(1);
    expect(listed[0]).to.include({ id, status: "running", feePerEpoch });
    const topped = await runTask("data-set", "top-up", "--amount", "1000");
    expect(topped.amount).to.equal("1000");

    // The provider sleeps through all epochs, and through the end that its user gives notice of.
    await net.provider.process.stop("SIGKILL");
    const { lastEpoch } = await runTask("data-set", "notice", "--data-set", id.slice(0, 12));
    await net.chain.mine(5 * EPOCH_BLOCKS);
    expect(await runTask("data-set", "show", "--data-set", id)).to.include({ status: "over", lastEpoch });
    const settled = await runTask("data-set", "settle", "--data-set", id);
    expect(settled).to.include({ closed: true });
    // Nothing was proven, so everything comes back.
    const deposited = BigInt((dataSets as { deposited: string }[])[0]?.deposited ?? "");
    const withdrawn = await runTask("data-set", "withdraw");
    expect(BigInt(String(withdrawn.amount))).to.equal(deposited + 1000n);
    await net.provider.process.start();
  });

  it("reports what a Hardhat task refuses as the command line does, and not as a bug of Hardhat", async () => {
    const id = `bafkrei${"a".repeat(52)}`;
    for (const [args, refusal] of [
      [["get", "--id", id], "INVALID_INPUT"],
      [["audit", "--data-set", `0x${"ab".repeat(32)}`], "NOT_FOUND"],
      [["data-set", "settle"], "INVALID_INPUT"],
      [["data-set", "notice", "--data-set", "0xabcdef"], "NOT_FOUND"],
      [["put", "--file", join(net.dir, "missing")], "FILE_UNREADABLE"],
      [["put", "--file", file, "--key-mode", "merkel"], "INVALID_INPUT"],
      [["init"], "CONFLICT"],
    ] as const) {
      const { code, stdout, stderr } = await run(HARDHAT, "--network", "localhost", "tallystick", ...args);
      expect(code, stderr).to.equal(exitCodeOf(refusal));
      expect(JSON.parse(stdout).error).to.include({ code: refusal });
      expect(stderr)
        .to.match(/^tallystick: error: /m)
        .and.to.not.contain("report");
      expect(stderr).to.not.match(/^ +at /m);
    }
  });

  it("restores what it can and ends as the command line does when something is in the way", async () => {
    const out = join(net.dir, "in-the-way");
    const folder = join(net.dir, "letters");
    mkdirSync(folder);
    for (const name of ["first", "second"]) writeFileSync(join(folder, name), `the ${name} letter`);
    const { dataId } = await runTask("put", "--file", folder, "--no-data-set", "--key-mode", "merkle");
    mkdirSync(join(out, "letters", "first"), { recursive: true });
    const args = ["get", "--id", String(dataId), "--out", out];
    const { code, stdout, stderr } = await run(HARDHAT, "--network", "localhost", "tallystick", ...args);
    const user = { home, deploymentFile: net.deploymentFile, passphrase: PASSPHRASE };
    const command = await tallystick(user, ["get", String(dataId), "--out", out]);
    expect(command.exitCode).to.equal(EXIT.incomplete);
    expect(code, stderr).to.equal(command.exitCode);
    expect(readFileSync(join(out, "letters", "second"), "utf8")).to.equal("the second letter");
    const { left } = JSON.parse(stdout);
    expect(left).to.deep.equal(command.document.left);
    expect(left).to.include({ count: 1 });
    expect(left.entries[0]).to.include({ path: "letters/first" });
    const said = (text: string) => text.split("\n").filter((line) => !line.includes("network:"));
    expect(said(stderr)).to.deep.equal(said(command.stderr));
    expect(stderr).to.contain("1 entry is not restored");
  });

  it("puts in the key mode that is named, so that another mode gives another data id", async () => {
    const ids: unknown[] = [];
    for (const mode of [[], ["--key-mode", "oprf"], ["--key-mode", "merkle"]]) {
      ids.push((await runTask("put", "--file", net.deploymentFile, "--no-data-set", ...mode)).dataId);
    }
    expect(ids[1]).to.equal(ids[0]);
    expect(ids[2]).not.to.equal(ids[0]);
  });

  it("shows the same puts to the command line", async () => {
    const user = { home, deploymentFile: net.deploymentFile, passphrase: PASSPHRASE };
    const { exitCode, document } = await tallystick(user, ["ls"]);
    expect(exitCode).to.equal(0);
    expect(document.puts).to.have.length(4);
  });

  it("gives coins to an identity that outlived the development chain it was made on", async () => {
    const user = { home, deploymentFile: net.deploymentFile, passphrase: PASSPHRASE };
    const { document: status } = await tallystick(user, ["status"]);
    await net.chain.provider.send("anvil_setBalance", [status.account, "0x0"]);
    const { exitCode, stderr } = await tallystick(user, ["put", net.deploymentFile, "--runway", "2"]);
    expect(exitCode, stderr).to.equal(0);
    expect(stderr).to.include("the account was given 100 coins");
  });
});
