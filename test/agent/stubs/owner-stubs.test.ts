import { expect } from "chai";
import { copyStubFile } from "../../../offchain/agent/migration/copy-stub-files.ts";
import { checkedAt } from "../../../offchain/agent/stubs/check-stub-file.ts";
import {
  findStubs,
  latestEpoch,
  readStubs,
  storeStubs,
  stubIdentityKey,
} from "../../../offchain/agent/stubs/owner-stubs.ts";
import { rekeyStubs } from "../../../offchain/agent/stubs/rekey.ts";
import type { StubOwner } from "../../../offchain/agent/stubs/stub-owner.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../../offchain/core/errors.ts";
import { epochKey, ownerAccessKey } from "../../../offchain/core/revocable/epoch-key.ts";
import { epochOf, openStubFile } from "../../../offchain/core/revocable/stub-file.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

/** Keeps one stub file, and every one that it ever had. */
class MemoryKeeper {
  readonly name: string;
  readonly account: string;
  readonly files: Uint8Array[] = [];
  replacements = 0;
  /** Called before each replacement. */
  beforeReplace: () => Promise<void> = async () => undefined;

  constructor(name = "provider a") {
    this.name = name;
    this.account = `account of ${name}`;
  }

  /** Changes the last byte of the file in place. */
  damage(): void {
    const last = this.files.pop();
    if (last !== undefined) this.files.push(last.with(-1, (last.at(-1) ?? 0) ^ 1));
  }

  /** Refuses every request from now on. */
  goDown(): void {
    this.stubFile = async () => {
      throw new TallystickError(`${this.name} is down`, { code: "UNREACHABLE", party: this.name });
    };
  }

  async stubFile(): Promise<Uint8Array | undefined> {
    return this.files.at(-1);
  }

  async replaceStubFile(_dataId: string, expected: number, sealed: Uint8Array): Promise<boolean> {
    this.replacements += 1;
    const { beforeReplace } = this;
    this.beforeReplace = async () => undefined;
    await beforeReplace();
    const last = this.files.at(-1);
    if ((last === undefined ? 0 : epochOf(last, this.name)) !== expected) return false;
    this.files.push(sealed);
    return true;
  }
}

const scope = new Uint8Array(48).fill(4);
const owner: StubOwner = {
  identityKey: stubIdentityKey(new Uint8Array(32).fill(1), scope),
  fileKey: new Uint8Array(32).fill(2),
  dataId: contentId(Uint8Array.of(3)),
};
const stubs = new Uint8Array(128).fill(5);
/** No provider lists the put. */
/** Whose account copies. */
const AS = { account: `0x${"a1".repeat(20)}` };
const NOWHERE: ReadonlySet<string> = new Set();

describe("stub files of an owner", () => {
  it("are stored once, read again, and replaced when they are of other stubs or do not open", async () => {
    const keeper = new MemoryKeeper();
    expect(await readStubs(keeper, owner)).to.equal(undefined);
    expect(await storeStubs(keeper, owner, stubs, 1)).to.equal(1);
    expect(await storeStubs(keeper, owner, stubs, 1)).to.equal(1);
    expect(keeper.replacements).to.equal(1);
    expect(await readStubs(keeper, owner)).to.deep.equal({ epoch: 1, stubs });
    const others = new Uint8Array(64);
    expect(await storeStubs(keeper, owner, others, 1)).to.equal(2);
    keeper.files[1] = keeper.files[1]?.with(-1, 0) ?? others;
    expect(await storeStubs(keeper, owner, others, 1)).to.equal(3);
    expect(await readStubs(keeper, owner)).to.deep.equal({ epoch: 3, stubs: others });
  });

  it("belong to one identity, deployment and file key", async () => {
    const keeper = new MemoryKeeper();
    await storeStubs(keeper, owner, stubs, 1);
    const key = stubIdentityKey(new Uint8Array(32).fill(1), scope.with(0, 9));
    for (const other of [
      { ...owner, identityKey: key },
      { ...owner, fileKey: key },
    ]) {
      const error = await expectAsyncRejection(() => readStubs(keeper, other), "INTEGRITY");
      expect(error).to.include({ party: "provider a", check: "AES-256-GCM tag" });
    }
  });

  it("are rekeyed so that keys which were given away do not open the new file", async () => {
    const keeper = new MemoryKeeper();
    await storeStubs(keeper, owner, stubs, 1);
    const given = { dataId: owner.dataId, epoch: 1 };
    const key = epochKey(owner.fileKey, ownerAccessKey(owner.identityKey, given), given);
    expect(openStubFile(key, given, (await keeper.stubFile()) ?? stubs, "p")).to.deep.equal(stubs);
    expect((await rekeyStubs([keeper], owner, NOWHERE)).stubFiles).to.deep.equal([
      { provider: keeper.account, epoch: 2 },
    ]);
    expect(await readStubs(keeper, owner)).to.deep.equal({ epoch: 2, stubs });
    const sealed = (await keeper.stubFile()) ?? stubs;
    for (const epoch of [1, 2]) {
      expect(() => openStubFile(key, { ...given, epoch }, sealed, "p"), `${epoch}`).to.throw(IntegrityError);
    }
    const none = await expectAsyncRejection(() => rekeyStubs([new MemoryKeeper()], owner, NOWHERE), "NOT_FOUND");
    expect(none).to.include({ check: "stub file", party: "you" });
  });

  it("are rekeyed at the other providers when one fails, and at that one by another run", async () => {
    const [down, up, full] = [new MemoryKeeper("down"), new MemoryKeeper("up"), new MemoryKeeper("full")];
    for (const keeper of [down, up, full]) await storeStubs(keeper, owner, stubs, 1);
    const answers = { stubFile: down.stubFile, replaceStubFile: full.replaceStubFile };
    down.goDown();
    full.replaceStubFile = async () => {
      throw new TallystickError("full is full", { code: "STORAGE_UNAVAILABLE", party: "full" });
    };
    const first = await rekeyStubs([down, full, up], owner, NOWHERE);
    expect(first.stubFiles).to.deep.equal([{ provider: up.account, epoch: 2 }]);
    expect(first.failures.map(({ provider, error }) => [provider, error.code])).to.deep.equal([
      [down.account, "UNREACHABLE"],
      [full.account, "STORAGE_UNAVAILABLE"],
    ]);
    Object.assign(down, { stubFile: answers.stubFile });
    Object.assign(full, { replaceStubFile: answers.replaceStubFile });
    const second = await rekeyStubs([down, full, up], owner, NOWHERE);
    expect(second.failures).to.deep.equal([]);
    expect(second.stubFiles.map(({ epoch }) => epoch)).to.deep.equal([3, 3, 3]);
    for (const keeper of [down, full, up]) keeper.goDown();
    expect(await expectAsyncRejection(() => rekeyStubs([down, full, up], owner, NOWHERE), "UNREACHABLE")).to.include({
      party: "down",
    });
  });

  it("are made again, when rekeyed, where a provider that lists the put has lost or damaged them", async () => {
    const [whole, lost, bad, other] = ["whole", "lost", "bad", "other"].map((name) => new MemoryKeeper(name));
    if (!whole || !lost || !bad || !other) throw new Error("no keepers");
    await storeStubs(whole, owner, stubs, 4);
    await storeStubs(bad, owner, stubs, 9);
    bad.damage();
    const listing = new Set([whole, lost, bad].map(({ account }) => account));
    const { stubFiles, failures } = await rekeyStubs([bad, lost, other, whole], owner, listing);
    expect(failures).to.deep.equal([]);
    // Epochs of a file that does not open are nobody's word, but only grow.
    expect(stubFiles.map(({ epoch }) => epoch)).to.deep.equal([10, 5, 5]);
    for (const keeper of [whole, lost, bad]) expect((await readStubs(keeper, owner))?.stubs).to.deep.equal(stubs);
    expect(other.files).to.deep.equal([]);
    whole.files.length = 0;
    lost.files.length = 0;
    bad.damage();
    await expectAsyncRejection(() => rekeyStubs([bad, lost, whole], owner, listing), "INTEGRITY");
  });

  it("are changed on top of what another device has changed meanwhile", async () => {
    const keeper = new MemoryKeeper();
    await storeStubs(keeper, owner, stubs, 1);
    keeper.beforeReplace = async () => {
      await storeStubs(keeper, owner, new Uint8Array(64), 2);
    };
    expect((await rekeyStubs([keeper], owner, NOWHERE)).stubFiles.map(({ epoch }) => epoch)).to.deep.equal([3]);
    const busy = new MemoryKeeper();
    await storeStubs(busy, owner, stubs, 1);
    busy.replaceStubFile = async () => false;
    await expectAsyncRejection(() => rekeyStubs([busy], owner, NOWHERE), "CONFLICT");
  });

  it("are stored elsewhere in the latest epoch that any has, so that taken keys do not open them", async () => {
    const [old, late, down] = [new MemoryKeeper("old"), new MemoryKeeper("late"), new MemoryKeeper("down")];
    await storeStubs(old, owner, stubs, 1);
    await storeStubs(late, owner, stubs, 3);
    down.goDown();
    expect(await latestEpoch([old, down, late], owner)).to.equal(3);
    expect(await latestEpoch([down], owner)).to.equal(1);
    expect(await storeStubs(new MemoryKeeper("new"), owner, stubs, 3)).to.equal(3);
    // One that a rekeying has not reached.
    expect(await storeStubs(old, owner, stubs, 3)).to.equal(3);
    expect(await storeStubs(late, owner, stubs, 3)).to.equal(3);
    expect(late.replacements).to.equal(1);
  });

  it("are copied to another provider in their epoch, unless that one has a later one", async () => {
    const [from, to] = [new MemoryKeeper("from"), new MemoryKeeper("to")];
    const copy = () => copyStubFile(owner, [from, to], to, AS);
    expect(await copy()).to.include({ code: "NOT_FOUND", check: "stub file" });
    expect(to.replacements).to.equal(0);
    await storeStubs(from, owner, stubs, 1);
    expect(await copy()).to.deep.equal({ epoch: 1, stubs });
    expect(await copy()).to.deep.equal({ epoch: 1, stubs });
    expect(await readStubs(to, owner)).to.deep.equal({ epoch: 1, stubs });
    expect(to.replacements).to.equal(1);
    await storeStubs(from, owner, stubs, 2);
    expect(await copy()).to.deep.equal({ epoch: 2, stubs });
    expect(await readStubs(to, owner)).to.deep.equal({ epoch: 2, stubs });
    await storeStubs(to, owner, stubs, 3);
    expect(await copy()).to.deep.equal({ epoch: 3, stubs });
    expect((await readStubs(to, owner))?.epoch).to.equal(3);
    to.files.length = 0;
    to.replaceStubFile = async () => false;
    const error = await expectAsyncRejection(copy, "CONFLICT");
    expect(error).to.include({ party: "to", retryable: true });
  });

  it("are opened before they are copied, and copied from whichever provider has them whole", async () => {
    const [from, other, to] = [new MemoryKeeper("from"), new MemoryKeeper("other"), new MemoryKeeper("to")];
    await storeStubs(from, owner, stubs, 5);
    from.damage();
    const error = await copyStubFile(owner, [from, other, to], to, AS);
    expect(error).to.include({ code: "INTEGRITY", party: "from", check: "AES-256-GCM tag" });
    expect((error as TallystickError).message).to.include(owner.dataId);
    expect(to.files).to.deep.equal([]);
    await storeStubs(other, owner, stubs, 2);
    expect(await copyStubFile(owner, [from, other, to], to, AS)).to.deep.equal({ epoch: 2, stubs });
    expect(await readStubs(to, owner)).to.deep.equal({ epoch: 2, stubs });
    from.goDown();
    other.files.length = 0;
    to.files.length = 0;
    await expectAsyncRejection(() => copyStubFile(owner, [from, other, to], to, AS), "UNREACHABLE");
  });

  it("are checked at one provider, and read from another one where that one's is not whole", async () => {
    const [checked, other] = [new MemoryKeeper("checked"), new MemoryKeeper("other")];
    const check = () => checkedAt(owner, checked, [checked, other]);
    await storeStubs(other, owner, stubs, 1);
    const missing = await check();
    expect(missing.stubs).to.deep.equal(stubs);
    expect(missing.error).to.include({ code: "NOT_FOUND", party: "checked", check: "stub file" });
    await storeStubs(checked, owner, stubs, 2);
    expect(await check()).to.deep.equal({ stubs });
    checked.damage();
    expect((await check()).error).to.include({ code: "INTEGRITY", party: "checked" });
    other.goDown();
    expect(await check()).to.have.all.keys(["error"]);
    checked.goDown();
    await expectAsyncRejection(check, "UNREACHABLE");
  });

  it("are read from whichever provider has the latest, and not without saying why", async () => {
    const [old, late, empty, broken] = ["old", "late", "empty", "broken"].map((name) => new MemoryKeeper(name));
    if (!old || !late || !empty || !broken) throw new Error("no keepers");
    await storeStubs(old, owner, stubs, 1);
    await storeStubs(late, owner, stubs, 1);
    await storeStubs(late, owner, stubs, 2);
    broken.goDown();
    expect((await findStubs([empty, old, broken, late], owner))?.epoch).to.equal(2);
    expect(await findStubs([empty], owner)).to.equal(undefined);
    await expectAsyncRejection(() => findStubs([empty, broken], owner), "UNREACHABLE");
  });
});
