/** Data sets at a real provider on a real chain, from the first segment to the payout. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { readBooks, readPool } from "../../offchain/chain/escrow.ts";
import { noticeCall, retireCall } from "../../offchain/chain/escrow-calls.ts";
import { decodeProof } from "../../offchain/core/audit/proof.ts";
import { verifyPrivate } from "../../offchain/core/audit/verifier.ts";
import { extendContent } from "../../offchain/core/data-set/content.ts";
import { encodeLiveRanges, subtractRanges } from "../../offchain/core/data-set/ranges.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { type Device, ok } from "../csp/data-sets/device.ts";
import { EPOCH_BLOCKS, NOTICE_EPOCHS, OFFER, runningProvider, SLICE_BYTES } from "../csp/data-sets/running-provider.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { NATIVE, type ProviderProcess } from "../csp/provider-process.ts";
import type { LocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";

describe("data sets of a provider", function () {
  this.timeout(180_000);
  const running = runningProvider();
  const { device, head, toBlock, toChallenge, send, wordsOf, proven, refused, again } = running;
  let local: LocalChain;
  let provider: ProviderProcess;
  beforeEach(() => {
    ({ local, provider } = running.parts());
  });

  it("are opened, grow by a slice, lose what the user retires, and are proven in every epoch", async () => {
    const alice = await device(1);
    await alice.add(randomChunk(2 * SLICE_BYTES), randomChunk(SLICE_BYTES + 100));
    const opened = ok(await alice.open());
    expect(opened.id).to.equal(alice.id);
    expect(opened.transaction.blockNumber).to.be.greaterThan(0);
    expect((await alice.onChain())?.last).to.include({ sliceCount: 4, highestIndex: 4 });
    expect(await alice.status()).to.include({ state: "running", version: "1", contentHash: alice.contentHash });
    await toChallenge(alice);
    await proven(alice, 1);
    expect((await readBooks(local.chain, alice.id))?.proven).to.equal(1);

    await alice.add(randomChunk(1000));
    ok(await alice.update());
    expect((await alice.onChain())?.last).to.include({ sliceCount: 5, highestIndex: 5 });
    await toChallenge(alice);
    await proven(alice, 2);

    const all = toHex(encodeLiveRanges(alice.ranges));
    const remaining = subtractRanges(alice.ranges, [{ firstIndex: 1, count: 2 }]);
    await send(1, retireCall(local.deployment, await wordsOf(alice), undefined, encodeLiveRanges(remaining)));
    alice.ranges = remaining;
    // The retirement counts from the epoch after the next one on; until then the old list is proven.
    await toChallenge(alice);
    await proven(alice, 3);
    await toChallenge(alice);
    await proven(alice, 4);
    const status = await alice.status();
    expect(status).to.include({ health: "good", failedEpochs: 0 });
    expect(status.lastProof?.transactionHash).to.match(/^0x[0-9a-f]{64}$/);
    // A state after the retirement names it.
    refused(await alice.propose(await alice.state()), "CONFLICT", "retirements");
    // What was retired does not come back.
    refused(await alice.propose(await alice.state({ retirements: 1, ranges: all })), "INVALID_INPUT", "live ranges");
    await alice.add(randomChunk(500));
    ok(await alice.update(1));
    await toChallenge(alice);
    await proven(alice, 5);
    expect(provider.log).not.to.contain("chunks freed");
    // No epoch is left whose level has the retired slices, and no block that may be replaced.
    await toChallenge(alice);
    await proven(alice, 6);
    await local.mine(130);
    await until(
      "the chunk is let go of",
      () => provider.log.includes("chunks freed"),
      60,
      () => provider.log,
    );
  });

  it("are proven together in one transaction", async () => {
    const [alice, bob] = [await device(1), await device(2)];
    for (const made of [alice, bob]) {
      await made.add(randomChunk(SLICE_BYTES));
      ok(await made.open());
    }
    expect(alice.phase).not.to.equal(bob.phase);
    const later = alice.phase > bob.phase ? alice : bob;
    await provider.end();
    await toChallenge(later);
    await provider.start();
    await proven(await again(alice), 1);
    await proven(await again(bob), 1);
    const hashes = await Promise.all([alice, bob].map(async (made) => (await (await again(made)).status()).lastProof));
    expect(hashes[0]?.transactionHash).to.equal(hashes[1]?.transactionHash);
    expect(await provider.metric("tallystick_csp_proofs_sent_total")).to.equal(2);
  });

  it("are not proven with damaged data, which is shown, and are when it is healed", async () => {
    const alice = await device(1);
    const chunk = randomChunk(2 * SLICE_BYTES);
    await alice.add(chunk);
    ok(await alice.open());
    const [file] = packFiles(join(provider.dataDir, "store"), chunk.bytes);
    if (file === undefined) throw new Error("the chunk is in no file");
    const bytes = readFileSync(file.path);
    bytes.fill(0, file.offset, file.offset + chunk.bytes.length);
    writeFileSync(file.path, bytes);
    await toChallenge(alice);
    await until(
      "the damage is seen",
      async () => (await alice.status()).health === "damaged",
      60,
      () => provider.log,
    );
    expect((await readBooks(local.chain, alice.id))?.proven).to.equal(0);
    expect(await alice.status()).to.include({ provenEpochs: 0, failedEpochs: 1 });
    await alice.client.upload(chunk);
    await proven(alice, 1);
    expect(await alice.status()).to.include({ health: "good", failedEpochs: 0 });
  });

  it("end by notice, are closed, and their money is paid out", async () => {
    const alice = await device(1);
    await alice.add(randomChunk(SLICE_BYTES));
    ok(await alice.open());
    await toChallenge(alice);
    await proven(alice, 1);
    await send(1, noticeCall(local.deployment, await wordsOf(alice)));
    await alice.add(randomChunk(100));
    refused(await alice.propose(await alice.state()), "CONFLICT", "end of the data set");
    for (let epoch = 0; epoch < NOTICE_EPOCHS; epoch++) {
      await toChallenge(alice);
      await proven(alice, 2 + epoch);
    }
    await local.mine(3 * EPOCH_BLOCKS);
    await until(
      "the set is closed",
      async () => (await alice.status()).state === "ended",
      60,
      () => provider.log,
    );
    expect((await readBooks(local.chain, alice.id))?.status).to.equal("closed");
    await local.mine(EPOCH_BLOCKS);
    const pool = () => readPool(local.chain, NATIVE, provider.operator);
    await until(
      "the pool is empty",
      async () => (await pool()).total === 0n,
      60,
      () => provider.log,
    );
    refused(await alice.propose(await alice.state()), "CONFLICT", "state of the data set");
  });

  it("refuse what a provider must not commit to, and change nothing", async () => {
    const alice = await device(1);
    const bob = await device(2);
    await alice.add(randomChunk(3 * SLICE_BYTES));
    // Before it is opened.
    alice.agreed = alice.termsWith({ phase: alice.phase + 1 });
    const wrongPhase = alice.openRequest(await alice.state());
    refused(await alice.client.request("POST", `${alice.path}/open`, { body: wrongPhase }), "INVALID_INPUT", "phase");
    expect((await alice.status()).state).to.equal("preparing");
    ok(await alice.open());
    const before = await alice.onChain();

    refused(await alice.propose(await alice.state({ version: "1" })), "CONFLICT", "version");
    const early = await alice.state({ deadlineBlock: await head() });
    refused(await alice.propose(early), "INVALID_INPUT", "deadline");
    refused(
      await alice.propose(await alice.state({ contentHash: `0x${"12".repeat(32)}` })),
      "INVALID_INPUT",
      "content hash",
    );
    refused(await bob.client.request("GET", alice.path), "NOT_FOUND", "salt");
    refused(
      await bob.client.request("POST", `${alice.path}/updates`, { body: await alice.state() }),
      "NOT_FOUND",
      "salt",
    );
    const unsigned = await alice.state();
    const foreign = { ...unsigned, userSignature: `${unsigned.userSignature.slice(0, -4)}001b` };
    refused(await alice.propose(foreign), "INVALID_SIGNATURE", "EIP-712 signature");

    // A chunk that only Bob owns.
    const own = randomChunk(1000);
    await bob.client.upload(own);
    refused(await alice.beginSegment(alice.segmentOf([own])), "NOT_OWNER", "ownership of every chunk");
    // Indices that are given already.
    const chunk = randomChunk(1000);
    await alice.client.upload(chunk);
    refused(await alice.beginSegment(alice.segmentOf([chunk], 2)), "CONFLICT", "first index");
    refused(await alice.beginSegment(alice.segmentOf([chunk], 2000)), "INVALID_INPUT", "highest index");
    // A segment that is not verified.
    const segment = alice.segmentOf([chunk]);
    ok(await alice.beginSegment(segment));
    const ranges = toHex(encodeLiveRanges([{ firstIndex: 1, count: 4 }]));
    refused(await alice.propose(await alice.state({ ranges })), "CONFLICT", "verified segments");
    // Wrong tags count as not received.
    const tags = segment.tags.slice();
    tags.set(alice.segmentOf([randomChunk(1000)]).tags);
    await expectRefusedTags(alice, { ...segment, tags });

    expect((await alice.onChain())?.schedule).to.deep.equal(before?.schedule);
    expect(await alice.status()).to.include({ version: "1", state: "running" });
  });

  async function expectRefusedTags(made: Device, segment: ReturnType<Device["segmentOf"]>): Promise<void> {
    let message = "";
    await made.send(segment).catch((error: Error) => {
      message = error.message;
    });
    expect(message).to.contain("INVALID_PROOF").and.to.contain("tags");
    const found = ok(await made.client.request("GET", `${made.path}/segments/${segment.name}`));
    expect(found).to.include({ state: "open", tagsBytes: 0 });
  }

  it("keep a segment in their content that a state under way includes, so that commitments can be opened", async () => {
    await provider.end();
    provider.configure({ offer: OFFER, quotas: { transactionsPerEpoch: 2 } });
    await provider.start();
    // A whole epoch in which the second state waits.
    await toBlock((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS);
    const alice = await device(1);
    await alice.add(randomChunk(SLICE_BYTES));
    ok(await alice.open());
    const before = alice.contentHash;
    const waiting = await alice.add(randomChunk(SLICE_BYTES));
    expect(ok(await alice.update()).waitsUntilBlock).to.be.a("number");
    const added = await alice.add(randomChunk(SLICE_BYTES));
    // The newest state takes all of the waiting segment out again.
    alice.ranges = subtractRanges(alice.ranges, [{ firstIndex: waiting.firstIndex, count: 1 }]);
    const skipping = await alice.state({ contentHash: extendContent(before, added) });
    refused(await alice.propose(skipping), "INVALID_INPUT", "content hash");
    ok(await alice.update());
    await toBlock((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS - 2);
    await until("the newest state is sent", async () => (await alice.onChain())?.decoded.version === 3n, 60);
    const { slices, segments } = ok(await alice.openSlices([added.firstIndex]));
    expect(slices).to.have.length(1);
    expect(segments).to.have.length(1);
  });

  it("refuse a fee above the cap, and a balance that does not last for the notice period", async () => {
    const poor = await device(4, 1000n);
    await poor.add(randomChunk(SLICE_BYTES));
    const answer = await poor.open();
    refused(answer, "CONFLICT", "balance in the escrow");
    const required = (poor.agreed?.terms.feePerSlice ?? 0n) * BigInt(NOTICE_EPOCHS);
    expect(answer.json.error).to.include({ expected: `at least ${required}`, received: "1000" });
    expect((await poor.status()).state).to.equal("preparing");
    await poor.deposit(required);
    ok(await poor.open());

    const dear = { ...OFFER, prices: [{ ...OFFER.prices[0], pricePerGibEpoch: "1000000000000000" }] };
    await provider.end();
    provider.configure({ offer: dear });
    await provider.start();
    const rich = await device(5, 10n ** 18n);
    await rich.add(randomChunk(2 * SLICE_BYTES));
    rich.agreed = rich.termsWith({ feeCap: 10n ** 15n / (2n ** 30n / BigInt(SLICE_BYTES)) + 10n ** 7n });
    const body = rich.openRequest(await rich.state());
    refused(await rich.client.request("POST", `${rich.path}/open`, { body }), "INVALID_INPUT", "fee cap");
  });

  it("answer private audits about the slices that they hold", async () => {
    const alice = await device(1);
    await alice.add(randomChunk(3 * SLICE_BYTES));
    ok(await alice.open());
    const seed = new Uint8Array(32).fill(9);
    const ranges = [{ firstIndex: 2, count: 2 }];
    const audit = (list: typeof ranges) =>
      alice.audit({ challenge: { seed, sampleCount: 8, ranges: list }, isPublic: false });
    const { proof } = ok(await audit(ranges));
    verifyPrivate(alice.secrets, alice.secrets.x, { seed, sampleCount: 8, ranges }, decodeProof(fromHex(proof)));
    refused(await audit([{ firstIndex: 3, count: 2 }]), "INVALID_INPUT", "audited ranges");
  });
});

/** Where bytes lie in the files below a folder. */
function packFiles(folder: string, bytes: Uint8Array): { path: string; offset: number }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      const offset = readFileSync(path).indexOf(bytes);
      return offset < 0 ? [] : [{ path, offset }];
    });
}
