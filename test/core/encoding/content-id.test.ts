import { spawnSync } from "node:child_process";
import { expect } from "chai";
import fc from "fast-check";
import { base32upper } from "multiformats/bases/base32";
import { base58btc } from "multiformats/bases/base58";
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import { create as createMultihash } from "multiformats/hashes/digest";
import { sha256 } from "#primitives";
import {
  contentId,
  contentIdFromBytes,
  contentIdFromDigest,
  contentIdToBytes,
  digestOf,
} from "../../../offchain/core/encoding/content-id.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { loadVectors } from "../../helpers/vectors.ts";

const digests = fc.uint8Array({ minLength: 32, maxLength: 32 });
const EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

describe("content id", () => {
  it("is the id that IPFS gives to the same bytes", () => {
    expect(contentId(new Uint8Array(0))).to.equal(EMPTY);
    expect(contentId(new TextEncoder().encode("hello world"))).to.equal(
      "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
    );
    expect(loadVectors<{ emptyId: string }>("sealing.json").emptyId).to.equal(EMPTY);
  });

  it("agrees with the reference implementation of CIDs", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const digest = sha256(bytes);
        const cid = CID.createV1(raw.code, createMultihash(0x12, digest));
        expect(contentId(bytes)).to.equal(cid.toString());
        expect(contentIdToBytes(cid.toString())).to.deep.equal(new Uint8Array(cid.bytes));
      }),
    );
  });

  it("goes to digest and binary form and back", () => {
    fc.assert(
      fc.property(digests, (digest) => {
        const id = contentIdFromDigest(digest);
        expect(digestOf(id)).to.deep.equal(digest);
        expect(contentIdFromBytes(contentIdToBytes(id))).to.equal(id);
      }),
    );
  });

  const digest = sha256(new Uint8Array(0));
  const multihash = createMultihash(0x12, digest);
  const refused: Record<string, string> = {
    "no characters": "",
    "upper case": CID.createV1(raw.code, multihash).toString(base32upper.encoder),
    "another base": CID.createV1(raw.code, multihash).toString(base58btc.encoder),
    "version 0": CID.createV0(multihash).toString(),
    "another codec": CID.createV1(0x70, multihash).toString(),
    "another hash": CID.createV1(raw.code, createMultihash(0x16, digest)).toString(),
    "a shorter digest": CID.createV1(raw.code, createMultihash(0x12, digest.subarray(1))).toString(),
    "a cut end": EMPTY.slice(0, -1),
    "an added character": `${EMPTY}a`,
    "white space": `${EMPTY.slice(0, -1)} `,
    padding: `${EMPTY.slice(0, -1)}=`,
    "a character outside the alphabet": EMPTY.replace("h", "1"),
    "spare bits that are not zero": `${EMPTY.slice(0, -1)}v`,
  };
  for (const [name, id] of Object.entries(refused)) {
    it(`refuses ${name}`, () => {
      expect(() => digestOf(id)).to.throw(InvalidInputError, "content id is malformed");
    });
  }

  it("accepts no other spelling of an id", () => {
    fc.assert(
      fc.property(
        digests,
        fc.nat(58),
        fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz234567"),
        (bytes, at, character) => {
          const id = contentIdFromDigest(bytes);
          const changed = id.slice(0, at) + character + id.slice(at + 1);
          if (changed === id) return;
          // Either refused, or an id in its own right: never a second name for the same digest.
          let decoded: Uint8Array | undefined;
          try {
            decoded = digestOf(changed);
          } catch (error) {
            expect(error).to.be.instanceOf(InvalidInputError);
          }
          expect(decoded).to.not.deep.equal(bytes);
        },
      ),
    );
  });

  it("refuses an empty id, also as the first one that a process decodes", () => {
    expect(() => digestOf("")).to.throw(InvalidInputError);
    const module = JSON.stringify(new URL("../../../offchain/core/encoding/content-id.ts", import.meta.url).href);
    const program = `import { digestOf } from ${module}; console.log(digestOf("").length);`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
      encoding: "utf8",
    });
    expect(stdout).to.equal("");
    expect(stderr).to.contain("content id is malformed");
  });

  it("refuses digests and binary forms of other lengths or kinds", () => {
    expect(() => contentIdFromDigest(new Uint8Array(31))).to.throw(InvalidInputError);
    expect(() => contentIdFromBytes(new Uint8Array(35))).to.throw(InvalidInputError);
    const binary = contentIdToBytes(EMPTY);
    binary[1] = 0x70;
    expect(() => contentIdFromBytes(binary)).to.throw(InvalidInputError);
  });
});
