import { type AddressInfo, connect } from "node:net";
import * as Type from "@sinclair/typebox/type";
import { expect } from "chai";
import { hexlify, JsonRpcProvider, randomBytes, Wallet } from "ethers";
import { pino } from "pino";
import { ledgerAbi } from "../../offchain/chain/abis.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { InvalidSignatureError, TallystickError } from "../../offchain/core/errors.ts";
import type { SessionRequest } from "../../offchain/core/wire/session.ts";
import { checkAccountSignature } from "../../offchain/daemon/account-signature.ts";
import { FailureLog } from "../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../offchain/daemon/metrics.ts";
import { createServer, type DaemonServer } from "../../offchain/daemon/server.ts";
import { SESSION_TABLES, Sessions, sessionOf } from "../../offchain/daemon/sessions.ts";
import { sessionMessage } from "../../offchain/http/sessions.ts";
import { sqliteScript } from "../../offchain/store/index/sql/column-types.ts";
import { statementsOn } from "../../offchain/store/index/sql/open-sqlite.ts";
import { type Database, openDatabase } from "../../offchain/store/index/sqlite.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const audience = Wallet.createRandom().address;
const domain = { chainId: 31_337n, contract: Wallet.createRandom().address };

let clock = 1_800_000_000;
let milliseconds = 0;
const keyLedger = Wallet.createRandom().address;
/** A chain whose ledger knows one contract wallet, which takes exactly the signature 0x1271. */
const wallet = Wallet.createRandom().address;
const provider = new (class extends JsonRpcProvider {
  override async call({ to, data }: { to?: unknown; data?: unknown }): Promise<string> {
    if (to !== keyLedger) throw new Error("the ledger is asked, and nobody else");
    const [account, , signature] = ledgerAbi().decodeFunctionData("isAccountSignature", String(data));
    return ledgerAbi().encodeFunctionResult("isAccountSignature", [account === wallet && signature === "0x1271"]);
  }
})("http://127.0.0.1:9", Number(domain.chainId), { staticNetwork: true });
const chain = { provider, deployment: { contracts: { keyLedger } } } as unknown as ChainReader;

/** An account that is not admitted. */
const stranger = Wallet.createRandom();

function sessionsOver(database: Database): Sessions {
  return new Sessions({
    admit: async (account) => {
      if (account === stranger.address) throw new TallystickError("not served", { code: "NOT_ADMITTED" });
    },
    database: statementsOn(database),
    audience,
    domain,
    now: () => clock,
    monotonicNow: () => clock * 1000,
    checkSignature: (account, typed, signature) => checkAccountSignature(chain, account, typed, signature),
  });
}

async function request(
  over: Partial<SessionRequest> = {},
  signer = Wallet.createRandom(),
  signedFor = domain,
): Promise<SessionRequest> {
  const nonce = over.nonce ?? hexlify(randomBytes(32));
  const message = { account: signer.address, audience, nonce, expiresAt: clock + 600, ...over };
  const typed = sessionMessage(signedFor, message);
  return { signature: await signer.signTypedData(typed.domain, typed.types, typed.message), ...message };
}

describe("daemon server", () => {
  let database: Database;
  let server: DaemonServer;

  beforeEach(() => {
    clock = 1_800_000_000;
    database = openDatabase(":memory:", { migrations: [sqliteScript(SESSION_TABLES)] });
    const sessions = sessionsOver(database);
    const healthChecks = { chain: () => (clock === 0 ? Promise.reject(new Error("down")) : undefined) };
    const logger = pino({ level: "silent" });
    const parts = { logger, metrics: createMetrics("test"), failures: new FailureLog(logger), healthChecks };
    server = createServer({ ...parts, monotonicNow: () => milliseconds });
    sessions.addRoute(server);
    const body = Type.Object({ count: Type.Integer() }, { additionalProperties: false });
    server.post("/echo", { schema: { body }, onRequest: sessions.require() }, async (incoming) => ({
      account: sessionOf(incoming).account,
      count: incoming.body.count,
    }));
    server.get("/limited", async () => {
      throw new TallystickError("slow down", { code: "RATE_LIMITED", retryable: true, retryAfterSeconds: 2.5 });
    });
    server.get("/failing", async () => {
      const received = "answer of https://user:hush@rpc.example.org/v2/hush";
      throw new TallystickError("no answer from wss://rpc.example.org/hush", { code: "CHAIN_UNAVAILABLE", received });
    });
    server.get("/defect", async () => {
      throw new Error("a path of this machine: /home/x");
    });
  });
  afterEach(async () => {
    await server.close();
    database.close();
  });

  async function open(over: Partial<SessionRequest> = {}, signer = Wallet.createRandom()) {
    return server.inject({ method: "POST", url: "/v1/sessions", payload: await request(over, signer) });
  }
  async function echo(token: string, payload: unknown) {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    return server.inject({ method: "POST", url: "/echo", headers, payload: payload as object });
  }

  it("opens a session and knows the account by its token", async () => {
    const signer = Wallet.createRandom();
    const account = signer.address;
    const opened = await open({ account: account.toLowerCase() }, signer);
    expect(opened.statusCode).to.equal(200);
    const answer = await echo(opened.json().token, { count: 7 });
    expect(answer.json()).to.deep.equal({ account, count: 7 });
  });

  it("refuses a replayed session message, also after a restart", async () => {
    const message = await request();
    const first = await server.inject({ method: "POST", url: "/v1/sessions", payload: message });
    expect(first.statusCode).to.equal(200);
    let caught: unknown;
    try {
      await sessionsOver(database).open(message, "192.0.2.1");
    } catch (error) {
      caught = error;
    }
    expect(caught).to.be.instanceOf(InvalidSignatureError);
    expect((caught as TallystickError).check).to.equal("nonce");
  });

  it("refuses expired, far-dated, misdirected and wrongly signed session messages", async () => {
    const cases: [Partial<SessionRequest>, string | undefined][] = [
      [{ expiresAt: clock }, "clock"],
      [{ expiresAt: clock + 3600 + 121 }, "clock"],
      [{ audience: Wallet.createRandom().address }, "audience"],
      [{ account: Wallet.createRandom().address }, "EIP-712 signature"],
      [{ signature: `0x${"11".repeat(65)}` }, "EIP-712 signature"],
      [{ signature: "0x11" }, "EIP-712 signature"],
    ];
    // v of 0 or 1, which the contracts do not take either.
    const signed = await request();
    const v = Number.parseInt(signed.signature.slice(-2), 16) - 27;
    const payload = { ...signed, signature: `${signed.signature.slice(0, -2)}0${v}` };
    const otherV = await server.inject({ method: "POST", url: "/v1/sessions", payload });
    expect([otherV.statusCode, otherV.json().error.check]).to.deep.equal([401, "EIP-712 signature"]);
    for (const [over, check] of cases) {
      const answer = await open(over);
      expect(answer.statusCode).to.equal(401);
      expect(answer.json().error.code).to.equal("INVALID_SIGNATURE");
      expect(answer.json().error.check).to.equal(check);
    }
  });

  it("refuses a message that was signed for another chain, or for another contract of this chain", async () => {
    for (const other of [
      { ...domain, chainId: 1n },
      { ...domain, contract: Wallet.createRandom().address },
    ]) {
      const payload = await request({}, Wallet.createRandom(), other);
      const answer = await server.inject({ method: "POST", url: "/v1/sessions", payload });
      expect(answer.statusCode).to.equal(401);
      expect(answer.json().error.check).to.equal("EIP-712 signature");
    }
  });

  it("asks the wallet contract of an account that has one", async () => {
    expect((await open({ account: wallet, signature: "0x1271" })).statusCode).to.equal(200);
    expect((await open({ account: wallet, signature: "0x1272" })).statusCode).to.equal(401);
  });

  it("stops honouring a token when the session has expired", async () => {
    const { token } = (await open()).json();
    clock += 599;
    expect((await echo(token, { count: 1 })).statusCode).to.equal(200);
    clock += 1;
    expect((await echo(token, { count: 1 })).statusCode).to.equal(401);
  });

  it("refuses absent, malformed and unknown tokens", async () => {
    for (const authorization of [
      undefined,
      "Bearer",
      "Bearer short",
      `Bearer ${"A".repeat(43)}`,
      `Basic ${"A".repeat(43)}`,
    ]) {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await server.inject({ method: "POST", url: "/echo", headers, payload: { count: 1 } });
      expect(answer.statusCode, authorization ?? "none").to.equal(401);
      expect(answer.headers["www-authenticate"]).to.equal("Bearer");
    }
  });

  it("limits the live sessions of one account", async () => {
    const signer = Wallet.createRandom();
    const account = signer.address;
    const insert = database.prepare(
      "INSERT INTO sessions (token_hash, account, nonce, expires_at) VALUES (?, ?, ?, ?)",
    );
    for (let i = 0; i < 1024; i++) insert.run(Buffer.from(`token ${i}`), account, `nonce ${i}`, clock + 10);
    const refused = await open({}, signer);
    expect(refused.statusCode).to.equal(429);
    expect(refused.json().error.code).to.equal("RATE_LIMITED");
    clock += 10;
    expect((await open({}, signer)).statusCode).to.equal(200);
  });

  it("limits how fast one account opens sessions, without keeping others out", async () => {
    const signer = Wallet.createRandom();
    const statuses = [];
    for (let k = 0; k < 121; k++) statuses.push((await open({}, signer)).statusCode);
    expect(statuses.filter((status) => status === 200)).to.have.length(120);
    expect(statuses.at(-1)).to.equal(429);
    expect((await open()).statusCode).to.equal(200);
    clock += 1;
    expect((await open({}, signer)).statusCode).to.equal(200);
  }).timeout(120_000);

  it("limits how fast sessions are opened in all, however many accounts there are", async () => {
    // Without signatures, which would take most of the time.
    const sessions = new Sessions({
      database: statementsOn(database),
      audience,
      domain,
      now: () => clock,
      monotonicNow: () => clock * 1000,
      checkSignature: async () => undefined,
    });
    const openAs = (n: number, by = n) => {
      const account = `0x${by.toString(16).padStart(40, "0")}`;
      const nonce = `0x${n.toString(16).padStart(64, "0")}`;
      return sessions.open({ account, audience, nonce, expiresAt: clock + 600, signature: "0x" }, "192.0.2.1");
    };
    for (let n = 0; n < 5900; n++) await openAs(n);
    // One account gets a 20th of what is left: four, when 97 are.
    for (let n = 6000; n < 6004; n++) await openAs(n, 1_000_000);
    const refused = await expectAsyncRejection(() => openAs(6004, 1_000_000), "RATE_LIMITED");
    expect(refused).to.include({ check: "session openings budget", expected: "4 per 60 s at present" });
    for (let n = 6005; n < 6101; n++) await openAs(n);
    await expectAsyncRejection(() => openAs(6101), "RATE_LIMITED");
    clock += 1;
    for (let n = 6102; n < 6202; n++) await openAs(n);
    await expectAsyncRejection(() => openAs(6202), "RATE_LIMITED");
  });

  it("counts the rates by a clock that never goes back", async () => {
    const sessions = new Sessions({
      database: statementsOn(database),
      audience,
      domain,
      now: () => clock,
      checkSignature: async () => undefined,
    });
    const account = Wallet.createRandom().address;
    const openNext = () => {
      const nonce = hexlify(randomBytes(32));
      return sessions.open({ account, audience, nonce, expiresAt: clock + 600, signature: "0x" }, "192.0.2.1");
    };
    await openNext();
    clock -= 3600;
    await openNext();
  });

  it("says that the disk is full when it is", async () => {
    const full = openDatabase(":memory:", { migrations: [sqliteScript(SESSION_TABLES)] });
    full.exec("PRAGMA max_page_count = 1");
    const sessions = new Sessions({
      database: statementsOn(full),
      audience,
      domain,
      now: () => clock,
      checkSignature: async () => undefined,
    });
    const account = Wallet.createRandom().address;
    const fill = async () => {
      for (let n = 0; n < 100; n++) {
        const nonce = hexlify(randomBytes(32));
        await sessions.open({ account, audience, nonce, expiresAt: clock + 600, signature: "0x" }, "192.0.2.1");
      }
    };
    await expectAsyncRejection(fill, "DISK_FULL");
    full.close();
  });

  it("does not let a stranger use up the rate of an account", async () => {
    const victim = Wallet.createRandom();
    const payload = await request({ account: victim.address, signature: `0x${"11".repeat(64)}1b` });
    for (let k = 0; k < 121; k++) {
      expect((await server.inject({ method: "POST", url: "/v1/sessions", payload })).statusCode).to.equal(401);
    }
    expect((await open({}, victim)).statusCode).to.equal(200);
  }).timeout(120_000);

  it("answers 403 to an account that is not admitted, and opens no session", async () => {
    const answer = await open({}, stranger);
    expect(answer.statusCode).to.equal(403);
    expect(answer.json().error.code).to.equal("NOT_ADMITTED");
    expect(database.prepare("SELECT count(*) AS n FROM sessions").get()?.n).to.equal(0);
  });

  it("answers 400 with the place of the mismatch, without coercing or dropping anything", async () => {
    const { token } = (await open()).json();
    for (const [payload, check] of [
      [{ count: "7" }, "body/count"],
      [{}, "body/count"],
      [{ count: 7, more: 1 }, "body/more"],
      [[], "body"],
    ] as const) {
      const answer = await echo(token, payload);
      expect(answer.statusCode).to.equal(400);
      expect(answer.json().error).to.include({ code: "INVALID_INPUT", check });
    }
  });

  it("answers 400, 413 and 415 for bodies that are no JSON, too large or of another type", async () => {
    const { token } = (await open()).json();
    const authorization = `Bearer ${token}`;
    const post = (type: string, payload: string) =>
      server.inject({ method: "POST", url: "/echo", headers: { authorization, "content-type": type }, payload });
    expect((await post("application/json", "{")).statusCode).to.equal(400);
    expect((await post("application/json", '{"__proto__":{"x":1},"count":1}')).statusCode).to.equal(400);
    expect((await post("application/json", `{"count":${" ".repeat(300_000)}1}`)).statusCode).to.equal(413);
    expect((await post("text/xml", "<a/>")).statusCode).to.equal(415);
    expect((await post("text/xml", "<a/>")).json().error.code).to.equal("INVALID_INPUT");
  });

  it("maps typed errors to their status and sends Retry-After", async () => {
    const answer = await server.inject({ url: "/limited" });
    expect(answer.statusCode).to.equal(429);
    expect(answer.headers["retry-after"]).to.equal("3");
    expect(answer.json().error).to.include({ code: "RATE_LIMITED", retryAfterSeconds: 2.5 });
    expect((await server.inject({ url: "/nowhere" })).json().error.code).to.equal("NOT_FOUND");
  });

  it("leaves out of an error what an address may hold beside its host", async () => {
    const { error } = (await server.inject({ url: "/failing" })).json();
    expect(error.message).to.equal("no answer from wss://rpc.example.org/…");
    expect(error.received).to.equal("answer of https://rpc.example.org/…");
  });

  it("says nothing of an unexpected error but that there was one", async () => {
    const answer = await server.inject({ url: "/defect" });
    expect(answer.statusCode).to.equal(500);
    expect(answer.json()).to.deep.equal({
      error: { code: "INTERNAL", message: "internal error", retryable: false },
    });
  });

  it("reports health and metrics", async () => {
    expect((await server.inject({ url: "/healthz" })).json()).to.deep.equal({ ok: true, checks: { chain: "ok" } });
    clock = 0;
    milliseconds += 4999;
    // Anybody may ask, and the checks ask the chain.
    expect((await server.inject({ url: "/healthz" })).statusCode).to.equal(200);
    milliseconds += 1;
    const failing = await server.inject({ url: "/healthz" });
    expect(failing.statusCode).to.equal(503);
    expect(failing.json()).to.deep.equal({ ok: false, checks: { chain: "failing" } });
    const metrics = await server.inject({ url: "/metrics" });
    expect(metrics.body).to.match(/tallystick_http_request_seconds_count\{.*route="\/healthz",status="503".*\} 1/);
  });

  describe("on a socket", () => {
    let port: number;

    beforeEach(async () => {
      await server.listen({ host: "127.0.0.1", port: 0 });
      port = (server.server.address() as AddressInfo).port;
    });

    /** What comes back for some bytes. */
    const answerTo = async (bytes: string): Promise<{ status: number; body: { error: Record<string, unknown> } }> => {
      const socket = connect(port, "127.0.0.1");
      socket.write(bytes);
      let text = "";
      for await (const part of socket) text += String(part);
      const [head = "", body = ""] = text.split("\r\n\r\n");
      expect(head).to.match(/content-type: application\/json/i);
      return { status: Number(head.split(" ")[1]), body: JSON.parse(body) };
    };

    it("answers bytes that are no HTTP, large heads and undecodable paths like every other refusal", async () => {
      const cases: [string, number][] = [
        ["hello\r\n\r\n", 400],
        ["GET / HTTP/9.9\r\n\r\n", 400],
        ["POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400],
        [`GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(70_000)}\r\n\r\n`, 431],
        ["GET /%E0%A4%A HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400],
      ];
      for (const [bytes, status] of cases) {
        const answer = await answerTo(bytes);
        expect(answer.status, bytes.slice(0, 40)).to.equal(status);
        expect(answer.body.error).to.include({ code: "INVALID_INPUT", retryable: false });
        expect(Object.keys(answer.body)).to.deep.equal(["error"]);
      }
    });
  });
});
