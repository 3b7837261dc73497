import { spawnSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { G1_EXPANDED_BYTES } from "../../offchain/core/audit/curve.ts";
import { powersOfBeta } from "../../offchain/core/audit/powers.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { DiskFailedError } from "../../offchain/store/disk/disk-errors.ts";
import { lockFolder } from "../../offchain/store/disk/folder-lock.ts";
import { FileObjectStore } from "../../offchain/store/object/file-object-store.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { frame, randomChunk, type TestChunk } from "../csp/provider-fixture.ts";
import { type ProviderClient, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { idsOf } from "../store/object/object-store-suite.ts";

describe("provider that crashes", () => {
  let local: LocalChain;
  let provider: ProviderProcess;
  before(async () => {
    await auditReady();
    local = await startLocalChain();
  });
  after(() => local.stop());
  afterEach(() => provider.remove());

  /** Ids of all objects in the store of a provider that does not run. */
  const objects = async (): Promise<string[]> => {
    const store = await FileObjectStore.open(join(provider.dataDir, "store"));
    try {
      return await idsOf(store);
    } finally {
      await store.close();
    }
  };

  it("loses nothing that it acknowledged and keeps bodies whole or not at all, killed at random moments", async () => {
    provider = await ProviderProcess.prepare(local);
    const acknowledged: TestChunk[] = [];
    let interrupted: TestChunk[][] = [];
    for (let round = 0; round < 6; round++) {
      await provider.start();
      const client = await provider.connect(local.account(1));
      // The process may have died between the last row of a body and its answer: then all of it is there.
      for (const body of interrupted) {
        const answers = await Promise.all(body.map(({ id }) => client.request("GET", `/v1/chunks/${id}`)));
        const statuses = new Set(answers.map(({ status }) => status));
        expect([...statuses]).to.be.deep.oneOf([[200], [403]]);
        if (statuses.has(200)) acknowledged.push(...body);
      }
      for (const { id, bytes } of acknowledged) {
        expect((await client.request("GET", `/v1/chunks/${id}`)).bytes).to.deep.equal(bytes);
      }
      const uploads = Array.from({ length: 4 }, () => uploadUntilItDies(client, acknowledged));
      const before = acknowledged.length;
      for (let waited = 0; waited < 5000 && acknowledged.length < before + 4; waited += 20) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
      await provider.end("SIGKILL");
      interrupted = await Promise.all(uploads);
      const ids = await objects();
      for (const { id } of acknowledged) expect(ids).to.contain(id);
    }
    await provider.start();
    await provider.end();
    // What no answer acknowledged is gone, except a body that was recorded just before the end.
    const kept = new Set(await objects());
    for (const { id } of acknowledged) expect(kept.delete(id), id).to.equal(true);
    for (const id of kept) expect(interrupted.flat().map((chunk) => chunk.id)).to.contain(id);
    expect(acknowledged.length).to.be.greaterThan(10);
  });

  /** @returns the body whose answer never came */
  async function uploadUntilItDies(client: ProviderClient, acknowledged: TestChunk[]): Promise<TestChunk[]> {
    for (;;) {
      const chunks = Array.from({ length: 1 + Math.floor(Math.random() * 6) }, () =>
        randomChunk(1 + Math.floor(Math.random() * 300_000)),
      );
      try {
        await client.upload(...chunks);
      } catch (error) {
        if (error instanceof TypeError) return chunks; // What fetch throws when the connection breaks.
        throw error;
      }
      acknowledged.push(...chunks);
    }
  }

  it("takes a segment up again where it was when it was killed", async () => {
    const offer = { ...TEST_OFFER, dataSets: { sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 } };
    provider = await ProviderProcess.prepare(local, { offer });
    await provider.start();
    const device = await Device.connect(local.chain, provider, local.account(1));
    await device.begin();
    const chunks = [randomChunk(400_000), randomChunk(123_456)];
    await device.client.upload(...chunks);
    const segment = device.segmentOf(chunks);
    ok(await device.beginSegment(segment));
    const path = `${device.path}/segments/${segment.name}`;
    const half = 7 * G1_EXPANDED_BYTES;
    const sent = ok(
      await device.client.request("PUT", `${path}/tags?offset=0`, { bytes: segment.tags.slice(0, half) }),
    );
    expect(sent.tagsBytes).to.equal(half);
    const rest = { bytes: segment.tags.slice(half) };
    void device.client.request("PUT", `${path}/tags?offset=${half}`, rest).catch(() => 0);
    await provider.end("SIGKILL");
    /** The device after a restart, at another address. */
    const restart = async (): Promise<Device> => {
      await provider.start();
      const { client } = await Device.connect(local.chain, provider, device.signer);
      return Object.assign(device, { client });
    };
    let { client } = await restart();
    const { tagsBytes, state } = ok(await client.request("GET", path));
    expect(state).to.equal("open");
    expect(tagsBytes).to.be.oneOf([half, segment.tags.length]);
    expect(ok(await client.request("GET", device.path))).to.include({
      powersABytes: SLICE_ELEMENTS * G1_EXPANDED_BYTES,
      powersBBytes: 0,
    });
    if (tagsBytes === half) ok(await client.request("PUT", `${path}/tags?offset=${half}`, rest));
    const powers = powersOfBeta(device.secrets, 1, segment.sliceCount);
    ok(await client.request("PUT", `${device.path}/powers-b?offset=0`, { bytes: powers }));
    await device.verify(segment);
    await provider.end("SIGKILL");
    ({ client } = await restart());
    expect(ok(await client.request("GET", path))).to.include({ state: "verified", sliceCount: segment.sliceCount });
  });

  it("removes nothing when its database is gone, and serves everything again when it is back", async () => {
    provider = await ProviderProcess.prepare(local);
    await provider.start();
    const chunk = randomChunk(50_000);
    await (await provider.connect(local.account(1))).upload(chunk);
    await provider.end();
    const [there, away] = ["csp.db", "csp.db.away"].map((name) => join(provider.dataDir, name)) as [string, string];
    renameSync(there, away);
    expect(await failureOf(provider.start())).to.contain("belong to another database");
    expect(await objects()).to.deep.equal([chunk.id]);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${there}${suffix}`, { force: true });
    renameSync(away, there);
    await provider.start();
    const client = await provider.connect(local.account(1));
    expect((await client.request("GET", `/v1/chunks/${chunk.id}`)).bytes).to.deep.equal(chunk.bytes);
  });

  it("does not start beside another process on the same folder", async () => {
    provider = await ProviderProcess.prepare(local);
    for (const folder of [provider.dataDir, join(provider.dataDir, "store")]) {
      const lock = lockFolder(folder);
      expect(await failureOf(provider.start())).to.contain("another process uses it");
      lock.close();
    }
    await provider.start();
    expect(() => lockFolder(provider.dataDir, 0)).to.throw(DiskFailedError, "another process uses it");
    await provider.end("SIGKILL");
    await provider.start();
  });

  it("starts with another keystore or another chain only in another folder", async () => {
    provider = await ProviderProcess.prepare(local);
    await provider.start();
    await provider.end();
    const other = await startLocalChain();
    try {
      provider.deploymentFrom(other);
      expect(await failureOf(provider.start())).to.contain("belongs to another deployment");
    } finally {
      await other.stop();
    }
  });
});

const failureOf = (start: Promise<void>): Promise<string> =>
  start.then(
    () => "it started",
    (error: Error) => error.message,
  );

describe("provider on a full disk", () => {
  const DISK_BYTES = 24 * 1024 * 1024;
  let local: LocalChain;
  let provider: ProviderProcess;
  before(async () => {
    local = await startLocalChain();
  });
  after(() => local.stop());
  afterEach(() => provider.remove());

  it("answers that its storage is unavailable, keeps serving what it has, and takes what still fits", async () => {
    // Without a floor of free space, so that the disk really fills up.
    provider = await ProviderProcess.prepare(local, { quotas: { freeDiskBytes: 1 } });
    mkdirSync(provider.dataDir);
    const mount = `mount -t tmpfs -o size=${DISK_BYTES} tallystick-test "${provider.dataDir}" && exec "$@"`;
    const wrapper = ["unshare", "-rm", "sh", "-c", mount, "sh"];
    const probe = spawnSync(wrapper[0] ?? "", [...wrapper.slice(1), "true"], { encoding: "utf8" });
    if (probe.status !== 0)
      throw new Error(`this test needs a small file system, which cannot be mounted: ${probe.stderr}`);
    await provider.start(wrapper);
    const client = await provider.connect(local.account(1));
    const acknowledged: TestChunk[] = [];
    let refused = 0;
    for (let round = 0; round < 20; round++) {
      const chunks = [randomChunk(2_000_000), randomChunk(1_000_000)];
      const bytes = new Uint8Array(Buffer.concat(chunks.map((chunk) => frame(chunk))));
      const { status, json } = await client.request("POST", "/v1/chunks", { bytes });
      if (status === 200) acknowledged.push(...chunks);
      else {
        expect(status, JSON.stringify(json)).to.equal(503);
        expect(json.error).to.include({ code: "STORAGE_UNAVAILABLE", check: "free disk space", retryable: true });
        expect(json.error.hint).to.not.match(/free some space/);
        expect(JSON.stringify(json)).to.not.contain(provider.dataDir);
        refused += 1;
        for (const { id } of chunks) expect((await client.request("GET", `/v1/chunks/${id}`)).status).to.equal(403);
      }
    }
    expect(refused).to.be.greaterThan(5);
    expect(acknowledged.length).to.be.greaterThan(5);
    for (const { id, bytes } of acknowledged) {
      expect((await client.request("GET", `/v1/chunks/${id}`)).bytes).to.deep.equal(bytes);
    }
    const small = randomChunk(1000);
    expect(await client.upload(small)).to.deep.equal([small.id]);
    expect((await provider.request("GET", "/healthz")).status).to.equal(200);
    expect(provider.running).to.equal(true);
  });
});
