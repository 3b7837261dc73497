import { expect } from "chai";
import { hexlify, randomBytes, Wallet } from "ethers";
import { pino } from "pino";
import type { RecordedDelegation } from "../../offchain/chain/delegates.ts";
import { ChainUnavailableError } from "../../offchain/chain/revert.ts";
import type { TallystickError } from "../../offchain/core/errors.ts";
import { Delegates } from "../../offchain/daemon/delegates.ts";
import { FailureLog } from "../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../offchain/daemon/metrics.ts";
import { KNOWN_SECONDS } from "../../offchain/daemon/remembered-answers.ts";
import { createServer } from "../../offchain/daemon/server.ts";
import { SESSION_TABLES, Sessions, sessionOf } from "../../offchain/daemon/sessions.ts";
import { sqliteScript } from "../../offchain/store/index/sql/column-types.ts";
import { statementsOn } from "../../offchain/store/index/sql/open-sqlite.ts";
import { type Database, openDatabase } from "../../offchain/store/index/sqlite.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const NOW = 1_800_000_000;
const audience = Wallet.createRandom().address;
const account = Wallet.createRandom().address;
const key = Wallet.createRandom().address;
const successor = Wallet.createRandom().address;
const LIVE: RecordedDelegation = { account, key, scopes: ["write"], expiresAt: NOW + 1000, isRevoked: false };

describe("sessions of delegates", () => {
  let database: Database;
  let now: number;
  let milliseconds: number;
  let questions: number;
  let answer: () => RecordedDelegation | undefined;
  let admitted: string[];
  /** Further delegates of the account. */
  const others = new Set<string>();
  let prepared: string[];
  let sessions: Sessions;

  beforeEach(() => {
    database = openDatabase(":memory:", { migrations: [sqliteScript(SESSION_TABLES)] });
    [now, milliseconds, questions, admitted, prepared] = [NOW, 0, 0, [], []];
    answer = () => LIVE;
    const read = async (asked: string) => {
      questions += 1;
      return asked === account ? undefined : others.has(asked) ? { ...LIVE, key: asked } : answer();
    };
    sessions = new Sessions({
      database: statementsOn(database),
      audience,
      domain: { chainId: 31_337n, contract: audience },
      now: () => now,
      monotonicNow: () => milliseconds,
      checkSignature: async () => undefined,
      admit: async (asked) => {
        admitted.push(asked);
      },
      delegates: new Delegates({ read, now: () => now, monotonicNow: () => milliseconds }),
    });
    sessions.onOpening(async (opening) => {
      prepared.push(opening);
    });
  });
  afterEach(() => database.close());

  const open = (by = key) =>
    sessions.open(
      { account: by, audience, nonce: hexlify(randomBytes(32)), expiresAt: now + 3000, signature: "0x" },
      "192.0.2.1",
    );
  const use = async (token: string) => await sessions.check(`Bearer ${token}`);
  const unavailable = () => {
    throw new ChainUnavailableError("reading");
  };

  it("are of the delegate's account, which is the one that is admitted", async () => {
    const { token } = await open();
    expect(await use(token)).to.deep.equal({ account, signer: key, delegation: LIVE, expiresAt: NOW + 3000 });
    expect([admitted, prepared]).to.deep.equal([[account], [account]]);
    const { token: own } = await open(account);
    expect(await use(own)).to.deep.equal({ account, signer: account, expiresAt: NOW + 3000 });
  });

  for (const [name, found, check, received] of [
    ["revoked", { ...LIVE, isRevoked: true }, "revocation", "revoked"],
    ["expired", { ...LIVE, expiresAt: NOW }, "expiry", "2027-01-15T08:00:00.000Z"],
    ["of an account that was replaced", { ...LIVE, successor }, "successor of its account", successor],
  ] as const) {
    it(`are refused for one that is ${name}, naming it and the check`, async () => {
      const { token } = await open();
      answer = () => found;
      const refused = await expectAsyncRejection(open, "NOT_DELEGATED");
      expect(refused).to.include({ party: `delegate ${key}`, check, received, retryable: false });
      expect((refused as TallystickError).details).to.deep.equal({ key, account });
      milliseconds += KNOWN_SECONDS * 1000;
      await expectAsyncRejection(() => use(token), "NOT_DELEGATED");
    });
  }

  it("end with the expiry at once, and with a revocation within the time that is stated", async () => {
    const { token } = await open();
    const before = questions;
    answer = () => ({ ...LIVE, isRevoked: true });
    milliseconds += KNOWN_SECONDS * 1000 - 1;
    for (let times = 0; times < 5; times += 1) expect((await use(token)).signer).to.equal(key);
    expect(questions).to.equal(before);
    now = LIVE.expiresAt - 1;
    await use(token);
    now = LIVE.expiresAt;
    expect(await expectAsyncRejection(() => use(token), "NOT_DELEGATED")).to.include({ check: "expiry" });
    now = NOW;
    milliseconds += 1;
    expect(await expectAsyncRejection(() => use(token), "NOT_DELEGATED")).to.include({ check: "revocation" });
    // It is for good: the chain is asked no more, and need not answer.
    answer = unavailable;
    milliseconds += 100 * KNOWN_SECONDS * 1000;
    await expectAsyncRejection(() => use(token), "NOT_DELEGATED");
    expect(questions).to.equal(before + 1);
  });

  it("stop while the chain does not answer, and go on when it does", async () => {
    const { token } = await open();
    const { token: own } = await open(account);
    answer = unavailable;
    milliseconds += KNOWN_SECONDS * 1000;
    await expectAsyncRejection(() => use(token), "CHAIN_UNAVAILABLE");
    await expectAsyncRejection(open, "CHAIN_UNAVAILABLE");
    expect((await use(own)).account).to.equal(account);
    answer = () => LIVE;
    expect((await use(token)).account).to.equal(account);
  });

  it("do not become sessions of the key itself at an endpoint that does not know the delegation", async () => {
    const { token } = await open();
    answer = () => undefined;
    milliseconds += KNOWN_SECONDS * 1000;
    expect(await expectAsyncRejection(() => use(token), "NOT_DELEGATED")).to.include({ received: "none" });
  });

  it("are bounded for all delegates of an account together, and take nothing from the account's own", async () => {
    const keys = Array.from({ length: 20 }, () => Wallet.createRandom().address);
    for (const one of keys) others.add(one);
    const openMany = async (count: number) => {
      for (let k = 0; k < count; k += 1) await open(keys[k % keys.length]);
    };
    await openMany(120);
    const fast = await expectAsyncRejection(() => open(keys[0]), "RATE_LIMITED");
    expect(fast).to.include({ party: `delegates of account ${account}`, check: "session openings per account budget" });
    await open(account);
    for (let minute = 1; minute < 9; minute += 1) {
      milliseconds += 60_000;
      await openMany(minute === 8 ? 64 : 120);
    }
    milliseconds += 60_000;
    const many = await expectAsyncRejection(() => open(keys[0]), "RATE_LIMITED");
    expect(many).to.include({ check: "sessions of the delegates of an account", expected: "at most 1024" });
    await open(account);
  });

  it("of one delegate are bounded so that it keeps no other one of the account out", async () => {
    const other = Wallet.createRandom().address;
    others.add(other);
    for (let k = 0; k < 30; k += 1) await open();
    const fast = await expectAsyncRejection(() => open(), "RATE_LIMITED");
    expect(fast).to.include({ party: `delegate ${key}`, check: "session openings per delegate budget" });
    await open(other);
    for (let k = 30; k < 256; k += 1) {
      milliseconds += 2000;
      await open();
    }
    milliseconds += 2000;
    const many = await expectAsyncRejection(() => open(), "RATE_LIMITED");
    expect(many).to.include({ check: "sessions per delegate", expected: "at most 256" });
    // It is refused from now on, and its sessions go on taking room until they expire.
    answer = () => ({ ...LIVE, isRevoked: true });
    await open(other);
  });

  it("reach the routes of their scopes, and no route that names none", async () => {
    const logger = pino({ level: "silent" });
    const parts = { logger, metrics: createMetrics("test"), failures: new FailureLog(logger), healthChecks: {} };
    const server = createServer(parts);
    try {
      for (const [path, hook] of Object.entries({
        "/write": sessions.require("write"),
        "/read": sessions.require("read"),
        "/either": sessions.require("read", "write"),
        "/owner": sessions.require(),
      })) {
        server.get(path, { onRequest: hook }, async (request) => sessionOf(request).account);
      }
      const { token } = await open();
      const { token: own } = await open(account);
      const get = async (url: string, by: string) =>
        await server.inject({ method: "GET", url, headers: { authorization: `Bearer ${by}` } });
      for (const url of ["/write", "/either"]) expect((await get(url, token)).body).to.equal(account);
      for (const [url, expected] of [
        ["/read", "read"],
        ["/owner", "the owner"],
      ] as const) {
        const refused = await get(url, token);
        expect(refused.statusCode).to.equal(403);
        expect(refused.json().error).to.include({
          ...{ code: "OUT_OF_SCOPE", party: `delegate ${key}`, check: "scope", expected, received: "write" },
        });
        expect((await get(url, own)).body).to.equal(account);
      }
    } finally {
      await server.close();
    }
  });
});
