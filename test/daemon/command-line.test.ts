/** Command lines of the daemons, as a person meets them. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { getAddress } from "ethers";
import packageJson from "../../package.json" with { type: "json" };
import { programPath } from "../../scripts/programs.ts";
import { runDaemonCommand } from "../helpers/daemon-process.ts";

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

    if (kind === "csp") {
      it("reads the configuration that is named after a command", () => {
        const missing = run(["check", "--config", join(folder, "none.json"), "--read-data"]);
        expect([missing.status, missing.stdout]).to.deep.equal([2, ""]);
        expect(missing.stderr).to.match(/error: configuration .*none\.json cannot be read/);
      });
    }

    it("answers a configuration whose keystore is not there with a plain message and exit code 3", () => {
      const sample = JSON.parse(
        readFileSync(join(import.meta.dirname, "..", "..", "examples", `${kind}.json`), "utf8"),
      );
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
