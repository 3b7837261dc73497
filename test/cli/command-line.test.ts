/**
 * What the command line promises whatever the network does: one JSON document, exit codes, help, completion, no secrets
 * in argv.
 */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { type Command, CommanderError } from "commander";
import type { DataSetPlan, DataSetProgress } from "../../offchain/agent/progress.ts";
import { NATIVE_TOKEN } from "../../offchain/chain/data-set-words.ts";
import { tellingCosts } from "../../offchain/cli/commands/data-set-lines.ts";
import { completionScript } from "../../offchain/cli/completion.ts";
import { EXIT, exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { buildProgram } from "../../offchain/cli/main.ts";
import {
  asTallystickError,
  createOutput,
  formatBytes,
  type Output,
  printable,
  waitText,
} from "../../offchain/cli/output.ts";
import { formatEther } from "../../offchain/core/encoding/amounts.ts";
import { ERROR_CODES } from "../../offchain/core/error-codes.ts";
import { type ErrorCode, InvalidInputError, TallystickError } from "../../offchain/core/errors.ts";
import { statusOf } from "../../offchain/daemon/http-errors.ts";
import packageJson from "../../package.json" with { type: "json" };
import { errorCatalogueProblems } from "../../scripts/check/error-catalogue.ts";
import { programPath } from "../../scripts/programs.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const LAUNCHER = programPath("tallystick");

describe("command line", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "tallystick-cli-"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  function run(args: readonly string[], environment: Record<string, string> = {}) {
    const { TALLYSTICK_PASSPHRASE: _, TALLYSTICK_DEPLOYMENT: __, ...inherited } = process.env;
    const done = spawnSync(process.execPath, [LAUNCHER, ...args], {
      cwd: directory,
      encoding: "utf8",
      env: { ...inherited, TALLYSTICK_HOME: join(directory, "home"), ...environment },
    });
    return { code: done.status, stdout: done.stdout, stderr: done.stderr };
  }

  /** A deployment file in a folder of its own, so that nothing else finds it. */
  function deploymentFor(rpcUrl: string): string {
    const file = join(mkdtempSync(join(directory, "deployment-")), "deployment.json");
    const address = `0x${"1".repeat(40)}`;
    const contracts = {
      nodeRegistry: address,
      keyLedger: address,
      storageEscrow: address,
      possessionVerifier: address,
      randomness: address,
      ownersPolicy: address,
      recoveryPolicy: address,
      accountDirectory: address,
    };
    const shared = { version: 1, chainId: 31337, rpcUrl, deployedAtBlock: 0, committeeId: "1" };
    writeFileSync(file, JSON.stringify({ ...shared, contracts, providers: [] }));
    return file;
  }

  function commands(command: Command): Command[] {
    return [command, ...command.commands.flatMap(commands)];
  }

  it("says what is missing and what to do when no passphrase and no terminal are there", () => {
    const { code, stdout, stderr } = run(["init"]);
    expect(code).to.equal(exitCodeOf("INVALID_INPUT"));
    expect(stdout).to.equal("");
    expect(stderr).to.match(/^tallystick: error: no passphrase given/);
    expect(stderr).to.match(/tallystick: hint: set TALLYSTICK_PASSPHRASE or pass --passphrase-file/);
  });

  it("makes an identity, in files for its owner alone, and never replaces it", () => {
    const passphrase = { TALLYSTICK_PASSPHRASE: "a passphrase" };
    const first = run(["init", "--json"], passphrase);
    expect(first.code, first.stderr).to.equal(0);
    const { account, recoveryPhrase, keystore } = JSON.parse(first.stdout);
    expect(account).to.match(/^0x[0-9a-fA-F]{40}$/);
    expect(recoveryPhrase.split(" ")).to.have.length(24);
    expect(statSync(keystore).mode & 0o777).to.equal(0o600);
    const stored = readFileSync(keystore, "utf8");
    for (const word of recoveryPhrase.split(" ")) expect(stored).to.not.match(new RegExp(`\\b${word}\\b`));

    const second = run(["init", "--json"], passphrase);
    expect(second.code).to.equal(exitCodeOf("CONFLICT"));
    expect(JSON.parse(second.stdout).error.code).to.equal("CONFLICT");
    expect(readFileSync(keystore, "utf8")).to.equal(stored);
  });

  it("shows the recovery phrase of a new identity though the chain of the deployment is down", () => {
    const deployment = deploymentFor("http://127.0.0.1:9");
    const elsewhere = { TALLYSTICK_PASSPHRASE: "a passphrase", TALLYSTICK_HOME: join(directory, "offline") };
    const { code, stdout, stderr } = run(["init", "--json", "--deployment", deployment], elsewhere);
    expect(code, stderr).to.equal(0);
    expect(JSON.parse(stdout)).to.include({ developmentFunds: false });
    expect(JSON.parse(stdout).recoveryPhrase.split(" ")).to.have.length(24);
    expect(stderr).to.match(/no coins were given: /);
  });

  for (const [presses, how] of [
    [1, "at Ctrl-C"],
    [2, "at Ctrl-C as a terminal sends it, to the launcher and to the command"],
  ] as const) {
    it(`ends ${how}, with one JSON document and exit code 130, whatever it waits for`, async () => {
      const home = { TALLYSTICK_PASSPHRASE: "a passphrase", TALLYSTICK_HOME: join(directory, "interrupted") };
      run(["init"], home);
      // A chain that takes calls and never answers.
      const silent = createServer().listen(0, "127.0.0.1");
      await once(silent, "listening");
      const { port } = silent.address() as AddressInfo;
      const main = join(ROOT, "offchain", "cli", "main.ts");
      const args = ["status", "--json", "--deployment", deploymentFor(`http://127.0.0.1:${port}`)];
      const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], {
        cwd: directory,
        env: { ...process.env, ...home },
        stdio: ["ignore", "pipe", "ignore"],
      });
      const stdout: Buffer[] = [];
      child.stdout.on("data", (piece: Buffer) => stdout.push(piece));
      const [connection] = (await once(silent, "connection")) as [Socket];
      for (let press = 0; press < presses; press += 1) {
        child.kill("SIGINT");
        await pause(20);
      }
      const [code, signal] = await once(child, "close");
      connection.destroy();
      silent.close();
      expect({ code, signal }).to.deep.equal({ code: 130, signal: null });
      expect(JSON.parse(Buffer.concat(stdout).toString()).error).to.include({ code: "INTERRUPTED", retryable: true });
    });
  }

  it("ends in the same way at Ctrl-C while the program is being loaded", () => {
    // Interrupts itself where the modules of commands would run, which then wait.
    const hooks = `import { registerHooks } from "node:module";
      registerHooks({
        load(url, context, next) {
          const loaded = next(url, context);
          if (!url.endsWith("/cli/main.ts")) return loaded;
          const wait = 'process.kill(process.pid, "SIGINT"); await new Promise((done) => setTimeout(done, 20_000));';
          return { ...loaded, source: wait + loaded.source };
        },
      });`;
    const main = join(ROOT, "offchain", "bin", "tallystick.ts");
    const flags = ["--disable-warning=ExperimentalWarning", "--import", `data:text/javascript,${encodeURI(hooks)}`];
    const interrupted = (...args: string[]) =>
      spawnSync(process.execPath, [...flags, main, ...args], { cwd: directory, encoding: "utf8" });
    const { status, signal, stdout, stderr } = interrupted("status", "--json");
    expect({ status, signal }, stderr).to.deep.equal({ status: 130, signal: null });
    expect(JSON.parse(stdout).error).to.include({ code: "INTERRUPTED", retryable: true });
    expect(interrupted("status").stderr).to.match(
      /^tallystick: error: interrupted\n.*hint: run the same command again/s,
    );
  });

  it("prints the version of the package", () => {
    expect(run(["--version"]).stdout).to.equal(`${packageJson.version}\n`);
  });

  it("says that there is no identity before it asks for a passphrase", () => {
    const { code, stdout } = run(["ls", "--json", "--deployment", deploymentFor("http://127.0.0.1:9")], {
      TALLYSTICK_HOME: join(directory, "nobody"),
    });
    expect(code).to.equal(exitCodeOf("NO_IDENTITY"));
    expect(JSON.parse(stdout).error.code).to.equal("NO_IDENTITY");
  });

  it("says so when the folder it was started in is gone, and shows its help all the same", () => {
    const gone = (...args: string[]) => {
      const folder = mkdtempSync(join(directory, "gone-"));
      const script = 'cd "$0" && rmdir "$0" && exec "$@"';
      const command = [process.execPath, join(ROOT, "offchain", "cli", "main.ts"), ...args];
      return spawnSync("sh", ["-c", script, folder, ...command], { encoding: "utf8" });
    };
    const { status, stdout } = gone("ls", "--json");
    expect(JSON.parse(stdout).error).to.include({ code: "FILE_UNREADABLE", check: "current folder" });
    expect(status).to.equal(exitCodeOf("FILE_UNREADABLE"));
    expect(gone("--help").status).to.equal(0);
  });

  it("prints one JSON document though no command is given, and with completion", () => {
    const { code, stdout } = run(["--json"]);
    expect(code).to.equal(2);
    expect(JSON.parse(stdout).error).to.include({ message: "no command given", party: "you", retryable: false });
    expect(JSON.parse(run(["completion", "bash", "--json"]).stdout).script).to.include(
      "complete -F _tallystick tallystick",
    );
  });

  it("ends without an error when its output is closed", () => {
    const command = `${process.execPath} ${LAUNCHER} completion bash | true; exit "\${PIPESTATUS[0]}"`;
    const { status, stderr } = spawnSync("bash", ["-c", command], { encoding: "utf8", cwd: directory });
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: "" });
  });

  it("refuses a wrong passphrase with one JSON document and its own exit code", () => {
    const deployment = deploymentFor("http://127.0.0.1:9");
    const { code, stdout } = run(["ls", "--json", "--deployment", deployment], { TALLYSTICK_PASSPHRASE: "another" });
    expect(code).to.equal(exitCodeOf("WRONG_PASSPHRASE"));
    expect(JSON.parse(stdout).error).to.include({ code: "WRONG_PASSPHRASE", retryable: false });
  });

  it("reads the passphrase from a file", () => {
    const file = join(directory, "passphrase");
    writeFileSync(file, "a passphrase\n", { mode: 0o600 });
    const listed = run(["ls", "--passphrase-file", file]);
    // What this device stored is known without a network.
    expect(listed.code, listed.stderr).to.equal(0);
    expect(listed.stderr).to.include("nothing is listed");
    const { code, stderr } = run(["status", "--passphrase-file", file]);
    expect(code).to.equal(exitCodeOf("NO_DEPLOYMENT"));
    expect(stderr).to.include("npm run devnet");
    writeFileSync(file, Uint8Array.of(0x61, 0xff, 0x61));
    const refused = run(["ls", "--passphrase-file", file]);
    expect(refused.code).to.equal(exitCodeOf("INVALID_INPUT"));
    expect(refused.stderr).to.include("openssl rand -base64 32");
  });

  it("says what a data set costs before anything is deposited, and does not hide other progress", () => {
    const [said, seen]: [string[], string[]] = [[], []];
    const tell = tellingCosts({
      output: { say: (line: string) => said.push(line) } as unknown as Output,
      progress: { isShown: false, listener: ({ phase }) => seen.push(phase), stop: () => undefined },
    });
    const fee = 3n * 10n ** 15n;
    const plan: DataSetPlan = {
      id: `0x${"1d".repeat(32)}`,
      isNew: true,
      provider: "0xP",
      token: NATIVE_TOKEN,
      slices: 4,
      feePerEpoch: fee,
      deposit: 4n * fee,
    };
    const event = (phase: DataSetProgress["phase"], told?: DataSetPlan): DataSetProgress => ({
      operation: "data-set",
      phase,
      doneBytes: 0,
      totalBytes: 0,
      ...(told === undefined ? {} : { plan: told }),
    });
    tell(event("verifying"));
    tell(event("funding", plan));
    tell(event("funding", { ...plan, token: "0xT", feePerEpoch: 5n, deposit: 20n }));
    // Nothing is deposited for an update that the balance covers.
    tell(event("signing", { ...plan, deposit: 0n }));
    expect(said).to.deep.equal([
      "tallystick: depositing 0.012 ETH into your balance: the data set at 0xP costs 0.003 ETH per epoch",
      "tallystick: depositing 20 of 0xT into your balance: the data set at 0xP costs 5 of 0xT per epoch",
    ]);
    expect(seen).to.deep.equal(["verifying", "funding", "funding", "signing"]);
  });

  it("answers usage errors with exit code 2, as JSON too", () => {
    expect(run(["put"]).code).to.equal(2);
    expect(run(["frobnicate"]).code).to.equal(2);
    const { code, stdout } = run(["get", "--json"]);
    expect(code).to.equal(2);
    expect(JSON.parse(stdout).error.code).to.equal("INVALID_INPUT");
    expect(run(["put", "x", "--runway", "0"]).stderr).to.include("whole number from 1");
    for (const fee of ["1.5", "-1", "1gwei"]) {
      expect(run(["put", "x", "--max-fee", fee]).stderr).to.include("whole number of wei");
    }
  });

  it("takes data sets by id, amounts in wei and percentages, and says what it expected", () => {
    for (const [args, expected] of [
      [["data-set", "show", "latest"], "A data set is named by its id"],
      [["data-set", "notice", "0x12"], "A data set is named by its id"],
      [["data-set", "settle", "3"], "A data set is named by its id"],
      [["data-set", "verdict", "3"], "A data set is named by its id"],
      [["data-set", "verdict", "0x1234", "--samples", "0"], "whole number from 1"],
      [["audit", `0x${"1".repeat(65)}`], "A data set is named by its id"],
      [["audit", "--damage", "0"], "percentage above 0"],
      [["audit", "--probability", "101"], "percentage above 0"],
      [["data-set", "top-up", "0.1"], "ether as 0.1ETH, or a whole number of wei"],
      [["data-set", "top-up", "0.1gwei"], "ether as 0.1ETH, or a whole number of wei"],
      [["data-set", "top-up", "1.0000000000000000001ETH"], "ether as 0.1ETH, or a whole number of wei"],
      [["data-set", "withdraw", "--amount", "-1"], "ether as 0.1ETH, or a whole number of wei"],
      [["data-set", "withdraw", "--max-gas-fee", "cheap"], "ether as 0.1ETH, or a whole number of wei"],
      [["data-set", "withdraw", "--to", "0x12"], "40 hex digits"],
      [["data-set", "add", "latest", "--runway", "0"], "whole number from 1"],
    ] as const) {
      const program = buildProgram();
      for (const command of commands(program)) command.exitOverride().configureOutput({ writeErr: () => undefined });
      expect(() => program.parse(args, { from: "user" }), args.join(" ")).to.throw(CommanderError, expected);
    }
  });

  it("names limits on gas and on the fee of an epoch differently, and each the same everywhere", () => {
    const help = new Map<string, Set<string>>([
      ["--max-fee", new Set()],
      ["--max-gas-fee", new Set()],
    ]);
    for (const { options } of commands(buildProgram())) {
      for (const { long = "", description } of options) help.get(long)?.add(description);
    }
    for (const text of help.get("--max-fee") ?? []) expect(text).to.match(/one epoch of the data set would cost more/);
    expect(help.get("--max-fee")?.size).to.equal(1);
    for (const text of help.get("--max-gas-fee") ?? []) expect(text).to.match(/whose gas would cost more/);
    expect(help.get("--max-gas-fee")?.size).to.equal(3);
  });

  it("refuses options that would have no effect, before it connects to anything", () => {
    const home = { TALLYSTICK_PASSPHRASE: "a passphrase" };
    const deployment = deploymentFor("http://127.0.0.1:9");
    for (const [args, named] of [
      [["data-set", "compact", "0x12345678", "--max-gas-fee", "1", "--expected-size", "1GiB"], "--max-gas-fee"],
      [["data-set", "compact", "0x12345678", "--mode", "on-demand", "--dry-run"], "--mode"],
      [["data-set", "verdict", "0x12345678", "--public", "--samples", "3"], "both"],
      [["audit", "--public", "--samples", "3"], "--public"],
      [["audit", "--public", "--damage", "1"], "--public"],
      [["audit", "--samples", "3", "--probability", "90"], "--samples"],
      [["recover", "--account", `0x${"2".repeat(40)}`], "--account"],
      [["recover", "--guardians", "--wallet-key-file", "key"], "--wallet-key-file"],
      [["recover", "--drill", "--wallet", "--wait", "--max-gas-fee", "1"], "--wait, --max-gas-fee"],
      [["data-set", "top-up", "1ETH", "--token", `0x${"2".repeat(40)}`], "1 ETH"],
      [["data-set", "withdraw", "--amount", "0.5 eth", "--token", `0x${"2".repeat(40)}`], "0.5 ETH"],
    ] as const) {
      const { code, stdout } = run([...args, "--json", "--deployment", deployment], home);
      expect(code, args.join(" ")).to.equal(EXIT.usage);
      expect(JSON.parse(stdout).error).to.include({ code: "INVALID_INPUT", party: "you" });
      expect(JSON.parse(stdout).error.received, args.join(" ")).to.include(named);
    }
  });

  it("says of evidence that cannot be read what it expects, and not what a put would say", () => {
    const { code, stdout } = run(["data-set", "verdict", "--check", "nowhere.cbor", "--offline", "--json"]);
    expect(code).to.equal(exitCodeOf("FILE_UNREADABLE"));
    expect(JSON.parse(stdout).error.hint).to.include("a file that `tallystick data-set verdict --export` has written");
  });

  it("says how long to wait", () => {
    const lines: string[] = [];
    const write = process.stderr.write.bind(process.stderr);
    process.stderr.write = (text) => lines.push(String(text)) > 0;
    try {
      const facts = { code: "RATE_LIMITED", party: "provider p", hint: "a hint", retryAfterSeconds: 11.2 } as const;
      createOutput(false, false).failure(new TallystickError("the budget is used up", facts));
    } finally {
      process.stderr.write = write;
    }
    expect(lines.join("")).to.match(/hint: a hint\ntallystick: hint: try again in 12 s\n$/);
    expect([0, 119.5, 121, 7201].map(waitText)).to.deep.equal(["1 s", "2 min", "3 min", "3 h"]);
  });

  it("ends with the exit codes that docs/errors.md states", () => {
    const catalogue = readFileSync(join(ROOT, "docs", "errors.md"), "utf8");
    const sections = [...catalogue.matchAll(/^### ([A-Z_]+)\n\nExit code (\d+), HTTP status (\d+)/gm)];
    expect(sections.map(([, code]) => code)).to.deep.equal(Object.keys(ERROR_CODES));
    for (const [, code, exit, status] of sections) {
      expect([exitCodeOf(code as ErrorCode), statusOf(code as ErrorCode)]).to.deep.equal([
        Number(exit),
        Number(status),
      ]);
    }
    const exitCodes = [...catalogue.matchAll(/^\| (\d+) \|/gm)].map(([, exit]) => Number(exit));
    expect(exitCodes).to.have.members(Object.values(EXIT));
    expect(errorCatalogueProblems(ROOT)).to.deep.equal([]);
  });

  it("has an example in the help of every command", () => {
    for (const command of commands(buildProgram())) {
      let help = "";
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(help, command.name()).to.match(/Examples?:\n\s+\$ tallystick|\$ source <\(tallystick/);
    }
  });

  it("takes no secret as an argument", () => {
    for (const command of commands(buildProgram())) {
      for (const option of command.options) {
        // How keys are derived is no secret, nor is the address of a wallet.
        if (option.long === "--key-mode" || option.long === "--keystore-wallet") continue;
        if (/passphrase|phrase|secret|key/.test(option.long ?? "")) expect(option.long).to.match(/-file$/);
      }
    }
  });

  for (const shell of ["bash", "zsh", "fish"]) {
    it(`completes every command and option in ${shell}`, () => {
      const program = buildProgram();
      const script = completionScript(program, shell);
      for (const command of commands(program).slice(1)) {
        expect(script).to.include(command.name());
        for (const option of command.options) expect(script).to.include((option.long ?? "").replace(/^--/, ""));
      }
    });
  }

  /** What bash would offer after these words. */
  function offered(completer: string, ...words: string[]): string[] {
    const script = completionScript(buildProgram(), "bash");
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const cursor = `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}`;
    const ask = `${script}\n${cursor}; ${completer}; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", ask], { encoding: "utf8", cwd: directory });
    expect(stderr).to.equal("");
    return stdout.trim().split("\n");
  }

  it("completes in a real bash: subcommands, global options in each of them, values of options, and for npx", () => {
    writeFileSync(join(directory, "name with blanks"), "");
    expect(offered("_tallystick", "tallystick", "data-set", "se")).to.deep.equal(["settle"]);
    expect(offered("_tallystick", "tallystick", "data-set", "ls", "--js")).to.deep.equal(["--json"]);
    expect(offered("_tallystick", "tallystick", "--home", "put", "data-set", "wi")).to.deep.equal(["withdraw"]);
    expect(offered("_tallystick", "tallystick", "--home", "=", "put", "data-set", "wi")).to.deep.equal(["withdraw"]);
    expect(offered("_tallystick", "tallystick", "put", "name")).to.deep.equal(["name with blanks"]);
    expect(offered("_tallystick", "tallystick", "--passphrase-file", "name")).to.deep.equal(["name with blanks"]);
    expect(offered("_tallystick", "tallystick", "put", "--runway", "name")).to.deep.equal([""]);
    expect(offered("_tallystick_npx", "npx", "tallystick", "data-set", "se")).to.deep.equal(["settle"]);
    expect(offered("_tallystick_npx", "npx", "hardhat", "data-set", "se")).to.deep.equal([""]);
  });

  it("prints the script itself, or one JSON document with it in", () => {
    const script = completionScript(buildProgram(), "bash");
    expect(run(["completion", "bash"])).to.include({ code: 0, stdout: script });
    expect(JSON.parse(run(["completion", "bash", "--json"]).stdout)).to.deep.equal({ shell: "bash", script });
  });

  it("refuses a shell that it does not know", () => {
    expect(() => completionScript(buildProgram(), "tcsh"))
      .to.throw(InvalidInputError)
      .with.property("received", "tcsh");
  });

  it("shows sizes, amounts and hostile names legibly", () => {
    expect([0, 1023, 1024, 1536, 5 * 2 ** 40].map(formatBytes)).to.deep.equal([
      "0 B",
      "1023 B",
      "1.0 KiB",
      "1.5 KiB",
      "5.0 TiB",
    ]);
    // A speed need not be a whole number.
    expect(formatBytes(38.67)).to.equal("39 B");
    expect(formatEther(10n ** 18n + 5n * 10n ** 14n)).to.equal("1.0005 ETH");
    expect(formatEther(0n)).to.equal("0 ETH");
    expect(printable("a\u001b[31mb\u202ec\n")).to.equal("a\\u001b[31mb\\u202ec\\u000a");
  });

  it("reports an untyped error as a defect of Tallystick", () => {
    expect(asTallystickError(new TypeError("x is undefined"))).to.include({
      code: "INTERNAL",
      message: "x is undefined",
    });
  });
});
