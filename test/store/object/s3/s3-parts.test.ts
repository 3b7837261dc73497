/** Parts of the S3 store that need no service: credentials, removals, group commit. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { GroupCommit } from "../../../../offchain/store/object/s3/group-commit.ts";
import { readS3Credentials } from "../../../../offchain/store/object/s3/s3-credentials.ts";
import { PACK_NAME, packName, timeOfPack } from "../../../../offchain/store/object/s3/s3-pack.ts";
import { decodeRemoval, encodeRemoval } from "../../../../offchain/store/object/s3/s3-removals.ts";
import { failure } from "../../../helpers/promises.ts";
import { expectRejection } from "../../../helpers/rejection.ts";
import { loadVectors } from "../../../helpers/vectors.ts";

describe("credentials of an S3 service", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-credentials-"));
    file = join(folder, "credentials");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const write = (text: string, mode = 0o600) => {
    writeFileSync(file, text, { mode });
    chmodSync(file, mode);
  };

  it("come from a file in the form of the AWS tools", () => {
    write(
      "[other]\naws_access_key_id = no\n[default]\r\naws_access_key_id = id\r\n" +
        "aws_secret_access_key=a/b+c==\n[x]\naws_access_key_id=no\n",
    );
    expect(readS3Credentials(file)).to.deep.equal({ accessKeyId: "id", secretAccessKey: "a/b+c==" });
    write("aws_access_key_id=id\naws_secret_access_key=secret");
    expect(readS3Credentials(file)).to.deep.equal({ accessKeyId: "id", secretAccessKey: "secret" });
  });

  it("come from the environment without a file", () => {
    const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } = process.env;
    try {
      Object.assign(process.env, { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret" });
      expect(readS3Credentials(undefined)).to.deep.equal({ accessKeyId: "id", secretAccessKey: "secret" });
      delete process.env.AWS_SECRET_ACCESS_KEY;
      expectRejection(() => readS3Credentials(undefined), "INVALID_INPUT", /no usable keys/);
    } finally {
      delete process.env.AWS_ACCESS_KEY_ID;
      delete process.env.AWS_SECRET_ACCESS_KEY;
      if (id !== undefined) process.env.AWS_ACCESS_KEY_ID = id;
      if (secret !== undefined) process.env.AWS_SECRET_ACCESS_KEY = secret;
    }
  });

  it("are refused when others can read them, or one is missing or no header value, and are in no message", () => {
    write("aws_access_key_id=id\naws_secret_access_key=hidden", 0o644);
    expectRejection(() => readS3Credentials(file), "INVALID_INPUT", /readable by others/);
    for (const text of [
      "",
      "aws_access_key_id=id",
      "aws_access_key_id=id\naws_secret_access_key=hid den",
      "[default]\n",
    ]) {
      write(text);
      const error = expectRejection(() => readS3Credentials(file), "INVALID_INPUT", /no usable keys/);
      expect(JSON.stringify(error) + error.message).not.to.contain("hid den");
    }
    expectRejection(() => readS3Credentials(join(folder, "absent")), "FILE_UNREADABLE", /credentials file/);
  });
});

describe("names of packs in a bucket", () => {
  it("order by time, and no two are equal", () => {
    const names = [0, 1, 4096, 1_800_000_000_000, 2 ** 47].map(packName);
    expect([...names].sort()).to.deep.equal(names);
    for (const name of names) expect(name).to.match(PACK_NAME);
    expect(names.map(timeOfPack)).to.deep.equal([0, 1, 4096, 1_800_000_000_000, 2 ** 47]);
    expect(packName(5)).not.to.equal(packName(5));
  });
});

describe("removals in a bucket", () => {
  const { removal } = loadVectors<{ removal: { removed: { pack: string; id: string }[]; utf8: string } }>("s3.json");

  it("have the form of the specification", () => {
    expect(new TextDecoder().decode(encodeRemoval(removal.removed))).to.equal(removal.utf8);
    expect(decodeRemoval(new TextEncoder().encode(removal.utf8))).to.deep.equal(removal.removed);
  });

  it("are refused in any other form", () => {
    const pack = removal.removed[0]?.pack ?? "";
    for (const text of [
      "",
      "{}",
      "[]",
      "null",
      '{"version":2,"removed":{}}',
      '{"version":1,"removed":{},"more":1}',
      '{"version":1,"removed":{"../belongs-to":["a"]}}',
      `{"version":1,"removed":{"${pack}":"a"}}`,
      `{"version":1,"removed":{"${pack}":[1]}}`,
      '{"version":1,"removed":{}',
    ]) {
      expect(decodeRemoval(new TextEncoder().encode(text)), text).to.equal(undefined);
    }
    expect(decodeRemoval(Uint8Array.of(0x7b, 0xff))).to.equal(undefined);
  });
});

describe("group commit", () => {
  const options = { waitMilliseconds: 2, maximumWeight: 10, commitsAtOnce: 2, weightOf: (item: number) => item };

  it("commits together what arrives together, up to a weight, and in order", async () => {
    const commits: (readonly number[])[] = [];
    const group = new GroupCommit<number, number>(options, async (items) => commits.push(items));
    const outcomes = await Promise.all([1, 2, 3, 4, 5, 60, 7].map((item) => group.add(item)));
    expect(commits).to.deep.equal([[1, 2, 3, 4], [5], [60], [7]]);
    expect(outcomes).to.deep.equal([1, 1, 1, 1, 2, 3, 4]);
  });

  it("has a bounded number of commits under way, and takes what waits into the next one", async () => {
    let running = 0;
    let most = 0;
    let commits = 0;
    const group = new GroupCommit<number, void>(options, async () => {
      most = Math.max(most, ++running);
      commits += 1;
      await new Promise((done) => setTimeout(done, 10));
      running -= 1;
    });
    await Promise.all(Array.from({ length: 40 }, () => group.add(1)));
    expect(most).to.equal(2);
    expect(commits).to.equal(4);
  });

  it("fails the callers of a commit that fails, and no others", async () => {
    const group = new GroupCommit<number, string>(options, async (items) => {
      if (items.includes(10)) throw new Error("refused");
      return "done";
    });
    const [failed, done] = await Promise.all([failure(group.add(10)), group.add(9)]);
    expect(String(failed)).to.contain("refused");
    expect(done).to.equal("done");
    await group.drained();
    expect(await group.add(1)).to.equal("done");
  });
});
