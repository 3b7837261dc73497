/** Data sets at a real provider on a real chain when something fails: processes, disks, pools, blocks, parties. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { Contract, ContractFactory, type InterfaceAbi } from "ethers";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { NATIVE_TOKEN } from "../../offchain/chain/data-set-words.ts";
import { readBooks, readPool, readUserAccount } from "../../offchain/chain/escrow.ts";
import {
  approveDataSetsCall,
  closeDataSetCall,
  depositCall,
  noticeCall,
  reportDataSetMissCall,
} from "../../offchain/chain/escrow-calls.ts";
import { type DataSetEvent, scanDataSets } from "../../offchain/chain/escrow-events.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { accrue } from "../../offchain/core/data-set/balance.ts";
import { windowsOf } from "../../offchain/core/data-set/epochs.ts";
import type { AgreedTerms } from "../../offchain/core/data-set/offer.ts";
import { auditTermsHash, type DataSetAuditTerms, type DataSetTerms } from "../../offchain/core/data-set/terms.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk, type TestChunk } from "../csp/provider-fixture.ts";
import { ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { until } from "../helpers/promises.ts";

const EPOCH_BLOCKS = 60;
const NOTICE_EPOCHS = 2;
const SLICE_BYTES = 31 * SLICE_ELEMENTS;
/** Blocks that a reorganisation may replace, by the provider's caution. */
const FINAL_BLOCKS = 128;
const OFFER = {
  ...TEST_OFFER,
  windowBlocks: 20,
  dataSets: { graceBlocks: 10, sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 },
};
const FUNDS = 10n ** 15n;

describe("data sets of a provider when something fails", function () {
  this.timeout(240_000);
  let local: LocalChain;
  let provider: ProviderProcess;

  before(async () => {
    await auditReady();
    const parameters = { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: BigInt(NOTICE_EPOCHS) };
    local = await startLocalChain({ parameters });
  });
  after(() => local.stop());
  beforeEach(async () => {
    provider = await ProviderProcess.prepare(local, { offer: OFFER });
    await provider.start();
  });
  afterEach(() => provider.remove());

  const head = () => local.chain.provider.getBlockNumber();
  const pendingNonce = () => local.chain.provider.getTransactionCount(provider.operator, "pending");
  const eventsOf = async ({ id }: Device): Promise<DataSetEvent[]> => {
    const found: DataSetEvent[] = [];
    for await (const event of scanDataSets(local.chain, 0, await head()))
      if ("id" in event && event.id === id) found.push(event);
    return found;
  };
  const onChain = async ({ id }: Device) => {
    const books = await readBooks(local.chain, id);
    if (books === undefined) throw new Error("not on chain");
    return books;
  };
  const send = async (account: number, { to, data, value = 0n }: ContractCall) => {
    await (await local.account(account).sendTransaction({ to, data, value })).wait();
  };
  const wordsOf = async (device: Device) => {
    const found = await device.onChain();
    const { agreed } = device;
    if (found === undefined || agreed === undefined) throw new Error("not on chain");
    return { terms: agreed.terms, audit: agreed.audit, schedule: found.schedule, ranges: found.ranges };
  };

  async function deviceOf(account: number, funds = FUNDS): Promise<Device> {
    const device = await Device.connect(local.chain, provider, local.account(account));
    if (funds > 0n) await device.deposit(funds);
    await device.begin();
    return device;
  }

  /** A device with a data set that is open. */
  async function opened(account: number, ...chunks: TestChunk[]): Promise<Device> {
    const device = await deviceOf(account);
    await device.add(...(chunks.length > 0 ? chunks : [randomChunk(3 * SLICE_BYTES), randomChunk(SLICE_BYTES)]));
    ok(await device.open());
    return device;
  }

  /** The device after the provider was started again, at another address. */
  async function again(device: Device): Promise<Device> {
    const { client } = await Device.connect(local.chain, provider, device.signer);
    return Object.assign(Object.create(Device.prototype), device, { client });
  }

  async function mineTo(block: number): Promise<void> {
    const missing = block - (await head());
    if (missing > 0) await local.mine(missing);
  }

  /** Goes to the next epoch, up to the block behind the challenge: from there a proof counts. */
  async function openEpoch({ agreed }: Device) {
    if (agreed === undefined) throw new Error("not open");
    const epoch = Math.floor((await head()) / EPOCH_BLOCKS) + 1;
    const windows = windowsOf({ ...agreed.audit, epochBlocks: EPOCH_BLOCKS }, epoch);
    await mineTo(windows.challengeBlock + 1);
    return windows;
  }

  const proven = (device: Device, count: number) =>
    until(
      `${count} epochs proven`,
      async () => (await onChain(device)).proven >= count,
      60,
      () => provider.log,
    );
  const told = (device: Device, what: string, holds: (status: Awaited<ReturnType<Device["status"]>>) => boolean) =>
    until(
      what,
      async () => holds(await device.status()),
      60,
      () => provider.log,
    );

  /** Damages every stored object. */
  function damage(): void {
    damageObjects(join(provider.dataDir, "store"), 1);
  }

  it("go on after kill -9: proven once per epoch, whatever was under way", async () => {
    const alice = await opened(1);
    const before = await local.chain.provider.getTransactionCount(provider.operator);
    const epochs: number[] = [];
    for (let count = 1; count <= 4; count++) {
      epochs.push((await openEpoch(alice)).epoch);
      if (count % 2 === 0) await proven(alice, count);
      else await new Promise((resolve) => setTimeout(resolve, 200 * Math.random()));
      await provider.end("SIGKILL");
      await provider.start();
      await proven(alice, count);
    }
    const provenEpochs = (await eventsOf(alice)).flatMap((event) =>
      event.kind === "EpochProven" ? [event.epoch] : [],
    );
    expect(provenEpochs).to.deep.equal(epochs);
    // A transaction per proof, and per epoch a withdrawal at most: nothing was sent twice.
    const withdrawals = (await local.chain.provider.getTransactionCount(provider.operator)) - before - 4;
    expect(withdrawals).to.be.within(0, 4);
  });

  it("cannot be proven once bytes are damaged: no transaction, loud status, miss, compensation, breach", async () => {
    const chunk = randomChunk(3 * SLICE_BYTES);
    const alice = await opened(1, chunk);
    await openEpoch(alice);
    await proven(alice, 1);
    await told(alice, "it is good", ({ health }) => health === "good");

    damage();
    /** As of the epoch of the newest block. */
    const availableOf = async (account: string) => {
      const touched = await readUserAccount(local.chain, NATIVE_TOKEN, account);
      return accrue(touched, Math.floor((await head()) / EPOCH_BLOCKS)).available;
    };
    const fee = (await alice.onChain())?.last.fee ?? 0n;
    const { terms } = await wordsOf(alice);
    const reporter = local.account(3);
    for (let missed = 1; missed <= OFFER.breachLimit; missed++) {
      const { epoch, graceEnd } = await openEpoch(alice);
      await told(alice, "the status tells of it", ({ healthDetail = "" }) => healthDetail.includes(`epoch ${epoch}`));
      const status = await alice.status();
      expect(status).to.include({ health: "damaged", provenEpochs: 1, failedEpochs: missed });
      expect(status.healthDetail).to.contain("chunks are damaged");
      expect(provider.log).to.contain("DATA DAMAGED").and.contain(chunk.id);
      expect(await provider.metric("tallystick_csp_damaged_data_sets")).to.equal(1);
      await mineTo(graceEnd);
      const balance = await availableOf(alice.user);
      const bounties = await availableOf(reporter.address);
      await send(3, reportDataSetMissCall(local.deployment, await wordsOf(alice), epoch));
      const bounty = (await availableOf(reporter.address)) - bounties;
      expect(bounty).to.equal((fee * BigInt(terms.bountyPercent)) / 100n);
      const compensated = fee + (fee * BigInt(terms.compensationPercent)) / 100n;
      const gain = (await availableOf(alice.user)) - balance;
      expect(gain).to.equal(compensated);
      await until("the daemon notices the miss", () => provider.log.split("EPOCH MISSED").length > missed, 60);
      expect(await provider.metric("tallystick_csp_epochs_missed_total")).to.equal(missed);
    }
    expect(await provider.metric("tallystick_csp_proofs_sent_total")).to.equal(1);
    expect(await onChain(alice)).to.include({ status: "breached", missed: OFFER.breachLimit, proven: 1 });
    expect((await readPool(local.chain, NATIVE_TOKEN, provider.operator)).locked).to.equal(0n);
    // A reorganisation may undo the miss that led to it.
    expect((await alice.status()).state).to.equal("running");
    await local.mine(FINAL_BLOCKS + EPOCH_BLOCKS);
    await told(alice, "the breached set is let go of", ({ state }) => state === "ended");
  });

  it("cannot be proven with damaged tags, which the status tells", async () => {
    const alice = await opened(1);
    const tags = alice.segmentOf([randomChunk(4 * SLICE_BYTES)]).tags;
    const file = join(provider.dataDir, "data-sets", "1", "tags-1");
    expect(readFileSync(file).length).to.equal(tags.length);
    writeFileSync(file, tags);
    await openEpoch(alice);
    await told(alice, "damaged", ({ health }) => health === "damaged");
    expect((await alice.status()).healthDetail).to.contain("tags or powers are damaged");
    expect((await onChain(alice)).proven).to.equal(0);
  });

  it("are found after a crash between opening and answer, and asking again is answered the same", async () => {
    const alice = await deviceOf(1);
    await alice.add(randomChunk(SLICE_BYTES));
    alice.agreed = alice.termsWith();
    const body = alice.openRequest(await alice.state());
    const open = (device: Device) => device.client.request("POST", `${device.path}/open`, { body });
    const dying = open(alice).catch(() => undefined);
    await until("sent", async () => (await readBooks(local.chain, alice.id)) !== undefined, 60);
    await provider.end("SIGKILL");
    await dying;
    await provider.start();
    const restarted = await again(alice);
    const first = ok(await open(restarted));
    const event = (await eventsOf(alice)).find(({ kind }) => kind === "DataSetOpened");
    expect(first).to.include({ id: alice.id, version: "1" });
    expect(first.transaction).to.deep.equal({ hash: event?.transactionHash, blockNumber: event?.blockNumber });
    expect(ok(await open(restarted))).to.deep.equal(first);
    expect((await eventsOf(alice)).filter(({ kind }) => kind === "DataSetOpened")).to.have.length(1);
    await openEpoch(restarted);
    await proven(restarted, 1);
  });

  it("are continued when the opening was mined meanwhile, and proofs in the pool are not sent again", async () => {
    const alice = await deviceOf(1);
    await alice.add(randomChunk(SLICE_BYTES));
    alice.agreed = alice.termsWith();
    const body = alice.openRequest(await alice.state());
    const { provider: node } = local.chain;
    await node.send("evm_setAutomine", [false]);
    try {
      const before = await pendingNonce();
      const dying = alice.client.request("POST", `${alice.path}/open`, { body }).catch(() => undefined);
      await until("the collateral is in the pool", async () => (await pendingNonce()) === before + 1, 60);
      await local.mine(1);
      await until("the opening is in the pool", async () => (await pendingNonce()) === before + 2, 60);
      await provider.end("SIGKILL");
      await dying;
      await local.mine(1);
      await provider.start();
      const restarted = await again(alice);
      await told(restarted, "it is taken up", ({ state }) => state === "running");
      // No money comes free in the epoch that begins: what is in the pool then is the proof.
      await openEpoch(restarted);
      await until("the proof is in the pool", async () => (await pendingNonce()) === before + 3, 60);
      await provider.end("SIGKILL");
      await provider.start();
      const last = await again(alice);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      expect(await pendingNonce()).to.equal(before + 3);
      expect((await last.status()).provenEpochs).to.equal(0);
      await local.mine(1);
      await told(last, "the status tells of it", ({ provenEpochs }) => provenEpochs === 1);
      expect((await onChain(alice)).proven).to.equal(1);
      expect(await pendingNonce()).to.equal(before + 3);
    } finally {
      await node.send("evm_setAutomine", [true]);
    }
  });

  it("are opened for their user while strangers ask for the same", async () => {
    const alice = await deviceOf(1);
    const mallory = await deviceOf(2, 0n);
    await alice.add(randomChunk(SLICE_BYTES));
    alice.agreed = alice.termsWith();
    const body = alice.openRequest(await alice.state());
    // Under the user's own name, and under hers.
    const asked = Array.from({ length: 20 }, (_, k) =>
      mallory.client.request("POST", `${k % 2 === 0 ? alice.path : mallory.path}/open`, { body }),
    );
    ok(await alice.client.request("POST", `${alice.path}/open`, { body }));
    for (const { json } of await Promise.all(asked)) {
      expect(json.error?.code, JSON.stringify(json)).to.be.oneOf(["NOT_FOUND", "INVALID_INPUT"]);
    }
    expect((await mallory.status()).state).to.equal("preparing");
  });

  it("are proven again when a reorganisation takes the proof back within its window", async () => {
    const alice = await opened(1);
    const { provider: node } = local.chain;
    await node.send("evm_setAutomine", [false]);
    try {
      await openEpoch(alice);
      const nonce = await local.chain.provider.getTransactionCount(provider.operator);
      const before = await node.send("evm_snapshot", []);
      await until("the proof is in the pool", async () => (await pendingNonce()) > nonce, 60);
      await local.mine(1);
      await told(alice, "the status tells of it", ({ provenEpochs }) => provenEpochs === 1);
      await node.send("evm_revert", [before]);
    } finally {
      await node.send("evm_setAutomine", [true]);
    }
    expect((await onChain(alice)).proven).to.equal(0);
    await local.mine(1);
    await proven(alice, 1);
  });

  it("are not opened on terms below the offer, about another set, or with another source of randomness", async () => {
    const alice = await deviceOf(1);
    await alice.add(randomChunk(SLICE_BYTES));
    const good = alice.termsWith();
    const { terms, audit } = good;
    const nonce = await local.chain.provider.getTransactionCount(provider.operator);
    const others: [string, Partial<DataSetTerms>][] = [
      ["provider", { provider: alice.user }],
      ["mode", { mode: "on-demand" }],
      ["fee floor", { feeFloor: terms.feeFloor - 1n }],
      ["fee per slice", { feePerSlice: terms.feePerSlice - 1n }],
      ["fee cap", { feeCap: terms.feeFloor - 1n }],
      ["compensation", { compensationPercent: terms.compensationPercent + 1 }],
      ["bounty", { bountyPercent: terms.bountyPercent + 1 }],
      ["collateral", { collateralPercent: terms.collateralPercent + 1 }],
      ["pay of a late proof", { latePercent: terms.latePercent - 1 }],
      ["breach limit", { breachLimit: 1 }],
      ["token", { token: alice.user }],
      ["hash of the audit terms", { auditHash: alice.salt }],
      ["user", { user: provider.operator }],
    ];
    const audits: [string, Partial<DataSetAuditTerms>][] = [
      ["slice size", { sliceElements: 2 * SLICE_ELEMENTS }],
      ["window in blocks", { windowBlocks: audit.windowBlocks - 1 }],
      ["grace window in blocks", { graceBlocks: audit.graceBlocks - 1 }],
      ["sample count", { sampleCount: audit.sampleCount + 1 }],
      ["phase", { phase: audit.phase + 1 }],
      ["randomness source", { randomness: local.deployment.contracts.keyLedger }],
      ["verifier", { verifier: local.deployment.contracts.keyLedger }],
      ["audit key hash", { keyHash: alice.salt }],
      ["salt", { salt: audit.keyHash }],
    ];
    const cases: [string, AgreedTerms][] = [
      ...others.map(([check, over]): [string, AgreedTerms] => [check, { audit, terms: { ...terms, ...over } }]),
      ...audits.map(([check, over]): [string, AgreedTerms] => {
        const changed = { ...audit, ...over };
        return [check, { audit: changed, terms: { ...terms, auditHash: auditTermsHash(changed) } }];
      }),
    ];
    for (const [check, agreed] of cases) {
      alice.agreed = agreed;
      const body = alice.openRequest(await alice.state());
      const { status, json } = await alice.client.request("POST", `${alice.path}/open`, { body });
      expect(json.error, `${check}: ${JSON.stringify(json)}`).to.include({ code: "INVALID_INPUT", check });
      expect(status).to.equal(400);
    }
    expect(await local.chain.provider.getTransactionCount(provider.operator)).to.equal(nonce);
    expect((await alice.status()).state).to.equal("preparing");
    alice.agreed = good;
    ok(await alice.open());
  });

  it("may be in a token: collateral is approved and put down, and fees are paid out in it", async () => {
    const token = await deployToken();
    const price = { pricePerGibEpoch: "1000000000000", minimumFeePerEpoch: "1000000" };
    provider.configure({ offer: { ...OFFER, prices: [{ token, ...price }] } });
    await provider.end();
    await provider.start();
    const alice = await deviceOf(1, 0n);
    await alice.add(randomChunk(SLICE_BYTES));
    await callToken(token, "mint", alice.user, FUNDS);
    await send(1, approveDataSetsCall(local.deployment, token, FUNDS));
    await send(1, depositCall(local.deployment, token, alice.user, FUNDS));
    alice.agreed = alice.termsWith({ token });
    const open = async () =>
      alice.client.request("POST", `${alice.path}/open`, { body: alice.openRequest(await alice.state()) });

    // The provider has no collateral in it.
    const poor = await open();
    expect(poor.json.error?.code, JSON.stringify(poor.json)).to.be.oneOf(["CHAIN_REVERTED", "FUNDS"]);
    expect((await alice.status()).state).to.equal("preparing");

    const minted = 10n ** 12n;
    await callToken(token, "mint", provider.operator, minted);
    ok(await open());
    alice.version = 1n;
    const pool = await readPool(local.chain, token, provider.operator);
    expect(pool.locked > 0n).to.equal(true);
    expect((await tokenBalance(token, provider.operator)) + pool.total).to.equal(minted);
    await openEpoch(alice);
    await proven(alice, 1);
    await local.mine(EPOCH_BLOCKS);
    const fee = (await alice.onChain())?.last.fee ?? 0n;
    await until("the fee is paid out", async () => {
      return (await tokenBalance(token, provider.operator)) + pool.locked >= minted + fee;
    });
    const inCoins = await deviceOf(2);
    await inCoins.add(randomChunk(SLICE_BYTES));
    inCoins.agreed = { ...alice.agreed, terms: { ...alice.agreed.terms, user: inCoins.user, token: NATIVE_TOKEN } };
    const body = inCoins.openRequest(await inCoins.state());
    const refused = await inCoins.client.request("POST", `${inCoins.path}/open`, { body });
    expect(refused.json.error).to.include({ code: "INVALID_INPUT", check: "token" });
  });

  async function deployToken(): Promise<string> {
    const file = new URL("../../artifacts/contracts/test/zoo/PlainToken.sol/PlainToken.json", import.meta.url);
    const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8")) as { abi: InterfaceAbi; bytecode: string };
    const contract = await new ContractFactory(abi, bytecode, local.account(3)).deploy();
    await contract.waitForDeployment();
    return contract.getAddress();
  }
  const TOKEN_ABI = ["function mint(address, uint256)", "function balanceOf(address) view returns (uint256)"];
  const callToken = async (token: string, method: string, ...args: unknown[]): Promise<void> => {
    const sent = await new Contract(token, TOKEN_ABI, local.account(3)).getFunction(method)(...args);
    await sent.wait();
  };
  const tokenBalance = (token: string, account: string): Promise<bigint> =>
    new Contract(token, TOKEN_ABI, local.chain.provider).getFunction("balanceOf")(account);

  it("that somebody else has closed are settled all the same", async () => {
    const alice = await opened(1);
    await send(1, noticeCall(local.deployment, await wordsOf(alice)));
    await provider.end();
    await local.mine((NOTICE_EPOCHS + 2) * EPOCH_BLOCKS);
    await send(1, closeDataSetCall(local.deployment, await wordsOf(alice)));
    expect((await onChain(alice)).status).to.equal("closed");
    await provider.start();
    await told(await again(alice), "ended", ({ state }) => state === "ended");
    await until(
      "paid out",
      async () => (await readPool(local.chain, NATIVE_TOKEN, provider.operator)).total === 0n,
      60,
      () => provider.log,
    );
  });
});
