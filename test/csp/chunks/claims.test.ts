import { expect } from "chai";
import { positionCount } from "../../../offchain/core/crypto/ownership-challenge.ts";
import { contentId, digestOf } from "../../../offchain/core/encoding/content-id.ts";
import { FAILED_CLAIMS } from "../../../offchain/csp/chunks/claims.ts";
import {
  ALICE,
  answersFor,
  BOB,
  frame,
  framesOf,
  openProvider,
  randomChunk,
  refusal,
  type TestChunk,
  type TestProvider,
  temporaryFolder,
} from "../provider-fixture.ts";

const claimOf = (chunks: readonly TestChunk[]) => ({
  chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })),
});

/** An account of its own for each number. */
const account = (k: number) => `0x${k.toString(16).padStart(40, "0")}`;

describe("ownership claims", () => {
  const folder = temporaryFolder();
  let provider: TestProvider;
  beforeEach(async () => {
    provider = await openProvider(folder());
  });
  afterEach(async () => {
    await provider.refill.settled();
    await provider.close();
  });

  const store = (who: string, ...chunks: TestChunk[]) =>
    provider.chunks.store(who, framesOf(...chunks.map((chunk) => frame(chunk))));

  /** Claims chunks and answers with what `held` has. */
  const claim = async (who: string, chunks: readonly TestChunk[], held = chunks) => {
    const opened = await provider.claims.open(who, claimOf(chunks));
    return provider.claims.answer(who, opened.claimId, answersFor(opened, held));
  };

  it("make an owner of whoever has the bytes, and name the chunks to upload", async () => {
    const [known, unknown, small] = [randomChunk(70_000), randomChunk(70_000), randomChunk(5)];
    await store(ALICE, known, small);
    const outcome = await claim(BOB, [known, unknown, small]);
    expect(outcome).to.deep.equal({ owned: [known.id, small.id], missing: [unknown.id] });
    expect(await provider.chunks.serve(BOB, known.id)).to.deep.equal(known.bytes);
    expect(await provider.index.chunks.totals()).to.include({ storedBytes: 70_005, ownedBytes: 140_010 });
  });

  it("ask for 20 places of every chunk, however many others are claimed with it", async () => {
    const target = randomChunk(1_000_000);
    await store(ALICE, target);
    const decoys = Array.from({ length: 63 }, () => randomChunk(700));
    const { challenges } = await provider.claims.open(BOB, claimOf([...decoys, target]));
    for (const { positions } of challenges) expect(new Set(positions).size).to.equal(20);
    const small = await provider.claims.open(BOB, claimOf([randomChunk(639), randomChunk(640)]));
    expect(small.challenges.map(({ positions }) => positions.length)).to.deep.equal([0, 20]);
  });

  it("fail for a claimant who has half of every object, in whatever form", async () => {
    const chunks = Array.from({ length: 32 }, () => randomChunk(100_000));
    await store(ALICE, ...chunks);
    const half = (keep: (at: number) => boolean) =>
      chunks.map(({ id, bytes }) => ({ id, bytes: bytes.map((byte, at) => (keep(at) ? byte : 0)) }));
    for (const keep of [
      (at: number) => at < 50_000,
      (at: number) => at >= 50_000,
      (at: number) => at % 2_000 < 1_000,
    ]) {
      expect((await claim(BOB, chunks, half(keep))).owned).to.deep.equal([]);
    }
  });

  it("do not tell a wrong answer from an unknown chunk", async () => {
    const [known, unknown] = [randomChunk(70_000), randomChunk(70_000)];
    await store(ALICE, known);
    const outcome = await claim(BOB, [known, unknown], [unknown, unknown]);
    expect(outcome).to.deep.equal({ owned: [], missing: [known.id, unknown.id] });
    await refusal(provider.chunks.serve(BOB, known.id), "NOT_OWNER");
  });

  it("challenge a chunk that is not stored as one that is, and read no object", async () => {
    const [known, unknown] = [randomChunk(70_000), randomChunk(70_000)];
    await store(ALICE, known);
    for (const name of ["get", "getRange", "has", "size"] as const) {
      provider.store[name] = () => {
        throw new Error(`a claim called ${name}`);
      };
    }
    for (const one of [known, unknown]) {
      const [first, second] = await Promise.all([1, 2].map(() => provider.claims.open(BOB, claimOf([one]))));
      const [a, b] = [first?.challenges[0], second?.challenges[0]];
      expect(a?.nonce).to.match(/^0x[0-9a-f]{32}$/);
      expect(a?.positions.length).to.equal(positionCount(70_000));
      expect(a?.nonce).not.to.equal(b?.nonce);
      expect(a?.positions).not.to.deep.equal(b?.positions);
    }
    const rows = provider.database.prepare("SELECT digest, count(*) AS n FROM taken_challenges GROUP BY digest").all();
    expect(rows.map(({ n }) => n)).to.deep.equal([2, 2]);
  });

  it("do not accept the answer to an earlier challenge", async () => {
    const known = randomChunk(70_000);
    await store(ALICE, known);
    const first = await provider.claims.open(BOB, claimOf([known]));
    const seen = answersFor(first, [known]);
    const second = await provider.claims.open(BOB, claimOf([known]));
    expect((await provider.claims.answer(BOB, second.claimId, seen)).owned).to.deep.equal([]);
  });

  it("use a challenge once, also after a restart", async () => {
    const known = randomChunk(70_000);
    await store(ALICE, known);
    const nonces = new Set<string>();
    for (const restart of [false, true, false, true]) {
      if (restart) {
        await provider.close();
        provider = await openProvider(folder(), provider.clock);
      }
      nonces.add((await provider.claims.open(BOB, claimOf([known]))).challenges[0]?.nonce ?? "");
      nonces.add((await provider.claims.open(BOB, claimOf([known]))).challenges[0]?.nonce ?? "");
      provider.clock.seconds += 301;
      await provider.claims.expire();
    }
    expect(nonces.size).to.equal(8);
    expect(provider.database.prepare("SELECT count(*) AS n FROM taken_challenges").get()?.n).to.equal(0);
  });

  it("do not accept an answer that was made for another provider", async () => {
    const known = randomChunk(70_000);
    await store(ALICE, known);
    const opened = await provider.claims.open(BOB, claimOf([known]));
    const relayed = answersFor(opened, [known], account(99));
    expect((await provider.claims.answer(BOB, opened.claimId, relayed)).owned).to.deep.equal([]);
  });

  it("fail when no challenge is left, and succeed when new ones were prepared or the chunk was uploaded", async () => {
    const known = randomChunk(70_000);
    await store(ALICE, known);
    const paused: Uint8Array[] = [];
    const inspect = provider.chunks.inspect.bind(provider.chunks);
    provider.chunks.inspect = async (digest) => {
      paused.push(digest);
    };
    for (let k = 0; k < 8; k++) await provider.claims.open(BOB, claimOf([known]));
    expect((await claim(BOB, [known])).missing).to.deep.equal([known.id]);
    await provider.refill.settled();
    expect(paused.length).to.be.within(1, 9);
    await inspect(digestOf(known.id));
    expect((await claim(BOB, [known])).owned).to.deep.equal([known.id]);

    for (let k = 0; k < 8; k++) await provider.claims.open(BOB, claimOf([known]));
    expect((await claim(BOB, [known])).missing).to.deep.equal([known.id]);
    await store(ALICE, known);
    expect((await claim(BOB, [known])).owned).to.deep.equal([known.id]);
  });

  it("prepare new challenges by themselves", async () => {
    const known = randomChunk(70_000);
    await store(ALICE, known);
    for (let k = 0; k < 30; k++) {
      expect((await claim(account(k), [known])).owned).to.deep.equal([known.id]);
      await provider.refill.settled();
    }
  });

  it("do not pass with another size for the same id", async () => {
    const known = randomChunk(60_000);
    await store(ALICE, known);
    for (const size of [59_999, 60_001, 600]) {
      const resized = { id: known.id, bytes: new Uint8Array([...known.bytes, 0]).subarray(0, size) };
      expect((await claim(BOB, [resized])).owned).to.deep.equal([]);
    }
  });

  it("are answered once, by the account that made them, with one answer each, and expire", async () => {
    const { claims, clock } = provider;
    const chunk = randomChunk(10);
    const first = await claims.open(ALICE, claimOf([chunk]));
    const answers = answersFor(first, [chunk]);
    await refusal(claims.answer(BOB, first.claimId, answers), "NOT_OWNER");
    expect((await claims.answer(ALICE, first.claimId, answers)).missing).to.deep.equal([chunk.id]);
    await refusal(claims.answer(ALICE, first.claimId, answers), "NOT_FOUND");

    for (const count of [0, 2]) {
      const short = await claims.open(ALICE, claimOf([chunk]));
      const wrong = { answers: new Array<string>(count).fill(answers.answers[0] ?? "") };
      await refusal(claims.answer(ALICE, short.claimId, wrong), "INVALID_INPUT");
    }
    const late = await claims.open(ALICE, claimOf([chunk]));
    clock.seconds = late.expiresAt;
    await refusal(claims.answer(ALICE, late.claimId, answersFor(late, [chunk])), "NOT_FOUND");
  });

  it("refuse a chunk claimed twice, and an id that is not in its one canonical form", async () => {
    const chunk = randomChunk(100_000);
    await refusal(provider.claims.open(ALICE, claimOf([chunk, chunk])), "INVALID_INPUT");
    const id = contentId(new Uint8Array([1]));
    const last = id.at(-1) ?? "";
    const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
    const noncanonical = id.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ 1];
    await refusal(provider.claims.open(ALICE, { chunks: [{ id: noncanonical, sizeBytes: 1 }] }), "INVALID_INPUT");
  });

  it("of one account give way to newer ones, and never to another account's", async () => {
    const { claims } = provider;
    const chunk = randomChunk(10);
    const first = await claims.open(ALICE, claimOf([chunk]));
    const bobs = await claims.open(BOB, claimOf([chunk]));
    for (let k = 0; k < 64; k++) await claims.open(ALICE, claimOf([chunk]));
    await refusal(claims.answer(ALICE, first.claimId, answersFor(first, [chunk])), "NOT_FOUND");
    expect((await claims.answer(BOB, bobs.claimId, answersFor(bobs, [chunk]))).missing).to.deep.equal([chunk.id]);
  });

  describe("that fail", () => {
    const used = async (who: string) => Math.round(await provider.budgets.used(FAILED_CLAIMS, who));

    it("are limited per account, across restarts, and wrong answers count as unknown chunks do", async () => {
      const [known, other] = [randomChunk(2000), randomChunk(2000)];
      await store(ALICE, known, other);
      const decoys = Array.from({ length: 63 }, () => randomChunk(10));
      let claims = 0;
      const attack = async () => {
        for (; claims < 4000; claims++) await claim(BOB, [known, ...decoys], [randomChunk(2000), ...decoys]);
      };
      const error = await refusal(attack(), "RATE_LIMITED");
      expect(claims).to.equal(FAILED_CLAIMS.capacity / 64);
      expect(error).to.include({ check: "failed claims budget", retryable: true });
      await provider.close();
      provider = await openProvider(folder(), provider.clock);
      await refusal(claim(BOB, [known]), "RATE_LIMITED");
      // Others are served, and time brings the budget back.
      expect((await claim(account(5), [other])).owned).to.deep.equal([other.id]);
      provider.clock.seconds += FAILED_CLAIMS.periodSeconds / 64;
      expect((await claim(BOB, [other])).owned).to.deep.equal([other.id]);
    });

    it("cost nothing when the claim succeeds or the chunks are uploaded in time", async () => {
      const [known, fresh, late] = [randomChunk(2000), randomChunk(2000), randomChunk(2000)];
      await store(ALICE, known);
      await claim(BOB, [known, fresh]);
      expect(await used(BOB)).to.equal(1);
      await store(BOB, fresh);
      expect(await used(BOB)).to.equal(0);
      await store(BOB, fresh);
      await claim(BOB, [late]);
      await claim(BOB, [late]);
      // An upload by another account makes up for nothing.
      await store(ALICE, late);
      expect(await used(BOB)).to.equal(2);
      const decoys = Array.from({ length: 63 }, () => randomChunk(10));
      await claim(BOB, [late, ...decoys]);
      provider.clock.seconds += 301;
      const before = await used(BOB);
      await store(BOB, late);
      expect(await used(BOB)).to.equal(before);
      expect(before).to.be.within(55, 66);
    });

    it("are not made up for twice, by an upload and by the answer to the same claim", async () => {
      const [known, own] = [randomChunk(2000), randomChunk(2000)];
      await store(ALICE, known);
      await store(BOB, own);
      await claim(BOB, [known], [randomChunk(2000)]);
      expect(await used(BOB)).to.equal(1);
      const opened = await provider.claims.open(BOB, claimOf([own]));
      await store(BOB, own);
      await provider.claims.answer(BOB, opened.claimId, answersFor(opened, [own]));
      expect(await used(BOB)).to.equal(1);
    });

    it("cost an account its budget when they are never answered", async () => {
      await provider.claims.open(BOB, claimOf([randomChunk(2000), randomChunk(2000)]));
      expect(await used(BOB)).to.equal(2);
    });
  });
});
