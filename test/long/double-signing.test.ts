/** A user that signs two states under one version, at a real provider on a real chain. */
import { expect } from "chai";
import { readBooks, readPool } from "../../offchain/chain/escrow.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { NATIVE, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";

const EPOCH_BLOCKS = 60;
const NOTICE_EPOCHS = 2;
const SLICE_BYTES = 31 * SLICE_ELEMENTS;
const FUNDS = 10n ** 18n;
const WORTH_THE_GAS = "10000000000000000";
const OTHER_CONTENT = `0x${"12".repeat(32)}`;
const SHOWN = "showed that the user signed two states";

describe("a user that signs two states under one version", function () {
  this.timeout(120_000);
  let local: LocalChain;
  let provider: ProviderProcess;

  before(async () => {
    await auditReady();
    const parameters = { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: BigInt(NOTICE_EPOCHS) };
    local = await startLocalChain({ parameters });
  });
  after(async () => local.stop());
  afterEach(async () => provider.remove());

  /** A set of one slice. @param minimumFeePerEpoch what an epoch costs, whatever it holds */
  async function opened(minimumFeePerEpoch: string, account: number): Promise<Device> {
    const prices = [{ ...TEST_OFFER.prices[0], minimumFeePerEpoch }];
    const dataSets = { graceBlocks: 10, sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 };
    provider = await ProviderProcess.prepare(local, { offer: { ...TEST_OFFER, prices, windowBlocks: 20, dataSets } });
    await provider.start();
    const device = await Device.connect(local.chain, provider, local.account(account));
    await device.deposit(FUNDS);
    await device.begin();
    await device.add(randomChunk(SLICE_BYTES));
    ok(await device.open());
    await device.add(randomChunk(SLICE_BYTES));
    ok(await device.update());
    return device;
  }
  const status = async ({ id }: Device) => (await readBooks(local.chain, id))?.status;
  /** Another state of the version that was signed last. */
  const other = (device: Device) => device.state({ version: String(device.version), contentHash: OTHER_CONTENT });
  async function proposeOther(device: Device): Promise<void> {
    const answer = await device.propose(await other(device));
    expect(answer.json.error).to.include({ code: "CONFLICT", check: "version" });
  }
  const rounds = () => new Promise((resolve) => setTimeout(resolve, 2000));

  it("pays the notice period to the provider, which keeps the evidence through a kill", async () => {
    const device = await opened(WORTH_THE_GAS, 1);
    const [repeated] = [await device.state({ version: String(device.version) })];
    // The same state with another deadline is no offence.
    await device.propose(repeated);
    expect(provider.log).not.to.contain("two states under one version");
    const before = (await readPool(local.chain, NATIVE, provider.operator)).total;
    const proposed = proposeOther(device);
    await until("it is noted", () => provider.log.includes("signed two states under one version"), 30);
    await proposed;
    await provider.end("SIGKILL");
    await provider.start();
    await local.mine(EPOCH_BLOCKS);
    await until(
      "it is shown",
      async () => (await status(device)) === "breached",
      60,
      () => provider.log,
    );
    const gained = (await readPool(local.chain, NATIVE, provider.operator)).total - before;
    expect(gained >= BigInt(WORTH_THE_GAS) * BigInt(NOTICE_EPOCHS)).to.equal(true);
  });

  it("is not shown when the penalty is worth less than the gas", async () => {
    const device = await opened("1000", 2);
    await proposeOther(device);
    await until("it is noted", () => provider.log.includes("signed two states under one version"), 30);
    await local.mine(EPOCH_BLOCKS);
    await rounds();
    expect(await status(device)).to.equal("running");
    expect(provider.log).not.to.contain(SHOWN);
  });

  it("is not believed of somebody whose signature it is not", async () => {
    const device = await opened(WORTH_THE_GAS, 3);
    const forged = await other(device);
    const answer = await device.propose({ ...forged, userSignature: `${forged.userSignature.slice(0, -4)}001b` });
    expect(answer.json.error).to.include({ code: "CONFLICT", check: "version" });
    await local.mine(EPOCH_BLOCKS);
    await rounds();
    expect(await status(device)).to.equal("running");
    expect(provider.log).not.to.contain("two states");
  });
});
