import { spawnSync } from "node:child_process";
import { expect } from "chai";

const OUTPUT = new URL("../../offchain/cli/output.ts", import.meta.url).href;
const ERRORS = new URL("../../offchain/core/errors.ts", import.meta.url).href;

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

  it("tells what key nodes answered, those of one answer and reason together", () => {
    const failed = (nodes: readonly unknown[]) => {
      const error = `new TallystickError("refused", { code: "ACCOUNT_REPLACED", party: "committee 1",
        received: "all of it", details: { nodes: ${JSON.stringify(nodes)} } })`;
      const script = `import { createOutput } from "${OUTPUT}"; import { TallystickError } from "${ERRORS}";
        createOutput(false, false).failure(${error});`;
      const { stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
      return stderr.split("\n").filter((line) => line.startsWith("tallystick:   "));
    };
    const node = (index: number, answer: string, message?: string) => {
      const url = `http://node-${index}`;
      return {
        index,
        operator: "0x",
        url,
        answer,
        ...(message === undefined ? {} : { message: `node ${url} ${message}` }),
      };
    };
    const refuses = (index: number) => node(index, "ACCOUNT_REPLACED", "refused: the account was replaced");
    expect(failed([1, 2, 3, 4, 5].map(refuses))).to.deep.equal([
      "tallystick:   party committee 1",
      "tallystick:   5 key nodes: ACCOUNT_REPLACED, refused: the account was replaced",
    ]);
    expect(
      failed([refuses(1), node(2, "right"), refuses(3), node(4, "UNREACHABLE", "cannot be reached")]),
    ).to.deep.equal([
      "tallystick:   party committee 1",
      "tallystick:   2 key nodes (1 http://node-1, 3 http://node-3): ACCOUNT_REPLACED, refused: the account was replaced",
      "tallystick:   node 2 http://node-2: right",
      "tallystick:   node 4 http://node-4: UNREACHABLE, cannot be reached",
    ]);
    // Another party's details of that name.
    expect(failed([null, "node", { index: 1 }])).to.deep.equal(["tallystick:   party committee 1; received all of it"]);
  });

  it("has no remarks when it is quiet, and what was not done all the same", () => {
    expect(printed(false, true)).to.deep.equal({ stdout: "line\n", stderr: "a \\u001b[2Jproblem\n" });
    const { stdout, stderr } = printed(true, true);
    expect(JSON.parse(stdout)).to.deep.equal({ is: "document" });
    expect(stderr).to.equal("a \\u001b[2Jproblem\n");
  });
});
