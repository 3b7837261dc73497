import { expect } from "chai";
import { pino } from "pino";
import { Registry } from "prom-client";
import { TallystickError } from "../../offchain/core/errors.ts";
import { FailureLog } from "../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../offchain/daemon/metrics.ts";

describe("failure log", () => {
  let now: number;
  let lines: Record<string, unknown>[];
  let metrics: ReturnType<typeof createMetrics>;
  let failures: FailureLog;

  beforeEach(() => {
    now = 0;
    lines = [];
    metrics = createMetrics("test");
    const logger = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
    failures = new FailureLog(logger, metrics.failures, () => now);
  });

  const counted = async (part: string) => {
    const { values } = await metrics.failures.get();
    return values.find(({ labels }) => labels.part === part)?.value ?? 0;
  };

  it("takes causes that differ by block number, hash, address or time for one, and counts each", async () => {
    for (let block = 0; block < 200; block++) {
      const hash = `0x${block.toString(16).padStart(64, "0")}`;
      const message = `block ${block} (${hash}) at http://127.0.0.1:${block}/v2: no answer in ${block}.5 s`;
      failures.failed("archive", new TallystickError(message, { code: "CHAIN_UNAVAILABLE" }));
    }
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include({ part: "archive", msg: "background work failed" });
    expect(await counted("archive")).to.equal(200);
  });

  it("logs another cause, another code and another part at once, also when causes take turns", () => {
    for (let k = 0; k < 50; k++) {
      failures.failed("archive", new Error("connection refused"));
      failures.failed("archive", new Error("no answer in time"));
      failures.failed("archive", new TallystickError("no answer in time", { code: "TIMED_OUT" }));
      failures.failed("proofs", new Error("connection refused"));
    }
    expect(lines).to.have.length(4);
  });

  it("logs a repeated cause once per period, with a count", () => {
    for (now = 0; now <= 15 * 60_000; now += 60_000) failures.failed("archive", new Error("down"));
    expect(lines.map(({ repeated }) => repeated)).to.deep.equal([undefined, 14]);
  });

  it("logs the recovery, and then the same cause again", () => {
    failures.failed("archive", new Error("down"));
    failures.succeeded("archive");
    failures.succeeded("archive");
    failures.failed("archive", new Error("down"));
    expect(lines.map(({ msg }) => msg)).to.deep.equal([
      "background work failed",
      "works again",
      "background work failed",
    ]);
  });

  it("leaves numbers and hashes out of the metric's label, so that its values stay few", async () => {
    for (let id = 0; id < 10; id++) failures.failed(`data set ${id}`, new Error("down"));
    for (let id = 0; id < 10; id++) failures.failed(`data set 0x${`a${id}`.repeat(32)}`, new Error("down"));
    expect(lines).to.have.length(20);
    expect(await counted("data set")).to.equal(20);
    expect((await metrics.failures.get()).values).to.have.length(1);
    expect(metrics.registry).to.be.instanceOf(Registry);
  });

  it("leaves keys in addresses out of the metric's label, which anybody may read", async () => {
    for (const url of [
      "https://relay.example/v1/key?token=secret",
      "https://relay.example/v1/other",
      "http://[::1]:90",
    ])
      failures.failed(`drand relay ${url}`, new Error("down"));
    const { values } = await metrics.failures.get();
    expect(values.map(({ labels, value }) => [labels.part, value])).to.deep.equal([
      ["drand relay https://relay.example/…", 2],
      ["drand relay http://[::1]:90", 1],
    ]);
  });

  it("remembers a bounded number of causes per part", () => {
    const words = Array.from({ length: 100 }, (_, k) => "x".repeat(k + 1));
    for (const word of words) failures.failed("archive", new Error(word));
    failures.failed("archive", new Error(words.at(-1)));
    expect(lines).to.have.length(100);
    failures.failed("archive", new Error(words[0]));
    expect(lines).to.have.length(101);
  });
});
