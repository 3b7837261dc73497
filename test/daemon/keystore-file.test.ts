import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { TallystickError } from "../../offchain/core/errors.ts";
import { createDaemonKeystore, openDaemonKeystore, readPassphrase } from "../../offchain/daemon/keystore-file.ts";

const CHEAP = { n: 2, r: 8, p: 1 };

async function failure(work: () => Promise<unknown> | unknown): Promise<TallystickError> {
  try {
    await work();
  } catch (error) {
    expect(error).to.be.instanceOf(TallystickError);
    return error as TallystickError;
  }
  throw new Error("did not fail");
}

describe("daemon keystore", () => {
  let folder: string;
  let keystoreFile: string;
  const config = () => ({
    listen: { host: "127.0.0.1", port: 0 },
    dataDir: folder,
    deploymentFile: "",
    keystoreFile,
    passphraseFile: join(folder, "passphrase"),
  });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-keystore-"));
    keystoreFile = join(folder, "deep", "keystore.json");
    writeFileSync(join(folder, "passphrase"), "correct horse\n", { mode: 0o600 });
  });
  afterEach(() => {
    delete process.env.TALLYSTICK_PASSPHRASE;
    rmSync(folder, { recursive: true, force: true });
  });

  it("is created private and whole, and opens with the passphrase of file or environment", async () => {
    await createDaemonKeystore(keystoreFile, "correct horse", "nbm", CHEAP);
    expect(statSync(keystoreFile).mode & 0o777).to.equal(0o600);
    expect(readdirSync(join(folder, "deep"))).to.deep.equal(["keystore.json"]);
    const fromFile = await openDaemonKeystore(config(), "nbm");
    expect(fromFile).to.have.length(32);
    process.env.TALLYSTICK_PASSPHRASE = "correct horse";
    expect(await openDaemonKeystore(config(), "nbm")).to.deep.equal(fromFile);
    expect(process.env.TALLYSTICK_PASSPHRASE, "taken out of the environment").to.equal(undefined);
  });

  it("is never overwritten", async () => {
    await createDaemonKeystore(keystoreFile, "a", "nbm", CHEAP);
    const before = readFileSync(keystoreFile, "utf8");
    expect((await failure(() => createDaemonKeystore(keystoreFile, "b", "nbm", CHEAP))).code).to.equal("CONFLICT");
    expect(readFileSync(keystoreFile, "utf8")).to.equal(before);
    expect(readdirSync(join(folder, "deep"))).to.deep.equal(["keystore.json"]);
  });

  it("does not open with a wrong passphrase, as another kind, or when it is absent or no JSON", async () => {
    expect((await failure(() => openDaemonKeystore(config(), "nbm"))).code).to.equal("NO_IDENTITY");
    await createDaemonKeystore(keystoreFile, "correct horse", "nbm", CHEAP);
    process.env.TALLYSTICK_PASSPHRASE = "wrong";
    expect((await failure(() => openDaemonKeystore(config(), "nbm"))).code).to.equal("WRONG_PASSPHRASE");
    expect((await failure(() => openDaemonKeystore(config(), "csp"))).check).to.equal("keystore kind");
    writeFileSync(keystoreFile, "{");
    expect((await failure(() => openDaemonKeystore(config(), "nbm"))).check).to.equal("JSON");
  });

  it("names a passphrase file that is not there", async () => {
    const error = await failure(() => readPassphrase(join(folder, "nowhere")));
    expect(error).to.include({ code: "FILE_UNREADABLE", received: join(folder, "nowhere") });
  });

  it("refuses to work without a passphrase, or with one that others can read", async () => {
    expect((await failure(() => readPassphrase())).hint).to.include("TALLYSTICK_PASSPHRASE");
    const file = join(folder, "passphrase");
    expect(readPassphrase(file)).to.equal("correct horse");
    chmodSync(file, 0o644);
    expect((await failure(() => readPassphrase(file))).check).to.equal("file mode");
    expect(existsSync(file)).to.equal(true);
  });
});
