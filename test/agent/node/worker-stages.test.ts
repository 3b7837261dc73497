/** Stages on worker threads: they give what the stages in one thread give, and use their memory again. */
import { expect } from "chai";
import { nodePlatform } from "../../../offchain/agent/node/platform.ts";
import { openWorkerStages, startWorkerStages } from "../../../offchain/agent/node/worker-stages.ts";
import { type DataStages, localStages } from "../../../offchain/agent/pipeline/data-stages.ts";
import { openSource } from "../../../offchain/agent/put/source.ts";
import { onEvery } from "../../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../../offchain/agent/put/store-tree.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import type { TallystickError } from "../../../offchain/core/errors.ts";
import { CHUNK_LIMITS } from "../../../offchain/core/recipe/chunker.ts";
import { storedFrame } from "../../../offchain/core/recipe/frame.ts";
import type { KeyMode } from "../../../offchain/core/recipe/recipe.ts";
import { temporaryFolder } from "../../csp/provider-fixture.ts";
import { pseudoText } from "../../helpers/frame-inputs.ts";
import { MemoryOracle } from "../../helpers/memory-data-plane.ts";
import { failure } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";

const MIB = 1_048_576;
/** The largest object, which is sealed where its frame was. */
const SLOT_BYTES = 2_097_152;
const SHORT_SLOT_BYTES = 1_310_720;
const KEY = new Uint8Array(32).fill(7);

describe("stages on worker threads", () => {
  const folder = temporaryFolder();
  let stages: DataStages;

  beforeEach(() => {
    stages = openWorkerStages(2);
  });
  afterEach(async () => await stages.close());

  /** A stored frame in memory of the stages, as the chunker lays it out. */
  function inSlot(plaintext: Uint8Array): Uint8Array {
    const slot = stages.allocate?.(plaintext.length + 1) ?? new Uint8Array(0);
    const stored = slot.subarray(0, plaintext.length + 1);
    stored.set(storedFrame(plaintext));
    return stored;
  }

  it("may be started ahead: the first put or get has them, and the agent closes them when there is none", async () => {
    const started = startWorkerStages(2);
    const platform = nodePlatform(folder(), started);
    expect(platform.openStages?.()).to.equal(started);
    const others = platform.openStages?.();
    expect(others).not.to.equal(started);
    await others?.close();
    await platform.close();
    // They are the one's who opened them.
    expect((await started.frame(pseudoText("ahead", MIB))).digest.length).to.equal(32);
    await started.close();

    const unused = startWorkerStages(2);
    await nodePlatform(folder(), unused).close();
    expect(await failure(unused.frame(pseudoText("ahead", MIB)))).to.include({ code: "INTERNAL" });
  });

  it("frame and seal as the stages of one thread do, whatever the size", async () => {
    for (const plaintext of [
      pseudoRandomBytes("slot", CHUNK_LIMITS.maxBytes),
      pseudoRandomBytes("slot", 300_000),
      // What fits a short slot with its tag, and one byte more.
      pseudoRandomBytes("slot", SHORT_SLOT_BYTES - 17),
      pseudoRandomBytes("slot", SHORT_SLOT_BYTES - 16),
      pseudoText("slot", MIB),
      new Uint8Array(MIB),
      new Uint8Array(0),
    ]) {
      const expected = await localStages.frame(storedFrame(plaintext));
      for (const stored of [inSlot(plaintext), storedFrame(plaintext)]) {
        const framed = await stages.frame(stored);
        expect(Buffer.compare(framed.frame, expected.frame)).to.equal(0);
        expect(framed.digest).to.deep.equal(expected.digest);
        const { id, sealed } = await stages.seal(framed.frame, KEY);
        expect(id).to.equal((await localStages.seal(expected.frame.slice(), KEY)).id);
        expect(contentId(sealed)).to.equal(id);
        stages.release(sealed);
      }
    }
  });

  describe("open a chunk as the stages of one thread do", () => {
    const macKey = pseudoRandomBytes("mac", 32);

    async function sealedChunk(plaintext: Uint8Array) {
      const { frame } = await localStages.frame(storedFrame(plaintext));
      const { id, sealed } = await localStages.seal(frame, KEY);
      return { ref: { id, key: KEY, sizeBytes: plaintext.length, sealedBytes: sealed.length }, sealed };
    }

    function received(sealed: Uint8Array): Uint8Array {
      const memory = stages.allocateSealed?.() ?? new Uint8Array(0);
      memory.set(sealed);
      return memory.subarray(0, sealed.length);
    }

    it("whatever its size and codec, and wherever it was received", async () => {
      for (const plaintext of [
        pseudoRandomBytes("open", CHUNK_LIMITS.maxBytes),
        pseudoRandomBytes("open", 1000),
        pseudoText("open", CHUNK_LIMITS.maxBytes),
        new Uint8Array(MIB),
      ]) {
        const { ref, sealed } = await sealedChunk(plaintext);
        const expected = await localStages.open(sealed.slice(), ref, macKey);
        expect(Buffer.compare(expected.opened?.plaintext ?? new Uint8Array(0), plaintext)).to.equal(0);
        for (const bytes of [received(sealed), sealed.slice()]) {
          const { id, opened, failure: none } = await stages.open(bytes, ref, macKey);
          expect(none).to.equal(undefined);
          expect(id).to.equal(ref.id);
          expect(Buffer.compare(opened?.plaintext ?? new Uint8Array(0), plaintext)).to.equal(0);
          expect(opened?.mac).to.deep.equal(expected.opened?.mac);
          stages.release(opened?.plaintext ?? new Uint8Array(0));
        }
        expect((await stages.open(received(sealed), ref)).opened?.mac).to.equal(undefined);
      }
    });

    it("and say the same of one that is damaged, or is not what its reference says", async () => {
      const { ref, sealed } = await sealedChunk(pseudoRandomBytes("open", MIB));
      const text = await sealedChunk(pseudoText("open", MIB));
      const damaged = sealed.slice();
      damaged[MIB / 2] = (damaged[MIB / 2] ?? 0) ^ 1;
      const unknown = await localStages.seal(new Uint8Array(MIB).fill(9), KEY);
      for (const [bytes, claimed] of [
        [damaged, ref],
        [sealed.subarray(1), ref],
        [sealed, { ...ref, key: new Uint8Array(32) }],
        [sealed, { ...ref, sealedBytes: ref.sealedBytes - 1 }],
        [sealed, { ...ref, sizeBytes: ref.sizeBytes - 1 }],
        [text.sealed, { ...text.ref, sizeBytes: text.ref.sizeBytes - 1 }],
        [unknown.sealed, { ...ref, id: unknown.id, sealedBytes: unknown.sealed.length }],
      ] as const) {
        const outcomes = [await localStages.open(bytes.slice(), claimed), await stages.open(received(bytes), claimed)];
        const [expected, outcome] = outcomes.map(({ failure: error, ...rest }) => ({
          ...rest,
          error: error?.toJSON(),
        }));
        expect(expected?.opened).to.equal(undefined);
        expect(expected?.error === undefined).to.equal(expected?.id !== claimed.id);
        expect(outcome).to.deep.equal(expected);
      }
    });

    it("and never give memory out twice that was given back twice", async () => {
      const slot = stages.allocateSealed?.() ?? new Uint8Array(0);
      stages.release(slot);
      stages.release(slot.subarray(1));
      expect(stages.allocateSealed?.().buffer).to.equal(slot.buffer);
      expect(stages.allocateSealed?.().buffer).to.not.equal(slot.buffer);
    });
  });

  it("frame many small files at once, each in its own memory", async () => {
    const files = Array.from({ length: 500 }, (_, n) =>
      n % 2 === 0 ? pseudoText(`${n}`, n * 20) : pseudoRandomBytes(`${n}`, n * 20),
    );
    const framed = await Promise.all(files.map(async (file) => await stages.frame(storedFrame(file))));
    for (const [index, { frame, digest }] of framed.entries()) {
      const expected = await localStages.frame(storedFrame(files[index] ?? new Uint8Array(0)));
      expect(Buffer.compare(frame, expected.frame), `file ${index}`).to.equal(0);
      expect(digest).to.deep.equal(expected.digest);
    }
  });

  it("use released memory again", async () => {
    const { frame } = await stages.frame(inSlot(pseudoRandomBytes("a", MIB)));
    const { sealed } = await stages.seal(frame, KEY);
    expect(sealed.buffer.byteLength).to.equal(SHORT_SLOT_BYTES);
    stages.release(sealed);
    expect(stages.allocate?.(MIB).buffer).to.equal(sealed.buffer);
    expect(stages.allocate?.(MIB).buffer).to.not.equal(sealed.buffer);
  });

  it("move a frame on that outgrows its memory, and use that again", () => {
    const short = stages.allocate?.(1) ?? new Uint8Array(0);
    expect(short.length).to.equal(SHORT_SLOT_BYTES - 16);
    short.set(pseudoRandomBytes("outgrown", short.length));
    const content = short.slice();
    const long = stages.allocate?.(short.length + 1, short) ?? new Uint8Array(0);
    expect(long.buffer.byteLength).to.equal(SLOT_BYTES);
    expect(Buffer.compare(long.subarray(0, content.length), content)).to.equal(0);
    expect(stages.allocate?.(1).buffer).to.equal(short.buffer);
  });

  it("fail what is under way when they are closed, instead of leaving it waiting", async () => {
    const pending = failure(stages.frame(inSlot(pseudoRandomBytes("a", MIB))));
    await stages.close();
    expect((await pending) as TallystickError).to.include({ code: "INTERNAL" });
  });

  for (const keyMode of ["oprf", "merkle", "revocable"] satisfies KeyMode[]) {
    it(`store what one thread stores, in mode ${keyMode}, in memory that depends on no size`, async () => {
      const large = pseudoRandomBytes("large", 60 * MIB);
      const inputs = [
        { name: "a", bytes: large },
        { name: "b", bytes: large },
        { name: "c", bytes: Buffer.concat([large.subarray(MIB), pseudoText("end", 3 * MIB)]) },
        ...Array.from({ length: 300 }, (_, n) => ({ name: `small ${n}`, bytes: pseudoText(`${n}`, 10 * n) })),
      ];
      let allocated = 0;
      let most = 0;
      let released = 0;
      const counting: DataStages = {
        allocate: (neededBytes, outgrown) => {
          if (outgrown === undefined) allocated += 1;
          most = Math.max(most, allocated - released);
          return stages.allocate?.(neededBytes, outgrown) ?? new Uint8Array(0);
        },
        frame: (stored) => stages.frame(stored),
        seal: (frame, key) => stages.seal(frame, key),
        pack: (frame, key) => stages.pack(frame, key),
        sealBundle: (frames, key) => stages.sealBundle(frames, key),
        open: (sealed, ref) => stages.open(sealed, ref),
        release: (bytes) => {
          if ([SHORT_SLOT_BYTES, SLOT_BYTES].includes(bytes.buffer.byteLength)) released += 1;
          stages.release(bytes);
        },
        close: () => stages.close(),
      };
      const put = async (used: DataStages) => {
        const objects: string[] = [];
        const provider = {
          async store(group: readonly { id: string; sealed: Uint8Array }[]) {
            await new Promise((resolve) => setImmediate(resolve));
            for (const { id, sealed } of group) {
              if (contentId(sealed) !== id) throw new Error(`the memory of ${id} was used again too early`);
              objects.push(id);
            }
            return { uploaded: new Set<string>() };
          },
        };
        const { dataId } = await storeTree(openSource(inputs, undefined), {
          oracle: new MemoryOracle(),
          place: onEvery([{ provider }]),
          domain: "public",
          keyMode,
          stages: used,
          counter: { readBytes: 0, readEntries: 0 },
          totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
          onChange: () => undefined,
        });
        return { dataId, objects };
      };
      expect(await put(counting)).to.deep.equal(await put(localStages));
      // 183 MiB went through; the stages hold two batches of 16 MiB and what comes before and after.
      expect(allocated).to.be.greaterThan(140);
      expect(most).to.be.within(1, 75);
    });
  }
});
