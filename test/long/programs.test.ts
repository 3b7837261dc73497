import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "chai";
import { startProgram } from "../../offchain/bin/start-program.ts";
import { buildPrograms, PROGRAMS } from "../../scripts/build-programs.mjs";
import { type ProgramName, programPath } from "../../scripts/programs.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");

describe("programs", () => {
  let cache: string;
  before(async () => {
    cache = mkdtempSync(join(tmpdir(), "tallystick-cache-"));
    await buildPrograms();
  });
  after(() => rmSync(cache, { recursive: true, force: true }));

  const run = (path: string, ...args: string[]) => {
    const { NODE_COMPILE_CACHE: _, NODE_OPTIONS: __, ...env } = process.env;
    return spawnSync(process.execPath, [path, ...args], { encoding: "utf8", env: { ...env, XDG_CACHE_HOME: cache } });
  };
  const built = (name: string) => join(ROOT, "dist", "bin", `${name}.js`);
  const source = (name: string) => join(ROOT, "offchain", "bin", `${name}.ts`);

  it("say the same whether they were built or run from their sources, and print no warning of Node", () => {
    for (const name of PROGRAMS) {
      // Without a configuration daemons end with an error, in JSON with the time, the process and the stack in it.
      const said = (path: string) => {
        const { status, stdout, stderr } = run(path, ...(name === "tallystick" ? ["--help"] : []));
        return `${status} ${stdout} ${stderr.replace(/"time":\d+|"pid":\d+|"stack":".*?[^\\]"/g, "")}`;
      };
      expect(said(built(name)))
        .to.equal(said(source(name)))
        .and.to.match(name === "tallystick" ? /^0 Usage/ : /configuration/)
        .and.to.not.contain("Warning");
    }
  });

  it("are commands of the package: executable, with a line that names their interpreter", () => {
    const { bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { bin: Record<string, string> };
    expect(Object.keys(bin)).to.deep.equal(PROGRAMS);
    for (const path of Object.values(bin)) {
      expect(readFileSync(join(ROOT, path), "utf8")).to.match(/^#!\/usr\/bin\/env node\n/);
      expect(statSync(join(ROOT, path)).mode & 0o111).to.equal(0o111);
    }
  });

  it("are started from what set-up built, and from their sources where no set-up ran", () => {
    const before = process.env.TALLYSTICK_PROGRAMS;
    try {
      for (const name of PROGRAMS as readonly ProgramName[]) {
        process.env.TALLYSTICK_PROGRAMS = join(ROOT, "dist", "bin");
        expect(programPath(name)).to.equal(built(name));
        delete process.env.TALLYSTICK_PROGRAMS;
        expect(programPath(name)).to.equal(source(name));
      }
    } finally {
      if (before !== undefined) process.env.TALLYSTICK_PROGRAMS = before;
    }
  });

  it("are refused by a Node that is too old with a message that says so, before anything is loaded", async () => {
    const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { engines: { node: string } };
    const needed = engines.node.replace(">=", "");
    const { write } = process.stderr;
    const [kept, loaded, refused]: [typeof process.exitCode, string[], string[]] = [process.exitCode, [], []];
    try {
      for (const version of ["20.20.2", "22.14.9", "22.15.0", "24.0.0"]) {
        let said = "";
        process.stderr.write = (text: string | Uint8Array) => {
          said += String(text);
          return true;
        };
        await startProgram("tallystick", async () => void loaded.push(version), version);
        if (said.startsWith(`tallystick: error: Node ${needed} or later is needed, this is ${version}`))
          refused.push(version);
      }
    } finally {
      process.stderr.write = write;
      process.exitCode = kept;
    }
    expect({ loaded, refused }).to.deep.equal({ loaded: ["22.15.0", "24.0.0"], refused: ["20.20.2", "22.14.9"] });
  });
});
