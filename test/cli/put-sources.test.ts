import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Command } from "commander";
import { LeftOut } from "../../offchain/agent/put/left-out.ts";
import type { Terms } from "../../offchain/chain/escrow.ts";
import { agreementLines, holdsNothing } from "../../offchain/cli/commands/put.ts";
import { leftOutLines, readSourceOptions, sourceOptions } from "../../offchain/cli/commands/put-sources.ts";
import { TallystickError } from "../../offchain/core/errors.ts";

describe("options of put about its files", () => {
  it("collects patterns of options and of files, options last because the last match wins", () => {
    const dir = mkdtempSync(join(tmpdir(), "tallystick-sources-"));
    writeFileSync(join(dir, "list"), "*.o\n!keep.o\n");
    const command = sourceOptions(new Command());
    command.parse(["--exclude", "a", "--exclude-file", join(dir, "list"), "--exclude", "b", "--exclude-caches"], {
      from: "user",
    });
    expect(readSourceOptions(command.opts())).to.deep.equal({
      exclude: ["*.o\n!keep.o\n", "a", "b"],
      excludeCaches: true,
      oneFileSystem: false,
      forceRescan: false,
    });
    rmSync(dir, { recursive: true });
    expect(() => readSourceOptions({ excludeFile: [join(dir, "list")] })).to.throw(TallystickError, "cannot read");
  });

  it("counts what was left out, tells the first of each kind, and says when the put is incomplete", () => {
    const told: string[] = [];
    const leftOut = new LeftOut({ debug: () => undefined, warn: (_facts, message) => told.push(message) });
    for (let n = 0; n < 30; n += 1) leftOut.add({ kind: "excluded", path: `/x/${n}`, reason: "excluded by a pattern" });
    leftOut.add({ kind: "link", path: "/link", reason: "stored as a link" });
    expect(leftOut.report()).to.deep.include({ incomplete: false, counts: { excluded: 30, link: 1 } });
    expect(leftOutLines(leftOut.report()).join("\n")).to.not.contain("incomplete");
    for (let n = 0; n < 30; n += 1) leftOut.add({ kind: "unreadable", path: `/u/${n}`, reason: "permission denied" });
    const report = leftOut.report();
    expect(report.incomplete).to.equal(true);
    expect(report.counts.unreadable).to.equal(30);
    expect(report.remarks).to.have.length(41);
    expect(report.remarks[0], "names are for --json").to.deep.equal({
      kind: "excluded",
      path: "/x/0",
      reason: "excluded by a pattern",
    });
    expect(told.slice(0, 2)).to.deep.equal(["/link: stored as a link", "/u/0: permission denied"]);
    expect(told).to.have.length(22);
    expect(leftOutLines(report).join("\n")).to.contain("30: could not be read").and.contain("incomplete");
  });

  it("counts what was stored as it was read as incomplete, but neither as left out nor as missing", () => {
    const leftOut = new LeftOut({ debug: () => undefined, warn: () => undefined });
    leftOut.add({ kind: "changed", path: "/log", reason: "it changed while it was being read; stored as it was read" });
    expect(leftOut.unreadEntries).to.equal(0);
    expect(leftOut.report().incomplete).to.equal(true);
    expect(leftOutLines(leftOut.report()).join("\n"))
      .to.contain("remark     1: changed while being read, stored as read")
      .and.contain("incomplete")
      .and.not.contain("left out");
    leftOut.add({ kind: "unreadable", path: "/gone", reason: "it does not exist (any more); left out" });
    expect(leftOut.unreadEntries).to.equal(1);
  });

  it("are most likely a mistake when what they exclude leaves nothing", () => {
    const put = (entries: number, totalBytes: number, excluded: number) => ({
      entries,
      totalBytes,
      leftOut: { incomplete: false, counts: excluded === 0 ? {} : { excluded }, remarks: [] },
    });
    expect(holdsNothing(1, put(0, 0, 1))).to.equal(true);
    expect(holdsNothing(1, put(1, 0, 7))).to.equal(true);
    expect(holdsNothing(1, put(1, 0, 0)), "an empty folder").to.equal(false);
    expect(holdsNothing(1, put(2, 0, 7)), "an empty file").to.equal(false);
    expect(holdsNothing(1, put(1, 9, 7)), "a file").to.equal(false);
  });

  it("name the agreement of an earlier put that runs when the put was to make none", () => {
    expect(agreementLines([{ agreementId: 3n }], [])).to.deep.equal(["  agreement  3"]);
    expect(agreementLines([], [])).to.deep.equal(["  agreement  none: the provider is not paid and has no obligation"]);
    const running = [{ agreementId: 3n, terms: { epochs: 1 } as Terms }];
    expect(agreementLines([], running)).to.deep.equal([
      "  agreement  none made by this put; 3 of an earlier one runs, of 1 epoch",
    ]);
  });
});
