import { expect } from "chai";
import type { Clock } from "../../offchain/agent/clock.ts";
import { announcingTransport, WaitNotices } from "../../offchain/agent/wait-notices.ts";
import type { TransportAnswer } from "../../offchain/http/transport.ts";

/** Time that passes when the test says so. */
class ManualClock implements Clock {
  #now = 1_000_000;
  #pauses: { at: number; wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pauses.push({ at: this.#now + milliseconds, wake: resolve });
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }

  async advance(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      this.#now += 1000;
      const due = this.#pauses.filter(({ at }) => at <= this.#now);
      this.#pauses = this.#pauses.filter(({ at }) => at > this.#now);
      for (const { wake } of due) wake();
      for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
    }
  }
}

describe("wait notices", () => {
  let clock: ManualClock;
  let told: string[];
  let notices: WaitNotices;

  beforeEach(() => {
    clock = new ManualClock();
    told = [];
    const warn = (facts: Readonly<Record<string, unknown>>, message: string) => {
      told.push(`${message} (${facts.waitedSeconds})`);
    };
    notices = new WaitNotices({ debug: () => undefined, warn }, clock);
  });

  it("reports after five seconds what the command waits for, and again at growing intervals", async () => {
    const end = notices.begin("chain", "recording a key");
    await clock.advance(4);
    expect(told).to.deep.equal([]);
    await clock.advance(100);
    expect(told).to.deep.equal([5, 15, 35, 75].map((n) => `still waiting for chain: recording a key (${n})`));
    end();
    await clock.advance(300);
    expect(told).to.have.length(4);
  });

  it("reports nothing for quick work, and stops when the work fails", async () => {
    await notices.during("chain", "one", async () => undefined);
    const failed = notices.during("chain", "two", async () => {
      throw new Error("no");
    });
    expect(await failed.catch((error: Error) => error.message)).to.equal("no");
    await clock.advance(60);
    expect(told).to.deep.equal([]);
  });

  it("does not repeat itself for several requests to one party", async () => {
    const ends = [1, 2, 3].map(() => notices.begin("provider http://one", "uploading objects"));
    notices.begin("provider http://two", "uploading objects");
    await clock.advance(5);
    expect(told).to.have.length(2);
    for (const end of ends) end();
  });

  describe("of requests", () => {
    const url = "http://provider/v1/chunks/bafk";
    const answer: TransportAnswer = { status: 201, retryAfter: undefined, body: Uint8Array.of(1, 2, 3) };
    let settle: PromiseWithResolvers<TransportAnswer>;

    const ask = (signal = new AbortController().signal): Promise<TransportAnswer> => {
      settle = Promise.withResolvers();
      const transport = announcingTransport(() => settle.promise, notices, "provider http://provider");
      return transport({ method: "GET", url, headers: {}, signal, maximumBytes: 3, party: "provider http://provider" });
    };

    it("names the party and the step of a silent request", async () => {
      const request = ask();
      await clock.advance(6);
      settle.resolve(answer);
      await request;
      expect(told).to.deep.equal(["still waiting for provider http://provider: downloading an object (5)"]);
    });

    it("ends with the answer, and passes it on", async () => {
      const request = ask();
      await clock.advance(6);
      settle.resolve(answer);
      expect(await request).to.equal(answer);
      await clock.advance(60);
      expect(told).to.have.length(1);
    });

    it("ends when the request fails or is given up", async () => {
      const request = ask();
      settle.reject(new Error("given up"));
      const failure = await request.catch((error: unknown) => error);
      expect(failure).to.have.property("message", "given up");
      await clock.advance(60);
      expect(told).to.deep.equal([]);
    });
  });
});
