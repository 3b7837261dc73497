/**
 * Two processes of one provider on one PostgreSQL database and one bucket of a real S3 server (versitygw): they serve
 * the
 * same users at once, and either may be killed at any time.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { readBooks } from "../../offchain/chain/escrow.ts";
import { G1_EXPANDED_BYTES } from "../../offchain/core/audit/curve.ts";
import { powersOfBeta } from "../../offchain/core/audit/powers.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { CHUNK_FRAMES } from "../../offchain/core/wire/csp.ts";
import { LEASE_MILLISECONDS } from "../../offchain/store/index/sql/leases.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { answersFor, frame, randomChunk, type TestChunk } from "../csp/provider-fixture.ts";
import { type Answer, ProviderClient, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { DATABASE_PASSWORD, PostgresqlServer } from "../helpers/postgresql.ts";
import { until } from "../helpers/promises.ts";
import { type S3Server, startS3Server } from "../helpers/real-peers.ts";

const KILLS = 6;
const EPOCH_BLOCKS = 60;
const OFFER = {
  ...TEST_OFFER,
  windowBlocks: 20,
  dataSets: { graceBlocks: 10, sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 },
};

/** An upload whose body the test sends in parts. */
function uploadInPieces(client: ProviderClient, provider: ProviderProcess, sizeBytes: number) {
  const headers = {
    authorization: `Bearer ${client.token}`,
    "content-type": CHUNK_FRAMES,
    "content-length": String(sizeBytes),
  };
  const sent = request(`${provider.url}/v1/chunks`, { method: "POST", headers });
  const answer = new Promise<{ status: number | undefined; json: Answer["json"] }>((resolve, reject) => {
    sent.on("error", reject);
    sent.on("response", async (response) => resolve({ status: response.statusCode, json: await json(response) }));
  });
  answer.catch(() => undefined);
  return {
    write: (bytes: Uint8Array) => sent.write(bytes),
    end: (bytes: Uint8Array) => {
      sent.end(bytes);
      return answer;
    },
  };
}

const hexOf = (k: number) => `0x${k.toString(16).padStart(2, "0").repeat(32)}`;

describe("two processes of one provider", () => {
  let server: PostgresqlServer;
  let local: LocalChain;
  let folder: string;
  let s3: S3Server;
  let store: Record<string, unknown>;
  let processes: [ProviderProcess, ProviderProcess];

  before(async () => {
    await auditReady();
    server = await PostgresqlServer.start();
    local = await startLocalChain({ parameters: { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: 2n } });
    folder = mkdtempSync(join(tmpdir(), "tallystick-shared-"));
    s3 = await startS3Server();
    const credentialsFile = join(folder, "credentials");
    const keys = `aws_access_key_id=${s3.accessKeyId}\naws_secret_access_key=${s3.secretAccessKey}\n`;
    writeFileSync(credentialsFile, keys, { mode: 0o600 });
    store = { kind: "s3", endpoint: s3.url, bucket: s3.bucket, credentialsFile };
    const environment = { TALLYSTICK_DATABASE_URL: await server.createDatabase("provider") };
    const config = { database: { kind: "postgresql" }, store, offer: OFFER };
    const first = await ProviderProcess.prepare(local, config, { environment });
    processes = [first, await first.sibling(config)];
    await Promise.all(processes.map((each) => each.start()));
  });
  after(async () => {
    for (const each of processes ?? []) await each.remove();
    await local?.stop();
    await server?.remove();
    await s3?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  /** One session, at both. */
  async function clientsOf(account: number): Promise<[ProviderClient, ProviderClient]> {
    const here = await processes[0].connect(local.account(account));
    return [here, new ProviderClient(processes[1], here.token)];
  }

  const bytesAt = async (client: ProviderClient, { id }: TestChunk) => {
    const { status, bytes, json } = await client.request("GET", `/v1/chunks/${id}`);
    return status === 200 ? bytes : json;
  };

  it("take each other's sessions, objects and claims", async () => {
    const [here, there] = await clientsOf(1);
    const [bobHere, bobThere] = await clientsOf(2);
    const chunks = [randomChunk(70_000), randomChunk(500)];
    await here.upload(...chunks);
    for (const chunk of chunks) expect(await bytesAt(there, chunk)).to.deep.equal(chunk.bytes);
    const claim = await bobThere.claim(chunks);
    expect(await bobHere.prove(claim, chunks)).to.deep.equal({ owned: chunks.map(({ id }) => id), missing: [] });
    for (const chunk of chunks) expect(await bytesAt(bobThere, chunk)).to.deep.equal(chunk.bytes);
    const totals = await Promise.all(processes.map((each) => each.metric("tallystick_csp_deduplicated_bytes")));
    expect(totals).to.deep.equal([70_500, 70_500]);
    // A session message is used once, wherever it is sent.
    const body = await processes[0].sessionRequest(local.account(1));
    const answers = [];
    for (const each of processes) answers.push((await each.request("POST", "/v1/sessions", { body })).status);
    expect(answers).to.deep.equal([200, 401]);
  });

  it("lose nothing that either acknowledged, whichever is killed", async () => {
    const acknowledged: { readonly chunk: TestChunk; readonly account: number }[] = [];
    let over = false;
    /** Uploads to one of the processes until that fails, then to the other. */
    async function upload(account: number, clients: readonly [ProviderClient, ProviderClient]): Promise<void> {
      let at = account % 2;
      while (!over) {
        const chunks = Array.from({ length: 1 + (acknowledged.length % 4) }, (_, k) => randomChunk(20_000 + k));
        try {
          await (clients[at] ?? clients[0]).upload(...chunks);
          acknowledged.push(...chunks.map((chunk) => ({ chunk, account })));
          await pause(50);
        } catch (error) {
          // The connection broke, or the process is not up yet.
          if (!(error instanceof TypeError)) throw error;
          at = 1 - at;
        }
      }
    }
    // Sessions first: opening one needs the process that is killed first.
    const sessions = await Promise.all([1, 2, 3, 4].map(clientsOf));
    const uploads = Promise.all(sessions.map((clients, k) => upload(k + 1, clients)));
    uploads.catch(() => undefined);
    for (let kill = 0; kill < KILLS; kill++) {
      await pause(500 + Math.random() * 1000);
      const victim = processes[kill % 2] ?? processes[0];
      const before = acknowledged.length;
      await victim.end("SIGKILL");
      await until("the other one serves", async () => acknowledged.length > before + 4);
      await victim.start();
    }
    over = true;
    await uploads;
    expect(acknowledged.length).to.be.greaterThan(50);
    for (const { chunk, account } of acknowledged) {
      const client = sessions[account - 1]?.[chunk.bytes.length % 2];
      const found = await client?.request("GET", `/v1/chunks/${chunk.id}`);
      expect(found && Buffer.compare(found.bytes, chunk.bytes), chunk.id).to.equal(0);
    }
  });

  it("acknowledge no upload whose process stood still while the other one, alone, removed its objects", async () => {
    const [victim, starter] = processes;
    await starter.end();
    const client = await victim.connect(local.account(1));
    const chunks = Array.from({ length: 8 }, () => randomChunk(1_000_000));
    const body = Buffer.concat(chunks.map((chunk) => frame(chunk)));
    const half = body.length * 0.7;
    const upload = uploadInPieces(client, victim, body.length);
    upload.write(body.subarray(0, half));
    // The first objects are in the bucket, and the last ones have yet to come.
    await pause(2000);
    const pid = victim.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    try {
      await pause(LEASE_MILLISECONDS + 3000);
      starter.log = "";
      await starter.start();
    } finally {
      process.kill(pid, "SIGCONT");
    }
    const removed = Number(/"removed":(\d+)/.exec(starter.log)?.[1]);
    expect(removed).to.be.greaterThan(3);
    const refused = await upload.end(body.subarray(half));
    expect(refused.status).to.equal(409);
    expect(refused.json.error).to.include({ code: "CONFLICT", check: "lease of the process", retryable: true });
    // Soon the process is registered again.
    await until("the upload is taken", () =>
      client.upload(...chunks).then(
        () => true,
        () => false,
      ),
    );
    for (const each of [client, new ProviderClient(starter, client.token)]) {
      for (const chunk of chunks) {
        const found = await bytesAt(each, chunk);
        expect(Buffer.compare(found, chunk.bytes), chunk.id).to.equal(0);
      }
    }
  });

  it("take parts of one data set, open it, grow it, prove it between them, and one goes on alone", async () => {
    const signer = local.account(1);
    const device = await Device.connect(local.chain, processes[0], signer);
    const [here, there] = [device.client, new ProviderClient(processes[1], device.client.token)];
    /** The same device, at one of the two. */
    const at = (client: ProviderClient): Device => {
      const moved: Device = Object.assign(device, { client });
      return moved;
    };
    await device.deposit(10n ** 15n);
    await device.begin();
    const first = await at(there).add(randomChunk(50_000));
    device.agreed = device.termsWith();
    const body = device.openRequest(await device.state());
    const opened = await Promise.all(
      [here, there].map((each) => each.request("POST", `${device.path}/open`, { body })),
    );
    expect(opened.map(({ status, json }) => (status === 200 ? 200 : json))).to.deep.equal([200, 200]);
    expect(opened[0]?.json).to.deep.equal(opened[1]?.json);
    device.version = 1n;

    const chunks = [randomChunk(300_000), randomChunk(150_000)];
    await here.upload(...chunks);
    const segment = device.segmentOf(chunks);
    ok(await at(here).beginSegment(segment));
    const last = segment.firstIndex + segment.sliceCount - 1;
    const powers = powersOfBeta(device.secrets, first.sliceCount + 1, last - first.sliceCount);
    const path = `${device.path}/segments/${segment.name}`;
    const sent = first.sliceCount * G1_EXPANDED_BYTES;
    ok(await here.request("PUT", `${device.path}/powers-b?offset=${sent}`, { bytes: powers }));
    const half = segment.tags.subarray(0, 5 * G1_EXPANDED_BYTES);
    ok(await here.request("PUT", `${path}/tags?offset=0`, { bytes: half }));
    // The rest at the other one, which knows where the first one stopped.
    expect(ok(await there.request("GET", path))).to.include({ state: "open", tagsBytes: half.length });
    const rest = segment.tags.subarray(half.length);
    ok(await there.request("PUT", `${path}/tags?offset=${half.length}`, { bytes: rest }));
    await at(there).verify(segment);
    device.include(segment);

    // Each signs a version once, whichever is asked.
    const second = await device.state();
    const answers = await Promise.all(
      [here, there].map((each) => each.request("POST", `${device.path}/updates`, { body: second })),
    );
    for (const answer of answers) expect(ok(answer)).to.include({ id: device.id, version: "2" });
    expect(answers[0]?.json.providerSignature).to.equal(answers[1]?.json.providerSignature);
    device.version = 2n;
    expect((await device.onChain())?.decoded.version).to.equal(2n);

    const head = () => local.chain.provider.getBlockNumber();
    async function openEpoch(): Promise<void> {
      const epoch = Math.floor((await head()) / EPOCH_BLOCKS) + 1;
      await local.mine(epoch * EPOCH_BLOCKS + device.phase + 1 - (await head()));
    }
    const proven = (count: number) =>
      until(
        `${count} epochs proven`,
        async () => ((await readBooks(local.chain, device.id))?.proven ?? 0) >= count,
        120,
        () => `${processes[0].log.slice(-3000)}\n${processes[1].log.slice(-3000)}`,
      );
    const sentBy = (each: ProviderProcess) => each.metric("tallystick_csp_proofs_sent_total");
    await openEpoch();
    await proven(1);
    await until("the proof is counted", async () => (await sentBy(processes[0])) + (await sentBy(processes[1])) === 1);
    const prover = (await sentBy(processes[0])) === 1 ? 0 : 1;
    const [victim, survivor] = prover === 0 ? processes : ([processes[1], processes[0]] as const);
    await victim.end("SIGKILL");
    await openEpoch();
    await proven(2);
    await until("the other one has proven it", async () => (await sentBy(survivor)) === 1);
    await victim.start();
    await openEpoch();
    await proven(3);
    const missed = (await readBooks(local.chain, device.id))?.missed;
    expect(missed).to.equal(0);
  });

  it("manage one ownership group: what one of them revokes, the other one serves nobody", async () => {
    const [[alice, aliceThere], [bob, bobThere]] = [await clientsOf(1), await clientsOf(2)];
    const chunks = [randomChunk(900)];
    const dataId = chunks[0]?.id ?? "";
    await alice.upload(...chunks);
    const PATH = "/v1/owner-groups";
    const objects = chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length }));
    const body = { dataId, nonce: hexOf(1), secret: hexOf(2), rejoin: "proof", objects };
    const { groupId } = ok(await alice.request("POST", PATH, { body }));
    const group = `${PATH}/${groupId}`;
    const stubFile = new Uint8Array(57 + 64);
    stubFile.set([1, 0, 0, 0, 0, 0, 0, 0, 1]);
    ok(await aliceThere.request("PUT", `${group}/stub-file?expected=0`, { bytes: stubFile }));
    const secret = hexOf(3);
    const answersOf = async () => {
      const claim = await bobThere.claim(chunks);
      return { claimId: claim.claimId, ...answersFor(claim, chunks, processes[0].operator), secret };
    };
    const statusOf = async (client: ProviderClient, path: string) => (await client.request("GET", path)).status;
    for (let round = 0; round < 4; round += 1) {
      ok(await bob.request("POST", `${group}/join`, { body: await answersOf() }));
      for (const client of [bob, bobThere]) {
        expect(await statusOf(client, `${group}/stub-file`)).to.equal(200);
        expect(await statusOf(client, `${group}/path`)).to.equal(200);
      }
      const account = await local.account(2).getAddress();
      const revoked = await Promise.all(
        [alice, aliceThere].map(async (client) =>
          ok(await client.request("POST", `${group}/revoke`, { body: { account } })),
        ),
      );
      // One of them makes the epoch, and the other one finds it made.
      expect(new Set(revoked.map(({ epoch }) => epoch))).to.deep.equal(new Set([2 * round + 3]));
      expect(revoked.filter(({ rewrittenBytes }) => rewrittenBytes > 0)).to.have.length(1);
      for (const client of [bob, bobThere]) {
        for (const part of ["stub-file", "path", `rekeys/${2 * round + 3}`]) {
          expect(await statusOf(client, `${group}/${part}`), part).to.equal(404);
        }
      }
    }
    ok(await aliceThere.request("POST", `${group}/close`));
    expect(await statusOf(alice, `${PATH}?dataId=${dataId}`)).to.equal(404);
  });

  it("say in /healthz that the database is gone, and go on when it is back", async () => {
    const [here, there] = await clientsOf(3);
    const chunk = randomChunk(1000);
    await here.upload(chunk);
    await server.stop("SIGQUIT");
    for (const each of processes) {
      await until("unhealthy", async () => (await each.request("GET", "/healthz")).json.checks.database === "failing");
    }
    const refused = await there.request("GET", `/v1/chunks/${chunk.id}`);
    expect(refused.status).to.equal(503);
    expect(refused.json.error).to.include({ code: "STORAGE_UNAVAILABLE", check: "database", retryable: true });
    expect(JSON.stringify(refused.json)).not.to.contain(String(server.port));
    await server.resume();
    for (const client of [here, there]) expect(await bytesAt(client, chunk)).to.deep.equal(chunk.bytes);
    for (const each of processes) {
      await until("healthy", async () => (await each.request("GET", "/healthz")).status === 200);
    }
  });

  it("keep the password out of their logs and command lines, and refuse a file that others may read", async () => {
    for (const each of processes) {
      expect(each.log).to.contain(`127.0.0.1:${server.port}`);
      expect(each.log).not.to.contain(DATABASE_PASSWORD);
      expect(readFileSync(`/proc/${each.pid}/cmdline`, "utf8")).not.to.contain(DATABASE_PASSWORD);
    }
    const third = await processes[0].sibling({ database: { kind: "postgresql", urlFile: "url" }, store });
    try {
      const failureOf = () =>
        third.start().then(
          () => "it started",
          (error: Error) => error.message,
        );
      third.environment = { TALLYSTICK_DATABASE_URL: "" };
      writeFileSync(join(third.folder, "url"), server.url("provider"), { mode: 0o644 });
      expect(await failureOf()).to.contain("is readable by others");
      rmSync(join(third.folder, "url"));
      writeFileSync(join(third.folder, "url"), server.url("nowhere"), { mode: 0o600 });
      expect(await failureOf()).to.contain(`postgresql://127.0.0.1:${server.port}/nowhere`);
      expect(third.log).not.to.contain(DATABASE_PASSWORD);
    } finally {
      await third.remove();
    }
  });
});
