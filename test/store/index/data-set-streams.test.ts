/** The promises of `data-set-streams.ts`, for files and for the database. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { DataSetFiles } from "../../../offchain/csp/data-sets/stream-files.ts";
import type { DataSetStreams } from "../../../offchain/store/index/data-set-streams.ts";
import { SqlDataSetStreams } from "../../../offchain/store/index/sql/data-set-streams.ts";
import { openSqliteDatabase } from "../../../offchain/store/index/sql/open-sqlite.ts";
import { SqlProviderIndex } from "../../../offchain/store/index/sql/provider-index.ts";
import type { ProviderTables } from "../../../offchain/store/index/sql/provider-tables.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { INDEX_MIGRATIONS } from "./places.ts";

/** Of the rows in the database. */
const PIECE_BYTES = 64 * 1024;
const ACCOUNT = `0x${"a1".repeat(20)}`;

interface Place {
  readonly streams: DataSetStreams;
  /** Removes the row of the second data set, as the index does. */
  removeRow(): Promise<void>;
  end(): Promise<void>;
}

async function inFiles(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-streams-"));
  const end = async () => rmSync(folder, { recursive: true, force: true });
  const streams = new DataSetFiles(folder);
  return { streams, removeRow: () => streams.remove(2), end };
}

async function inDatabase(): Promise<Place> {
  const database = await openSqliteDatabase<ProviderTables>(":memory:", INDEX_MIGRATIONS);
  const index = await SqlProviderIndex.open(database, { unixSeconds: () => 1 });
  for (const id of [1, 2]) {
    const salt = new Uint8Array(32).fill(id);
    const facts = { account: ACCOUNT, salt, auditKeyHash: salt, sliceElements: 1024, phase: 0, touchedAt: 1 };
    const begun = await index.dataSets.begin({ ...facts, key: { X: salt, XA: salt, XB: salt } }, 9);
    expect(begun).to.deep.equal({ outcome: "created", id });
  }
  const removeRow = async () => {
    expect(await index.dataSets.beginRemoval(2, 2)).to.equal(true);
    await index.dataSets.delete(2);
  };
  const end = async () => {
    await index.close();
    await database.close();
  };
  return { streams: new SqlDataSetStreams(database.part()), removeRow, end };
}

async function* piecesOf(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

for (const [name, open] of Object.entries({ files: inFiles, "the database": inDatabase })) {
  describe(`streams of data sets in ${name}`, () => {
    let place: Place;
    let streams: DataSetStreams;
    const bytes = pseudoRandomBytes(name, 3 * PIECE_BYTES + 100);
    beforeEach(async () => {
      place = await open();
      ({ streams } = place);
    });
    afterEach(() => place.end());

    it("give back what was appended, in pieces of any size and from any place", async () => {
      let at = 0;
      for (const until of [1, 100, PIECE_BYTES, PIECE_BYTES + 7, bytes.length]) {
        const body = piecesOf(bytes.subarray(at, (at + until) >> 1), bytes.subarray((at + until) >> 1, until));
        expect(await streams.write(1, "tags-7", at, body, until - at)).to.equal(until - at);
        at = until;
      }
      expect(await streams.size(1, "tags-7")).to.equal(bytes.length);
      for (const [from, length] of [
        [0, bytes.length],
        [PIECE_BYTES - 1, 2],
        [5, 48],
        [2 * PIECE_BYTES, PIECE_BYTES],
      ] as const) {
        const read = await streams.read(1, "tags-7", from, length);
        expect(Buffer.compare(read, bytes.subarray(from, from + length)), `${from}`).to.equal(0);
      }
      expect(await streams.size(2, "tags-7"), "of another set").to.equal(0);
      expect(await streams.size(1, "tags-71"), "of another segment").to.equal(0);
    });

    it("refuse a body that is too long, and let the next attempt overwrite it", async () => {
      await streams.write(1, "tags-7", 0, piecesOf(bytes.subarray(0, 10)), 10);
      const long = () => streams.write(1, "tags-7", 10, piecesOf(bytes.subarray(0, 30), bytes.subarray(0, 30)), 40);
      expect(await expectAsyncRejection(long, "INVALID_INPUT")).to.include({ check: "length" });
      await streams.write(1, "tags-7", 10, piecesOf(bytes.subarray(10, 50)), 40);
      expect(Buffer.compare(await streams.read(1, "tags-7", 0, 50), bytes.subarray(0, 50))).to.equal(0);
    });

    it("say that a stream is shorter than what is asked for", async () => {
      await streams.write(1, "powers-a", 0, piecesOf(bytes.subarray(0, 10)), 10);
      await expectAsyncRejection(() => streams.read(1, "powers-a", 5, 6), "DISK_FAILED");
      await expectAsyncRejection(() => streams.read(2, "powers-a", 0, 1), "DISK_FAILED");
      await expectAsyncRejection(() => streams.write(1, "powers-b", 5, piecesOf(bytes), bytes.length), "DISK_FAILED");
    });

    it("begin anew at offset 0, over what a crash left", async () => {
      await streams.write(1, "tags-7", 0, piecesOf(bytes), bytes.length);
      await streams.write(1, "tags-7", 0, piecesOf(bytes.subarray(100, 150)), 50);
      const read = await streams.read(1, "tags-7", 0, 60);
      expect(Buffer.compare(read.subarray(0, 50), bytes.subarray(100, 150))).to.equal(0);
      // Rows say how much counts: what lies behind is kept or not.
      expect(Buffer.compare(read.subarray(50), bytes.subarray(50, 60))).to.equal(0);
    });

    it("are removed one by one, or with their set, and no others", async () => {
      for (const id of [1, 2]) {
        for (const stream of ["powers-a", "tags-7", "tags-8"] as const) {
          await streams.write(id, stream, 0, piecesOf(bytes), bytes.length);
        }
      }
      await streams.removeStream(1, "tags-7");
      await streams.removeStream(1, "tags-7");
      expect(await streams.size(1, "tags-7")).to.equal(0);
      expect(await streams.size(1, "tags-8")).to.equal(bytes.length);
      expect(await streams.size(2, "tags-7")).to.equal(bytes.length);
      await place.removeRow();
      for (const stream of ["powers-a", "tags-7"] as const) expect(await streams.size(2, stream)).to.equal(0);
      await streams.remove(1);
      await streams.remove(1);
      expect(await streams.size(1, "powers-a")).to.equal(0);
      // It can be written again.
      await streams.write(1, "tags-7", 0, piecesOf(bytes.subarray(0, 5)), 5);
      expect(await streams.size(1, "tags-7")).to.equal(5);
    });
  });
}

describe("streams of data sets in files", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-streams-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("tell which sets have a folder, to find those without a row, in a folder made if it is missing", async () => {
    const streams = new DataSetFiles(join(folder, "data-sets"));
    expect(await streams.list()).to.deep.equal([]);
    await streams.write(12, "tags-1", 0, piecesOf(Uint8Array.of(1)), 1);
    mkdirSync(join(folder, "data-sets", "3"));
    appendFileSync(join(folder, "data-sets", "lost+found"), "");
    expect((await streams.list()).sort((left, right) => left - right)).to.deep.equal([3, 12]);
    await streams.remove(3);
    expect(await streams.list()).to.deep.equal([12]);
  });
});
