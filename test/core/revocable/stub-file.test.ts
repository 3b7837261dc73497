import { expect } from "chai";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import { epochKey, ownerAccessKey, type StubScope } from "../../../offchain/core/revocable/epoch-key.ts";
import {
  epochOf,
  MAX_STUBS,
  openStubFile,
  sealStubFile,
  stubAt,
  stubFileBytes,
} from "../../../offchain/core/revocable/stub-file.ts";

const dataId = contentId(Uint8Array.of(1));
const scope: StubScope = { dataId, epoch: 3 };
const fileKey = new Uint8Array(32).fill(1);
const accessKey = new Uint8Array(32).fill(2);
const key = epochKey(fileKey, accessKey, scope);
const stubs = Uint8Array.from({ length: 3 * 64 }, (_, at) => at);

describe("core/revocable: stub files", () => {
  it("open in their epoch, and seal to other bytes each time", () => {
    const sealed = sealStubFile(key, scope, stubs);
    expect(sealed.length)
      .to.equal(stubFileBytes(3))
      .and.equal(41 + 192 + 16);
    expect(epochOf(sealed, "provider")).to.equal(3);
    expect(openStubFile(key, scope, sealed, "provider")).to.deep.equal(stubs);
    expect(sealStubFile(key, scope, stubs)).to.not.deep.equal(sealed);
  });

  it("do not open when one bit is another", () => {
    const sealed = sealStubFile(key, scope, stubs);
    for (let bit = 0; bit < 8 * sealed.length; bit += 1) {
      const damaged = sealed.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      const error = bit < 8 ? UnknownVersionError : IntegrityError;
      expect(() => openStubFile(key, scope, damaged, "provider x"), `bit ${bit}`).to.throw(error);
    }
  });

  it("do not open with the keys of another epoch, file, access key or put", () => {
    const sealed = sealStubFile(key, scope, stubs);
    const other = { dataId: contentId(Uint8Array.of(2)), epoch: 3 };
    const wrong = [
      epochKey(fileKey, accessKey, { dataId, epoch: 2 }),
      epochKey(accessKey, fileKey, scope),
      epochKey(fileKey, fileKey, scope),
      epochKey(fileKey, accessKey, other),
    ];
    for (const tried of wrong) {
      expect(() => openStubFile(tried, scope, sealed, "p")).to.throw(IntegrityError, "does not open");
    }
    expect(() => openStubFile(key, other, sealed, "p")).to.throw(IntegrityError, "does not open");
  });

  it("name the provider that presents an older one again", () => {
    const before = { dataId, epoch: 2 };
    const old = sealStubFile(epochKey(fileKey, accessKey, before), before, stubs);
    expect(() => openStubFile(key, scope, old, "provider x"))
      .to.throw(IntegrityError, "another epoch")
      .that.includes({
        party: "provider x",
        expected: "3",
        received: "2",
        hint: "an older stub file was presented again",
      });
  });

  it("give an owner access keys that differ by epoch and put", () => {
    const identity = new Uint8Array(32).fill(9);
    const keys = [scope, { dataId, epoch: 4 }, { dataId: contentId(Uint8Array.of(2)), epoch: 3 }].map((at) =>
      ownerAccessKey(identity, at).join(),
    );
    expect(new Set(keys).size).to.equal(3);
  });

  it("refuse what is out of range", () => {
    expect(() => sealStubFile(key, scope, stubs.subarray(1))).to.throw(InvalidInputError, "wrong length");
    expect(() => sealStubFile(key, scope, new Uint8Array(64 * (MAX_STUBS + 1)))).to.throw(InvalidInputError);
    expect(() => sealStubFile(key, scope, stubs, new Uint8Array(31))).to.throw(InvalidInputError, "salt");
    for (const epoch of [0, -1, 1.5, 2 ** 53]) {
      expect(() => sealStubFile(key, { dataId, epoch }, stubs), `${epoch}`).to.throw(InvalidInputError, "out of range");
    }
    expect(() => epochKey(fileKey.subarray(1), accessKey, scope)).to.throw(InvalidInputError, "file key");
    const sealed = sealStubFile(key, scope, stubs);
    for (const length of [1, 56, 58, sealed.length - 1]) {
      expect(() => epochOf(sealed.subarray(0, length), "p"), `${length}`).to.throw(IntegrityError, "wrong length");
    }
    expect(() => epochOf(sealed.with(1, 255), "p")).to.throw(IntegrityError, "out of range");
    expect(stubAt(stubs, 2)).to.deep.equal(stubs.subarray(128));
    expect(() => stubAt(stubs, 3)).to.throw(IntegrityError, "too few stubs");
  });
});
