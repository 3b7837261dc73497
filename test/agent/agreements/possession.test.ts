import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { randomBytes } from "#primitives";
import {
  type AgreementKeys,
  agreementKeys,
  deliverPreparation,
  Preparations,
  type PreparedDataSet,
} from "../../../offchain/agent/agreements/possession.ts";
import type { CspClient, PreparationPart } from "../../../offchain/agent/providers/csp-client.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { PreparationStatus } from "../../../offchain/core/wire/csp.ts";
import { runOnSmallDisk } from "../../helpers/small-disk.ts";

/** Answers a delivery as a provider would, or as a test wants it to. */
class FakeProvider {
  readonly name = "provider http://fake";
  readonly sent: { part: PreparationPart; offset: number; bytes: number }[] = [];
  readonly asked: number[] = [];
  status: PreparationStatus;
  afterVerify: PreparationStatus["state"][] = ["verified"];

  constructor(prepared: PreparedDataSet, keys: AgreementKeys, sliceCount: number) {
    const perSlice = sliceCount * 48;
    this.status = {
      salt: prepared.salt,
      state: "open",
      firstIndex: 1,
      sliceCount,
      manifestHash: prepared.manifestHash,
      auditKeyHash: keys.keyHash,
      expected: { powersA: 196_608, powersB: perSlice, tags: perSlice },
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
  let home: string;
  let prepared: PreparedDataSet;
  let keys: AgreementKeys;
  let fake: FakeProvider;
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), "tallystick-possession-"));
    const tagger = await new Preparations(home).begin(seed, []);
    const sealed = randomBytes(300_000);
    tagger.add({ id: contentId(sealed), sealed });
    prepared = tagger.finish();
    keys = await agreementKeys(seed, prepared.salt);
    fake = new FakeProvider(prepared, keys, 3);
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  const deliver = () => deliverPreparation(fake as unknown as CspClient, prepared, keys, () => undefined);
  const refusal = async (): Promise<TallystickError> => {
    const error = await deliver().catch((cause: unknown) => cause);
    if (error instanceof TallystickError) return error;
    throw error;
  };

  it("sends powers and tags once and asks until they are verified", async () => {
    expect((await deliver()).state).to.equal("verified");
    expect(fake.sent).to.deep.equal([
      { part: "powers-a", offset: 0, bytes: 196_608 },
      { part: "powers-b", offset: 0, bytes: 144 },
      { part: "tags", offset: 0, bytes: 144 },
    ]);
  });

  it("goes on where the provider says it stopped", async () => {
    fake.status = { ...fake.status, received: { powersA: 196_608, powersB: 48, tags: 0 } };
    await deliver();
    expect(fake.sent).to.deep.equal([
      { part: "powers-b", offset: 48, bytes: 96 },
      { part: "tags", offset: 0, bytes: 144 },
    ]);
  });

  for (const [check, wrong] of [
    ["manifest hash", { manifestHash: toHex(new Uint8Array(32)) }],
    ["audit key hash", { auditKeyHash: toHex(new Uint8Array(32)) }],
    ["first index", { firstIndex: 2 }],
    ["slice count", { sliceCount: 4 }],
    ["bytes of powers-a", { expected: { powersA: 48 * 5000, powersB: 144, tags: 144 } }],
    ["bytes of powers-b", { expected: { powersA: 196_608, powersB: 48 * 1e9, tags: 144 } }],
    ["bytes of tags", { expected: { powersA: 196_608, powersB: 144, tags: 192 } }],
  ] as [string, Partial<PreparationStatus>][]) {
    it(`refuses a provider that tells of another ${check}, and sends it nothing`, async () => {
      fake.status = { ...fake.status, ...wrong };
      expect(await refusal()).to.include({ code: "BAD_RESPONSE", party: fake.name, check });
      expect(fake.sent).to.deep.equal([]);
    });
  }

  it("waits between questions, whatever state the provider tells", async () => {
    fake.afterVerify = ["open", "verifying"];
    await deliver();
    expect(fake.asked.length).to.equal(3);
    for (const [k, at] of fake.asked.slice(1).entries()) expect(at - (fake.asked[k] ?? 0)).to.be.greaterThan(400);
  });
});

describe("prepared tags", () => {
  it("do not count when the disk was too full for all of the manifest", () => {
    const module = (path: string) => JSON.stringify(new URL(`../../../offchain/${path}`, import.meta.url).href);
    const { printed } = runOnSmallDisk(
      `
      import { randomBytes } from "node:crypto";
      import { Preparations } from ${module("agent/agreements/possession.ts")};
      import { contentId } from ${module("core/encoding/content-id.ts")};
      const preparations = new Preparations(process.argv[1]);
      const tagger = await preparations.begin(randomBytes(32), []);
      for (let k = 0; k < 1000; k++) {
        const sealed = new Uint8Array(randomBytes(10));
        tagger.add({ id: contentId(sealed), sealed });
      }
      let outcome = "finished";
      try { tagger.finish(); } catch (error) { outcome = error.code; }
      console.log(JSON.stringify([outcome, preparations.find(tagger.salt) === undefined]));
      process.exit(0);
    `,
      20_480,
    );
    expect(printed).to.deep.equal(["DISK_FULL", true]);
  });
});
