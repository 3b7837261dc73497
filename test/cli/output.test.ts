import { spawnSync } from "node:child_process";
import { expect } from "chai";

const OUTPUT = new URL("../../offchain/cli/output.ts", import.meta.url).href;

/** What a process prints that says one thing of each kind. */
function printed(json: boolean, quiet: boolean): { stdout: string; stderr: string } {
  const script = `
    import { createOutput } from "${OUTPUT}";
    const output = createOutput(${json}, ${quiet});
    output.say("remark");
    output.problem("a \\u001b[2Jproblem");
    output.result({ is: "document" }, ["line"]);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  return { stdout, stderr: stderr.replaceAll(/^.*(Warning|--trace-warnings).*\n/gm, "") };
}

describe("output of the command line", () => {
  it("tells remarks and problems on stderr, with control characters as escapes", () => {
    expect(printed(false, false)).to.deep.equal({ stdout: "line\n", stderr: "remark\na \\u001b[2Jproblem\n" });
  });

  it("has no remarks when it is quiet, and what was not done all the same", () => {
    expect(printed(false, true)).to.deep.equal({ stdout: "line\n", stderr: "a \\u001b[2Jproblem\n" });
    const { stdout, stderr } = printed(true, true);
    expect(JSON.parse(stdout)).to.deep.equal({ is: "document" });
    expect(stderr).to.equal("a \\u001b[2Jproblem\n");
  });
});
