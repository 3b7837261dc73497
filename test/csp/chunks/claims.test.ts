import { expect } from "chai";
import fc from "fast-check";
import { leafCount } from "../../../offchain/core/crypto/merkle.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { type ClaimAnswer, MIN_CLAIM_LEAVES } from "../../../offchain/core/wire/csp.ts";
import { CLAIMS_IN_ALL, ClaimService, drawLeaves } from "../../../offchain/csp/chunks/claims.ts";
import {
  ALICE,
  answersFor,
  BOB,
  frame,
  openProvider,
  randomChunk,
  refusal,
  streamOf,
  type TestChunk,
  temporaryFolder,
} from "../provider-fixture.ts";

const claimOf = (chunks: readonly TestChunk[]) => ({
  chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })),
});

describe("drawn leaves", () => {
  it("are distinct, exist, cover every chunk, and are as many as asked for or as there are", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2049 }), { minLength: 1, maxLength: 64 }), (counts) => {
        const leaves = drawLeaves(counts);
        const total = counts.reduce((sum, count) => sum + count, 0);
        expect(leaves.length).to.equal(Math.min(total, Math.max(MIN_CLAIM_LEAVES, counts.length)));
        expect(new Set(leaves.map(({ chunk, leaf }) => `${chunk}:${leaf}`)).size).to.equal(leaves.length);
        expect(new Set(leaves.map(({ chunk }) => chunk)).size).to.equal(counts.length);
        for (const { chunk, leaf } of leaves) expect(leaf).to.be.within(0, (counts[chunk] ?? 0) - 1);
      }),
    );
  });

  it("reach every leaf of a chunk", () => {
    const seen = new Set<number>();
    for (let round = 0; round < 200; round++) for (const { leaf } of drawLeaves([40])) seen.add(leaf);
    expect(seen.size).to.equal(40);
  });
});

describe("ownership claims", () => {
  const folder = temporaryFolder();
  const open = async () => {
    const provider = await openProvider(folder());
    return {
      ...provider,
      claims: new ClaimService(provider.index.chunks, provider.chunks, () => provider.clock.seconds),
    };
  };

  it("make an owner of whoever has the bytes, and name the chunks to upload", async () => {
    const { claims, chunks, index } = await open();
    const [known, unknown] = [randomChunk(70_000), randomChunk(70_000)];
    await chunks.store(ALICE, streamOf(frame(known)));
    const claim = claims.open(BOB, claimOf([known, unknown]));
    const outcome = await claims.answer(BOB, claim.claimId, answersFor(claim, [known, unknown]));
    expect(outcome).to.deep.equal({ owned: [known.id], missing: [unknown.id] });
    expect(await chunks.serve(BOB, known.id)).to.deep.equal(known.bytes);
    expect(await index.chunks.totals()).to.include({ storedBytes: 70_000, ownedBytes: 140_000 });
  });

  it("report a chunk as missing when one leaf of it is wrong, and do not tell it from an unknown one", async () => {
    const { claims, chunks } = await open();
    const [known, unknown] = [randomChunk(70_000), randomChunk(70_000)];
    await chunks.store(ALICE, streamOf(frame(known)));
    const claim = claims.open(BOB, claimOf([known, unknown]));
    const request = answersFor(claim, [known, unknown]);
    const forged = request.answers.find(({ chunk }) => chunk === 0);
    if (forged !== undefined) forged.data = Buffer.alloc(1024).toString("base64url");
    const outcome = await claims.answer(BOB, claim.claimId, request);
    expect(outcome).to.deep.equal({ owned: [], missing: [known.id, unknown.id] });
    await refusal(chunks.serve(BOB, known.id), "NOT_OWNER");
  });

  it("count a challenge that is left out as wrong", async () => {
    const { claims, chunks } = await open();
    const known = randomChunk(70_000);
    await chunks.store(ALICE, streamOf(frame(known)));
    const claim = claims.open(BOB, claimOf([known]));
    const { answers } = answersFor(claim, [known]);
    expect(await claims.answer(BOB, claim.claimId, { answers: answers.slice(1) })).to.deep.equal({
      owned: [],
      missing: [known.id],
    });
  });

  it("do not pass with another size for the same id", async () => {
    const { claims, chunks } = await open();
    const known = randomChunk(5000);
    await chunks.store(ALICE, streamOf(frame(known)));
    const shorter = { id: known.id, bytes: known.bytes.subarray(0, 1024) };
    const claim = claims.open(BOB, claimOf([shorter]));
    expect(claim.challenges.length).to.equal(leafCount(1024));
    expect((await claims.answer(BOB, claim.claimId, answersFor(claim, [shorter]))).owned).to.deep.equal([]);
  });

  it("do not pass with a size that is a byte off, though every leaf that is drawn be right", async () => {
    const { claims, chunks } = await open();
    const known = randomChunk(60_000);
    await chunks.store(ALICE, streamOf(frame(known)));
    // The last of the leaves tells the size; most draws leave it out.
    let claim: ClaimAnswer;
    do claim = claims.open(BOB, { chunks: [{ id: known.id, sizeBytes: known.bytes.length - 1 }] });
    while (claim.challenges.some(({ leaf }) => leaf === leafCount(known.bytes.length) - 1));
    expect((await claims.answer(BOB, claim.claimId, answersFor(claim, [known]))).owned).to.deep.equal([]);
  });

  it("are answered once, by the account that made them, and expire", async () => {
    const { claims, clock } = await open();
    const chunk = randomChunk(10);
    const claim = claims.open(ALICE, claimOf([chunk]));
    const answers = answersFor(claim, [chunk]);
    const answer = async (account: string) => claims.answer(account, claim.claimId, answers);
    await refusal(answer(BOB), "NOT_OWNER");
    expect((await answer(ALICE)).missing).to.deep.equal([chunk.id]);
    await refusal(answer(ALICE), "NOT_FOUND");

    const late = claims.open(ALICE, claimOf([chunk]));
    clock.seconds = late.expiresAt;
    await refusal((async () => claims.answer(ALICE, late.claimId, answersFor(late, [chunk])))(), "NOT_FOUND");
  });

  it("refuse a chunk claimed twice, a leaf that was not asked for, and a leaf answered twice", async () => {
    const { claims } = await open();
    const chunk = randomChunk(100_000);
    await refusal((async () => claims.open(ALICE, claimOf([chunk, chunk])))(), "INVALID_INPUT");
    const claim = claims.open(ALICE, claimOf([chunk]));
    const { answers } = answersFor(claim, [chunk]);
    const asked = new Set(claim.challenges.map(({ leaf }) => leaf));
    const leaf = [...Array(leafCount(100_000)).keys()].find((one) => !asked.has(one)) ?? 0;
    const stranger = { ...answersFor({ ...claim, challenges: [{ chunk: 0, leaf }] }, [chunk]).answers[0] };
    await refusal(
      (async () => claims.answer(ALICE, claim.claimId, { answers: [...answers, stranger as (typeof answers)[0]] }))(),
      "INVALID_INPUT",
    );
    const again = claims.open(ALICE, claimOf([chunk]));
    const twice = answersFor(again, [chunk]).answers;
    await refusal(
      (async () => claims.answer(ALICE, again.claimId, { answers: [...twice, ...twice.slice(0, 1)] }))(),
      "INVALID_INPUT",
    );
  });

  it("refuse an id that is not in its one canonical form", async () => {
    const { claims } = await open();
    const id = contentId(new Uint8Array([1]));
    const last = id.at(-1) ?? "";
    const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
    const noncanonical = id.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ 1];
    await refusal(
      (async () => claims.open(ALICE, { chunks: [{ id: noncanonical, sizeBytes: 1 }] }))(),
      "INVALID_INPUT",
    );
  });

  it("of one account give way to newer ones, and never to another account's", async () => {
    const { claims } = await open();
    const chunk = randomChunk(10);
    const first = claims.open(ALICE, claimOf([chunk]));
    const bobs = claims.open(BOB, claimOf([chunk]));
    for (let k = 0; k < 64; k++) claims.open(ALICE, claimOf([chunk]));
    await refusal((async () => claims.answer(ALICE, first.claimId, answersFor(first, [chunk])))(), "NOT_FOUND");
    expect((await claims.answer(BOB, bobs.claimId, answersFor(bobs, [chunk]))).missing).to.deep.equal([chunk.id]);
  });

  it("of all accounts together are bounded, whatever the number of accounts", async () => {
    const { claims } = await open();
    const chunk = randomChunk(10);
    const answer = async (account: string, claim: ClaimAnswer) =>
      claims.answer(account, claim.claimId, answersFor(claim, [chunk]));
    const [oldest, second] = [claims.open(ALICE, claimOf([chunk])), claims.open(BOB, claimOf([chunk]))];
    for (let k = 1; k < CLAIMS_IN_ALL; k++) claims.open(`0x${k}`, claimOf([chunk]));
    await refusal(answer(ALICE, oldest), "NOT_FOUND");
    expect((await answer(BOB, second)).missing).to.deep.equal([chunk.id]);
  });
});
