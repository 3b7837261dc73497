/**
 * The same small instance for real: two servers with the route of sessions on one database, the agent's session tokens
 * in front of them, and clocks that the test sets.
 */

import * as Type from "@sinclair/typebox/type";
import { Wallet } from "ethers";
import { pino } from "pino";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { SessionRequest } from "../../../offchain/core/wire/session.ts";
import { checkAccountSignature } from "../../../offchain/daemon/account-signature.ts";
import { FailureLog } from "../../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../../offchain/daemon/metrics.ts";
import { createServer, type DaemonServer } from "../../../offchain/daemon/server.ts";
import { SESSION_TABLES, Sessions, sessionOf } from "../../../offchain/daemon/sessions.ts";
import { HttpParty } from "../../../offchain/http/client.ts";
import { type SessionDomain, SessionTokens, sessionMessage } from "../../../offchain/http/sessions.ts";
import { fetchTransport } from "../../../offchain/http/transport.ts";
import { sqliteScript } from "../../../offchain/store/index/sql/column-types.ts";
import { statementsOn } from "../../../offchain/store/index/sql/open-sqlite.ts";
import { type Database, openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { type Action, LAG, PROCESSES, type Process, TICK_SECONDS } from "./model.ts";

const START_SECONDS = 1_800_000_000;
const CHAIN_ID = 31_337;
const storageEscrow = `0x${"22".repeat(20)}`;
const audience = Wallet.createRandom().address;
/** Whoever needs the chain to judge a plain account's signature has already failed. */
const noChain = new Proxy({} as Parameters<typeof checkAccountSignature>[0], {
  get: () => {
    throw new TallystickError("not by ECDSA", { code: "INVALID_SIGNATURE", check: "EIP-712 signature" });
  },
});
const Who = Type.Object({ account: Type.String() });

export class RealSessions {
  readonly #database = newDatabase();
  readonly #elsewhere: DaemonServer;
  readonly #servers: DaemonServer[];
  readonly #agent = new AgentAccount(new Uint8Array(32).fill(7));
  readonly #tokens: SessionTokens;
  readonly #party: HttpParty;
  #ticks = 0;
  #offset = 0;
  /** Rates are not what this is about: by this clock, openings are hours apart. */
  #milliseconds = 0;
  #process: Process = 0;
  #loses: "request" | "answer" | undefined;
  /** What the thief has read, the latest first. */
  #captured: SessionRequest[] = [];
  #token = "";

  constructor() {
    const contracts = { keyLedger: `0x${"11".repeat(20)}`, storageEscrow };
    this.#servers = PROCESSES.map((process) => this.#start(process, this.#database, storageEscrow));
    this.#elsewhere = this.#start(0, newDatabase(), `0x${"44".repeat(20)}`);
    this.#tokens = new SessionTokens(this.#agent, { chainId: CHAIN_ID, contracts }, { now: () => this.#now("agent") });
    this.#party = new HttpParty("provider", "http://provider.test", {
      transport: fetchTransport({ fetch: (input, init) => this.#carry(String(input), init) }),
    });
  }

  async perform(action: Action): Promise<string> {
    switch (action.kind) {
      case "tick":
        this.#ticks += 1;
        return "accepted";
      case "agent's clock":
        this.#offset = action.offset;
        return "accepted";
      case "restart":
        await this.#server(action.process).close();
        this.#servers[action.process] = this.#start(action.process, this.#database, storageEscrow);
        return "accepted";
      case "agent works":
        this.#process = action.process;
        return await outcomeOf(() => this.#work(), "served");
      case "agent loses":
        this.#process = action.process;
        this.#loses = action.what;
        try {
          return await outcomeOf(() => this.#work(), "served");
        } finally {
          this.#loses = undefined;
        }
      case "thief opens":
        return await this.#submit(this.#server(action.process), this.#captured[action.message] as SessionRequest);
      case "thief alters":
        return await this.#alter(action.what);
      case "token elsewhere":
        return await this.#ask(this.#elsewhere);
      case "others open":
        return (await this.#submit(this.#server(action.process), await this.#ofAnother(action.process))).replace(
          "opened",
          "accepted",
        );
    }
  }

  async close(): Promise<void> {
    for (const server of [...this.#servers, this.#elsewhere]) await server.close();
    this.#database.close();
  }

  #now(who: Process | "agent"): number {
    const ahead = who === "agent" ? this.#offset : -(LAG[who] ?? 0);
    return START_SECONDS + TICK_SECONDS * (this.#ticks + ahead);
  }

  #server(process: Process): DaemonServer {
    return this.#servers[process] as DaemonServer;
  }

  #start(process: Process, database: Database, contract: string): DaemonServer {
    const sessions = new Sessions({
      database: statementsOn(database),
      audience,
      domain: { chainId: BigInt(CHAIN_ID), contract },
      now: () => this.#now(process),
      monotonicNow: () => {
        this.#milliseconds += 3_600_000;
        return this.#milliseconds;
      },
      checkSignature: (account, typed, signature) => checkAccountSignature(noChain, account, typed, signature),
    });
    const logger = pino({ level: "silent" });
    const parts = { logger, metrics: createMetrics("test"), failures: new FailureLog(logger), healthChecks: {} };
    const server = createServer(parts);
    sessions.addRoute(server);
    server.get("/who", { schema: { response: { 200: Who } }, onRequest: sessions.require() }, async (request) => ({
      account: sessionOf(request).account,
    }));
    return server;
  }

  async #work(): Promise<void> {
    const { account } = await this.#tokens.with(this.#party, audience, async (token) => {
      this.#token = token;
      return await this.#party.json("GET", "/who", Who, { token, retries: 0 });
    });
    if (account !== this.#agent.address) throw new Error(`served as ${account}`);
  }

  /** Carries the agent's requests to the process that it talks to, before the eyes of the thief. */
  async #carry(url: string, init: RequestInit | undefined): Promise<Response> {
    const { pathname } = new URL(url);
    const method = init?.method === "POST" ? "POST" : "GET";
    const isOpening = pathname === "/v1/sessions";
    const payload = init?.body instanceof Uint8Array ? Buffer.from(init.body).toString() : (init?.body as string);
    if (isOpening) this.#captured = [JSON.parse(payload) as SessionRequest, ...this.#captured].slice(0, 2);
    if (isOpening && this.#loses === "request") throw new TypeError("fetch failed");
    const headers = Object.fromEntries(new Headers(init?.headers).entries());
    const answer = await this.#server(this.#process).inject({
      method,
      url: pathname,
      headers,
      ...(method === "POST" ? { payload } : {}),
    });
    if (isOpening && this.#loses === "answer") throw new TypeError("fetch failed");
    return new Response(answer.body, {
      status: answer.statusCode,
      headers: { "content-type": String(answer.headers["content-type"]) },
    });
  }

  async #submit(server: DaemonServer, payload: SessionRequest): Promise<string> {
    const answer = await server.inject({ method: "POST", url: "/v1/sessions", payload });
    return answer.statusCode === 200 ? "opened" : String(answer.json().error.check);
  }

  async #ask(server: DaemonServer): Promise<string> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const answer = await server.inject({ method: "GET", url: "/who", headers });
    return answer.statusCode === 200 ? "served" : String(answer.json().error.check);
  }

  async #alter(what: "account" | "audience" | "end" | "deployment"): Promise<string> {
    const message = this.#captured[0] as SessionRequest;
    const server = what === "deployment" ? this.#elsewhere : this.#server(0);
    const other = Wallet.createRandom().address;
    // Not an end that the agent could have chosen.
    const changes = {
      account: { account: other },
      audience: { audience: other },
      end: { expiresAt: this.#now(0) + 601 },
      deployment: {},
    };
    return await this.#submit(server, { ...message, ...changes[what] });
  }

  async #ofAnother(process: Process): Promise<SessionRequest> {
    const signer = Wallet.createRandom();
    const nonce = `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}`;
    const message = { account: signer.address, audience, nonce, expiresAt: this.#now(process) + 600 };
    const domain: SessionDomain = { chainId: BigInt(CHAIN_ID), contract: storageEscrow };
    const typed = sessionMessage(domain, message);
    return { ...message, signature: await signer.signTypedData(typed.domain, typed.types, typed.message) };
  }
}

function newDatabase(): Database {
  return openDatabase(":memory:", { migrations: [sqliteScript(SESSION_TABLES)] });
}

async function outcomeOf(work: () => Promise<void>, success: string): Promise<string> {
  try {
    await work();
    return success;
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    return error.code === "UNREACHABLE" ? "connection" : String(error.check);
  }
}
