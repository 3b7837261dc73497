import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Command } from "commander";
import type { DataSetReport } from "../../offchain/agent/data-sets/lane-report.ts";
import { LeftOut } from "../../offchain/agent/put/left-out.ts";
import { dataSetLines } from "../../offchain/cli/commands/data-set-lines.ts";
import { holdsNothing } from "../../offchain/cli/commands/put.ts";
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
});

describe("what put says of its data sets", () => {
  const report: DataSetReport = {
    id: `0x${"1d".repeat(32)}`,
    provider: "0xP",
    version: 1n,
    slices: 4,
    highestIndex: 4,
    liveRanges: [{ firstIndex: 1, count: 4 }],
    feePerEpoch: 10n ** 14n,
    token: `0x${"00".repeat(20)}`,
    runwayEpochs: 32,
    isNew: true,
    addedSlices: 4,
    retiredSlices: 0,
    sentBytes: 0,
    deposited: 0n,
    transactions: [],
  };

  it("is what is kept, what it costs and how long it is paid for, of each provider", () => {
    const grown = { ...report, isNew: false, addedSlices: 0, slices: 1, token: "0xT", runwayEpochs: 1 };
    expect(dataSetLines([report, grown])).to.deep.equal([
      "  data set   0x1d1d1d1d, new: 4 slices, 4 added; 0.0001 ETH per epoch, paid for 32 epochs",
      "  data set   0x1d1d1d1d: 1 slice, nothing new; 100000000000000 of 0xT per epoch, paid for 1 epoch",
    ]);
  });

  it("is that nobody is obliged when there is none", () => {
    expect(dataSetLines([])).to.deep.equal(["  data set   none: the provider is not paid and has no obligation"]);
    const { id: _, ...nothing } = report;
    expect(dataSetLines([{ ...nothing, slices: 0, runwayEpochs: Number.POSITIVE_INFINITY }])).to.deep.equal([
      "  data set   none: there is nothing to keep",
    ]);
  });
});
