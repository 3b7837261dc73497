/** Providers that lie about a data set: whatever they say, nothing is paid twice, and no index is given twice. */

import { randomBytes } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "chai";
import { Wallet } from "ethers";
import type { Clock } from "../../../offchain/agent/clock.ts";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import type { LaneProvider } from "../../../offchain/agent/data-sets/lane.ts";
import { readUserAccount } from "../../../offchain/chain/escrow.ts";
import { decodeLiveRanges } from "../../../offchain/core/data-set/ranges.ts";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { DataSetStatus, SegmentStatus, UpdateAnswer } from "../../../offchain/core/wire/data-sets.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { DataSetFixture, objectOf } from "./fixture.ts";

const NATIVE = `0x${"00".repeat(20)}`;
const WORD = `0x${"9a".repeat(32)}`;

describe("a hostile provider of data sets", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;
  let now: number;
  /** Time passes in the pauses only. */
  const clock: Clock = {
    now: () => now,
    pause: async (milliseconds, signal) => {
      now += milliseconds;
      await nextTurn();
      signal?.throwIfAborted();
    },
  };

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    now = Date.now();
    fixture = await DataSetFixture.make(net);
    fixture.platform = memoryPlatform({ clock });
    // Notices of waits would let the time pass.
    const waits = { during: async (_party: string, _step: string, work: () => Promise<unknown>) => await work() };
    fixture.context = Object.assign(fixture.newContext(), { waits });
  });

  /** The fixture's provider, some of its calls replaced. */
  function lying(changed: (honest: LaneProvider) => Partial<LaneProvider>): LaneProvider {
    const honest = fixture.provider;
    const lies: Partial<Record<PropertyKey, unknown>> = { ...changed(honest) };
    return new Proxy<LaneProvider>(honest, {
      get: (target, name) => {
        if (lies[name] !== undefined) return lies[name];
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  }

  async function putTo(provider: LaneProvider, objects: readonly Uint8Array[]) {
    const lane = await fixture.open({}, provider);
    await fixture.add(lane, objects);
    return await lane.commit();
  }

  const deposited = async () => (await readUserAccount(net.chain, NATIVE, fixture.context.account.address)).available;

  /** What is refused before any money moves, and finished by an honest provider. */
  async function refused(provider: LaneProvider, code: TallystickError["code"]): Promise<TallystickError> {
    const objects = [objectOf(1.5)];
    const error = await expectAsyncRejection(() => putTo(provider, objects), code);
    expect(error.party).to.equal(fixture.provider.name);
    expect(await deposited()).to.equal(0n);
    const report = await fixture.put(objects);
    expect(report).to.include({ isNew: true, slices: 2 });
    expect(fixture.provider.forgeries).to.deep.equal([]);
    return error;
  }

  it("that assigns another phase while powers are sent is refused", async () => {
    const provider = lying((honest) => ({
      appendPowers: async (...args) => ({ ...(await honest.appendPowers(...args)), phase: 6 }),
    }));
    const error = await refused(provider, "BAD_RESPONSE");
    expect(error).to.include({ check: "phase", expected: "5", received: "6" });
  });

  it("that assigns another phase to a set that runs is refused", async () => {
    const first = await fixture.put([objectOf(1)]);
    fixture.provider.phase = 6;
    const error = await expectAsyncRejection(() => fixture.put([objectOf(1)]), "BAD_RESPONSE");
    expect(error.check).to.equal("phase");
    fixture.provider.phase = 5;
    expect((await fixture.put([objectOf(1)])).id).to.equal(first.id);
  });

  it("that assigns a phase which the escrow refuses is named, before money moves", async () => {
    fixture.provider.phase = 15;
    const error = await expectAsyncRejection(() => fixture.put([objectOf(1)]), "BAD_RESPONSE");
    expect(error).to.include({ check: "phase", expected: "below 15", received: "15" });
    expect(await deposited()).to.equal(0n);
  });

  for (const [check, changed] of [
    ["audit key hash", { auditKeyHash: WORD }],
    ["salt", { salt: WORD }],
    ["elements of a slice", { sliceElements: 2048 }],
    ["bytes of powers-a", { powersABytes: 96 * 1025 }],
    ["bytes of powers-b", { powersBBytes: 96 * 3 }],
  ] as [string, Partial<DataSetStatus>][]) {
    it(`that tells of another ${check} is refused, and is sent nothing`, async () => {
      const provider = lying((honest) => ({
        beginDataSet: async (...args) => ({ ...(await honest.beginDataSet(...args)), ...changed }),
      }));
      const appended = fixture.provider.receivedBytes;
      const lane = await fixture.open({}, provider);
      await fixture.add(lane, [objectOf(1.5)]);
      const error = await expectAsyncRejection(() => lane.deliver(), "BAD_RESPONSE");
      expect(error.check).to.equal(check);
      expect(fixture.provider.receivedBytes).to.equal(appended);
    });
  }

  it("that lies about the powers it has received is found out when it says that they do not grow", async () => {
    const provider = lying((honest) => ({
      appendPowers: async (...args) => ({ ...(await honest.appendPowers(...args)), powersABytes: 0 }),
    }));
    const error = await refused(provider, "BAD_RESPONSE");
    expect(error.check).to.equal("bytes of powers-a received");
  });

  it("that lies about the powers it has received by half a point is refused", async () => {
    const provider = lying((honest) => ({
      beginDataSet: async (...args) => ({ ...(await honest.beginDataSet(...args)), powersABytes: 48 }),
    }));
    const error = await expectAsyncRejection(() => putTo(provider, [objectOf(1)]), "BAD_RESPONSE");
    expect(error.check).to.equal("bytes of powers-a received");
  });

  for (const [check, changed] of [
    ["segment", { segment: WORD }],
    ["first index", { firstIndex: 2 }],
    ["slice count", { sliceCount: 3 }],
    ["manifest hash", { manifestHash: WORD }],
    ["commitments root", { commitmentsRoot: WORD }],
    ["bytes of tags", { tagsExpectedBytes: 96 * 1e6 }],
    ["state", { state: "included" }],
  ] as [string, Partial<SegmentStatus>][]) {
    it(`that describes another segment is refused: ${check}`, async () => {
      const provider = lying((honest) => ({
        beginSegment: async (...args) => ({ ...(await honest.beginSegment(...args)), ...changed }),
      }));
      expect((await refused(provider, "BAD_RESPONSE")).check).to.equal(check);
    });
  }

  it("that does not verify is given up after ten minutes, whatever it counts", async () => {
    const provider = lying((honest) => {
      let asked = 0;
      return {
        verifySegment: async (salt, segment) => {
          const status = await honest.verifySegment(salt, segment);
          asked += 1;
          return { ...status, state: "verifying", checkedSlices: asked % 2 };
        },
      };
    });
    const begun = now;
    const error = await expectAsyncRejection(() => putTo(provider, [objectOf(1.5)]), "TIMED_OUT");
    expect(error).to.include({ check: "verified slices", retryable: true });
    expect(now - begun).to.be.within(600_000, 603_000);
  });

  it("that finds right tags wrong is not offered them again: their indices stay used", async () => {
    const provider = lying(() => ({
      verifySegment: async () => {
        throw new TallystickError("wrong tags", { code: "INVALID_PROOF", party: "provider http://memory" });
      },
    }));
    const objects = [objectOf(1.5)];
    const lane = await fixture.open({}, provider);
    await fixture.add(lane, objects);
    await expectAsyncRejection(() => lane.deliver(), "INVALID_PROOF");
    const again = await expectAsyncRejection(() => lane.commit(), "CONFLICT");
    expect(again.retryable).to.equal(true);
    const report = await fixture.put(objects);
    expect(report.liveRanges).to.deep.equal([{ firstIndex: 3, count: 2 }]);
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  for (const [what, alter] of [
    [
      "with another key",
      async (answer: UpdateAnswer) => {
        const stranger = new Wallet(`0x${randomBytes(32).toString("hex")}`);
        return { ...answer, providerSignature: await stranger.signMessage("a state") };
      },
    ],
    ["with bytes that are no signature", async (answer: UpdateAnswer) => ({ ...answer, providerSignature: "0x12" })],
  ] as [string, (answer: UpdateAnswer) => Promise<UpdateAnswer>][]) {
    it(`that signs ${what} is refused, and nothing is sent in its place`, async () => {
      fixture.provider.sends = false;
      const provider = lying((honest) => ({
        openDataSet: async (...args) => await alter(await honest.openDataSet(...args)),
      }));
      const objects = [objectOf(1)];
      const error = await expectAsyncRejection(() => putTo(provider, objects), "INVALID_SIGNATURE");
      expect(error).to.include({ party: fixture.provider.name, check: "signature of the state of the data set" });
      const [set] = await fixture.platform.dataSets.sets();
      expect(set?.signed?.providerSignature).to.equal(undefined);
      const before = await deposited();
      const report = await fixture.put(objects);
      expect(report).to.include({ version: 1n, isNew: true, deposited: 0n });
      expect(await deposited()).to.equal(before);
      expect(fixture.provider.forgeries).to.deep.equal([]);
    });
  }

  for (const isOpen of [false, true]) {
    const what = isOpen ? "into a set that runs" : "that opens a set";
    it(`that has no room for a put ${what} takes smaller ones`, async () => {
      const requireRoom = (ranges: string) => {
        const slices = decodeLiveRanges(fromHex(ranges)).reduce((sum, { count }) => sum + count, 0);
        if (slices <= 3) return;
        throw new TallystickError("no room", { code: "RATE_LIMITED", party: fixture.provider.name, retryable: false });
      };
      const provider = lying((honest) => ({
        openDataSet: async (salt, request) => {
          requireRoom(request.first.ranges);
          return await honest.openDataSet(salt, request);
        },
        updateDataSet: async (salt, request) => {
          requireRoom(request.ranges);
          return await honest.updateDataSet(salt, request);
        },
      }));
      if (isOpen) await putTo(provider, [objectOf(1)]);
      const large = [objectOf(5)];
      await expectAsyncRejection(() => putTo(provider, large), "RATE_LIMITED");
      // The same put again is refused again; what is smaller is not held up by it.
      await expectAsyncRejection(() => putTo(provider, large), "RATE_LIMITED");
      const small = await putTo(provider, [objectOf(1)]);
      expect(small).to.include({ isNew: !isOpen, addedSlices: 1, slices: isOpen ? 2 : 1 });
      expect(await new DataSets(fixture.context).audit(small.id ?? "")).to.include({ slices: small.slices });
      // With an honest provider the large one follows, under indices that nothing else has.
      const report = await fixture.put(large);
      expect(report).to.include({ addedSlices: 5, slices: small.slices + 5 });
      expect(fixture.provider.forgeries).to.deep.equal([]);
    });
  }

  for (const [check, changed] of [
    ["id of the data set", { id: WORD }],
    ["version", { version: "2" }],
  ] as [string, Partial<UpdateAnswer>][]) {
    it(`that answers about another ${check} is refused`, async () => {
      const provider = lying((honest) => ({
        openDataSet: async (...args) => ({ ...(await honest.openDataSet(...args)), ...changed }),
      }));
      const error = await expectAsyncRejection(() => putTo(provider, [objectOf(1)]), "BAD_RESPONSE");
      expect(error).to.include({ party: fixture.provider.name, check });
    });
  }

  for (const [how, transaction] of [
    ["says so", undefined],
    ["names a transaction that is not there", { hash: WORD, blockNumber: 1 }],
  ] as const) {
    it(`that signs but never sends, and ${how}, is not waited for: the user sends the state`, async () => {
      fixture.provider.sends = false;
      const add = (answer: UpdateAnswer) => (transaction === undefined ? answer : { ...answer, transaction });
      const provider = lying((honest) => ({
        openDataSet: async (...args) => add(await honest.openDataSet(...args)),
        updateDataSet: async (...args) => add(await honest.updateDataSet(...args)),
      }));
      const begun = now;
      const opened = await putTo(provider, [objectOf(1)]);
      expect(opened).to.include({ version: 1n, isNew: true });
      expect(opened.transactions).to.have.length(2);
      await fixture.mineEpoch();
      const updated = await putTo(provider, [objectOf(1)]);
      expect(updated).to.include({ version: 2n, slices: 2 });
      expect(updated.transactions).to.have.length(1);
      expect(now - begun).to.be.below(200_000);
    });
  }

  it("that is gone after it has signed is not needed any more", async () => {
    fixture.provider.sends = false;
    const send = fixture.context.send.bind(fixture.context);
    let sent = 0;
    Object.assign(fixture.context, {
      send: async (...args: Parameters<typeof send>) => {
        sent += 1;
        if (sent === 2) throw new Error("killed before it sent the state");
        return await send(...args);
      },
    });
    const objects = [objectOf(1)];
    await fixture.put(objects).then(
      () => expect.fail("it was killed"),
      () => undefined,
    );
    const gone = async (): Promise<never> => {
      throw new TallystickError("nobody answers", { code: "UNREACHABLE", party: "provider http://memory" });
    };
    const report = await putTo(
      lying(() => ({ openDataSet: gone })),
      objects,
    );
    expect(report).to.include({ version: 1n, isNew: true, deposited: 0n });
  });

  it("that lets a state expire gets another version of it, never two states of one", async () => {
    const refusing = lying(() => ({
      openDataSet: async () => {
        throw new TallystickError("not now", { code: "PARTY_FAILED", party: "provider http://memory" });
      },
    }));
    const objects = [objectOf(1)];
    await expectAsyncRejection(() => putTo(refusing, objects), "PARTY_FAILED");
    for (let epoch = 0; epoch < 5; epoch += 1) await fixture.mineEpoch();
    const report = await fixture.put(objects);
    expect(report).to.include({ version: 2n, isNew: true, slices: 1, deposited: 0n });
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("that forgets a set which was never opened, and assigns another phase, gets other terms", async () => {
    const refusing = lying(() => ({
      openDataSet: async () => {
        throw new TallystickError("not now", { code: "PARTY_FAILED", party: "provider http://memory" });
      },
    }));
    const objects = [objectOf(1)];
    await expectAsyncRejection(() => putTo(refusing, objects), "PARTY_FAILED");
    const [begun] = await fixture.platform.dataSets.sets();
    fixture.provider.sets.clear();
    fixture.provider.phase = 7;
    const early = await expectAsyncRejection(() => fixture.put(objects), "BAD_RESPONSE");
    expect(early.check).to.equal("phase");
    for (let epoch = 0; epoch < 5; epoch += 1) await fixture.mineEpoch();
    const report = await fixture.put(objects);
    expect(report).to.include({ version: 2n, isNew: true, slices: 1, deposited: 0n });
    expect(report.id).to.not.equal(begun?.agreed?.id);
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("whose offer is for another escrow is refused before anything is stored", async () => {
    fixture.provider.changedOffer = { escrow: `0x${"77".repeat(20)}` };
    const error = await expectAsyncRejection(() => fixture.open(), "BAD_RESPONSE");
    expect(error.check).to.equal("escrow contract");
  });
});
