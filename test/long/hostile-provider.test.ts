/**
 * Inputs of one account that used to stall a provider for minutes. A request that is refused or hostile delays another
 * account's by 250 ms at most, and the provider's memory stays below 400 MiB. Prints the figures.
 */
import { expect } from "chai";
import { encodeManifest } from "../../offchain/core/audit/manifest.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { segmentBody } from "../csp/audited-data.ts";
import { Device } from "../csp/data-sets/device.ts";
import { longest, openMany, probedDuring, repeatingBody, storedWithWrongTags, verifyAll } from "../csp/hostile-load.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { type ProviderClient, ProviderProcess } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";

const DELAY_MILLISECONDS = 250;
const MEMORY_MIB = 400;
const ATTEMPTS = 3;
/** As many as fit into the largest manifest. */
const ENTRIES = 466_000;

describe("a provider that one account attacks", function () {
  this.timeout(600_000);
  let local: LocalChain;
  let provider: ProviderProcess;
  let mallory: Device;
  let bob: ProviderClient;
  let usual: number;
  before(async () => {
    await auditReady();
    local = await startLocalChain();
    provider = await ProviderProcess.prepare(local);
    await provider.start();
    mallory = await Device.connect(local.chain, provider, local.account(1));
    await mallory.begin();
    bob = await provider.connect(local.account(2));
    const idle = await probedDuring(provider.url, bob.token, () => new Promise((resolve) => setTimeout(resolve, 3000)));
    usual = longest(idle.times);
  });
  after(async () => {
    await provider.remove();
    await local.stop();
  });

  /**
   * Takes the best of three attempts. What is measured is time on a clock, and on a machine that is busy with something
   * else every process waits now and then for longer than the bar. A provider that stalls does so at each attempt, so
   * the repetition hides no such fault; a stall that comes once in a while it can hide.
   */
  async function measure<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const startedAt = performance.now();
      const { result, times } = await probedDuring(provider.url, bob.token, work);
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      // Where the time goes when the bar is missed: in the provider's own thread, or on a machine that is busy.
      const lag = (await provider.metric("nodejs_eventloop_lag_max_seconds")) * 1000;
      const memoryMib = provider.peakMemoryBytes() / 2 ** 20;
      const median = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
      console.log(
        `      ${what}: ${seconds} s; another account's requests: ${times.length}, median ${median.toFixed(0)} ms, ` +
          `longest ${longest(times).toFixed(0)} ms (${usual.toFixed(0)} ms without load); ` +
          `longest turn of the provider's event loop ${lag.toFixed(0)} ms; peak memory ${memoryMib.toFixed(0)} MiB`,
      );
      expect(memoryMib).to.be.below(MEMORY_MIB);
      const delay = longest(times) - usual;
      if (delay > DELAY_MILLISECONDS && attempt < ATTEMPTS) continue;
      expect(delay).to.be.at.most(DELAY_MILLISECONDS);
      return result;
    }
  }

  for (const count of [1, 12]) {
    it(`with ${count} manifests of ${ENTRIES} entries that name one object`, async () => {
      const object = randomChunk(64);
      await mallory.client.upload(object);
      const body = repeatingBody(object, ENTRIES);
      const answers = await measure(`${count} manifests`, () => openMany(mallory, body, count));
      for (const { status } of answers) expect(status).to.be.oneOf([400, 429]);
      expect(answers.some(({ json }) => json.error.check === "distinct chunks")).to.equal(true);
    });
  }

  it("with manifests of many objects that it owns, opened again and again", async () => {
    const chunks = Array.from({ length: 4096 }, () => randomChunk(40));
    for (let first = 0; first < chunks.length; first += 1024)
      await mallory.client.upload(...chunks.slice(first, first + 1024));
    const manifest = encodeManifest({
      version: 1,
      chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })),
    });
    const body = segmentBody(manifest);
    const answers = await measure("12 manifests of 4,096 objects", () => openMany(mallory, body, 12));
    expect(answers.some(({ status }) => status === 200)).to.equal(true);
  });

  it("with a verification of tags that are wrong", async () => {
    const segment = await storedWithWrongTags(mallory, 24);
    const answer = await measure("verification of 48 MiB", () => verifyAll(mallory, segment));
    expect(answer.json.error.code).to.equal("INVALID_PROOF");
  });
});
