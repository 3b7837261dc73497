/**
 * Malformed, oversize, expired and replayed requests to both daemons, over the wire: every route that takes a body,
 * every way in which a body can be wrong. Each answer is a typed error, the daemon goes on, and its database has not
 * moved.
 */
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { Wallet } from "ethers";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import type { ErrorCode } from "../../offchain/core/errors.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { CHUNK_FRAMES, OCTET_STREAM } from "../../offchain/core/wire/csp.ts";
import { parseAnswer } from "../../offchain/core/wire/schema.ts";
import { ErrorAnswer } from "../../offchain/core/wire/session.ts";
import { sessionMessage } from "../../offchain/http/sessions.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { packedObjects } from "../helpers/pack-files.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

const MIB = 1024 * 1024;
/** More than any route takes. */
const OVERSIZE_BYTES = 33 * MIB;
const DEEP = 5000;
const ZEROS = `0x${"00".repeat(32)}`;
const SEGMENT = `/v1/data-sets/${ZEROS}/segments/${ZEROS}`;
const CHUNK_ID = `bafkrei${"a".repeat(52)}`;

interface Route {
  readonly daemon: "node" | "provider";
  readonly method: "POST" | "PUT";
  readonly path: string;
  readonly session: boolean;
  /** The content type of a route that takes a stream of bytes rather than JSON. */
  readonly stream?: string;
}

const ROUTES: readonly Route[] = [
  { daemon: "node", method: "POST", path: "/v1/sessions", session: false },
  { daemon: "node", method: "POST", path: "/v1/oprf/evaluate", session: true },
  { daemon: "node", method: "POST", path: "/v1/records", session: true },
  { daemon: "node", method: "POST", path: `/v1/records/${ZEROS}/owners`, session: true },
  { daemon: "node", method: "POST", path: `/v1/records/${ZEROS}/share`, session: false },
  { daemon: "node", method: "POST", path: "/v1/releases", session: true },
  { daemon: "provider", method: "POST", path: "/v1/sessions", session: false },
  { daemon: "provider", method: "POST", path: "/v1/claims", session: true },
  { daemon: "provider", method: "POST", path: `/v1/claims/0x${"00".repeat(16)}/answers`, session: true },
  { daemon: "provider", method: "POST", path: "/v1/chunks", session: true, stream: CHUNK_FRAMES },
  { daemon: "provider", method: "PUT", path: `/v1/data-sets/${ZEROS}`, session: true },
  { daemon: "provider", method: "PUT", path: `/v1/data-sets/${ZEROS}/powers-a`, session: true, stream: OCTET_STREAM },
  { daemon: "provider", method: "PUT", path: `${SEGMENT}?firstIndex=1`, session: true, stream: OCTET_STREAM },
  { daemon: "provider", method: "PUT", path: `${SEGMENT}/tags`, session: true, stream: OCTET_STREAM },
  { daemon: "provider", method: "POST", path: `/v1/data-sets/${ZEROS}/open`, session: true },
  { daemon: "provider", method: "POST", path: `/v1/data-sets/${ZEROS}/updates`, session: true },
  { daemon: "provider", method: "POST", path: `/v1/data-sets/${ZEROS}/audit`, session: true },
  { daemon: "provider", method: "POST", path: `/v1/data-sets/${ZEROS}/openings`, session: true },
];

interface BadBody {
  readonly body: string | Uint8Array;
  readonly type?: string;
}

const BAD_BODIES: Record<string, BadBody> = {
  "nothing at all": { body: "" },
  "half of an object": { body: '{"account":' },
  null: { body: "null" },
  "an empty list": { body: "[]" },
  "an empty object": { body: "{}" },
  "an object of fields that nobody knows": { body: '{"surprise":true,"constructor":{"prototype":{}}}' },
  "a prototype": { body: '{"__proto__":{"account":"0x"}}' },
  "lists in lists in lists": { body: "[".repeat(DEEP) + "]".repeat(DEEP) },
  "objects in objects": { body: `${'{"a":'.repeat(DEEP)}1${"}".repeat(DEEP)}` },
  "bytes that are no text": { body: new Uint8Array([0x7b, 0xff, 0xfe, 0x00, 0x7d]) },
  "another type": { body: "<account/>", type: "application/xml" },
  "a form": { body: "account=0x", type: "application/x-www-form-urlencoded" },
  "noise, as a stream of bytes": { body: pseudoRandomBytes("noise", 5000), type: OCTET_STREAM },
  "noise, as chunk frames": { body: pseudoRandomBytes("noise", 5000), type: CHUNK_FRAMES },
};

describe("bad requests", () => {
  let net: LocalNet;
  let alice: Person;
  const wallet = () => new Wallet(toHex(identityFromPhrase(alice.recoveryPhrase).signingKey));

  before(async () => {
    net = await startLocalNet(SMALL_COMMITTEE);
    alice = await newPerson(net, "alice");
    // Something is there that could be damaged.
    await withAgentOf(net, alice, (agent) => agent.put([net.deploymentFile]));
  });
  after(() => net?.stop());

  const daemonOf = (route: Pick<Route, "daemon">) =>
    route.daemon === "node" ? (net.nodes[0] as DevnetDaemon) : net.provider;

  function domainOf(daemon: DevnetDaemon) {
    const { chainId, contracts } = net.deployment;
    const contract = daemon === net.provider ? contracts.storageEscrow : contracts.keyLedger;
    return { chainId: BigInt(chainId), contract };
  }

  async function sessionRequest(daemon: DevnetDaemon, over: { expiresAt?: number; audience?: string } = {}) {
    const message = {
      account: alice.account,
      audience: over.audience ?? daemon.account,
      nonce: toHex(randomBytes(32)),
      expiresAt: over.expiresAt ?? Math.floor(Date.now() / 1000) + 600,
    };
    const typed = sessionMessage(domainOf(daemon), message);
    return { ...message, signature: await wallet().signTypedData(typed.domain, typed.types, { ...typed.message }) };
  }

  async function send(daemon: DevnetDaemon, method: string, path: string, sent: BadBody, token?: string) {
    const response = await fetch(`${daemon.url}${path}`, {
      method,
      headers: {
        "content-type": sent.type ?? "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: sent.body as BodyInit,
    });
    return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
  }

  const post = (daemon: DevnetDaemon, path: string, value: unknown, token?: string) =>
    send(daemon, "POST", path, { body: JSON.stringify(value) }, token);

  async function tokenFor(daemon: DevnetDaemon): Promise<string> {
    const { status, answer } = await post(daemon, "/v1/sessions", await sessionRequest(daemon));
    expect(status, JSON.stringify(answer)).to.equal(200);
    return String(answer.token);
  }

  /** Number of rows of every table, and of stored objects. Sessions, leases and used-up budgets come and go. */
  function stateOf(daemon: DevnetDaemon): Record<string, number> {
    const folder = join(daemon.dir, "data");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
    const counts: Record<string, number> = { objects: files.filter((name) => name.includes("bafkrei")).length };
    const database = new DatabaseSync(join(folder, daemon === net.provider ? "csp.db" : "nbm.db"), { readOnly: true });
    try {
      const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
      for (const table of tables.map(({ name }) => String(name))) {
        if (["sessions", "budgets", "leases"].includes(table)) continue;
        counts[table] = Number(database.prepare(`SELECT count(*) AS n FROM "${table}"`).get()?.n);
      }
    } finally {
      database.close();
    }
    return counts;
  }

  /** Every refusal is an error of the documented form. @returns its code */
  function codeOf(answer: unknown): string {
    const { error } = parseAnswer(ErrorAnswer, answer, "daemon");
    expect(error.message).to.not.match(/node_modules|\.ts:\d+|SQLITE/);
    return error.code;
  }

  async function expectAlive(daemon: DevnetDaemon): Promise<void> {
    expect((await fetch(`${daemon.url}/healthz`)).status).to.equal(200);
    expect(daemon.process.running).to.equal(true);
  }

  for (const route of ROUTES) {
    describe(`${route.method} ${route.path.replace(/0x0+/, "0x0…")} of a ${route.daemon}`, () => {
      it("refuses every malformed body and changes nothing", async () => {
        const daemon = daemonOf(route);
        const token = route.session ? await tokenFor(daemon) : undefined;
        const before = stateOf(daemon);
        for (const [what, bad] of Object.entries(BAD_BODIES)) {
          const { status, answer } = await send(daemon, route.method, route.path, bad, token);
          expect(status, `${what}: ${JSON.stringify(answer)}`).to.be.oneOf([400, 404, 413, 415]);
          expect(codeOf(answer), what).to.be.oneOf(["INVALID_INPUT", "INVALID_POINT", "INTEGRITY", "NOT_FOUND"]);
        }
        expect(stateOf(daemon)).to.deep.equal(before);
        await expectAlive(daemon);
      });

      it("refuses a body above the limit, announced or not, and answers while the sender still writes", async () => {
        const daemon = daemonOf(route);
        const token = route.session ? await tokenFor(daemon) : undefined;
        const before = stateOf(daemon);
        const type = route.stream ?? "application/json";
        for (const announced of [true, false]) {
          const status = await oversize(daemon, route, type, token, announced);
          expect(status).to.be.oneOf(route.stream ? [400, 404, 413] : [413]);
        }
        expect(stateOf(daemon)).to.deep.equal(before);
        await expectAlive(daemon);
      });

      if (route.session) {
        it("refuses it without a session before it reads the body", async () => {
          const daemon = daemonOf(route);
          const { status, answer } = await send(daemon, route.method, route.path, { body: "{}" });
          expect(status).to.equal(401);
          expect(codeOf(answer)).to.equal("INVALID_SIGNATURE");
        });
      }
    });
  }

  /** Writes more than the route takes until the daemon answers or has enough. @returns the status of its answer */
  function oversize(
    daemon: DevnetDaemon,
    route: Route,
    type: string,
    token: string | undefined,
    announced: boolean,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(daemon.url);
      const socket = connect(Number(port), hostname);
      let answer = "";
      const head = [
        `${route.method} ${route.path} HTTP/1.1`,
        `host: ${hostname}`,
        `content-type: ${type}`,
        ...(token === undefined ? [] : [`authorization: Bearer ${token}`]),
        announced ? `content-length: ${OVERSIZE_BYTES}` : "transfer-encoding: chunked",
      ];
      const piece = Buffer.alloc(MIB, "a");
      let sentBytes = 0;
      let terminated = false;
      const write = () => {
        while (sentBytes < OVERSIZE_BYTES && answer === "") {
          sentBytes += piece.length;
          const framed = announced
            ? piece
            : Buffer.concat([Buffer.from(`${MIB.toString(16)}\r\n`), piece, Buffer.from("\r\n")]);
          if (!socket.write(framed)) return;
        }
        if (!announced && !terminated) socket.write("0\r\n\r\n");
        terminated = true;
      };
      const done = () => {
        const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
        socket.destroy();
        if (status === undefined) reject(new Error(`no answer after ${sentBytes} bytes`));
        else resolve(Number(status));
      };
      socket.on("connect", () => {
        socket.write(`${head.join("\r\n")}\r\n\r\n`);
        write();
      });
      socket.on("drain", write);
      socket.on("data", (part) => {
        answer += part.toString();
        if (answer.includes("\r\n\r\n")) done();
      });
      socket.on("close", done);
      // The daemon may close while we are still writing; what it answered before is what counts.
      socket.on("error", () => socket.destroy());
    });
  }

  describe("with a session", () => {
    for (const daemonKind of ["node", "provider"] as const) {
      it(`are refused by a ${daemonKind} when expired, far-dated, replayed, or signed by or for another`, async () => {
        const daemon = daemonOf({ daemon: daemonKind });
        const now = Math.floor(Date.now() / 1000);
        const good = await sessionRequest(daemon);
        const bad: Record<string, unknown> = {
          expired: await sessionRequest(daemon, { expiresAt: now - 1 }),
          "far-dated": await sessionRequest(daemon, { expiresAt: now + 90_000 }),
          "for another daemon": await sessionRequest(daemon, { audience: Wallet.createRandom().address }),
          "of another account": { ...good, account: Wallet.createRandom().address },
          "with another time than signed": { ...good, expiresAt: good.expiresAt + 1 },
          "with another nonce than signed": { ...good, nonce: toHex(randomBytes(32)) },
          "with a signature of zeros": { ...good, signature: `0x${"00".repeat(65)}` },
        };
        for (const [what, request] of Object.entries(bad)) {
          const { status, answer } = await post(daemon, "/v1/sessions", request);
          expect(status, what).to.equal(401);
          expect(codeOf(answer), what).to.equal("INVALID_SIGNATURE");
        }
        expect((await post(daemon, "/v1/sessions", good)).status).to.equal(200);
        const replayed = await post(daemon, "/v1/sessions", good);
        expect(replayed.status).to.equal(401);
        expect(codeOf(replayed.answer)).to.equal("INVALID_SIGNATURE");
      });

      it(`of one daemon are of no use at another: a ${daemonKind} refuses a foreign token`, async () => {
        const [own, foreign] = daemonKind === "node" ? [net.nodes[0], net.provider] : [net.provider, net.nodes[0]];
        const token = await tokenFor(foreign as DevnetDaemon);
        const path = daemonKind === "node" ? "/v1/oprf/evaluate" : "/v1/claims";
        const { status, answer } = await post(own as DevnetDaemon, path, {}, token);
        expect(status).to.equal(401);
        expect(codeOf(answer)).to.equal("INVALID_SIGNATURE");
      });
    }
  });

  describe("with elements that are no group elements", () => {
    const elements: Record<string, string> = {
      identity: ZEROS,
      "not canonical": `0x${"ff".repeat(32)}`,
      negative: `0x01${"00".repeat(31)}`,
      "not on the curve": `0x26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371`,
    };
    for (const [what, element] of Object.entries(elements)) {
      it(`are refused: ${what}`, async () => {
        const node = net.nodes[0] as DevnetDaemon;
        const body = { committeeId: net.deployment.committeeId, generation: 1, blinded: [element] };
        const { status, answer } = await post(node, "/v1/oprf/evaluate", body, await tokenFor(node));
        expect(status).to.equal(400);
        expect(codeOf(answer)).to.equal("INVALID_POINT" satisfies ErrorCode);
      });
    }
  });

  it("for chunks of others get the same answer whether they exist or not", async () => {
    const stranger = await newPerson(net, "stranger");
    const [existing = ""] = packedObjects(join(net.provider.dir, "data", "store")).keys();
    const { recoveryPhrase } = stranger;
    const session = { account: stranger.account, audience: net.provider.account, nonce: toHex(randomBytes(32)) };
    const expiresAt = Math.floor(Date.now() / 1000) + 600;
    const typed = sessionMessage(domainOf(net.provider), { ...session, expiresAt });
    const signer = new Wallet(toHex(identityFromPhrase(recoveryPhrase).signingKey));
    const signature = await signer.signTypedData(typed.domain, typed.types, { ...typed.message });
    const { answer } = await post(net.provider, "/v1/sessions", { ...session, expiresAt, signature });
    const answers = [];
    for (const id of [existing, CHUNK_ID]) {
      const response = await fetch(`${net.provider.url}/v1/chunks/${id}`, {
        headers: { authorization: `Bearer ${String(answer.token)}` },
      });
      answers.push({ status: response.status, body: await response.text() });
    }
    expect(answers[0]?.status).to.equal(403);
    expect(answers[0]).to.deep.equal(answers[1]);
  });
});
