import { type ClientRequest, request } from "node:http";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { u64be } from "../../offchain/core/encoding/integers.ts";
import { CHUNK_FRAMES, OCTET_STREAM } from "../../offchain/core/wire/csp.ts";
import { DataSetOffer } from "../../offchain/core/wire/data-sets.ts";
import { parseAnswer } from "../../offchain/core/wire/schema.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";
import { AuditedSet } from "./audited-data.ts";
import { frame, randomChunk } from "./provider-fixture.ts";
import { NATIVE, type ProviderClient, ProviderProcess, TEST_OFFER } from "./provider-process.ts";

/** Names that nobody uses. */
const SET = `/v1/data-sets/0x${"00".repeat(32)}`;
const SEGMENT = `0x${"00".repeat(32)}`;

const someGroup = `/v1/owner-groups/0x${"00".repeat(32)}`;

describe("provider over HTTP", () => {
  let local: LocalChain;
  let provider: ProviderProcess;
  let alice: ProviderClient;
  let bob: ProviderClient;
  before(async () => {
    await auditReady();
    local = await startLocalChain();
    provider = await ProviderProcess.prepare(local);
    await provider.start();
    alice = await provider.connect(local.account(1));
    bob = await provider.connect(local.account(2));
  });
  after(async () => {
    await provider.remove();
    await local.stop();
  });

  it("tells its offer, health and metrics to anybody", async () => {
    const offer = parseAnswer(DataSetOffer, (await provider.request("GET", "/v1/data-set-offer")).json, "provider");
    const { contracts } = local.deployment;
    const { prices, ...terms } = TEST_OFFER;
    expect(offer).to.deep.include({
      ...terms,
      account: provider.operator,
      escrow: contracts.storageEscrow,
      verifiers: [contracts.possessionVerifier],
      randomness: [contracts.randomness],
      modes: ["every-epoch"],
      graceBlocks: Math.floor(TEST_OFFER.windowBlocks / 2),
      chainId: 31_337,
    });
    expect(offer.prices).to.deep.equal([{ ...prices[0], pricePerIndexEpoch: "0", disputeBond: "10000000" }]);
    expect(offer.prices[0]?.token).to.equal(NATIVE);
    expect((await provider.request("GET", "/healthz")).json).to.deep.equal({
      ok: true,
      checks: { chain: "ok", database: "ok", transactions: "ok" },
    });
    expect(await provider.metric("tallystick_csp_stored_bytes")).to.be.a("number").and.not.NaN;
    const balance = await local.account(1).provider?.getBalance(provider.operator);
    expect(await provider.metric("tallystick_csp_balance_ether")).to.equal(Number(balance) / 1e18);
  });

  it("deduplicates between accounts by proof of ownership, and shows what that saved", async () => {
    const chunks = [randomChunk(50_000), randomChunk(2_097_152)];
    const before = await provider.metric("tallystick_csp_stored_bytes");
    expect(await alice.upload(...chunks)).to.deep.equal(chunks.map(({ id }) => id));
    const claim = await bob.claim(chunks);
    expect(await bob.prove(claim, chunks)).to.deep.equal({ owned: chunks.map(({ id }) => id), missing: [] });
    for (const { id, bytes } of chunks) {
      const answer = await bob.request("GET", `/v1/chunks/${id}`);
      expect(answer.headers.get("content-type")).to.equal("application/octet-stream");
      expect(answer.bytes).to.deep.equal(bytes);
    }
    expect((await provider.metric("tallystick_csp_stored_bytes")) - before).to.equal(2_147_152);
    expect(await provider.metric("tallystick_csp_deduplicated_bytes")).to.equal(2_147_152);
  });

  it("answers with the right bytes although memory is used again, also while readers are slow or hang up", async () => {
    const chunks = Array.from({ length: 24 }, (_, k) => randomChunk(1_000_000 + k * 45_000));
    for (let k = 0; k < chunks.length; k += 8) await alice.upload(...chunks.slice(k, k + 8));
    const path = (id: string) => `${provider.url}/v1/chunks/${id}`;
    const expectSame = (received: Uint8Array, sent: Uint8Array) => expect(Buffer.compare(received, sent)).to.equal(0);
    const hurried = async (k: number): Promise<void> => {
      for (let round = 0; round < 4; round += 1) {
        const { id, bytes } = chunks[(k + 5 * round) % chunks.length] as (typeof chunks)[number];
        expectSame((await alice.request("GET", `/v1/chunks/${id}`)).bytes, bytes);
      }
    };
    const slow = async (k: number): Promise<void> => {
      const { id, bytes } = chunks[k] as (typeof chunks)[number];
      const answer = await fetch(path(id), { headers: { authorization: `Bearer ${alice.token}` } });
      const pieces: Uint8Array[] = [];
      const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        pieces.push(read.value);
        if (pieces.length % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expectSame(concatBytes(...pieces), bytes);
    };
    const gone = async (k: number): Promise<void> => {
      const { id } = chunks[k] as (typeof chunks)[number];
      const answer = await fetch(path(id), { headers: { authorization: `Bearer ${alice.token}` } });
      await answer.body?.cancel();
    };
    await Promise.all(chunks.flatMap((_, k) => [k % 3 === 0 ? slow(k) : gone(k), hurried(k)]));
  });

  it("needs a session everywhere but for the offer", async () => {
    const { id } = randomChunk(1);
    for (const [method, path] of [
      ["POST", "/v1/claims"],
      ["POST", `/v1/claims/0x${"00".repeat(16)}/answers`],
      ["POST", "/v1/chunks"],
      ["POST", "/v1/chunks/release"],
      ["POST", "/v1/chunks/inspect"],
      ["POST", "/v1/chunks/keep"],
      ["GET", "/v1/usage"],
      ["GET", `/v1/chunks/${id}`],
      ["PUT", SET],
      ["GET", SET],
      ["PUT", `${SET}/powers-a?offset=0`],
      ["PUT", `${SET}/segments/${SEGMENT}?firstIndex=1`],
      ["GET", `${SET}/segments/${SEGMENT}`],
      ["PUT", `${SET}/segments/${SEGMENT}/tags?offset=0`],
      ["POST", `${SET}/segments/${SEGMENT}/verify`],
      ["POST", `${SET}/open`],
      ["POST", `${SET}/updates`],
      ["POST", `${SET}/audit`],
      ["POST", `${SET}/openings`],
      ["GET", "/v1/head"],
      ["PUT", "/v1/head?expected=0&releases=0"],
      ["GET", `/v1/stub-files/${randomChunk(1).id}`],
      ["PUT", `/v1/stub-files/${randomChunk(1).id}?expected=0`],
      ["POST", "/v1/owner-groups"],
      ["GET", `/v1/owner-groups?dataId=${randomChunk(1).id}`],
      ...["proof", "members", "path", "rekeys/1", "stub-file"].map((part) => ["GET", `${someGroup}/${part}`] as const),
      ...["join", "leave", "revoke", "readmit", "close"].map((part) => ["POST", `${someGroup}/${part}`] as const),
      ["PUT", `${someGroup}/stub-file?expected=0`],
    ] as const) {
      const answer = await provider.request(method, path, method === "GET" ? {} : { body: {} });
      expect(answer.status, `${method} ${path}`).to.equal(401);
      expect(answer.json.error.code).to.equal("INVALID_SIGNATURE");
    }
  });

  it("keeps the head of a snapshot list through kill -9, and replaces it by compare-and-swap only", async () => {
    const head = (version: number) => concatBytes(Uint8Array.of(1), u64be(BigInt(version)), randomBytes(200));
    const counted: number = (await alice.request("GET", "/v1/usage")).json.releases;
    const put = (client: ProviderClient, expected: number, bytes: Uint8Array, releases = counted) =>
      client.request("PUT", `/v1/head?expected=${expected}&releases=${releases}`, { bytes });
    const codeOf = async (answer: ReturnType<ProviderClient["request"]>) => {
      const { status, json } = await answer;
      return [status, json.error.code];
    };
    expect(await codeOf(alice.request("GET", "/v1/head"))).to.deep.equal([404, "NOT_FOUND"]);
    const [first, second, other] = [head(1), head(2), head(2)];
    expect((await put(alice, 0, first)).json).to.deep.equal({ version: 1 });
    expect((await put(alice, 1, second)).json).to.deep.equal({ version: 2 });
    const late = await put(alice, 1, other);
    expect([late.status, late.json.error.code, late.json.error.details]).to.deep.equal([
      409,
      "CONFLICT",
      { version: 2, releases: counted },
    ]);
    // The answer was lost, and the request came again.
    expect((await put(alice, 1, second)).json).to.deep.equal({ version: 2 });
    expect(await codeOf(put(alice, 2, head(4)))).to.deep.equal([400, "INVALID_INPUT"]);
    expect(await codeOf(put(alice, 2, new Uint8Array(8)))).to.deep.equal([400, "UNKNOWN_VERSION"]);
    expect(await codeOf(put(alice, 2, head(3).subarray(0, 20)))).to.deep.equal([400, "INTEGRITY"]);
    expect(await codeOf(put(alice, 2, new Uint8Array(65_537).fill(1)))).to.deep.equal([413, "INVALID_INPUT"]);
    expect(await codeOf(put(alice, -1, first, 0))).to.deep.equal([400, "INVALID_INPUT"]);
    const uninformed = await put(alice, 2, head(3), counted + 7);
    expect([uninformed.status, uninformed.json.error.check]).to.deep.equal([409, "releases of objects"]);
    await provider.end("SIGKILL");
    await provider.start();
    alice = await provider.connect(local.account(1));
    bob = await provider.connect(local.account(2));
    expect((await alice.request("GET", "/v1/head")).bytes).to.deep.equal(second);
    expect(await codeOf(bob.request("GET", "/v1/head"))).to.deep.equal([404, "NOT_FOUND"]);
  });

  it("keeps ownership groups through kill -9, shows them to nobody else, and refuses what is malformed", async () => {
    const chunk = randomChunk(700);
    await alice.upload(chunk);
    const hex = (k: number) => `0x${k.toString(16).padStart(2, "0").repeat(32)}`;
    const objects = [{ id: chunk.id, sizeBytes: 700 }];
    const body = { dataId: chunk.id, nonce: hex(1), secret: hex(2), rejoin: "proof", objects };
    const codeOf = async (client: ProviderClient, method: string, path: string, given?: object) => {
      const { status, json } = await client.request(method, path, given === undefined ? {} : { body: given });
      return [status, json.error?.code];
    };
    const malformed = [400, "INVALID_INPUT"];
    for (const wrong of [
      { nonce: "0x01" },
      { secret: hex(2).toUpperCase() },
      { rejoin: "never" },
      { objects: [] },
      { objects: Array.from({ length: 65 }, () => objects[0]) },
      { objects: [...objects, ...objects] },
      { objects: [{ id: chunk.id, sizeBytes: 0 }] },
      { dataId: "x" },
      { further: 1 },
    ]) {
      const name = JSON.stringify(wrong).slice(0, 60);
      expect(await codeOf(alice, "POST", "/v1/owner-groups", { ...body, ...wrong }), name).to.deep.equal(malformed);
    }
    expect(await codeOf(bob, "POST", "/v1/owner-groups", body)).to.deep.equal([403, "NOT_OWNER"]);
    const founded = await alice.request("POST", "/v1/owner-groups", { body });
    expect(founded.status, JSON.stringify(founded.json)).to.equal(200);
    const group = `/v1/owner-groups/${founded.json.groupId}`;
    const file = concatBytes(Uint8Array.of(1), u64be(3n), randomBytes(48 + 64));
    expect((await alice.request("PUT", `${group}/stub-file?expected=0`, { bytes: file })).json.epoch).to.equal(3);
    const late = await alice.request("PUT", `${group}/stub-file?expected=0`, { bytes: randomBytes(0) });
    expect([late.status, late.json.error.code]).to.deep.equal([400, "INTEGRITY"]);
    const tooLong = new Uint8Array(4_194_362).fill(1);
    expect((await alice.request("PUT", `${group}/stub-file?expected=3`, { bytes: tooLong })).status).to.equal(413);

    await provider.end("SIGKILL");
    await provider.start();
    alice = await provider.connect(local.account(1));
    bob = await provider.connect(local.account(2));
    const found = (await alice.request("GET", `/v1/owner-groups?dataId=${chunk.id}`)).json;
    expect(found).to.deep.equal(founded.json);
    expect((await alice.request("GET", `${group}/path`)).status).to.equal(200);
    const wrapped = (await alice.request("GET", `${group}/stub-file`)).bytes;
    expect(wrapped).to.have.length(file.length + 57);

    const missing = [404, "NOT_FOUND"];
    const account = await local.account(1).getAddress();
    for (const part of ["members", "path", "rekeys/1", "stub-file"]) {
      expect(await codeOf(bob, "GET", `${group}/${part}`), part).to.deep.equal(missing);
    }
    for (const part of ["revoke", "readmit"]) {
      expect(await codeOf(bob, "POST", `${group}/${part}`, { account }), part).to.deep.equal(missing);
      expect(await codeOf(alice, "POST", `${group}/${part}`, { account: "0x1" }), part).to.deep.equal(malformed);
    }
    for (const part of ["leave", "close"]) expect(await codeOf(bob, "POST", `${group}/${part}`)).to.deep.equal(missing);
    expect((await bob.request("PUT", `${group}/stub-file?expected=3`, { bytes: file })).status).to.equal(404);
    expect(await codeOf(bob, "GET", `/v1/owner-groups?dataId=${chunk.id}`)).to.deep.equal(missing);
    expect(await codeOf(bob, "GET", `${someGroup}/proof`)).to.deep.equal(missing);
    const claim = { claimId: `0x${"01".repeat(16)}`, answers: [hex(1)], secret: hex(2) };
    expect(await codeOf(bob, "POST", `${group}/join`, claim)).to.deep.equal(missing);
    expect(await codeOf(bob, "POST", `${group}/join`, { ...claim, answers: [] })).to.deep.equal(malformed);
    for (const path of ["/v1/owner-groups", "/v1/owner-groups/0x01/path", `${group}/rekeys/0`, `${group}/rekeys/x`]) {
      expect(await codeOf(alice, "GET", path), path).to.deep.equal(malformed);
    }
    expect(await codeOf(alice, "GET", `${group}/rekeys/2`), "not yet").to.deep.equal(missing);
  });

  it("keeps stub files through kill -9, each for its account alone, and takes later epochs only", async () => {
    const path = `/v1/stub-files/${randomChunk(1).id}`;
    const file = (epoch: number, stubs = 2) =>
      concatBytes(Uint8Array.of(1), u64be(BigInt(epoch)), randomBytes(48 + 64 * stubs));
    const put = (client: ProviderClient, expected: number | string, bytes: Uint8Array) =>
      client.request("PUT", `${path}?expected=${expected}`, { bytes });
    const codeOf = async (answer: ReturnType<ProviderClient["request"]>) => {
      const { status, json } = await answer;
      return [status, json.error.code];
    };
    expect(await codeOf(alice.request("GET", path))).to.deep.equal([404, "NOT_FOUND"]);
    const [first, second] = [file(1), file(4)];
    expect((await put(alice, 0, first)).json).to.deep.equal({ epoch: 1 });
    expect((await put(alice, 1, second)).json).to.deep.equal({ epoch: 4 });
    // The answer was lost, and the request came again.
    expect((await put(alice, 1, second)).json).to.deep.equal({ epoch: 4 });
    const late = await put(alice, 1, file(5));
    expect([late.status, late.json.error.code, late.json.error.details]).to.deep.equal([409, "CONFLICT", { epoch: 4 }]);
    expect(await codeOf(put(alice, 4, first)), "a file that was revoked").to.deep.equal([400, "INVALID_INPUT"]);
    expect(await codeOf(put(alice, 4, file(5).with(0, 2)))).to.deep.equal([400, "UNKNOWN_VERSION"]);
    expect(await codeOf(put(alice, 4, file(5).subarray(1)))).to.deep.equal([400, "UNKNOWN_VERSION"]);
    expect(await codeOf(put(alice, 4, file(5).subarray(0, -1)))).to.deep.equal([400, "INTEGRITY"]);
    expect(await codeOf(put(alice, 4, new Uint8Array(0)))).to.deep.equal([400, "INTEGRITY"]);
    expect(await codeOf(put(alice, 4, new Uint8Array(4_194_362).fill(1)))).to.deep.equal([413, "INVALID_INPUT"]);
    expect(await codeOf(put(alice, "x", first))).to.deep.equal([400, "INVALID_INPUT"]);
    expect(await codeOf(alice.request("GET", "/v1/stub-files/x"))).to.deep.equal([400, "INVALID_INPUT"]);
    expect((await put(bob, 0, file(2))).json).to.deep.equal({ epoch: 2 });
    await provider.end("SIGKILL");
    await provider.start();
    alice = await provider.connect(local.account(1));
    bob = await provider.connect(local.account(2));
    expect((await alice.request("GET", path)).bytes).to.deep.equal(second);
    expect((await bob.request("GET", path)).status).to.equal(200);
  });

  it("refuses sessions that are expired, replayed, for another daemon, or signed by somebody else", async () => {
    const open = (body: unknown) => provider.request("POST", "/v1/sessions", { body });
    const signer = local.account(3);
    const good = await provider.sessionRequest(signer);
    expect((await open(good)).status).to.equal(200);
    for (const body of [
      good,
      await provider.sessionRequest(signer, { expiresAt: Math.floor(Date.now() / 1000) - 1 }),
      await provider.sessionRequest(signer, { expiresAt: Math.floor(Date.now() / 1000) + 86_400 }),
      await provider.sessionRequest(signer, { audience: local.account(4).address }),
      { ...(await provider.sessionRequest(signer)), account: local.account(4).address },
    ]) {
      const answer = await open(body);
      expect(answer.status).to.equal(401);
      expect(answer.json.error.code).to.equal("INVALID_SIGNATURE");
    }
  });

  it("refuses uploads that are malformed, and is there for the next one", async () => {
    const good = frame(randomChunk(1000));
    const lying = frame(randomChunk(1000), randomChunk(1).id);
    const oversize = frame(randomChunk(2_097_169));
    for (const [bytes, code] of [
      [lying, "INTEGRITY"],
      [good.subarray(0, 500), "INVALID_INPUT"],
      [oversize, "INVALID_INPUT"],
      [randomBytes(5_000_000), "INVALID_INPUT"],
      [new Uint8Array(0), "INVALID_INPUT"],
      [new Uint8Array(40 * 1024 * 1024), "INVALID_INPUT"],
    ] as const) {
      const answer = await alice.request("POST", "/v1/chunks", { bytes });
      expect(answer.status, JSON.stringify(answer.json)).to.equal(400);
      expect(answer.json.error.code).to.equal(code);
    }
    const typed = await alice.request("POST", "/v1/chunks", { body: { chunks: [] } });
    expect(typed.status).to.equal(415);
    expect(typed.json.error).to.include({ code: "INVALID_INPUT", check: "content type" });
    const unframed = await alice.request("POST", "/v1/chunks", { bytes: good, type: OCTET_STREAM });
    expect([unframed.status, unframed.json.error.expected]).to.deep.equal([415, CHUNK_FRAMES]);
    const stream = await alice.request("POST", "/v1/claims", { bytes: good });
    expect([stream.status, stream.json.error.expected]).to.deep.equal([415, "application/json"]);
    expect((await alice.request("POST", "/v1/chunks", { bytes: good })).status).to.equal(200);
  });

  it("receives four bodies of an account and 32 in all at the same time, of uploads and of data sets", async () => {
    const audited = new AuditedSet(8192);
    const set = `/v1/data-sets/${audited.saltHex}`;
    const begin = async (client: ProviderClient): Promise<void> => {
      const answer = await client.request("PUT", set, { body: audited.request });
      expect(answer.status, JSON.stringify(answer.json)).to.equal(200);
    };
    await begin(alice);
    const open: ClientRequest[] = [];
    let isOver = false;
    const stall = (client: ProviderClient, method: string, path: string): void => {
      const type = path === "/v1/chunks" ? CHUNK_FRAMES : OCTET_STREAM;
      const headers = { authorization: `Bearer ${client.token}`, "content-type": type, "content-length": 1000 };
      const stalled = request(`${provider.url}${path}`, { method, headers });
      stalled.on("error", () => undefined);
      // Another upload of the test had the place at that moment.
      stalled.on("response", ({ statusCode }) => {
        if (statusCode === 429 && !isOver) stall(client, method, path);
      });
      stalled.write("x");
      open.push(stalled);
    };
    const paths = [
      ["POST", "/v1/chunks"],
      ["POST", "/v1/chunks"],
      ["PUT", `${set}/powers-a?offset=0`],
      ["PUT", `${set}/segments/0x${"01".repeat(32)}?firstIndex=1`],
    ] as const;
    const bytes = frame(randomChunk(100));
    const refusedFor = async (client: ProviderClient, check: string): Promise<void> => {
      await until(
        `refused: ${check}`,
        async () => {
          const answer = await client.request("POST", "/v1/chunks", { bytes });
          return answer.status === 429 && answer.json.error.check === check;
        },
        10,
      );
    };
    try {
      for (const [method, path] of paths) stall(alice, method, path);
      await refusedFor(alice, "bodies of the account under way");
      for (const path of ["/powers-a", `/segments/${SEGMENT}?firstIndex=1`, `/segments/${SEGMENT}/tags`]) {
        const put = await alice.request("PUT", `${set}${path}`, { bytes });
        expect([put.status, put.json.error.code], path).to.deep.equal([429, "RATE_LIMITED"]);
      }
      expect((await bob.request("POST", "/v1/chunks", { bytes })).status).to.equal(200);
      for (let k = 3; k < 10; k++) {
        const client = await provider.connect(local.account(k));
        await begin(client);
        for (const [method, path] of paths) stall(client, method, path);
      }
      await refusedFor(bob, "bodies of all accounts under way");
    } finally {
      isOver = true;
      for (const stalled of open) stalled.destroy();
    }
    await until("the places are free", async () => {
      return (await alice.request("POST", "/v1/chunks", { bytes })).status === 200;
    });
  });

  it("refuses claims outside the schema: none, too many, too large, malformed ids, unknown fields", async () => {
    const chunk = { id: randomChunk(1).id, sizeBytes: 10 };
    const many = Array.from({ length: 65 }, () => ({ id: randomChunk(8).id, sizeBytes: 8 }));
    for (const body of [
      { chunks: [] },
      { chunks: many },
      { chunks: [{ ...chunk, sizeBytes: 0 }] },
      { chunks: [{ ...chunk, sizeBytes: 2_097_169 }] },
      { chunks: [{ ...chunk, id: chunk.id.toUpperCase() }] },
      { chunks: [chunk], extra: 1 },
      { chunks: [{ ...chunk, extra: 1 }] },
      "text",
    ]) {
      const answer = await alice.request("POST", "/v1/claims", { body });
      expect(answer.status, JSON.stringify(answer.json)).to.equal(400);
      expect(answer.json.error.code).to.equal("INVALID_INPUT");
    }
    expect(
      (await alice.claim(many.slice(1).map(({ id }) => ({ id, bytes: randomBytes(8) })))).challenges.length,
    ).to.equal(64);
  });

  it("refuses answers to another account's claim, and chunks of another account", async () => {
    const chunk = randomChunk(100);
    await alice.upload(chunk);
    const claim = await alice.claim([chunk]);
    const stolen = await bob.request("POST", `/v1/claims/${claim.claimId}/answers`, {
      body: { answers: [`0x${"00".repeat(32)}`] },
    });
    expect(stolen).to.deep.include({ status: 403 });
    const read = await bob.request("GET", `/v1/chunks/${chunk.id}`);
    expect(read.status).to.equal(403);
    expect(read.json.error.code).to.equal("NOT_OWNER");
  });

  it("releases what an account no longer needs, tells what it owns, and checks what it found damaged", async () => {
    const carol = await provider.connect(local.account(3));
    const chunks = [randomChunk(100), randomChunk(200)];
    const ids = await carol.upload(...chunks);
    const usage = async () => (await carol.request("GET", "/v1/usage")).json;
    const { releases: counted, ...owned } = await usage();
    expect(owned).to.deep.equal({ chunks: 2, bytes: 300 });
    expect((await carol.request("POST", "/v1/chunks/inspect", { body: { ids } })).json).to.deep.equal({ lost: [] });
    const strange = randomChunk(1).id;
    const release = { body: { ids: [ids[0], strange], version: 1 } };
    const early = await carol.request("POST", "/v1/chunks/release", release);
    expect([early.status, early.json.error.code]).to.deep.equal([409, "CONFLICT"]);
    const bytes = concatBytes(Uint8Array.of(1), u64be(1n), randomBytes(200));
    await carol.request("PUT", `/v1/head?expected=0&releases=${counted}`, { bytes });
    expect((await carol.request("POST", "/v1/chunks/release", release)).json).to.deep.equal({ released: 1 });
    expect(await usage(), "owned for a while longer").to.deep.equal({ ...owned, releases: counted + 1 });
    const keep = { body: { ids: [strange, ...ids] } };
    expect((await carol.request("POST", "/v1/chunks/keep", keep)).json).to.deep.equal({ missing: [strange] });
    expect((await carol.request("POST", "/v1/chunks/release", release)).json).to.deep.equal({ released: 1 });
    const inspect = await carol.request("POST", "/v1/chunks/inspect", { body: { ids: [...ids, strange] } });
    expect([inspect.status, inspect.json.error.code]).to.deep.equal([403, "NOT_OWNER"]);
    for (const [path, count] of [
      ["release", 1025],
      ["inspect", 65],
      ["release", 0],
      ["keep", 1025],
      ["keep", 0],
      ["inspect", 0],
    ] as const) {
      const version = path === "release" ? { version: 1 } : {};
      const body = { ids: Array.from({ length: count }, () => ids[0]), ...version };
      expect((await carol.request("POST", `/v1/chunks/${path}`, { body })).status, `${path} ${count}`).to.equal(400);
    }
    const malformed = await carol.request("POST", "/v1/chunks/release", { body: { ids: ["bafkrei"], version: 1 } });
    expect(malformed.status).to.equal(400);
  });

  it("refuses bodies beyond their limits and paths that do not exist", async () => {
    const large = { chunks: [{ id: "x".repeat(300_000), sizeBytes: 1 }] };
    expect((await alice.request("POST", "/v1/claims", { body: large })).status).to.equal(413);
    expect((await alice.request("GET", "/v1/chunks/../secrets")).status).to.equal(404);
    expect((await alice.request("GET", "/v1/chunks/bafkreinothing")).status).to.equal(400);
    const bytes = new Uint8Array(1);
    for (const path of [
      `${SET}/other`,
      `${SET}/powers-a?offset=-1`,
      `${SET}/segments/${SEGMENT}`,
      `${SET}/segments/${SEGMENT}?firstIndex=0`,
      `${SET}/segments/${SEGMENT}/tags?offset=-1`,
      `${SET}/segments/0x00?firstIndex=1`,
    ]) {
      const answer = await alice.request("PUT", path, { bytes });
      expect([answer.status, answer.json.error.code], path).to.deep.equal([400, "INVALID_INPUT"]);
    }
    // Well-formed, and of a set that does not exist.
    const unknown = await alice.request("PUT", `${SET}/segments/${SEGMENT}/tags?offset=0`, { bytes });
    expect([unknown.status, unknown.json.error.check]).to.deep.equal([404, "salt"]);
  });
});
