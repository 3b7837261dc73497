import { expect } from "chai";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { Device } from "./data-sets/device.ts";
import { longest, openMany, probedDuring, repeatingBody, storedWithWrongTags, verifyAll } from "./hostile-load.ts";
import { randomChunk } from "./provider-fixture.ts";
import { type ProviderClient, ProviderProcess } from "./provider-process.ts";

/** test/long/hostile-provider.test.ts has the full load and the bar; here the machine may be busy with other tests. */
describe("a provider under load by one account", () => {
  const LONGEST_MILLISECONDS = 1000;
  let local: LocalChain;
  let provider: ProviderProcess;
  let mallory: Device;
  let bob: ProviderClient;
  before(async () => {
    await auditReady();
    local = await startLocalChain();
    provider = await ProviderProcess.prepare(local);
    await provider.start();
    mallory = await Device.connect(local.chain, provider, local.account(1));
    await mallory.begin();
    bob = await provider.connect(local.account(2));
  });
  after(async () => {
    await provider.remove();
    await local.stop();
  });

  it("refuses manifests that name one object 50,000 times, and serves others meanwhile", async () => {
    const object = randomChunk(64);
    await mallory.client.upload(object);
    const body = repeatingBody(object, 50_000);
    const { result, times } = await probedDuring(provider.url, bob.token, () => openMany(mallory, body, 12));
    expect(result.map(({ status }) => status).filter((status) => status !== 400 && status !== 429)).to.deep.equal([]);
    expect(result.some(({ json }) => json.error.check === "distinct chunks")).to.equal(true);
    expect(longest(times)).to.be.below(LONGEST_MILLISECONDS);
  });

  it("checks tags that are wrong without delaying others", async () => {
    const segment = await storedWithWrongTags(mallory, 8);
    const { result, times } = await probedDuring(provider.url, bob.token, () => verifyAll(mallory, segment));
    expect(result.json.error.code).to.equal("INVALID_PROOF");
    expect(longest(times)).to.be.below(LONGEST_MILLISECONDS);
  });
});
