import { expect } from "chai";
import { equalBytes } from "#primitives";
import type { CspClient } from "../../../offchain/agent/providers/csp-client.ts";
import { HttpStorageProvider } from "../../../offchain/agent/providers/http-provider.ts";
import { ProviderSet } from "../../../offchain/agent/providers/provider-set.ts";
import type { StorageProvider } from "../../../offchain/agent/providers/storage-provider.ts";
import { challengeAnswer, positionCount } from "../../../offchain/core/crypto/ownership-challenge.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import type { ErrorCode } from "../../../offchain/core/error-codes.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { SealedObject } from "../../../offchain/core/recipe/tree.ts";
import { rejection } from "../../helpers/rejection.ts";

/** A provider of the wire protocol, in memory, that misbehaves when told to. */
class FakeProvider {
  readonly name = "provider http://fake";
  readonly url = "http://fake";
  readonly account = `0x${"fa".repeat(20)}`;
  readonly known = new Map<string, Uint8Array>();
  readonly uploads: string[][] = [];
  claimed: { id: string; sizeBytes: number }[] = [];
  claims = 0;
  failAnswers = 0;
  failure = new TallystickError("connection broke", { code: "UNREACHABLE", retryable: true });
  lost: string | undefined;
  forget: string | undefined;
  /** Objects that were reported as damaged. */
  readonly reported: string[] = [];
  /** Sent in place of the right challenges. */
  strayChallenges: { nonce: string; positions: number[] }[] | undefined;

  async claim(chunks: { id: string; sizeBytes: number }[]) {
    this.claims += 1;
    this.claimed = chunks;
    const challenges = this.strayChallenges ?? chunks.map(({ sizeBytes }) => this.challenge(sizeBytes));
    return { claimId: `0x${"00".repeat(16)}`, challenges, expiresAt: 0 };
  }

  challenge(sizeBytes: number) {
    return { nonce: `0x${"01".repeat(16)}`, positions: Array.from({ length: positionCount(sizeBytes) }, (_, k) => k) };
  }

  async answerClaim(_claimId: string, answers: readonly Uint8Array[]) {
    if (this.failAnswers > 0) {
      this.failAnswers -= 1;
      throw this.failure;
    }
    const owned: string[] = [];
    const missing: string[] = [];
    for (const [position, { id, sizeBytes }] of this.claimed.entries()) {
      const bytes = this.known.get(id);
      const { positions } = this.challenge(sizeBytes);
      const account = new Uint8Array(20).fill(0xfa);
      const right = bytes && challengeAnswer(account, new Uint8Array(16).fill(1), bytes, positions);
      const proven = right !== undefined && equalBytes(right, answers[position] ?? new Uint8Array(32));
      if (id !== this.forget) (bytes !== undefined && proven ? owned : missing).push(id);
    }
    return { owned, missing };
  }

  async storeChunks(objects: readonly SealedObject[]) {
    this.uploads.push(objects.map(({ id }) => id));
    for (const { id, sealed } of objects) this.known.set(id, sealed);
    return objects.map(({ id }) => id);
  }

  async inspectChunks(ids: readonly string[]): Promise<string[]> {
    this.reported.push(...ids);
    return [...ids];
  }

  async chunk(id: string) {
    if (this.lost === id) throw new TallystickError("it is lost", { code: "NOT_FOUND", check: "stored bytes" });
    return this.known.get(id) ?? new Uint8Array();
  }
}

describe("HTTP storage provider", () => {
  let fake: FakeProvider;
  let provider: HttpStorageProvider;
  const objects = [1, 2, 3].map((fill): SealedObject => {
    const sealed = new Uint8Array(3000).fill(fill);
    return { id: contentId(sealed), sealed };
  });
  const [first, second, third] = objects as [SealedObject, SealedObject, SealedObject];

  beforeEach(() => {
    fake = new FakeProvider();
    provider = new HttpStorageProvider(fake as unknown as CspClient);
  });

  it("proves what the provider has and uploads what it lacks", async () => {
    fake.known.set(second.id, second.sealed);
    const { uploaded } = await provider.store(objects);
    expect([...uploaded]).to.deep.equal([first.id, third.id]);
    expect(fake.uploads).to.deep.equal([[first.id, third.id]]);
    expect((await provider.store(objects)).uploaded.size).to.equal(0);
    expect(fake.uploads).to.have.length(1);
  });

  it("reports lost objects as it reports damaged ones: the data does not match its id", async () => {
    fake.known.set(first.id, second.sealed);
    fake.lost = second.id;
    for (const { id } of [first, second]) {
      const error = await rejection(provider.fetch(id));
      expect(error).to.include({ code: "INTEGRITY", party: provider.name, expected: id });
    }
    // What it said itself to be lost needs no report.
    expect(fake.reported).to.deep.equal([first.id]);
  });

  it("makes a claim anew when the connection broke while it was answered", async () => {
    fake.failAnswers = 2;
    expect((await provider.store(objects)).uploaded.size).to.equal(3);
    expect(fake.claims).to.equal(3);
  });

  it("makes a claim anew when the provider has restarted and forgotten it", async () => {
    fake.failAnswers = 1;
    fake.failure = new TallystickError("there is no such claim", { code: "NOT_FOUND", check: "claim" });
    expect((await provider.store(objects)).uploaded.size).to.equal(3);
    expect(fake.claims).to.equal(2);
  });

  it("does not take a missing answer for success", async () => {
    fake.forget = third.id;
    const error = await rejection(provider.store(objects));
    expect(error).to.include({ code: "BAD_RESPONSE", party: "provider http://fake", expected: third.id });
  });

  const places = (count: number, at = 0) => ({
    nonce: `0x${"01".repeat(16)}`,
    positions: new Array<number>(count).fill(at),
  });
  for (const [what, stray] of [
    ["more objects than were claimed", [places(20), places(20), places(20), places(20)]],
    ["fewer objects than were claimed", [places(20), places(20)]],
    ["a place behind the end of an object", [places(20), places(20, 2969), places(20)]],
    ["too few places", [places(20), places(19), places(20)]],
    ["too many places", [places(20), places(21), places(20)]],
  ] as const) {
    it(`refuses a challenge about ${what}`, async () => {
      fake.strayChallenges = [...stray];
      const error = await rejection(provider.store(objects));
      expect(error).to.include({ code: "BAD_RESPONSE", party: fake.name, check: "ownership challenge" });
    });
  }

  it("names the provider and the object when other bytes come back", async () => {
    fake.known.set(first.id, second.sealed);
    const error = await rejection(provider.fetch(first.id));
    expect(error).to.include({
      code: "INTEGRITY",
      party: "provider http://fake",
      expected: first.id,
      received: second.id,
    });
    fake.known.set(first.id, first.sealed);
    expect(await provider.fetch(first.id)).to.equal(first.sealed);
  });
});

describe("provider set", () => {
  const notFound = (name: string) =>
    new TallystickError(`${name} has no such object`, { code: "NOT_FOUND", party: name });
  const silent = (name: string) =>
    new TallystickError(`${name} cannot be reached`, { code: "UNREACHABLE", party: name, retryable: true });

  /** A provider that returns an object, or fails. */
  function provider(account: string, answer: Uint8Array | TallystickError) {
    const asked: string[] = [];
    const fetch = async (id: string) => {
      asked.push(id);
      if (answer instanceof TallystickError) throw answer;
      return answer;
    };
    return { account, name: account, asked, fetch } as unknown as StorageProvider & { asked: string[] };
  }
  const object = new Uint8Array(8);

  it("refuses no provider, and one that is listed twice", () => {
    const one = provider("0xAa", object);
    expect(() => new ProviderSet([])).to.throw(TallystickError, "no storage provider");
    expect(() => new ProviderSet([one, provider("0xaA", object)])).to.throw(TallystickError, "twice");
    expect(new ProviderSet([one]).byAccount("0xAA")).to.equal(one);
    expect(() => new ProviderSet([one]).byAccount("0xother")).to.throw(TallystickError, "not in the deployment");
  });

  it("puts with the first provider, or with those that are named, each once", () => {
    const [one, two] = [provider("0x1", object), provider("0x2", object)];
    const set = new ProviderSet([one, two]);
    expect(set.choose(undefined)).to.deep.equal([one]);
    expect(set.choose(["0x2", "0X2"])).to.deep.equal([two]);
    expect(set.choose(["0x2", "0x1"])).to.deep.equal([two, one]);
    expect(() => set.choose(["0x3"])).to.throw(TallystickError, "not in the deployment");
    expect(() => set.choose([])).to.throw(TallystickError, "no provider is named");
  });

  for (const [what, failure] of [
    ["does not have the object", notFound("0x1")],
    ["does not answer", silent("0x1")],
  ] as const) {
    it(`reads from the next provider when one ${what}, and then from that one first`, async () => {
      const [one, two] = [provider("0x1", failure), provider("0x2", object)];
      const set = new ProviderSet([one, two]);
      expect(await set.fetch("a")).to.equal(object);
      expect(await set.fetch("b")).to.equal(object);
      expect(one.asked).to.deep.equal(["a"]);
      expect(two.asked).to.deep.equal(["a", "b"]);
    });
  }

  it("has what it received hashed by the receiver, and turns to the next provider when it is wrong", async () => {
    const [one, two] = [provider("0x1", new Uint8Array(3)), provider("0x2", object)];
    const failed = new TallystickError("other bytes", { code: "INTEGRITY", party: "0x1" });
    const lying: StorageProvider = {
      ...one,
      receive: async (id, receiver) => {
        const result = await receiver.read(new Uint8Array(3));
        if (result.id === id) return result;
        throw failed;
      },
    };
    const read = async (sealed: Uint8Array) => ({ id: contentId(sealed), sealed });
    const received = await new ProviderSet([lying, two]).receive(contentId(object), { read });
    expect(received.sealed).to.deep.equal(object);
    // The provider keeps its own bytes.
    expect(received.sealed).to.not.equal(object);
    expect(await rejection(new ProviderSet([lying]).receive(contentId(object), { read }))).to.equal(failed);
  });

  it("reports what every provider answered when none has the object, and names the one that failed", async () => {
    const set = new ProviderSet([provider("0x1", notFound("0x1")), provider("0x2", silent("0x2"))]);
    const error = await rejection(set.fetch("a"));
    expect(error).to.include({ code: "UNREACHABLE", party: "0x2", retryable: true });
    expect(error.details?.providers).to.deep.equal([
      { provider: "0x1", answer: "NOT_FOUND" },
      { provider: "0x2", answer: "UNREACHABLE" },
    ]);
    expect(await rejection(new ProviderSet([provider("0x1", notFound("0x1"))]).fetch("a"))).to.include({
      code: "NOT_FOUND",
      party: "0x1",
    });
  });

  describe("tells of a loss", () => {
    async function losses(...answers: readonly (Uint8Array | TallystickError)[]): Promise<number> {
      let count = 0;
      const set = new ProviderSet(
        answers.map((answer, k) => provider(`0x${k}`, answer)),
        () => {
          count += 1;
        },
      );
      await set.fetch("a").catch(() => undefined);
      return count;
    }
    const failing = (code: ErrorCode) => new TallystickError(code, { code });

    it("when a provider has lost or damaged an object, also if another one has it", async () => {
      for (const code of ["INTEGRITY", "OBJECT_LOST"] as const) expect(await losses(failing(code), object)).to.equal(1);
    });

    it("when none has it, and not when one of several does not", async () => {
      for (const code of ["NOT_FOUND", "NOT_OWNER"] as const) {
        expect(await losses(failing(code))).to.equal(1);
        expect(await losses(failing(code), object)).to.equal(0);
      }
    });

    it("and not of a provider that does not answer", async () => {
      expect(await losses(silent("0x0"))).to.equal(0);
      expect(await losses(notFound("0x0"), silent("0x1"))).to.equal(0);
    });
  });

  it("asks no other provider after the caller has aborted", async () => {
    const [one, two] = [provider("0x1", silent("0x1")), provider("0x2", object)];
    await rejection(new ProviderSet([one, two]).fetch("a", AbortSignal.abort()));
    expect(two.asked).to.deep.equal([]);
  });
});
