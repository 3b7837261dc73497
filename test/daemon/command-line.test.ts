/** Command lines of the daemons, as a person meets them. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { getAddress } from "ethers";
import packageJson from "../../package.json" with { type: "json" };
import { programPath } from "../../scripts/programs.ts";
import { runDaemonCommand } from "../helpers/daemon-process.ts";

const ADDRESS = `0x${"11".repeat(20)}`;
const DEPLOYMENT = {
  version: 1,
  rpcUrl: "http://127.0.0.1:1",
  chainId: 31_337,
  deployedAtBlock: 1,
  contracts: {
    nodeRegistry: ADDRESS,
    keyLedger: ADDRESS,
    storageEscrow: ADDRESS,
    possessionVerifier: ADDRESS,
    randomness: ADDRESS,
    ownersPolicy: ADDRESS,
    recoveryPolicy: ADDRESS,
    accountDirectory: ADDRESS,
  },
  committeeId: "1",
  providers: [],
};

function sampleOf(kind: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(import.meta.dirname, "..", "..", "examples", `${kind}.json`), "utf8"));
}

for (const kind of ["nbm", "csp"] as const) {
  describe(`command line of tallystick-${kind}`, () => {
    const name = `tallystick-${kind}`;
    const run = (args: string[], env: Record<string, string> = {}) =>
      runDaemonCommand(programPath(`tallystick-${kind}`), args, env);
    let folder: string;

    before(() => {
      folder = mkdtempSync(join(tmpdir(), "tallystick-command-"));
    });
    after(() => rmSync(folder, { recursive: true, force: true }));

    it("prints help and version on stdout, and exits 0", () => {
      const help = run(["--help"]);
      expect([help.status, help.stderr]).to.deep.equal([0, ""]);
      expect(help.stdout)
        .to.match(new RegExp(`^Usage: ${name} `))
        .and.to.include("--config <file>");
      expect(run(["init", "--help"]).stdout).to.include("--data-dir <folder>");
      expect(run(["--version"]).stdout).to.equal(`${packageJson.version}\n`);
    });

    it("answers a wrong option with one plain message, a hint and exit code 2", () => {
      for (const args of [["--confg", "x"], ["--config"], ["start"], [], ["init"], ["init", "--data"]]) {
        const refused = run(args);
        expect(refused.status, args.join(" ")).to.equal(2);
        expect(refused.stdout).to.equal("");
        expect(refused.stderr).to.match(new RegExp(`^${name}: error: .+\\n`));
        expect(refused.stderr).to.match(new RegExp(`^${name}: hint: `, "m"));
        expect(refused.stderr).not.to.match(/\{|\bat .*:\d+/);
      }
    });

    it("answers a configuration that does not fit with the field and exit code 2", () => {
      const missing = run(["--config", join(folder, "none.json")]);
      expect([missing.status, missing.stdout]).to.deep.equal([2, ""]);
      expect(missing.stderr).to.match(/error: configuration .*none\.json cannot be read/);
      const file = join(folder, "config.json");
      writeFileSync(file, JSON.stringify({ listen: { host: "127.0.0.1", port: 70_000 } }));
      const unfit = run(["--config", file]);
      expect(unfit.status).to.equal(2);
      expect(unfit.stderr).to.match(new RegExp(`^${name}: error: configuration .* is wrong at /`));
    });

    it("names an unknown field of a configuration, and the one that was meant", () => {
      const sample = sampleOf(kind);
      const { listen, ...rest } = sample;
      const file = join(folder, "typo.json");
      const stderrOf = (config: object) => {
        writeFileSync(file, JSON.stringify(config));
        const refused = run(["--config", file]);
        expect(refused.status).to.equal(2);
        return refused.stderr;
      };
      expect(stderrOf({ ...rest, lisen: listen })).to.equal(
        `${name}: error: configuration ${file} has an unknown field /lisen\n${name}: hint: did you mean listen?\n`,
      );
      expect(stderrOf({ ...sample, listen: { ...(listen as object), prot: 1 } }))
        .to.contain("unknown field /listen/prot\n")
        .and.contain("did you mean port?");
      expect(stderrOf({ ...sample, colour: "blue" }))
        .to.contain("unknown field /colour\n")
        .and.contain("docs/operating.md lists the fields");
    });

    it("answers a configuration that leads nowhere with a plain message and exit code 2", () => {
      const passphraseFile = join(folder, "passphrase");
      const keystoreFolder = join(folder, "keys");
      expect(run(["init", "--data-dir", keystoreFolder], { TALLYSTICK_PASSPHRASE: "secret words" }).status).to.equal(0);
      const deploymentFile = join(folder, "deployment.json");
      const complete = {
        ...sampleOf(kind),
        dataDir: join(folder, "data"),
        keystoreFile: join(keystoreFolder, "keystore.json"),
        deploymentFile,
        passphraseFile,
      };
      const file = join(folder, "nowhere.json");
      const refusedBy = (change: object, status: number, env: Record<string, string> = {}) => {
        writeFileSync(file, JSON.stringify({ ...complete, ...change }));
        const refused = run(["--config", file], env);
        expect([refused.status, refused.stdout], refused.stderr).to.deep.equal([status, ""]);
        expect(refused.stderr).to.match(new RegExp(`^${name}: error: .+\\n(?:${name}: hint: .+\\n)?$`));
        return refused.stderr;
      };
      expect(refusedBy({}, 2)).to.contain(`deployment file ${deploymentFile} cannot be read: it does not exist`);
      writeFileSync(deploymentFile, "{}");
      expect(refusedBy({}, 2)).to.contain("the deployment file is wrong at /");
      writeFileSync(deploymentFile, JSON.stringify(DEPLOYMENT));
      expect(refusedBy({ dataDir: "/proc/tallystick" }, 2)).to.contain("dataDir /proc/tallystick cannot be used: ");
      expect(refusedBy({}, 2)).to.contain(`the passphrase file cannot be read`).and.contain("command line or in the");
      writeFileSync(passphraseFile, "secret words\n", { mode: 0o644 });
      expect(refusedBy({}, 2)).to.contain("readable by others: received mode 0644, expected mode 0600");
      expect(refusedBy({}, 3, { TALLYSTICK_PASSPHRASE: "others" })).to.contain("passphrase");
    });

    it("names the command that was most likely meant", () => {
      const wrong = run(["inti", "--data-dir", folder]);
      expect(wrong.status).to.equal(2);
      expect(wrong.stderr).to.contain(`${name}: error: unknown command 'inti'\n(Did you mean init?)\n`);
      expect(run(["chekc", "--config", "x"]).stderr.includes("Did you mean check?")).to.equal(kind === "csp");
      expect(run(["something"]).stderr).to.not.contain("Did you mean");
    });

    if (kind === "csp") {
      it("reads the configuration that is named after a command", () => {
        const missing = run(["check", "--config", join(folder, "none.json"), "--read-data"]);
        expect([missing.status, missing.stdout]).to.deep.equal([2, ""]);
        expect(missing.stderr).to.match(/error: configuration .*none\.json cannot be read/);
      });
    }

    it("answers a configuration whose keystore is not there with a plain message and exit code 3", () => {
      const sample = sampleOf(kind);
      const keystoreFile = join(folder, "no-keystore.json");
      const file = join(folder, "complete.json");
      writeFileSync(file, JSON.stringify({ ...sample, dataDir: folder, keystoreFile }));
      const refused = run(["--config", file]);
      expect([refused.status, refused.stdout], refused.stderr).to.deep.equal([3, ""]);
      expect(refused.stderr).to.equal(
        `${name}: error: there is no keystore at ${keystoreFile}\n` +
          `${name}: hint: make one with ${name} init --data-dir <folder>\n`,
      );
    });

    it("makes a keystore with init, once, and says which account it is", () => {
      const dataDir = join(folder, "fresh");
      const secret = { TALLYSTICK_PASSPHRASE: "secret words" };
      const made = run(["init", "--data-dir", dataDir], secret);
      expect(made.status, made.stderr).to.equal(0);
      const { operator, keystoreFile } = JSON.parse(made.stdout);
      expect(getAddress(operator)).to.equal(operator);
      const text = readFileSync(keystoreFile, "utf8");
      expect(JSON.parse(text).kind).to.equal(kind);
      const again = run(["init", "--data-dir", dataDir], secret);
      expect(again.status).to.equal(1);
      expect(again.stderr).to.match(/error: keystore .* cannot be created/);
      expect(readFileSync(keystoreFile, "utf8")).to.equal(text);
      expect(made.stderr + again.stderr).not.to.include("secret words");
    });

    it("makes no keystore without a passphrase", () => {
      const dataDir = join(folder, "none");
      const refused = run(["init", "--data-dir", dataDir]);
      expect(refused.status).to.equal(2);
      expect(refused.stderr).to.include("no passphrase");
      expect(existsSync(dataDir)).to.equal(false);
    });
  });
}
