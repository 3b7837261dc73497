/** The object store on a real S3 server (versitygw), with the AWS SDK as an independent reader. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GetObjectCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { expect } from "chai";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { S3ObjectStore } from "../../offchain/store/object/s3/s3-object-store.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { type S3Server, startS3Server } from "../helpers/real-peers.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { ByContent, type Names } from "../store/object/ipfs/by-content.ts";
import { describeObjectStore, idsOf } from "../store/object/object-store-suite.ts";

const WRITER = new URL("./s3-writer-process.ts", import.meta.url).pathname;

describe("a real S3 server", function () {
  this.timeout(300_000);
  let server: S3Server;
  let aws: S3Client;
  let folder: string;
  before(async () => {
    server = await startS3Server();
    folder = mkdtempSync(join(tmpdir(), "tallystick-s3-index-"));
    const { url: endpoint, accessKeyId, secretAccessKey } = server;
    aws = new S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
  });
  after(async () => {
    aws?.destroy();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  let processes = 0;
  /** A store with an index of its own, as a process has. */
  const open = (name: string, indexFolder = join(folder, `index-${processes++}`), more = {}) => {
    const { url: endpoint, bucket, accessKeyId, secretAccessKey } = server;
    const settings = { endpoint, bucket, region: "us-east-1", credentials: { accessKeyId, secretAccessKey } };
    return S3ObjectStore.open({ ...settings, name, indexFolder, ...more });
  };
  const keysIn = async (prefix: string): Promise<string[]> => {
    const { Contents = [] } = await aws.send(new ListObjectsV2Command({ Bucket: server.bucket, Prefix: prefix }));
    return Contents.map(({ Key }) => Key ?? "");
  };

  let places = 0;
  for (const keepsIndex of [true, false]) {
    describeObjectStore(
      `S3, ${keepsIndex ? "with the index of before" : "with a new index at each start"}`,
      async () => {
        const name = `place-${places++}`;
        const names: Names = new Map();
        return {
          open: async () => new ByContent(await open(name, keepsIndex ? join(folder, name) : undefined), names),
          remove: async () => undefined,
        };
      },
    );
  }

  const objects = Array.from({ length: 40 }, (_, k) => {
    const bytes = pseudoRandomBytes(`s3 ${k}`, k < 30 ? k * 100 : 2 * 1024 * 1024 - k);
    return { id: contentId(bytes), bytes };
  });
  const small = objects.slice(0, 30);

  it("writes packs that the AWS SDK reads, large ones in parts, with each object where its head says", async () => {
    const store = await open("sdk");
    await store.putMany(objects);
    const keys = await keysIn("sdk/packs/");
    expect(keys.length).to.equal(1);
    const answer = await aws.send(new GetObjectCommand({ Bucket: server.bucket, Key: keys[0] }));
    const pack = Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
    expect(pack.length).to.be.greaterThan(8 * 1024 * 1024);
    // Several parts: the entity tag of S3 ends with their number.
    expect(answer.ETag).to.match(/-3"$/);
    for (const { id, bytes } of objects) {
      const at = pack.indexOf(id) + id.length;
      expect(Buffer.compare(pack.subarray(at, at + bytes.length), bytes), id).to.equal(0);
      expect(Buffer.compare((await store.get(id)) ?? new Uint8Array(), bytes), id).to.equal(0);
    }
    await store.close();
  });

  it("writes what arrives together with one request", async () => {
    const store = await open("group");
    await Promise.all(small.map(({ id, bytes }) => store.put(id, bytes)));
    expect((await keysIn("group/packs/")).length).to.be.at.most(2);
    await store.close();
  });

  it("lets two processes use one bucket: each finds what the other wrote, moved and removed", async () => {
    const [left, right] = await Promise.all([open("two"), open("two")]);
    const claims = await Promise.all([left.claim("left"), right.claim("right")]);
    expect(new Set(claims).size).to.equal(1);
    await Promise.all([left.putMany(small.slice(0, 15)), right.putMany(small.slice(15))]);
    for (const { id, bytes } of small) {
      expect(await left.get(id)).to.deep.equal(bytes);
      expect(await right.get(id)).to.deep.equal(bytes);
    }
    await left.deleteMany(small.slice(5).map(({ id }) => id));
    expect(await idsOf(right)).to.deep.equal(
      small
        .slice(0, 5)
        .map(({ id }) => id)
        .sort(),
    );
    // Both at once: packs that one has removed are moved under the other.
    const freed = await Promise.all([left.compact(), right.compact()]);
    expect(Math.max(...freed)).to.be.greaterThan(0);
    for (const { id, bytes } of small.slice(0, 5)) {
      expect(await left.get(id)).to.deep.equal(bytes);
      expect(await right.get(id)).to.deep.equal(bytes);
      expect(await right.size(id)).to.equal(bytes.length);
    }
    const fresh = await open("two");
    expect(await idsOf(fresh)).to.deep.equal(
      small
        .slice(0, 5)
        .map(({ id }) => id)
        .sort(),
    );
    await Promise.all([left.close(), right.close(), fresh.close()]);
  });

  it("joins many small packs, and removes packs, and removals, that nothing needs", async () => {
    const store = await open("join", undefined, { waitMilliseconds: 0 });
    for (const { id, bytes } of small) await store.put(id, bytes);
    expect((await keysIn("join/packs/")).length).to.equal(30);
    await store.compact();
    expect((await keysIn("join/packs/")).length).to.equal(1);
    for (const { id, bytes } of small) expect(await store.get(id)).to.deep.equal(bytes);
    await store.deleteMany(small.map(({ id }) => id));
    expect((await keysIn("join/removed/")).length).to.equal(1);
    await store.compact();
    expect(await keysIn("join/packs/")).to.deep.equal([]);
    expect(await keysIn("join/removed/")).to.deep.equal([]);
    await store.close();
  });

  it("rebuilds its index from the bucket when the file is damaged", async () => {
    const indexFolder = join(folder, "damaged");
    const store = await open("damaged", indexFolder);
    await store.putMany(small);
    await store.close();
    for (const suffix of ["-wal", "-shm"]) rmSync(join(indexFolder, `s3-index.db${suffix}`), { force: true });
    writeFileSync(join(indexFolder, "s3-index.db"), pseudoRandomBytes("damage", 8192));
    const again = await open("damaged", indexFolder);
    for (const { id, bytes } of small) expect(await again.get(id)).to.deep.equal(bytes);
    await again.close();
  });

  it("says what is wrong with the keys, the bucket or the service, without the keys", async () => {
    const { url: endpoint, bucket, accessKeyId, secretAccessKey } = server;
    const attempt = (more: object) => () =>
      S3ObjectStore.open(
        {
          endpoint,
          bucket,
          region: "us-east-1",
          credentials: { accessKeyId, secretAccessKey },
          name: "wrong",
          indexFolder: join(folder, `index-${processes++}`),
          ...more,
        },
        undefined,
        { retries: 1, firstDelayMilliseconds: 5 },
      );
    const wrongKey = { credentials: { accessKeyId, secretAccessKey: "another-secret-key" } };
    const refused = await expectAsyncRejection(
      attempt(wrongKey),
      "OBJECT_STORE_UNAVAILABLE",
      /SignatureDoesNotMatch|403/,
    );
    expect(refused.retryable).to.equal(false);
    expect(JSON.stringify(refused)).not.to.contain("another-secret-key").and.not.to.contain(accessKeyId);
    await expectAsyncRejection(attempt({ bucket: "absent-bucket" }), "OBJECT_STORE_UNAVAILABLE", /bucket/i);
    const down = await expectAsyncRejection(attempt({ endpoint: "http://127.0.0.1:9" }), "OBJECT_STORE_UNAVAILABLE");
    expect(down.retryable).to.equal(true);
  });

  it("keeps every acknowledged object when writers, or the server, are killed at any moment", async () => {
    let acknowledged = 0;
    for (let round = 0; round < 12; round++) {
      const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", WRITER], {
        stdio: ["ignore", "pipe", "inherit"],
        env: {
          ...process.env,
          WRITER: JSON.stringify({
            endpoint: server.url,
            bucket: server.bucket,
            region: "us-east-1",
            credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
            name: "killed",
            indexFolder: join(folder, `killed-${round % 2}`),
            round,
          }),
        },
      });
      let told = "";
      child.stdout.on("data", (part: Buffer) => {
        told += part.toString();
      });
      await once(child.stdout, "data");
      await new Promise((done) => setTimeout(done, 30 + ((round * 97) % 500)));
      // A server that is killed loses nothing that it has acknowledged, because its machine stays up.
      if (round % 4 === 3) await server.restart();
      child.kill("SIGKILL");
      await once(child, "close");
      const store = await open("killed");
      const lines = told
        .split("\n")
        .slice(0, -1)
        .filter((line) => line !== "ready");
      for (const line of lines) {
        const [id = "", seed = "", size = ""] = line.split(" ");
        const found = await store.get(id);
        expect(found && Buffer.compare(found, pseudoRandomBytes(seed, Number(size))), line).to.equal(0);
      }
      for (const id of await idsOf(store)) expect(contentId((await store.get(id)) ?? new Uint8Array())).to.equal(id);
      acknowledged += lines.length;
      await store.close();
    }
    expect(acknowledged).to.be.greaterThan(50);
  });
});
