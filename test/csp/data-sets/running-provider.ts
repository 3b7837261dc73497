/** A provider on a chain of its own, as tests of data sets drive it: a new provider for each test. */
import { expect } from "chai";
import type { ContractCall } from "../../../offchain/chain/contract-call.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { until } from "../../helpers/promises.ts";
import { type Answer, ProviderProcess, TEST_OFFER } from "../provider-process.ts";
import { Device, SLICE_ELEMENTS } from "./device.ts";

export const EPOCH_BLOCKS = 60;
export const NOTICE_EPOCHS = 2;
const WINDOW_BLOCKS = 20;
const GRACE_BLOCKS = 10;
export const SLICE_BYTES = 31 * SLICE_ELEMENTS;
export const OFFER = {
  ...TEST_OFFER,
  windowBlocks: WINDOW_BLOCKS,
  dataSets: { graceBlocks: GRACE_BLOCKS, sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 },
};
export const FUNDS = 10n ** 15n;

/** Starts and ends chain and provider with the tests of a suite. */
export function runningProvider() {
  let local: LocalChain;
  let provider: ProviderProcess;

  before(async () => {
    await auditReady();
    const parameters = { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: BigInt(NOTICE_EPOCHS) };
    local = await startLocalChain({ parameters });
  });
  after(async () => local.stop());

  beforeEach(async () => {
    provider = await ProviderProcess.prepare(local, { offer: OFFER });
    await provider.start();
  });
  afterEach(async () => provider.remove());

  /** Takes blocks back, and mines as many others: a branch that replaces another one is not shorter. */
  const replaceSince = async (snapshot: unknown): Promise<void> => {
    const head = await local.chain.provider.getBlockNumber();
    await local.chain.provider.send("evm_revert", [snapshot]);
    await local.mine(head - (await local.chain.provider.getBlockNumber()));
  };
  const device = async (account: number, funds = FUNDS): Promise<Device> => {
    const made = await Device.connect(local.chain, provider, local.account(account));
    if (funds > 0n) await made.deposit(funds);
    await made.begin();
    return made;
  };
  const head = () => local.chain.provider.getBlockNumber();
  const toBlock = async (block: number) => {
    const missing = block - (await head());
    if (missing > 0) await local.mine(missing);
  };
  /** The block after the challenge of a set, in the first epoch that has time for it. */
  const toChallenge = async ({ phase }: Device) => {
    const epoch = Math.floor((await head()) / EPOCH_BLOCKS) + 1;
    await toBlock(epoch * EPOCH_BLOCKS + phase + 1);
  };
  const send = async (account: number, call: ContractCall) => {
    const { to, data, value = 0n } = call;
    await (await local.account(account).sendTransaction({ to, data, value })).wait();
  };
  const wordsOf = async (made: Device) => {
    const found = await made.onChain();
    const { agreed } = made;
    if (found === undefined || agreed === undefined) throw new Error("not on chain");
    return { terms: agreed.terms, schedule: found.schedule, ranges: found.ranges };
  };
  const proven = (made: Device, epochs: number) =>
    until(
      "an epoch is proven",
      async () => (await made.status()).provenEpochs >= epochs,
      60,
      () => provider.log,
    );
  const refused = (answer: Answer, code: string, check: string) => {
    expect(answer.json.error, JSON.stringify(answer.json)).to.include({ code, check });
  };

  /** The device after the provider was restarted, at another address. */
  const again = async (made: Device): Promise<Device> => {
    const connected = await Device.connect(local.chain, provider, made.signer);
    return Object.assign(Object.create(Device.prototype), made, { client: connected.client });
  };

  return {
    /** Those of the test that runs. */
    parts: () => ({ local, provider }),
    replaceSince,
    device,
    head,
    toBlock,
    toChallenge,
    send,
    wordsOf,
    proven,
    refused,
    again,
  };
}
