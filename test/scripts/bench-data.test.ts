/** The pure parts of `npm run bench:data`: its data, its arithmetic, its verdicts, and how it reads processes. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { expect } from "chai";
import {
  BARS,
  type ContenderName,
  type Cost,
  JOURNEYS,
  judge,
  median,
  orderOf,
  type Sample,
  STEPS,
  type StepName,
  summarise,
  withNeeds,
} from "../../scripts/bench/data-figures.ts";
import { changeOneSmallFile, halfDuplicateFile, textFile, writeSmallFiles } from "../../scripts/bench/data-trees.ts";
import { parsePeak, parseStat, readProcess, runCommand, runToSuccess } from "../../scripts/bench/process-cost.ts";

const MIB = 1024 * 1024;
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function sample(step: StepName, run: number, contender: ContenderName, wallSeconds: number): Sample {
  const cost = { wallSeconds, cpuSeconds: wallSeconds / 2, peakBytes: (100 + run) * MIB };
  if (contender !== "tallystick") return { step, run, contender, cost };
  const daemons = { providerCpuSeconds: 1, providerPeakBytes: (200 + run) * MIB, nodesCpuSeconds: 2 };
  return { step, run, contender, cost, daemons };
}

/** Every step by everybody, three times: Tallystick as long as the factor says, peers one second. */
function allSamples(factor: number): Sample[] {
  return (Object.keys(STEPS) as StepName[]).flatMap((step) =>
    [0, 1, 2].flatMap((run) => [
      sample(step, run, "tallystick", factor),
      sample(step, run, "borg", 1),
      sample(step, run, "restic", 1),
    ]),
  );
}

const subjects = new Map((Object.keys(STEPS) as StepName[]).map((step) => [step, { bytes: MIB, files: 1 }]));
const everyStep = new Set(Object.keys(STEPS) as StepName[]);

describe("figures of bench:data", () => {
  it("takes the median of an odd and of an even number of values", () => {
    expect(median([9, 1, 5])).to.equal(5);
    expect(median([4, 1, 9, 2])).to.equal(3);
    expect(() => median([])).to.throw(RangeError);
  });

  it("compares wall times within a run, not across runs", () => {
    const samples = [
      sample("put", 0, "tallystick", 4),
      sample("put", 0, "borg", 2),
      // A run in which the machine was busy with something else.
      sample("put", 1, "tallystick", 20),
      sample("put", 1, "borg", 10),
      sample("put", 2, "tallystick", 9),
      sample("put", 2, "borg", 3),
    ];
    const [figures] = summarise(samples, subjects);
    expect(figures?.ratios.borg).to.equal(2);
    expect(figures?.medians.tallystick?.wallSeconds).to.equal(9);
    expect(figures?.ratios.restic).to.equal(undefined);
  });

  it("keeps the highest peak of all runs", () => {
    const [figures] = summarise(
      [0, 1, 2].map((run) => sample("put", run, "tallystick", 1)),
      subjects,
    );
    expect(figures?.medians.tallystick?.providerPeakBytes).to.equal(202 * MIB);
    expect(figures?.medians.tallystick?.peakBytes).to.equal(102 * MIB);
  });

  it("holds the bars that were promised", () => {
    const promised = [1.3, 2.5, 1.1, 0.5, 500, 2.5, 3, 2, 1, 0, 2, 2, 0.6, 1.5, 2, 350, 400];
    expect(BARS.map(({ limit }) => limit)).to.deep.equal(promised);
  });

  it("meets bars up to and with the limit, and no others", () => {
    const met = (factor: number) =>
      judge(summarise(allSamples(factor), subjects), everyStep)
        .filter(({ unit }) => unit === "×")
        .map((verdict) => verdict.met);
    expect(met(0.5)).to.deep.equal(new Array(10).fill(true));
    expect(met(1.3)).to.deep.equal([true, true, false, false, true, true, true, false, true, true]);
    expect(met(2.6)).to.deep.equal([false, false, false, false, false, false, false, false, true, false]);
  });

  it("counts the bytes that a check reads by processor time, and asks for at least the limit", () => {
    const verdict = (readBytes: number) => {
      const { cost, ...rest } = sample("check", 0, "tallystick", 4);
      const figures = summarise([{ ...rest, cost: { ...cost, readBytes } }], subjects);
      return judge(figures, new Set<StepName>(["put", "check"])).find(({ unit }) => unit === "MB/s per core");
    };
    // Two seconds of the processor.
    expect(verdict(1e9)).to.deep.include({ measured: 500, met: true, bound: "at least" });
    expect(verdict(0.99e9)).to.deep.include({ measured: 495, met: false });
    expect(verdict(Number.NaN)?.met).to.equal(false);
  });

  it("judges what is added to a data set by time, bytes, slices and transactions", () => {
    const verdicts = (cost: Partial<Cost>) => {
      const { cost: usual, ...rest } = sample("added", 0, "tallystick", 2);
      const figures = summarise([{ ...rest, cost: { ...usual, ...cost } }], subjects);
      const bars = judge(figures, new Set<StepName>(["added"])).filter(({ name }) => name.startsWith(STEPS.added));
      return bars.map(({ met }) => met);
    };
    const good = { sentBytes: 2 * MIB, addedSlices: 1, userTransactions: 0 };
    expect(verdicts(good)).to.deep.equal([true, true, true, true]);
    expect(verdicts({ ...good, wallSeconds: 3.01 })).to.deep.equal([false, true, true, true]);
    expect(verdicts({ sentBytes: 2 * MIB + 1, addedSlices: 2, userTransactions: 1 })).to.deep.equal([
      true,
      false,
      false,
      false,
    ]);
    // What was not measured is not met.
    expect(verdicts({})).to.deep.equal([true, false, false, false]);
  });

  it("does not count the record's transaction against a changed file", () => {
    const walls: [StepName, number][] = [
      ["many-again", 2],
      ["one-changed", 4],
      ["record", 1.75],
      ["record-again", 0.75],
    ];
    const samples = walls.map(([step, wall]) => sample(step, 0, "tallystick", wall));
    const verdict = judge(summarise(samples, subjects), everyStep).find(({ name }) => name.startsWith("one file"));
    expect(verdict).to.deep.include({ measured: 1.5, met: true });
  });

  it("does not meet a bar whose peer is absent", () => {
    const verdicts = judge(summarise([sample("put", 0, "tallystick", 1)], subjects), new Set<StepName>(["put"]));
    const [first] = verdicts;
    expect(first?.met).to.equal(false);
    expect(first).to.not.have.property("measured");
    expect(verdicts.filter(({ unit }) => unit === "×")).to.have.length(1);
  });

  it("runs what a wanted step needs, in one journey", () => {
    expect([...withNeeds(["again"])]).to.deep.equal(["put", "again"]);
    expect([...withNeeds(["get"])]).to.deep.equal(["put", "get"]);
    const steps = withNeeds(["one-changed"]);
    const journey = JOURNEYS.find((one) => one.includes("one-changed"));
    for (const step of steps) expect(journey).to.include(step);
    expect(new Set(JOURNEYS.flat())).to.deep.equal(everyStep);
  });

  it("lets everybody be first in turn", () => {
    expect([0, 1, 2, 3].map((turn) => orderOf(["a", "b", "c"], turn).join(""))).to.deep.equal([
      "abc",
      "bca",
      "cab",
      "abc",
    ]);
  });
});

describe("data of bench:data", () => {
  it("repeats the content of every first file in the third, and of the second in the fourth, moved", () => {
    const files = [0, 1, 2, 3].map((index) => halfDuplicateFile(index, MIB));
    const [first, second, third, fourth] = files as [Buffer, Buffer, Buffer, Buffer];
    expect(third.equals(first)).to.equal(true);
    expect(fourth.equals(second)).to.equal(false);
    expect(fourth.length).to.equal(MIB);
    const shift = fourth.indexOf(second.subarray(0, 64));
    expect(shift % 512).to.not.equal(0);
    expect(fourth.subarray(shift).equals(second.subarray(0, MIB - shift))).to.equal(true);
    expect(halfDuplicateFile(4, MIB).equals(first)).to.equal(false);
  });

  it("is the same on every machine", () => {
    expect(digest(halfDuplicateFile(1, MIB)).slice(0, 16)).to.equal("6254b7f7c24c18b1");
    expect(digest(textFile(0, MIB)).slice(0, 16)).to.equal("3cc5375f90adbacb");
  });

  it("compresses like text where it is text, and not at all elsewhere", () => {
    const ratio = (bytes: Buffer) => bytes.length / zstdCompressSync(bytes).length;
    expect(ratio(textFile(0, MIB))).to.be.within(2.5, 4);
    expect(ratio(halfDuplicateFile(0, MIB))).to.be.below(1.001);
  });

  it("changes one small file, to another content every time", () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-test-"));
    try {
      writeSmallFiles(folder, 250);
      const read = () =>
        new Map(
          readdirSync(folder, { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile())
            .map((entry) => join(entry.parentPath, entry.name))
            .map((path) => [path, digest(readFileSync(path))]),
        );
      const before = read();
      expect(new Set(before.values()).size).to.equal(250);
      const path = changeOneSmallFile(folder, 250, 0);
      const after = read();
      expect([...after].filter(([name, content]) => before.get(name) !== content).map(([name]) => name)).to.deep.equal([
        path,
      ]);
      changeOneSmallFile(folder, 250, 1);
      expect(read().get(path)).to.not.equal(after.get(path));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("costs of processes", () => {
  it("reads times after a name that looks like fields", () => {
    const line = "42 (a) b 9 9 (x) S 1 1 1 0 -1 4194304 1 2 3 4 150 50 300 25 20 0 1 0 1 1 1";
    expect(parseStat(line)).to.deep.equal({ own: 2, children: 3.25 });
  });

  it("reads the peak, and none of a process without memory", () => {
    expect(parsePeak("Name:\tnode\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")).to.equal(2 * MIB);
    expect(parsePeak("Name:\tkthreadd\n")).to.equal(0);
  });

  it("measures a command: its time, its processor, its memory", async () => {
    const script = "const b = Buffer.alloc(150e6, 1); const end = Date.now() + 400; while (Date.now() < end); b.at(0)";
    const cost = await runCommand({ command: process.execPath, args: ["-e", script] });
    expect(cost.exitCode).to.equal(0);
    expect(cost.wallSeconds).to.be.at.least(0.4);
    // Others may use the processor meanwhile.
    expect(cost.cpuSeconds)
      .to.be.at.least(0.05)
      .and.at.most(cost.wallSeconds + 1);
    expect(cost.peakBytes).to.be.at.least(150e6);
  });

  it("says what a command that failed printed", async () => {
    const plan = { command: process.execPath, args: ["-e", "console.log('out of paper'); process.exit(7)"] };
    const failure = await runToSuccess(plan).then(
      () => undefined,
      (error: Error) => error.message,
    );
    expect(failure).to.contain("ended with 7").and.to.contain("out of paper");
  });

  it("reads this process, and nothing of one that is gone", () => {
    expect(readProcess(process.pid).peakBytes).to.be.greaterThan(10 * MIB);
    expect(readProcess(undefined)).to.deep.equal({ cpuSeconds: 0, peakBytes: 0 });
  });
});
