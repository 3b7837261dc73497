/** Packages, stub files and a group's history, made by an independent implementation (derive-revocable.py). */

import { shake256 } from "@noble/hashes/sha3.js";
import { expect } from "chai";
import { sha256 } from "#primitives";
import { contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { epochKey, ownerAccessKey } from "../../../offchain/core/revocable/epoch-key.ts";
import { GroupMember } from "../../../offchain/core/revocable/group-member.ts";
import { groupAccessKey, unwrapGroupStubs, wrapGroupStubs } from "../../../offchain/core/revocable/group-stubs.ts";
import { encodeMemberPath, openMemberPath } from "../../../offchain/core/revocable/member-path.ts";
import { OwnerGroup } from "../../../offchain/core/revocable/owner-group.ts";
import {
  PACKAGE_OVERHEAD_BYTES,
  packageKey,
  packInPlace,
  unpackInPlace,
} from "../../../offchain/core/revocable/package.ts";
import { openStubFile, sealStubFile } from "../../../offchain/core/revocable/stub-file.ts";
import vectors from "../../vectors/revocable.json" with { type: "json" };

describe("core/revocable: vectors", () => {
  for (const { oprfOutput, frameSeed, frameBytes, key, object, objectSha256, stub } of vectors.packages) {
    it(`a package of ${frameBytes} bytes is made and opens`, () => {
      const frame = shake256(new TextEncoder().encode(frameSeed), { dkLen: frameBytes });
      const memory = new Uint8Array(frameBytes + PACKAGE_OVERHEAD_BYTES);
      memory.set(frame);
      const derived = packageKey(fromHex(oprfOutput));
      expect(toHex(derived)).to.equal(key);
      const made = packInPlace(derived, memory, frameBytes);
      expect(toHex(made.stub)).to.equal(stub);
      expect(toHex(made.digest)).to.equal(objectSha256);
      expect(toHex(sha256(made.object))).to.equal(objectSha256);
      if (object !== null) expect(toHex(made.object)).to.equal(object);
      expect(toHex(unpackInPlace(fromHex(stub), made.object, made.digest, memory.length, "x"))).to.equal(toHex(frame));
    });
  }

  for (const vector of vectors.stubFiles) {
    const { epoch, stubs, sealed } = vector;
    it(`a stub file of ${(stubs.length - 2) / 128} stubs in epoch ${epoch} is sealed and opens`, () => {
      const scope = { dataId: contentIdFromDigest(fromHex(vector.digest)), epoch };
      const access = ownerAccessKey(fromHex(vector.identityKey), scope);
      expect(toHex(access)).to.equal(vector.accessKey);
      const key = epochKey(fromHex(vector.fileKey), access, scope);
      expect(toHex(key)).to.equal(vector.epochKey);
      expect(toHex(sealStubFile(key, scope, fromHex(stubs), fromHex(vector.salt)))).to.equal(sealed);
      expect(toHex(openStubFile(key, scope, fromHex(sealed), "provider"))).to.equal(stubs);
    });
  }

  function checkStubFile(group: OwnerGroup, vector: (typeof vectors.group.epochs)[number]["stubFile"]): void {
    const { groupId, groupKey, epoch } = group;
    const scope = { dataId: contentIdFromDigest(fromHex(vector.digest)), epoch: vector.epoch };
    const access = groupAccessKey(groupId, scope);
    expect(toHex(access)).to.equal(vector.accessKey);
    const key = epochKey(fromHex(vector.fileKey), access, scope);
    const sealed = sealStubFile(key, scope, fromHex(vector.stubs), fromHex(vector.salt));
    expect(toHex(sealed)).to.equal(vector.sealed);
    const at = { groupId, groupKey, epoch };
    expect(toHex(wrapGroupStubs(at, sealed, fromHex(vector.wrapSalt)))).to.equal(vector.wrapped);
    expect(toHex(unwrapGroupStubs(at, fromHex(vector.wrapped), "provider"))).to.equal(vector.sealed);
  }

  it("a group goes through its history with the same messages, and every owner comes to its keys", () => {
    const { seed, nonce, groupId, managerKey, epochs } = vectors.group;
    const group = OwnerGroup.create(fromHex(seed), fromHex(nonce));
    expect(toHex(group.groupId)).to.equal(groupId);
    expect(toHex(group.managerKey)).to.equal(managerKey);
    const known = { groupId: fromHex(groupId), managerKey: fromHex(managerKey) };
    const members = new Map<string, GroupMember>();
    for (const { salt, leave, join, message, groupKey, count, path, stubFile } of epochs) {
      const joining = join.map(({ account, secret }) => ({ account, secret: fromHex(secret) }));
      const rekey = group.change({ leave, join: joining }, fromHex(salt));
      expect(toHex(rekey.bytes)).to.equal(message);
      expect(rekey.messages).to.equal(count);
      expect(toHex(group.groupKey)).to.equal(groupKey);
      for (const account of leave) members.delete(account);
      for (const member of members.values()) member.apply(fromHex(message));
      for (const { account, secret } of joining) {
        members.set(account, GroupMember.join(fromHex(message), known, account, secret));
      }
      expect(members.size).to.be.greaterThan(0);
      for (const member of members.values()) expect(toHex(member.groupKey)).to.equal(groupKey);
      const secret = fromHex(path.secret);
      expect(toHex(encodeMemberPath(group, path.account, secret))).to.equal(path.bytes);
      expect(toHex(openMemberPath(fromHex(path.bytes), known, secret).groupKey)).to.equal(groupKey);
      checkStubFile(group, stubFile);
    }
    expect([...members.keys()]).to.have.members(group.owners());
  });
});
