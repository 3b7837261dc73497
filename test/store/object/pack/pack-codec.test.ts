import { readFileSync } from "node:fs";
import { expect } from "chai";
import fc from "fast-check";
import { fromHex, toHex } from "../../../../offchain/core/encoding/hex.ts";
import {
  checksumFor,
  decodeFooter,
  decodeHead,
  decodePackHeader,
  encodeHead,
  encodePackHeader,
  HEAD_BYTES,
  type RecordHead,
} from "../../../../offchain/store/object/pack/pack-codec.ts";
import { PackContents } from "../../../../offchain/store/object/pack/pack-contents.ts";
import { readContents } from "../../../../offchain/store/object/pack/pack-recovery.ts";
import { readPackFrame, type WalkedPiece, walkPack } from "../../../../offchain/store/object/pack/pack-walk.ts";

interface Vector {
  salt: string;
  records: { id: string; hex?: string; firstPack?: number; lastPack?: number; offset: number }[];
  contentsOffset: number;
  pack: string;
}
const vector = JSON.parse(readFileSync(new URL("../../../vectors/pack.json", import.meta.url), "utf8")) as Vector;
const salt = fromHex(vector.salt);
const pack = fromHex(vector.pack);

const readerOf = (bytes: Uint8Array) => async (offset: number, lengthBytes: number) =>
  bytes.subarray(offset, offset + lengthBytes);

async function walk(bytes: Uint8Array, withSalt = salt): Promise<WalkedPiece[]> {
  const pieces: WalkedPiece[] = [];
  const { end } = await readPackFrame(readerOf(bytes), bytes.length);
  for await (const piece of walkPack(readerOf(bytes), { salt: withSalt, end, hashBodies: true })) pieces.push(piece);
  return pieces;
}

/** Objects that a walk finds whole. */
const intactIds = (pieces: readonly WalkedPiece[]): string[] =>
  pieces.flatMap((piece) => (piece.kind === "record" && piece.head.kind === "object" ? [piece.head.id] : []));

describe("pack format", () => {
  it("writes the vector byte for byte", () => {
    const parts = [encodePackHeader(salt)];
    const contents = new PackContents();
    let offset = parts[0]?.length ?? 0;
    for (const { id, hex, firstPack = 0, lastPack = 0, offset: expected } of vector.records) {
      expect(offset).to.equal(expected);
      const body = hex === undefined ? new Uint8Array(0) : fromHex(hex);
      const head: RecordHead =
        hex === undefined
          ? { kind: "removal", id, firstPack, lastPack }
          : { kind: "object", id, lengthBytes: body.length, checksum: checksumFor(id, body) };
      contents.add({ head, offset }, salt);
      parts.push(encodeHead(head, salt), body);
      offset += HEAD_BYTES + id.length + body.length;
    }
    expect(offset).to.equal(vector.contentsOffset);
    parts.push(contents.trailer(offset, salt));
    expect(toHex(Buffer.concat(parts))).to.equal(vector.pack);
  });

  it("reads the vector from head to head, and by its contents", async () => {
    const pieces = await walk(pack);
    const heads = pieces.map((piece) => (piece.kind === "record" ? piece.head : piece));
    expect(heads.map(({ kind }) => kind)).to.deep.equal(["object", "object", "removal", "contents"]);
    expect(heads[2]).to.include({ id: vector.records[2]?.id, firstPack: 3, lastPack: 7 });
    const frame = await readPackFrame(readerOf(pack), pack.length);
    expect(frame).to.deep.include({ salt, version: 1, contentsOffset: vector.contentsOffset });
    const entries = await readContents(readerOf(pack), vector.contentsOffset, frame.end, salt);
    expect(entries).to.deep.equal(
      pieces.slice(0, 3).map((piece) => (piece.kind === "record" ? { head: piece.head, offset: piece.offset } : piece)),
    );
  });

  it("takes no byte of a header, head or footer for another value", () => {
    const head = encodeHead({ kind: "object", id: "abc", lengthBytes: 5, checksum: 9 }, salt);
    const parts = [
      { bytes: encodePackHeader(salt), decode: decodePackHeader },
      { bytes: head, decode: (bytes: Uint8Array) => decodeHead(bytes, salt) },
      { bytes: pack.slice(-20), decode: decodeFooter },
    ];
    for (const { bytes, decode } of parts) {
      expect(decode(bytes)).to.not.equal(undefined);
      for (let at = 0; at < bytes.length; at++) {
        for (const bit of [1, 128]) {
          const damaged = bytes.slice();
          damaged[at] = (damaged[at] ?? 0) ^ bit;
          expect(decode(damaged), `byte ${at}`).to.equal(undefined);
        }
        expect(decode(bytes.subarray(0, at)), `cut at ${at}`).to.equal(undefined);
      }
    }
  });

  it("refuses a head with an id that no store takes, and one of another pack", () => {
    for (const id of ["", "../a", "A", ".a"]) {
      const head = encodeHead({ kind: "object", id, lengthBytes: 0, checksum: 0 }, salt);
      expect(decodeHead(head, salt), id).to.equal(undefined);
    }
    const head = encodeHead({ kind: "object", id: "a", lengthBytes: 0, checksum: 0 }, salt);
    expect(decodeHead(head, new Uint8Array(8))).to.equal(undefined);
  });

  it("loses to one damaged byte the record that it is in, and no other", async () => {
    const ids = intactIds(await walk(pack));
    for (let at = 20; at < vector.contentsOffset; at++) {
      const damaged = pack.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      const pieces = await walk(damaged);
      const hit = vector.records.findLastIndex(({ offset }) => offset <= at);
      const kinds = pieces.map((piece) => (piece.kind === "record" ? piece.head.kind : "gap"));
      expect(kinds.length, `byte ${at}`).to.equal(4);
      for (const [k, id] of ids.entries()) if (k !== hit) expect(intactIds(pieces), `byte ${at}`).to.contain(id);
    }
  });

  it("finds the records behind bytes that are none, whatever they are", async () => {
    const record = pack.subarray(vector.records[1]?.offset, vector.records[2]?.offset);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 70_000 }), async (noise) => {
        const bytes = new Uint8Array(Buffer.concat([encodePackHeader(salt), noise, Buffer.from("TSRC"), record]));
        expect(intactIds(await walk(bytes))).to.deep.equal([vector.records[1]?.id]);
      }),
      { numRuns: 30 },
    );
  });

  it("does not take a record that a client put into an object for one of the pack", async () => {
    const forged = encodeHead({ kind: "removal", id: "victim", firstPack: 1, lastPack: 9 }, new Uint8Array(8).fill(3));
    const honest = encodeHead(
      { kind: "object", id: "b", lengthBytes: 0, checksum: checksumFor("b", forged.subarray(0, 0)) },
      salt,
    );
    const carrier = encodeHead({ kind: "object", id: "a", lengthBytes: forged.length, checksum: 0 }, salt);
    carrier[9] = 0xff;
    const bytes = new Uint8Array(Buffer.concat([encodePackHeader(salt), carrier, forged, honest]));
    const pieces = await walk(bytes);
    expect(pieces.map((piece) => (piece.kind === "record" ? piece.head.kind : "gap"))).to.deep.equal(["gap", "object"]);
  });
});
