/** How the store behaves when an S3 service fails. The service is a stand-in; the real one is in test/long. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { contentId } from "../../../../offchain/core/encoding/content-id.ts";
import type { TallystickError } from "../../../../offchain/core/errors.ts";
import { RemovalStoppedError, UnreadableObjectError } from "../../../../offchain/store/object/object-store.ts";
import type { PackFinding } from "../../../../offchain/store/object/pack/pack-findings.ts";
import { S3ObjectStore } from "../../../../offchain/store/object/s3/s3-object-store.ts";
import { StoreServiceError } from "../../../../offchain/store/object/store-service.ts";
import { type Fault, type FaultAnswer, type FaultRequest, FaultServer } from "../../../helpers/fault-server.ts";
import { failure } from "../../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../../helpers/pseudo-random.ts";
import { expectAsyncRejection, rejection } from "../../../helpers/rejection.ts";
import { idsOf } from "../object-store-suite.ts";

const PATIENCE = { deadlineSeconds: 3, retries: 2, firstDelayMilliseconds: 5, slowestBytesPerSecond: 2 ** 30 };
/** For answers that never come. */
const IMPATIENT = { ...PATIENCE, deadlineSeconds: 0.3 };
const SECRET = "kept-out-of-every-message";
const BYTES = pseudoRandomBytes("s3", 3000);
const ID = contentId(BYTES);
const XML = { "content-type": "application/xml" };

/** Objects under their keys, with just enough of S3's forms to be read. */
class Bucket {
  readonly objects = new Map<string, Uint8Array>();

  answer({ method, target, headers, body }: FaultRequest): FaultAnswer {
    const url = new URL(target, "http://host");
    if (url.searchParams.get("list-type") === "2") return this.#list(url.searchParams);
    const key = decodeURIComponent(url.pathname.slice("/bucket/".length));
    if (method === "PUT") {
      if (headers["if-none-match"] === "*" && this.objects.has(key)) return { status: 412 };
      this.objects.set(key, body);
      return {};
    }
    if (method === "DELETE") {
      this.objects.delete(key);
      return { status: 204 };
    }
    const object = this.objects.get(key);
    if (object === undefined) return { status: 404, headers: XML, body: "<Error><Code>NoSuchKey</Code></Error>" };
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    if (from === undefined) return { body: object };
    return { status: 206, body: object.slice(Number(from), Number(to) + 1) };
  }

  #list(query: URLSearchParams): FaultAnswer {
    const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
    const keys = [...this.objects.keys()]
      .filter((key) => key.startsWith(query.get("prefix") ?? "") && key > after)
      .sort();
    // Two keys a page, so that listings go on.
    const page = keys.slice(0, 2);
    const contents = page.map(
      (key) => `<Contents><Key>${key}</Key><Size>${this.objects.get(key)?.length}</Size></Contents>`,
    );
    const next = keys.length > 2 ? `<NextContinuationToken>${page[1]}</NextContinuationToken>` : "";
    const isTruncated = `<IsTruncated>${keys.length > 2}</IsTruncated>`;
    const inner = `<KeyCount>${page.length}</KeyCount>${isTruncated}${next}${contents.join("")}`;
    const body = `<ListBucketResult>${inner}</ListBucketResult>`;
    return { headers: XML, body };
  }
}

describe("object store on an S3 service that fails", () => {
  let bucket: Bucket;
  let server: FaultServer;
  let url: string;
  let folder: string;
  let store: S3ObjectStore;
  let findings: PackFinding[];
  const settings = (indexFolder: string) => ({
    endpoint: url,
    bucket: "bucket",
    region: "us-east-1",
    credentials: { accessKeyId: "key-id", secretAccessKey: SECRET },
    name: "objects",
    indexFolder: join(folder, indexFolder),
    waitMilliseconds: 1,
  });
  const open = (indexFolder: string, patience = PATIENCE) =>
    S3ObjectStore.open(settings(indexFolder), (finding) => findings.push(finding), patience);

  beforeEach(async () => {
    bucket = new Bucket();
    findings = [];
    server = new FaultServer((request) => bucket.answer(request));
    url = await server.start();
    folder = mkdtempSync(join(tmpdir(), "tallystick-s3-"));
    store = await open("index");
    await store.put(ID, BYTES);
  });
  afterEach(async () => {
    server.fault = () => undefined;
    await store.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const other = contentId(Uint8Array.of(1));
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    writing: () => store.put(ID, BYTES),
    reading: () => store.get(ID),
    "looking up": () => store.size(other),
    removing: () => store.delete(ID),
    listing: () => idsOf(store),
    owner: () => store.owner(),
  };

  async function expectFailure(what: string, retryable: boolean): Promise<TallystickError> {
    const error = await failure(calls[what]?.() ?? Promise.resolve());
    expect(error, what).to.be.instanceOf(StoreServiceError);
    const told = error as StoreServiceError;
    expect(told.party).to.equal(`object store ${url}`);
    expect(told.message).to.contain("objects/");
    if (what === "reading") expect(told.message).to.contain(ID);
    expect(told.retryable, `${what}: ${told.message}`).to.equal(retryable);
    expect(JSON.stringify(told) + told.message).not.to.contain(SECRET);
    return told;
  }

  const passing: Readonly<Record<string, Fault>> = {
    "breaks connections": { kind: "reset" },
    "does not answer": { kind: "silent" },
    "answers 503": { kind: "answer", answer: { status: 503 } },
    "answers 429": { kind: "answer", answer: { status: 429, headers: { "retry-after": "0" } } },
    "answers 500": { kind: "answer", answer: { status: 500 } },
  };
  for (const [name, fault] of Object.entries(passing)) {
    it(`goes on after a service that ${name} once, and gives up after bounded attempts`, async () => {
      if (fault.kind === "silent") {
        await store.close();
        store = await open("index", IMPATIENT);
      }
      for (const what of Object.keys(calls)) {
        await store.put(ID, BYTES);
        const first = server.requests.length;
        server.fault = (_, count) => (count === first ? fault : undefined);
        await calls[what]?.();
        server.fault = () => undefined;
        await store.put(ID, BYTES);
        server.fault = () => fault;
        const before = server.requests.length;
        await expectFailure(what, true);
        expect(server.requests.length - before, what).to.equal(3);
        server.fault = () => undefined;
      }
    });
  }

  it("reads again what was cut in the middle or came back changed, and returns none of it", async () => {
    const isRead = ({ method, headers }: FaultRequest) => method === "GET" && headers.range !== undefined;
    for (const fault of [{ kind: "cut", afterBytes: 1000 }, { kind: "flipped" }] as const) {
      let reads = 0;
      server.fault = (request) => (isRead(request) && reads++ === 0 ? fault : undefined);
      expect(await store.get(ID), fault.kind).to.deep.equal(BYTES);
      server.fault = (request) => (isRead(request) ? fault : undefined);
      const error = (await failure(store.get(ID))) as TallystickError;
      expect(error.message).to.contain(ID).and.to.contain(url);
      if (fault.kind === "flipped") expect(error).to.be.instanceOf(UnreadableObjectError);
      else expect(error).to.be.instanceOf(StoreServiceError).with.property("retryable", true);
    }
  });

  it("takes no wrong answer for an empty bucket: no page, no listing that is short or does not go on", async () => {
    for (const body of [
      "",
      "<html>welcome</html>",
      "<ListBucketResult><KeyCount>0</KeyCount>",
      "<ListBucketResult><KeyCount>3</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>",
      "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>true</IsTruncated></ListBucketResult>",
      "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>",
    ]) {
      server.fault = ({ target }) =>
        target.includes("list-type") ? { kind: "answer", answer: { headers: XML, body } } : undefined;
      await expectFailure("looking up", false);
      await expectFailure("listing", false);
      expect(await failure(open("fresh")), body).to.be.instanceOf(StoreServiceError);
    }
    server.fault = () => undefined;
    expect(await idsOf(store)).to.deep.equal([ID]);
  });

  it("tells refusals from failures, asks once, and gives the hint", async () => {
    for (const [status, code, hint] of [
      [403, "SignatureDoesNotMatch", /credentials/],
      [403, "RequestTimeTooSkewed", /clock/],
      [403, "AccessDenied", /rights/],
      [404, "NoSuchBucket", /bucket/],
    ] as const) {
      const answer = { status, headers: XML, body: `<Error><Code>${code}</Code><Secret>${SECRET}</Secret></Error>` };
      server.fault = () => ({ kind: "answer", answer });
      const before = server.requests.length;
      const error = await expectFailure("writing", false);
      expect(error.message).to.contain(code);
      expect(error.hint).to.match(hint);
      expect(server.requests.length - before).to.equal(1);
    }
  });

  it("refuses an answer with the whole pack in place of a range, and one that is too long", async () => {
    const [pack = new Uint8Array()] = bucket.objects.values();
    for (const answer of [
      { status: 200, body: pack },
      { status: 200, body: BYTES },
      { status: 206, body: new Uint8Array(BYTES.length + 1) },
      { status: 206, body: BYTES.slice(1) },
    ]) {
      server.fault = ({ headers }) => (headers.range === undefined ? undefined : { kind: "answer", answer });
      await expectFailure("reading", false);
    }
  });

  it("acknowledges nothing that the service did not acknowledge, and a failed put leaves nothing behind", async () => {
    const bytes = pseudoRandomBytes("never", 100);
    const id = contentId(bytes);
    server.fault = ({ method }) => (method === "PUT" ? { kind: "answer", answer: { status: 507 } } : undefined);
    await expectAsyncRejection(() => store.put(id, bytes), "OBJECT_STORE_UNAVAILABLE", /507/);
    server.fault = () => undefined;
    expect(await store.get(id)).to.equal(undefined);
    expect(await idsOf(store)).to.deep.equal([ID]);
    await store.put(id, bytes);
    expect(await store.get(id)).to.deep.equal(bytes);
  });

  it("sends a checksum of what it writes, and no redirect carries its signature on", async () => {
    const put = server.requests.find(({ method }) => method === "PUT");
    expect(put?.headers["x-amz-checksum-crc32"]).to.match(/^[A-Za-z0-9+/]{6}==$/);
    server.fault = () => ({ kind: "answer", answer: { status: 307, headers: { location: `${url}/elsewhere` } } });
    await expectFailure("reading", true);
    expect(server.requests.some(({ target }) => target.includes("elsewhere"))).to.equal(false);
  });

  it("finds the objects of a pack whose end is damaged, and says so", async () => {
    const [[key, pack] = ["", new Uint8Array()]] = bucket.objects;
    bucket.objects.set(
      key,
      pack.map((byte, k) => (k >= pack.length - 40 ? byte ^ 0x55 : byte)),
    );
    const fresh = await open("fresh");
    expect(await fresh.get(ID)).to.deep.equal(BYTES);
    expect(findings).to.deep.equal([{ damage: "pack contents damaged", file: key, objects: 1 }]);
    await fresh.close();
  });

  it("reports what is no pack and no removal, and goes on without it", async () => {
    const name = "objects/removed/0190a1b2c3d4-0011223344556677";
    bucket.objects.set("objects/packs/README", Uint8Array.of(1));
    bucket.objects.set(name, new TextEncoder().encode('{"version":2,"removed":{}}'));
    const fresh = await open("fresh");
    expect(await idsOf(fresh)).to.deep.equal([ID]);
    expect(findings).to.deep.include({ damage: "foreign file", file: "objects/packs/README" });
    expect(findings).to.deep.include({ damage: "record unreadable", file: name });
    await fresh.close();
  });

  it("loses nothing when compaction ends at any request", async () => {
    const kept = Array.from({ length: 4 }, (_, k) => pseudoRandomBytes(`kept ${k}`, 500));
    const removed = Array.from({ length: 4 }, (_, k) => pseudoRandomBytes(`removed ${k}`, 900));
    let failures = 0;
    for (let end = 0, isWhole = false; !isWhole && end < 200; end++) {
      bucket.objects.clear();
      const worker = await open(`worker-${end}`);
      for (const k of [0, 2]) {
        const objects = [kept[k], kept[k + 1], removed[k], removed[k + 1]].filter((bytes) => bytes !== undefined);
        await worker.putMany(objects.map((bytes) => ({ id: contentId(bytes), bytes })));
      }
      await worker.deleteMany(removed.map(contentId));
      let requests = 0;
      server.fault = () => (requests++ < end ? undefined : { kind: "answer", answer: { status: 507 } });
      isWhole = await worker.compact().then(
        () => true,
        () => false,
      );
      failures += isWhole ? 0 : 1;
      server.fault = () => undefined;
      await worker.close();
      const fresh = await open(`fresh-${end}`);
      expect(await idsOf(fresh), `${end} requests`).to.deep.equal(kept.map(contentId).sort());
      for (const bytes of kept) expect(await fresh.get(contentId(bytes))).to.deep.equal(bytes);
      await fresh.close();
    }
    expect(failures).to.be.greaterThan(5);
    expect([...bucket.objects.keys()].some((key) => key.includes("/removed/"))).to.equal(false);
  });

  it("does not bring back what is removed while its pack is compacted", async () => {
    const others = [1, 2].map((k) => pseudoRandomBytes(`other ${k}`, 4000));
    const [first = "", second = ""] = others.map(contentId);
    await store.putMany(others.map((bytes) => ({ id: contentId(bytes), bytes })));
    await store.put(ID, BYTES);
    await store.deleteMany([second]);
    // Half of the pack is needed; the removal of that half comes while its copy is written.
    let copying = false;
    server.fault = ({ method, target }) => {
      if (copying || method !== "PUT" || !target.includes("/packs/")) return undefined;
      copying = true;
      return { kind: "late", until: store.delete(first) };
    };
    await store.compact();
    expect(copying).to.equal(true);
    expect(await idsOf(store)).to.deep.equal([ID]);
    const fresh = await open("fresh");
    expect(await idsOf(fresh)).to.deep.equal([ID]);
    expect(await fresh.get(ID)).to.deep.equal(BYTES);
    await fresh.close();
  });

  it("takes a removal for done where there is nothing, though the service answers 404 in place of 204", async () => {
    await store.put(ID, BYTES);
    await store.delete(ID);
    server.fault = ({ method }) =>
      method === "DELETE"
        ? { kind: "answer", answer: { status: 404, headers: XML, body: "<Error><Code>NoSuchKey</Code></Error>" } }
        : undefined;
    await store.compact();
    server.fault = ({ method }) =>
      method === "DELETE"
        ? { kind: "answer", answer: { status: 404, headers: XML, body: "<Error><Code>NoSuchBucket</Code></Error>" } }
        : undefined;
    await store.put(ID, BYTES);
    await store.delete(ID);
    expect(String(await failure(store.compact()))).to.contain("NoSuchBucket");
  });

  /** Removes what another process has begun to remove, and stores the same bytes again. */
  const goneOnElsewhere = async (): Promise<void> => {
    const elsewhere = await open("elsewhere");
    await elsewhere.delete(ID);
    await elsewhere.put(ID, BYTES);
    await elsewhere.close();
  };

  it("keeps what was stored again while the listing before a removal took its time", async () => {
    let mayRemove = true;
    let isFirst = true;
    server.fault = ({ target }) => {
      if (!isFirst || !target.includes("list-type")) return undefined;
      isFirst = false;
      return { kind: "late", until: goneOnElsewhere().then(() => (mayRemove = false)) };
    };
    expect(await rejection(store.deleteMany([ID], () => mayRemove))).to.be.instanceOf(RemovalStoppedError);
    expect(await store.get(ID)).to.deep.equal(BYTES);
  });

  it("keeps what was stored again while the request of a removal took its time, or was repeated", async () => {
    for (const isRepeated of [false, true]) {
      let isFirst = true;
      server.fault = ({ method }) => {
        if (!isFirst || method !== "PUT") return undefined;
        isFirst = false;
        return isRepeated ? { kind: "reset" } : { kind: "late", until: goneOnElsewhere() };
      };
      expect(await store.deleteMany([ID], () => true)).to.equal(1);
      if (isRepeated) expect(await store.has(ID)).to.equal(false);
      else expect(await store.get(ID)).to.deep.equal(BYTES);
    }
  });

  it("does not forget a pack that the service lists and says, once or always, not to have", async () => {
    const absent = { status: 404, headers: XML, body: "<Error><Code>NoSuchKey</Code></Error>" };
    const isRead = ({ method, target }: FaultRequest) => method === "GET" && target.includes("/objects/packs/");
    let wrong = 1;
    server.fault = (request) => (isRead(request) && wrong-- > 0 ? { kind: "answer", answer: absent } : undefined);
    expect(await store.get(ID)).to.deep.equal(BYTES);
    expect(wrong).to.be.lessThan(1);
    wrong = 100;
    await expectAsyncRejection(() => store.get(ID), "OBJECT_STORE_UNAVAILABLE");
    wrong = 0;
    expect(await store.get(ID)).to.deep.equal(BYTES);
  });

  it("does not forget a pack that a listing leaves out, unless the service denies it by its name as well", async () => {
    await store.close();
    // Written two hours ago, so that no listing but that of a start would find it again.
    const [[recent, pack] = ["", new Uint8Array()]] = bucket.objects;
    const name = `${(Date.now() - 7_200_000).toString(16).padStart(12, "0")}-${recent.slice(-16)}`;
    const key = `objects/packs/${name}`;
    bucket.objects.delete(recent);
    bucket.objects.set(key, pack);
    store = await open("index");
    const last = Uint8Array.of(7);
    await store.put(contentId(last), last);
    const isListing = ({ target }: FaultRequest) => target.includes("list-type=2");
    const isOfAll = ({ target }: FaultRequest) => !decodeURIComponent(target).includes(`prefix=${key}`);
    const without = new Bucket();
    for (const [other, bytes] of bucket.objects) if (other !== key) without.objects.set(other, bytes);
    for (const leavesOut of [isOfAll, () => true]) {
      let left = 0;
      server.fault = (request) => {
        if (!isListing(request) || !leavesOut(request)) return undefined;
        left += 1;
        return { kind: "answer", answer: without.answer(request) };
      };
      await store.close();
      store = await open("index");
      expect(left).to.be.greaterThan(1);
      server.fault = () => undefined;
      expect(await store.size(ID)).to.equal(BYTES.length);
      expect(await store.get(ID)).to.deep.equal(BYTES);
    }
    bucket.objects.delete(key);
    await store.compact();
    expect(await store.size(ID)).to.equal(undefined);
  });

  it("forgets packs that have gone from the bucket, instead of promising their objects", async () => {
    bucket.objects.clear();
    expect(await store.get(ID)).to.equal(undefined);
    expect(await store.has(ID)).to.equal(false);
    const again = await open("again");
    expect(await idsOf(again)).to.deep.equal([]);
    await again.close();
  });
});
