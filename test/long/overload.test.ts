/**
 * Forty strangers at the minimum fee, whose sets fall into one window and are as expensive to prove as the offer
 * allows, come at the same moment to a provider that keeps sets of honest users. What it cannot prove in time it
 * refuses; what it has taken on, it proves in every epoch.
 */
import { expect } from "chai";
import { Wallet } from "ethers";
import { readBooks } from "../../offchain/chain/escrow.ts";
import { depositCollateralCall } from "../../offchain/chain/escrow-calls.ts";
import { type DataSetSecrets, deriveDataSetSecrets } from "../../offchain/core/audit/keys.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { provingMilliseconds } from "../../offchain/csp/data-sets/capacity.ts";
import { PROVING_THREADS } from "../../offchain/csp/data-sets/proving-threads.ts";
import { AuditedSet } from "../csp/audited-data.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { type Answer, NATIVE, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";

/** Two phases, whose windows overlap: all sets are due in one window. */
const EPOCH_BLOCKS = 32;
const WINDOW_BLOCKS = 20;
const HIGHEST_INDEX = 1000;
const COLLATERAL = 10n ** 17n;
const OFFER = {
  ...TEST_OFFER,
  windowBlocks: WINDOW_BLOCKS,
  // Deposited before, so that it is not paid out, nor each set waits for a deposit of its own.
  dataSets: {
    tokens: [{ token: NATIVE, reserve: String(COLLATERAL) }],
    graceBlocks: 10,
    sliceElements: [SLICE_ELEMENTS],
    maximumIndex: HIGHEST_INDEX,
  },
};
const STRANGERS = 40;
/** One of them has a slice that is cut from as many objects as it may be, each of which is a read of a disk. */
const TINY_OBJECTS = SLICE_ELEMENTS / 2;
const DENSE = 0;
const HONEST = 3;
/** Preparations at a time: more wait for the provider's two threads anyway. */
const AT_A_TIME = 4;
const FUNDS = 10n ** 15n;
const PROVEN_EPOCHS = 2;

/** Strangers may share a key, so that an attack costs them less. */
class SharedAuditedSet extends AuditedSet {
  static #powers: Uint8Array | undefined;
  readonly #secrets: DataSetSecrets;

  constructor(secrets: DataSetSecrets) {
    super(SLICE_ELEMENTS, secrets);
    this.#secrets = secrets;
  }

  override powersB(first: number, count: number): Uint8Array {
    if (first !== 1 || count !== HIGHEST_INDEX) return super.powersB(first, count);
    SharedAuditedSet.#powers ??= new AuditedSet(SLICE_ELEMENTS, this.#secrets).powersB(first, count);
    return SharedAuditedSet.#powers;
  }
}

describe("a provider under a flood of cheap sets", function () {
  this.timeout(600_000);
  let local: LocalChain;
  let provider: ProviderProcess;

  before(async () => {
    await auditReady();
    local = await startLocalChain({ parameters: { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: 2n } });
    // The provider measures how long blocks take.
    await local.chain.provider.send("anvil_mine", ["0x400", "0x1"]);
    provider = await ProviderProcess.prepare(local, { offer: OFFER });
    await provider.start();
  });
  after(async () => {
    await provider.remove();
    await local.stop();
  });

  const rpc = (method: string, ...args: unknown[]) => local.chain.provider.send(method, args);
  const head = () => local.chain.provider.getBlockNumber();

  it("refuses what it cannot prove, and proves all that it has taken on", async () => {
    const rich = local.account(9);
    const signers = Array.from({ length: STRANGERS + HONEST }, () => Wallet.createRandom(local.chain.provider));
    await local.fund(signers.map(({ address }) => address));
    const collateral = depositCollateralCall(local.deployment, NATIVE, provider.operator, COLLATERAL);
    await (await rich.sendTransaction({ to: collateral.to, data: collateral.data, value: COLLATERAL })).wait();

    const secrets = deriveDataSetSecrets(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2));
    const prepared = async (k: number): Promise<Device> => {
      const signer = signers[k];
      if (signer === undefined) throw new Error(`no signer ${k}`);
      const device = await Device.connect(local.chain, provider, signer);
      await device.deposit(FUNDS);
      const isStranger = k < STRANGERS;
      if (isStranger) Object.assign(device, { audited: new SharedAuditedSet(secrets) });
      await device.begin();
      // One slice at the highest index costs the provider a term of the proof for every index below it.
      if (isStranger) device.nextIndex = HIGHEST_INDEX;
      const tiny = Array.from({ length: TINY_OBJECTS }, () => randomChunk(50));
      await device.add(...(k === DENSE ? tiny : [randomChunk(isStranger ? 100 : 5000)]));
      return device;
    };
    const devices: Device[] = [];
    for (let k = 0; k < signers.length; k += AT_A_TIME) {
      const some = Array.from({ length: Math.min(AT_A_TIME, signers.length - k) }, (_, j) => prepared(k + j));
      devices.push(...(await Promise.all(some)));
    }
    const [strangers, honest] = [devices.slice(0, STRANGERS), devices.slice(STRANGERS)];
    expect(new Set(devices.map(({ phase }) => phase)).size).to.be.at.most(2);

    await rpc("evm_setAutomine", false);
    await rpc("evm_setIntervalMining", 1);
    const opened = (device: Device | undefined): Promise<Answer> => {
      if (device === undefined) throw new Error("no device");
      return device.open();
    };
    for (const answer of await Promise.all(honest.map(opened))) ok(answer);
    const [dense, ...others] = strangers;
    const answers: Answer[] = [await opened(dense), ...(await Promise.all(others.map(opened)))];
    const taken = strangers.filter((_, k) => answers[k]?.status === 200);
    const refused = answers.filter(({ status }) => status !== 200);
    for (const { status, json } of refused) {
      expect(json.error, JSON.stringify(json)).to.include({
        code: "RATE_LIMITED",
        check: "proving time in a window",
        retryable: false,
      });
      expect(status).to.equal(429);
    }
    // As many as fit into half of the window, of blocks of a second, however many ask at the same time.
    const estimate = (pieces: number): number =>
      provingMilliseconds({
        ...TEST_OFFER,
        sliceElements: SLICE_ELEMENTS,
        sliceCount: 1,
        highestIndex: HIGHEST_INDEX,
        segments: [{ pieces: { pieces, squares: pieces ** 2, most: pieces } }],
      });
    expect(taken).to.include(dense);
    const promised = estimate(TINY_OBJECTS) + (taken.length - 1) * estimate(1);
    expect(promised).to.be.within(estimate(TINY_OBJECTS), 11_000 * PROVING_THREADS);

    const all = [...honest, ...taken];
    const booksOf = async ({ id }: Device) => {
      const books = await readBooks(local.chain, id);
      if (books === undefined) throw new Error(`${id} is not on chain`);
      return books;
    };
    await until(
      "every set is proven in two epochs",
      async () => {
        const books = await Promise.all(all.map(booksOf));
        return books.every(({ proven }) => proven >= PROVEN_EPOCHS);
      },
      (PROVEN_EPOCHS + 2) * EPOCH_BLOCKS * 2,
      () => provider.log,
    );
    // And every epoch that is over was.
    const epoch = Math.floor((await head()) / EPOCH_BLOCKS);
    for (const device of all) {
      const { missed, status } = await booksOf(device);
      expect({ missed, status }).to.deep.equal({ missed: 0, status: "running" });
      expect((await device.status()).failedEpochs, `failed epochs of ${device.id} by epoch ${epoch}`).to.equal(0);
    }
    expect(await provider.metric("tallystick_csp_epochs_missed_total")).to.equal(0);
  });
});
