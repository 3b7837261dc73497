import { spawnSync } from "node:child_process";
import { statSync, utimesSync } from "node:fs";
import { expect } from "chai";
import { bundleOf, PROGRAMS, type ProgramName, programPath } from "../../offchain/cli/programs.mjs";
import { bundlePrograms } from "../../scripts/bundle.mjs";

const run = (path: string, ...args: string[]) =>
  spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", path, ...args], { encoding: "utf8" });

describe("programs in one file", () => {
  before(() => bundlePrograms());

  it("are what is started, and say what their sources say", () => {
    for (const [name, source] of Object.entries(PROGRAMS)) {
      const bundle = programPath(name as ProgramName);
      expect(bundle).to.equal(bundleOf(name as ProgramName).file);
      // Daemons complain of having no configuration, in JSON with the time and the process in it.
      const said = (path: string) => {
        const { status, stdout, stderr } = run(path, ...(name === "tallystick" ? ["--help"] : []));
        return `${status} ${stdout} ${stderr.replace(/"time":\d+|"pid":\d+|"stack":".*?[^\\]"/g, "")}`;
      };
      expect(said(bundle))
        .to.equal(said(source))
        .and.to.match(name === "tallystick" ? /^0 Usage/ : /configuration/);
    }
  });

  it("count no more once a source has changed, and are made again", () => {
    const source = PROGRAMS.csp;
    const { atime, mtime } = statSync(source);
    try {
      utimesSync(source, atime, new Date(mtime.getTime() + 2000));
      expect(programPath("csp")).to.equal(source);
      expect(programPath("tallystick")).to.equal(bundleOf("tallystick").file);
      bundlePrograms();
      expect(programPath("csp")).to.equal(bundleOf("csp").file);
    } finally {
      utimesSync(source, atime, mtime);
    }
    expect(programPath("csp")).to.equal(source);
    bundlePrograms();
    expect(programPath("csp")).to.equal(bundleOf("csp").file);
  });
});
