import { appendFileSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { auditPublicKey, deriveAuditSecrets } from "../../../offchain/core/audit/keys.ts";
import { encodeManifest } from "../../../offchain/core/audit/manifest.ts";
import { powersOfBeta } from "../../../offchain/core/audit/powers.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { digestOf } from "../../../offchain/core/encoding/content-id.ts";
import { preparationBody } from "../../../offchain/core/wire/preparation-body.ts";
import { ChunkService } from "../../../offchain/csp/chunks/chunk-service.ts";
import { PreparationService } from "../../../offchain/csp/possession/preparations.ts";
import { VerificationService } from "../../../offchain/csp/possession/verification.ts";
import { MemoryObjectStore } from "../../helpers/memory-object-store.ts";
import { AuditedData } from "../audited-data.ts";
import {
  ALICE,
  BOB,
  EXPIRY_SECONDS,
  frame,
  framesOf,
  openProvider,
  randomChunk,
  refusal,
  streamOf,
  type TestProvider,
  temporaryFolder,
} from "../provider-fixture.ts";

const PARTS = ["powers-a", "powers-b", "tags"] as const;

describe("preparation of agreements", () => {
  const folder = temporaryFolder();
  const seed = randomBytes(32);
  const chunks = [randomChunk(200_000), randomChunk(300), randomChunk(90_001)];
  let data: AuditedData;
  before(async () => {
    await auditReady();
    data = new AuditedData(seed, chunks);
  });

  const stored = async (): Promise<TestProvider> => {
    const provider = await openProvider(folder());
    await provider.chunks.store(ALICE, framesOf(...chunks.map((chunk) => frame(chunk))));
    return provider;
  };
  const streamsOf = (one: AuditedData) => ({ "powers-a": one.powersA, "powers-b": one.powersB, tags: one.tags });
  const sendAll = async ({ preparations }: TestProvider, one: AuditedData, account = ALICE) => {
    for (const part of PARTS) await preparations.append(account, one.saltHex, part, 0, streamOf(streamsOf(one)[part]));
  };

  it("is opened, filled, checked against the stored bytes, and says so at each step", async () => {
    const provider = await stored();
    const { preparations, verification } = provider;
    const opened = await preparations.open(ALICE, data.saltHex, data.request);
    expect(preparations.status(opened, undefined)).to.deep.include({
      state: "open",
      firstIndex: 1,
      sliceCount: 3,
      manifestHash: data.manifestHash,
      expected: { powersA: 393_216, powersB: 288, tags: 288 },
      received: { powersA: 0, powersB: 0, tags: 0 },
    });
    await sendAll(provider, data);
    expect(await verification.verify(await preparations.require(ALICE, data.saltHex), 60)).to.equal(true);
    const status = preparations.status(await preparations.require(ALICE, data.saltHex), undefined);
    expect(status).to.include({ state: "verified", checkedSlices: 3 });
  });

  it("goes on where it was cut off, in a new process too, and overwrites what was not acknowledged", async () => {
    const provider = await stored();
    await provider.preparations.open(ALICE, data.saltHex, data.request);
    const { tags } = data;
    await provider.preparations.append(ALICE, data.saltHex, "tags", 0, streamOf(tags.subarray(0, 50)));
    await provider.close();
    appendFileSync(join(folder(), "preparations", "1", "tags"), "written but never acknowledged");

    const restarted = await openProvider(folder());
    await restarted.preparations.reconcile();
    const again = await restarted.preparations.open(ALICE, data.saltHex, data.request);
    expect(again.received.tags).to.equal(50);
    const error = await refusal(
      restarted.preparations.append(ALICE, data.saltHex, "tags", 0, streamOf(tags)),
      "CONFLICT",
    );
    expect(error.details).to.deep.equal({ received: 50 });
    await restarted.preparations.append(ALICE, data.saltHex, "tags", 50, streamOf(tags.subarray(50)));
    await restarted.preparations.append(ALICE, data.saltHex, "powers-a", 0, streamOf(data.powersA));
    await restarted.preparations.append(ALICE, data.saltHex, "powers-b", 0, streamOf(data.powersB));
    expect(await restarted.verification.verify(again, 60).catch((error: Error) => error.message)).to.match(/complete/);
    const complete = await restarted.preparations.require(ALICE, data.saltHex);
    expect(await restarted.verification.verify(complete, 60)).to.equal(true);
  });

  it("counts only what its files hold after a start, and makes folders that a crash left out", async () => {
    const provider = await stored();
    await provider.preparations.open(ALICE, data.saltHex, data.request);
    await sendAll(provider, data);
    truncateSync(join(folder(), "preparations", "1", "tags"), 100);
    await provider.files.create(99);
    await provider.preparations.reconcile();
    expect((await provider.preparations.require(ALICE, data.saltHex)).received.tags).to.equal(96);
    expect(readdirSync(join(folder(), "preparations"))).to.deep.equal(["1"]);
    await provider.files.remove(1);
    await provider.preparations.reconcile();
    expect((await provider.preparations.require(ALICE, data.saltHex)).received).to.deep.equal({
      "powers-a": 0,
      "powers-b": 0,
      tags: 0,
    });
  });

  for (const made of [0, 1, 2]) {
    it(`can be carried through after a crash that came when ${made} of its three files were made`, async () => {
      const provider = await stored();
      await provider.preparations.open(ALICE, data.saltHex, data.request);
      await provider.close();
      const files = ["powers-a", "powers-b", "tags"];
      for (const file of files.slice(made)) rmSync(join(folder(), "preparations", "1", file));

      const restarted = await openProvider(folder());
      await restarted.preparations.reconcile();
      await restarted.preparations.open(ALICE, data.saltHex, data.request);
      await sendAll(restarted, data);
      const complete = await restarted.preparations.require(ALICE, data.saltHex);
      expect(await restarted.verification.verify(complete, 60)).to.equal(true);
    });
  }

  it("is opened once by requests at the same time, and takes bytes only when its files are there", async () => {
    const { preparations, files } = await stored();
    const create = files.create.bind(files);
    files.create = async (id) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await create(id);
    };
    const opens = [1, 2, 3].map(() => preparations.open(ALICE, data.saltHex, data.request));
    const appended = preparations.append(ALICE, data.saltHex, "tags", 0, streamOf(data.tags));
    expect((await Promise.all(opens)).map(({ id }) => id)).to.deep.equal([1, 1, 1]);
    expect((await appended).received.tags).to.equal(data.tags.length);
  });

  it("works on any object store", async () => {
    const { index, files, challenges, logger, clock } = await openProvider(folder());
    const store = new MemoryObjectStore();
    const now = () => clock.seconds;
    const service = new ChunkService(store, index.chunks, challenges, logger, now);
    await service.store(ALICE, framesOf(...chunks.map((chunk) => frame(chunk))));
    const options = { maximumSlices: 64, unusedPreparations: 32, expirySeconds: EXPIRY_SECONDS };
    const preparations = new PreparationService(index, files, options, logger, now);
    const parts = { store, preparations: index.preparations, files };
    const verification = new VerificationService(parts, preparations, service, logger, now);
    await preparations.open(ALICE, data.saltHex, data.request);
    for (const part of PARTS) {
      await preparations.append(ALICE, data.saltHex, part, 0, streamOf(streamsOf(data)[part]));
    }
    expect(await verification.verify(await preparations.require(ALICE, data.saltHex), 60)).to.equal(true);
  });

  it("refuses a body longer than what is missing, and counts nothing of it", async () => {
    const provider = await stored();
    await provider.preparations.open(ALICE, data.saltHex, data.request);
    const longer = new Uint8Array(data.tags.length + 1);
    await refusal(provider.preparations.append(ALICE, data.saltHex, "tags", 0, streamOf(longer)), "INVALID_INPUT");
    expect((await provider.preparations.require(ALICE, data.saltHex)).received.tags).to.equal(0);
  });

  it("refuses chunks that the account does not own, does not have here, or has with another size", async () => {
    const { preparations, chunks: service, index } = await stored();
    await refusal(preparations.open(BOB, data.saltHex, data.request), "NOT_OWNER");
    const foreign = randomChunk(10);
    await service.store(BOB, framesOf(frame(foreign)));
    const other = new AuditedData(seed, [...chunks, foreign]);
    const error = await refusal(preparations.open(ALICE, other.saltHex, other.request), "NOT_OWNER");
    expect(error.received).to.contain(foreign.id);
    const [first] = chunks;
    const resized = encodeManifest({ version: 1, chunks: [{ id: first?.id ?? "", sizeBytes: 199_999 }] });
    const request = streamOf(...preparationBody(resized, data.key));
    await refusal(preparations.open(ALICE, data.saltHex, request), "NOT_OWNER");
    await index.chunks.markLost([digestOf(first?.id ?? "")]);
    await refusal(preparations.open(ALICE, data.saltHex, data.request), "NOT_OWNER");
  });

  it("refuses malformed manifests, data sets that are too large, and salts used for something else", async () => {
    const { preparations } = await stored();
    const withManifest = (bytes: Uint8Array) => streamOf(...preparationBody(bytes, data.key));
    const valid = encodeManifest(data.manifest);
    for (const bytes of [valid.subarray(0, -1), new Uint8Array([1, 0, 0, 0, 0]), new Uint8Array([...valid, 0])]) {
      await refusal(preparations.open(ALICE, data.saltHex, withManifest(bytes)), "INVALID_INPUT");
    }
    const newer = valid.slice();
    newer[0] = 2;
    await refusal(preparations.open(ALICE, data.saltHex, withManifest(newer)), "UNKNOWN_VERSION");
    const [first] = data.manifest.chunks;
    if (first !== undefined) {
      const large = encodeManifest({ version: 1, chunks: [{ ...first, sizeBytes: 64 * 126_976 + 1 }] });
      const error = await refusal(preparations.open(ALICE, data.saltHex, withManifest(large)), "INVALID_INPUT");
      expect(error).to.include({ check: "slice count", expected: "1 to 64", received: "at least 65" });
    }
    await preparations.open(ALICE, data.saltHex, data.request);
    const reordered = encodeManifest({ version: 1, chunks: data.manifest.chunks.toReversed() });
    const error = await refusal(preparations.open(ALICE, data.saltHex, withManifest(reordered)), "CONFLICT");
    expect(error.check).to.equal("manifestHash");
    const { X } = auditPublicKey(deriveAuditSecrets(seed), 12345n);
    const otherKey = streamOf(...preparationBody(valid, { ...data.key, X }));
    expect((await refusal(preparations.open(ALICE, data.saltHex, otherKey), "CONFLICT")).check).to.equal(
      "auditKeyHash",
    );
  });

  it("refuses a manifest that names a chunk twice, whatever comes between, and keeps nothing of it", async () => {
    const { preparations, database } = await stored();
    const entries = [...chunks, ...chunks.slice(0, 1)].map(({ id, bytes }) => {
      const entry = new Uint8Array(36);
      entry.set(digestOf(id));
      new DataView(entry.buffer).setUint32(32, bytes.length);
      return entry;
    });
    const manifest = new Uint8Array([1, 0, 0, 0, entries.length, ...entries.flatMap((entry) => [...entry])]);
    const [head = new Uint8Array(0)] = preparationBody(manifest, data.key);
    // In one piece, and byte by byte.
    for (const pieces of [[head, manifest], Array.from([...head, ...manifest], (byte) => Uint8Array.of(byte))]) {
      const error = await refusal(preparations.open(ALICE, data.saltHex, streamOf(...pieces)), "INVALID_INPUT");
      expect(error).to.include({ check: "distinct chunks", received: chunks[0]?.id });
    }
    for (const table of ["preparations", "manifest_chunks"]) {
      expect(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n).to.equal(0);
    }
    await preparations.open(ALICE, data.saltHex, data.request);
  });

  it("does not read the manifest of a preparation that it knows, nor one under a salt of something else", async () => {
    const { preparations } = await stored();
    await preparations.open(ALICE, data.saltHex, data.request);
    const [head = new Uint8Array(0)] = preparationBody(encodeManifest(data.manifest), data.key);
    await preparations.open(ALICE, data.saltHex, streamOf(head));
    const [otherHead = new Uint8Array(0)] = preparationBody(new Uint8Array(5), data.key);
    await refusal(preparations.open(ALICE, data.saltHex, streamOf(otherHead)), "CONFLICT");
  });

  it("refuses bodies that are cut off or state another hash", async () => {
    const { preparations } = await stored();
    const { body } = data;
    for (const length of [0, 799, 800, 804, body.length - 1]) {
      await refusal(preparations.open(ALICE, data.saltHex, streamOf(body.subarray(0, length))), "INVALID_INPUT");
    }
    const lying = body.slice();
    lying[0] = (lying[0] ?? 0) ^ 1;
    const error = await refusal(preparations.open(ALICE, data.saltHex, streamOf(lying)), "INVALID_INPUT");
    expect(error.check).to.equal("manifest hash");
  });

  it("refuses an audit key with the identity, a point off the curve, or a point outside the subgroup", async () => {
    const { preparations } = await stored();
    const offCurve = new Uint8Array(256);
    offCurve[63] = 1;
    for (const [name, point] of Object.entries({
      identity: new Uint8Array(256),
      "off the curve": offCurve,
      "outside the subgroup": pointOutsideSubgroup(),
    })) {
      for (const part of ["X", "XA", "XB"]) {
        const key = { ...data.key, [part]: point };
        const request = streamOf(...preparationBody(encodeManifest(data.manifest), key));
        const error = await refusal(preparations.open(ALICE, data.saltHex, request), "INVALID_POINT");
        expect(error.message, name).to.contain(part);
      }
    }
  });

  it("refuses powers of other secrets and asks for them again", async () => {
    const provider = await stored();
    const { preparations, verification } = provider;
    await preparations.open(ALICE, data.saltHex, data.request);
    const other = new AuditedData(randomBytes(32), chunks);
    for (const [part, bytes] of Object.entries({
      "powers-a": other.powersA,
      "powers-b": data.powersB,
      tags: data.tags,
    })) {
      await preparations.append(ALICE, data.saltHex, part as (typeof PARTS)[number], 0, streamOf(bytes));
    }
    await refusal(verification.verify(await preparations.require(ALICE, data.saltHex), 60), "INVALID_PROOF");
    expect(await preparations.require(ALICE, data.saltHex)).to.deep.include({
      received: { "powers-a": 0, "powers-b": 0, tags: 288 },
      verified: false,
    });
    await preparations.append(ALICE, data.saltHex, "powers-a", 0, streamOf(data.powersA));
    await preparations.append(ALICE, data.saltHex, "powers-b", 0, streamOf(data.powersB));
    expect(await verification.verify(await preparations.require(ALICE, data.saltHex), 60)).to.equal(true);
  });

  it("refuses tags of which one is wrong, and tags of another agreement", async () => {
    const provider = await stored();
    const { preparations, verification } = provider;
    await preparations.open(ALICE, data.saltHex, data.request);
    await sendAll(provider, data);
    const swapped = new Uint8Array([
      ...data.tags.subarray(96, 192),
      ...data.tags.subarray(0, 96),
      ...data.tags.subarray(192),
    ]);
    for (const wrong of [swapped, new AuditedData(seed, chunks).tags]) {
      await provider.preparations.rows.setReceived(1, "tags", 0);
      await preparations.append(ALICE, data.saltHex, "tags", 0, streamOf(wrong));
      await refusal(verification.verify(await preparations.require(ALICE, data.saltHex), 60), "INVALID_PROOF");
      expect(await preparations.require(ALICE, data.saltHex)).to.deep.include({ verified: false });
      expect((await preparations.require(ALICE, data.saltHex)).received.tags).to.equal(0);
    }
  });

  it("does not blame the tags when the stored bytes are what is wrong", async () => {
    const provider = await stored();
    const { preparations, verification, store } = provider;
    await preparations.open(ALICE, data.saltHex, data.request);
    await sendAll(provider, data);
    const [first] = chunks;
    await store.put(first?.id ?? "", randomChunk(200_000).bytes);
    const error = await refusal(
      verification.verify(await preparations.require(ALICE, data.saltHex), 60),
      "OBJECT_LOST",
    );
    expect(error).to.include({ party: "provider", expected: first?.id });
    expect((await preparations.require(ALICE, data.saltHex)).received.tags).to.equal(288);
  });

  it("answers in time while a long check goes on, and keeps its outcome for the next request", async () => {
    const provider = await stored();
    const { preparations, verification } = provider;
    await preparations.open(ALICE, data.saltHex, data.request);
    await sendAll(provider, data);
    await preparations.rows.setReceived(1, "tags", 0);
    await preparations.append(ALICE, data.saltHex, "tags", 0, streamOf(new AuditedData(seed, chunks).tags));
    expect(await verification.verify(await preparations.require(ALICE, data.saltHex), 0)).to.equal(false);
    expect(
      preparations.status(await preparations.require(ALICE, data.saltHex), verification.progressOf(1)).state,
    ).to.equal("verifying");
    await refusal(preparations.append(ALICE, data.saltHex, "tags", 288, streamOf()), "CONFLICT");
    while (verification.progressOf(1) !== undefined) await new Promise((resolve) => setTimeout(resolve, 10));
    await refusal(verification.verify(await preparations.require(ALICE, data.saltHex), 0), "INVALID_PROOF");
  });

  it("reuses the powers of an earlier, verified preparation of the same account only", async () => {
    const provider = await stored();
    const { preparations, verification, chunks: service } = provider;
    await preparations.open(ALICE, data.saltHex, data.request);
    await sendAll(provider, data);
    await verification.verify(await preparations.require(ALICE, data.saltHex), 60);

    const more = [...chunks, randomChunk(300_000)];
    for (const account of [ALICE, BOB]) await service.store(account, framesOf(...more.map((chunk) => frame(chunk))));
    const larger = new AuditedData(seed, more);
    const reused = await preparations.open(ALICE, larger.saltHex, larger.request);
    expect(reused.received).to.deep.equal({ "powers-a": 393_216, "powers-b": 288, tags: 0 });
    await preparations.append(ALICE, larger.saltHex, "tags", 0, streamOf(larger.tags));
    const wrongRest = powersOfBeta(larger.secrets, 5, larger.sliceCount - 3);
    await preparations.append(ALICE, larger.saltHex, "powers-b", 288, streamOf(wrongRest));
    await refusal(verification.verify(await preparations.require(ALICE, larger.saltHex), 60), "INVALID_PROOF");
    await preparations.append(ALICE, larger.saltHex, "powers-a", 0, streamOf(larger.powersA));
    await preparations.append(ALICE, larger.saltHex, "powers-b", 0, streamOf(larger.powersB));
    expect(await verification.verify(await preparations.require(ALICE, larger.saltHex), 60)).to.equal(true);

    const third = new AuditedData(seed, more.toReversed());
    await preparations.open(ALICE, third.saltHex, third.request);
    expect((await preparations.require(ALICE, third.saltHex)).received["powers-b"]).to.equal(third.powersB.length);
    await preparations.append(ALICE, third.saltHex, "tags", 0, streamOf(third.tags));
    expect(await verification.verify(await preparations.require(ALICE, third.saltHex), 60)).to.equal(true);
    const further = [randomChunk(250_000), randomChunk(10)];
    await service.store(ALICE, framesOf(...further.map((chunk) => frame(chunk))));
    const extended = new AuditedData(seed, [...more, ...further]);
    await preparations.open(ALICE, extended.saltHex, extended.request);
    await preparations.append(
      ALICE,
      extended.saltHex,
      "powers-b",
      third.powersB.length,
      streamOf(extended.powersB.subarray(third.powersB.length)),
    );
    await preparations.append(ALICE, extended.saltHex, "tags", 0, streamOf(extended.tags));
    expect(await verification.verify(await preparations.require(ALICE, extended.saltHex), 60)).to.equal(true);

    const bobs = await preparations.open(BOB, larger.saltHex, larger.request);
    expect(bobs.received).to.deep.equal({ "powers-a": 0, "powers-b": 0, tags: 0 });
  });

  it("finds a wrong tag wherever it is, whichever thread checks it", async () => {
    const provider = await stored();
    const { preparations, verification, chunks: service } = provider;
    const large = [randomChunk(1_900_000), randomChunk(1_900_000)];
    await service.store(ALICE, framesOf(...large.map((chunk) => frame(chunk))));
    const right = new AuditedData(seed, large);
    await preparations.open(ALICE, right.saltHex, right.request);
    await sendAll(provider, right);
    expect(await verification.verify(await preparations.require(ALICE, right.saltHex), 60)).to.equal(true);
    // Powers are reused from here on, so that both threads check tags from the start: four pages of eight slices.
    const again = new AuditedData(seed, large);
    await preparations.open(ALICE, again.saltHex, again.request);
    expect(again.sliceCount).to.equal(30);
    for (const wrong of [0, 9, 18, 28]) {
      const tags = again.tags.slice();
      tags.copyWithin(wrong * 96, (wrong + 1) * 96, (wrong + 2) * 96);
      await preparations.append(ALICE, again.saltHex, "tags", 0, streamOf(tags));
      const error = await refusal(
        verification.verify(await preparations.require(ALICE, again.saltHex), 60),
        "INVALID_PROOF",
      );
      expect(error.check, `tag ${wrong}`).to.equal("tags");
    }
    await preparations.append(ALICE, again.saltHex, "tags", 0, streamOf(again.tags));
    expect(await verification.verify(await preparations.require(ALICE, again.saltHex), 60)).to.equal(true);
  });

  it("does not trust reused powers under a key with the same β and another α", async () => {
    const provider = await stored();
    const { preparations, verification } = provider;
    await preparations.open(ALICE, data.saltHex, data.request);
    await sendAll(provider, data);
    await verification.verify(await preparations.require(ALICE, data.saltHex), 60);

    const other = new AuditedData(seed, chunks, { alpha: 987_654_321n, beta: data.secrets.beta });
    await preparations.open(ALICE, other.saltHex, other.request);
    await preparations.append(ALICE, other.saltHex, "tags", 0, streamOf(other.tags));
    const error = await refusal(
      verification.verify(await preparations.require(ALICE, other.saltHex), 60),
      "INVALID_PROOF",
    );
    expect(error.check).to.equal("powers of alpha");
    expect((await preparations.require(ALICE, other.saltHex)).received).to.deep.equal({
      "powers-a": 0,
      "powers-b": 0,
      tags: 288,
    });
    await preparations.append(ALICE, other.saltHex, "powers-a", 0, streamOf(other.powersA));
    await preparations.append(ALICE, other.saltHex, "powers-b", 0, streamOf(other.powersB));
    expect(await verification.verify(await preparations.require(ALICE, other.saltHex), 60)).to.equal(true);
  });

  it("expires when nobody comes back for it, files and rows", async () => {
    const { preparations, clock, database } = await stored();
    await preparations.open(ALICE, data.saltHex, data.request);
    clock.seconds += EXPIRY_SECONDS;
    await preparations.expire();
    await preparations.append(ALICE, data.saltHex, "tags", 0, streamOf(data.tags));
    clock.seconds += EXPIRY_SECONDS;
    await preparations.expire();
    await preparations.require(ALICE, data.saltHex);
    clock.seconds += 1;
    await preparations.expire();
    await refusal(preparations.require(ALICE, data.saltHex), "NOT_FOUND");
    expect(readdirSync(join(folder(), "preparations"))).to.deep.equal([]);
    expect(database.prepare("SELECT count(*) AS left FROM manifest_chunks").get()?.left).to.equal(0);
  });

  it("does not expire when it was taken up, or agreed on, while others were being removed", async () => {
    const { preparations, clock, index } = await stored();
    const [, touched, agreed] = [data, new AuditedData(seed, chunks), new AuditedData(seed, chunks)];
    for (const one of [data, touched, agreed]) await preparations.open(ALICE, one.saltHex, one.request);
    clock.seconds += EXPIRY_SECONDS + 1;
    const expiring = preparations.expire(); // Removes the rows of the first and waits for its files.
    await preparations.open(ALICE, touched.saltHex, touched.request);
    const preparation = await preparations.require(ALICE, agreed.saltHex);
    const { id: preparationId, account, salt, auditKeyHash, manifestHash, sliceCount } = preparation;
    const span = { token: ALICE, startBlock: 1, epochBlocks: 1, windowBlocks: 1, epochs: 1 };
    const row = { id: 1n, preparationId, account, salt, auditKeyHash, manifestHash, sliceCount, ...span };
    expect(await index.agreements.begin(row)).to.equal("begun");
    await expiring;
    await refusal(preparations.require(ALICE, data.saltHex), "NOT_FOUND");
    await preparations.require(ALICE, touched.saltHex);
    await preparations.require(ALICE, agreed.saltHex);
    expect(readdirSync(join(folder(), "preparations"))).to.deep.equal(["2", "3"]);
  });
});

/**
 * A point of the twist E': y² = x³ + 4(1 + i) that is not in the subgroup of order r: the first with x = (k, 0), since
 * the cofactor of G2 is about 2^507 and nearly no point of the curve is in the subgroup.
 */
function pointOutsideSubgroup(): Uint8Array {
  const p = BASE_FIELD_ORDER;
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n;
    for (let b = base % p, e = exponent; e > 0n; e >>= 1n, b = (b * b) % p) if (e & 1n) result = (result * b) % p;
    return result;
  };
  const root = (a: bigint): bigint | undefined => {
    const candidate = power(a, (p + 1n) / 4n);
    return (candidate * candidate - a) % p === 0n ? candidate : undefined;
  };
  for (let x = 1n; ; x++) {
    // y² = (x³ + 4) + 4i. With n = |y²| = sqrt(re² + im²), y.re = sqrt((re + n)/2) and y.im = im/(2·y.re).
    const re = (x * x * x + 4n) % p;
    const norm = root((re * re + 16n) % p);
    if (norm === undefined) continue;
    for (const n of [norm, p - norm]) {
      const yRe = root(((re + n) * power(2n, p - 2n)) % p);
      if (yRe === undefined || yRe === 0n) continue;
      const yIm = (2n * power(yRe, p - 2n)) % p;
      const coordinates = [x, 0n, yRe, yIm].map((c) => c.toString(16).padStart(128, "0")).join("");
      return new Uint8Array(Buffer.from(coordinates, "hex"));
    }
  }
}

const BASE_FIELD_ORDER =
  0x1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaabn;
