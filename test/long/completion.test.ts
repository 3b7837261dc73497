/** Completion where it is used: in interactive shells that get real key presses. zsh and fish have to be installed. */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { completionScript } from "../../offchain/cli/completion.ts";
import { buildProgram } from "../../offchain/cli/main.ts";

const LONGEST_MILLISECONDS = 20_000;
const TAB = "\t";
/** Deletes the line that was typed. */
const CLEAR = "\u0015";

describe("completion in real shells", function () {
  this.timeout(120_000);
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-completion-"));
    writeFileSync(join(folder, "name with blanks"), "");
    mkdirSync(join(folder, "target"));
    for (const shell of ["bash", "zsh", "fish"]) {
      writeFileSync(join(folder, `script.${shell}`), completionScript(buildProgram(), shell));
    }
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** What is typed, and what must be shown after TAB. */
  const CASES = [
    ["tallystick dat", "tallystick data-set "],
    ["tallystick data-set se", "tallystick data-set settle "],
    ["npx tallystick data-set se", "npx tallystick data-set settle "],
    ["tallystick --home target data-set wi", "tallystick --home target data-set withdraw "],
    ["tallystick put --js", "tallystick put --json "],
    ["tallystick put --run", "tallystick put --runway "],
    ["tallystick put name", "tallystick put name\\ with\\ blanks "],
    ["tallystick get id --out tar", "tallystick get id --out target/"],
    ["tallystick completion zs", "tallystick completion zsh "],
  ] as const;

  /** Starts an interactive shell, types each case, and reads the line after TAB. */
  async function typed(command: string, setUp: string): Promise<string[]> {
    const child = spawn("script", ["-qefc", command, "/dev/null"], {
      cwd: folder,
      env: { ...process.env, TERM: "dumb", PS1: "$ ", HOME: folder, HISTFILE: "" },
    });
    let shown = "";
    child.stdout.on("data", (piece: Buffer) => {
      shown += piece.toString();
    });
    const until = async (text: string) => {
      for (const end = Date.now() + LONGEST_MILLISECONDS; !shown.includes(text); await pause(20)) {
        if (Date.now() > end) throw new Error(`${command} did not show ${JSON.stringify(text)}: ${shown}`);
      }
    };
    try {
      child.stdin.write(`${setUp}; echo set'-'up\n`);
      await until("set-up");
      const lines: string[] = [];
      for (const [line, expected] of CASES) {
        shown = "";
        child.stdin.write(`${line}${TAB}`);
        await until(expected);
        lines.push(expected);
        child.stdin.write(CLEAR);
      }
      return lines;
    } finally {
      child.kill("SIGKILL");
    }
  }

  const EXPECTED = CASES.map(([, expected]) => expected);

  it("completes in bash", async () => {
    expect(await typed("bash --norc -i", ". ./script.bash")).to.deep.equal(EXPECTED);
  });

  it("completes in zsh", async () => {
    const setUp = "PROMPT='$ '; autoload -Uz compinit; compinit -u -D; . ./script.zsh";
    expect(await typed("zsh -f -i", setUp)).to.deep.equal(EXPECTED);
  });

  it("completes in fish", () => {
    for (const [line, expected] of CASES) {
      const { stdout, stderr } = spawnSync(
        "fish",
        ["--no-config", "-c", `source script.fish; complete -C ${JSON.stringify(line)}`],
        { cwd: folder, encoding: "utf8" },
      );
      const words = stdout.split("\n").map((candidate) => candidate.split("\t")[0]);
      const last = (/(?:\\ |\S)+\/?\s?$/.exec(expected)?.[0] ?? "").trim().replaceAll("\\ ", " ");
      expect(words, `${line}: ${stderr}`).to.include(last);
      expect(stderr).to.equal("");
    }
  });
});
