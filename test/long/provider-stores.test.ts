/** A provider's own process with its objects in a real IPFS node (Kubo), and in a real S3 server (versitygw). */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { frame, randomChunk, type TestChunk } from "../csp/provider-fixture.ts";
import { ProviderProcess } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { type KuboNode, type S3Server, startKubo, startS3Server } from "../helpers/real-peers.ts";

describe("a provider with its objects in a service", function () {
  this.timeout(300_000);
  let local: LocalChain;
  let kubo: KuboNode;
  let s3: S3Server;
  let provider: ProviderProcess;
  before(async () => {
    await auditReady();
    local = await startLocalChain();
    kubo = await startKubo();
    s3 = await startS3Server();
  });
  after(() => Promise.all([local?.stop(), kubo?.stop(), s3?.stop()]));
  afterEach(() => provider.remove());

  /** The service, and what the configuration says about it. */
  const kinds: Readonly<Record<string, () => Record<string, unknown>>> = {
    ipfs: () => ({ kind: "ipfs", rpcUrl: kubo.url, name: "provider" }),
    s3: () => {
      const file = join(provider.folder, "s3-credentials");
      writeFileSync(file, `aws_access_key_id=${s3.accessKeyId}\naws_secret_access_key=${s3.secretAccessKey}\n`);
      chmodSync(file, 0o600);
      return { kind: "s3", endpoint: s3.url, bucket: s3.bucket, name: "provider", credentialsFile: file };
    },
  };

  for (const [kind, configOf] of Object.entries(kinds)) {
    it(`stores, serves and deduplicates chunks, also after kill -9 and a new start (${kind})`, async () => {
      provider = await ProviderProcess.prepare(local);
      provider.configure({ store: configOf() });
      await provider.start();
      const [alice, bob] = [await provider.connect(local.account(1)), await provider.connect(local.account(2))];
      const chunks = Array.from({ length: 24 }, (_, k) => randomChunk(k === 0 ? 2 * 1024 * 1024 : 1 + k * 20_000));
      await Promise.all([alice.upload(...chunks.slice(0, 12)), alice.upload(...chunks.slice(12))]);
      await bob.prove(await bob.claim(chunks.slice(0, 3)), chunks.slice(0, 3));
      await provider.end("SIGKILL");
      await provider.start();
      for (const client of [await provider.connect(local.account(1)), await provider.connect(local.account(2))]) {
        for (const { id, bytes } of chunks.slice(0, 3)) {
          expect(Buffer.compare((await client.request("GET", `/v1/chunks/${id}`)).bytes, bytes), id).to.equal(0);
        }
      }
      const again = await provider.connect(local.account(1));
      for (const { id, bytes } of chunks) {
        expect(Buffer.compare((await again.request("GET", `/v1/chunks/${id}`)).bytes, bytes), id).to.equal(0);
      }
      expect(await provider.metric("tallystick_csp_lost_chunks")).to.equal(0);
      for (const secret of [s3.secretAccessKey, s3.accessKeyId]) expect(provider.log).not.to.contain(secret);
    });
  }

  it("says to its clients that its store fails, says which one in its log, and takes no object for lost", async () => {
    provider = await ProviderProcess.prepare(local);
    const node = await startKubo();
    let stopped = false;
    try {
      provider.configure({ store: { kind: "ipfs", rpcUrl: node.url } });
      await provider.start();
      const client = await provider.connect(local.account(3));
      const chunk: TestChunk = randomChunk(50_000);
      await client.upload(chunk);
      await node.stop();
      stopped = true;
      const bytes = new Uint8Array(frame(randomChunk(1000)));
      for (const answer of [
        await client.request("GET", `/v1/chunks/${chunk.id}`),
        await client.request("POST", "/v1/chunks", { bytes }),
      ]) {
        expect(answer.status).to.equal(503);
        expect(answer.json.error).to.include({ code: "STORAGE_UNAVAILABLE", retryable: true });
        expect(JSON.stringify(answer.json)).not.to.contain(node.url);
      }
      expect(provider.log).to.contain(node.url);
      // An object that cannot be asked for now is not lost.
      expect(await provider.metric("tallystick_csp_lost_chunks")).to.equal(0);
    } finally {
      if (!stopped) await node.stop();
    }
  });
});
