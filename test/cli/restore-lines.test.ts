/** What `get` and `recover` print about what they leave: the first by name, the rest as a number. */
import { expect } from "chai";
import { InTheWayError, RefusedError } from "../../offchain/agent/read/obstacles.ts";
import { failedLines } from "../../offchain/cli/commands/recover.ts";
import { healedLines, leftLines, notSetLines, shortfallLines } from "../../offchain/cli/commands/restore-lines.ts";
import { type ErrorCode, TallystickError } from "../../offchain/core/errors.ts";

describe("lines about what a read has healed", () => {
  it("name each key share and the node that has it again", () => {
    const operator = "0x00000000000000000000000000000000DeaDBeef";
    expect(healedLines([])).to.deep.equal([]);
    expect(healedLines([{ index: 4, operator, url: "https://nbm.example" }])).to.deep.equal([
      "  key share 4 was missing; the node at https://nbm.example has it again",
    ]);
  });
});

describe("lines about what is not restored", () => {
  it("name what is in the way of get once, at most twenty times, and count the entries", () => {
    expect(leftLines({ count: 0, entries: [] })).to.deep.equal([]);
    const folder = new InTheWayError("/out/f", "a folder", false);
    const below = ["f", "f/a", "f/b"].map((path) => ({ path, error: folder }));
    expect(leftLines({ count: 3, entries: below })).to.deep.equal([
      "/out/f exists and is something else than what is to be restored",
      "3 entries are not restored; what is there was left as it is",
      "hint: restore into an empty folder",
    ]);
    const files = Array.from({ length: 30 }, (_, k) => ({
      path: `${k}`,
      error: new InTheWayError(`/out/${k}`, "the same file", true),
    }));
    const lines = leftLines({ count: 30, entries: files });
    expect(lines).to.have.length(23);
    expect(lines.slice(-3)).to.deep.equal([
      "and 10 more, which --json names",
      "30 entries are not restored; what is there was left as it is",
      "hint: restore into an empty folder, or allow overwriting",
    ]);
  });

  it("say of files without a stub file that the account may have lost it, and not the provider", () => {
    const nothing = { left: { count: 0, entries: [] }, notSet: {} };
    const noStubs = { path: "film", error: new TallystickError("no stub file", { code: "NOT_OWNER", hint: "ask" }) };
    const lost = { path: "text", error: new TallystickError("lost", { code: "OBJECT_LOST" }) };
    const lines = shortfallLines({ ...nothing, damaged: [noStubs, lost] });
    expect(lines.slice(0, 2)).to.deep.equal(["no stub file", "lost"]);
    expect(lines.slice(2).map((line) => line.slice(0, 30))).to.deep.equal([
      "hint: the provider has lost or",
      "hint: who has left an ownershi",
    ]);
    expect(shortfallLines({ ...nothing, damaged: [noStubs] }).join()).to.not.include("has lost or damaged");
    expect(shortfallLines({ ...nothing, damaged: [lost] })).to.have.length(2);
  });

  it("say what the file system refused, each reason with its hint, and what it did not set", () => {
    const refused = new RefusedError("/out/a:", "no such name (EINVAL)", undefined);
    const lines = leftLines({
      count: 2,
      entries: [
        { path: "a:", error: refused },
        { path: "b", error: new InTheWayError("/out/b", "a file", false) },
      ],
    });
    expect(lines).to.deep.equal([
      "/out/a: cannot be restored: no such name (EINVAL)",
      "/out/b exists and is something else than what is to be restored",
      "2 entries are not restored; what is there was left as it is",
      `hint: ${refused.hint}`,
      "hint: restore into an empty folder",
    ]);
    expect(notSetLines({ owner: 3, attributes: 1 })).to.deep.equal([]);
    expect(notSetLines({ mode: 1, time: 2 })).to.deep.equal([
      "the mode of 1 entry could not be set",
      "the time of 2 entries could not be set",
    ]);
  });

  it("count what was removed in recover, and name what is not available for another reason", () => {
    const failed = (code: ErrorCode, count: number) =>
      Array.from({ length: count }, (_, k) => ({ recordId: `0x${k}`, error: new TallystickError(code, { code }) }));
    expect(failedLines([])).to.deep.equal([]);
    expect(failedLines([...failed("NOT_OWNER", 900), ...failed("NOT_FOUND", 100), ...failed("UNREACHABLE", 1)])).to.eql(
      [
        "removed  1000 records of data that no provider keeps for this account",
        "record 0x0 is not available now: UNREACHABLE",
      ],
    );
    expect(failedLines(failed("UNREACHABLE", 21)).at(-1)).to.equal("and 1 record more, which --json names");
  });
});
