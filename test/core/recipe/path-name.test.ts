import { bytesToHex as hex, utf8ToBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import {
  checkPath,
  comparePaths,
  isBelow,
  MAX_COMPONENT_BYTES,
  MAX_PATH_BYTES,
  parentLength,
  pathFromBytes,
  pathToBytes,
  showPath,
} from "../../../offchain/core/recipe/path-name.ts";
import { unhex } from "../../helpers/vectors.ts";

// Bytes that start, continue and break UTF-8 sequences often.
const names = fc
  .uint8Array({ maxLength: 12 })
  .map((bytes) => bytes.map((byte, index) => (index % 3 === 0 ? byte | 0x80 : byte)));

describe("path names", () => {
  it("go from bytes to strings and back without loss, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.oneof(names, fc.uint8Array({ maxLength: 20 })), (bytes) => {
        expect(pathToBytes(pathFromBytes(bytes))).to.deep.equal(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  it("are the usual strings where the bytes are UTF-8, and in no normal form but their own", () => {
    for (const text of [
      "a",
      "Straße",
      "日本語",
      "👩‍👩‍👧",
      "e\u0301",
      "\u00e9",
      "\ufeffbom",
      "new\nline",
      "\u202eevil",
    ]) {
      expect(pathFromBytes(utf8ToBytes(text)), showPath(text)).to.equal(text);
      expect(pathToBytes(text)).to.deep.equal(utf8ToBytes(text));
    }
    expect(pathToBytes("e\u0301")).to.not.deep.equal(pathToBytes("\u00e9"));
  });

  it("are distinct strings for distinct bytes", () => {
    fc.assert(
      fc.property(names, names, (a, b) => {
        expect(pathFromBytes(a) === pathFromBytes(b)).to.equal(hex(a) === hex(b));
      }),
      { numRuns: 2000 },
    );
  });

  // Python: bytes.fromhex(…).decode("utf-8", "surrogateescape")
  const escaped: [string, string][] = [
    ["ff", "\udcff"],
    ["61ff62", "a\udcffb"],
    ["c3", "\udcc3"],
    ["c328", "\udcc3("],
    ["c0af", "\udcc0\udcaf"], // an overlong slash must not become a slash
    ["e08080", "\udce0\udc80\udc80"],
    ["eda080", "\udced\udca0\udc80"], // a surrogate in UTF-8
    ["f09f92", "\udcf0\udc9f\udc92"],
    ["f09f92a9", "💩"],
    ["f4908080", "\udcf4\udc90\udc80\udc80"], // beyond U+10FFFF
    ["f888808080", "\udcf8\udc88\udc80\udc80\udc80"],
    ["80c3a9", "\udc80é"],
  ];
  for (const [bytes, text] of escaped) {
    it(`show the bytes ${bytes} as Python's surrogateescape does`, () => {
      expect(pathFromBytes(unhex(bytes))).to.equal(text);
      expect(hex(pathToBytes(text))).to.equal(bytes);
    });
  }

  it("refuse unpaired surrogates that stand for no byte", () => {
    for (const text of ["\ud800", "a\udbffb", "\udc00", "\udc7f", "\udd00", "\udfff"]) {
      expect(() => pathToBytes(text), showPath(text)).to.throw(InvalidInputError, "stands for no byte");
    }
  });

  const refused: Record<string, string> = {
    empty: "",
    absolute: "/etc/passwd",
    "just a slash": "/",
    "parent folder": "..",
    "parent folder first": "../a",
    "parent folder within": "a/../../b",
    "parent folder last": "a/..",
    "same folder": ".",
    "same folder within": "a/./b",
    "double slash": "a//b",
    "trailing slash": "a/",
    "NUL byte": "a\0b",
    "too long a component": `a/${"x".repeat(MAX_COMPONENT_BYTES + 1)}`,
    "too long a path": `${"x/".repeat(MAX_PATH_BYTES / 2)}x`,
  };
  for (const [name, path] of Object.entries(refused)) {
    it(`are refused with ${name}`, () => {
      expect(() => checkPath(utf8ToBytes(path))).to.throw(InvalidInputError, "path");
    });
  }

  it("are accepted with dots that lead nowhere, and up to the limits", () => {
    for (const path of [
      "...",
      "..a",
      "a..",
      ".hidden",
      "a/.../b",
      "a\\..\\b",
      "x".repeat(MAX_COMPONENT_BYTES),
      `${"x/".repeat(MAX_PATH_BYTES / 2 - 1)}xx`,
    ]) {
      checkPath(utf8ToBytes(path));
    }
    checkPath(unhex("ff2f80"));
  });

  it("are ordered as a walk meets them that visits each folder's names in byte order", () => {
    const paths = ["A", "a", "a/b", "a/b/c", "a/b0", "a/c", "a!", "a-b", "a-b/x", "a.b", "a0", "b", "é", "日"];
    const sorted = [...paths].reverse().map((path) => utf8ToBytes(path));
    sorted.sort(comparePaths);
    expect(sorted.map(pathFromBytes)).to.deep.equal(paths);
    const component = fc
      .uint8Array({ minLength: 1, maxLength: 3 })
      .map((name) => name.map((byte) => (byte === 0x2f || byte === 0 ? 1 : byte)));
    const split = fc.array(component, { minLength: 1, maxLength: 4 });
    const join = (parts: Uint8Array[]) =>
      Uint8Array.from(parts.flatMap((part, index) => (index === 0 ? [...part] : [0x2f, ...part])));
    fc.assert(
      fc.property(split, split, (a, b) => {
        let expected = a.length - b.length;
        for (let index = 0; index < Math.min(a.length, b.length); index++) {
          const order = Buffer.compare(a[index] as Uint8Array, b[index] as Uint8Array);
          if (order !== 0) {
            expected = order;
            break;
          }
        }
        expect(Math.sign(comparePaths(join(a), join(b)))).to.equal(Math.sign(expected));
      }),
      { numRuns: 2000 },
    );
  });

  it("know their folder", () => {
    const path = (text: string) => utf8ToBytes(text);
    expect(parentLength(path("a"))).to.equal(-1);
    expect(parentLength(path("ab/c/d"))).to.equal(4);
    expect(isBelow(path("a/b"), path("a"))).to.equal(true);
    expect(isBelow(path("a/b/c"), path("a"))).to.equal(true);
    for (const [inner, folder] of [
      ["ab", "a"],
      ["a", "a"],
      ["b/a", "a"],
      ["a-/b", "a"],
      ["a", "a/b"],
    ] as const) {
      expect(isBelow(path(inner), path(folder)), `${inner} in ${folder}`).to.equal(false);
    }
  });
});
