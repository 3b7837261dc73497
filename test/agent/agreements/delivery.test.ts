import { expect } from "chai";
import { randomBytes } from "#primitives";
import { type AgreementKeys, agreementKeys } from "../../../offchain/agent/agreements/agreement-keys.ts";
import { DataSetTagger, type PreparedDataSet } from "../../../offchain/agent/agreements/data-set-tagger.ts";
import { deliverPreparation } from "../../../offchain/agent/agreements/delivery.ts";
import { systemClock } from "../../../offchain/agent/clock.ts";
import type { PreparationPart, PreparationReceiver } from "../../../offchain/agent/providers/storage-provider.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { PreparationStatus } from "../../../offchain/core/wire/csp.ts";
import { MemoryPreparations } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

/** Answers a delivery as a provider would, or as a test wants it to. */
class FakeProvider implements PreparationReceiver {
  readonly name = "provider http://fake";
  readonly sent: { part: PreparationPart; offset: number; bytes: number }[] = [];
  readonly asked: number[] = [];
  status: PreparationStatus;
  afterVerify: PreparationStatus["state"][] = ["verified"];

  constructor(prepared: PreparedDataSet, keys: AgreementKeys, sliceCount: number) {
    const perSlice = sliceCount * 96;
    this.status = {
      salt: prepared.salt,
      state: "open",
      firstIndex: 1,
      sliceCount,
      manifestHash: prepared.manifestHash,
      auditKeyHash: keys.keyHash,
      expected: { powersA: 393_216, powersB: perSlice, tags: perSlice },
      received: { powersA: 0, powersB: 0, tags: 0 },
      checkedSlices: 0,
      expiresAt: 0,
    };
  }

  async openPreparation() {
    return this.status;
  }

  async appendPreparation(_salt: Uint8Array, part: PreparationPart, offset: number, bytes: Uint8Array) {
    this.sent.push({ part, offset, bytes: bytes.length });
    if (this.sent.length > 10) throw new Error("it never stops");
    const stream = ({ "powers-a": "powersA", "powers-b": "powersB", tags: "tags" } as const)[part];
    this.status = { ...this.status, received: { ...this.status.received, [stream]: offset + bytes.length } };
    return this.status;
  }

  async verifyPreparation() {
    this.asked.push(performance.now());
    this.status = { ...this.status, state: this.afterVerify.shift() ?? "verified" };
    return this.status;
  }
}

describe("delivery of a preparation", () => {
  const seed = randomBytes(32);
  let prepared: PreparedDataSet;
  let keys: AgreementKeys;
  let fake: FakeProvider;
  beforeEach(async () => {
    const salt = toHex(randomBytes(32));
    keys = await agreementKeys(seed, salt);
    const tagger = await DataSetTagger.create(new MemoryPreparations(), salt, keys);
    const sealed = randomBytes(300_000);
    await tagger.add({ id: contentId(sealed), sealed });
    prepared = await tagger.finish();
    fake = new FakeProvider(prepared, keys, 3);
  });

  const deliver = () => deliverPreparation(fake, prepared, keys, () => undefined, systemClock);
  const refusal = async (): Promise<TallystickError> => {
    const error = await deliver().catch((cause: unknown) => cause);
    if (error instanceof TallystickError) return error;
    throw error;
  };

  it("sends powers and tags once and asks until they are verified", async () => {
    expect((await deliver()).state).to.equal("verified");
    expect(fake.sent).to.deep.equal([
      { part: "powers-a", offset: 0, bytes: 393_216 },
      { part: "powers-b", offset: 0, bytes: 288 },
      { part: "tags", offset: 0, bytes: 288 },
    ]);
  });

  it("continues at the length that the provider reports", async () => {
    fake.status = { ...fake.status, received: { powersA: 393_216, powersB: 96, tags: 0 } };
    await deliver();
    expect(fake.sent).to.deep.equal([
      { part: "powers-b", offset: 96, bytes: 192 },
      { part: "tags", offset: 0, bytes: 288 },
    ]);
  });

  for (const [check, wrong] of [
    ["manifest hash", { manifestHash: toHex(new Uint8Array(32)) }],
    ["audit key hash", { auditKeyHash: toHex(new Uint8Array(32)) }],
    ["first index", { firstIndex: 2 }],
    ["slice count", { sliceCount: 4 }],
    ["bytes of powers-a", { expected: { powersA: 96 * 5000, powersB: 288, tags: 288 } }],
    ["bytes of powers-b", { expected: { powersA: 393_216, powersB: 96 * 1e9, tags: 288 } }],
    ["bytes of tags", { expected: { powersA: 393_216, powersB: 288, tags: 384 } }],
  ] as [string, Partial<PreparationStatus>][]) {
    it(`refuses a provider that tells of another ${check}, and sends it nothing`, async () => {
      fake.status = { ...fake.status, ...wrong };
      expect(await refusal()).to.include({ code: "BAD_RESPONSE", party: fake.name, check });
      expect(fake.sent).to.deep.equal([]);
    });
  }

  describe("to a provider that goes on verifying", () => {
    let now: number;
    let pauses: number;
    const clock = {
      now: () => now,
      pause: async (milliseconds: number) => {
        now += milliseconds;
        pauses += 1;
        if (pauses > 10_000) throw new Error("it never stops");
      },
    };
    const deliverAt = (counts: (asked: number) => number) => {
      now = 0;
      pauses = 0;
      let asked = 0;
      fake.verifyPreparation = async () => {
        asked += 1;
        const state = asked > 4000 ? "verified" : "verifying";
        fake.status = { ...fake.status, state, checkedSlices: counts(asked) };
        return fake.status;
      };
      return deliverPreparation(fake, prepared, keys, () => undefined, clock);
    };

    for (const [what, counts] of [
      ["without any progress", () => 0],
      ["and reports counts that go up and down", (asked: number) => asked % 2],
      ["and stops in the middle", (asked: number) => Math.min(asked, 2)],
    ] as const) {
      it(`ends after ten minutes when it does so ${what}`, async () => {
        const error = await expectAsyncRejection(() => deliverAt(counts), "TIMED_OUT");
        expect(error).to.include({ party: fake.name, check: "verified slices", retryable: true });
        expect(now).to.be.within(600_000, 602_000);
      });
    }

    it("continues as long as it makes progress", async () => {
      const status = await deliverAt((asked) => Math.floor(asked / 1100));
      expect(status).to.include({ state: "verified", checkedSlices: 3 });
    });
  });

  it("waits between requests, whatever state the provider reports", async () => {
    fake.afterVerify = ["open", "verifying"];
    await deliver();
    expect(fake.asked.length).to.equal(3);
    for (const [k, at] of fake.asked.slice(1).entries()) expect(at - (fake.asked[k] ?? 0)).to.be.greaterThan(400);
  });
});
