/** The promises of `preparation-streams.ts`, for files and for the database. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { PreparationFiles } from "../../../offchain/csp/possession/preparation-files.ts";
import type { PreparationStreams } from "../../../offchain/store/index/preparation-streams.ts";
import { openSqliteDatabase } from "../../../offchain/store/index/sql/open-sqlite.ts";
import { PIECE_BYTES, SqlPreparationStreams } from "../../../offchain/store/index/sql/preparation-streams.ts";
import type { ProviderTables } from "../../../offchain/store/index/sql/provider-tables.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { INDEX_MIGRATIONS } from "./places.ts";

interface Place {
  readonly streams: PreparationStreams;
  /** Preparations with a row. */
  readonly ids: readonly [number, number];
  end(): Promise<void>;
}

async function inFiles(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-streams-"));
  const end = async () => rmSync(folder, { recursive: true, force: true });
  return { streams: new PreparationFiles(folder), ids: [1, 2], end };
}

async function inDatabase(): Promise<Place> {
  const database = await openSqliteDatabase<ProviderTables>(":memory:", INDEX_MIGRATIONS);
  for (const id of [1, 2]) {
    const salt = Uint8Array.of(id);
    const rest = { key_x: salt, key_xa: salt, key_xb: salt, audit_key_hash: salt, manifest_hash: salt };
    const row = { id, account: "0x", salt, writer: "", touched_at: 1, ...rest };
    await database.run((all) => all.insertInto("preparations").values(row).execute());
  }
  return { streams: new SqlPreparationStreams(database.part()), ids: [1, 2], end: () => database.close() };
}

async function* piecesOf(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

for (const [name, open] of Object.entries({ files: inFiles, "the database": inDatabase })) {
  describe(`streams of a preparation in ${name}`, () => {
    let place: Place;
    let streams: PreparationStreams;
    const bytes = pseudoRandomBytes(name, 3 * PIECE_BYTES + 100);
    beforeEach(async () => {
      place = await open();
      ({ streams } = place);
      for (const id of place.ids) await streams.create(id);
    });
    afterEach(() => place.end());

    it("give back what was appended, in pieces of any size and from any place", async () => {
      let at = 0;
      for (const until of [1, 100, PIECE_BYTES, PIECE_BYTES + 7, bytes.length]) {
        const body = piecesOf(bytes.subarray(at, (at + until) >> 1), bytes.subarray((at + until) >> 1, until));
        expect(await streams.write(1, "tags", at, body, until - at)).to.equal(until - at);
        at = until;
      }
      expect(await streams.size(1, "tags")).to.equal(bytes.length);
      for (const [from, length] of [
        [0, bytes.length],
        [PIECE_BYTES - 1, 2],
        [5, 48],
        [2 * PIECE_BYTES, PIECE_BYTES],
      ] as const) {
        const read = await streams.read(1, "tags", from, length);
        expect(Buffer.compare(read, bytes.subarray(from, from + length)), `${from}`).to.equal(0);
      }
      expect(await streams.size(2, "tags")).to.equal(0);
    });

    it("refuse a body that is too long, and let the next attempt overwrite it", async () => {
      await streams.write(1, "tags", 0, piecesOf(bytes.subarray(0, 10)), 10);
      const long = () => streams.write(1, "tags", 10, piecesOf(bytes.subarray(0, 30), bytes.subarray(0, 30)), 40);
      expect(await expectAsyncRejection(long, "INVALID_INPUT")).to.include({ check: "length" });
      await streams.write(1, "tags", 10, piecesOf(bytes.subarray(10, 50)), 40);
      expect(Buffer.compare(await streams.read(1, "tags", 0, 50), bytes.subarray(0, 50))).to.equal(0);
    });

    it("say that a stream is shorter than what is asked for", async () => {
      await streams.write(1, "powers-a", 0, piecesOf(bytes.subarray(0, 10)), 10);
      await expectAsyncRejection(() => streams.read(1, "powers-a", 5, 6), "DISK_FAILED");
      await expectAsyncRejection(() => streams.copyStart(1, 2, "powers-a", 11), "DISK_FAILED");
    });

    it("are copied", async () => {
      await streams.write(1, "powers-b", 0, piecesOf(bytes), bytes.length);
      await streams.copyStart(1, 2, "powers-b", PIECE_BYTES + 5);
      expect(
        Buffer.compare(await streams.read(2, "powers-b", 0, PIECE_BYTES + 5), bytes.subarray(0, PIECE_BYTES + 5)),
      ).to.equal(0);
      await streams.remove(2);
      expect(await streams.size(2, "powers-b")).to.equal(0);
    });
  });
}
