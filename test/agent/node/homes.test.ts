/** What lies around on a device: the keystore, the deployment file, file times. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { findDeployment } from "../../../offchain/agent/node/deployment-file.ts";
import { timeArgument } from "../../../offchain/agent/node/file-times.ts";
import { addIdentityOpener } from "../../../offchain/agent/node/identity-openers.ts";
import {
  createIdentity,
  hasIdentity,
  homeDirectory,
  identityOpeners,
  keystorePath,
  loadIdentity,
  stageIdentity,
} from "../../../offchain/agent/node/identity-store.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { keystoreDigest } from "../../../offchain/core/identity/keystore-message.ts";
import { setUpWallet } from "../../../offchain/core/identity/wallet-signature.ts";
import { anvilWallet } from "../../helpers/anvil.ts";
import { rejection } from "../../helpers/rejection.ts";

const CHEAP = { n: 2, r: 8, p: 1 };

function thrown(work: () => unknown): TallystickError {
  try {
    work();
  } catch (error) {
    if (error instanceof TallystickError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("identity store", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-home-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it("makes an identity that opens with its passphrase only, in a folder and a file for its owner", async () => {
    const home = join(dir, "home");
    const { identity, phrase } = await createIdentity(home, "correct horse", undefined, CHEAP);
    expect(phrase?.split(" ")).to.have.length(24);
    expect(statSync(home).mode & 0o777).to.equal(0o700);
    expect(statSync(keystorePath(home)).mode & 0o777).to.equal(0o600);
    expect((await loadIdentity(home, "correct horse")).account).to.equal(identity.account);
    expect((await rejection(loadIdentity(home, "wrong horse"))).code).to.equal("WRONG_PASSPHRASE");
    for (const word of (phrase ?? "").split(" ").slice(0, 3)) {
      expect(readFileSync(keystorePath(home), "utf8")).to.not.contain(` ${word} `);
    }
  });

  it("restores an identity from its phrase", async () => {
    const { identity, phrase } = await createIdentity(join(dir, "a"), "one", undefined, CHEAP);
    const restored = await createIdentity(join(dir, "b"), "two", phrase, CHEAP);
    expect(restored.phrase).to.equal(undefined);
    expect(restored.identity.account).to.equal(identity.account);
  });

  it("never overwrites an identity", async () => {
    await createIdentity(dir, "one", undefined, CHEAP);
    const before = readFileSync(keystorePath(dir));
    expect((await rejection(createIdentity(dir, "two", undefined, CHEAP))).code).to.equal("CONFLICT");
    expect(readFileSync(keystorePath(dir)).equals(before)).to.equal(true);
  });

  it("leaves nothing behind when the phrase or the passphrase is wrong", async () => {
    expect((await rejection(createIdentity(dir, "", undefined, CHEAP))).code).to.equal("INVALID_INPUT");
    expect((await rejection(createIdentity(dir, "one", "not a phrase", CHEAP))).code).to.equal("INVALID_INPUT");
    expect(hasIdentity(dir)).to.equal(false);
  });

  it("counts a staged identity only once it is kept, and removes it when it is not", async () => {
    const given = await stageIdentity(dir, "one", undefined, CHEAP);
    expect(hasIdentity(dir)).to.equal(false);
    given.release();
    expect(readdirSync(dir)).to.deep.equal([]);
    const kept = await stageIdentity(dir, "one", undefined, CHEAP);
    const { account } = kept.identity;
    kept.keep();
    kept.release();
    expect(readdirSync(dir)).to.deep.equal(["keystore.json"]);
    expect((await loadIdentity(dir, "one")).account).to.equal(account);
  });

  it("keeps the identity that came first when two are staged", async () => {
    const late = await stageIdentity(dir, "late", undefined, CHEAP);
    // As another process would, under a name of its own.
    renameSync(`${keystorePath(dir)}.${process.pid}.staged`, `${keystorePath(dir)}.moved`);
    const { identity } = await createIdentity(dir, "first", undefined, CHEAP);
    renameSync(`${keystorePath(dir)}.moved`, `${keystorePath(dir)}.${process.pid}.staged`);
    expect(thrown(() => late.keep()).code).to.equal("CONFLICT");
    late.release();
    expect((await loadIdentity(dir, "first")).account).to.equal(identity.account);
  });

  it("keeps both changes when two change what opens it at the same time", async () => {
    await createIdentity(dir, "one", undefined, CHEAP);
    const wallets = [anvilWallet(0), anvilWallet(1)];
    const keys = await Promise.all(
      wallets.map(({ address, signingKey }) =>
        setUpWallet({
          accounts: () => Promise.resolve([address]),
          sign: async (_account, { message }) => signingKey.sign(keystoreDigest(message)).serialized,
        }),
      ),
    );
    await Promise.all(keys.map((key) => addIdentityOpener(dir, "one", key)));
    const { passphrase, wallets: added } = identityOpeners(dir);
    expect(passphrase).to.equal(true);
    expect(added.map(({ wallet }) => wallet)).to.have.members(wallets.map(({ address }) => address));
  });

  it("tells a missing keystore from a damaged one, without quoting what is in it", async () => {
    expect((await rejection(loadIdentity(dir, "one"))).code).to.equal("NO_IDENTITY");
    writeFileSync(keystorePath(dir), "abandon abandon about");
    const error = await rejection(loadIdentity(dir, "one"));
    expect(error.code).to.equal("INVALID_INPUT");
    expect(`${error.message} ${JSON.stringify(error)}`).to.not.contain("abandon");
  });

  it("takes the folder that is named before the one in the environment", () => {
    const before = process.env.TALLYSTICK_HOME;
    const userHome = process.env.HOME;
    try {
      process.env.TALLYSTICK_HOME = "/from/environment";
      expect(homeDirectory("/named")).to.equal("/named");
      expect(homeDirectory()).to.equal("/from/environment");
      delete process.env.TALLYSTICK_HOME;
      expect(homeDirectory()).to.match(/\.tallystick$/);
      // Not the current folder, whichever that is.
      process.env.HOME = "";
      expect(thrown(() => homeDirectory())).to.include({ code: "INVALID_INPUT", check: "home folder" });
    } finally {
      process.env.HOME = userHome;
      if (before === undefined) delete process.env.TALLYSTICK_HOME;
      else process.env.TALLYSTICK_HOME = before;
    }
  });
});

describe("deployment file", () => {
  let dir: string;
  let environment: string | undefined;
  const zero = `0x${"00".repeat(20)}`;
  const deployment = (chainId: number) => ({
    version: 1,
    chainId,
    rpcUrl: "http://127.0.0.1:8545",
    contracts: {
      nodeRegistry: zero,
      keyLedger: zero,
      storageEscrow: zero,
      possessionVerifier: zero,
      randomness: zero,
      ownersPolicy: zero,
      recoveryPolicy: zero,
      accountDirectory: zero,
    },
    deployedAtBlock: 0,
    committeeId: "1",
    providers: [],
  });
  const write = (chainId: number, ...names: string[]) => {
    const file = join(dir, ...names);
    mkdirSync(join(file, ".."), { recursive: true, mode: 0o700 });
    writeFileSync(file, JSON.stringify(deployment(chainId)), { mode: 0o600 });
    return file;
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-deployment-"));
    environment = process.env.TALLYSTICK_DEPLOYMENT;
    delete process.env.TALLYSTICK_DEPLOYMENT;
  });
  afterEach(() => {
    if (environment === undefined) delete process.env.TALLYSTICK_DEPLOYMENT;
    else process.env.TALLYSTICK_DEPLOYMENT = environment;
    rmSync(dir, { recursive: true, force: true });
  });

  it("looks at the named file, the environment, the home folder, and the folders above, in this order", () => {
    const homeDir = join(dir, "home");
    const workingDirectory = join(dir, "project", "deep", "down");
    const chainIdFound = (named?: string) => findDeployment({ named, homeDir, workingDirectory }).deployment.chainId;
    expect(thrown(() => chainIdFound()).code).to.equal("NO_DEPLOYMENT");
    write(31_337, "project", ".tallystick", "devnet.json");
    expect(chainIdFound()).to.equal(31_337);
    write(3, "home", "deployment.json");
    expect(chainIdFound()).to.equal(3);
    process.env.TALLYSTICK_DEPLOYMENT = write(2, "environment.json");
    expect(chainIdFound()).to.equal(2);
    expect(chainIdFound(write(1, "named.json"))).to.equal(1);
  });

  it("says so when the named file is missing, not JSON, or of another version", () => {
    const find = (named: string) => thrown(() => findDeployment({ named, homeDir: dir }));
    expect(find(join(dir, "missing.json")).code).to.equal("NO_DEPLOYMENT");
    writeFileSync(join(dir, "odd.json"), "{");
    expect(find(join(dir, "odd.json"))).to.include({ code: "NO_DEPLOYMENT", check: "deployment file" });
    writeFileSync(join(dir, "newer.json"), JSON.stringify({ ...deployment(1), version: 2 }));
    expect(find(join(dir, "newer.json")).code).to.equal("UNKNOWN_VERSION");
  });
});

describe("file times", () => {
  it("come out on disk at or less than 0.24 microseconds after the wanted time", () => {
    const dir = mkdtempSync(join(tmpdir(), "tallystick-times-"));
    const file = join(dir, "file");
    writeFileSync(file, "");
    try {
      fc.assert(
        fc.property(fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }), (nanos) => {
          utimesSync(file, 0, timeArgument(nanos));
          const late = statSync(file, { bigint: true }).mtimeNs - nanos;
          // Doubles step by twice as much from 2038 on.
          expect(Number(late)).to.be.within(0, nanos < 2n ** 31n * 1_000_000_000n ? 239 : 478);
        }),
        { numRuns: 500 },
      );
      for (const nanos of [0n, 1n, 1_700_000_000_124_000_000n, -1_000_000n, -86_400_000_000_000n]) {
        utimesSync(file, 0, timeArgument(nanos));
        expect(statSync(file, { bigint: true }).mtimeNs / 1_000_000n).to.equal(nanos / 1_000_000n);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
