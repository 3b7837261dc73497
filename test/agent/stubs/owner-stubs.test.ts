import { expect } from "chai";
import { copyStubFiles } from "../../../offchain/agent/migration/copy-stub-files.ts";
import {
  findStubs,
  readStubs,
  rekeyStubs,
  type StubOwner,
  storeStubs,
  stubIdentityKey,
} from "../../../offchain/agent/stubs/owner-stubs.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../../offchain/core/errors.ts";
import { epochKey, ownerAccessKey } from "../../../offchain/core/revocable/epoch-key.ts";
import { epochOf, openStubFile } from "../../../offchain/core/revocable/stub-file.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

/** Keeps one stub file, and every one that it ever had. */
class MemoryKeeper {
  readonly name: string;
  readonly files: Uint8Array[] = [];
  replacements = 0;
  /** Called before each replacement. */
  beforeReplace: () => Promise<void> = async () => undefined;

  constructor(name = "provider a") {
    this.name = name;
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

describe("stub files of an owner", () => {
  it("are stored once, read again, and replaced when they are of other stubs or do not open", async () => {
    const keeper = new MemoryKeeper();
    expect(await readStubs(keeper, owner)).to.equal(undefined);
    expect(await storeStubs(keeper, owner, stubs)).to.equal(1);
    expect(await storeStubs(keeper, owner, stubs)).to.equal(1);
    expect(keeper.replacements).to.equal(1);
    expect(await readStubs(keeper, owner)).to.deep.equal({ epoch: 1, stubs });
    const others = new Uint8Array(64);
    expect(await storeStubs(keeper, owner, others)).to.equal(2);
    keeper.files[1] = keeper.files[1]?.with(-1, 0) ?? others;
    expect(await storeStubs(keeper, owner, others)).to.equal(3);
    expect(await readStubs(keeper, owner)).to.deep.equal({ epoch: 3, stubs: others });
  });

  it("belong to one identity, deployment and file key", async () => {
    const keeper = new MemoryKeeper();
    await storeStubs(keeper, owner, stubs);
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
    await storeStubs(keeper, owner, stubs);
    const given = { dataId: owner.dataId, epoch: 1 };
    const key = epochKey(owner.fileKey, ownerAccessKey(owner.identityKey, given), given);
    expect(openStubFile(key, given, (await keeper.stubFile()) ?? stubs, "p")).to.deep.equal(stubs);
    expect(await rekeyStubs(keeper, owner)).to.equal(2);
    expect(await readStubs(keeper, owner)).to.deep.equal({ epoch: 2, stubs });
    const sealed = (await keeper.stubFile()) ?? stubs;
    for (const epoch of [1, 2]) {
      expect(() => openStubFile(key, { ...given, epoch }, sealed, "p"), `${epoch}`).to.throw(IntegrityError);
    }
    const none = await expectAsyncRejection(() => rekeyStubs(new MemoryKeeper(), owner), "NOT_FOUND");
    expect(none).to.include({ check: "stub file", party: "provider a" });
  });

  it("are changed on top of what another device has changed meanwhile", async () => {
    const keeper = new MemoryKeeper();
    await storeStubs(keeper, owner, stubs);
    keeper.beforeReplace = async () => {
      await rekeyStubs(keeper, owner);
    };
    expect(await rekeyStubs(keeper, owner)).to.equal(3);
    const busy = new MemoryKeeper();
    await storeStubs(busy, owner, stubs);
    busy.replaceStubFile = async () => false;
    await expectAsyncRejection(() => rekeyStubs(busy, owner), "CONFLICT");
  });

  it("are copied to another provider as they are, unless that one has a later epoch", async () => {
    const [from, to] = [new MemoryKeeper("from"), new MemoryKeeper("to")];
    await copyStubFiles(from, to, [owner.dataId]);
    expect(to.replacements).to.equal(0);
    await storeStubs(from, owner, stubs);
    await copyStubFiles(from, to, [owner.dataId, owner.dataId]);
    expect(await readStubs(to, owner)).to.deep.equal({ epoch: 1, stubs });
    expect(to.replacements).to.equal(1);
    await rekeyStubs(from, owner);
    await copyStubFiles(from, to, [owner.dataId]);
    expect(await readStubs(to, owner)).to.deep.equal({ epoch: 2, stubs });
    await rekeyStubs(to, owner);
    await copyStubFiles(from, to, [owner.dataId]);
    expect((await readStubs(to, owner))?.epoch).to.equal(3);
    to.files.length = 0;
    to.replaceStubFile = async () => false;
    const error = await expectAsyncRejection(() => copyStubFiles(from, to, [owner.dataId]), "CONFLICT");
    expect(error).to.include({ party: "to", retryable: true });
  });

  it("are read from whichever provider has the latest, and not without saying why", async () => {
    const [old, late, empty, broken] = ["old", "late", "empty", "broken"].map((name) => new MemoryKeeper(name));
    if (!old || !late || !empty || !broken) throw new Error("no keepers");
    await storeStubs(old, owner, stubs);
    await storeStubs(late, owner, stubs);
    await rekeyStubs(late, owner);
    broken.stubFile = async () => {
      throw new TallystickError("down", { code: "UNREACHABLE", party: "broken" });
    };
    expect((await findStubs([empty, old, broken, late], owner))?.epoch).to.equal(2);
    expect(await findStubs([empty], owner)).to.equal(undefined);
    await expectAsyncRejection(() => findStubs([empty, broken], owner), "UNREACHABLE");
  });
});
